import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spelangy_assets.quality.contracts import RAW_AUDIO
from spelangy_assets.recipes.graph import Graph, Node
from spelangy_assets.stages import ingest_audio
from spelangy_assets.stages.build import Built, build
from spelangy_assets.stages.ingest_audio import RenderedRecording, read_manifest
from spelangy_assets.stages.stage import Execution, FolderSource, InputError
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import AudioError, decode_flac
from spelangy_model.records import Recording, Reject, Utterance

Ingest = Callable[..., Built]


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    return folder


def _node(**config: float) -> Node:
    return Node(
        name="raw_audio",
        group="crawl",
        description="",
        stage=ingest_audio,
        config=ingest_audio.Config(**config),  # type: ignore[arg-type]
        contract=RAW_AUDIO,
        has_source=True,
    )


@pytest.fixture
def ingest(store: ArtifactStore, execution: Execution) -> Ingest:
    def run(source: object, **config: float) -> Built:
        node = _node(**config)
        return build(store, Graph("recipe", [node]), node, None, execution, source)

    return run


def _tone(path: Path, hz: float, seconds: float = 1.0, rate_hz: int = 16_000) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = 0.3 * np.sin(2 * np.pi * hz * np.arange(int(seconds * rate_hz)) / rate_hz)
    soundfile.write(path, samples, rate_hz)


def _manifest(folder: Path, *rows: object) -> None:
    (folder / "manifest.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _recordings(built: Built) -> dict[str, Recording]:
    return {row.source_uri: row for row in built.artifact.records("recordings", Recording)}


def _rejects(built: Built) -> dict[str, str]:
    return {row.source_uri: row.reason for row in built.artifact.records("rejects", Reject)}


def test_a_folder_without_a_manifest(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "b.wav", 300, rate_hz=44_100)
    _tone(snapshot / "deep" / "a.FLAC", 400)
    _tone(snapshot / ".hidden.wav", 500)
    shutil.copy(snapshot / "b.wav", snapshot / "c.wav")
    (snapshot / "broken.mp3").write_bytes(b"not a sound")
    (snapshot / "notes.txt").write_text("not a sound either")
    (snapshot / "folder.wav").mkdir()
    _tone(snapshot / "blink.wav", 300, seconds=0.2)
    built = ingest(FolderSource(snapshot))
    recordings = _recordings(built)
    assert list(recordings) == ["b.wav", "deep/a.FLAC"]
    assert recordings["b.wav"].original_sample_rate_hz == 44_100
    assert recordings["b.wav"].licence == "unknown"
    assert len(decode_flac(recordings["b.wav"].audio.bytes)) == recordings["b.wav"].duration_s * 16_000
    counts = built.artifact.manifest.counts
    assert _rejects(built) == {
        "blink.wav": "too_short", "broken.mp3": "undecodable", "c.wav": "duplicate", "notes.txt": "not_audio",
    }  # fmt: skip
    assert (counts.records_in, counts.records_kept) == (6, 2)
    assert counts.dropped == {"too_short": 1, "undecodable": 1, "duplicate": 1, "not_audio": 1}
    assert counts.stats["hours_kept"] == pytest.approx(2 / 3600)


def test_the_manifest_tells_where_a_recording_comes_from(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "z.wav", 300)
    shutil.copy(snapshot / "z.wav", snapshot / "a.wav")
    _tone(snapshot / "sound.wav", 400)
    (snapshot / "sound.wav").rename(snapshot / "sound.bin")
    talk = {"speaker": 1, "text": "Hello.", "start_s": 0.10004, "end_s": 0.9}
    _manifest(
        snapshot,
        {"file": "z.wav", "url": "https://example.org/z", "licence": "CC0-1.0", "utterances": [talk], "lang": "en"},
        {"audio_filepath": str(snapshot / "sound.bin"), "source": "an archive", "license": "MIT"},
        {"path": "gone.wav"},
    )
    built = ingest(FolderSource(snapshot))
    recordings = _recordings(built)
    assert list(recordings) == ["sound.bin", "z.wav"]
    z = recordings["z.wav"]
    assert (z.source_url, z.licence, z.utterances) == (
        "https://example.org/z", "CC0-1.0", [Utterance("1", "Hello.", 0.1, 0.9)],
    )  # fmt: skip
    assert (recordings["sound.bin"].source_url, recordings["sound.bin"].licence) == ("an archive", "MIT")
    # The listed copy is kept although another name comes before it.
    assert _rejects(built) == {"a.wav": "duplicate", "gone.wav": "missing_file"}


@pytest.mark.parametrize(
    "utterance",
    [
        {"speaker": "a", "text": "late", "start_s": 0.5, "end_s": 1.5},
        {"speaker": "a", "text": "backwards", "start_s": 0.5, "end_s": 0.4},
        {"speaker": "", "text": "nobody", "start_s": 0.0, "end_s": 0.4},
        {"speaker": "a", "text": " ", "start_s": 0.0, "end_s": 0.4},
        {"speaker": "a", "text": "never", "start_s": float("nan"), "end_s": 0.4},
    ],
)
def test_transcripts_that_do_not_fit_are_rejects(snapshot: Path, ingest: Ingest, utterance: dict[str, object]):
    _tone(snapshot / "ok.wav", 300)
    _tone(snapshot / "x.wav", 400)
    _manifest(snapshot, {"file": "x.wav", "utterances": [utterance]})
    assert _rejects(ingest(FolderSource(snapshot))) == {"x.wav": "bad_utterances"}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "one JSON object a line"),
        ("[]", "a list, not an object"),
        ("{}", "names no file"),
        ('{"file": "../up.wav"}', "lies outside"),
        ('{"file": "/etc/passwd"}', "lies outside"),
        ('{"file": "x.wav", "url": 3}', "url is 3"),
        ('{"file": "x.wav", "utterances": {}}', "no list"),
        ('{"file": "x.wav", "utterances": [{"speaker": "a"}]}', "an utterance has"),
        ('{"file": "x.wav", "utterances": [{"speaker": "a", "text": null, "start_s": 0, "end_s": 1}]}', "is a string"),
        ('{"file": "ok.wav", "url": "other"}', "something else of ok.wav"),
    ],
)
def test_a_bad_manifest_is_named_by_line(snapshot: Path, line: str, why: str):
    (snapshot / "manifest.jsonl").write_text('{"file": "ok.wav"}\n\n' + line + "\n")
    with pytest.raises(InputError, match=rf"manifest\.jsonl, line 3: .*{why}"):
        read_manifest(snapshot)


def test_empty_and_missing_folders_are_told(snapshot: Path, ingest: Ingest):
    with pytest.raises(InputError, match="holds no file"):
        ingest(FolderSource(snapshot))
    with pytest.raises(InputError, match="no folder"):
        ingest(FolderSource(snapshot / "gone"))
    with pytest.raises(InputError, match="AudioSource, not str"):
        ingest("folder")


def test_odd_names_are_escaped(snapshot: Path, ingest: Ingest):
    name = os.fsencode(snapshot) + b"/odd-\xff\n.wav"
    try:
        _tone(snapshot / "x.wav", 300)
        Path(os.fsdecode(name)).write_bytes((snapshot / "x.wav").read_bytes())
    except OSError:
        pytest.skip("this file system refuses the name")
    (snapshot / "x.wav").unlink()
    assert list(_recordings(ingest(FolderSource(snapshot)))) == ["odd-\\xff\n.wav"]


def test_units_hold_so_many_recordings_or_bytes(snapshot: Path, ingest: Ingest):
    for number in range(5):
        _tone(snapshot / f"{number}.wav", 300 + number)
    size = (snapshot / "0.wav").stat().st_size
    assert ingest(FolderSource(snapshot), recordings_per_unit=2).artifact.manifest.units == 3
    assert ingest(FolderSource(snapshot), bytes_per_unit=size * 3).artifact.manifest.units == 2
    assert ingest(FolderSource(snapshot), bytes_per_unit=1).artifact.manifest.units == 5


def test_the_same_files_elsewhere_give_the_same_version(
    snapshot: Path, ingest: Ingest, execution: Execution, tmp_path: Path
):
    _tone(snapshot / "a.wav", 300, rate_hz=22_050)
    (snapshot / "bad.wav").write_bytes(b"?")
    first = ingest(FolderSource(snapshot)).artifact
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(snapshot, copy)
    assert ingest(FolderSource(copy)).cached
    store = ArtifactStore(tmp_path / "other", tmp_path / "cache")
    node = _node()
    again = build(store, Graph("recipe", [node]), node, None, execution, FolderSource(copy)).artifact
    assert again.data_version == first.data_version


def test_odd_audio_ends_as_recordings_or_rejects(shared_dir: Path, ingest: Ingest):
    built = ingest(FolderSource(shared_dir / "data" / "audio_odd"))
    assert sorted(_recordings(built)) == ["24bit.wav", "silence.mp3", "silence.wav", "speech.opus"]
    assert _rejects(built) == {
        "missing_header.wav": "undecodable", "text_called.wav": "undecodable",
        "zero_bytes.wav": "empty", "zero_samples.wav": "empty",
    }  # fmt: skip
    errors = [row.error for row in built.artifact.records("rejects", Reject)]
    assert all(errors)
    assert not any(str(shared_dir) in error for error in errors)


@dataclasses.dataclass(frozen=True)
class Tones:
    """A rendered snapshot; the recording of index `broken` cannot be made."""

    recordings: int = 5
    broken: int = 3

    def open(self) -> Callable[[int], RenderedRecording]:
        return self._render

    def _render(self, index: int) -> RenderedRecording:
        if index == self.broken:
            raise AudioError("clipped", "on purpose")
        samples = (0.1 * np.sin(np.arange(16_000) * (index + 1) / 50)).astype(np.float32)
        said = [Utterance("A", f"tone {index}", 0.0, 1.0)]
        return RenderedRecording(f"tone/{index}", f"tones:{index}", "CC0-1.0", "sine", samples, said)


def test_a_rendered_snapshot(ingest: Ingest):
    built = ingest(Tones(), recordings_per_unit=2)
    assert list(_recordings(built)) == ["tone/0", "tone/1", "tone/2", "tone/4"]
    assert _rejects(built) == {"rendered@3": "clipped"}
    assert built.artifact.manifest.units == 3
    assert _recordings(built)["tone/4"].utterances == [Utterance("A", "tone 4", 0.0, 1.0)]
    assert not ingest(Tones(broken=9), recordings_per_unit=2).cached
