"""The header of an audio file: where its streams begin and end, and whether all stated bytes are there.

Put here: the magic numbers and sizes of containers, read from their bytes alone. Do not put here: decoding (io.py).

A file may be several streams one after another: chained Ogg (RFC 3533), MP3, FLAC or WAV files that were joined by
`cat`. Decoders read the first and stop, or treat the rest as damage, so a file is cut into its links here. Decoders
also shorten a stated length silently to the bytes present, so the two are compared here.
Programs that write to a pipe leave a size of 0, or one near the field's limit: such a size is ignored.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import IO

_PIECE = 1 << 20
_UNKNOWN_32 = 0x7FFFF000  # from here on a 32-bit size is a mark, not a size: writers differ in which
_ID3_HEADER = 10
_OGG_SOUND = (b"OpusHead", b"\x01vorbis", b"\x7fFLAC", b"Speex   ")
_OGG_PAGE_S = 2.0  # pages of sound are shorter
_FLAC_MARKS = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")
_EBML_MARK = b"\x1a\x45\xdf\xa3"
_RIFF_MARKS = (b"RIFF", b"RF64", b"BW64", b"RIFX")
_W64_RIFF, _W64_DATA = b"riff\x2e\x91\xcf\x11", b"data\xf3\xac\xd3\x11"


@dataclass(frozen=True)
class Link:
    """One stream of a file: `size` bytes from `begin` on.

    Where the container states more bytes of sound than the file holds, `stated` and `present` are the two; else both
    are 0. `stated_s` is a length that its frames or pages state, 0 where they state none. `ended` is false for an Ogg
    stream without its end-of-stream page, `measured` for one whose header states no length, which libsndfile would
    guess.
    """

    begin: int
    size: int
    stated: int = 0
    present: int = 0
    stated_s: float = 0.0
    ended: bool = True
    measured: bool = True

    @property
    def end(self) -> int:
        return self.begin + self.size


class Bytes:
    """A seekable file, read at places."""

    def __init__(self, file: IO[bytes], size: int):
        self._file = file
        self.size = size

    def at(self, place: int, count: int) -> bytes:
        """Return up to `count` bytes from a place on; fewer where the file ends."""
        if place >= self.size:
            return b""
        self._file.seek(place)
        return self._file.read(count)

    def find(self, mark: bytes, begin: int) -> Iterator[int]:
        """Yield the places of a mark from `begin` on."""
        place, kept = begin, b""
        while piece := self.at(place, _PIECE):
            window, base = kept + piece, place - len(kept)
            found = window.find(mark)
            while found >= 0:
                yield base + found
                found = window.find(mark, found + 1)
            kept = window[-(len(mark) - 1) :]
            place += len(piece)


def links_of(file: IO[bytes], size: int) -> list[Link]:
    """Return the streams of a file of `size` bytes, in order; one that covers it where its container is not known."""
    source = Bytes(file, size)
    links: list[Link] = []
    place = 0
    while place < size and (walk := _walker(source, place)):
        link = walk(source, place)
        links.append(link)
        place = link.end
    if not links:
        return [Link(0, size)]
    # What follows the last one is no stream (a tag, or filling): it stays with it, as a decoder expects it.
    last = links[-1]
    links[-1] = replace(last, size=size - last.begin)
    return links


# Containers that state no end, recognized by four bytes and some more of their headers.
_BARE = {b"FLV\x01": (5, b"\0\0\0\x09"), b"TTA1": (4, b"\x01\0")}

HEAD_BYTES = 8192  # are enough for `looks_like_sound`

_STARTS = (
    *(b"OggS", _EBML_MARK, b"fLaC", b".snd", b"caff", b"NIST_1A", _W64_RIFF, b"Creative Voice File", b"ID3", b"#!AMR"),
    *(b"wvpk", b"TTA1", b"MAC ", b"MPCK", b"MP+", b"FLV\x01", b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", b".RMF", b"DSD "),
    b"\x00\x00\x01\xba",
)
_IMAGE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def looks_like_sound(head: bytes) -> bool:
    """Whether a file's first HEAD_BYTES are those of a container or codec of sound (of films too)."""
    if head.startswith(_STARTS):
        return True
    if head[:4] in _RIFF_MARKS:
        return head[8:12] in (b"WAVE", b"AVI ")
    if head[:4] == b"FORM":
        return head[8:12] in (b"AIFF", b"AIFC")
    if head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"):
        return head[8:12] not in _IMAGE_BRANDS
    if len(head) > 376 and head[0] == head[188] == head[376] == 0x47:  # packets of MPEG-TS
        return True
    for size_of in (_frame_size, _adts_size):
        place, count = 0, 0
        while (size := size_of(head[place : place + 6])) and count < 4:
            place, count = place + size, count + 1
        if count and (count == 4 or place >= len(head)):
            return True
    return False


def _adts_size(head: bytes) -> int:
    if len(head) < 6 or head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        return 0
    return (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5


Walker = Callable[[Bytes, int], Link]


def _walker(source: Bytes, place: int) -> Walker | None:
    head = source.at(place, 16)
    if head[:4] in _RIFF_MARKS:
        return _riff
    if head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC"):
        return _aiff
    if head[:4] == b"OggS":
        return _ogg
    if head[:4] == _EBML_MARK:
        return _ebml
    if head[4:8] == b"ftyp":
        return _mp4
    if head[:4] in _BARE:
        return _bare
    if walk := {b".snd": _au, b"caff": _caf, b"NIST": _nist, _W64_RIFF[:4]: _w64}.get(head[:4]):
        return walk
    sound = _after_id3(source, place)
    if source.at(sound, 4) == b"fLaC":
        return _flac
    if _mpeg_frame(source, sound):
        return _mp3
    return None


# --- chunks -------------------------------------------------------------------------------------------------


def _chunks(source: Bytes, place: int, form: str, align: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield (name, place of the content, stated size) of chunks whose header is a name of 4 bytes and a size."""
    width = 4 + struct.calcsize(form)
    while len(head := source.at(place, width)) == width:
        (size,) = struct.unpack(form, head[4:])
        yield head[:4], place + width, size
        if size < 0:
            return
        place += width + size + -size % align


def _riff(source: Bytes, begin: int) -> Link:
    head = source.at(begin, 12)
    form = ">I" if head[:4] == b"RIFX" else "<I"
    (whole,) = struct.unpack(form, head[4:8]) if len(head) == 12 else (0,)
    long_size = 0
    rest = source.size - begin
    if head[:4] in (b"RF64", b"BW64") and source.at(begin + 12, 4) == b"ds64":
        (whole,) = struct.unpack("<Q", source.at(begin + 20, 8).ljust(8, b"\0"))
    end = begin + 8 + whole + whole % 2
    if whole > 4 and end < source.size and _walker(source, end):
        return Link(begin, end - begin)
    if head[8:12] != b"WAVE":  # AVI
        cut = source.size < end and whole < _UNKNOWN_32
        return Link(begin, rest, whole if cut else 0, rest - 8 if cut else 0)
    for name, place, size in _chunks(source, begin + 12, form, 2):
        if name == b"ds64":
            (long_size,) = struct.unpack("<Q", source.at(place + 8, 8).ljust(8, b"\0"))
        if name != b"data":
            continue
        present = source.size - place
        if size == 0xFFFFFFFF and long_size and head[:4] != b"RIFF":
            return _compared(source, begin, long_size, place)
        if size == 0 and present and begin + 8 + whole < source.size:
            return Link(begin, rest, measured=False)
        return _compared(source, begin, 0 if size >= _UNKNOWN_32 else size, place)
    return Link(begin, rest)


def _aiff(source: Bytes, begin: int) -> Link:
    (whole,) = struct.unpack(">I", source.at(begin + 4, 4))
    rest = source.size - begin
    for name, place, size in _chunks(source, begin + 12, ">I", 2):
        present = source.size - place
        if name == b"SSND" and present < size < _UNKNOWN_32:
            return Link(begin, rest, size, present)
    end = begin + 8 + whole + whole % 2
    return Link(begin, end - begin) if end < source.size and _walker(source, end) else Link(begin, rest)


def _au(source: Bytes, begin: int) -> Link:
    offset, size = struct.unpack(">II", source.at(begin + 4, 8).ljust(8, b"\0"))
    return _compared(source, begin, size if size < _UNKNOWN_32 else 0, begin + offset)


def _caf(source: Bytes, begin: int) -> Link:
    for name, place, size in _chunks(source, begin + 8, ">q", 1):
        if name == b"data":
            return _compared(source, begin, max(size, 0), place)
    return Link(begin, source.size - begin)


def _w64(source: Bytes, begin: int) -> Link:
    place = begin + 40
    while len(head := source.at(place, 24)) == 24:
        (size,) = struct.unpack("<Q", head[16:])
        if head[:8] == _W64_DATA:
            return _compared(source, begin, max(size - 24, 0), place + 24)
        place += max(24, size + -size % 8)
    return Link(begin, source.size - begin)


def _nist(source: Bytes, begin: int) -> Link:
    fields = dict(
        line.split(None, 2)[::2]
        for line in source.at(begin, 1024).decode("ascii", "replace").splitlines()
        if len(line.split(None, 2)) == 3
    )
    try:
        size = int(fields["sample_count"]) * int(fields["channel_count"]) * int(fields["sample_n_bytes"])
        offset = int(source.at(begin + 8, 8))
    except (KeyError, ValueError):
        return Link(begin, source.size - begin)
    packed = "embedded" in fields.get("sample_coding", "")
    return _compared(source, begin, 0 if packed else size, begin + offset)


def _compared(source: Bytes, begin: int, stated: int, place: int) -> Link:
    """Return the link whose sound is `stated` bytes (0: as many as there are) from a place on."""
    end, present = place + stated, max(source.size - place, 0)
    if stated > present:
        return Link(begin, source.size - begin, stated, present)
    follows = stated and end < source.size and _walker(source, end)
    return Link(begin, (end if follows else source.size) - begin)


# --- containers of packets ----------------------------------------------------------------------------------


def _ogg(source: Bytes, begin: int) -> Link:
    place, body = begin, False
    sound: set[bytes] = set()
    ended: set[bytes] = set()
    granules = _Granules()
    while place < source.size:
        head = source.at(place, 27 + 255)
        if head[:4] == b"OggS" and len(head) < 27:
            return Link(begin, source.size - begin, ended=False)
        if head[:4] != b"OggS":
            found = next(source.find(b"OggS", place), None)
            if found is None:
                break
            place = found
            continue
        flags, serial, segments = head[5], head[14:18], head[26]
        content = place + 27 + segments
        end = content + sum(head[27 : 27 + segments])
        if flags & 2:
            if body:
                break
            start = source.at(content, 48)
            if start.startswith(_OGG_SOUND):
                sound.add(serial)
                granules.begin(start)
        else:
            body = True
        if end > source.size:
            return Link(begin, source.size - begin, ended=False)
        if serial in sound:
            granules.add(int.from_bytes(head[6:14], "little", signed=True))
        if flags & 4:
            ended.add(serial)
        place = end
    stated_s = granules.length_s() if len(sound) == 1 else 0.0
    return Link(begin, min(place, source.size) - begin, stated_s=stated_s, ended=sound <= ended)


class _Granules:
    """The positions that Ogg pages state, in samples from the start of the stream."""

    def __init__(self) -> None:
        self._rate_hz = self._before = 0
        self._first = self._last = -1

    def begin(self, head: bytes) -> None:
        """Take the first packet of the stream."""
        if head.startswith(b"OpusHead"):
            self._rate_hz, self._before = 48_000, int.from_bytes(head[10:12], "little")
        elif head.startswith(b"\x01vorbis"):
            self._rate_hz = int.from_bytes(head[12:16], "little")

    def add(self, granule: int) -> None:
        """Take a page's position; -1 and 0 are those of pages on which no sound ends."""
        if granule > 0:
            self._first = granule if self._first < 0 else self._first
            self._last = granule

    def length_s(self) -> float:
        if not self._rate_hz or self._last <= 0:
            return 0.0
        # What was recorded from a running stream begins anywhere; then its first page is not counted.
        begins_anywhere = self._first > _OGG_PAGE_S * self._rate_hz
        return (self._last - (self._first if begins_anywhere else self._before)) / self._rate_hz


def _bare(source: Bytes, begin: int) -> Link:
    mark = source.at(begin, 4)
    offset, more = _BARE[mark]
    for found in source.find(mark, begin + 4):
        if source.at(found + offset, len(more)) == more:
            return Link(begin, found - begin)
    return Link(begin, source.size - begin)


def _ebml(source: Bytes, begin: int) -> Link:
    place = begin + 4
    size, width = _vint(source, place)
    place += width + (size or 0)
    if source.at(place, 4) == b"\x18\x53\x80\x67":
        size, width = _vint(source, place + 4)
        if size is not None:
            return _compared(source, begin, size, place + 4 + width)
    # One that was written as a live stream has no size.
    for found in source.find(_EBML_MARK, begin + 4):
        if b"\x42\x82" in source.at(found, 64):  # the name of its kind, which each header has
            return Link(begin, found - begin)
    return Link(begin, source.size - begin)


def _vint(source: Bytes, place: int) -> tuple[int | None, int]:
    """Return an EBML size (None: unknown) and how many bytes state it."""
    data = source.at(place, 8)
    if not data or not data[0]:
        return None, 1
    width = 9 - data[0].bit_length()
    value = int.from_bytes(data[:width], "big") & ((1 << 7 * width) - 1)
    return (None if value == (1 << 7 * width) - 1 else value), width


def _mp4(source: Bytes, begin: int) -> Link:
    place, body = begin, False
    while len(head := source.at(place, 16)) >= 8:
        size, name = struct.unpack(">I", head[:4])[0], head[4:8]
        if name == b"ftyp" and body:
            return Link(begin, place - begin)
        body |= name in (b"moov", b"moof", b"mdat")
        if size == 1 and len(head) == 16:
            (size,) = struct.unpack(">Q", head[8:])
        if size < 8:  # 0: to the end of the file
            break
        if place + size > source.size:
            return Link(begin, source.size - begin, size, source.size - place)
        place += size
    return Link(begin, source.size - begin)


# --- streams of frames --------------------------------------------------------------------------------------


def _after_id3(source: Bytes, place: int) -> int:
    """Return where an ID3v2 tag ends, or the place itself."""
    head = source.at(place, _ID3_HEADER)
    while head[:3] == b"ID3" and len(head) == _ID3_HEADER and head[3] < 5 and max(head[6:]) < 0x80:
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        place += _ID3_HEADER + size + (_ID3_HEADER if head[5] & 0x10 else 0)
        while source.at(place, 1) == b"\0" and source.at(place, 64) == bytes(64):
            place += 64  # filling behind the tag
        head = source.at(place, _ID3_HEADER)
    return place


# The start of a stream after frames, which state no end: marks too long to occur in frames by chance, their offset from
# the start, and a check of the bytes there.
_FOLLOWING: tuple[tuple[bytes, int, Callable[[bytes], bool]], ...] = (
    *((mark, 0, lambda head: True) for mark in _FLAC_MARKS),
    (b"OggS\0\x02", 0, lambda head: True),
    (b"WAVE", 8, lambda head: head[:4] in _RIFF_MARKS),
    (b"AIF", 8, lambda head: head[:4] == b"FORM" and head[8:12] in (b"AIFF", b"AIFC")),
    (_EBML_MARK, 0, lambda head: b"\x42\x82" in head),
    (b"ftyp", 4, lambda head: head[:2] == b"\0\0" and head[8:12].isalnum() and head[8:12] not in _IMAGE_BRANDS),
)


def _following(source: Bytes, begin: int) -> int:
    """Return where the first stream behind the frames from a place on begins; the end of the file when none does."""
    ends = [source.size]
    for mark, offset, is_start in _FOLLOWING:
        places = (place - offset for place in source.find(mark, begin + offset))
        ends += itertools.islice((place for place in places if is_start(source.at(place, 64))), 1)
    for mark in (b"Xing", b"Info"):  # the first frame of an MP3 that states its length
        for place in source.find(mark, begin):
            if (frame := _frame_of_count(source, place)) is not None and frame >= begin:
                ends.append(frame)
                break
    for place in source.find(b"ID3", begin):
        sound = _after_id3(source, place)
        if sound > place and (_mpeg_frame(source, sound) or source.at(sound, 4) == b"fLaC"):
            ends.append(place)
            break
    return min(ends)


def _flac(source: Bytes, begin: int) -> Link:
    return Link(begin, _following(source, _after_id3(source, begin) + 4) - begin)


def _mpeg_frame(source: Bytes, place: int) -> int:
    """Return the length of the MPEG audio frame (layer III) at a place; 0 when there is none that another follows."""
    size = _frame_size(source.at(place, 4))
    return size if size and (place + size >= source.size or _frame_size(source.at(place + size, 4))) else 0


_BITRATES = (
    (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
)


def _frame_size(head: bytes) -> int:
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return 0
    version, layer, bitrate, rate = head[1] >> 3 & 3, head[1] >> 1 & 3, head[2] >> 4, head[2] >> 2 & 3
    if version == 1 or layer != 1 or bitrate in (0, 15) or rate == 3:
        return 0
    first = _is_first(head)
    return (144_000 if first else 72_000) * _BITRATES[not first][bitrate] // _rate_hz(head) + (head[2] >> 1 & 1)


def _is_first(head: bytes) -> bool:
    """Whether a frame is of MPEG 1, not of MPEG 2 or 2.5."""
    return head[1] >> 3 & 3 == 3


def _rate_hz(head: bytes) -> int:
    return (44_100, 48_000, 32_000)[head[2] >> 2 & 3] >> {3: 0, 2: 1, 0: 2}[head[1] >> 3 & 3]


def _mp3(source: Bytes, begin: int) -> Link:
    first = _after_id3(source, begin)
    end = _following(source, first + 4)
    stated_s = _stated_s(source, first)
    return Link(begin, end - begin, stated_s=stated_s, measured=stated_s > 0)


def _side_info(head: bytes) -> int:
    mono = head[3] >> 6 == 3
    if _is_first(head):
        return 17 if mono else 32
    return 9 if mono else 17


def _frame_of_count(source: Bytes, mark: int) -> int | None:
    """Return the place of the MPEG frame whose count of frames is marked at a place."""
    for side in (9, 17, 32):
        head = source.at(mark - 4 - side, 4) if mark >= 4 + side else b""
        if _frame_size(head) and _side_info(head) == side:
            return mark - 4 - side
    return None


def _stated_s(source: Bytes, frame: int) -> float:
    """Return the length that an MP3's first frame states, with what the encoder padded; 0 when it states none."""
    head = source.at(frame, 4)
    tag = source.at(frame + 4 + _side_info(head), 12)
    if tag[:4] not in (b"Xing", b"Info") or len(tag) < 12 or not tag[7] & 1:
        return 0.0
    return int.from_bytes(tag[8:12], "big") * (1152 if _is_first(head) else 576) / _rate_hz(head)
