"""Servers of a deployment that run beside a test: Postgres, and AWS's protocols by moto."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import shlex
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

DEPLOY = Path(__file__).parents[3] / "deploy"


@dataclass(frozen=True)
class Postgres:
    """A running server, as deploy/*/dagster.yaml reaches it on 127.0.0.1."""

    port: int
    password: str = "not-to-be-seen"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    """A Postgres server of its own with the user and the database of deploy/aws/dagster.yaml."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("no Postgres server (Debian: postgresql)")
    commands = found[-1].parent
    # It refuses to run as root, and another user cannot enter the folders that pytest makes.
    owner = pwd.getpwnam("postgres") if os.getuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="spelangy-postgres-"))
    if owner is not None:
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(*command: str) -> None:
        rights = {} if owner is None else {"user": owner.pw_uid, "group": owner.pw_gid, "extra_groups": []}
        subprocess.run(command, check=True, cwd=folder, capture_output=True, text=True, **rights)

    secret = folder / "password"
    secret.write_text(Postgres.password)
    secret.chmod(0o644)
    data, port = str(folder / "data"), free_port()
    run(str(commands / "initdb"), "-D", data, "-U", "spelangy", "-A", "scram-sha-256", f"--pwfile={secret}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run(str(commands / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        environment = {**os.environ, "PGPASSWORD": Postgres.password}
        subprocess.run(
            [commands / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "spelangy", "spelangy"],
            check=True,
            env=environment,
        )
        yield Postgres(port)
    finally:
        run(str(commands / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def aws_endpoint() -> Iterator[str]:
    """Where an S3, ECS, EC2, IAM and Secrets Manager server answers."""
    moto_server = pytest.importorskip("moto.server", reason="the AWS server of the tests (moto[server]) is missing")
    ecs_models = pytest.importorskip("moto.ecs.models")
    patch = pytest.MonkeyPatch()
    backend = ecs_models.EC2ContainerServiceBackend
    reckon = backend._calculate_task_resource_requirements

    def reckon_with_task_memory(definition: Any) -> dict:
        # moto asks every container for its memory; in ECS a Fargate task's own memory is enough.
        for container in definition.container_definitions:
            container.setdefault("memory", int(definition.memory))
        return reckon(definition)

    patch.setattr(backend, "_calculate_task_resource_requirements", staticmethod(reckon_with_task_memory))
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    patch.undo()


class Control:
    """The services of deploy/control.sh over an instance folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.port = free_port()
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._log = (folder / "control.log").open("w")
        self.process = subprocess.Popen(
            [DEPLOY / "control.sh"],
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "PATH": path, "SPELANGY_UI_PORT": str(self.port)},
        )

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, 9)
        self._log.close()

    def ask(self, query: str, **variables: object) -> dict:
        """Return what the web server answers to a GraphQL query."""
        words = json.dumps({"query": query, "variables": variables}).encode()
        address = f"http://127.0.0.1:{self.port}/graphql"
        request = urllib.request.Request(address, data=words, headers={"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)["data"]

    def soon(self, find: Callable[[], Any], seconds: float = 300) -> Any:
        """Return what `find` finds, once it finds something; the services' log shows why it never did."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError, KeyError):
                if found := find():
                    return found
            time.sleep(0.5)
        raise AssertionError((self.folder / "control.log").read_text()[-4000:])

    def launch(self, job: str, assets: Sequence[str] = (), **tags: str) -> str:
        """Launch a job once the code location is loaded, and return the run's id."""
        (node,) = self.soon(lambda: self.ask(_LOADED)["repositoriesOrError"]["nodes"])
        selector: dict[str, Any] = {
            "repositoryLocationName": node["location"]["name"],
            "repositoryName": node["name"],
            "jobName": job,
        }
        if assets:
            selector["assetSelection"] = [{"path": asset.split("/")} for asset in assets]
        metadata = {"tags": [{"key": key.replace("__", "/"), "value": value} for key, value in tags.items()]}
        run = {"selector": selector, "mode": "default", "executionMetadata": metadata}
        answer = self.ask(_LAUNCH, run=run)["launchRun"]
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]


_LOADED = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
_LAUNCH = """mutation Launch($run: ExecutionParams!) {
  launchRun(executionParams: $run) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}"""


@pytest.fixture
def control() -> Iterator[Callable[[Path], Control]]:
    """Return what starts the services of a deployment; they end with the test."""
    started: list[Control] = []

    def start(folder: Path) -> Control:
        started.append(Control(folder))
        return started[-1]

    yield start
    for one in started:
        one.end()


@pytest.fixture
def free_ports() -> Callable[[int], tuple[int, ...]]:
    return lambda count: tuple(free_port() for _ in range(count))


class FakeSlurm:
    """A cluster of this machine: its commands are on the PATH, its folder is `home` (fake_slurm.py)."""

    def __init__(self, home: Path):
        self.home = home
        self._faults = 0
        for name in ("bin", "queue", "faults", "ended"):
            (home / name).mkdir(parents=True)
        for name in ("sbatch", "squeue", "sacct", "scancel", "srun", "scontrol"):
            command = home / "bin" / name
            command.write_text(f'#!/bin/sh\nexec {sys.executable} -I -S "{home}/lib/{name}" "$@"\n')
            command.chmod(0o755)
            (home / "lib").mkdir(exist_ok=True)
            (home / "lib" / name).symlink_to(Path(__file__).with_name("fake_slurm.py"))

    def kill(
        self,
        watch: Path,
        pattern: str,
        files: int,
        *,
        after_s: float = 0.0,
        requeue: bool = False,
        task: int | None = None,
    ) -> None:
        """Have a task killed; see fake_slurm.py."""
        self._faults += 1
        fault = {
            "watch": str(watch),
            "pattern": pattern,
            "files": files,
            "after_s": after_s,
            "requeue": requeue,
            "task": task,
        }
        (self.home / "faults" / f"{self._faults:03}.json").write_text(json.dumps(fault))

    def _lines(self, name: str) -> list[str]:
        return (self.home / name).read_text().splitlines() if (self.home / name).exists() else []

    @property
    def calls(self) -> list[list[str]]:
        """The words of each command that was called."""
        return [shlex.split(line) for line in self._lines("calls")]

    @property
    def kills(self) -> list[str]:
        """Job and task of each SIGKILL."""
        return self._lines("kills")

    @property
    def queue(self) -> list[Path]:
        return sorted((self.home / "queue").glob("*.json"))

    def wait_until_empty(self) -> None:
        deadline = time.monotonic() + 20
        while self.queue:
            assert time.monotonic() < deadline, self.queue
            time.sleep(0.02)


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeSlurm]:
    """A fake SLURM whose commands this test and its processes find."""
    fake = FakeSlurm(tmp_path / "slurm")
    monkeypatch.setenv("FAKE_SLURM", str(fake.home))
    monkeypatch.setenv("PATH", f"{fake.home}/bin:{os.environ['PATH']}")
    yield fake
    for place in fake.queue:
        place.unlink(missing_ok=True)  # its processes are killed


@pytest.fixture
def real_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A real SLURM of one node, this machine, started for the test."""
    programs = ("munged", "slurmctld", "slurmd", "sbatch")
    if os.getuid() != 0 or not all(shutil.which(name) for name in programs):
        pytest.skip("no SLURM to start as root (Debian: munge, slurmctld, slurmd, slurm-client)")
    with tempfile.TemporaryDirectory(prefix="slurm-") as place:  # a socket's path is short
        folder = Path(place)
        folder.chmod(0o755)
        host, ports = socket.gethostname(), (free_port(), free_port())
        for name in ("state", "spool"):
            (folder / name).mkdir()
        (folder / "key").write_bytes(os.urandom(128))
        (folder / "key").chmod(0o400)
        config = folder / "slurm.conf"
        config.write_text(
            f"ClusterName=test\nSlurmctldHost={host}(127.0.0.1)\nSlurmUser=root\n"
            f"AuthType=auth/munge\nAuthInfo=socket={folder}/socket\n"
            f"StateSaveLocation={folder}/state\nSlurmdSpoolDir={folder}/spool\n"
            f"SlurmctldPidFile={folder}/slurmctld.pid\nSlurmdPidFile={folder}/slurmd.pid\n"
            f"SlurmctldPort={ports[0]}\nSlurmdPort={ports[1]}\n"
            "ProctrackType=proctrack/linuxproc\nTaskPlugin=task/none\nMpiDefault=none\n"
            "SelectType=select/cons_tres\nSelectTypeParameters=CR_Core\nReturnToService=2\nKillWait=2\n"
            f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} State=UNKNOWN\n"
            "PartitionName=cpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP OverSubscribe=FORCE:8\n"
        )
        monkeypatch.setenv("SLURM_CONF", str(config))
        places = {
            "socket": "socket",
            "key-file": "key",
            "pid-file": "pid",
            "log-file": "munge.log",
            "seed-file": "seed",
        }
        commands = [
            ["munged", "--foreground", "--force", *(f"--{name}={folder}/{file}" for name, file in places.items())],
            ["slurmctld", "-D"],
            ["slurmd", "-D"],
        ]
        started: list[subprocess.Popen[bytes]] = []
        try:
            for command in commands:
                with (folder / f"{command[0]}.out").open("wb") as output:
                    started.append(subprocess.Popen(command, stdout=output, stderr=output))
                time.sleep(1)
            deadline = time.monotonic() + 60
            while "idle" not in subprocess.run(["sinfo", "-h"], capture_output=True, text=True, check=False).stdout:
                output = "".join((folder / f"{command[0]}.out").read_text()[-500:] for command in commands)
                assert time.monotonic() < deadline, output
                time.sleep(0.5)
            yield
        finally:
            for process in reversed(started):
                process.terminate()
            for process in started:
                process.wait(timeout=30)
