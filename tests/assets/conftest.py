"""A small installation for tests of the Dagster layer, below a temporary folder."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.keys import asset_key
from spelangy_assets.laboratory import Laboratory
from spelangy_assets.recipes.graph import Graph, Node
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.stage_asset import stage_asset
from spelangy_assets.stages.build import Built

# The name that the toys' graphs have; of a recipe's literals only its snapshots matter to the Dagster layer.
RECIPE = dataclasses.replace(SAMPLE, name="recipe", audio_snapshots={"mon": {"day": 1}}, page_snapshots={})


class Bench:
    """Materializes toy nodes through Dagster; `reports` are what the laboratory was told."""

    recipe = RECIPE

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.settings = Settings.at(home)
        self.instance = instance
        self.reports: list[tuple[str, str | None, Built]] = []
        self.laboratory = Laboratory(self.settings, report=lambda *told: self.reports.append(told))
        self.store = self.laboratory.store

    def graph(self, *nodes: Node) -> Graph:
        return Graph("recipe", list(nodes))

    def assets(self, *nodes: Node) -> list[dg.AssetsDefinition]:
        graph = self.graph(*nodes)
        return [stage_asset(self.recipe, graph, node) for node in graph]

    def materialize(
        self, *nodes: Node, only: str | None = None, partition: str | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the assets of the nodes, or one of them, in one run; a failure is in the result."""
        return dg.materialize(
            self.assets(*nodes),
            selection=[asset_key("recipe", only)] if only else None,
            instance=self.instance,
            resources={"laboratory": self.laboratory},
            partition_key=partition,
            tags=tags,
            raise_on_error=False,
        )

    def materialization(self, result: dg.ExecuteInProcessResult, name: str = "source") -> dg.AssetMaterialization:
        (found,) = [
            event.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key == asset_key("recipe", name)
        ]
        return found

    def metadata(self, result: dg.ExecuteInProcessResult, name: str = "source") -> dict[str, Any]:
        return {key: value.value for key, value in self.materialization(result, name).metadata.items()}

    @staticmethod
    def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
        return [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]

    @staticmethod
    def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
        """Return the words of each step that failed, by the asset's name."""
        found = {}
        for event in result.all_events:
            if event.is_step_failure:
                data = event.step_failure_data
                words = data.user_failure_data.description if data.user_failure_data else None
                found[(event.step_key or "").removeprefix("recipe__")] = words or str(data.error)
        return found


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Bench(tmp_path / "home", instance)


@pytest.fixture(scope="session")
def instance_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def ticks(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance that sensors and schedules are evaluated on, without partitions.

    They open it again from its reference, which one in memory does not have. Runs are quicker in memory, on the bench.
    """
    for name in ("recipe_audio_snapshot", "recipe_page_snapshot"):
        for key in instance_on_disk.get_dynamic_partitions(name):
            instance_on_disk.delete_dynamic_partition(name, key)
    return instance_on_disk
