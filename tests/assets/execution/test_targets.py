"""Which datasets at which snapshots are asked for: what `status` lists and the nightly repair requests."""

from __future__ import annotations

from spelangy_assets.execution.targets import required_targets, wanted_targets
from spelangy_assets.recipes.registry import recipe_named

NAMED = {"raw_audio": ["2026-01", "2026-02", "talk"], "raw_pages": ["2026-01", "2026-02", "notes"]}


def test_of_the_corpora_s_snapshots_no_more_is_wanted_than_they_need() -> None:
    graph = recipe_named("sample").graph
    wanted = wanted_targets(graph, NAMED)
    assert sorted(wanted, key=str) == sorted(required_targets(graph), key=str)
    assert ("text_documents", "notes") in wanted
    assert ("krist_documents", "notes") not in wanted  # no corpus draws Krist from it
    pages = {target for target in wanted if target[0].endswith("_page")}
    assert pages == {
        *((page, snapshot) for page in ("web_coarse_page", "web_fine_page") for snapshot in NAMED["raw_audio"]),
        *(("krist_page", "2026-02"), ("quest_page", "2026-01"), ("quest_page", "2026-02")),
        ("leaderboard_page", None),
    }


def test_a_snapshot_that_arrived_is_wanted_whole() -> None:
    graph = recipe_named("sample").graph
    arrived = {**NAMED, "raw_pages": [*NAMED["raw_pages"], "2026-03"]}
    more = set(wanted_targets(graph, arrived)) - set(wanted_targets(graph, NAMED))
    assert more == {(node.name, "2026-03") for node in graph if node.partition == "raw_pages"}


def test_parents_stand_before_their_children() -> None:
    graph = recipe_named("sample").graph
    targets = wanted_targets(graph, NAMED)
    for position, (name, partition) in enumerate(targets):
        above = [(parent, partition if graph[parent].partition else None) for parent in graph[name].inputs.values()]
        assert all(targets.index(parent) < position for parent in above)
