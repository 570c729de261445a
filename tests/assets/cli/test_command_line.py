"""The command line: mistakes end in one line and status 2; recipes of files; the plan of an experiment."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from spelangy_assets.cli.main import main
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.recipes.registry import recipe_named, recipe_sent, text_of
from spelangy_assets.recipes.sample import SAMPLE

EXAMPLE = "examples/chunk_length.py"
FILES = {
    "typo.py": "from spelangy_assets import lab\nlab.nothing()\n",
    "syntax.py": "def (:\n",
    "none.py": "X = 1\n",
    "two.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "A = lab.Recipe('a', S['web_fine'])\nB = lab.Recipe('b', S['web_coarse'])\n"
    ),
    "taken.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "A = lab.Recipe('sample', S['web_fine'])\n"
    ),
    "share.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "ROWS = lab.mix(speech={S['web_fine_tokens']: 0.7}, rows=10)\n"
    ),
    "no_tokens.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "ROWS = lab.mix(speech={S['web_fine']: 1.0}, rows=10)\n"
    ),
    "no_argument.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "ROWS = lab.mix(speech={S['web_fine_tokens']: 1.0}, rows=10, row_length=256)\n"
    ),
    "unknown_field.py": "from spelangy_assets import lab\nRULE = lab.Sentences(\n    max_seconds=3,\n)\n",
    "unknown_option.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "RUN = lab.train(S['mix_fine'], base=S['base_lm'], matched=S['run_quest'])\n"
    ),
    "short.py": "from spelangy_assets import lab\nRULE = lab.Sentences(max_s=0.5)\n",
    "points.py": "from spelangy_assets import lab\nROW = lab.Ablation('Quest', 'a', 'b', effect=7.2)\n",
    "twice.py": (
        "from spelangy_assets import lab\nfrom spelangy_assets.recipes.sample import SAMPLE as S\n"
        "from spelangy_assets.recipes.sample import training\n"
        "TWO = [lab.train(S['mix_fine'], base=S['base_lm'], name=one, **training(4, 5, 1e-3)) for one in 'ab']\n"
        "BOARD = lab.leaderboard({'fine': TWO}, S['sqa_benchmarks'])\n"
    ),
    "no_folder.py": (
        "from spelangy_assets import lab\nA = lab.recordings({'mine': lab.Arriving()})\n"
        "RECIPE = lab.Recipe('no_folder', lab.segments(A))\n"
    ),
    "beside.py": "from words_of_mine import NAME\nfrom spelangy_assets import lab\n"
    "RECIPE = lab.Recipe('beside', lab.recordings({NAME: lab.Arriving()}))\n",
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path / "home"))
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "a folder").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nosuch"], "No such command 'nosuch'"),
        (["run"], "Missing argument 'RECIPE'"),
        (["run", "nosuch"], "no recipe 'nosuch'; there are sample, paper"),
        (["run", "nosuch.py"], "no recipe can be read there (No such file or directory)"),
        (["run", "{}/a folder/.py"], "no recipe can be read there"),
        (["plan", "{}/typo.py"], "typo.py:2: AttributeError: module 'spelangy_assets.lab' has no attribute 'nothing'"),
        (["plan", "{}/copy.py"], "it hides Python's own module 'copy' from a run's processes; rename the file"),
        (["plan", "{}/syntax.py"], "syntax.py:1: invalid syntax"),
        (["plan", "{}/none.py"], "has no recipe; write RECIPE = lab.Recipe(...)"),
        (["plan", "{}/two.py"], "has 2 recipes (A, B); name one:"),
        (["plan", "{}/two.py:C"], "no recipe is called 'C' there; it has A, B"),
        (["plan", "{}/taken.py"], "taken.py:3: 'sample' is the name of a recipe of the package"),
        (["plan", "{}/share.py"], "share.py:3: mix: the proportions of the speech_text sources are [0.7]"),
        (
            ["plan", "{}/no_tokens.py"],
            "no_tokens.py:3: mix: web_fine is no token set: pass its tokens, tokens(web_fine)",
        ),
        (
            ["plan", "{}/unknown_field.py"],
            "unexpected keyword argument 'max_seconds'; its arguments are margin_s, slack_s, max_document_gap_s, "
            "max_document_chunks, max_s, min_sentence_s",
        ),
        (
            ["plan", "{}/unknown_option.py"],
            "unknown_option.py:3: train: got an unexpected keyword argument 'matched'; its arguments are mix, base, "
            "match_loss_tokens_of, name, ",
        ),
        (["plan", "{}/short.py"], "short.py:2: ValueError: max_s is 0.5: take more than min_sentence_s, which is 1.0"),
        (["plan", "{}/points.py"], "for 7.2 points write effect=0.072"),
        (
            ["plan", "{}/twice.py"],
            "twice.py:5: leaderboard: the arm 'fine' lists one run twice with the seed 20260101: give",
        ),
        (["run", "{}/no_folder.py"], "snapshots/audio/mine: put the snapshot's files there"),
        (
            ["plan", "{}/no_argument.py"],
            "unexpected keyword argument 'row_length'; its arguments are speech, text, rows",
        ),
        (["run", "sample", "--only", "web_fien"], "recipe sample has no dataset 'web_fien'; near are web_fine"),
        (["run", "sample", "--only", "leaderboard@2026-01"], "leaderboard has no snapshots: write --only leaderboard"),
        (["run", "sample", "--workers", "0"], "Invalid value for '--workers'"),
        (["run", "sample", "--workers", "many"], "Invalid value for '--workers'"),
        (["status", "nosuch"], "no recipe 'nosuch'"),
        (["lineage"], "name a dataset or --url"),
        (["lineage", "eval_fine", "--below", "--cost"], "at most one of --below, --cost and --row"),
        (["lineage", "eval_fine"], "has no published version; make it: spelangy run RECIPE --only eval_fine"),
        (["export", "clean_transcripts@2026-09", "{}/out", "--to", "ctm"], "2026-09"),
        (["export", "web_fine", "{}/out", "--to", "hf"], "sample has published no web_fine"),
        (["ask", "run_fine"], "nothing is asked: name recordings of questions, or --text"),
        (["ask", "run_fine", "--text", "Who?"], "sample has no run 'run_fine': it has published none"),
        (["ask", "run_fine", "--text", "Who?", "--option", "Ann"], "one option is nothing to compare"),
        (["ask", "{}/a folder", "--text", "Who?"], "vocabulary_layout.json: no readable vocabulary layout"),
        (["talk", "run_fine"], "sample has no run 'run_fine': it has published none"),
        (["ask", "{}/no folder", "--text", "Who?"], "is no folder: name one that holds a model, or a run of sample"),
        (["speech", "{}/no folder"], "name a folder that holds recordings"),
        (["speech", "{}/a folder", "--name", "../x"], "'../x'"),
        (["checkpoint", "{}/a folder"], "cannot be adopted"),
        (["gc", "--recipe", "tiny/"], "'tiny/'"),
        (["gc", "--days", "-1"], "Invalid value for '--days'"),
        (["verify", "nothing"], "there is no store at"),
        (["retire", "nosuch"], "there is no store at"),
        (["overrule", "web_fine@2026-01", "--by", "A. Person"], "Missing option '--reason'"),
        (["overrule", "web_fine@2026-01", "--by", "A. Person", "--reason", "known"], "web_fine"),
        (["fetch", "sample"], "sample fetches nothing: give a snapshot lab.Downloads(...)"),
        (["ui", "nosuch.py"], "no recipe can be read there"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_mistake_is_one_line_that_says_what_it_is_and_status_2(
    arguments: list[str], words: str, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([argument.format(home) for argument in arguments]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1, printed
    assert "Traceback" not in printed


def test_every_command_says_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in (
        *("run", "plan", "recipes", "status", "lineage", "export", "speech", "ui", "verify", "gc", "forget", "retire"),
        *("overrule", "checkpoint", "fetch", "ask", "talk"),
    ):
        assert f"\n  {command} " in shown
        assert main([command, "--help"]) == 0
        assert len(capsys.readouterr().out.splitlines()) > 5
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("spelangy 0.")


def test_recipes_and_states_are_read_by_programs(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "--json"]) == 0
    assert {"sample", "tiny", "paper"} <= set(json.loads(capsys.readouterr().out))
    assert main(["status", "tokenizer", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert [(one["dataset"], one["state"]) for one in found] == [
        ("tokenizer_speech", "missing"),
        ("speech_tokenizer", "waiting"),
        ("decodable_tokenizer", "waiting"),
        ("speech_reconstruction", "waiting"),
    ]


def test_a_plan_holds_what_a_run_would_make(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "sample", "--only", "web_fine@2026-01", "--json"]) == 0
    planned = json.loads(capsys.readouterr().out)["datasets"]
    assert [(one["dataset"], one["snapshot"]) for one in planned if one["made"]] == [
        (name, "2026-01")
        for name in ("raw_audio", "speech_segments", "transcript_hypotheses", "clean_transcripts", "web_fine")
    ]


def test_a_plan_without_the_folder_of_a_snapshot_names_it_and_makes_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", f"{home}/no_folder.py"]) == 2
    printed = capsys.readouterr()
    assert "2 of 2 datasets to make in 1 Dagster run\n" in printed.out
    assert "not known: this store has no version" in printed.out
    assert "rests on" not in printed.out
    assert printed.err.startswith("spelangy: no folder ")
    assert not (home / "home").exists()


def test_a_snapshot_that_a_run_would_fetch_is_not_called_missing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (home / "talks.txt").write_text("https://example.org/talk.mp3\n")
    (home / "talks.py").write_text(
        "from spelangy_assets import lab\n"
        f"TALKS = lab.Downloads(lists=({str(home / 'talks.txt')!r},), licence='CC0-1.0')\n"
        "RECIPE = lab.Recipe('talks', lab.recordings({'2026-11': TALKS}))\n"
    )
    assert main(["plan", f"{home}/talks.py"]) == 0
    printed = capsys.readouterr()
    assert "raw_audio[2026-11]" in printed.out
    assert printed.err == ""


def test_a_recipe_reads_modules_of_its_folder_and_other_packages_come_first(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    (home / "words_of_mine.py").write_text("NAME = 'mine'\n")
    (home / "typer.py").write_text("raise ImportError('this is no typer')\n")
    (home / "home/snapshots/audio/mine").mkdir(parents=True)
    assert main(["plan", f"{home}/beside.py"]) == 0
    assert "raw_audio[mine]" in capsys.readouterr().out
    assert sys.path[-1] == str(home)


def test_the_list_of_recipes_has_two_columns(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes"]) == 0
    assert all(re.match(r"\w+  ", line) for line in capsys.readouterr().out.splitlines())


def test_the_example_trains_the_second_seeds_and_takes_the_first_from_the_sample(project_dir: Path) -> None:
    recipe = recipe_named(str(project_dir / EXAMPLE))
    assert recipe.name == "chunk_length"
    known = {one.unnamed for one in SAMPLE.datasets.values()}
    own = {name for name, one in recipe.datasets.items() if one.unnamed not in known}
    assert own == {
        *("mix_coarse_s1", "run_coarse_s1", "mix_fine_s1", "run_fine_s1", "held_out_talk"),
        *(f"eval_{run}" for run in ("coarse_s0", "coarse_s1", "fine_s0", "fine_s1")),
        *("text_skill_coarse_s1", "text_skill_fine_s1", "coarse_s1_contamination", "fine_s1_contamination"),
        *("leaderboard", "leaderboard_page"),
    }


def test_the_script_for_several_seeds_has_three_runs_an_arm_and_the_seeds_differ(
    project_dir: Path, tmp_path: Path
) -> None:
    page = (project_dir / "docs" / "first_recipe.md").read_text()
    first, seeds = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "first.py").write_text(first)
    (tmp_path / "seeds.py").write_text(seeds)
    assert recipe_named(str(tmp_path / "first.py")).name == "first"
    recipe = recipe_named(str(tmp_path / "seeds.py"))
    runs = [row.run for row in recipe["leaderboard"].config.runs]
    assert runs == [f"run_{arm}_s{number}" for arm in ("long", "short") for number in range(3)]
    assert len({recipe[run].unnamed for run in runs}) == 6
    assert recipe["mimi"].config.source == "mimi"


def test_a_recipes_file_that_changed_is_refused_and_one_that_is_sent_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(FILES["two.py"])
    recipe = recipe_named(f"{file}:B")
    text = text_of(recipe.reference)
    assert recipe_named(recipe.reference) is recipe
    file.write_text(FILES["two.py"] + "# changed\n")
    with pytest.raises(RecipeError, match="changed since this run began"):
        recipe_named(recipe.reference)
    file.unlink()
    assert recipe_sent(recipe.reference, text).name == "b"
    with pytest.raises(RecipeError, match="another text came"):
        recipe_sent(recipe.reference, b"x = 1")
