"""One line at the foot of a terminal: how much of a run is done, and about how long the rest takes.

Put here: the line, and where it may be drawn. Do not put here: what is counted (demo.py). Where the output is no
terminal nothing is drawn, so that a log holds whole lines alone.
"""

from __future__ import annotations

from typing import TextIO

from spelangy_assets.report.render import duration

_CELLS = 24


def bar_line(done: float, total: float, elapsed_s: float) -> str:
    """Return the line for a part of the work that is done after some time; the rest is taken to go at the same rate."""
    share = min(1.0, done / total) if total else 1.0
    filled = round(share * _CELLS)
    left = f"about {duration(elapsed_s * (1 - share) / share)} left" if share else "no rate yet"
    return f"[{'#' * filled}{'.' * (_CELLS - filled)}] {100 * share:3.0f}%  {duration(elapsed_s)} gone, {left}"


class Bar:
    """The line of one stream: `above` prints a whole line over it, `draw` draws it anew, `close` removes it."""

    def __init__(self, stream: TextIO):
        self._stream = stream
        self._drawn = False
        self.shown = stream.isatty()

    def above(self, line: str) -> None:
        self.close()
        print(line, file=self._stream, flush=True)

    def draw(self, done: float, total: float, elapsed_s: float) -> None:
        if self.shown:
            self._stream.write(f"\r\x1b[2K{bar_line(done, total, elapsed_s)}")
            self._stream.flush()
            self._drawn = True

    def close(self) -> None:
        if self._drawn:
            self._stream.write("\r\x1b[2K")
            self._stream.flush()
            self._drawn = False
