"""Digests that an installation states for the question sets and models that an embedded recipe names but cannot ship.

Put here: reading the file that SPELANGY_PINS names, a JSON object of name: digest. Do not put here: a recipe. A digest
that is stated here is part of the identity, as one in a recipe is. Where none is stated, preflight refuses the set or
model and names the digest that it has.
"""

from __future__ import annotations

import os
from pathlib import Path

from spelangy_model.guarded_json import read_json_object

VARIABLE = "SPELANGY_PINS"


def pin(name: str) -> str:
    """Return the digest that is stated for a name; empty where none is. ValueError for a file that states otherwise."""
    file = os.environ.get(VARIABLE)
    if not file:
        return ""
    digest = read_json_object(Path(file)).get(name, "")
    if not isinstance(digest, str):
        raise ValueError(f"{file}: {name!r} is {digest!r}, not a digest as `spelangy questions` prints it")
    return digest
