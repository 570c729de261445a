"""Stable identity of literals: the payload that a manifest keeps and the digest that names a version.

Put here: how a value becomes canonical JSON. Do not put here: what is fingerprinted (stages and recipes say that).
The encoder raises on what has no stable form (callables, open objects, NaN, sets), because a guess such as
`str(value)` would give two different things one name or one thing two names.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from typing import Any

Payload = Any  # what json.dumps takes: None, bool, int, float, str, and lists and string-keyed dicts of these


def payload_of(value: Any, where: str = "value") -> Payload:
    """Return the JSON form of a literal. Raises TypeError, naming the field, for a value without a stable form."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value!r} has no JSON form; state a finite number")
        return value
    if isinstance(value, list | tuple):
        return [payload_of(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: payload_of(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)}
        return {"type": type(value).__name__, **fields}
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where}: the keys of a mapping must be strings")
        return {key: payload_of(item, f"{where}[{key!r}]") for key, item in value.items()}
    raise TypeError(f"{where}: {type(value).__name__} has no stable form; use literals and frozen dataclasses")


def digest_of(payload: Payload) -> str:
    """Return the SHA-256 (hexadecimal) of the canonical JSON of a payload."""
    text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def fingerprint(value: Any) -> str:
    """Return the digest of a literal."""
    return digest_of(payload_of(value))
