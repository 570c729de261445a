"""Garbage: versions that no published version was made from, and abandoned builds.

Put here: finding and deleting it. Do not put here: what is published (artifacts.py) or when to clean up (a person
decides, by `spelangy gc`). Every version that a published one was made from, directly or not, is kept: the lineage of
every score can be followed and its inputs read. Versions that a running build holds are kept, too (leases.py).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.forgotten import tainted
from spelangy_assets.store.leases import delete_expired, held_by_builds
from spelangy_assets.store.manifest import Publication
from spelangy_assets.store.names import check_name
from spelangy_assets.store.writer import MANIFEST

_READERS = 16
_Version = tuple[str, str]  # an address' path and a build key


@dataclass(frozen=True)
class Garbage:
    """A version of the store that may be deleted. `why` is unreferenced, failed, unfinished, broken or published."""

    address: Address
    build_key: str
    why: str
    bytes: int
    changed_at: datetime.datetime
    given_up_by: str | None = None  # the recipe that has it published

    @property
    def path(self) -> str:
        return f"{self.address.path}/{self.build_key}"


class _Lineage:
    """What versions were made from; a manifest is read once, since a committed one does not change."""

    def __init__(self, store: ArtifactStore):
        self._store = store
        self._parents: dict[_Version, list[_Version]] = {}
        # What was taken down, and made from it: it stays only where a recipe asked for it again since.
        self._tainted = tainted(store)

    def read(self, address: Address, build_key: str) -> bool:
        """Whether a version is committed; what it was made from is known from then on."""
        version = (address.path, build_key)
        if version not in self._parents:
            artifact = self._store.find(address, build_key)
            if artifact is None:
                return False
            self.add(artifact)
        return True

    def add(self, artifact: Artifact) -> None:
        self._parents[_key(artifact)] = [
            (Address(item.stage, item.partition).path, item.build_key)
            for item in artifact.manifest.inputs
            if item.stage
        ]

    def _reached(self, roots: Iterable[_Version]) -> set[_Version]:
        """Return the roots and everything above them."""
        kept: set[_Version] = set()
        left = list(roots)
        while left:
            one = left.pop()
            if one not in kept:
                kept.add(one)
                left += [parent for parent in self._parents.get(one, []) if parent not in self._tainted]
        return kept

    def needed(self, given_up: str | None) -> set[_Version]:
        """Return the versions that all recipes' (but one's) published versions and the running builds depend on."""

        def read(publication: tuple[DatasetName, Publication]) -> _Version | None:
            name, published = publication[0], publication[1].published
            if published is None or name.recipe == given_up:
                return None
            address = Address(published.stage, name.partition)
            if not self.read(address, published.build_key):
                raise StoreError(
                    f"{name}: its published version {published.build_key} cannot be read, so what it was made from is "
                    "not known; materialize it again first"
                )
            return address.path, published.build_key

        with ThreadPoolExecutor(_READERS) as pool:
            published = [one for one in pool.map(read, self._store.publications()) if one is not None]
        held = held_by_builds(self._store.files)
        for path, build_key in held:
            self.read(_address(path), build_key)
        return self._reached([*published, *held])


def _key(artifact: Artifact) -> _Version:
    return artifact.address.path, artifact.manifest.build_key


def _address(path: str) -> Address:
    _, stage, folder = path.split("/")
    return Address.of(stage, folder)


def find_garbage(
    store: ArtifactStore,
    older_than: datetime.timedelta,
    now: datetime.datetime,
    recipe: str | None = None,
    published: bool = False,
) -> list[Garbage]:
    """Return the versions that may be deleted, the largest first: none that changed within `older_than` or is in use.

    `now` has a time zone. A version's last change is when it was written, or last read or published by a build. With
    `recipe`, only versions that were first made for it or that it publishes are examined; versions that other recipes
    refer to are still kept. `published` includes what that recipe has published. StoreError when there is no such
    recipe or no store, or where publications cannot be read; ValueError for an invalid name.
    """
    if recipe is not None:
        check_name(recipe)
    elif published:
        raise ValueError("what is published is given up for one recipe at a time: name it")
    there = store.recipes()
    if recipe is not None and recipe not in there:
        raise StoreError(f"no recipe {recipe!r} in {store.files.uri}; there are {', '.join(there) or 'none'}")
    lineage, committed = _Lineage(store), {}
    for artifact in store.versions():
        lineage.add(artifact)
        committed[_key(artifact)] = artifact
    kept = lineage.needed(recipe if published else None)
    own = set() if recipe is None else {_key(artifact) for artifact in store.published(recipe)}
    found = []
    for address, build_key in store.build_folders():
        version = (address.path, build_key)
        artifact = committed.get(version)
        if version in kept:
            continue
        if recipe is not None and version not in own and (artifact is None or artifact.manifest.recipe != recipe):
            continue
        size, changed_at = store.files.measure(f"{address.path}/{build_key}")
        if now - changed_at < older_than:
            continue
        if artifact is None:
            why = "broken" if ".broken-" in build_key else "unfinished"
        elif version in own:
            why = "published"
        else:
            why = "unreferenced" if any(verdict.passed for verdict in store.verdicts(artifact)) else "failed"
        found.append(Garbage(address, build_key, why, size, changed_at, recipe if version in own else None))
    return sorted(found, key=lambda one: (-one.bytes, one.path))


def delete(store: ArtifactStore, garbage: Iterable[Garbage]) -> list[Garbage]:
    """Delete versions and return those that were deleted: not what was published or taken up by a build meanwhile.

    The manifest is taken away first, so that a kill leaves no half version; then it is looked once more whether the
    version is needed, and if so the manifest is put back.
    """
    lineage, deleted = _Lineage(store), []
    for artifact in store.versions():
        lineage.add(artifact)
    for one in garbage:
        _, changed_at = store.files.measure(one.path)
        if changed_at != one.changed_at:
            continue  # a build works here
        if one.given_up_by is not None:
            _withdraw(store, one)
        mark = f"{one.path}/{MANIFEST}"
        manifest = store.files.read_if_there(mark)
        store.files.delete_file(mark)
        # Now a build that begins sees no version here, and one that began before has its lease.
        needed = True
        try:
            needed = (one.address.path, one.build_key) in lineage.needed(one.given_up_by)
        finally:
            if needed and manifest is not None:
                store.files.replace(mark, manifest)
        if not needed:
            store.files.delete(one.path)
            deleted.append(one)
    delete_expired(store.files)
    return deleted


def _withdraw(store: ArtifactStore, one: Garbage) -> None:
    for name, record in store.publications(one.given_up_by):
        published = record.published
        if published is not None and (Address(published.stage, name.partition), published.build_key) == (
            one.address,
            one.build_key,
        ):
            store.withdraw(name, one.build_key, "it was given up")
