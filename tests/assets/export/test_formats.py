"""What is exported is read back row by row: by `datasets`, lhotse, NeMo's rules, WebDataset, and by this project."""

import io
import json
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.export.write import write_dataset
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.store.artifacts import DatasetName
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select
from spelangy_model.audio.io import decode_flac
from spelangy_model.records import Recording


@pytest.fixture
def rows_in(small: Any) -> Any:
    """What the store holds of a dataset: its rows without sound, and the sound of each."""

    def of(name: str) -> tuple[list[dict], list[bytes]]:
        rows = [row for _, shard in select(small.store, name, "small").shards() for row in shard.table().to_pylist()]
        return rows, [row.pop("audio")["bytes"] if "audio" in row else b"" for row in rows]

    return of


@pytest.fixture
def exported(small: Any, tmp_path: Path) -> Any:
    def to(name: str, form: str) -> Path:
        folder = tmp_path / form
        write_dataset(small.store, select(small.store, name, "small"), form, Files(folder))
        return folder

    return to


def members(archive: Path) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(archive) as found:
        for member in found:
            file = found.extractfile(member)
            assert file is not None
            yield member.name, file.read()


@pytest.mark.parametrize("name", ["web_fine", "rows", "web_corpus", "questions"])
def test_datasets_reads_equal_rows(name: str, rows_in: Any, exported: Any, tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    folder = exported(name, "hf")
    found = datasets.load_dataset(str(folder), cache_dir=str(tmp_path / "cache"))
    ((split, rows),) = found.items()
    assert split == ("test" if name == "questions" else "train")
    wanted, sounds = rows_in(name)
    if any(sounds):
        assert rows.features["audio"] == datasets.Audio(), "the Hub and `datasets` play it"
        rows = rows.cast_column("audio", datasets.Audio(decode=False))
    read = list(rows)
    assert [row.pop("audio")["bytes"] if any(sounds) else b"" for row in read] == sounds
    assert read == wanted


@pytest.mark.parametrize("name", ["web_fine", "rows", "web_corpus"])
def test_archives_of_webdataset_hold_equal_rows(name: str, rows_in: Any, exported: Any) -> None:
    folder = exported(name, "webdataset")
    wanted, sounds = rows_in(name)
    samples: dict[str, dict[str, bytes]] = {}
    for archive in sorted(folder.glob("*.tar")):
        for file, data in members(archive):
            key, _, extension = file.partition(".")
            assert key not in samples or key == list(samples)[-1], "files of a sample stand in a row"
            samples.setdefault(key, {})[extension] = data
    assert [json.loads(one["json"]) for one in samples.values()] == wanted
    assert [one.get("flac", b"") for one in samples.values()] == sounds


@pytest.mark.slow
def test_webdataset_reads_them(rows_in: Any, exported: Any) -> None:
    webdataset = pytest.importorskip("webdataset")
    folder = exported("web_fine", "webdataset")
    read = list(webdataset.WebDataset([str(one) for one in sorted(folder.glob("*.tar"))], shardshuffle=False))
    wanted, sounds = rows_in("web_fine")
    assert [json.loads(one["json"]) for one in read] == wanted
    assert [one["flac"] for one in read] == sounds
    assert [one["__key__"] for one in read] == [row["chunk_id"] for row in wanted]


def test_manifests_of_nemo_keep_its_rules(rows_in: Any, exported: Any) -> None:
    """A line: `audio_filepath` is a member of the archive of `shard_id`, without folders; `duration` in seconds is that
    of the sound; `text` is its transcript. The manifest of all is that of the shards, one after another."""
    folder = exported("web_fine", "nemo")
    wanted, sounds = rows_in("web_fine")
    shards = range(len(list(folder.glob("audio_*.tar"))))
    assert len(shards) == 3
    read, sound, everything = [], [], ""
    for shard in shards:
        archive = dict(members(folder / f"audio_{shard}.tar"))
        text = (folder / "sharded_manifests" / f"manifest_{shard}.json").read_text(encoding="utf-8")
        everything += text
        for line in map(json.loads, text.splitlines()):
            data = archive[line["audio_filepath"]]
            info = soundfile.info(io.BytesIO(data))
            assert "/" not in line["audio_filepath"]
            assert line["shard_id"] == shard
            assert line["duration"] == pytest.approx(info.frames / info.samplerate)
            sound.append(data)
            read.append({name: line[name] for name in wanted[0]})
    assert read == wanted
    assert sound == sounds
    assert (folder / "tarred_audio_manifest.json").read_text(encoding="utf-8") == everything


@pytest.mark.parametrize("form", ["nemo", "webdataset"])
def test_what_left_comes_in_again(form: str, small: Any, rows_in: Any, exported: Any) -> None:
    folder = exported("web_fine", form)
    node = SAMPLE.graph["raw_audio"]
    source = FolderSource(folder)
    build(small.store, Graph("again", [node]), node, "again", small.execution, source, log=lambda text: None)
    found = small.store.resolve(DatasetName("again", "raw_audio", "again")).records("recordings", Recording)
    read = sorted((one.utterances[0].text, decode_flac(one.audio.bytes).tolist()) for one in found)
    wanted, sounds = rows_in("web_fine")
    assert read == sorted((row["text"], decode_flac(sound).tolist()) for row, sound in zip(wanted, sounds, strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["web_fine", "clean_transcripts"])
def test_lhotse_reads_equal_rows(name: str, small: Any, rows_in: Any, exported: Any) -> None:
    lhotse = pytest.importorskip("lhotse")
    folder = exported(name, "lhotse")
    cuts = list(lhotse.CutSet.from_shar(in_dir=str(folder / "shar")))
    wanted, sounds = rows_in(name)
    assert [{column: cut.custom[column] for column in wanted[0]} for cut in cuts] == wanted
    for cut, row, sound in zip(cuts, wanted, sounds, strict=True):
        (given,) = cut.supervisions
        assert (cut.id, given.text, given.speaker) == (
            next(iter(row.values())),
            row["text"],
            row["speaker"],
        )
        assert (cut.duration, given.duration) == (0.5, 0.5)
        if sound:
            np.testing.assert_array_equal(cut.load_audio()[0], decode_flac(sound))
            assert cut.recording.sources[0].source == sound
        else:
            first = given.alignment["word"][0]
            assert (first.symbol, first.start, first.duration) == ("one", 0.0, 0.25)


def test_a_transcript_leaves_with_its_stretch_of_the_recording(small: Any, exported: Any) -> None:
    import pyarrow.parquet as pq

    folder = exported("clean_transcripts", "hf")
    (file,) = (folder / "data").glob("*.parquet")
    rows = pq.read_table(file).to_pylist()
    audio = small.store.resolve(DatasetName("small", "raw_audio", "mon")).records("recordings", Recording)
    recordings = {one.recording_id: decode_flac(one.audio.bytes) for one in audio}
    assert len(rows) == 3
    for row in rows:
        whole = recordings[row["recording_id"]]
        np.testing.assert_array_equal(decode_flac(row["audio"]["bytes"]), whole[4_000:12_000])


@pytest.mark.parametrize("form", ["nemo", "lhotse"])
def test_rows_without_sound_are_refused_where_all_is_sound(form: str, exported: Any) -> None:
    with pytest.raises(ValueError, match=f"{form} describes sound, and the rows of small/rows have none: take --to hf"):
        exported("rows", form)
