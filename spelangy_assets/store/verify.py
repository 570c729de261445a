"""Verification of the store: committed files are read back and compared with the digests of their manifests.

Put here: finding versions whose bytes differ from those written, and setting them aside. Do not put here: building
them again (the next run does), or files that are always compared where they are used: a model's files
(Artifact.local_folder) and the units that a killed build left (writer.py).
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from spelangy_assets.store.artifacts import Artifact, ArtifactStore, StoreError
from spelangy_assets.store.fingerprint import digest_of
from spelangy_assets.store.manifest import data_version_of
from spelangy_assets.store.names import DatasetName
from spelangy_assets.store.writer import MANIFEST, digest_of_file

_READERS = 8
_DAYS = 30  # in which the nightly parts cover the whole store


@dataclass(frozen=True)
class Damage:
    """A version whose files differ from its manifest; `aside` is where it was moved, empty where it was left."""

    artifact: Artifact
    paths: tuple[str, ...]
    aside: str = ""

    @property
    def reason(self) -> str:
        first, *others = self.paths
        more = f" and {len(others)} more" if others else ""
        return f"{first}{more}: gone, or other bytes than its manifest says"


@dataclass(frozen=True)
class Verified:
    """The versions that were checked, and those that are damaged; `bytes` are those that were read."""

    versions: int
    bytes: int
    damages: tuple[Damage, ...]


def verify(store: ArtifactStore, artifacts: Iterable[Artifact], deep: bool = False, repair: bool = False) -> Verified:
    """Compare versions with their manifests: that all files are there in their length, or `deep` every byte of them.

    `repair` sets damaged ones aside, with the reason, so that the next run makes them again.
    """
    versions = list(artifacts)

    def damaged(artifact: Artifact) -> tuple[str, ...]:
        manifest = artifact.manifest
        if manifest.data_version != data_version_of(manifest.shards, manifest.inputs):
            return (MANIFEST,)
        return tuple(store.missing_files(artifact))

    with ThreadPoolExecutor(_READERS) as pool:
        found = dict(enumerate(pool.map(damaged, versions)))
        files = [
            (index, shard, f"{artifact.path}/{shard.path}")
            for index, artifact in enumerate(versions)
            for shard in [*artifact.manifest.shards, *artifact.manifest.attachments]
            if deep and not found[index]
        ]
        digests = pool.map(lambda file: digest_of_file(store.files, file[2]), files)
        for (index, shard, _), digest in zip(files, digests, strict=True):
            if digest != shard.sha256:
                found[index] = (*found[index], shard.path)
    damages = []
    for index, paths in found.items():
        if paths:
            damage = Damage(versions[index], paths)
            aside = store.set_aside(versions[index], damage.reason) if repair else ""
            damages.append(Damage(versions[index], paths, aside))
    return Verified(len(versions), sum(shard.bytes for _, shard, _ in files), tuple(damages))


def versions_of(store: ArtifactStore, recipe: str, dataset: str, partition: str | None = None) -> list[Artifact]:
    """Return a dataset's published versions in a recipe, of all partitions or of one; StoreError without any."""
    name = DatasetName(recipe, dataset, partition)
    found = [
        one
        for one in store.published(recipe)
        if one.name.dataset == dataset and (partition is None or one.name.partition == partition)
    ]
    if not found:
        raise StoreError(f"{name} has no published version that can be read")
    return found


def part_of_day(store: ArtifactStore, day: datetime.date) -> list[Artifact]:
    """Return the committed versions that are looked at on a day: each on one of thirty days, by its own name."""
    return [one for one in store.versions() if int(digest_of(one.path)[:8], 16) % _DAYS == day.toordinal() % _DAYS]
