"""Rows with their sound: as they lie, or, of transcripts, cut out of the recordings.

Put here: where the sound of a row comes from, and what a row is without it. Do not put here: a format.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import pyarrow as pa

from spelangy_assets.store.artifacts import Artifact, ArtifactStore, ShardFile, StoreError
from spelangy_model.records import Audio, Recording, Transcript, schema_of

AUDIO = "audio"
_BATCH_ROWS = {True: 64, False: 1024}  # by whether they hold sound
_AUDIO_TYPE = pa.struct(list(schema_of(Audio)))
_CUT = "transcripts"  # the table whose rows name a stretch of a recording
_SPEAKABLE_KEY = re.compile(r"[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Sounded:
    """A row: `key` is its name in an archive, `data` its FLAC file (empty: it has none), `row` all else, as in JSON."""

    key: str
    data: bytes
    row: dict[str, Any]
    ordinal: int

    @property
    def frames(self) -> tuple[int, int]:
        """Return the count of samples and the rate in Hz."""
        import soundfile

        found = soundfile.info(io.BytesIO(self.data))
        return found.frames, found.samplerate


def schema_with_sound(table: str, schema: pa.Schema) -> pa.Schema:
    """Return the schema of the rows that are exported of a table."""
    return schema.append(pa.field(AUDIO, _AUDIO_TYPE, nullable=False)) if table == _CUT else schema


def has_sound(schema: pa.Schema) -> bool:
    return AUDIO in schema.names and pa.types.is_struct(schema.field(AUDIO).type)


def batches_with_sound(
    store: ArtifactStore, artifact: Artifact, shard: ShardFile, table: str
) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a shard with their sound; what is held is one batch, and of transcripts one recording."""
    if table == _CUT:
        yield from _cut_out(store, artifact, shard)
    else:
        yield from shard.batches(batch_rows=_BATCH_ROWS[has_sound(shard.schema())])


def rows_of(batch: pa.RecordBatch, first: int) -> Iterator[Sounded]:
    """Yield the rows of a batch; `first` is the ordinal of its first row in the shard.

    The key is the row's id (its first column, where that is one), else its ordinal.
    """
    names = [name for name in batch.schema.names if name != AUDIO]
    sounds = batch.column(AUDIO).field("bytes").to_pylist() if has_sound(batch.schema) else None
    for place, row in enumerate(batch.select(names).to_pylist()):
        lead = row[names[0]]
        is_key = names[0].endswith("_id") and _SPEAKABLE_KEY.fullmatch(str(lead)) is not None
        key = str(lead) if is_key else f"{first + place:09d}"
        yield Sounded(key, sounds[place] if sounds else b"", _plain(row), first + place)


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: what was not measured (NaN) is null."""
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if isinstance(value, list):
        return [_plain(one) for one in value] if value and isinstance(value[0], dict | list | float) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _cut_out(store: ArtifactStore, artifact: Artifact, shard: ShardFile) -> Iterator[pa.RecordBatch]:
    """Yield the transcripts of a shard, each with its stretch of its recording, a batch a recording."""
    from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac

    homes = {
        recording: home
        for home in _recordings_of(store, artifact).shards("recordings")
        for recording in home.table(["recording_id"]).column(0).to_pylist()
    }
    table = shard.table(schema_of(Transcript).names)
    schema = schema_with_sound(_CUT, table.schema)
    start = 0
    for recording_id, group in groupby(table.column("recording_id").to_pylist()):
        rows = table.slice(start, sum(1 for _ in group))
        start += len(rows)
        if recording_id not in homes:
            raise StoreError(f"{artifact.name}: its recording {recording_id} is not in the store any more")
        (recording,) = homes[recording_id].chosen_records(Recording, "recording_id", {recording_id})
        samples = decode_flac(recording.audio.bytes)
        sounds = []
        for row in rows.select(["segment_id", "start_s", "end_s"]).to_pylist():
            begin, end = (round(row[name] * SAMPLE_RATE_HZ) for name in ("start_s", "end_s"))
            sounds.append({"bytes": encode_flac(samples[begin:end]), "path": f"{row['segment_id']}.flac"})
        columns = [*rows.combine_chunks().columns, pa.chunked_array([pa.array(sounds, _AUDIO_TYPE)])]
        yield from pa.Table.from_arrays(columns, schema=schema).combine_chunks().to_batches()


def _recordings_of(store: ArtifactStore, artifact: Artifact) -> Artifact:
    """Return the version of recordings that transcripts were made from."""
    left = [artifact]
    while left:
        one = left.pop()
        for item in one.manifest.inputs:
            if item.stage == "ingest_audio":
                return store.open(item)
            if item.stage:
                left.append(store.open(item))
    raise StoreError(f"{artifact.name} was made from no recordings that are in the store")
