"""What a dataset can promise: one row of aggregates in SQL, and bounds on them.

Put here: what a contract is made of. Do not put here: a dataset's own contract, which stands in its stage module beside
its other facts, or how contracts are evaluated (evaluate.py).

The SQL sees each table of the artifact as a view of its name, and the views `counts(records_in, records_kept,
records_dropped)`, `drops(reason, records)` and `stats(name, value)` of its manifest. A view `TABLE_audio(audio_bytes)`
says how large the sound of each row of a TABLE is; never ask for `audio.bytes` itself, which would read hours of sound
into memory. `block`: the dataset is broken (structure) and nothing may read it. `warn`: it is unusual (drift) and a
person should look.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.store.manifest import Severity, Verdict


@dataclass(frozen=True)
class Bound:
    """The range in which a column of the aggregate row must lie; None leaves a side open."""

    column: str
    low: float | None = None
    high: float | None = None
    severity: Severity = "block"


@dataclass(frozen=True)
class Drift:
    """Values that are to be spread as they were in the snapshot before; a warning where they are not.

    `sql` yields one column, a value a record (0 or 1 for a share). `max_distance`: of the two distributions, beyond
    what chance explains (see drift.py). `max_ratio`: of the means, either way; None where a mean says nothing.
    """

    name: str
    sql: str
    max_distance: float = 0.1
    max_ratio: float | None = None


@dataclass(frozen=True)
class Contract:
    """A dataset's promise. `sql` yields exactly one row; every bound names one of its columns.

    `drifts` are held against the published version of the snapshot before, by name; the first one has none.
    """

    name: str
    sql: str
    bounds: tuple[Bound, ...]
    drifts: tuple[Drift, ...] = ()


# What earlier versions dropped when a language model's service was away or refused them all. A stage that meets this
# now ends instead; what a server refuses of one page has reasons of its own.
LOST_TO_A_SERVICE = "lost_to_a_service"


def lost_to_a_service(verdict: Verdict | None) -> bool:
    """Whether a version failed because a service's bad hour took records from it: the same work again mends it."""
    if verdict is None or verdict.accepted:
        return False
    return any(item.name.startswith(f"{LOST_TO_A_SERVICE} ") for item in verdict.failures())


def exactly(column: str, value: float = 0) -> Bound:
    """Return the blocking bound of a column that has one value alone."""
    return Bound(column, value, value)


def stat(name: str, missing: str = "0") -> str:
    """Return the SQL of a sum; `missing` stands for one that the stage never wrote, and must not read as a good one."""
    return f"(SELECT coalesce(sum(value), {missing}) FROM stats WHERE name = '{name}')"
