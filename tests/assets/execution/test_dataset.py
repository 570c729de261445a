"""Recipes as programs: what handles are, what is derived, and what is refused with file and line."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any

import pytest

from spelangy_assets import lab
from spelangy_assets.execution.dataset import Dataset
from spelangy_assets.recipes import sample
from spelangy_assets.recipes.sample import BATCH_ROWS, SEED, TINY
from spelangy_assets.recipes.sample import SAMPLE as S
from spelangy_assets.recipes.sample_parts import HELD_OUT_VOICES

TOKENS = lab.Tokens(speech=S["speech_tokenizer"], text=S["text_tokenizer"])
TRAINING = sample.training(400, BATCH_ROWS, 3e-3)


def chunk_length(max_s: float = 6.0) -> lab.Recipe:
    """The experiment of the docs: another chunk rule, on top of the sample."""
    short = lab.chunks(
        S["raw_audio"], S["clean_transcripts"], lab.Sentences(max_s=max_s), name="web_fine_6s", seed=SEED
    )
    rows = lab.mix(speech={TOKENS(short): 1.0}, text={S["text_tokens"]: 1.0}, text_share=0.15, rows=1600, seed=SEED)
    arms = {"fine": S["run_fine"], "fine_6s": lab.train(rows, base=S["base_lm"], **TRAINING)}
    ablations = (lab.Ablation("Chunk length", "fine", "fine_6s"),)
    board = lab.leaderboard(arms, S["sqa_benchmarks"], ablations=ablations, judging=sample.judging(), seed=SEED)
    return lab.Recipe("chunk_length", board)


def test_equal_calls_give_equal_handles() -> None:
    one, other = chunk_length(), chunk_length()
    assert one["web_fine_6s"] == other["web_fine_6s"]
    assert hash(one["mix_fine_6s"]) == hash(other["mix_fine_6s"])
    assert one["web_fine_6s"] != chunk_length(7.0)["web_fine_6s"]
    assert TOKENS(S["web_fine"]) == S["web_fine_tokens"]
    assert len({TOKENS(S["quest_speech"]).on("2026-01"), TOKENS(S["quest_speech"])}) == 2


def test_an_experiment_on_top_of_the_sample_has_what_its_chunks_change_and_nothing_else_of_its_own() -> None:
    ours, theirs = chunk_length(), S
    new = {name for name, one in ours.datasets.items() if name not in theirs.datasets or one != theirs[name]}
    assert new == {
        *("web_fine_6s", "web_fine_6s_ledger", "web_fine_6s_page", "web_fine_6s_tokens", "web_fine_6s_corpus"),
        *("web_fine_6s_measures", "web_fine_6s_measures_corpus", "web_fine_6s_contents"),
        *("fine_6s_contamination", "web_fine_6s_topics", "mix_fine_6s", "run_fine_6s", "eval_fine_6s"),
        *("text_skill_fine_6s", "leaderboard", "leaderboard_page"),
    }


def test_every_sample_dataset_is_equal_in_two_builds_of_the_program() -> None:
    again = sample.build("tiny", "", sample.TINY_SIZE)
    assert again.datasets == TINY.datasets


def test_a_handle_narrowed_to_some_snapshots_gives_a_roll_up_of_those_alone() -> None:
    narrow = TOKENS(S["web_fine"]).on("talk")
    rows = lab.mix(speech={narrow: 1.0}, rows=100, name="mix_talk")
    graph = lab.Recipe("narrow", rows).graph
    assert graph["mix_talk"].inputs["speech.0"] == "web_fine_talk_corpus"
    assert graph["web_fine_talk_corpus"].members == (("web_fine_tokens", "talk"),)
    # repeats are looked for in the whole crawl, whatever is drawn from it
    assert [one for _, one in graph["raw_audio_corpus"].members] == ["2026-01", "2026-02", "talk"]


def test_a_mix_without_the_documents_that_hold_questions_reads_them_for_each_token_set() -> None:
    rows = lab.mix(speech={S["web_fine_tokens"]: 1.0}, rows=100, without=S["sqa_benchmarks"], name="mix_clean")
    graph = lab.Recipe("clean", rows).graph
    assert graph["mix_clean"].inputs["contaminated.speech.0"] == "web_fine_contaminated"
    assert graph["web_fine_contaminated"].inputs["questions"] == "sqa_benchmarks"


def test_any_dataset_may_have_siblings() -> None:
    """Three fine chunkings, two Krists and a second ensemble in one recipe."""
    whispers = lab.hypotheses(S["raw_audio"], S["speech_segments"], (sample.WHISPER_TINY,), name="tiny_hypotheses")
    alone = lab.transcripts(S["speech_segments"], whispers, name="tiny_transcripts")
    rules = {f"fine_{max_s}": lab.Sentences(max_s=max_s) for max_s in (4.0, 6.0, 8.0)}
    fine = [lab.chunks(S["raw_audio"], S["clean_transcripts"], rule, name=name) for name, rule in rules.items()]
    fine.append(lab.chunks(S["raw_audio"], alone, lab.Sentences(), name="fine_tiny"))
    slow = lab.speech(lab.krist(S["raw_pages"].on("2026-01"), name="krist_b"), voices=HELD_OUT_VOICES, seed=1)
    shares = {TOKENS(one): 0.2 for one in [*fine, slow]}
    graph = lab.Recipe("siblings", lab.mix(speech=shares, rows=100, name="mix_all")).graph
    assert {"fine_4.0_tokens", "fine_8.0_page", "fine_tiny_ledger", "krist_b_tokens"} <= {node.name for node in graph}


def run(seed: int) -> Dataset:
    rows = lab.mix(
        speech={S["web_fine_tokens"]: 1.0}, text={S["text_tokens"]: 1.0}, text_share=0.15, rows=1600, seed=SEED
    )
    return lab.train(rows, base=S["base_lm"], **sample.training(400, BATCH_ROWS, 3e-3, seed=seed))


def refused(make: Callable[[], Any]) -> str:
    """Return the error of a recipe, which has to name the line of this file on which the call stands."""
    with pytest.raises(lab.RecipeError) as raised:
        make()
    text = str(raised.value)
    assert "\n" not in text
    file, line, _ = text.split(":", 2)
    assert file == __file__
    assert int(line) in range(inspect.getsourcelines(refused)[1] + 12, 10_000)
    return text


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: S["web_fien"], "has no dataset 'web_fien'; near are web_fine"),
        (lambda: S["quest"], "has no dataset 'quest'; near are .*quest_tokens"),
        (lambda: lab.segments(S["raw_pages"]), "raw_audio takes Recording, but raw_pages is Page"),
        (lambda: lab.segments("raw_audio"), "raw_audio is str, not a dataset"),  # type: ignore[arg-type]
        (lambda: lab.segments(S["raw_audio"], max_gap=1.0), "unexpected keyword argument 'max_gap'"),
        (lambda: lab.mix(speech={S["web_fine_tokens"]: 0.7}, rows=10), "proportions of the speech_text sources"),
        (
            lambda: lab.mix(speech={S["text_tokens"]: 1.0}, rows=10),
            "text_tokens has no speech_tokenizer: it is a token set of text",
        ),
        (lambda: lab.mix(rows=10), "name at least one token set"),
        (lambda: lab.chunks(S["raw_audio"], S["clean_transcripts"], "fine", name="x"), "PAPER_MEAN_S|Turns"),  # type: ignore[arg-type]
        (lambda: S["raw_audio"].on("2026-04"), "has no snapshot '2026-04': take one of 2026-01"),
        (lambda: lab.recordings({"a/b": lab.Arriving()}), "'a/b'"),
        (lambda: lab.recordings({"mon": "folder"}), "snapshot 'mon': str is no source"),
        (lambda: lab.train(S["mix_fine"], base=S["base_lm"], preset="tiny", **TRAINING), "give exactly one of them"),
        (
            lambda: lab.leaderboard(
                {"fine": S["run_fine"]}, S["sqa_benchmarks"], ablations=(lab.Ablation("x", "fine", "fien"),)
            ),
            "names the arm 'fien', which is none of fine",
        ),
        (
            lambda: lab.leaderboard({"fine": [run(SEED), run(SEED)]}, S["sqa_benchmarks"]),
            f"the arm 'fine' lists one run twice with the seed {SEED}: give each another seed",
        ),
        (lambda: lab.questions(seed=1), "name at least one source"),
        (lambda: lab.Recipe("empty"), "needs at least one dataset"),
        (
            lambda: lab.transcripts(S["speech_segments"], S["transcript_hypotheses"], name="t", limits=3, nothing=1),
            "unexpected keyword argument 'nothing'",
        ),
    ],
)
def test_what_does_not_fit_is_refused_when_the_recipe_is_read(make: Callable[[], Any], words: str) -> None:
    assert re.search(words, refused(make))


def test_two_seeds_are_two_runs_whatever_they_are_called() -> None:
    board = lab.leaderboard({"fine": [run(SEED), run(SEED + 1)]}, S["sqa_benchmarks"], judging=sample.judging())
    assert [row.run for row in board.config.runs] == ["run_fine_s0", "run_fine_s1"]
    renamed = lab.train(S["mix_fine"], base=S["base_lm"], name="again", **TRAINING)
    assert renamed.unnamed == run(SEED).unnamed == S["run_fine"].unnamed
    assert renamed != S["run_fine"]


def test_two_datasets_of_one_name_are_refused_and_both_lines_named() -> None:
    one, other = (
        lab.chunks(S["raw_audio"], S["clean_transcripts"], lab.Sentences(max_s=max_s), name="web_6s")
        for max_s in (6.0, 7.0)
    )
    rows = lab.mix(speech={TOKENS(one): 0.5, TOKENS(other): 0.5}, rows=100, name="mix_two")
    with pytest.raises(
        lab.RecipeError, match=rf"{__file__}:\d+: web_6s.* is another dataset than that of {__file__}:\d+"
    ):
        _ = lab.Recipe("two", rows).graph


def test_a_recipe_is_what_its_leaves_reach_with_the_pages_that_belong_to_it() -> None:
    graph = lab.Recipe("chunks", S["web_fine"]).graph
    assert {node.name for node in graph} == {
        *("raw_audio", "speech_segments", "transcript_hypotheses", "clean_transcripts"),
        *("web_fine", "web_fine_ledger", "web_fine_page"),
        *("web_fine_measures", "web_fine_measures_corpus", "web_fine_contents"),
    }


def test_handles_of_one_recipe_serve_another(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(S["raw_pages"], Dataset)
    assert S["raw_pages"].snapshots == ("2026-01", "2026-02", "notes")
    assert S["quest_speech"].snapshots == ("2026-01", "2026-02")
    assert TOKENS(S["quest_speech"]).inputs["round_trip"] == S["quest_round_trip"]
