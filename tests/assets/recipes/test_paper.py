"""What recipe `paper` takes from the paper, literal by literal, each with where the paper says it.

The paper: "Data-Centric Lessons To Improve Speech-Language Pretraining". Where two public summaries of its camera-ready
version agree on a figure, the figure is here; what the paper leaves open is a choice of the recipe and has no row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from spelangy_assets.recipes.paper import BATCH_ROWS, PAPER, ROW_TOKENS, STEPS, TRAINED_TOKENS
from spelangy_model.audio.chunking import Sentences, Turns
from spelangy_model.audio.filters import PAPER_LIMITS, FilterLimits

GRAPH = PAPER.graph
SETS = {"web_coarse_corpus": "coarse", "web_fine_corpus": "fine", "krist_corpus": "Krist", "quest_corpus": "Quest"}


def mix_of(arm: str) -> Any:
    """Return the mixture on which an arm is trained."""
    return GRAPH[GRAPH[f"run_{arm}"].inputs["mix"]].config.mixture


def shares_of(arm: str) -> dict[str, float]:
    """Return the shares of an arm's speech."""
    node = GRAPH[GRAPH[f"run_{arm}"].inputs["mix"]]
    sources = node.config.mixture.sources
    return {SETS[node.inputs[one.name]]: one.amount.share for one in sources if one.kind == "speech_text"}


def row_of(before: str, after: str) -> tuple[float, float] | None:
    (found,) = [row for row in GRAPH["leaderboard"].config.ablations if (row.before, row.after) == (before, after)]
    return found.paper


def systems() -> list[str]:
    return [system.model.partition("/")[2] for system in GRAPH["transcript_hypotheses"].config.systems]


# What is stated, what the recipe has, and where the paper states it.
FACTS: list[tuple[Any, Callable[[], Any], str]] = [
    (16_384, lambda: ROW_TOKENS, "pretraining: context length"),
    (200_000, lambda: STEPS, "pretraining: steps"),
    (512, lambda: BATCH_ROWS, "pretraining: batch size"),
    (pytest.approx(1.67e12, rel=0.01), lambda: TRAINED_TOKENS, "pretraining: tokens"),
    (0.6, lambda: mix_of("fine").text_share, "pretraining: 60% of the tokens are text alone"),
    (19.2, lambda: Turns.PAPER_MEAN_S, "interleaving granularity: mean of coarse chunks"),
    (5.2, lambda: Sentences.PAPER_MEAN_S, "interleaving granularity: mean of fine chunks"),
    ({"coarse": 1.0}, lambda: shares_of("coarse_stochastic"), "granularity: coarse"),
    ({"fine": 1.0}, lambda: shares_of("fine_stochastic"), "granularity: fine"),
    ({"fine": 1.0}, lambda: shares_of("fine"), "synthetic data: web 100%"),
    ({"fine": 0.53, "Krist": 0.47}, lambda: shares_of("fine_krist"), "synthetic data: web 53%, Krist 47%"),
    ({"fine": 0.66, "Quest": 0.34}, lambda: shares_of("fine_quest"), "synthetic data: web 66%, Quest 34%"),
    (
        {"fine": 0.59, "Krist": 0.35, "Quest": 0.06},
        lambda: shares_of("fine_krist_quest"),
        "synthetic data: web 59%, Quest 6%, Krist 35%",
    ),
    ("stochastic", lambda: mix_of("coarse_stochastic").interleaving.sampling, "modality sampling: before"),
    ("deterministic", lambda: mix_of("fine").interleaving.sampling, "modality sampling: after"),
    (True, lambda: mix_of("fine_krist_quest").interleaving.loss_on_speech, "loss: on both modalities"),
    (False, lambda: mix_of("masked").interleaving.loss_on_speech, "loss: understanding only"),
    (False, lambda: mix_of("masked_coarse_stochastic").interleaving.loss_on_speech, "loss: start of that ladder"),
    ((37.6, 40.7), lambda: row_of("coarse_stochastic", "fine_stochastic"), "Table 1: coarse to fine"),
    ((41.4, 42.4), lambda: row_of("fine_stochastic", "fine"), "modality sampling: stochastic to deterministic"),
    ((40.7, 41.5), lambda: row_of("fine", "fine_krist"), "Table 2: with Krist"),
    ((40.7, 47.9), lambda: row_of("fine", "fine_quest"), "Table 2: with Quest"),
    ((40.7, 42.1), lambda: row_of("fine", "fine_krist_quest"), "Table 2: with both"),
    ((42.4, 51.8), lambda: row_of("fine_krist_quest", "masked"), "loss: all interventions, both losses"),
    ((42.5, 51.8), lambda: row_of("masked_coarse_stochastic", "masked"), "loss: from baseline to all interventions"),
    (
        ["faster-whisper-large-v3", "parakeet-tdt-0.6b-v2"],
        lambda: systems()[:2],
        "transcripts: Whisper and Parakeet TDT",
    ),
    (3, lambda: len(systems()), "transcripts: an ensemble of three, by ROVER"),
    (PAPER_LIMITS, lambda: GRAPH["clean_transcripts"].config.limits, "filters: empty and repeated segments"),
    ("pyannote", lambda: GRAPH["speech_segments"].config.diarizer.backend, "speaker turns by pyannote"),
    (("en",), lambda: GRAPH["clean_transcripts"].config.limits.languages, "English alone, by Whisper"),
    (
        {"CoreEN": (62.4, 61.8), "MMLU": (62.2, 67.3), "GSM8k": (47.1, 71.9), "HumanEval": (29.9, 37.6)},
        lambda: {one.name: tuple(dict(one.published).values())[:2] for one in GRAPH["leaderboard"].config.text_results},
        "text results: the text LM, and after pretraining on speech",
    ),
    (12, lambda: len(GRAPH["text_skill_fine"].config.tasks), "text tasks: CoreEN's nine, MMLU, GSM8k, HumanEval"),
    ("xavier_normal", lambda: GRAPH["run_fine"].config.new_embeddings, "new embeddings: Xavier normal"),
    ("xavier_normal", lambda: GRAPH["base_lm"].config.new_embeddings, "new embeddings: Xavier normal, the markers too"),
    ("1b", lambda: GRAPH["speech_tokenizer"].config.preset, "speech tokenizer: 1B parameters"),
    (
        True,
        lambda: GRAPH["speech_tokenizer"].config.training.reconstruction_loss_weight > 0,
        "speech tokenizer: ASR loss and reconstruction loss",
    ),
    (5, lambda: len({voice.accent for voice in GRAPH["krist_speech"].config.voices}), "synthetic speech: five accents"),
]


@pytest.mark.parametrize(("stated", "here", "source"), FACTS, ids=[source for *_, source in FACTS])
def test_a_literal_is_the_one_that_the_paper_states(stated: Any, here: Callable[[], Any], source: str) -> None:
    assert here() == stated, source


def test_every_arm_has_the_same_tokens_and_every_row_names_arms() -> None:
    board = GRAPH["leaderboard"].config
    arms = {row.arm for row in board.runs}
    assert {mix_of(arm).rows for arm in arms} == {BATCH_ROWS * STEPS}
    assert all({row.before, row.after} <= arms for row in board.ablations)
    assert all(row.paper for row in board.ablations)


def test_the_preset_of_filters_leaves_the_papers_two_rules_and_the_language() -> None:
    off = FilterLimits()
    kept = {"max_ngram_repeats", "max_ngram_words", "max_letter_repeats", "max_repeated_letters", "languages"}
    assert all(getattr(PAPER_LIMITS, name) == getattr(off, name) for name in kept)
    assert (PAPER_LIMITS.min_agreement, PAPER_LIMITS.min_confidence, PAPER_LIMITS.phrases) == (0.0, 0.0, ())


def test_the_systems_are_asked_for_the_writing_by_name_and_all_write_case_and_marks() -> None:
    names = tuple(system.name for system in GRAPH["transcript_hypotheses"].config.systems)
    assert GRAPH["clean_transcripts"].config.rover.written == names
    assert not any("ctc" in name for name in names)  # NVIDIA's CTC models write lower case without marks
    assert GRAPH["speech_segments"].config.diarizer.exclusive


def test_the_text_results_are_of_tasks_that_are_asked() -> None:
    asked = {task.name for task in GRAPH["text_skill_fine"].config.tasks}
    results = GRAPH["leaderboard"].config.text_results
    assert {name.split(".")[0] for one in results for name in one.metrics} == asked


def test_every_run_and_system_answers_in_words_and_a_judge_is_asked() -> None:
    board = GRAPH["leaderboard"]
    judged = [name for role, name in board.inputs.items() if role.split(".")[0] in ("answers", "system_answers")]
    assert judged == [
        *(f"judged_{row.label}" for row in board.config.runs),
        *(f"judged_{row.label}" for row in board.config.systems),
    ]
    assert {GRAPH[name].config.judge.name for name in judged} == {"gpt-4o"}
    assert {GRAPH[name].inputs["accepted"] for name in judged} == {"sqa_benchmarks_accepted"}
