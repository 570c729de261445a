"""Two writers of one object on an S3 server over HTTP: one is first, the other sees it, whatever becomes of replies."""

import dataclasses
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from faulty_s3 import FaultyServer

from spelangy_assets.orchestration.policies import is_transient
from spelangy_assets.store import s3_objects
from spelangy_assets.store.artifacts import (
    Address,
    ArtifactStore,
    DatasetName,
    Identity,
    PublishedMeanwhile,
    StoreError,
)
from spelangy_assets.store.files import Files
from spelangy_assets.store.manifest import Manifest, Verdict
from spelangy_model.records import Metric

pytestmark = pytest.mark.slow

NAME, ADDRESS = DatasetName("recipe", "raced"), Address("toy")
PASSED = Verdict("c", True, [], "2026-01-01T00:00:00+00:00")


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    pytest.importorskip("moto.server", reason="the S3 server of the tests (moto[server]) is missing")
    with pytest.MonkeyPatch.context() as patch, FaultyServer(0.0, seed=3, slow_s=0.2) as server:
        patch.setenv("AWS_ACCESS_KEY_ID", "test")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
        patch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        client = boto3.client("s3", endpoint_url=f"http://{server.endpoint}")
        client.create_bucket(Bucket="bucket")  # moto keeps it over servers, so each test has a place of its own
        yield server


@pytest.fixture
def root(server: FaultyServer, tmp_path: Path) -> str:
    return server.uri(f"bucket/{tmp_path.name}/a store")


def two_writers(root: str, identity: Identity, tmp_path: Path, *values: float) -> list[Any]:
    """Writers of two processes' stores, each with its unit done."""
    writers = []
    for number, value in enumerate(values):
        store = ArtifactStore(root, tmp_path / str(number))
        writer = store.writer(NAME, identity, {"metrics": Metric})
        with writer.unit(0) as out:
            out.write("metrics", [Metric("toy", "m", value, value, value, 1)])
        writers.append(writer)
    return writers


def outcome(writer: Any) -> Manifest | StoreError:
    try:
        return writer.commit()
    except StoreError as error:
        return error


@pytest.mark.parametrize("conditions", ["kept", "refused", "ignored"])
def test_a_swap_is_done_where_the_old_bytes_are_and_nowhere_else(
    server: FaultyServer, root: str, conditions: str
) -> None:
    server.conditions = conditions
    files = Files(root)
    assert not files.swap("a/mark.json", b"2", old=b"1")
    assert files.read_if_there("a/mark.json") is None
    assert files.swap("a/mark.json", b"1", old=None)
    assert not files.swap("a/mark.json", b"2", old=None)
    assert not files.swap("a/mark.json", b"2", old=b"0")
    assert files.read("a/mark.json") == b"1"
    assert files.swap("a/mark.json", b"2", old=b"1")
    assert files.read("a/mark.json") == b"2"


def test_an_object_is_read_whole_while_others_replace_it(
    server: FaultyServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One request, so that what it gives is of one moment."""
    files, serve, methods = Files(root), server._serve, []

    def longer_after_each(environ: Any, start_response: Any) -> Any:
        methods.append(environ["REQUEST_METHOD"])
        answer = list(serve(environ, start_response))
        if methods[-1] != "PUT":
            files.replace("mark.json", b"a longer text")
        return answer

    files.replace("mark.json", b"old")
    monkeypatch.setattr(server, "_serve", longer_after_each)
    assert files.read("mark.json") == b"old"
    assert methods == ["GET", "PUT"]
    assert files.read_if_there("none.json") is None


def test_a_change_between_look_and_write_is_seen_by_the_service(root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    files, read, others = Files(root), s3_objects.S3Objects._read, [b"first", b"second", None]

    def late(self: s3_objects.S3Objects, place: str) -> Any:
        found = read(self, place)
        if others:
            other = others.pop(0)
            files.delete_file("mark.json") if other is None else files.replace("mark.json", other)
        return found

    monkeypatch.setattr(s3_objects.S3Objects, "_read", late)
    for old in (None, b"first", b"second"):  # something came; it is another one; it is gone
        assert not files.swap("mark.json", b"mine", old)
        assert files.read_if_there("mark.json") != b"mine"
    assert others == []


def test_a_repetition_of_what_was_done_is_not_taken_for_another_writer(
    server: FaultyServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first PUT is done and its reply is an error: the client sends it again, and the service refuses it."""
    files, draw, kinds, methods = Files(root), server._draw, [], []
    serve = server._serve

    def lose_puts(environ: Any, start_response: Any) -> Any:
        methods.append(environ["REQUEST_METHOD"])
        return serve(environ, start_response)

    monkeypatch.setattr(server, "_serve", lose_puts)
    monkeypatch.setattr(server, "_draw", lambda: (kinds.pop(0) if kinds else "served", draw()[1]))
    for old, new in ((None, b"1"), (b"1", b"2")):
        kinds[:] = ["served", "lost"]  # the look, the write
        methods.clear()
        assert files.swap("mark.json", new, old)
        assert methods == ["GET", "PUT", "PUT", "GET"]
        assert files.read("mark.json") == new


def test_no_swap_on_a_failing_server_is_lost_or_counted_twice(server: FaultyServer, root: str) -> None:
    server.share = 0.2

    def add(name: int) -> None:
        files = Files(root)
        while True:
            old = files.read_if_there("list.json")
            if files.swap("list.json", json.dumps([*json.loads(old or b"[]"), name]).encode(), old):
                return

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(add, range(12)))
    server.share = 0.0
    # Who swapped, lost the reply, and saw another's bytes on top cannot know that its own are below: it adds again.
    found = json.loads(Files(root).read("list.json"))
    assert sorted(set(found)) == list(range(12))
    assert len(found) - 12 <= server.counts["lost"]
    assert server.counts["error"] > 0 and server.counts["lost"] > 0


def test_two_that_commit_equal_data_have_one_manifest(
    server: FaultyServer, root: str, tmp_path: Path, identity: Identity
) -> None:
    for number in range(5):
        version = dataclasses.replace(identity, build_key=f"v{number}-toy")
        writers = two_writers(root, version, tmp_path, 1.0, 1.0)
        server.share = 0.2
        with ThreadPoolExecutor(2) as pool:
            one, two = pool.map(outcome, writers)
        server.share = 0.0
        artifact = ArtifactStore(root, tmp_path).find(ADDRESS, version.build_key)
        assert artifact is not None
        assert one == two == artifact.manifest


def test_of_two_that_commit_other_data_the_second_has_an_error(root: str, tmp_path: Path, identity: Identity) -> None:
    for number in range(5):
        version = dataclasses.replace(identity, build_key=f"v{number}-toy")
        with ThreadPoolExecutor(2) as pool:
            ended = list(pool.map(outcome, two_writers(root, version, tmp_path, 1.0, 2.0)))
        (won,) = [one for one in ended if isinstance(one, Manifest)]
        (lost,) = [one for one in ended if isinstance(one, StoreError)]
        assert "was committed by another process" in str(lost)
        artifact = ArtifactStore(root, tmp_path).find(ADDRESS, version.build_key)
        assert artifact is not None and artifact.manifest == won


def test_of_two_that_publish_over_the_same_mark_one_does(root: str, tmp_path: Path, identity: Identity) -> None:
    store = ArtifactStore(root, tmp_path)
    artifacts = []
    for number in range(3):
        version = dataclasses.replace(identity, build_key=f"v{number}-toy")
        two_writers(root, version, tmp_path, float(number))[0].commit()
        artifact = store.find(ADDRESS, version.build_key)
        assert artifact is not None
        artifacts.append(artifact)
    store.judge(NAME, artifacts[0], PASSED)
    over = store.mark(NAME)

    def publish(artifact: Any) -> bool:
        try:
            store.judge(NAME, artifact, PASSED, over=over)
            return True
        except PublishedMeanwhile:
            return False

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(publish, artifacts[1:]))
    assert sorted(done) == [False, True]
    assert store.resolve(NAME) == artifacts[1:][done.index(True)]


def test_what_the_service_fails_ten_times_is_a_lost_connection_and_what_it_denies_is_not(
    server: FaultyServer, root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr(server, "_draw", lambda: ("error", ("503 Slow Down", "SlowDown")))
    before = server.counts["error"]
    with pytest.raises(ConnectionError, match=r"s3://bucket/.*/a store/mark\.json.*SlowDown") as lost:
        Files(root).swap("mark.json", b"1", None)
    assert server.counts["error"] - before == s3_objects.S3_ATTEMPTS
    assert is_transient(lost.value)
    monkeypatch.undo()
    with pytest.raises(ClientError, match="NoSuchBucket") as denied:
        Files(server.uri("nowhere")).swap("mark.json", b"1", None)
    assert not is_transient(denied.value)
