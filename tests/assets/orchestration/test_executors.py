"""Executors and pools: what is configured, and a run whose steps have processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.orchestration.executors import executor_of
from spelangy_assets.orchestration.ray_cluster import ray_distribute
from spelangy_assets.settings import Settings

POOLS = {
    "transcript_hypotheses": "asr",
    "quest_round_trip": "asr",
    "krist_speech": "tts",
    "krist_documents": "llm",
    "speech_segments": "gpu",
    "run_quest": "gpu",
    "eval_quest": "gpu",
    "raw_audio_duplicates": "duckdb",
    "pipeline_metrics": "duckdb",
    "leaderboard": None,
}
CODE = """
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.recipes.registry import recipe_named

defs = build_definitions(recipes=[recipe_named("tiny")])
"""


@pytest.mark.parametrize(("value", "name"), [("", "in_process"), ("multiprocess", "multiprocess")])
def test_the_executor_is_a_setting(tmp_path: Path, value: str, name: str) -> None:
    settings = Settings.at(tmp_path, SPELANGY_EXECUTOR=value, SPELANGY_RECIPES="tiny")
    assert executor_of(settings).name == name
    definitions = build_definitions(settings)
    jobs = [*definitions.resolve_all_job_defs()]
    assert len(jobs) > 5
    # A repair only plans and asks.
    assert {job.executor_def.name for job in jobs if not job.name.endswith("_repair")} == {name}


def test_an_unknown_executor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in_process or multiprocess"):
        Settings.at(tmp_path, SPELANGY_EXECUTOR="threads")


def test_what_shares_a_scarce_thing_is_in_one_pool(tmp_path: Path) -> None:
    definitions = build_definitions(Settings.at(tmp_path))
    for name, pool in POOLS.items():
        assert definitions.resolve_assets_def(dg.AssetKey(["sample", name])).op.pool == pool, name


@pytest.mark.slow
def test_steps_have_processes_of_their_own_and_one_pool_is_one_at_a_time(tmp_path: Path) -> None:
    """Two steps of pool `llm` follow one another although the executor has two places; a third runs beside them."""
    home = tmp_path / "dagster"
    home.mkdir()
    (home / "dagster.yaml").write_text(
        "telemetry: {enabled: false}\nconcurrency: {pools: {granularity: op, default_limit: 1}}\n"
    )
    (tmp_path / "tiny_definitions.py").write_text(CODE)
    environment = {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "SPELANGY_HOME": str(tmp_path),
        "SPELANGY_EXECUTOR": "multiprocess",
    }
    with dg.DagsterInstance.from_config(str(home)) as instance:
        instance.add_dynamic_partitions("tiny_raw_pages", ["2026-02"])
        names = ["raw_pages", "text_documents", "krist_documents", "quest_pairs"]
        command = [
            *(str(Path(sys.executable).with_name("dagster")), "asset", "materialize", "-f", "tiny_definitions.py"),
            *("--select", ",".join(f"key:tiny/{name}" for name in names), "--partition", "2026-02"),
        ]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stdout[-3000:] + ended.stderr[-3000:]
        (run,) = instance.get_runs()
        events = [(entry.timestamp, entry.dagster_event) for entry in instance.all_logs(run.run_id)]
    processes = {event.step_key: event.pid for _, event in events if event and event.is_step_start}
    assert len(set(processes.values())) == 4, processes
    started = {event.step_key: at for at, event in events if event and event.is_step_start}
    ended_at = {event.step_key: at for at, event in events if event and event.is_step_success}
    assert set(ended_at) == {f"tiny__{name}" for name in names}
    first, second = sorted(("tiny__krist_documents", "tiny__quest_pairs"), key=started.__getitem__)
    assert ended_at[first] <= started[second]


def test_a_stage_whose_units_need_each_other_is_never_shared(bench: Any, toys: Any, tmp_path: Path):
    settings, node = Settings.at(tmp_path, SPELANGY_RAY="auto"), toys.node()
    assert ray_distribute(settings, bench.recipe, node) is None
    node.stage.INDEPENDENT_UNITS = True
    assert ray_distribute(settings, bench.recipe, node) is not None
    assert ray_distribute(Settings.at(tmp_path), bench.recipe, node) is None


@pytest.mark.parametrize(
    ("changes", "pool", "part_of_gpu", "places"),
    [
        ({}, "gpu", 0, 32),
        ({"SPELANGY_DEVICE": "cuda"}, "gpu", 1, 2),
        ({"SPELANGY_DEVICE": "cuda", "SPELANGY_SHARES_PER_GPU": "4"}, "gpu", 0.25, 8),
        ({"SPELANGY_DEVICE": "cuda", "SPELANGY_SHARES_PER_GPU": "4"}, "duckdb", 0, 32),
    ],
)
def test_several_shares_of_a_stage_take_a_gpu_together(
    bench: Any,
    toys: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, str],
    pool: str,
    part_of_gpu: float,
    places: int,
):
    """With a module in place of Ray: a cluster of 32 processors and 2 GPUs that takes tasks and does none."""
    asked: list[dict[str, Any]] = []
    sent: list[tuple[int, int]] = []

    class Task:
        def options(self, **options: Any) -> Task:
            asked.append(options)
            return self

        def remote(self, *arguments: Any) -> None:
            sent.append(arguments[-2:])

    ray = ModuleType("ray")
    exceptions = ModuleType("ray.exceptions")
    vars(exceptions)["RayTaskError"] = RuntimeError
    vars(ray).update(
        is_initialized=lambda: True,
        cluster_resources=lambda: {"CPU": 32.0, "GPU": 2.0},
        remote=lambda work: Task(),
        get=lambda share: None,
    )
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setitem(sys.modules, "ray.exceptions", exceptions)
    node = toys.node(pool=pool)
    node.stage.INDEPENDENT_UNITS = True
    settings = Settings.at(tmp_path, SPELANGY_RAY="auto", **changes)
    recipe = SimpleNamespace(name="recipe", reference="sample")
    distribute = ray_distribute(settings, recipe, node)  # type: ignore[arg-type]
    assert distribute is not None
    distribute("source", None, "v1-key", lambda: 1000)
    assert asked[0]["num_gpus"] == part_of_gpu
    assert sent == [(index, places) for index in range(places)]
