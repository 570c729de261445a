"""synthetic_page: Krist and Quest of a snapshot, to be read and heard beside their pages, and their accounts.

Put here: gathering the records, the sample that is shown, the sums. Do not put here: how they are laid out
(report/synthetic_page.py). What it cost in processor time stands in the manifests: it is no part of the data.

Inputs: `raw_pages`, `text_documents`, and for each set its documents, speech and round trip. Output: the page, and the
accounts as metrics: subject krist or quest; counts, hours, words, and dropped.STEP.REASON.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass

from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.report.synthetic_page import SpokenDocument, SpokenSet, synthetic_page
from spelangy_assets.stages.speak import spoken_ids
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Chunk, HeardChunk, Metric, Reject, Script, TextDocument
from spelangy_model.rng import stable_hash

VERSION = "4"
READS_MANIFESTS = True
TABLES: dict[str, type] = {"metrics": Metric}
PAGE = "synthetic_page.html"
SETS = {"krist": "krist_documents", "quest": "quest_pairs"}


@dataclass(frozen=True)
class Config:
    """How many documents of a set are shown, as many of each accent as of any other, and how many rejected lines."""

    krist_documents: int = 5
    quest_documents: int = 15
    rejects: int = 50
    audio_bytes: int = 24 * 2**20


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the page and its metrics in one unit."""
    shown = {"krist": config.krist_documents, "quest": config.quest_documents}
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            sets = [_gather(ctx, name, documents, shown[name], config.rejects) for name, documents in SETS.items()]
            title = f"From pages to synthetic speech: snapshot {ctx.partition}"
            out.write_file(PAGE, synthetic_page(sets, title=title, audio_bytes=config.audio_bytes).encode())
            out.write("metrics", [metric for one in sets for metric in one.accounts])
            documents = sum(len(one.documents) for one in sets)
            out.read(documents)
            out.kept(documents)
            out.add("pages", 1)


def _gather(ctx: StageContext, name: str, documents: str, shown: int, rejects: int) -> SpokenSet:
    scripts, speech, trip = (ctx.inputs[asset] for asset in (documents, f"{name}_speech", f"{name}_round_trip"))
    return SpokenSet(
        name=name.capitalize(),
        documents=_documents(ctx.inputs["text_documents"], scripts, speech, shown),
        accounts=_accounts(name, documents, ctx.inputs["raw_pages"], scripts, speech, trip),
        dropped={
            f"{role}: {reason}": count
            for role in ("raw_pages", documents, f"{name}_speech", f"{name}_round_trip")
            for reason, count in ctx.inputs[role].manifest.counts.dropped.items()
        },
        rejects=list(itertools.islice(speech.records("rejects", Reject), rejects)),
        voices=list(trip.records("metrics", Metric)),
        heard={chunk.chunk_id: chunk for chunk in trip.records("heard", HeardChunk)},
        max_word_error_rate=trip.manifest.config["max_word_error_rate"],
    )


def _documents(texts: Artifact, scripts: Artifact, speech: Artifact, shown: int) -> list[SpokenDocument]:
    """Return spoken documents, the accents by turns, drawn by their ids; only shards that hold one are opened."""
    by_accent: defaultdict[str, dict[str, int]] = defaultdict(dict)
    shards = speech.shards("chunks")
    for number, shard in enumerate(shards):
        columns = shard.table(["document_id", "accent"]).to_pydict()
        for document_id, accent in zip(columns["document_id"], columns["accent"], strict=True):
            by_accent[accent][document_id] = number
    turns = [sorted(by_accent[accent], key=lambda i: stable_hash("show", i)) for accent in sorted(by_accent)]
    drawn = [i for turn in itertools.zip_longest(*turns) for i in turn if i is not None][:shown]
    places = {document_id: number for several in by_accent.values() for document_id, number in several.items()}
    chunks: defaultdict[str, list[Chunk]] = defaultdict(list)
    for number in sorted({places[document_id] for document_id in drawn}):
        for chunk in shards[number].iter_records(Chunk):
            if chunk.document_id in drawn:
                chunks[chunk.document_id].append(chunk)
    voices = speech.manifest.config["voices_per_document"]
    sources: dict[str, Script] = {}
    for script in scripts.records("scripts", Script):
        sources |= {i: script for i in spoken_ids(script.document_id, voices) if i in chunks}
    pages = {script.page_id for script in sources.values()}
    page_texts = {row.page_id: row.text for row in texts.records("documents", TextDocument) if row.page_id in pages}
    return [SpokenDocument(sources[i], chunks[i], page_texts.get(sources[i].page_id, "")) for i in drawn]


def _accounts(
    name: str, documents: str, pages: Artifact, scripts: Artifact, speech: Artifact, trip: Artifact
) -> list[Metric]:
    written, spoken, heard = (step.manifest.counts for step in (scripts, speech, trip))
    page_ids = [i for shard in scripts.shards("scripts") for i in shard.table(["page_id"])["page_id"].to_pylist()]
    hours, words = spoken.stats.get("hours_kept", 0.0), spoken.stats.get("words_kept", 0.0)
    whole = pages.manifest.counts.records_kept
    figures: dict[str, float] = {
        "pages": whole,
        "pages_with_documents": len(set(page_ids)),
        "scripts": len(page_ids),
        "scripts_per_page": len(page_ids) / whole if whole else math.nan,
        **({"questions_found_per_page": written.records_in / whole if whole else math.nan} if name == "quest" else {}),
        "documents_spoken": spoken.stats.get("documents_kept", 0.0),
        "chunks": spoken.records_kept,
        "hours": hours,
        "words": words,
        "seconds_per_chunk": 3600 * hours / spoken.records_kept if spoken.records_kept else math.nan,
        "words_per_minute": words / (60 * hours) if hours else math.nan,
        "seconds_per_page": 3600 * hours / whole if whole else math.nan,
        "chunks_heard_again": heard.stats.get("chunks_heard", 0.0),
        **{stat: amount for stat, amount in written.stats.items() if stat.startswith(("model_", "facts", "sentences"))},
        **{stat: amount for stat, amount in written.stats.items() if stat == "scripts_in_text"},
    }
    for role, step in ((documents, scripts), (f"{name}_speech", speech), (f"{name}_round_trip", trip)):
        for reason, count in sorted(step.manifest.counts.dropped.items()):
            figures[f"dropped.{role}.{reason}"] = count
    return [Metric(name, metric, float(value), math.nan, math.nan, whole) for metric, value in figures.items()]
