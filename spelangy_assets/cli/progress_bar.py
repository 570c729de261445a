"""Bars at the foot of a terminal: how much of a run is done, how far each dataset of it is, how long the rest takes.

Put here: drawing them. Do not put here: the counting (demo.py). Where the output is not a terminal, no bar is drawn, so
that a log holds whole lines only.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from spelangy_model.progress import Standing

_WHOLE = 1000


class Bars:
    """The bars of one stream, each with a title: `above` prints a whole line over them, `close` removes them."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self.shown = stream.isatty()
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            TextColumn("{task.percentage:3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(file=stream),
            refresh_per_second=2,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
            disable=not self.shown,
        )

    def above(self, line: str) -> None:
        if self.shown:
            self._progress.console.print(line, markup=False, highlight=False, soft_wrap=True)
        else:
            print(line, file=self._stream, flush=True)

    def draw(self, title: str, standing: Standing) -> None:
        if not self.shown:
            return
        if not self._tasks:
            self._progress.start()
            self._progress.console.show_cursor(True)  # else a killed run leaves a terminal without one
        text = ", ".join(filter(None, [standing.text, standing.left]))
        done = round(_WHOLE * standing.share)
        if title in self._tasks:
            self._progress.update(self._tasks[title], completed=done, text=text)
        else:
            self._tasks[title] = self._progress.add_task(title, total=_WHOLE, completed=done, text=text)

    def remove(self, title: str) -> None:
        if title in self._tasks:
            self._progress.remove_task(self._tasks.pop(title))

    def close(self) -> None:
        for title in list(self._tasks):
            self.remove(title)
        self._progress.stop()
