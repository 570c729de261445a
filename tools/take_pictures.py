"""Takes docs/pictures/ from the real pages of a store: the leaderboard and its questions, and the listening page of a
snapshot.

    spelangy run tiny && python tools/take_pictures.py listening_page.png chunks.png
    spelangy run sample && python tools/take_pictures.py board.png questions.png

Needs the extra `docs` and Chromium. Without names it takes all pictures.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.names import DatasetName

PICTURES = Path(__file__).resolve().parents[1] / "docs" / "pictures"
WIDTH, HEIGHT = 1280, 900
BOARD, CHUNKS = DatasetName("sample", "leaderboard", None), DatasetName("tiny", "web_fine_page", "2026-02")
QUESTIONS = DatasetName("sample", "leaderboard_page", None)
# Picture: the dataset, its page, and the part of the page at its top (empty: the beginning).
TAKEN = {
    "board.png": (BOARD, "leaderboard.html", ""),
    "questions.png": (QUESTIONS, "question_page.html", ""),
    "listening_page.png": (CHUNKS, "chunk_page.html", ""),
    "chunks.png": (CHUNKS, "chunk_page.html", "section[id^='r-']"),
}


def main(pictures: list[str]) -> None:
    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    program = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        for picture in pictures or TAKEN:
            name, file, part = TAKEN[picture]
            page.goto((store.resolve(name).local_folder(settings.cache_dir) / file).as_uri())
            if part:
                page.locator(part).first.evaluate("part => part.scrollIntoView()")
            page.screenshot(path=PICTURES / picture)
            print(PICTURES / picture)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1:])
