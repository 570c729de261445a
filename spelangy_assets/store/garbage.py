"""What may go: versions that nothing published was made from, and builds that were given up.

Put here: finding and deleting them. Do not put here: what is published (artifacts.py) or when to clean up (a person
does, by `python -m spelangy_assets gc`). A version that a published one was made from, at whatever distance, stays: the
lineage of every score can be walked and its inputs read.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

from spelangy_assets.store.artifacts import Address, ArtifactStore
from spelangy_assets.store.manifest import Manifest


@dataclass(frozen=True)
class Garbage:
    """A folder of the store that may go. `why` is unreferenced, failed or unfinished."""

    path: str
    why: str
    bytes: int
    changed_at: datetime.datetime


def _key(manifest: Manifest) -> tuple[str, str]:
    return Address(manifest.recipe, manifest.asset, manifest.partition).path, manifest.build_key


def referenced(versions: Iterable[tuple[Manifest, bool]]) -> set[tuple[str, str]]:
    """Return (address path, build key) of all published versions and of everything above them."""
    parents: dict[tuple[str, str], list[tuple[str, str]]] = {}
    reached: list[tuple[str, str]] = []
    for manifest, published in versions:
        inputs = [item for item in manifest.inputs if item.asset]
        parents[_key(manifest)] = [
            (Address(item.recipe, item.asset, item.partition).path, item.build_key) for item in inputs
        ]
        if published:
            reached.append(_key(manifest))
    kept: set[tuple[str, str]] = set()
    while reached:
        one = reached.pop()
        if one not in kept:
            kept.add(one)
            reached += parents.get(one, [])
    return kept


def find_garbage(
    store: ArtifactStore, older_than: datetime.timedelta, now: datetime.datetime, recipe: str | None = None
) -> list[Garbage]:
    """Return what may go, the largest first; nothing that changed within `older_than`, so that no running build does.

    `now` bears a time zone. With `recipe` only its folders are looked at; what other recipes refer to is kept all the
    same.
    """
    versions = list(store.manifests())
    kept = referenced((manifest, published) for manifest, _, published in versions)
    verdicts = {_key(manifest): verdict for manifest, verdict, _ in versions}
    found = []
    for address_path, build_key in store.build_folders(recipe):
        if (address_path, build_key) in kept:
            continue
        path = f"{address_path}/{build_key}"
        size, changed_at = store.files.measure(path)
        if now - changed_at < older_than:
            continue
        verdict = verdicts.get((address_path, build_key))
        why = "unreferenced" if verdict is not None and verdict.accepted else "failed"
        if (address_path, build_key) not in verdicts:
            why = "unfinished"
        found.append(Garbage(path, why, size, changed_at))
    return sorted(found, key=lambda one: (-one.bytes, one.path))


def delete(store: ArtifactStore, garbage: Iterable[Garbage]) -> int:
    """Delete folders and return their bytes. The manifest goes first, so that a kill leaves no half version."""
    freed = 0
    for one in garbage:
        store.files.delete_file(f"{one.path}/manifest.json")
        store.files.delete(one.path)
        freed += one.bytes
    return freed
