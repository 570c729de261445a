"""The page of a set of synthetic speech: documents to read and listen to beside their pages, and the accounts.

Put here: gathering the records, the sample that is shown, the sums. Do not put here: layout
(report/synthetic_page.py). The processor time is in the manifests: it is not part of the data.

Inputs: `raw_pages`, `scripts`, `speech`, `round_trip`. Output: the page, and the accounts as metrics: counts, hours,
words, and dropped.STEP.REASON.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.report.synthetic_page import SpokenDocument, SpokenSet
from spelangy_assets.report.synthetic_page import synthetic_page as page_of
from spelangy_assets.stages.extract_text import Config as TextConfig
from spelangy_assets.stages.extract_text import extract_document
from spelangy_assets.stages.speak import spoken_ids
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import CheckedChunk, Chunk, Metric, Page, Reject, Script
from spelangy_model.rng import stable_hash

VERSION = "6"
READS_MANIFESTS = True
TABLES: dict[str, type] = {"metrics": Metric}
PAGE = "synthetic_page.html"
SUBJECT = "speech"
STEPS = ("raw_pages", "scripts", "speech", "round_trip")


@dataclass(frozen=True)
class Config:
    """How many documents are shown, as many of each accent as of any other, and how many rejected lines.

    `text` is how the scripts' pages were read, so that the page shows the text that was rewritten.
    """

    documents: int = 10
    rejects: int = 50
    audio_bytes: int = 24 * 2**20
    text: TextConfig = field(default_factory=TextConfig)


CONTRACT = Contract(
    "synthetic_page",
    """
    SELECT count(*) AS metrics, count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages
    FROM metrics
    """,
    (Bound("metrics", 1), exactly("duplicate_metrics"), Bound("pages", 1)),
)

KIND = DatasetKind(
    group="synthetic",
    description="A page to read and listen to {speech} beside its pages; what each step gave, in hours and words.",
    contract=CONTRACT,
    kinds=("html",),
    takes={"raw_pages": Page, "scripts": Script, "speech": Chunk, "round_trip": "round_trip"},
)


@word
def synthetic_page(
    pages: Dataset, scripts: Dataset, speech: Dataset, trip: Dataset, *, name: str, **options: Any
) -> Dataset:
    """Return the listening page of one set of synthetic speech; `options` are fields of Config."""
    if isinstance(text := getattr(scripts.config, "text", None), TextConfig):
        options = {"text": text, **options}
    inputs = {"raw_pages": pages, "scripts": scripts, "speech": speech, "round_trip": trip}
    return dataset(__name__, config_of(Config, options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the page and its metrics in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            found = _gather(ctx, config)
            title = f"From pages to synthetic speech: snapshot {ctx.partition}"
            out.write_file(PAGE, page_of([found], title=title, audio_bytes=config.audio_bytes).encode())
            out.write("metrics", list(found.accounts))
            out.read(len(found.documents))
            out.kept(len(found.documents))
            out.add("pages", 1)


def _gather(ctx: StageContext, config: Config) -> SpokenSet:
    pages, scripts, speech, trip = (ctx.inputs[role] for role in STEPS)
    return SpokenSet(
        name="Speech",
        documents=_documents(pages, scripts, speech, config),
        accounts=_accounts(pages, scripts, speech, trip),
        dropped={
            f"{role}: {reason}": count
            for role in STEPS
            for reason, count in ctx.inputs[role].manifest.counts.dropped.items()
        },
        rejects=list(itertools.islice(speech.records("rejects", Reject), config.rejects)),
        voices=list(trip.records("metrics", Metric)),
        checked={chunk.chunk_id: chunk for chunk in trip.records("checked", CheckedChunk)},
        max_word_error_rate=trip.manifest.config["max_word_error_rate"],
    )


def _documents(pages: Artifact, scripts: Artifact, speech: Artifact, config: Config) -> list[SpokenDocument]:
    """Return spoken documents, the accents by turns, drawn by their ids; only shards that hold one are opened."""
    by_accent: defaultdict[str, dict[str, int]] = defaultdict(dict)
    shards = speech.shards("chunks")
    for number, shard in enumerate(shards):
        columns = shard.table(["document_id", "accent"]).to_pydict()
        for document_id, accent in zip(columns["document_id"], columns["accent"], strict=True):
            by_accent[accent][document_id] = number
    turns = [sorted(by_accent[accent], key=lambda i: stable_hash("show", i)) for accent in sorted(by_accent)]
    drawn = [i for turn in itertools.zip_longest(*turns) for i in turn if i is not None][: config.documents]
    places = {document_id: number for several in by_accent.values() for document_id, number in several.items()}
    chunks: defaultdict[str, list[Chunk]] = defaultdict(list)
    for number in sorted({places[document_id] for document_id in drawn}):
        for chunk in shards[number].iter_records(Chunk):
            if chunk.document_id in drawn:
                chunks[chunk.document_id].append(chunk)
    voices = speech.manifest.config.get("voices_per_document", 1)  # a default leaves the payload
    sources: dict[str, Script] = {}
    for script in scripts.records("scripts", Script):
        sources |= {i: script for i in spoken_ids(script.document_id, voices) if i in chunks}
    shown_pages = {script.page_id for script in sources.values()}
    texts = {
        page.page_id: _text_of(page, config.text)
        for page in pages.records("pages", Page)
        if page.page_id in shown_pages
    }
    return [SpokenDocument(sources[i], chunks[i], texts.get(sources[i].page_id, "")) for i in drawn]


def _text_of(page: Page, config: TextConfig) -> str:
    """Return a page's main text; empty where it has none that would be trained on."""
    document = extract_document(page, config)
    return "" if isinstance(document, str) else document.text


def _accounts(pages: Artifact, scripts: Artifact, speech: Artifact, trip: Artifact) -> list[Metric]:
    written, spoken, recognized = (step.manifest.counts for step in (scripts, speech, trip))
    page_ids = [i for shard in scripts.shards("scripts") for i in shard.table(["page_id"])["page_id"].to_pylist()]
    hours, words = spoken.stats.get("hours_kept", 0.0), spoken.stats.get("words_kept", 0.0)
    whole = pages.manifest.counts.records_kept
    figures: dict[str, float] = {
        "pages": whole,
        "pages_with_documents": len(set(page_ids)),
        "scripts": len(page_ids),
        "scripts_per_page": len(page_ids) / whole if whole else math.nan,
        "records_read_per_page": written.records_in / whole if whole else math.nan,
        "documents_spoken": spoken.stats.get("documents_kept", 0.0),
        "chunks": spoken.records_kept,
        "hours": hours,
        "words": words,
        "seconds_per_chunk": 3600 * hours / spoken.records_kept if spoken.records_kept else math.nan,
        "words_per_minute": words / (60 * hours) if hours else math.nan,
        "seconds_per_page": 3600 * hours / whole if whole else math.nan,
        "chunks_recognized": recognized.stats.get("chunks_recognized", 0.0),
        **{stat: amount for stat, amount in written.stats.items() if stat.startswith(("model_", "facts", "sentences"))},
        **{stat: amount for stat, amount in written.stats.items() if stat == "scripts_in_text"},
    }
    for role, step in zip(STEPS[1:], (scripts, speech, trip), strict=True):
        for reason, count in sorted(step.manifest.counts.dropped.items()):
            figures[f"dropped.{role}.{reason}"] = count
    return [Metric(SUBJECT, metric, float(value), math.nan, math.nan, whole) for metric, value in figures.items()]
