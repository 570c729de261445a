"""The facts of an export's rows: sources, hours by licence, language and voice, drops, versions.

Put here: collecting them. Do not put here: the text of a card (card.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from spelangy_assets.export.rights import SourceRow
from spelangy_assets.store.artifacts import Artifact, ArtifactStore
from spelangy_assets.store.lineage import artifact_id, connect, query
from spelangy_assets.store.lineage_queries import ANCESTORS_SQL, LICENCES_SQL, OVERRULED_SQL, SOURCES_SQL
from spelangy_assets.store.manifest import Counts
from spelangy_assets.store.selection import Selection

ASPECTS = ("source", "licence", "language", "accent", "voice")
_ID_COLUMNS = ("source_id", "recording_id", "page_id")


@dataclass
class Amounts:
    """Rows, hours (None if rows have no times), and both by each aspect that the rows state."""

    rows: int = 0
    hours: float | None = None
    by: dict[str, dict[str, float]] = field(default_factory=dict)
    """Aspect -> value -> hours, or rows where these have no times."""
    speakers: int = 0
    largest_speaker_share: float = 0.0


@dataclass(frozen=True)
class Facts:
    """What a card states of an export beside the values of its rows."""

    versions: tuple[Artifact, ...]
    counts: Counts
    sources: list[SourceRow]
    ancestors: list[dict[str, Any]]
    """Rows of the lineage's table of artifacts, nearest first, with `dropped`: records by reason."""
    warnings: list[str]
    overruled: list[str]
    licence_positions: list[dict[str, Any]]
    """Of a mix: positions and sources by licence."""

    @property
    def holds_recordings(self) -> bool:
        """Whether it contains voices of people: audio, or data made from audio."""
        return any(one.kind == "recording" for one in self.sources)

    @property
    def licences(self) -> list[str]:
        return sorted({one.licence for one in self.sources})

    def stages(self) -> set[str]:
        return {row["stage"] for row in self.ancestors}


@dataclass(frozen=True)
class Score:
    """A metric of a dataset that evaluates the run."""

    by: str
    metric: str
    value: float
    low: float
    high: float
    count: int


def facts_of(store: ArtifactStore, versions: tuple[Artifact, ...], held_ids: set[str] | None) -> Facts:
    """Collect the facts of versions. `held_ids`: the ids of recordings and pages that their rows name; None if the rows
    name none, so that every recording and page of their crawls is a source.
    """

    counts = Counts()
    sources: dict[tuple[str, str], SourceRow] = {}
    ancestors: dict[str, dict[str, Any]] = {}
    overruled: list[str] = []
    positions: list[dict[str, Any]] = []
    with connect(store) as connection:
        drops: dict[str, dict[str, int]] = {}
        for row in query(connection, "SELECT id, reason, records FROM drops"):
            drops.setdefault(row["id"], {})[row["reason"]] = row["records"]
        for one in versions:
            counts += one.manifest.counts
            name = artifact_id(one)
            for row in query(connection, SOURCES_SQL, artifact=name):
                if held_ids is None or row["content_hash"] in held_ids:
                    sources[row["kind"], row["content_hash"]] = SourceRow(
                        row["kind"], row["content_hash"], row["url"], row["licence"]
                    )
            for row in query(connection, ANCESTORS_SQL, artifact=name):
                ancestors.setdefault(row["id"], {**row, "dropped": drops.get(row["id"], {})})
            overruled += [f"{row['id']}: {row['overruled']}" for row in query(connection, OVERRULED_SQL, artifact=name)]
            if one.manifest.stage == "mix":
                positions += query(connection, LICENCES_SQL, artifact=name)
    return Facts(
        versions=versions,
        counts=counts,
        sources=[sources[key] for key in sorted(sources)],
        ancestors=sorted(ancestors.values(), key=lambda row: (row["distance"], row["id"])),
        warnings=[line for one in versions for line in _warnings(store, one)],
        overruled=list(dict.fromkeys(overruled)),
        licence_positions=positions,
    )


def _warnings(store: ArtifactStore, artifact: Artifact) -> list[str]:
    verdicts = store.verdicts(artifact)
    failures = verdicts[-1].failures() if verdicts else []
    return [f"{artifact.name}: {one.name}: {one.error or one.observed}" for one in failures]


def held_ids(selection: Selection) -> set[str] | None:
    """Return the ids of recordings and pages that the rows name; None where the rows name none."""
    shards = selection.shards()
    column = next((name for name in _ID_COLUMNS if shards and name in shards[0][1].schema().names), None)
    if column is None:
        return None
    return {value for _, shard in shards for value in shard.table([column]).column(0).unique().to_pylist()}


def amounts_of(selection: Selection, sources: Mapping[str, SourceRow]) -> Amounts:
    """Sum the rows by host, licence, language, accent and voice.

    Rows that name a source without such columns (transcripts) take its address and licence. A diarizer's label counts
    within its recording; a TTS voice counts as one speaker everywhere.
    """
    found = Amounts()
    speakers: defaultdict[tuple[str, str], float] = defaultdict(float)
    for _, shard in selection.shards():
        names = shard.schema().names
        wanted = ("source_url", "url", "licence", "language", "accent", "speaker", "voice", *_ID_COLUMNS)
        columns = [name for name in wanted if name in names]
        timed = {"start_s", "end_s"} <= set(names)
        found.rows += shard.rows
        if not columns:
            continue
        table = shard.table([*columns, *(["start_s", "end_s"] if timed else [])])
        start, end = (table.column(name).to_numpy() if timed else 0.0 for name in ("start_s", "end_s"))
        weights = pa.array((end - start) / 3600 if timed else [1.0] * len(table), pa.float64())
        grouped = (
            table.select(columns).append_column("weight", weights).group_by(columns).aggregate([("weight", "sum")])
        )
        for row in grouped.to_pylist():
            amount = row.pop("weight_sum")
            _add(found, speakers, row, amount, sources)
            if timed:
                found.hours = (found.hours or 0.0) + amount
    total = sum(speakers.values())
    found.speakers = len(speakers)
    found.largest_speaker_share = max(speakers.values()) / total if total else 0.0
    return found


def _add(
    found: Amounts,
    speakers: defaultdict[tuple[str, str], float],
    row: dict[str, str],
    amount: float,
    sources: Mapping[str, SourceRow],
) -> None:
    source_id = next((row[name] for name in _ID_COLUMNS if name in row), "")
    source = sources.get(source_id)
    url = row.get("source_url") or row.get("url") or (source.url if source else "")
    voice = row.get("voice") or (row.get("speaker", "") if row.get("accent") else "")
    values = {
        "source": (urlsplit(url).hostname or "no address") if source_id else "",
        "licence": row.get("licence") or (source.licence if source else ""),
        "language": row.get("language", ""),
        "accent": row.get("accent", ""),
        "voice": voice,
    }
    for aspect, value in values.items():
        if value:
            amounts = found.by.setdefault(aspect, {})
            amounts[value] = amounts.get(value, 0.0) + amount
    speaker = voice or row.get("speaker", "")
    if speaker:
        speakers["" if voice else source_id, speaker] += amount
