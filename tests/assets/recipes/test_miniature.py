"""The miniature: its arms differ by what the paper changes and by nothing else, and every arm has its seeds."""

import dataclasses
import json

import pytest

from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.recipes.miniature import ABLATIONS, ARMS, MINIATURE, MINIATURE_LOW
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.sample.worlds import open_world
from spelangy_assets.store.fingerprint import payload_of

BOTH = pytest.mark.parametrize("recipe", [MINIATURE, MINIATURE_LOW], ids=lambda recipe: recipe.name)


def world_of(recipe: Recipe) -> str:
    return recipe["sqa_benchmarks"].config.sources[0].world


def runs_of(recipe: Recipe) -> dict[str, list[str]]:
    """Return the runs of each arm, by name."""
    board = recipe.graph["leaderboard"]
    runs: dict[str, list[str]] = {}
    for index, row in enumerate(board.config.runs):
        runs.setdefault(row.arm, []).append(board.inputs[f"run.{index}"])
    return runs


@BOTH
def test_everything_is_of_one_larger_world_that_is_installed(recipe: Recipe) -> None:
    assert recipe_named(recipe.name) is recipe
    literals = json.dumps([payload_of([node.config, dict(node.snapshots)]) for node in recipe.graph])
    worlds = {part.split('"')[0] for part in literals.split('"world": "')[1:]}
    assert worlds == {world_of(recipe)}
    assert open_world(world_of(recipe)).digest == world_of(recipe)


def test_the_whole_dial_has_4000_facts_and_every_ablation_over_five_seeds() -> None:
    world = open_world(world_of(MINIATURE))
    assert len(world.facts) == 4000
    assert all(len(relation.questions) == 20 for relation in world.relations)
    assert MINIATURE.graph["leaderboard"].config.ablations == ABLATIONS
    assert {arm: len(runs) for arm, runs in runs_of(MINIATURE).items()} == dict.fromkeys(ARMS, 5)


@BOTH
def test_arms_have_equal_budgets_and_a_seed_draws_data_and_weights_anew(recipe: Recipe) -> None:
    graph, budgets, trained = recipe.graph, set(), []
    for runs in runs_of(recipe).values():
        mixtures = [graph[graph[run].inputs["mix"]].config.mixture for run in runs]
        assert len({mixture.seed for mixture in mixtures}) == len(runs) >= 3
        assert len({dataclasses.replace(mixture, seed=0) for mixture in mixtures}) == 1
        for run, mixture in zip(runs, mixtures, strict=True):
            config = graph[run].config
            assert config.seed == mixture.seed
            assert config.steps * config.batch_rows == mixture.rows
            budgets.add((mixture.rows, mixture.row_length, mixture.text_share))
            trained.append(dataclasses.replace(config, seed=0))
    assert len(budgets) == 1
    assert trained.count(trained[0]) == len(trained)


@pytest.mark.parametrize("row", ABLATIONS, ids=lambda row: f"{row.before} to {row.after}")
def test_an_ablation_changes_one_thing(row) -> None:
    names = ("shares", "sampling", "loss_on_speech")
    before, after = (dict(zip(names, ARMS[arm], strict=True)) for arm in (row.before, row.after))
    changed = {name for name in names if before[name] != after[name]}
    assert changed == {{"Modality sampling": "sampling", "Loss": "loss_on_speech"}.get(row.intervention, "shares")}


def test_the_dial_turned_down_is_the_same_graph_of_fewer_arms() -> None:
    def kinds(recipe: Recipe) -> set[str]:
        groups = ("mixes", "runs", "evals", "corpora")
        return {one.name for one in recipe.graph if one.group not in groups and not one.name.startswith("mix_")}

    used = {one for arm in runs_of(MINIATURE_LOW) for one in ARMS[arm][0]}
    unused = {"coarse", "fine", "krist", "quest"} - used
    assert kinds(MINIATURE) - kinds(MINIATURE_LOW) == {
        name for name in kinds(MINIATURE) if name.split("_")[0] in unused
    }
    assert 2 <= len(runs_of(MINIATURE_LOW)) < len(ARMS)
