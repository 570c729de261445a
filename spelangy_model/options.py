"""Refuse options without effect under a choice, so that they cannot change a version.

Put here: that check. Do not put here: which options belong to which choice (the types declare that).
"""

from __future__ import annotations

import dataclasses
from typing import Any


def refuse_idle(config: Any, where: str, *names: str) -> None:
    """Raise ValueError for an option of a dataclass that differs from its default but has no effect `where`."""
    for field in dataclasses.fields(config):
        default = field.default if field.default_factory is dataclasses.MISSING else field.default_factory()
        if field.name in names and getattr(config, field.name) != default:
            raise ValueError(f"{field.name} does nothing {where}: leave it out")
