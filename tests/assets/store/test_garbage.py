"""What may go from a store, and what must stay."""

import datetime
from typing import Any

import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.execution.graph import Node
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.garbage import delete, find_garbage

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
    assert gone(store) == {"recipe/source/_": "unreferenced", "recipe/reader/_": "unreferenced"}


def test_a_version_that_failed_may_go_and_the_published_one_stays(store: ArtifactStore, toys: Any):
    good = toys.build(store, toys.node()).artifact
    toys.build(store, other(toys, contract=toys.make_contract(low=100)))
    assert gone(store) == {"recipe/source/_": "failed"}
    delete(store, find_garbage(store, AGE, LATER))
    assert store.resolve(toys.address()).manifest == good.manifest
    assert gone(store) == {}


def test_a_build_that_was_given_up_may_go(store: ArtifactStore, toys: Any, identity: Any):
    with store.writer(toys.address("given_up"), identity, toys.tables).unit(0):
        pass
    assert gone(store) == {"recipe/given_up/_": "unfinished"}


def test_nothing_that_changed_lately_may_go(store: ArtifactStore, toys: Any, identity: Any):
    with store.writer(toys.address("at_work"), identity, toys.tables).unit(0):
        pass
    assert find_garbage(store, AGE, NOW + datetime.timedelta(days=6)) == []


def test_a_deleted_version_is_built_again_when_it_is_asked_for(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node()).artifact
    toys.build(store, other(toys))
    assert delete(store, find_garbage(store, AGE, LATER)) > 0
    built = toys.build(store, toys.node())
    assert not built.cached
    assert built.artifact.data_version == first.data_version


def test_the_command_lists_first_and_deletes_only_when_told(
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
