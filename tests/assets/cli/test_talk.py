"""The server of the page `talk`: what it answers, what it refuses, and that it is of this machine alone."""

from __future__ import annotations

import io
import socket
from pathlib import Path

import numpy as np
import pytest
import soundfile
from starlette.testclient import TestClient

from spelangy_assets.access import Store
from spelangy_assets.cli import talk
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.eval.ask import AskedModel, open_model


@pytest.fixture(scope="module")
def model(model_folder: Path, project_dir: Path) -> AskedModel:
    return open_model("recipe/run", model_folder, project_dir / "spelangy_assets" / "tokenizer_checkpoint")


@pytest.fixture(scope="module")
def client(model: AskedModel) -> TestClient:
    return TestClient(talk.talk_app([model, model]), base_url="http://127.0.0.1")


def test_sound_and_text_are_answered_by_each_run(client: TestClient, model: AskedModel) -> None:
    buffer = io.BytesIO()
    soundfile.write(buffer, 0.3 * np.sin(np.arange(20_000) / 9), 16_000, format="WAV")
    sound = buffer.getvalue()
    for body, kind, asked in (
        (sound, "application/octet-stream", model.read(sound)),
        (b"What is number 3?", "text/plain; charset=utf-8", "What is number 3?"),
    ):
        reply = client.post("/answers", params={"option": ["Ann", "Ben"]}, content=body, headers={"Content-Type": kind})
        wanted = model.ask(asked, ["Ann", "Ben"])
        found = reply.json()["answers"]
        assert [one["run"] for one in found] == ["recipe/run", "recipe/run"]
        assert [one["answer"] for one in found] == [wanted.answer.text] * 2
        assert [one["log_likelihood"] for one in found[0]["options"]] == pytest.approx(wanted.options.raw, abs=1e-4)


@pytest.mark.parametrize(("body", "words"), [(b"no sound", "undecodable: "), (b"", "empty: the file holds no byte")])
def test_what_is_no_question_is_a_line_for_each_run(body: bytes, words: str, client: TestClient) -> None:
    found = client.post("/answers", content=body).json()["answers"]
    assert [one["error"].startswith(words) for one in found] == [True, True]


def test_a_question_that_is_too_large_is_not_read(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(talk, "_MAX_BYTES", 10)
    reply = client.post("/answers", content=b"0" * 11)
    assert (reply.status_code, list(reply.json())) == (413, ["error"])


def test_the_page_asks_nothing_elsewhere_and_no_other_page_asks_it(client: TestClient) -> None:
    page = client.get("/")
    assert "connect-src &#39;self&#39;" in page.text or "connect-src 'self'" in page.text
    assert "default-src 'none'" in page.text and "http://" not in page.text and "https://" not in page.text
    assert client.get("/talk_page.js").headers["content-type"].startswith("text/javascript")
    for headers in ({"host": "evil.example"}, {"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}):
        assert client.post("/answers", content=b"Who?", headers=headers).status_code == 403


def test_a_port_that_is_taken_is_named(store: ArtifactStore) -> None:
    with socket.socket() as taken:
        taken.bind((talk.HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ValueError, match=f"port {port} cannot be taken"):
            talk.serve(Store(store, "recipe"), ["run"], port, "cpu")
