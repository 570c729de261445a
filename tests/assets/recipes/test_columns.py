"""The lineage of columns: told of columns that there are, from columns that there are."""

from dataclasses import replace

import pytest

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.columns import COLUMNS_FROM, column_lineage, columns_of
from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stages import adopt_chunks

GRAPH = SAMPLE.graph
ADOPTING = assemble(
    replace(
        SAMPLE,
        adopted_speech=adopt_chunks.Config(),
        corpora={**SAMPLE.corpora, "adopted": SAMPLE.corpora["web_fine"]},
    )
)


@pytest.mark.parametrize("graph", [GRAPH, PAPER.graph, ADOPTING], ids=["sample", "paper", "adopting"])
def test_every_column_and_every_source_of_it_is_there(graph: Graph) -> None:
    told = set()
    for node in graph:
        stage = node.stage.__name__.rsplit(".", 1)[-1]
        if stage not in COLUMNS_FROM:
            continue
        told.add(stage)
        lineage = column_lineage(graph, node)
        assert lineage.keys() <= set(columns_of(node)), node.name
        for column, places in COLUMNS_FROM[stage].items():
            assert lineage[column], f"{node.name}.{column} comes from nothing"
            for place in places:
                role, _, name = place.partition(".")
                if role != "*":
                    assert name in columns_of(graph[node.inputs[role]]), f"{node.name}.{column} <- {place}"
    assert set(COLUMNS_FROM) - told <= {"adopt_chunks"}, "a stage that no recipe has"
    if graph is ADOPTING:
        assert told == set(COLUMNS_FROM)


def test_a_licence_can_be_followed_from_a_token_set_to_the_crawl() -> None:
    asset, column, path = "quest_tokens", "licence", []
    while places := column_lineage(GRAPH, GRAPH[asset]).get(column):
        ((asset, column),) = places
        path.append(asset)
    assert path == ["quest_speech", "quest_pairs", "raw_pages"]


def test_the_rows_of_a_mix_come_from_the_token_sets_that_it_draws_on() -> None:
    lineage = column_lineage(GRAPH, GRAPH["mix_quest"])
    assert {asset for asset, _ in lineage["input_ids"]} == {
        *("web_fine_tokens", "krist_tokens", "quest_tokens", "text_tokens")
    }
    assert not [asset for asset, _ in lineage["spans"] if asset.endswith("_index")]  # they only leave out
