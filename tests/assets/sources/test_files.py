import os
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from spelangy_assets.execution.stage import InputError, source_version
from spelangy_assets.sources.files import FolderSource, walk


@dataclass(frozen=True)
class Rendered:
    seed: int = 1


def fill(folder: Path, files: dict[str, bytes]) -> FolderSource:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return FolderSource(folder)


FILES = {"b/a.wav": b"1", "a.wav": b"2", "b.wav": b""}


def test_the_version_is_that_of_names_and_bytes_alone(tmp_path: Path):
    one = fill(tmp_path / "one", FILES)
    other = fill(tmp_path / "another" / "deep", dict(reversed(FILES.items())))
    os.utime(other.path / "a.wav", (0, 0))
    fill(other.path, {".DS_Store": b"x", ".cache/a.wav": b"x"})
    assert source_version(one) == source_version(other)


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "a.wav": b"3"},
        {**FILES, "c.wav": b""},
        {"b/a.wav": b"1", "a.wav": b"2"},
        {},
        {"b/b.wav": b"1", "a.wav": b"2", "b.wav": b""},
        {"b/a.wav": b"2", "a.wav": b"1", "b.wav": b""},
    ],
)
def test_any_change_is_another_version(tmp_path: Path, files: dict[str, bytes]):
    (tmp_path / "two").mkdir()
    assert source_version(fill(tmp_path / "one", FILES)) != source_version(fill(tmp_path / "two", files))


def test_files_are_listed_in_the_order_of_their_bytes(tmp_path: Path):
    source = fill(tmp_path, dict.fromkeys(("b", "a/b", "a.b", "\xe9", "Z", ".hidden", "a/.hidden"), b""))
    assert walk(Path(source.path)) == (["Z", "a.b", "a/b", "b", "\xe9"], [])


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse names that are no UTF-8")
def test_names_that_are_no_text_are_files_too(tmp_path: Path):
    (tmp_path / "x").mkdir()
    Path(os.fsdecode(os.fsencode(tmp_path / "x") + b"/\xff.wav")).write_bytes(b"1")
    assert len(walk(tmp_path / "x")[0]) == 1
    assert source_version(FolderSource(tmp_path / "x")) != source_version(fill(tmp_path / "y", {"a.wav": b"1"}))


def test_a_snapshot_in_a_hidden_place_is_read(tmp_path: Path):
    assert len(walk(Path(fill(tmp_path / ".data" / "monday", FILES).path))[0]) == 3


def test_a_missing_folder_is_named_with_the_cure(tmp_path: Path):
    with pytest.raises(InputError, match=r"monday: put the snapshot's files there"):
        source_version(FolderSource(tmp_path / "monday"))


def test_a_literal_is_its_own_version():
    assert source_version(Rendered()) == source_version(Rendered(1))
    assert source_version(Rendered()) != source_version(Rendered(2))
    with pytest.raises(TypeError, match="no stable form"):
        source_version(object())
