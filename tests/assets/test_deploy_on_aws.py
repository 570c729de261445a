"""deploy/aws without an account: the instance on a real Postgres and an S3 and ECS server that run here.

What no server here can show (prices, quotas, whether a role is refused) is not claimed.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest

pytestmark = pytest.mark.slow

AWS = Path(__file__).parents[2] / "deploy" / "aws"
PASSWORD = "not-to-be-seen"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="module")
def postgres_port() -> Iterator[int]:
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
    secret.write_text(PASSWORD)
    secret.chmod(0o644)
    data, port = str(folder / "data"), free_port()
    run(str(commands / "initdb"), "-D", data, "-U", "spelangy", "-A", "scram-sha-256", f"--pwfile={secret}")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
    run(str(commands / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        environment = {**os.environ, "PGPASSWORD": PASSWORD}
        subprocess.run(
            [commands / "createdb", "-h", "127.0.0.1", "-p", str(port), "-U", "spelangy", "spelangy"],
            check=True,
            env=environment,
        )
        yield port
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


@pytest.fixture
def instance_folder(
    tmp_path: Path, postgres_port: int, aws_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Path]:
    """Return what writes deploy/aws as a DAGSTER_HOME; only the port and the folder of the logs are this machine's."""
    values = {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SPELANGY_POSTGRES_HOST": "127.0.0.1",
        "SPELANGY_POSTGRES_PASSWORD": PASSWORD,
        "SPELANGY_POSTGRES_SECRET": "arn:aws:secretsmanager:eu-central-1:123456789012:secret:history-AbCdEf",
        "SPELANGY_EXECUTION_ROLE": "arn:aws:iam::123456789012:role/execution",
        "SPELANGY_RUN_ROLE": "arn:aws:iam::123456789012:role/run",
        "SPELANGY_LOG_BUCKET": "logs",
        "SPELANGY_STORE": "s3://store/prefix",
        "SPELANGY_SNAPSHOTS_S3": "s3://snapshots/prefix",
        "SPELANGY_HOME": str(tmp_path / "home"),
        "DAGSTER_HOME": str(tmp_path),
    }
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    def write() -> Path:
        text = (AWS / "dagster.yaml").read_text()
        for there, here in (("port: 5432", f"port: {postgres_port}"), ("/var/spelangy", str(tmp_path))):
            assert there in text
            text = text.replace(there, here)
        (tmp_path / "dagster.yaml").write_text(text)
        return tmp_path

    return write


@contextlib.contextmanager
def task_metadata(task: str, cluster: str) -> Iterator[str]:
    """The address at which ECS tells a container which task it is in."""
    words = json.dumps({"Cluster": cluster, "TaskARN": task, "Name": "control"}).encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def start_control_task(endpoint: str) -> tuple[str, str]:
    """Start a task as the stack does and return its and the cluster's name."""
    ecs, ec2 = (boto3.client(kind, endpoint_url=endpoint) for kind in ("ecs", "ec2"))
    ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1)
    cluster = ecs.create_cluster(clusterName="spelangy")["cluster"]["clusterArn"]
    ecs.register_task_definition(
        family="spelangy-control",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="2048",
        memory="8192",
        containerDefinitions=[{"name": "control", "image": "image:1", "memory": 8192}],
    )
    network = {
        "subnets": [ec2.describe_subnets()["Subnets"][0]["SubnetId"]],
        "securityGroups": [ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]],
    }
    task = ecs.run_task(
        cluster=cluster,
        taskDefinition="spelangy-control",
        launchType="FARGATE",
        networkConfiguration={"awsvpcConfiguration": network},
    )["tasks"][0]["taskArn"]
    return task, cluster


@contextlib.contextmanager
def control_task(folder: Path, port: int) -> Iterator[subprocess.Popen]:
    """The services of the control task, started as the stack starts them."""
    shutil.copy(AWS / "workspace.yaml", folder)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    with (folder / "control.log").open("w") as log:
        control = subprocess.Popen(
            [AWS / "control.sh"],
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": path, "SPELANGY_UI_PORT": str(port)},
        )
        try:
            yield control
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(control.pid, 9)


def ask(port: int, query: str, **variables: object) -> dict:
    words = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", data=words, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def soon(find: Callable[[], object], folder: Path, seconds: float = 90) -> object:
    """Return what `find` finds, once it finds something."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError, KeyError):
            if found := find():
                return found
        time.sleep(0.5)
    raise AssertionError((folder / "control.log").read_text()[-4000:])


LOADED = "{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"
LAUNCH = """mutation Launch($job: ExecutionParams!) {
  launchRun(executionParams: $job) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message }
  }
}"""


def test_a_run_becomes_a_task_of_its_size_under_its_role(
    instance_folder: Callable[[], Path], aws_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, cluster = start_control_task(aws_endpoint)
    s3 = boto3.client("s3", endpoint_url=aws_endpoint, region_name="us-east-1")
    for bucket in ("store", "snapshots"):
        s3.create_bucket(Bucket=bucket)
    folder, port = instance_folder(), free_port()
    ecs = boto3.client("ecs", endpoint_url=aws_endpoint)

    def started() -> list[dict]:
        tasks = ecs.describe_tasks(cluster=cluster, tasks=ecs.list_tasks(cluster=cluster)["taskArns"])["tasks"]
        return [one for one in tasks if one["taskArn"] != task]

    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", "registry/spelangy:1")
    with task_metadata(task, cluster) as address:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", address)
        with control_task(folder, port) as control:
            (node,) = soon(lambda: ask(port, LOADED)["data"]["repositoriesOrError"]["nodes"], folder)
            assert node["location"]["name"] == "spelangy"
            job = {"repositoryLocationName": "spelangy", "repositoryName": node["name"], "jobName": "sample_models"}
            answer = ask(port, LAUNCH, job={"selector": job, "mode": "default"})
            run_id = answer["data"]["launchRun"]["run"]["runId"]
            (launched,) = soon(started, folder)

            children = subprocess.run(["pgrep", "-P", str(control.pid), "-f", "dagster-daemon"], capture_output=True)
            os.kill(int(children.stdout), 9)
            assert control.wait(30) == 1  # and ECS starts it anew

    (container,) = launched["overrides"]["containerOverrides"]
    assert (container["cpu"], container["memory"]) == (4096, 30720)  # it trains models, on CPUs here
    definition = ecs.describe_task_definition(taskDefinition=launched["taskDefinitionArn"])["taskDefinition"]
    assert definition["taskRoleArn"].endswith("role/run")
    assert definition["executionRoleArn"].endswith("role/execution")
    (run,) = definition["containerDefinitions"]
    assert run["image"] == "registry/spelangy:1"
    assert [secret["name"] for secret in run["secrets"]] == ["SPELANGY_POSTGRES_PASSWORD"]
    assert {"name": "SPELANGY_STORE", "value": "s3://store/prefix"} in run["environment"]
    # The password is the secret store's to hand out; ECS takes overrides of at most 8,192 characters.
    assert PASSWORD not in json.dumps([definition, launched], default=str)
    assert len(json.dumps(launched["overrides"])) < 8192

    with dg.DagsterInstance.get() as instance:
        known = instance.get_run_by_id(run_id)
        assert known is not None
        assert known.tags["ecs/task_arn"] == launched["taskArn"]


def test_a_run_leaves_its_history_in_postgres_and_its_words_on_s3(
    instance_folder: Callable[[], Path], aws_endpoint: str
) -> None:
    boto3.client("s3", endpoint_url=aws_endpoint, region_name="us-east-1").create_bucket(Bucket="logs")
    instance_folder()

    @dg.asset_check(asset="counted", blocking=True)
    def is_seven() -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=True, metadata={"value": 7})

    @dg.asset
    def counted() -> dg.MaterializeResult:
        print("said by the step")
        return dg.MaterializeResult(data_version=dg.DataVersion("seven"))

    with dg.DagsterInstance.get() as instance:
        assert dg.materialize([counted, is_seven], instance=instance).success
    # What another process would find.
    with dg.DagsterInstance.get() as instance:
        assert type(instance.run_storage).__name__ == "PostgresRunStorage"
        event = instance.get_latest_materialization_event(dg.AssetKey("counted"))
        assert event is not None
        assert event.asset_materialization is not None
        assert event.asset_materialization.tags["dagster/data_version"] == "seven"
        checks = instance.event_log_storage.get_asset_check_execution_history(
            dg.AssetCheckKey(dg.AssetKey("counted"), "is_seven"), limit=5
        )
        assert [check.status.value for check in checks] == ["SUCCEEDED"]
    client = boto3.client("s3", endpoint_url=aws_endpoint)
    said = [
        client.get_object(Bucket="logs", Key=item["Key"])["Body"].read().decode()
        for item in client.list_objects_v2(Bucket="logs")["Contents"]
    ]
    assert any("said by the step" in text for text in said)


def test_the_stack_is_one_that_cloudformation_would_take() -> None:
    cfn_lint = shutil.which("cfn-lint", path=str(Path(sys.executable).parent))
    assert cfn_lint, "cfn-lint comes with the development environment"
    found = subprocess.run([cfn_lint, AWS / "stack.yaml"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
