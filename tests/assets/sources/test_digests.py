"""What a snapshot's version costs: a file is read when it changed, and not because somebody asks again."""

import hashlib
import os
import time
from pathlib import Path

import pytest

from spelangy_assets.sources.files import FolderSource


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    folder = tmp_path / "snapshot"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(("a.wav", "b \udcff.wav", "deep/c.wav")):
        (folder / name).write_bytes(bytes([number]) * 100)
        settle(folder / name)
    return folder


def settle(file: Path) -> None:
    """Let a file be older than what may still change unseen."""
    os.utime(file, ns=(10**18, 10**18))


@pytest.fixture(autouse=True)
def later(monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns
    monkeypatch.setattr("spelangy_assets.sources.files.time.time_ns", lambda: now() + 10**10)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read."""
    names: list[str] = []
    digest = hashlib.file_digest

    def counted(stream, kind):
        names.append(Path(stream.name).name)
        return digest(stream, kind)

    monkeypatch.setattr(hashlib, "file_digest", counted)
    return names


def test_the_second_time_nothing_is_read_and_the_version_is_the_same(snapshot: Path, tmp_path: Path, read: list[str]):
    plain = FolderSource(snapshot).content_version()
    remembering = FolderSource(snapshot, digests=tmp_path / "cache")
    assert remembering.content_version() == plain
    read.clear()
    assert FolderSource(snapshot, digests=tmp_path / "cache").content_version() == plain
    assert read == []
    assert FolderSource(snapshot).content_version() == plain
    assert len(read) == 3


def test_what_changed_is_read_even_with_its_length_and_time_kept(snapshot: Path, tmp_path: Path, read: list[str]):
    remembering = FolderSource(snapshot, digests=tmp_path / "cache")
    before = remembering.content_version()
    read.clear()
    (snapshot / "a.wav").write_bytes(b"x" * 100)
    settle(snapshot / "a.wav")
    after = remembering.content_version()
    assert after != before
    assert after == FolderSource(snapshot).content_version()
    assert read[0] == "a.wav" and len(read) == 1 + 3
    (snapshot / "deep/c.wav").rename(snapshot / "deep/d.wav")
    assert remembering.content_version() == FolderSource(snapshot).content_version() != after


def test_what_changed_a_moment_ago_is_not_remembered(
    snapshot: Path, tmp_path: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("spelangy_assets.sources.files._SETTLED_NS", 10**18)
    remembering = FolderSource(snapshot, digests=tmp_path / "cache")
    (snapshot / "a.wav").write_bytes(b"x" * 100)
    first = remembering.content_version()
    assert (
        not list((tmp_path / "cache").glob("*.json"))
        or "a.wav" not in next((tmp_path / "cache").glob("*.json")).read_text()
    )
    assert remembering.content_version() == first


@pytest.mark.parametrize("ruin", [b"", b"{", b"[]", b'{"a.wav": 1}', b"\xff"])
def test_a_torn_memory_is_none(snapshot: Path, tmp_path: Path, ruin: bytes):
    remembering = FolderSource(snapshot, digests=tmp_path / "cache")
    before = remembering.content_version()
    (memory,) = (tmp_path / "cache").iterdir()
    memory.write_bytes(ruin)
    assert remembering.content_version() == before


def test_a_cache_folder_that_cannot_be_written_costs_nothing_but_reading(snapshot: Path, tmp_path: Path):
    (tmp_path / "cache").write_bytes(b"a file")
    assert (
        FolderSource(snapshot, digests=tmp_path / "cache").content_version() == FolderSource(snapshot).content_version()
    )
