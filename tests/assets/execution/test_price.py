"""What a plan costs by the versions in a store; and what docs/scaling.md projects for the paper."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.plan import make_plan
from spelangy_assets.execution.price import Price, compared, overhead_of, price_of, projected, wall_time
from spelangy_assets.execution.status import status_of
from spelangy_assets.execution.targets import Target
from spelangy_assets.store.artifacts import ArtifactStore

PROJECT = Path(__file__).resolve().parents[3]
REPORT = {"cpu_s": 30.0, "stages_cpu_s": 20.0, "wall_s": 12.0, "assets": {"a": {"computed": 4}, "b": {"computed": 1}}}


def planned(store: ArtifactStore, *nodes: Any, reports: Any = (), workers: int = 1) -> Price:
    graph = Graph("recipe", list(nodes))
    statuses = status_of(store, graph, {}, lambda node, partition: None)
    return price_of(make_plan(graph, statuses), graph, statuses, store.versions(), reports, workers)


def test_what_is_there_costs_nothing(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    price = planned(store, toys.node())
    assert price.costs == {}
    assert price.cpu_s == price.wall_s == 0


def test_a_dataset_costs_what_the_version_of_its_stage_with_the_nearest_config_did(store: ArtifactStore, toys: Any):
    small = toys.build(store, toys.node(config=toys.Config(((1.0,),)))).artifact.manifest
    large = toys.build(store, toys.node("other", config=toys.Config(((1.0, 2.0), (3.0, 4.0))))).artifact.manifest
    price = planned(store, toys.node("new", config=toys.Config(((1.0, 2.0), (3.0, 5.0)))))
    (cost,) = price.costs.values()
    assert cost.basis == "recipe/other"
    assert cost.cpu_s == large.cpu_seconds
    assert cost.bytes == sum(shard.bytes for shard in large.shards) > sum(shard.bytes for shard in small.shards)


def test_a_cost_grows_with_the_bytes_that_are_read(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    done = toys.build(store, toys.reader("reader", "source"), toys.node()).artifact.manifest
    big = toys.node("big", config=toys.Config((tuple(float(number) for number in range(20_000)),)))
    read = sum(shard.bytes for shard in toys.build(store, big).artifact.manifest.shards)
    before = sum(shard.bytes for shard in store.resolve(toys.address()).manifest.shards)
    price = planned(store, big, toys.reader("big_reader", "big"))
    (cost,) = price.costs.values()
    assert cost.scale == pytest.approx(read / before)
    assert cost.cpu_s == pytest.approx(done.cpu_seconds * read / before)


def test_what_waits_for_what_is_made_is_priced_by_the_bytes_that_it_would_read(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    toys.build(store, toys.reader("reader", "source"), toys.node())
    price = planned(store, toys.node("a", config=toys.Config(((7.0,),))), toys.reader("b", "a"))
    assert set(price.costs) == {("a", None), ("b", None)}
    assert price.costs["b", None].scale == pytest.approx(1.0)  # "a" is taken to be as large as its stage's one version


def test_a_stage_that_made_nothing_yet_is_named_and_not_counted(store: ArtifactStore, toys: Any):
    price = planned(store, toys.node())
    assert price.unknown == (("source", None),)
    assert any(line.startswith("cost            not known: ") for line in price.lines())
    assert not any("0 s" in line for line in price.lines())
    assert "source" in "\n".join(price.lines())


def test_the_time_around_stages_is_that_of_past_runs(store: ArtifactStore, toys: Any):
    assert overhead_of([REPORT]) == 2.0
    assert overhead_of([]) == 0.0
    toys.build(store, toys.node())
    price = planned(store, toys.node(config=toys.Config(((9.0,),))), reports=[REPORT])
    assert price.as_json()["overhead_cpu_s"] == 2.0


def test_workers_share_what_does_not_wait(toys: Any):
    graph = Graph(
        "recipe", [toys.node("a"), toys.node("b"), toys.reader("c", "a"), toys.reader("d", "b"), toys.reader("e", "a")]
    )
    took: dict[Target, float] = {("a", None): 3, ("b", None): 2, ("c", None): 4, ("d", None): 1, ("e", None): 1}
    assert wall_time(graph, took, 1) == 11
    assert wall_time(graph, took, 2) == 7  # a, then c: the longest chain
    assert wall_time(graph, took, 5) == 7


def test_a_plan_beside_what_was_spent(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    price = planned(store, toys.node(config=toys.Config(((9.0,),))))
    table = compared(price, REPORT)
    assert table[0].split() == ["planned", "spent", "ratio"]
    assert table[1].split()[-2] == "5.0"


def test_the_paper_is_priced_by_the_rates_of_the_document():
    spec = importlib.util.spec_from_file_location("projected_rates", PROJECT / "tools" / "projected_rates.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    assert tool.TARGET.read_text() == tool.as_text()
    web = json.loads(tool.TARGET.read_text())["parts"][0]
    assert f"{web['hours'] * web['cpu_s_an_hour'] / 3600:,.0f}" in "\n".join(projected("paper"))
    assert projected("sample") == []
