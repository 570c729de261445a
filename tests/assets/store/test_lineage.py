"""Lineage in DuckDB: the queries of the docs, on a small store with recordings, pages and training rows."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stages import adopt_checkpoint
from spelangy_assets.store import lineage_queries
from spelangy_assets.store.artifacts import ArtifactStore, StoreError
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import (
    ANCESTORS_SQL,
    CELL_SQL,
    CHECKPOINTS_SQL,
    COST_SQL,
    DESCENDANTS_SQL,
    LICENCES_SQL,
    ROWS_OF_URL_SQL,
    SOURCES_SQL,
)
from spelangy_model.records import Audio, Metric, PackedRow, Page, Recording, RowSpan


def recording(name: str) -> Recording:
    audio = Audio(b"flac", f"{name}.flac")
    url = f"https://radio.example/{name}" + ("#t=0,1" if name == "r1" else "")
    return Recording(name, f"{name}.opus", url, "CC0-1.0", 1.0, 16000, 1, "opus", audio)


def page(name: str) -> Page:
    return Page(
        name, f"https://wiki.example/{name}", f"a.warc@{name}", "", "CC-BY-4.0", "utf-8", "<p>x</p>", "meta", "noindex"
    )


def write_recordings(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("recordings", [recording("r1"), recording("r2")])
            out.add("hours_kept", 1.5)


def write_pages(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("pages", [page("p1"), page("p2")])
            out.drop("url_shop", 3)


def write_rows(ctx: StageContext, config: Any) -> None:
    """Two rows, of a part of one recording and of one page; the other sources are above the mix, but not in it."""
    web = RowSpan("d1", "web_fine_tokens", "r1", 0, 0, 6, 1)
    quest = RowSpan("d2", "quest_tokens", "p2", 0, 6, 4, 1)
    rows = [
        PackedRow(row, "speech_text", list(range(10)), list(range(10)), [1] * 10, spans)
        for row, spans in enumerate([[web, quest], [web]])
    ]
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("rows", rows)


def train(ctx: StageContext, config: Any) -> None:
    """A run that reads half of its mix: the first row alone."""
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.read(2)
            out.add("row_epochs", 0.5)
            out.write_file("model.bin", b"weights")


def take_over(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write_file("model.bin", b"weights")


THEIRS = adopt_checkpoint.Config(
    "speech_tokenizer",
    adopt_checkpoint.Checkpoint(name="theirs", sha256="abc", licence="MIT", url="https://hub.example"),
)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, toys_by: Any) -> Path:
    """The folder of a store of raw_audio and raw_pages -> mix -> score; each test takes a copy."""
    folder = tmp_path_factory.mktemp("lineage")
    store = ArtifactStore(folder / "store", folder / "cache")
    toys = toys_by(Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0))
    contract = toys.make_contract
    count = {name: f"SELECT count(*) AS metrics FROM {name}" for name in ("recordings", "pages", "rows")}

    def node(name: str, run: Any, table: str, record: type, **more: Any):
        bound = contract(100 if name == "mix" else 1)
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
    trained = {
        "stage": toys.make_stage(train, {"metrics": Metric}, name="train_lm"),
        "config": toys.NoConfig(),
    }
    base = toys.node("base_lm", inputs={"mix": "mix"}, **trained)
    run = toys.node("run_x", inputs={"base_lm": "base_lm"}, **trained)
    score = toys.node("eval_x", inputs={"run": "run_x"})
    taken = toys.make_stage(take_over, {"metrics": Metric}, name="adopt_checkpoint", config=adopt_checkpoint.Config)
    adopted = toys.node("speech_tokenizer", stage=taken, config=THEIRS)
    other = toys.node("eval_other", inputs={"audio": "raw_audio", "speech_tokenizer": "speech_tokenizer"})
    board = toys.node("board", inputs={"eval.0": "eval_x", "eval.1": "eval_other"})
    above: list[Any] = []
    for one in (audio, pages, mix, base, run, score, adopted, other, board):
        if not toys.build(store, one, *above).verdict.passed:
            store.overrule(toys.address(one.name), "A. Person", "two rows are enough here")
        above.append(one)
    return folder / "store"


@pytest.fixture
def lineage(built: Path, tmp_path: Path, store: ArtifactStore, toys: Any):
    """(connection, id of the score) of the store."""
    shutil.copytree(built, tmp_path / "store", dirs_exist_ok=True)
    with connect(store, "recipe") as connection:
        yield connection, published_id(store, toys.address("eval_x"))


def test_a_score_leads_to_exactly_the_sources_that_its_training_rows_hold(lineage: Any) -> None:
    connection, score = lineage
    rows = query(connection, SOURCES_SQL, artifact=score)
    assert [(row["kind"], row["content_hash"], row["url"], row["licence"]) for row in rows] == [
        ("page", "p2", "https://wiki.example/p2", "CC-BY-4.0"),
        ("recording", "r1", "https://radio.example/r1#t=0,1", "CC0-1.0"),
    ]


def test_ancestors_stand_in_the_order_of_their_distance(lineage: Any) -> None:
    connection, score = lineage
    rows = query(connection, ANCESTORS_SQL, artifact=score)
    assert [(row["asset"], row["distance"]) for row in rows] == [
        ("eval_x", 0),
        ("run_x", 1),
        ("base_lm", 2),
        ("mix", 3),
        ("raw_audio", 4),
        ("raw_pages", 4),
    ]
    (pages,) = query(connection, "SELECT id FROM artifacts WHERE asset = 'raw_pages'")
    rows = query(connection, DESCENDANTS_SQL, artifact=pages["id"])
    assert [row["asset"] for row in rows] == ["raw_pages", "mix", "base_lm", "run_x", "eval_x", "board"]


def test_a_cell_of_a_board_leads_to_the_sources_of_its_own_run(lineage: Any, store: ArtifactStore, toys: Any) -> None:
    connection, _ = lineage
    board = published_id(store, toys.address("board"))
    rows = query(connection, CELL_SQL, artifact=board, run="x")
    assert [row["content_hash"] for row in rows] == ["p2", "r1"]
    assert query(connection, CELL_SQL, artifact=board, run="other") == []  # nothing was trained for it


def test_a_url_leads_to_the_rows_that_hold_it_and_the_runs_that_read_them(lineage: Any) -> None:
    connection, _ = lineage
    ids = {row["asset"]: row["id"] for row in query(connection, "SELECT asset, id FROM artifacts")}
    rows = query(connection, ROWS_OF_URL_SQL, url="https://radio.example/r1")
    # The whole's address finds its parts. base_lm read the first row; run_x starts from its weights.
    assert [(row["mix"], row["row"], row["document_id"], row["positions"], row["runs"]) for row in rows] == [
        (ids["mix"], 0, "d1", 6, [ids["base_lm"], ids["run_x"]]),
        (ids["mix"], 1, "d1", 6, []),
    ]
    assert query(connection, ROWS_OF_URL_SQL, url="https://radio.example/r2") == []
    assert query(connection, ROWS_OF_URL_SQL, url="https://radio.example/r") == []


def test_licences_and_costs_are_sums_over_what_is_above(lineage: Any) -> None:
    connection, score = lineage
    (mix,) = query(connection, "SELECT id FROM artifacts WHERE asset = 'mix'")
    assert query(connection, LICENCES_SQL, artifact=mix["id"]) == [
        {"licence": "CC0-1.0", "licence_stated_by": "", "robots": "", "positions": 12, "sources": 1},
        {"licence": "CC-BY-4.0", "licence_stated_by": "meta", "robots": "noindex", "positions": 4, "sources": 1},
    ]
    rows = {row["stage"]: row for row in query(connection, COST_SQL, artifact=score)}
    assert rows["write_recordings"]["audio_hours"] == 1.5 and rows["train_lm"]["versions"] == 2
    assert rows[None]["versions"] == 6
    assert rows[None]["bytes"] == sum(row["bytes"] for stage, row in rows.items() if stage)


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
    score = toys.node("eval_x", inputs={"audio": "raw_audio"}, partition="audio_snapshot")
    for day in ("mon", "tue"):
        toys.build(store, audio, partition=day)
        toys.build(store, score, audio, partition=day)
    with connect(store, "recipe") as connection:
        for day in ("mon", "tue"):
            identity = published_id(store, toys.address("eval_x", day))
            assert identity.startswith(f"recipe/eval_x[{day}]@v1-")
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
    assert main(["lineage", "eval_x", "--recipe", "recipe"]) == 0
    above, sources = capsys.readouterr().out.split("\n\n")
    assert [line.strip().split("@")[0] for line in above.splitlines()] == [
        f"recipe/{name}" for name in ("eval_x", "run_x", "base_lm", "mix", "raw_audio", "raw_pages")
    ]
    assert [line.split() for line in sources.splitlines()] == [
        ["page", "p2", "CC-BY-4.0", "https://wiki.example/p2"],
        ["recording", "r1", "CC0-1.0", "https://radio.example/r1#t=0,1"],
    ]
    assert main(["lineage", "board", "--row", "x", "--recipe", "recipe"]) == 0
    assert capsys.readouterr().out == sources
    assert main(["lineage", "board", "--recipe", "recipe"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.split() == ["model", "abc", "MIT", "https://hub.example"]
    assert main(["lineage", "mix", "--below", "--recipe", "recipe"]) == 0
    assert [line.strip().split("@")[0] for line in capsys.readouterr().out.splitlines() if line] == [
        f"recipe/{name}" for name in ("mix", "base_lm", "run_x", "eval_x", "board")
    ]
    assert main(["lineage", "eval_x", "--cost", "--recipe", "recipe"]) == 0
    assert "whole" in capsys.readouterr().out
    assert main(["lineage", "--url", "https://wiki.example/p2", "--recipe", "recipe"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert " row 0  quest_tokens  4 positions  in: recipe/base_lm@" in line and ", recipe/run_x@" in line


def test_a_dataset_that_was_never_built_is_an_error(store: ArtifactStore, toys: Any) -> None:
    with pytest.raises(StoreError, match="make it: spelangy run RECIPE --only eval_x, with"):
        published_id(store, toys.address("eval_x"))


def test_a_model_made_elsewhere_is_named_by_all_that_stands_on_it(
    lineage: Any, store: ArtifactStore, toys: Any
) -> None:
    connection, score = lineage
    (row,) = query(connection, CHECKPOINTS_SQL, artifact=published_id(store, toys.address("board")))
    assert (row["name"], row["sha256"], row["licence"], row["url"]) == ("theirs", "abc", "MIT", "https://hub.example")
    assert query(connection, CHECKPOINTS_SQL, artifact=score) == []


def test_every_documented_query_runs_and_finds_something(
    lineage: Any, project_dir: Path, store: ArtifactStore, toys: Any
) -> None:
    connection, _ = lineage
    queries = re.findall(r"```sql\n(.*?)```", (project_dir / "docs" / "lineage.md").read_text(), flags=re.DOTALL)
    for sql in queries:
        asset = (
            "board"
            if "$run" in sql or "checkpoints" in sql
            else "mix"
            if "packed_rows WHERE artifact = $artifact" in sql
            else "eval_x"
        )
        given = {
            "artifact": published_id(store, toys.address(asset)),
            "url": "https://wiki.example/p2",
            "run": "x",
        }
        parameters = {name: value for name, value in given.items() if f"${name}" in sql}
        assert query(connection, sql, **parameters), sql
    ours = {sql.strip() for name, sql in vars(lineage_queries).items() if name.endswith("_SQL")}
    assert ours <= {sql.strip() for sql in queries}, "docs/lineage.md shows another query than the code has"


def test_the_documented_tables_have_the_documented_columns(lineage: Any, project_dir: Path) -> None:
    connection, _ = lineage
    text = (project_dir / "docs" / "lineage.md").read_text()
    for table in ("artifacts", "publications", "edges", "drops", "stats", "crawl", "checkpoints", "packed_rows"):
        line = next(line for line in text.splitlines() if line.startswith(f"| {table} |"))
        documented = re.sub(r"\([^)]*\)", "", line.split("|")[3]).replace(" ", "").split(",")
        assert documented == [row["column_name"] for row in query(connection, f"DESCRIBE {table}")]
