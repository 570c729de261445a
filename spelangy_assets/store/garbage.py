"""What may go: versions that nothing published was made from, and builds that were given up.

Put here: finding and deleting them. Do not put here: what is published (artifacts.py) or when to clean up (a person
does, by `python -m spelangy_assets gc`). A version that a published one was made from, at whatever distance, stays: the
lineage of every score can be walked and its inputs read. So does what a running build holds (leases.py).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spelangy_assets.store.artifacts import Address, ArtifactStore, StoreError
from spelangy_assets.store.leases import delete_expired, held_by_builds
from spelangy_assets.store.manifest import Manifest

_READERS = 16
_Version = tuple[str, str]  # an address' path and a build key


@dataclass(frozen=True)
class Garbage:
    """A version of the store that may go. `why` is unreferenced, failed, unfinished, broken or published."""

    address: Address
    build_key: str
    why: str
    bytes: int
    changed_at: datetime.datetime

    @property
    def path(self) -> str:
        return f"{self.address.path}/{self.build_key}"


class _Lineage:
    """What versions were made from; a manifest is read once, since a committed one does not change."""

    def __init__(self, store: ArtifactStore):
        self._store = store
        self._parents: dict[_Version, list[_Version]] = {}

    def read(self, address: Address, build_key: str) -> bool:
        """Whether a version is committed; what it was made from is known from then on."""
        version = (address.path, build_key)
        if version not in self._parents:
            artifact = self._store.find(address, build_key)
            if artifact is None:
                return False
            self.add(artifact.manifest)
        return True

    def add(self, manifest: Manifest) -> None:
        self._parents[_key(manifest)] = [
            (Address(item.recipe, item.asset, item.partition).path, item.build_key)
            for item in manifest.inputs
            if item.asset
        ]

    def reached(self, roots: Iterable[_Version]) -> set[_Version]:
        """Return the roots and everything above them."""
        kept: set[_Version] = set()
        left = list(roots)
        while left:
            one = left.pop()
            if one not in kept:
                kept.add(one)
                left += self._parents.get(one, [])
        return kept

    def needed(self, given_up: str | None) -> set[_Version]:
        """Return what the published versions of all recipes (but one) and the running builds stand on."""

        def read(address: Address) -> _Version | None:
            build_key = self._store.published_key(address)
            if build_key is None or address.recipe == given_up:
                return None
            if not self.read(address, build_key):
                raise StoreError(
                    f"{address}: its published version {build_key} cannot be read, so what it was made from is not "
                    "known; materialize it again first"
                )
            return address.path, build_key

        with ThreadPoolExecutor(_READERS) as pool:
            published = [one for one in pool.map(read, self._store.addresses()) if one is not None]
        held = held_by_builds(self._store.files)
        for path, build_key in held:
            self.read(_address(path), build_key)  # a build that has no manifest yet holds what it reads as well
        return self.reached([*published, *held])


def _key(manifest: Manifest) -> _Version:
    return Address(manifest.recipe, manifest.asset, manifest.partition).path, manifest.build_key


def _address(path: str) -> Address:
    recipe, asset, partition = path.split("/")
    return Address(recipe, asset, None if partition == "_" else partition)


def find_garbage(
    store: ArtifactStore,
    older_than: datetime.timedelta,
    now: datetime.datetime,
    recipe: str | None = None,
    published: bool = False,
) -> list[Garbage]:
    """Return what may go, the largest first; nothing that changed within `older_than`, nothing that a build holds.

    `now` bears a time zone. With `recipe` only its versions are looked at; what other recipes refer to is kept all the
    same. `published` gives up what is published of that recipe, too. StoreError when there is no such recipe or no
    store, or where it cannot be read what is published; ValueError for a name that is none.
    """
    if recipe is not None:
        Address(recipe, "any")
    elif published:
        raise ValueError("what is published is given up for one recipe at a time: name it")
    there = store.recipes()
    if recipe is not None and recipe not in there:
        raise StoreError(f"no recipe {recipe!r} in {store.files.uri}; there are {', '.join(there) or 'none'}")
    lineage, verdicts = _Lineage(store), {}
    for manifest, verdict, is_published in store.manifests():
        lineage.add(manifest)
        verdicts[_key(manifest)] = (verdict, is_published)
    kept = lineage.needed(recipe if published else None)
    found = []
    for address, build_key in store.build_folders(recipe):
        if (address.path, build_key) in kept:
            continue
        size, changed_at = store.files.measure(f"{address.path}/{build_key}")
        if now - changed_at < older_than:
            continue
        if (address.path, build_key) in verdicts:
            verdict, is_published = verdicts[address.path, build_key]
            why = "published" if is_published else "failed"
            if verdict is not None and verdict.accepted and not is_published:
                why = "unreferenced"
        else:
            why = "broken" if ".broken-" in build_key else "unfinished"
        found.append(Garbage(address, build_key, why, size, changed_at))
    return sorted(found, key=lambda one: (-one.bytes, one.path))


def delete(store: ArtifactStore, garbage: Iterable[Garbage]) -> list[Garbage]:
    """Delete versions and return those that were deleted: not what was published or taken up by a build meanwhile.

    The manifest is taken away first, so that a kill leaves no half version; then it is looked once more whether the
    version is needed, and if so the manifest is put back.
    """
    lineage, deleted = _Lineage(store), []
    for manifest, _, _ in store.manifests():
        lineage.add(manifest)
    for one in garbage:
        _, changed_at = store.files.measure(one.path)
        if changed_at != one.changed_at:
            continue  # somebody works here
        given_up = one.why == "published"
        if given_up:
            store.withdraw(one.address, one.build_key)
        mark = f"{one.path}/manifest.json"
        manifest = store.files.read_if_there(mark)
        store.files.delete_file(mark)
        # Now a build that begins sees no version here, and one that began before has its lease.
        needed = True
        try:
            needed = (one.address.path, one.build_key) in lineage.needed(one.address.recipe if given_up else None)
        finally:
            if needed and manifest is not None:
                store.files.replace(mark, manifest)
        if not needed:
            store.files.delete(one.path)
            deleted.append(one)
    delete_expired(store.files)
    return deleted
