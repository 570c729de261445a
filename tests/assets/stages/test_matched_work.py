"""A control arm sees as many loss tokens as another run, by one argument."""

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stages.train_lm import steps_for, work_of

RUN = {"steps": 400, "batch_rows": 5, "micro_rows": 5, "learning_rate": 3e-3, "warmup_steps": 25, "decay_steps": 200}


def test_the_steps_are_those_that_come_nearest_to_the_loss_tokens() -> None:
    rows = np.array([10, 20, 30, 40, 50, 60])  # steps of two rows: 30, 70, 110, then again
    assert [steps_for(rows, 2, wanted) for wanted in (1, 30, 64, 66, 210, 239, 241, 420)] == [1, 1, 1, 2, 3, 4, 4, 6]


def test_rows_that_do_not_fill_a_step_are_read_over_the_end() -> None:
    rows = np.array([1, 2, 3, 4, 5])
    assert steps_for(rows, 2, 20) == 4  # 1 2 | 3 4 | 5 1 | 2 3


def test_a_control_arm_is_one_argument() -> None:
    control = lab.train(
        SAMPLE["mix_quest"],
        base=SAMPLE["base_lm"],
        match_loss_tokens_of=SAMPLE["run_fine"],
        name="control",
        seed=1,
        **RUN,
    )
    assert control.inputs["matched"] == SAMPLE["run_fine"]
    with pytest.raises(RecipeError, match="matched takes language model"):
        lab.train(SAMPLE["mix_quest"], base=SAMPLE["base_lm"], match_loss_tokens_of=SAMPLE["mix_fine"], seed=1, **RUN)


def test_a_run_that_stops_within_its_mix_saw_a_part_of_it() -> None:
    mix = {"speech.0.tokens": 800, "speech.0.speech_s": 40.0, "speech.0.epochs": 3.0, "text.0.tokens": 200}
    work = work_of(mix | {"text.0.epochs": 0.5}, {"speech.0": 400, "text.0": 100})
    assert work == {
        "speech_s_seen": 20.0,
        "text_share_seen": 0.2,
        "speech.0.epochs_seen": 1.5,
        "text.0.epochs_seen": 0.25,
    }
