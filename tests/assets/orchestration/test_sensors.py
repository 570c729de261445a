"""The snapshot sensor: what lies in the folder becomes a partition, once, and its crawl asset is requested."""

import dataclasses
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.orchestration.jobs import jobs_of
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.partitions import add_partitions, snapshots
from spelangy_assets.orchestration.sensors import snapshot_sensor


class Watch:
    """Ticks the sensor of a toy recipe as the daemon does: additions are made, then the cursor of run keys kept."""

    def __init__(self, bench: Any, ticks: dg.DagsterInstance, toys: Any):
        self.bench, self.ticks = bench, ticks
        graph = bench.graph(
            toys.node(
                "raw_audio", partition="audio_snapshot", has_source=True, folder="audio", snapshots={"mon": {"day": 1}}
            ),
            toys.node("raw_pages", partition="page_snapshot", has_source=True, folder="pages"),
            toys.reader("segments", "raw_audio", partition="audio_snapshot"),
        )
        bench.recipe = dataclasses.replace(bench.recipe, graph=graph)
        jobs = jobs_of(graph, bench.settings)
        self.sensor = snapshot_sensor(bench.recipe, graph, bench.installation, jobs)
        self.definitions = dg.Definitions(
            assets=bench.assets(*graph),
            jobs=list(jobs.values()),
            sensors=[self.sensor],
            resources={"installation": bench.installation},
        )

    def arrive(self, kind: str, *names: str) -> None:
        for name in names:
            (self.bench.settings.snapshots / kind / name).mkdir(parents=True)

    def tick(self) -> Any:
        """Evaluate as the daemon does (which validates jobs, selections and partitions), and make the additions."""
        repository = self.definitions.get_repository_def()
        context = dg.SensorEvaluationContext(
            instance_ref=self.ticks.get_ref(),
            last_tick_completion_time=None,
            last_run_key=None,
            cursor=None,
            repository_name=None,
            repository_def=repository,
        )
        data = self.sensor.evaluate_tick(context)
        for request in data.dynamic_partitions_requests or ():
            for instance in (self.ticks, self.bench.instance):
                instance.add_dynamic_partitions(request.partitions_def_name, list(request.partition_keys))
        return data

    def partitions(self, kind: str) -> list[str]:
        return sorted(self.ticks.get_dynamic_partitions(f"recipe_{kind}"))


@pytest.fixture
def watch(bench: Any, ticks: dg.DagsterInstance, toys: Any) -> Watch:
    return Watch(bench, ticks, toys)


def requested(data: Any) -> list[tuple[str, str]]:
    return [(request.asset_selection[0].path[-1], request.partition_key) for request in data.run_requests or ()]


def test_the_recipes_own_snapshots_become_partitions_without_a_run(watch: Watch):
    data = watch.tick()
    assert watch.partitions("audio_snapshot") == ["mon"]
    assert requested(data) == []


def test_a_snapshot_that_arrives_becomes_a_partition_and_its_crawl_asset_is_requested(watch: Watch):
    watch.tick()
    watch.arrive("audio", "tue")
    watch.arrive("pages", "wed")
    data = watch.tick()
    assert watch.partitions("audio_snapshot") == ["mon", "tue"]
    assert watch.partitions("page_snapshot") == ["wed"]
    assert requested(data) == [("raw_audio", "tue"), ("raw_pages", "wed")]
    assert [request.job_name for request in data.run_requests] == ["recipe_audio_snapshot", "recipe_page_snapshot"]
    assert [request.run_key for request in data.run_requests] == ["recipe/raw_audio/tue", "recipe/raw_pages/wed"]


def test_a_tick_without_news_is_skipped_and_says_where_it_looked(watch: Watch, bench: Any):
    watch.arrive("audio", "tue")
    watch.tick()
    data = watch.tick()
    assert not data.run_requests
    assert not data.dynamic_partitions_requests
    assert data.skip_message == f"no new snapshot in {bench.settings.snapshots}"


def test_ten_snapshots_a_tick_and_none_is_forgotten(watch: Watch):
    days = [f"day-{number:02}" for number in range(16)]
    watch.arrive("audio", *days)
    watch.arrive("pages", *days)
    seen, sizes = [], []
    while True:
        data = watch.tick()
        if not data.dynamic_partitions_requests:
            break
        sizes.append(sum(len(request.partition_keys) for request in data.dynamic_partitions_requests))
        seen += requested(data)
    assert sizes == [10, 10, 10, 3]  # the recipe's own one, and two kinds of sixteen
    assert sorted(seen) == sorted((asset, day) for asset in ("raw_audio", "raw_pages") for day in days)


def test_files_and_hidden_folders_are_no_snapshots(watch: Watch, bench: Any):
    watch.arrive("audio", ".partial", "tue")
    (bench.settings.snapshots / "audio" / "notes.txt").write_text("no snapshot")
    watch.tick()
    assert watch.partitions("audio_snapshot") == ["mon", "tue"]


def test_a_folder_with_the_name_of_a_recipes_snapshot_is_that_snapshot(watch: Watch, bench: Any):
    watch.arrive("audio", "mon")
    assert requested(watch.tick()) == []
    assert snapshots(bench.recipe.graph, bench.settings) == {"audio_snapshot": ["mon"], "page_snapshot": []}


def test_all_snapshots_can_be_made_partitions_at_once(watch: Watch, bench: Any):
    watch.arrive("audio", "wed", "tue")
    for _ in range(2):
        add_partitions(watch.ticks, bench.recipe, bench.settings)
    assert watch.partitions("audio_snapshot") == ["mon", "tue", "wed"]
    assert watch.tick().skip_message


def test_the_requested_run_does_the_crawl_of_that_folder(watch: Watch, bench: Any):
    watch.arrive("audio", "tue")
    (bench.settings.snapshots / "audio" / "tue" / "a.wav").write_bytes(b"bytes of a file")
    (request,) = [one for one in watch.tick().run_requests if one.partition_key == "tue"]
    result = watch.definitions.resolve_job_def(request.job_name).execute_in_process(
        instance=bench.instance,
        partition_key=request.partition_key,
        asset_selection=list(request.asset_selection),
        tags=dict(request.tags),
    )
    (event,) = result.get_asset_materialization_events()
    assert (event.asset_key, event.partition) == (asset_key("recipe", "raw_audio"), "tue")
    (source,) = bench.reports[-1][2].artifact.manifest.inputs
    assert (source.role, source.partition) == ("source", "tue")
