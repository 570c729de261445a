"""Writing an export: equal bytes after a kill, what is refused, and that the store knows what left."""

import datetime
import json
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.export import write
from spelangy_assets.export.formats import FORMATS
from spelangy_assets.export.models import write_model
from spelangy_assets.export.write import write_dataset
from spelangy_assets.store.exports import exports, exports_with
from spelangy_assets.store.files import Files
from spelangy_assets.store.forgotten import forget, hashes_at
from spelangy_assets.store.garbage import delete, find_garbage
from spelangy_assets.store.selection import select

URL = "https://radio.example/a"


def export(small: Any, name: str, folder: Path, form: str = "hf") -> None:
    write_dataset(small.store, select(small.store, name, "small"), form, Files(folder))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(one.relative_to(folder)): one.read_bytes() for one in sorted(folder.rglob("*")) if one.is_file()}


@pytest.mark.parametrize("form", FORMATS)
def test_a_killed_export_continues_to_the_same_bytes(
    form: str, small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = write.batches_with_sound
    read = []

    def killed(store: Any, artifact: Any, shard: Any, table: str) -> Any:
        read.append(shard.path)
        yield from whole(store, artifact, shard, table)
        if len(read) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(write, "batches_with_sound", killed)
    with pytest.raises(KeyboardInterrupt):
        export(small, "web_fine", tmp_path / "killed", form)
    assert json.loads((tmp_path / "killed" / "export.json").read_text())["complete"] is False
    assert [one.place for one in exports(small.store)] == [str(tmp_path / "killed")], "a part of it lies there"
    export(small, "web_fine", tmp_path / "killed", form)
    assert len(read) == 4, "the shard that was whole is not read again"
    monkeypatch.undo()
    export(small, "web_fine", tmp_path / "once", form)
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "once")


def test_an_export_that_is_there_is_left_as_it_is(small: Any, tmp_path: Path) -> None:
    export(small, "web_fine", tmp_path / "out")
    before = bytes_of(tmp_path / "out")
    times = {one: one.stat().st_mtime_ns for one in (tmp_path / "out" / "data").iterdir()}
    export(small, "web_fine", tmp_path / "out")
    assert bytes_of(tmp_path / "out") == before
    assert {one: one.stat().st_mtime_ns for one in (tmp_path / "out" / "data").iterdir()} == times
    assert len(list(exports(small.store))) == 1


def test_a_folder_of_something_else_is_refused(small: Any, tmp_path: Path) -> None:
    export(small, "web_fine", tmp_path / "out")
    with pytest.raises(ValueError, match="holds another export, of small/web_fine: name an empty folder"):
        export(small, "rows", tmp_path / "out")
    with pytest.raises(ValueError, match="holds another export"):
        export(small, "web_fine", tmp_path / "out", "webdataset")
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"holds something already \(notes.txt\): name an empty folder"):
        export(small, "web_fine", tmp_path / "own")
    with pytest.raises(ValueError, match="holds something already"):
        write_model(small.store, select(small.store, "run", "small"), Files(tmp_path / "own"))
    assert [one.name for one in (tmp_path / "own").iterdir()] == ["notes.txt"]


def test_a_source_that_was_taken_down_does_not_leave(small: Any, tmp_path: Path) -> None:
    chosen = {name: select(small.store, name, "small") for name in ("web_fine", "rows", "run")}
    forget(small.store, URL, "A. Person", "the publisher asks")
    for name, selection in chosen.items():  # what was opened before the takedown, too
        target = Files(tmp_path / name)
        with pytest.raises(ValueError, match=rf"1 of its sources were taken down \({URL}\)"):
            write_model(small.store, selection, target) if name == "run" else write_dataset(
                small.store, selection, "hf", target
            )
        assert not (tmp_path / name).exists()
    with pytest.raises(Exception, match="withdrawn: it held a source that was taken down"):
        select(small.store, "web_fine", "small")


def test_what_rows_do_not_name_is_no_source(small: Any, tmp_path: Path) -> None:
    export(small, "rows", tmp_path / "mix")
    export(small, "web_fine", tmp_path / "chunks")
    held = {name: {one.dataset for one in exports_with(small.store, f"https://radio.example/{name}")} for name in "abc"}
    both = {"small/web_fine", "small/rows"}
    assert held == {"a": both, "b": both, "c": {"small/web_fine"}}


def test_forget_names_the_exports_that_hold_a_source(
    small: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPELANGY_HOME", str(small.settings.home))
    monkeypatch.delenv("SPELANGY_STORE", raising=False)
    assert main(["export", "small/web_fine", str(tmp_path / "out"), "--to", "webdataset"]) == 0
    capsys.readouterr()
    command = ["forget", URL, "--by", "A. Person", "--reason", "the publisher asks"]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out
    assert f"small/web_fine as webdataset to {tmp_path / 'out'}" in printed
    assert "1 exports hold it: take it out there by hand" in printed
    hashes = hashes_at(small.store, URL)
    assert main(command) == 0
    now = datetime.datetime.now(datetime.UTC)
    delete(small.store, find_garbage(small.store, datetime.timedelta(0), now))
    assert hashes_at(small.store, URL) == set(), "nothing of it is in the store any more"
    assert [one.place for one in exports_with(small.store, URL)] == [str(tmp_path / "out")]
    elsewhere = exports_with(small.store, "https://mirror.example/a", hashes)
    assert [one.place for one in elsewhere] == [str(tmp_path / "out")], "equal bytes at another address"
    assert exports_with(small.store, "https://radio.example/other") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["small/web_fine", "{}", "--to", "csv"], "no form 'csv': take one of hf, lhotse, nemo, webdataset, ctm"),
        (["small/web_fine", "{}", "--to", "ctm"], "name clean_transcripts@SNAPSHOT"),
        (["small/nothing", "{}", "--to", "hf"], "small has published no nothing: it has"),
        (["small/web_fine@tue", "{}", "--to", "hf"], "small has published no web_fine@tue"),
        (["small/web_fine", "{}", "--to", "hf", "--table", "rows"], "has no table 'rows': it has chunks"),
        (["small/run", "{}", "--to", "nemo"], "small/run is a model: take --to hf"),
        (["small/web_fine", "{}", "--to", "hf", "--yes"], "--yes, --public and --permit belong to --push"),
        (["small/web_fine", "s3://b/x?region_name=r", "--to", "hf", "--push", "me/d"], "starts from a folder"),
    ],
)
def test_a_mistake_is_one_line(
    arguments: list[str],
    words: str,
    small: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SPELANGY_HOME", str(small.settings.home))
    monkeypatch.delenv("SPELANGY_STORE", raising=False)
    assert main(["export", *(one.format(tmp_path / "out") for one in arguments)]) == 2
    printed = capsys.readouterr().err
    assert words in printed
    assert printed.count("\n") == 1
    assert not (tmp_path / "out").exists()
