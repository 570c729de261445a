"""What is there needs no step: Dagster calls it up to date, with its counts and checks."""

from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Node
from spelangy_assets.orchestration.event_log import record_present, recorded_version
from spelangy_assets.orchestration.keys import asset_key

DAYS = ["mon", "tue"]


def chain(toys: Any) -> list[Node]:
    """A crawl, what reads it at each snapshot, the roll-up of both and what reads that."""
    crawl = toys.node("crawl", partition="audio_snapshot")
    reader = toys.reader("reader", "crawl", partition="audio_snapshot")
    return [
        crawl,
        reader,
        toys.roll_up("corpus", *(("reader", day) for day in DAYS)),
        toys.reader("mix", "corpus", toys.sum_members),
    ]


def places(nodes: list[Node]) -> list[tuple[str, str | None]]:
    return [(node.name, day) for node in nodes for day in (DAYS if node.partition else [None])]


@pytest.fixture
def nodes(bench: Any, toys: Any) -> list[Node]:
    """The chain, published by another way than Dagster."""
    nodes = chain(toys)
    bench.instance.add_dynamic_partitions("recipe_audio_snapshot", DAYS)
    graph = bench.graph(*nodes)
    for name, day in places(nodes):
        build(bench.store, graph, graph[name], day, bench.installation.execution())
    return nodes


def says(bench: Any, nodes: list[Node], place: tuple[str, str | None]) -> str:
    definitions = dg.Definitions(bench.assets(*nodes), resources={"installation": bench.installation})
    resolver = CachingStaleStatusResolver(
        bench.instance, definitions.resolve_asset_graph(), LoadingContextForTest(bench.instance)
    )
    return resolver.get_status(asset_key("recipe", place[0]), place[1]).name


def test_what_is_recorded_looks_up_to_date_and_then_nothing_is_recorded_again(bench: Any, nodes: list[Node]) -> None:
    graph = bench.graph(*nodes)
    assert {says(bench, nodes, place) for place in places(nodes)} == {"MISSING"}
    for place in places(nodes):
        _, built = record_present(bench.instance, bench.installation, graph, place)
        assert built.cached
        assert recorded_version(bench.instance, "recipe", place) == built.artifact.data_version
    assert {says(bench, nodes, place) for place in places(nodes)} == {"FRESH"}
    before = events(bench)
    for place in places(nodes):
        record_present(bench.instance, bench.installation, graph, place)
    assert events(bench) == before


def events(bench: Any) -> int:
    kinds = (dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    return sum(len(bench.instance.get_event_records(dg.EventRecordsFilter(kind))) for kind in kinds)


def test_the_checks_of_what_is_recorded_say_how_they_came_out(bench: Any, nodes: list[Node]) -> None:
    record_present(bench.instance, bench.installation, bench.graph(*nodes), ("crawl", "mon"))
    check = dg.AssetCheckKey(asset_key("recipe", "crawl"), "contract")
    found = bench.instance.event_log_storage.get_latest_asset_check_execution_by_key([check])[check]
    evaluation = found.event.dagster_event.asset_check_evaluation_data
    assert evaluation.passed
    assert evaluation.blocking
    assert "expectations" in evaluation.metadata
