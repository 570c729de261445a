"""The export formats: Parquet for `datasets`, lhotse Shar, NeMo's tarred datasets, WebDataset.

Put here: the files of each format, streamed shard by shard, with one batch of rows in memory. Do not put here: the
choice of rows (sound.py), resuming (write.py), or cards. Sources: Hugging Face's Parquet with the features in the
schema's metadata; lhotse/shar; NeMo's documentation of tarred manifests; WebDataset's rule that the files of one sample
are adjacent and share their name up to the first dot. Archives have no time and no owner: equal rows give equal bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.export.sound import AUDIO, Sounded, has_sound, rows_of
from spelangy_assets.store.files import Files

_PLAYED = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])
_FEATURES = json.dumps({"info": {"features": {AUDIO: {"_type": "Audio"}}}}).encode()
_SHAR = (("cuts", "jsonl.gz"), ("recording", "tar"))
NEMO_MANIFEST = "tarred_audio_manifest.json"


@dataclass(frozen=True)
class Part:
    """The position of a shard: its number from 0, and the number of shards."""

    number: int
    of: int
    split: str


Batches = Iterable[pa.RecordBatch]


@dataclass(frozen=True)
class Format:
    """`write` writes a shard and returns its files; `finish` writes the files that cover all shards."""

    name: str
    needs_sound: bool
    write: Callable[[Files, Part, pa.Schema, Batches], list[str]]
    loading: str
    """Python that reads the folder, with {folder}, {split} and the number of the {last} shard in it."""
    finish: Callable[[Files, list[list[str]]], list[str]] = lambda files, shards: []


def _write_parquet(files: Files, part: Part, schema: pa.Schema, batches: Batches) -> list[str]:
    path = f"data/{part.split}-{part.number:05d}-of-{part.of:05d}.parquet"
    place = schema.get_field_index(AUDIO) if has_sound(schema) else -1
    if place >= 0:
        played = schema.set(place, pa.field(AUDIO, _PLAYED))
        schema = played.with_metadata({**(schema.metadata or {}), b"huggingface": _FEATURES})
    with files.open_output(path) as stream, pq.ParquetWriter(stream, schema) as writer:
        for batch in batches:
            columns = batch.columns
            if place >= 0:
                sound = [columns[place].field(name) for name in ("bytes", "path")]
                columns[place] = pa.StructArray.from_arrays(sound, fields=list(_PLAYED))
            writer.write_table(pa.Table.from_arrays(columns, schema=schema))
    return [path]


def _write_webdataset(files: Files, part: Part, schema: pa.Schema, batches: Batches) -> list[str]:
    path = f"{part.split}-{part.number:06d}.tar"
    with _archive(files, path) as add:
        for one in _rows(batches):
            if one.data:
                add(f"{one.key}.flac", one.data)
            add(f"{one.key}.json", _json(one.row))
    return [path]


def _write_nemo(files: Files, part: Part, schema: pa.Schema, batches: Batches) -> list[str]:
    audio, manifest = f"audio_{part.number}.tar", f"sharded_manifests/manifest_{part.number}.json"
    with _archive(files, audio) as add, files.open_output(manifest) as lines:
        for one in _rows(batches):
            frames, rate_hz = one.frames
            add(f"{one.key}.flac", one.data)
            entry = {
                "audio_filepath": f"{one.key}.flac",
                "duration": frames / rate_hz,
                "text": text_of_row(one.row),
                "shard_id": part.number,
                **({"lang": one.row["language"]} if one.row.get("language") else {}),
            }
            lines.write(_json({**one.row, **entry}) + b"\n")
    return [audio, manifest]


def _finish_nemo(files: Files, shards: list[list[str]]) -> list[str]:
    with files.open_output(NEMO_MANIFEST) as stream:
        for _, manifest in shards:
            with files.open_input(manifest) as lines:
                while block := lines.read(1 << 20):
                    stream.write(block)
    return [NEMO_MANIFEST]


def _write_lhotse(files: Files, part: Part, schema: pa.Schema, batches: Batches) -> list[str]:
    # In a folder of their own: lhotse takes every file beside them for a field of the cuts.
    cuts, recordings = (f"shar/{name}.{part.number:06d}.{end}" for name, end in _SHAR)
    with _archive(files, recordings) as add, _packed(files, cuts) as lines:
        for one in _rows(batches):
            cut = _cut(one)
            add(f"{one.key}.flac", one.data)
            add(f"{one.key}.json", _json(cut["recording"]))
            lines.write(_json(cut) + b"\n")
    return [cuts, recordings]


def _cut(one: Sounded) -> dict[str, Any]:
    """Return a row as a lhotse MonoCut whose recording is in the archive; `custom` has all columns."""
    frames, rate_hz = one.frames
    duration = frames / rate_hz
    supervision: dict[str, Any] = {
        "id": one.key,
        "recording_id": one.key,
        "start": 0.0,
        "duration": duration,
        "channel": 0,
        "text": text_of_row(one.row),
        **{name: one.row[name] for name in ("language", "speaker") if one.row.get(name)},
    }
    if one.row.get("words"):
        begin = one.row["start_s"]
        supervision["alignment"] = {
            "word": [
                [word["text"], word["start_s"] - begin, word["end_s"] - word["start_s"], word["confidence"]]
                for word in one.row["words"]
            ]
        }
    recording = {
        "id": one.key,
        "sources": [{"type": "shar", "channels": [0], "source": ""}],
        "sampling_rate": rate_hz,
        "num_samples": frames,
        "duration": duration,
        "channel_ids": [0],
    }
    return {
        "id": one.key,
        "start": 0.0,
        "duration": duration,
        "channel": 0,
        "supervisions": [supervision],
        "recording": recording,
        "custom": one.row,
        "type": "MonoCut",
    }


def text_of_row(row: dict[str, Any]) -> str:
    """Return the text of a row's audio."""
    return next((row[name] for name in ("text", "question", "spoken_text") if row.get(name)), "")


def _rows(batches: Batches) -> Iterator[Sounded]:
    ordinal = 0
    for batch in batches:
        yield from rows_of(batch, ordinal)
        ordinal += len(batch)


@contextmanager
def _archive(files: Files, path: str) -> Iterator[Callable[[str, bytes], None]]:
    """Give what adds a file to a tar archive, which is written as a stream."""
    with files.open_output(path) as stream, tarfile.open(fileobj=stream, mode="w|") as archive:

        def add(name: str, data: bytes) -> None:
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(data), 0o644
            archive.addfile(member, io.BytesIO(data))

        yield add


@contextmanager
def _packed(files: Files, path: str) -> Iterator[Any]:
    """Give a stream whose bytes are compressed by gzip, without a time."""
    with files.open_output(path) as stream, gzip.GzipFile("", "wb", fileobj=stream, mtime=0) as packed:  # type: ignore[call-overload]
        yield packed


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


FORMATS = {
    one.name: one
    for one in (
        Format(
            "hf",
            False,
            _write_parquet,
            'from datasets import load_dataset\n\nrows = load_dataset("{folder}", split="{split}")\n',
        ),
        Format(
            "lhotse",
            True,
            _write_lhotse,
            'from lhotse import CutSet\n\ncuts = CutSet.from_shar(in_dir="{folder}/shar")\n',
        ),
        Format(
            "nemo",
            True,
            _write_nemo,
            "# in the configuration of a data set of NeMo\n"
            'is_tarred = True\ntarred_audio_filepaths = "{folder}/audio__OP_0..{last}_CL_.tar"\n'
            'manifest_filepath = "{folder}/sharded_manifests/manifest__OP_0..{last}_CL_.json"\n',
            _finish_nemo,
        ),
        Format(
            "webdataset",
            False,
            _write_webdataset,
            'import webdataset\n\nshards = "{folder}/{split}-{{000000..{last:06d}}}.tar"\n'
            "rows = webdataset.WebDataset(shards, shardshuffle=False).decode()\n",
        ),
    )
}
