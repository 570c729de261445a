"""The metrics of runs in the first table of a leaderboard, and those in the table of a benchmark.

Put here: the names of metrics by benchmark. Do not put here: measuring (stages/evaluate.py), or layout
(leaderboard_page.py).
"""

from __future__ import annotations

from collections.abc import Sequence

MEAN, TEXT_MEAN = "sqa.mean.accuracy", "text_qa.mean.accuracy"
GENERATED = ".generated."  # in the names of metrics of answers in words
NO_BENCHMARK = ("all", "mean", "accent", "voice", "answer", "generated")  # words in the place of a benchmark's name


def _benchmarks(names: Sequence[str]) -> list[str]:
    """Return the benchmarks that metrics name, in order."""
    found = [name.split(".")[1] for name in names if name.startswith("sqa.") and name.endswith(".accuracy")]
    return [one for one in dict.fromkeys(found) if one not in NO_BENCHMARK]


def columns_of_benchmarks(names: Sequence[str]) -> list[str]:
    """Return the columns of the first table: the mean and each of several benchmarks, or the splits of a single one."""
    benchmarks = _benchmarks(names)
    if len(benchmarks) > 1:
        return [MEAN, *(f"sqa.{benchmark}.accuracy" for benchmark in benchmarks), TEXT_MEAN]
    whole = {f"sqa.{benchmark}.accuracy" for benchmark in benchmarks}
    likelihood = (name for name in names if GENERATED not in name)
    return [name for name in likelihood if _benchmark_of(name, "sqa.") in benchmarks and name not in whole]


def whole_generated(names: Sequence[str]) -> list[str]:
    """Return the metrics of generated answers that the table of them shows: of all benchmarks, and of each the first.

    In the first table stands the first of these.
    """
    benchmarks = _benchmarks(names)
    wholes = ["mean", "all"] if len(benchmarks) > 1 else ["all", *benchmarks]
    first = [f"sqa.{one}{GENERATED}accuracy" for one in (wholes[0], *benchmarks)]
    of_wholes = [name for whole in wholes for name in names if GENERATED in name and name.split(".")[1] == whole]
    return [*(name for name in first if name in names), *(name for name in of_wholes if name not in first)]


def tables_of_benchmarks(names: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Return for each of several benchmarks the metrics of its own table; none where there is one benchmark alone."""
    benchmarks = _benchmarks(names)
    if len(benchmarks) < 2:
        return []
    kinds = ("sqa.", "text_qa.", "gap.")
    return [
        (one, list(dict.fromkeys(name for kind in kinds for name in names if _benchmark_of(name, kind) == one)))
        for one in benchmarks
    ]


def _benchmark_of(name: str, kind: str) -> str:
    parts = name.split(".")
    return parts[1] if name.startswith(kind) and len(parts) > 2 else ""
