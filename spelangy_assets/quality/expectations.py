"""Great Expectations judges one row of numbers against bounds.

Put here: that library. Do not put here: how a contract's row is made (evaluate.py, which imports this module where it
judges: the library takes 4 CPU seconds to import).
"""

from __future__ import annotations

import math
from typing import Any

import great_expectations
import pandas as pd
from great_expectations.compatibility import pydantic
from great_expectations.data_context.types.base import ProgressBarsConfig

from spelangy_assets.quality.contracts import Bound
from spelangy_assets.store.manifest import Expectation

_gx: Any = great_expectations  # whose types name neither
_pydantic: Any = pydantic


class ExpectBound(_gx.expectations.ExpectColumnMaxToBeBetween):
    """The expectation of a bound, of the one row: ...ValuesToBeBetween takes thrice as long.

    Great Expectations asks for its configuration fifty times, made anew each time; it never changes.
    """

    _configuration: Any = _pydantic.PrivateAttr(None)

    @property
    def configuration(self) -> Any:
        if self._configuration is None:
            self._configuration = super().configuration
        return self._configuration


def _rows() -> Any:
    """Return the definition of batches of a frame."""
    context = _gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("aggregates").add_dataframe_asset("row")
    return asset.add_batch_definition_whole_dataframe("row")


_ROWS = _rows()  # of the one context of a process


def judged(name: str, row: dict[str, float], bounds: list[Bound]) -> list[Expectation]:
    """Return the outcome of bounds on an aggregate row."""
    suite = _gx.ExpectationSuite(
        name=name,
        expectations=[
            ExpectBound(
                column=bound.column,
                min_value=bound.low,
                max_value=bound.high,
                severity="critical" if bound.severity == "block" else "warning",
            )
            for bound in bounds
        ],
    )
    batch = _ROWS.get_batch(batch_parameters={"dataframe": pd.DataFrame([row])})
    outcome = batch.validate(suite, result_format="BOOLEAN_ONLY")
    results = {_key(**result.expectation_config.kwargs): result for result in outcome.results}
    return [_expectation(bound, row, results[_key(bound.column, bound.low, bound.high)]) for bound in bounds]


def _key(column: str, min_value: float | None = None, max_value: float | None = None, **_: Any) -> tuple[Any, ...]:
    return (column, min_value, max_value)  # a column may have a blocking bound and a narrower warning one


def _expectation(bound: Bound, row: dict[str, float], result: Any) -> Expectation:
    errors = [
        info["exception_message"]
        for info in _exception_infos(result.exception_info)
        if info.get("raised_exception") and info.get("exception_message")
    ]
    if math.isnan(row[bound.column]):  # Great Expectations passes over missing values, and so would pass
        errors.append(f"the contract's SQL gives no number for {bound.column}")
    low = "-inf" if bound.low is None else f"{bound.low:g}"
    high = "inf" if bound.high is None else f"{bound.high:g}"
    return Expectation(
        name=f"{bound.column} in [{low}, {high}]",
        severity=bound.severity,
        success=bool(result.success) and not errors,
        observed=f"{row[bound.column]:g}",
        error="; ".join(errors),
    )


def _exception_infos(info: Any) -> list[dict[str, Any]]:
    if not info:
        return []
    if "raised_exception" in info:
        return [info]
    return list(info.values())  # one entry a metric that raised
