"""Pages out of web archives: WARC, WARC.gz and ARC, each capture a `Page` or a `Reject` with its reason.

Put here: the selection of captures, and the metadata records about them. Do not put here: where a record begins and
ends (archive_records), HTTP and its encodings (http_body), what makes a capture a page (html_pages), which pages are
wanted (urls, language) or their content (extract, questions). Memory is bounded by `PageLimits`, whatever the archive
claims. Sources: ISO 28500 (WARC 1.1), the Internet Archive's ARC 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from spelangy_model.records import Page, Reject
from spelangy_model.text.archive_records import MAX_HEAD_BYTES, Damage, Record, parse_fields, read_records
from spelangy_model.text.html_pages import Capture, PageLimits, page_or_reject
from spelangy_model.text.http_body import BrokenBodyError, charset_of, decode_body, parse_response
from spelangy_model.text.rights import Fields

_HTTP_FIELDS = frozenset({"link", "x-robots-tag", "tdm-reservation"})


def read_archive(stream: BinaryIO, name: str, limits: PageLimits | None = None) -> Iterator[Page | Reject]:
    """Yield a page or a reject for every capture (response, resource, revisit) of a WARC or ARC archive.

    `stream` must be seekable; `name` is the archive's name inside its snapshot and becomes part of `source_uri`
    (NAME@OFFSET: where the record, or the compressed member that holds it, begins). Requests and metadata are no
    captures and yield nothing. A place that holds no whole record (an archive that breaks off, a damaged or wrongly
    measured record) yields a reject `broken_archive`, and reading continues after it; an archive without any capture
    yields `no_captures`. Errors of the stream itself are raised.
    """
    limits = limits or PageLimits()
    found = False
    for item in _captures(stream, limits):
        found = True
        if isinstance(item, Damage):
            yield Reject(f"{name}@{item.offset}", "", "broken_archive", f"at byte {item.offset}: {item.words}"[:500])
        else:
            yield page_or_reject(item, f"{name}@{item.offset}", limits)
    if not found:
        yield Reject(name, "", "no_captures", "the archive holds no response, resource or revisit record")


def _captures(stream: BinaryIO, limits: PageLimits) -> Iterator[Capture | Damage]:
    """Yield captures and damages, each capture one record late, because a metadata record about it may follow."""
    held: Capture | None = None
    harvester: Fields = ()
    for record in read_records(stream, limits.max_payload_bytes + MAX_HEAD_BYTES + 1):
        if isinstance(record, Damage):
            if held is not None:
                yield held
                held = None
            remains = record.remains if record.remains and _is_whole_response(record.remains) else None
            if remains is not None:
                yield _capture(remains, limits, harvester)
            if remains is None or not remains.get("archive-date"):  # many ARC writers did not count to the byte
                yield record
            continue
        kind = record.get("warc-type").lower()
        if kind == "warcinfo":
            harvester = [("harvester-robots", value) for name, value in _metadata_fields(record) if name == "robots"]
        elif kind == "metadata":
            if held is not None and _is_about(record, held):
                held = replace(held, archive_fields=[*held.archive_fields, *_metadata_fields(record)])
        elif kind in ("response", "resource", "revisit") or record.get("archive-date"):
            if held is not None:
                yield held
            held = _capture(record, limits, harvester)
    if held is not None:
        yield held


def _is_whole_response(record: Record) -> bool:
    """Return whether a record of a wrong length holds a response that is as long as its own header states."""
    is_response = record.get("warc-type").lower() == "response" or record.get("archive-date") != ""
    return is_response and parse_response(record.block).is_complete()


def _capture(record: Record, limits: PageLimits, harvester: Fields) -> Capture:
    return _arc_capture(record, limits) if record.get("archive-date") else _warc_capture(record, limits, harvester)


def _warc_capture(record: Record, limits: PageLimits, archive_fields: Fields) -> Capture:
    content_type = record.get("content-type")
    plain = Capture(
        kind=record.get("warc-type").lower(),
        record_id=record.get("warc-record-id").strip("<>"),
        url=record.get("warc-target-uri").strip("<> "),
        offset=record.offset,
        captured_at=record.get("warc-date"),
        status=None,
        media_type=content_type,
        charset=charset_of(content_type),
        payload=record.block,
        archive_fields=archive_fields,
    )
    cut = record.get("warc-truncated")
    if cut:
        return replace(plain, payload=b"", error=f"the harvester kept a part of it: WARC-Truncated: {cut[:50]}")
    return _with_response(plain, limits) if content_type.lower().startswith("application/http") else plain


def _arc_capture(record: Record, limits: PageLimits) -> Capture:
    plain = Capture(
        kind="response",
        record_id="",
        url=record.get("uri"),
        offset=record.offset,
        captured_at=_arc_date(record.get("archive-date")),
        status=None,
        media_type=record.get("content-type"),
        charset="",
        payload=record.block,
    )
    return _with_response(plain, limits)


def _with_response(capture: Capture, limits: PageLimits) -> Capture:
    """Return a capture whose payload is a stored HTTP response as a capture of the response's content."""
    response = parse_response(capture.payload)
    is_http = capture.media_type.lower().startswith("application/http")
    payload, error = b"", ""
    try:
        payload = decode_body(response, limits.max_payload_bytes)
    except BrokenBodyError as problem:
        error = str(problem)[:500]
    return replace(
        capture,
        status=response.status,
        media_type=response.media_type or ("" if is_http else capture.media_type),
        charset=response.charset,
        payload=payload,
        error=error,
        http_fields=[(name, value) for name, value in response.fields if name in _HTTP_FIELDS],
    )


def _metadata_fields(record: Record) -> Fields:
    """Return the fields of a warcinfo or metadata record (application/warc-fields); none when it holds other things."""
    is_fields = record.get("content-type").lower().startswith("application/warc-fields")
    return parse_fields(record.block[:MAX_HEAD_BYTES]) if is_fields else ()


def _is_about(record: Record, capture: Capture) -> bool:
    """Return whether a metadata record is about a capture: by the ids that it names, else by the address."""
    named = [record.get(name) for name in ("warc-concurrent-to", "warc-refers-to")]
    if any(named):
        return capture.record_id in {name.strip("<> ") for name in named if name}
    return record.get("warc-target-uri").strip("<> ") == capture.url


def _arc_date(digits: str) -> str:
    match = re.fullmatch(r"(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)", digits)
    return "{}-{}-{}T{}:{}:{}Z".format(*match.groups()) if match else ""
