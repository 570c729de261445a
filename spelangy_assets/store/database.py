"""The DuckDB in memory that a process asks its questions of.

Put here: opening it. Do not put here: tables, views or queries (lineage.py, quality/evaluate.py). Views and temporary
tables belong to the connection that made them, and end with it.
"""

from __future__ import annotations

import atexit
import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import duckdb


def connect_in_memory() -> duckdb.DuckDBPyConnection:
    """Return a connection of its own to the database of this process; to open another one would take 25 ms."""
    return _database().cursor()


@functools.cache
def _database() -> duckdb.DuckDBPyConnection:
    import duckdb

    atexit.register(_database.cache_clear)  # what lives at the interpreter's end is reported as leaked
    return duckdb.connect()
