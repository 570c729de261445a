"""What the recipes that run on any processor have in common."""

import subprocess
import sys

import pytest

from spelangy_assets.execution.targets import required_targets
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.stages import evaluate, recognize, tokenize_questions, train_lm
from spelangy_model.audio.asr import FasterWhisper, WhisperTimestamped


@pytest.mark.parametrize("name", ["sample", "tiny", "miniature", "miniature_low"])
def test_training_asks_for_no_unit_that_a_processor_may_lack(name: str) -> None:
    configs = [node.config for node in recipe_named(name).graph]
    precisions = {config.precision for config in configs if isinstance(config, train_lm.Config)}
    assert precisions == {"float32"}


def test_the_vote_is_over_batched_recognizers_and_whisper_timestamped_recognizes_a_few_windows() -> None:
    graph = recipe_named("sample").graph
    systems = {node.name: node.config.systems for node in graph if isinstance(node.config, recognize.Config)}
    assert [type(one) for one in systems["transcript_hypotheses"]] == [FasterWhisper, FasterWhisper]
    assert [type(one) for one in systems["word_times"]] == [FasterWhisper, WhisperTimestamped]
    assert [target for target in required_targets(graph) if target[0] == "word_times"] == [("word_times", "2026-01")]


def test_questions_are_tokenized_once_for_all_runs() -> None:
    graph = recipe_named("sample").graph
    (codes,) = [node.name for node in graph if node.stage is tokenize_questions]
    assert {node.inputs["question_codes"] for node in graph if node.stage is evaluate} == {codes}


def test_a_recipe_is_built_alone() -> None:
    asked = "from spelangy_assets.recipes.registry import recipe_named; recipe_named('tokenizer')"
    shown = "import sys; print([name for name in sys.modules if name.startswith('spelangy_assets.recipes.')])"
    ended = subprocess.run([sys.executable, "-c", f"{asked}; {shown}"], capture_output=True, text=True, check=True)
    assert "spelangy_assets.recipes.tokenizer" in ended.stdout
    assert "spelangy_assets.recipes.paper" not in ended.stdout
