import gzip
import json
import math

import pytest

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.audio_manifests import Entry, Listing, entry_of, is_manifest, read_manifests
from spelangy_model.records import Utterance

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
SAID = (Utterance("A", "One.", 0.5, 2.5), Utterance("B", "Two.", 4.0, 6.5))


def test_lhotse_recordings_and_supervisions_are_joined():
    listing = read_manifests(
        [
            ("recordings.jsonl.gz", gzip.compress(_lines(RECORDING))),
            ("supervisions.jsonl.gz", gzip.compress(_lines(*SUPERVISIONS))),
        ],
        [ROOT],
    )
    assert listing.entries == {"wav/talk-1.wav": Entry(language="en", utterances=SAID)}
    assert listing.bad == []


def test_lhotse_cuts_count_from_their_start():
    shifted = [{**item, "start": item["start"] - 0.25} for item in SUPERVISIONS]
    cut = {
        "id": "talk-1-0", "start": 0.25, "duration": 9.0, "channel": 0, "supervisions": shifted,
        "recording": {**RECORDING, "custom": {"url": "https://x.org/1", "licence": "CC0-1.0"}}, "type": "MonoCut",
    }  # fmt: skip
    listing = _read(cut, cut, name="cuts.jsonl")
    assert listing.entries == {"wav/talk-1.wav": Entry("https://x.org/1", "CC0-1.0", "en", SAID)}
    assert listing.bad == []


def test_a_licence_may_stand_beside_a_lhotse_manifest():
    listing = read_manifests(
        [
            ("a.jsonl", _lines({"file": "wav/talk-1.wav", "url": "https://x.org/1", "licence": "CC0-1.0"})),
            ("b.jsonl", _lines(RECORDING, *SUPERVISIONS)),
        ],
        [ROOT],
    )
    assert listing.entries == {"wav/talk-1.wav": Entry("https://x.org/1", "CC0-1.0", "en", SAID)}


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
        {**SUPERVISIONS[0], "recording_id": "nobody"},
        SUPERVISIONS[0],
        {**SUPERVISIONS[0], "text": "Else."},
        {"id": "m", "type": "MixedCut", "tracks": []},
    )
    assert sorted(listing.entries) == ["a.wav", "wav/talk-1.wav"]
    assert sorted(_bad(listing)) == [
        ("../up.wav", "outside"), ("/etc/passwd", "outside"), ("a.wav", "duplicate_id"), ("m", "unknown_source"),
        ("nobody", "missing_file"), ("other.wav", "duplicate_id"), ("talk-1", "duplicate_id"), ("u", "unknown_source"),
    ]  # fmt: skip
    assert all("manifest.jsonl, line" in bad.error for bad in listing.bad)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{", "one JSON object a line"),
        ("[]", "a list, not an object"),
        ("{}", "names no file"),
        ('{"file": "x.wav", "url": 3}', "url is 3"),
        ('{"file": "x.wav", "utterances": {}}', "no list"),
        ('{"file": "x.wav", "utterances": [{"speaker": "a"}]}', "an utterance has"),
        ('{"file": "x.wav", "utterances": [{"speaker": "a", "text": null, "start_s": 0, "end_s": 1}]}', "is a string"),
        ('{"audio_filepath": "x.wav", "text": "a", "duration": "3"}', "duration is '3'; it is a number"),
        ('{"audio_filepath": "x.wav", "text": 3}', "text is 3"),
    ],
)
def test_a_line_that_cannot_be_understood_is_named(line: str, why: str):
    data = b'\xef\xbb\xbf{"file": "ok.wav"}\n\n' + line.encode() + b"\n"
    with pytest.raises(InputError, match=rf"manifest\.jsonl, line 3: .*{why}"):
        read_manifests([("manifest.jsonl", data)], [ROOT])


def test_a_torn_gzip_file_is_named():
    with pytest.raises(InputError, match=r"cuts\.jsonl\.gz: .*write it again"):
        read_manifests([("cuts.jsonl.gz", gzip.compress(_lines(RECORDING))[:40])], [ROOT])


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
