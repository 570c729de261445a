"""Sound in and out: any file that a decoder knows -> mono float32 at 16 kHz; FLAC bytes for shards and back.

Put here: decoding, downmixing, resampling, FLAC. Do not put here: speech detection, anything about speakers
or words, folder walks. libsndfile (through soundfile) reads WAV, FLAC, MP3, Ogg; PyAV's ffmpeg reads the rest.
A file that cannot be used raises AudioError with one fixed reason word, which the caller counts.

`open_stream` and `mono_16k` give a file of any length block by block; `decode` gives a short one whole.
"""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from spelangy_model.interrupts import uninterrupted

SAMPLE_RATE_HZ = 16_000

SILENT_PEAK = 1e-4  # -80 dBFS: three steps of 16 bits; below it no decoder leaves anything that a person could hear

_BLOCK_FRAMES = 1 << 18  # read and resampled at once: flat memory for stereo and high rates
_FRAMES_HELD = 64  # of a codec, a thousand samples or so each: joined, since each block has a cost of its own
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's mark for a stream whose header states no length is 2^63 - 1
_FLAC_LEVEL = 0.5  # libsndfile's scale; level 5 of the flac program: measured as fast as level 0, and smaller


class AudioError(Exception):
    """A sound that cannot be used. `reason` is a fixed word, `detail` the decoder's own words.

    Reasons: not_a_file, unreadable, empty, undecodable, no_audio, truncated, not_finite, silent.
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


@dataclass(frozen=True)
class AudioStream:
    """An opened file: header facts, and its blocks of float32 (frames, channels), to be read once and to the end.

    A block raises AudioError where the file turns out to be truncated or undecodable.
    """

    sample_rate_hz: int
    channels: int
    format: str
    blocks: Iterator[np.ndarray]


def decode(source: Path | bytes) -> DecodedAudio:
    """Decode a file or a file's bytes to mono float32 at 16 kHz, whole.

    Channels are averaged; the rate is changed by soxr's HQ filter, which is deterministic; sound whose peak
    lies above 1 (float files) is scaled to a peak of 1, not clipped. Raises AudioError for whatever cannot be used.
    """
    stream = open_stream(source)
    pieces = list(mono_16k(stream))
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


def open_stream(source: Path | bytes) -> AudioStream:
    """Open a file or a file's bytes; its blocks are decoded as they are read. Raises AudioError."""
    _check_source(source)
    try:
        stream = _open_soundfile(source)
    except AudioError as first:
        stream = _open_av(source, first.detail)
    if stream.sample_rate_hz <= 0:
        raise AudioError("undecodable", f"a sample rate of {stream.sample_rate_hz} Hz")
    return stream


def mono_16k(stream: AudioStream, watch: Callable[[np.ndarray], None] = lambda block: None) -> Iterator[np.ndarray]:
    """Yield a stream's samples as float32 mono at 16 kHz, in blocks; `watch` is shown each block of the original.

    Raises AudioError (not_finite, and what the stream raises). Levels are left as they are.
    """
    resampler = None
    if stream.sample_rate_hz != SAMPLE_RATE_HZ:
        resampler = soxr.ResampleStream(stream.sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    for block in stream.blocks:
        mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else np.ascontiguousarray(block[:, 0])
        if not np.isfinite(mono).all():
            raise AudioError("not_finite", "the samples hold NaN or infinity")
        watch(block)
        yield resampler.resample_chunk(mono) if resampler else mono
    if resampler:
        yield resampler.resample_chunk(np.zeros(0, np.float32), last=True)


def is_silent(samples: np.ndarray) -> bool:
    """Whether samples (n,) hold nothing that could be heard: zeros, or a constant (a DC offset) at any level.

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
        samples, rate = uninterrupted(lambda: soundfile.read(io.BytesIO(data), dtype="float32"))
    except soundfile.SoundFileError as error:
        raise AudioError("undecodable", str(error)) from error
    if rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise AudioError("undecodable", f"a shard holds mono at {SAMPLE_RATE_HZ} Hz, not {samples.shape} at {rate} Hz")
    return samples


def _flac_of(samples: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    options: Any = {"format": "FLAC", "subtype": "PCM_16", "compression_level": _FLAC_LEVEL}
    with soundfile.SoundFile(buffer, "w", SAMPLE_RATE_HZ, 1, **options) as file:
        for start in range(0, len(samples), _BLOCK_FRAMES):
            block = samples[start : start + _BLOCK_FRAMES]
            file.write(np.clip(np.rint(block * 32768.0), -32768, 32767).astype(np.int16))
    return buffer.getvalue()


# --- decoding -----------------------------------------------------------------------------------------------


def _check_source(source: Path | bytes) -> None:
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


def _open_soundfile(source: Path | bytes) -> AudioStream:
    # The name goes as bytes: a name that is not valid in the file system's encoding is a name all the same.
    target: Any = io.BytesIO(source) if isinstance(source, bytes) else os.fsencode(source)
    try:
        file = soundfile.SoundFile(target)
    except soundfile.SoundFileError as error:
        raise AudioError("undecodable", _words(error)) from error
    if file.frames >= _UNKNOWN_FRAMES:
        file.close()
        raise AudioError("undecodable", "the header states no length")

    def blocks() -> Iterator[np.ndarray]:
        read = 0
        with file:
            while True:
                try:
                    block = file.read(_BLOCK_FRAMES, dtype="float32", always_2d=True)
                except soundfile.SoundFileError as error:
                    raise AudioError("truncated" if read else "undecodable", f"libsndfile: {_words(error)}") from error
                if not len(block):
                    break
                read += len(block)
                yield block
        _check_length(read / file.samplerate, file.frames / file.samplerate)

    return AudioStream(file.samplerate, file.channels, f"{file.format}/{file.subtype}", blocks())


def _open_av(source: Path | bytes, first_error: str) -> AudioStream:
    import av
    from av.error import FFmpegError

    target = io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")
    try:
        container: Any = av.open(target, metadata_errors="replace")
    except (FFmpegError, ValueError) as error:
        target.close()
        raise AudioError("undecodable", f"libsndfile: {first_error} ffmpeg: {_words(error)}.") from error
    if not container.streams.audio:
        container.close()
        target.close()
        raise AudioError("no_audio", f"a {container.format.name} file without a sound track")
    track = container.streams.audio[0]
    codec = track.codec_context
    stated_s = float(track.duration * track.time_base) if track.duration else 0.0
    if not stated_s and container.duration and len(container.streams) == 1:
        stated_s = container.duration / av.time_base

    def blocks() -> Iterator[np.ndarray]:
        read = 0
        try:
            with target, container:
                # It only unpacks (to one float format, at the track's own rate and channels); soxr changes the rate.
                unpack = av.AudioResampler(format="fltp", layout=codec.layout, rate=codec.sample_rate)
                held: list[np.ndarray] = []
                for packed in itertools.chain(container.decode(track), [None]):
                    for frame in unpack.resample(packed):
                        read += frame.samples
                        held.append(frame.to_ndarray())
                    if held and (packed is None or len(held) >= _FRAMES_HELD):
                        yield np.concatenate(held, axis=1).T
                        held.clear()
        except (FFmpegError, ValueError) as error:
            raise AudioError("truncated" if read else "undecodable", f"ffmpeg: {_words(error)}") from error
        _check_length(read / codec.sample_rate, stated_s)

    return AudioStream(codec.sample_rate, codec.channels, f"{container.format.name}/{codec.name}", blocks())


def _check_length(read_s: float, stated_s: float) -> None:
    # A second is more than any codec's padding or a container's rounding, and less than a lost part.
    if stated_s - read_s > 1.0:
        raise AudioError("truncated", f"the header states {stated_s:.1f} s, {read_s:.1f} s could be read")


def _words(error: Exception) -> str:
    """Return what a decoder says, without the file's location and without objects' addresses: it goes into shards."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(text).strip()
