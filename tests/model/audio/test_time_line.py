"""The times of a file are those of its packets, its track is the default one, and no channel cancels another."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from spelangy_model.audio.channels import ChannelMeter
from spelangy_model.audio.io import AudioError, AudioStream, decode, mono_16k, open_stream
from spelangy_model.audio.levels import with_levels
from spelangy_model.audio.measures import measure_signal
from spelangy_model.records import Segment

RATE_HZ = 48_000


def tone(seconds: float, hz: float = 300.0, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ)).astype(np.float32)


def film(
    container: str, tracks: list[tuple[np.ndarray, float, bool]], codec: str, picture: bool = False, pause_s: float = 0
) -> bytes:
    """A file of (samples, begin in s, default) tracks, with 8 s of picture if asked, and a pause after 2 s of each."""
    import av
    from av.stream import Disposition

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as out:
        packets = []
        video: Any = out.add_stream("mpeg4", rate=10) if picture else None
        if video:
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
        streams: list[Any] = []
        for _, _, default in tracks:
            streams.append(out.add_stream(codec, rate=RATE_HZ, layout="mono"))
            streams[-1].disposition = Disposition.default if default else Disposition(0)
        for number in range(80 if picture else 0):
            image = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number, np.uint8), format="rgb24")
            image.pts, image.time_base = number, Fraction(1, 10)
            packets += video.encode(image)
        packets += video.encode(None) if picture else []
        for stream, (samples, begin_s, _) in zip(streams, tracks, strict=True):
            whole = av.AudioFrame.from_ndarray(samples[None].copy(), format="fltp", layout="mono")
            whole.sample_rate = RATE_HZ
            packer = av.AudioResampler(
                format=stream.codec_context.format, layout="mono", rate=RATE_HZ,
                frame_size=stream.codec_context.frame_size or 1024,
            )  # fmt: skip
            at = 0
            for frame in [*packer.resample(whole), *packer.resample(None)]:
                late_s = begin_s + (pause_s if at > 2 * RATE_HZ else 0)
                frame.pts, frame.time_base = at + round(late_s * RATE_HZ), Fraction(1, RATE_HZ)
                at += frame.samples
                packets += stream.encode(frame)
            packets += stream.encode(None)
        for packet in sorted((p for p in packets if p.dts is not None), key=lambda p: p.dts * p.time_base):
            out.mux(packet)
    return buffer.getvalue()


def read(data: bytes) -> tuple[np.ndarray, AudioStream]:
    stream = open_stream(data)
    return np.concatenate(list(mono_16k(stream))), stream


def starts_s(samples: np.ndarray) -> float:
    return float(np.flatnonzero(np.abs(samples) > 0.1)[0]) / 16_000


@pytest.mark.parametrize(("container", "codec"), [("matroska", "libopus"), ("mp4", "aac"), ("mpegts", "aac")])
def test_sound_that_starts_late_in_a_film_has_its_time(container: str, codec: str):
    samples, stream = read(film(container, [(tone(4), 2.5, True)], codec, picture=True))
    assert starts_s(samples) == pytest.approx(2.5, abs=0.06)
    assert len(samples) / 16_000 == pytest.approx(6.5, abs=0.06)
    assert stream.found.gaps_s == pytest.approx(2.5, abs=0.06)


def test_a_clock_that_began_long_before_the_file_is_no_gap():
    samples, stream = read(film("mpegts", [(tone(4), 5_000, True)], "aac"))
    assert len(samples) / 16_000 == pytest.approx(4.0, abs=0.06)
    assert stream.found.gaps_s == 0


@pytest.mark.parametrize("pause_s", [0.3, 0.9, 40.0])
@pytest.mark.parametrize(("container", "codec"), [("webm", "libopus"), ("mp4", "aac")])
def test_a_pause_is_silence_of_its_length(container: str, codec: str, pause_s: float):
    samples, stream = read(film(container, [(tone(4), 0, True)], codec, pause_s=pause_s))
    assert len(samples) / 16_000 == pytest.approx(4.0 + pause_s, abs=0.1)
    assert stream.found.gaps_s == pytest.approx(pause_s, abs=0.05)
    peaks = np.abs(samples[: len(samples) // 160 * 160].reshape(-1, 160)).max(axis=1)
    quiet = 100 + np.flatnonzero(peaks[100:-100] < 1e-3)  # in hundredths of a second
    assert len(quiet) / 100 == pytest.approx(pause_s, abs=0.1)
    assert quiet[0] / 100 == pytest.approx(2.0, abs=0.1)


def test_a_time_that_leaves_out_most_of_a_day_is_an_error():
    with pytest.raises(AudioError, match="leave out"):
        read(film("webm", [(tone(4), 0, True)], "libopus", pause_s=20 * 3600))


def test_the_default_track_is_read_and_the_others_are_counted():
    tracks = [(tone(3, level=0.001), 0.0, False), (tone(3), 0.0, True), (tone(3, level=0.002), 0.0, False)]
    samples, stream = read(film("matroska", tracks, "libopus"))
    assert np.abs(samples[8000:40_000]).max() > 0.2
    assert stream.found.other_tracks == 2
    samples, stream = read(film("matroska", [(x, begin, False) for x, begin, _ in tracks[1:]], "libopus"))
    assert np.abs(samples[8000:40_000]).max() > 0.2  # without a default one, the first
    assert stream.found.other_tracks == 1


def of_channels(*channels: np.ndarray) -> bytes:
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, np.stack(channels, axis=1), RATE_HZ, format="WAV", subtype="FLOAT")
    return buffer.getvalue()


def level(samples: np.ndarray) -> float:
    return float(np.abs(samples[8000:-8000]).max())


def test_channels_of_the_same_and_of_other_things_are_averaged():
    assert level(decode(of_channels(tone(3), tone(3))).samples) == pytest.approx(0.3, rel=0.01)
    mixed = decode(of_channels(tone(3), tone(3, hz=1000))).samples
    assert np.std(mixed) == pytest.approx(0.3 / 2, rel=0.02)


@pytest.mark.parametrize("share", [1.0, 0.2])
def test_a_channel_with_its_sign_turned_does_not_cancel_the_other(share: float):
    turned = tone(4).copy()
    turned[: int(share * len(turned))] *= -1
    samples = decode(of_channels(tone(4), turned)).samples
    assert np.std(samples[: int(3.9 * 16_000 * share)]) == pytest.approx(0.3 / np.sqrt(2), rel=0.02)


@pytest.mark.parametrize("count", [2, 6])
def test_dead_channels_do_not_lower_the_level(count: int):
    noise = 2e-4 * np.random.default_rng(0).standard_normal((count - 1, 3 * RATE_HZ)).astype(np.float32)
    assert level(decode(of_channels(*noise, tone(3))).samples) == pytest.approx(0.3, rel=0.01)


def test_the_meter_says_which_channels_and_nothing_of_silence():
    meter = ChannelMeter()
    assert meter.choose() is None
    meter.watch(np.zeros((1000, 2), np.float32))
    assert meter.choose() is None
    meter.watch(np.stack([np.zeros(9000), tone(9000 / RATE_HZ)], axis=1).astype(np.float32))
    assert meter.choose() == (1,)


def test_one_channel_is_read_by_its_number():
    data = of_channels(tone(3), tone(3, hz=1000, level=0.1), tone(3, level=0.0))
    (one,) = [np.concatenate(list(mono_16k(open_stream(data), channels=[1])))]
    assert int(np.abs(np.fft.rfft(one[8000:24_000])).argmax()) == 1000
    assert level(one) == pytest.approx(0.1, rel=0.02)
    with pytest.raises(AudioError, match="channel 3 of a file with 3"):
        next(mono_16k(open_stream(data), channels=[3]))


def test_an_offset_is_measured_as_no_sound():
    rng = np.random.default_rng(0)
    gate = np.repeat(rng.random(50) > 0.4, 1600)
    samples = (0.2 * gate * rng.standard_normal(80_000) + 0.001 * rng.standard_normal(80_000)).astype(np.float32)
    plain = measure_signal(samples)
    for offset in (0.3, -0.02, 0.0005):
        moved = measure_signal(samples + np.float32(offset))
        assert moved.snr_db == pytest.approx(plain.snr_db, abs=0.1)
        assert moved.loudness_lufs == pytest.approx(plain.loudness_lufs, abs=0.1)
    segment = Segment(segment_id="s", recording_id="r", start_s=0.0, end_s=5.0, speaker="a", overlap_s=0.0)
    (before,) = with_levels([segment], samples)
    (after,) = with_levels([segment], samples + np.float32(0.3))
    assert after.snr_db == pytest.approx(before.snr_db, abs=0.1)
    assert len(after.sound) == len(before.sound)
