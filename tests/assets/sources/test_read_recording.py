import math
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spelangy_assets.sources.read_recording import Facts, ReadRule, read_recordings
from spelangy_model.audio.io import AudioError, decode_flac
from spelangy_model.audio.parts import PartRule
from spelangy_model.records import Recording, Utterance

RATE_HZ = 16_000
RULE = ReadRule(0.25, 3600.0, PartRule(max_part_s=8.0, search_s=1.0))
TALK = Facts("d1", "talk.wav", "https://example.org/talk", "CC0-1.0")


def _noise(seconds: float, level: float = 0.1, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (level * rng.uniform(-1, 1, round(seconds * RATE_HZ))).astype(np.float32)


def _read(path: Path, samples: np.ndarray, facts: Facts = TALK, rule: ReadRule = RULE) -> list[Recording]:
    soundfile.write(path / "talk.wav", samples, RATE_HZ, subtype="FLOAT")
    return [row for row, _ in read_recordings(path / "talk.wav", facts, rule, path)]


def test_a_short_file_is_one_row(tmp_path: Path):
    (row,) = _read(tmp_path, _noise(2.0))
    assert (row.recording_id, row.source_uri, row.offset_s) == ("d1", "talk.wav", 0.0)
    assert row.source_url == "https://example.org/talk"
    assert np.abs(decode_flac(row.audio.bytes) - _noise(2.0)).max() < 1e-4
    assert row.loudness_lufs == pytest.approx(-25, abs=3)
    assert row.snr_db < 0
    assert row.original_clipping_share == 0
    assert row.original_bandwidth_hz == pytest.approx(8000)


def test_a_long_file_is_several_rows_that_say_where_they_come_from(tmp_path: Path):
    samples = _noise(20.0)
    rows = _read(tmp_path, samples)
    assert [row.recording_id for row in rows] == ["d1-0000", "d1-0001", "d1-0002"]
    assert np.abs(np.concatenate([decode_flac(row.audio.bytes) for row in rows]) - samples).max() < 1e-4
    for row in rows:
        fragment = f"#t={row.offset_s:.3f},{row.offset_s + row.duration_s:.3f}"
        assert row.source_uri == f"talk.wav{fragment}"
        assert row.source_url == f"https://example.org/talk{fragment}"
        begin = round(row.offset_s * RATE_HZ)
        assert np.abs(decode_flac(row.audio.bytes)[:1000] - samples[begin : begin + 1000]).max() < 1e-4


def test_a_given_transcript_goes_with_its_part(tmp_path: Path):
    given = (
        Utterance("a", "one", 0.5, 6.8),
        Utterance("b", "two", 6.8, 9.0),
        Utterance("a", "three", 19.0, math.inf),
    )
    rows = _read(tmp_path, _noise(20.0), Facts("d1", "talk.wav", "", "CC0-1.0", "en", given))
    found = [(u.speaker, round(u.start_s + row.offset_s, 3), u.text) for row in rows for u in row.utterances]
    assert found == [("a", 0.5, "one"), ("b", 6.8, "two"), ("a", 19.0, "three")]
    assert all(0 <= u.start_s < u.end_s <= row.duration_s for row in rows for u in row.utterances)
    assert rows[-1].utterances[-1].end_s + rows[-1].offset_s == pytest.approx(20.0)
    assert {row.language for row in rows} == {"en"}


def test_silent_parts_are_left_out(tmp_path: Path):
    samples = _noise(24.0)
    samples[round(4 * RATE_HZ) : round(18 * RATE_HZ)] = 0
    stats: dict[str, float] = {}
    soundfile.write(tmp_path / "x.wav", samples, RATE_HZ)
    rows = [row for row, _ in read_recordings(tmp_path / "x.wav", TALK, RULE, tmp_path, stats.__setitem__)]
    assert [row.recording_id for row in rows] == ["d1-0000", "d1-0003"]
    kept_s = sum(row.duration_s for row in rows)
    assert stats == pytest.approx({"hours_in": 24 / 3600, "hours_silent": (24 - kept_s) / 3600})
    assert 10 <= kept_s < 17


def test_what_a_file_is_beside_one_plain_stream_is_counted(tmp_path: Path):
    stats: dict[str, float] = {}
    pieces = []
    for samples in (np.stack([_noise(3.0), _noise(3.0)], axis=1), _noise(2.0)):
        soundfile.write(tmp_path / "piece.ogg", samples, RATE_HZ)
        pieces.append((tmp_path / "piece.ogg").read_bytes())
    (tmp_path / "x.ogg").write_bytes(b"".join(pieces))
    ((row, _),) = read_recordings(tmp_path / "x.ogg", TALK, RULE, tmp_path, stats.__setitem__)
    assert row.duration_s == pytest.approx(5.0, abs=0.01)
    assert stats == pytest.approx({"hours_in": row.duration_s / 3600, "joined_streams": 1})


@pytest.mark.parametrize("level", [0.3, 2.0])
def test_a_turned_channel_does_not_cancel_the_other_whatever_the_level(tmp_path: Path, level: float):
    stats: dict[str, float] = {}
    samples = _noise(12.0, level)
    soundfile.write(tmp_path / "x.wav", np.stack([samples, -samples], axis=1), RATE_HZ, subtype="FLOAT")
    rows = [row for row, _ in read_recordings(tmp_path / "x.wav", TALK, RULE, tmp_path, stats.__setitem__)]
    read = np.concatenate([decode_flac(row.audio.bytes) for row in rows])
    assert np.abs(read - samples / max(1.0, float(np.abs(samples).max()))).max() < 1e-4
    assert stats["channels_left_out"] == 1
    assert {row.original_channels for row in rows} == {2}


def test_one_channel_of_a_call_is_read_with_its_number_in_the_addresses(tmp_path: Path):
    left, right = _noise(20.0, 0.2), _noise(20.0, 0.5)
    soundfile.write(tmp_path / "x.wav", np.stack([left, right], axis=1), RATE_HZ, subtype="FLOAT")
    facts = Facts("d1-c1", "call.wav#channel=1", "", "CC0-1.0", channel=1)
    rows = [row for row, _ in read_recordings(tmp_path / "x.wav", facts, RULE, tmp_path)]
    read = np.concatenate([decode_flac(row.audio.bytes) for row in rows])
    assert np.abs(read - right).max() < 1e-4
    assert rows[0].source_uri.startswith("call.wav#channel=1&t=0.000,")
    with pytest.raises(AudioError, match="no_channel"):
        next(read_recordings(tmp_path / "x.wav", Facts("d", "x", "", "", channel=2), RULE, tmp_path))


def test_loud_sound_is_scaled_over_the_whole_file(tmp_path: Path):
    samples = np.concatenate([_noise(10.0, 0.5), _noise(10.0, 4.0)])
    rows = _read(tmp_path, samples)
    scaled = np.concatenate([decode_flac(row.audio.bytes) for row in rows])
    assert np.abs(scaled).max() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(scaled - samples / np.abs(samples).max()).max() < 1e-4
    assert rows[0].original_clipping_share == pytest.approx(3 / 8, abs=0.01)


@pytest.mark.parametrize(
    ("samples", "reason"),
    [
        (np.zeros(20 * RATE_HZ, np.float32), "silent"),
        (np.full(20 * RATE_HZ, 0.5, np.float32), "silent"),
        (np.append(_noise(20.0), np.float32(np.nan)), "not_finite"),  # in its last sample
        (_noise(0.2), "too_short"),
        (np.zeros(0, np.float32), "empty"),
    ],
)
def test_a_file_that_cannot_be_used_gives_no_row_at_all(tmp_path: Path, samples: np.ndarray, reason: str):
    with pytest.raises(AudioError) as caught:
        _read(tmp_path, samples)
    assert caught.value.reason == reason


def test_a_file_that_breaks_off_late_gives_no_row(tmp_path: Path):
    path = tmp_path / "long.flac"
    soundfile.write(path, _noise(30.0), RATE_HZ)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 9 // 10])
    with pytest.raises(AudioError) as caught:
        next(read_recordings(path, TALK, RULE, tmp_path))
    assert caught.value.reason in ("truncated", "undecodable")


def test_what_is_too_long_is_not_read_to_its_end(tmp_path: Path):
    soundfile.write(tmp_path / "x.wav", _noise(60.0), RATE_HZ)
    with pytest.raises(AudioError, match=r"too_long: longer than the 20 s") as caught:
        next(read_recordings(tmp_path / "x.wav", TALK, ReadRule(0.25, 20.0, RULE.parts), tmp_path))
    assert caught.value.reason == "too_long"


def _write_long(path: Path, seconds: int, block: np.ndarray, rate_hz: int = RATE_HZ) -> None:
    with soundfile.SoundFile(path, "w", rate_hz, 1, format="FLAC") as file:
        for _ in range(seconds // 10):
            file.write(block)


def _peak_bytes(rows: Iterator[object]) -> tuple[int, int]:
    tracemalloc.start()
    count = sum(1 for _ in rows)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak, count


def test_memory_does_not_grow_with_the_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("spelangy_assets.sources.read_recording._MEMORY_BYTES", 1 << 20)
    rule = ReadRule(0.25, 3600.0, PartRule(max_part_s=20.0, search_s=2.0))
    peaks = {}
    for seconds in (20, 60, 240):  # the first also imports what is read with
        _write_long(tmp_path / "x.flac", seconds, _noise(10.0))
        peaks[seconds], count = _peak_bytes(read_recordings(tmp_path / "x.flac", TALK, rule, tmp_path))
        assert count >= seconds // 20
    assert peaks[240] < 1.05 * peaks[60]


@pytest.mark.slow
@pytest.mark.nightly
def test_a_day_of_silence_is_streamed_and_refused(tmp_path: Path):
    _write_long(tmp_path / "x.flac", 24 * 3600, np.zeros(10 * RATE_HZ, np.int16))
    rule = ReadRule(0.25, 48 * 3600.0, PartRule())
    tracemalloc.start()
    with pytest.raises(AudioError, match=r"silent: there is no sound in its 86400\.0 s"):
        next(read_recordings(tmp_path / "x.flac", TALK, rule, tmp_path))
    assert tracemalloc.get_traced_memory()[1] < 250e6
    tracemalloc.stop()
