"""Lineage in DuckDB: the queries of the docs, on a small store with recordings, pages and training rows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.stages.stage import StageContext
from spelangy_assets.store.artifacts import ArtifactStore, StoreError
from spelangy_assets.store.lineage import ANCESTORS_SQL, SOURCES_SQL, connect, published_id, query
from spelangy_model.records import Audio, PackedRow, Page, Recording, RowSpan


def recording(name: str) -> Recording:
    audio = Audio(b"flac", f"{name}.flac")
    return Recording(name, f"{name}.opus", f"https://radio.example/{name}", "CC0-1.0", 1.0, 16000, 1, "opus", audio)


def page(name: str) -> Page:
    return Page(name, f"https://wiki.example/{name}", f"a.warc@{name}", "", "CC-BY-4.0", "utf-8", "<p>x</p>")


def write_recordings(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("recordings", [recording("r1"), recording("r2")])


def write_pages(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("pages", [page("p1"), page("p2")])
            out.drop("url_shop", 3)


def write_rows(ctx: StageContext, config: Any) -> None:
    """One row, of one recording and one page; the others are above the mix, but not in it."""
    spans = [
        RowSpan("d1", "web_fine_tokens", "r1", 0, 0, 6, 1),
        RowSpan("d2", "quest_tokens", "p2", 0, 6, 4, 1),
    ]
    row = PackedRow(0, "speech_text", list(range(10)), list(range(10)), [1] * 10, spans)
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("rows", [row])


@pytest.fixture
def lineage(store: ArtifactStore, toys: Any):
    """(connection, id of the score) over raw_audio and raw_pages -> mix -> score."""
    contract = toys.make_contract
    count = {name: f"SELECT count(*) AS metrics FROM {name}" for name in ("recordings", "pages", "rows")}

    def node(name: str, run: Any, table: str, record: type, **more: Any):
        bound = contract(1)
        return toys.node(
            name,
            stage=toys.make_stage(run, {table: record}, name=f"write_{table}"),
            config=toys.NoConfig(),
            contract=type(bound)(name, count[table], bound.bounds),
            **more,
        )

    audio = node("raw_audio", write_recordings, "recordings", Recording)
    pages = node("raw_pages", write_pages, "pages", Page)
    mix = node("mix", write_rows, "rows", PackedRow, inputs={"audio": "raw_audio", "pages": "raw_pages"})
    score = toys.node("score", inputs={"mix": "mix"})
    above: list[Any] = []
    for one in (audio, pages, mix, score):
        toys.build(store, one, *above)
        above.append(one)
    with connect(store, "recipe") as connection:
        yield connection, published_id(store, toys.address("score"))


def test_a_score_leads_to_exactly_the_sources_that_its_training_rows_hold(lineage: Any) -> None:
    connection, score = lineage
    rows = query(connection, SOURCES_SQL, artifact=score)
    assert [(row["kind"], row["content_hash"], row["url"], row["licence"]) for row in rows] == [
        ("page", "p2", "https://wiki.example/p2", "CC-BY-4.0"),
        ("recording", "r1", "https://radio.example/r1", "CC0-1.0"),
    ]


def test_ancestors_stand_in_the_order_of_their_distance(lineage: Any) -> None:
    connection, score = lineage
    rows = query(connection, ANCESTORS_SQL, artifact=score)
    assert [(row["asset"], row["distance"]) for row in rows] == [
        ("score", 0),
        ("mix", 1),
        ("raw_audio", 2),
        ("raw_pages", 2),
    ]


def test_a_dataset_that_was_never_built_is_an_error(store: ArtifactStore, toys: Any) -> None:
    with pytest.raises(StoreError, match="materialize it first"):
        published_id(store, toys.address("score"))


def test_every_documented_query_runs_and_finds_something(lineage: Any, project_dir: Path) -> None:
    connection, score = lineage
    mix = next(row["parent"] for row in query(connection, "SELECT parent FROM edges WHERE role = 'mix'"))
    queries = re.findall(r"```sql\n(.*?)```", (project_dir / "docs" / "lineage.md").read_text(), flags=re.DOTALL)
    assert len(queries) >= 7
    for sql in queries:
        artifact = mix if "packed_rows WHERE artifact = $artifact" in sql else score
        given = {"artifact": artifact, "url": "https://wiki.example/p2"}
        parameters = {name: value for name, value in given.items() if f"${name}" in sql}
        assert query(connection, sql, **parameters), sql


def test_the_documented_tables_have_the_documented_columns(lineage: Any, project_dir: Path) -> None:
    connection, _ = lineage
    text = (project_dir / "docs" / "lineage.md").read_text()
    for table in ("artifacts", "edges", "drops", "stats", "crawl", "packed_rows"):
        line = next(line for line in text.splitlines() if line.startswith(f"| {table} |"))
        told = re.sub(r"\([^)]*\)", "", line.split("|")[3]).replace(" ", "").split(",")
        assert told == [row["column_name"] for row in query(connection, f"DESCRIBE {table}")]
