"""What stops a training stage before any work."""

from dataclasses import replace

import pytest

from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.sample.world import load_world
from spelangy_assets.stages import text_tokenizer, train_lm, write_benchmark
from spelangy_model.audio.tts.espeak import voices_of

WORLD = load_world().digest
VOICES = voices_of(("en-us",))
HELD_OUT = voices_of(("en-029",))
TRAIN = train_lm.Config(
    steps=2, batch_rows=4, micro_rows=4, learning_rate=1e-3, warmup_steps=1, decay_steps=1, seed=0, preset="huge"
)


def test_preflight_names_what_is_wrong(execution: Execution) -> None:
    with pytest.raises(PreflightError, match="no preset 'huge'"):
        train_lm.preflight(TRAIN, execution)
    with pytest.raises(PreflightError, match="schedule 'linear': choose one of wsd, cosine"):
        train_lm.preflight(replace(TRAIN, preset="tiny", schedule="linear"), execution)
    with pytest.raises(PreflightError, match="fused_loss runs on GPUs alone"):
        train_lm.preflight(replace(TRAIN, preset="tiny", fused_loss=True), execution)
    with pytest.raises(PreflightError, match="sample world"):
        text_tokenizer.preflight(text_tokenizer.Config(world="another"), execution)
    with pytest.raises(PreflightError, match="cannot be trained and held out"):
        write_benchmark.preflight(write_benchmark.Config(0, WORLD, VOICES, VOICES), execution)
    with pytest.raises(PreflightError, match="sample world"):
        write_benchmark.preflight(write_benchmark.Config(0, "another", VOICES, HELD_OUT), execution)
