"""deploy/s3: an instance whose compute logs go to an S3 server that runs in this process."""

from __future__ import annotations

import shutil
from pathlib import Path

import boto3
import dagster as dg
import pytest

pytestmark = pytest.mark.slow


def test_what_a_step_prints_is_found_on_s3(tmp_path: Path, project_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    moto_server = pytest.importorskip("moto.server", reason="the S3 server of the tests (moto[server]) is missing")
    server = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "SPELANGY_DAGSTER_DIR": str(tmp_path / "dagster"),
        "SPELANGY_LOG_BUCKET": "logs",
        "SPELANGY_S3_ENDPOINT": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=f"http://{host}:{port}")
    client.create_bucket(Bucket="logs")
    shutil.copy(project_dir / "deploy" / "s3" / "dagster.yaml", tmp_path / "dagster.yaml")

    @dg.asset
    def talkative() -> None:
        print("printed by the step")

    try:
        with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
            assert dg.materialize([talkative], instance=instance).success
        found = client.list_objects_v2(Bucket="logs").get("Contents", [])
        texts = [client.get_object(Bucket="logs", Key=item["Key"])["Body"].read().decode() for item in found]
    finally:
        server.stop()
    assert any("printed by the step" in text for text in texts), [item["Key"] for item in found]
