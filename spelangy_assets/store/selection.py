"""What a person names: RECIPE/DATASET[@SNAPSHOT][#VERSION] as versions in the store, and the one table of them to read.

Put here: from a name to versions and shards. Do not put here: what is done with the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa

from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, ShardFile, StoreError

# What a person wants of a dataset that has several tables; else its only one that holds rows.
_MAIN = ("chunks", "documents", "rows", "transcripts", "questions", "passages", "recordings", "scripts", "metrics")


@dataclass(frozen=True)
class Selection:
    """One table of the published versions of a dataset: of one snapshot, or of all that it has.

    `name` is RECIPE/DATASET or RECIPE/DATASET@SNAPSHOT. `versions` are those that hold the rows: of a roll-up, its
    members.
    """

    name: str
    named: tuple[Artifact, ...]
    versions: tuple[Artifact, ...]
    table: str

    @property
    def recipe(self) -> str:
        return self.name.partition("/")[0]

    @property
    def dataset(self) -> str:
        return self.name.partition("/")[2]

    def shards(self) -> list[tuple[Artifact, ShardFile]]:
        """Return the shards that hold rows, in order, each with its version."""
        return [(one, shard) for one in self.versions for shard in one.shards(self.table) if shard.rows]

    def schema(self) -> pa.Schema:
        """Return the schema of the rows. StoreError when the table has none."""
        for _, shard in self.shards():
            return shard.schema()
        raise StoreError(f"{self.name}: its table {self.table!r} is empty")


def versions_named(store: ArtifactStore, text: str, recipe: str) -> list[Artifact]:
    """Return the versions that [RECIPE/]DATASET[@SNAPSHOT][#VERSION] names: what is published, or the versions whose
    build key or data version begins with VERSION. Without a snapshot it is all that the dataset has.

    `recipe` is meant where the text names none. ValueError says what there is.
    """
    of, dataset, partition, version = _parts(text, recipe)
    published = [
        one
        for one in store.published(of)
        if one.name.dataset == dataset and (not partition or one.name.partition == partition)
    ]
    if not published:
        there = sorted({one.name.dataset for one in store.published(of)})
        near = f"it has {', '.join(there[:8])}{' and more' if len(there) > 8 else ''}" if there else "it has none"
        named = f"{dataset}@{partition}" if partition else dataset
        withdrawn = [
            record.withdrawn
            for name, record in store.publications(of)
            if name.dataset == dataset and partition in ("", name.partition) and record.withdrawn
        ]
        if withdrawn:
            raise StoreError(f"{of}/{named} cannot be read: it was withdrawn: {withdrawn[0]}")
        raise ValueError(f"{of} has published no {named}: {near}; run the recipe first")
    if not version:
        return published
    wanted = {Address(one.manifest.stage, one.manifest.partition) for one in published}
    all_of_it = [one for one in store.versions() if one.address in wanted]
    found = [
        one
        for one in all_of_it
        if one.manifest.build_key.startswith(version) or one.manifest.data_version.startswith(version)
    ]
    if not found:
        keys = ", ".join(one.manifest.build_key for one in all_of_it[:6])
        raise ValueError(f"{text} has no version {version!r}: there are {keys}")
    return found


def select(store: ArtifactStore, text: str, recipe: str, table: str = "") -> Selection:
    """Return what [RECIPE/]DATASET[@SNAPSHOT] publishes. As for a stage, what did not pass its contract is not read.

    `table` is one of the dataset's tables; by default the one that it is known for. ValueError or StoreError says what
    there is.
    """
    if "#" in text:
        raise ValueError(f"{text}: only what is published can be read; leave out #VERSION")
    of, dataset, partition, _ = _parts(text, recipe)
    named = tuple(store.resolve(one.name) for one in versions_named(store, text, recipe))
    versions: list[Artifact] = []
    for one in named:
        members = [item for item in one.manifest.inputs if item.role == "member"]
        versions += [store.open(item, of) for item in members] if members else [one]
    tables = sorted({shard.table for one in versions for shard in one.manifest.shards if shard.table})
    name = f"{of}/{dataset}" + (f"@{partition}" if partition else "")
    return Selection(name, named, tuple(versions), _table(name, tables, versions, table))


def _table(name: str, tables: Sequence[str], versions: Sequence[Artifact], wanted: str) -> str:
    if wanted:
        if wanted not in tables:
            raise ValueError(f"{name} has no table {wanted!r}: it has {', '.join(tables) or 'none'}")
        return wanted
    filled = [table for table in tables if any(one.manifest.rows(table) for one in versions)]
    found = [table for table in _MAIN if table in filled] or filled
    if not found:
        return ""
    if len(found) > 1 and found[0] not in _MAIN:
        raise ValueError(f"{name} has the tables {', '.join(found)}: name one")
    return found[0]


def _parts(text: str, recipe: str) -> tuple[str, str, str, str]:
    """Return recipe, dataset, snapshot and version."""
    text, _, version = text.partition("#")
    head, slash, tail = text.rpartition("/")
    dataset, _, partition = (tail if slash else text).partition("@")
    return head if slash else recipe, dataset, partition, version
