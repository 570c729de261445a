"""The extra of the distribution that installs a missing package, as one line for the user.

Put here: the cure of a missing package, from the distribution's own metadata. Do not put here: checks of models and
services (each adapter has its own).
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterable

# Modules with another name than their distribution.
DISTRIBUTIONS = {
    "TTS": "coqui-tts",
    "dagster_graphql": "dagster-webserver",
    "graphql": "graphql-core",
    "mlflow": "mlflow-skinny",
    "lingua": "lingua-language-detector",
    "sklearn": "scikit-learn",
    "whisper": "openai-whisper",
    "yaml": "pyyaml",
}
_GATHERED = ("demo", "dev", "docs", "bench")  # extras that only name others, or are for those who work on the project
_REQUIREMENT = re.compile(r"^([A-Za-z0-9._-]+).*;.*\bextra == ['\"]([a-z0-9-]+)['\"]")


def missing(module: str) -> str:
    """Return "" when a module can be imported, else the line that states what to install. Imports nothing."""
    parent = module.partition(".")[0]
    try:
        there = importlib.util.find_spec(parent) is not None
    except ValueError:  # it was hidden: its entry of sys.modules has no spec
        there = False
    return "" if there else cure(module)


def cure(module: str) -> str:
    """Return the line that states how to install a module: by an extra if one has it."""
    name = distribution_of(module)
    extras = extras_of(name, _requirements())
    others = f" (so do {', '.join(extras[1:])})" if extras[1:] else ""
    return f"the package {name} is not installed: pip install " + (
        f"'spelangy[{extras[0]}]'{others}" if extras else name
    )


def distribution_of(module: str) -> str:
    """Return the normalized name of the distribution that holds a module, as far as this project imports it."""
    name = ".".join(module.split(".")[: 2 if module.startswith("pyannote.") else 1])  # pyannote is a namespace
    return _normal(DISTRIBUTIONS.get(name, name))


def extras_of(distribution: str, requirements: Iterable[str]) -> list[str]:
    """Return the extras that ask for a distribution, in the order of the requirements (as metadata writes them)."""
    matches = [match for match in map(_REQUIREMENT.match, requirements) if match]
    found = dict.fromkeys(match[2] for match in matches if _normal(match[1]) == _normal(distribution))
    return [extra for extra in found if extra not in _GATHERED]


def _requirements() -> list[str]:
    try:
        return importlib.metadata.requires("spelangy") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
