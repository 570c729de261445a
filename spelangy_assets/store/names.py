"""Names: the check of names, the paths of a dataset's versions, and the name of a dataset in a recipe.

Put here: the one check of names and the one joining of paths, which cannot leave the store. Do not put here: the files
at a path (artifacts.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

DATA = "data"
RECIPES = "recipes"
_NONE = "_"  # the folder or file of no partition


@lru_cache(maxsize=1 << 14)  # questions over many datasets check the same names again and again
def check_name(name: str) -> str:
    """Return a name that can name one folder or file anywhere. ValueError for one that cannot, with the reason."""
    if not isinstance(name, str) or name in ("", _NONE) or name.startswith(".") or set(name) & set("/\\\0"):
        raise ValueError(f"{name!r} cannot name a folder of the store: no '/', '\\', leading '.', '' or '_'")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"{name!r} cannot name a folder of the store: it is no text in UTF-8") from None
    return name


def joined(*parts: str) -> str:
    """Return a path relative to a root. ValueError for parts that would leave it."""
    path = "/".join(parts)
    if path.startswith("/") or (".." in path and ".." in path.split("/")):
        raise ValueError(f"{path!r} leaves its folder")
    return path


@dataclass(frozen=True, order=True)
class Address:
    """The place of one stage's versions (of one partition), whatever name recipes give them."""

    stage: str
    partition: str | None = None

    def __post_init__(self) -> None:
        check_name(self.stage)
        if self.partition is not None:
            check_name(self.partition)

    @cached_property
    def path(self) -> str:
        return joined(DATA, self.stage, self.partition or _NONE)

    @classmethod
    def of(cls, stage: str, folder: str) -> Address:
        """Return the address of a stage's folder."""
        return cls(stage, None if folder == _NONE else folder)

    def __str__(self) -> str:
        return self.stage + (f"[{self.partition}]" if self.partition else "")


@dataclass(frozen=True, order=True)
class DatasetName:
    """The name of a dataset (of one partition) in a recipe. It is not part of the identity."""

    recipe: str
    dataset: str
    partition: str | None = None

    def __post_init__(self) -> None:
        for name in (self.recipe, self.dataset, *([] if self.partition is None else [self.partition])):
            check_name(name)

    @property
    def path(self) -> str:
        """The path of the file that names the version published under this name."""
        return joined(RECIPES, self.recipe, self.dataset, f"{self.partition or _NONE}.json")

    @classmethod
    def of(cls, recipe: str, dataset: str, file: str) -> DatasetName:
        """Return the name of a publication's file."""
        partition = file.removesuffix(".json")
        return cls(recipe, dataset, None if partition == _NONE else partition)

    def __str__(self) -> str:
        return f"{self.recipe}/{self.dataset}" + (f"[{self.partition}]" if self.partition else "")
