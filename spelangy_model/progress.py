"""Progress of long work, and an estimate of the time left.

Put here: the one protocol by which work reports progress, and its text form. Do not put here: where it is shown (a
terminal, a log).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

# The least progress for a rate: less would measure the start and not the work.
_ENOUGH_SHARE = 0.01
_ENOUGH_S = 300.0


class Progress(Protocol):
    """A callback that work calls at intervals."""

    def __call__(self, done: float, total: float, what: str) -> None:
        """Report that `done` of `total` are done; `what` names them in the plural: "steps", "questions"."""
        ...


def silent(done: float, total: float, what: str) -> None:
    """A Progress that reports nothing."""


@dataclass(frozen=True)
class Standing:
    """The progress of a piece of work.

    `share` is the share that is done, 0 to 1; `left_s` is None as long as there is no rate to derive it from.
    """

    share: float
    text: str
    elapsed_s: float
    left_s: float | None

    @property
    def left(self) -> str:
        return "no rate yet" if self.left_s is None else f"about {duration(self.left_s)} left"

    @property
    def line(self) -> str:
        """Return the progress as one line."""
        text = f"{self.text}, " if self.text else ""
        return f"{text}{100 * self.share:.0f}%: {duration(self.elapsed_s)} passed, {self.left}"


def standing(share: float, elapsed_s: float, text: str = "", from_share: float = 0.0) -> Standing:
    """Return the progress of work that went from `from_share` to `share` in `elapsed_s`; assume a constant rate."""
    share = min(1.0, share)
    gained = share - from_share
    enough = gained >= _ENOUGH_SHARE or (gained > 0 and elapsed_s >= _ENOUGH_S)
    return Standing(share, text, elapsed_s, elapsed_s * (1 - share) / gained if enough else None)


def duration(seconds: float) -> str:
    """Write a length of time in the unit that suits it."""
    if seconds < 120:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 7200 else f"{seconds / 3600:.2f} h"
