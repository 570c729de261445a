"""Dagster with an S3 server that runs in this process: the store by an S3Resource, and compute logs by deploy/s3."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import boto3
import dagster as dg
import pytest
from dagster_aws.s3 import S3Resource

from spelangy_assets import lab
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.orchestration.partitions import add_partitions
from spelangy_assets.orchestration.s3 import options_of, s3_resource
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import ArtifactStore

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server with a bucket named `bucket`, and keys for it in the environment."""
    moto_server = pytest.importorskip("moto.server", reason="the S3 server of the tests (moto[server]) is missing")
    thread = moto_server.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    thread.start()
    address = "http://{}:{}".format(*thread.get_host_and_port())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        boto3.client("s3", endpoint_url=address).create_bucket(Bucket="bucket")
        yield address
    thread.stop()


def test_a_resource_says_how_the_store_is_reached(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "credentials").write_text("[lab]\naws_access_key_id = KAYNAME\naws_secret_access_key = OtherHalf\n")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "credentials"))
    folder = tmp_path / "home/snapshots/texts/monday"
    folder.mkdir(parents=True)
    prose = "The old mill stands at the edge of the village by the brook, and in the winter the wheel rests. " * 9
    (folder / "a.jsonl").write_text(json.dumps({"text": prose, "url": "https://x.org/a"}) + "\n")
    settings = Settings.at(tmp_path / "home", SPELANGY_STORE="s3://bucket/store?profile_name=lab")
    recipe = lab.Recipe("texts", lab.texts({"monday": lab.Arriving()}))
    resource = S3Resource(endpoint_url=server, region_name="us-east-1", max_attempts=2)
    definitions = build_definitions(settings, {"s3": resource}, [recipe])
    with dg.DagsterInstance.ephemeral() as instance:
        add_partitions(instance, recipe, settings)
        instance.add_dynamic_partitions("texts_supplied_texts", ["monday"])
        job = definitions.resolve_job_def("texts_supplied_texts")
        result = job.execute_in_process(instance=instance, partition_key="monday")
        assert result.success
        events = "".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "KAYNAME" not in events + "".join(capfd.readouterr())
    assert "OtherHalf" not in events + "".join(capfd.readouterr())

    # The command line has no resource: the same options are in the store's URI.
    uri = f"{settings.store_uri}&endpoint_url={server}&region_name=us-east-1&max_attempts=2"
    (made,) = ArtifactStore(uri, tmp_path / "cache").published("texts")
    assert made.manifest.rows("texts") == 1
    assert options_of(s3_resource(uri)) == replace(options_of(resource), profile_name="lab")


def test_what_a_step_prints_is_found_on_s3(
    server: str, tmp_path: Path, project_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "SPELANGY_DAGSTER_DIR": str(tmp_path / "dagster"),
        "SPELANGY_LOG_BUCKET": "bucket",
        "SPELANGY_S3_ENDPOINT": server,
    }.items():
        monkeypatch.setenv(name, value)
    shutil.copy(project_dir / "deploy" / "s3" / "dagster.yaml", tmp_path / "dagster.yaml")

    @dg.asset
    def talkative() -> None:
        print("printed by the step")

    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([talkative], instance=instance).success
    client = boto3.client("s3", endpoint_url=server)
    found = client.list_objects_v2(Bucket="bucket", Prefix="spelangy/compute_logs").get("Contents", [])
    texts = [client.get_object(Bucket="bucket", Key=item["Key"])["Body"].read().decode() for item in found]
    assert any("printed by the step" in text for text in texts), [item["Key"] for item in found]
