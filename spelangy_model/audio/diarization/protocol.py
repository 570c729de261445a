"""The interface of diarizers, and of their configurations in a recipe.

Put here: the two protocols. Do not put here: any diarizer. The configuration of an external one is a frozen dataclass
with a `version` and these two methods, in any module.
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
    """The configuration of a diarizer in a recipe. `environment` holds credentials for a service or model."""

    def locate(self, environment: Mapping[str, str]) -> None:
        """Raise DiarizerUnavailable, with the cure, unless the diarizer can run. Cheap: loads no model."""
        ...

    def load(self, environment: Mapping[str, str], device: str = "cpu") -> Diarizer: ...
