"""The Dagster UI in a browser, on a home in which `tiny` was run: graph, checks, metadata, arms and lineage."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from homes import screenshot, served

pytestmark = pytest.mark.slow

CODE = """
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.recipes.registry import recipe_named

defs = build_definitions(recipes=[recipe_named("tiny")])
"""
LOCATION = "__repository__@tiny_definitions.py"
# A run starts without the daemon, which takes some seconds to start; test_ui_runs.py has it.
INSTANCE = """
telemetry: {enabled: false}
nux: {enabled: false}
run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}
"""
STALE = "{ assetNodes { assetKey { path } groupName staleStatus assetMaterializations(limit: 1) { runId } } }"


@pytest.fixture(scope="module")
def address(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server on the instance in which the tiny recipe was run."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "tiny_definitions.py").write_text(CODE)
    home = shutil.copytree(tiny_home, folder / "home")  # the server writes into its instance; others copy tiny_home
    (home / "dagster" / "dagster.yaml").write_text(INSTANCE)
    with served("dagster-webserver", ["-f", "tiny_definitions.py"], folder, home) as address:
        yield address


def assert_fresh(page, address: str) -> None:
    """No dataset of the recipe is missing or stale by Dagster's own judgement."""
    reply = page.request.post(f"{address}/graphql", data={"query": STALE}, headers={"Origin": address})
    nodes = [one for one in reply.json()["data"]["assetNodes"] if not one["groupName"].endswith("_upkeep")]
    assert len(nodes) > 60
    assert not [one for one in nodes if one["staleStatus"] != "FRESH" or not one["assetMaterializations"]]


def test_the_graph_shows_every_group(page, address: str) -> None:
    page.goto(f"{address}/asset-groups")
    for group in (
        "crawl",
        "transcripts",
        "chunks",
        "synthetic",
        "tokenizers",
        "tokens",
        "corpora",
        "mixes",
        "runs",
        "evals",
    ):
        page.get_by_text(f"tiny_{group}", exact=True).first.wait_for()
    screenshot(page, "graph")


def test_a_group_shows_its_assets_and_their_lineage(page, address: str) -> None:
    page.goto(f"{address}/locations/{LOCATION}/asset-groups/tiny_transcripts/lineage")
    for asset in ("speech_segments", "transcript_hypotheses", "clean_transcripts"):
        page.get_by_text(asset, exact=False).first.wait_for()
    screenshot(page, "transcripts")


def test_a_check_says_what_was_expected_and_observed(page, address: str) -> None:
    page.goto(f"{address}/assets/tiny/mix_quest?view=checks&checkDetail=contract")
    page.get_by_text("contract", exact=True).first.wait_for()
    page.get_by_text("largest_share_error in [0, 0.005]").first.wait_for()
    text = page.inner_text("body")
    assert "blocking asset check" in text and "passed" in text
    screenshot(page, "check")


def test_a_materialization_shows_rows_drops_and_versions(page, address: str) -> None:
    page.goto(f"{address}/assets/tiny/quest_pairs?view=partitions&partition=2026-02")
    page.get_by_text("records_dropped").first.wait_for()
    text = page.inner_text("body")
    assert "needs_context" in text and "rhetorical" in text  # the drop table, by reason
    assert "build_key" in text
    screenshot(page, "materialization")


def test_an_arm_is_chosen_its_job_materialized_and_the_board_seen(page, address: str) -> None:
    assert_fresh(page, address)
    page.goto(f"{address}/jobs")
    page.get_by_text("tiny_arm_quest", exact=True).first.click()
    for said in ("View 5 assets", "arm: quest", "mix: mix_quest", "tiny_mixes", "tiny_runs"):
        page.get_by_text(said, exact=True).first.wait_for()
    screenshot(page, "arm")
    page.get_by_role("button", name="Materialize all").click()
    page.get_by_text(re.compile(r"Launched run \w+")).first.wait_for()
    page.goto(f"{address}/runs?q[0]=tag:arm=quest")
    page.get_by_text("arm: quest").first.wait_for()
    page.get_by_text("Success", exact=True).locator("visible=true").first.wait_for(timeout=180_000)
    assert page.get_by_text("tiny_models", exact=True).count() == 0, "the page shows runs of the arm alone"
    screenshot(page, "arm-run")
    page.goto(f"{address}/assets/tiny/leaderboard?view=overview")
    page.get_by_text("Show Markdown").first.click()
    page.get_by_role("dialog").get_by_text("quest").first.wait_for()
    screenshot(page, "board")
    assert_fresh(page, address)


def test_the_lineage_of_an_evaluation_leads_to_the_recordings(page, address: str) -> None:
    page.goto(f"{address}/assets/tiny/eval_fine?view=lineage&lineageScope=upstream&lineageDepth=20")
    for asset in ("run_fine", "mix_fine", "web_fine", "clean_transcripts", "raw_audio"):
        page.get_by_text(asset, exact=True).locator("visible=true").first.wait_for()
    screenshot(page, "lineage-of-an-evaluation")
    page.get_by_text("raw_audio", exact=True).locator("visible=true").first.click()
    page.wait_for_url(re.compile("/assets/tiny/raw_audio"))
    page.get_by_text("Partitions", exact=True).first.click()
    for state in ("Materialized (2)", "Failed (0)", "Missing (0)"):
        page.get_by_text(state).first.wait_for()
    screenshot(page, "recordings")
