"""Writes an export: rows shard by shard in one form, its card, and the note of it in the store.

Put here: the order of the work, and resuming after a kill. Do not put here: a format (formats.py) or a card's text
(card.py). `export.json` in the target names the export and its complete shards: a killed export continues at the next
shard; a target that contains anything else is refused.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from spelangy_assets.export.card import dataset_card
from spelangy_assets.export.facts import Facts, amounts_of, facts_of, held_ids
from spelangy_assets.export.formats import FORMATS, Format, Part
from spelangy_assets.export.rights import check_takedowns
from spelangy_assets.export.sound import batches_with_sound, has_sound, schema_with_sound
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.exports import Export, record_export
from spelangy_assets.store.files import Files
from spelangy_assets.store.forgotten import forgotten
from spelangy_assets.store.selection import Selection

CONTROL, CARD = "export.json", "README.md"
VERSION = "1"  # of the formats: an export that another version began is not continued


@dataclass(frozen=True)
class Written:
    """A written export; `files` are relative to its target."""

    facts: Facts
    files: tuple[str, ...]
    rows: int


def split_of(table: str) -> str:
    """Return the split of a table: test for questions and passages, train for all else."""
    return "test" if table in ("questions", "passages") else "train"


def write_dataset(
    store: ArtifactStore,
    selection: Selection,
    form: str,
    target: Files,
    consent: str = "",
    log: Callable[[str], None] = lambda text: None,
) -> Written:
    """Write the rows of a selection into a target, after recording the export in the store.

    Raises ValueError for an unknown format, rows without audio in a format that needs it, no rows, a source that was
    taken down, or a target that contains something else.
    """
    how = format_named(form)
    shards = selection.shards()
    if not shards:
        raise ValueError(f"{selection.name} holds no rows")
    schema = schema_with_sound(selection.table, selection.schema())
    if how.needs_sound and not has_sound(schema):
        others = " or ".join(one.name for one in FORMATS.values() if not one.needs_sound)
        raise ValueError(
            f"{how.name} describes sound, and the {selection.table} of {selection.name} have none: take --to {others}"
        )
    facts = facts_of(store, selection.versions, held_ids(selection))
    check_takedowns(facts.sources, forgotten(store))
    progress = _Progress(target, _identity(selection, how))
    note(store, selection, facts, how.name, target.uri)  # before writing: a killed export leaves a part there
    split = split_of(selection.table)
    for number, (version, shard) in enumerate(shards):
        if number < progress.done:
            continue
        rows = _Counted(batches_with_sound(store, version, shard, selection.table))
        files = how.write(target, Part(number, len(shards), split), schema, rows)
        if rows.count != shard.rows:
            raise ValueError(f"{shard.path} holds {rows.count} rows, and its manifest says {shard.rows}")
        progress.add(files, rows.count)
        log(f"{number + 1} of {len(shards)} shards")
    files = [name for one in progress.shards for name in one["files"]]
    files += how.finish(target, [one["files"] for one in progress.shards])
    amounts = amounts_of(selection, {one.content_hash: one for one in facts.sources})
    target.replace(CARD, dataset_card(selection, facts, amounts, how, split, consent).encode())
    progress.finish()
    return Written(facts, (*files, CARD, CONTROL), sum(one["rows"] for one in progress.shards))


def note(store: ArtifactStore, selection: Selection, facts: Facts, form: str, place: str) -> None:
    """Record in the store that data of a selection are at a place."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    versions = tuple(one.data_version for one in selection.versions)
    sources = [vars(one) for one in facts.sources]
    record_export(store, Export(selection.name, form, place, versions, now), sources)


def format_named(name: str) -> Format:
    if name not in FORMATS:
        raise ValueError(f"no form {name!r}: take one of {', '.join(FORMATS)}")
    return FORMATS[name]


def _identity(selection: Selection, how: Format) -> dict[str, Any]:
    return {
        "dataset": selection.name,
        "table": selection.table,
        "format": how.name,
        "format_version": VERSION,
        "versions": [f"{one.name}@{one.manifest.build_key} {one.data_version}" for one in selection.versions],
    }


class _Counted:
    """Batches, with a count of their rows."""

    def __init__(self, batches: Iterator[pa.RecordBatch]):
        self._batches, self.count = batches, 0

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for batch in self._batches:
            self.count += len(batch)
            yield batch


class _Progress:
    """The control file of an export: its identity and its complete shards."""

    def __init__(self, target: Files, identity: dict[str, Any]):
        self._target, self._identity = target, identity
        self.shards: list[dict[str, Any]] = []
        text = target.read_if_there(CONTROL)
        if text is None:
            if there := [name for name, _ in target.names("") if not name.startswith(".")]:
                raise ValueError(f"{target.uri} holds something already ({there[0]}): name an empty folder")
            self._save(complete=False)
            return
        found = json.loads(text)
        if found.get("export") != identity:
            other = found.get("export", {}).get("dataset", "something else")
            raise ValueError(f"{target.uri} holds another export, of {other}: name an empty folder")
        self.shards = found["shards"]

    @property
    def done(self) -> int:
        return len(self.shards)

    def add(self, files: list[str], rows: int) -> None:
        self.shards.append({"files": files, "rows": rows})
        self._save(complete=False)

    def finish(self) -> None:
        self._save(complete=True)

    def _save(self, complete: bool) -> None:
        state = {"export": self._identity, "complete": complete, "shards": self.shards}
        self._target.replace(CONTROL, json.dumps(state, indent=1).encode())
