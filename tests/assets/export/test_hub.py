"""To the Hub: what stands against it, the dry run, and the upload to a server that speaks as the Hub does."""

import base64
import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.export.hub import HubError, check_consent, upload, upload_of
from spelangy_assets.export.models import write_model
from spelangy_assets.export.rights import SourceRow, check_licences, judge
from spelangy_assets.export.write import write_dataset
from spelangy_assets.store.exports import exports
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select

TOKEN = "hf_a_secret_of_the_test"
CONSENT = "The speakers signed that their talks are published under CC BY."


class Hub:
    """Repositories of the Hub, as far as an upload asks for them."""

    def __init__(self) -> None:
        self.repositories: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.tokens: set[str] = set()
        self.refused = ""  # what a request's path ends in, that is answered with 403
        hub = self

        class Answers(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                hub.requests.append(f"{self.command} {self.path}")
                hub.tokens.add(self.headers.get("Authorization", ""))
                status, answer = hub.answer(self.path.partition("?")[0], body)
                data = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_PUT = do_POST

            def log_message(self, *_: object) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
        if self.refused and path.endswith(self.refused):
            return 403, {"error": "the test refuses"}
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            public = {"private": asked["visibility"] == "private", "files": {}}
            there = self.repositories.setdefault(name, public)
            kind = "datasets/" if asked.get("type") == "dataset" else ""
            answer = {"url": f"https://huggingface.co/{kind}{name}", "id": name, "private": there["private"]}
            return (200 if there is public else 409), answer
        if path.endswith("/settings"):
            self.repositories["/".join(path.split("/")[3:5])] |= json.loads(body)
            return 200, {}
        if path == "/api/validate-yaml":
            return 200, {"errors": [], "warnings": []}
        name = "/".join(path.split("/")[3:5])
        if path.endswith("/preupload/main"):
            files = [
                {"path": one["path"], "uploadMode": "regular", "shouldIgnore": False}
                for one in json.loads(body)["files"]
            ]
            return 200, {"files": files}
        if path.endswith("/commit/main"):
            for line in map(json.loads, body.splitlines()):
                if line["key"] == "file":
                    content = base64.b64decode(line["value"]["content"])
                    self.repositories[name]["files"][line["value"]["path"]] = content
            address = f"https://huggingface.co/datasets/{name}/commit/1"
            return 200, {"success": True, "commitOid": "1" * 40, "commitUrl": address, "hookOutput": ""}
        return 200, {"id": name, "private": self.repositories[name]["private"], "siblings": [], "sha": "0" * 40}


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub()
    yield hub
    hub.server.shutdown()
    hub.server.server_close()


@pytest.fixture
def written(small: Any, tmp_path: Path) -> Any:
    selection = select(small.store, "web_fine", "small")
    return write_dataset(small.store, selection, "webdataset", Files(tmp_path / "out"), CONSENT)


def test_an_upload_is_private_and_whole_and_its_token_is_sent_nowhere_else(
    written: Any, hub: Hub, tmp_path: Path
) -> None:
    one = upload_of(written, "me/web-fine", "dataset", tmp_path / "out", CONSENT)
    (tmp_path / "out" / "mine.txt").write_text("not a part of the export")
    address = upload(one, {"HF_TOKEN": TOKEN}, hub.endpoint)
    assert address.endswith("/commit/1")
    there = hub.repositories["me/web-fine"]
    assert there["private"] is True
    assert there["files"] == {name: (tmp_path / "out" / name).read_bytes() for name in written.files}
    assert hub.tokens == {f"Bearer {TOKEN}"}


def test_a_model_goes_as_one(small: Any, hub: Hub, tmp_path: Path) -> None:
    written = write_model(small.store, select(small.store, "run", "small"), Files(tmp_path / "model"), CONSENT)
    one = upload_of(written, "me/run", "model", tmp_path / "model", CONSENT, public=True)
    upload(one, {"HF_TOKEN": TOKEN}, hub.endpoint)
    there = hub.repositories["me/run"]
    assert there["private"] is False
    assert there["gated"] == "auto", "who wants to read voices of people has to agree to something"
    assert "people who accept the terms on voices can read it" in one.lines()[0]
    assert set(there["files"]) == {"README.md", "config.json", "model.safetensors"}


def test_a_failed_upload_is_one_line_without_the_token_and_continues(written: Any, hub: Hub, tmp_path: Path) -> None:
    one = upload_of(written, "me/web-fine", "dataset", tmp_path / "out", CONSENT)
    hub.refused = "/commit/main"
    with pytest.raises(HubError, match=r"the upload failed .* start it again, it continues") as failed:
        upload(one, {"HF_TOKEN": TOKEN}, hub.endpoint)
    assert TOKEN not in str(failed.value)
    assert "\n" not in str(failed.value)
    hub.refused = ""
    upload(one, {"HF_TOKEN": TOKEN}, hub.endpoint)
    assert set(hub.repositories["me/web-fine"]["files"]) == set(written.files)


def test_nothing_private_is_sent_to_a_public_repository(written: Any, hub: Hub, tmp_path: Path) -> None:
    hub.repositories["me/web-fine"] = {"private": False, "files": {}}
    one = upload_of(written, "me/web-fine", "dataset", tmp_path / "out", CONSENT)
    with pytest.raises(HubError, match="is public: make it private there"):
        upload(one, {"HF_TOKEN": TOKEN}, hub.endpoint)
    assert hub.repositories["me/web-fine"]["files"] == {}


def test_without_a_token_nothing_is_asked(written: Any, hub: Hub, tmp_path: Path) -> None:
    one = upload_of(written, "me/web-fine", "dataset", tmp_path / "out", CONSENT)
    with pytest.raises(HubError, match="HF_TOKEN is not set"):
        upload(one, {}, hub.endpoint)
    assert hub.requests == []


def test_voices_need_a_word_on_consent(written: Any, small: Any, tmp_path: Path) -> None:
    for missing in ("", "  "):
        with pytest.raises(ValueError, match="voices of people, which are personal data: state with --consent"):
            upload_of(written, "me/web-fine", "dataset", tmp_path / "out", missing)
    synthetic = write_dataset(
        small.store, select(small.store, "questions", "small"), "hf", Files(tmp_path / "questions")
    )
    check_consent(synthetic.facts, "")


@pytest.mark.parametrize(
    ("licence", "judged"),
    [
        *(("CC0-1.0", "open"), ("CC-BY-4.0", "open"), ("cc-by-sa-3.0", "open"), ("CC-BY-NC-SA-4.0", "open")),
        *(("Apache-2.0", "open"), ("MIT", "open"), ("ODC-By-1.0", "open"), ("Public Domain", "open")),
        *(("CC-BY-ND-4.0", "forbidden"), ("CC-BY-NC-ND-4.0", "forbidden"), ("All rights reserved", "forbidden")),
        *(("https://creativecommons.org/licenses/by-nd/4.0/", "forbidden"), ("Land survey terms", "unknown")),
        *(("CC BY-NC-ND", "forbidden"), ("(c) 2020; no redistribution", "forbidden")),
        *(("unknown", "unknown"), ("", "unknown"), ("ask the station", "unknown"), ("https://x.example/l", "unknown")),
        *(("CC-BY", "unknown"), ("MIT-like, ask", "unknown")),
    ],
)
def test_licences_are_judged_by_their_names(licence: str, judged: str) -> None:
    assert judge(licence) == judged


def test_a_licence_that_forbids_it_stays_and_an_unknown_one_needs_a_person() -> None:
    def sources(*licences: str) -> list[SourceRow]:
        return [SourceRow("recording", f"h{n}", f"https://x.example/{n}", one) for n, one in enumerate(licences)]

    check_licences(sources("CC-BY-4.0", "CC0-1.0"))
    with pytest.raises(ValueError, match=r"of 2 of its sources forbids .* \(CC-BY-ND-4.0: 2\)"):
        check_licences(sources("CC-BY-ND-4.0", "CC0-1.0", "CC-BY-ND-4.0"), permitted=["CC-BY-ND-4.0"])
    with pytest.raises(ValueError, match=r"of 1 of its sources is not known .* add --permit 'unknown'"):
        check_licences(sources("unknown", "CC0-1.0"))
    check_licences(sources("unknown", "CC0-1.0"), permitted=["unknown"])


def test_the_command_lists_what_would_be_sent_and_sends_it_only_with_the_option(
    small: Any, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPELANGY_HOME", str(small.settings.home))
    monkeypatch.delenv("SPELANGY_STORE", raising=False)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    command = ["export", "small/web_fine", str(tmp_path / "out"), "--to", "hf", "--push", "me/web-fine"]
    assert main(command) == 2
    assert "state with --consent how they agreed" in capsys.readouterr().err
    assert main([*command, "--consent", CONSENT]) == 0
    printed = capsys.readouterr().out
    assert "https://huggingface.co/datasets/me/web-fine (dataset, private)" in printed
    assert "data/train-00002-of-00003.parquet" in printed
    assert printed.endswith("nothing was sent: add --yes to upload it\n")
    assert {one.format for one in exports(small.store)} == {"hf"}, "what was not sent is not noted as sent"
    assert CONSENT.partition(" ")[2] in (tmp_path / "out" / "README.md").read_text()

    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", hub.endpoint)
    assert main([*command, "--consent", CONSENT, "--yes"]) == 0
    assert "uploaded: " in capsys.readouterr().out
    assert len(hub.repositories["me/web-fine"]["files"]) == 5
    places = {one.place for one in exports(small.store)}
    assert places == {str(tmp_path / "out"), "https://huggingface.co/datasets/me/web-fine"}
