"""The whole graph on the dial `tiny`: it ends, it is checked, it is not repeated, it survives kills."""

from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import dagster as dg
import pytest
from homes import data_versions, run_command, summary

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_assets.store.lineage import connect, published_id
from spelangy_assets.store.lineage_queries import SOURCES_SQL

pytestmark = pytest.mark.slow

# In six stages at a shard in their middle, and between last shard, manifest, verdict and publication. Each run dies at
# the first of those that are left.
KILLS = [
    (r"data/write_krist/.*manifest\.json", "before"),
    (r"data/extract_text/.*verdict-\w+\.json", "after"),
    (r"data/speak/.*manifest\.json", "after"),
    (r"data/speak/.*chunks-00000", "after"),
    (r"data/ingest_audio/.*recordings-00000", "after"),
    (r"data/recognize/.*hypotheses-00000", "before"),
    (r"recipes/tiny/clean_transcripts/.*\.json", "before"),
    (r"data/train_lm/.*model\.safetensors", "before"),
    (r"data/tokenize_chunks/.*documents-00000", "before"),
    (r"data/evaluate/.*scores-00000", "after"),
]


def test_every_asset_is_materialized_and_every_blocking_check_passed(tiny_home: Path) -> None:
    result = summary(tiny_home)
    assert result["problems"] == [] and result["failures"] == {} and result["not_run"] == []
    assert set(result["assets"]) == {node.name for node in recipe_named("tiny").graph}


def test_a_second_run_recomputes_nothing(tiny_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    before = data_versions(home)
    ended = run_command(home, "-m", "spelangy_assets", "run", "tiny")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert sum(row["computed"] for row in summary(home)["assets"].values()) == 0
    assert data_versions(home) == before


def with_another_seed(recipe: str, mix: str) -> Graph:
    """Return the graph of a recipe in which one mix is drawn by another seed."""
    nodes = []
    for node in recipe_named(recipe).graph:
        if node.name == mix:
            mixture = dataclasses.replace(node.config.mixture, seed=1)
            node = dataclasses.replace(node, config=dataclasses.replace(node.config, mixture=mixture))
        nodes.append(node)
    return Graph(recipe, nodes)


def test_changing_one_mix_recomputes_it_and_what_is_below_and_nothing_else(tiny_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    graph, installation = with_another_seed("tiny", "mix_fine"), Installation(Settings.at(home))
    computed = set()
    for name, partition in required_targets(graph):
        node = graph[name]
        source = installation.source(node, partition)
        built = build(installation.store, graph, node, partition, installation.execution(), source=source)
        if not built.cached:
            computed.add(name)
    made = {"mix_fine", "fine_contamination", "run_fine", "eval_fine", "text_skill_fine", "leaderboard"}
    assert computed == made | {"leaderboard_page"}


@pytest.mark.nightly
@pytest.mark.timeout(1800)  # eleven runs, each of which continues where the one before was killed
def test_killed_at_ten_places_it_ends_with_the_same_data_versions(tiny_home: Path, tmp_path: Path) -> None:
    trap, report = str(Path(__file__).with_name("kill_at.py")), tmp_path / "killed"
    left = list(KILLS)
    while left:
        report.unlink(missing_ok=True)
        ended = run_command(tmp_path, trap, str(report), *(word for kill in left for word in kill))
        assert report.exists(), f"nothing was killed at {left}:\n{ended.stdout}"
        assert ended.returncode != 0
        assert "spelangy: a worker died" in ended.stderr, ended.stdout + ended.stderr
        del left[int(report.read_text())]
    ended = run_command(tmp_path, "-m", "spelangy_assets", "run", "tiny")
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert data_versions(tmp_path) == data_versions(tiny_home)
    with dg.DagsterInstance.from_config(str(tmp_path / "dagster")) as instance:
        statuses = {run.status for run in instance.get_runs()}
        assert statuses <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE}


def test_lineage_walks_from_a_score_to_urls_and_content_hashes(tiny_home: Path) -> None:
    settings = Settings.at(tiny_home)
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    recipe = recipe_named("tiny")
    with connect(store, "tiny") as connection:
        artifact = published_id(store, DatasetName("tiny", "eval_quest"))
        rows = connection.execute(SOURCES_SQL, {"artifact": artifact}).to_arrow_table().to_pylist()
    assert {row["kind"] for row in rows} == {"recording", "page"}
    assert all(row["url"].startswith("http") for row in rows if row["kind"] == "page")
    assert all(len(row["content_hash"]) == 32 for row in rows)
    recorded = set()
    for name, partition in required_targets(recipe.graph):
        if name in ("raw_audio", "raw_pages"):
            table = store.resolve(DatasetName("tiny", name, partition)).table(
                "recordings" if name == "raw_audio" else "pages",
                ["recording_id" if name == "raw_audio" else "page_id"],
            )
            recorded |= set(table.column(0).to_pylist())
    assert {row["content_hash"] for row in rows} <= recorded


def test_no_secret_of_the_environment_is_written(tiny_home: Path) -> None:
    assert "PATH" in os.environ
    store = tiny_home / "store"
    for manifest in store.rglob("manifest.json"):
        assert os.environ["PATH"] not in manifest.read_text()
