"""Many addresses: how many at once, how often a host is asked, what its robots.txt says, and what is asked again.

Put here: order and manners, and whose fault it is that nothing came. Do not put here: one address (download.py).

A round asks every address once. What may go better later is asked again in the next round. What no connection came
about for, or what broke off at last, is a failure of its address only when another host answers afterwards: else it is
the network here, which stops the run.
robots.txt is read as RFC 9309 says: what is not there allows all, a server that fails forbids all for now.
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
_PROGRESS_BYTES = 1 << 20  # a connection that breaks after so much is taken up again at once
_BROKEN = ("timeout", "cut_off")  # there was a connection, and the network here may have gone since
_UNREACHABLE_IN_A_ROW = 32  # then the network here is looked at
_PROBES = 3
_ROBOTS = Limits(max_bytes=500 << 10, max_s=60.0, types=("*",))
_MAX_CRAWL_DELAY_S = 60.0


class NetworkDown(InputError, ConnectionError):
    """Nothing can be reached from here. It is no fault of any address, and costs none."""


@dataclass(frozen=True)
class Job:
    """An address: its name without credentials, and what is asked with."""

    name: str
    address: str
    limits: Limits

    @property
    def host(self) -> str:
        return urlsplit(self.name).netloc.lower()


@dataclass(frozen=True)
class Manners:
    """How many connections there are, how many of them to one host, and the pause between two requests to it."""

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
    """Fetches jobs onto a shelf. `known_good` are origins that answered before: they tell whether the network works."""

    def __init__(self, shelf: Shelf, manners: Manners, allowed: Sequence[Network], known_good: Iterable[str] = ()):
        self._shelf, self._manners, self._allowed = shelf, manners, allowed
        self._known_good = dict.fromkeys(known_good)
        self._web = Web(manners.agent, allowed, manners.connections)
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._next_at: dict[str, float] = {}  # when a host may be asked again
        self._pause_s: dict[str, float] = {}  # of hosts that ask for a longer one
        self._robots: dict[str, Any] = {}  # by origin: what it says, or the Failure of reading it
        self._robots_locks: dict[str, threading.Lock] = collections.defaultdict(threading.Lock)

    def fetch(self, jobs: Iterable[Job], settle: Settle) -> None:
        """Fetch every job, and call `settle`, in this thread, with what came of each: once, at its end.

        Raises NetworkDown, and OSError of this machine; what was settled by then stays so.
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
            self._robots = {origin: told for origin, told in self._robots.items() if not isinstance(told, Failure)}
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
        """Ask every job once; return whether a host answered after the last one that did not."""
        line = _Line(jobs, self._manners.connections_per_host)
        running: dict[Future[Held], Job] = {}
        answered, in_a_row = False, 0
        # Threads end by themselves: `fetch` sets the event that each of them looks at.
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
        """Fetch one job in a thread of its own; a connection that broke far on is taken up again at once."""
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
            told = self._robots[origin]
        if isinstance(told, Failure):
            raise told
        if not told.can_fetch(str(url), self._manners.agent):
            raise Failure("robots", f"{origin}/robots.txt does not allow it")
        self._wait_for_turn(url.netloc.decode("ascii"))

    def _read_robots(self, origin: str, url: httpx2.URL) -> Any:
        """Return what a host says to robots, or the Failure of asking it."""
        from protego import Protego

        host = url.netloc.decode("ascii")
        try:
            text = self._robots_text(self._web, origin)
        except Failure as failure:
            return failure
        told = Protego.parse(text)
        if delay_s := told.crawl_delay(self._manners.agent):
            self._pause_s[host] = min(float(delay_s), _MAX_CRAWL_DELAY_S)
        return told

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
                if len(data) >= _ROBOTS.max_bytes:  # the rest of a longer one need not be read
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
        """Ask hosts that answered before whether they still do."""
        good = [origin for origin, told in self._robots.items() if not isinstance(told, Failure)]
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
        "Look whether this machine reaches the network, then run again; what was fetched stays. If it does, "
        "these hosts are gone: take their addresses out of the list"
    )
