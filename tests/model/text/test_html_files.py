import io

import pytest

from spelangy_model.records import Page, Reject
from spelangy_model.text.html_files import address_of, read_html_file
from spelangy_model.text.html_pages import PageLimits

HTML = b"<!doctype html><html><head><title>T</title></head><body><p>Hello there.</p></body></html>"


def read(name: str, payload: bytes, **limits) -> Page | Reject:
    return read_html_file(io.BytesIO(payload), name, PageLimits(**limits))


@pytest.mark.parametrize(
    ("name", "payload", "url"),
    [
        ("www.mill.example/history/index.html", HTML, "https://www.mill.example/history/"),
        ("mirrors/Mill.example:8080/a page.php?id=3&x=#1", HTML, "https://mill.example:8080/a%20page.php?id=3&x=%231"),
        ("notes/mill.html", HTML, "file:///notes/mill.html"),
        ("index.html", HTML, "file:///index.html"),
        ("caf\u00e9.htm", HTML, "file:///caf%C3%A9.htm"),
        ("caf\udce9.htm", HTML, "file:///caf%E9.htm"),
        ("a.html", b"<!-- saved from url=(0031)https://mill.example/history/old -->" + HTML,
         "https://mill.example/history/old"),
        ("a.html", b"<html><!--\n Page saved with SingleFile\n url: https://mill.example/one \n-->" + HTML,
         "https://mill.example/one"),
        ("a.html", b'<link href="https://mill.example/x?a=1&amp;b=2" rel="canonical">' + HTML,
         "https://mill.example/x?a=1&b=2"),
        ("a.html", b'<link rel="canonical" href="/relative">' + HTML, "file:///a.html"),
        ("mill.example/a.html", b'<link rel="canonical" href="https://other.example/">' + HTML,
         "https://mill.example/a.html"),
    ],
)  # fmt: skip
def test_the_address_of_a_file(name: str, payload: bytes, url: str):
    assert address_of(name, payload) == url


def test_pages_are_recognized_by_their_name_or_their_first_bytes():
    for name, payload in (("a.HTM", b"<p>short</p>"), ("mill.example/history", HTML), ("a.php?x=1.2", b"\n" + HTML)):
        page = read(name, payload)
        assert isinstance(page, Page)
        assert (page.source_uri, page.html, page.captured_at) == (name, payload.decode(), "")


@pytest.mark.parametrize(
    ("name", "payload", "reason"),
    [
        ("style.css", b"p { margin: 0 }", "not_html"),
        ("notes.txt", b"see <html>", "not_html"),
        ("empty.html", b"", "empty_payload"),
        ("empty", b"", "not_html"),
        ("large.html", HTML + b"x" * 5000, "too_large"),
        ("binary.html", b"\x00\x01\x02" * 50, "binary_payload"),
        ("deep.html", b"<i>" * 1000, "nested_too_deep"),
        ("latin.html", "<p>caf\u00e9</p>".encode("latin-1"), "charset"),
    ],
)
def test_what_is_no_page_is_rejected_with_its_reason(name: str, payload: bytes, reason: str):
    item = read(name, payload, max_payload_bytes=4500, charsets=("utf-8",))
    assert isinstance(item, Reject)
    assert (item.source_uri, item.reason) == (name, reason)


def test_no_more_is_read_than_the_limit():
    class Endless(io.RawIOBase):
        total = 0

        def read(self, size: int = -1) -> bytes:
            assert size >= 0
            self.total += size
            return HTML.ljust(size)

    stream = Endless()
    item = read_html_file(stream, "a.html", PageLimits(max_payload_bytes=10_000))  # type: ignore[arg-type]
    assert isinstance(item, Reject)
    assert (item.reason, stream.total) == ("too_large", 10_001)


def test_a_name_that_is_no_text_becomes_one():
    page = read("caf\udce9.html", HTML)
    assert page.source_uri == "caf\\xe9.html"
