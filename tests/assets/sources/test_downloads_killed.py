"""A fetch of 200 addresses, a fifth of them faulty, that is killed twice: nothing is lost, next to nothing is moved
twice, and a chunk leads back to its address."""

import collections
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from fault_server import Asked, FaultServer, Page, body, closed_port, failing, redirect, reset, serving, status, wav

from spelangy_assets.execution.build import build
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_assets.sources import checked_network, download_queue
from spelangy_assets.sources.download_shelf import Shelf
from spelangy_assets.store.lineage import connect, query
from spelangy_model.records import Chunk, Recording, Reject

PROJECT = Path(__file__).resolve().parents[3]
ADDRESSES, CONNECTIONS, PIECE_BYTES = 200, 8, 4096
SOCKET_BYTES = 1 << 16  # what a server has sent and the client has not read yet
HOSTS = ("127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5")
RECIPE = """
from spelangy_assets import lab
from spelangy_assets.sources import checked_network, download_queue

checked_network.SILENCE_S = 0.4
download_queue._PAUSE_BETWEEN_ROUNDS_S = 0.05
audio = lab.recordings({{
    "talks": lab.Downloads(
        lists=({path!r},), private_networks=("127.0.0.2/31", "127.0.0.4/31"), pause_s=0.0,
        connections={connections}, connections_per_host=2,
    )
}})
RECIPE = lab.Recipe("talks", lab.adopted_chunks(audio))
"""

FETCH = """
import sys
from pathlib import Path
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings

recipe = recipe_named(sys.argv[1])
source = Installation(Settings.at(Path(sys.argv[2]))).source(recipe.graph["raw_audio"], "talks")
source.fetch(print)  # as a build does first
"""


def silent(handler: object, asked: object) -> None:
    time.sleep(0.8)


@pytest.fixture
def servers() -> Iterator[list[FaultServer]]:
    with ExitStack() as stack:
        yield [stack.enter_context(serving(host, small_buffers=True)) for host in HOSTS]


def faulty_addresses(servers: list[FaultServer]) -> dict[str, str]:
    """Give each server its pages, and return each address with the reason for which it is a reject; "": it is none."""
    dead = closed_port()
    faults: list[tuple[str, Page | None]] = [
        ("http_404", status(404)), ("http_503", status(503)), ("cut_off", reset), ("timeout", silent),
        ("bad_redirect", redirect("file:///etc/passwd")), ("not_audio", body(b"<html>", "text/html")),
        ("private_address", redirect("http://127.0.0.1:1/a.wav")), ("empty", body(b"")),
        ("private_address", redirect("http://169.254.169.254/latest/meta-data/")), ("unreachable", None),
    ]  # fmt: skip
    expected: dict[str, str] = {}
    for number in range(ADDRESSES):
        server, path = servers[number % len(servers)], f"/{number}.wav"
        data = wav(200 + number, 0.6 + (number % 5) * 0.1)
        reason, page = "", body(data, etag=f'"{number}"', piece=PIECE_BYTES, pause_s=0.01)
        if number % 5 == 2:
            reason, fault = faults[number // 5 % len(faults)]
            page = fault or page
        elif number % 20 == 1:
            page = failing(1, status(502), page)  # what passes is no fault of the address
        server.pages[path] = page
        expected[f"http://127.0.0.2:{dead}{path}" if reason == "unreachable" else server.url(path)] = reason
    assert sum(map(bool, expected.values())) == ADDRESSES // 5
    return expected


@pytest.mark.slow
def test_a_fetch_that_is_killed_twice_ends_with_every_address(
    tmp_path: Path, servers: list[FaultServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = faulty_addresses(servers)
    good = {url for url, reason in expected.items() if not reason}
    talk = {"speaker": "a", "text": "A tone sounds.", "start_s": 0.0, "end_s": 0.6}
    rows = [{"url": url, "licence": "CC0-1.0", "language": "en", "utterances": [talk]} for url in expected]
    (tmp_path / "talks.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "talks.py").write_text(RECIPE.format(path=str(tmp_path / "talks.jsonl"), connections=CONNECTIONS))
    for module, name in ((checked_network, "SILENCE_S"), (download_queue, "_PAUSE_BETWEEN_ROUNDS_S")):
        monkeypatch.setattr(module, name, getattr(module, name))  # which the recipe sets here too

    def log() -> list[tuple[str, Asked]]:
        return [(server.url(one.path), one) for server in servers for one in list(server.log)]

    def moved_by_address() -> collections.Counter[str]:
        # A kill between a file and the journal's line of it costs a question, by ETag, that moves nothing.
        return collections.Counter(url for url, one in log() if one.end > one.begin)

    installation = Installation(Settings.at(tmp_path / "home"))
    shelf = Shelf(installation.settings.downloads)
    command = [sys.executable, "-c", FETCH, str(tmp_path / "talks.py"), str(tmp_path / "home")]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    total = len(good) * 25_000
    parts: list[dict[str, int]] = []  # at each kill, how much of each address was on the disk
    whole: list[set[str]] = []  # which were there as a whole
    asked: list[collections.Counter[str]] = []  # and how often each had been sent
    for kill_at in (0.25 * total, 0.5 * total):
        with (tmp_path / "output").open("wb") as output:
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)
        while sum(one.end - one.begin for _, one in log()) < kill_at:
            assert process.poll() is None, (tmp_path / "output").read_text()
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        time.sleep(0.1)  # until the servers have seen that their connections are gone
        found = {url: shelf.part(url) for url in good}
        parts.append({url: part.stat().st_size for url, part in found.items() if part.is_file()})
        whole.append({url for url in good if shelf.held(url) is not None})
        asked.append(moved_by_address())

    recipe, built = recipe_named(str(tmp_path / "talks.py")), {}
    for node in (recipe.graph["raw_audio"], recipe.graph["adopted_chunks"]):
        source = installation.source(node, "talks")
        made = build(installation.store, recipe.graph, node, "talks", installation.execution(), source)
        built[node.name] = made.artifact

    recordings = list(built["raw_audio"].records("recordings", Recording))
    ended = {row.source_url: "" for row in recordings}
    ended |= {row.source_uri: row.reason for row in built["raw_audio"].records("rejects", Reject)}
    assert ended == expected, "every address ends as a recording or a reject"

    assert any(parts), "the kills came between two files"
    bytes_of = {url: [(one.begin, one.end) for at, one in log() if at == url and one.end > one.begin] for url in good}
    twice = {}
    for url, moved in bytes_of.items():
        resumed = [begin for begin, _ in moved[1:]]
        size = max(end for _, end in moved)
        cuts = [sizes[url] for sizes in parts if 0 < sizes.get(url, 0) < size]
        assert [begin for begin in resumed if begin] == cuts, f"{url}: what was on the disk is not asked for again"
        twice[url] = sum(end - begin for begin, end in moved) - moved[-1][1]
    assert sum(again > 0 for again in twice.values()) <= 2 * CONNECTIONS, "only what was in flight"
    assert max(twice.values()) <= 2 * SOCKET_BYTES
    at_the_end = moved_by_address()
    for there, count in zip(whole, asked, strict=True):
        assert there, "nothing was whole at the kill"
        assert {url: at_the_end[url] for url in there} == {url: count[url] for url in there}

    chunks = list(built["adopted_chunks"].records("chunks", Chunk))
    with connect(installation.store) as connection:
        known = {row["content_hash"]: row["url"] for row in query(connection, "SELECT url, content_hash FROM crawl")}
    assert {known[chunk.source_id] for chunk in chunks} == good, "from a chunk to its address"
    assert all(chunk.source_url == known[chunk.source_id] for chunk in chunks)
