"""What a SLURM cluster is asked for: the file that SPELANGY_SLURM names.

Put here: the resources of each kind of job, and their reading. Do not put here: submitting and waiting (slurm_jobs.py).

    poll_s = 30                      # one squeue every so many seconds for each job that a run waits for
    tries = 3                        # submissions of a job that ends without a result, before the run fails

    [cpu]                            # a stage's units on processors; every key may be left out
    partition = "cpu"
    account = "speech"
    time = "12:00:00"
    cpus = 4
    memory = "16G"
    array_tasks = 32                 # the units of a dataset are shared by so many tasks
    array_at_once = 16
    sbatch = ["--qos=normal"]        # further options of sbatch
    setup = ["module load ffmpeg"]   # lines of shell before the command

    [gpu]                            # units that a GPU works on, where SPELANGY_DEVICE is cuda
    gres = "gpu:1"

    [train]
    nodes = 4
    processes = 8                    # processes on each node, most often its GPUs
    gres = "gpu:8"
"""

from __future__ import annotations

import dataclasses
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spelangy_assets.settings import Settings, SettingsError

_NOT_IN_A_SCRIPT = re.compile(r"[\s%]")


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What the jobs of one kind ask for; what is empty is left to the cluster's defaults."""

    partition: str = ""
    account: str = ""
    time: str = ""
    gres: str = ""
    cpus: int = 0
    memory: str = ""
    nodes: int = 1
    processes: int = 1
    array_tasks: int = 16
    array_at_once: int = 0
    sbatch: tuple[str, ...] = ()
    setup: tuple[str, ...] = ()

    @property
    def options(self) -> list[str]:
        """The options of sbatch."""
        named = {
            "partition": self.partition,
            "account": self.account,
            "time": self.time,
            "gres": self.gres,
            "cpus-per-task": self.cpus,
            "mem": self.memory,
        }
        return [*(f"--{name}={value}" for name, value in named.items() if value), *self.sbatch]


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A SLURM cluster as an installation uses it. `jobs` is the folder of scripts and logs, which every node sees."""

    jobs: Path
    cpu: Resources = field(default_factory=Resources)
    gpu: Resources = field(default_factory=Resources)
    train: Resources = field(default_factory=Resources)
    poll_s: float = 30.0
    tries: int = 3


def cluster_of(settings: Settings) -> Cluster | None:
    """Return the cluster that the settings name, if any. SettingsError names the file and the key that is wrong."""
    if not settings.slurm:
        return None
    if settings.ray_address:
        raise SettingsError("SPELANGY_SLURM and SPELANGY_RAY are both set: units can be shared over one of them")
    if _NOT_IN_A_SCRIPT.search(str(settings.home)):
        raise SettingsError(f"SPELANGY_HOME is {str(settings.home)!r}; sbatch reads a space and a '%' in it otherwise")
    path = Path(settings.slurm)
    try:
        read = tomllib.loads(path.read_text())
    except OSError as error:
        raise SettingsError(f"SPELANGY_SLURM names {path}, which cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise SettingsError(f"{path}: no TOML: {error}") from error
    fields: dict[str, Any] = {"jobs": settings.home / "slurm"}
    for key, value in read.items():
        if key in ("cpu", "gpu", "train") and isinstance(value, dict):
            fields[key] = _resources(f"{path}: [{key}]", value)
        elif key in ("poll_s", "tries") and not isinstance(value, bool | str) and value > 0:
            fields[key] = value
        else:
            raise SettingsError(f"{path}: {key} = {value!r} is not understood: see docs/slurm.md")
    return Cluster(**fields)


def _resources(where: str, read: dict[str, Any]) -> Resources:
    defaults = {one.name: one.default for one in dataclasses.fields(Resources)}
    for key, value in read.items():
        if key not in defaults:
            raise SettingsError(f"{where} has no key {key!r}: it has {', '.join(defaults)}")
        if isinstance(defaults[key], tuple):
            fits = isinstance(value, list) and all(isinstance(one, str) and "\n" not in one for one in value)
            meaning = "a list of strings of one line each"
        elif isinstance(defaults[key], str):
            fits, meaning = isinstance(value, str) and "\n" not in value, "a string of one line"
        else:
            least = 0 if key in ("cpus", "array_at_once") else 1
            fits, meaning = type(value) is int and value >= least, f"a whole number from {least} on"
        if not fits:
            raise SettingsError(f"{where}: {key} is {value!r}; it is {meaning}")
    fields: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in read.items()}
    found = Resources(**fields)
    if wrong := [one for one in found.sbatch if not one.startswith("--")]:
        raise SettingsError(f"{where}: sbatch has {wrong[0]!r}; each of its strings is one option, --NAME=VALUE")
    return found
