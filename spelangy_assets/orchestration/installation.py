"""What a build needs besides its node: the store, the execution, and the sources of snapshots.

Put here: the joining of settings and recipe into those. Do not put here: Dagster (the bridge hands this on as a
resource), or the work.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_assets.execution.build import Built
from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import Distribute, Execution
from spelangy_assets.settings import PACKAGE_FOLDER, Settings
from spelangy_assets.sources.corpora import CORPORA
from spelangy_assets.sources.downloads import DownloadedSource, Downloads
from spelangy_assets.sources.files import Arriving, FolderSource, Packaged
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.files import below
from spelangy_assets.store.s3_objects import S3Options
from spelangy_model.progress import Standing


class LaunchError(RuntimeError):
    """A subprocess of a stage ended with an error; its own message is in the log above."""


@dataclass(frozen=True)
class Launch:
    """A request for a process that runs a module on a spec, in that environment."""

    module: str
    spec_file: Path
    environment: dict[str, str]


@dataclass(frozen=True)
class Launched:
    """How such a process ended: its exit status, negative for a signal, and its CPU seconds."""

    exit_status: int
    cpu_seconds: float


def child_command(settings: Settings, module: str, spec_file: Path) -> list[str]:
    """Return the command that runs a module of the project on a spec, through `accelerate launch` if configured.

    One process needs no launcher: `accelerate launch` would import torch once more only to start the same command.
    """
    if settings.accelerate_config:
        launcher = ["-m", "accelerate.commands.launch", "--config_file", settings.accelerate_config]
        return [sys.executable, *launcher, "-m", module, str(spec_file)]
    return [sys.executable, "-m", module, str(spec_file)]


def write_spec(spec: Mapping[str, Any], folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    spec_file = folder / "spec.json"
    spec_file.write_text(json.dumps(spec, indent=1, sort_keys=True))
    return spec_file


@dataclass(frozen=True)
class Installation:
    """An installation that works on recipes.

    `report` is called with each dataset that was brought up to date, `show` with how far one is. `fork` runs a module
    in a process forked from one that has imported libraries; without it Python starts anew. `s3` is how the store is
    reached where it is on S3; what its URI says comes first.
    """

    settings: Settings
    report: Callable[[str, str | None, Built], None] = lambda asset, partition, built: None
    show: Callable[[str, str | None, Standing], None] = lambda asset, partition, standing: None
    fork: Callable[[Launch], Launched] | None = None
    s3: S3Options | None = None

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.settings.store_uri, self.settings.cache_dir, self.s3)

    @property
    def _digests(self) -> Path:
        return self.settings.cache_dir / "snapshot_digests"

    def launch(self, module: str, spec: Mapping[str, Any], folder: Path) -> float:
        """Run a module as a plain subprocess, its output on ours. LaunchError when it fails.

        Returns 0: this process counts the CPU seconds of its children.
        """
        command = child_command(self.settings, module, write_spec(spec, folder))
        ended = subprocess.run(command, env=self.child_environment(), check=False)
        if ended.returncode != 0:
            raise LaunchError(f"{module} ended with exit status {ended.returncode}: {' '.join(command)}")
        return 0.0

    def child_environment(self) -> dict[str, str]:
        # One thread a process: small models are slower on two, and sums over threads are not bit-stable.
        threads = {} if self.settings.device != "cpu" else {"OMP_NUM_THREADS": "1"}
        return {**self._tracker_places(), **os.environ, **threads}

    def _tracker_places(self) -> dict[str, str]:
        """Return where trackers write unless the environment says otherwise: below the home."""
        if not self.settings.trackers:
            return {}
        folder = self.settings.home / "trackers"
        folder.mkdir(parents=True, exist_ok=True)
        return {"WANDB_DIR": str(folder), "MLFLOW_TRACKING_URI": f"sqlite:///{folder / 'mlflow.db'}"}

    def execution(self, launch: Any = None, distribute: Distribute | None = None) -> Execution:
        return Execution(
            cache_dir=self.settings.cache_dir,
            launch=launch or self.launch,
            device=self.settings.device,
            environment=self.settings.environment,
            distribute=distribute,
            checkpoints=self.settings.checkpoints,
            trackers=self.settings.trackers,
            readers=self.settings.readers,
            elsewhere=bool(self.settings.slurm),  # every stage that asks for a GPU runs in a job
        )

    def source(self, node: Node, partition: str | None) -> object:
        """Return where a crawl's snapshot comes from; None for nodes that read no source."""
        if not node.has_source or partition is None:
            return None
        source = node.snapshots.get(partition, Arriving())
        if isinstance(source, Packaged):
            return FolderSource(PACKAGE_FOLDER / "sample" / source.path, digests=self._digests)
        if isinstance(source, Downloads):
            return DownloadedSource(source, self.settings.downloads, partition)
        corpus = source if isinstance(source, CORPORA) else None
        if corpus is None and not isinstance(source, Arriving):
            return source
        texts = isinstance(source, Arriving) and source.texts
        folder, bucket = self.settings.snapshots / node.folder / partition, self.settings.snapshots_s3
        if bucket and not folder.is_dir():
            return FolderSource(below(bucket, node.folder, partition), texts, corpus=corpus)
        return FolderSource(folder, texts, self._digests, corpus)
