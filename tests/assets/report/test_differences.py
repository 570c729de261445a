"""What `diff` says of two versions of a dataset, two datasets and two recipes."""

import json
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.cli.diff import show_difference
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import StageContext
from spelangy_assets.report.differences import difference_of, recipes_difference
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_assets.store.selection import versions_named
from spelangy_model.records import Audio, Chunk


def chunk(name: str, text: str = "a b", start_s: float = 0.0) -> Chunk:
    sound = Audio(b"sound of " + name.encode(), f"{name}.flac")
    return Chunk(name, "d", 0, "speech", "r", "", "", "", "", start_s, start_s + 1, text, text, sound)


def writes(chunks: list[Chunk], toys: Any, store: ArtifactStore, name: str, version: str) -> Any:
    def run(ctx: StageContext, config: Any) -> None:
        for unit, several in ctx.out.pending([chunks]):
            with ctx.out.unit(unit) as out:
                out.read(len(several) + 1)
                out.drop("too_short")
                out.write("chunks", several)
                out.add("hours_kept", len(several) / 10)

    contract = toys.make_contract()
    stage = toys.make_stage(run, {"chunks": Chunk}, version, name="toy_chunks")
    contract = type(contract)("toy", "SELECT count(*) AS chunks FROM chunks", ())
    return toys.build(store, toys.node(name, stage=stage, config=toys.NoConfig(), contract=contract)).artifact


@pytest.fixture
def two(store: ArtifactStore, toys: Any) -> tuple[Any, Any]:
    first = writes([chunk("same"), chunk("gone"), chunk("moved", start_s=1.0)], toys, store, "first", "1")
    second = writes([chunk("same"), chunk("new", "c d"), chunk("moved", start_s=2.0)], toys, store, "second", "2")
    return first, second


def test_records_are_added_removed_and_changed(two: tuple[Any, Any]):
    found = difference_of([two[0]], [two[1]], ("first", "second"))
    assert found.common == 1
    assert {kind: (count, [one.id for one in sample]) for kind, (count, sample) in found.records.items()} == {
        "added": (1, ["new"]),
        "removed": (1, ["gone"]),
        "changed": (1, ["moved"]),
    }
    assert [(row.name, row.first, row.second) for row in found.config] == [("stage", "toy_chunks v1", "toy_chunks v2")]
    assert [(row.name, row.first) for row in found.dropped] == [("too_short", "1")]


def test_the_page_lets_one_listen(two: tuple[Any, Any]):
    found = difference_of([two[0]], [two[1]], ("first", "second"))
    page = found.page()
    assert found.records["added"][1][0].sound == b"sound of new"
    assert found.records["added"][1][0].data_uri in page
    assert "c d" in page


def test_a_version_differs_from_itself_in_nothing(two: tuple[Any, Any]):
    found = difference_of([two[0]], [two[0]], ("a", "b"))
    assert found.common == 3
    assert found.config == found.inputs == []
    assert all(count == 0 for count, _ in found.records.values())


def test_a_side_is_named_by_recipe_dataset_and_version(store: ArtifactStore, two: tuple[Any, Any]):
    assert versions_named(store, "recipe/first", "sample") == [two[0]]
    assert versions_named(store, "first", "recipe") == [two[0]]
    other = versions_named(store, f"recipe/first#{two[1].manifest.build_key}", "sample")
    assert [one.manifest for one in other] == [two[1].manifest]
    with pytest.raises(ValueError, match="recipe has published no third: it has first, second"):
        versions_named(store, "recipe/third", "sample")
    with pytest.raises(ValueError, match="has no version 'v9'"):
        versions_named(store, "recipe/first#v9", "sample")


def test_the_command_prints_and_writes_a_page(
    store: ArtifactStore, two: tuple[Any, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    assert show_difference(store, "recipe/first", "recipe/second", "sample", 5, tmp_path / "d.html", False) == 0
    assert "added: 1" in capsys.readouterr().out
    assert (tmp_path / "d.html").read_text().startswith("<!doctype html>")
    show_difference(store, "recipe/first", "recipe/second", "sample", 1, None, True)
    assert json.loads(capsys.readouterr().out)["changed"]["count"] == 1


def test_two_recipes_share_what_is_made_alike_whatever_its_name(store: ArtifactStore, toys: Any):
    first = Graph("one", [toys.node("a"), toys.reader("b", "a"), toys.node("c", config=toys.Config(((1.0,),)))])
    second = Graph("two", [toys.node("x"), toys.reader("y", "x"), toys.node("c", config=toys.Config(((2.0,),)))])
    found = recipes_difference(store, first, second)
    assert found.common == 2
    assert (found.only_first, found.only_second) == ([], [])
    assert [(row.first, row.second) for row in found.changed["c"]] == [("1.0", "2.0")]
    assert DatasetName("one", "a") != DatasetName("two", "x")
