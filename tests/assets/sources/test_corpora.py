"""Public corpora in their own layouts: a tiny folder of each form, read to items with texts, speakers and licences."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets import lab
from spelangy_assets.execution.build import build
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.settings import Settings
from spelangy_assets.sources.audio_snapshot import Item, items_of
from spelangy_assets.sources.corpora import Emilia, LibriHeavy, LibriSpeech, PeoplesSpeech, VoxPopuli, Yodas
from spelangy_assets.sources.files import FolderSource, SnapshotFiles
from spelangy_model.records import Recording, Reject
from spelangy_model.rng import stable_rng

Folder = dict[str, bytes | str | list[dict[str, Any]]]


def sound(name: str, duration_s: float = 1.0) -> bytes:
    """A second of noise of its own, as FLAC."""
    out = io.BytesIO()
    samples = stable_rng(0, name).normal(0, 0.1, int(16_000 * duration_s)).astype(np.float32)
    soundfile.write(out, samples, 16_000, format="FLAC")
    return out.getvalue()


def tar(**members: bytes) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as shard:
        for name, data in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            shard.addfile(member, io.BytesIO(data))
    return out.getvalue()


def lay(folder: Path, files: Mapping[str, bytes | str | list[dict[str, Any]]]) -> Path:
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, list):
            content = "".join(json.dumps(line) + "\n" for line in content)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return folder


def read(folder: Path, corpus: Any) -> tuple[dict[str, Item], dict[str, str]]:
    """Return the recordings by name, and the reasons of rejects by name."""
    items = items_of(SnapshotFiles(folder), corpus=corpus)
    return (
        {item.source_uri: item for item in items if not item.reason},
        {item.source_uri: item.reason for item in items if item.reason},
    )


def words_in(item: Item) -> list[tuple[str, str]]:
    return [(one.speaker, one.text) for one in item.entry.utterances]


LIBRISPEECH: Folder = {
    "LibriSpeech/README.TXT": "about",
    "LibriSpeech/dev-clean/84/121123/84-121123.trans.txt": (
        "84-121123-0000 GO DO YOU HEAR\n84-121123-0001 BUT IN LESS THAN\n84-121123-0002\n84-121123-0009 NOT THERE\n"
    ),
    "LibriSpeech/dev-clean/84/121123/84-121123-0000.flac": sound("a"),
    "LibriSpeech/dev-clean/84/121123/84-121123-0001.flac": sound("b"),
}


def test_librispeech(tmp_path: Path):
    found, rejects = read(lay(tmp_path, LIBRISPEECH), LibriSpeech())
    folder = "LibriSpeech/dev-clean/84/121123"
    assert {name: words_in(item) for name, item in found.items()} == {
        f"{folder}/84-121123-0000.flac": [("84", "GO DO YOU HEAR")],
        f"{folder}/84-121123-0001.flac": [("84", "BUT IN LESS THAN")],
    }
    assert {(item.entry.licence, item.entry.language) for item in found.values()} == {("CC-BY-4.0", "en")}
    assert rejects == {
        "LibriSpeech/README.TXT": "not_audio",
        f"{folder}/84-121123.trans.txt, line 3": "bad_line",
        f"{folder}/84-121123-0009.flac": "missing_file",
    }


def cut(number: int, start_s: float, **custom: Any) -> dict[str, Any]:
    place = "small/100/sea_fairies/01_baum"
    return {
        "id": f"{place}_{number}",
        "start": start_s,
        "duration": 0.4,
        "channel": 0,
        "supervisions": [
            {
                "id": f"{place}_{number}",
                "recording_id": place,
                "start": 0,
                "duration": 0.4,
                "channel": 0,
                "language": "English",
                "speaker": "100",
                "custom": custom,
            }
        ],
        "recording": {
            "id": place,
            "sources": [{"type": "file", "channels": [0], "source": f"download/librilight/{place}.flac"}],
            "sampling_rate": 16000,
            "num_samples": 16000,
            "duration": 1.0,
            "channel_ids": [0],
        },
        "custom": {"text_path": "download/librilight_text/Sea Fairies/text.txt"},
        "type": "MonoCut",
    }


@pytest.mark.parametrize("top", ["", "librilight/", "download/librilight/"])
def test_libriheavy(tmp_path: Path, top: str):
    cuts = [
        cut(0, 0.0, texts=["The little girl.", "THE LITTLE GIRL"]),
        cut(1, 0.5, texts=["But why?", "BUT WHY"]),
        cut(2, 0.5),
    ]
    files: Folder = {"libriheavy_cuts_small.jsonl.gz": cuts, f"{top}small/100/sea_fairies/01_baum.flac": sound("a")}
    found, rejects = read(lay(tmp_path, files), LibriHeavy())
    (item,) = found.values()
    assert words_in(item) == [("100", "The little girl."), ("100", "But why?")]
    assert [(one.start_s, one.end_s) for one in item.entry.utterances] == [(0.0, 0.4), (0.5, 0.9)]
    assert (item.entry.licence, item.entry.language) == ("CC-PDM-1.0", "en")
    assert rejects == {"libriheavy_cuts_small.jsonl.gz, line 3": "bad_line"}


def test_emilia_in_shards(tmp_path: Path):
    def member(key: str, **more: Any) -> dict[str, bytes]:
        about = {
            "id": key,
            "wav": f"EN/{key}.mp3",
            "text": " Hello there.",
            "speaker": "EN_S0",
            "language": "en",
            **more,
        }
        return {f"{key}.mp3": sound(key), f"{key}.json": json.dumps({"duration": 1.0, "dnsmos": 3.3, **about}).encode()}

    files: Folder = {
        "Emilia/EN/EN-B000000.tar": tar(**member("EN_0"), **member("EN_1", text=3)),
        "Emilia-YODAS/DE/DE-B000000.tar": tar(**member("DE_0", language="de")),
    }
    found, rejects = read(lay(tmp_path, files), Emilia())
    assert {name: (item.entry.licence, item.entry.language) for name, item in found.items()} == {
        "Emilia/EN/EN-B000000.tar/EN_0.mp3": ("CC-BY-NC-4.0", "en"),
        "Emilia-YODAS/DE/DE-B000000.tar/DE_0.mp3": ("CC-BY-4.0", "de"),
    }
    assert {tuple(words_in(item)) for item in found.values()} == {(("EN_S0", " Hello there."),)}
    assert rejects == {"Emilia/EN/EN-B000000.tar/EN_1.mp3": "bad_metadata"}


def test_emilia_in_json_lines(tmp_path: Path):
    wav = "EN_B00000/EN_B00000_S00000/mp3/EN_B00000_S00000_W000000.mp3"
    lines = [
        {"id": "a", "wav": wav, "text": "Hello.", "duration": 1.0, "speaker": "EN_B00000_S00000", "language": "en"},
        {"id": "b", "text": "No file."},
    ]
    found, rejects = read(lay(tmp_path, {"EN/EN_B00000.jsonl": lines, f"EN/{wav}": sound("a")}), Emilia())
    assert {name: words_in(item) for name, item in found.items()} == {f"EN/{wav}": [("EN_B00000_S00000", "Hello.")]}
    assert rejects == {"EN/EN_B00000.jsonl, line 2": "bad_line"}


def test_yodas(tmp_path: Path):
    key = "YWgoqEPcmE0-00000-00000045-00000142"
    files: Folder = {
        "data/en000/text/00000000.txt": f"{key} hello there\nYWgoqEPcmE0-00001-00000142-00000200\n",
        f"data/en000/audio/00000000/{key}.wav": sound("a"),
    }
    found, rejects = read(lay(tmp_path, files), Yodas("en"))
    (item,) = found.values()
    assert words_in(item) == [("unknown", "hello there")]
    assert item.entry.url == "https://www.youtube.com/watch?v=YWgoqEPcmE0"
    assert (item.entry.licence, item.entry.language) == ("CC-BY-3.0", "en")
    assert rejects == {"data/en000/text/00000000.txt, line 2": "bad_line"}


def test_granary(tmp_path: Path):
    spoken_in = {"duration": 1.0, "source_lang": "it"}
    lines = [
        {"audio_filepath": "a.flac", "text": "Buongiorno.", "target_lang": "it", **spoken_in},
        {"audio_filepath": "b.flac", "answer": "Sì.", "target_lang": "it", **spoken_in},
        {"audio_filepath": "a.flac", "text": "Good morning.", "target_lang": "en", **spoken_in},
    ]
    files: Folder = {
        "it/yodas/tarred_audio_manifest.json": lines,
        "it/yodas/audio_0.tar": tar(**{"a.flac": sound("a"), "b.flac": sound("b")}),
    }
    found, rejects = read(lay(tmp_path, files), Yodas())
    assert {name: words_in(item) for name, item in found.items()} == {
        "it/yodas/audio_0.tar/a.flac": [("unknown", "Buongiorno.")],
        "it/yodas/audio_0.tar/b.flac": [("unknown", "Sì.")],
    }
    assert {(item.entry.licence, item.entry.language) for item in found.values()} == {("CC-BY-3.0", "it")}
    assert rejects == {"it/yodas/tarred_audio_manifest.json, line 3": "bad_line"}


def test_peoples_speech(tmp_path: Path):
    def record(document: str, **training_data: Any) -> dict[str, Any]:
        return {"identifier": "city", "audio_document_id": document, "training_data": training_data}

    lines = [
        record("d1", duration_ms=[1000, 1000], label=["one", "two"], name=["d1/a.flac", "d1/b.flac"]),
        record("d2", duration_ms=[1000], label=["three", "four"], name=["d2/a.flac"]),
    ]
    files: Folder = {
        "train/clean.json": lines[:1],
        "train/clean_sa.json": [record("d3", duration_ms=[1000], label=["five"], name=["d3/a.flac"]), lines[1]],
        "train/clean/clean_000000.tar": tar(**{"d1/a.flac": sound("a"), "d1/b.flac": sound("b")}),
        "train/clean_sa/clean_sa_000000.tar": tar(**{"d3/a.flac": sound("c")}),
    }
    found, rejects = read(lay(tmp_path, files), PeoplesSpeech())
    assert {name: (words_in(item)[0][1], item.entry.licence, item.entry.language) for name, item in found.items()} == {
        "train/clean/clean_000000.tar/d1/a.flac": ("one", "CC-BY-4.0", "en"),
        "train/clean/clean_000000.tar/d1/b.flac": ("two", "CC-BY-4.0", "en"),
        "train/clean_sa/clean_sa_000000.tar/d3/a.flac": ("five", "CC-BY-SA-4.0", "en"),
    }
    assert rejects == {"train/clean_sa.json, line 2": "bad_line"}


def test_voxpopuli(tmp_path: Path):
    header = "id\traw_text\tnormalized_text\tspeaker_id\tsplit\tgender\n"
    rows = [
        "20180612-0900-en_0\tThank you, Mr President.\tthank you mr president\t28161\ttrain\tfemale\n",
        "20180612-0900-en_1\t\tthank you\t28162\ttrain\tmale\n",
        "20180612-0900-en_2\tcut off\n",
    ]
    folder = "transcribed_data/en"
    files: Folder = {
        f"{folder}/asr_train.tsv": header + "".join(rows),
        f"{folder}/asr_dev.tsv": "session_id|id_\n",
        f"{folder}/2018/20180612-0900-en_0.ogg": sound("a"),
        f"{folder}/2018/20180612-0900-en_1.wav": sound("b"),
        "unlabelled_data/de/2009/20090112-0900_de_3.ogg": sound("c"),
    }
    found, rejects = read(lay(tmp_path, files), VoxPopuli())
    assert {name: (words_in(item), item.entry.language) for name, item in found.items()} == {
        f"{folder}/2018/20180612-0900-en_0.ogg": ([("28161", "Thank you, Mr President.")], "en"),
        f"{folder}/2018/20180612-0900-en_1.wav": ([("28162", "thank you")], "en"),
        "unlabelled_data/de/2009/20090112-0900_de_3.ogg": ([], "de"),
    }
    assert {item.entry.licence for item in found.values()} == {"CC0-1.0"}
    assert rejects == {f"{folder}/asr_train.tsv, line 4": "bad_line", f"{folder}/asr_dev.tsv, line 1": "not_text"}


def test_a_licence_of_a_record_counts(tmp_path: Path):
    about = json.dumps({"text": "Hello.", "licence": "CC0-1.0"}).encode()
    found, _ = read(lay(tmp_path, {"EN.tar": tar(**{"a.mp3": sound("a"), "a.json": about})}), Emilia())
    assert [item.entry.licence for item in found.values()] == ["CC0-1.0"]


@pytest.mark.parametrize("corpus", [LibriSpeech(), LibriHeavy(), Emilia(), Yodas(), PeoplesSpeech(), VoxPopuli()])
def test_what_is_no_record_is_a_reject_with_its_line(tmp_path: Path, corpus: Any):
    """Every form takes any text, any JSON and bytes that are neither."""
    names = ("a.trans.txt", "cuts.jsonl", "text/0.txt", "a.jsonl", "train/clean.json", "asr_train.tsv", "manifest.json")
    wild = b'{"training_data": 3, "wav": [], "recording": 1, "supervisions": {}}\n[]\n"x"\n\xff\xfe\t\n{"a"\n\n12\n'
    _, rejects = read(lay(tmp_path, dict.fromkeys(names, wild) | {"a.flac": sound("a")}), corpus)
    assert rejects


def test_a_corpus_enters_a_recipe_as_a_snapshot_does(tmp_path: Path):
    audio = lab.recordings({"dev": lab.LibriSpeech()})
    recipe = lab.Recipe("corpora", lab.corpus(audio))
    node, installation = recipe.graph["raw_audio"], Installation(Settings.at(tmp_path))
    folder = lay(tmp_path / "snapshots" / "audio" / "dev", LIBRISPEECH)
    source = installation.source(node, "dev")
    assert isinstance(source, FolderSource)
    assert source.content_version() != FolderSource(folder).content_version()
    artifact = build(installation.store, recipe.graph, node, "dev", installation.execution(), source=source).artifact
    recordings = list(artifact.records("recordings", Recording))
    assert {(one.licence, one.language, one.utterances[0].speaker) for one in recordings} == {("CC-BY-4.0", "en", "84")}
    assert {one.utterances[0].end_s for one in recordings} == {1.0}
    assert {one.reason for one in artifact.records("rejects", Reject)} == {"not_audio", "bad_line", "missing_file"}
