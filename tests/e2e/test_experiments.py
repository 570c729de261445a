"""Experiments on top of a recipe that lies in the store: they share what is equal, and compute the rest alone."""

import shutil
from pathlib import Path

import pytest
from homes import run_command, summary

from spelangy_assets.recipes.registry import recipe_named

pytestmark = pytest.mark.slow

COPY = """
from spelangy_assets import lab
from spelangy_assets.recipes.sample import TINY

COPY = lab.Recipe("again", *TINY.leaves)
"""
SIBLINGS = """
from spelangy_assets import lab
from spelangy_assets.recipes.sample import TINY as S
from spelangy_assets.recipes.sample_parts import BATCH_ROWS, HELD_OUT_VOICES, SEED, WHISPER_TINY, judging, training

tokens = lab.Tokens(speech=S["speech_tokenizer"], text=S["text_tokenizer"])
audio, turns, clean = S["raw_audio"], S["speech_segments"], S["clean_transcripts"]
alone = lab.transcripts(turns, lab.hypotheses(audio, turns, (WHISPER_TINY,), name="alone"), name="clean_alone")
sets = [
    S["web_fine"],
    lab.chunks(audio, clean, lab.Sentences(max_s=3), name="fine_3s", seed=SEED),
    lab.chunks(audio, clean, lab.Sentences(min_sentence_s=2.5), name="fine_long", seed=SEED),
    lab.chunks(audio, alone, lab.Sentences(), name="fine_alone", seed=SEED),
    lab.speech(S["krist_documents"], voices=HELD_OUT_VOICES, name="krist_b", seed=SEED),
]
shape = {"text": {S["text_tokens"]: 1.0}, "text_share": 0.15, "rows": 600, "max_epochs": 64.0, "seed": SEED}
rows = lab.mix(speech={tokens(one): 0.2 for one in sets}, **shape)
arms = {"fine": S["run_fine"], "siblings": lab.train(rows, base=S["base_lm"], **training(20, BATCH_ROWS, 3e-3))}
board = lab.leaderboard(
    arms,
    S["sqa_benchmarks"],
    ablations=(lab.Ablation("Siblings", "fine", "siblings"),),
    judging=judging(held_out_texts=10),
    seed=SEED,
)
SIBLINGS = lab.Recipe("siblings", board)
"""


def run_in(home: Path, tiny_home: Path, name: str, text: str) -> dict[str, int]:
    """Run an experiment in a copy of a home in which tiny lies; return how often each of its datasets was computed."""
    shutil.copytree(tiny_home, home)
    (home / f"{name}.py").write_text(text)
    ended = run_command(home, "-m", "spelangy_assets", "run", str(home / f"{name}.py"))
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return {asset: int(row["computed"]) for asset, row in summary(home, name)["assets"].items()}


def test_a_copy_of_a_recipe_under_another_name_computes_nothing(tiny_home: Path, tmp_path: Path) -> None:
    computed = run_in(tmp_path / "home", tiny_home, "again", COPY)
    assert set(computed) == {node.name for node in recipe_named("tiny").graph}
    assert sum(computed.values()) == 0


@pytest.mark.nightly
def test_siblings_of_every_kind_run_end_to_end_and_nothing_above_them_is_made_again(
    tiny_home: Path, tmp_path: Path
) -> None:
    """Three fine chunkings, two Krists and a second ensemble beside the first, one mix of them all."""
    computed = run_in(tmp_path / "home", tiny_home, "siblings", SIBLINGS)
    chunks = ("fine_3s", "fine_long", "fine_alone")
    derived = {f"{one}_{what}" for one in (*chunks, "krist_b") for what in ("tokens", "corpus", "topics")}
    pages = {f"{one}_{what}" for one in chunks for what in ("ledger", "page")}
    assert {asset for asset, times in computed.items() if times} == {
        *("alone", "clean_alone", *chunks, "krist_b_speech", *derived, *pages),
        *("mix_siblings", "siblings_contamination", "run_siblings", "eval_siblings", "text_skill_siblings"),
        "leaderboard",
    }
