"""Turns conversations into token documents: speech codes of what is spoken, text ids of what is written.

Put here: one shard of turns in, one shard of documents out. Do not put here: the tokenizers (spelangy_model/tokenizer),
or the template and the choice of spoken or written (packing decides them). A turn that has both keeps both.

Inputs: `conversations` (ConversationTurn), `speech_tokenizer` and `text_tokenizer` (files).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import ClassVar

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.records import ConversationTurn, TokenChunk, TokenDocument

VERSION = "1"
TABLES: dict[str, type] = {"documents": TokenDocument}
INDEPENDENT_UNITS = True
_AT_ONCE = 256  # conversations held as sound


@dataclass(frozen=True)
class Config:
    """All follows from the inputs. A conversation with a turn longer than `max_turn_s` of sound is dropped."""

    max_turn_s: ClassVar[float] = 60.0


CONTRACT = Contract(
    "conversation_tokens",
    """
    SELECT count(*) AS documents, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(chunks) AS c) WHERE len(c.text_ids) + len(c.codes) = 0
           )) AS documents_with_empty_turns,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(chunks) AS c) WHERE c.role = 'assistant' AND len(c.text_ids) = 0
           )) AS answers_without_text
    FROM documents
    """,
    (
        Bound("documents", 1),
        exactly("duplicate_ids"),
        exactly("documents_with_empty_turns"),
        exactly("answers_without_text"),
    ),
)

KIND = DatasetKind(
    group="tokens",
    description="{conversations} as ids of the text tokenizer and codes of the speech one.",
    contract=CONTRACT,
    pool="gpu",
    takes={
        "conversations": ConversationTurn,
        "speech_tokenizer": "speech_tokenizer",
        "text_tokenizer": "text_tokenizer",
    },
    makes="conversation_tokens",
    columns={
        "document_id": ("conversations.conversation_id",),
        "source_id": ("conversations.source",),
        "source_url": ("conversations.source_uri",),
        "licence": ("conversations.licence",),
        "chunks": ("conversations.audio", "conversations.text", "conversations.role"),
    },
)


@word
def conversation_tokens(conversations: Dataset, speech_tokenizer: Dataset, text_tokenizer: Dataset) -> Dataset:
    """Return conversations as tokens."""
    inputs = {
        "conversations": conversations,
        "speech_tokenizer": speech_tokenizer,
        "text_tokenizer": text_tokenizer,
    }
    label = conversations.label
    return dataset(__name__, Config(), name=f"{label}_tokens", label=label, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the device that the settings name is not there."""
    if execution.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise PreflightError(f"device {execution.device} is set, but torch sees no GPU: set the device to cpu")


def run(ctx: StageContext, config: Config) -> None:
    """Tokenize each shard of `turns` as one unit."""
    pending = list(ctx.out.pending(ctx.inputs["conversations"].shards("turns")))
    if not pending:
        return
    from spelangy_model.tokenizer.open_codec import open_codec
    from spelangy_model.tokenizer.text import encode_texts, load_text_tokenizer

    cache_dir = ctx.execution.cache_dir
    speech = open_codec(ctx.inputs["speech_tokenizer"].local_folder(cache_dir), ctx.execution.device)
    text = load_text_tokenizer(ctx.inputs["text_tokenizer"].local_folder(cache_dir))
    longest = int(config.max_turn_s * SAMPLE_RATE_HZ)
    for unit, shard in pending:
        with ctx.out.unit(unit) as out:
            groups = (
                list(turns)
                for _, turns in itertools.groupby(
                    shard.iter_records(ConversationTurn), key=lambda turn: turn.conversation_id
                )
            )
            while block := list(itertools.islice(groups, _AT_ONCE)):
                kept = []
                for turns in block:
                    out.read(1)
                    sounds = {turn.index: decode_flac(turn.audio.bytes) for turn in turns if turn.audio.bytes}
                    if any(len(sound) > longest for sound in sounds.values()):
                        out.drop("too_long")
                    else:
                        kept.append((turns, sounds))
                codes = iter(speech.encode([sound for _, sounds in kept for sound in sounds.values()]))
                texts = iter(encode_texts(text, [turn.text for turns, _ in kept for turn in turns]))
                for turns, sounds in kept:
                    chunks = []
                    for turn in turns:
                        ids = next(texts) if turn.text else next(texts)[:0]
                        chunks.append(TokenChunk(turn.role, next(codes).tolist() if turn.index in sounds else [], ids))
                    first = turns[0]
                    out.write(
                        "documents",
                        [TokenDocument(first.conversation_id, first.source, first.source_uri, first.licence, chunks)],
                    )
                    out.kept(1)
                    out.add("speech_tokens", sum(len(chunk.codes) for chunk in chunks))
                    out.add("text_tokens", sum(len(chunk.text_ids) for chunk in chunks))
        ctx.log(f"tokenized shard {unit + 1} of {len(ctx.inputs['conversations'].shards('turns'))}")
