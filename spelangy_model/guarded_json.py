"""Read untrusted JSON and JSON Lines within bounds; an unreadable value is an error with its place.

Put here: the step from bytes to values. Do not put here: their meaning (audio manifests, question files, model
folders).

The bounds: bytes after decompression (the first bytes show gzip), the length of a line, how deep values nest, how
long an integer is. A byte order mark and UTF-16 are taken. NaN, infinity and integers of more than 40 digits become
floats that are not finite, so that an unused field cannot cost a record: the caller refuses such values where it uses
them. Half surrogate pairs and bytes that are no UTF-8 (as surrogates, the way Python holds file names) stay in strings
for the same reason: `is_text` detects them. A key with two different values is an error, because only one of them could
be kept.
"""

from __future__ import annotations

import codecs
import gzip
import io
import itertools
import json
import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

MAX_DEPTH = 64
_MAX_DIGITS = 40
_BUFFER_BYTES = 1 << 20  # read at once: each read of a bucket is a request
_PEEK = 1 << 16
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_GZIP = b"\x1f\x8b"
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPACE = re.compile(r"[ \t\n\r]*")


@dataclass(frozen=True)
class Limits:
    """How much is read of one file: bytes after decompression, characters of a line and of a document.

    Beyond `free_bytes` a compressed file may hold `ratio` times its own bytes; text compresses 5 to 20 times.
    """

    bytes: int = 1 << 30
    free_bytes: int = 16 << 20
    ratio: int = 100
    line_characters: int = 16 << 20
    document_characters: int = 64 << 20


LIMITS = Limits()


class JsonError(ValueError):
    """Text that cannot be read as JSON; the message states the reason and, if there is one, the cure."""


@dataclass(frozen=True, slots=True)
class Row:
    """A line of JSON Lines, or a record of a list or of objects that span lines: its value, or what is wrong with it.

    `place` is "line 3" or "record 3". After a row with `is_last` nothing more of the file is read, and `reason` is one
    of too_large, truncated or not_text.
    """

    place: str
    value: Any = None
    error: str = ""
    reason: str = ""

    @property
    def is_last(self) -> bool:
        return bool(self.reason)


def is_text(text: str) -> bool:
    """Whether a string can be written as UTF-8: it holds no half of a surrogate pair."""
    return not _SURROGATE.search(text)


def replaced(text: str) -> str:
    """Return a string with each half of a surrogate pair replaced by U+FFFD."""
    return _SURROGATE.sub("\ufffd", text)


def parse_json(text: str) -> Any:
    """Return the value of a JSON text. Raises JsonError."""
    value, end = _value_at(text, _SPACE.match(text).end())  # type: ignore[union-attr]
    if end != len(text):
        raise JsonError(f"more text after the value, from character {end + 1} on")
    return value


def read_json(path: Path) -> Any:
    """Return the value of a JSON file. Raises JsonError, which names the file, and OSError."""
    try:
        with path.open("rb") as stream:
            return parse_json(_document(_text_of(stream, LIMITS), LIMITS))
    except (JsonError, UnicodeError) as error:
        raise JsonError(f"{path}: {error}") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise JsonError(f"{path}: no whole gzip file: {error}") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Return the object of a JSON file, as a model's config.json. Raises as `read_json` does."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise JsonError(f"{path}: a {type(value).__name__}, not an object")
    return value


def read_text(path: Path, limits: Limits = LIMITS) -> str:
    """Return the text of a file: UTF-8, or UTF-16 with its mark. Raises JsonError with the first bad line, OSError."""
    with path.open("rb") as stream:
        try:
            text = _document(_text_of(stream, limits), limits)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise JsonError(f"no whole gzip file: {error}") from error
        except UnicodeError as error:
            raise JsonError(str(error)) from error
    if bad := _SURROGATE.search(text):
        raise JsonError(f"line {text.count(chr(10), 0, bad.start()) + 1}: not UTF-8; save the file as UTF-8")
    return text


def decoded(data: bytes) -> str:
    """Return bytes as text: UTF-8 with or without a mark, or UTF-16 with one. Raises UnicodeError."""
    return data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")


def read_rows(stream: IO[bytes], limits: Limits = LIMITS) -> Iterator[Row]:
    """Yield the records of a file of JSON Lines, of a list in JSON, or of objects that each span lines.

    Never raises for the file's content; an OSError of the disk passes through.
    """
    return _read(stream, limits, is_json=True)


def read_lines(stream: IO[bytes], limits: Limits = LIMITS) -> Iterator[Row]:
    """Yield the lines of a text file that are not blank, each a row whose value is its text, within the same bounds."""
    return _read(stream, limits, is_json=False)


def _read(stream: IO[bytes], limits: Limits, is_json: bool) -> Iterator[Row]:
    place = "line 1"
    try:
        text = _text_of(stream, limits)
        number, head = 1, text.readline(limits.line_characters)
        while head.isspace():
            number, head = number + 1, text.readline(limits.line_characters)
        if "\0" in head[:_PEEK]:
            yield Row(place, error="binary data, not text", reason="not_text")
            return
        in_lines = not is_json or (not head.lstrip().startswith("[") and head.strip() != "{")
        rows = (
            _lines(text, limits, number, head, is_json)
            if in_lines
            else _records(head + _document(text, limits, len(head)))
        )
        for row in rows:
            place = row.place
            yield row
    except _TooLarge as error:
        yield Row(_after(place), error=str(error), reason="too_large")
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        yield Row(_after(place), error=f"the gzip file is torn ({error}); write it again", reason="truncated")
    except UnicodeError as error:  # UTF-16 that ends within a character
        yield Row(_after(place), error=str(error), reason="not_text")


class _TooLarge(JsonError):
    """More bytes or characters than the limits allow."""


def _after(place: str) -> str:
    kind, number = place.split(" ")
    return f"after {kind} {number}"


def _lines(text: io.TextIOBase, limits: Limits, number: int, line: str, is_json: bool) -> Iterator[Row]:
    while line:
        place = f"line {number}"
        if len(line) >= limits.line_characters and not line.endswith("\n"):
            yield Row(place, error=f"longer than {limits.line_characters} characters")
            while line and not line.endswith("\n"):
                line = text.readline(limits.line_characters)
        elif not line.isspace():
            try:
                yield Row(place, parse_json(line) if is_json else line.rstrip("\r\n"))
            except JsonError as error:
                yield Row(place, error=str(error))
        number, line = number + 1, text.readline(limits.line_characters)


def _records(text: str) -> Iterator[Row]:
    """Yield the items of lists, and consecutive objects; the first invalid JSON ends it."""
    number, in_list = 0, False
    end = _skip(text, 0)
    while end < len(text):
        if text[end] == ("]" if in_list else "["):
            in_list = not in_list
            end = _skip(text, end + 1)
            continue
        number += 1
        place = f"record {number}"
        try:
            value, end = _value_at(text, end)
            yield Row(place, value)
        except JsonError as error:
            why = f"line {text.count(chr(10), 0, end) + 1}: {error}"
            try:
                end = _skip(text, _PLAIN.raw_decode(text, end)[1])
            except (ValueError, RecursionError):
                yield Row(place, error=f"{why}; the rest of the file is not read", reason="not_text")
                return
            yield Row(place, error=why)  # JSON, but not within the bounds
        if in_list and text[end : end + 1] not in (",", "]"):
            line = text.count("\n", 0, end) + 1
            why = f"line {line}: the list goes on without , or ]; the rest of the file is not read"
            yield Row(f"after {place}", error=why, reason="truncated")
            return
        if in_list and text[end] == ",":
            end = _skip(text, end + 1)
    if in_list:
        yield Row(f"after record {number}", error="the list ends without a ]", reason="truncated")


def _skip(text: str, start: int) -> int:
    return _SPACE.match(text, start).end()  # type: ignore[union-attr]


def _value_at(text: str, start: int) -> tuple[Any, int]:
    try:
        value, end = _DECODER.raw_decode(text, start)
    except json.JSONDecodeError as error:
        raise JsonError(f"{error.msg} at character {error.pos - start + 1}") from error
    except RecursionError as error:
        raise JsonError(_TOO_DEEP) from error
    if (
        end - start > MAX_DEPTH
        and text.count("[", start, end) + text.count("{", start, end) > MAX_DEPTH
        and _is_deep(value)
    ):
        raise JsonError(_TOO_DEEP)
    return value, _skip(text, end)


_TOO_DEEP = f"nested deeper than {MAX_DEPTH}"


def _is_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        inner = itertools.chain.from_iterable(item.values() if isinstance(item, dict) else item for item in level)
        level = [item for item in inner if isinstance(item, dict | list)]
        if not level:
            return False
    return True


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        for key, given in pairs:
            if given != value[key]:
                raise JsonError(f"the key {key[:80]!r} is given twice, with two values")
    return value


def _whole(digits: str) -> int | float:
    if len(digits) <= _MAX_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


_PLAIN = json.JSONDecoder(parse_int=_whole)  # to find where a value ends
_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole)


# --- bytes to text ------------------------------------------------------------------------------------------


class _Bounded(io.RawIOBase):
    """Counts the bytes that come out of a stream, and stops at the limit. `packed` is the file, when it is gzip."""

    def __init__(self, stream: IO[bytes], limits: Limits, packed: IO[bytes] | None):
        # gzip's `read` loses what comes before a tear; its `read1` returns that, and fails at the next call.
        self._pull = stream.read if packed is None else cast(gzip.GzipFile, stream).read1
        self._limits, self._packed = limits, packed
        self._read = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._pull(len(buffer))
        buffer[: len(data)] = data
        self._read += len(data)
        limits = self._limits
        if self._read > limits.bytes:
            raise _TooLarge(f"more than {limits.bytes} bytes; split it into several files")
        if (
            self._packed is not None
            and self._read > limits.free_bytes
            and self._read > limits.ratio * self._packed.tell()
        ):
            raise _TooLarge(f"unpacks to more than {limits.ratio} times its size")
        return len(data)


def _text_of(stream: IO[bytes], limits: Limits) -> io.TextIOWrapper:
    """Return the text of a stream at its beginning: unpacked, bounded, decoded by its mark."""
    buffered = io.BufferedReader(cast(Any, _Bounded(stream, limits, None)), _BUFFER_BYTES)
    if buffered.peek(2)[:2] == _GZIP:
        stream.seek(0)
        packed = cast(IO[bytes], io.BufferedReader(cast(Any, stream), _BUFFER_BYTES))
        unpacked = cast(IO[bytes], gzip.GzipFile(fileobj=packed, mode="rb"))
        buffered = io.BufferedReader(cast(Any, _Bounded(unpacked, limits, packed)), _BUFFER_BYTES)
    head = buffered.peek(4)[:4]
    if head.startswith(_UTF_16):
        return io.TextIOWrapper(buffered, encoding="utf-16", errors="surrogatepass", newline=None)
    return io.TextIOWrapper(buffered, encoding="utf-8-sig", errors="surrogateescape", newline=None)


def _document(text: io.TextIOBase, limits: Limits, read: int = 0) -> str:
    pieces = []
    while piece := text.read(_PEEK):
        pieces.append(piece)
        read += len(piece)
        if read > limits.document_characters:
            raise _TooLarge(f"one value of more than {limits.document_characters} characters; write JSON Lines")
    return "".join(pieces)
