"""Archives end as pages or rejects with reasons, whatever is in them."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.records import Page, Reject
from spelangy_model.rng import stable_hash, stable_rng
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


RUSSIAN = "Москва является столицей. "
KOREAN = (
    "\uc11c\uc6b8\uc740 \ub300\ud55c\ubbfc\uad6d\uc758 \uc218\ub3c4\uc774\uc790 \ucd5c\ub300 \ub3c4\uc2dc\uc774\ub2e4. "
)
CHINESE = "北京是中华人民共和国的首都。"
GERMAN = "Über die alten Mühlen im Tal wußte der Müller viele Geschichten. "


@pytest.mark.parametrize("header", ["", "utf-8", "iso-8859-1", "no-such-charset"])
@pytest.mark.parametrize("meta", ["", "utf-8", "iso-8859-1", "right"])
@pytest.mark.parametrize(
    ("words", "charset"),
    [(RUSSIAN, "windows-1251"), (RUSSIAN, "koi8-r"), (KOREAN, "euc-kr"), (CHINESE, "gb2312"), (GERMAN, "windows-1252")],
)
def test_a_wrong_header_or_meta_does_not_make_other_letters_of_a_text(words, charset, meta, header):
    meta_tag = f"<meta charset={charset if meta == 'right' else meta}>" if meta else ""
    html = f"<html><head>{meta_tag}<title>x</title></head><body>" + f"<p>{words}</p>" * 6
    assert decode_html(html.encode(charset), header)[0] == html


@pytest.mark.parametrize("header", ["", "utf-8", "iso-8859-1", "windows-1251"])
@pytest.mark.parametrize("words", [RUSSIAN, KOREAN, GERMAN])
def test_a_broken_character_does_not_make_other_letters_of_utf_8(words, header):
    html = f"<html><body><p>{words * 5}".encode()
    for broken in (html[:-3], html[:30] + b"\xff" + html[30:]):
        text, charset = decode_html(broken, header)
        assert charset == "utf-8"
        assert words.split()[0] in text


def test_utf_16_is_seen_without_a_byte_order_mark():
    for charset in ("utf-16-le", "utf-16-be"):
        assert decode_html(f"<p>{RUSSIAN}</p>".encode(charset)) == (f"<p>{RUSSIAN}</p>", charset)


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


def arc_records(count: int) -> list[bytes]:
    version = b"1 0 Capture\nURL IP-address Archive-date Content-type Archive-length\n"
    records = [b"filedesc://x.arc 127.0.0.1 20140216050221 text/plain %d\n" % len(version) + version + b"\n"]
    for number in range(count):
        http = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + numbered(number)
        url = b"http://example.org/%d 127.0.0.1 20140216050221 text/html %d\n" % (number, len(http))
        records.append(url + http + b"\n")
    return records


def numbered(number: int) -> bytes:
    """Return a page unlike all others that does not compress to nothing."""
    words = " ".join(stable_hash("page", number, place) for place in range(5 + number))
    return f"<html><body><p>Page {number}: {words}</p></body></html>".encode()


def warc_records(count: int) -> list[bytes]:
    records = []
    for number in range(count):
        url = f"https://example.org/{number}"
        records.append(warc_record(b"GET / HTTP/1.1\r\n\r\n", kind="request", url=url))
        records.append(response(numbered(number), url=url))
        about = {"Content-Type": "application/warc-fields", "WARC-Concurrent-To": "<urn:uuid:1>"}
        records.append(warc_record(b"via: x\r\n", kind="metadata", url=url, **about))
    return records


PACKED = {
    "plain": b"".join,
    "a member a record": lambda records: b"".join(gzip.compress(record, mtime=0) for record in records),
    "one member": lambda records: gzip.compress(b"".join(records), mtime=0),
    "members of any length": lambda records: b"".join(
        gzip.compress(b"".join(records)[start : start + 700], mtime=0)
        for start in range(0, len(b"".join(records)), 700)
    ),
}


@pytest.mark.parametrize("make", [warc_records, arc_records])
@pytest.mark.parametrize("packing", PACKED)
def test_a_cut_archive_says_so_and_gives_no_half_page(make, packing):
    records = make(12)
    data = PACKED[packing](records)
    ends = list(itertools.accumulate(len(gzip.compress(r, mtime=0)) for r in records))
    if packing == "plain":
        ends = list(itertools.accumulate(map(len, records)))
    if packing == "members of any length":
        ends = list(itertools.accumulate(len(gzip.compress(b"".join(records)[start : start + 700], mtime=0))
                                         for start in range(0, len(b"".join(records)), 700)))  # fmt: skip
    if make is arc_records:
        ends += [end - 1 for end in ends]  # the line end behind a record is no part of it
    whole = {item.html for item in read(data) if isinstance(item, Page)}
    assert whole == {numbered(number).decode() for number in range(12)}
    rng = stable_rng(0, "cuts", packing)
    cuts = {int(cut) for cut in rng.integers(1, len(data), 40)} | {len(data) - back for back in (1, 2, 3, 4, 9, 60)}
    for cut in sorted(cuts - set(ends) if packing != "one member" else cuts):
        items = read(data[:cut])
        assert isinstance(items[-1], Reject), cut
        assert items[-1].reason == "broken_archive"
        assert {item.html for item in items if isinstance(item, Page)} <= whole, cut


def test_a_cut_archive_at_the_mark_behind_a_record_keeps_it_and_says_so():
    page, reject = read(response(HTML)[:-2])
    assert isinstance(page, Page)
    assert isinstance(reject, Reject)
    assert reject.reason == "broken_archive"


@pytest.mark.parametrize("packing", ["a member a record", "members of any length"])
def test_damage_costs_what_it_hits(packing):
    data = PACKED[packing](warc_records(12))
    for place in stable_rng(0, "damage", packing).integers(20, len(data), 20):
        damaged = bytearray(data)
        damaged[place] ^= 16
        items = read(bytes(damaged))
        assert [item.reason for item in items if isinstance(item, Reject)] in (["broken_archive"], [])
        kept = {item.html for item in items if isinstance(item, Page)}
        assert kept <= {numbered(number).decode() for number in range(12)}
        assert len(kept) >= (11 if packing == "a member a record" else 7), place


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("length", [5, 100_000, -1, "many"])
def test_a_record_of_a_wrong_length_costs_itself_alone(length, packed):
    wrong = response(numbered(1), url="https://example.org/wrong")
    stated = len(wrong.partition(b"\r\n\r\n")[2]) - 4
    wrong = wrong.replace(f"Content-Length: {stated}".encode(), f"Content-Length: {length}".encode(), 1)
    records = [response(HTML, url="https://example.org/1"), wrong, *warc_records(3)]
    items = read(PACKED["a member a record" if packed else "plain"](records))
    assert [item.reason for item in items if isinstance(item, Reject)] == ["broken_archive"]
    assert len([item for item in items if isinstance(item, Page)]) == 4


def digested(payload: bytes, url: str, digest: str) -> bytes:
    block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + payload
    computed = hashlib.new(digest.partition(" ")[0], block).digest()
    value = computed.hex() if digest.endswith("hex") else base64.b32encode(computed).decode()
    stated = {"WARC-Block-Digest": f"{digest.partition(' ')[0]}:{value}"}
    return warc_record(block, url=url, **{"Content-Type": "application/http; msgtype=response"}, **stated)


@pytest.mark.parametrize("digest", ["sha1 base32", "sha1 hex", "md5 base32", "sha256 base32", "sha512 hex"])
def test_a_plain_record_whose_bytes_are_not_those_of_its_digest_is_damaged(digest):
    about = HTML.replace(b"Hello", b"\r\nWARC/1.0\r\nWARC-Type: response\r\n\r\nHello")
    records = [digested(about, f"https://example.org/{number}", digest) for number in range(3)]
    assert [type(item) for item in read(b"".join(records))] == [Page] * 3
    first, reject, last = read(records[0] + records[1].replace(b"there", b"thore") + records[2])
    assert isinstance(first, Page)
    assert isinstance(last, Page)
    assert isinstance(reject, Reject)
    assert reject.reason == "broken_archive"
    assert "WARC-Block-Digest" in reject.error
    assert reject.source_uri == f"a.warc@{len(records[0])}"


@pytest.mark.parametrize("stated", ["sha1:", "sha1:abc", "crc32:00000000", "x", "sha1:" + "0" * 32])
def test_a_digest_of_a_form_that_is_not_known_is_passed_over(stated):
    record = response(HTML, **{"WARC-Block-Digest": stated})
    assert [type(item) for item in read(record)] == [Page]


def test_a_response_that_is_whole_by_its_own_header_is_kept_from_a_record_of_a_wrong_length():
    record = response(HTML, extra=f"Content-Length: {len(HTML)}\r\n")
    length = len(record.partition(b"\r\n\r\n")[2]) - 4
    for stated in (length - 7, length + 7):
        wrong = record.replace(f"Content-Length: {length}".encode(), f"Content-Length: {stated}".encode(), 1)
        page, reject, following = read(wrong + response(HTML, url="https://example.org/b"))
        assert isinstance(page, Page)
        assert isinstance(following, Page)
        assert (page.html, getattr(reject, "reason", "")) == (HTML.decode(), "broken_archive")


def test_an_archive_made_to_be_damaged_everywhere_ends():
    items = read((b"WARC/1.0\r\nContent-Length: 999999\r\n\r\n" + b"x" * 50 + b"\r\n\r\n") * 2000)
    assert {item.reason for item in items if isinstance(item, Reject)} == {"broken_archive"}
    assert len(items) < 300


def test_a_part_that_the_harvester_kept_is_no_page():
    whole = response(HTML)
    cut = response(HTML, **{"WARC-Truncated": "length"})
    page, reject = read(whole + cut)
    assert isinstance(page, Page)
    assert isinstance(reject, Reject)
    assert reject.reason == "unreadable_payload"
    assert "WARC-Truncated: length" in reject.error


def test_a_fault_of_the_disk_is_no_fault_of_the_archive():
    class Faulty(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 2**16:
                raise OSError(5, "Input/output error")
            return super().read(size)

    with pytest.raises(OSError, match="Input/output error"):
        list(read_archive(Faulty(b"".join(warc_records(80)) * 4), "a.warc"))


def test_zstandard_archives_are_read_and_their_cuts_reported():
    from fastwarc.stream_io import ZstdWriter

    class Kept(io.BytesIO):
        def close(self) -> None:
            """Leave the bytes to be read."""

    packed = Kept()
    writer = ZstdWriter(packed)
    writer.write(b"".join(warc_records(12)))
    writer.finish()
    writer.close()
    data = packed.getvalue()
    assert len(read(data)) == 12
    items = read(data[: len(data) // 2])
    assert isinstance(items[-1], Reject)
    assert items[-1].reason == "broken_archive"


@settings(max_examples=100, deadline=None)
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
