"""Drift: a change since the snapshot before is reported, what chance explains is not, and nothing is blocked."""

import dataclasses
from typing import Any

import dagster as dg
import numpy as np
import pytest

from spelangy_assets.execution.build import Built
from spelangy_assets.orchestration.contract_check import check_results, check_specs
from spelangy_assets.quality.contracts import Bound, Contract, Drift
from spelangy_assets.quality.drift import compare
from spelangy_assets.quality.evaluate import ContractError
from spelangy_assets.store.artifacts import ArtifactStore

VALUES = Drift("value", "SELECT value FROM metrics", max_ratio=1.5)
CONTRACT = Contract("toy", "SELECT count(*) AS n FROM metrics", (Bound("n", 0),), (VALUES,))


def spread(mean: float, count: int = 300, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, count)


def findings(now: np.ndarray, before: np.ndarray, drift: Drift = VALUES) -> list[str]:
    row, bounds = compare(drift, now, before, "mon")
    return [b.column for b in bounds if not (b.low or 0) <= row[b.column] <= (b.high or np.inf)]


def test_equal_spreads_do_not_drift_and_moved_ones_do():
    assert findings(spread(10.0), spread(10.0, seed=1)) == []
    assert findings(spread(11.0), spread(10.0, seed=1)) == ["value: distance from mon beyond chance"]
    assert findings(spread(16.0), spread(10.0)) == ["value: distance from mon beyond chance", "value: mean against mon"]


def test_a_share_drifts_by_its_difference():
    kept = Drift("kept", "SELECT 1")
    half, most = np.arange(1000) % 2, np.arange(1000) % 10 > 0
    row, _ = compare(kept, most.astype(float), half.astype(float), "mon")
    assert row["kept: distance from mon beyond chance"] == pytest.approx(0.4 - 0.087, abs=0.002)


def test_small_snapshots_do_not_cry_wolf():
    assert all(findings(spread(10.0, 15, seed), spread(10.0, 12, seed + 1000)) == [] for seed in range(200))
    assert findings(spread(15.0, 15), spread(10.0, 12)) != []


def test_nothing_is_compared_with_nothing_and_zero_with_zero_is_no_drift():
    assert compare(VALUES, np.array([]), spread(1.0), "mon") == ({}, [])
    assert findings(np.zeros(9), np.zeros(9)) == []


def built(toys: Any, store: ArtifactStore, partition: str | None, values: np.ndarray, contract: Contract) -> Built:
    config = toys.Config(units=(tuple(float(v) for v in values),))
    kind = "audio_snapshot" if partition else None
    return toys.build(store, toys.node(config=config, contract=contract, partition=kind), partition=partition)


def test_a_snapshot_is_held_against_the_one_before_by_name_and_a_drift_only_warns(toys: Any, store: ArtifactStore):
    first = built(toys, store, "2026-01", spread(10.0), CONTRACT)
    assert len(first.verdict.expectations) == 1  # nothing came before
    later = built(toys, store, "2026-03", spread(20.0, seed=1), CONTRACT)
    names = [item.name for item in later.verdict.failures()]
    assert later.verdict.passed
    assert [name.split(" in ")[0] for name in names] == [
        "value: distance from 2026-01 beyond chance",
        "value: mean against 2026-01",
    ]
    between = built(toys, store, "2026-02", spread(10.0, seed=2), CONTRACT)
    assert between.verdict.failures() == []
    assert len(between.verdict.expectations) == 3


def test_what_did_not_pass_its_contract_is_compared_with_nothing(toys: Any, store: ArtifactStore):
    broken = dataclasses.replace(CONTRACT, bounds=(Bound("n", 1000),))
    assert not built(toys, store, "2026-01", spread(10.0), broken).verdict.passed
    assert len(built(toys, store, "2026-02", spread(20.0), CONTRACT).verdict.expectations) == 1


def test_a_dataset_without_snapshots_has_nothing_to_drift_from(toys: Any, store: ArtifactStore):
    assert len(built(toys, store, None, spread(10.0), CONTRACT).verdict.expectations) == 1


def test_a_drift_is_a_warning_in_dagster(toys: Any, store: ArtifactStore):
    built(toys, store, "2026-01", spread(10.0), CONTRACT)
    verdict = built(toys, store, "2026-02", spread(20.0), CONTRACT).verdict
    key = dg.AssetKey("toy")
    assert [(spec.name, spec.blocking) for spec in check_specs(key, CONTRACT)] == [("contract", True), ("drift", False)]
    contract, drift = check_results(key, CONTRACT, verdict)
    assert (contract.passed, drift.passed, drift.severity) == (True, False, dg.AssetCheckSeverity.WARN)
    assert "value: distance from 2026-01" in (drift.description or "")


def test_a_drift_that_cannot_be_measured_is_reported_as_such(toys: Any, store: ArtifactStore):
    bad = dataclasses.replace(CONTRACT, drifts=(Drift("value", "SELECT nothing FROM metrics"),))
    built(toys, store, "2026-01", spread(10.0), CONTRACT)
    with pytest.raises(ContractError, match="drift value of toy"):
        built(toys, store, "2026-02", spread(10.0), bad)
