"""What differs between two sets of versions: config, inputs, counts, drops, sums, and which records.

Put here: the comparison, and its table and page. Do not put here: how a side is named on the command line
(cli/diff.py).

Records are joined by the id of the dataset's first table. Ids are digests of what they name, so a record with other
times or another text is one that is gone and one that is new; `changed` is a record of equal id whose other columns
differ (a confidence, a topic, a score).
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.report.render import number, render
from spelangy_assets.store.artifacts import Artifact, ArtifactStore
from spelangy_assets.store.errors import StoreError
from spelangy_assets.store.fingerprint import digest_of, payload_of
from spelangy_assets.store.manifest import Counts

_SHOWN = ("start_s", "end_s", "spoken_text", "text", "title", "url", "question", "value")
_TEXT_CHARACTERS = 160


@dataclass(frozen=True)
class Row:
    """A quantity of both sides, as text."""

    name: str
    first: str
    second: str


@dataclass(frozen=True)
class Record:
    """A record to look at; `sound` is FLAC where it has some."""

    id: str
    words: str
    sound: bytes = b""

    @property
    def data_uri(self) -> str:
        return f"data:audio/flac;base64,{base64.b64encode(self.sound).decode()}" if self.sound else ""


@dataclass(frozen=True)
class Difference:
    """What differs between `first` and `second`; `records` has the count and a sample of each kind."""

    first: str
    second: str
    config: list[Row]
    inputs: list[Row]
    counts: list[Row]
    dropped: list[Row]
    sums: list[Row]
    common: int
    records: dict[str, tuple[int, list[Record]]]

    @property
    def parts(self) -> list[tuple[str, list[Row]]]:
        named = [("config", self.config), ("inputs", self.inputs), ("records", self.counts)]
        return [*named, ("dropped", self.dropped), ("sums", self.sums)]

    def lines(self) -> list[str]:
        """Return the difference as a table of text."""
        lines = [f"{'':<36}{self.first:>28}{self.second:>28}"]
        for title, rows in self.parts:
            lines.append(f"{title}:" + ("" if rows else " equal"))
            lines += [f"  {row.name:<34}{row.first:>28}{row.second:>28}" for row in rows]
        lines.append(f"ids: {self.common} of both sides are equal")
        for kind, (count, sample) in self.records.items():
            lines.append(f"{kind}: {count}")
            lines += [f"  {record.id[:16]:<18}{record.words}" for record in sample]
        return lines

    def page(self) -> str:
        """Return the difference as a page of HTML, with the sound of the records that it shows."""
        return render("difference_page.html", title=f"{self.first} and {self.second}", difference=self)

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON has it; sound is left out."""
        return {
            "first": self.first,
            "second": self.second,
            **{title: {row.name: [row.first, row.second] for row in rows} for title, rows in self.parts},
            "equal": self.common,
            **{
                kind: {"count": count, "sample": [{"id": one.id, "words": one.words} for one in sample]}
                for kind, (count, sample) in self.records.items()
            },
        }


def difference_of(
    first: Sequence[Artifact], second: Sequence[Artifact], names: tuple[str, str], sample: int = 5
) -> Difference:
    """Return what differs between the versions of two datasets, each of one or several snapshots."""
    a, b = (_counts(one) for one in (first, second))
    kept = [_Records(side) for side in (first, second)]
    common, records = _compared(kept[0], kept[1], sample)
    return Difference(
        names[0],
        names[1],
        config=_rows(_options(first), _options(second)),
        inputs=_rows(_inputs(first), _inputs(second)),
        counts=_rows(
            {"read": str(a.records_in), "kept": str(a.records_kept)},
            {"read": str(b.records_in), "kept": str(b.records_kept)},
            equal_too=True,
        ),
        dropped=_rows(_texts(a.dropped), _texts(b.dropped), equal_too=True),
        sums=_rows(_texts(a.stats), _texts(b.stats), equal_too=True),
        common=common,
        records=records,
    )


def _counts(side: Sequence[Artifact]) -> Counts:
    return sum((artifact.manifest.counts for artifact in side), Counts())


def _texts(amounts: dict[str, Any]) -> dict[str, str]:
    return {name: number(float(amount)) for name, amount in amounts.items()}


def _options(side: Sequence[Artifact]) -> dict[str, str]:
    """Return stage, version and every option of a side; where its snapshots differ, all values."""
    found: dict[str, dict[str, None]] = {}
    for artifact in side:
        manifest = artifact.manifest
        stage = {".stage": f"{manifest.stage} v{manifest.stage_version}"}
        for name, value in {**stage, **_leaves(manifest.config)}.items():
            found.setdefault(name.removeprefix("."), {})[value] = None
    return {name: " or ".join(values) for name, values in found.items()}


def _leaves(config: Any, path: str = "") -> dict[str, str]:
    if isinstance(config, dict):
        return {name: text for key, value in config.items() for name, text in _leaves(value, f"{path}.{key}").items()}
    if isinstance(config, list) and config:
        return {name: text for i, value in enumerate(config) for name, text in _leaves(value, f"{path}.{i}").items()}
    return {path: str(config)}


def _inputs(side: Sequence[Artifact]) -> dict[str, str]:
    return {
        f"{item.role}{f'@{item.partition}' if item.partition else ''}": f"{item.name} {item.data_version[:8]}".strip()
        for artifact in side
        for item in artifact.manifest.inputs
    }


def _rows(first: dict[str, str], second: dict[str, str], equal_too: bool = False) -> list[Row]:
    return [
        Row(name, first.get(name, "-"), second.get(name, "-"))
        for name in dict.fromkeys([*first, *second])
        if equal_too or first.get(name) != second.get(name)
    ]


class _Records:
    """The first table of a side, without its sound; sound is read for the records that are shown."""

    def __init__(self, side: Sequence[Artifact]):
        self._side = side
        tables = [shard.table for artifact in side for shard in artifact.manifest.shards if shard.table]
        self.table_name = tables[0] if tables else ""
        self.id = ""
        self.rows = pa.table({"id": pa.array([], pa.string()), "rest": pa.array([], pa.string())})
        self.columns: list[str] = []
        if not self.table_name:
            return
        schema = self._shards()[0].schema()
        self.id = next((field.name for field in schema if field.name.endswith("_id")), "")
        if not self.id:
            return
        self.columns = [field.name for field in schema if not _holds_bytes(field.type)]
        self.rows = pa.concat_tables([shard.table(self.columns) for shard in self._shards()])

    def _shards(self) -> list[Any]:
        return [shard for artifact in self._side for shard in artifact.shards(self.table_name)]

    def shown(self, ids: list[str]) -> list[Record]:
        """Return records to look at, with their sound where the table has some."""
        if not ids:
            return []
        chosen = self.rows.filter(pc.field(self.id).isin(ids)).to_pylist()
        sounds = self._sounds(set(ids))
        found = {row[self.id]: Record(row[self.id], _words(row), sounds.get(row[self.id], b"")) for row in chosen}
        return [found[one] for one in ids if one in found]

    def _sounds(self, ids: set[str]) -> dict[str, bytes]:
        found: dict[str, bytes] = {}
        for shard in self._shards():
            if "audio" in shard.schema().names and ids & set(shard.table([self.id]).column(0).to_pylist()):
                rows = shard.table([self.id, "audio"]).filter(pc.field(self.id).isin(list(ids))).to_pylist()
                found.update({row[self.id]: row["audio"]["bytes"] for row in rows})
        return found


def _compared(first: _Records, second: _Records, sample: int) -> tuple[int, dict[str, tuple[int, list[Record]]]]:
    if not first.id or first.id != second.id:
        if first.table_name and second.table_name and first.table_name != second.table_name:
            raise StoreError(f"a table of {first.table_name} and one of {second.table_name} have no records in common")
        return 0, {}
    with duckdb.connect() as connection:
        for name, side in (("a", first), ("b", second)):
            connection.register(f"{name}_rows", side.rows)
            rest = ", ".join(f'"{column}"' for column in side.columns if column != first.id) or "1"
            connection.execute(
                f'CREATE TABLE {name} AS SELECT "{first.id}" AS id, bit_xor(hash({rest})) AS rest, count(*) AS rows '
                f"FROM {name}_rows GROUP BY 1"
            )

        def ids(sql: str) -> list[str]:
            return [row[0] for row in connection.execute(f"{sql} ORDER BY 1").fetchall()]

        added = ids("SELECT id FROM b ANTI JOIN a USING (id)")
        removed = ids("SELECT id FROM a ANTI JOIN b USING (id)")
        both = "SELECT a.id FROM a JOIN b USING (id) WHERE (a.rest, a.rows)"
        changed = ids(f"{both} <> (b.rest, b.rows)")
        (common,) = connection.execute(f"SELECT count(*) FROM ({both} = (b.rest, b.rows))").fetchone() or (0,)
    # Ids are digests, so the first ones by name are as good as drawn.
    return common, {
        "added": (len(added), second.shown(added[:sample])),
        "removed": (len(removed), first.shown(removed[:sample])),
        "changed": (len(changed), second.shown(changed[:sample])),
    }


def _words(row: dict[str, Any]) -> str:
    parts = []
    for name in _SHOWN:
        value = row.get(name)
        if value in (None, "") or (name == "text" and value == row.get("spoken_text")):
            continue
        parts.append(f"{value:.2f}" if isinstance(value, float) else " ".join(str(value).split())[:_TEXT_CHARACTERS])
    return "  ".join(parts)


def _holds_bytes(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return any(_holds_bytes(field.type) for field in kind)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _holds_bytes(kind.value_type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


# --- recipes ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class RecipesDifference:
    """Datasets that only one of two recipes has, compared by their definitions; and datasets of equal names."""

    first: str
    second: str
    common: int
    only_first: list[str]
    only_second: list[str]
    changed: dict[str, list[Row]]  # by name: of a dataset that both have, otherwise made

    def lines(self) -> list[str]:
        """Return the difference as text."""
        lines = [f"{self.common} datasets are the same in {self.first} and {self.second}, whatever they are called"]
        for name, several in ((self.first, self.only_first), (self.second, self.only_second)):
            lines.append(f"only in {name}: {len(several)}")
            lines += [f"  {one}" for one in several]
        if self.changed:
            lines.append(f"{'of one name, otherwise made:':<38}{self.first:>28}{self.second:>28}")
        for name, rows in self.changed.items():
            lines.append(f"  {name}" + ("" if rows else ": by what it is made from"))
            lines += [f"    {row.name:<34}{row.first:>28}{row.second:>28}" for row in rows]
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return the difference as JSON has it."""
        return {
            "first": self.first,
            "second": self.second,
            "equal": self.common,
            "only_first": self.only_first,
            "only_second": self.only_second,
            "changed": {n: {row.name: [row.first, row.second] for row in rows} for n, rows in self.changed.items()},
        }


def recipes_difference(store: ArtifactStore, first: Graph, second: Graph) -> RecipesDifference:
    """Return what differs between two recipes: their datasets, and of those of one name options, counts and hours."""
    a, b = _digests(first), _digests(second)
    alike = set(a.values()) & set(b.values())
    mine = [name for name, digest in a.items() if digest not in alike]
    theirs = [name for name, digest in b.items() if digest not in alike]
    published = [{one.name.dataset: [] for one in store.published(graph.recipe)} for graph in (first, second)]
    for found, graph in zip(published, (first, second), strict=True):
        for one in store.published(graph.recipe):
            found[one.name.dataset].append(one)
    changed = {}
    for name in mine:
        if name in theirs:
            rows = _rows(_leaves_of(first[name]), _leaves_of(second[name]))
            sides = [found.get(name, []) for found in published]
            if all(sides):
                one, other = (_counts(side) for side in sides)
                rows += _rows({"kept": str(one.records_kept)}, {"kept": str(other.records_kept)})
                rows += _rows(_texts(one.dropped), _texts(other.dropped)) + _rows(
                    _texts(one.stats), _texts(other.stats)
                )
            changed[name] = rows
    return RecipesDifference(
        first.recipe,
        second.recipe,
        len(alike),
        [name for name in mine if name not in changed],
        [name for name in theirs if name not in changed],
        changed,
    )


def _leaves_of(node: Node) -> dict[str, str]:
    leaves = {name.removeprefix("."): text for name, text in _leaves(node.literals).items()}
    return {**leaves, **{f"input {role}": name for role, name in node.inputs.items()}}


def _digests(graph: Graph) -> dict[str, str]:
    """Return for each dataset the digest of its definition, without names."""
    found: dict[str, str] = {}
    for node in graph:
        found[node.name] = digest_of(
            [
                node.stage_name,
                node.stage.VERSION,
                node.literals,
                sorted([role, found[parent]] for role, parent in node.inputs.items()),
                sorted([found[asset], partition or ""] for asset, partition in node.members),
                {name: payload_of(source) for name, source in sorted(node.snapshots.items())},
            ]
        )
    return found
