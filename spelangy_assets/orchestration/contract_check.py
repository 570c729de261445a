"""The one bridge contract -> asset check: a blocking check for structure, a warning check for drift.

Put here: reporting a verdict to Dagster. Do not put here: evaluation. The check reports the verdict stored with the
artifact, so that the page, the read guard and the file always agree.
"""

from collections.abc import Iterator

import dagster as dg

from spelangy_assets.orchestration.tables import table
from spelangy_assets.quality.contracts import Contract
from spelangy_assets.report.markdown import markdown_text
from spelangy_assets.store.manifest import Severity, Verdict

_NAMES: dict[Severity, str] = {"block": "contract", "warn": "drift"}
_SEVERITIES: dict[Severity, dg.AssetCheckSeverity] = {
    "block": dg.AssetCheckSeverity.ERROR,
    "warn": dg.AssetCheckSeverity.WARN,
}


def check_specs(key: dg.AssetKey, contract: Contract) -> list[dg.AssetCheckSpec]:
    """Return the blocking check, always there (an expectation that errors blocks), and the warning one if needed."""
    severities = {"block", *(bound.severity for bound in contract.bounds), *("warn" for _ in contract.drifts)}
    return [
        dg.AssetCheckSpec(
            name=name,
            asset=key,
            blocking=severity == "block",
            description=f"Great Expectations suite {contract.name!r}, expectations that {severity}",
        )
        for severity, name in _NAMES.items()
        if severity in severities
    ]


def check_results(key: dg.AssetKey, contract: Contract, verdict: Verdict) -> Iterator[dg.AssetCheckResult]:
    for spec in check_specs(key, contract):
        severity: Severity = "block" if spec.blocking else "warn"
        # An expectation that could not be evaluated blocks, whatever its severity.
        mine = [item for item in verdict.expectations if item.severity == severity or (item.error and spec.blocking)]
        failed = "; ".join(f"{item.name}: {item.observed}" for item in mine if not item.success)
        overruled = verdict.overruled if spec.blocking else None
        description = f"overruled by {overruled.by}: {overruled.reason}; {failed}" if overruled else failed
        yield dg.AssetCheckResult(
            check_name=spec.name,
            asset_key=key,
            passed=all(item.success for item in mine),
            # The check still has not passed, so automation skips its descendants; but a warning blocks no run.
            severity=dg.AssetCheckSeverity.WARN if overruled else _SEVERITIES[severity],
            description=markdown_text(description) if description else None,
            metadata={
                "expectations": table(
                    [
                        {
                            "expectation": item.name,
                            "observed": item.observed,
                            "outcome": item.error or ("passed" if item.success else "failed"),
                        }
                        for item in mine
                    ],
                    dict.fromkeys(("expectation", "observed", "outcome"), "string"),
                ),
                "contract_fingerprint": verdict.contract_fingerprint[:16],
                "evaluated_at": verdict.evaluated_at,
            },
        )
