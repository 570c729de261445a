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


def test_a_dataset_above_every_mix_has_all_that_is_above_it(lineage: Any) -> None:
    connection, _ = lineage
    (audio,) = query(connection, "SELECT id FROM artifacts WHERE asset = 'raw_audio'")
    rows = query(connection, SOURCES_SQL, artifact=audio["id"])
    assert [(row["kind"], row["content_hash"]) for row in rows] == [("recording", "r1"), ("recording", "r2")]


def test_the_sources_are_those_of_the_version_that_is_asked_for(store: ArtifactStore, toys: Any) -> None:
    """Another snapshot of recordings beside the one that a dataset was made from is not among its sources."""

    def write(ctx: StageContext, config: Any) -> None:
        with ctx.out.unit(0) as out:
            out.write("recordings", [recording(f"r-{ctx.partition}")])

    counted = toys.make_contract(1)
    audio = toys.node(
        "raw_audio",
        stage=toys.make_stage(write, {"recordings": Recording}),
        config=toys.NoConfig(),
        contract=type(counted)("recordings", "SELECT count(*) AS metrics FROM recordings", counted.bounds),
        partition="audio_snapshot",
    )
    score = toys.node("score", inputs={"audio": "raw_audio"}, partition="audio_snapshot")
    for day in ("mon", "tue"):
        toys.build(store, audio, partition=day)
        toys.build(store, score, audio, partition=day)
    with connect(store, "recipe") as connection:
        for day in ("mon", "tue"):
            identity = published_id(store, toys.address("score", day))
            assert identity.startswith(f"recipe/score[{day}]@v1-")
            rows = query(connection, SOURCES_SQL, artifact=identity)
            assert [(row["content_hash"], row["source_uri"]) for row in rows] == [(f"r-{day}", f"r-{day}.opus")]


def test_every_committed_version_is_there_and_says_whether_it_passed(store: ArtifactStore, toys: Any) -> None:
    contract = toys.make_contract(low=2)
    good = toys.build(store, toys.node(contract=contract)).artifact
    bad = toys.build(store, toys.node(contract=contract, config=toys.Config(((1.0,),)))).artifact
    with connect(store) as connection:
        rows = query(connection, "SELECT build_key, published, passed, records_kept FROM artifacts ORDER BY passed")
        drops = query(connection, "SELECT reason, records FROM drops")
        stats = query(
            connection, "SELECT stat, amount FROM stats WHERE id LIKE '%' || $key", key=bad.manifest.build_key
        )
    assert [tuple(row.values()) for row in rows] == [
        (bad.manifest.build_key, False, False, 1),
        (good.manifest.build_key, True, True, 3),
    ]
    assert drops == [{"reason": "negative", "records": 2}]
    assert stats == [{"stat": "value_sum", "amount": 1.0}]


def test_the_command_line_prints_ancestors_and_sources(
    lineage: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from spelangy_assets.__main__ import main

    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPELANGY_STORE", str(tmp_path / "store"))
    assert main(["lineage", "score", "--recipe", "recipe"]) == 0
    above, sources = capsys.readouterr().out.split("\n\n")
    assert [line.strip().split("@")[0] for line in above.splitlines()] == [
        *("recipe/score", "recipe/mix", "recipe/raw_audio", "recipe/raw_pages")
    ]
    assert [line.split() for line in sources.splitlines()] == [
        ["page", "p2", "CC-BY-4.0", "https://wiki.example/p2"],
        ["recording", "r1", "CC0-1.0", "https://radio.example/r1"],
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
