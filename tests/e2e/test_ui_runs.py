"""The sample from the page, in an installation where nothing was run yet: materialize, look, backfill.

The last snapshot is a page that tries to act in the browser of its reader; a second recipe has it, too.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from homes import screenshot, served

from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName

pytestmark = pytest.mark.slow

ASSET = "sample/raw_pages"
AGAIN = """
from spelangy_assets import lab
from spelangy_assets.recipes.sample import SAMPLE

AGAIN = lab.Recipe("again", SAMPLE["text_documents"])
"""
PICTURE = "![x](/graphql?query=mutation{setNuxSeen})"
HOSTILE = f"""<html lang="en"><title>{PICTURE}![y](/picture.png)</title>
<link rel="license" href="https://x.example/{PICTURE}![z](/picture.png)">
<p>{"The river runs past the town and the old mill, and in the evening people walk along it. " * 20}</p>"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("sample")
    (home / "dagster").mkdir()
    (home / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\nnux: {enabled: false}\n")
    (home / "again.py").write_text(AGAIN)
    return home


@pytest.fixture(scope="module")
def address(home: Path) -> Iterator[str]:
    """What `make ui` starts; its sensor has found the recipe's snapshots."""
    with served("ui", ["again.py"], home, home) as address:
        with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
            deadline = time.monotonic() + 120
            while not instance.get_dynamic_partitions("sample_raw_pages"):
                assert time.monotonic() < deadline, "the sensor found no snapshot"
                time.sleep(1)
        yield address


def materialize(page, address: str, *partitions: str, asset: str = ASSET) -> str:
    """Open the asset, choose snapshots in the dialog and launch; return what the page says of it."""
    page.goto(f"{address}/assets/{asset}?view=overview")
    page.get_by_role("button", name="Materialize").first.click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_text("Select a partition or create one").click()
    for partition in partitions:
        page.get_by_text(partition, exact=True).locator("visible=true").last.click()
    page.keyboard.press("Escape")  # a click beside the list closes it too, but it may lie over all one could click
    page.get_by_placeholder("Filter partitions").wait_for(state="hidden")
    screenshot(page, f"launch-{len(partitions)}")
    dialog.get_by_role("button", name="Launch").click()
    return page.get_by_text(re.compile(r"(Launched run|Created backfill) \w+")).first.inner_text()


def store_of(home: Path) -> ArtifactStore:
    settings = Settings.at(home)
    return ArtifactStore(settings.store_uri, settings.cache_dir)


def published(home: Path, recipe: str = "sample") -> set[str | None]:
    return {one.name.partition for one in store_of(home).published(recipe)}


def test_an_asset_is_materialized_from_the_page_and_shows_lineage_check_and_drops(
    page, address: str, home: Path
) -> None:
    assert materialize(page, address, "2026-02").startswith("Launched run")
    page.goto(f"{address}/runs")
    page.get_by_text("Success", exact=True).first.wait_for(timeout=180_000)
    screenshot(page, "run")
    assert published(home) == {"2026-02"}

    page.goto(f"{address}/assets/{ASSET}?view=lineage")
    for name in ("raw_pages", "text_documents", "krist_documents", "quest_pairs"):
        page.get_by_text(name, exact=True).locator("visible=true").first.wait_for()
    screenshot(page, "lineage")

    page.goto(f"{address}/assets/{ASSET}?view=checks&checkDetail=contract")
    page.get_by_text("evaluated_at").first.wait_for()
    body = page.inner_text("body")
    assert "pages in [1" in body and "passed" in body
    screenshot(page, "check")

    page.goto(f"{address}/assets/{ASSET}?view=partitions&partition=2026-02")
    page.get_by_text("records_dropped").first.wait_for()
    body = page.inner_text("body")
    artifact = store_of(home).resolve(DatasetName("sample", "raw_pages", "2026-02"))
    for reason, count in artifact.manifest.counts.dropped.items():
        assert re.search(rf"{reason}\s+{count}\b", body), reason
    assert artifact.manifest.build_key in body
    screenshot(page, "drops")


def test_a_backfill_of_two_snapshots_is_run_from_the_page(page, address: str, home: Path) -> None:
    message = materialize(page, address, "2026-01", "2026-02")
    assert message.startswith("Created backfill")
    page.goto(f"{address}/runs?view=backfills")
    page.get_by_text("2 partitions").first.wait_for()
    page.get_by_text(re.compile("^(Success|Completed)$")).first.wait_for(timeout=300_000)
    screenshot(page, "backfill")
    assert published(home) == {"2026-01", "2026-02"}
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        (backfill,) = instance.get_backfills()
        runs = instance.get_runs(dg.RunsFilter(tags={"dagster/backfill": backfill.backfill_id}))
    assert sorted(run.tags["dagster/asset_partition_range_start"] for run in runs) == ["2026-01", "2026-02"]
    assert {run.status for run in runs} == {dg.DagsterRunStatus.SUCCESS}


def test_a_page_of_the_crawl_is_text_and_makes_no_request(page, address: str, home: Path) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(f"{request.method} {request.url}"))
    (home / "snapshots" / "pages" / "hostile").mkdir(parents=True)
    (home / "snapshots" / "pages" / "hostile" / "page.html").write_text(HOSTILE)
    for _ in range(180):  # the sensor asks for it
        if "hostile" in published(home):
            break
        time.sleep(1)
    page.goto(f"{address}/assets/{ASSET}?view=partitions&partition=hostile")
    page.get_by_text("records_dropped").first.wait_for()
    page.get_by_text(PICTURE).first.wait_for()
    page.get_by_text(PICTURE).first.scroll_into_view_if_needed()
    page.wait_for_timeout(1_000)
    screenshot(page, "hostile")
    assert any(one.startswith("POST") and "/graphql" in one for one in asked), "the page itself asks by POST"
    assert not [one for one in asked if "picture.png" in one or (one.startswith("GET") and "/graphql" in one)]


def test_snapshots_of_two_recipes_are_made_once(page, address: str, home: Path) -> None:
    snapshots = {"2026-02", "hostile"}
    before = {one.path for one in store_of(home).versions()}
    with dg.DagsterInstance.from_config(str(home / "dagster")) as instance:
        instance.add_dynamic_partitions("again_raw_pages", sorted(snapshots))
        assert materialize(page, address, *sorted(snapshots), asset="again/raw_pages").startswith("Created backfill")
        page.goto(f"{address}/runs?view=backfills")
        for _ in range(180):
            if published(home, "again") == snapshots:
                break
            time.sleep(1)
        key = dg.AssetKey(["again", "raw_pages"])
        while len(found := instance.fetch_materializations(key, limit=9).records) < len(snapshots):
            time.sleep(1)
    assert all(one.asset_materialization.metadata["cached"].value for one in found)
    assert {one.path for one in store_of(home).versions()} == before, "nothing was made for the second recipe"
    page.goto(f"{address}/assets/again/raw_pages?view=partitions&partition=hostile")
    for state in ("Materialized (2)", "Failed (0)", "Missing (0)", "records_dropped"):
        page.get_by_text(state).first.wait_for()
    screenshot(page, "two-recipes")
