import itertools
import json
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stage_parts.contracts import DUPLICATES
from spelangy_assets.stages import find_duplicate_pages, ingest_pages, roll_up
from spelangy_assets.stages.ingest_pages import CONTRACT as RAW_PAGES
from spelangy_assets.stages.roll_up import CONTRACT as ROLL_UP
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.records import Duplicate, Page

WORDS = "the mill stone brook winter wheel village bread flour river frost window miller horse cart of and near an old"


def _prose(seed: int, sentences: int = 40) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(rng.choices(WORDS.split(), k=9)).capitalize() + "." for _ in range(sentences)]


def _page(sentences: list[str], frame: str = "") -> str:
    return f"<!doctype html><html><body><nav>{frame}</nav><main><p>{' '.join(sentences)}</p></main></body></html>"


def _record(url: str, html: str, date: str) -> bytes:
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: {date}T00:00:00Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


Captures = list[tuple[str, str, str]]  # name of the page, HTML, day
Find = Callable[[Mapping[str, Mapping[str, Captures] | Path]], tuple[dict[str, str], Built]]


@pytest.fixture
def find(store: ArtifactStore, execution: Execution, tmp_path: Path) -> Find:
    """Ingest snapshots, given as {snapshot: {archive: captures}} or folders; return {page: whose duplicate it is}."""
    tries = itertools.count()

    def run(snapshots: Mapping[str, Mapping[str, Captures] | Path]) -> tuple[dict[str, str], Built]:
        common: dict[str, Any] = {"group": "crawl", "description": ""}
        raw = Node(
            name="raw_pages",
            stage=ingest_pages,
            config=ingest_pages.Config(),
            contract=RAW_PAGES,
            partition="page_snapshot",
            has_source=True,
            **common,
        )
        corpus = Node(
            name="page_corpus",
            stage=roll_up,
            config=roll_up.Config(),
            contract=ROLL_UP,
            members=tuple(("raw_pages", snapshot) for snapshot in snapshots),
            **common,
        )
        index = Node(name="page_index", stage=find_duplicate_pages, config=find_duplicate_pages.Config(),
                     contract=DUPLICATES, inputs={"pages": "page_corpus"}, **common)  # fmt: skip
        graph = Graph("recipe", [raw, corpus, index])
        names = {}
        for snapshot, source in snapshots.items():
            folder = source if isinstance(source, Path) else tmp_path / f"{next(tries)}"
            if not isinstance(source, Path):
                folder.mkdir()
                for name, captures in source.items():
                    records = [_record(f"https://mill.example/{page}", html, day) for page, html, day in captures]
                    (folder / name).write_bytes(b"".join(records))
            made = build(store, graph, raw, snapshot, execution, FolderSource(folder)).artifact
            names |= {(snapshot, p.page_id): p.url.rpartition("example/")[2] for p in made.records("pages", Page)}
        build(store, graph, corpus, None, execution)
        built = build(store, graph, index, None, execution)
        assert built.verdict.passed
        found = {
            names[row.snapshot, row.source_id]: names[row.duplicate_of_snapshot, row.duplicate_of]
            for row in built.artifact.records("duplicates", Duplicate)
        }
        return found, built

    return run


ONE, TWO, THREE = _prose(1), _prose(2), _prose(3)
OLD = [("one", _page(ONE), "2026-01-02"), ("two", _page(TWO), "2026-01-01")]
NEW = [
    ("one-again", _page(ONE, "Home, About us"), "2026-02-01"),
    ("two-with-more", _page([*TWO, *THREE[:2]]), "2026-02-01"),
    ("half-of-two", _page([*TWO[:20], *THREE[:20]]), "2026-02-01"),
    ("three", _page(THREE), "2026-02-02"),
]


def test_pages_that_say_nearly_the_same_are_found_across_snapshots(find: Find):
    found, built = find({"old": {"a.warc": OLD}, "new": {"a.warc": NEW}})
    assert found == {"one-again": "one", "two-with-more": "two"}
    counts = built.artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (6, 4, {"near_duplicate": 2})
    similar = {row.source_id: row.similarity for row in built.artifact.records("duplicates", Duplicate)}
    assert max(similar.values()) == 1.0
    assert 0.85 < min(similar.values()) < 1.0


def test_the_snapshot_that_the_corpus_names_first_wins(find: Find):
    found, _ = find({"new": {"a.warc": NEW}, "old": {"a.warc": OLD}})
    assert found == {"one": "one-again", "two": "two-with-more"}


def test_who_is_kept_is_the_same_in_whatever_shards_the_pages_lie(find: Find):
    pages = [
        *NEW, ("one-print", _page([*ONE[:39], THREE[0]]), "2026-01-30"), ("half-print", _page(TWO[:19] + THREE[:20]),
         "2026-02-01")
    ]  # fmt: skip
    together, _ = find({"s": {"a.warc": pages}})
    apart, _ = find({"s": {f"{9 - i}.warc": [page] for i, page in enumerate(pages)}})
    assert together == apart == {"one-again": "one-print", "half-print": "half-of-two"}


def test_one_that_is_like_a_dropped_one_alone_is_kept(find: Find):
    steps = [_page(ONE[i * 3 :] + TWO[: i * 3]) for i in range(3)]
    found, _ = find({"s": {"a.warc": [(str(i), html, f"2026-01-0{i + 1}") for i, html in enumerate(steps)]}})
    assert found == {"1": "0"}


def test_the_same_capture_in_two_snapshots_is_a_duplicate(find: Find):
    _, built = find({"old": {"a.warc": OLD}, "new": {"b.warc": OLD}})
    assert built.artifact.manifest.counts.dropped == {"duplicate": 2}


def test_few_words_are_no_near_duplicates(find: Find):
    short = " ".join(["Old mills grind slowly by the frozen brook in winter."] * 2)
    found, _ = find({"s": {"a.warc": [(str(i), _page([short], f"{i}"), "2026-01-01") for i in range(2)]}})
    assert found == {}


def test_of_many_alike_one_is_kept(find: Find):
    many = [(f"{i:03d}", _page([*ONE, THREE[i % 40]], f"{i}"), "2026-01-01") for i in range(150)]
    found, _ = find({"s": {"a.warc": many}})
    assert len(found) == 149
    assert set(found.values()) == {"000"}


def test_of_the_sample_crawl_the_planted_copy_alone_is_found(find: Find, project_dir: Path):
    crawl = project_dir / "spelangy_assets/sample/snapshots"
    found, _ = find({snapshot: crawl / "pages" / snapshot for snapshot in ("2026-01", "2026-02")})
    truth = [json.loads(line) for line in (crawl / "truth/pages.jsonl").read_text().splitlines()]
    planted = {row["url"]: row["copy_of"] for row in truth if row["kind"] == "near_duplicate"}
    assert planted
    assert found == {url.rpartition("example/")[2]: of.rpartition("example/")[2] for url, of in planted.items()}
