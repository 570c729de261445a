"""audio_index: near-duplicate recordings of the corpus, within a snapshot and across snapshots.

Put here: comparing recordings. Do not put here: which recording is kept (duplicates.py), fingerprints
(spelangy_model/audio/fingerprint.py, computed once by raw_audio), or the leaving out (mix.py).

A recording is a near duplicate when recordings before it, in the order of the corpus' snapshots and of their rows, hold
most of its sound at one distance in time: another codec, another gain, cut-off edges, a part of a longer one. One that
holds more than what came before it is kept. Rendered recordings have no fingerprint: that they are two is known from
their addresses.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pyarrow as pa

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stage_parts import contracts, duplicates
from spelangy_assets.stage_parts.duplicates import Known
from spelangy_model.audio.fingerprint import HOP_S, matched_frames
from spelangy_model.records import Duplicate, Recording

if TYPE_CHECKING:
    import duckdb

VERSION = "2"
TABLES: dict[str, type] = {"duplicates": Duplicate}


@dataclass(frozen=True)
class Config:
    """When a recording counts as a duplicate.

    `min_share` of its stretches of `stretch_s` each must hold a landmark of an earlier one, `min_matches` in all. A
    hash that more than `max_recordings_per_hash` recordings have (a hum, a jingle) identifies none of them and is
    ignored, which keeps the work linear.
    """

    min_share: float = 0.6
    stretch_s: ClassVar[float] = 4.0
    min_matches: ClassVar[int] = 8
    max_recordings_per_hash: ClassVar[int] = 64


KIND = DatasetKind(
    group="crawl",
    description="Recordings whose sound came before, in the same snapshot or another; mixes leave them out.",
    contract=contracts.DUPLICATES,
    pool="duckdb",
    takes={"recordings": Recording},
)


@word
def repeated_recordings(audio: Dataset, **options: Any) -> Dataset:
    """Return the index of repeated recordings of a roll-up; `options` are fields of Config."""
    name = f"{audio.label}_duplicates"
    return dataset(__name__, config_of(Config, options), name=name, inputs={"recordings": audio})


def preflight(config: Config, execution: Execution) -> None:
    """Nothing beyond the package's own requirements is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit: the whole corpus is compared at once, by DuckDB, which spills to disk where memory ends."""
    import duckdb

    for unit, members in ctx.out.pending([ctx.members["recordings"]]):
        with ctx.out.unit(unit) as out, duckdb.connect() as connection:
            connection.execute("SET preserve_insertion_order = false")
            connection.execute(f"SET temp_directory = '{ctx.out.scratch}'")
            connection.execute("CREATE TABLE landmarks (recording INTEGER, hash INTEGER, frame INTEGER)")
            known: list[Known] = []
            for member in members:
                shards = zip(member.shards("recordings"), member.shards("fingerprints"), strict=True)
                for shard, fingerprints in shards:
                    ids = shard.table(["recording_id"]).column(0).to_pylist()
                    first = len(known)
                    known += [Known(recording_id, member.address.partition or "") for recording_id in ids]
                    numbers = {recording_id: first + i for i, recording_id in enumerate(ids)}
                    _insert(connection, fingerprints.table(), numbers)
            most_alike = functools.partial(_most_alike, connection, _candidates(connection, config), config)
            duplicates.write(out, known, list(duplicates.find(known, most_alike, config.min_share)))
    ctx.log("compared the recordings of the corpus")


def _insert(connection: duckdb.DuckDBPyConnection, fingerprints: pa.Table, numbers: dict[str, int]) -> None:
    hashes, frames = (fingerprints.column(name).combine_chunks() for name in ("hashes", "frames"))
    owners = pa.array([numbers[key] for key in fingerprints.column("recording_id").to_pylist()], pa.int32())
    rows = owners.take(hashes.value_parent_indices())
    batch = pa.table({"recording": rows, "hash": hashes.flatten(), "frame": frames.flatten()})
    connection.register("batch", batch)
    connection.execute("INSERT INTO landmarks SELECT recording, hash, frame FROM batch")
    connection.unregister("batch")


def _candidates(connection: duckdb.DuckDBPyConnection, config: Config) -> dict[int, list[tuple[int, int]]]:
    """Return for each recording the earlier ones that share landmarks at one distance, with that distance in frames."""
    rows = connection.execute(
        """
        WITH telling AS (
            SELECT hash FROM landmarks GROUP BY hash
            HAVING count(DISTINCT recording) BETWEEN 2 AND $most
        ), few AS (SELECT * FROM landmarks SEMI JOIN telling USING (hash)),
        places AS (
            SELECT a.recording AS earlier, b.recording AS later, floor((b.frame - a.frame) / 3)::INTEGER AS place,
                   count(*) AS matches
            FROM few AS a JOIN few AS b ON a.hash = b.hash AND a.recording < b.recording
            GROUP BY ALL
        )
        SELECT later, earlier, arg_max(place, (matches, -place)) * 3 + 1 FROM places
        GROUP BY later, earlier HAVING max(matches) >= $least ORDER BY later, earlier
        """,
        # A displaced landmark may fall into the adjacent bin: half of `min_matches` makes a candidate.
        {"most": config.max_recordings_per_hash, "least": max(2, config.min_matches // 2)},
    ).fetchall()
    found: dict[int, list[tuple[int, int]]] = {}
    for later, earlier, distance in rows:
        found.setdefault(later, []).append((earlier, distance))
    return found


def _most_alike(
    connection: duckdb.DuckDBPyConnection,
    alike: dict[int, list[tuple[int, int]]],
    config: Config,
    number: int,
    left_out: set[int],
) -> tuple[int, float]:
    """Return the kept recording that holds most of a recording, and the share that all of them hold together."""
    kept = [(earlier, distance) for earlier, distance in alike.get(number, []) if earlier not in left_out]
    if not kept:
        return number, 0.0
    own = _landmarks(connection, number)
    stretch = config.stretch_s / HOP_S
    matched: set[int] = set()
    most, original = 0, number
    for earlier, distance in kept:
        frames = matched_frames(_landmarks(connection, earlier), own, distance)
        if len(frames) < config.min_matches:
            continue
        matched.update((frames // stretch).astype(int).tolist())
        if len(frames) > most:
            most, original = len(frames), earlier
    return original, len(matched) / len(np.unique(own[1] // stretch))


def _landmarks(connection: duckdb.DuckDBPyConnection, number: int) -> tuple[np.ndarray, np.ndarray]:
    found: Any = connection.execute(
        "SELECT hash, frame FROM landmarks WHERE recording = $number", {"number": number}
    ).fetchnumpy()
    return np.asarray(found["hash"]), np.asarray(found["frame"])
