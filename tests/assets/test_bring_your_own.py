"""docs/bring_your_own.md: each example is written to a file, read as a recipe, and its own part does its work."""

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.sources.questions import QuestionSource
from spelangy_assets.sources.texts import SourceUnavailable, TextSource
from spelangy_model.audio.asr.protocol import recognize_all

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "bring_your_own.md").read_text()
EXAMPLES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE))
RECIPES = [
    (file, name) for file, text in EXAMPLES.items() for name in re.findall(r"^([A-Z]+) = lab.Recipe", text, re.M)
]


@pytest.mark.parametrize(("file", "name"), RECIPES)
def test_an_example_is_a_recipe(file: str, name: str, tmp_path: Path):
    (tmp_path / file).write_text(EXAMPLES[file])
    assert len(recipe_named(f"{tmp_path / file}:{name}").graph) > 0


def module_of(file: str) -> ModuleType:
    module = ModuleType(file.removesuffix(".py"))
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(EXAMPLES[file], file, "exec"), vars(module))
    return module


def test_the_recognizer_gives_words_with_times(tmp_path: Path):
    system = module_of("my_asr.py").LoudSeconds()
    samples = np.concatenate([np.zeros(16_000), np.full(8_000, 0.5)]).astype(np.float32)
    window: Any = type("Window", (), {"samples": samples})()
    (heard,) = recognize_all(system.name, system.load(system.locate(tmp_path)), [window])
    assert [(word.text, word.start_s, word.end_s) for word in heard.words] == [("word", 1.0, 1.5)]


def test_the_benchmark_gives_questions():
    source = module_of("my_benchmark.py").Capitals()
    assert isinstance(source, QuestionSource)
    asked, dropped = source.read(0, {})
    assert [one.options[one.answer_index] for one in asked] == ["Paris", "Rome", "Madrid", "Lima"]
    assert dropped == {}


def test_the_texts_are_read_or_their_absence_is_said(tmp_path: Path):
    lines = module_of("my_texts.py").Lines
    (tmp_path / "corpus.txt").write_text("one\ntwo\n")
    source = lines(str(tmp_path / "corpus.txt"), "0" * 64)
    assert isinstance(source, TextSource)
    assert list(source.texts()) == ["one", "two"]
    with pytest.raises(SourceUnavailable, match="put the corpus there"):
        lines("nowhere.txt", "0" * 64).check()
