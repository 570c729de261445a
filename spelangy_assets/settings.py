"""Where and how this installation works: read from the environment once, at the composition root.

Put here: places, devices, service addresses. Do not put here: anything that bears identity (a recipe's literals do).
Every variable has a default, so that a fresh clone works with none set.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self


class SettingsError(ValueError):
    """A variable of the environment with a value that it cannot have. The text names the variable and the cure."""


TRACKERS = ("wandb", "mlflow")  # open_trackers of spelangy_model/train/step_log.py starts these
PACKAGE_FOLDER = Path(__file__).resolve().parent


@dataclass(frozen=True, kw_only=True)
class Settings:
    """An installation's places.

    home        SPELANGY_HOME       all that is made here; default .spelangy in the working directory
    store_uri   SPELANGY_STORE      the artifacts: a folder or an s3:// prefix; default HOME/store
    snapshots   SPELANGY_SNAPSHOTS  raw material, SNAPSHOTS/{audio,pages,texts}/NAME/...; default HOME/snapshots
    snapshots_s3  SPELANGY_SNAPSHOTS_S3  an s3:// prefix of further snapshots, PREFIX/{audio,pages,texts}/NAME/
    benchmarks  SPELANGY_BENCHMARKS  question files that a recipe names (docs/questions.md); default none
    (your own conversations)  SPELANGY_CONVERSATIONS  their folder (docs/post_training.md); default none
    (recipe `paper`)  SPELANGY_PINS  a JSON file of the digests of what it names (recipes/pins.py); default none
    checkpoints  SPELANGY_CHECKPOINTS  models made elsewhere that a recipe adopts, NAME/...; default HOME/checkpoints
    recipes     SPELANGY_RECIPES    the recipes that `dagster dev` loads, by comma; default sample,paper
    recipe_modules  SPELANGY_RECIPE_MODULES  modules that hold your own recipes, by comma; default none
    device      SPELANGY_DEVICE     cpu or cuda
    executor    SPELANGY_EXECUTOR   in_process, or multiprocess: steps of a run in processes of their own
    workers     SPELANGY_WORKERS    how many of those at once; default 2
    readers     SPELANGY_READERS    threads a process that decode sound ahead of a model; default 4 on a GPU, else 0
    store_budget_gb  SPELANGY_STORE_BUDGET_GB  the check of `pipeline_metrics` warns above it; default none
    ray_address  SPELANGY_RAY  a Ray cluster over which stages share their units: auto or an address; default none
    slurm       SPELANGY_SLURM      a TOML file of what a SLURM cluster's jobs ask for (docs/slurm.md); default none
    allow_generated_code  SPELANGY_ALLOW_GENERATED_CODE  yes or no: whether Python that a model wrote may run here, as
                the task humaneval does; default no
    accelerate_config  SPELANGY_ACCELERATE_CONFIG  a file of `accelerate config`; empty: one process, launched directly
    trackers    SPELANGY_TRACKERS   experiment trackers that get each step of a training, by comma: wandb, mlflow;
                default none
    """

    home: Path
    store_uri: str
    snapshots: Path
    checkpoints: Path
    snapshots_s3: str = field(default="", repr=False)  # its query may bear a secret
    benchmarks: Path | None = None
    recipes: tuple[str, ...] = ("sample", "paper")
    recipe_modules: tuple[str, ...] = ()
    device: str = "cpu"
    executor: str = "in_process"
    workers: int = 2
    readers: int = 0
    store_budget_gb: float = math.inf
    ray_address: str = ""
    slurm: str = ""
    allow_generated_code: bool = False
    accelerate_config: str = ""
    trackers: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def cache_dir(self) -> Path:
        return self.home / "cache"

    @property
    def downloads(self) -> Path:
        """Where what was fetched from addresses lies, for all recipes."""
        return self.home / "downloads"

    @property
    def dagster_dir(self) -> Path:
        return self.home / "dagster"

    @classmethod
    def at(cls, home: Path, **changes: str) -> Self:
        """Return the settings of an installation that keeps everything below one folder."""
        return cls.from_environment({"SPELANGY_HOME": str(home), **changes})

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> Self:
        """Read the variables. Raises SettingsError for a value that one of them cannot have."""
        env = dict(os.environ if environment is None else environment)
        home = Path(env.get("SPELANGY_HOME") or ".spelangy").absolute()
        if "?" in str(home):
            raise SettingsError(f"SPELANGY_HOME is {str(home)!r}; a '?' ends the path of Dagster's databases")
        return cls(
            home=home,
            store_uri=env.get("SPELANGY_STORE") or str(home / "store"),
            snapshots=Path(env.get("SPELANGY_SNAPSHOTS") or home / "snapshots").absolute(),
            checkpoints=Path(env.get("SPELANGY_CHECKPOINTS") or home / "checkpoints").absolute(),
            benchmarks=Path(env["SPELANGY_BENCHMARKS"]).absolute() if env.get("SPELANGY_BENCHMARKS") else None,
            snapshots_s3=env.get("SPELANGY_SNAPSHOTS_S3") or "",
            recipes=tuple(name.strip() for name in (env.get("SPELANGY_RECIPES") or "sample,paper").split(",")),
            recipe_modules=tuple(
                name.strip() for name in env.get("SPELANGY_RECIPE_MODULES", "").split(",") if name.strip()
            ),
            device=env.get("SPELANGY_DEVICE") or "cpu",
            executor=_one_of(env, "SPELANGY_EXECUTOR", ("in_process", "multiprocess")),
            workers=int(_number(env, "SPELANGY_WORKERS", "2", "a whole number from 1 on", whole=True)),
            readers=int(
                _number(
                    env,
                    "SPELANGY_READERS",
                    "0" if (env.get("SPELANGY_DEVICE") or "cpu") == "cpu" else "4",
                    "a whole number from 0 on",
                    whole=True,
                    least=0,
                )
            ),
            ray_address=env.get("SPELANGY_RAY") or "",
            slurm=str(Path(env["SPELANGY_SLURM"]).absolute()) if env.get("SPELANGY_SLURM") else "",
            store_budget_gb=_number(env, "SPELANGY_STORE_BUDGET_GB", "inf", "a number of gigabytes above 0"),
            allow_generated_code=_one_of(env, "SPELANGY_ALLOW_GENERATED_CODE", ("no", "yes")) == "yes",
            accelerate_config=env.get("SPELANGY_ACCELERATE_CONFIG") or "",
            trackers=_some_of(env, "SPELANGY_TRACKERS", TRACKERS),
            environment=env,
        )


def _one_of(env: Mapping[str, str], name: str, values: tuple[str, ...]) -> str:
    """Return a variable's value, by default the first; SettingsError when it is none of them."""
    value = env.get(name) or values[0]
    if value not in values:
        raise SettingsError(f"{name} is {value!r}; it may be {' or '.join(values)}")
    return value


def _some_of(env: Mapping[str, str], name: str, values: tuple[str, ...]) -> tuple[str, ...]:
    """Return a variable's values, written with commas between; SettingsError when one is none of them."""
    found = tuple(value.strip() for value in env.get(name, "").split(",") if value.strip())
    if not set(found) <= set(values):
        raise SettingsError(f"{name} is {env[name]!r}; it may name {' and '.join(values)}, separated by commas")
    return found


def _number(
    env: Mapping[str, str], name: str, default: str, meaning: str, whole: bool = False, least: float = math.ulp(0.0)
) -> float:
    """Return a variable's value as a number from `least` on, by default above 0; SettingsError, with its meaning, when
    it is none."""
    written = env.get(name) or default
    try:
        value = int(written) if whole else float(written)
    except ValueError:
        value = -1
    if not value >= least:
        raise SettingsError(f"{name} is {written!r}; it is {meaning}")
    return value
