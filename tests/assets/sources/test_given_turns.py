"""RTTM in place of diarization: which file speaks of which recording, and what becomes of its turns."""

import json
import unicodedata
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.sources.audio_snapshot import items_of
from spelangy_assets.sources.files import FolderSource, SnapshotFiles
from spelangy_assets.sources.given_turns import read_turns
from spelangy_assets.stages import ingest_audio, segment_speech
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.stages.segment_speech import CONTRACT as SPEECH_SEGMENTS
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.parts import PartRule
from spelangy_model.records import Recording, Reject, Segment, Utterance


def rttm(*turns: tuple[str, float, float, str]) -> str:
    return "".join(
        f"SPEAKER {name} 1 {start} {end - start} <NA> <NA> {who} <NA> <NA>\n" for name, start, end, who in turns
    )


def turns_given(recordings: dict[str, str], **files: str):
    contents = {name.replace("__", "."): text.encode() for name, text in files.items()}
    return read_turns(contents.__getitem__, [*recordings, *contents], recordings)


def test_a_file_that_a_manifest_names_is_taken_whatever_it_calls_the_recording():
    given = turns_given({"deep/a.wav": "x.rttm", "b.wav": ""}, x__rttm=rttm(("MEETING", 0.5, 1.25, "ann")))
    assert given.by_recording == {"deep/a.wav": (Utterance("ann", "", 0.5, 1.25),)}
    assert (given.files, given.bad) == ({"x.rttm"}, {})


def test_one_file_may_speak_of_many():
    both = rttm(("a", 0, 1, "ann"), ("b.wav", 1, 2, "bob"))
    given = turns_given({"a.wav": "x.rttm", "deep/b.wav": "x.rttm", "c.wav": "x.rttm"}, x__rttm=both)
    assert set(given.by_recording) == {"a.wav"}
    assert {uri: line.reason for uri, line in given.bad.items()} == {"deep/b.wav": "no_turns", "c.wav": "no_turns"}


@pytest.mark.parametrize("name", ["deep%2Fa%20b.wav", "a", "deep/a", "deep/a.wav"])
def test_the_snapshots_own_file_calls_recordings_in_several_ways(name: str):
    uri = "deep/a b.wav" if "%" in name else "deep/a.wav"
    given = turns_given({uri: "", "other.wav": ""}, turns__rttm=rttm((name, 0, 1, "ann"), ("unknown", 0, 1, "bob")))
    assert set(given.by_recording) == {uri}
    assert [(line.name, line.reason) for line in given.bad.values()] == [("turns.rttm: unknown", "missing_file")]


def test_a_name_that_may_be_several_recordings_is_a_bad_line():
    given = turns_given({"a/x.wav": "", "b/x.wav": ""}, turns__rttm=rttm(("x", 0, 1, "ann"), ("b/x", 0, 1, "bob")))
    assert {place: line.reason for place, line in given.bad.items()} == {"turns.rttm: x": "ambiguous"}
    assert set(given.by_recording) == {"b/x.wav"}


def test_a_bad_line_costs_itself():
    text = rttm(("x", 0, 1, "ann"), ("x", 2, 3, "bob")) + "SPEAKER x 1 zero 1 <NA> <NA> ann <NA> <NA>\nSPEAKER x\n"
    given = turns_given({"x.wav": ""}, turns__rttm=text)
    assert [turn.speaker for turn in given.by_recording["x.wav"]] == ["ann", "bob"]
    assert {place: line.reason for place, line in given.bad.items()} == {
        "turns.rttm, line 3": "bad_line", "turns.rttm, line 4": "bad_line",
    }  # fmt: skip
    assert "correct the line" in given.bad["turns.rttm, line 3"].error


def test_files_that_are_not_there_or_hold_no_turns_are_bad():
    given = turns_given({"x.wav": "gone.rttm", "y.wav": "empty.rttm"}, empty__rttm=";; no turns\n")
    assert {uri: line.reason for uri, line in given.bad.items()} == {"x.wav": "missing_file", "y.wav": "no_turns"}


def test_a_file_that_is_no_text_is_bad():
    given = read_turns({"turns.rttm": b"\xff\xfe\x00"}.__getitem__, ["a.wav", "turns.rttm"], {"a.wav": ""})
    assert [(line.name, line.reason) for line in given.bad.values()] == [("turns.rttm", "not_text")]


@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_names_match_in_any_unicode_form(written: Literal["NFC", "NFD"]):
    on_disk = "e\u0301 \u1112\u1161\u11ab.wav"  # as macOS stores it
    name = unicodedata.normalize(written, on_disk)
    for called in (name.replace(" ", "_"), quote(name, safe="")):
        uri = on_disk.replace(" ", "_") if "_" in called else on_disk
        given = turns_given({uri: ""}, turns__rttm=rttm((called, 0, 1, "ann")))
        assert set(given.by_recording) == {uri}


def _snapshot(folder: Path, *names: str, seconds: float = 6.0) -> Path:
    folder.mkdir(exist_ok=True)
    for index, name in enumerate(names):
        noise = np.random.default_rng(index).uniform(-0.1, 0.1, int(seconds * 16_000))
        soundfile.write(folder / name, noise, 16_000)
    return folder


def test_the_forms_of_manifests_name_it(tmp_path: Path):
    folder = _snapshot(tmp_path / "snapshot", "a.wav", "b.wav", "c.wav")
    for name in "abc":
        (folder / f"{name}.rttm").write_text(rttm((name, 0, 1, "ann")))
    rows = (
        {"file": "a.wav", "rttm": "a.rttm", "licence": "CC0-1.0"},
        {"audio_filepath": "b.wav", "rttm_filepath": str(folder / "b.rttm"), "text": "-", "duration": None},
    )
    (folder / "manifest.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    items = {item.source_uri: item for item in items_of(SnapshotFiles(folder))}
    assert items["a.wav"].entry.utterances == items["b.wav"].entry.utterances == (Utterance("ann", "", 0.0, 1.0),)
    # What no manifest names may be the truth that a diarizer is measured by.
    assert items["c.wav"].entry.utterances == ()
    assert {name: item.reason for name, item in items.items() if item.reason} == {"c.rttm": "not_audio"}


def test_a_transcript_goes_before_turns(tmp_path: Path):
    folder = _snapshot(tmp_path / "snapshot", "a.wav")
    utterance = {"speaker": "bob", "text": "Hello.", "start_s": 1.0, "end_s": 2.0}
    (folder / "manifest.jsonl").write_text(json.dumps({"file": "a.wav", "utterances": [utterance]}))
    (folder / "turns.rttm").write_text(rttm(("a", 0, 1, "ann")))
    (item,) = items_of(SnapshotFiles(folder))
    assert item.entry.utterances == (Utterance("bob", "Hello.", 1.0, 2.0),)


def test_turns_become_segments_without_a_diarizer(
    store: ArtifactStore, execution: Execution, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def never(*arguments: object):
        raise AssertionError("there are no speakers to distinguish")

    monkeypatch.setattr(segment_speech, "open_diarizer", never)
    folder = _snapshot(tmp_path / "snapshot", "talk.wav", seconds=50)
    turns = (("talk", 0.5, 2, "ann"), ("talk", 2.25, 4, "ann"), ("talk", 3, 3.1, "bob"), ("talk", 3.5, 40, "bob"))
    (folder / "turns.rttm").write_text(rttm(*turns, ("lost", 0, 1, "ann")))
    raw = Node(
        name="raw_audio", group="crawl", description="", stage=ingest_audio, contract=RAW_AUDIO, has_source=True,
        config=ingest_audio.Config(parts=PartRule(max_part_s=45, search_s=2)),
    )  # fmt: skip
    node = Node(
        name="speech_segments", group="transcripts", description="", stage=segment_speech, contract=SPEECH_SEGMENTS,
        config=segment_speech.Config(max_gap_s=0.3), inputs={"raw_audio": "raw_audio"},
    )  # fmt: skip
    graph = Graph("recipe", [raw, node])
    recordings = build(store, graph, raw, None, execution, FolderSource(folder)).artifact
    (recording,) = recordings.records("recordings", Recording)  # in the part after 40 s there is no speech
    assert not recording.has_transcript
    assert recordings.manifest.counts.stats["hours_without_turns"] > 0
    assert [(reject.source_uri, reject.reason) for reject in recordings.records("rejects", Reject)] == [
        ("turns.rttm: lost", "missing_file")
    ]
    artifact = build(store, graph, node, None, execution).artifact
    segments = list(artifact.records("segments", Segment))
    assert [(s.speaker, s.start_s, s.end_s) for s in segments[:1]] == [("ann", 0.5, 4.0)]
    assert [s.speaker for s in segments[1:]] == ["bob", "bob"]
    assert (segments[1].start_s, segments[2].end_s) == (3.5, 40.0)
    assert max(s.end_s - s.start_s for s in segments) <= 28
    assert segments[0].overlap_s == 0.5
    assert artifact.manifest.counts.dropped == {"too_short": 1}
