"""The page of what a recipe is written with is what the code says."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from spelangy_assets import lab
from spelangy_assets.recipes.sample import SAMPLE, TINY


@pytest.fixture(scope="module")
def tool(project_dir: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("list_lab", project_dir / "tools" / "list_lab.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_whole(tool: ModuleType, project_dir: Path) -> None:
    page = (project_dir / "docs" / "lab.md").read_text()
    assert page == tool.page(), "python tools/list_lab.py --write"
    headings = set(page.split("\n"))
    assert [name for name in lab.__all__ if f"### {name}" not in headings] == []
    assert [name for name in SAMPLE.datasets if f"| `{name}` | " not in page] == []


def test_arguments_and_options_stand_with_their_defaults(tool: ModuleType) -> None:
    assert "loss_on_speech: bool = False" in tool._arguments(lab.mix, "mix")
    train = tool._arguments(lab.train, "train")
    assert {"match_loss_tokens_of: Dataset | None = None", "steps: int"} <= set(train)
    assert not any(one.startswith("runs") for one in tool._arguments(lab.leaderboard, "leaderboard"))
    rule = {name: (default, text) for name, default, text in tool._fields(lab.Sentences)}
    assert rule["min_sentence_s: float"] == ("1.0", "A shorter sentence stays with its neighbour.")
    assert rule["margin_s: float"][0] == "0.5"  # of the type that it extends


def test_the_names_of_tiny_are_the_samples() -> None:
    assert set(SAMPLE.datasets) - set(TINY.datasets) == {"word_times", "word_times_corpus"}
    assert set(TINY.datasets) <= set(SAMPLE.datasets)
