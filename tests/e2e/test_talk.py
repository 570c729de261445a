"""The page of `talk` in a browser: a file, a recording and a text are answered as the models answer them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from homes import screenshot

from spelangy_model.eval.ask import AskedModel, open_model

pytestmark = [pytest.mark.slow, pytest.mark.nightly]  # tests/assets/cli/test_talk.py guards the server

FAKE_MICROPHONE = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")


@pytest.fixture(scope="module")
def folders(model_folder: Path, project_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two models: one with speech, and the same without its speech tokenizer."""
    place = tmp_path_factory.mktemp("talk")
    speaks = Path(shutil.copytree(model_folder, place / "speaks"))
    shutil.copytree(project_dir / "spelangy_assets" / "tokenizer_checkpoint", speaks / "speech_tokenizer")
    return [speaks, Path(shutil.copytree(model_folder, place / "reads"))]


@pytest.fixture(scope="module")
def model(folders: list[Path]) -> AskedModel:
    return open_model("speaks", folders[0], folders[0] / "speech_tokenizer")


@pytest.fixture(scope="module")
def address(folders: list[Path]) -> Iterator[str]:
    server = subprocess.Popen(
        [sys.executable, "-m", "spelangy_assets", "talk", "./speaks", "./reads", "--port", "0"],
        cwd=folders[0].parent,
        env={**os.environ, "SPELANGY_HOME": str(folders[0].parent / "home")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        found = re.match(r"(http://127\.0\.0\.1:\d+) ", server.stdout.readline())
        if found is None:
            pytest.fail(server.communicate(timeout=60)[1])
        yield found[1]
    finally:
        server.terminate()
        server.communicate(timeout=60)


@pytest.fixture(scope="module")
def talk_page(page, address: str) -> Iterator:
    """A page with a microphone that beeps; it asks nothing outside of the server."""
    browser = page.context.browser.browser_type.launch(
        executable_path=shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome"),
        args=["--no-sandbox", "--disable-gpu", "--disable-background-networking", *FAKE_MICROPHONE],
    )
    one = browser.new_page(viewport={"width": 1280, "height": 900})
    one.set_default_timeout(60_000)
    asked: list[str] = []
    one.on("request", lambda request: asked.append(request.url))
    one.goto(address)
    yield one
    assert all(url.startswith((address, "blob:")) for url in asked), asked
    browser.close()


def answers(page) -> list[str]:
    page.get_by_text("Answered.").wait_for()
    return page.locator(".answer").all_inner_texts()


def test_a_file_is_answered_side_by_side(talk_page, model: AskedModel, tmp_path: Path) -> None:
    question = tmp_path / "question.wav"
    soundfile.write(question, 0.3 * np.sin(np.arange(24_000) ** 1.2 / 9), 16_000)
    talk_page.locator("#options").fill("word number 3\nRome")
    talk_page.locator("#file").set_input_files(str(question))
    reply = model.ask(model.read(question), ["word number 3", "Rome"])
    speaks, reads = answers(talk_page)
    assert speaks.removesuffix(" \u2026") == reply.answer.text
    assert reads == "./reads has no speech tokenizer beside it: ask it in text"
    shown = talk_page.locator("article").first.locator(".option .number").all_inner_texts()
    shares = np.exp(np.array(reply.options.raw) - np.logaddexp.reduce(reply.options.raw))
    assert shown == [f"{share:.1%}" for share in shares]
    assert talk_page.locator("#sound").is_visible()
    assert talk_page.locator("#sound").evaluate("one => one.duration") == pytest.approx(1.5, abs=0.01)
    screenshot(talk_page, "talk")


def test_a_text_is_answered_by_both(talk_page, model: AskedModel) -> None:
    talk_page.locator("#options").fill("")
    talk_page.locator("#text").fill("What is number 3?")
    talk_page.get_by_role("button", name="Ask", exact=True).click()
    wanted = model.ask("What is number 3?").answer.text
    assert [one.removesuffix(" \u2026") for one in answers(talk_page)] == [wanted, wanted]


def test_what_is_recorded_in_the_browser_is_answered(talk_page) -> None:
    talk_page.get_by_role("button", name="Record", exact=True).click()
    talk_page.get_by_role("button", name="Stop and ask").wait_for()
    talk_page.wait_for_timeout(1500)
    talk_page.get_by_role("button", name="Stop and ask").click()
    answer = answers(talk_page)[0]
    assert answer and "undecodable" not in answer and "silent" not in answer, answer


def test_a_file_without_sound_is_named_on_the_page(talk_page, tmp_path: Path) -> None:
    (tmp_path / "note.wav").write_text("no sound")
    talk_page.locator("#file").set_input_files(str(tmp_path / "note.wav"))
    assert answers(talk_page)[0].startswith("undecodable: ")
    assert "bad" in talk_page.locator(".answer").first.get_attribute("class").split()
