"""What stops a training stage before any work."""

from dataclasses import fields, replace
from pathlib import Path

import pytest

from spelangy_assets import lab
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.sample.sources import SampleWorld, WorldSentences, WorldTexts
from spelangy_assets.sample.world import load_world
from spelangy_assets.stages import text_skill, text_tokenizer, tokenizer_corpus, train_lm, write_benchmark
from spelangy_assets.stages.text_skill import TaskChoice
from spelangy_assets.stages.text_tokenizer import Pretrained, Trained
from spelangy_model.audio.tts.espeak import voices_of
from spelangy_model.train.spec import TrainingOptions, TrainSpec

WORLD = load_world().digest
VOICES = voices_of(("en-us",))
HELD_OUT = voices_of(("en-029",))
TRAIN = train_lm.Config(
    steps=2, batch_rows=4, micro_rows=4, learning_rate=1e-3, warmup_steps=1, decay_steps=1, seed=0, preset="tiny"
)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"preset": "huge"}, "no preset 'huge': choose one of tiny"),
        ({"schedule": "linear"}, "schedule is one of wsd, cosine, not 'linear'"),
        ({"schedule": "cosine"}, "the schedule cosine falls over all steps: decay_steps is 0 there"),
        ({"precision": "float16"}, "precision is float32 or bfloat16"),
        ({"micro_rows": 0}, "steps, batch_rows and micro_rows are at least 1"),
    ],
)
def test_a_run_that_does_not_fit_is_refused_when_the_recipe_is_read(options: dict[str, object], words: str) -> None:
    rows = lab.mix(text={SAMPLE["text_tokens"]: 1.0}, rows=8)
    with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: train: {words}"):
        lab.train(rows, **(TRAIN.training | {"preset": "tiny"} | options))


def test_the_options_of_a_training_are_declared_once() -> None:
    options = {field.name for field in fields(TrainingOptions)}
    for kind in (train_lm.Config, TrainSpec):
        assert options <= {field.name for field in fields(kind)}
        assert not options & vars(kind).get("__annotations__", {}).keys(), f"{kind.__name__} declares one again"


def test_preflight_names_what_is_wrong(execution: Execution) -> None:
    with pytest.raises(PreflightError, match="fused_loss runs on GPUs alone"):
        train_lm.preflight(replace(TRAIN, fused_loss=True), execution)
    with pytest.raises(PreflightError, match="SPELANGY_TRACKERS: the package no-such-tracker is not installed"):
        train_lm.preflight(TRAIN, replace(execution, trackers=("no_such_tracker",)))
    texts = (WorldTexts(world=WORLD, seed=0), WorldTexts(world="another", seed=0))
    with pytest.raises(PreflightError, match=r"the text tokenizer: .*sample world"):
        text_tokenizer.preflight(text_tokenizer.Config(Trained(texts, vocab_size=300)), execution)
    sentences = WorldSentences(world="another", seed=0, kind="talk", count=1)
    with pytest.raises(PreflightError, match=r"the speech tokenizer's speech: .*sample world"):
        tokenizer_corpus.preflight(tokenizer_corpus.Config((sentences,), voices=VOICES), execution)
    with pytest.raises(PreflightError, match="cannot be trained and held out"):
        write_benchmark.preflight(write_benchmark.Config((SampleWorld(world=WORLD),), VOICES, VOICES), execution)
    with pytest.raises(PreflightError, match=r"the benchmark: .*sample world"):
        write_benchmark.preflight(write_benchmark.Config((SampleWorld(world="another"),), VOICES, HELD_OUT), execution)


def test_a_text_tokenizer_that_is_not_there_is_missed_before_any_work(execution: Execution, tmp_path: Path) -> None:
    with pytest.raises(PreflightError, match="empty"):
        text_tokenizer.preflight(text_tokenizer.Config(Pretrained(str(tmp_path / "empty"))), execution)
    with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: text_tokenizer: .* Trained.* or Pretrained"):
        text_tokenizer.text_tokenizer("gpt2")  # type: ignore[arg-type]


def test_held_out_texts_and_the_task_that_reads_them_are_named_together(execution: Execution) -> None:
    pytest.importorskip("lm_eval")
    texts = WorldTexts(world=WORLD, seed=0, documents=1)
    reads, asks = (TaskChoice("held_out_text"),), (TaskChoice("own_questions"),)
    text_skill.preflight(text_skill.Config(reads, held_out=texts), execution)
    text_skill.preflight(text_skill.Config(asks), execution)
    for config in (text_skill.Config(reads), text_skill.Config(asks, held_out=texts)):
        with pytest.raises(PreflightError, match="the task held_out_text needs held_out="):
            text_skill.preflight(config, execution)
    with pytest.raises(PreflightError, match=r"text skill: .*sample world"):
        text_skill.preflight(text_skill.Config(reads, held_out=replace(texts, world="another")), execution)
