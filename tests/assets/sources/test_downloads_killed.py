"""A fetch of 200 addresses, a fifth of them faulty, that is killed twice: nothing is lost, next to nothing is moved
twice, and a chunk leads back to its address."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from fault_server import Page, body, closed_port, failing, redirect, reset, serving, status, wav

from spelangy_assets.execution.build import build
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_assets.store.lineage import connect, query
from spelangy_model.records import Chunk, Recording, Reject

ADDRESSES, CONNECTIONS, PIECE = 200, 8, 4096
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
RECIPE = """
from spelangy_assets import lab
from spelangy_assets.sources import checked_network

checked_network.SILENCE_S = 0.5
audio = lab.recordings({{
    "talks": lab.Downloads(
        lists=({path!r},), private_networks=("127.0.0.2/31", "127.0.0.4/31"), pause_s=0.0,
        connections={connections}, connections_per_host=2,
    )
}})
RECIPE = lab.Recipe("talks", lab.adopted_chunks(audio))
"""


def silent(handler: object, asked: object) -> None:
    time.sleep(1.0)


@pytest.mark.slow
def test_a_fetch_that_is_killed_twice_ends_with_every_address(tmp_path: Path) -> None:
    sounds = {f"/{number}.wav": wav(200 + number, 0.6 + (number % 7) * 0.1) for number in range(ADDRESSES)}
    with serving(HOSTS[0], small_buffers=True) as first, serving(HOSTS[1], small_buffers=True) as second:
        with serving(HOSTS[2], small_buffers=True) as third, serving(HOSTS[3], small_buffers=True) as fourth:
            servers = (first, second, third, fourth)
            dead = closed_port()
            faults: list[tuple[str, Page | None]] = [
                ("http_404", status(404)), ("http_503", status(503)), ("cut_off", reset), ("timeout", silent),
                ("bad_redirect", redirect("file:///etc/passwd")), ("not_audio", body(b"<html>", "text/html")),
                ("private_address", redirect("http://127.0.0.1:1/a.wav")), ("empty", body(b"")),
                ("private_address", redirect("http://169.254.169.254/latest/meta-data/")), ("unreachable", None),
            ]  # fmt: skip
            expected: dict[str, str] = {}
            rows = []
            for number, (path, data) in enumerate(sounds.items()):
                server = servers[number % 4]
                well = body(data, etag=f'"{number}"', piece=PIECE, pause_s=0.01)
                reason, page = ("", well)
                if number % 5 == 2:
                    reason, fault = faults[number // 5 % len(faults)]
                    page = fault or well
                elif number % 20 == 1:
                    page = failing(1, status(502), well)  # what passes is no fault
                server.pages[path] = page
                url = f"http://127.0.0.2:{dead}{path}" if reason == "unreachable" else server.url(path)
                expected[url] = reason
                talk = {"speaker": "a", "text": "A tone is heard.", "start_s": 0.0, "end_s": 0.6}
                rows.append({"url": url, "licence": "CC0-1.0", "language": "en", "utterances": [talk]})
            assert sum(map(bool, expected.values())) == ADDRESSES // 5
            (tmp_path / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            recipe = tmp_path / "talks.py"
            recipe.write_text(RECIPE.format(path=str(tmp_path / "talks.jsonl"), connections=CONNECTIONS))

            def handed() -> int:
                return sum(one.end - one.begin for server in servers for one in list(server.log))

            total = sum(map(len, sounds.values()))
            command = [sys.executable, "-m", "spelangy_assets", "fetch", str(recipe)]
            environment = {**os.environ, "SPELANGY_HOME": str(tmp_path / "home"), "PYTHONPATH": os.getcwd()}
            for kill_at in (0.25 * total, 0.5 * total):
                process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
                while handed() < kill_at:
                    assert process.poll() is None, process.communicate()[1].decode()
                    time.sleep(0.01)
                process.send_signal(signal.SIGKILL)
                assert process.wait() == -signal.SIGKILL
                process.communicate()
                time.sleep(0.1)  # until the server has seen that its connections are gone
            laboratory = Laboratory(Settings.at(tmp_path / "home"))
            found = recipe_named(str(recipe))
            built = {}
            for node in found.graph:
                if node.name not in ("raw_audio", "adopted_chunks"):
                    continue
                source = laboratory.source(node, "talks")
                built[node.name] = build(
                    laboratory.store, found.graph, node, "talks", laboratory.execution(), source
                ).artifact

            recordings = list(built["raw_audio"].records("recordings", Recording))
            ended = {row.source_url: "" for row in recordings}
            ended |= {row.source_uri: row.reason for row in built["raw_audio"].records("rejects", Reject)}
            assert ended == expected
            # Of what was in flight at a kill at most one piece is moved again, and of all else nothing.
            moved: dict[str, collections.Counter[int]] = collections.defaultdict(collections.Counter)
            for server in servers:
                for one in server.log:
                    for piece in range(one.begin // PIECE, -(-one.end // PIECE)):
                        moved[server.url(one.path)][piece] += 1
            good = {url for url, reason in expected.items() if not reason}
            twice = {url: sum(count - 1 for count in moved[url].values()) for url in good}
            assert {url: again for url, again in twice.items() if again} != {}, "the kills hit nothing"
            assert sum(again > 0 for again in twice.values()) <= 2 * CONNECTIONS
            # a piece that was cut, and what lay between the two sockets
            assert max(twice.values()) <= 2 * 3, sorted(twice.values())[-5:]
            assert any(one.status == 206 for server in servers for one in server.log)

            chunk = next(iter(built["adopted_chunks"].records("chunks", Chunk)))
            with connect(laboratory.store) as connection:
                (row,) = query(
                    connection,
                    "SELECT url FROM crawl WHERE content_hash = $recording",
                    recording=chunk.recording_id,
                )
            assert row["url"] in good
            by_id = {recording.recording_id: recording.source_url for recording in recordings}
            assert row["url"] == by_id[chunk.recording_id]
