"""A snapshot of recordings that are downloaded from addresses.

Put here: its options in a recipe, the journal of its downloads, and its items. Do not put here: lists and feeds
(addresses.py), how a fetch is done (download_queue.py, download.py), or decoding (ingest_audio.py).

A snapshot is fetched once, when it is built or by `spelangy fetch`. If it is complete, `spelangy fetch` requests every
address again. A journal of the snapshot has a line for the result of each address; the last line of an address counts,
so a killed fetch continues where it stopped. The version of the snapshot follows from the journal: the bytes, their
metadata, and the reasons of failed addresses. The form and order of the list, and the time of the fetch, do not count.
"""

from __future__ import annotations

import collections
import fcntl
import functools
import ipaddress
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.addresses import Wanted, distinct, episode_of, episodes, licensed, read_list, wanted_of
from spelangy_assets.sources.audio_snapshot import Item, deduplicated
from spelangy_assets.sources.download_shelf import Held, Shelf
from spelangy_assets.sources.files import SnapshotFiles
from spelangy_assets.store.fingerprint import digest_of

if TYPE_CHECKING:
    from spelangy_assets.sources.checked_network import Failure
    from spelangy_assets.sources.download_queue import Job, Queue

AGENT = "SpeLangy"
_FEED_BYTES = 64 << 20
_SAY_EVERY = 100


@dataclass(frozen=True)
class Downloads:
    """A snapshot that is downloaded from addresses.

    `lists` are files of addresses; `feeds` are addresses of RSS or Atom feeds (addresses.py has their forms). An
    address without a licence is a reject, unless `licence` gives one for all of these, or `unlicensed` accepts them.
    `private_networks` ("10.0.0.0/8") may be reached beside the public internet. A download has at most `max_bytes` and
    `max_s` seconds, and one of the media `types` if its server states one. `connections` are open at once, of them
    `connections_per_host` to one host, with `pause_s` seconds between two requests to it, or the pause that its
    robots.txt requests.
    """

    lists: tuple[str, ...] = ()
    feeds: tuple[str, ...] = ()
    licence: str = ""
    unlicensed: bool = False
    private_networks: tuple[str, ...] = ()
    max_bytes: int = 4 << 30
    max_s: float = 3600.0
    types: tuple[str, ...] = (
        *("audio/*", "video/*", "application/ogg", "application/octet-stream", "binary/octet-stream"),
    )
    connections: int = 16
    connections_per_host: int = 2
    pause_s: float = 0.5

    def __post_init__(self) -> None:
        for name in ("lists", "feeds", "private_networks", "types"):
            if not isinstance(getattr(self, name), tuple) or not all(isinstance(x, str) for x in getattr(self, name)):
                raise TypeError(f"{name} is {getattr(self, name)!r}; it is a tuple of strings")
        if not self.lists and not self.feeds:
            raise ValueError("Downloads takes lists= of addresses, feeds=, or both")
        if self.licence and self.unlicensed:
            raise ValueError("unlicensed does nothing beside licence=: what states no licence has that one")
        for feed in self.feeds:
            if (wanted := wanted_of({"url": feed}, "feeds")).reason:
                raise ValueError(wanted.detail)
        self.networks()
        for name in ("max_bytes", "max_s", "connections", "connections_per_host"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it is above 0")
        if self.pause_s < 0:
            raise ValueError(f"pause_s is {self.pause_s}; it is 0 or more")

    def networks(self) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
        """Return the networks that may be reached beside the public ones. ValueError for what is none."""
        return [ipaddress.ip_network(network) for network in self.private_networks]


@dataclass(frozen=True)
class Outcome:
    """The result of an address: bytes, or the reason why there are none. `episodes` are the rows of a feed."""

    url: str
    digest: str = ""
    size: int = 0
    reason: str = ""
    detail: str = ""
    episodes: tuple[dict[str, str], ...] = ()
    is_feed: bool = False


class _Journal:
    """The outcomes of a snapshot in order of time; the last one of an address counts."""

    def __init__(self, path: Path):
        self._path = path

    def read(self) -> dict[tuple[bool, str], Outcome]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return {}
        found = {}
        for line in lines[:-1]:  # after the last newline is nothing, or a line that a kill cut off
            fields = json.loads(line)
            outcome = Outcome(**{**fields, "episodes": tuple(fields["episodes"])})
            found[outcome.is_feed, outcome.url] = outcome
        return found

    @contextmanager
    def written(self) -> Iterator[Callable[[Outcome], None]]:
        """Yield a function that adds an outcome durably."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a+b") as stream:
            stream.seek(0)
            whole = stream.read().rpartition(b"\n")
            stream.truncate(len(whole[0]) + len(whole[1]))

            def add(outcome: Outcome) -> None:
                stream.write(json.dumps(asdict(outcome)).encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())

            yield add


@dataclass(frozen=True)
class DownloadedSource:
    """A snapshot of Downloads, with what was fetched of it to a folder of this machine."""

    downloads: Downloads
    folder: Path
    snapshot: str

    @functools.cached_property
    def _shelf(self) -> Shelf:
        return Shelf(self.folder)

    @property
    def files(self) -> SnapshotFiles:
        """The files of the items."""
        return SnapshotFiles(self.folder)

    @property
    def _journal(self) -> _Journal:
        # The result of an address depends on these options; a journal of other options does not count.
        given = self.downloads
        rule = digest_of([given.max_bytes, given.max_s, list(given.types), list(given.private_networks)])
        return _Journal(self.folder / "snapshots" / f"{self.snapshot}-{rule[:12]}.jsonl")

    def content_version(self) -> str:
        """Return the version of the fetched snapshot; a version that ends in "not-fetched" if it is incomplete."""
        rows = self._outcomes()
        values = [
            [
                *(wanted.name, json.dumps(asdict(wanted.entry)), json.dumps(wanted.about)),
                *(wanted.reason or (outcome.reason if outcome else None), outcome.digest if outcome else None),
            ]
            for wanted, outcome in rows
        ]
        version = digest_of(values)[:24]
        return version if self._is_whole(rows) else f"{version}-not-fetched"

    def items(self) -> list[Item]:
        """Return the items in the order of the addresses. InputError: it is not fetched, or has no address."""
        rows = self._outcomes()
        if not rows:
            raise InputError(f"snapshot {self.snapshot}: its lists and feeds name no address")
        if not self._is_whole(rows):
            raise InputError(
                f"snapshot {self.snapshot} is not fetched on this machine: run `spelangy fetch`, "
                f"or share {self.folder} with it"
            )
        return deduplicated([_item(wanted, outcome) for wanted, outcome in rows])

    def fetch(
        self,
        log: Callable[[str], None],
        on_units: Callable[[int, int], None] = lambda done, total: None,
        again: bool = False,
    ) -> dict[str, int]:
        """Fetch what is missing. With `again`, if nothing is missing, check every address for changes.

        Returns the number of addresses by result: fetched, unchanged, kept (it failed now; its earlier bytes stay), or
        a reason. `on_units` is called with the number that is done and the total.
        Raises InputError (NetworkDown: nothing can be reached) and OSError of this machine's disk.
        """
        is_whole = self._is_whole(self._outcomes())
        if is_whole and not again:
            return {}
        self.folder.mkdir(parents=True, exist_ok=True)
        with _locked(self.folder / "lock", log):
            return self._fetch(log, on_units, again=is_whole)

    def _fetch(self, log: Callable[[str], None], on_units: Callable[[int, int], None], again: bool) -> dict[str, int]:
        ended: collections.Counter[str] = collections.Counter()
        with self._journal.written() as add:
            for is_feed in (True, False):  # the addresses of a feed are known once it is fetched
                self._fetch_kind(is_feed, again, add, ended, log, on_units)
        return dict(ended)

    def _fetch_kind(
        self,
        is_feed: bool,
        again: bool,
        add: Callable[[Outcome], None],
        ended: collections.Counter[str],
        log: Callable[[str], None],
        on_units: Callable[[int, int], None],
    ) -> None:
        from spelangy_assets.sources.download import Limits
        from spelangy_assets.sources.download_queue import Job

        given, before = self.downloads, self._journal.read()
        feed_limits = Limits(_FEED_BYTES, given.max_s, ("*",))
        limits = feed_limits if is_feed else Limits(given.max_bytes, given.max_s, given.types)
        wanted = self._feeds() if is_feed else self._wanted(before)
        jobs = [
            Job(one.name, one.address, limits)
            for one in wanted
            if not one.reason and (again or not self._is_settled(before.get((is_feed, one.name))))
        ]
        if not jobs:
            return
        what, done = "feeds" if is_feed else "addresses", 0

        def settle(job: Job, result: Held | Failure) -> None:
            nonlocal done
            done += 1
            ended[self._settle(job, result, is_feed, before.get((is_feed, job.name)), add)] += 1
            on_units(done, len(jobs))
            if not done % _SAY_EVERY or done == len(jobs):
                log(f"{done} of {len(jobs)} {what} are done")

        self._queue(before).fetch(jobs, settle)

    def _queue(self, before: dict[tuple[bool, str], Outcome]) -> Queue:
        from spelangy_assets.sources.download_queue import Manners, Queue

        given = self.downloads
        manners = Manners(AGENT, given.connections, given.connections_per_host, given.pause_s)
        answered = (one.url for one in before.values() if one.digest or one.reason.startswith("http_"))
        parts = (urlsplit(url) for url in answered)
        return Queue(self._shelf, manners, given.networks(), [f"{part.scheme}://{part.netloc}" for part in parts])

    def _settle(
        self,
        job: Job,
        result: Held | Failure,
        is_feed: bool,
        before: Outcome | None,
        add: Callable[[Outcome], None],
    ) -> str:
        """Record the result of an address, and return the name under which it is counted."""
        if isinstance(result, Held):
            if before is not None and before.digest == result.digest:
                return "unchanged"
            outcome = Outcome(job.name, result.digest, result.size, is_feed=is_feed)
            if is_feed:
                outcome = self._read_feed(job, outcome)
            if outcome.digest or before is None or not before.digest:
                add(outcome)
            return outcome.reason or "fetched"
        if before is not None and before.digest and result.reason != "forgotten":
            return "kept"
        if before is None or before.reason != result.reason:
            add(Outcome(job.name, reason=result.reason, detail=result.detail, is_feed=is_feed))
        return result.reason

    def _read_feed(self, job: Job, outcome: Outcome) -> Outcome:
        rows = episodes(self._shelf.blob(outcome.digest).read_bytes(), job.address)
        if rows is None:
            return replace(outcome, digest="", reason="bad_feed", detail="neither RSS nor Atom")
        return replace(outcome, episodes=tuple(rows))

    def _feeds(self) -> list[Wanted]:
        return distinct(wanted_of({"url": feed}, "feeds") for feed in self.downloads.feeds)

    def _wanted(self, outcomes: dict[tuple[bool, str], Outcome]) -> list[Wanted]:
        """Return the addresses of the lists and of the fetched feeds, each once."""
        given = self.downloads

        def all_of_them() -> Iterator[Wanted]:
            for name in given.lists:
                yield from read_list(Path(name))
            for feed in self._feeds():
                if (outcome := outcomes.get((True, feed.name))) is not None:
                    yield from map(episode_of, outcome.episodes)

        return distinct(licensed(one, given.licence, given.unlicensed) for one in all_of_them())

    def _outcomes(self) -> list[tuple[Wanted, Outcome | None]]:
        """Return every address with its outcome: the feeds that failed, then all others."""
        outcomes = self._journal.read()
        feeds = [(feed, outcomes.get((True, feed.name))) for feed in self._feeds()]
        rows = [(feed, outcome) for feed, outcome in feeds if outcome is None or outcome.reason]
        rows += [(one, None if one.reason else outcomes.get((False, one.name))) for one in self._wanted(outcomes)]
        return rows

    def _is_whole(self, rows: list[tuple[Wanted, Outcome | None]]) -> bool:
        return all(wanted.reason or self._is_settled(outcome) for wanted, outcome in rows)

    def _is_settled(self, outcome: Outcome | None) -> bool:
        """Whether an address is done: it failed, or its bytes exist or were taken down."""
        if outcome is None:
            return False
        if outcome.reason or self._shelf.blob(outcome.digest).is_file():
            return True
        held = self._shelf.held(outcome.url)
        return held is not None and held.forgotten


def _item(wanted: Wanted, outcome: Outcome | None) -> Item:
    entry, about = wanted.entry, wanted.about
    if wanted.reason or outcome is None:
        return Item(wanted.name, "", entry, reason=wanted.reason, detail=wanted.detail, about=about)
    if outcome.reason:
        return Item(wanted.name, "", entry, reason=outcome.reason, detail=outcome.detail, about=about)
    name = Shelf.blob_name(outcome.digest)
    return Item(wanted.name, name, entry, outcome.digest[:32], outcome.size, about=about)


@contextmanager
def _locked(path: Path, log: Callable[[str], None]) -> Iterator[None]:
    """Let one process of this machine fetch at a time, so that the rate per host holds. A kill releases the lock."""
    with path.open("a") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log("another process fetches to this folder: waiting until it has ended")
            fcntl.flock(stream, fcntl.LOCK_EX)
        yield
