"""deploy/ray: runs as Ray jobs, a stage's units over two nodes of a local cluster."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import boto3
import psutil
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Artifact, DatasetName

pytestmark = [
    pytest.mark.slow,
    pytest.mark.nightly,
    pytest.mark.timeout(900),
    # Imported by no other tier, which collects this module too: that takes seconds.
    pytest.mark.skipif(find_spec("dagster_ray") is None, reason="Ray and dagster-ray (the extra `ray`) are missing"),
]

NODES = 2
CLIPS = 18  # two units of at most sixteen recordings


@contextlib.contextmanager
def ray_cluster(ports: tuple[int, int]) -> Iterator[None]:
    """Start nodes of one CPU each, whose processes inherit this environment; the first one serves jobs."""
    from ray.job_submission import JobSubmissionClient
    from ray.util.state import list_nodes

    port, jobs_port = ports
    address = f"http://127.0.0.1:{jobs_port}"
    start = [str(Path(sys.executable).parent / "ray"), "start", "--block", "--num-cpus=1", "--disable-usage-stats"]
    started: list[psutil.Popen] = []

    def node(*options: str) -> None:
        command = [*start, "--object-store-memory=100000000", *options]
        started.append(psutil.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    with tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder:  # a socket's path is short
        try:
            node("--head", f"--port={port}", f"--dashboard-port={jobs_port}", f"--temp-dir={folder}")
            until(lambda: JobSubmissionClient(address).submit_job(entrypoint="true"))
            for _ in range(NODES - 1):
                node(f"--address=127.0.0.1:{port}")
            until(lambda: len(list_nodes(address, filters=[("state", "=", "ALIVE")])) == NODES)
            yield
        finally:
            # The whole tree: its processes give themselves names by which they cannot be found.
            processes = [process for one in started for process in [*one.children(recursive=True), one]]
            for process in processes:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            psutil.wait_procs(processes, timeout=30)


def until(done: Callable[[], Any], seconds: float = 300) -> None:
    """Return once `done` says so; a cluster comes up piece by piece after its first process is there."""
    from ray.util.state.exception import RayStateApiException

    deadline = time.monotonic() + seconds
    while True:
        try:
            if done():
                return
        except (RuntimeError, OSError, RayStateApiException):
            if time.monotonic() > deadline:
                raise
        assert time.monotonic() < deadline
        time.sleep(1)


@pytest.fixture
def clips(project_dir: Path, tmp_path: Path) -> Path:
    """A snapshot of short recordings, cut from the sample crawl."""
    sound, rate_hz = soundfile.read(
        project_dir / "spelangy_assets" / "sample" / "snapshots" / "audio" / "2026-01" / "talk-01.opus", dtype="float32"
    )
    folder = tmp_path / "home" / "snapshots" / "audio" / "clips"
    folder.mkdir(parents=True)
    for index in range(CLIPS):
        start = index * rate_hz
        soundfile.write(folder / f"clip-{index:02}.flac", sound[start : start + 4 * rate_hz], rate_hz)
    return folder


def test_a_stage_over_two_nodes_gives_the_version_of_one_process(
    tmp_path: Path,
    clips: Path,
    postgres: Any,
    aws_endpoint: str,
    control: Callable[[Path], Any],
    monkeypatch: pytest.MonkeyPatch,
    free_ports: Callable[[int], tuple[int, ...]],
) -> None:
    port, jobs_port = free_ports(2)
    for name, value in {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SPELANGY_LOG_BUCKET": "ray-logs",
        "SPELANGY_POSTGRES_HOST": "127.0.0.1",
        "SPELANGY_POSTGRES_PASSWORD": postgres.password,
        "SPELANGY_HOME": str(tmp_path / "home"),
        "SPELANGY_RAY": f"127.0.0.1:{port}",
        "SPELANGY_RAY_JOBS": f"http://127.0.0.1:{jobs_port}",
        "DAGSTER_HOME": str(tmp_path),
        "OMP_NUM_THREADS": "1",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }.items():
        monkeypatch.setenv(name, value)
    boto3.client("s3").create_bucket(Bucket="ray-logs")
    text = (Path(__file__).parents[3] / "deploy" / "ray" / "dagster.yaml").read_text()
    for there, here in (("port: 5432", f"port: {postgres.port}"), ("/var/spelangy", str(tmp_path))):
        assert there in text
        text = text.replace(there, here)
    (tmp_path / "dagster.yaml").write_text(text)

    from spelangy_assets.orchestration.installation import Installation

    together = Installation(Settings.from_environment())

    def made(asset: str) -> Artifact | None:
        return together.store.latest(DatasetName("sample", asset, "clips"))

    with ray_cluster((port, jobs_port)):
        services = control(tmp_path)
        recordings = services.soon(lambda: made("raw_audio"))  # the sensor found the snapshot and requested it
        services.launch("sample_raw_audio", ["sample/speech_segments"], dagster__partition="clips")
        segments = services.soon(lambda: made("speech_segments"))
        places = finished_shares(f"http://127.0.0.1:{jobs_port}")
    assert len(places["sample/raw_audio"]) == len(places["sample/speech_segments"]) == NODES

    alone = Installation(Settings.at(tmp_path / "alone", SPELANGY_SNAPSHOTS=str(clips.parents[1])))
    graph = SAMPLE.graph
    for asset, artifact in (("raw_audio", recordings), ("speech_segments", segments)):
        node = graph[asset]
        source = alone.source(node, "clips")
        expected = build(alone.store, graph, node, "clips", alone.execution(), source=source).artifact
        assert len(expected.shards(next(iter(node.stage.TABLES)))) == NODES
        assert artifact.manifest.data_version == expected.manifest.data_version


def finished_shares(address: str) -> dict[str, set[str]]:
    """Return, for each asset, the nodes on which a share of its units was done."""
    listed = subprocess.run(
        [str(Path(sys.executable).parent / "ray"), "list", "tasks", "--address", address, "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ},
    )
    places: dict[str, set[str]] = {}
    for task in json.loads(listed.stdout):
        if task["state"] == "FINISHED":
            places.setdefault(task["name"], set()).add(task["node_id"])
    return places
