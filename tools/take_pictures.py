"""Takes docs/pictures/ from the real pages of a store: the leaderboard, and the listening page of a snapshot.

    python tools/take_pictures.py --recipe sample --snapshot 2026-02

Needs the extra `docs` and Chromium. `spelangy run RECIPE` makes the pages.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.names import DatasetName

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 900
# Dataset, its page, the picture, and the part of the page at its top (empty: the beginning).
TAKEN = (
    ("leaderboard", "leaderboard.html", "board.png", ""),
    ("web_fine_page", "chunk_page.html", "listening_page.png", ""),
    ("web_fine_page", "chunk_page.html", "chunks.png", "section[id^='r-']"),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="sample")
    parser.add_argument("--snapshot", default="2026-02")
    parser.add_argument("--into", type=Path, default=PICTURES)
    given = parser.parse_args()
    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    given.into.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        for dataset, file, picture, part in TAKEN:
            snapshot = given.snapshot if dataset.endswith("_page") else None
            artifact = store.resolve(DatasetName(given.recipe, dataset, snapshot))
            page.goto((artifact.local_folder(settings.cache_dir) / file).as_uri())
            if part:
                page.locator(part).first.evaluate("part => part.scrollIntoView()")
            page.screenshot(path=given.into / picture)
            print(given.into / picture)
        browser.close()


if __name__ == "__main__":
    main()
