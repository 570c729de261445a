"""An option that is accepted does something, and something asks for it."""

import importlib.util
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from spelangy_assets import lab
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stages import adopt_checkpoint, cover_topics, segment_speech, speech_tokenizer, train_lm
from spelangy_model.audio.diarization.diarize import DiarizerSpec
from spelangy_model.audio.diarization.vad_diarize import VadSpec
from spelangy_model.audio.tts import SynthesizerSpec
from spelangy_model.text.urls import UrlRules
from spelangy_model.tokenizer.speech_schedule import SpeechTraining


@pytest.fixture(scope="module")
def tool(project_dir: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("list_options", project_dir / "tools" / "list_options.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    importlib.import_module("sys").modules["list_options"] = module
    spec.loader.exec_module(module)
    return module


def test_the_page_of_options_is_whole_and_something_asks_for_each(tool: ModuleType, project_dir: Path) -> None:
    assert (project_dir / "docs" / "options.md").read_text() == tool.page(), "python tools/list_options.py --write"
    rows = list(tool.options(tool.kinds()))
    assert len(rows) > 250
    assert [f"{row.kind}.{row.name}" for row in rows if not row.asked_by] == []
    assert [f"{row.kind}.{row.name}" for row in rows if not row.unit] == []


def test_a_reason_that_no_option_needs_is_gone(tool: ModuleType) -> None:
    rows = {(row.kind, row.name) for row in tool.options(tool.kinds())}
    of_kinds = {kind for kind, _ in rows}
    assert [key for key in tool.REASONS if key not in rows and not (key[1] == "*" and key[0] in of_kinds)] == []


def _text_alone(**options: Any) -> object:
    return lab.mix(text={SAMPLE["text_tokens"]: 1.0}, rows=8, **options)


def _checkpoint(holds: Any) -> object:
    named = adopt_checkpoint.Checkpoint(name="x", sha256="0" * 64, licence="MIT")
    return adopt_checkpoint.Config(holds, named, new_embeddings="xavier_normal")


def _run(preset: str) -> object:
    steps = {"steps": 1, "batch_rows": 1, "micro_rows": 1, "warmup_steps": 0, "decay_steps": 0}
    return train_lm.Config(preset=preset, learning_rate=0.1, seed=0, new_embeddings="xavier_normal", **steps)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: SynthesizerSpec(model="tts_models/en/vctk/vits"), "model does nothing for espeak"),
        (lambda: SynthesizerSpec(batch_utterances=8), "batch_utterances does nothing for espeak"),
        (lambda: DiarizerSpec(model="pyannote/x"), "model does nothing for the embedded diarizer"),
        (lambda: DiarizerSpec(backend="pyannote", model="x", threshold=0.4), "threshold does nothing for pyannote"),
        (lambda: VadSpec(speakers="one", threshold=0.4), "threshold does nothing where all speech is one"),
        (lambda: cover_topics.Config(classifier="x", topics=()), "topics does nothing beside a classifier"),
        (lambda: speech_tokenizer.Config(preset="1b"), "preset does nothing for a speech tokenizer that is shipped"),
        (lambda: speech_tokenizer.Config(source="mimi", training=SpeechTraining(steps=9)), "training does nothing"),
        (lambda: speech_tokenizer.Config(source="trained", model="x"), "model does nothing"),
        (lambda: _checkpoint(holds="text_tokenizer"), "new_embeddings does nothing for a text tokenizer"),
        (lambda: _run(preset="tiny"), "new_embeddings does nothing for a new model"),
        (lambda: _text_alone(sampling="stochastic"), "sampling= and loss_on_speech= do nothing in a mix of text"),
        (lambda: _text_alone(loss_on_speech=True), "sampling= and loss_on_speech= do nothing in a mix of text"),
    ],
)
def test_an_option_that_would_do_nothing_is_refused(make: Callable[[], object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("kind", [lab.Sentences, lab.Turns, segment_speech.Config, UrlRules])
def test_an_option_that_there_is_not_is_refused(kind: type) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        kind(max_length=3, kind="fine", max_chunk_s=3.0)


def test_a_recipe_names_the_line_of_an_option_that_does_nothing() -> None:
    with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: speech_tokenizer: preset does nothing"):
        lab.speech_tokenizer(SAMPLE["tokenizer_speech"], preset="1b")
