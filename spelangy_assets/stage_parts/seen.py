"""Digests of the items that a snapshot has read, on disk: finds exact duplicates in constant memory.

Put here: storing digests, across units and kills. Do not put here: the digested content. The digests of a unit are on
the disk before its receipt is written, so that a rerun neither forgets them nor mistakes a unit that is done again for
its own duplicate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

_CACHE_KB = 65_536


class Seen:
    """Digests by the unit that brought them first."""

    def __init__(self, connection: sqlite3.Connection):
        self._connection = connection

    def is_new(self, digest: str, unit: int) -> bool:
        """Remember a digest (hexadecimal); whether it was not there before."""
        row = (bytes.fromhex(digest[:32]), unit)
        return self._connection.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", row).rowcount == 1

    def keep(self, unit: int) -> None:
        """Write a unit's new digests to the disk: call it before the unit's receipt is written."""
        self._connection.execute("INSERT OR IGNORE INTO units VALUES (?)", (unit,))
        self._connection.commit()

    def missing(self, units: Collection[int]) -> list[int]:
        """Return those of the units whose digests are not here, in order."""
        known = {unit for (unit,) in self._connection.execute("SELECT unit FROM units")}
        return sorted(set(units) - known)


@contextmanager
def open_seen(folder: Path, is_done: Callable[[int], bool]) -> Iterator[Seen]:
    """Open the digests of a scratch folder; those of units that are not done are taken away."""
    with closing(sqlite3.connect(folder / "seen.sqlite")) as connection:
        connection.execute(f"PRAGMA cache_size = -{_CACHE_KB}")
        connection.execute("CREATE TABLE IF NOT EXISTS seen (digest BLOB PRIMARY KEY, unit INTEGER) WITHOUT ROWID")
        connection.execute("CREATE TABLE IF NOT EXISTS units (unit INTEGER PRIMARY KEY)")
        for unit in [unit for (unit,) in connection.execute("SELECT unit FROM units") if not is_done(unit)]:
            connection.execute("DELETE FROM seen WHERE unit = ?", (unit,))
            connection.execute("DELETE FROM units WHERE unit = ?", (unit,))
        connection.commit()
        yield Seen(connection)
