"""The page on which a person inspects and listens to a snapshot's chunks.

Put here: gathering the records. Do not put here: how they are laid out (report/chunk_page.py).

Inputs: `raw_audio`, `speech_segments`, `transcript_hypotheses`, `clean_transcripts`, `chunks`, `ledger`. Output:
chunk_page.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.report.chunk_page import PageLimits, write_chunk_page
from spelangy_model.records import (
    Chunk,
    DroppedTranscript,
    Hypothesis,
    LedgerRow,
    Metric,
    Recording,
    Segment,
    Transcript,
)

VERSION = "5"
TABLES: dict[str, type] = {}
PAGE = "chunk_page.html"


@dataclass(frozen=True)
class Config:
    """How much a page may hold."""

    limits: PageLimits = field(default_factory=PageLimits)


CONTRACT = Contract(
    "page",
    "SELECT count(*) AS pages FROM stats WHERE name = 'pages' AND value >= 1",
    (Bound("pages", 1),),
)

KIND = DatasetKind(
    group="chunks",
    description="A page to look at and listen to: turns, votes, drops and {chunks}, recording by recording.",
    contract=CONTRACT,
    kinds=("html",),
    takes={
        "raw_audio": Recording,
        "speech_segments": Segment,
        "transcript_hypotheses": Hypothesis,
        "clean_transcripts": Transcript,
        "chunks": Chunk,
        "ledger": LedgerRow,
    },
)


@word
def chunk_page(
    audio: Dataset,
    segments: Dataset,
    hypotheses: Dataset,
    transcripts: Dataset,
    chunks: Dataset,
    ledger: Dataset,
    *,
    name: str,
    **options: Any,
) -> Dataset:
    """Return the listening page of one set of chunks; `options` are fields of Config."""
    inputs = {
        "raw_audio": audio,
        "speech_segments": segments,
        "transcript_hypotheses": hypotheses,
        "clean_transcripts": transcripts,
        "chunks": chunks,
        "ledger": ledger,
    }
    return dataset(__name__, config_of(Config, options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        recordings = list(ctx.inputs["raw_audio"].records("recordings", Recording))
        cleaned = ctx.inputs["clean_transcripts"]
        with ctx.out.unit(unit) as out:
            page = write_chunk_page(
                recordings,
                list(ctx.inputs["speech_segments"].records("segments", Segment)),
                list(ctx.inputs["transcript_hypotheses"].records("hypotheses", Hypothesis)),
                list(cleaned.records("transcripts", Transcript)),
                list(cleaned.records("dropped", DroppedTranscript)),
                {"chunks": list(ctx.inputs["chunks"].records("chunks", Chunk))},
                list(ctx.inputs["ledger"].records("ledger", LedgerRow)),
                list(ctx.inputs["ledger"].records("metrics", Metric)),
                title=f"From recordings to chunks: snapshot {ctx.partition}",
                limits=config.limits,
            )
            out.read(len(recordings))
            out.kept(len(recordings))
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)
