"""The Dagster UI in a browser: graph, checks and metadata, as a person reads them."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

CODE = """
from spelangy_assets.definitions import build_definitions, recipe_named

defs = build_definitions(recipes=[recipe_named("tiny")])
"""


@pytest.fixture(scope="module")
def address(tiny_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a web server on the instance in which the tiny recipe was run."""
    folder = tmp_path_factory.mktemp("ui")
    (folder / "tiny_definitions.py").write_text(CODE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "DAGSTER_HOME": str(tiny_home / "dagster"), "SPELANGY_HOME": str(tiny_home)}
    command = [
        str(Path(sys.executable).with_name("dagster-webserver")),
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-f",
        "tiny_definitions.py",
    ]
    with (folder / "log.txt").open("w") as log:
        server = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(120):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/server_info", timeout=2).close()
                break
            except (urllib.error.URLError, OSError):
                assert server.poll() is None, (folder / "log.txt").read_text()
                time.sleep(1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=30)


@pytest.fixture(scope="module")
def page(address: str):
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    browser_path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if browser_path is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=browser_path,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"],
        )
        page = browser.new_page(viewport={"width": 1600, "height": 1000})
        page.set_default_timeout(60_000)
        yield page
        browser.close()


def screenshot(page, name: str) -> None:
    """Keep a picture when a folder for pictures is named; a person should look at them now and then."""
    if folder := os.environ.get("SPELANGY_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


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
    said = page.inner_text("body")
    assert "blocking asset check" in said and "passed" in said
    screenshot(page, "check")


def test_a_materialization_tells_rows_drops_and_versions(page, address: str) -> None:
    page.goto(f"{address}/assets/tiny/quest_pairs?view=partitions&partition=2026-02")
    page.get_by_text("records_dropped").first.wait_for()
    said = page.inner_text("body")
    assert "needs_context" in said and "rhetorical" in said  # the drop table, by reason
    assert "build_key" in said
    screenshot(page, "materialization")
