from typing import Any

import pytest

from spelangy_assets.execution.graph import Graph, GraphError


def test_nodes_come_in_order_and_know_their_relatives(toys: Any):
    source = toys.node("audio", partition="audio_snapshot")
    chunks = toys.reader("chunks", "audio", partition="audio_snapshot")
    corpus = toys.roll_up("corpus", ("chunks", "mon"), ("chunks", "tue"))
    mix = toys.reader("mix", "corpus")
    other = toys.node("other")
    graph = Graph("recipe", [source, chunks, corpus, mix, other])
    assert [node.name for node in graph] == ["audio", "chunks", "corpus", "mix", "other"]
    assert len(graph) == 5
    assert "mix" in graph
    assert "none" not in graph
    assert graph["corpus"].parents == ("chunks",)
    assert [node.name for node in graph.children("chunks")] == ["corpus"]
    assert graph.descendants("audio") == {"chunks", "corpus", "mix"}
    assert graph.descendants("mix") == set()


def test_a_node_that_reads_one_parent_twice_has_it_once(toys: Any):
    node = toys.node("twice", inputs={"left": "source", "right": "source"})
    assert Graph("recipe", [toys.node(), node])["twice"].parents == ("source",)


def test_two_nodes_of_one_name_are_refused(toys: Any):
    with pytest.raises(GraphError, match="two nodes are called 'source'"):
        Graph("recipe", [toys.node(), toys.node()])


@pytest.mark.parametrize("order", [("reader", "source"), ("reader",)])
def test_a_parent_stands_above_its_child(toys: Any, order: tuple[str, ...]):
    nodes = {"reader": toys.reader("reader", "source"), "source": toys.node()}
    with pytest.raises(GraphError, match=r"recipe/reader: input 'source' is not a node above it"):
        Graph("recipe", [nodes[name] for name in order])


def test_a_node_does_not_read_itself(toys: Any):
    with pytest.raises(GraphError):
        Graph("recipe", [toys.reader("reader", "reader")])


@pytest.mark.parametrize("partition", [None, "page_snapshot"])
def test_another_partitioning_is_read_through_a_roll_up_only(toys: Any, partition: str | None):
    source = toys.node(partition="audio_snapshot")
    with pytest.raises(GraphError, match=r"recipe/reader: 'source' is partitioned by audio_snapshot.*roll-up"):
        Graph("recipe", [source, toys.reader("reader", "source", partition=partition)])
    Graph("recipe", [source, toys.reader("reader", "source", partition="audio_snapshot")])


def test_an_unpartitioned_parent_is_read_from_any_partition(toys: Any):
    reader = toys.reader("reader", "source", partition="page_snapshot")
    assert Graph("recipe", [toys.node(), reader])["reader"].parents == ("source",)


@pytest.mark.parametrize(("kind", "partition"), [("audio_snapshot", None), (None, "mon")])
def test_a_member_is_named_with_its_partition(toys: Any, kind: str | None, partition: str | None):
    with pytest.raises(GraphError, match=r"recipe/corpus: member 'source' at partition"):
        Graph("recipe", [toys.node(partition=kind), toys.roll_up("corpus", ("source", partition))])
