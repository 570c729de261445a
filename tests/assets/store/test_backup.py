"""A store is a folder of files: a copy of it is a backup, and a version that was lost comes back from the copy."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import Execution
from spelangy_assets.execution.status import status_of
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.verify import verify

SNAPSHOTS: dict[str, list[str]] = {"audio_snapshot": [], "page_snapshot": []}


@pytest.fixture
def graph(toys: Any) -> Graph:
    return Graph("recipe", [toys.node(), toys.reader("reader", "source")])


def make(store: ArtifactStore, graph: Graph, execution: Execution) -> list[str]:
    """Build the graph's nodes in order and return the stages that ran."""
    return [node.name for node in graph if not build(store, graph, node, None, execution).cached]


def states(store: ArtifactStore, graph: Graph) -> list[str]:
    return [one.state for one in status_of(store, graph, SNAPSHOTS, lambda node, partition: None)]


def versions(store: ArtifactStore, toys: Any) -> list[str]:
    return [store.resolve(toys.address(name)).data_version for name in ("source", "reader")]


def opened(folder: Path, tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(folder, tmp_path / "cache")


def test_a_copy_elsewhere_is_the_same_store(
    store: ArtifactStore, toys: Any, graph: Graph, execution: Execution, tmp_path: Path
) -> None:
    make(store, graph, execution)
    copy = opened(shutil.copytree(store.files.local(""), tmp_path / "elsewhere"), tmp_path)
    assert states(copy, graph) == ["fresh", "fresh"]
    assert versions(copy, toys) == versions(store, toys)
    assert verify(copy, copy.versions(), deep=True).damages == ()
    shutil.rmtree(store.files.local(""))
    assert make(copy, graph, execution) == []  # nothing in the copy refers to the original


def test_a_version_that_was_lost_comes_back_from_the_copy(
    store: ArtifactStore, toys: Any, graph: Graph, execution: Execution, tmp_path: Path
) -> None:
    make(store, graph, execution)
    before = versions(store, toys)
    backup = shutil.copytree(store.files.local(""), tmp_path / "backup")
    path = store.resolve(toys.address()).path
    shard = next(store.files.local(path).glob("metrics-*.parquet"))
    shard.write_bytes(b"\0" * shard.stat().st_size)
    (damage,) = verify(store, store.versions(), deep=True, repair=True).damages
    assert damage.artifact.path == path
    assert states(store, graph) == ["missing", "waiting"]
    shutil.copytree(backup / path, store.files.local(path))
    assert states(store, graph) == ["fresh", "fresh"]
    assert versions(store, toys) == before
    assert verify(store, store.versions(), deep=True).damages == ()


def test_a_backup_that_was_taken_during_a_build_is_continued(
    store: ArtifactStore, toys: Any, graph: Graph, execution: Execution, tmp_path: Path
) -> None:
    """`recipes` is copied first, so that what it names is in `data` when that is copied."""
    source, reader = graph
    build(store, graph, source, None, execution)
    folder, backup = store.files.local(""), tmp_path / "backup"
    shutil.copytree(folder / "recipes", backup / "recipes")
    build(store, graph, reader, None, execution)
    shutil.copytree(folder, backup, ignore=lambda *_: ["recipes"], dirs_exist_ok=True)
    copy = opened(backup, tmp_path)
    assert verify(copy, copy.versions(), deep=True).damages == ()
    assert make(copy, graph, execution) == []  # the bytes of `reader` are there; its publication is made again
    assert states(copy, graph) == ["fresh", "fresh"]


def test_a_copy_in_the_other_order_is_repaired_by_the_next_run(
    store: ArtifactStore, toys: Any, graph: Graph, execution: Execution, tmp_path: Path
) -> None:
    source, reader = graph
    build(store, graph, source, None, execution)
    folder, backup = store.files.local(""), tmp_path / "backup"
    shutil.copytree(folder, backup, ignore=lambda *_: ["recipes"])
    build(store, graph, reader, None, execution)
    shutil.copytree(folder / "recipes", backup / "recipes")
    copy = opened(backup, tmp_path)
    assert states(copy, graph) == ["fresh", "missing"]
    assert make(copy, graph, execution) == ["reader"]
    assert versions(copy, toys) == versions(store, toys)
