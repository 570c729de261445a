"""chunk_page: the page on which a snapshot's chunks are looked at and listened to.

Put here: gathering the records. Do not put here: how they are laid out (report/chunk_page.py).

Inputs: `raw_audio`, `speech_segments`, `transcript_hypotheses`, `clean_transcripts`, `web_fine`, `web_coarse`,
`speech_ledger`. Output: chunk_page.html.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spelangy_assets.execution.stage import Execution, StageContext
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

VERSION = "3"
TABLES: dict[str, type] = {}
PAGE = "chunk_page.html"


@dataclass(frozen=True)
class Config:
    """How much a page may hold."""

    limits: PageLimits = field(default_factory=PageLimits)


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
                {name: list(ctx.inputs[name].records("chunks", Chunk)) for name in ("web_fine", "web_coarse")},
                list(ctx.inputs["speech_ledger"].records("ledger", LedgerRow)),
                list(ctx.inputs["speech_ledger"].records("metrics", Metric)),
                title=f"From recordings to chunks: snapshot {ctx.partition}",
                limits=config.limits,
            )
            out.read(len(recordings))
            out.kept(len(recordings))
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)
