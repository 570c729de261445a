"""Pages out of web archives: WARC, WARC.gz and ARC, each capture a `Page` or a `Reject` with its reason.

Put here: reading an archive record by record, undoing HTTP's encodings, what metadata records say of a capture. Do not
put here: what makes a capture a page (html_pages), which pages are wanted (urls, language) or what is said in them
(extract, questions). Memory is bounded by `PageLimits`, whatever the archive claims. Sources: ISO 28500 (WARC 1.1), the
Internet Archive's ARC 1.0; FastWARC reads WARC, warcio reads ARC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any, BinaryIO, cast

from spelangy_model.records import Page, Reject
from spelangy_model.text.html_pages import Capture, PageLimits, page_or_reject
from spelangy_model.text.rights import Fields

_MAX_FIELDS_BYTES = 64 * 1024
_HTTP_FIELDS = frozenset({"link", "x-robots-tag", "tdm-reservation"})


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
            yield page_or_reject(capture, f"{name}@{capture.offset}", limits)
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


def _warc_captures(stream: BinaryIO, limits: PageLimits) -> Iterator[Capture]:
    """Yield the captures of a WARC, each one record late: the metadata record about it may follow."""
    held: Capture | None = None
    harvester: Fields = ()
    broken: Exception | None = None
    try:
        for record in _warc_records(stream):
            kind = record.headers.get("WARC-Type") or ""
            if kind == "warcinfo":
                fields = _fields_of(record)
                harvester = [("harvester-robots", value) for name, value in fields if name == "robots"]
            elif kind == "metadata":
                if held is not None and _is_about(record, held):
                    held = replace(held, archive_fields=[*held.archive_fields, *_fields_of(record)])
            else:
                if held is not None:
                    yield held
                held = _warc_capture(record, limits, harvester)
    except (OSError, EOFError) as problem:
        broken = problem
    if held is not None:
        yield held
    if broken is not None:
        raise broken


def _warc_records(stream: BinaryIO) -> Iterator[Any]:
    from fastwarc.warc import ArchiveIterator, WarcRecordType

    captures = WarcRecordType.response | WarcRecordType.resource | WarcRecordType.revisit
    told = WarcRecordType.metadata | WarcRecordType.warcinfo
    yield from ArchiveIterator(cast(Any, stream), record_types=captures | told, parse_http=False)


def _warc_capture(record: Any, limits: PageLimits, archive_fields: Fields) -> Capture:
    headers = record.headers
    status, charset, payload, error = None, "", b"", ""
    http_fields: Fields = ()
    media_type = headers.get("Content-Type") or ""
    try:
        if record.is_http:
            record.parse_http(auto_decode="all")
            status = record.http_headers.status_code if record.http_headers else None
            media_type, charset = record.http_content_type or "", record.http_charset or ""
            http_fields = _told(record.http_headers.items() if record.http_headers else ())
        payload = _read(record, limits.max_payload_bytes)
    except OSError as problem:
        error = _words(problem)
    return Capture(
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
        http_fields=http_fields,
        archive_fields=archive_fields,
    )


def _read(record: Any, limit_bytes: int) -> bytes:
    """Return at most `limit_bytes` and one of a record's body."""
    payload = record.reader.read(limit_bytes + 1)
    while len(payload) > limit_bytes and record.reader.read(2**20):
        pass  # FastWARC finds no next record behind a compressed body that was left half read
    return payload


def _told(headers: Iterable[tuple[str, str]]) -> Fields:
    return [(name.lower(), value) for name, value in headers if name.lower() in _HTTP_FIELDS]


def _fields_of(record: Any) -> Fields:
    """Return the fields of a warcinfo or metadata record (application/warc-fields); none when it holds other things."""
    if not (record.headers.get("Content-Type") or "").lower().startswith("application/warc-fields"):
        return ()
    try:
        text = _read(record, _MAX_FIELDS_BYTES).decode("utf-8", "replace")
    except OSError:
        return ()  # what is said about a page is not the page; the next record shows whether the archive is broken
    lines = (line.partition(":") for line in text.splitlines())
    return [(name.strip().lower(), value.strip()) for name, mark, value in lines if mark]


def _is_about(record: Any, capture: Capture) -> bool:
    """Tell whether a metadata record is about a capture: by the ids that it names, or, without any, by the address."""
    named = [record.headers.get(name) for name in ("WARC-Concurrent-To", "WARC-Refers-To")]
    if any(named):
        return capture.record_id in {name.strip("<> ") for name in named if name}
    return (record.headers.get("WARC-Target-URI") or "").strip("<> ") == capture.url


def _arc_captures(stream: BinaryIO, limits: PageLimits) -> Iterator[Capture]:
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
        yield Capture(
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
            http_fields=_told(http.headers if http else ()),
        )


def _arc_date(digits: str) -> str:
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", digits)
    return "{}-{}-{}T{}:{}:{}Z".format(*match.groups()) if match else ""


def _words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]
