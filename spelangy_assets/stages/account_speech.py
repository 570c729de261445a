"""The ledger of a set of chunks: how many hours each step kept and dropped, and how long the chunks are.

Put here: adding up the records of all steps of web speech. Do not put here: any decision about them, or the pages.

Inputs: `raw_audio`, `speech_segments`, `clean_transcripts`, `chunks`. The input of a step is counted on the records of
the step before, its kept and dropped parts on its own records, so that the contract's sums can fail. Times are whole
milliseconds. Of segments, the time with at least one speaker is kept and counted once; the rest is `not_speech`.
Chunks keep all: in and kept count words, and `made` counts chunks, which extend a little into the pauses beside their
words.

The metrics of a chunking: its lengths (mean, percentiles, histogram) beside the recipe's target, and how often
sequences made of its documents change modality, drawn with the coins that a mix with this seed draws
(data/interleave.py).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import inf, nan
from pathlib import PurePosixPath
from typing import Any, get_args
from urllib.parse import urlsplit

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.report.markdown import markdown_table
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.data.documents import arrays_of_records
from spelangy_model.data.interleave import Sampling, choose_speech
from spelangy_model.records import (
    Chunk,
    DroppedTranscript,
    LedgerRow,
    Metric,
    Recording,
    Reject,
    Segment,
    TokenChunk,
    TokenDocument,
    Transcript,
)

VERSION = "3"
READS_MANIFESTS = True
TABLES: dict[str, type] = {"ledger": LedgerRow, "metrics": Metric}

CHUNKS = "chunks"
PERCENTILES = (5, 25, 50, 75, 95)
HISTOGRAM_S = (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, inf)


@dataclass(frozen=True)
class Config:
    """`target_s`: the mean length that is aimed at, 0 for none; `seed`: of the mixes, whose coins are counted."""

    seed: int = 0
    target_s: float = 0.0


CONTRACT = Contract(
    "speech_ledger",
    """
    WITH sums AS (
        SELECT step, sum(CASE outcome WHEN 'in' THEN pieces WHEN 'made' THEN 0 ELSE -pieces END) AS pieces,
               sum(CASE outcome WHEN 'in' THEN duration_ms WHEN 'made' THEN 0 ELSE -duration_ms END) AS duration_ms
        FROM ledger GROUP BY step, CASE step WHEN 'raw_audio' THEN '' ELSE source END)
    SELECT (SELECT count(*) FROM ledger) AS ledger_rows,
           count(*) FILTER (duration_ms <> 0 AND step IN ('speech_segments', 'clean_transcripts')) AS unbalanced_hours,
           count(*) FILTER (pieces <> 0 AND step <> 'speech_segments') AS unbalanced_pieces,
           (SELECT count(*) FROM ledger WHERE outcome = 'dropped' AND reason = '') AS drops_without_reason,
           (SELECT count(*) FROM ledger WHERE pieces < 0 OR duration_ms < 0) AS negative_rows,
           (SELECT coalesce(sum(duration_ms) FILTER (outcome = 'kept')
                            / nullif(sum(duration_ms) FILTER (outcome = 'in'), 0), 1)
            FROM ledger WHERE step = 'clean_transcripts') AS kept_share_of_speech
    FROM sums
    """,
    (
        Bound("ledger_rows", 1),
        exactly("unbalanced_hours"),
        exactly("unbalanced_pieces"),
        exactly("drops_without_reason"),
        exactly("negative_rows"),
        Bound("kept_share_of_speech", 0.3, 1, "warn"),
    ),
)

KIND = DatasetKind(
    group="chunks",
    description="{chunks}: hours in, kept and dropped by reason, source by source and step by step; lengths.",
    contract=CONTRACT,
    takes={"raw_audio": Recording, "speech_segments": Segment, "clean_transcripts": Transcript, "chunks": Chunk},
)


@word
def ledger(
    audio: Dataset, segments: Dataset, transcripts: Dataset, chunks: Dataset, *, name: str, **options: Any
) -> Dataset:
    """Return the account of one set of chunks; `options` are fields of Config."""
    inputs = {"raw_audio": audio, "speech_segments": segments, "clean_transcripts": transcripts, "chunks": chunks}
    return dataset(__name__, config_of(Config, options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Account for the whole snapshot in one unit; sound is not read."""
    for unit, _ in ctx.out.pending(["ledger"]):
        recordings = list(_without_sound(ctx.inputs["raw_audio"], "recordings", Recording))
        clean = ctx.inputs["clean_transcripts"]
        transcripts = list(clean.records("transcripts", Transcript))
        chunks = list(_without_sound(ctx.inputs["chunks"], "chunks", Chunk))
        rows = [
            *ledger_of_files(recordings, ctx.inputs["raw_audio"].records("rejects", Reject), ctx.inputs["raw_audio"]),
            *ledger_of_speech(
                recordings,
                list(ctx.inputs["speech_segments"].records("segments", Segment)),
                transcripts,
                list(clean.records("dropped", DroppedTranscript)),
            ),
            *ledger_of_chunks(recordings, transcripts, chunks),
        ]
        metrics = chunk_metrics(chunks, config)
        with ctx.out.unit(unit) as out:
            out.read(len(recordings))
            out.kept(len(recordings))
            out.write("ledger", rows)
            out.write("metrics", metrics)
            for step, totals in totals_of(rows).items():
                for what, (_, duration_ms) in totals.items():
                    out.add(f"hours_{step}_{what}", duration_ms / 3_600_000)
            for metric in metrics:
                if metric.metric == "length_s.mean":
                    out.add("mean_length_s", metric.value)
            out.write_file("ledger.md", ledger_markdown(rows).encode(), identity=False)
            out.write_file("chunks.md", metrics_markdown(metrics).encode(), identity=False)


def _without_sound(artifact: Artifact, table: str, record: type) -> Iterator:
    """Yield the records of a table one shard at a time, without holding their audio."""
    for shard in artifact.shards(table):
        for item in shard.iter_records(record, batch_rows=16):
            object.__setattr__(item, "audio", None)
            yield item


def source_of(source_url: str, source_uri: str) -> str:
    """Return the host of an address, else the folder of a file inside its snapshot."""
    folder = PurePosixPath(source_uri).parts[:-1]
    return urlsplit(source_url).netloc.lower() or (folder[0] if folder else "(top folder)")


def _ms(start_s: float, end_s: float) -> int:
    return round(end_s * 1000) - round(start_s * 1000)


class _Sums:
    """Adds up pieces and milliseconds by (step, source, outcome, reason)."""

    def __init__(self) -> None:
        self._sums: defaultdict[tuple[str, str, str, str], list[int]] = defaultdict(lambda: [0, 0])

    def add(self, step: str, source: str, outcome: str, pieces: int, duration_ms: int, reason: str = "") -> None:
        sums = self._sums[step, source, outcome, reason]
        sums[0] += pieces
        sums[1] += duration_ms

    def rows(self) -> list[LedgerRow]:
        return [LedgerRow(*key, pieces, duration_ms) for key, (pieces, duration_ms) in sorted(self._sums.items())]


def ledger_of_files(recordings: Iterable[Recording], rejects: Iterable[Reject], raw: Artifact) -> list[LedgerRow]:
    """Account for raw_audio. What came in is its manifest's count, as one row: of a reject no address is known."""
    sums = _Sums()
    for recording in recordings:
        source = source_of(recording.source_url, recording.source_uri)
        first = recording.offset_s == 0.0  # a long file comes in parts, and is one file
        sums.add("raw_audio", source, "kept", int(first), _ms(0, recording.duration_s))
    for reject in rejects:
        sums.add("raw_audio", source_of("", reject.source_uri), "dropped", 1, 0, reject.reason)
    sums.add("raw_audio", "(all)", "in", raw.manifest.counts.records_in, 0)
    return sums.rows()


def ledger_of_speech(
    recordings: Sequence[Recording],
    segments: Sequence[Segment],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
) -> list[LedgerRow]:
    """Account for speech_segments and clean_transcripts."""
    sums = _Sums()
    source = {r.recording_id: source_of(r.source_url, r.source_uri) for r in recordings}
    turns: defaultdict[str, list[Segment]] = defaultdict(list)
    for segment in segments:
        turns[segment.recording_id].append(segment)
        duration_ms = _ms(segment.start_s, segment.end_s)
        sums.add("clean_transcripts", source[segment.recording_id], "in", 1, duration_ms)
    for recording in recordings:
        own = turns[recording.recording_id]
        length_ms = _ms(0, recording.duration_s)
        spoken_ms, quiet_ms = _covered(own, length_ms)
        name = source[recording.recording_id]
        sums.add("speech_segments", name, "in", 1, length_ms)
        sums.add("speech_segments", name, "kept", len(own), spoken_ms)
        sums.add("speech_segments", name, "dropped", 0, quiet_ms, "not_speech")
    for item in transcripts:
        sums.add("clean_transcripts", source[item.recording_id], "kept", 1, _ms(item.start_s, item.end_s))
    for item in dropped:
        duration_ms = _ms(item.start_s, item.end_s)
        sums.add("clean_transcripts", source[item.recording_id], "dropped", 1, duration_ms, item.reason)
    return sums.rows()


def _covered(segments: Sequence[Segment], length_ms: int) -> tuple[int, int]:
    """Return the milliseconds in which at least one speaks, and those of the gaps before, between and after."""
    covered = quiet = reached = 0
    for start, end in sorted((round(s.start_s * 1000), round(s.end_s * 1000)) for s in segments):
        quiet += max(0, start - reached)
        covered += max(0, end - max(reached, start))
        reached = max(reached, end)
    return covered, quiet + length_ms - reached


def ledger_of_chunks(
    recordings: Iterable[Recording], transcripts: Iterable[Transcript], chunks: Iterable[Chunk]
) -> list[LedgerRow]:
    """Account for one chunking: its words against the transcripts', and the chunks that it made."""
    sums = _Sums()
    source = {r.recording_id: source_of(r.source_url, r.source_uri) for r in recordings}
    for item in transcripts:
        words = len(item.text.split())
        sums.add(CHUNKS, source[item.recording_id], "in", words, _ms(item.start_s, item.end_s))
    for chunk in chunks:
        sums.add(CHUNKS, source[chunk.source_id], "kept", len(chunk.text.split()), 0)
        sums.add(CHUNKS, source[chunk.source_id], "made", 1, _ms(chunk.start_s, chunk.end_s))
    return sums.rows()


# --- how long chunks are, and how often their sequences change modality ------------------------------------------


def chunk_metrics(chunks: Sequence[Chunk], config: Config) -> list[Metric]:
    """Return the metrics of one chunking; none when it has no chunks."""
    if not chunks:
        return []
    lengths = np.array([chunk.duration_s for chunk in chunks])
    values: dict[str, float] = {"length_s.mean": float(lengths.mean()), "length_s.std": float(lengths.std())}
    values |= {f"length_s.p{p:02d}": float(np.percentile(lengths, p)) for p in PERCENTILES}
    values |= {"length_s.min": float(lengths.min()), "length_s.max": float(lengths.max())}
    if config.target_s:
        mean = float(lengths.mean())
        values |= {"length_s.target": config.target_s, "length_s.mean_of_target": mean / config.target_s}
    counts, _ = np.histogram(lengths, bins=np.array(HISTOGRAM_S, dtype=float))
    for (low, high), count in zip(pairwise(HISTOGRAM_S), counts, strict=True):
        values[f"length_s.share.{low:02d}_{high:02.0f}"] = count / len(lengths)
    documents: dict[str, int] = {}
    for chunk in chunks:
        documents[chunk.document_id] = documents.get(chunk.document_id, 0) + 1
    metrics = [Metric(CHUNKS, metric, value, nan, nan, len(chunks)) for metric, value in values.items()]
    sizes = np.array(list(documents.values()))
    found: dict[str, float] = {"chunks_per_document.mean": float(sizes.mean())}
    for sampling in get_args(Sampling):
        switches = [_switches(document, n, sampling, config.seed) for document, n in documents.items()]
        expected = (sizes - 1) * (1.0 if sampling == "deterministic" else 0.5)
        found |= {
            f"switches_per_document.{sampling}.mean": float(np.mean(switches)),
            f"switches_per_document.{sampling}.expected": float(expected.mean()),
            f"switches_per_minute.{sampling}": float(sum(switches) / lengths.sum() * 60),
        }
    return metrics + [Metric(CHUNKS, metric, value, nan, nan, len(documents)) for metric, value in found.items()]


def _switches(document_id: str, chunks: int, sampling: Sampling, seed: int) -> int:
    """Count the changes of modality of a document's first epoch."""
    document = TokenDocument(document_id, "", "", "", [TokenChunk("speech", [0], [0])] * chunks)
    as_speech = choose_speech(arrays_of_records([document]), sampling, epoch=0, seed=seed)
    return int(np.count_nonzero(as_speech[1:] != as_speech[:-1]))


# --- for people -------------------------------------------------------------------------------------------------


def totals_of(rows: Iterable[LedgerRow]) -> dict[str, dict[str, tuple[int, int]]]:
    """Return (pieces, milliseconds) by step and by what became of it (`dropped_REASON` for a drop)."""
    totals: dict[str, dict[str, tuple[int, int]]] = {}
    for row in rows:
        what = f"dropped_{row.reason}" if row.outcome == "dropped" else row.outcome
        pieces, duration_ms = totals.setdefault(row.step, {}).get(what, (0, 0))
        totals[row.step][what] = (pieces + row.pieces, duration_ms + row.duration_ms)
    return totals


def ledger_markdown(rows: Iterable[LedgerRow]) -> str:
    columns = ("step", "source", "outcome", "reason", "pieces", "hours")
    cells = ((r.step, r.source, r.outcome, r.reason, r.pieces, f"{r.duration_ms / 3_600_000:.4f}") for r in rows)
    return markdown_table(columns, cells, numbers=(4, 5))


def metrics_markdown(metrics: Iterable[Metric]) -> str:
    table: dict[str, dict[str, float]] = {}
    for metric in metrics:
        table.setdefault(metric.metric, {})[metric.subject] = metric.value
    names: Mapping[str, None] = dict.fromkeys(name for row in table.values() for name in row)
    cells = ([metric, *(f"{row[n]:.3f}" if n in row else "" for n in names)] for metric, row in table.items())
    return markdown_table(("metric", *names), cells, numbers=range(1, len(names) + 1))
