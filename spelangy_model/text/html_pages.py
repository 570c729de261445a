"""What makes bytes a page: type, size, charset, nesting; each capture ends as a `Page` or a `Reject` with its reason.

Put here: the limits, undoing charsets, the checks on a capture wherever it came from. Do not put here: where captures
come from (warc, html_files), which pages are wanted (urls, language), their rights (rights) or what is said in them
(extract, questions). Source: the WHATWG encoding and MIME sniffing standards.
"""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from typing import Any

from spelangy_model.credentials import without_credentials
from spelangy_model.records import Page, Reject
from spelangy_model.rng import stable_hash
from spelangy_model.text.rights import Fields, robots_of, stated_licence


@dataclass(frozen=True, slots=True)
class PageLimits:
    """What a page may be; what is beyond that is rejected, a payload that is too large is never read into memory.

    `charsets` names those that are taken, as Python does (utf-8, cp1252); empty: any. Real pages nest below 30 elements
    deep; text renderers take the square of a depth in time or memory.
    """

    max_payload_bytes: int = 4 * 2**20
    max_depth: int = 256
    max_undecodable_share: float = 0.01
    media_types: tuple[str, ...] = ("text/html", "application/xhtml+xml")
    charsets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """Bytes that may be a page, before it is known whether they are. Names of fields are in lower case.

    `kind` is WARC's type of the record; `file` for a file that lies in no archive, which has neither status nor type.
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
    """Return what two captures share when their HTML is equal, under whatever URL."""
    return stable_hash(page.html)


def page_or_reject(capture: Capture, source_uri: str, limits: PageLimits) -> Page | Reject:
    """Return the page that a capture is, or why it is none."""

    def reject(reason: str, error: str) -> Reject:
        return Reject(source_uri, capture.record_id, reason, error)

    media_type = capture.media_type.partition(";")[0].strip().lower()
    if capture.kind == "revisit":
        return reject("revisit", "the payload lies at an earlier capture")
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
