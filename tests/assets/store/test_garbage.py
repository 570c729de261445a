"""What may go from a store, and what must stay."""

import datetime
import json
import os
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import StageContext
from spelangy_assets.store import leases
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.garbage import delete, find_garbage
from spelangy_assets.store.leases import LeaseError

NOW = datetime.datetime.now(datetime.UTC)
AGE = datetime.timedelta(days=7)
LATER = NOW + datetime.timedelta(days=8)


def gone(store: ArtifactStore, **more: Any) -> dict[str, str]:
    return {one.path.rsplit("/", 1)[0]: one.why for one in find_garbage(store, AGE, LATER, **more)}


def other(toys: Any, **more: Any) -> Node:
    return toys.node(config=toys.Config(((9.0,),)), **more)


def test_what_is_published_and_all_above_it_stays(store: ArtifactStore, toys: Any):
    source, reader = toys.node(), toys.reader("reader", "source")
    toys.build(store, source)
    toys.build(store, reader, source)
    toys.build(store, other(toys))  # the reader still stands on the first version
    assert gone(store) == {}
    toys.build(store, reader, other(toys))
    assert gone(store) == {"data/toy_stage/_": "unreferenced", "data/toy_reader/_": "unreferenced"}


def test_a_version_that_failed_may_go_and_the_published_one_stays(store: ArtifactStore, toys: Any):
    good = toys.build(store, toys.node()).artifact
    toys.build(store, other(toys, contract=toys.make_contract(low=100)))
    assert gone(store) == {"data/toy_stage/_": "failed"}
    delete(store, find_garbage(store, AGE, LATER))
    assert store.resolve(toys.address()).manifest == good.manifest
    assert gone(store) == {}


def test_a_build_that_was_given_up_may_go(store: ArtifactStore, toys: Any, identity: Any):
    with store.writer(toys.address("given_up"), identity, toys.tables).unit(0):
        pass
    assert gone(store) == {"data/toy/_": "unfinished"}


def test_nothing_that_changed_lately_may_go(store: ArtifactStore, toys: Any, identity: Any):
    with store.writer(toys.address("at_work"), identity, toys.tables).unit(0):
        pass
    assert find_garbage(store, AGE, NOW + datetime.timedelta(days=6)) == []


def test_a_deleted_version_is_built_again_when_it_is_asked_for(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node()).artifact
    toys.build(store, other(toys))
    assert delete(store, find_garbage(store, AGE, LATER))
    built = toys.build(store, toys.node())
    assert not built.cached
    assert built.artifact.data_version == first.data_version


def test_the_command_lists_first_and_deletes_only_with_the_option(
    store: ArtifactStore, toys: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path))
    toys.build(store, toys.node())
    toys.build(store, other(toys))
    for arguments, words in (
        (["gc", "--days", "0"], "--delete removes them"),
        (["gc", "--days", "0", "--delete"], "deleted"),
    ):
        assert main(arguments) == 0
        printed = capsys.readouterr().out
        assert "unreferenced" in printed
        assert f"in 1 versions {'(' if words[0] == '-' else ''}{words}" in printed
    assert main(["gc", "--days", "0"]) == 0
    assert "in 0 versions" in capsys.readouterr().out


# --- names, and what is published ---------------------------------------------------------------------------


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "recipe",
    ["recipe/", ".", "./recipe", "..", "../store", "recipe//", "", "_", "/", "recipe/source", "other", "RECIPE"],
)
def test_a_name_that_is_no_recipe_deletes_nothing_and_is_one_line(
    store: ArtifactStore, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture,
    recipe: str,
):  # fmt: skip
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path))
    toys.build(store, toys.node())
    toys.build(store, other(toys))
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "of_another_program").write_text("not ours")
    before = files_below(tmp_path)
    assert main(["gc", "--recipe", recipe, "--days", "0", "--delete"]) == 2
    assert files_below(tmp_path) == before
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1


def test_what_is_published_is_deleted_only_with_the_option(
    store: ArtifactStore, toys: Any, tmp_path: Path, monkeypatch: Any
):
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path))
    source, reader = toys.node(), toys.reader("reader", "source")
    toys.build(store, source)
    toys.build(store, reader, source)
    assert main(["gc", "--recipe", "recipe", "--days", "0", "--delete"]) == 0
    assert store.latest(toys.address("reader")) is not None
    assert main(["gc", "--published", "--days", "0", "--delete"]) == 2  # of all recipes at once
    assert store.latest(toys.address("reader")) is not None
    assert main(["gc", "--recipe", "recipe", "--published", "--days", "0", "--delete"]) == 0
    assert list(store.versions()) == []
    assert store.latest(toys.address()) is None


def test_a_store_that_is_not_there_is_no_empty_store(tmp_path: Path):
    with pytest.raises(StoreError, match="there is no store at"):
        find_garbage(ArtifactStore(tmp_path / "misspelt", tmp_path), AGE, LATER)


@pytest.mark.parametrize("ruin", [b"", b"{", b"[]", b"{}", b"gone"])
def test_it_stops_where_it_cannot_be_read_what_is_published(store: ArtifactStore, toys: Any, ruin: bytes):
    toys.build(store, toys.node())
    toys.build(store, other(toys))
    garbage = find_garbage(store, AGE, LATER)
    if ruin == b"gone":
        record = json.loads(store.files.read(toys.address().path))
        ruin = json.dumps({**record, "published": {**record["published"], "build_key": "v1-gone"}}).encode()
    store.files.write(toys.address().path, ruin)
    before = files_below(store.files.local(""))
    for act in (lambda: find_garbage(store, AGE, LATER), lambda: delete(store, garbage)):
        with pytest.raises(StoreError, match="materialize it again"):
            act()
        assert files_below(store.files.local("")) == before
    toys.build(store, toys.node())  # mends it
    assert [one.why for one in find_garbage(store, AGE, LATER)] == ["unreferenced"]


def test_what_is_published_between_the_list_and_the_delete_stays_with_all_above_it(store: ArtifactStore, toys: Any):
    reader, first = toys.reader("reader", "source"), toys.node()
    for source in (first, other(toys)):
        toys.build(store, source)
        toys.build(store, reader, source)
    garbage = find_garbage(store, AGE, LATER)
    assert [one.why for one in garbage] == ["unreferenced"] * 2
    toys.build(store, first)
    back = toys.build(store, reader, first)  # the recipe goes back to what it was
    assert back.cached
    gone_now = {one.path for one in delete(store, garbage)}
    assert gone_now == set()
    assert store.resolve(toys.address("reader")).table("metrics").num_rows == 3
    assert store.resolve(toys.address()).table("metrics").num_rows == 3


def test_a_folder_that_changed_between_the_list_and_the_delete_stays(store: ArtifactStore, toys: Any, identity: Any):
    writer = store.writer(toys.address("at_work"), identity, toys.tables)
    with writer.unit(0):
        pass
    garbage = find_garbage(store, AGE, LATER)
    with writer.unit(1):
        pass
    assert delete(store, garbage) == []
    writer.commit()


# --- running builds -----------------------------------------------------------------------------------------


def test_nothing_is_deleted_under_a_running_build(store: ArtifactStore, toys: Any):
    def clean_up() -> None:
        now = datetime.datetime.now(datetime.UTC)
        delete(store, find_garbage(store, datetime.timedelta(0), now))

    def run(ctx: StageContext, config: Any) -> None:
        toys.build(store, other(toys))  # what it reads is not published any more
        for unit, shard in ctx.out.pending(ctx.inputs["above"].shards("metrics")):
            with ctx.out.unit(unit) as out:
                out.write("metrics", shard.records(toys.tables["metrics"]))
            clean_up()

    first = toys.build(store, toys.node()).artifact
    reader = toys.reader("reader", "source", run)
    built = toys.build(store, reader, toys.node())
    assert [row["value"] for row in built.artifact.table("metrics").to_pylist()] == [1, 2, 3]
    assert store.find(first.address, first.manifest.build_key) == first  # the published reader was made from it
    assert store.files.names(leases.FOLDER) == []


def test_a_commit_whose_files_were_deleted_is_none_and_the_next_run_makes_them(
    store: ArtifactStore, toys: Any, identity: Any
):
    writer = store.writer(toys.address(), identity, toys.tables)
    for unit in range(2):
        with writer.unit(unit):
            pass
    store.files.delete_file(f"{writer.path}/metrics-00000.parquet")
    with pytest.raises(StoreError, match=r"2 files|1 files.*run it again"):
        writer.commit()
    assert store.find(Address("toy"), identity.build_key) is None
    again = store.writer(toys.address(), identity, toys.tables)
    assert (again.done(0), again.done(1)) == (False, True)


def test_a_lease_of_a_killed_build_runs_out_and_a_running_one_is_renewed(
    store: ArtifactStore, toys: Any, identity: Any, monkeypatch: pytest.MonkeyPatch
):
    with store.writer(toys.address("at_work"), identity, toys.tables).unit(0):
        pass
    monkeypatch.setattr(leases, "RENEWED_EVERY_S", 0.01)
    with store.lease("recipe/at_work", [(Address("toy"), identity.build_key)]):
        (path,) = leases._paths(store.files)
        text = store.files.read(path)
        record = json.loads(text)
        assert record["build"] == "recipe/at_work"
        while store.files.read(path) == text:  # until it is renewed
            pass
        assert gone(store) == {}
    assert gone(store) == {"data/toy/_": "unfinished"}
    past = datetime.datetime.now(datetime.UTC) - leases.EXPIRES_AFTER
    store.files.replace(path, json.dumps({**record, "renewed_at": past.isoformat()}).encode())
    assert [one.path for one in delete(store, find_garbage(store, AGE, LATER))] == ["data/toy/_/v1-toy"]
    assert store.files.names(leases.FOLDER) == []


def test_a_lease_that_cannot_be_read_stops_it(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    toys.build(store, other(toys))
    store.files.write(f"{leases.FOLDER}/torn.json", b"{")
    with pytest.raises(LeaseError, match=r"torn\.json is no lease"):
        find_garbage(store, AGE, LATER)


# --- several recipes ----------------------------------------------------------------------------------------


def test_what_one_recipe_gives_up_and_another_has_published_stays(store: ArtifactStore, toys: Any):
    for recipe in ("one", "two"):
        toys.build(store, toys.node(), recipe=recipe)
    toys.build(store, toys.reader("reader", "source"), toys.node(), recipe="one")
    found = find_garbage(store, AGE, LATER, recipe="one", published=True)
    assert [(one.path.split("/")[1], one.why) for one in found] == [("toy_reader", "published")]
    delete(store, found)
    assert store.latest(toys.address("reader", recipe="one")) is None
    assert store.latest(toys.address(recipe="two")) is not None
    store.retire("one")
    assert gone(store) == {}
    store.retire("two")
    assert gone(store) == {"data/toy_stage/_": "unreferenced"}


def test_age_counts_from_the_last_use(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node()).artifact
    toys.build(store, other(toys))
    old = (NOW - datetime.timedelta(days=30)).timestamp()
    for path in store.files.local(first.path).rglob("*"):
        os.utime(path, (old, old))
    assert [one.why for one in find_garbage(store, AGE, NOW)] == ["unreferenced"]
    toys.build(store, toys.node(), recipe="another")
    store.retire("another")
    assert find_garbage(store, AGE, NOW) == []


def test_a_recipe_may_be_called_as_the_store_calls_its_folders(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node(), recipe="data")
    assert store.resolve(DatasetName("data", "source")).name == DatasetName("data", "source")
    assert gone(store, recipe="data") == {}
