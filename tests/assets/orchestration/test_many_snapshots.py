"""Beyond a hundred snapshots: what depends on all of them is stale or fresh exactly.

Dagster stops tracking the versions of a parent's partitions at a hundred; that law is held here too, so that a release
of Dagster that changes it is noticed.
"""

from typing import Any

import dagster as dg
import pytest

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.status import status_of
from spelangy_assets.orchestration.keys import asset_key

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

DAYS = [f"day-{number:03}" for number in range(120)]


def tokens(toys: Any, version: str = "1", changed: str = "") -> Node:
    """Return a partitioned node; at the partition `changed` it writes other rows than at the others."""

    def run(ctx: Any, config: Any) -> None:
        toys.write_toy(ctx, toys.Config(((9.0,),) if ctx.partition == changed else ((1.0, 2.0),)))

    stage = toys.make_stage(run, toys.tables, version, name="toy_stage")
    return toys.node("tokens", stage=stage, config=toys.NoConfig(), partition="audio_snapshot")


def below(toys: Any) -> list[Node]:
    return [toys.roll_up("corpus", *(("tokens", day) for day in DAYS)), toys.reader("mix", "corpus", toys.sum_members)]


def states(bench: Any, *nodes: Node) -> dict[str, tuple[str, str]]:
    partitions = {"audio_snapshot": DAYS, "page_snapshot": []}
    statuses = status_of(bench.store, bench.graph(*nodes), partitions, lambda node, partition: None)
    return {status.target: (status.state, status.why) for status in statuses}


def state_in_dagster(bench: Any, *nodes: Node) -> str:
    """Return Dagster's own word on the mix."""
    definitions = dg.Definitions(bench.assets(*nodes), resources={"installation": bench.installation})
    return stale_status(bench.instance, definitions, asset_key("recipe", "mix"))


def stale_status(instance: dg.DagsterInstance, definitions: dg.Definitions, key: dg.AssetKey) -> str:
    """Return what Dagster's UI would show of an asset; there is no public call for it."""
    from dagster._core.definitions.data_version import CachingStaleStatusResolver
    from dagster._core.loader import LoadingContextForTest

    graph = definitions.resolve_asset_graph()
    return CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance)).get_status(key).name


def test_of_120_snapshots_each_change_is_reported_and_no_other(bench: Any, toys: Any):
    nodes = [tokens(toys), *below(toys)]
    bench.instance.add_dynamic_partitions("recipe_audio_snapshot", DAYS)
    for day in DAYS:
        bench.materialize(*nodes, only="tokens", partition=day)
    for name in ("corpus", "mix"):
        bench.materialize(*nodes, only=name)
    assert {state for state, _ in states(bench, *nodes).values()} == {"fresh"}
    assert state_in_dagster(bench, *nodes) == "FRESH"

    # Other code that gives the same bytes: 120 children are built again, the mix is not touched.
    same = [tokens(toys, "2"), *below(toys)]
    assert states(bench, *same)["tokens[day-119]"] == ("stale", "code toy_stage v1 -> toy_stage v2")
    for day in DAYS:
        toys.build(bench.store, same[0], partition=day)
    bench.materialize(*same, only="corpus")
    assert states(bench, *same)["mix"] == ("fresh", "")
    assert state_in_dagster(bench, *same) == "FRESH"

    # One child of 120 gives other bytes, and it is far behind the hundredth.
    other = [tokens(toys, "3", changed="day-117"), *below(toys)]
    for day in DAYS:
        toys.build(bench.store, other[0], partition=day)
    bench.materialize(*other, only="tokens", partition="day-117")  # so that Dagster knows of it too
    assert states(bench, *other)["corpus"][0] == "stale"
    assert "tokens[day-117]" in states(bench, *other)["corpus"][1]
    assert state_in_dagster(bench, *other) == "FRESH"  # the law: it cannot see that the roll-up is out of date
    bench.materialize(*other, only="corpus")
    assert states(bench, *other)["mix"] == ("stale", "inputs: corpus")
    assert state_in_dagster(bench, *other) == "STALE"
    bench.materialize(*other, only="mix")
    assert states(bench, *other)["mix"] == ("fresh", "")
    values = {
        row["subject"]: row["value"] for row in bench.store.resolve(toys.address("mix")).table("metrics").to_pylist()
    }
    assert values["tokens/day-117"] == 9.0
    assert values["tokens/day-116"] == 3.0


@pytest.mark.parametrize(("parents", "word"), [(99, "STALE"), (100, "FRESH")])
def test_dagster_itself_loses_sight_at_a_hundred_partitions(parents: int, word: str):
    days = dg.StaticPartitionsDefinition(DAYS[:parents])

    @dg.asset(partitions_def=days)
    def child(context: dg.AssetExecutionContext) -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion(context.run.tags.get("version", "1")))

    @dg.asset(deps=[dg.AssetDep(child, partition_mapping=dg.AllPartitionMapping())])
    def mix() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("1"))

    assets = [child, mix]
    with dg.DagsterInstance.ephemeral() as instance:
        for day in DAYS[:parents]:
            dg.materialize(assets, selection=[child], partition_key=day, instance=instance)
        dg.materialize(assets, selection=[mix], instance=instance)
        dg.materialize(assets, selection=[child], partition_key=DAYS[1], instance=instance, tags={"version": "2"})
        assert stale_status(instance, dg.Definitions(assets), mix.key) == word
