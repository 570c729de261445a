"""Takedowns: what was published somewhere and must not be used any more, and for which snapshots that holds.

Put here: the list, and what it says of one snapshot. Do not put here: the leaving out (the crawl stages do it, with the
reason `forgotten`) or the removal of versions that held it (garbage.py, once nothing refers to them).

One list for the store, forgotten.json, bears on every recipe. A takedown is an input of every crawl dataset that it
bears on; what is made again with equal bytes below them is not made anew. It bears on the readings of snapshots that
held the source and on all that come later, not on those that were there and did not hold it. What held the source, and
all that was made from it, is withdrawn in every recipe.
"""

from __future__ import annotations

import datetime
import json
from dataclasses import asdict, dataclass

from spelangy_assets.store.artifacts import Address, ArtifactStore
from spelangy_assets.store.fingerprint import digest_of
from spelangy_assets.store.lineage import connect, query
from spelangy_assets.store.lineage_queries import HELD_SQL
from spelangy_assets.store.manifest import Manifest

_FILE = "forgotten.json"


@dataclass(frozen=True)
class Takedown:
    """A source that is to be left out. `spared` are the readings of snapshots (see `reading`) that did not hold it."""

    url: str
    content_hashes: tuple[str, ...]
    by: str
    reason: str
    at: str
    spared: tuple[str, ...]


@dataclass(frozen=True)
class Forgotten:
    """What a crawl dataset of one snapshot has to leave out."""

    urls: frozenset[str] = frozenset()
    content_hashes: frozenset[str] = frozenset()

    def holds(self, url: str, content_hash: str) -> bool:
        """Whether a recording or page is to be left out; parts of a long recording go with the whole."""
        return url.partition("#t=")[0] in self.urls or content_hash.partition("-")[0] in self.content_hashes

    @property
    def version(self) -> str:
        """Empty when there is nothing to leave out."""
        return digest_of([sorted(self.urls), sorted(self.content_hashes)]) if self.urls else ""


def reading(stage: str, stage_version: str, partition: str | None, config_fingerprint: str, source_version: str) -> str:
    """Return the words for what a crawl stage reads, in which way, at one version of a snapshot."""
    return f"{Address(stage, partition)} version {stage_version} config {config_fingerprint[:16]} of {source_version}"


def _reading_of(manifest: Manifest) -> str | None:
    """Return what a version read; None for a dataset that reads no source."""
    versions = [item.data_version for item in manifest.inputs if item.role == "source" and not item.stage]
    if not versions:
        return None
    return reading(manifest.stage, manifest.stage_version, manifest.partition, manifest.config_fingerprint, versions[0])


def takedowns(store: ArtifactStore) -> list[Takedown]:
    """Return the takedowns of a store, oldest first."""
    return _takedowns(store.files.read_if_there(_FILE))


def _takedowns(text: bytes | None) -> list[Takedown]:
    return [
        Takedown(**{**item, **{name: tuple(item[name]) for name in ("content_hashes", "spared")}})
        for item in json.loads(text or b"[]")
    ]


def forgotten_at(store: ArtifactStore, read: str) -> Forgotten:
    """Return what a reading of a snapshot has to leave out."""
    return _forgotten([one for one in takedowns(store) if read not in one.spared])


def forgotten(store: ArtifactStore) -> Forgotten:
    """Return all that was ever taken down, whatever snapshots held it."""
    return _forgotten(takedowns(store))


def hashes_at(store: ArtifactStore, url: str) -> set[str]:
    """Return the content hashes of what the store holds from an address."""
    with connect(store) as connection:
        rows = query(connection, "SELECT url, content_hash FROM crawl")
    return _hashes_at(rows, url.partition("#t=")[0])


def _hashes_at(rows: list[dict], url: str) -> set[str]:
    return {row["content_hash"].partition("-")[0] for row in rows if row["url"].partition("#t=")[0] == url}


def _forgotten(several: list[Takedown]) -> Forgotten:
    return Forgotten(
        frozenset(one.url for one in several), frozenset(digest for one in several for digest in one.content_hashes)
    )


def held_in(store: ArtifactStore, url: str) -> list[dict]:
    """Return every version that holds the source or was made from one that does: id, distance, published."""
    with connect(store) as connection:
        return query(connection, HELD_SQL, url=url)


def tainted(store: ArtifactStore) -> set[tuple[str, str]]:
    """Return (address path, build key) of what holds a source that was taken down, or was made from such a version."""
    known = takedowns(store)
    return _made_from(store, _forgotten(known)) if known else set()


def _made_from(store: ArtifactStore, probe: Forgotten) -> set[tuple[str, str]]:
    with connect(store) as connection:
        rows = query(connection, "SELECT url, content_hash, artifact FROM crawl")
        artifacts = query(connection, "SELECT id, stage, partition, build_key FROM artifacts")
        edges = query(connection, "SELECT child, parent FROM edges WHERE parent <> ''")
    children: dict[str, list[str]] = {}
    for edge in edges:
        children.setdefault(edge["parent"], []).append(edge["child"])
    left = [row["artifact"] for row in rows if probe.holds(row["url"], row["content_hash"])]
    found: set[str] = set()
    while left:
        one = left.pop()
        if one not in found:
            found.add(one)
            left += children.get(one, [])
    return {(Address(row["stage"], row["partition"]).path, row["build_key"]) for row in artifacts if row["id"] in found}


def forget(store: ArtifactStore, url: str, by: str, reason: str) -> Takedown:
    """Take a source down, in the name of a person: from now on the crawl datasets of all recipes leave it out, and what
    held it or was made from it is published nowhere.

    What has equal bytes at another address is taken down, too. ValueError without a name or a reason.
    """
    if not by.strip() or not reason.strip():
        raise ValueError("a source is taken down by a person, for a reason: name both")
    url = url.partition("#t=")[0]
    with connect(store) as connection:
        rows = query(connection, "SELECT url, content_hash, artifact FROM crawl")
        artifacts = query(connection, "SELECT id, stage, partition, build_key FROM artifacts")
    hashes = _hashes_at(rows, url)
    probe = Forgotten(frozenset([url]), frozenset(hashes))
    holding = {row["artifact"] for row in rows if probe.holds(row["url"], row["content_hash"])}
    ids = {(Address(row["stage"], row["partition"]), row["build_key"]): row["id"] for row in artifacts}
    readings: dict[str, bool] = {}  # whether a version of it holds the source
    for artifact in store.versions():
        read = _reading_of(artifact.manifest)
        if read is not None:
            # What was committed since the lineage was read is not spared.
            one = ids.get((artifact.address, artifact.manifest.build_key))
            readings[read] = readings.get(read, False) or one is None or one in holding
    spared = tuple(sorted(read for read, holds in readings.items() if not holds))
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    takedown = Takedown(url, tuple(sorted(hashes)), by.strip(), reason.strip(), now, spared)
    while True:  # until no other process adds to the list in between
        text = store.files.read_if_there(_FILE)
        before = _takedowns(text)
        if any(one.url == url for one in before):
            break
        listed = json.dumps([asdict(one) for one in [*before, takedown]], indent=1, ensure_ascii=False)
        if store.files.swap(_FILE, listed.encode(), text):
            break
    held = _made_from(store, probe)
    for name, record in store.publications():
        one = record.published
        if one is not None and (Address(one.stage, name.partition).path, one.build_key) in held:
            store.withdraw(name, one.build_key, f"it held a source that was taken down at {now}, or was made from it")
    return takedown
