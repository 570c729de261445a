"""Recipes that take data and models from elsewhere: what stands in the graph, and what is refused."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from spelangy_assets import lab
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes import sample
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import adopt_checkpoint

TOKENS = lab.Tokens(speech=SAMPLE["speech_tokenizer"], text=SAMPLE["text_tokenizer"])
TRAINING = sample.training(400, 5, 3e-3)


def adopting(name: str = "raw_audio") -> lab.Recipe:
    """A recipe whose mix draws on speech of another pipeline beside the sample's."""
    audio = lab.recordings({"elsewhere": lab.Arriving(texts=True), "plain": lab.Arriving()}, name=name)
    chunks = lab.adopted_chunks(audio.on("elsewhere"))
    shares = {TOKENS(chunks): 0.5, SAMPLE["web_fine_tokens"]: 0.5}
    rows = lab.mix(speech=shares, text={SAMPLE["text_tokens"]: 1.0}, text_share=0.15, rows=1600)
    arms = {"fine": SAMPLE["run_fine"], "both": lab.train(rows, base=SAMPLE["base_lm"], **TRAINING)}
    return lab.Recipe("adopting", lab.leaderboard(arms, SAMPLE["sqa_benchmarks"], judging=sample.judging()))


def test_adopted_chunks_stand_beside_web_speech():
    graph = adopting("their_audio").graph
    assert graph["adopted_chunks"].inputs == {"raw_audio": "their_audio"}
    assert graph["adopted_tokens"].inputs["chunks"] == "adopted_chunks"
    assert graph["adopted_corpus"].members == (("adopted_tokens", "elsewhere"),)
    assert graph["mix_both"].inputs["speech.0"] == "adopted_corpus"
    assert {"run_both", "eval_both", "leaderboard", "adopted_topics"} <= graph.descendants("adopted_chunks")
    # repeats are looked for in each crawl by itself, over all its snapshots
    assert [one for _, one in graph["their_audio_corpus"].members] == ["elsewhere", "plain"]
    assert {graph["mix_both"].inputs[f"duplicates.{i}"] for i in range(3)} == {
        *("their_audio_duplicates", "raw_audio_duplicates", "raw_pages_duplicates")
    }


def test_two_crawls_have_two_names():
    with pytest.raises(lab.RecipeError, match=r"raw_audio is another dataset than that of .*sample\.py:"):
        _ = adopting().graph


def test_a_recipe_states_that_the_texts_of_a_folder_are_transcripts(tmp_path: Path):
    installation, raw = Installation(Settings.at(tmp_path)), adopting("their_audio").graph["their_audio"]
    there = tmp_path / "snapshots" / "audio"
    assert installation.source(raw, "elsewhere") == FolderSource(there / "elsewhere", texts=True)
    assert installation.source(raw, "plain") == FolderSource(there / "plain")
    assert installation.source(raw, "arrived later") == FolderSource(there / "arrived later")


def checkpoint(name: str = "theirs") -> lab.Checkpoint:
    return lab.Checkpoint(name=name, sha256="0" * 64, licence="Apache-2.0", url="https://example.org/theirs")


def test_a_checkpoint_stands_where_one_is_made_and_nothing_below_sees_it():
    text_tokenizer = lab.checkpoint("text_tokenizer", name="text_tokenizer", checkpoint=checkpoint())
    speech_tokenizer = lab.checkpoint(
        "speech_tokenizer", name="speech_tokenizer", checkpoint=checkpoint(), speech=SAMPLE["tokenizer_speech"]
    )
    base = lab.checkpoint("language_model", name="base_lm", checkpoint=checkpoint(), text_tokenizer=text_tokenizer)
    tokens = lab.Tokens(speech=speech_tokenizer, text=text_tokenizer)
    text = tokens(SAMPLE["text_documents"])
    rows = lab.mix(speech={tokens(SAMPLE["web_fine"]): 1.0}, text={text: 1.0}, text_share=0.15, rows=1600)
    board = lab.leaderboard({"fine": lab.train(rows, base=base, **TRAINING)}, SAMPLE["sqa_benchmarks"])
    graph = lab.Recipe("adopts_models", board).graph
    assert {node.name for node in graph if node.stage is adopt_checkpoint} == {
        *("text_tokenizer", "speech_tokenizer", "base_lm")
    }
    assert graph["base_lm"].inputs == {"text_tokenizer": "text_tokenizer"}
    assert graph["speech_tokenizer"].inputs == {"tokenizer_speech": "tokenizer_speech"}
    assert graph["run_fine"].inputs == SAMPLE.graph["run_fine"].inputs
    assert not [node.name for node in graph if node.name.startswith("mix_base")], "nothing trains on it"


def test_a_speech_lm_made_elsewhere_is_judged_beside_the_runs():
    theirs = lab.checkpoint(
        "language_model", name="last_year", checkpoint=checkpoint(), text_tokenizer=SAMPLE["text_tokenizer"]
    )
    arms = {"fine": SAMPLE["run_fine"], "last_year": theirs}
    board = lab.leaderboard(arms, SAMPLE["sqa_benchmarks"], judging=sample.judging())
    graph = lab.Recipe("beside", board).graph
    assert graph["eval_last_year"].inputs["run"] == "last_year"
    assert graph["leaderboard"].inputs["eval.1"] == "eval_last_year"
    assert graph["text_skill_last_year"].inputs["model"] == "last_year"


def test_a_checkpoint_says_what_it_needs():
    with pytest.raises(lab.RecipeError, match="an adopted language model needs text_tokenizer="):
        lab.checkpoint("language_model", name="base_lm", checkpoint=checkpoint())


def test_nothing_of_a_recipe_that_adopts_nothing_changes():
    assert not [node.name for node in SAMPLE.graph if "adopt" in node.name]


def test_a_recipe_of_ones_own_is_found_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "laboratory_recipes.py").write_text(
        "from spelangy_assets import lab\n"
        "from spelangy_assets.recipes.sample import TINY\n"
        "OURS = lab.Recipe('ours', *TINY.leaves)\n"
    )
    (tmp_path / "taken_recipes.py").write_text(
        "from spelangy_assets import lab\n"
        "from spelangy_assets.recipes.sample import TINY\n"
        "OURS = lab.Recipe('sample', *TINY.leaves)\n"
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
