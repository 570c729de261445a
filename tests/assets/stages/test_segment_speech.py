import dataclasses
import sys
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import ingest_audio, segment_speech
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.stages.ingest_audio import RenderedRecording
from spelangy_assets.stages.segment_speech import CONTRACT as SPEECH_SEGMENTS
from spelangy_assets.store.artifacts import Artifact, ArtifactStore, DatasetName
from spelangy_model.audio.diarization.diarize import Diarizer, DiarizerSpec
from spelangy_model.audio.diarization.vad_diarize import VadSpec
from spelangy_model.audio.turns import Turn
from spelangy_model.records import Recording, Segment, Utterance

RAW = Node(
    name="raw_audio",
    group="crawl",
    description="",
    stage=ingest_audio,
    config=ingest_audio.Config(),
    contract=RAW_AUDIO,
    has_source=True,
)


def _segment(
    store: ArtifactStore, execution: Execution, source: object, config: segment_speech.Config
) -> tuple[Artifact, list[Segment]]:
    node = Node(
        name="speech_segments",
        group="transcripts",
        description="",
        stage=segment_speech,
        config=config,
        contract=SPEECH_SEGMENTS,
        inputs={"raw_audio": "raw_audio"},
    )
    graph = Graph("recipe", [RAW, node])
    build(store, graph, RAW, None, execution, source)
    artifact = build(store, graph, node, None, execution).artifact
    return artifact, list(artifact.records("segments", Segment))


@dataclasses.dataclass(frozen=True)
class Given:
    """A rendered snapshot whose one recording came with utterances."""

    version: ClassVar[str] = "1"
    utterances: tuple[Utterance, ...]
    duration_s: float
    recordings: int = 1

    def open(self) -> Callable[[int], RenderedRecording]:
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, int(self.duration_s * 16_000)).astype(np.float32)
        return lambda index: RenderedRecording("talk", "talk:0", "CC0-1.0", "noise", noise, self.utterances)


def test_given_utterances_become_segments_as_they_are(store: ArtifactStore, execution: Execution):
    turns = (
        Utterance("A", "one", 0.5, 1.5), Utterance("A", "two", 1.6, 2.0), Utterance("B", "wait", 1.25, 1.75),
        Utterance("A", "on and on", 2.0, 35.0),
    )  # fmt: skip
    artifact, segments = _segment(store, execution, Given(turns, 36.0), segment_speech.Config())
    assert [(s.speaker, s.start_s, s.end_s, s.overlap_s) for s in segments] == [
        ("A", 0.5, 1.5, 0.25), ("B", 1.25, 1.75, 0.4), ("A", 1.6, 2.0, 0.15),
    ]  # fmt: skip
    counts = artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (4, 3, {"too_long": 1})
    assert counts.stats["speakers"] == 2


class Scripted:
    """A diarizer with given turns: it replaces the model, so that the test sees the work of the stage."""

    def __init__(self, turns: list[Turn]):
        self.turns = turns

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        return self.turns


def _noise_folder(tmp_path: Path, seconds: float) -> FolderSource:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    soundfile.write(folder / "x.wav", np.random.default_rng(0).uniform(-0.1, 0.1, int(seconds * 16_000)), 16_000)
    return FolderSource(folder)


@pytest.fixture
def say(monkeypatch: pytest.MonkeyPatch):
    def script(*turns: Turn) -> None:
        def opened(*arguments: object) -> Diarizer:
            return Scripted(list(turns))

        monkeypatch.setattr(segment_speech, "open_diarizer", opened)

    return script


def test_turns_are_joined_dropped_and_cut(store: ArtifactStore, execution: Execution, tmp_path: Path, say):
    say(Turn(0, 1, "a"), Turn(1.4, 2, "a"), Turn(2.5, 2.6, "b"), Turn(3, 43, "b"))
    artifact, segments = _segment(store, execution, _noise_folder(tmp_path, 50), segment_speech.Config())
    assert [(s.speaker, s.start_s) for s in segments[:2]] == [("a", 0.0), ("b", 2.5)]
    assert segments[0].end_s == 2.0
    assert segments[-1].end_s == 43.0
    assert len(segments) == 3
    assert max(s.end_s - s.start_s for s in segments) <= 28.0
    assert artifact.manifest.counts.dropped == {}
    config = segment_speech.Config(max_gap_s=0.1)
    artifact, segments = _segment(store, execution, FolderSource(tmp_path / "snapshot"), config)
    assert artifact.manifest.counts.dropped == {"too_short": 1}
    assert artifact.manifest.counts.records_in == 4


def test_a_recording_without_speech_is_counted(store: ArtifactStore, execution: Execution, tmp_path: Path, say):
    say()
    artifact, segments = _segment(store, execution, _noise_folder(tmp_path, 5), segment_speech.Config())
    assert segments == []
    counts = artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (1, 0, {"no_speech": 1})
    assert counts.stats["hours_in"] == pytest.approx(5 / 3600)


def test_a_missing_diarizer_stops_before_any_work(execution: Execution):
    segment_speech.preflight(segment_speech.Config(), execution)
    config = segment_speech.Config(diarizer=DiarizerSpec(backend="pyannote", model="pyannote/some-pipeline"))
    with pytest.raises(PreflightError, match=r"pyannote-audio|HF_TOKEN"):
        segment_speech.preflight(config, execution)


def test_speech_alone_can_be_asked_for(
    store: ArtifactStore, execution: Execution, tmp_path: Path, shared_dir: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    source = shared_dir / "data/speech/conversation/katiesteve_mono.flac"
    (folder / source.name).write_bytes(source.read_bytes())
    config = segment_speech.Config(diarizer=VadSpec(speakers="one"))
    segment_speech.preflight(config, execution)
    artifact, segments = _segment(store, execution, FolderSource(folder), config)
    assert {segment.speaker for segment in segments} == {"speaker_00"}
    assert all(segment.overlap_s == 0 for segment in segments)
    assert 0.5 < artifact.manifest.counts.stats["hours_kept"] / artifact.manifest.counts.stats["hours_in"] < 1
    monkeypatch.setitem(sys.modules, "silero_vad", None)
    with pytest.raises(PreflightError, match="silero-vad is not installed: pip install "):
        segment_speech.preflight(config, execution)


@pytest.mark.slow
def test_a_real_conversation(store: ArtifactStore, execution: Execution, tmp_path: Path, shared_dir: Path):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    source = shared_dir / "data/speech/conversation/katiesteve_mono.flac"
    (folder / source.name).write_bytes(source.read_bytes())
    artifact, segments = _segment(store, execution, FolderSource(folder), segment_speech.Config())
    assert [s.speaker for s in segments] == ["speaker_00", "speaker_01"] * 3
    (recording,) = store.resolve(DatasetName("recipe", "raw_audio")).records("recordings", Recording)
    assert {s.recording_id for s in segments} == {recording.recording_id}
    other = ArtifactStore(tmp_path / "other", tmp_path / "cache")
    again, _ = _segment(other, execution, FolderSource(folder), segment_speech.Config())
    assert again.data_version == artifact.data_version
