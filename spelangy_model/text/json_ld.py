"""The objects of JSON-LD, which pages carry in <script type="application/ld+json"> (schema.org).

Put here: from a script's text to its objects. Do not put here: finding the scripts, or what the objects mean
(questions, rights).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any


def objects_of(text: str) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON text, in document order; none when it is no JSON. It may nest deeply."""
    try:
        waiting = [json.loads(text, strict=False)]
    except (ValueError, RecursionError):
        return
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def types_of(node: dict[str, Any]) -> list[Any]:
    """Return the values of an object's @type."""
    kinds = node.get("@type")
    return kinds if isinstance(kinds, list) else [kinds]
