import contextlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, decode, decode_flac, encode_flac


def _tone(seconds: float, rate_hz: int = SAMPLE_RATE_HZ, hz: float = 440.0, level: float = 0.5) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)).astype(np.float32)


def _wav(samples: np.ndarray, rate_hz: int, **options: str) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, **({"format": "WAV", "subtype": "FLOAT"} | options))
    return buffer.getvalue()


def _reason(source: Path | bytes) -> str:
    with pytest.raises(AudioError) as caught:
        decode(source)
    assert caught.value.detail
    return caught.value.reason


def test_stereo_at_44100_becomes_mono_at_16000():
    left, right = _tone(2.0, 44_100, level=0.6), 0.1 * _tone(2.0, 44_100, hz=5000)
    audio = decode(_wav(np.stack([left, right], axis=1), 44_100))
    assert (audio.original_sample_rate_hz, audio.original_channels) == (44_100, 2)
    assert audio.original_format == "WAV/FLOAT"
    assert audio.samples.dtype == np.float32
    assert audio.duration_s == pytest.approx(2.0, abs=1e-3)
    middle = slice(8_000, 24_000)
    both = _tone(2.0, level=0.3) + 0.05 * _tone(2.0, hz=5000)
    assert np.abs(audio.samples[middle] - both[middle]).max() < 1e-3


def test_long_files_are_resampled_as_one_stream():
    tone = _tone(20.0, 44_100)  # more than three blocks: a seam would show as a jump
    samples = decode(_wav(tone, 44_100)).samples
    assert np.abs(samples - _tone(20.0)[: len(samples)])[4000:-4000].max() < 1e-3


def test_loud_float_files_are_scaled_not_clipped():
    samples = decode(_wav(_tone(1.0, level=0.5) * 32768, SAMPLE_RATE_HZ)).samples
    assert np.abs(samples).max() == pytest.approx(1.0)
    assert np.corrcoef(samples, _tone(1.0))[0, 1] > 0.9999


def test_flac_round_trip_is_exact_in_16_bits_and_stable():
    samples = np.random.default_rng(0).uniform(-1, 1, 5000).astype(np.float32)
    data = encode_flac(samples)
    back = decode_flac(data)
    assert np.abs(back - samples).max() <= 1 / 32768 + 1e-7
    assert encode_flac(back) == data
    assert np.array_equal(decode_flac(encode_flac(back)), back)


@pytest.mark.parametrize(
    "samples", [np.zeros((2, 5), np.float32), np.zeros(0, np.float32), np.array([np.nan], np.float32)]
)
def test_flac_refuses_what_it_cannot_hold(samples: np.ndarray):
    with pytest.raises(ValueError, match="encode_flac"):
        encode_flac(samples)


def test_flac_of_a_shard_is_mono_16k():
    buffer = io.BytesIO()
    soundfile.write(buffer, _tone(0.1, 8000), 8000, format="FLAC")
    with pytest.raises(AudioError, match="8000 Hz"):
        decode_flac(buffer.getvalue())


def test_reasons():
    broken = _tone(1.0).copy()
    broken[7] = np.nan
    assert _reason(b"") == "empty"
    assert _reason(b"no sound at all") == "undecodable"
    assert _reason(_wav(np.zeros(0, np.float32), 16_000)) == "empty"
    assert _reason(_wav(np.zeros(16_000, np.float32), 16_000)) == "silent"
    assert _reason(_wav(broken, 16_000)) == "not_finite"
    assert _reason(_wav(np.full(48_000, 0.4, np.float32), 48_000)) == "silent"  # a constant is no sound


def test_paths_that_are_no_files(tmp_path: Path):
    folder = tmp_path / "x.wav"
    folder.mkdir()
    assert _reason(folder) == "not_a_file"
    assert _reason(tmp_path / "missing.wav") == "not_a_file"
    fifo = tmp_path / "pipe.wav"
    os.mkfifo(fifo)
    assert _reason(fifo) == "not_a_file"


@pytest.mark.parametrize("name", [b"odd-\xff.wav", b"new\nline.wav", b"-dash.wav", "\u00fcml\u00e4ut.wav".encode()])
def test_odd_names_are_read(name: bytes, tmp_path: Path):
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    try:
        path.write_bytes(_wav(_tone(0.5), 16_000))
    except OSError:
        pytest.skip("this file system refuses the name")
    assert decode(path).duration_s == 0.5


def _encoded(container: str, codec: str, rate_hz: int, samples: np.ndarray) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        stream = out.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].copy(), format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        resampler = av.AudioResampler(
            format=stream.codec_context.format or "fltp", layout="mono", rate=rate_hz,
            frame_size=stream.codec_context.frame_size or 1024,
        )  # fmt: skip
        for packed in [*resampler.resample(frame), *resampler.resample(None)]:
            out.mux(stream.encode(packed))
        out.mux(stream.encode(None))
    return buffer.getvalue()


@pytest.mark.parametrize(("container", "codec"), [("mp4", "aac"), ("webm", "libopus"), ("matroska", "ac3")])
def test_what_libsndfile_cannot_read_goes_through_ffmpeg(container: str, codec: str, tmp_path: Path):
    data = _encoded(container, codec, 48_000, _tone(3.0, 48_000))
    audio = decode(data)
    assert audio.original_format.endswith(codec.removeprefix("lib"))
    assert audio.duration_s == pytest.approx(3.0, abs=0.1)
    spectrum = np.abs(np.fft.rfft(audio.samples[8000:24_000]))
    assert int(spectrum.argmax()) == 440
    path = tmp_path / "x"
    path.write_bytes(data)
    assert np.array_equal(decode(path).samples, audio.samples)


def test_truncated_files_are_rejected_not_shortened():
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 160_000).astype(np.float32)
    webm = _encoded("webm", "libopus", 48_000, np.repeat(noise, 3))
    flac = encode_flac(noise)
    assert _reason(webm[: len(webm) // 2]) == "truncated"
    assert _reason(flac[: len(flac) // 2]) in ("truncated", "undecodable")


def test_a_flac_stream_without_a_length_is_read():
    data = bytearray(encode_flac(_tone(2.0)))
    data[21] &= 0xF0  # STREAMINFO: the 36 bits of the total number of samples; 0 says unknown
    data[22:26] = bytes(4)
    assert decode(bytes(data)).duration_s == pytest.approx(2.0, abs=0.01)


def test_errors_hold_no_location(tmp_path: Path):
    path = tmp_path / "text.wav"
    path.write_bytes(b"RIFF is all it has in common")
    with pytest.raises(AudioError) as caught:
        decode(path)
    assert str(tmp_path) not in caught.value.detail
    assert "0x" not in caught.value.detail


def test_odd_audio_is_read_or_rejected_with_a_reason(shared_dir: Path):
    outcome = {}
    for path in sorted((shared_dir / "data" / "audio_odd").iterdir()):
        try:
            outcome[path.name] = decode(path).original_format
        except AudioError as error:
            outcome[path.name] = error.reason
    assert outcome == {
        "24bit.wav": "WAVEX/PCM_24",
        "missing_header.wav": "undecodable",
        "silence.mp3": "mp3/mp3float",  # without a Xing frame, of which libsndfile would guess the length
        "silence.wav": "WAV/PCM_16",
        "speech.opus": "OGG/OPUS",
        "text_called.wav": "undecodable",
        "zero_bytes.wav": "empty",
        "zero_samples.wav": "empty",
    }


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="there are no files in memory here")
@pytest.mark.parametrize("length", [None, 60, 0])
def test_decoding_leaves_no_descriptor_open_and_closes_no_other(length: int | None):
    flac = encode_flac(np.zeros(SAMPLE_RATE_HZ, np.float32))[:length]
    before = set(Path("/proc/self/fd").iterdir())
    with contextlib.nullcontext() if length is None else pytest.raises(AudioError, match="Error opening"):
        decode_flac(flac)
    assert set(Path("/proc/self/fd").iterdir()) == before
