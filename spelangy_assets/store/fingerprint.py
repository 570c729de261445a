"""Stable identity of literals: the payload that a manifest keeps and the digest that names a version.

Put here: how a value becomes canonical JSON. Do not put here: what is fingerprinted (stages and recipes decide that).
The encoder raises on what has no stable form (callables, open objects, NaN, sets), because a guess such as
`str(value)` would give two different things one name or one thing two names.

Two forms: `payload_of` writes every field, for people and manifests. `identity_of` leaves out fields of this project's
types that equal their defaults, so that a new option with a default changes no identity. A changed default therefore
changes the meaning of an omitted field: a test compares each default with the VERSION of every stage that reaches it
(tools/golden_defaults.py). A type from outside of this project writes all its fields, and its `version`.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

Payload = Any  # what json.dumps takes: None, bool, int, float, str, and lists and string-keyed dicts of these

PACKAGES = ("spelangy_assets", "spelangy_model")
_CONFIG = "Config"  # every stage module has one
_types: dict[str, tuple[str, str]] = {}  # registered name -> module and qualified name


def is_ours(module: str) -> bool:
    """Whether a module is of this project; the VERSIONs of stages cover its code."""
    return module.partition(".")[0] in PACKAGES


def type_name(kind: type) -> str:
    """Return the registered name of a type: its own `registered_name`, or else the name of its class.

    TypeError when another type has it: two things would have one name.
    """
    leaf = kind.__module__.rpartition(".")[2]
    name = vars(kind).get("registered_name") or (f"{leaf}.{_CONFIG}" if kind.__name__ == _CONFIG else kind.__name__)
    here = (kind.__module__, kind.__qualname__)
    known = _types.setdefault(name, here)
    if known != here:
        raise TypeError(
            f"two types are called {name!r}, {'.'.join(known)} and {'.'.join(here)}: rename one, since a name is all "
            "that a version knows of a type"
        )
    return name


def payload_of(value: Any, where: str = "value") -> Payload:
    """Return the JSON form of a literal. Raises TypeError, naming the field, for a value without a stable form."""
    return _encode(value, where, _all_fields)


def identity_of(value: Any, where: str = "value") -> Payload:
    """Return the JSON form of a literal's identity; TypeError as `payload_of`, and for a type from outside
    of the project that has no `version`."""
    return _encode(value, where, _bearing_fields)


def _encode(value: Any, where: str, fields_of: Callable[[Any, str], Payload]) -> Payload:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise TypeError(f"{where}: {value!r} has no JSON form; state a finite number")
        return value
    if isinstance(value, list | tuple):
        return [_encode(item, f"{where}[{index}]", fields_of) for index, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return fields_of(value, where)
    if isinstance(value, Mapping):
        if not all(isinstance(key, str) for key in value):
            raise TypeError(f"{where}: the keys of a mapping must be strings")
        return {key: _encode(item, f"{where}[{key!r}]", fields_of) for key, item in value.items()}
    raise TypeError(f"{where}: {type(value).__name__} has no stable form; use literals and frozen dataclasses")


def _all_fields(value: Any, where: str) -> Payload:
    fields = {name: payload_of(getattr(value, name), f"{where}.{name}") for name in _field_names(type(value))}
    return {"type": type(value).__name__, **fields}


def _bearing_fields(value: Any, where: str) -> Payload:
    kind = type(value)
    fields = {name: identity_of(getattr(value, name), f"{where}.{name}") for name in _field_names(kind)}
    if is_ours(kind.__module__):
        defaults = default_texts(kind)
        kept = {name: found for name, found in fields.items() if _text(found) != defaults.get(name)}
        return {"type": type_name(kind), **kept}
    if not isinstance(getattr(value, "version", None), str | int):
        raise TypeError(
            f"{where}: {kind.__module__}.{kind.__qualname__} is no type of this project and has no `version`: give it "
            "one, and change it whenever it gives other results"
        )
    return {"type": type_name(kind), "version": value.version, **fields}


@functools.cache
def _field_names(kind: type) -> tuple[str, ...]:
    return tuple(field.name for field in dataclasses.fields(kind))


@functools.cache
def default_texts(kind: type) -> dict[str, str]:
    """Return the canonical JSON of the identity of each default of a dataclass, by field."""
    found = {}
    for field in dataclasses.fields(kind):
        if field.default is not dataclasses.MISSING:
            found[field.name] = _text(identity_of(field.default, f"{kind.__name__}.{field.name}"))
        elif field.default_factory is not dataclasses.MISSING:
            found[field.name] = _text(identity_of(field.default_factory(), f"{kind.__name__}.{field.name}"))
    return found


def _text(payload: Payload) -> str:
    return json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_of(payload: Payload) -> str:
    """Return the SHA-256 (hexadecimal) of the canonical JSON of a payload."""
    return hashlib.sha256(_text(payload).encode()).hexdigest()


def fingerprint(value: Any) -> str:
    """Return the digest of a literal's identity."""
    return digest_of(identity_of(value))


def outside_modules(*values: Any) -> dict[str, str]:
    """Return the modules from outside of the project whose types are in literals, by name, with the SHA-256 of their
    files: what a person forgot to say by a `version` can be found from it."""
    modules = {type(part).__module__ for value in values for part in _parts(value)}
    return {name: digest for name in sorted(modules) if not is_ours(name) and (digest := module_digest(name))}


def module_digest(name: str) -> str:
    """Return the SHA-256 of a module's file; empty for one that has none."""
    file = getattr(sys.modules.get(name), "__file__", None)
    return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file and Path(file).is_file() else ""


def _parts(value: Any) -> Iterator[Any]:
    """Yield the dataclasses in a literal, at any depth."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        yield value
        for field in dataclasses.fields(value):
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _parts(item)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _parts(item)
