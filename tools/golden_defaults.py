"""The defaults that identities leave out, and the stages that reach each: tests/assets/store/golden_defaults.json.

    python tools/golden_defaults.py            say what changed since the file was written
    python tools/golden_defaults.py --write    write it anew

An identity leaves out what equals its default (store/fingerprint.py), so a default that changes gives other bytes the
same build key. It may change only together with the VERSION of every stage that reaches it; this tool and a test refuse
it otherwise. What is added with a default changes no key and only needs the file to be written anew.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import json
import pkgutil
import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spelangy_assets import stages
from spelangy_assets.recipes.registry import known_recipes
from spelangy_assets.store.fingerprint import default_texts, is_ours, type_name

FILE = Path(__file__).resolve().parents[1] / "tests" / "assets" / "store" / "golden_defaults.json"
_ADAPTERS = ("spelangy_model.audio.diarization.vad_diarize",)  # no recipe uses these; building one imports its own

Golden = dict[str, Any]


def golden() -> Golden:
    """Return the defaults by type and field, and by stage its VERSION and the types that it reaches."""
    known_recipes()
    for name in _ADAPTERS:
        importlib.import_module(name)
    modules = {
        info.name: importlib.import_module(f"{stages.__name__}.{info.name}")
        for info in pkgutil.iter_modules(stages.__path__)
    }
    found: Golden = {"types": {}, "stages": {}}
    for name, module in sorted(modules.items()):
        if not hasattr(module, "Config"):
            continue
        reached = _reached(module.Config)
        found["stages"][name] = {"version": module.VERSION, "types": sorted(type_name(kind) for kind in reached)}
        for kind in reached:
            found["types"][type_name(kind)] = {field: json.loads(text) for field, text in default_texts(kind).items()}
    return found


def _reached(config: type) -> set[type]:
    """Return the dataclasses of this project that a value of a type may hold, at any depth."""
    left, found = [config], set()
    while left:
        kind = left.pop()
        if kind in found:
            continue
        found.add(kind)
        for hint in typing.get_type_hints(kind).values():
            left += [part for part in _parts(hint) if is_ours(part.__module__)]
    return found


def _parts(hint: Any) -> Iterator[type]:
    """Yield the dataclasses that a type hint speaks of; for a Protocol all that are known to fit it."""
    if typing.get_origin(hint) is not None or isinstance(hint, types.UnionType):
        for argument in typing.get_args(hint):
            yield from _parts(argument)
    elif isinstance(hint, type) and getattr(hint, "_is_protocol", False):
        asked = {name for name in vars(hint) if not name.startswith("_")} | set(getattr(hint, "__annotations__", {}))
        for kind in _dataclasses():
            fits = all(hasattr(kind, name) or name in kind.__dataclass_fields__ for name in asked)
            if fits and _loads(kind) == _loads(hint):
                yield kind
    elif isinstance(hint, type) and dataclasses.is_dataclass(hint):
        yield hint
        yield from (kind for kind in _dataclasses() if kind is not hint and hint in kind.__mro__)


def _loads(kind: type) -> Any:
    """Return what the `load` of an adapter gives, as it is written; None of what has none."""
    return getattr(getattr(kind, "load", None), "__annotations__", {}).get("return")


def _dataclasses() -> list[Any]:
    return _dataclasses_of(len(sys.modules))


@functools.cache
def _dataclasses_of(modules: int) -> list[Any]:
    known = {
        value
        for name, module in list(sys.modules.items())
        if is_ours(name) and module is not None
        for value in vars(module).values()
        if isinstance(value, type) and dataclasses.is_dataclass(value) and is_ours(value.__module__)
    }
    return sorted(known, key=lambda kind: (kind.__module__, kind.__qualname__))


def faults(old: Golden, new: Golden) -> list[str]:
    """Return where a default changed and a stage that reaches it has the VERSION that it had."""
    found = []
    for name, fields in old["types"].items():
        for field, value in fields.items():
            now = new["types"].get(name, {})
            if field not in now or _text(now[field]) == _text(value):
                continue  # a field that is gone, or has no default any more, is written from now on
            for stage, reached in new["stages"].items():
                before = old["stages"].get(stage)
                if before is not None and name in before["types"] and before["version"] == reached["version"]:
                    found.append(
                        f"the default of {name}.{field} changed from {_text(value)} to {_text(now[field])}: bump the "
                        f"VERSION of {stage}, which reaches it and is still {reached['version']}"
                    )
    return found


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def rendered(found: Golden) -> str:
    return json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    new = golden()
    old = json.loads(FILE.read_text()) if FILE.exists() else {"types": {}, "stages": {}}
    wrong = faults(old, new)
    print("\n".join(wrong) or ("nothing changed" if old == new else "changed, and no VERSION is missing"))
    if wrong:
        return 1
    if chosen.write:
        FILE.write_text(rendered(new))
    return 0 if chosen.write or old == new else 1


if __name__ == "__main__":
    sys.exit(main())
