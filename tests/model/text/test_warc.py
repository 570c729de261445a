"""Archives end as pages or rejects with reasons, whatever is in them."""

from __future__ import annotations

import gzip
import io

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.records import Page, Reject
from spelangy_model.text.html_pages import PageLimits, content_digest, decode_html, make_page
from spelangy_model.text.warc import read_archive

HTML = b"<!doctype html><html><head><title>T</title></head><body><p>Hello there.</p></body></html>"


def warc_record(body: bytes, kind: str = "response", url: str = "https://example.org/a", **headers: str) -> bytes:
    lines = {"WARC-Type": kind, "WARC-Target-URI": url, "WARC-Date": "2026-01-02T03:04:05Z"} | headers
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"WARC/1.0\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n"


def response(payload: bytes, status: str = "200 OK", media_type: str = "text/html", extra: str = "", **kwargs) -> bytes:
    http = f"HTTP/1.1 {status}\r\nContent-Type: {media_type}\r\n{extra}\r\n".encode() + payload
    return warc_record(http, **{"Content-Type": "application/http; msgtype=response"}, **kwargs)


def read(data: bytes, limits: PageLimits | None = None) -> list[Page | Reject]:
    return list(read_archive(io.BytesIO(data), "a.warc", limits))


def reason(data: bytes, limits: PageLimits | None = None) -> str:
    (item,) = read(data, limits)
    assert isinstance(item, Reject), item
    return item.reason


def test_a_page_carries_its_address_place_date_and_charset():
    data = response(b"", status="404 Not Found") + response(
        "<p>caf\u00e9</p>".encode("latin-1"), media_type="text/html; charset=iso-8859-1"
    )
    missing, page = read(data)
    assert isinstance(missing, Reject)
    assert isinstance(page, Page)
    assert page.html == "<p>caf\u00e9</p>"
    assert page.url == "https://example.org/a"
    assert page.source_uri == f"a.warc@{len(response(b'', status='404 Not Found'))}"
    assert page.captured_at == "2026-01-02T03:04:05Z"
    assert page.charset == "cp1252"  # what the web means by iso-8859-1


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (response(HTML, status="301 Moved"), "http_status"),
        (response(b""), "empty_payload"),
        (response(HTML, media_type="image/png"), "not_html"),
        (response(b"\x00\x01\x02" * 50), "binary_payload"),
        (response(HTML, url="urn:uuid:1"), "no_web_url"),
        (response(b"<p>" + b"x" * 5000), "too_large"),
        (response(gzip.compress(b"<p>" + b"x" * 10_000_000, mtime=0), extra="Content-Encoding: gzip\r\n"), "too_large"),
        (response(b"<i>" * 1000), "nested_too_deep"),
        (response(b"\xff" * 200, media_type="text/html; charset=utf-16"), "undecodable_text"),
        (warc_record(b"", kind="revisit"), "revisit"),
        (warc_record(b"x: y", kind="metadata"), "no_captures"),
        (b"", "no_captures"),
        (b"this is no archive at all", "broken_archive"),
        (gzip.compress(b"neither is this", mtime=0), "broken_archive"),
    ],
)
def test_what_is_no_page_is_rejected_with_its_reason(data, expected):
    assert reason(data, PageLimits(max_payload_bytes=4000)) == expected


def test_a_broken_rest_keeps_what_was_read_before_it():
    good = response(HTML)
    page, reject = read(good + b"no record begins here\r\n" * 9)
    assert isinstance(page, Page)
    assert isinstance(reject, Reject)
    assert reject.reason == "broken_archive"
    assert "@" in reject.source_uri


def test_compressed_archives_give_the_same_pages_as_plain_ones():
    data = [response(HTML, url=f"https://example.org/{index}") for index in range(3)]
    plain = read(b"".join(data))
    packed = read(b"".join(gzip.compress(record) for record in data))
    assert [page.page_id for page in plain] == [page.page_id for page in packed if isinstance(page, Page)]


@pytest.mark.parametrize(
    ("payload", "header", "text"),
    [
        (b"\xef\xbb\xbf<p>\xc3\xa9</p>", "iso-8859-1", "<p>\u00e9</p>"),  # a byte order mark outranks the header
        (b'<meta charset="iso-8859-2"><p>\xb1</p>', "", '<meta charset="iso-8859-2"><p>\u0105</p>'),
        (
            "<p>\u043f\u0440\u0438\u0432\u0435\u0442, \u043a\u0430\u043a \u0434\u0435\u043b\u0430</p>".encode(),
            "ascii",
            None,
        ),
        (b"<p>\xe9t\xe9</p>", "utf-8", "<p>\u00e9t\u00e9</p>"),  # the header is wrong: bytes decide
        (b"<p>plain</p>", "no-such-charset", "<p>plain</p>"),
        (b"<p>plain</p>", "rot13", "<p>plain</p>"),
    ],
)
def test_charsets_are_believed_in_order_and_never_against_the_bytes(payload, header, text):
    assert decode_html(payload, header)[0] == (text if text is not None else payload.decode())


def test_rights_come_from_headers_and_from_the_records_about_a_capture():
    fields = {"Content-Type": "application/warc-fields"}
    info = warc_record(b"software: Wget/1.21\r\nrobots: classic\r\n", kind="warcinfo", **fields)
    one = response(HTML, extra="X-Robots-Tag: noindex\r\nX-Robots-Tag: noai\r\n", **{"WARC-Record-ID": "<urn:uuid:1>"})
    about_one = warc_record(
        b"via: x\r\nlicence: CC-BY-4.0\r\n", kind="metadata", **fields, **{"WARC-Concurrent-To": "<urn:uuid:1>"}
    )
    two = response(HTML, url="https://example.org/b", **{"WARC-Record-ID": "<urn:uuid:2>"})
    about_two = warc_record(b"robots: noarchive\r\n", kind="metadata", url="https://example.org/b", **fields)
    about_another = warc_record(
        b"licence: MIT\r\n", kind="metadata", url="https://example.org/b", **fields,
        **{"WARC-Refers-To": "<urn:uuid:9>"},
    )  # fmt: skip
    not_fields = warc_record(b"licence: MIT", kind="metadata", url="https://example.org/b")
    request = warc_record(b"GET / HTTP/1.1\r\n\r\n", kind="request")
    records = [info, one, request, about_one, two, about_two, about_another, not_fields]
    for data in (b"".join(records), b"".join(gzip.compress(record, mtime=0) for record in records)):
        first, second = read(data)
        assert isinstance(first, Page)
        assert isinstance(second, Page)
        assert (first.licence, first.licence_stated_by) == ("CC-BY-4.0", "warc_metadata")
        assert first.robots == "harvester:classic, noai, noindex"
        assert (second.licence, second.robots) == ("unknown", "harvester:classic, noarchive")


def test_an_arc_record_carries_its_headers():
    http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nX-Robots-Tag: noai\r\n\r\n" + HTML
    version = b"1 0 Capture\nURL IP-address Archive-date Content-type Archive-length\n"
    head = b"filedesc://x.arc 127.0.0.1 20140216050221 text/plain %d\n" % len(version) + version + b"\n"
    record = b"http://example.org/ 127.0.0.1 20140216050221 text/html %d\n" % len(http) + http + b"\n"
    (page,) = read(head + record)
    assert isinstance(page, Page)
    assert (page.robots, page.captured_at) == ("noai", "2014-02-16T05:02:21Z")


def test_equal_pages_share_their_content_and_not_their_id():
    one, other = (make_page(f"https://example.org/{n}", "<p>x</p>", source_uri="") for n in (1, 2))
    assert content_digest(one) == content_digest(other)
    assert one.page_id != other.page_id


def test_every_odd_archive_ends_as_pages_or_rejects(shared_dir):
    pages, reasons = {}, {}
    for path in sorted((shared_dir / "data/warc_odd").iterdir()):
        with path.open("rb") as stream:
            items = list(read_archive(stream, path.name))
        assert items, path.name
        pages[path.name] = sum(isinstance(item, Page) for item in items)
        reasons[path.name] = [item.reason for item in items if isinstance(item, Reject)]
    assert {name for name, count in pages.items() if count} == {
        "example-bad-non-chunked.warc.gz", "example-bad.warc.gz.bad", "example-iana.org-chunked.warc",
        "example-resource.warc.gz", "example-space-in-url.arc", "example-trunc.warc",
        "example-wget-bad-target-uri.warc.gz", "example-wrong-chunks.warc.gz",
        "example.arc", "example.arc.gz", "example.warc", "example.warc.gz",
    }  # fmt: skip
    assert reasons["example-trunc.warc"] == ["broken_archive"]
    assert reasons["bad.arc"] == ["no_http_header"] * 3
    assert reasons["example-digest.warc"] == ["no_captures"]
    assert reasons["post-test.warc.gz"] == ["not_html"] * 3


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damaged_archives_never_crash(data):
    whole = response(HTML) + response(HTML, media_type="text/html; charset=utf-8", url="https://example.org/b")
    if data.draw(st.booleans(), label="compressed"):
        whole = gzip.compress(whole, mtime=0)
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 8))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(damaged)))
    for item in read(bytes(damaged[:cut])):
        assert isinstance(item, Page) or item.reason


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_damaged_arc_files_never_crash(tail):
    head = (
        b"filedesc://x.arc 127.0.0.1 20140216050221 text/plain 75\n1 0 Capture\n"
        b"URL IP-address Archive-date Content-type Archive-length\n\n"
    )
    for item in read(head + tail):
        assert isinstance(item, Page) or item.reason
