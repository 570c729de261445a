"""The texts of token sets, document by document, for analyses of the training data.

Put here: decoding token documents. Do not put here: the analyses.
Analyses read the token sets, not the datasets above them, because runs are trained on the token sets.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from spelangy_assets.execution.stage import InputError, StageContext
from spelangy_assets.store.artifacts import Artifact

TOKENIZER_ROLE = "text_tokenizer"


def document_texts(
    ctx: StageContext, members: list[Artifact], wanted: Collection[str] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield (document id, text) of token sets in their order, the chunks of a document joined by spaces.

    `wanted` are the ids of the documents to read; None reads all. Raises InputError when the stage has no
    input `text_tokenizer`.
    """
    from spelangy_model.tokenizer.text import decode_text, load_text_tokenizer

    if TOKENIZER_ROLE not in ctx.inputs:
        raise InputError(f"token sets hold ids: give the stage the input {TOKENIZER_ROLE} to read them as text")
    tokenizer = load_text_tokenizer(ctx.inputs[TOKENIZER_ROLE].local_folder(ctx.execution.cache_dir))
    for member in members:
        for shard in member.shards("documents"):
            for row in shard.table(["document_id", "chunks"]).to_pylist():
                if wanted is not None and row["document_id"] not in wanted:
                    continue
                texts = (decode_text(tokenizer, chunk["text_ids"]) for chunk in row["chunks"])
                yield row["document_id"], " ".join(texts)
