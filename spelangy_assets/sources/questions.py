"""What gives questions to a benchmark.

Put here: the protocol. Do not put here: a source (the sample world is one; files of questions stand with the stage).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its four options, the right one among them; with `audio` it comes with its recording."""

    benchmark: str
    text_id: str
    split: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    relation: str
    audio: Path | None = None


@runtime_checkable
class QuestionSource(Protocol):
    """Questions in a fixed order: a frozen dataclass of literals that identify them."""

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable (texts.py) when the questions cannot be had."""
        ...

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        """Return the questions, and how many were dropped for each reason."""
        ...
