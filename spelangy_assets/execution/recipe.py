"""A recipe: its leaves and all datasets that they reach.

Put here: a recipe as an object, and its graph. Do not put here: any recipe, or the functions that recipes are written
with (lab.py).
"""

from __future__ import annotations

import difflib
from functools import cached_property

from spelangy_assets.execution.dataset import Dataset, RecipeError, caller, reached
from spelangy_assets.execution.graph import Graph


class Recipe:
    """An experiment, defined by its final datasets, most often one leaderboard.

    `follows_snapshots`: snapshots that arrive become partitions, and schedules and automation keep the recipe's
    datasets up to date. `recipe[NAME]` gives a handle of the recipe, from which another experiment can be made.
    """

    def __init__(self, name: str, *leaves: Dataset, description: str = "", follows_snapshots: bool = False):
        self.where = caller()
        if not leaves or not all(isinstance(leaf, Dataset) for leaf in leaves):
            raise RecipeError(f"{self.where}: recipe {name!r} needs at least one dataset")
        self.name = name
        self.leaves = leaves
        self.description = description
        self.reference = name  # by which another process finds it: the name, or the file with its digest
        self.follows_snapshots = follows_snapshots

    def __repr__(self) -> str:
        return f"<recipe {self.name}>"

    @cached_property
    def datasets(self) -> dict[str, Dataset]:
        """Return the datasets that the leaves reach, by name, parents first. RecipeError for a name used twice."""
        return {one.name: one for one in reached(self.leaves)}

    @cached_property
    def graph(self) -> Graph:
        """Return the graph that Dagster, the store and the plan see."""
        return Graph(self.name, [one.node() for one in self.datasets.values()])

    def __getitem__(self, name: str) -> Dataset:
        if name not in self.datasets:
            close = difflib.get_close_matches(name, self.datasets, 3)
            longer = sorted((one for one in self.datasets if name in one), key=lambda one: (one.find(name), len(one)))
            near = list(dict.fromkeys([*close, *longer]))[:8] or list(self.datasets)[:3]
            raise RecipeError(f"{caller()}: recipe {self.name} has no dataset {name!r}; near are {', '.join(near)}")
        return self.datasets[name]

    @property
    def board(self) -> Dataset | None:
        """Return the first leaderboard among the leaves."""
        return next((leaf for leaf in self.leaves if leaf.stage_name == "leaderboard"), None)
