"""Leases: which versions running builds write and read, so that the garbage collector leaves them alone.

Put here: the lease of one build, and the reading of all of them. Do not put here: what follows from a lease
(garbage.py). A build takes its lease before it looks at what it reads, the garbage collector looks at the leases after
it took a version's commit mark away and before it deletes the data: of the two, one sees the other. A killed build's
lease runs out by itself.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import platform
import threading
from collections.abc import Iterable, Iterator
from typing import Any

from spelangy_assets.store.files import Files, unique

FOLDER = "leases"
RENEWED_EVERY_S = 20.0
# Much more than a renewal: a request to a bad service may take a minute, and clocks of machines differ.
EXPIRES_AFTER = datetime.timedelta(minutes=5)

Held = tuple[str, str]  # an address' path and a build key


class LeaseError(Exception):
    """A lease that cannot be read: whether a build runs is not known."""


@contextlib.contextmanager
def lease(files: Files, build: str, held: Iterable[Held]) -> Iterator[None]:
    """Hold versions while the block runs; `build` describes the build that works on them."""
    path = f"{FOLDER}/{unique()}.json"
    facts: dict[str, Any] = {
        "build": build,
        "host": platform.node(),
        "process": os.getpid(),
        "holds": sorted({tuple(one) for one in held}),
    }

    def renew() -> None:
        files.replace(path, json.dumps({**facts, "renewed_at": _now().isoformat()}).encode())

    ended = threading.Event()

    def keep() -> None:
        while not ended.wait(RENEWED_EVERY_S):
            with contextlib.suppress(OSError):  # the next renewal comes long before the lease runs out
                renew()

    renew()
    keeper = threading.Thread(target=keep, name="lease", daemon=True)
    keeper.start()
    try:
        yield
    finally:
        ended.set()
        keeper.join()
        with contextlib.suppress(OSError):  # it runs out by itself
            files.delete_file(path)


def held_by_builds(files: Files) -> set[Held]:
    """Return the versions that running builds hold. LeaseError for a lease that cannot be read."""
    held: set[Held] = set()
    for path in _paths(files):
        text = files.read_if_there(path)
        if text is None:
            continue  # the build has ended
        found = _read(files, path, text)
        if not _expired(found):
            held |= {(address, build_key) for address, build_key in found["holds"]}
    return held


def delete_expired(files: Files) -> None:
    """Delete the leases of builds that were killed."""
    for path in _paths(files):
        text = files.read_if_there(path)
        if text is not None and _expired(_read(files, path, text)):
            files.delete_file(path)


def _paths(files: Files) -> list[str]:
    return [
        f"{FOLDER}/{name}"
        for name, is_folder in files.names(FOLDER)
        if not is_folder and name.endswith(".json") and not name.startswith(".")
    ]


def _read(files: Files, path: str, text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
        _ = [(str(address), str(build_key)) for address, build_key in found["holds"]]
        datetime.datetime.fromisoformat(found["renewed_at"])
    except (ValueError, TypeError, KeyError) as error:
        raise LeaseError(
            f"{files.uri}/{path} is no lease that can be read ({error}); delete it when no build is running"
        ) from error
    return found


def _expired(found: dict[str, Any]) -> bool:
    return _now() - datetime.datetime.fromisoformat(found["renewed_at"]) > EXPIRES_AFTER


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)
