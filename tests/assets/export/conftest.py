"""A small store of all kinds that are exported: recordings that were ingested, and what toy stages make of them."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.records import (
    Audio,
    Chunk,
    Metric,
    PackedRow,
    Recording,
    RowSpan,
    SpokenQuestion,
    TokenChunk,
    TokenDocument,
    Transcript,
    Vote,
    Word,
)

RECIPE, DAY = "small", "mon"
LICENCES = {"a": "CC-BY-4.0", "b": "CC-BY-4.0", "c": "CC0-1.0"}
CHUNK_S = 0.5


def cut(ctx: StageContext, config: Any) -> None:
    """Two chunks a recording, a shard each recording."""
    recordings = list(ctx.inputs["audio"].records("recordings", Recording))
    for unit, recording in ctx.out.pending(recordings):
        samples = decode_flac(recording.audio.bytes)
        with ctx.out.unit(unit) as out:
            out.read(3)
            for index in range(2):
                start_s = index * CHUNK_S
                piece = samples[round(start_s * SAMPLE_RATE_HZ) :][: round(CHUNK_S * SAMPLE_RATE_HZ)]
                name = f"{recording.recording_id[:12]}{index}"
                out.write("chunks", [_chunk(recording, name, index, start_s, encode_flac(piece))])
            out.drop("too_short")


def _chunk(recording: Recording, name: str, index: int, start_s: float, flac: bytes) -> Chunk:
    return Chunk(
        chunk_id=name,
        document_id=recording.recording_id,
        index=index,
        role="speech",
        source_id=recording.recording_id,
        source_url=recording.source_url,
        licence=recording.licence,
        speaker="A",
        accent="",
        start_s=start_s,
        end_s=start_s + CHUNK_S,
        text=f"Line {index}: caf\u00e9.",
        spoken_text=f"line {index} cafe",
        audio=Audio(flac, f"{name}.flac"),
    )


def transcribe(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        for recording in ctx.inputs["audio"].records("recordings", Recording):
            words = [Word("one", 0.25, 0.5, 0.9), Word("two", 0.5, 0.75, 0.8)]
            out.write(
                "transcripts",
                [
                    Transcript(
                        *(f"{recording.recording_id[:12]}s", recording.recording_id, "A", 0.25, 0.75, "en", "one two"),
                        *(words, ["x"], [Vote(["one"], "one")], 1.0, 0.85),
                    )
                ],
            )


def tokenize(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        for chunk in ctx.inputs["chunks"].records("chunks", Chunk):
            codes = TokenChunk("speech", [1, 2, chunk.index], [7])
            out.write(
                "documents",
                [TokenDocument(chunk.chunk_id, chunk.source_id, chunk.source_url, chunk.licence, [codes])],
            )


def pack(ctx: StageContext, config: Any) -> None:
    """A row a document, none of the recording c: what the mix does not draw is no source of it."""
    with ctx.out.unit(0) as out:
        (member,) = ctx.members["tokens"]
        drawn = [one for one in member.records("documents", TokenDocument) if not one.source_url.endswith("/c")]
        for row, document in enumerate(drawn):
            span = RowSpan(document.document_id, "speech.0", document.source_id, 0, 0, 4, 1)
            out.write("rows", [PackedRow(row, "speech_text", [1, 2, 3, row], [0, 1, 2, 3], [0, 1, 1, 1], [span])])
        out.add("speech.0.tokens", 16)
        out.add("speech.0.share", 1.0)


def ask(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        for number in range(3):
            sound = encode_flac(np.sin(np.arange(4000 + number) / 9).astype(np.float32) * 0.2)
            out.write(
                "questions",
                [
                    SpokenQuestion(
                        *(f"q{number}", "t0", "t0", "bench", "test", "Which one?", "which one", "en-us+m1", "en-us"),
                        *(["a", "b", "c", "d"], number, "letters", Audio(sound, f"q{number}.flac")),
                    )
                ],
            )


def train(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        out.write_file("config.json", b'{"model_type": "llama"}')
        out.write_file("model.safetensors", b"weights")
        out.write_file("timing.jsonl", b"{}", identity=False)
        out.add("steps", 20)
        out.add("closing_loss_nats", 4.5)


def score(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        names = ("sqa.bench.accuracy", "sqa.voice.en-us+m1.accuracy", "gap.reverse_kl")
        out.write("metrics", [Metric("run", name, 0.375, 0.25, 0.5, 40) for name in names])


@dataclass(frozen=True)
class Small:
    """A home with the small store; `licences` names each recording's."""

    settings: Settings
    execution: Execution
    toys: Any

    @property
    def store(self) -> ArtifactStore:
        return ArtifactStore(self.settings.store_uri, self.settings.cache_dir)

    def record(self, licences: dict[str, str], day: str = DAY) -> None:
        """Put a snapshot of tones in its place."""
        folder = self.settings.snapshots / "audio" / day
        folder.mkdir(parents=True)
        for number, name in enumerate(licences, start=1):
            soundfile.write(folder / f"{name}.wav", 0.3 * np.sin(np.arange(16_000) * number / 40), 16_000)
        lines = [
            {"file": f"{name}.wav", "url": f"https://radio.example/{name}", "licence": licence}
            for name, licence in licences.items()
        ]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def build(self, day: str = DAY) -> None:
        """Make everything."""
        nodes = self._nodes()
        graph = Graph(RECIPE, nodes)
        for node in nodes:
            source = FolderSource(self.settings.snapshots / "audio" / day) if node.name == "raw_audio" else None
            partition = day if node.partition else None
            found = build(self.store, graph, node, partition, self.execution, source, log=lambda text: None)
            assert found.verdict.passed, (node.name, found.verdict.failures())

    def _nodes(self) -> list[Node]:
        def node(name: str, work: Any, table: tuple[str, type] | None, stage: str = "", **inputs: str) -> Node:
            tables = dict([table]) if table else {}
            rows = f"SELECT count(*) AS metrics FROM {table[0]}" if table else "SELECT 1 AS metrics"
            return self.toys.node(
                name,
                stage=self.toys.make_stage(work, tables, name=stage or f"toy_{name}"),
                config=self.toys.NoConfig(),
                inputs={"run": "run"} if stage == "evaluate" else inputs,
                partition="raw_audio" if {"audio", "chunks"} & set(inputs) else None,
                contract=Contract(name, rows, (Bound("metrics", 1),)),
            )

        return [
            SAMPLE.graph["raw_audio"],
            node("web_fine", cut, ("chunks", Chunk), audio="raw_audio"),
            node("clean_transcripts", transcribe, ("transcripts", Transcript), audio="raw_audio"),
            node("web_tokens", tokenize, ("documents", TokenDocument), chunks="web_fine"),
            self.toys.roll_up("web_corpus", ("web_tokens", DAY)),
            node("rows", pack, ("rows", PackedRow), "mix", tokens="web_corpus"),
            node("questions", ask, ("questions", SpokenQuestion)),
            node("run", train, None, "train_lm", mix="rows"),
            node("eval_run", score, ("metrics", Metric), "evaluate"),
        ]


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory, toys_by: Any) -> Path:
    """A home in which everything is built; a test that writes to it takes a copy."""
    home = tmp_path_factory.mktemp("small") / "home"
    execution = Execution(cache_dir=home / "cache", launch=lambda *args: 0.0)
    small = Small(Settings.at(home), execution, toys_by(execution))
    small.record(LICENCES)
    small.build()
    return home


@pytest.fixture
def small(tmp_path: Path, small_home: Path, toys: Any, execution: Execution) -> Small:
    return Small(Settings.at(shutil.copytree(small_home, tmp_path / "home")), execution, toys)
