"""How a graph is cut into runs, and what becomes of runs whose process was killed."""

from __future__ import annotations

import os

import dagster as dg
import psutil
import pytest

from spelangy_assets.definitions import recipe_named
from spelangy_assets.lanes import PROCESS_TAG, close_orphans, parents_of, plan_tasks, required_places
from spelangy_assets.recipes.assemble import assemble


@pytest.mark.parametrize("name", ["sample", "tiny", "paper"])
def test_runs_hold_every_place_once_and_need_only_earlier_runs(name: str) -> None:
    graph = assemble(recipe_named(name))
    places = required_places(graph)
    tasks = plan_tasks(graph, places)
    held = [(asset, task.partition) for task in tasks for asset in task.assets]
    assert sorted(held, key=str) == sorted(places, key=str)
    home = {place: index for index, task in enumerate(tasks) for place in ((a, task.partition) for a in task.assets)}
    for place, index in home.items():
        asset, partition = place
        for parent in parents_of(graph, graph[asset], partition):
            above = home[parent]
            assert above == index or above in tasks[index].needs
            if above == index:
                assert tasks[index].assets.index(parent[0]) < tasks[index].assets.index(asset)
    assert all(need < index for index, task in enumerate(tasks) for need in task.needs)


def test_every_asset_of_the_recipe_is_required() -> None:
    graph = assemble(recipe_named("sample"))
    assert {asset for asset, _ in required_places(graph)} == {node.name for node in graph}


def test_what_many_runs_wait_for_is_more_urgent() -> None:
    graph = assemble(recipe_named("sample"))
    tasks = {task.assets[0]: task for task in plan_tasks(graph, required_places(graph))}
    assert tasks["base_lm"].urgency > tasks["run_quest"].urgency > tasks["leaderboard"].urgency


def test_a_run_whose_process_is_gone_is_closed_and_a_living_one_is_left() -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def job() -> None:
        nothing()

    gone = "999999999:1.0"
    here = f"{os.getpid()}:{psutil.Process().create_time()}"
    reused = f"{os.getpid()}:1.0"  # the id of a living process that began at another time
    with dg.instance_for_test() as instance:
        runs = {
            mark: instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: mark})
            for mark in (gone, here, reused)
        }
        closed = close_orphans(instance)
        assert set(closed) == {runs[gone].run_id, runs[reused].run_id}
        statuses = {mark: instance.get_run_by_id(run.run_id).status for mark, run in runs.items()}
    assert statuses[here] == dg.DagsterRunStatus.STARTED
    assert statuses[gone] == statuses[reused] == dg.DagsterRunStatus.FAILURE
