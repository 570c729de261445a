"""An S3 server that fails: moto's, with errors and slow replies in front of it at a given share of requests.

    python tests/e2e/faulty_s3.py --share 0.05          # prints the endpoint, then serves until it is ended
    python tests/e2e/faulty_s3.py --share 0.05 --recipe tiny --home FOLDER [--against STORE]

The second runs the whole recipe with its store on that server, and compares the data versions with those of a store on
a disk; without --against it makes that one first. FOLDER keeps the rest of both installations and their logs.

Of five faulty requests three are answered with an error that S3 gives when it is busy or ill (500, 503), before
anything was done; one is done and answered with such an error all the same; one is done and its reply comes late. What
ends an upload in parts is never done and denied: S3 answers its repetition as the first, moto knows the upload no more.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from spelangy_model.rng import stable_rng

# As long as S3's own: longer than a small file is.
_BODY = """<?xml version="1.0" encoding="UTF-8"?>
<Error><Code>{code}</Code><Message>We encountered an internal error, or are busy. Please try again.</Message>\
<RequestId>656c76696e6727732072657175657374</RequestId>\
<HostId>Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==</HostId></Error>"""
_CONDITIONS = ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH")
_ERRORS = (("500 Internal Server Error", "InternalError"), ("503 Slow Down", "SlowDown"))


class FaultyServer:
    """A context in which the server runs in a thread of this process; `counts` are requests by what became of them."""

    def __init__(self, share: float, seed: int = 0, slow_s: float = 1.0, port: int = 0):
        self.share, self.seed, self.slow_s, self.port = share, seed, slow_s, port
        self.conditions = "kept"  # what becomes of If-Match and If-None-Match of a PUT: kept, refused or ignored
        self.counts: Counter[str] = Counter()
        self._drawn = 0
        self._lock, self._one_swap = threading.Lock(), threading.Lock()

    def __enter__(self) -> Self:
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        class Quiet(WSGIRequestHandler):
            protocol_version = "HTTP/1.1"  # connections are kept, as S3 keeps them

            def log(self, type: str, message: str, *args: Any) -> None:
                """Say nothing of each request."""

        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", self.port, self._answer, threaded=True, request_handler=Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._thread.join()

    @property
    def endpoint(self) -> str:
        """HOST:PORT."""
        return f"127.0.0.1:{self._server.server_port}"

    def uri(self, target: str) -> str:
        """Return the URI of a bucket or prefix on this server."""
        return f"s3://{target}?endpoint_url=http://{self.endpoint}&region_name=us-east-1"

    def _answer(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        kind, error = self._draw()
        if kind == "lost" and environ["REQUEST_METHOD"] == "POST":
            kind = "error"
        with self._lock:
            self.counts[kind] += 1
        if kind == "error":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))  # or the connection is of no more use
            return _say(error, start_response)
        if kind == "lost":
            for _ in self._serve(environ, lambda *reply: None):
                pass
            return _say(error, start_response)
        answer = self._serve(environ, start_response)
        if kind == "slow":
            time.sleep(self.slow_s)
        return answer

    def _draw(self) -> tuple[str, tuple[str, str]]:
        """Return what becomes of the next request, and the error that it may be answered with."""
        with self._lock:
            rng = stable_rng(self.seed, "request", self._drawn)
            self._drawn += 1
        kind = "served" if rng.random() >= self.share else ("error", "error", "error", "lost", "slow")[rng.integers(5)]
        return kind, _ERRORS[int(rng.integers(len(_ERRORS)))]

    def _serve(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] != "PUT" or not any(header in environ for header in _CONDITIONS):
            return self._app(environ, start_response)
        if self.conditions == "refused":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            return _say(("501 Not Implemented", "NotImplemented"), start_response)
        if self.conditions == "ignored":
            environ = {name: value for name, value in environ.items() if name not in _CONDITIONS}
        with self._one_swap:  # moto compares, then writes; S3 does both at once
            return self._app(environ, start_response)


def _say(error: tuple[str, str], start_response: Callable[..., Any]) -> Iterable[bytes]:
    status, code = error
    body = _BODY.format(code=code).encode()
    start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))])
    return [body]


def _demo(recipe: str, home: Path, **environment: str) -> bool:
    """Run a recipe below a home, its output in the home's demo.log; return whether all is there and passed."""
    home.mkdir(parents=True, exist_ok=True)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("SPELANGY_", "DAGSTER_"))}
    command = [sys.executable, "-m", "spelangy_assets", "run", recipe]
    with (home / "demo.log").open("w") as log:
        ended = subprocess.run(
            command,
            cwd=home,
            env={**kept, **environment, "SPELANGY_HOME": str(home)},
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    print(f"demo --recipe {recipe}: exit status {ended.returncode}, log in {home / 'demo.log'}", flush=True)
    return ended.returncode == 0


def compare(server: FaultyServer, recipe_name: str, home: Path, against: str) -> bool:
    """Run a recipe with its store on the server, print what differs from a store on a disk, return whether nothing."""
    import boto3

    from spelangy_assets.execution.targets import required_targets, target_name
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.store.artifacts import ArtifactStore, DatasetName

    secrets = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(secrets)
    share, server.share = server.share, 0.0
    boto3.client("s3", endpoint_url=f"http://{server.endpoint}").create_bucket(Bucket="bucket")
    complete = bool(against) or _demo(recipe_name, home / "disk")
    on_disk = ArtifactStore(against or home / "disk" / "store", home / "cache")
    server.share = share
    before = server.counts.copy()
    started = time.perf_counter()
    complete &= _demo(recipe_name, home / "s3", SPELANGY_STORE=server.uri("bucket/store"))
    seconds = time.perf_counter() - started
    server.share = 0.0
    requests = server.counts - before

    on_s3 = ArtifactStore(server.uri("bucket/store"), home / "cache")
    equal, same_builds, other = 0, 0, []
    targets = required_targets(recipe_named(recipe_name).graph)
    for asset, partition in targets:
        name = DatasetName(recipe_name, asset, partition)
        here = on_s3.latest(name)
        # The same build, or what other code or another config published there: that may be of equal bytes too.
        there = here and (on_disk.find(here.address, here.manifest.build_key) or on_disk.latest(name))
        if here is None or there is None:
            why = f"not published {'on S3' if here is None else 'on the disk'}"
        elif here.data_version != there.data_version:
            keys = list(dict.fromkeys([here.manifest.build_key, there.manifest.build_key]))
            why = f"{here.data_version} on S3, {there.data_version} on the disk, build {' and '.join(keys)}"
        else:
            equal += 1
            same_builds += here.manifest.build_key == there.manifest.build_key
            continue
        other.append(f"{target_name(asset, partition)}: {why}")
    for line in other:
        print(line)
    failed = requests["error"] + requests["lost"]
    print(
        f"recipe {recipe_name} on S3, {seconds:.0f} s: data versions equal {equal} of {len(targets)} "
        f"(of {same_builds} the build keys too)"
    )
    print(
        f"requests failed {failed} of {requests.total()} ({requests['lost']} of them were done all the same), "
        f"{requests['slow']} slow",
        flush=True,
    )
    return complete and not other and (failed > 0 or not share)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--share", type=float, default=0.05, help="of the requests, that is faulty")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--recipe", default="", help="run it on this server, compare, and end")
    parser.add_argument("--home", type=Path, help="with --recipe: a folder for what is made")
    parser.add_argument("--against", default="", help="with --recipe: a store in which the recipe was run on a disk")
    chosen = parser.parse_args()
    if chosen.recipe and not chosen.home:
        parser.error("--recipe needs --home")
    with FaultyServer(chosen.share, port=chosen.port) as server:
        if chosen.recipe:
            return 0 if compare(server, chosen.recipe, chosen.home.absolute(), chosen.against) else 1
        print(server.endpoint, flush=True)
        while True:
            time.sleep(10)
            print(dict(server.counts), flush=True)


if __name__ == "__main__":
    sys.exit(main())
