"""The protocol of sources that give passages of held-out talk to an evaluation.

Put here: the protocol. Do not put here: a source (the sample world is one).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable


@dataclass(frozen=True, slots=True)
class Passage:
    """Sentences in a row of one talk, each with its speaker: CONTEXT_SENTENCES (records.py) and the one after them.

    `passage_id` identifies it, `cluster` is what passages share that are not independent.
    """

    passage_id: str
    talk_id: str
    cluster: str
    sentences: tuple[tuple[str, str], ...]


@runtime_checkable
class TalkSource(Protocol):
    """Passages in a fixed order, of talk that no training set holds: a frozen dataclass of literals."""

    def check(self) -> None:
        """Raise SourceUnavailable (texts.py) when the talk cannot be had."""
        ...

    def passages(self) -> Iterator[Passage]: ...
