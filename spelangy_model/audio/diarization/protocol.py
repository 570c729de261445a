"""What a diarizer promises, and how a recipe names one.

Put here: that. Do not put here: any diarizer. One from outside is a frozen dataclass with a `version` and these two
methods, in a module of one's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from spelangy_model.audio.turns import Turn


class DiarizerUnavailable(Exception):
    """A diarizer or its model is missing; the message states how to get it."""


class Diarizer(Protocol):
    """Finds who speaks when in a recording."""

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        """Return the turns, sorted, of mono float32 samples (n,) at 16 kHz; turns of two speakers may overlap.

        Labels are valid within this recording only. A recording without speech has no turns.
        """
        ...


class DiarizerChoice(Protocol):
    """A diarizer as literals of a recipe. `environment` holds what a service or a gated model asks for."""

    def locate(self, environment: Mapping[str, str]) -> None:
        """Raise DiarizerUnavailable, with the cure, unless the diarizer can run. Cheap: loads no model."""
        ...

    def load(self, environment: Mapping[str, str], device: str = "cpu") -> Diarizer: ...
