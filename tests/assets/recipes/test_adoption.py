"""Recipes that take data from elsewhere: what stands in the graph, and what is refused."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from spelangy_assets.execution.graph import GraphError
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.recipes.recipe import Corpus, Recipe, TranscribedFolder
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import adopt_checkpoint, adopt_chunks, mix
from spelangy_assets.stages.adopt_checkpoint import Checkpoint
from spelangy_model.data.mixture import Proportion, Source


def drawing_on(config: mix.Config, *speech: str) -> mix.Config:
    sources = (
        *(Source(f"{name}_tokens", "speech_text", Proportion(1 / len(speech))) for name in speech),
        Source("text_tokens", "text", Proportion(1.0)),
    )
    return replace(config, mixture=replace(config.mixture, sources=sources))


def adopting(recipe: Recipe, *without: str) -> Recipe:
    """A recipe whose mixes draw on speech of another pipeline beside their own, or instead of it."""
    speech = ("adopted",) if without else ("web_fine", "adopted")
    corpora = {name: corpus for name, corpus in recipe.corpora.items() if name not in without}
    return replace(
        recipe,
        name="adopting",
        audio_snapshots={**recipe.audio_snapshots, "elsewhere": None},
        adopted_speech=adopt_chunks.Config(),
        corpora={**corpora, "adopted": Corpus(snapshots=("elsewhere",))},
        mixes={name: drawing_on(config, *speech) for name, config in recipe.mixes.items()},
    )


def test_adopted_chunks_stand_beside_web_speech():
    graph = adopting(SAMPLE).graph
    assert graph["adopted_chunks"].inputs == {"raw_audio": "raw_audio"}
    assert graph["adopted_tokens"].inputs["chunks"] == "adopted_chunks"
    assert graph["adopted_corpus"].members == (("adopted_tokens", "elsewhere"),)
    assert graph["mix_fine"].inputs["adopted_tokens"] == "adopted_corpus"
    assert {"run_fine", "eval_fine", "leaderboard", "topic_coverage"} <= graph.descendants("adopted_chunks")
    # what is heard in both is found, and the first snapshot of the corpus wins
    assert [snapshot for _, snapshot in graph["audio_corpus"].members] == ["2026-01", "2026-02", "talk", "elsewhere"]
    assert graph["mix_fine"].inputs["audio_index"] == "audio_index"


def test_a_recipe_says_of_a_folder_that_its_texts_are_what_is_said(tmp_path: Path):
    recipe = replace(adopting(SAMPLE), audio_snapshots={"elsewhere": TranscribedFolder(), "plain": None})
    laboratory = Laboratory(Settings.at(tmp_path))
    raw = adopting(SAMPLE).graph["raw_audio"]
    there = tmp_path / "snapshots" / "audio"
    assert laboratory.source(recipe, raw, "elsewhere") == FolderSource(there / "elsewhere", texts=True)
    assert laboratory.source(recipe, raw, "plain") == FolderSource(there / "plain")


def test_adopted_chunks_stand_instead_of_web_speech():
    graph = assemble(adopting(SAMPLE, "web_coarse", "web_fine"))
    assert [snapshot for _, snapshot in graph["audio_corpus"].members] == ["elsewhere"]
    assert not {"web_fine_tokens", "web_fine_corpus"} & {node.name for node in graph}
    assert "leaderboard" not in graph.descendants("web_fine")
    assert "leaderboard" in graph.descendants("adopted_chunks")


def checkpoint(name: str = "theirs") -> Checkpoint:
    return Checkpoint(name=name, sha256="0" * 64, licence="Apache-2.0", url="https://example.org/theirs")


def test_a_checkpoint_stands_where_one_is_made_and_nothing_below_sees_it():
    before = SAMPLE.graph
    adopted = {name: checkpoint() for name in ("text_tokenizer", "speech_tokenizer", "base_lm")}
    after = assemble(replace(SAMPLE, adopted_checkpoints=adopted))
    assert {node.name for node in before} - {node.name for node in after} == {"mix_base_text"}, "nothing trains on it"
    for node in after:
        if node.name in adopted:
            assert node.stage is adopt_checkpoint
            assert node.config.checkpoint == checkpoint()
        else:
            assert node == before[node.name]
    assert after["base_lm"].inputs == {"text_tokenizer": "text_tokenizer"}
    assert after["speech_tokenizer"].inputs == {"tokenizer_speech": "tokenizer_speech"}
    assert after["base_lm"].config.holds == "language_model"


def test_a_speech_lm_made_elsewhere_is_judged_beside_the_runs():
    graph = assemble(replace(SAMPLE, adopted_checkpoints={"run_last_year": checkpoint()}))
    assert graph["run_last_year"].stage is adopt_checkpoint
    assert graph["eval_last_year"].inputs["run"] == "run_last_year"
    assert {"run_last_year", "eval_last_year"} <= set(graph["leaderboard"].inputs)
    assert "run_last_year" in graph["text_skill"].inputs


@pytest.mark.parametrize("name", ["run_fine", "mix_fine", "web_fine", "nothing"])
def test_a_checkpoint_cannot_stand_anywhere(name: str):
    with pytest.raises(GraphError, match=f"cannot be adopted as '{name}': take text_tokenizer"):
        assemble(replace(SAMPLE, adopted_checkpoints={name: checkpoint()}))


def test_nothing_of_a_recipe_that_adopts_nothing_changes():
    assert not [node.name for node in SAMPLE.graph if "adopt" in node.name]


@pytest.mark.parametrize(
    ("broken", "words"),
    [
        (lambda recipe: replace(recipe, adopted_speech=None), "give both or none"),
        (lambda recipe: replace(recipe, corpora=SAMPLE.corpora), "give both or none"),
        (
            lambda recipe: replace(recipe, corpora={**recipe.corpora, "adopted": Corpus(snapshots=("nowhere",))}),
            "'nowhere'",
        ),
        (
            lambda recipe: replace(recipe, corpora={**recipe.corpora, "adoptd": Corpus(snapshots=("elsewhere",))}),
            "'adoptd' is none of",
        ),
        (lambda recipe: replace(recipe, mixes=SAMPLE.mixes), "draws on 'web_coarse_tokens', but corpora names"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused_by_name(broken, words: str):
    with pytest.raises(GraphError, match=words):
        assemble(broken(adopting(SAMPLE, "web_coarse", "web_fine")))


def test_a_recipe_of_ones_own_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "laboratory_recipes.py").write_text(
        "from dataclasses import replace\n"
        "from spelangy_assets.recipes.sample import TINY\n"
        "OURS = replace(TINY, name='ours')\n"
    )
    (tmp_path / "taken_recipes.py").write_text(
        "from dataclasses import replace\n"
        "from spelangy_assets.recipes.sample import TINY\n"
        "OURS = replace(TINY, name='sample')\n"
    )
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("SPELANGY_RECIPE_MODULES", "laboratory_recipes")
    assert recipe_named("ours").name == "ours"
    assert recipe_named("sample") is SAMPLE
    monkeypatch.setenv("SPELANGY_RECIPE_MODULES", "taken_recipes")
    with pytest.raises(ValueError, match="two recipes are called 'sample'"):
        recipe_named("tiny")
    monkeypatch.setenv("SPELANGY_RECIPE_MODULES", "no_such_recipes")
    with pytest.raises(ValueError, match=r"SPELANGY_RECIPE_MODULES names 'no_such_recipes'.*PYTHONPATH"):
        recipe_named("tiny")
