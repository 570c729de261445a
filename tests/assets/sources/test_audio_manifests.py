import gzip
import json
import math
import unicodedata

import pytest

from spelangy_assets.sources import audio_manifests
from spelangy_assets.sources.audio_manifests import (
    Entry,
    Listing,
    entry_of,
    is_manifest,
    manifests_of,
    read_manifests,
)
from spelangy_assets.sources.manifest_names import ManifestNames, expanded
from spelangy_model.records import Utterance
from spelangy_model.rng import stable_hash

ROOT = "/crawl/monday"


def _lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def _read(*rows: object, name: str = "manifest.jsonl") -> Listing:
    return read_manifests([(name, _lines(*rows))], [ROOT])


def _bad(listing: Listing) -> list[tuple[str, str]]:
    return [(bad.name, bad.reason) for bad in listing.bad]


def test_which_files_are_manifests():
    names = ("manifest.jsonl", "cuts.jsonl.gz", "train_manifest.json", "an4_manifest.json.gz", "M.JSONL")
    assert all(map(is_manifest, names))
    assert not any(map(is_manifest, ("deep/manifest.jsonl", "labels.json", "a.wav", "manifest.txt")))


def test_nemo_lines_are_utterances_of_their_file():
    listing = _read(
        {"audio_filepath": "b.wav", "offset": 2.0, "duration": 1.5, "text": "second", "lang": "en", "speaker": 7},
        {"audio_filepath": f"{ROOT}/b.wav", "offset": 0.0, "duration": 1.25004, "text": "first", "license": "MIT"},
        {"audio_filepath": "a.wav", "duration": 3.1, "text": "whole"},
        {"audio_filepath": "c.wav", "text": "no times"},
        {"audio_filepath": "d.wav", "duration": 3.0, "text": ""},
    )
    assert list(listing.entries) == ["a.wav", "b.wav", "c.wav", "d.wav"]
    assert listing.entries["b.wav"].utterances == (
        Utterance("unknown", "first", 0.0, 1.25), Utterance("7", "second", 2.0, 3.5),
    )  # fmt: skip
    assert listing.entries["b.wav"].language == "en"
    assert listing.entries["a.wav"].utterances == (Utterance("unknown", "whole", 0.0, 3.1),)
    assert listing.entries["c.wav"].utterances == (Utterance("unknown", "no times", 0.0, math.inf),)
    assert listing.entries["d.wav"].utterances == ()


def test_text_beside_our_own_keys_is_no_transcript():
    assert _read({"path": "a.wav", "text": "read aloud"}).entries == {"a.wav": Entry()}


# As lhotse 1.33 writes them (RecordingSet, SupervisionSet and CutSet to JSONL).
RECORDING = {
    "id": "talk-1", "sources": [{"type": "file", "channels": [0], "source": "wav/talk-1.wav"}],
    "sampling_rate": 16000, "num_samples": 160000, "duration": 10.0, "channel_ids": [0],
}  # fmt: skip
SUPERVISIONS = [
    {"id": "s2", "recording_id": "talk-1", "start": 4.0, "duration": 2.5, "channel": 0, "text": "Two.",
     "language": "en", "speaker": "B"},
    {"id": "s1", "recording_id": "talk-1", "start": 0.5, "duration": 2.0, "channel": 0, "text": "One.",
     "language": "en", "speaker": "A"},
]  # fmt: skip
UTTERANCES = (Utterance("A", "One.", 0.5, 2.5), Utterance("B", "Two.", 4.0, 6.5))


def test_lhotse_recordings_and_supervisions_are_joined():
    listing = read_manifests(
        [
            ("recordings.jsonl.gz", gzip.compress(_lines(RECORDING))),
            ("supervisions.jsonl.gz", gzip.compress(_lines(*SUPERVISIONS))),
        ],
        [ROOT],
    )
    assert listing.entries == {"wav/talk-1.wav": Entry(language="en", utterances=UTTERANCES)}
    assert listing.bad == []


def test_lhotse_cuts_count_from_their_start():
    shifted = [{**item, "start": item["start"] - 0.25} for item in SUPERVISIONS]
    cut = {
        "id": "talk-1-0", "start": 0.25, "duration": 9.0, "channel": 0, "supervisions": shifted,
        "recording": {**RECORDING, "custom": {"url": "https://x.org/1", "licence": "CC0-1.0"}}, "type": "MonoCut",
    }  # fmt: skip
    listing = _read(cut, cut, name="cuts.jsonl")
    assert listing.entries == {"wav/talk-1.wav": Entry("https://x.org/1", "CC0-1.0", "en", UTTERANCES)}
    assert listing.bad == []


def test_a_licence_may_stand_beside_a_lhotse_manifest():
    listing = read_manifests(
        [
            ("a.jsonl", _lines({"file": "wav/talk-1.wav", "url": "https://x.org/1", "licence": "CC0-1.0"})),
            ("b.jsonl", _lines(RECORDING, *SUPERVISIONS)),
        ],
        [ROOT],
    )
    assert listing.entries == {"wav/talk-1.wav": Entry("https://x.org/1", "CC0-1.0", "en", UTTERANCES)}


def test_records_that_name_nothing_to_be_read():
    other = {**RECORDING, "sources": [{"type": "file", "channels": [0], "source": "other.wav"}]}
    url = {**RECORDING, "id": "u", "sources": [{"type": "url", "channels": [0], "source": "https://x.org/a.wav"}]}
    listing = _read(
        {"file": "../up.wav"},
        {"audio_filepath": "/etc/passwd", "text": "x"},
        {"file": "a.wav"},
        {"file": "a.wav", "url": "another"},
        RECORDING,
        other,
        url,
        {**SUPERVISIONS[0], "recording_id": "unknown"},
        SUPERVISIONS[0],
        {**SUPERVISIONS[0], "text": "Else."},
        {"id": "m", "type": "MixedCut", "tracks": []},
    )
    assert sorted(listing.entries) == ["a.wav", "wav/talk-1.wav"]
    assert sorted(_bad(listing)) == [
        ("../up.wav", "outside"), ("/etc/passwd", "outside"), ("a.wav", "duplicate_id"), ("m", "unknown_source"),
        ("other.wav", "duplicate_id"), ("talk-1", "duplicate_id"), ("u", "unknown_source"), ("unknown", "missing_file"),
    ]  # fmt: skip
    assert all("manifest.jsonl, line" in bad.error for bad in listing.bad)


@pytest.mark.parametrize(
    ("line", "name", "reason", "why"),
    [
        ("{", "manifest.jsonl, line 3", "bad_line", "one JSON object a line"),
        ("[]", "manifest.jsonl, line 3", "bad_line", "a list, not an object"),
        ("{}", "manifest.jsonl, line 3", "bad_line", "names no file"),
        ('{"file": "x.wav", "url": 3}', "x.wav", "bad_metadata", "url is 3"),
        ('{"file": "x.wav", "utterances": {}}', "x.wav", "bad_metadata", "no list"),
        ('{"file": "x.wav", "utterances": [{"speaker": "a"}]}', "x.wav", "bad_utterances", "an utterance has"),
        (
            '{"file": "x.wav", "utterances": [{"speaker": "a", "text": null, "start_s": 0, "end_s": 1}]}',
            *("x.wav", "bad_utterances", "is a string"),
        ),
        (
            '{"audio_filepath": "x.wav", "text": "a", "duration": "3"}',
            *("x.wav", "bad_utterances", "duration is '3'; it is a number"),
        ),
        ('{"audio_filepath": "x.wav", "text": 3}', "x.wav", "bad_metadata", "text is 3"),
        ('{"audio_filepath": "x.wav", "text": "\\ud83d"}', "x.wav", "bad_utterances", "half a character"),
        (
            f'{{"audio_filepath": "x.wav", "text": "a", "offset": {"9" * 400}}}',
            *("x.wav", "bad_utterances", "offset is inf"),
        ),
        (f'{{"file": {"[" * 100_000}', "manifest.jsonl, line 3", "bad_line", "nested deeper than 64"),
        ('{"file": "x.wav", "file": "y.wav"}', "manifest.jsonl, line 3", "bad_line", "given twice"),
        ('{"file": "\\ud83d.wav"}', "manifest.jsonl, line 3", "bad_name", "no name that a file can have"),
        ('{"recording_id": "r", "start": {}, "text": "a"}', "manifest.jsonl, line 3", "bad_utterance", "start is {}"),
        ('{"type": "MonoCut", "recording": {"sources": 1}}', "manifest.jsonl, line 3", "unknown_source", "[1]"),
        ('{"type": "MonoCut", "recording": 3}', "manifest.jsonl, line 3", "unknown_source", "without a recording"),
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_understood_costs_itself(line: str, name: str, reason: str, why: str):
    data = b'\xef\xbb\xbf{"file": "ok.wav"}\n\n' + line.encode() + b'\n{"file": "last.wav"}\n'
    listing = read_manifests([("manifest.jsonl", data)], [ROOT])
    assert list(listing.entries) == ["last.wav", "ok.wav"]
    (bad,) = [*listing.bad, *listing.refused.values()]
    assert (bad.name, bad.reason) == (name, reason)
    assert "manifest.jsonl, line 3" in bad.error
    assert why in bad.error


@pytest.mark.parametrize("supervisions", ["abc", [1], {"a": 1}, [None]])
def test_supervisions_that_are_no_objects(supervisions: object):
    cut = {"id": "c", "type": "MonoCut", "start": 0, "recording": RECORDING, "supervisions": supervisions}
    listing = _read(cut, {"file": "ok.wav"})
    assert "ok.wav" in listing.entries
    assert len([*listing.bad, *listing.refused.values()]) == 1


def test_one_bad_supervision_costs_one_utterance():
    listing = _read(RECORDING, *SUPERVISIONS, {**SUPERVISIONS[0], "id": "s3", "duration": "long"})
    assert listing.entries["wav/talk-1.wav"].utterances == UTTERANCES
    assert _bad(listing) == [("manifest.jsonl, line 4", "bad_utterance")]
    assert listing.refused == {}


def test_a_recording_of_which_no_supervision_is_understood_is_refused():
    listing = _read(RECORDING, {**SUPERVISIONS[0], "text": 3})
    assert {name: bad.reason for name, bad in listing.refused.items()} == {"wav/talk-1.wav": "bad_utterances"}


def test_null_and_nan_mean_that_a_key_is_not_there():
    row = {"audio_filepath": "a.wav", "duration": None, "offset": None, "text": "a", "lang": None, "speaker": math.nan}
    listing = _read(row, {"audio_filepath": "b.wav", "text": math.nan, "url": math.nan, "snr": math.nan})
    assert listing.entries["a.wav"].utterances == (Utterance("unknown", "a", 0.0, math.inf),)
    assert listing.entries["b.wav"] == Entry()


def test_values_that_no_one_uses_cost_nothing():
    line = (
        f'{{"file": "a.wav", "snr": NaN, "n": {"9" * 5000}, "x": 1e999, "deep": {"[" * 50}{"]" * 50}, "s": "\\ud83d"}}'
    )
    listing = read_manifests([("m.jsonl", line.encode())], [ROOT])
    assert (listing.entries, listing.bad, listing.refused) == ({"a.wav": Entry()}, [], {})


def test_half_characters_of_a_url_are_replaced():
    assert _read({"file": "a.wav", "url": "https://x.org/\ud83d"}).entries["a.wav"].url == "https://x.org/\ufffd"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("form", ["lines", "list", "indented"])
def test_a_manifest_in_any_writing(encoding: str, form: str):
    rows = [{"file": "é.wav", "url": "https://x.org/1"}, {"file": "b.wav"}]
    text = {
        "lines": "\r\n".join(json.dumps(row, ensure_ascii=False) for row in rows),
        "list": json.dumps(rows, indent=1),
        "indented": "\n".join(json.dumps(row, indent=2) for row in rows),
    }[form]
    data = text.encode(encoding) if encoding != "utf-16-le" else b"\xff\xfe" + text.encode(encoding)
    listing = read_manifests([("manifest.json", data)], [ROOT])
    assert list(listing.entries) == ["b.wav", "é.wav"]
    assert listing.bad == []


def test_a_torn_gzip_file_gives_the_lines_before():
    rows = [{"file": f"{number:06d}.wav", "url": stable_hash("url", number)} for number in range(20_000)]
    packed = gzip.compress(_lines(*rows))
    listing = read_manifests([("cuts.jsonl.gz", packed[: len(packed) // 2])], [ROOT])
    assert 5_000 < len(listing.entries) < 15_000
    assert [bad.reason for bad in listing.bad] == ["truncated"]
    assert "cuts.jsonl.gz, after line" in listing.bad[0].error


def test_a_file_that_unpacks_to_a_thousand_times_its_size_is_refused():
    packed = gzip.compress(b'{"file": "a.wav"}\n' + b" " * (100 << 20) + b'\n{"file": "b.wav"}\n')
    listing = read_manifests([("manifest.jsonl.gz", packed)], [ROOT])
    assert list(listing.entries) == ["a.wav"]
    assert "too_large" in {bad.reason for bad in listing.bad}


def test_a_file_of_bad_lines_is_read_to_a_limit(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(audio_manifests, "MAX_BAD_LINES", 10)
    listing = _read({"file": "a.wav"}, *[[]] * 50, {"file": "b.wav"})
    assert list(listing.entries) == ["a.wav"]
    assert len(listing.bad) == 11
    assert "the rest of the file is not read" in max(bad.error for bad in listing.bad if bad.reason == "not_text")


def test_names_match_in_any_unicode_form():
    on_disk = "e\u0301/\u1112\u1161\u11ab.wav"
    names = ManifestNames([on_disk, "both\xe9.wav", "bothe\u0301.wav"])
    rows = [
        {"file": unicodedata.normalize("NFC", on_disk)},
        {"file": "both\xe9.wav", "url": "composed"},
        {"file": "bothe\u0301.wav", "url": "decomposed"},
    ]
    listing = read_manifests([("m.jsonl", _lines(*rows))], [ROOT], names=names)
    assert {name: entry.url for name, entry in listing.entries.items()} == {
        on_disk: "", "both\xe9.wav": "composed", "bothe\u0301.wav": "decomposed",
    }  # fmt: skip


# --- channels ---------------------------------------------------------------------------------------------------

CALL = {"id": "call", "sources": [{"type": "file", "channels": [0, 1], "source": "call.wav"}], "duration": 8.0}


def _call(*channels: object) -> list[dict[str, object]]:
    return [
        {
            "id": f"s{n}",
            "recording_id": "call",
            "start": 0.0,
            "duration": 2.0,
            "channel": c,
            "text": f"t{n}",
            "speaker": "A",
        }
        for n, c in enumerate(channels)
    ]


def test_supervisions_keep_their_channel():
    entry = _read(CALL, *_call(0, 1, [0, 1])).entries["call.wav"]
    assert {channel: [u.text for u in utterances] for channel, utterances in entry.by_channel} == {0: ["t0"], 1: ["t1"]}
    assert [u.text for u in entry.utterances] == ["t2"]
    assert entry.channels == 2


def test_a_channel_that_there_is_not_is_a_bad_line():
    listing = _read(CALL, *_call(0, 2))
    assert _bad(listing) == [("manifest.jsonl, line 3", "no_channel")]


def test_each_file_of_a_recording_has_its_own_channel():
    sources = [{"type": "file", "channels": [c], "source": f"{c}.wav"} for c in (0, 1)]
    entries = _read({**CALL, "sources": sources}, *_call(0, 1)).entries
    assert {name: [u.text for u in entry.utterances] for name, entry in entries.items()} == {
        "0.wav": ["t0"], "1.wav": ["t1"],
    }  # fmt: skip


def test_nemo_lines_and_our_own_name_channels():
    utterances = {"speaker": "a", "text": "own", "start_s": 0, "end_s": 1, "channel": 1}
    entries = _read(
        {"audio_filepath": "a.wav", "text": "right", "channel_selector": 1},
        {"audio_filepath": "a.wav", "text": "left", "channel": 0.0},
        {"audio_filepath": "b.wav", "text": "both", "channel_selector": "average"},
        {"file": "c.wav", "utterances": [utterances]},
    ).entries
    assert [(c, utterances[0].text) for c, utterances in entries["a.wav"].by_channel] == [(0, "left"), (1, "right")]
    assert [u.text for u in entries["b.wav"].utterances] == ["both"]
    assert entries["c.wav"].by_channel == ((1, (Utterance("a", "own", 0.0, 1.0),)),)


# --- NeMo's tarred form -----------------------------------------------------------------------------------------

SHARDS = {"d/audio_0.tar": ["a.wav", "same.wav"], "d/audio_1.tar": ["b.wav", "same.wav"]}


def _tarred(
    *rows: object, manifest: str = "d/tarred_audio_manifest.json", shards: dict[str, list[str]] = SHARDS
) -> Listing:
    names = ManifestNames([*shards, manifest], shards, [ROOT])
    return read_manifests([(manifest, _lines(*rows))], [ROOT], names=names)


def _nemo(name: str, shard: object = None, **more: object) -> dict[str, object]:
    return {"audio_filepath": name, "text": f"{name} {shard}", "duration": 1.0, "shard_id": shard, **more}


def test_lines_name_members_of_shards():
    listing = _tarred(_nemo("a.wav", 0), _nemo("b.wav", 1.0), _nemo("same.wav", 1), _nemo("same.wav", 0))
    assert {name: entry.utterances[0].text for name, entry in listing.entries.items()} == {
        "d/audio_0.tar/a.wav": "a.wav 0", "d/audio_0.tar/same.wav": "same.wav 0",
        "d/audio_1.tar/b.wav": "b.wav 1.0", "d/audio_1.tar/same.wav": "same.wav 1",
    }  # fmt: skip


def test_further_utterances_of_a_member_are_called_sub():
    listing = _tarred(_nemo("a.wav", 0), _nemo("a-sub1.wav", 0, offset=1.0), _nemo("a-sub2.wav", 0, offset=2.0))
    assert [u.start_s for u in listing.entries["d/audio_0.tar/a.wav"].utterances] == [0.0, 1.0, 2.0]


def test_the_number_of_a_sharded_manifest_names_its_shard():
    listing = _tarred(_nemo("same.wav"), manifest="d/sharded_manifests/manifest_1.json")
    assert list(listing.entries) == ["d/audio_1.tar/same.wav"]


def test_a_member_that_may_be_in_several_shards_is_a_bad_line():
    assert _bad(_tarred(_nemo("same.wav"))) == [("d/tarred_audio_manifest.json, line 1", "ambiguous")]


def test_a_shard_of_another_number_is_not_taken():
    listing = _tarred(_nemo("a.wav", 1))
    assert list(listing.entries) == ["a.wav"]  # which is not there


def test_members_are_found_in_any_unicode_form():
    listing = _tarred(_nemo("\xe9.wav", 0), shards={"d/audio_0.tar": ["./e\u0301.wav"]})
    assert list(listing.entries) == ["d/audio_0.tar/./e\u0301.wav"]


def test_a_line_of_a_data_configuration_names_shards():
    row = {"manifest_filepath": "tarred_audio_manifest.json", "tarred_audio_filepaths": [["audio__OP_0..2_CL_.tar"]]}
    assert _bad(_tarred(row)) == [("audio_2.tar", "missing_file")]


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("audio__OP_0..2_CL_.tar", ["audio_0.tar", "audio_1.tar", "audio_2.tar"]),
        ("{08..10}.tar", ["08.tar", "09.tar", "10.tar"]),
        ("{a,b}_{0..1}", ["a_0", "a_1", "b_0", "b_1"]),
        ("plain.tar", ["plain.tar"]),
        ("{3..1}", []),
    ],
)
def test_patterns_stand_for_names(pattern: str, names: list[str]):
    assert list(expanded(pattern)) == names


@pytest.mark.parametrize("pattern", ["{0..999999999}", "{0..9999}{0..9999}{0..9999}", "{a,b}" * 3000])
def test_patterns_are_bounded(pattern: str):
    assert len(list(expanded(pattern))) <= 100_000


def test_manifests_lie_at_the_top_or_beside_shards():
    names = [
        *("a.jsonl", "x/a.jsonl", "x/manifest.json", "d/audio_0.tar", "d/tarred_audio_manifest.json", "d/notes.json"),
        *("d/sharded_manifests/manifest_0.json", "d/deep/er/manifest_0.json"),
    ]
    assert manifests_of(names) == [
        "a.jsonl", "d/tarred_audio_manifest.json", "d/sharded_manifests/manifest_0.json",
    ]  # fmt: skip


def test_a_text_beside_stands_in_for_a_transcript():
    assert entry_of({}, "x", "Hello.").utterances == (Utterance("unknown", "Hello.", 0.0, math.inf),)
    assert entry_of({"text": "Own."}, "x", "Hello.").utterances[0].text == "Own."


def test_addresses_are_kept_without_their_credentials():
    signed = "https://me:s3cret@host.example/a.wav?v=2&token=s3cret"
    listing = _read(
        {"file": "a.wav", "url": signed},
        {"audio_filepath": "b.wav", "duration": 1, "text": "a word", "source_url": signed},
        {"file": signed},
    )
    assert {listing.entries[name].url for name in ("a.wav", "b.wav")} == {"https://host.example/a.wav?v=2"}
    assert "s3cret" not in repr(listing)
