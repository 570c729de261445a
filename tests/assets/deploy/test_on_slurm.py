"""deploy/slurm: a stage's units as a job array, a training as a job over two nodes, both killed, on a fake cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import Built, build
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.slurm_cluster import cluster_of
from spelangy_assets.orchestration.slurm_work import slurm_distribute
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_model.rng import stable_rng

RECIPE = """
from spelangy_assets import lab

RECIPE = lab.Recipe("clips", lab.recordings({"clips": lab.Arriving()}, recordings_per_unit=1))
"""
CLIPS, TASKS = 8, 2


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose snapshot `clips` has short recordings, each a unit."""
    folder = tmp_path / "home" / "snapshots" / "audio" / "clips"
    folder.mkdir(parents=True)
    rng = stable_rng(0, "clips")
    for index in range(CLIPS):
        soundfile.write(folder / f"clip-{index}.flac", rng.normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    return tmp_path / "home"


def settings_of(home: Path, tmp_path: Path, **more: str) -> Settings:
    (tmp_path / "cluster.toml").write_text(f"poll_s = 0.3\n[cpu]\narray_tasks = {TASKS}\n")
    return Settings.at(home, SPELANGY_SLURM=str(tmp_path / "cluster.toml"), **more)


def build_clips(recipe_file: Path, settings: Settings, log: Any = lambda text: None) -> Built:
    recipe = recipe_named(str(recipe_file))
    node, installation, cluster = recipe.graph["raw_audio"], Installation(settings), cluster_of(settings)
    distribute = None if cluster is None else slurm_distribute(cluster, installation, recipe, node, log)
    execution = installation.execution(None, distribute)
    source = installation.source(node, "clips")
    return build(installation.store, recipe.graph, node, "clips", execution, source=source, log=log)


@pytest.mark.slow
def test_a_killed_array_resumes_to_the_version_of_one_process(
    home: Path, slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project_dir: Path
):
    monkeypatch.setenv("PYTHONPATH", str(project_dir))
    (tmp_path / "clips.py").write_text(RECIPE)
    settings = settings_of(home, tmp_path, SPELANGY_STORE=str(tmp_path / "store"))
    rng = stable_rng(0, "kills")
    receipts = "data/ingest_audio/clips/*/unit-*.json"
    for task, requeue in ((0, True), (1, False)):
        at, after_s = int(rng.integers(2, CLIPS - 2)), float(rng.uniform(0, 0.02))
        slurm.kill(tmp_path / "store", receipts, at, after_s=after_s, requeue=requeue, task=task)
    said: list[str] = []
    together = build_clips(tmp_path / "clips.py", settings, said.append)
    assert len(slurm.kills) == 2, said
    alone = build_clips(
        tmp_path / "clips.py", Settings.at(tmp_path / "alone", SPELANGY_SNAPSHOTS=str(home / "snapshots"))
    )
    assert together.artifact.data_version == alone.artifact.data_version
    assert together.artifact.manifest.counts == alone.artifact.manifest.counts
    assert together.artifact.manifest.units == CLIPS
