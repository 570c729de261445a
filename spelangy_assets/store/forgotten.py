"""Takedowns: what was published at an address and must not be used any more, and for which snapshots that holds.

Put here: the list, and what it says of one snapshot. Do not put here: the leaving out (the crawl stages do it, with the
reason `forgotten`) or the removal of versions that held it (garbage.py, once nothing refers to them).

The list lies beside a recipe's datasets, RECIPE/forgotten.json. A takedown is an input of every crawl dataset that it
bears on, so that exactly those are stale; what is made again with equal bytes below them is not. It bears on the
snapshots that held the source and on all that come later, not on those that were there and did not hold it.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from spelangy_assets.store.artifacts import Address, ArtifactStore
from spelangy_assets.store.fingerprint import digest_of
from spelangy_assets.store.lineage import connect, query
from spelangy_assets.store.lineage_queries import HELD_SQL

_FILE = "forgotten.json"


@dataclass(frozen=True)
class Takedown:
    """A source that is to be left out. `spared` are the crawl datasets, as addresses, that never held it."""

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


def takedowns(store: ArtifactStore, recipe: str) -> list[Takedown]:
    """Return the takedowns of a recipe, oldest first."""
    return _takedowns(store.files.read_if_there(f"{recipe}/{_FILE}"))


def _takedowns(text: bytes | None) -> list[Takedown]:
    return [
        Takedown(**{**item, **{name: tuple(item[name]) for name in ("content_hashes", "spared")}})
        for item in json.loads(text or b"[]")
    ]


def forgotten_at(store: ArtifactStore, address: Address) -> Forgotten:
    """Return what a crawl dataset has to leave out."""
    mine = [one for one in takedowns(store, address.recipe) if str(address) not in one.spared]
    return Forgotten(
        frozenset(one.url for one in mine), frozenset(digest for one in mine for digest in one.content_hashes)
    )


def held_in(store: ArtifactStore, recipe: str, url: str) -> list[dict]:
    """Return every version that holds the source or was made from one that does: id, distance, published."""
    with connect(store, recipe) as connection:
        return query(connection, HELD_SQL, url=url)


def forget(store: ArtifactStore, recipe: str, crawls: Iterable[str], url: str, by: str, reason: str) -> Takedown:
    """Take a source down, in the name of a person: from now on the recipe's crawl datasets (`crawls`) leave it out.

    What has equal bytes at another address goes too. ValueError without a name or a reason.
    """
    if not by.strip() or not reason.strip():
        raise ValueError("a source is taken down by somebody, for a reason: name both")
    url = url.partition("#t=")[0]
    with connect(store, recipe) as connection:
        rows = query(connection, "SELECT url, content_hash, artifact FROM crawl")
    hashes = {row["content_hash"].partition("-")[0] for row in rows if row["url"].partition("#t=")[0] == url}
    probe = Forgotten(frozenset([url]), frozenset(hashes))
    holders = {row["artifact"].rpartition("@")[0] for row in rows if probe.holds(row["url"], row["content_hash"])}
    present = {
        str(Address(recipe, manifest.asset, manifest.partition))
        for manifest, _, _ in store.manifests(recipe)
        if manifest.asset in set(crawls)
    }
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    takedown = Takedown(url, tuple(sorted(hashes)), by.strip(), reason.strip(), now, tuple(sorted(present - holders)))
    path = f"{recipe}/{_FILE}"
    while True:  # until nobody else adds to the list between
        text = store.files.read_if_there(path)
        before = _takedowns(text)
        if any(one.url == url for one in before):
            return takedown
        listed = json.dumps([asdict(one) for one in [*before, takedown]], indent=1, ensure_ascii=False)
        if store.files.swap(path, listed.encode(), text):
            return takedown
