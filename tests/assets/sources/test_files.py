import contextlib
import errno
import os
import socket
import sys
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_assets.execution.stage import InputError, source_version
from spelangy_assets.sources.files import FolderSource, Names, named, printable, walk


@dataclass(frozen=True)
class Rendered:
    seed: int = 1
    version: ClassVar[str] = "1"


def fill(folder: Path, files: dict[str, bytes]) -> FolderSource:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    return FolderSource(folder)


FILES = {"b/a.wav": b"1", "a.wav": b"2", "b.wav": b""}


def test_the_version_is_that_of_names_and_bytes_alone(tmp_path: Path):
    one = fill(tmp_path / "one", FILES)
    other = fill(tmp_path / "another" / "deep", dict(reversed(FILES.items())))
    os.utime(Path(other.path) / "a.wav", (0, 0))
    fill(Path(other.path), {".DS_Store": b"x", ".cache/a.wav": b"x"})
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


def odd(folder: Path) -> dict[str, str]:
    return {item.name: item.reason for item in walk(folder)[1]}


def test_linked_folders_are_gone_through_once(tmp_path: Path):
    source = fill(tmp_path / "x", {"a.wav": b"1", "z/own.wav": b"2"})
    far = Path(fill(tmp_path / "far", {"b.wav": b"3", "deep/c.wav": b"4"}).path)
    folder = Path(source.path)
    (folder / "disk2").symlink_to(far, target_is_directory=True)
    (folder / "disk3").symlink_to(far / "deep", target_is_directory=True)
    (folder / "a-loop").symlink_to(folder, target_is_directory=True)
    (folder / "a-link").symlink_to(folder / "z", target_is_directory=True)
    (far / "deep" / "up").symlink_to(far, target_is_directory=True)
    (folder / "c.wav").symlink_to(far / "b.wav")
    names, others = walk(folder)
    assert names == ["a.wav", "c.wav", "disk2/b.wav", "disk2/deep/c.wav", "z/own.wav"]
    assert {item.name: item.reason for item in others} == dict.fromkeys(
        ("a-link", "a-loop", "disk2/deep/up", "disk3"), "linked_twice"
    )
    before = source_version(source)
    (far / "b.wav").write_bytes(b"5")
    assert source_version(source) != before


def test_a_link_to_the_folder_above_ends(tmp_path: Path):
    folder = Path(fill(tmp_path / "x" / "monday", {"a.wav": b"1"}).path)
    fill(tmp_path / "x" / "other", {"b.wav": b"2"})
    (folder / "up").symlink_to(tmp_path / "x", target_is_directory=True)
    assert walk(folder)[0] == ["a.wav", "up/other/b.wav"]
    assert odd(folder) == {"up/monday": "linked_twice"}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes with names")
def test_what_is_no_file_is_named_and_never_opened(tmp_path: Path):
    source = fill(tmp_path / "x", {"a.wav": b"1"})
    folder = Path(source.path)
    before = source_version(source)
    (folder / "gone.wav").symlink_to(tmp_path / "none")
    (folder / "self.wav").symlink_to(folder / "self.wav")
    (folder / "below.wav").symlink_to(folder / "a.wav" / "b")
    (folder / "null.wav").symlink_to("/dev/null")
    (folder / "empty").mkdir()
    os.mkfifo(folder / "pipe.wav")
    with socket.socket(socket.AF_UNIX) as stream, contextlib.chdir(folder):
        stream.bind("sock.wav")
    assert walk(folder)[0] == ["a.wav"]
    assert odd(folder) == {
        "gone.wav": "dangling_link", "self.wav": "dangling_link", "below.wav": "dangling_link",
        "null.wav": "not_a_file", "pipe.wav": "not_a_file", "sock.wav": "not_a_file", "empty": "empty_folder",
    }  # fmt: skip
    assert source_version(source) != before


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(fill(tmp_path / "x", {"a.wav": b"1", "closed/b.wav": b"2"}).path)
    real = os.scandir

    def scandir(path: Path):
        if path.name == "closed":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    assert walk(folder)[0] == ["a.wav"]
    assert odd(folder) == {"closed": "unreadable"}


def test_a_disk_that_fails_stops_the_walk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(fill(tmp_path / "x", {"a.wav": b"1"}).path)

    def scandir(path: Path):
        raise OSError(errno.EIO, "Input/output error", str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(OSError, match="Input/output error"):
        walk(folder)


def test_errors_without_a_name_get_one():
    with pytest.raises(OSError, match=r"No space.*deep/a\.wav") as caught, named("deep/a.wav"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.errno == errno.ENOSPC
    with pytest.raises(MemoryError, match=r"deep/a\.wav: no memory"), named("deep/a.wav"):
        raise MemoryError
    with pytest.raises(PermissionError, match=r"other\.wav"), named("deep/a.wav"):
        raise PermissionError(errno.EACCES, "denied", "other.wav")


@given(st.lists(st.text(st.characters(exclude_characters="\0"), min_size=1, max_size=6), max_size=6))
def test_a_name_is_found_by_any_of_its_forms(names: list[str]):
    known = Names(names)
    for name in names:
        assert known.find(name) == name
        for form in ("NFC", "NFD"):
            found = known.find(unicodedata.normalize(form, name))
            same = {one for one in names if unicodedata.normalize("NFC", one) == unicodedata.normalize("NFC", name)}
            assert found in same or (found is None and len(same) > 1)


@given(st.text(max_size=8) | st.sampled_from(["\ud83d", "\udcff.wav", "a\udcff\ud83d"]))
def test_any_name_can_be_written(name: str):
    printable(name).encode("utf-8")
    if name.isprintable() and name.isascii():
        assert printable(name) == name


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
