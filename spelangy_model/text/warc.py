"""Pages out of web archives: WARC, WARC.gz and ARC, each capture a `Page` or a `Reject` with its reason.

Put here: reading an archive record by record, undoing HTTP's encodings, finding the charset, size limits, the
licence that a page states for itself. Do not put here: which pages are wanted (urls, language) or what is said
in them (extract, questions). Memory is bounded by `PageLimits`, whatever the archive claims. Sources: ISO 28500
(WARC 1.1), the Internet Archive's ARC 1.0, the WHATWG encoding standard; FastWARC reads WARC, warcio reads ARC.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from spelangy_model.records import Page, Reject
from spelangy_model.rng import stable_hash

HTML_MEDIA_TYPES = frozenset({"text/html", "application/xhtml+xml"})


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What a page may weigh; beyond it the capture is rejected, never read into memory.

    Real pages nest below 30 elements deep; text renderers take the square of a depth in time or memory.
    """

    max_payload_bytes: int = 4 * 2**20
    max_depth: int = 256
    max_undecodable_share: float = 0.01


@dataclass(frozen=True, slots=True)
class _Capture:
    """One capture of an archive as bytes, before it is known to be a page."""

    kind: str
    record_id: str
    url: str
    offset: int
    captured_at: str
    status: int | None
    media_type: str
    charset: str
    payload: bytes
    error: str = ""


def make_page(url: str, html: str, *, source_uri: str, captured_at: str = "", charset: str = "utf-8") -> Page:
    """Return the page record of an HTML text: its id from URL and content, its licence as the page states it."""
    return Page(
        page_id=stable_hash(url, html),
        url=url,
        source_uri=source_uri,
        captured_at=captured_at,
        licence=stated_licence(html),
        charset=charset,
        html=html,
    )


def content_digest(page: Page) -> str:
    """Return what two captures share when their HTML is equal, under whatever URL."""
    return stable_hash(page.html)


def read_archive(stream: BinaryIO, name: str, limits: PageLimits | None = None) -> Iterator[Page | Reject]:
    """Yield a page or a reject for every capture (response, resource, revisit) of a WARC or ARC archive.

    `stream` must be seekable; `name` is the archive's name inside its snapshot and becomes part of `source_uri`
    (NAME@OFFSET: where the record, or the compressed member that holds it, begins). Requests and metadata are no
    captures and yield nothing. An archive that breaks off yields a last reject `broken_archive`; one without any
    capture yields `no_captures`.
    """
    limits = limits or PageLimits()
    found, offset = False, 0
    captures = _arc_captures if _is_arc(stream) else _warc_captures
    try:
        for capture in captures(stream, limits):
            found, offset = True, capture.offset
            yield _page_or_reject(capture, f"{name}@{capture.offset}", limits)
    except (OSError, EOFError, _BrokenArchive) as error:
        yield Reject(f"{name}@{offset}", "", "broken_archive", f"after the record at {offset}: {_words(error)}")
        return
    if not found:
        yield Reject(name, "", "no_captures", "the archive holds no response, resource or revisit record")


class _BrokenArchive(Exception):
    """The archive cannot be read on from here."""


def _is_arc(stream: BinaryIO) -> bool:
    """Tell whether the (possibly gzipped) stream begins with ARC's version block; leaves the stream at its start."""
    import zlib

    head = stream.read(4096)
    stream.seek(0)
    if head[:2] == b"\x1f\x8b":
        try:
            head = zlib.decompressobj(wbits=31).decompress(head, 64)
        except zlib.error:
            return False
    return head.startswith(b"filedesc:")


def _warc_captures(stream: BinaryIO, limits: PageLimits) -> Iterator[_Capture]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    wanted = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.revisit
    for record in ArchiveIterator(cast(Any, stream), record_types=wanted, parse_http=False):
        headers = record.headers
        status, charset, payload, error = None, "", b"", ""
        media_type = headers.get("Content-Type") or ""
        try:
            if record.is_http:
                record.parse_http(auto_decode="all")
                status = record.http_headers.status_code if record.http_headers else None
                media_type, charset = record.http_content_type or "", record.http_charset or ""
            payload = record.reader.read(limits.max_payload_bytes + 1)
            while len(payload) > limits.max_payload_bytes and record.reader.read(2**20):
                pass  # FastWARC finds no next record behind a compressed body that was left half read
        except OSError as problem:
            error = _words(problem)
        yield _Capture(
            kind=headers.get("WARC-Type") or "",
            record_id=(record.record_id or "").strip("<>"),
            url=(headers.get("WARC-Target-URI") or "").strip("<> "),
            offset=record.stream_pos,
            captured_at=headers.get("WARC-Date") or "",
            status=status,
            media_type=media_type,
            charset=charset,
            payload=payload,
            error=error,
        )


def _arc_captures(stream: BinaryIO, limits: PageLimits) -> Iterator[_Capture]:
    import zlib

    from warcio.archiveiterator import ArchiveIterator
    from warcio.exceptions import ArchiveLoadFailed

    records = ArchiveIterator(stream)
    while True:
        try:
            record = next(records, None)
        except (ArchiveLoadFailed, zlib.error, ValueError) as problem:
            raise _BrokenArchive(_words(problem)) from problem
        if record is None:
            return
        if record.rec_type != "response":
            continue
        headers, http = record.rec_headers, record.http_headers
        media_type, _, parameters = ((http and http.get_header("Content-Type")) or "").partition(";")
        status, payload, error = None, b"", ""
        try:
            code = http.get_statuscode() if http else ""
            status = int(code) if code and code.isdigit() else None
            payload = record.content_stream().read(limits.max_payload_bytes + 1)
        except (OSError, EOFError, zlib.error, ValueError) as problem:
            error = _words(problem)
        yield _Capture(
            kind="response",
            record_id="",
            url=(headers.get_header("uri") or "").strip(),
            offset=records.get_record_offset(),
            captured_at=_arc_date(headers.get_header("archive-date") or ""),
            status=status,
            media_type=media_type or headers.get_header("content-type") or "",
            charset=parameters.partition("charset=")[2].strip("\"' "),
            payload=payload,
            error=error,
        )


def _arc_date(digits: str) -> str:
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", digits)
    return "{}-{}-{}T{}:{}:{}Z".format(*match.groups()) if match else ""


def _page_or_reject(capture: _Capture, source_uri: str, limits: PageLimits) -> Page | Reject:
    def reject(reason: str, error: str) -> Reject:
        return Reject(source_uri, capture.record_id, reason, error)

    media_type = capture.media_type.partition(";")[0].strip().lower()
    if capture.kind == "revisit":
        return reject("revisit", "the payload lies at an earlier capture")
    if capture.error:
        return reject("unreadable_payload", capture.error)
    if not re.match(r"https?://[^\s/]+", capture.url, re.IGNORECASE):
        return reject("no_web_url", f"not an http(s) URL: {capture.url[:200]!r}")
    if capture.kind == "response" and capture.status is None:
        return reject("no_http_header", "the response has no HTTP status line")
    if capture.kind == "response" and capture.status != 200:
        return reject("http_status", f"status {capture.status}")
    if not capture.payload:
        return reject("empty_payload", "no bytes after the HTTP header")
    if len(capture.payload) > limits.max_payload_bytes:
        return reject("too_large", f"more than {limits.max_payload_bytes} bytes after decoding")
    if media_type not in HTML_MEDIA_TYPES and not (not media_type and looks_like_html(capture.payload)):
        return reject("not_html", f"media type {media_type or 'unstated'}")
    html, charset = decode_html(capture.payload, capture.charset)
    if "\x00" in html:
        return reject("binary_payload", "NUL characters in a page")
    broken = len(_BROKEN.findall(html))
    if broken > limits.max_undecodable_share * len(html):
        return reject("undecodable_text", f"{broken} of {len(html)} characters are not valid {charset}")
    if is_nested_deeper(html, limits.max_depth):
        return reject("nested_too_deep", f"elements lie more than {limits.max_depth} deep")
    return make_page(capture.url, html, source_uri=source_uri, captured_at=capture.captured_at, charset=charset)


def is_nested_deeper(html: str, depth: int) -> bool:
    """Tell whether any element of a page lies more than `depth` levels below its root; linear in the page's size."""
    from resiliparse.parse.html import HTMLTree

    tree: Any = HTMLTree.parse(html)
    return tree.document.query_selector(":root" + " > *" * (depth + 1)) is not None


def looks_like_html(payload: bytes) -> bool:
    """Tell whether bytes of no stated type begin as an HTML page does (WHATWG MIME sniffing, the tags that matter)."""
    return (
        re.match(
            rb"(?:\xef\xbb\xbf)?\s*(?:<!--(?:(?!-->).)*-->\s*)*<(?:!doctype html|html|head|body)\b",
            payload[:2048],
            re.I | re.S,
        )
        is not None
    )


_BROKEN = re.compile("[\ufffd\ufffe\uffff\x80-\x9f]")  # replacements, non-characters and C1 controls: a wrong charset
_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))


def decode_html(payload: bytes, http_charset: str = "") -> tuple[str, str]:
    """Return the text of an HTML payload and the charset that decoded it.

    Order of belief: byte order mark; UTF-8 when bytes beyond ASCII are valid UTF-8 (no other charset looks like that by
    chance, and many headers are wrong); then as browsers do HTTP header, <meta>, statistics of the bytes. The first
    that decodes every byte wins; if none does, the most believed one with replacement characters.
    """
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for mark, charset in _BOMS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(charset, errors="replace"), charset
    if not payload.isascii() and (text := _decode_all(payload, "utf-8")) is not None:
        return text, "utf-8"
    stated = [map_encoding_to_html5(http_charset)] if http_charset else []
    stated.append(detect_encoding(payload, from_html_meta=True))
    candidates = [name for name in stated if name and _is_codec(name)]
    for name in candidates:
        text = _decode_all(payload, name)
        if text is not None:
            return text, name
    sniffed = detect_encoding(payload) or "utf-8"
    for name in (sniffed, "utf-8"):
        text = _decode_all(payload, name)
        if text is not None:
            return text, name
    name = (candidates or ["utf-8"])[0]
    return payload.decode(name, errors="replace"), name


def _is_codec(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # type: ignore[attr-defined]  # rules out rot13, zlib and their like
    except LookupError:
        return False


def _decode_all(payload: bytes, charset: str) -> str | None:
    try:
        return payload.decode(charset)
    except (UnicodeDecodeError, LookupError):
        return None


_LINK = re.compile(r"<(?:a|link)\b[^<>]{0,2000}>", re.IGNORECASE)
_VALUE = r"\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))"
_REL = re.compile(rf"\brel{_VALUE}", re.IGNORECASE)
_HREF = re.compile(rf"\bhref{_VALUE}", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/([a-z-]+)/(\d\.\d)|publicdomain/(zero|mark)/(\d\.\d))", re.I
)


def stated_licence(html: str) -> str:
    """Return the licence that a page names by rel=license: SPDX id (Creative Commons), else the link; or unknown."""
    # in steps, for one pattern over tag, attribute and word would backtrack for hours on a page made for it
    tags = (match.group() for match in _LINK.finditer(html))
    tag = next((tag for tag in tags if {"license", "licence"} & set(_value(_REL, tag).lower().split())), "")
    link = _value(_HREF, tag)
    match = _CREATIVE_COMMONS.search(link)
    if match is None:
        return link.strip() or "unknown"
    terms, version, domain, domain_version = match.groups()
    if domain:
        return f"CC0-{domain_version}" if domain.lower() == "zero" else "public-domain"
    return f"CC-{terms.upper()}-{version}"


def _value(attribute: re.Pattern[str], tag: str) -> str:
    match = attribute.search(tag)
    return next(value for value in match.groups() if value is not None) if match else ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
