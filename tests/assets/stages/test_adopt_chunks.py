"""Chunks that another pipeline made: taken as they are, checked, and linked to their sources."""

import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import adopt_chunks, ingest_audio
from spelangy_assets.stages.adopt_chunks import CONTRACT as ADOPTED_CHUNKS
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.lineage import connect, query
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.records import Chunk, DroppedTranscript

TEXTS = ("The river rises in the hills behind the town.", "It reaches the sea after two days.", "Everyone swims in it.")
Adopt = Callable[..., Built]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "made-elsewhere").mkdir()
    return tmp_path / "made-elsewhere"


def noise(path: Path, seconds: float, seed: int = 0) -> None:
    samples = np.random.default_rng(seed).uniform(-0.3, 0.3, int(seconds * SAMPLE_RATE_HZ))
    soundfile.write(path, samples, SAMPLE_RATE_HZ)


def manifest(folder: Path, *rows: dict[str, Any]) -> None:
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def nemo(file: str, offset: float, duration: float, text: str, **more: Any) -> dict[str, Any]:
    return {"audio_filepath": file, "offset": offset, "duration": duration, "text": text, **more}


@pytest.fixture
def adopt(store: ArtifactStore, execution: Execution) -> Adopt:
    def run(folder: Path, recordings_per_unit: int = 16, texts: bool = False, **config: Any) -> Built:
        raw = Node(
            name="raw_audio",
            group="crawl",
            description="",
            stage=ingest_audio,
            config=ingest_audio.Config(recordings_per_unit=recordings_per_unit),
            contract=RAW_AUDIO,
            has_source=True,
        )
        adopted = Node(
            name="adopted_chunks",
            group="chunks",
            description="",
            stage=adopt_chunks,
            config=adopt_chunks.Config(**config),
            contract=ADOPTED_CHUNKS,
            inputs={"raw_audio": "raw_audio"},
        )
        graph = Graph("recipe", [raw, adopted])
        build(store, graph, raw, None, execution, FolderSource(folder, texts))
        return build(store, graph, adopted, None, execution)

    return run


def chunks_of(built: Built) -> list[Chunk]:
    return list(built.artifact.records("chunks", Chunk))


def dropped_of(built: Built) -> dict[str, str]:
    return {row.text: row.reason for row in built.artifact.records("dropped", DroppedTranscript)}


def test_utterances_of_a_manifest_are_the_chunks_of_their_recording(folder: Path, adopt: Adopt):
    noise(folder / "talk.flac", 30)
    facts = {"speaker": "anna", "lang": "en", "url": "https://talks.example/1", "licence": "CC-BY-4.0"}
    manifest(
        folder,
        nemo("talk.flac", 4.0, 2.5, TEXTS[1], **facts),
        nemo("talk.flac", 0.5, 3.0, TEXTS[0].replace(" river", "\u00a0\n river "), **facts),
        nemo("talk.flac", 25.0, 2.0, TEXTS[2], **facts),
    )
    built = adopt(folder)
    assert built.verdict.passed
    chunks = chunks_of(built)
    assert [(chunk.text, chunk.start_s, chunk.end_s) for chunk in chunks] == [
        (TEXTS[0], 0.5, 3.5), (TEXTS[1], 4.0, 6.5), (TEXTS[2], 25.0, 27.0),
    ]  # fmt: skip
    assert [chunk.index for chunk in chunks] == [0, 1, 0], "a gap of 18 s ends the document"
    assert len({chunk.document_id for chunk in chunks}) == 2
    assert len({chunk.chunk_id for chunk in chunks}) == 3
    for chunk in chunks:
        assert (chunk.speaker, chunk.source_url, chunk.licence) == ("anna", "https://talks.example/1", "CC-BY-4.0")
        assert len(decode_flac(chunk.audio.bytes)) == chunk.duration_s * SAMPLE_RATE_HZ
    whole = decode_flac(chunks[0].audio.bytes)
    expected = np.random.default_rng(0).uniform(-0.3, 0.3, 30 * SAMPLE_RATE_HZ)[8000:56000]
    assert np.abs(whole - expected).max() < 1e-4
    counts = built.artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (3, 3, {})
    assert counts.stats["hours_kept"] == pytest.approx(7.5 / 3600)


def test_a_shard_of_chunks_is_read_as_webdataset_and_lhotse_write_it(folder: Path, adopt: Adopt, tmp_path: Path):
    loose = tmp_path / "loose"
    loose.mkdir()
    for number, text in enumerate(TEXTS):
        noise(loose / f"EN_B0_W{number}.flac", 3, number)
        (loose / f"EN_B0_W{number}.json").write_text(
            json.dumps({"id": f"EN_B0_W{number}", "text": text, "duration": 3.0, "speaker": "S0", "language": "en"})
        )
    with tarfile.open(folder / "shard-000.tar", "w") as tar:
        for path in sorted(loose.iterdir()):
            tar.add(path, path.name)
    noise(folder / "cut.wav", 8, 9)
    cut = {
        "id": "c", "type": "MonoCut", "start": 1.0, "duration": 5.0, "channel": 0,
        "recording": {"id": "r", "sources": [{"type": "file", "channels": [0], "source": "cut.wav"}]},
        "supervisions": [
            {"id": "s", "recording_id": "r", "start": 0.5, "duration": 2.0, "text": "Cut here.", "speaker": "b"}
        ],
    }  # fmt: skip
    manifest(folder, cut)
    built = adopt(folder)
    assert built.verdict.passed
    assert {chunk.text: (chunk.speaker, chunk.start_s, chunk.end_s) for chunk in chunks_of(built)} == {
        "Cut here.": ("b", 1.5, 3.5),
        **dict.fromkeys(TEXTS, ("S0", 0.0, 3.0)),
    }
    warned = [item.name for item in built.verdict.expectations if not item.success]
    assert any("share_of_documents_of_one_chunk" in name for name in warned)


def test_the_text_of_a_chunk_is_checked_and_every_drop_has_its_reason(folder: Path, adopt: Adopt):
    samples = np.random.default_rng(0).uniform(-0.3, 0.3, 40 * SAMPLE_RATE_HZ)
    samples[20 * SAMPLE_RATE_HZ : 30 * SAMPLE_RATE_HZ] = 0
    soundfile.write(folder / "talk.wav", samples, SAMPLE_RATE_HZ)
    noise(folder / "late.wav", 5, 1)
    noise(folder / "mute.wav", 5, 2)
    noise(folder / "deutsch.wav", 5, 3)
    manifest(
        folder,
        nemo("talk.wav", 0.0, 3.0, TEXTS[0], speaker="a", lang="en-GB"),
        nemo("talk.wav", 0.0, 3.0, TEXTS[0], speaker="b", lang="en-GB"),
        nemo("talk.wav", 4.0, 0.2, "Too short."),
        nemo("talk.wav", 5.0, 1.0, "These are by far too many words to be said by people in so little time."),
        nemo("talk.wav", 22.0, 3.0, "Said into silence, as it were."),
        nemo("talk.wav", 31.0, 4.0, "no no no no no no no no no no no no"),
        nemo("late.wav", 3.0, 2.05, TEXTS[1]),  # its end is rounded: it ends with the sound
        nemo("mute.wav", 3.0, 4.0, "It would end two seconds after its recording."),
        nemo("deutsch.wav", 0.0, 3.0, "Das ist nicht Englisch, obwohl niemand es sagt."),
    )
    noise(folder / "silent-partner.wav", 3, 4)
    built = adopt(folder)
    assert {chunk.text: chunk.end_s for chunk in chunks_of(built)} == {TEXTS[0]: 3.0, TEXTS[1]: 5.0}
    reasons = {
        TEXTS[0]: "duplicate",
        "Too short.": "too_short",
        "These are by far too many words to be said by people in so little time.": "too_fast",
        "Said into silence, as it were.": "silent",
        "no no no no no no no no no no no no": "loop",
        "Das ist nicht Englisch, obwohl niemand es sagt.": "language",
    }
    assert dropped_of(built) == reasons
    counts = built.artifact.manifest.counts
    assert counts.dropped == {**dict.fromkeys(reasons.values(), 1), "no_transcript": 1}
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values()) == 9
    raw = built.artifact.manifest.inputs[0]
    assert raw.name == "raw_audio"  # where the recording with the impossible end is a reject, as any other is


def test_a_folder_without_any_text_is_stopped(folder: Path, adopt: Adopt, store: ArtifactStore):
    noise(folder / "a.wav", 3)
    manifest(folder, {"file": "a.wav", "text": "not a transcript in this form"})
    built = adopt(folder)
    assert not built.verdict.passed
    assert built.artifact.manifest.counts.dropped == {"no_transcript": 1}
    assert {item.name.split()[0] for item in built.verdict.failures()} >= {"chunks"}
    with pytest.raises(StoreError):
        store.resolve(DatasetName("recipe", "adopted_chunks"))


def test_a_recipe_may_state_that_a_text_is_the_transcript_of_its_file(folder: Path, adopt: Adopt):
    for number in range(3):
        noise(folder / f"{number}.wav", 3, number)
    (folder / "metadata.jsonl").write_text(
        json.dumps({"path": "0.wav", "text": TEXTS[0], "speaker": 7, "lang": "en", "duration_s": 99.0})
        + "\n"
        + json.dumps({"file_name": "1.wav", "transcription": TEXTS[1], "language": "en", "license": "MIT"})
        + "\n"
        + json.dumps({"file": "2.wav", "sentence": TEXTS[2], "language": "en"})
    )
    before = adopt(folder)
    assert before.artifact.manifest.counts.dropped == {"no_transcript": 3}
    built = adopt(folder, texts=True)
    assert built.verdict.passed
    assert built.artifact.manifest.inputs[0].build_key != before.artifact.manifest.inputs[0].build_key
    assert {chunk.text: (chunk.speaker, chunk.end_s) for chunk in chunks_of(built)} == {
        TEXTS[0]: ("7", 3.0), TEXTS[1]: ("unknown", 3.0), TEXTS[2]: ("unknown", 3.0),
    }  # fmt: skip


def test_only_the_content_of_the_folder_counts_not_its_path(folder: Path, adopt: Adopt, tmp_path: Path):
    noise(folder / "a.wav", 4)
    manifest(folder, nemo("a.wav", 0.0, 3.0, TEXTS[0], lang="en"), nemo("a.wav", 3.0, 1.0, "Yes.", lang="en"))
    first = adopt(folder)
    moved = tmp_path / "elsewhere" / "again"
    shutil.copytree(folder, moved)
    shutil.rmtree(folder)
    assert adopt(moved).cached
    manifest(moved, nemo("a.wav", 0.0, 3.0, TEXTS[1], lang="en"), nemo("a.wav", 3.0, 1.0, "Yes.", lang="en"))
    second = adopt(moved)
    assert not second.cached
    assert second.artifact.data_version != first.artifact.data_version
    assert second.artifact.manifest.build_key != first.artifact.manifest.build_key


def test_a_killed_run_goes_on_at_its_first_missing_unit(folder: Path, adopt: Adopt, monkeypatch: pytest.MonkeyPatch):
    for number in range(4):
        noise(folder / f"{number}.wav", 3, number)
    manifest(folder, *(nemo(f"{number}.wav", 0.0, 3.0, TEXTS[0], lang="en") for number in range(4)))
    real = adopt_chunks.decode_flac
    decoded: list[int] = []

    def killed(data: bytes) -> np.ndarray:
        decoded.append(1)
        if len(decoded) == 3:
            raise KeyboardInterrupt
        return real(data)

    monkeypatch.setattr(adopt_chunks, "decode_flac", killed)
    with pytest.raises(KeyboardInterrupt):
        adopt(folder, recordings_per_unit=1)
    built = adopt(folder, recordings_per_unit=1)
    assert len(decoded) == 5, "two were done, one was cut off, two were left"
    assert len(chunks_of(built)) == 4
    monkeypatch.undo()
    (one,) = {chunk.text for chunk in chunks_of(built)}
    assert one == TEXTS[0]


def test_a_chunk_leads_to_the_bytes_the_address_and_the_licence_of_its_file(
    folder: Path, adopt: Adopt, store: ArtifactStore
):
    noise(folder / "a.wav", 4)
    facts = {"url": "https://talks.example/1", "licence": "CC0-1.0", "lang": "en"}
    manifest(folder, nemo("a.wav", 0.0, 3.0, TEXTS[0], **facts))
    (chunk,) = chunks_of(adopt(folder))
    with connect(store, "recipe") as connection:
        (row,) = query(connection, "SELECT url, licence FROM crawl WHERE content_hash = $id", id=chunk.source_id)
    assert row == {"url": "https://talks.example/1", "licence": "CC0-1.0"}
