"""A failing contract at the three gates: the check, the automation, the read guard. And who may open them."""

import dataclasses
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.execution.status import status_of
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.store.artifacts import StoreError
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import OVERRULED_SQL


def failing(toys: Any) -> Any:
    return toys.node(contract=toys.make_contract(low=100))


def overrule(bench: Any, monkeypatch: pytest.MonkeyPatch, *more: str) -> int:
    monkeypatch.setenv("SPELANGY_HOME", str(bench.settings.home))
    monkeypatch.delenv("SPELANGY_STORE", raising=False)
    return main(["overrule", "source", "--recipe", "recipe", "--by", "A. Person", "--reason", "it is known", *more])


class Automation:
    """Ticks of the automation sensor over nodes; what it saw is remembered from tick to tick."""

    def __init__(self, bench: Any, *nodes: Any):
        self.instance, self.cursor = bench.instance, None
        self.definitions = dg.Definitions(assets=bench.assets(*nodes), resources={"installation": bench.installation})
        self.requested()

    def requested(self) -> int:
        result = dg.evaluate_automation_conditions(self.definitions, instance=self.instance, cursor=self.cursor)
        self.cursor = result.cursor
        return result.total_requested


def test_the_first_gate_is_the_blocking_check_in_the_run(bench: Any, toys: Any):
    result = bench.materialize(failing(toys), toys.reader("reader", "source"))
    assert not result.success and bench.materialized(result) == ["source"]


@pytest.mark.parametrize(("low", "requested"), [(100, 0), (1, 1)])
def test_the_second_gate_is_the_automation_condition(bench: Any, toys: Any, low: int, requested: int):
    source, reader = toys.node(contract=toys.make_contract(low=low)), toys.reader("reader", "source")
    automation = Automation(bench, source, reader)
    bench.materialize(source, reader, only="source")
    assert automation.requested() == requested


def test_the_third_gate_is_the_read_guard_of_any_other_run(bench: Any, toys: Any):
    source, reader = failing(toys), toys.reader("reader", "source")
    bench.materialize(source)
    result = bench.materialize(source, reader, only="reader")
    assert "did not pass its contract" in bench.failures(result)["reader"]


def test_a_person_opens_them_and_lineage_keeps_the_name_and_the_reason(
    bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    source, reader = failing(toys), toys.reader("reader", "source")
    assert not bench.materialize(source).success
    assert overrule(bench, monkeypatch) == 0
    assert "accepted although metrics in [100, inf]: 3" in capsys.readouterr().out

    # The check still says what failed, as a warning that names who answers for it; nothing is computed again.
    result = bench.materialize(source, reader)
    assert result.success and bench.metadata(result)["cached"]
    check = next(one for one in result.get_asset_check_evaluations() if one.asset_key == asset_key("recipe", "source"))
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert check.description == "`overruled by A. Person: it is known; metrics in [100, inf]: 3`"

    with connect(bench.store, "recipe") as connection:
        rows = query(connection, OVERRULED_SQL, artifact=published_id(bench.store, toys.address("reader")))
    identity = published_id(bench.store, toys.address("source"))
    assert rows == [{"id": identity, "overruled": "A. Person: it is known"}]
    statuses = status_of(bench.store, bench.graph(source, reader), {}, lambda node, partition: None)
    assert [status.state for status in statuses] == ["fresh", "fresh"]


def test_automation_keeps_away_from_what_is_below_an_overruled_version(
    bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    source, reader = failing(toys), toys.reader("reader", "source")
    automation = Automation(bench, source, reader)
    bench.materialize(source)
    overrule(bench, monkeypatch)
    assert bench.materialize(source, reader, only="source").success
    assert automation.requested() == 0


def test_the_decision_holds_for_one_version_and_one_contract(bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch):
    source = failing(toys)
    bench.materialize(source)
    overrule(bench, monkeypatch)
    stricter = dataclasses.replace(source, contract=toys.make_contract(low=200))
    assert not bench.materialize(stricter).success
    other = dataclasses.replace(source, config=toys.Config(((1.0,),)))
    assert not bench.materialize(other).success
    with pytest.raises(StoreError, match="contract"):
        bench.store.resolve(toys.address())


def test_an_overrule_without_a_failure_or_a_name_is_refused(bench: Any, toys: Any):
    with pytest.raises(StoreError, match="no version that failed"):
        bench.store.overrule(toys.address(), "A. Person", "why not")
    bench.materialize(toys.node())
    with pytest.raises(StoreError, match="no version that failed"):
        bench.store.overrule(toys.address(), "A. Person", "why not")
    bench.materialize(failing(toys))
    for by, reason in (("", "it is known"), ("A. Person", " ")):
        with pytest.raises(ValueError, match="name both"):
            bench.store.overrule(toys.address(), by, reason)


def test_a_verdict_without_the_field_is_read_as_not_overruled(bench: Any, toys: Any, tmp_path: Path):
    artifact = toys.build(bench.store, toys.node()).artifact
    (path,) = bench.store.files.local(artifact.path).glob("verdict-*.json")
    path.write_text(path.read_text().replace('"overruled": null,', ""))
    (verdict,) = bench.store.verdicts(artifact)
    assert verdict.overruled is None and verdict.accepted
