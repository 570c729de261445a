"""How the cost of each stage grows with its input: processor time, wall time and memory at 1x, 2x and 4x (mixes: 16x).

    python benchmarks/growth.py                       # all groups: recognition speech pages texts mixes
    python benchmarks/growth.py mixes --rounds 3 --scale 0.25

Every dataset is made by `execution.build`, as in a run: the stage, the shards, the commit and the contract. Each build
has a process of its own, forked from one that has imported the libraries. It first builds a quarter of 1x, so that
loaded models and compiled code count at no size. Inputs are rendered here: spoken conversations of the sample
world, its pages and its texts, and token documents as in benchmarks/packing.py. Units are small, so that 1x is
several of them.

`4x / 1x` is the time at the greatest size over the time at 1x, divided by the ratio of the sizes: 1.00 is linear, less
is better than linear (constant costs). Memory is the greatest resident memory of the process (VmHWM). Of several
rounds a cell has the least and the most, the ratios the least. One thread a process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))

import pyarrow as pa
from packing import make_documents
from rivals import span
from texts import sentences, write_shards

from spelangy_assets import lab
from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.sample_parts import SEED, TRAINED_VOICES, WHISPER_BASE, WHISPER_TINY, WORLD
from spelangy_assets.sample.sources import WorldSentences, WorldTexts
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_assets.sources.files import Arriving, FolderSource
from spelangy_assets.stages import mix, roll_up
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import encode_flac
from spelangy_model.cpu_time import cpu_seconds
from spelangy_model.data.documents import DocumentArrays
from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.mixture import Mixture, Proportion, Source
from spelangy_model.memory import peak_memory_bytes
from spelangy_model.records import TokenDocument, schema_of
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

SIZES = {"quarter": 0.25, "1x": 1, "2x": 2, "4x": 4}
MIX_SIZES = {"quarter": 0.25, "1x": 1, "4x": 4, "16x": 16}
RECOGNIZED, SPOKEN, PAGES, TEXT_MB = 4, 24, 160, 4.0  # at 1x: recordings, recordings, pages, megabytes
DOCUMENTS, ROWS, ROW_LENGTH = 40_000, 960, 16_384  # of a mix at 1x: 17 million tokens
SHARD_DOCUMENTS = 5_000
LAYOUT = Layout(text_size=128_000, codebook_size=1000)
ANY = Contract("any", "SELECT 1 AS fine", (Bound("fine", 1),))
IMPORTED = ("great_expectations", "duckdb", "pandas", "pyarrow.dataset", "numba", "soundfile")
HEAVY = ("torch", "transformers", "faster_whisper", "scipy.signal")  # of the groups that recognize or tokenize speech


@dataclass(frozen=True)
class Group:
    """Datasets to make in order: those without a snapshot once, the others at each size."""

    graph: Graph
    sizes: dict[str, float]
    source: Callable[[Node, str], Any]


@dataclass(frozen=True)
class Pages:
    """So many pages, each with an article and questions that have answers."""

    count: int
    version: str = "1"

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML)."""
        pool = sentences(20_000)
        for number in range(self.count):
            lines = [pool[(number * 37 + at) % len(pool)] for at in range(36)]
            words = [line.split() for line in lines]
            paragraphs = "".join(f"<p>{escape(' '.join(lines[at : at + 4]))}</p>" for at in range(0, 24, 4))
            asked = "".join(
                f"<h3>Where does the {words[at][1]} of page {number} keep the {words[at][5]}?</h3><p>{lines[at]}</p>"
                for at in range(24, 36, 3)
            )
            yield (
                f"https://pages.example/{number}.html",
                f'<!doctype html><html lang="en"><head><title>{" ".join(words[0][:4])}</title></head>'
                f"<body><main><h1>{' '.join(words[0][:4])}</h1>{paragraphs}"
                f"<h2>Questions</h2>{asked}</main></body></html>",
            )


def conversations(count: float) -> dict[str, Any]:
    return {
        name: SpokenConversations(world=WORLD, seed=SEED, recordings=round(count * size))
        for name, size in SIZES.items()
    }


def tokenizers() -> lab.Tokens:
    texts = WorldTexts(world=WORLD, seed=SEED, documents=300, talks=50)
    spoken = lab.tokenizer_speech(
        WorldSentences(world=WORLD, seed=SEED, kind="talk", count=100), seed=SEED, voices=TRAINED_VOICES
    )
    return lab.Tokens(lab.speech_tokenizer(spoken), lab.text_tokenizer(lab.Trained((texts,), vocab_size=1300)))


def rendered(node: Node, size: str) -> Any:
    return node.snapshots[size]


def recognition(folder: Path, scale: float) -> Group:
    """Turns, hypotheses and transcripts of recordings whose text is not given.

    All sizes have the recordings of 1x, over and over under other noise of -74 dB: where a decoder stops early and what
    is left is decoded again depends on what is said, so that other recordings would differ by a tenth.
    """
    said = max(1, round(RECOGNIZED * scale))
    render = SpokenConversations(world=WORLD, seed=SEED, recordings=said).open()
    for name, size in SIZES.items():
        (folder / name).mkdir()
        for index in range(max(1, round(RECOGNIZED * scale * size))):
            samples = render(index % said).samples
            noise = stable_rng(SEED, "growth", index).normal(scale=2e-4, size=len(samples))
            (folder / name / f"{index:04}.flac").write_bytes(encode_flac((samples + noise).astype(samples.dtype)))
    audio = lab.recordings(dict.fromkeys(SIZES, Arriving()), recordings_per_unit=1)
    turns = lab.segments(audio)
    words = lab.hypotheses(audio, turns, systems=(WHISPER_BASE, WHISPER_TINY))
    graph = lab.Recipe("recognition", lab.corpus(lab.transcripts(turns, words))).graph
    return Group(graph, SIZES, lambda node, size: FolderSource(folder / size))


def speech(folder: Path, scale: float) -> Group:
    """Recordings with their text, the chunks and tokens of them."""
    audio = lab.recordings(conversations(SPOKEN * scale), recordings_per_unit=4)
    turns = lab.segments(audio)
    clean = lab.transcripts(turns, lab.hypotheses(audio, turns, systems=(WHISPER_BASE, WHISPER_TINY)))
    chunks = lab.chunks(audio, clean, lab.Sentences(), name="web_fine", seed=SEED)
    return Group(lab.Recipe("speech", lab.corpus(tokenizers()(chunks))).graph, SIZES, rendered)


def pages(folder: Path, scale: float) -> Group:
    """Pages, their text, Krist and Quest, and what is spoken of them."""
    crawl = lab.pages({name: Pages(round(PAGES * scale * size)) for name, size in SIZES.items()})
    leaves = [
        lab.corpus(lab.documents(crawl)),
        lab.corpus(lab.speech(lab.krist(crawl), None, seed=SEED)),
        lab.corpus(lab.speech(lab.quest(crawl, seed=SEED), None, seed=SEED)),
    ]
    return Group(lab.Recipe("pages", *leaves).graph, SIZES, rendered)


def texts(folder: Path, scale: float) -> Group:
    """Supplied texts and their tokens."""
    for name, size in SIZES.items():
        (folder / name).mkdir()
        write_shards(folder / name, TEXT_MB * scale * size)
    crawl = lab.texts(dict.fromkeys(SIZES, Arriving()), quality=(lab.GopherQuality(min_words=50), lab.FineWeb()))
    graph = lab.Recipe("texts", lab.corpus(tokenizers()(crawl))).graph
    return Group(graph, SIZES, lambda node, size: FolderSource(folder / size))


def mixes(folder: Path, scale: float) -> Group:
    """Mixes of two token sets, 17 million tokens at 1x: planned at once, and in as many parts as the size."""

    def write_text_tokenizer(ctx: StageContext, config: Any) -> None:
        vocabulary = {str(number): number for number in range(LAYOUT.text_size)}
        tokenizer = json.dumps({"model": {"vocab": vocabulary}, "added_tokens": []}).encode()
        _write_file(ctx, "tokenizer.json", tokenizer)

    def write_speech_tokenizer(ctx: StageContext, config: Any) -> None:
        levels = json.dumps({"model_type": "spelangy_speech_tokenizer", "fsq_levels": [LAYOUT.codebook_size]})
        _write_file(ctx, "config.json", levels.encode())

    def write_tokens(ctx: StageContext, config: Any) -> None:
        count = round(DOCUMENTS * scale * MIX_SIZES[str(ctx.partition)] / 2)
        for unit, first in ctx.out.pending(range(0, count, SHARD_DOCUMENTS)):
            with ctx.out.unit(unit) as out:
                out.write_rows("documents", token_documents(min(SHARD_DOCUMENTS, count - first), f"{unit}"))

    documents = {"documents": TokenDocument}
    nodes = [
        _node("text_tokenizer", write_text_tokenizer, {}),
        _node("speech_tokenizer", write_speech_tokenizer, {}),
        _node("web_tokens", write_tokens, documents, partition="crawl"),
        _node("quest_tokens", write_tokens, documents, partition="crawl"),
    ]
    for size, times in MIX_SIZES.items():
        inputs = {"text_tokenizer": "text_tokenizer", "speech_tokenizer": "speech_tokenizer"}
        for role, kind in (("speech.0", "web"), ("speech.1", "quest")):
            inputs[role] = f"{kind}_corpus_{size}"
            members = ((f"{kind}_tokens", size),)
            nodes.append(_described(inputs[role], roll_up, roll_up.Config(), roll_up.CONTRACT, members=members))
        sources = tuple(
            Source(f"speech.{at}", "speech_text", Proportion(share)) for at, share in ((0, 0.66), (1, 0.34))
        )
        rows = round(ROWS * scale * times)
        mixture = Mixture(sources, rows, ROW_LENGTH, 0.0, Interleaving("stochastic"), 4.0, SEED)
        for name, parts in (("mix", 1), ("mix_in_parts", max(1, round(times)))):
            config = mix.Config(mixture, 128, parts)
            nodes.append(_described(f"{name}_{size}", mix, config, mix.CONTRACT, inputs=inputs))
    return Group(Graph("mixes", nodes), MIX_SIZES, lambda node, size: None)


def _write_file(ctx: StageContext, name: str, data: bytes) -> None:
    for unit, _ in ctx.out.pending([name]):
        with ctx.out.unit(unit) as out:
            out.write_file(name, data)


def _node(name: str, run: Callable[[StageContext, Any], None], tables: dict[str, type], **more: Any) -> Node:
    stage = ModuleType(f"growth_{name}")
    vars(stage).update(
        VERSION="1", Config=roll_up.Config, TABLES=tables, run=run, preflight=lambda config, execution: None
    )
    return _described(name, stage, roll_up.Config(), ANY, **more)


def _described(name: str, stage: ModuleType, config: Any, contract: Contract, **more: Any) -> Node:
    return Node(name=name, group="", description="", stage=stage, config=config, contract=contract, **more)


def token_documents(count: int, key: str) -> pa.Table:
    """Return token documents of the distribution of benchmarks/packing.py as a table of TokenDocument."""
    made: DocumentArrays = make_documents(count, LAYOUT)
    schema = schema_of(TokenDocument)
    chunk = schema.field("chunks").type.value_type
    codes = pa.ListArray.from_arrays(pa.array(made.first_code, pa.int32()), pa.array(made.codes))
    text_ids = pa.ListArray.from_arrays(pa.array(made.first_text, pa.int32()), pa.array(made.text_ids))
    columns = {"codes": codes, "text_ids": text_ids}
    fields = [
        columns[field.name].cast(field.type)
        if field.name in columns
        else pa.array(["speech"] * len(codes)).cast(field.type)
        for field in chunk
    ]
    chunks = pa.ListArray.from_arrays(
        pa.array(made.first_chunk, pa.int32()), pa.StructArray.from_arrays(fields, fields=list(chunk))
    )
    names = pa.array([f"{key}-{number}" for number in range(count)])
    known = {"document_id": names, "source_id": names, "chunks": chunks}
    empty = pa.array([""] * count)
    return pa.table([known.get(field.name, empty).cast(field.type) for field in schema], schema=schema)


GROUPS = {one.__name__: one for one in (recognition, speech, pages, texts, mixes)}


def in_process_of_its_own(work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what the work returns in a forked process."""
    readable, writable = os.pipe()
    child = os.fork()
    if not child:
        status = 1
        try:
            os.close(readable)
            with os.fdopen(writable, "w") as stream:
                json.dump(work(), stream)
            status = 0
        finally:
            if status:
                traceback.print_exc()
            sys.stderr.flush()
            os._exit(status)
    os.close(writable)
    with os.fdopen(readable) as stream:
        said = stream.read()
    if os.waitpid(child, 0)[1]:
        raise SystemExit("a build failed; its error stands above")
    return json.loads(said)


def measure(group: Group, store: ArtifactStore, execution: Execution, rounds: int) -> list[tuple[str, dict[str, Any]]]:
    """Return by dataset what its builds took, by size."""

    def make(node: Node, at: str | None, force: bool = False) -> None:
        source = group.source(node, str(at)) if node.has_source else None
        built = build(store, group.graph, node, at, execution, source, force)
        if not built.verdict.passed:
            raise SystemExit(f"{node.name} at {at}: {built.verdict.failures()}")

    def timed(node: Node, warm: tuple[Node, str | None], at: str | None) -> dict[str, Any]:
        make(*warm, force=True)
        before, started = cpu_seconds(), time.perf_counter()
        make(node, at, force=True)
        return {"cpu_s": cpu_seconds() - before, "wall_s": time.perf_counter() - started, "bytes": peak_memory_bytes()}

    def once(node: Node, at: str | None) -> dict[str, Any]:
        make(node, at)
        return {}

    found: list[tuple[str, dict[str, Any]]] = []
    measured = [size for size in group.sizes if size != "quarter"]
    mixes_of = {node.name: node for node in group.graph if node.stage is mix}
    fixed: set[str] = set()  # made of no snapshot
    for node in group.graph:
        if node.partition is None and not node.members and node.name not in mixes_of and fixed.issuperset(node.parents):
            fixed.add(node.name)
            in_process_of_its_own(lambda node=node: once(node, None))
        elif node.partition is not None:
            in_process_of_its_own(lambda node=node: once(node, "quarter"))
            if mixes_of:  # only the mixes are measured there
                for size in measured:
                    in_process_of_its_own(lambda node=node, size=size: once(node, size))
                continue
            took = {
                size: [
                    in_process_of_its_own(lambda node=node, size=size: timed(node, (node, "quarter"), size))
                    for _ in range(rounds)
                ]
                for size in measured
            }
            found.append((node.name, took))
            print_row(*found[-1], group.sizes)
        elif node.members and mixes_of:
            in_process_of_its_own(lambda node=node: once(node, None))
    for name in ("mix", "mix_in_parts") if mixes_of else ():
        warm = mixes_of[f"{name}_quarter"]
        took = {}
        for size in measured:
            work = partial(timed, mixes_of[f"{name}_{size}"], (warm, None), None)
            took[size] = [in_process_of_its_own(work) for _ in range(rounds)]
        found.append((name, took))
        print_row(*found[-1], group.sizes)
    return found


def print_row(name: str, took: dict[str, Any], sizes: dict[str, float]) -> None:
    def cells(key: str, form: str, scale: float = 1) -> list[str]:
        return [span([one[key] / scale for one in rounds], form) for rounds in took.values()]

    least = {key: [min(one[key] for one in rounds) for rounds in took.values()] for key in ("cpu_s", "bytes")}
    first, *_, last = took
    time_ratio = least["cpu_s"][-1] / least["cpu_s"][0] / (sizes[last] / sizes[first])
    memory_ratio = least["bytes"][-1] / least["bytes"][0]
    row = [name, " / ".join(took), *cells("cpu_s", ".1f"), f"{time_ratio:.2f}", *cells("wall_s", ".1f")[-1:]]
    row += [*cells("bytes", ".0f", 1e6), f"{memory_ratio:.2f}"]
    print(f"| {' | '.join(row)} |", flush=True)


def launch(*spec: object) -> float:
    raise NotImplementedError("nothing here trains")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("groups", nargs="*", choices=[*GROUPS, []], default=[], help="default: all")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--scale", type=float, default=1.0, help="of all sizes")
    chosen = parser.parse_args()
    groups = chosen.groups or list(GROUPS)
    for name in (*IMPORTED, *(HEAVY if {"recognition", "speech"} & set(groups) else ())):
        importlib.import_module(name)
    load = ", ".join(f"{one:.1f}" for one in os.getloadavg())
    print(f"{os.cpu_count()} cores, load {load}; rounds: {chosen.rounds}; scale: {chosen.scale:g}\n")
    print(
        "| dataset | sizes | CPU s, least size | middle | most | most / least, a unit of size | wall s, most "
        "| MB, least size | middle | most | most / least |"
    )
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name in groups:
        with tempfile.TemporaryDirectory() as folder:
            at = Path(folder)
            store = ArtifactStore(at / "store", at / "cache")
            (at / "input").mkdir()
            measure(
                GROUPS[name](at / "input", chosen.scale),
                store,
                Execution(cache_dir=at / "cache", launch=launch),
                chosen.rounds,
            )


if __name__ == "__main__":
    main()
