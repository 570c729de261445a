"""The bars at the foot of a terminal; a piped run prints whole lines alone."""

import io
import re

import pytest

from spelangy_assets.cli.demo import ProgressPrinter
from spelangy_assets.cli.progress_bar import Bars
from spelangy_assets.execution.runs import Run
from spelangy_assets.orchestration.workers import Ended, Finished, Working
from spelangy_assets.store.manifest import Counts
from spelangy_model.progress import Standing, standing


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    @property
    def seen(self) -> str:
        """What was written, without colours and moves of the cursor."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


@pytest.fixture(autouse=True)
def _wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"COLUMNS": "160", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_terminal_has_the_bar_below_its_lines():
    terminal = Terminal()
    bars = Bars(terminal)
    bars.draw("web_fine [2026]", standing(0.25, 60, "1 of 4 units"))
    bars.above("a dataset [with brackets]")
    bars.close()
    assert re.search(r"web_fine \[2026\] \S+ +25% 0:00:0\d 1 of 4 units, about 3.0 min left", terminal.seen)
    assert "a dataset [with brackets]\n" in terminal.seen


def test_a_pipe_has_no_bar():
    pipe = io.StringIO()
    bars = Bars(pipe)
    bars.draw("all", standing(0.5, 10))
    bars.above("a dataset")
    bars.close()
    assert pipe.getvalue() == "a dataset\n"


def finished(asset: str) -> Finished:
    return Finished(asset, None, False, True, Counts(13, 12, {"too_short": 1}), 3.0, 2.0)


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> dict[str, Standing]:
    """The bars that stand, instead of a terminal."""
    found: dict[str, Standing] = {}
    monkeypatch.setattr(Bars, "draw", lambda self, title, one: found.update({title: one}))
    monkeypatch.setattr(Bars, "remove", lambda self, title: found.pop(title, None))
    return found


def test_the_whole_counts_datasets_by_their_weight_and_those_under_way_by_their_share(drawn: dict[str, Standing]):
    printer = ProgressPrinter({"cheap": 1, "heavy": 3}, [("cheap", None), ("heavy", None)], Terminal())
    printer(finished("cheap"))
    assert (drawn["all"].share, drawn["all"].text) == (0.25, "1 of 2 datasets")
    printer(Working("heavy", None, Standing(0.5, "10 of 20 steps", 4.0, 4.0)))
    assert drawn["all"].share == pytest.approx(0.625)
    assert drawn["heavy"].text == "10 of 20 steps"
    printer(finished("heavy"))
    assert drawn["all"].share == 1 and set(drawn) == {"all"}


def test_a_dataset_of_a_run_that_failed_has_no_bar_any_more(drawn: dict[str, Standing]):
    printer = ProgressPrinter({"heavy": 3}, [("heavy", None)], Terminal())
    printer(Working("heavy", None, Standing(0.5, "10 of 20 steps", 4.0, 4.0)))
    printer(Ended(Run(None, None, ("heavy",)), "id", "heavy: no disk"))
    assert set(drawn) == {"all"} and drawn["all"].share == 0


def test_a_line_for_each_dataset_is_printed_into_a_pipe():
    pipe = io.StringIO()
    printer = ProgressPrinter({"cheap": 1}, [("cheap", None)], pipe)
    printer(Working("cheap", None, Standing(0.5, "1 of 2 units", 4.0, 4.0)))
    printer(finished("cheap"))
    printer.close()
    assert re.fullmatch(r"\[ +0 s   1/1\] cheap +3.0 s +12 kept  dropped: too_short 1\n", pipe.getvalue())
