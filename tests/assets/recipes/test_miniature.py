"""The miniature: its arms differ by what the paper changes and by nothing else, and every arm has its seeds."""

import dataclasses

import pytest

from spelangy_assets.recipes.miniature import ABLATIONS, ARMS, MINIATURE, MINIATURE_LOW
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.sample.worlds import open_world

BOTH = pytest.mark.parametrize("recipe", [MINIATURE, MINIATURE_LOW], ids=lambda recipe: recipe.name)


def world_of(recipe: Recipe) -> str:
    return recipe.evaluation.benchmark.world


@BOTH
def test_everything_is_of_one_larger_world_that_is_installed(recipe: Recipe) -> None:
    assert recipe_named(recipe.name) is recipe
    snapshots = [*recipe.audio_snapshots.values(), *recipe.page_snapshots.values()]
    tokenizers = recipe.tokenizers
    stated = [source.world for source in snapshots]  # type: ignore[attr-defined]
    stated += [tokenizers.corpus.world, tokenizers.text.world, recipe.evaluation.text_skill.world]
    assert set(stated) == {world_of(recipe)}
    assert open_world(world_of(recipe)).digest == world_of(recipe)


def test_the_whole_dial_has_4000_facts_and_every_ablation_over_five_seeds() -> None:
    world = open_world(world_of(MINIATURE))
    assert len(world.facts) == 4000
    assert all(len(relation.questions) == 20 for relation in world.relations)
    assert MINIATURE.evaluation.leaderboard.ablations == ABLATIONS
    assert {arm.name: len(arm.runs) for arm in MINIATURE.evaluation.leaderboard.arms} == dict.fromkeys(ARMS, 5)


@BOTH
def test_arms_have_equal_budgets_and_a_seed_draws_data_and_weights_anew(recipe: Recipe) -> None:
    graph = recipe.graph
    board = recipe.evaluation.leaderboard
    assert {run for arm in board.arms for run in arm.runs} == {f"run_{name}" for name in recipe.runs}
    assert {row.before for row in board.ablations} | {row.after for row in board.ablations} <= {
        arm.name for arm in board.arms
    }
    trained = [dataclasses.replace(run.train, seed=0) for run in recipe.runs.values()]
    assert trained.count(trained[0]) == len(trained)
    for arm in board.arms:
        names = [run.removeprefix("run_") for run in arm.runs]
        mixtures = [recipe.mixes[name].mixture for name in names]
        assert len({mixture.seed for mixture in mixtures}) == len(names) >= 3
        assert len({dataclasses.replace(mixture, seed=0) for mixture in mixtures}) == 1
        for name in names:
            assert graph[f"run_{name}"].inputs["mix"] == f"mix_{name}"
            assert recipe.runs[name].train.seed == recipe.mixes[name].mixture.seed
            rows = recipe.mixes[name].mixture.rows
            assert rows == recipe.runs[name].train.steps * recipe.runs[name].train.batch_rows
    budgets = {(m.mixture.rows, m.mixture.row_length, m.mixture.text_share) for m in recipe.mixes.values()}
    assert len(budgets) == 1


@pytest.mark.parametrize("row", ABLATIONS, ids=lambda row: f"{row.before} to {row.after}")
def test_an_ablation_changes_one_thing(row) -> None:
    before, after = ARMS[row.before], ARMS[row.after]
    changed = {field.name for field in dataclasses.fields(before)} - {
        field.name for field in dataclasses.fields(before) if getattr(before, field.name) == getattr(after, field.name)
    }
    assert len(changed) == 1
    wanted = {"Modality sampling": "sampling", "Loss": "loss_on_speech"}.get(row.table, "shares")
    assert changed == {wanted}


def test_the_dial_turned_down_is_the_same_graph_of_fewer_arms() -> None:
    def kinds(recipe: Recipe) -> set[str]:
        return {node.name for node in recipe.graph if node.group not in ("mixes", "runs", "evals")}

    assert kinds(MINIATURE_LOW) == kinds(MINIATURE)
    low = {arm.name for arm in MINIATURE_LOW.evaluation.leaderboard.arms}
    assert 2 <= len(low) < len(ARMS)
