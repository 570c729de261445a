"""lm-evaluation-harness on a checkpoint of the project: the same likelihoods as our own, and what was lost."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from spelangy_model.eval import harness
from spelangy_model.eval.generated_code import Ended
from spelangy_model.eval.harness import (
    HarnessUnavailable,
    Task,
    TaskScore,
    check_tasks,
    drop,
    evaluate_checkpoint,
    open_checkpoint,
    passes_its_test,
)
from spelangy_model.eval.multiple_choice import score_prompts
from spelangy_model.eval.prompts import text_prompt
from spelangy_model.eval.stats import Interval
from spelangy_model.lm.presets import new_model
from spelangy_model.tokenizer.text import encode_texts, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout, extend_tokenizer

LAYOUT = Layout(text_size=300, codebook_size=20)
PREFIX = "The answer is"
QUESTIONS = [
    (f"What is number {i}?", [f"word {i}", "a much longer number", f"the {i}", f"{i} answers"]) for i in range(40)
]
TEXTS = [f"The answer is word number {i}, and what is number {i}?" for i in range(10)]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    new_model("tiny", LAYOUT, seed=0).save_pretrained(folder)
    tokenizer = train_text_tokenizer([f"The answer is word number {i}." for i in range(50)], 300)
    extend_tokenizer(PreTrainedTokenizerFast(tokenizer_object=tokenizer), LAYOUT).save_pretrained(folder)
    LAYOUT.save(folder)
    return folder


@pytest.fixture(scope="module")
def scores(checkpoint: Path) -> dict[tuple[str, str], TaskScore]:
    documents = [
        {"question": question, "options": options, "answer_index": number % 4, "answer_prefix": PREFIX}
        for number, (question, options) in enumerate(QUESTIONS)
    ]
    tasks = [
        Task("own_questions", documents=documents),
        Task("held_out_text", documents=[{"text": text} for text in TEXTS]),
    ]
    return {(score.task, score.metric): score for score in evaluate_checkpoint(checkpoint, tasks, "cpu", 16, seed=0)}


def test_the_harness_chooses_as_our_own_scoring_does(checkpoint: Path, scores) -> None:
    lm = open_checkpoint(checkpoint, "cpu", 8)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint).backend_tokenizer
    prompts = [text_prompt(LAYOUT, tokenizer, question, PREFIX, options) for question, options in QUESTIONS]
    chosen = [score.best("raw") for score in score_prompts(lm.model, prompts, LAYOUT.pad)]
    right = [place == number % 4 for number, place in enumerate(chosen)]
    found = scores["own_questions", "acc"]
    assert [amount for amount, _ in found.samples] == right
    assert found.interval.value == pytest.approx(np.mean(right))
    assert found.interval.low < found.interval.value < found.interval.high
    assert found.count == 40


@torch.inference_mode()
def test_bits_per_byte_are_those_of_the_model_after_bos(checkpoint: Path, scores) -> None:
    lm = open_checkpoint(checkpoint, "cpu", 8)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(checkpoint).backend_tokenizer
    nats = 0.0
    for ids in encode_texts(tokenizer, TEXTS):
        log_probs = lm.model(torch.tensor([[LAYOUT.bos, *ids]])).logits[0].double().log_softmax(-1)
        nats -= sum(float(log_probs[step, token]) for step, token in enumerate(ids))
    bits = nats / math.log(2) / sum(len(text.encode()) for text in TEXTS)
    assert scores["held_out_text", "bits_per_byte"].interval.value == pytest.approx(bits, rel=1e-5)
    assert not scores["held_out_text", "bits_per_byte"].higher_is_better


def test_a_drop_is_positive_where_skill_was_lost_and_paired(scores) -> None:
    better = scores["own_questions", "acc"]
    worse = TaskScore(
        "own_questions", "acc", Interval(0.0, 0.0, 0.0), 40, True, tuple((0.0, 1.0) for _ in better.samples)
    )
    lost = drop(better, worse, 0)
    assert lost.value == pytest.approx(better.interval.value)
    assert 0 < lost.low < lost.value < lost.high
    assert drop(better, better, 0) == Interval(0.0, 0.0, 0.0)
    text = scores["held_out_text", "word_perplexity"]
    doubled = TaskScore(
        text.task,
        text.metric,
        Interval(2 * text.interval.value, 0.0, 0.0),
        10,
        False,
        tuple((amount - units * math.log(2), units) for amount, units in text.samples),
    )
    assert drop(text, doubled, 0).value == pytest.approx(text.interval.value)


def test_a_group_without_samples_has_no_interval() -> None:
    group = TaskScore("mmlu", "acc", Interval(0.4, 0.39, 0.41), 100, True, ())
    lost = drop(group, group, 0)
    assert lost.value == 0
    assert math.isnan(lost.low)


def test_a_template_is_compiled_and_a_text_tokenized_once(checkpoint: Path, scores, monkeypatch) -> None:
    from lm_eval import utils

    assert scores and utils.env.from_string("{{question}}") is utils.env.from_string("{{question}}")
    first, second = (open_checkpoint(checkpoint, "cpu", 8) for _ in range(2))
    ids = first.tok_encode("A text that was not asked before")
    monkeypatch.setattr(second.tokenizer, "encode", lambda *_, **__: pytest.fail("it was tokenized again"))
    assert second.tok_encode("A text that was not asked before") == ids


@pytest.mark.slow  # the harness lists thousands of tasks
def test_unknown_tasks_are_named() -> None:
    check_tasks(["own_questions", "held_out_text"])
    with pytest.raises(HarnessUnavailable, match="no task none_such"):
        check_tasks(["own_questions", "hellaswag", "none_such"])


PROBLEMS = [
    {
        "task_id": f"HumanEval/{number}",
        "prompt": 'def add(a, b):\n    """Return the sum."""\n',
        "canonical_solution": "    return a + b\n",
        "test": f"def check(candidate):\n    assert candidate({number}, 2) == {number + 2}\n",
        "entry_point": "add",
    }
    for number in range(2)
]


def test_a_completion_passes_by_its_test_alone() -> None:
    assert passes_its_test(PROBLEMS[1], ["    return a + b\n"]) == {"pass_at_1": 1.0, "stopped": 0.0}
    assert passes_its_test(PROBLEMS[1], ["    return a - b\n"]) == {"pass_at_1": 0.0, "stopped": 0.0}


def test_generated_code_needs_permission(checkpoint: Path) -> None:
    with pytest.raises(HarnessUnavailable, match="set SPELANGY_ALLOW_GENERATED_CODE=yes to allow it here"):
        check_tasks(["humaneval"])
    with pytest.raises(HarnessUnavailable, match="SPELANGY_ALLOW_GENERATED_CODE"):
        evaluate_checkpoint(checkpoint, [Task("humaneval", documents=PROBLEMS)], "cpu", 2, seed=0)
    check_tasks(["humaneval"], allow_code=True)


def test_the_harness_asks_for_programs_and_ours_runs_them(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def passing(program: str) -> Ended:
        ran.append(program)
        return Ended(passed=len(ran) == 1, stopped=False)

    def short(task: Task) -> dict[str, Any]:
        config = real(task)
        return {**config, "generation_kwargs": {**config["generation_kwargs"], "max_gen_toks": 8}}

    real = harness._local
    monkeypatch.setattr(harness, "_local", short)
    monkeypatch.setattr(harness, "run_program", passing)
    task = Task("humaneval", documents=PROBLEMS)
    scores = {one.metric: one for one in evaluate_checkpoint(checkpoint, [task], "cpu", 2, seed=0, allow_code=True)}
    assert [program.startswith(PROBLEMS[0]["prompt"]) for program in ran] == [True, True]
    assert [program.endswith("check(add)\n") for program in ran] == [True, True]
    assert scores["pass_at_1"].interval.value == 0.5
    assert scores["pass_at_1"].count == 2
    assert (scores["stopped"].interval.value, scores["stopped"].higher_is_better) == (0.0, False)
