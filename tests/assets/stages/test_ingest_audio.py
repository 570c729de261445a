import dataclasses
import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, InputError
from spelangy_assets.sources.audio_snapshot import items_of
from spelangy_assets.sources.files import Arriving, FolderSource, SnapshotFiles
from spelangy_assets.stages import ingest_audio
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.stages.ingest_audio import RenderedRecording
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import AudioError, decode_flac
from spelangy_model.records import Audio, Recording, Reject, Utterance, to_table

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
    (snapshot / "full.wav").mkdir()
    _tone(snapshot / "full.wav" / "d d.wav", 450)
    _tone(snapshot / "blink.wav", 300, seconds=0.2)
    built = ingest(FolderSource(snapshot))
    recordings = _recordings(built)
    assert list(recordings) == ["b.wav", "deep/a.FLAC", "full.wav/d d.wav"]
    assert recordings["b.wav"].original_sample_rate_hz == 44_100
    assert recordings["b.wav"].licence == "unknown"
    assert len(decode_flac(recordings["b.wav"].audio.bytes)) == recordings["b.wav"].duration_s * 16_000
    counts = built.artifact.manifest.counts
    assert _rejects(built) == {
        "blink.wav": "too_short", "broken.mp3": "undecodable", "c.wav": "duplicate", "notes.txt": "not_audio",
        "folder.wav": "not_a_file",
    }  # fmt: skip
    assert (counts.records_in, counts.records_kept) == (8, 3)
    assert counts.dropped == {"too_short": 1, "undecodable": 1, "duplicate": 1, "not_audio": 1, "not_a_file": 1}
    assert counts.stats["hours_kept"] == pytest.approx(3 / 3600)


def test_the_manifest_states_where_a_recording_comes_from(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "z.wav", 300)
    shutil.copy(snapshot / "z.wav", snapshot / "a.wav")
    _tone(snapshot / "sound.wav", 400)
    (snapshot / "sound.wav").rename(snapshot / "sound.bin")
    talk = {"speaker": 1, "text": "Hello.", "start_s": 0.10004, "end_s": 0.9}
    _manifest(
        snapshot,
        {
            "file": "z.wav",
            "url": "https://example.org/z",
            "licence": "CC0-1.0",
            "utterances": [talk],
            "lang": "en",
            "text": "not a transcript here",
        },
        {"file": str(snapshot / "sound.bin"), "source": "an archive", "license": "MIT"},
        {"path": "gone.wav"},
        {"file": "../up.wav"},
        {"file": "z.wav", "url": "another"},
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
    assert _rejects(built) == {
        "a.wav": "duplicate",
        "gone.wav": "missing_file",
        "../up.wav": "outside",
        "z.wav": "duplicate_id",
    }


@pytest.mark.parametrize(
    "utterance",
    [
        {"speaker": "a", "text": "late", "start_s": 0.5, "end_s": 1.5},
        {"speaker": "a", "text": "backwards", "start_s": 0.5, "end_s": 0.4},
        {"speaker": "", "text": "unknown", "start_s": 0.0, "end_s": 0.4},
        {"speaker": "a", "text": " ", "start_s": 0.0, "end_s": 0.4},
        {"speaker": "a", "text": "never", "start_s": float("nan"), "end_s": 0.4},
    ],
)
def test_transcripts_that_do_not_fit_are_rejects(snapshot: Path, ingest: Ingest, utterance: dict[str, object]):
    _tone(snapshot / "ok.wav", 300)
    _tone(snapshot / "x.wav", 400)
    _manifest(snapshot, {"file": "x.wav", "utterances": [utterance]})
    assert _rejects(ingest(FolderSource(snapshot))) == {"x.wav": "bad_utterances"}


def test_empty_and_missing_folders_are_reported(snapshot: Path, ingest: Ingest):
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


def _write(path: Path, samples: np.ndarray, rate_hz: int, **options: str) -> None:
    soundfile.write(path, samples, rate_hz, **options)


def test_unusual_sound_is_read(snapshot: Path, ingest: Ingest):
    """What is only unusual is no reject: many channels, telephone and studio formats, a name that says otherwise."""
    tone = (0.3 * np.sin(np.arange(96_000) / 10)).astype(np.float32)
    _write(snapshot / "8 channels.wav", np.stack([tone * (i + 1) / 8 for i in range(8)], axis=1), 48_000)
    _write(snapshot / "mu-law.wav", tone[:8000], 8000, subtype="ULAW")
    _write(snapshot / "studio.wav", tone[:90_000], 192_000, subtype="PCM_24")
    _write(snapshot / "x.flac", tone[:32_000], 16_000)
    (snapshot / "x.flac").rename(snapshot / "in truth flac.mp3")
    _write(snapshot / "new\nline.wav", tone[:30_000], 16_000)
    built = ingest(FolderSource(snapshot))
    found = {name: (row.original_channels, row.original_sample_rate_hz) for name, row in _recordings(built).items()}
    assert found == {
        "8 channels.wav": (8, 48_000), "in truth flac.mp3": (1, 16_000), "mu-law.wav": (1, 8000),
        "new\nline.wav": (1, 16_000), "studio.wav": (1, 192_000),
    }  # fmt: skip
    assert _rejects(built) == {}
    rows = _recordings(built).values()
    assert all(row.original_bandwidth_hz <= row.original_sample_rate_hz / 2 for row in rows)
    assert all(-70 < row.loudness_lufs < 0 for row in rows)


def test_each_bad_file_is_a_reject_with_its_reason(snapshot: Path, ingest: Ingest):
    tone = (0.3 * np.sin(np.arange(160_000) / 10)).astype(np.float32)
    _tone(snapshot / "good.wav", 300)
    _write(snapshot / "broken off.flac", tone, 16_000)
    whole = (snapshot / "broken off.flac").read_bytes()
    (snapshot / "broken off.flac").write_bytes(whole[: len(whole) // 2])
    (snapshot / "zero-length.mp3").write_bytes(b"")
    _write(snapshot / "no samples.wav", tone[:0], 16_000)
    _write(snapshot / "constant.wav", np.full(16_000, 0.4, np.float32), 16_000)
    _write(snapshot / "nan.wav", np.where(np.arange(16_000) == 9, np.nan, tone[:16_000]), 16_000, subtype="FLOAT")
    _write(snapshot / "silence.wav", np.zeros(16_000, np.float32), 16_000)
    (snapshot / "text.wav").write_text("What was a download is an error page.")
    (snapshot / "folder.wav").mkdir()
    (snapshot / "broken.tar").write_bytes(b"not a shard")
    built = ingest(FolderSource(snapshot))
    assert list(_recordings(built)) == ["good.wav"]
    rejects = _rejects(built)
    assert rejects.pop("broken off.flac") in ("truncated", "undecodable")
    assert rejects == {
        "zero-length.mp3": "empty", "no samples.wav": "empty", "constant.wav": "silent", "nan.wav": "not_finite",
        "silence.wav": "silent", "text.wav": "undecodable", "folder.wav": "not_a_file", "broken.tar": "broken_shard",
    }  # fmt: skip
    assert all(row.error for row in built.artifact.records("rejects", Reject))
    counts = built.artifact.manifest.counts
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values()) == 10


def test_a_transcript_in_the_nemo_form_comes_with_the_recording(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "a.wav", 300, seconds=2.0)
    _manifest(snapshot, {"audio_filepath": "a.wav", "text": "Hello there.", "lang": "en"})
    row = _recordings(ingest(FolderSource(snapshot)))["a.wav"]
    assert (row.language, row.utterances) == ("en", [Utterance("unknown", "Hello there.", 0.0, 2.0)])
    assert _recordings(ingest(FolderSource(snapshot), use_transcripts=False))["a.wav"].utterances == []


def _shard(path: Path, members: dict[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))


def test_tar_shards_hold_sound_and_what_is_known_of_it(snapshot: Path, ingest: Ingest):
    sounds = {}
    for number in range(4):
        _tone(snapshot / "x.wav", 300 + 50 * number)
        sounds[number] = (snapshot / "x.wav").read_bytes()
    (snapshot / "x.wav").unlink()
    own = {"url": "https://example.org/b", "licence": "MIT", "text": "Said.", "duration": 0.9}
    members = {
        "a.wav": sounds[0], "a.txt": b"Hello.\n", "deep/b.seg.wav": sounds[1], "deep/b.json": json.dumps(own).encode(),
        "c.wav": sounds[2], "c.json": b"[]", "d.txt": b"alone", "e.cls": b"7", "again.wav": sounds[0], ".hidden": b"",
    }  # fmt: skip
    _shard(snapshot / "shard-0.tar", members)
    _shard(snapshot / "shard-1.tar", {"a.wav": sounds[3]})
    built = ingest(FolderSource(snapshot))
    recordings = _recordings(built)
    assert list(recordings) == ["shard-0.tar/a.wav", "shard-0.tar/deep/b.seg.wav", "shard-1.tar/a.wav"]
    assert recordings["shard-0.tar/a.wav"].utterances == [Utterance("unknown", "Hello.", 0.0, 1.0)]
    b = recordings["shard-0.tar/deep/b.seg.wav"]
    assert (b.source_url, b.licence) == ("https://example.org/b", "MIT")
    assert b.utterances == [Utterance("unknown", "Said.", 0.0, 0.9)]
    assert _rejects(built) == {
        "shard-0.tar/again.wav": "duplicate", "shard-0.tar/c.wav": "bad_metadata", "shard-0.tar/d": "missing_file",
        "shard-0.tar/e.cls": "not_audio", "shard-0.tar/.hidden": "hidden",
    }  # fmt: skip
    # The sound of a member is that of the file.
    (snapshot / "shard-1.tar").unlink()
    (snapshot / "plain.wav").write_bytes(sounds[3])
    plain = _recordings(ingest(FolderSource(snapshot)))["plain.wav"]
    assert plain.audio == recordings["shard-1.tar/a.wav"].audio


def test_a_shard_that_breaks_off_is_reported(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "x.wav", 300)
    sound = (snapshot / "x.wav").read_bytes()
    _shard(snapshot / "x.tar", {"a.wav": sound, "b.wav": sound[:-2]})
    whole = (snapshot / "x.tar").read_bytes()
    (snapshot / "x.tar").write_bytes(whole[: len(sound) + 20_000])
    rejects = _rejects(ingest(FolderSource(snapshot)))
    assert rejects["x.tar"] == "broken_shard"


@pytest.mark.parametrize("kills", [[0], [1, 1], [2, 0, 1]])
def test_killed_at_any_point_it_resumes_to_equal_bytes(
    snapshot: Path, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kills: list[int]
):
    """Each kill comes while the k-th file from there on is read; units that are done are not read again."""
    for number in range(7):
        _tone(snapshot / f"{number}.wav", 300 + 20 * number)
    (snapshot / "2.wav").write_bytes(b"broken")
    node = _node(recordings_per_unit=2)
    graph, source = Graph("recipe", [node]), FolderSource(snapshot)
    whole = build(ArtifactStore(tmp_path / "whole", tmp_path), graph, node, None, execution, source).artifact.manifest

    class Killed(BaseException):
        pass

    opened: list[str] = []
    real = ingest_audio.read_recordings

    def mortal(path: Path, *rest: Any) -> Any:
        if left and len(opened) == left[0]:
            raise Killed
        opened.append(path.name)
        return real(path, *rest)

    monkeypatch.setattr(ingest_audio, "read_recordings", mortal)
    store = ArtifactStore(tmp_path / "killed", tmp_path)
    left: list[int] = []
    for kill in kills:
        left[:] = [kill]
        opened.clear()
        with pytest.raises(Killed):
            build(store, graph, node, None, execution, source)
    left.clear()
    opened.clear()
    resumed = build(store, graph, node, None, execution, source).artifact.manifest
    assert (resumed.shards, resumed.counts) == (whole.shards, whole.counts)
    assert resumed.data_version == whole.data_version
    done = sum(kill // 2 for kill in kills) * 2
    assert opened == [f"{number}.wav" for number in range(done, 7)]


@dataclasses.dataclass(frozen=True)
class Tones:
    """A rendered snapshot; the recording of index `broken` cannot be made."""

    version: ClassVar[str] = "1"
    recordings: int = 5
    broken: int = 3

    def open(self) -> Callable[[int], RenderedRecording]:
        return self._render

    def _render(self, index: int) -> RenderedRecording:
        if index == self.broken:
            raise AudioError("clipped", "on purpose")
        samples = (0.1 * np.sin(np.arange(16_000) * (index + 1) / 50)).astype(np.float32)
        utterances = [Utterance("A", f"tone {index}", 0.0, 1.0)]
        return RenderedRecording(f"tone/{index}", f"tones:{index}", "CC0-1.0", "sine", samples, utterances)


def test_a_rendered_snapshot(ingest: Ingest):
    built = ingest(Tones(), recordings_per_unit=2)
    assert list(_recordings(built)) == ["tone/0", "tone/1", "tone/2", "tone/4"]
    assert _rejects(built) == {"rendered@3": "clipped"}
    assert built.artifact.manifest.units == 3
    assert _recordings(built)["tone/4"].utterances == [Utterance("A", "tone 4", 0.0, 1.0)]
    assert not ingest(Tones(broken=9), recordings_per_unit=2).cached


# --- what manifests, links and shards say, from a folder to records ---------------------------------------------


def _balanced(built: Built) -> bool:
    counts = built.artifact.manifest.counts
    rejects = list(built.artifact.records("rejects", Reject))
    return counts.records_in == counts.records_kept + sum(counts.dropped.values()) and len(rejects) == sum(
        counts.dropped.values()
    )


def test_one_bad_utterance_costs_one_utterance(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "a.wav", 300, seconds=4.0)
    rows = [
        {"audio_filepath": "a.wav", "offset": offset, "duration": duration, "text": text}
        for offset, duration, text in [
            (0.0, 1.0, "first"), (1.0, -1.0, "backwards"), (1.0, 1.0, "second"), (1.0, 1.0, "again"), (2.0, 1.0, " "),
            (3.0, 1.05, "last"), (3.5, 9.0, "beyond"), (2.0, "1", "text for a number"), (2.0, 1.0, "\ud83d"),
        ]
    ]  # fmt: skip
    _manifest(snapshot, *rows)
    built = ingest(FolderSource(snapshot))
    assert [u.text for u in _recordings(built)["a.wav"].utterances] == ["first", "second", "last"]
    assert built.artifact.manifest.counts.dropped == {
        "utterance_outside": 2, "utterance_twice": 1, "utterance_without_text": 1, "bad_line": 2,
    }  # fmt: skip
    assert _balanced(built)


def test_a_call_becomes_a_recording_a_channel(snapshot: Path, ingest: Ingest):
    seconds = np.arange(32_000) / 16_000
    left, right = 0.3 * np.sin(2000 * seconds), 0.3 * np.sin(3000 * seconds)
    soundfile.write(snapshot / "call.wav", np.stack([left, right], axis=1), 16_000)
    source = {"type": "file", "channels": [0, 1], "source": "call.wav"}
    _manifest(
        snapshot,
        {"id": "r", "sources": [source], "custom": {"url": "https://x.org/call"}},
        *(
            {
                "id": f"s{c}",
                "recording_id": "r",
                "start": 0,
                "duration": 2,
                "channel": c,
                "text": f"of {c}",
                "speaker": "p",
            }
            for c in (0, 1)
        ),
    )
    built = ingest(FolderSource(snapshot))
    recordings = _recordings(built)
    assert {uri: [u.text for u in row.utterances] for uri, row in recordings.items()} == {
        "call.wav#channel=0": ["of 0"], "call.wav#channel=1": ["of 1"],
    }  # fmt: skip
    for channel, samples in enumerate((left, right)):
        row = recordings[f"call.wav#channel={channel}"]
        assert np.abs(decode_flac(row.audio.bytes) - samples).max() < 1e-4
        assert row.source_url == "https://x.org/call"
        assert row.recording_id.endswith(f"-c{channel}")
    assert _balanced(built)
    _manifest(snapshot, {"audio_filepath": "call.wav", "text": "right", "channel": 1})
    built = ingest(FolderSource(snapshot))
    assert list(_recordings(built)) == ["call.wav#channel=1"]
    assert _rejects(built) == {"call.wav#channel=0": "channel_without_text"}
    _manifest(snapshot, {"audio_filepath": "call.wav", "text": "none", "channel": 2})
    assert _rejects(ingest(FolderSource(snapshot)))["call.wav#channel=2"] == "no_channel"


def test_links_pipes_and_empty_shards_are_records_or_rejects(snapshot: Path, ingest: Ingest, tmp_path: Path):
    _tone(snapshot / "a.wav", 300)
    _tone(tmp_path / "far" / "b.wav", 400)
    (snapshot / "disk2").symlink_to(tmp_path / "far", target_is_directory=True)
    (snapshot / "loop").symlink_to(snapshot, target_is_directory=True)
    (snapshot / "gone.wav").symlink_to(tmp_path / "none.wav")
    os.mkfifo(snapshot / "pipe.wav")
    _shard(snapshot / "empty.tar", {})
    built = ingest(FolderSource(snapshot))
    assert list(_recordings(built)) == ["a.wav", "disk2/b.wav"]
    assert _rejects(built) == {
        "loop": "linked_twice", "gone.wav": "dangling_link", "pipe.wav": "not_a_file", "empty.tar": "empty_shard",
    }  # fmt: skip
    assert _balanced(built)


def test_every_member_of_a_shard_is_a_record_or_a_reject(snapshot: Path, ingest: Ingest):
    _tone(snapshot / "x.wav", 300)
    _tone(snapshot / "y.wav", 400)
    sound, other = ((snapshot / name).read_bytes() for name in ("x.wav", "y.wav"))
    members: list[tuple[str, bytes, bytes]] = [
        ("a.wav", tarfile.REGTYPE, sound), ("link.wav", tarfile.SYMTYPE, b""), ("hard.wav", tarfile.LNKTYPE, b""),
        ("pipe.wav", tarfile.FIFOTYPE, b""), ("null.wav", tarfile.CHRTYPE, b""), ("disk.wav", tarfile.BLKTYPE, b""),
        ("folder.wav", tarfile.DIRTYPE, b""), ("folder", tarfile.DIRTYPE, b""), ("._a.wav", tarfile.REGTYPE, b"x"),
        ("b.wav", tarfile.REGTYPE, sound), ("b.wav", tarfile.REGTYPE, other), ("c.wav", tarfile.REGTYPE, sound[:-2]),
        ("c.txt", tarfile.REGTYPE, b"caf\xe9"), ("d.json", tarfile.REGTYPE, b"[" * 5000),
    ]  # fmt: skip
    with tarfile.open(snapshot / "s.tar", "w") as tar:
        for name, kind, data in members:
            info = tarfile.TarInfo(name)
            info.type, info.size, info.linkname = kind, len(data), "a.wav"
            tar.addfile(info, io.BytesIO(data))
    (snapshot / "x.wav").unlink()
    (snapshot / "y.wav").unlink()
    built = ingest(FolderSource(snapshot))
    assert list(_recordings(built)) == ["s.tar/a.wav", "s.tar/b.wav"]
    assert _rejects(built) == {
        **dict.fromkeys([f"s.tar/{n}.wav" for n in ("link", "hard", "pipe", "null", "disk", "folder")], "not_a_file"),
        "s.tar/._a.wav": "hidden", "s.tar/b.wav": "overwritten", "s.tar/c.wav": "bad_metadata",
        "s.tar/d": "missing_file",
    }  # fmt: skip
    assert built.artifact.manifest.counts.records_in == len(members) - 1 - 1  # the plain folder, c.txt with its sound
    assert _balanced(built)


def test_nemos_tarred_form(snapshot: Path, ingest: Ingest):
    for number in range(2):
        _tone(snapshot / "x.wav", 300 + 50 * number, seconds=2.0)
        _shard(snapshot / f"audio_{number}.tar", {"utt.wav": (snapshot / "x.wav").read_bytes()})
    (snapshot / "x.wav").unlink()
    rows = [
        {"audio_filepath": name, "duration": 1.0, "offset": offset, "text": f"{name} {shard}", "shard_id": shard}
        for shard in (0, 1)
        for name, offset in (("utt.wav", 0.0), ("utt-sub1.wav", 1.0))
    ]
    (snapshot / "tarred_audio_manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    built = ingest(FolderSource(snapshot))
    assert {uri: [u.text for u in row.utterances] for uri, row in _recordings(built).items()} == {
        f"audio_{shard}.tar/utt.wav": [f"utt.wav {shard}", f"utt-sub1.wav {shard}"] for shard in (0, 1)
    }
    assert _rejects(built) == {}


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["a.wav", "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
JSON_KEYS = st.sampled_from(
    [
        *("file", "audio_filepath", "text", "offset", "duration", "speaker", "channel", "utterances", "sources", "id"),
        *("recording_id", "start", "recording", "supervisions", "type", "shard_id", "rttm", "url", "licence", "lang"),
        *("tarred_audio_filepaths", "custom", "start_s", "end_s", "channel_selector", "_skipme"),
    ]
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.dictionaries(JSON_KEYS, JSON_VALUES, max_size=6) | JSON_VALUES, max_size=5), st.binary(max_size=30))
def test_any_manifest_leaves_the_other_recordings(tmp_path: Path, rows: list[object], more: bytes):
    """Whatever a manifest holds, every file is an item, and every item is text that a record can hold."""
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    for name in ("a.wav", "other.wav"):
        (folder / name).write_bytes(name.encode())
    lines = [json.dumps(row).encode() for row in rows]
    (folder / "manifest.jsonl").write_bytes(b"\n".join([*lines, more, json.dumps({"file": "other.wav"}).encode()]))
    items = items_of(SnapshotFiles(folder))
    uris = {item.source_uri.partition("#channel=")[0] for item in items}
    assert {"a.wav", "other.wav"} <= uris
    to_table([Reject(item.source_uri, "", item.reason, item.detail) for item in items], Reject)
    found = [u for item in items for u in (*item.entry.utterances, *(u for _, us in item.entry.by_channel for u in us))]
    to_table(
        [
            Recording("", "", i.entry.url, i.entry.licence, 1.0, 1, 1, "", Audio(b"", ""), found, i.entry.language)
            for i in items
        ],
        Recording,
    )


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6), st.integers(0, 5000))
def test_any_shard_ends_as_items(tmp_path: Path, changes: list[tuple[int, int]], end: int):
    folder = tmp_path / "any"
    folder.mkdir(exist_ok=True)
    _shard(folder / "s.tar", {"a.wav": b"x" * 600, "a.json": b'{"text": "a"}', "b.wav": b"y" * 10, "b.txt": b"b"})
    data = bytearray((folder / "s.tar").read_bytes())
    for place, value in changes:
        data[place] = value
    (folder / "s.tar").write_bytes(data[:end] if end < len(data) else data)
    items = items_of(SnapshotFiles(folder))
    assert items
    to_table([Reject(item.source_uri, item.digest, item.reason, item.detail) for item in items], Reject)


def test_transcripts_of_what_is_rendered_cannot_be_passed_over():
    sources = {"files": Arriving(), "tones": Tones()}
    assert ingest_audio.recordings(sources).snapshots == ("files", "tones")
    with pytest.raises(ValueError, match="use_transcripts=False is for files, and tones is rendered"):
        ingest_audio.recordings(sources, use_transcripts=False)
    assert ingest_audio.recordings({"files": Arriving()}, use_transcripts=False).snapshots == ("files",)
