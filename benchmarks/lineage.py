"""How long lineage and status take: from a cell of the leaderboard to URLs, from a URL to what holds it.

    python benchmarks/lineage.py                    # on a store of thousands of manifests, which it makes and removes
    python benchmarks/lineage.py --store FOLDER     # on a store that is there, for example .spelangy/store

The made store has the graph of recipe `sample` over 900 audio snapshots and 80 page snapshots. Every dataset is
written and committed by the store's own writer, with its inputs resolved as a build does: 20 recordings and 500
pages a snapshot, and five mixes of 20,000 rows of eight documents each. Only what lineage reads is in it: the sound of
a recording is one byte, a row has one token. `load` reads all manifests and the columns that lineage needs into DuckDB,
as `connect` does; a question is then one query. Wall time, the load with a warm file cache; the longest of the rounds.

`status` is asked of the made store alone: the state of every dataset, all up to date, in CPU seconds with a warm file
cache and without the start of Python; the least and the most of the rounds.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from spelangy_assets.execution.build import resolve
from spelangy_assets.execution.dataset import Dataset
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.status import count_states, status_of
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.sources.files import Arriving
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import CELL_SQL, COST_SQL, DESCENDANTS_SQL, LICENCES_SQL, ROWS_OF_URL_SQL
from spelangy_assets.store.manifest import Verdict
from spelangy_model.records import Audio, PackedRow, Page, Recording, RowSpan, schema_of, to_table
from spelangy_model.rng import stable_rng

AUDIO_SNAPSHOTS, PAGE_SNAPSHOTS = 900, 80
RECORDINGS, PAGES = 20, 500  # a snapshot
ROWS, SPANS = 20_000, 8  # a mix, and documents a row
LICENCES = ("CC0-1.0", "CC-BY-4.0", "CC-BY-SA-4.0")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--store", default="", help="of recipe `sample`; default: one of 10,000 manifests is made")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if not chosen.store:
            started = time.perf_counter()
            make_store(ArtifactStore(folder, Path(folder)))
            print(f"made in {time.perf_counter() - started:.0f} s", file=sys.stderr)
        store = ArtifactStore(chosen.store or folder, Path(folder))
        measure(store, chosen.rounds)
        if not chosen.store:
            measure_status(store, chosen.rounds)


def many_snapshots(recipe: Recipe) -> Recipe:
    """Return the recipe over as many snapshots as are measured here: its handles again, from the crawls down."""
    counts = {"raw_audio": ("a", AUDIO_SNAPSHOTS), "raw_pages": ("p", PAGE_SNAPSHOTS)}
    snapshots = {name: tuple(f"{kind}{n:04}" for n in range(count)) for name, (kind, count) in counts.items()}
    made: dict[str, Dataset] = {}
    for one in recipe.datasets.values():  # parents first
        inputs = {role: made[parent.name] for role, parent in one.inputs.items()}
        names = snapshots[one.crawl.name] if one.crawl else ()
        several = {member.name for member, _ in one.members}
        members = tuple((made[name], snapshot) for name in several for snapshot in made[name].snapshots)
        sources = None if one.sources is None else dict.fromkeys(names, Arriving())
        made[one.name] = replace(
            one, inputs=inputs, members=members, sources=sources, snapshots=names, home=names, companions={}
        )
    return Recipe(recipe.name, *made.values())


def make_store(store: ArtifactStore) -> None:
    """Commit a version of every dataset that the corpora need, parents first."""
    graph = many_snapshots(SAMPLE).graph
    for name, partition in required_targets(graph):
        node = graph[name]
        identity = resolve(store, graph, node, partition, source_of(node, partition)).identity
        dataset = DatasetName(graph.recipe, name, partition)
        writer = store.writer(dataset, identity, node.stage.TABLES)
        for unit, table in enumerate(contents(graph, node, partition)):
            with writer.unit(unit) as out:
                if not unit:  # both chunkings are empty here: what is made of them would be one version
                    out.write_file("dataset.txt", name.encode())
                for key, rows in table.items():
                    out.write_rows(key, rows)
                if node.group == "runs":
                    out.read(ROWS)
                    out.add("row_epochs", 1.0)
                out.drop("too_short", 3)
        writer.commit()
        artifact = store.find(Address(identity.stage, partition), identity.build_key)
        if artifact is None:
            raise RuntimeError(f"{dataset} cannot be read back")
        store.judge(dataset, artifact, Verdict(fingerprint(node.contract), True, [], "2026-01-01T00:00:00+00:00"))


def source_of(node: Node, partition: str | None) -> dict[str, str | None] | None:
    """Return the literal that stands for a snapshot's content."""
    return {"snapshot": partition} if node.has_source else None


def contents(graph: Graph, node: Node, partition: str | None) -> Iterator[dict[str, pa.Table]]:
    if node.name == "raw_audio":
        yield {"recordings": to_table([recording(partition, number) for number in range(RECORDINGS)], Recording)}
    elif node.name == "raw_pages":
        yield {"pages": to_table([page(partition, number) for number in range(PAGES)], Page)}
    elif node.group == "mixes":
        for shard in range(10):
            yield {"rows": rows_of(node.name, "speech_tokenizer" in node.inputs, shard, ROWS // 10)}
    else:
        yield {}


def recording(snapshot: str | None, number: int) -> Recording:
    name = f"{snapshot}-r{number:04}"
    url, licence = f"https://radio.example/{name}", LICENCES[number % len(LICENCES)]
    return Recording(name, f"{name}.opus", url, licence, 60.0, 16_000, 1, "opus", Audio(b"0", f"{name}.flac"))


def page(snapshot: str | None, number: int) -> Page:
    name = f"{snapshot}-p{number:05}"
    url, licence = f"https://wiki.example/{name}", LICENCES[number % len(LICENCES)]
    return Page(name, url, f"pages.warc@{number}", "", licence, "utf-8", "<p>x</p>")


def rows_of(mix: str, web: bool, shard: int, count: int) -> pa.Table:
    """Rows whose documents are drawn at random: half from recordings, half from pages, or from pages alone."""
    rng = stable_rng(0, mix, shard)
    rows = []
    for row in range(shard * count, (shard + 1) * count):
        spans = []
        for place in range(SPANS):
            is_speech = web and place % 2 == 0
            source = (
                f"a{rng.integers(AUDIO_SNAPSHOTS):04}-r{rng.integers(RECORDINGS):04}"
                if is_speech
                else f"p{rng.integers(PAGE_SNAPSHOTS):04}-p{rng.integers(PAGES):05}"
            )
            token_set = "speech.0" if is_speech else "text.0"
            spans.append(RowSpan(f"{source}-d{place}", token_set, source, 0, 32 * place, 32, 1))
        rows.append(PackedRow(row, "speech_text" if web else "text", [0], [0], [1], spans))
    return to_table(rows, PackedRow).cast(schema_of(PackedRow))


def measure(store: ArtifactStore, rounds: int) -> None:
    loads = []
    for _ in range(rounds):
        started = time.perf_counter()
        connection = connect(store, "sample")
        loads.append(time.perf_counter() - started)
    board = published_id(store, DatasetName("sample", "leaderboard"))
    inputs = SAMPLE.graph["leaderboard"].inputs
    role = next(role for role, name in inputs.items() if name == "run_quest")
    (cell,) = query(
        connection, "SELECT parent FROM edges WHERE child = $board AND role = $role", board=board, role=role
    )
    (mix,) = query(connection, "SELECT parent FROM edges WHERE child = $run AND role = 'mix'", run=cell["parent"])
    sources = query(connection, CELL_SQL, artifact=board, run="quest")
    if not sources:
        raise SystemExit("no recording or page is found for the row `quest` of the leaderboard")
    urls = {kind: next(row["url"] for row in sources if row["kind"] == kind) for kind in ("recording", "page")}
    crawl = query(connection, "SELECT artifact FROM crawl WHERE url = $url", url=urls["recording"])[0]["artifact"]
    counts = {
        table: query(connection, f"SELECT count(*) AS n FROM {table}")[0]["n"]
        for table in ("artifacts", "edges", "crawl", "packed_rows")
    }
    print(", ".join(f"{count:,} {name}" for name, count in counts.items()) + f"; load {max(loads):.2f} s\n")
    print("| question | rows of the answer | query s | load and query s |\n|---|---|---|---|")
    questions: list[tuple[str, Callable[[], list[dict[str, Any]]]]] = [
        (
            "from a cell of the leaderboard to URLs",
            lambda: query(connection, CELL_SQL, artifact=board, run="quest"),
        ),
        *(
            (
                f"from the URL of a {kind} to all rows and runs that hold it",
                lambda kind=kind: query(connection, ROWS_OF_URL_SQL, url=urls[kind]),
            )
            for kind in urls
        ),
        (
            "all that a snapshot's recordings are in",
            lambda: query(connection, DESCENDANTS_SQL, artifact=crawl),
        ),
        ("licences in a mix", lambda: query(connection, LICENCES_SQL, artifact=mix["parent"])),
        (
            "what the leaderboard cost, by stage",
            lambda: query(connection, COST_SQL, artifact=board),
        ),
    ]
    for words, ask in questions:
        times = []
        for _ in range(rounds):
            started = time.perf_counter()
            found = ask()
            times.append(time.perf_counter() - started)
        print(f"| {words} | {len(found):,} | {max(times):.3f} | {max(times) + max(loads):.2f} |")


def measure_status(store: ArtifactStore, rounds: int) -> None:
    graph, taken, states = many_snapshots(SAMPLE).graph, [], {}
    partitions = {str(crawl.partition): list(crawl.snapshots) for crawl in graph.crawls}
    for _ in range(rounds):
        started = time.process_time()
        states = count_states(status_of(store, graph, partitions, source_of))
        taken.append(time.process_time() - started)
    count = sum(states.values())
    print(f"\nstatus of {count:,} datasets ({states}): {min(taken):.2f} to {max(taken):.2f} CPU s, ", end="")
    print(f"{min(taken) / count * 1e4:.2f} to {max(taken) / count * 1e4:.2f} for 10,000")


if __name__ == "__main__":
    main()
