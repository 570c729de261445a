"""A run is found by its name, and its speech tokenizer by its lineage."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spelangy_assets.access import Store
from spelangy_assets.cli.ask import ask
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.runs import SPEECH_TOKENIZER, model_folders

RECIPE = "recipe"


@pytest.mark.parametrize("name", ["run", "tuned", "adopted", "recipe/run"])
def test_the_speech_tokenizer_is_that_of_the_lineage(name: str, trained: ArtifactStore) -> None:
    found = model_folders(trained, name, RECIPE)
    assert found.name == f"recipe/{name.removeprefix('recipe/')}"
    assert (found.model / "model.safetensors").is_file()
    assert found.speech_tokenizer is not None
    assert json.loads((found.speech_tokenizer / "config.json").read_text())["model_type"] == "spelangy_speech_tokenizer"


def test_a_run_is_asked_as_its_recipe_judges_it(trained: ArtifactStore) -> None:
    assert model_folders(trained, "run", RECIPE).answers == {}
    assert model_folders(trained, "tuned", RECIPE).answers == {"answer_prefix": "Assistant:", "whole_reply": True}
    tuned = Store(trained, RECIPE).model("tuned")
    assert (tuned.answer_prefix, tuned.whole_reply) == ("Assistant:", True)
    assert tuned.ask("Who?").answer.tokens == tuned.max_answer_tokens  # it writes on over the ends of lines


def test_none_is_guessed_where_nothing_says_which(trained: ArtifactStore) -> None:
    assert model_folders(trained, "lonely", RECIPE).speech_tokenizer is None


def test_a_folder_is_a_model_with_the_speech_tokenizer_inside(
    trained: ArtifactStore, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert model_folders(trained, str(model_folder), RECIPE).speech_tokenizer is None
    (tmp_path / "mine").symlink_to(model_folder)
    (tmp_path / "run" / SPEECH_TOKENIZER).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert model_folders(trained, "mine", RECIPE).model == Path("mine")
    assert model_folders(trained, "./run", RECIPE).speech_tokenizer == Path("run") / SPEECH_TOKENIZER
    assert model_folders(trained, "run", RECIPE).name == "recipe/run"


def test_what_is_no_run_is_refused_with_the_runs_that_there_are(trained: ArtifactStore) -> None:
    runs = "adopted, lonely, run, tuned"
    with pytest.raises(ValueError, match=f"recipe has no run 'nosuch': its runs are {runs}"):
        model_folders(trained, "nosuch", RECIPE)
    with pytest.raises(ValueError, match=f"recipe/codec is no language model: its runs are {runs}"):
        model_folders(trained, "codec", RECIPE)
    with pytest.raises(ValueError, match="other has no run 'run': it has published none; make them with `run other`"):
        model_folders(trained, "other/run", RECIPE)


def test_several_questions_are_asked_and_a_bad_one_is_a_line(
    trained: ArtifactStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = tmp_path / "good.wav", tmp_path / "bad.wav"
    soundfile.write(good, 0.3 * np.sin(np.arange(20_000) / 9), 16_000)
    bad.write_text("no sound")
    assert ask(Store(trained, RECIPE), "run", [bad, good, "Who?"], ["Ann", "Ben"], "cpu", True) == 2
    shown = capsys.readouterr()
    assert shown.err.startswith(f"spelangy: {bad}: undecodable: ") and shown.err.count("\n") == 1
    found = json.loads(shown.out)
    assert found["run"] == "recipe/run"
    assert [one["question"] for one in found["answers"]] == [str(good), "Who?"]
    assert found["answers"][0]["sound_s"] == 1.25
    for one in found["answers"]:
        assert [option["option"] for option in one["options"]] == ["Ann", "Ben"]
        assert sum(option["share"] for option in one["options"]) == pytest.approx(1)
    assert ask(Store(trained, RECIPE), "run", ["Who?"], [], "cpu", False) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("recipe/run, loaded in ") and "\nWho?\n  answer: " in printed
