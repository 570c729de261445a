"""Checks of pages: type, size, charset, nesting; each capture becomes a `Page` or a `Reject` with its reason.

Put here: the limits, undoing charsets, the checks on captures of all sources. Do not put here: the sources
of captures (warc, html_files), which pages are wanted (urls, language), their rights (rights) or their content
(extract, questions). Source: the WHATWG encoding and MIME sniffing standards.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from spelangy_model.credentials import without_credentials
from spelangy_model.records import Page, Reject
from spelangy_model.rng import stable_hash
from spelangy_model.text.rights import Fields, robots_of, stated_licence


@dataclass(frozen=True, slots=True)
class PageLimits:
    """Limits of a page. Pages beyond them are rejected; a payload that is too large is never read into memory.

    `charsets` names those that are taken, as Python does (utf-8, cp1252); empty: any. Real pages nest below 30 elements
    deep; text renderers take the square of a depth in time or memory.
    """

    max_payload_bytes: int = 4 * 2**20
    max_depth: ClassVar[int] = 256
    max_undecodable_share: ClassVar[float] = 0.01
    media_types: ClassVar[tuple[str, ...]] = ("text/html", "application/xhtml+xml")
    charsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """Bytes that may be a page, before it is known whether they are. Names of fields are in lower case.

    `kind` is WARC's type of the record; `file` for a file outside an archive, which has neither status nor type.
    """

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
    http_fields: Fields = ()
    archive_fields: Fields = ()


def make_page(
    url: str,
    html: str,
    *,
    source_uri: str,
    captured_at: str = "",
    charset: str = "utf-8",
    http_fields: Fields = (),
    archive_fields: Fields = (),
) -> Page:
    """Return the page record of an HTML text: its id from URL and content, its rights as it states them.

    Credentials in the URL are left out.
    """
    url = without_credentials(url)
    licence, stated_by = stated_licence(html, http_fields, archive_fields)
    return Page(
        page_id=stable_hash(url, html),
        url=url,
        source_uri=source_uri,
        captured_at=captured_at,
        licence=licence,
        charset=charset,
        html=html,
        licence_stated_by=stated_by,
        robots=robots_of(html, http_fields, archive_fields),
    )


def content_digest(page: Page) -> str:
    """Return a digest that is equal for captures with equal HTML, also under different URLs."""
    return stable_hash(page.html)


def page_or_reject(capture: Capture, source_uri: str, limits: PageLimits) -> Page | Reject:
    """Return a capture as a page, or the reason why it is none."""

    def reject(reason: str, error: str) -> Reject:
        return Reject(source_uri, capture.record_id, reason, error)

    media_type = capture.media_type.partition(";")[0].strip().lower()
    if capture.kind == "revisit":
        return reject("revisit", "the payload is that of an earlier capture")
    if capture.error:
        return reject("unreadable_payload", capture.error)
    if capture.kind != "file" and not re.match(r"https?://[^\s/]+", capture.url, re.IGNORECASE):
        return reject("no_web_url", f"not an http(s) URL: {without_credentials(capture.url)[:200]!r}")
    if capture.kind == "response" and capture.status is None:
        return reject("no_http_header", "the response has no HTTP status line")
    if capture.kind == "response" and capture.status != 200:
        return reject("http_status", f"status {capture.status}")
    if not capture.payload:
        return reject("empty_payload", "no bytes in it")
    if len(capture.payload) > limits.max_payload_bytes:
        return reject("too_large", f"more than {limits.max_payload_bytes} bytes after decoding")
    if media_type not in limits.media_types and not (not media_type and looks_like_html(capture.payload)):
        return reject("not_html", f"media type {media_type or 'unstated'}")
    html, charset = decode_html(capture.payload, capture.charset)
    if limits.charsets and charset not in limits.charsets and not html.isascii():
        return reject("charset", f"{charset} is none of {', '.join(limits.charsets)}")
    if "\x00" in html:
        return reject("binary_payload", "NUL characters in a page")
    broken = len(_BROKEN.findall(html))
    if broken > limits.max_undecodable_share * len(html):
        return reject("undecodable_text", f"{broken} of {len(html)} characters are not valid {charset}")
    if is_nested_deeper(html, limits.max_depth):
        return reject("nested_too_deep", f"elements lie more than {limits.max_depth} deep")
    return make_page(
        capture.url,
        html,
        source_uri=source_uri,
        captured_at=capture.captured_at,
        charset=charset,
        http_fields=capture.http_fields,
        archive_fields=capture.archive_fields,
    )


def is_nested_deeper(html: str, depth: int) -> bool:
    """Return whether any element of a page is more than `depth` levels below its root; linear in the page's size."""
    from resiliparse.parse.html import HTMLTree

    tree: Any = HTMLTree.parse(html)
    return tree.document.query_selector(":root" + " > *" * (depth + 1)) is not None


def looks_like_html(payload: bytes) -> bool:
    """Return whether bytes of no stated type begin as HTML does (WHATWG MIME sniffing, the tags that matter)."""
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

    By evidence: byte order mark; UTF-8 when that is what the bytes beyond ASCII are, all or nearly all (no other
    charset looks like that by chance, many headers are wrong, and a page with a broken character is still UTF-8); then
    HTTP header, <meta>, statistics of the bytes. The first of these that gives words wins; where header and <meta>
    differ, statistics decide. If none gives words, the one with the least damage wins, with replacement characters.
    """
    from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

    for mark, charset in _BOMS:
        if payload.startswith(mark):
            return payload[len(mark) :].decode(charset, errors="replace"), charset
    for start, charset in ((b"<\x00", "utf-16-le"), (b"\x00<", "utf-16-be")):
        if payload.startswith(start):
            return payload.decode(charset, errors="replace"), charset
    if not payload.isascii() and (text := _as_utf8(payload)) is not None:
        return text, "utf-8"
    sniffed = _wider(detect_encoding(payload) or "utf-8")
    meta = _META_CHARSET.search(payload[:_META_BYTES])
    names = [http_charset, meta[1].decode("ascii") if meta else ""]
    stated = [_wider(map_encoding_to_html5(name) or "utf-8") for name in names if name]
    candidates: dict[str, tuple[float, str]] = {}

    def take(charset: str) -> bool:
        if charset not in candidates and _is_codec(charset):
            text = payload.decode(charset, errors="replace")
            candidates[charset] = (_broken_share(text), text)
        return charset in candidates and candidates[charset][0] <= _MAX_BROKEN_SHARE

    good = [charset for charset in [*stated, sniffed, "utf-8"] if take(charset)]
    if not good and take(guess := _guess(payload)):
        good = [guess]
    if sniffed in stated and sniffed in good:
        best = sniffed
    elif good:
        best = good[0]
    else:
        best = min(candidates, key=lambda charset: candidates[charset][0])
    return candidates[best][1], best


def _guess(payload: bytes) -> str:
    """Return which of the web's charsets a slower detector sees in bytes; for those of which no other makes words."""
    import charset_normalizer
    from resiliparse.parse.encoding import map_encoding_to_html5

    found = charset_normalizer.from_bytes(payload[:_GUESSED_BYTES]).best()
    if found is None:
        return "utf-8"
    return found.encoding if found.encoding in _WIDER.values() else map_encoding_to_html5(found.encoding) or "utf-8"


_META_BYTES = 8192
_GUESSED_BYTES = 32 * 1024
_META_CHARSET = re.compile(rb"""<meta\b[^<>]{0,500}?\bcharset\s*=\s*["']?\s*([A-Za-z0-9_.:+-]{1,40})""", re.IGNORECASE)
_MAX_BROKEN_SHARE = 0.01  # of the characters beyond ASCII
_MIN_UTF8_SHARE = 0.8
# what browsers take for them: supersets, in Python's names
_WIDER = {"gbk": "gb18030", "gb2312": "gb18030", "shift_jis": "cp932", "euc_kr": "cp949", "big5": "big5hkscs"}
_BEYOND_ASCII = re.compile("[^\x00-\x7f]")
_NO_WORD = re.compile("[\u00a1-\u00ff]{5,}")  # no Western word; so another alphabet looks that is read as Latin-1


def _wider(charset: str) -> str:
    return _WIDER.get(charset, charset)


def _as_utf8(payload: bytes) -> str | None:
    """Return bytes as UTF-8 when they are, but for a few that are broken; None when they are something else."""
    text = payload.decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    return text if not broken or broken <= (1 - _MIN_UTF8_SHARE) * len(_BEYOND_ASCII.findall(text)) else None


def _broken_share(text: str) -> float:
    """Return the share of the characters beyond ASCII that show a wrong charset."""
    broken = len(_BROKEN.findall(text)) + sum(map(len, _NO_WORD.findall(text)))
    return broken / max(1, len(_BEYOND_ASCII.findall(text)))


def _is_codec(name: str) -> bool:
    try:
        return codecs.lookup(name)._is_text_encoding  # type: ignore[attr-defined]  # rules out rot13, zlib and their like
    except LookupError:
        return False
