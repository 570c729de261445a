"""The layers, the weight of imports, and the shape of stage modules."""

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

from spelangy_assets import stages

HEAVY = (
    *("torch", "transformers", "accelerate", "TTS", "whisper_timestamped", "great_expectations"),
    *("faster_whisper", "onnxruntime", "sklearn", "matplotlib", "trafilatura", "lingua", "pandas"),
)


def modules_of(package: str, folder: Path) -> list[str]:
    return sorted(info.name for info in pkgutil.walk_packages([str(folder)], f"{package}."))


def imported_by(module: str, project_dir: Path) -> set[str]:
    """Return the heavy packages that are loaded once a fresh process has imported a module."""
    code = f"import sys, json, {module}; print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))"
    environment = {**os.environ, "PYTHONPATH": str(project_dir)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=project_dir
    )
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def stage_modules() -> list[str]:
    """Return the modules of the package of stages: each is a stage."""
    return [info.name for info in pkgutil.iter_modules(stages.__path__)]


def test_imports_run_downward_only(project_dir: Path):
    lint = Path(sys.executable).with_name("lint-imports")
    if not lint.exists():
        pytest.skip("import-linter is not installed")
    done = subprocess.run([lint, "--no-cache"], capture_output=True, text=True, check=False, cwd=project_dir)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "0 broken" in done.stdout


WHOLE_PLAN = pytest.param(["plan tiny"], marks=pytest.mark.slow)  # of every dataset: its preflights take seconds


@pytest.mark.parametrize("commands", [["recipes", "status tiny", "plan tiny --only web_fine"], WHOLE_PLAN])
def test_commands_that_only_read_do_without_dagster(commands: list[str], project_dir: Path, tmp_path: Path):
    code = (
        "import sys; from spelangy_assets.cli.main import main\n"
        f"for words in map(str.split, {commands!r}):\n"
        "    main(words)\n"
        "    print('after', words[0], [name for name in ('dagster', 'rich') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(project_dir), "SPELANGY_HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    loaded = [line for line in done.stdout.splitlines() if line.startswith("after ")]
    assert loaded == [f"after {command.split()[0]} []" for command in commands]


def test_the_definitions_and_all_stages_load_without_heavy_libraries(project_dir: Path):
    together = ["spelangy_assets.definitions", *(f"spelangy_assets.stages.{name}" for name in stage_modules())]
    assert imported_by(", ".join(together), project_dir) == set()


@pytest.mark.parametrize("name", stage_modules())
def test_a_stage_has_the_shape_of_one(name: str):
    stage = importlib.import_module(f"spelangy_assets.stages.{name}")
    assert isinstance(stage.VERSION, str)
    assert stage.VERSION
    assert dataclasses.is_dataclass(stage.Config)
    assert vars(stage.Config)["__dataclass_params__"].frozen
    assert list(inspect.signature(stage.preflight).parameters) == ["config", "execution"]
    assert list(inspect.signature(stage.run).parameters) == ["ctx", "config"]
    assert all(dataclasses.is_dataclass(record) for record in stage.TABLES.values())
    assert not stage.TABLES.keys() & {"counts", "stats", "files"}, "the contracts' views have these names"


@pytest.mark.parametrize("name", stage_modules())
def test_a_config_is_made_of_literals(name: str):
    """What a config holds has a stable form: no path, no callable, no open object."""
    stage = importlib.import_module(f"spelangy_assets.stages.{name}")
    text = " ".join(str(field.type) for field in dataclasses.fields(stage.Config))
    for word in ("Path", "Callable", "Any", "object", "set[", "ndarray", "bytes"):
        assert word not in text.replace(",", " ").replace("|", " ").split(), f"{name}.Config has a field of {word}"
