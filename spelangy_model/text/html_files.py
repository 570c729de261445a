"""Pages stored as files in a folder: saved by hand, by a browser, or by wget --mirror.

Put here: the distinction of pages from other files, and the address that a file had on the web. Do not put here:
walking folders (the stage does) or archives (warc). A file has no HTTP header: its bytes state the charset, and the
date is unknown.
"""

from __future__ import annotations

import re
from html import unescape
from typing import BinaryIO
from urllib.parse import quote

from spelangy_model.records import Page, Reject
from spelangy_model.text.html_pages import Capture, PageLimits, looks_like_html, page_or_reject

EXTENSIONS = frozenset({"html", "htm", "xhtml", "shtml"})
_HEAD_BYTES = 4096


def read_html_file(stream: BinaryIO, name: str, limits: PageLimits | None = None) -> Page | Reject:
    """Return the page that a file holds, or why it holds none; `name` is its path inside the snapshot.

    A file is a page by its extension (EXTENSIONS) or by how it begins. At most `max_payload_bytes` and one are read.
    """
    limits = limits or PageLimits()
    shown = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    try:
        payload = stream.read(_HEAD_BYTES)
        is_page = name.rpartition(".")[2].lower() in EXTENSIONS or looks_like_html(payload)
        if not is_page:
            words = "neither named nor begun as a page (archives are named .warc, .warc.gz, .arc or .arc.gz)"
            return Reject(shown, "", "not_html", words)
        payload += stream.read(max(0, limits.max_payload_bytes + 1 - len(payload)))
        error = ""
    except OSError as problem:
        payload, error = b"", f"{type(problem).__name__}: {problem.strerror}"
    capture = Capture(
        kind="file",
        record_id="",
        url=address_of(name, payload),
        offset=0,
        captured_at="",
        status=None,
        media_type="text/html",
        charset="",
        payload=payload,
        error=error,
    )
    return page_or_reject(capture, shown, limits)


_SAVED_FROM = re.compile(
    rb"<!-- saved from url=\(\d{4,}\)(https?://[^\s<>]{1,2000}) -->|url: (https?://[^\s<>]{1,2000})"
)
_LINK = re.compile(rb"<link\b[^<>]{0,2000}>", re.IGNORECASE)
_CANONICAL = re.compile(rb"""\brel\s*=\s*["']?canonical\b""", re.IGNORECASE)
_HREF = re.compile(rb"""\bhref\s*=\s*["']?(https?://[^\s"'<>]{1,2000})""", re.IGNORECASE)
_HOST = re.compile(r"(?:[a-z0-9-]{1,63}\.)+[a-z]{2,24}(?::\d{1,5})?", re.IGNORECASE)
_SEARCHED_BYTES = 64 * 1024


def address_of(name: str, payload: bytes = b"") -> str:
    """Return the web address of a file: what the browser that saved it noted (Mark of the Web, SingleFile); the path,
    when one of its folders is named as a host (as wget does); the canonical link; else file:///NAME.
    """
    saved = _SAVED_FROM.search(payload[:_HEAD_BYTES])
    if saved:
        return (saved[1] or saved[2]).decode("utf-8", "replace")
    *folders, file = name.split("/")
    for place, folder in enumerate(folders):
        if _HOST.fullmatch(folder):
            path = "/".join([*folders[place + 1 :], "" if file == "index.html" else file])
            return f"https://{folder.lower()}/{_quoted(path)}"
    for tag in _LINK.findall(payload[:_SEARCHED_BYTES]):
        if _CANONICAL.search(tag) and (link := _HREF.search(tag)):
            return unescape(link[1].decode("utf-8", "replace"))
    return f"file:///{_quoted(name)}"


def _quoted(path: str) -> str:
    return quote(path.encode("utf-8", "surrogateescape"), safe="/%?=&;:@+,~!$'()*")
