"""What Dagster loads: both recipes, whole and valid, and the paper's figures."""

from __future__ import annotations

import dagster as dg
import pytest

from spelangy_assets.definitions import RECIPES, build_definitions, recipe_named
from spelangy_assets.keys import asset_key
from spelangy_assets.recipes.assemble import assemble
from spelangy_assets.recipes.paper import BATCH_ROWS, PAPER, ROW_TOKENS, STEPS, TRAINED_TOKENS
from spelangy_assets.recipes.recipe import Recipe
from spelangy_assets.settings import Settings
from spelangy_assets.stages.stage import Execution, PreflightError

GROUPS = {
    "crawl", "transcripts", "chunks", "synthetic", "tokenizers", "tokens", "corpora", "mixes", "runs", "evals",
}  # fmt: skip


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings.at(tmp_path_factory.mktemp("home")))


def test_both_recipes_load_side_by_side(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    keys = {spec.key for spec in definitions.resolve_all_asset_specs()}
    for recipe in RECIPES:
        assert {asset_key(recipe.name, node.name) for node in assemble(recipe)} <= keys
    assert len(keys) == sum(len(assemble(recipe)) for recipe in RECIPES)


@pytest.mark.parametrize("name", ["sample", "tiny", "paper", "tokenizer"])
def test_a_recipe_has_every_group_and_the_leaderboard_is_below_all(name: str) -> None:
    graph = assemble(recipe_named(name))
    assert {node.group for node in graph} == GROUPS
    assert "leaderboard" in graph.descendants("raw_audio") & graph.descendants("raw_pages")


def test_an_unknown_recipe_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="sample"):
        recipe_named("simple")


def test_every_asset_says_what_it_is_and_has_a_blocking_check(definitions: dg.Definitions) -> None:
    checks = {
        check.asset_key
        for recipe in RECIPES
        for node in assemble(recipe)
        for check in definitions.resolve_assets_def(asset_key(recipe.name, node.name)).check_specs
        if check.blocking
    }
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name, spec.key
        assert spec.owners, spec.key
        assert spec.code_version, spec.key
        assert 1 <= len(spec.kinds) <= 3, spec.key
        assert spec.key in checks


def test_heavy_assets_are_never_automatic(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        if spec.tags["cost"] == "heavy":
            assert spec.automation_condition is None, spec.key


def test_a_mix_depends_on_exactly_the_token_sets_that_it_draws_on() -> None:
    for recipe in RECIPES:
        graph = assemble(recipe)
        for name, config in recipe.mixes.items():
            corpora = {parent for parent in graph[f"mix_{name}"].parents if parent.endswith("_corpus")}
            assert corpora == {f"{source.name.removesuffix('_tokens')}_corpus" for source in config.mixture.sources}


def test_tokenizers_depend_on_no_snapshot() -> None:
    graph = assemble(PAPER)
    assert {"speech_tokenizer", "text_tokenizer", "tokenizer_speech"}.isdisjoint(
        graph.descendants("raw_audio") | graph.descendants("raw_pages")
    )


def test_the_paper_recipe_has_the_papers_figures() -> None:
    assert (ROW_TOKENS, BATCH_ROWS, STEPS) == (16_384, 512, 200_000)
    assert pytest.approx(1.67e12, rel=0.01) == TRAINED_TOKENS
    for run in PAPER.runs.values():
        mixture = PAPER.mixes[run.mix].mixture
        assert mixture.text_share == 0.6
        assert mixture.rows * mixture.row_length == TRAINED_TOKENS
        assert run.train.steps * run.train.batch_rows == mixture.rows
    quest = next(s for s in PAPER.mixes["fine_quest"].mixture.sources if s.name == "quest_tokens")
    assert quest.amount.share == 0.34
    assert len(PAPER.web_speech.recognize.systems) == 3


@pytest.mark.parametrize(
    ("asset", "says"),
    [
        ("speech_segments", "pyannote"),
        ("transcript_hypotheses", "whisper-large-v3"),
        ("krist_documents", "SPELANGY_LLM_BASE_URL"),
        ("quest_pairs", "SPELANGY_LLM_BASE_URL"),
        ("krist_speech", "vctk"),
        ("text_tokenizer", "hf download"),
    ],
)
def test_a_stage_of_the_paper_without_its_model_says_what_is_missing(
    asset: str, says: str, execution: Execution, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HF_TOKEN", "SPELANGY_LLM_BASE_URL", "SPELANGY_LLM_API_KEY"):
        monkeypatch.delenv(variable, raising=False)
    node = assemble(PAPER)[asset]
    with pytest.raises(PreflightError, match=says):
        node.stage.preflight(node.config, execution)


def test_a_recipe_whose_corpus_names_an_unknown_snapshot_is_refused() -> None:
    import dataclasses

    from spelangy_assets.recipes.graph import GraphError
    from spelangy_assets.recipes.recipe import Corpus

    broken: Recipe = dataclasses.replace(PAPER, corpora={**PAPER.corpora, "quest": Corpus(snapshots=("cc-1999",))})
    with pytest.raises(GraphError, match="cc-1999"):
        assemble(broken)
