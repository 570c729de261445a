"""The protocol of sources that give questions to a benchmark.

Put here: the protocol. Do not put here: a source (the sample world is one; files of questions are with the stage).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Asked:
    """A question with its four options, the right one among them; with `audio` it comes with its recording.

    `cluster` is what it shares with other questions of its benchmark, so that their answers are not independent: an
    entity, a source document, a passage. It is empty where nothing is known to be shared. `answers` are all that count
    as right; empty: the right option alone.
    """

    benchmark: str
    text_id: str
    split: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    relation: str
    audio: Path | None = None
    cluster: str = ""
    answers: tuple[str, ...] = ()

    @property
    def cluster_id(self) -> str:
        """Return the cluster's id in the records: unique over benchmarks, the question's own id for a lone one."""
        return f"{self.benchmark}: {self.cluster}" if self.cluster else self.text_id


@runtime_checkable
class QuestionSource(Protocol):
    """Questions in a fixed order: a frozen dataclass of literals that identify them."""

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable (texts.py) when the questions cannot be had."""
        ...

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        """Return the questions, and how many were dropped for each reason."""
        ...
