"""The stage of docs/bring_your_own.md: a module and a line of a recipe, and the rest of the package needs no edit."""

import importlib
import re
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.columns import column_lineage
from spelangy_assets.orchestration.definitions import recipe_definitions
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "bring_your_own.md").read_text()
EXAMPLES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE))


@pytest.fixture
def installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    (tmp_path / "count_long.py").write_text(EXAMPLES["count_long.py"])
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    installation = Installation(Settings.at(tmp_path / "home"))
    folder = installation.settings.snapshots / "audio" / "mine"
    folder.mkdir(parents=True)
    for seconds in (1, 3, 4):
        noise = np.random.default_rng(seconds).uniform(-0.1, 0.1, seconds * 16_000)
        soundfile.write(folder / f"{seconds}.wav", noise, 16_000)
    return installation


def test_a_stage_of_one_module_is_built_judged_drawn_and_shown(installation: Installation, tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text(EXAMPLES["my_stage.py"])
    recipe = recipe_named(str(file))
    graph = recipe.graph
    node = graph["long_recordings"]
    assert column_lineage(graph, node) == {
        "recording_id": [("raw_audio", "recording_id")],
        "duration_s": [("raw_audio", "duration_s")],
    }

    definitions = dg.Definitions.merge(
        recipe_definitions(recipe, installation), dg.Definitions(resources={"installation": installation})
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

    built = build(installation.store, graph, node, "mine", execution=installation.execution(), log=lambda text: None)
    assert built.cached, "Dagster's run made the version that the recipe asks for"
    assert built.artifact.manifest.counts.dropped == {"short": 1}
    assert built.artifact.manifest.counts.records_kept == 2

    file = tmp_path / "longer.py"
    file.write_text(EXAMPLES["my_stage.py"].replace("min_s=2.0", "min_s=60.0"))
    graph = recipe_named(str(file)).graph
    strict = build(
        installation.store, graph, graph["long_recordings"], "mine", execution=installation.execution(), log=print
    )
    assert not strict.verdict.passed, "its own contract is what judges it"
