import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_model.audio.diarization import diarize
from spelangy_model.audio.diarization.der import diarization_error
from spelangy_model.audio.diarization.diarize import (
    DiarizerSpec,
    DiarizerUnavailable,
    EmbeddedDiarizer,
    check_diarizer,
    open_diarizer,
)
from spelangy_model.audio.diarization.vad import speech_spans
from spelangy_model.audio.diarization.voice_clusters import cluster_centres
from spelangy_model.audio.rttm import read_rttm
from spelangy_model.audio.tts import SynthesizerSpec, open_synthesizer
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.audio.turns import Turn


@pytest.fixture(scope="module")
def diarizer() -> EmbeddedDiarizer:
    return EmbeddedDiarizer(DiarizerSpec())


@pytest.fixture(scope="module")
def conversation(shared_dir: Path) -> np.ndarray:
    samples, _ = soundfile.read(shared_dir / "data/speech/conversation/katiesteve_mono.flac", dtype="float32")
    return samples


# --- scoring ------------------------------------------------------------------------------------------------


def test_der_counts_misses_false_alarms_and_confusion():
    reference = {"r": [Turn(0, 4, "a"), Turn(4, 8, "b")]}
    hypothesis = {"r": [Turn(0, 4, "x"), Turn(4, 5, "x"), Turn(5, 7, "y"), Turn(8, 9, "y")]}
    error = diarization_error(reference, hypothesis, duration_s={"r": 10.0})
    assert (error.total_s, error.missed_s, error.false_alarm_s, error.confusion_s) == (8.0, 1.0, 1.0, 1.0)
    assert error.rate == pytest.approx(3 / 8)


def test_der_scores_only_the_recording_and_skips_collars_and_overlap():
    reference = {"r": [Turn(0, 4, "a"), Turn(3, 6, "b")]}
    late = {"r": [Turn(0, 4.2, "x"), Turn(3, 6, "y"), Turn(9, 12, "x")]}
    assert diarization_error(reference, late, duration_s={"r": 8.0}).false_alarm_s == pytest.approx(0.2)
    assert diarization_error(reference, late, duration_s={"r": 8.0}, collar_s=0.25).false_alarm_s == pytest.approx(0)
    silent_overlap = {"r": [Turn(0, 3, "x"), Turn(4, 6, "y")]}
    assert diarization_error(reference, silent_overlap, duration_s={"r": 8.0}).missed_s == pytest.approx(2.0)
    assert diarization_error(reference, silent_overlap, duration_s={"r": 8.0}, skip_overlap=True).rate == 0.0


# --- clustering ---------------------------------------------------------------------------------------------


def _voices(speakers: int, each: int, spread: float = 0.1) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = np.linalg.qr(rng.normal(size=(192, speakers)))[0].T
    points = np.repeat(centres, each, axis=0) + rng.normal(size=(speakers * each, 192)) * spread / np.sqrt(192)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def test_clusters_are_found_and_centred():
    centres = cluster_centres(_voices(5, 20), 0.5)
    assert centres.shape == (5, 192)
    assert np.linalg.norm(centres, axis=1) == pytest.approx(np.ones(5))


def test_many_embeddings_are_clustered_block_by_block():
    voices = _voices(4, 700)
    mixed = voices[np.random.default_rng(1).permutation(len(voices))]
    assert len(cluster_centres(mixed, 0.5)) == 4


def test_strangers_are_never_merged_and_the_rounds_end():
    strangers = np.eye(1100)
    assert len(cluster_centres(strangers, 0.5)) == 1100
    assert len(cluster_centres(strangers[:1], 0.5)) == 1


# --- what can be chosen -------------------------------------------------------------------------------------


def test_missing_diarizers_say_how_to_get_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    check_diarizer(DiarizerSpec(), {})
    with pytest.raises(DiarizerUnavailable, match="embedded or pyannote"):
        check_diarizer(DiarizerSpec(backend="nemo"), {})  # type: ignore[arg-type]
    with pytest.raises(DiarizerUnavailable, match="name or the folder"):
        check_diarizer(DiarizerSpec(backend="pyannote"), {})
    import importlib.metadata

    hub = DiarizerSpec(backend="pyannote", model="pyannote/speaker-diarization-community-1")

    def version(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    with pytest.raises(DiarizerUnavailable, match="pip install"):
        open_diarizer(hub, {})
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "3.4.0")
    with pytest.raises(DiarizerUnavailable, match="too old"):
        check_diarizer(hub, {})
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "4.0.1")
    with pytest.raises(DiarizerUnavailable, match="HF_TOKEN"):
        check_diarizer(hub, {})
    check_diarizer(hub, {"HF_TOKEN": "token"})
    folder = DiarizerSpec(backend="pyannote", model=str(tmp_path))
    with pytest.raises(DiarizerUnavailable, match=r"config\.yaml cannot be read"):
        check_diarizer(folder, {})
    (tmp_path / "config.yaml").write_text("pipeline: {name: pyannote.audio.pipelines.SpeakerDiarization}")
    check_diarizer(folder, {})


# --- the embedded diarizer on sound -------------------------------------------------------------------------


def test_windows_in_batches_give_what_each_gives_alone(diarizer: EmbeddedDiarizer, monkeypatch: pytest.MonkeyPatch):
    """As on a GPU; the last window is shorter than the others."""
    speaker, voices = open_synthesizer(SynthesizerSpec(), "cpu", None), VOICES[:2]
    texts = ["The river rises slowly in the hills above the old town.", "No one had seen so much snow in one winter."]
    turns = [speaker.speak(texts[turn % 2], voices[turn % 2]) for turn in range(6)]
    samples = np.concatenate(turns)[: 13 * 16_000 - 150]
    alone = diarizer.analyze(samples)
    monkeypatch.setattr(diarizer, "_batch_windows", 3)
    monkeypatch.setattr(diarizer._embedding, "_batch_voices", 4)
    together = diarizer.analyze(samples)
    assert [slice(0, 1), slice(1, 2)] == list(diarizer._batches([np.zeros(9), np.zeros(8)]))
    assert len(alone.windows) == len(together.windows) == 2
    assert len(alone.voices) >= 2
    for one, two in zip(alone.windows, together.windows, strict=True):
        assert (one.first_frame, one.active.tolist()) == (two.first_frame, two.active.tolist())
        assert np.allclose(one.probability, two.probability, atol=2e-3)
    assert [(voice.window, voice.channel, voice.alone_s) for voice in alone.voices] == [
        (voice.window, voice.channel, voice.alone_s) for voice in together.voices
    ]
    for one, two in zip(alone.voices, together.voices, strict=True):
        assert one.embedding @ two.embedding == pytest.approx(1.0, abs=1e-4)


@pytest.mark.slow
def test_two_people_in_a_conversation(diarizer: EmbeddedDiarizer, conversation: np.ndarray):
    turns = diarizer.diarize(conversation)
    assert [turn.speaker for turn in turns] == ["speaker_00", "speaker_01"] * 3
    assert turns == diarizer.diarize(conversation)
    speech_s = sum(end - start for start, end in speech_spans(conversation))
    assert sum(turn.duration_s for turn in turns) == pytest.approx(speech_s, rel=0.1)


@pytest.mark.slow
def test_speakers_are_the_same_over_windows(diarizer: EmbeddedDiarizer, conversation: np.ndarray):
    twice = np.concatenate([conversation, np.zeros(16_000 * 5, np.float32), conversation])
    turns = diarizer.diarize(twice)
    again = [turn.speaker for turn in turns if turn.start_s > 20]
    assert again == [turn.speaker for turn in turns if turn.end_s < 20]
    assert set(again) == {"speaker_00", "speaker_01"}


@pytest.mark.slow
def test_no_speech_no_turns(diarizer: EmbeddedDiarizer):
    rng = np.random.default_rng(0)
    tone = np.sin(2 * np.pi * 440 * np.arange(16_000 * 12) / 16_000).astype(np.float32)
    sounds = [np.zeros(0), np.zeros(500), np.zeros(16_000 * 3), rng.normal(0, 0.1, 16_000 * 12), 0.3 * tone]
    for sound in sounds:
        assert diarizer.diarize(sound.astype(np.float32)) == []
        assert speech_spans(sound.astype(np.float32)) == []


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.4, 1.0, 9.99, 10.0, 10.01])
def test_turns_lie_inside_recordings_of_any_length(
    diarizer: EmbeddedDiarizer, conversation: np.ndarray, seconds: float
):
    samples = conversation[16_000 * 4 :][: int(seconds * 16_000)]
    turns = diarizer.diarize(samples)
    assert all(0 <= turn.start_s < turn.end_s <= seconds for turn in turns)
    if seconds >= 1:
        assert turns


@pytest.mark.slow
def test_error_rate_on_real_meetings(diarizer: EmbeddedDiarizer, shared_dir: Path):
    reference, hypothesis, duration_s = {}, {}, {}
    for file in sorted((shared_dir / "data" / "speech" / "ami_meetings").glob("*.flac")):
        samples, _ = soundfile.read(file, dtype="float32")
        ((_, reference[file.stem]),) = read_rttm(file.with_suffix(".rttm").read_text()).items()
        hypothesis[file.stem] = diarizer.diarize(samples)
        duration_s[file.stem] = len(samples) / 16_000
    error = diarization_error(reference, hypothesis, duration_s=duration_s)
    assert error.rate < 0.31  # measured 0.288; no collar, overlap counted


# --- pyannote.audio -----------------------------------------------------------------------------------------


class Tracks:
    """What pyannote gives of a diarization: spans with labels."""

    def __init__(self, *turns: tuple[float, float, str]):
        self._turns = turns

    def itertracks(self, yield_label: bool) -> Iterator[Any]:
        assert yield_label
        for start, end, label in self._turns:
            yield types.SimpleNamespace(start=start, end=end), "track", label


def test_the_exclusive_turns_of_a_pipeline_are_taken_where_they_are_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    output = types.SimpleNamespace(speaker_diarization=Tracks((0.0, 2.0, "A"), (1.5, 3.0, "B")))
    pipeline = types.SimpleNamespace(to=lambda device: lambda sound: output)
    monkeypatch.setattr(diarize, "load_pyannote", lambda folder: pipeline)
    samples = np.zeros(48_000, np.float32)
    assert len(diarize.PyannoteDiarizer(str(tmp_path), None).diarize(samples)) == 2
    exclusive = diarize.PyannoteDiarizer(str(tmp_path), None, exclusive=True)
    with pytest.raises(DiarizerUnavailable, match="community-1"):
        exclusive.diarize(samples)
    output.exclusive_speaker_diarization = Tracks((0.0, 1.5, "A"), (1.5, 3.0, "B"))
    assert exclusive.diarize(samples) == [Turn(0.0, 1.5, "A"), Turn(1.5, 3.0, "B")]
