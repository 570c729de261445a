"""The lineage of columns: stated of columns that there are, from columns that there are."""

import pytest

from spelangy_assets import lab, stages
from spelangy_assets.execution.columns import column_lineage, columns_of
from spelangy_assets.execution.graph import Graph
from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.recipes.posttrain import POSTTRAIN
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stages import prefer_answers
from spelangy_model.text.llm import LanguageModel

GRAPH = SAMPLE.graph
AUDIO = lab.recordings({"elsewhere": lab.Arriving()})
PREFERRED = lab.Recipe(
    "preferred",
    prefer_answers.preferred_answers(
        POSTTRAIN["answers_tuned_quest"],
        POSTTRAIN["answers_tuned_fine"],
        POSTTRAIN["held_out_instructions_accepted"],
        prefer_answers.Config(LanguageModel("a-judge")),
    ),
).graph
ADOPTING = lab.Recipe("adopting", lab.adopted_chunks(AUDIO)).graph


@pytest.mark.parametrize(
    "graph", [GRAPH, PAPER.graph, PREFERRED, ADOPTING], ids=["sample", "paper", "preferred", "adopting"]
)
def test_every_column_and_every_source_of_it_is_there(graph: Graph) -> None:
    stated = [node for node in graph if node.stage.KIND.columns]
    assert stated
    for node in stated:
        lineage = column_lineage(graph, node)
        assert lineage.keys() <= set(columns_of(node)), node.name
        for column, places in node.stage.KIND.columns.items():
            assert lineage[column], f"{node.name}.{column} comes from nothing"
            for place in places:
                role, _, name = place.partition(".")
                if role != "*":
                    assert name in columns_of(graph[node.inputs[role]]), f"{node.name}.{column} <- {place}"


def test_every_stage_that_states_columns_is_tested() -> None:
    tested = {
        node.stage_name
        for graph in (GRAPH, PAPER.graph, POSTTRAIN.graph, PREFERRED, ADOPTING)
        for node in graph
        if node.stage.KIND.columns
    }
    modules = (getattr(stages, name) for name in dir(stages))
    assert {
        one.__name__.rsplit(".", 1)[-1] for one in modules if getattr(one, "KIND", None) and one.KIND.columns
    } == tested


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
    assert not [asset for asset, _ in lineage["spans"] if asset.endswith("_duplicates")]  # they only leave out
