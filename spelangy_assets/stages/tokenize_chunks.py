"""Turns chunks into token documents: speech codes of the audio, text ids of the text.

Put here: one shard of chunks in, one shard of documents out, the counts, and the health of the codebook on that
shard. Do not put here: the tokenizers (spelangy_model/tokenizer), or markers and the order of modalities (mixing
decides them). A document is kept whole or not at all: a hole would shift the alternation of speech and text.
Codes do not depend on which chunks are tokenized together, so the size of the blocks does not change the result.

Inputs: `chunks` (Chunk), `speech_tokenizer` and `text_tokenizer` (files); `round_trip` where the chunks have one, and
`measures` where they have limits: their rejected chunks are dropped, with their reason.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.stage_parts.contracts import TOKEN_BOUNDS, TOKEN_COLUMNS
from spelangy_assets.stages.measure_speech import MeasuredChunk
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.ahead import read_ahead
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, decode_flac
from spelangy_model.records import Chunk, Metric, RejectedChunk, TokenChunk, TokenDocument

VERSION = "3"
_BLOCK_CHUNKS = 1024  # decoded at once; enough for full batches of every length


@dataclass(frozen=True)
class Config:
    """A chunk longer than `max_chunk_s` is dropped, and its document with it."""

    max_chunk_s: float = 60.0


TABLES: dict[str, type] = {"documents": TokenDocument, "codebook": Metric}
INDEPENDENT_UNITS = True


# A codebook has collapsed when a shard of 40 s and more keeps to a few codes, or stays on one for long: natural speech,
# pauses and all, has a perplexity of a fifth and more of what its tokens allow. Seconds of sound may be silence alone.
_HEALTHY = "value) FILTER (count >= 500 AND metric ="

CONTRACT = Contract(
    "speech_tokens",
    f"""
    SELECT {TOKEN_COLUMNS},
           {stat("speech_tokens")} - (
               SELECT coalesce(sum(count) FILTER (metric = 'codebook.perplexity_share' AND isfinite(value)), 0)
               FROM codebook) AS speech_tokens_not_measured,
           (SELECT coalesce(min({_HEALTHY} 'codebook.perplexity_share'), 1) FROM codebook) AS least_perplexity_share,
           (SELECT coalesce(max({_HEALTHY} 'codebook.repeat_share'), 0) FROM codebook) AS largest_repeat_share
    FROM documents
    """,
    (
        *TOKEN_BOUNDS,
        exactly("speech_tokens_not_measured"),
        Bound("least_perplexity_share", 0.05, 1),
        Bound("least_perplexity_share", 0.1, 1, "warn"),
        Bound("largest_repeat_share", 0, 0.8),
        Bound("largest_repeat_share", 0, 0.3, "warn"),
    ),
)

KIND = DatasetKind(
    group="tokens",
    description="{chunks} as ids of the text tokenizer and codes of the speech one.",
    contract=CONTRACT,
    pool="gpu",
    takes={
        "chunks": Chunk,
        "speech_tokenizer": "speech_tokenizer",
        "text_tokenizer": "text_tokenizer",
        "round_trip": "round_trip",
        "measures": MeasuredChunk,
    },
    makes="speech_tokens",
    columns={
        **{name: (f"chunks.{name}",) for name in ("document_id", "source_id", "source_url", "licence")},
        "chunks": ("chunks.audio", "chunks.text", "chunks.role"),
    },
)


@word
def speech_tokens(
    chunks: Dataset,
    speech_tokenizer: Dataset,
    text_tokenizer: Dataset,
    *,
    round_trip: Dataset | None = None,
    measures: Dataset | None = None,
    **options: Any,
) -> Dataset:
    """Return chunks as tokens without what `round_trip` or `measures` rejected. `options` are fields of Config."""
    inputs = {
        "chunks": chunks,
        "speech_tokenizer": speech_tokenizer,
        "text_tokenizer": text_tokenizer,
        "round_trip": round_trip,
        "measures": measures,
    }
    return dataset(
        __name__, config_of(Config, options), name=f"{chunks.label}_tokens", label=chunks.label, inputs=inputs
    )


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the device that the settings name is not there."""
    execution.check_device()


def run(ctx: StageContext, config: Config) -> None:
    """Tokenize each shard of `chunks` as one unit."""
    pending = list(ctx.out.pending(ctx.inputs["chunks"].shards("chunks")))
    if not pending:
        return
    from spelangy_model.tokenizer.open_codec import open_codec
    from spelangy_model.tokenizer.speech_health import codebook_health
    from spelangy_model.tokenizer.text import encode_texts, load_text_tokenizer

    cache_dir = ctx.execution.cache_dir
    speech = open_codec(ctx.inputs["speech_tokenizer"].local_folder(cache_dir), ctx.execution.device)
    text = load_text_tokenizer(ctx.inputs["text_tokenizer"].local_folder(cache_dir))
    rejected = {
        chunk.chunk_id: chunk.reason
        for role in ("measures", "round_trip")
        if role in ctx.inputs
        for chunk in ctx.inputs[role].records("rejected", RejectedChunk)
    }

    def passed(chunks: Iterator[Chunk], out: UnitWriter) -> Iterator[Chunk]:
        for chunk in chunks:
            if chunk.chunk_id in rejected:
                out.read(1)
                out.drop(rejected[chunk.chunk_id])
            else:
                yield chunk

    def tokenized(chunks: Iterator[Chunk]) -> Iterator[tuple[Chunk, TokenChunk | str]]:
        """Yield each chunk with its tokens, or with the reason why it has none."""
        decode = partial(_decode, max_chunk_s=config.max_chunk_s)
        decoded = read_ahead(decode, chunks, ctx.execution.readers, most=_BLOCK_CHUNKS)
        while read := list(itertools.islice(decoded, _BLOCK_CHUNKS)):
            block, sounds = [chunk for chunk, _ in read], [sound for _, sound in read]
            usable = [i for i, sound in enumerate(sounds) if not isinstance(sound, str)]
            codes = dict(zip(usable, speech.encode([np.asarray(sounds[i]) for i in usable]), strict=True))
            texts = encode_texts(text, [chunk.text for chunk in block])
            for i, (chunk, ids) in enumerate(zip(block, texts, strict=True)):
                reason = sounds[i]
                if isinstance(reason, str):
                    yield chunk, reason
                elif not chunk.text.strip():
                    yield chunk, "empty_text"
                else:
                    yield chunk, TokenChunk(chunk.role, codes[i].tolist(), ids)

    for unit, shard in pending:
        with ctx.out.unit(unit, behind=ctx.execution.readers > 0) as out:
            kept: list[np.ndarray] = []
            rows = tokenized(passed(shard.iter_records(Chunk), out))
            for _, group in itertools.groupby(rows, key=lambda row: row[0].document_id):
                members = list(group)
                out.read(len(members))
                reasons = [tokens for _, tokens in members if isinstance(tokens, str)]
                if reasons:
                    for reason in reasons:
                        out.drop(reason)
                    if len(members) > len(reasons):
                        out.drop("document_incomplete", len(members) - len(reasons))
                    continue
                chunks = [tokens for _, tokens in members if not isinstance(tokens, str)]
                first = members[0][0]
                document = TokenDocument(first.document_id, first.source_id, first.source_url, first.licence, chunks)
                out.write("documents", [document])
                out.kept(len(members))
                out.add("speech_tokens", sum(len(chunk.codes) for chunk in chunks))
                out.add("text_tokens", sum(len(chunk.text_ids) for chunk in chunks))
                out.add("hours_kept", sum(chunk.duration_s for chunk, _ in members) / 3600)
                kept.extend(np.asarray(chunk.codes) for chunk in chunks)
            health = codebook_health(kept, speech.codebook_size)
            subject = f"shard {unit}"
            for name, value in (
                ("codebook.used_codes", health.used_codes),
                ("codebook.dead_codes", health.dead_codes),
                ("codebook.perplexity_codes", health.perplexity_codes),
                ("codebook.perplexity_share", health.perplexity_share),
                ("codebook.repeat_share", health.repeat_share),
            ):
                out.write("codebook", [Metric(subject, name, float(value), math.nan, math.nan, health.tokens)])
        ctx.log(
            f"shard {unit}: {health.tokens} speech tokens, {health.used_codes} of {health.codebook_size} codes, "
            f"perplexity {health.perplexity_codes:.0f}, {health.repeat_share:.1%} repeats"
        )


def _decode(chunk: Chunk, max_chunk_s: float) -> np.ndarray | str:
    """Return the samples of a chunk, or the reason why they are not tokenized."""
    try:
        samples = decode_flac(chunk.audio.bytes)
    except AudioError:
        return "undecodable_audio"
    if len(samples) == 0:
        return "empty_audio"
    if len(samples) > max_chunk_s * SAMPLE_RATE_HZ:
        return "too_long"
    return samples
