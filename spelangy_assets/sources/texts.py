"""The protocols of sources that give sentences and texts to stages beside a snapshot.

Put here: the protocols. Do not put here: a source (the sample world is one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable


class SourceUnavailable(Exception):
    """A source's file, package or world is missing, or not the one that the recipe states; the text has the cure."""


def check_names(sources: Sequence[Any], what: str) -> None:
    """Raise TypeError where there is no source, ValueError where two have one name: counts and metrics name them."""
    if not sources:
        raise TypeError(f"name at least one source: there are no {what}")
    names = [name for one in sources if (name := getattr(one, "name", ""))]
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two {what} are called {twice[0]!r}: name one anew")


@runtime_checkable
class TextSource(Protocol):
    """Texts in a fixed order: a frozen dataclass of literals that identify them."""

    def check(self) -> None:
        """Raise SourceUnavailable when the texts cannot be had."""
        ...

    def texts(self) -> Iterator[str]: ...


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence to be spoken. `sentence_id` identifies it, `source_id` and `url` state where it is from."""

    sentence_id: str
    source_id: str
    url: str
    text: str


@runtime_checkable
class SentenceSource(Protocol):
    """Sentences in a fixed order: a frozen dataclass of literals that identify them."""

    def check(self) -> None:
        """Raise SourceUnavailable when the sentences cannot be had."""
        ...

    def sentences(self) -> Iterator[Sentence]: ...
