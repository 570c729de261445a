"""Sound in and out: any file that a decoder knows -> mono float32 at 16 kHz; FLAC bytes for shards and back.

Put here: decoding, downmixing, resampling, FLAC. Do not put here: speech detection, anything about speakers
or words, folder walks. libsndfile (through soundfile) reads WAV, FLAC, MP3, Ogg; PyAV's ffmpeg reads the rest.
A file that cannot be used raises AudioError with one fixed reason word, which the caller counts.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

SAMPLE_RATE_HZ = 16_000

SILENT_PEAK = 1e-4  # -80 dBFS: three steps of 16 bits; below it no decoder leaves anything that a person could hear

_BLOCK_FRAMES = 1 << 18  # read and resampled at once: flat memory for stereo and high rates
_UNKNOWN_FRAMES = 1 << 62  # libsndfile's mark for a stream whose header states no length is 2^63 - 1
_FLAC_LEVEL = 0.5  # libsndfile's scale; level 5 of the flac program: measured as fast as level 0, and smaller


class AudioError(Exception):
    """A sound that cannot be used. `reason` is a fixed word, `detail` the decoder's own words.

    Reasons: not_a_file, unreadable, empty, undecodable, no_audio, truncated, not_finite, silent, too_long.
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
class _Source:
    """An opened stream: header facts, and blocks of float32 (frames, channels)."""

    sample_rate_hz: int
    channels: int
    format: str
    blocks: Iterator[np.ndarray]


def decode(source: Path | bytes, *, max_duration_s: float | None = None) -> DecodedAudio:
    """Decode a file or a file's bytes to mono float32 at 16 kHz.

    Channels are averaged; the rate is changed by soxr's HQ filter, which is deterministic; sound whose peak
    lies above 1 (float files) is scaled to a peak of 1, not clipped. A recording longer than `max_duration_s`
    is refused before more than that is held. Raises AudioError for whatever cannot be used.
    """
    _check_source(source)
    try:
        stream = _open_soundfile(source)
    except AudioError as first:
        stream = _open_av(source, first.detail)
    limit = None if max_duration_s is None else int(max_duration_s * SAMPLE_RATE_HZ)
    samples = _to_mono_16k(stream, limit)
    return DecodedAudio(
        samples=samples,
        duration_s=len(samples) / SAMPLE_RATE_HZ,
        original_sample_rate_hz=stream.sample_rate_hz,
        original_channels=stream.channels,
        original_format=stream.format,
    )


def encode_flac(samples: np.ndarray) -> bytes:
    """Encode mono float samples (n,) in [-1, 1] at 16 kHz as a 16-bit FLAC file; equal samples, equal bytes.

    Raises ValueError when the array is not one-dimensional, is empty, or holds a value that is not finite.
    """
    if samples.ndim != 1 or not len(samples):
        raise ValueError(f"encode_flac takes a non-empty array of shape (n,), not {samples.shape}")
    if not np.isfinite(samples).all():
        raise ValueError("encode_flac takes finite samples; this array holds NaN or infinity")
    whole = np.clip(np.rint(samples * 32768.0), -32768, 32767).astype(np.int16)
    buffer = io.BytesIO()
    soundfile.write(buffer, whole, SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16", compression_level=_FLAC_LEVEL)
    return buffer.getvalue()


def decode_flac(data: bytes) -> np.ndarray:
    """Decode a FLAC file that `encode_flac` made to float32 samples (n,); exact for what 16 bits can hold.

    Raises AudioError (undecodable) when the bytes are no such file.
    """
    try:
        samples, rate = soundfile.read(io.BytesIO(data), dtype="float32")
    except soundfile.SoundFileError as error:
        raise AudioError("undecodable", str(error)) from error
    if rate != SAMPLE_RATE_HZ or samples.ndim != 1:
        raise AudioError("undecodable", f"a shard holds mono at {SAMPLE_RATE_HZ} Hz, not {samples.shape} at {rate} Hz")
    return samples


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


def _open_soundfile(source: Path | bytes) -> _Source:
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

    return _Source(file.samplerate, file.channels, f"{file.format}/{file.subtype}", blocks())


def _open_av(source: Path | bytes, first_error: str) -> _Source:
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
                for packed in container.decode(track):
                    for frame in unpack.resample(packed):
                        read += frame.samples
                        yield frame.to_ndarray().T
                for frame in unpack.resample(None):
                    yield frame.to_ndarray().T
        except (FFmpegError, ValueError) as error:
            raise AudioError("truncated" if read else "undecodable", f"ffmpeg: {_words(error)}") from error
        _check_length(read / codec.sample_rate, stated_s)

    return _Source(codec.sample_rate, codec.channels, f"{container.format.name}/{codec.name}", blocks())


def _check_length(read_s: float, stated_s: float) -> None:
    # A second is more than any codec's padding or a container's rounding, and less than a lost part.
    if stated_s - read_s > 1.0:
        raise AudioError("truncated", f"the header states {stated_s:.1f} s, {read_s:.1f} s could be read")


def _words(error: Exception) -> str:
    """Return what a decoder says, without the file's location and without objects' addresses: it goes into shards."""
    text = getattr(error, "error_string", None) or getattr(error, "strerror", None) or type(error).__name__
    return str(text).strip()


def _to_mono_16k(stream: _Source, limit: int | None) -> np.ndarray:
    if stream.sample_rate_hz <= 0:
        raise AudioError("undecodable", f"a sample rate of {stream.sample_rate_hz} Hz")
    resampler = None
    if stream.sample_rate_hz != SAMPLE_RATE_HZ:
        resampler = soxr.ResampleStream(stream.sample_rate_hz, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ")
    pieces: list[np.ndarray] = []
    held = 0
    for block in stream.blocks:
        mono = block.mean(axis=1, dtype=np.float32) if block.shape[1] > 1 else np.ascontiguousarray(block[:, 0])
        if not np.isfinite(mono).all():
            raise AudioError("not_finite", "the samples hold NaN or infinity")
        pieces.append(resampler.resample_chunk(mono) if resampler else mono)
        held += len(pieces[-1])
        if limit is not None and held > limit:
            raise AudioError("too_long", f"longer than the {limit / SAMPLE_RATE_HZ:g} s that are allowed")
    if resampler:
        pieces.append(resampler.resample_chunk(np.zeros(0, np.float32), last=True))
    samples = np.concatenate(pieces) if pieces else np.zeros(0, np.float32)
    if not len(samples):
        raise AudioError("empty", "the file holds no sample")
    peak = float(np.abs(samples).max())
    if peak < SILENT_PEAK:
        raise AudioError("silent", f"the peak is {peak:.1e} of full scale, below {SILENT_PEAK:.0e}")
    return samples / np.float32(peak) if peak > 1 else samples
