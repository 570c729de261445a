"""The records of a web archive (WARC, ARC), each known to be whole, and the places that hold none.

Put here: where a record begins and ends, compressed members, archives that break off, how reading continues behind
damage. Do not put here: HTTP (http_body) or the content of records (warc). This is own code because the readers that
were tried (FastWARC, warcio) take the end of a file for the end of an archive, keep a half record before it, and stop
at the first damage. Memory is bounded by the bytes that the caller keeps of a block. Sources: ISO 28500 (WARC 1.1), the
Internet Archive's ARC 1.0 and 2.0.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Protocol, cast

from spelangy_model.text.rights import Fields

_GZIP, _ZSTD, _LZ4 = b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"\x04\x22\x4d\x18"
_PIECE_BYTES = 2**16
_START_BYTES = 16  # enough to recognize the start of a WARC record
MAX_HEAD_BYTES = 64 * 1024
_MAX_DAMAGES = 256  # reading on costs up to the length that a damaged record states: archives are made to be slow
_MAX_TRIES = 10_000  # of bytes that look like the head of a gzip member: by chance there is one in 16 MB


@dataclass(frozen=True, slots=True)
class Record:
    """A whole record; `fields` have lower-case names, `block` is the first bytes of it, `length` its bytes in all.

    `offset` is where the record begins; in a compressed archive, where the member begins that holds its first byte.
    """

    offset: int
    fields: Fields
    block: bytes
    length: int

    def get(self, name: str) -> str:
        """Return the first value of a field; empty when there is none."""
        return next((value for field, value in self.fields if field == name), "")


@dataclass(frozen=True, slots=True)
class Damage:
    """A place of an archive without a whole record; `words` states what is wrong and where reading continues.

    `remains` has the fields and bytes of a record that is there, but not as long as it states: those up to the next
    record or the archive's end. Only their content can show whether they are complete.
    """

    offset: int
    words: str
    remains: Record | None = None


def read_records(stream: BinaryIO, keep_bytes: int) -> Iterator[Record | Damage]:
    """Yield the records of a seekable archive in their order, with the first `keep_bytes` of each block, and a Damage
    for each place that holds no whole one.

    A record is whole when its block has the length that it states and, in a gzipped archive, its member ends as gzip
    demands; in an archive without compression, which has no other check, also when it matches the digest that it
    states. After damage, reading continues at the next record. What the stream itself raises (a disk, a
    server) is raised, because it is not a fault of the archive.
    """
    window = _Window(stream, 0, _packing(stream))
    framing: _Framing | None = None
    for _ in range(_MAX_DAMAGES):
        place = window.place()
        try:
            framing = framing or (_Arc() if window.begins(b"filedesc:") else _Warc())
            while window.skip_blank():
                place = window.place()
                yield framing.next_record(window, keep_bytes)
            if window.lacks_mark:
                yield Damage(place.offset, "the archive ends before the mark behind its last record is complete")
            return
        except (_NoRecordError, zlib.error) as problem:
            error = problem
        skipped = bytearray()
        framing = framing or _Warc()
        following = _behind(stream, window.packing, place, framing.start, skipped, keep_bytes + MAX_HEAD_BYTES)
        remains = framing.remains(place.offset, bytes(skipped)) if isinstance(error, _WrongLengthError) else None
        if following is None:
            yield Damage(place.offset, f"{error}; no record was found behind it", remains)
            return
        window = following
        yield Damage(place.offset, f"{error}; reading goes on at {window.place().offset}", remains)
    yield Damage(window.place().offset, f"the archive has {_MAX_DAMAGES} damaged places and is not read on")


class _NoRecordError(Exception):
    """There is no whole record here."""


class _WrongLengthError(_NoRecordError):
    """A record has a head, and not as many bytes as it states."""


@dataclass(frozen=True, slots=True)
class _Place:
    """A byte of an archive: `member` is where a compressed member begins, `inside` the number of its bytes before."""

    member: int
    inside: int
    is_packed: bool

    @property
    def offset(self) -> int:
        return self.member if self.is_packed else self.member + self.inside


def _packing(stream: BinaryIO) -> bytes:
    """Return the magic number of an archive's compression; empty when it has none."""
    stream.seek(0)
    head = stream.read(4)
    return next((magic for magic in (_GZIP, _ZSTD, _LZ4) if head.startswith(magic)), b"")


class _Window:
    """The bytes of an archive, without its compression, from a place on: those in `data` were not taken yet."""

    def __init__(self, stream: BinaryIO, start: int, packing: bytes):
        stream.seek(start)
        self.packing = packing
        self.data = bytearray()
        self.lacks_mark = False
        self._stream: Any = stream
        self._taken = 0
        self._members = deque([(0, start)])  # (how many bytes were taken before it, where it begins)
        self._raw, self._raw_end = b"", start
        self._inflator = zlib.decompressobj(wbits=31) if packing == _GZIP else None
        if packing in (_ZSTD, _LZ4):
            from fastwarc.stream_io import Lz4Reader, ZstdReader

            self._stream = (ZstdReader if packing == _ZSTD else Lz4Reader)(cast(Any, stream))

    def place(self) -> _Place:
        """Return the place of the next byte to take."""
        while len(self._members) > 1 and self._members[1][0] <= self._taken:
            self._members.popleft()
        before, member = self._members[0]
        return _Place(member, self._taken - before, bool(self.packing))

    @property
    def last_member(self) -> int:
        """Where the member begins that `fill` reads."""
        return self._members[-1][1]

    def fill(self) -> bool:
        """Add bytes to `data`; False when the member (a plain archive is one) has no more.

        Raises _NoRecordError when the archive breaks off, zlib.error when the member is damaged.
        """
        if self._inflator is None:
            piece = self._read()
            self.data += piece
            return bool(piece)
        while not self._inflator.eof:
            if not self._raw:
                self._read_raw()
            is_end = not self._raw
            piece = self._inflator.decompress(self._raw, _PIECE_BYTES)
            self._raw = self._inflator.unused_data if self._inflator.eof else self._inflator.unconsumed_tail
            if piece:
                self.data += piece
                return True
            if is_end and not self._inflator.eof:
                raise _NoRecordError("the archive breaks off: its last gzip member does not end")
        return False

    def next_member(self) -> bool:
        """Continue with the next member after the end of one; False at the end of the archive."""
        if self._inflator is None:
            return False
        self._raw = self._raw.lstrip(b"\0")  # padding, as tar and tapes leave it
        while not self._raw:
            if not self._read_raw():
                return False
            self._raw = self._raw.lstrip(b"\0")
        while len(self._raw) < len(_GZIP) and self._read_raw():
            pass
        begins = self._raw_end - len(self._raw)
        if not self._raw.startswith(_GZIP):
            if _GZIP.startswith(self._raw):
                raise _NoRecordError(f"the archive breaks off inside of the head of a gzip member, at {begins}")
            raise _NoRecordError(f"no gzip member begins at {begins}")
        self._members.append((self._taken + len(self.data), begins))
        self._inflator = zlib.decompressobj(wbits=31)
        return True

    def more(self) -> bool:
        """Add bytes to `data`, of the next member when need be; False at the end of the archive."""
        while not self.fill():
            if not self.next_member():
                return False
        return True

    def take(self, count: int) -> bytes:
        """Take at most `count` bytes of those that are there; none when `count` is negative."""
        piece = bytes(self.data[: max(0, count)])
        del self.data[: len(piece)]
        self._taken += len(piece)
        return piece

    def begins(self, start: bytes) -> bool:
        """Return whether the bytes that follow are these."""
        while len(self.data) < len(start) and self.more():
            pass
        return self.data.startswith(start)

    def skip_blank(self) -> bool:
        """Take the line ends that follow; False at the end of the archive."""
        while True:
            self.take(len(self.data) - len(self.data.lstrip(b"\r\n")))
            if self.data:
                return True
            if not self.more():
                return False

    def skip(self, count: int) -> bool:
        """Take `count` bytes; False when the archive has no more."""
        while count:
            if not self.data and not self.more():
                return False
            count -= len(self.take(count))
        return True

    def block(self, length: int, keep_bytes: int, start: re.Pattern[bytes], hasher: Any = None) -> bytes:
        """Take `length` bytes and return the first of them; raises _NoRecordError when there are fewer.

        All of them go through `hasher`. A block may continue in the next member, unless that member begins with the
        head of a record (`start`).
        """
        kept = bytearray()
        rest = length
        while rest:
            if not self.data and not self.fill():
                if not self.next_member():
                    raise _WrongLengthError(f"{length} bytes are stated, the archive ends after {length - rest}")
                while len(self.data) < _START_BYTES and self.fill():
                    pass
                if start.match(self.data):
                    raise _WrongLengthError(f"{length} bytes are stated, the record's member holds {length - rest}")
                continue
            piece = self.take(rest)
            if hasher is not None:
                hasher.update(piece)
            kept += piece[: max(0, keep_bytes - len(kept))]
            rest -= len(piece)
        return bytes(kept)

    def _read(self) -> bytes:
        try:
            return self._stream.read(_PIECE_BYTES)
        except OSError as problem:
            if self.packing and problem.errno is None:  # the decompressor's, not the disk's
                raise _NoRecordError(f"the archive breaks off or is damaged: {problem}") from problem
            raise

    def _read_raw(self) -> bool:
        piece = self._stream.read(_PIECE_BYTES)
        self._raw += piece
        self._raw_end += len(piece)
        return bool(piece)


def _behind(
    stream: BinaryIO, packing: bytes, place: _Place, start: re.Pattern[bytes], skipped: bytearray, keep_bytes: int
) -> _Window | None:
    """Return a window that begins with the next record behind a place; None when none is found.

    Adds the first `keep_bytes` bytes from the place to that record to `skipped`.
    """
    if packing in (_ZSTD, _LZ4):
        return None  # their readers do not seek
    window = _Window(stream, place.member if packing else place.offset, packing)
    try:
        if not window.skip(place.inside if packing else 0) or not (window.data or window.more()):
            return None
        skipped += window.take(1)
        return window if _find(window, start, skipped, keep_bytes) else None
    except (_NoRecordError, zlib.error):
        return _next_member(stream, window, start)


def _find(
    window: _Window, start: re.Pattern[bytes], skipped: bytearray, keep_bytes: int, *, is_line: bool = False
) -> bool:
    """Skip to the next line, or member, that begins with a record; return False when there is none.

    `is_line`: a line may begin at the current place of the window.
    """

    def skip(count: int) -> None:
        skipped.extend(window.take(count)[: max(0, keep_bytes - len(skipped))])

    first = 0 if is_line else 1  # else the byte before a place shows whether a line begins there
    while True:
        found = start.search(window.data, first)
        if found:
            skip(found.start())
            return True
        try:
            if window.fill():
                if (done := len(window.data) - _PIECE_BYTES - MAX_HEAD_BYTES) > 0:
                    skip(done)  # what is left may become a whole line
                    first = 1
                continue
        except (_NoRecordError, zlib.error):
            skip(len(window.data))
            raise
        skip(len(window.data))
        first = 0
        if not window.next_member():
            return False


def _next_member(stream: BinaryIO, window: _Window, start: re.Pattern[bytes]) -> _Window | None:
    """Return a window at the first record behind the gzip member that a window has come to, which is damaged."""
    for _ in range(_MAX_TRIES):
        at = window.last_member + 1
        while True:
            stream.seek(at)
            piece = stream.read(_PIECE_BYTES)
            if (found := piece.find(_GZIP)) >= 0:
                break
            if len(piece) < len(_GZIP):
                return None
            at += len(piece) - len(_GZIP) + 1
        window = _Window(stream, at + found, _GZIP)
        try:
            return window if _find(window, start, bytearray(), 0, is_line=True) else None
        except (_NoRecordError, zlib.error):
            continue
    return None


@dataclass(frozen=True, slots=True)
class _Digest:
    """A digest that a record states of its block, with what computes it."""

    stated: str
    hasher: Any

    def is_that(self) -> bool:
        value = self.stated.partition(":")[2].strip().rstrip("=")
        computed: bytes = self.hasher.digest()
        return value.lower() == computed.hex() or value.upper() == base64.b32encode(computed).decode().rstrip("=")


def _digest_of(fields: Fields) -> _Digest | None:
    """Return the digest that a record's fields state of its block, in a form that is known (hexadecimal, base 32)."""
    stated = next((value for name, value in fields if name == "warc-block-digest"), "")
    name, _, value = stated.partition(":")
    size = {"md5": 16, "sha1": 20, "sha256": 32, "sha512": 64}.get(name.strip().lower().replace("-", ""))
    value = value.strip().rstrip("=")
    if size is None or not (
        (len(value) == 2 * size and re.fullmatch(r"[\da-fA-F]+", value))
        or (len(value) == -(-size * 8 // 5) and re.fullmatch(r"[A-Za-z2-7]+", value))
    ):
        return None
    return _Digest(stated, hashlib.new(name.strip().lower().replace("-", ""), usedforsecurity=False))


class _Framing(Protocol):
    """How a kind of archive delimits its records; `start` matches the beginning of a record's first line."""

    start: re.Pattern[bytes]

    def next_record(self, window: _Window, keep_bytes: int) -> Record | Damage:
        """Take a record, or return the damage of a whole one; raise _NoRecordError if there is no whole record."""
        ...

    def remains(self, offset: int, data: bytes) -> Record | None:
        """Return a record from bytes without the stated length; None if they have no whole head."""
        ...


_BLANK_LINE = re.compile(rb"\r?\n\r?\n")


class _Warc:
    start = re.compile(rb"(?<![^\r\n])WARC/\d\.\d{1,2}\r?\n")

    def next_record(self, window: _Window, keep_bytes: int) -> Record | Damage:
        offset = window.place().offset
        while len(window.data) < _START_BYTES and window.more():
            pass
        if not self.start.match(window.data):
            raise _NoRecordError("no record begins here")
        fields = parse_fields(_take_head(window).split(b"\n", 1)[1])
        stated = next((value for name, value in fields if name == "content-length"), "")
        if not re.fullmatch(r"\d{1,18}", stated):
            raise _NoRecordError(f"the record's Content-Length is {stated[:50]!r}")
        digest = None if window.packing else _digest_of(fields)
        block = window.block(int(stated), keep_bytes, self.start, digest.hasher if digest else None)
        self._check_end(window)
        if digest is not None and not digest.is_that():
            words = f"the record's bytes are not those of its WARC-Block-Digest {digest.stated}"
            return Damage(offset, f"{words}; reading goes on at {window.place().offset}")
        return Record(offset, fields, block, int(stated))

    def remains(self, offset: int, data: bytes) -> Record | None:
        end = _BLANK_LINE.search(data)
        if end is None:
            return None
        block = re.sub(rb"\r?\n\r?\n\Z", b"", data[end.end() :])
        return Record(offset, parse_fields(data[: end.start()].split(b"\n", 1)[-1]), block, len(block))

    def _check_end(self, window: _Window) -> None:
        """Raise _NoRecordError when what follows a block shows that it is longer than it states.

        Reads to the end of a gzip member, if there is one, because its checksum is there.
        """
        while len(window.data) <= _START_BYTES and window.fill():
            pass
        mark = window.data[: len(window.data) - len(window.data.lstrip(b"\r\n"))]
        if _BLANK_LINE.match(mark):
            return
        if len(mark) < len(window.data) and not self.start.match(window.data, len(mark)):
            raise _WrongLengthError("the record's block does not end where it states")
        window.lacks_mark = not window.packing and len(mark) == len(window.data)


class _Arc:
    """ARC: a line a record, its last word the length; the block of the first record states the version."""

    start = re.compile(rb"(?<![^\r\n])[A-Za-z][\w.+-]*:[^\r\n]{1,8192} [\w.:-]+ \d{8,20} \S+ (?:\S+ ){0,5}\S+\r?\n")
    _LINE = re.compile(rb"[^\n]{0,16384}\n")
    _VERSION_2_WORDS = 10

    def __init__(self) -> None:
        self._words = 5

    def next_record(self, window: _Window, keep_bytes: int) -> Record:
        offset = window.place().offset
        parts = self._parts(self._take_line(window))
        is_version = parts[0].startswith("filedesc:")
        length = int(parts[-1]) if re.fullmatch(r"\d{1,18}", parts[-1]) else 0
        block = window.block(length, keep_bytes, self.start)
        if is_version:
            if not block:  # of no stated length, as some tools write it: two lines
                block = f"{self._take_line(window)}\n{self._take_line(window)}\n".encode()
            self._words = self._VERSION_2_WORDS if block.startswith(b"2 ") else self._words
        while len(window.data) <= MAX_HEAD_BYTES and window.fill():
            pass
        follows = window.data
        if follows and not follows.startswith((b"\n", b"\r")) and not self.start.match(follows):
            raise _WrongLengthError("the record's block does not end where it states")
        return Record(offset, () if is_version else self._fields(parts), block, length)

    def remains(self, offset: int, data: bytes) -> Record | None:
        line, end, block = data.partition(b"\n")
        block = block.removesuffix(b"\n")
        fields = self._fields(self._parts(line.decode("utf-8", "replace").rstrip("\r")))
        return Record(offset, fields, block, len(block)) if end else None

    def _parts(self, line: str) -> list[str]:
        parts = line.rsplit(" ", self._words - 1)
        if len(parts) != self._words or ":" not in parts[0]:
            raise _NoRecordError("no record begins here")
        return parts

    def _fields(self, parts: list[str]) -> Fields:
        return list(zip(("uri", "", "archive-date", "content-type"), parts, strict=False))

    def _take_line(self, window: _Window) -> str:
        while not (found := self._LINE.match(window.data)):
            if len(window.data) > MAX_HEAD_BYTES:
                raise _NoRecordError("no record begins here")
            if not window.more():
                raise _NoRecordError("the archive breaks off inside of a record's head")
        return window.take(found.end()).decode("utf-8", "replace").rstrip("\r\n")


def _take_head(window: _Window) -> bytes:
    while not (end := _BLANK_LINE.search(window.data)):
        if len(window.data) > MAX_HEAD_BYTES:
            raise _NoRecordError(f"the record's head is longer than {MAX_HEAD_BYTES} bytes")
        if not window.more():
            raise _NoRecordError("the archive breaks off inside of a record's head")
    return window.take(end.end())


def parse_fields(head: bytes) -> Fields:
    """Return the (lower-case name, value) pairs of a head's lines; leading white space marks a continuation."""
    fields: list[tuple[str, str]] = []
    for line in head.splitlines():
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError:
            text = line.decode("latin-1")
        if text[:1] in (" ", "\t") and fields:
            fields[-1] = (fields[-1][0], f"{fields[-1][1]} {text.strip()}".strip())
            continue
        name, mark, value = text.partition(":")
        if mark:
            fields.append((name.strip().lower(), value.strip()))
    return fields
