"""The Dagster UI in a browser: graph, checks and metadata, as a person reads them."""

from __future__ import annotations

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


@pytest.fixture(scope="module")
def address(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server on the instance in which the tiny recipe was run."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "tiny_definitions.py").write_text(CODE)
    home = shutil.copytree(tiny_home, folder / "home")  # the server writes into its instance; others copy tiny_home
    with served("dagster-webserver", ["-f", "tiny_definitions.py"], folder, home) as address:
        yield address


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
    page.goto(f"{address}/locations/__repository__@tiny_definitions.py/asset-groups/tiny_transcripts/lineage")
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
