"""A new kind of dataset is one module, one line of a recipe, and its test: the rest of the package needs no edit."""

import importlib
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.columns import column_lineage
from spelangy_assets.orchestration.definitions import recipe_definitions
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings

MODULE = '''"""Recordings that last longer than a limit."""

from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_model.records import Recording

VERSION = "1"


@dataclass(frozen=True, slots=True)
class LongRecording:
    """A recording that lasts long."""

    recording_id: str
    duration_s: float


@dataclass(frozen=True)
class Config:
    """Recordings of `min_s` seconds and more are long."""

    version = "1"  # of what it means; a type from outside of the package has one
    min_s: float = 2.0


TABLES: dict[str, type] = {"long": LongRecording}
CONTRACT = Contract(
    "long_recordings",
    "SELECT count(*) AS recordings, count(*) - count(DISTINCT recording_id) AS duplicate_ids FROM long",
    (Bound("recordings", 1), exactly("duplicate_ids")),
)
KIND = DatasetKind(
    group="crawl",
    description="Long recordings of {raw_audio}.",
    contract=CONTRACT,
    takes={"raw_audio": Recording},
    columns={"recording_id": ("raw_audio.recording_id",), "duration_s": ("raw_audio.duration_s",)},
)


@word
def long_recordings(audio: Dataset, **options: float) -> Dataset:
    """Return the long recordings of a crawl."""
    return dataset(__name__, Config(**options), name="long_recordings", inputs={"raw_audio": audio})


def preflight(config: Config, execution: Execution) -> None:
    if config.min_s <= 0:
        raise PreflightError(f"min_s is {config.min_s}: take a length above 0")


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of recordings."""
    for unit, shard in ctx.out.pending(ctx.inputs["raw_audio"].shards("recordings")):
        with ctx.out.unit(unit) as out:
            for recording in shard.iter_records(Recording, batch_rows=1):
                out.read(1)
                if recording.duration_s < config.min_s:
                    out.drop("short")
                else:
                    out.write("long", [LongRecording(recording.recording_id, recording.duration_s)])
'''
RECIPE = """from count_long import long_recordings
from spelangy_assets import lab

RECIPE = lab.Recipe("long", long_recordings(lab.recordings({"mine": lab.Arriving()}), min_s=LIMIT))
"""


@pytest.fixture
def laboratory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Laboratory:
    (tmp_path / "count_long.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    laboratory = Laboratory(Settings.at(tmp_path / "home"))
    folder = laboratory.settings.snapshots / "audio" / "mine"
    folder.mkdir(parents=True)
    for seconds in (1, 3, 4):
        noise = np.random.default_rng(seconds).uniform(-0.1, 0.1, seconds * 16_000)
        soundfile.write(folder / f"{seconds}.wav", noise, 16_000)
    return laboratory


def test_a_stage_of_one_module_is_built_judged_drawn_and_shown(laboratory: Laboratory, tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(RECIPE.replace("LIMIT", "2.0"))
    recipe = recipe_named(str(file))
    graph = recipe.graph
    node = graph["long_recordings"]
    assert column_lineage(graph, node) == {
        "recording_id": [("raw_audio", "recording_id")],
        "duration_s": [("raw_audio", "duration_s")],
    }

    definitions = dg.Definitions.merge(
        recipe_definitions(recipe, laboratory), dg.Definitions(resources={"laboratory": laboratory})
    )
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions("long_raw_audio", ["mine"])
        run = definitions.resolve_job_def("long_raw_audio").execute_in_process(
            instance=instance, partition_key="mine", raise_on_error=False
        )
        assert run.success, [event.message for event in run.all_events if event.is_step_failure]
        key = asset_key("long", "long_recordings")
        (check,) = [one for one in run.get_asset_check_evaluations() if one.asset_key == key and one.blocking]
        assert check.passed

    built = build(laboratory.store, graph, node, "mine", execution=laboratory.execution(), log=lambda text: None)
    assert built.cached, "Dagster's run made the version that the recipe asks for"
    assert built.artifact.manifest.counts.dropped == {"short": 1}
    assert built.artifact.manifest.counts.records_kept == 2

    file = tmp_path / "longer.py"
    file.write_text(RECIPE.replace("LIMIT", "60.0"))
    graph = recipe_named(str(file)).graph
    strict = build(
        laboratory.store, graph, graph["long_recordings"], "mine", execution=laboratory.execution(), log=print
    )
    assert not strict.verdict.passed, "its own contract is what judges it"
