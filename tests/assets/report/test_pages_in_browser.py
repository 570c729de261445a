"""All pages open from disk in a real browser: nothing is requested, nothing overflows a phone, sound plays."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from spelangy_assets.report.chunk_page import write_chunk_page
from spelangy_assets.report.contents_page import contents_page
from spelangy_assets.report.synthetic_page import synthetic_page


def _neighbour(name: str):
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    chunk, board, synthetic = map(_neighbour, ("test_chunk_page", "test_leaderboard_page", "test_synthetic_page"))
    folder = tmp_path_factory.mktemp("pages")
    (folder / "chunk_page.html").write_text(
        write_chunk_page(
            *(chunk.RECORDINGS, chunk.SEGMENTS, chunk.HYPOTHESES, chunk.TRANSCRIPTS, chunk.DROPPED, chunk.CHUNKS),
            *(chunk.LEDGER, chunk.METRICS),
        )
    )
    (folder / "leaderboard.html").write_text(board.page_of())
    (folder / "synthetic_page.html").write_text(synthetic_page([synthetic.QUEST], title="Synthetic speech"))
    (folder / "question_page.html").write_text(_neighbour("test_question_page").page())
    contents = _neighbour("test_contents_page")
    (folder / "contents.html").write_text(contents_page(contents.PORTIONS, contents.METRICS, unit="tokens", title="A"))
    return folder


@pytest.fixture(scope="module")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api")
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("no Chromium on this machine")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize(
    "name", ["chunk_page.html", "leaderboard.html", "question_page.html", "synthetic_page.html", "contents.html"]
)
def test_a_page_fits_the_screen_requests_nothing_and_reports_no_error(browser, pages, name, width, scheme):
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    requests, problems = [], []
    page.on("request", lambda request: requests.append(request.url))
    page.on("console", lambda message: problems.append(message.text))
    page.goto((pages / name).as_uri())
    for summary in page.locator("details:not([open]) > summary").all():
        if summary.is_visible():
            summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert problems == []
    page.close()


@pytest.mark.slow
def test_the_sound_of_a_chunk_plays(browser, pages):
    page = browser.new_page()
    page.goto((pages / "chunk_page.html").as_uri())
    seconds = page.evaluate(
        """async () => {
            const sound = document.querySelector('audio');
            sound.preload = 'auto';
            sound.load();
            await new Promise((ready, failed) => {
                sound.oncanplaythrough = ready;
                sound.onerror = () => failed(sound.error);
            });
            return sound.duration;
        }"""
    )
    assert seconds == pytest.approx(5.0, abs=0.05)
    page.close()
