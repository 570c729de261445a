"""Shards of texts that were extracted elsewhere: Parquet and JSON Lines, row by row.

Put here: reading a shard's bytes into texts, each with the metadata of its row. Do not put here: the filters
(stages/ingest_texts.py). A row that holds no text is a Reject with the file and the row.

The layouts that are recognized by their fields, without configuration (huggingface.co, the datasets' cards):

    FineWeb, FineWeb-Edu   Parquet: text, id, url, date, language
    DCLM-baseline          JSON Lines (zstd) or Parquet: text, url, metadata {WARC-Record-ID, WARC-Date}
    Dolma, Common Pile     JSON Lines (gzip): id, text, created, metadata {url, license, title}
    Nemotron-CC            JSON Lines (zstd): text, url, warc_record_id
    C4                     JSON Lines (gzip): text, url, timestamp
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import IO, Any, cast
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_model.credentials import without_credentials
from spelangy_model.guarded_json import JsonError, Limits, is_text, parse_json, read_rows
from spelangy_model.records import Reject, SuppliedText
from spelangy_model.rng import stable_hash
from spelangy_model.text.rights import licence_named

PARQUET = (".parquet", ".pq")
JSON_LINES = (".jsonl", ".ndjson", ".json")
_COMPRESSED = {".gz": "gzip", ".zst": "zstd", ".zstd": "zstd", ".bz2": "bz2"}
_LIMITS = Limits(bytes=1 << 44, ratio=1000)  # a shard is read a line at a time, whatever its size
_READ_BYTES = 1 << 20
_BATCH_ROWS = 256


@dataclass(frozen=True)
class TextFields:
    """The fields of a row that hold its text and metadata: the first that is present and not null.

    "metadata.url" is the field `url` of the object `metadata`, which may be written as JSON in a string.
    """

    text: tuple[str, ...] = ("text", "content", "raw_content")
    url: tuple[str, ...] = ("url", "metadata.url", "metadata.WARC-Target-URI")
    id: tuple[str, ...] = ("id", "warc_record_id", "metadata.WARC-Record-ID")
    licence: tuple[str, ...] = ("license", "licence", "metadata.license", "metadata.licence")
    date: tuple[str, ...] = ("date", "timestamp", "created", "metadata.WARC-Date")
    title: tuple[str, ...] = ("title", "metadata.title")


def is_shard(name: str) -> bool:
    """Return whether a file has a name of a Parquet or JSON Lines file."""
    return _kind(name)[0] != ""


def read_text_shard(stream: IO[bytes], name: str, where: TextFields) -> Iterator[SuppliedText | Reject]:
    """Yield the texts of a shard in its order, and a Reject for each row that has none.

    Only a line, or a page of each column, is in memory at a time. A file that ends within a row, or is not of these
    formats, gives one Reject after its readable rows. OSErrors of the disk pass through.
    """
    kind, codec = _kind(name)
    if not kind:
        yield Reject(name, "", "unknown_format", f"read are {', '.join((*PARQUET, *JSON_LINES))}, also compressed")
        return
    rows = _parquet_rows(stream, where) if kind == "parquet" else _json_rows(stream, codec)
    for place, value, error, reason in rows:
        if error:
            yield Reject(f"{name}#{place}", "", reason, error)
        else:
            yield _text_of(value, f"{name}#{place}", where)


def _kind(name: str) -> tuple[str, str]:
    stem = name.lower()
    codec = next((end for end in _COMPRESSED if stem.endswith(end)), "")
    inner = stem.removesuffix(codec)
    if inner.endswith(PARQUET) and not codec:
        return "parquet", ""
    return ("json", _COMPRESSED.get(codec, "")) if inner.endswith(JSON_LINES) else ("", "")


_Row = tuple[str, Any, str, str]  # place, value, and for what cannot be read the error and its reason


def _json_rows(stream: IO[bytes], codec: str) -> Iterator[_Row]:
    place = "line=0"
    # guarded_json unpacks gzip itself, and names where it is torn.
    plain = stream if codec in ("", "gzip") else pa.CompressedInputStream(cast(Any, stream), codec)
    try:
        for row in read_rows(cast(Any, plain), _LIMITS):
            place = row.place.replace(" ", "=").replace("after=", "after ")
            yield place, row.value, row.error, row.reason or "not_json"
    except OSError as error:
        if error.errno is not None:
            raise
        yield f"after {place}", None, f"the {codec} file is torn ({error}); write it again", "truncated"


def _parquet_rows(stream: IO[bytes], where: TextFields) -> Iterator[_Row]:
    number = 0
    try:
        with pq.ParquetFile(cast(Any, stream), buffer_size=_READ_BYTES, pre_buffer=False) as parquet:
            heads = {path.partition(".")[0] for field in fields(where) for path in getattr(where, field.name)}
            columns = [name for name in parquet.schema_arrow.names if name in heads]
            if not any(path in columns for path in where.text):
                there = ", ".join(parquet.schema_arrow.names)
                yield "schema", None, f"no column {' or '.join(where.text)} among {there}", "no_text_column"
                return
            for batch in parquet.iter_batches(_BATCH_ROWS, columns=columns, use_threads=False):
                for value in batch.to_pylist():
                    yield f"row={number}", value, "", ""
                    number += 1
    except OSError as error:
        if error.errno is not None:
            raise
        yield f"after row={number - 1}", None, f"the Parquet file is torn ({error}); write it again", "truncated"
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError) as error:
        yield f"after row={number - 1}", None, f"no whole Parquet file: {error}", "truncated"


def _text_of(row: Any, place: str, where: TextFields) -> SuppliedText | Reject:
    if not isinstance(row, Mapping):
        return Reject(place, "", "no_text", f"a {type(row).__name__}, not an object with a text")
    row = cast(Mapping[str, Any], row)
    given = _words(_first(row, where.id))
    text = _first(row, where.text)
    if not isinstance(text, str) or not text.strip():
        why = "is empty" if isinstance(text, str) else "is missing" if text is None else f"is a {type(text).__name__}"
        return Reject(place, given, "no_text", f"{' or '.join(where.text)} {why}")
    if not is_text(text):
        return Reject(place, given, "half_character", "half of a surrogate pair; write it as UTF-8")
    url = without_credentials(_words(_first(row, where.url)))
    page_id = stable_hash("supplied_text", text)
    licence = _first(row, where.licence)
    return SuppliedText(
        document_id=stable_hash("text", page_id),
        page_id=page_id,
        url=url or f"file:{quote(place, safe='/#=')}",
        licence=licence_named(", ".join(map(_words, licence)) if isinstance(licence, list) else _words(licence)),
        title=_words(_first(row, where.title)),
        text=text,
        source_uri=place,
        supplied_id=given,
        published_at=_words(_first(row, where.date)),
    )


def _first(row: Mapping[str, Any], paths: tuple[str, ...]) -> Any:
    for path in paths:
        head, _, tail = path.partition(".")
        value = row.get(head)
        if tail:
            value = _object(value).get(tail)
        if value is not None:
            return value
    return None


def _object(value: Any) -> Mapping[str, Any]:
    if isinstance(value, str) and value.startswith("{"):
        try:
            value = parse_json(value)
        except JsonError:
            return {}
    return value if isinstance(value, Mapping) else {}


def _words(value: Any) -> str:
    """Return a metadata value as one line; empty for null, and for values other than text, numbers and dates."""
    if isinstance(value, datetime.datetime | datetime.date):
        return value.isoformat()
    if isinstance(value, str):
        return " ".join(value.split()) if is_text(value) else ""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else ""
