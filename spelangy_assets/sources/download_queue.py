"""Downloads many addresses: concurrency, the rate per host, robots.txt, and retries.

Put here: order and politeness, and the decision whether an address or the local network failed. Do not put here: one
address (download.py).

A round requests every address once. Failures that may pass are retried in the next round. An address that cannot be
reached, or that breaks off in the last round, has failed only if another host answers afterwards. Otherwise the local
network has failed, which stops the run.
robots.txt follows RFC 9309: a missing one allows all; a server error forbids all for now.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.checked_network import Failure, Network, Web, origin_of
from spelangy_assets.sources.download import Limits, download
from spelangy_assets.sources.download_shelf import Held, Shelf

ROUNDS = 3
_PAUSE_BETWEEN_ROUNDS_S = 2.0
_PROGRESS_BYTES = 1 << 20  # a connection that breaks after so many bytes is resumed at once
_BROKEN = ("timeout", "cut_off")  # there was a connection, and the local network may have failed since
_UNREACHABLE_IN_A_ROW = 32  # then the local network is checked
_PROBES = 3
_ROBOTS = Limits(max_bytes=500 << 10, max_s=60.0, types=("*",))
_MAX_CRAWL_DELAY_S = 60.0


class NetworkDown(InputError, ConnectionError):
    """No host can be reached from this machine. No address is dropped for it."""


@dataclass(frozen=True)
class Job:
    """An address to request, and its name without credentials."""

    name: str
    address: str
    limits: Limits

    @property
    def host(self) -> str:
        return urlsplit(self.name).netloc.lower()


@dataclass(frozen=True)
class Manners:
    """The connections in all and per host, and the pause between two requests to a host."""

    agent: str
    connections: int
    connections_per_host: int
    pause_s: float


Settle = Callable[[Job, "Held | Failure"], None]


class _Line:
    """Jobs that wait, by host. Hosts take turns; `ready` are those that have a job and room for it."""

    def __init__(self, jobs: Iterable[Job], per_host: int):
        self._per_host = per_host
        self._waiting: dict[str, collections.deque[Job]] = {}
        self._active: collections.Counter[str] = collections.Counter()
        for job in jobs:
            self._waiting.setdefault(job.host, collections.deque()).append(job)
        self._ready = collections.deque(self._waiting)

    def take(self) -> Job | None:
        """Return the next job that may start; None while there is none."""
        if not self._ready:
            return None
        host = self._ready.popleft()
        job = self._waiting[host].popleft()
        self._active[host] += 1
        if self._waiting[host] and self._active[host] < self._per_host:
            self._ready.append(host)
        return job

    def done(self, job: Job) -> None:
        was_full = self._active[job.host] == self._per_host
        self._active[job.host] -= 1
        if was_full and self._waiting[job.host]:
            self._ready.append(job.host)


class Queue:
    """Fetches jobs onto a shelf. `known_good` are origins that answered before; they show whether the network works."""

    def __init__(self, shelf: Shelf, manners: Manners, allowed: Sequence[Network], known_good: Iterable[str] = ()):
        self._shelf, self._manners, self._allowed = shelf, manners, allowed
        self._known_good = dict.fromkeys(known_good)
        self._web = Web(manners.agent, allowed, manners.connections)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._next_at: dict[str, float] = {}  # when a host may be asked again
        self._pause_s: dict[str, float] = {}  # of hosts that ask for a longer one
        self._robots: dict[str, Any] = {}  # by origin: its rules, or the Failure of reading them
        self._robots_locks: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)

    def fetch(self, jobs: Iterable[Job], settle: Settle) -> None:
        """Fetch every job; call `settle` once for each, in this thread, with its result.

        Raises NetworkDown, and OSError of this machine; results that were settled before are kept.
        """
        try:
            self._rounds(list(jobs), settle)
        finally:
            self._is_over.set()
            self._web.close()

    def _rounds(self, jobs: list[Job], settle: Settle) -> None:
        for number in range(ROUNDS):
            is_last = number == ROUNDS - 1
            again: list[tuple[Job, Failure]] = []
            self._robots = {origin: rules for origin, rules in self._robots.items() if not isinstance(rules, Failure)}
            answered = self._round(jobs, again, settle)
            lost = [one for one in again if one[1].kind == "unreachable" or (is_last and one[1].reason in _BROKEN)]
            if lost and not answered and not self._network_works():
                raise _down(lost)
            if is_last:
                for job, failure in again:
                    settle(job, failure)
            if is_last or not again:
                return
            self._is_over.wait(_PAUSE_BETWEEN_ROUNDS_S)
            jobs = [job for job, _ in again]

    def _round(self, jobs: Sequence[Job], again: list[tuple[Job, Failure]], settle: Settle) -> bool:
        """Request every job once; return whether a host answered after the last one that did not."""
        line = _Line(jobs, self._manners.connections_per_host)
        running: dict[Future[Held], Job] = {}
        answered, in_a_row = False, 0
        # Threads end by themselves: `fetch` sets the event that each of them checks.
        pool = ThreadPoolExecutor(self._manners.connections, thread_name_prefix="download")
        try:
            while True:
                while len(running) < self._manners.connections and (job := line.take()) is not None:
                    running[pool.submit(self._one, job)] = job
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    job = running.pop(future)
                    line.done(job)
                    result = _result_of(future)
                    if isinstance(result, Failure) and result.kind == "unreachable":
                        answered, in_a_row = False, in_a_row + 1
                        again.append((job, result))
                        if in_a_row >= _UNREACHABLE_IN_A_ROW:
                            if not self._network_works():
                                raise _down(again)
                            answered, in_a_row = True, 0
                        continue
                    answered, in_a_row = not isinstance(result, Failure) or result.reason not in _BROKEN, 0
                    if isinstance(result, Failure) and result.kind == "passing":
                        self._hold(job.host, result.wait_s)
                        again.append((job, result))
                    else:
                        settle(job, result)
        finally:
            if running:
                self._is_over.set()
            pool.shutdown(cancel_futures=True)
        return answered

    def _one(self, job: Job) -> Held:
        """Fetch one job in its own thread; a connection that broke after much progress is resumed at once."""
        while True:
            before = self._size(job)
            try:
                return download(self._web, self._shelf, job.name, job.address, job.limits, self._before, self._is_over)
            except Failure as failure:
                is_far = self._size(job) - before >= _PROGRESS_BYTES
                if failure.reason != "cut_off" or not is_far or self._is_over.is_set():
                    raise

    def _size(self, job: Job) -> int:
        part = self._shelf.part(job.name)
        return part.stat().st_size if part.is_file() else 0

    def _before(self, url: httpx2.URL) -> None:
        """Wait for a host's turn, and refuse what its robots.txt forbids."""
        origin = origin_of(url)
        with self._lock:
            lock = self._robots_locks[origin]
        with lock:
            if origin not in self._robots:
                self._robots[origin] = self._read_robots(origin, url)
            rules = self._robots[origin]
        if isinstance(rules, Failure):
            raise rules
        if not rules.can_fetch(str(url), self._manners.agent):
            raise Failure("robots", f"{origin}/robots.txt does not allow it")
        self._wait_for_turn(url.netloc.decode("ascii"))

    def _read_robots(self, origin: str, url: httpx2.URL) -> Any:
        """Return the rules of a host's robots.txt, or the Failure of reading it."""
        from protego import Protego

        host = url.netloc.decode("ascii")
        try:
            text = self._robots_text(self._web, origin)
        except Failure as failure:
            return failure
        rules = Protego.parse(text)
        if delay_s := rules.crawl_delay(self._manners.agent):
            self._pause_s[host] = min(float(delay_s), _MAX_CRAWL_DELAY_S)
        return rules

    def _robots_text(self, web: Web, origin: str) -> str:
        def turn(hop: httpx2.URL) -> None:
            self._wait_for_turn(hop.netloc.decode("ascii"))

        with web.opened(f"{origin}/robots.txt", {}, _ROBOTS.max_s, turn) as response:
            if response.status >= 500:
                raise Failure("robots_unknown", f"{origin}/robots.txt: HTTP {response.status}", "passing")
            if response.status != 200:
                return ""
            data = b""
            for piece in response.iter_stream():
                data += piece
                if len(data) >= _ROBOTS.max_bytes:  # RFC 9309 lets a reader stop here
                    break
            return data[: _ROBOTS.max_bytes].decode("utf-8", "replace")

    def _wait_for_turn(self, host: str) -> None:
        with self._lock:
            now = time.monotonic()
            turn = max(now, self._next_at.get(host, 0.0))
            self._next_at[host] = turn + max(self._manners.pause_s, self._pause_s.get(host, 0.0))
        if self._is_over.wait(turn - now):
            raise Failure("cut_off", "the fetching was ended", "passing")

    def _hold(self, host: str, wait_s: float) -> None:
        with self._lock:
            self._next_at[host] = max(self._next_at.get(host, 0.0), time.monotonic() + wait_s)

    def _network_works(self) -> bool:
        """Check whether hosts that answered before still do."""
        good = [origin for origin, rules in self._robots.items() if not isinstance(rules, Failure)]
        web = Web(self._manners.agent, self._allowed)  # whose connections are new ones
        try:
            for origin in list(dict.fromkeys((*reversed(good), *self._known_good)))[:_PROBES]:
                try:
                    self._robots_text(web, origin)
                except Failure as failure:
                    if failure.kind != "unreachable":
                        return True
                else:
                    return True
        finally:
            web.close()
        return False


def _result_of(future: Future[Held]) -> Held | Failure:
    try:
        return future.result()
    except Failure as failure:
        return failure


def _down(lost: Sequence[tuple[Job, Failure]]) -> NetworkDown:
    (job, failure), hosts = lost[0], len({job.host for job, _ in lost})
    return NetworkDown(
        f"no host can be reached: {len(lost)} addresses at {hosts} hosts, the first {job.name} ({failure.detail}). "
        "Check the network of this machine, then run again; fetched files are kept. If the network works, "
        "these hosts are gone: remove their addresses from the list"
    )
