"""What a benchmark compares with.

Put here: whether it is installed. Do not put here: a comparison.
"""

from __future__ import annotations

from importlib.util import find_spec


def rival(module: str, package: str) -> bool:
    """Return whether a package is installed; where it is not, print that this project's side alone is measured."""
    if find_spec(module) is not None:
        return True
    print(f"{package} is not installed (pip install {package}): this project's side alone is measured.\n")
    return False


def span(values: list[float], form: str) -> str:
    """Return the least and the greatest of some rounds, or one number where they are printed alike."""
    low, high = format(min(values), form), format(max(values), form)
    return low if low == high else f"{low} to {high}"
