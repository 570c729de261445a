"""deploy/aws without an account: the instance on a real Postgres and an S3 and ECS server that run here.

What no server here can show (prices, quotas, whether a role is refused) is not claimed.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import dagster as dg
import pytest

pytestmark = pytest.mark.slow

AWS = Path(__file__).parents[3] / "deploy" / "aws"


@pytest.fixture
def instance_folder(
    tmp_path: Path, postgres: Any, aws_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> Callable[[], Path]:
    """Return what writes deploy/aws as a DAGSTER_HOME; only the port and the folder of the logs are this machine's."""
    values = {
        "AWS_ENDPOINT_URL": aws_endpoint,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "eu-central-1",
        "SPELANGY_POSTGRES_HOST": "127.0.0.1",
        "SPELANGY_POSTGRES_PASSWORD": postgres.password,
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
        for there, here in (("port: 5432", f"port: {postgres.port}"), ("/var/spelangy", str(tmp_path))):
            assert there in text
            text = text.replace(there, here)
        (tmp_path / "dagster.yaml").write_text(text)
        return tmp_path

    return write


@contextlib.contextmanager
def task_metadata(task: str, cluster: str) -> Iterator[str]:
    """The address at which a container asks ECS which task it is in."""
    words = json.dumps({"Cluster": cluster, "TaskARN": task, "Name": "control"}).encode()

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(words)

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
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


def test_a_run_becomes_a_task_of_its_size_under_its_role(
    instance_folder: Callable[[], Path],
    control: Callable[[Path], Any],
    aws_endpoint: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    task, cluster = start_control_task(aws_endpoint)
    s3 = boto3.client("s3", endpoint_url=aws_endpoint, region_name="us-east-1")
    for bucket in ("store", "snapshots"):
        s3.create_bucket(Bucket=bucket)
    folder = instance_folder()
    ecs = boto3.client("ecs", endpoint_url=aws_endpoint)

    def started() -> list[dict]:
        tasks = ecs.describe_tasks(cluster=cluster, tasks=ecs.list_tasks(cluster=cluster)["taskArns"])["tasks"]
        return [one for one in tasks if one["taskArn"] != task]

    monkeypatch.setenv("DAGSTER_CURRENT_IMAGE", "registry/spelangy:1")
    with task_metadata(task, cluster) as address:
        monkeypatch.setenv("ECS_CONTAINER_METADATA_URI_V4", address)
        services = control(folder)
        run_id = services.launch("sample_models")
        (launched,) = services.soon(started)

        mine = ["pgrep", "-P", str(services.process.pid), "-f", "dagster-daemon"]
        os.kill(int(subprocess.run(mine, capture_output=True, check=True).stdout), 9)
        assert services.process.wait(30) == 1  # and ECS starts it anew

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
    assert os.environ["SPELANGY_POSTGRES_PASSWORD"] not in json.dumps([definition, launched], default=str)
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
        print("printed by the step")
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
    texts = [
        client.get_object(Bucket="logs", Key=item["Key"])["Body"].read().decode()
        for item in client.list_objects_v2(Bucket="logs")["Contents"]
    ]
    assert any("printed by the step" in text for text in texts)


def test_the_stack_is_one_that_cloudformation_would_take() -> None:
    cfn_lint = shutil.which("cfn-lint", path=str(Path(sys.executable).parent))
    assert cfn_lint, "cfn-lint comes with the development environment"
    found = subprocess.run([cfn_lint, AWS / "stack.yaml"], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
