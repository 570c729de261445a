"""Turns text documents into token documents for text-only training.

Put here: one shard of texts in, one shard of documents out. Do not put here: the tokenizer
(spelangy_model/tokenizer/text.py) or markers and rows (mixing decides them). A long document is cut into chunks at
the ends of paragraphs, so that it can be spread over rows without losing a token.

Inputs: `text_documents` (TextDocument, or SuppliedText) and `text_tokenizer` (files).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_model.records import SuppliedText, TextDocument, TokenChunk, TokenDocument

VERSION = "2"
TABLES: dict[str, type] = {"documents": TokenDocument}


@dataclass(frozen=True)
class Config:
    """No chunk has more than `max_chunk_tokens` ids."""

    max_chunk_tokens: int


KIND = DatasetKind(
    group="tokens",
    description="{text_documents} as ids of the text tokenizer.",
    contract=contracts.TOKENS,
    takes={"text_documents": (TextDocument, SuppliedText), "text_tokenizer": "text_tokenizer"},
    makes="text_tokens",
    columns={
        "document_id": ("text_documents.document_id",),
        "source_id": ("text_documents.page_id",),
        "source_url": ("text_documents.url",),
        "licence": ("text_documents.licence",),
        "chunks": ("text_documents.text",),
    },
)


@word
def text_tokens(documents: Dataset, text_tokenizer: Dataset, **options: Any) -> Dataset:
    """Return documents as tokens; `options` are fields of Config."""
    inputs = {"text_documents": documents, "text_tokenizer": text_tokenizer}
    return dataset(
        __name__, config_of(Config, options), name=f"{documents.label}_tokens", label=documents.label, inputs=inputs
    )


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Tokenize each shard as one unit."""
    from spelangy_model.tokenizer.text import load_text_tokenizer, split_text

    tokenizer = load_text_tokenizer(ctx.inputs["text_tokenizer"].local_folder(ctx.execution.cache_dir))
    documents = ctx.inputs["text_documents"]
    for unit, shard in ctx.out.pending([*documents.shards("documents"), *documents.shards("texts")]):
        with ctx.out.unit(unit) as out:
            for document in shard.iter_records(TextDocument):
                out.read(1)
                if not document.text.strip():
                    out.drop("empty_text")
                    continue
                pieces = split_text(tokenizer, document.text, config.max_chunk_tokens)
                out.write(
                    "documents",
                    [
                        TokenDocument(
                            document.document_id,
                            document.page_id,
                            document.url,
                            document.licence,
                            [TokenChunk("text", [], ids) for ids in pieces],
                        )
                    ],
                )
                out.add("text_tokens", sum(len(ids) for ids in pieces))
                out.add("characters", len(document.text))
