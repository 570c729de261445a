"""The protocol of sources that give conversations to post-training.

Put here: the protocol. Do not put here: a source (the sample world is one; files of conversations are with the stage).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol, runtime_checkable

from spelangy_model.data.conversation_files import GivenConversation
from spelangy_model.records import Reject


@runtime_checkable
class ConversationSource(Protocol):
    """Conversations in a fixed order, in parts: a frozen dataclass of literals that identify them."""

    @property
    def name(self) -> str:
        """The name of the set, which its records and counts hold."""
        ...

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable (texts.py) when the conversations cannot be had."""
        ...

    def parts(self, environment: Mapping[str, str]) -> Sequence[tuple[str, int]]:
        """Return the parts, each with how many records it has."""
        ...

    def records(self, part: str, environment: Mapping[str, str]) -> Iterator[GivenConversation | Reject]:
        """Yield the conversations of a part in order; a record that is none as a reject, with its reason."""
        ...
