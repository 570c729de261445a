"""Sound in and out: any file that a decoder knows -> mono float32 at 16 kHz; FLAC bytes for shards and back.

Put here: decoding, the time line of a file, downmixing, resampling, FLAC. Do not put here: the marks of containers
(containers.py), speech detection, anything about speakers or words, folder walks.

The content of a file decides how it is read, never its name. libsndfile (through soundfile) reads WAV, FLAC, MP3, Ogg
and other files of sound alone; PyAV's ffmpeg reads the rest, at the times that its packets state. A file of several
streams one after another is read to the end of the last. A file that cannot be used, or that lacks a part of what its
container states, raises AudioError with one fixed reason word, which the caller counts.

`open_stream` and `mono_16k` give a file of any length block by block; `decode` gives a short one whole.
"""

from __future__ import annotations

import io
import itertools
import math
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
import soundfile
import soxr

from spelangy_model.audio.channels import ChannelMeter
from spelangy_model.audio.containers import Link, links_of
from spelangy_model.interrupts import uninterrupted

SAMPLE_RATE_HZ = 16_000

SILENT_PEAK = 1e-4  # -80 dBFS: three steps of 16 bits; below it, a decoder leaves nothing audible

# Outside of these a header is broken: speech is not recorded below, and no converter works above.
MIN_RATE_HZ, MAX_RATE_HZ = 2_000, 768_000

_BLOCK_FRAMES = 1 << 18  # read and resampled at once: flat memory for high rates
_BLOCK_SAMPLES = 1 << 21  # of all channels
_FRAMES_HELD = 64  # of a codec, a thousand samples or so each: joined, since each block has a cost of its own
# By how much a read length may fall short of the stated one. libsndfile's headers count samples; other containers
# round, and count what a codec pads.
_EXACT_SLACK_S, _SLACK_S = 0.1, 0.5
_GAP_S = 0.1  # by which a packet's time may be off: containers round times, and clocks of cameras drift
_LONGEST_GAP_S = 6 * 3600.0
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's mark for a stream whose header states no length is 2^63 - 1
_FLAC_LEVEL = 0.5  # libsndfile's scale; level 5 of the flac program: measured as fast as level 0, and smaller


class AudioError(Exception):
    """A sound that cannot be used. `reason` is a fixed word, `detail` the decoder's own words.

    Reasons: not_a_file, unreadable, empty, undecodable, no_audio, no_channel, truncated, not_finite, silent, too_long.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True, eq=False)
class DecodedAudio:
    """A decoded recording: `samples` float32 mono at SAMPLE_RATE_HZ within [-1, 1], and what the file was."""

    samples: np.ndarray
    duration_s: float
    original_sample_rate_hz: int
    original_channels: int
    original_format: str


@dataclass
class Found:
    """What there was in a file besides one plain stream; complete when its blocks have been read.

    `links` streams one after another, `other_tracks` of sound beside the one that was read, and `gaps_s` seconds of
    silence that were put where the file's times leave a gap.
    """

    links: int = 1
    other_tracks: int = 0
    gaps_s: float = 0.0


@dataclass(frozen=True)
class AudioStream:
    """An opened file: header facts, and its blocks of float32 (frames, channels), to be read once and to the end.

    A block raises AudioError where the file turns out to be truncated or undecodable.
    """

    sample_rate_hz: int
    channels: int
    format: str
    blocks: Iterator[np.ndarray]
    found: Found = field(default_factory=Found)


def decode(source: Path | bytes, max_s: float = math.inf) -> DecodedAudio:
    """Decode a file or a file's bytes to mono float32 at 16 kHz, whole.

    Channels are averaged, those excepted that ChannelMeter leaves out; the rate is changed by soxr's HQ filter, which
    is deterministic; sound whose peak is above 1 (float files) is scaled to a peak of 1, not clipped. Raises
    AudioError for whatever cannot be used, and for a file of more than `max_s` seconds (too_long), which is read no
    further.
    """
    stream, meter = open_stream(source), ChannelMeter()
    pieces = list(_at_most(max_s, mono_16k(stream, meter.watch)))
    if (chosen := meter.choose()) is not None:
        stream = open_stream(source)
        pieces = list(mono_16k(stream, channels=chosen))
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if not len(samples):
        raise AudioError("empty", "the file holds no sample")
    if is_silent(samples):
        raise AudioError("silent", f"it never leaves {SILENT_PEAK:.0e} of full scale around a constant")
    peak = float(np.abs(samples).max())
    return DecodedAudio(
        samples=samples / np.float32(peak) if peak > 1 else samples,
        duration_s=len(samples) / SAMPLE_RATE_HZ,
        original_sample_rate_hz=stream.sample_rate_hz,
        original_channels=stream.channels,
        original_format=stream.format,
    )


def _at_most(max_s: float, blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    read = 0
    for block in blocks:
        read += len(block)
        if read > max_s * SAMPLE_RATE_HZ:
            raise AudioError("too_long", f"more than {max_s:.1f} s")
        yield block


def open_stream(source: Path | bytes) -> AudioStream:
    """Open a file or a file's bytes; its blocks are decoded as they are read. Raises AudioError.

    Later streams of a file are brought to the rate and the number of channels of its first.
    """
    size = _check_source(source)
    try:
        links = uninterrupted(lambda: _links(source, size))
        first = uninterrupted(lambda: _open_link(source, links[0], size))
    except OSError as error:
        raise AudioError("unreadable", error.strerror or type(error).__name__) from error
    first.found.links = len(links)

    def blocks() -> Iterator[np.ndarray]:
        yield from first.blocks
        for link in links[1:]:
            stream = _open_link(source, link, size)
            yield from _like(stream, first)
            first.found.gaps_s += stream.found.gaps_s

    return AudioStream(first.sample_rate_hz, first.channels, first.format, _uninterrupted_steps(blocks()), first.found)


def mono_16k(
    stream: AudioStream,
    watch: Callable[[np.ndarray], None] = lambda block: None,
    channels: Sequence[int] | None = None,
) -> Iterator[np.ndarray]:
    """Yield a stream's samples as float32 mono at 16 kHz, in blocks; `watch` is shown each block of the original.

    `channels` are those that are averaged, of one or more (and those that `watch` is shown); None means all. Raises
    AudioError (no_channel, not_finite, and what the stream raises). Levels are left as they are.
    """
    if channels is not None and not all(0 <= index < stream.channels for index in channels):
        raise AudioError("no_channel", f"channel {max(channels)} of a file with {stream.channels}, counted from 0")
    resampler = None
    if stream.sample_rate_hz != SAMPLE_RATE_HZ:
        resampler = soxr.ResampleStream(stream.sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for whole in stream.blocks:
        block = whole if channels is None else whole[:, list(channels)]
        mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else np.ascontiguousarray(block[:, 0])
        if not np.isfinite(mono).all():
            raise AudioError("not_finite", "the samples hold NaN or infinity")
        watch(block)
        yield resampler.resample_chunk(mono) if resampler else mono
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def is_silent(samples: np.ndarray) -> bool:
    """Return whether samples (n,) are inaudible: zeros, or a constant (a DC offset) at any level.

    Resampling rings where a constant begins and ends, so the first and last tenth of a second are passed over.
    """
    edge = min(SAMPLE_RATE_HZ // 10, len(samples) // 4)
    inside = samples[edge : len(samples) - edge]
    return not len(inside) or float(inside.max() - inside.min()) < 2 * SILENT_PEAK


def encode_flac(samples: np.ndarray) -> bytes:
    """Encode mono float samples (n,) in [-1, 1] at 16 kHz as a 16-bit FLAC file; equal samples, equal bytes.

    Raises ValueError when the array is not one-dimensional, is empty, or holds a value that is not finite.
    """
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"encode_flac takes a non-empty array of shape (n,), not {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("encode_flac takes finite samples; this array holds NaN or infinity")
    return uninterrupted(lambda: _flac_of(samples))


def decode_flac(data: bytes) -> np.ndarray:
    """Decode a FLAC file that `encode_flac` made to float32 samples (n,); exact for what 16 bits can hold.

    Raises AudioError (undecodable) when the bytes are no such file.
    """
    try:
        samples, rate = _read_flac(data)
    except soundfile.SoundFileError as error:
        raise AudioError("undecodable", str(error)) from error
    if rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise AudioError("undecodable", f"a shard holds mono at {SAMPLE_RATE_HZ} Hz, not {samples.shape} at {rate} Hz")
    return samples


def _read_flac(data: bytes) -> tuple[np.ndarray, int]:
    """Read through a file in memory, where the system has such files: libsndfile then calls no Python for the bytes, so
    threads decode at once, and an interrupt finds no callback."""
    if not hasattr(os, "memfd_create"):
        return uninterrupted(lambda: soundfile.read(io.BytesIO(data), dtype="float32"))
    descriptor = os.memfd_create("flac")
    with os.fdopen(descriptor, "wb", closefd=False) as file:
        file.write(data)
    os.lseek(descriptor, 0, os.SEEK_SET)
    # It is libsndfile's to close: libsndfile 1.2.0 closes what it cannot open, whatever `closefd` is.
    with soundfile.SoundFile(descriptor) as sound:
        return sound.read(dtype="float32"), sound.samplerate


def _flac_of(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    options: Any = {"format": "FLAC", "subtype": "PCM_16", "compression_level": _FLAC_LEVEL}
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE_HZ, 1, **options) as file:
        for start in range(0, len(samples), _BLOCK_FRAMES):
            block = samples[start : start + _BLOCK_FRAMES]
            file.write(np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16))
    return buffer.getvalue()


# --- decoding -----------------------------------------------------------------------------------------------


def _check_source(source: Path | bytes) -> int:
    """Return the size of a file, or of a file's bytes."""
    if isinstance(source, bytes):
        size = len(source)
    else:
        try:
            if not source.is_file():
                raise AudioError("not_a_file", "a folder, a device or a dangling link, not a file")
            size = source.stat().st_size
            with source.open("rb"):
                pass
        except OSError as error:
            raise AudioError("unreadable", error.strerror or type(error).__name__) from error
    if not size:
        raise AudioError("empty", "the file holds no byte")
    return size


class _Window(io.RawIOBase):
    """A part of a file, as a file without a name, because decoders would trust the name."""

    def __init__(self, source: Path | bytes, begin: int, size: int):
        super().__init__()
        self._file: IO[bytes] = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
        self._begin, self._size, self._place = begin, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._place = max(0, offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence])
        return self._place

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        self._file.seek(self._begin + self._place)
        count = self._file.readinto(view[: max(0, min(len(view), self._size - self._place))])  # type: ignore[attr-defined]
        self._place += count
        return count

    def close(self) -> None:
        self._file.close()
        super().close()


def _links(source: Path | bytes, size: int) -> list[Link]:
    with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
        return links_of(file, size)


def _open_link(source: Path | bytes, link: Link, size: int) -> AudioStream:
    first_error = "the header states no length"
    stream = None
    if link.measured:
        try:
            stream = _open_soundfile(source, link, size)
        except AudioError as error:
            first_error = error.detail
    stream = stream or _open_av(source, link, first_error)
    if not MIN_RATE_HZ <= stream.sample_rate_hz <= MAX_RATE_HZ:
        raise AudioError(
            "undecodable", f"a sample rate of {stream.sample_rate_hz} Hz, not {MIN_RATE_HZ} to {MAX_RATE_HZ} Hz"
        )
    return AudioStream(stream.sample_rate_hz, stream.channels, stream.format, _whole(stream, link), stream.found)


def _whole(stream: AudioStream, link: Link) -> Iterator[np.ndarray]:
    """Yield a link's blocks, and raise AudioError at the end when the container shows that a part is missing."""
    read = 0
    for block in stream.blocks:
        read += len(block)
        yield block
    read_s = read / stream.sample_rate_hz
    if link.stated:
        stated_s = read_s * link.stated / link.present if link.present else float("inf")
        if stated_s - read_s > _EXACT_SLACK_S:
            raise AudioError(
                "truncated", f"the header states {link.stated} bytes of sound, the file holds {link.present} of them"
            )
    # An MP3 states what its encoder padded, too.
    _check_length(read_s, link.stated_s, _SLACK_S if stream.format.startswith("MP3") else _EXACT_SLACK_S)
    if not link.ended:
        raise AudioError("truncated", f"the stream has no last page after {read_s:.1f} s")


def _uninterrupted_steps(blocks: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """Yield the blocks; each is made where no interrupt can reach a decoder's callback."""
    while (block := uninterrupted(lambda: next(blocks, None))) is not None:
        yield block


def _like(stream: AudioStream, first: AudioStream) -> Iterator[np.ndarray]:
    """Yield a stream's blocks at the rate and with the number of channels of another."""
    resampler = None
    if stream.sample_rate_hz != first.sample_rate_hz:
        resampler = soxr.ResampleStream(
            stream.sample_rate_hz, first.sample_rate_hz, first.channels, dtype="float32", quality="HQ"
        )
    for block in stream.blocks:
        if block.shape[1] != first.channels:
            block = np.repeat(block.mean(axis=1, keepdims=True, dtype=np.float32), first.channels, axis=1)
        yield resampler.resample_chunk(np.ascontiguousarray(block)) if resampler else block
    if resampler:
        yield resampler.resample_chunk(np.zeros((0, first.channels), np.float32), last=True)


def _open_soundfile(source: Path | bytes, link: Link, size: int) -> AudioStream:
    # A descriptor has no name, by which libsndfile would take raw samples for sound.
    whole_file = isinstance(source, Path) and link.size == size
    target: Any = os.open(source, os.O_RDONLY) if whole_file else _Window(source, link.begin, link.size)
    try:
        file = soundfile.SoundFile(target)
    except soundfile.SoundFileError as error:
        raise AudioError("undecodable", _words(error)) from error
    if file.frames >= _UNKNOWN_FRAMES:
        file.close()
        raise AudioError("undecodable", "the header states no length")
    frames = min(_BLOCK_FRAMES, max(1, _BLOCK_SAMPLES // file.channels))

    def blocks() -> Iterator[np.ndarray]:
        read = 0
        with file:
            while True:
                try:
                    block = file.read(frames, dtype="float32", always_2d=True)
                except soundfile.SoundFileError as error:
                    raise AudioError("truncated" if read else "undecodable", f"libsndfile: {_words(error)}") from error
                if not len(block):
                    break
                read += len(block)
                yield block
        _check_length(read / file.samplerate, file.frames / file.samplerate, _EXACT_SLACK_S)

    return AudioStream(file.samplerate, file.channels, f"{file.format}/{file.subtype}", blocks())


_NO_NETWORK = {"protocol_whitelist": "none"}  # playlists name other files and addresses, which are never opened
_ESTIMATES = {"mp3", "aac", "ac3", "eac3", "dts", "loas", "amr", "mpegts", "mpeg"}  # ffmpeg guesses by the bit rate
_STATE_DURATION = {"matroska,webm", "asf", "flv"}  # of the file, not of its tracks
_FROM_ZERO = {"matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2"}  # others may begin at any time of a clock


def _open_av(source: Path | bytes, link: Link, first_error: str) -> AudioStream:
    import av
    from av.error import FFmpegError

    target = _Window(source, link.begin, link.size)
    try:
        container: Any = av.open(target, metadata_errors="replace", options=_NO_NETWORK)
    except (FFmpegError, ValueError) as error:
        target.close()
        message = f"libsndfile: {first_error} ffmpeg: {_words(error)}."
        if link.stated:
            raise AudioError("truncated", f"{link.present} of {link.stated} bytes are there. {message}") from error
        raise AudioError("undecodable", message) from error
    try:
        return _open_track(container, target)
    except BaseException:
        container.close()
        target.close()
        raise


def _open_track(container: Any, target: _Window) -> AudioStream:
    import av
    from av.error import FFmpegError
    from av.stream import Disposition

    name = container.format.name
    tracks = [track for track in container.streams.audio if track.codec_context is not None]
    if not tracks:
        known = "without a sound track" if not container.streams.audio else "whose sound no decoder knows"
        raise AudioError("no_audio", f"a {name} file {known}")
    track = next((one for one in tracks if one.disposition & Disposition.default), tracks[0])
    packets = _Packets(container, track)
    try:
        head = next(packets.frames, None)
    except (FFmpegError, ValueError) as error:
        raise AudioError("undecodable", f"ffmpeg: {_words(error)}") from error
    if head is None:
        raise AudioError("empty", f"a {name} file whose sound track holds nothing")
    rate, layout, channels = head.sample_rate, head.layout, head.layout.nb_channels
    found = Found(other_tracks=len(container.streams.audio) - 1)
    stated_s = 0.0
    if name in _STATE_DURATION:
        stated_s = (container.duration or 0) / av.time_base
    elif track.duration and name not in _ESTIMATES:
        stated_s = float(track.duration * track.time_base)
    zero_s = 0.0 if name in _FROM_ZERO and stated_s else (container.start_time or 0) / av.time_base

    def kind_of(frame: Any) -> tuple[Any, ...]:
        return frame.format.name, frame.layout.name, frame.sample_rate

    def blocks() -> Iterator[np.ndarray]:
        clock = _Clock(zero_s)
        held: list[np.ndarray] = []
        unpack, kind = None, ()
        try:
            with target, container:
                for frame in itertools.chain([head], packets.frames, [None]):
                    gap_s = clock.gap_before(frame) if frame else 0.0
                    if unpack and (frame is None or gap_s or kind_of(frame) != kind):
                        held += [one.to_ndarray() for one in unpack.resample(None)]
                        unpack = None
                    if held and (frame is None or gap_s or len(held) >= _FRAMES_HELD):
                        yield np.concatenate(held, axis=1).T
                        held.clear()
                    if gap_s:
                        found.gaps_s += gap_s
                        yield from _silence(round(gap_s * rate), channels)
                    if frame is None:
                        break
                    if unpack is None:
                        # It only unpacks, to one float format. Few files change their own rate or layout on the way.
                        unpack, kind = av.AudioResampler(format="fltp", layout=layout, rate=rate), kind_of(frame)
                    held += [one.to_ndarray() for one in unpack.resample(frame)]
        except (FFmpegError, ValueError) as error:
            raise AudioError("truncated", f"ffmpeg: {_words(error)}") from error
        _check_length(max(clock.read_s, packets.end_s if name in _STATE_DURATION else 0.0), stated_s, _SLACK_S)

    return AudioStream(rate, channels, f"{name}/{track.codec_context.name}", blocks(), found)


class _Packets:
    """The packets of a container: the decoded `frames` of one track, and when the last packet of any track ends."""

    def __init__(self, container: Any, track: Any):
        self.end_s = 0.0
        self.frames = self._decode(container, track.index)

    def _decode(self, container: Any, index: int) -> Iterator[Any]:
        for packet in container.demux():
            if packet.pts is not None and packet.time_base:
                self.end_s = max(self.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            if packet.stream.index == index:
                yield from packet.decode()


class _Clock:
    """The time of the next frame of a track on the file's time line."""

    def __init__(self, zero_s: float):
        self._zero_s = zero_s
        self.read_s = 0.0

    def gap_before(self, frame: Any) -> float:
        """Return the seconds that are missing before a frame, and count both; AudioError when the gap is too long.

        Where times decrease (joined recordings), time continues from the samples read.
        """
        gap_s = 0.0
        if frame.pts is not None and frame.time_base:
            late_s = float(frame.pts * frame.time_base) - self._zero_s - self.read_s
            if late_s > _LONGEST_GAP_S:
                raise AudioError("undecodable", f"its times leave out {late_s:.0f} s after {self.read_s:.1f} s")
            if late_s > _GAP_S:
                gap_s = late_s
            elif late_s < -_GAP_S:
                self._zero_s += late_s
        self.read_s += gap_s + frame.samples / frame.sample_rate
        return gap_s


def _silence(frames: int, channels: int) -> Iterator[np.ndarray]:
    most = min(_BLOCK_FRAMES, max(1, _BLOCK_SAMPLES // channels))
    for start in range(0, frames, most):
        yield np.zeros((min(most, frames - start), channels), np.float32)


def _check_length(read_s: float, stated_s: float, slack_s: float) -> None:
    if stated_s - read_s > slack_s:
        raise AudioError("truncated", f"the header states {stated_s:.1f} s, {read_s:.1f} s could be read")


def _words(error: Exception) -> str:
    """Return a decoder's message without file paths and object addresses, because it is written to shards."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(text).strip()
