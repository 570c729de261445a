"""What Dagster loads: both recipes, whole and valid, and the paper's figures."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import socket
from pathlib import Path
from types import ModuleType

import dagster as dg
import pytest

from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.upkeep import VERIFIED_KEY
from spelangy_assets.recipes.paper import BATCH_ROWS, PAPER, ROW_TOKENS, STEPS, TRAINED_TOKENS
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings

RECIPES = (SAMPLE, PAPER)  # what the settings load by default
REVIEWED = Path(__file__).with_name("reviewed_graph.txt")
GROUPS = {
    "crawl", "transcripts", "chunks", "synthetic", "tokenizers", "tokens", "corpora", "mixes", "runs", "evals",
}  # fmt: skip
UPKEEP = ("freshness", "pipeline_metrics", "verified")  # they report on the pipeline and hold no data


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(Settings.at(tmp_path_factory.mktemp("home")))


def test_both_recipes_load_side_by_side(definitions: dg.Definitions) -> None:
    dg.Definitions.validate_loadable(definitions)
    keys = {spec.key for spec in definitions.resolve_all_asset_specs()}
    for recipe in RECIPES:
        assert {asset_key(recipe.name, node.name) for node in recipe.graph} <= keys
        keys -= {asset_key(recipe.name, node.name) for node in recipe.graph}
    of_recipes = {asset_key(recipe.name, name) for recipe in RECIPES for name in ("freshness", "pipeline_metrics")}
    assert keys == of_recipes | {VERIFIED_KEY}, "recipes share a store, which is verified once"
    assert {recipe.name for recipe in RECIPES if recipe.follows_snapshots} == {"sample", "paper"}


def test_an_arm_has_a_job_of_its_mix_run_evaluation_and_board_that_its_tags_find(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("sample_arm_quest")
    assert {key.path[-1] for key in job.asset_layer.selected_asset_keys} == {
        *("mix_quest", "run_quest", "eval_quest", "text_skill_quest", "leaderboard")
    }
    assert (job.tags["arm"], job.tags["mix"]) == ("quest", "mix_quest")


def test_a_recipe_that_follows_no_snapshots_has_neither_sensor_nor_schedule(tmp_path: Path) -> None:
    loaded = build_definitions(Settings.at(tmp_path, SPELANGY_RECIPES="tiny"))
    assert not loaded.sensors
    assert not loaded.schedules


def test_the_settings_name_the_recipes_that_are_loaded(tmp_path: Path) -> None:
    loaded = build_definitions(Settings.at(tmp_path, SPELANGY_RECIPES="tiny, miniature_low"))
    assert {spec.key.path[0] for spec in loaded.resolve_all_asset_specs()} == {"tiny", "miniature_low", "store"}
    with pytest.raises(ValueError, match="no recipe 'small'; there are sample, paper, miniature"):
        build_definitions(Settings.at(tmp_path, SPELANGY_RECIPES="small"))


@pytest.mark.parametrize("name", ["sample", "tiny", "paper", "miniature", "miniature_low"])
def test_a_recipe_has_every_group_and_the_leaderboard_is_below_all(name: str) -> None:
    graph = recipe_named(name).graph
    assert {node.group for node in graph} == GROUPS
    assert "leaderboard" in graph.descendants("raw_audio") & graph.descendants("raw_pages")


def test_an_unknown_recipe_names_those_that_there_are() -> None:
    with pytest.raises(ValueError, match="sample"):
        recipe_named("simple")


def test_every_asset_says_what_it_is_and_has_a_blocking_check(definitions: dg.Definitions) -> None:
    checks = {
        check.asset_key
        for recipe in RECIPES
        for node in recipe.graph
        for check in definitions.resolve_assets_def(asset_key(recipe.name, node.name)).check_specs
        if check.blocking
    }
    for spec in definitions.resolve_all_asset_specs():
        assert spec.description, spec.key
        assert spec.group_name, spec.key
        assert spec.owners, spec.key
        assert spec.code_version, spec.key
        assert 1 <= len(spec.kinds) <= 3, spec.key
        assert spec.key in checks or spec.key.path[-1] in UPKEEP, spec.key


def test_heavy_assets_are_never_automatic(definitions: dg.Definitions) -> None:
    for spec in definitions.resolve_all_asset_specs():
        if spec.tags["cost"] != "cheap":
            assert spec.automation_condition is None, spec.key


def test_a_mix_depends_on_exactly_the_token_sets_that_it_draws_on() -> None:
    for recipe in RECIPES:
        graph = recipe.graph
        for mix in (node for node in graph if node.stage_name == "mix"):
            sources = {source.name for source in mix.config.mixture.sources}
            roll_ups = {role for role, asset in mix.inputs.items() if graph[asset].members}
            assert roll_ups == sources
    assert SAMPLE.graph["mix_quest"].inputs["speech.2"] == "quest_corpus"


def test_tokenizers_depend_on_no_snapshot() -> None:
    graph = PAPER.graph
    assert {"speech_tokenizer", "text_tokenizer", "tokenizer_speech"}.isdisjoint(
        graph.descendants("raw_audio") | graph.descendants("raw_pages")
    )


def test_the_paper_recipe_has_the_papers_figures() -> None:
    assert (ROW_TOKENS, BATCH_ROWS, STEPS) == (16_384, 512, 200_000)
    assert pytest.approx(1.67e12, rel=0.01) == TRAINED_TOKENS
    graph = PAPER.graph
    runs = [node for node in graph if node.name.startswith("run_")]
    assert len(runs) == 8
    for run in runs:
        mixture = graph[run.inputs["mix"]].config.mixture
        assert mixture.text_share == 0.6
        assert mixture.rows * mixture.row_length == TRAINED_TOKENS
        assert run.config.steps * run.config.batch_rows == mixture.rows


def asking_for(asset: str, system: str = "") -> tuple[ModuleType, object]:
    """Return the stage and config of an asset of the paper; of its ASR systems only the one of that name."""
    node = PAPER.graph[asset]
    if not system:
        return node.stage, node.config
    (chosen,) = [one for one in node.config.systems if one.name == system]
    return node.stage, dataclasses.replace(node.config, systems=(chosen,))


@pytest.mark.parametrize(
    ("asset", "system", "missing", "cure"),
    [
        ("speech_segments", "", "package pyannote-audio is not installed", "pip install "),
        *(
            ("transcript_hypotheses", name, f"model '{model}'", f"hf download {model}")
            for name, model in (
                ("whisper-large-v3", "Systran/faster-whisper-large-v3"),
                ("parakeet-tdt-0.6b-v2", "nvidia/parakeet-tdt-0.6b-v2"),
                ("canary-1b-v2", "nvidia/canary-1b-v2"),
            )
        ),
        ("krist_documents", "", "'gpt-4o-mini'", "set SPELANGY_LLM_BASE_URL to the address"),
        ("quest_pairs", "", "'gpt-4o'", "set SPELANGY_LLM_BASE_URL to the address"),
        *(
            (asset, "", "model 'tts_models/en/vctk/vits' is not there", "tts --model_name tts_models/en/vctk/vits")
            for asset in ("krist_speech", "quest_speech", "tokenizer_speech", "sqa_benchmarks")
        ),
        ("text_tokenizer", "", "'meta-llama/Llama-3.2-3B'", "hf download meta-llama/Llama-3.2-3B"),
    ],
)
def test_a_stage_of_the_paper_without_its_model_says_what_is_missing_and_how_to_get_it(
    asset: str,
    system: str,
    missing: str,
    cure: str,
    execution: Execution,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def dialled(*arguments: object, **more: object) -> None:
        raise AssertionError(f"a preflight went to the network: {arguments}")

    monkeypatch.setattr(socket.socket, "connect", dialled)
    monkeypatch.setattr(socket, "getaddrinfo", dialled)
    for variable in ("HOME", "HF_HOME", "TTS_HOME", "XDG_DATA_HOME"):  # where models would lie
        monkeypatch.setenv(variable, str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # read from them at its import
    if asset == "speech_segments" and importlib.util.find_spec("pyannote.audio"):
        pytest.skip("pyannote.audio is installed")
    stage, config = asking_for(asset, system)
    with pytest.raises(PreflightError) as raised:
        stage.preflight(config, execution)
    assert missing in str(raised.value)
    assert cure in str(raised.value)


def graph_text(definitions: dg.Definitions) -> str:
    """Return the assets, jobs, schedules and sensors as lines, without what changes with every literal of a recipe."""
    lines = []
    for spec in sorted(definitions.resolve_all_asset_specs(), key=lambda spec: spec.key):
        partitions = spec.partitions_def.name if spec.partitions_def else "unpartitioned"
        words = [spec.group_name, partitions, ",".join(sorted(spec.kinds)), *spec.owners, spec.tags["cost"]]
        checks = sorted(
            check.name + (" (blocking)" if check.blocking else "")
            for check in definitions.resolve_assets_def(spec.key).check_specs
        )
        lines += [
            f"{spec.key.to_user_string()}: {' | '.join(words)}",
            f"    checks: {', '.join(checks)}",
            *(f"    <- {name}" for name in sorted(dep.asset_key.to_user_string() for dep in spec.deps)),
        ]
    lines += sorted(f"job {job.name}" for job in definitions.resolve_all_job_defs() if not job.name.startswith("__"))
    lines += sorted(f"schedule {one.name}: {one.cron_schedule}" for one in definitions.schedules or ())
    lines += sorted(f"sensor {one.name}: {', '.join(t.job_name for t in one.targets)}" for one in definitions.sensors)
    return "\n".join(lines) + "\n"


def test_the_graph_is_the_one_that_was_reviewed(definitions: dg.Definitions) -> None:
    """A change of the graph is a diff to look at: `WRITE_GRAPH=1 pytest .../test_definitions.py` writes it."""
    text = graph_text(definitions)
    if os.environ.get("WRITE_GRAPH"):
        REVIEWED.write_text(text)
        pytest.skip(f"{REVIEWED.name} was written: look at its diff, then commit it")
    assert text.splitlines() == REVIEWED.read_text().splitlines()
