"""The language model client under faults: Krist and Quest through a server that fails on 30% of its calls.

    PYTHONPATH=. python benchmarks/llm_client.py [--pages 300] [--share 0.3]

A local server that speaks OpenAI's protocol answers what the stages ask, each call after a delay drawn by its content.
On a share of the calls it sends instead, in equal parts: 429 with Retry-After, 500, nothing until the client's timeout,
a reply cut in its JSON, a reply that ended at the output limit, a connection closed in the body, or prose that is no
JSON. The stages write_krist and mine_quest run three times over the same pages, each time as a process: without
faults, with them, and with them once more, killed (SIGKILL) when three quarters of the documents of the first stage are
answered, and started again. Printed as Markdown: what became of each document, the wall time of asking (loading and
reading pages left out) with its ratio, and what the server counted: requests that came again though their good reply
had been sent two seconds or more before the kill, and, apart, those whose reply was under way when the process died.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from spelangy_model.rng import stable_rng

FAULTS = ("429", "500", "timeout", "cut_json", "output_limit", "closed", "prose")
STAGES = ("write_krist", "mine_quest")
TIMEOUT_S = 2.0  # five times the slowest good reply
CONCURRENCY = 16


class Server:
    """An OpenAI-compatible server; `share` of the calls go wrong, drawn by content and count, so runs repeat."""

    def __init__(self, share: float, delay_s: tuple[float, float] = (0.2, 0.4)):
        self.calls: Counter[str] = Counter()  # request -> how often it came
        self.taken: dict[str, list[float]] = defaultdict(
            list
        )  # request -> when good replies were sent to a live client
        self.killed_at = float("inf")
        self.faults: Counter[str] = Counter()
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: object) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                # a repair is a request of its own: it holds the first reply
                key = hashlib.sha256(json.dumps(json.loads(body)["messages"]).encode()).hexdigest()
                with outer._lock:
                    nth = outer.calls[key]
                    outer.calls[key] += 1
                rng = stable_rng(0, "server", key, nth)
                time.sleep(float(rng.uniform(*delay_s)))
                fault = FAULTS[int(rng.integers(len(FAULTS)))] if rng.random() < share else ""
                if fault:
                    with outer._lock:
                        outer.faults[fault] += 1
                try:
                    self.reply(fault, json.loads(body), key)
                except OSError:
                    self.close_connection = True  # the client is gone

            def reply(self, fault: str, request: dict, key: str) -> None:
                if fault == "429":
                    return self.send(429, '{"error": {"message": "slow down"}}', ("Retry-After", "1"))
                if fault == "500":
                    return self.send(500, '{"error": {"message": "broken"}}')
                if fault == "timeout":
                    time.sleep(TIMEOUT_S + 0.5)
                reply, finish = json.dumps(answer(request)), "stop"
                if fault == "cut_json":
                    reply = reply[: len(reply) // 2]
                if fault == "output_limit":
                    reply, finish = reply[: len(reply) // 2], "length"
                if fault == "prose":
                    reply = "Certainly! Here is what you asked for."
                choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": reply}}
                usage = {"prompt_tokens": 400, "completion_tokens": 100, "total_tokens": 500}
                data = json.dumps(
                    {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
                    | {"usage": usage}
                )
                if fault == "closed":
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2].encode())
                    self.close_connection = True
                    return None
                if not fault and self.is_open():
                    with outer._lock:
                        outer.taken[key].append(time.perf_counter())
                return self.send(200, data)

            def is_open(self) -> bool:
                readable, _, _ = select.select([self.connection], [], [], 0)
                return not readable or self.connection.recv(1, socket.MSG_PEEK) != b""

            def send(self, status: int, text: str, *headers: tuple[str, str]) -> None:
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

        class Listener(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256

            def handle_error(self, request: object, client_address: object) -> None:
                pass  # a killed client

        self._server = Listener(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Server:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def sent_twice(self) -> tuple[int, int]:
        """Return how many requests got a good reply twice: the first one sent long before the kill, and not."""
        with self._lock:
            first = [times[0] for times in self.taken.values() if len(times) > 1]
        early = sum(moment < self.killed_at - 2 for moment in first)
        return early, len(first) - early


def answer(request: dict) -> dict[str, object]:
    """Return what a model of good will says: the page itself for Krist, its first words as evidence for Quest."""
    prompt = request["messages"][0]["content"]
    text = prompt.rpartition("Page:\n")[2]
    if "text" in request["response_format"]["json_schema"]["schema"]["properties"]:
        return {"text": text}
    return {
        "valid": True,
        "reason": "",
        "rationale": "The page says so.",
        "answer": text.partition("?")[2].strip().split(".")[0] + ".",
        "evidence": " ".join(text.split()[:8]),
    }


def make_snapshot(folder: Path, pages: int) -> None:
    """Write an archive of pages that each tell of a mill and answer one question."""
    records = []
    for number in range(pages):
        facts = "".join(
            f"<p>Wheel {part} of Mill {number} was built by Anna Berg in {1500 + number + part}, and it still turns "
            f"when the brook is high. Its stones came from quarry {number * 7 + part}.</p>"
            for part in range(6)
        )
        html = (
            f"<!doctype html><html><head><title>Mill {number}</title></head><body><main><h1>Mill {number}</h1>{facts}"
            f"<h2>Who built Mill number {number} of Bergen?</h2><p>Anna Berg built Mill {number}. She drew it.</p>"
            "</main></body></html>"
        )
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}"
        records.append(
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://mill.example/{number}\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http.encode())}\r\n\r\n"
            f"{http}\r\n\r\n"
        )
    folder.mkdir(parents=True)
    (folder / "mills.warc").write_text("".join(records), newline="")


def run_stages(home: Path, snapshot: Path) -> dict[str, Any]:
    """Build raw_pages and the two stages in this process; return their counts and the seconds spent asking."""
    from spelangy_assets.execution.build import build
    from spelangy_assets.execution.graph import Graph, Node
    from spelangy_assets.execution.stage import Execution
    from spelangy_assets.sources.files import FolderSource
    from spelangy_assets.stage_parts import contracts
    from spelangy_assets.stages import ingest_pages, mine_quest, write_krist
    from spelangy_assets.stages.ingest_pages import CONTRACT as RAW_PAGES
    from spelangy_assets.store.artifacts import ArtifactStore
    from spelangy_model.text.llm import LanguageModel, LanguageModelClient

    def no_launch(module: str, spec: object, folder: Path) -> None:
        raise RuntimeError("no stage here starts a process")

    pages = Node(
        name="raw_pages", group="crawl", description="", stage=ingest_pages, config=ingest_pages.Config(),
        contract=RAW_PAGES, has_source=True,
    )  # fmt: skip
    below = [
        Node(
            name=stage.__name__.rpartition(".")[2], group="synthetic", description="", stage=stage,
            config=stage.Config(model=LanguageModel("m")), contract=contracts.SCRIPTS,
            inputs={"raw_pages": "raw_pages"},
        )
        for stage in (write_krist, mine_quest)
    ]  # fmt: skip
    graph = Graph("bench", [pages, *below])
    store = ArtifactStore(str(home / "store"), home / "cache")
    execution = Execution(home / "cache", no_launch, environment=dict(os.environ))
    counts: dict[str, Any] = {"asking_s": 0.0}
    ask_all = LanguageModelClient.ask_all

    def timed(*arguments: Any) -> Any:
        begun = time.perf_counter()
        replies = ask_all(*arguments)
        counts["asking_s"] += time.perf_counter() - begun
        return replies

    LanguageModelClient.ask_all = timed  # type: ignore[method-assign]
    for node in graph:
        built = build(
            store, graph, node, None, execution, source=FolderSource(snapshot) if node.has_source else None,
            log=lambda line: print(line, file=sys.stderr),
        )  # fmt: skip
        own = built.artifact.manifest.counts
        counts[node.name] = {
            "in": own.records_in, "kept": own.records_kept, "dropped": dict(own.dropped), "stats": dict(own.stats)
        }  # fmt: skip
    return counts


def start(home: Path, snapshot: Path, server: Server) -> subprocess.Popen[str]:
    environment = os.environ | {
        "SPELANGY_LLM_BASE_URL": server.base_url,
        "SPELANGY_LLM_API_KEY": "none",
        "SPELANGY_LLM_TIMEOUT_S": str(TIMEOUT_S),
        "SPELANGY_LLM_CONCURRENCY": str(CONCURRENCY),
    }
    command = [sys.executable, __file__, "--stages", str(home), str(snapshot)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def finish(process: subprocess.Popen[str]) -> dict[str, Any]:
    out, _ = process.communicate()
    if process.returncode:
        raise SystemExit(f"the stages ended with status {process.returncode}")
    return json.loads(out)


def measure(folder: Path, pages: int, share: float) -> Iterator[tuple[str, dict[str, Any], Server]]:
    """Yield (what was run, counts of the stages and seconds of asking, the server) of the three runs."""
    snapshot = folder / "snapshot"
    make_snapshot(snapshot, pages)
    for name, faults in (("without faults", 0.0), ("with faults", share)):
        with Server(faults) as server:
            counts = finish(start(folder / name, snapshot, server))
            yield name, counts, server
    with Server(share) as server:
        first = start(folder / "killed", snapshot, server)
        while len(server.taken) < 3 * pages // 4 and first.poll() is None:
            time.sleep(0.02)
        first.send_signal(signal.SIGKILL)
        server.killed_at = time.perf_counter()
        first.wait()
        counts = finish(start(folder / "killed", snapshot, server))
        yield "with faults, killed and run again", counts, server


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pages", type=int, default=300)
    parser.add_argument("--share", type=float, default=0.3, help="of the calls that go wrong")
    parser.add_argument("--stages", type=Path, nargs=2, help=argparse.SUPPRESS)  # HOME SNAPSHOT: one run, in here
    chosen = parser.parse_args()
    if chosen.stages:
        print(json.dumps(run_stages(*chosen.stages)))
        return 0
    print(
        f"{chosen.pages} pages, two requests each; {chosen.share:.0%} of calls fail; the server takes 0.2 to 0.4 s a "
        f"call; timeout {TIMEOUT_S:g} s, {CONCURRENCY} at once\n"
    )
    print(
        "| run | documents in | done | rejected, by reason | without end | calls | answered and asked again | under "
        "way at the kill and asked again | asking, wall s |\n|---|---|---|---|---|---|---|---|---|"
    )
    walls = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, counts, server in measure(Path(folder), chosen.pages, chosen.share):
            walls[name] = counts["asking_s"]
            early, late = server.sent_twice()
            asked = [counts[stage] for stage in STAGES]
            dropped: Counter[str] = sum((Counter(stage["dropped"]) for stage in asked), Counter())
            inside, kept = sum(stage["in"] for stage in asked), sum(stage["kept"] for stage in asked)
            words = ", ".join(f"{reason} {count}" for reason, count in sorted(dropped.items())) or "-"
            print(
                f"| {name} | {inside} | {kept} | {words} | {inside - kept - dropped.total()} | "
                f"{server.calls.total()} | {early} | {late} | {walls[name]:.1f} |",
                flush=True,
            )
            if name == "with faults":
                faults = ", ".join(f"{fault} {count}" for fault, count in sorted(server.faults.items()))
    print(f"\nFaults of the second run: {faults}. Wall time x{walls['with faults'] / walls['without faults']:.2f}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
