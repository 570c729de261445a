"""Ledger, speed and memory of supplied_texts over shards of Parquet and JSON Lines that this script makes.

    python benchmarks/texts.py [--megabytes 200]

Half of the bytes are Parquet, half JSON Lines, plain and compressed. Among documents of English sentences stand planted
ones: exact copies, rows that hold no text or are no JSON, short texts, repetitive texts. A quarter of the size and the
whole are ingested, each by a process of its own, with deduplication and the rules of Gopher and FineWeb. Printed are
what was planted and what was found of it, the ledger of rows and characters in sums, an example of each reject, and
processor time, MB/s (of text in the shards, decompressed) and the greatest resident memory of the process (its imports
alone: the first row). Exit status 1 when a sum does not add up or something planted was not found.
"""

from __future__ import annotations

import argparse
import gzip
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import ingest_texts
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.memory import peak_memory_bytes
from spelangy_model.records import Reject
from spelangy_model.rng import stable_rng
from spelangy_model.text.quality import FineWeb, GopherQuality, GopherRepetition

SHARD_BYTES = 5_000_000
DAMAGES = ("no JSON", "no text", "null text", "a number as text")
WORDS = tuple(
    "mill village brook winter wheel people bread flour water stones horses letters snow roads mountains house river "  # noqa: SIM905
    "garden school church market summer evening morning light window story children teacher doctor farmer baker train "
    "station bridge forest field harvest engine music paper kitchen journey harbour island captain storm".split()
)
VERBS = ("finds", "builds", "carries", "sees", "keeps", "brings", "paints", "follows", "leaves", "opens", "repairs")
LINKS = ("of", "with", "near", "behind", "without", "beside", "under", "for")


def sentences(count: int) -> list[str]:
    """Return sentences of ordinary English words, of which no five follow each other often."""
    rng = stable_rng(0, "sentences")
    nouns, verbs = rng.integers(len(WORDS), size=(count, 6)), rng.integers(len(VERBS), size=(count, 2))
    links = rng.integers(len(LINKS), size=(count, 3))
    made = []
    for number in range(count):
        a, b, c, d, e, f = (WORDS[i] for i in nouns[number])
        first, second = (VERBS[i] for i in verbs[number])
        one, two, three = (LINKS[i] for i in links[number])
        made.append(f"The {a} {one} {b} {first} the {c} {two} {d}, and she {second} that {e} {three} the {f}.")
    return made


def documents(megabytes: float) -> Iterator[tuple[str, Any]]:
    """Yield (kind, row) until the texts have so many bytes; the kinds but `whole` are planted."""
    rng, pool = stable_rng(0, "documents"), sentences(50_000)
    earlier: list[str] = []
    left, number = megabytes * 1e6, 0
    while left > 0:
        number += 1
        row: dict[str, Any] = {"id": f"d-{number}", "url": f"https://texts.example/{number}", "date": "2026-01-01"}
        draw = rng.random()
        if draw < 0.01:
            yield f"damaged: {DAMAGES[number % len(DAMAGES)]}", row
            continue
        chosen = [pool[i] for i in rng.integers(len(pool), size=int(rng.integers(12, 60)))]
        text, kind = "\n".join(" ".join(chosen[i : i + 4]) for i in range(0, len(chosen), 4)), "whole"
        if draw < 0.06 and earlier:
            text, kind = earlier[int(rng.integers(len(earlier)))], "copy"
        elif draw < 0.10:
            text, kind = f"{chosen[0]} {number}", "short"
        elif draw < 0.14:
            text, kind = "\n".join([chosen[0]] * 30 + chosen[1:6]) + f" {number}", "repetitive"
        else:
            earlier.append(text)
            if len(earlier) > 2000:
                del earlier[0]
        left -= len(text)
        yield kind, {**row, "text": text}


def write_shards(folder: Path, megabytes: float) -> Counter[str]:
    """Write the shards and return how many rows of each kind they hold."""
    planted: Counter[str] = Counter()
    shard: list[tuple[str, Any]] = []
    size = number = 0
    for kind, row in documents(megabytes):
        planted[kind] += 1
        shard.append((kind, row))
        size += len(row.get("text", ""))
        if size >= SHARD_BYTES:
            _write(folder, number, shard)
            shard, size, number = [], 0, number + 1
    _write(folder, number, shard)
    return planted


def _write(folder: Path, number: int, shard: list[tuple[str, Any]]) -> None:
    if number % 2 == 0:
        # A column of Parquet has one type, so that each damage is a text that is not there.
        rows = [{**row, "text": row.get("text")} for _, row in shard]
        pq.write_table(pa.Table.from_pylist(rows), folder / f"{number:04}.parquet", row_group_size=500)
        return
    data = "".join(_line(kind, row) + "\n" for kind, row in shard).encode()
    match number % 6:
        case 1:
            (folder / f"{number:04}.jsonl").write_bytes(data)
        case 3:
            (folder / f"{number:04}.jsonl.gz").write_bytes(gzip.compress(data, 6))
        case _:
            with pa.CompressedOutputStream(str(folder / f"{number:04}.jsonl.zst"), "zstd") as out:
                out.write(data)


def _line(kind: str, row: dict[str, Any]) -> str:
    match kind.removeprefix("damaged: "):
        case "no JSON":
            return json.dumps(row)[:-3]
        case "null text":
            return json.dumps({**row, "text": None})
        case "a number as text":
            return json.dumps({**row, "text": 7})
    return json.dumps(row)


def ingest(snapshot: Path) -> dict[str, Any]:
    config = ingest_texts.Config(quality=(GopherQuality(min_words=50), GopherRepetition(), FineWeb()))
    node = Node(
        name="supplied_texts", group="crawl", description="", stage=ingest_texts, config=config,
        contract=ingest_texts.CONTRACT, has_source=True,
    )  # fmt: skip

    def launch(*spec: object) -> float:
        raise NotImplementedError

    at = snapshot.parent / f"{snapshot.name}-store"
    store = ArtifactStore(at / "store", at / "cache")
    graph, execution = Graph("benchmark", [node]), Execution(cache_dir=at / "cache", launch=launch)
    started = time.process_time()
    built = build(store, graph, node, None, execution, FolderSource(snapshot))
    cpu_s = time.process_time() - started
    examples = {one.reason: f"{one.source_uri}: {one.error}" for one in built.artifact.records("rejects", Reject)}
    counts = built.artifact.manifest.counts
    return {
        "cpu_s": cpu_s,
        "peak_bytes": peak_memory_bytes(),
        "passed": built.verdict.passed,
        "read": counts.records_in,
        "kept": counts.records_kept,
        "dropped": counts.dropped,
        "stats": counts.stats,
        "examples": examples,
    }


def measure(folder: Path, megabytes: float) -> tuple[Counter[str], dict[str, Any]]:
    snapshot = folder / f"{megabytes:g}"
    snapshot.mkdir()
    planted = write_shards(snapshot, megabytes)
    ended = subprocess.run(
        [sys.executable, __file__, "--child", str(snapshot)], check=True, stdout=subprocess.PIPE, text=True
    )
    return planted, json.loads(ended.stdout.splitlines()[-1])


def found_of(planted: Counter[str], found: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return what was planted, how often, and how often the ledger has it."""
    dropped = Counter(found["dropped"])
    repetitive = sum(count for reason, count in dropped.items() if reason.startswith(("gopher_", "fineweb_")))
    damaged = sum(count for kind, count in planted.items() if kind.startswith("damaged"))
    return [
        ("exact copies", planted["copy"], dropped["duplicate"]),
        ("rows without a text, or no JSON", damaged, dropped["no_text"] + dropped["not_json"]),
        ("short texts", planted["short"], dropped["too_short"]),
        ("repetitive texts", planted["repetitive"], repetitive),
        ("other documents", planted["whole"], found["kept"]),
    ]


def ledger(found: dict[str, Any]) -> list[tuple[str, int, int]]:
    """Return the ledger's rows: what, rows, characters."""
    stats = found["stats"]
    return [
        ("kept", found["kept"], int(stats["characters_kept"])),
        ("cut out of kept texts", 0, int(stats["characters_cut"])),
        *(
            (f"dropped: {reason}", count, int(stats.get(f"characters_dropped.{reason}", 0)))
            for reason, count in sorted(found["dropped"].items())
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=200)
    parser.add_argument("--child", type=Path, default=None, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        print(json.dumps(ingest(chosen.child)))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        sizes = (0.01, chosen.megabytes / 4, chosen.megabytes)
        results = [(size, *measure(Path(folder), size)) for size in sizes]
    print("| text | rows | CPU s | MB/s | peak memory |\n|---|---|---|---|---|")
    for _, _, found in results:
        text_mb = found["stats"]["characters_read"] / 1e6
        print(
            f"| {text_mb:.1f} MB | {found['read']:,} | {found['cpu_s']:.1f} | {text_mb / found['cpu_s']:.2f} | "
            f"{found['peak_bytes'] / 1e6:.0f} MB |"
        )
    _, planted, whole = results[-1]
    found = found_of(planted, whole)
    print("\n| planted | rows | found |\n|---|---|---|")
    for what, rows, found_rows in found:
        print(f"| {what} | {rows:,} | {found_rows:,} |")
    lines = ledger(whole)
    read = (whole["read"], int(whole["stats"]["characters_read"]))
    sums = (sum(rows for _, rows, _ in lines), sum(characters for *_, characters in lines))
    print("\n| ledger | rows | characters |\n|---|---|---|")
    for what, rows, characters in [*lines, ("sum", *sums), ("read", *read)]:
        print(f"| {what} | {rows:,} | {characters:,} |")
    print("\n| reject | file and row |\n|---|---|")
    for reason, example in sorted(whole["examples"].items()):
        print(f"| {reason} | {example} |")
    return int(sums != read or not whole["passed"] or any(rows != found_rows for _, rows, found_rows in found))


if __name__ == "__main__":
    sys.exit(main())
