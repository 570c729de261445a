"""A home in which recipe `tiny` was run once, undisturbed, for all end-to-end tests; and a browser."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from filelock import FileLock
from homes import run_command


@pytest.fixture(scope="session")
def tiny_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if "PYTEST_XDIST_WORKER" not in os.environ:
        return made_once(tmp_path_factory.mktemp("tiny"))
    # The workers of one pytest run have one parent folder: the first that needs the home makes it, the others wait.
    return made_once(tmp_path_factory.getbasetemp().parent / "tiny")


def made_once(home: Path) -> Path:
    done = home.with_suffix(".made")
    with FileLock(home.with_suffix(".lock")):
        if not done.exists():
            home.mkdir(exist_ok=True)
            ended = run_command(home, "-m", "spelangy_assets", "run", "tiny")
            assert ended.returncode == 0, ended.stdout + ended.stderr
            done.touch()
    return home


@pytest.fixture(scope="module")
def page():
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
