"""Quality contracts of datasets: one row of aggregates in SQL, and bounds on them.

Put here: the parts of a contract. Do not put here: a dataset's own contract, which is in its stage module, or the
evaluation of contracts (evaluate.py).

The SQL sees each table of the artifact as a view of its name, and the views `counts(records_in, records_kept,
records_dropped)`, `drops(reason, records)` and `stats(name, value)` of its manifest. A view `TABLE_audio(audio_bytes)`
gives the size of each row's audio in a TABLE; never select `audio.bytes` itself, which would read hours of audio into
memory. `block`: the dataset is broken (structure) and no stage may read it. `warn`: it is unusual (drift) and a person
should look at it.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.store.manifest import Severity, Verdict


@dataclass(frozen=True)
class Bound:
    """The range of values that a column of the aggregate row may have; None leaves a side open."""

    column: str
    low: float | None = None
    high: float | None = None
    severity: Severity = "block"


@dataclass(frozen=True)
class Drift:
    """Values whose distribution must be that of the previous snapshot; a warning where it is not.

    `sql` yields one column, a value a record (0 or 1 for a share). `max_distance`: of the two distributions, beyond
    what chance explains (see drift.py). `max_ratio`: of the means, either way; None where a mean is not meaningful.
    """

    name: str
    sql: str
    max_distance: float = 0.1
    max_ratio: float | None = None


@dataclass(frozen=True)
class Contract:
    """A dataset's promise. `sql` yields exactly one row; every bound names one of its columns.

    `drifts` compare with the published version of the previous snapshot, by name; the first snapshot has none.
    """

    name: str
    sql: str
    bounds: tuple[Bound, ...]
    drifts: tuple[Drift, ...] = ()


# Records that earlier versions dropped when a language model's service was down or refused every request. A stage now
# ends with an error instead; a refusal of a single page has its own drop reasons.
LOST_TO_A_SERVICE = "lost_to_a_service"


def lost_to_a_service(verdict: Verdict | None) -> bool:
    """Whether a version failed because it lost records while a service was down: building it again repairs it."""
    if verdict is None or verdict.accepted:
        return False
    return any(item.name.startswith(f"{LOST_TO_A_SERVICE} ") for item in verdict.failures())


def exactly(column: str, value: float = 0) -> Bound:
    """Return the blocking bound of a column that has one value alone."""
    return Bound(column, value, value)


def stat(name: str, missing: str = "0") -> str:
    """Return the SQL of a sum. `missing` is its value where the stage wrote none; choose one that fails the bound."""
    return f"(SELECT coalesce(sum(value), {missing}) FROM stats WHERE name = '{name}')"
