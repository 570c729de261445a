"""What the nightly repair runs, and in which order."""

from typing import Any

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.runs import repairs_of
from spelangy_assets.execution.status import Status


def status(asset: str, state: Any, partition: str | None = None) -> Status:
    return Status(asset, partition, state, f"{asset} is {state}", f"key of {asset}")


def planned(graph: Graph, *statuses: Status, kind: Any = "audio_snapshot", **more: Any) -> list[tuple]:
    return [(one.partition, *one.assets) for one in repairs_of(graph, list(statuses), kind, 99, **more)]


def snapshots(toys: Any) -> Graph:
    audio = {"partition": "audio_snapshot"}
    return Graph(
        "recipe",
        [
            toys.node("tokenizer"),
            toys.node("raw", **audio),
            toys.reader("words", "raw", cost="heavy", **audio),
            toys.node("tokens", inputs={"above": "words", "tokenizer": "tokenizer"}, **audio),
            toys.node("pages", partition="page_snapshot"),
            toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue")),
        ],
    )


def test_stale_comes_before_missing_and_much_work_before_little(toys: Any):
    graph = snapshots(toys)
    assert planned(
        graph,
        status("raw", "missing", "mon"),
        status("raw", "fresh", "tue"),
        status("words", "waiting", "mon"),
        status("words", "missing", "tue"),
        status("raw", "stale", "wed"),
    ) == [("wed", "raw"), ("mon", "raw", "words"), ("tue", "words")]


def test_what_waits_for_something_outside_of_the_run_waits_for_another_night(toys: Any):
    graph = snapshots(toys)
    statuses = [
        status("tokenizer", "stale"),
        status("raw", "missing", "mon"),
        status("words", "waiting", "mon"),
        status("tokens", "waiting", "mon"),
    ]
    assert planned(graph, *statuses) == [("mon", "raw", "words")]
    assert planned(graph, *statuses, kind=None) == [(None, "tokenizer")]
    statuses[0] = status("tokenizer", "fresh")
    assert planned(graph, *statuses) == [("mon", "raw", "words", "tokens")]


def test_below_a_failed_contract_nothing_is_run(toys: Any):
    graph = snapshots(toys)
    assert planned(graph, status("raw", "failed", "mon"), status("words", "waiting", "mon")) == []


def test_a_source_that_cannot_be_read_is_not_run(toys: Any):
    assert planned(snapshots(toys), status("raw", "waiting", "mon")) == []


def test_snapshots_of_the_same_name_but_another_kind_are_other_runs(toys: Any):
    graph = snapshots(toys)
    statuses = [status("raw", "missing", "mon"), status("pages", "missing", "mon")]
    assert planned(graph, *statuses) == [("mon", "raw")]
    assert planned(graph, *statuses, kind="page_snapshot") == [("mon", "pages")]


def test_a_busy_partition_is_left_alone(toys: Any):
    statuses = [status("raw", "missing", "mon"), status("raw", "missing", "tue")]
    assert planned(snapshots(toys), *statuses, busy={"mon"}) == [("tue", "raw")]


def test_a_plan_says_why_and_keeps_its_key_as_long_as_the_work_is_the_same(toys: Any):
    graph = snapshots(toys)
    statuses = [status("raw", "missing", "mon"), status("words", "waiting", "mon")]
    (first,), (second,) = (repairs_of(graph, statuses, "audio_snapshot", 1) for _ in range(2))
    assert (first.state, first.why) == ("missing", "raw: raw is missing")
    assert first.key == second.key
    (less,) = repairs_of(graph, statuses[:1], "audio_snapshot", 1)
    assert less.key != first.key
    assert repairs_of(graph, statuses, "audio_snapshot", 0) == []
