"""Packed training rows of conversations, each once, with the loss on answers alone.

Put here: from token sets of conversations to shards of rows, and the counts that a run reads. Do not put here: the
template and the mask (spelangy_model/data/conversations.py), or the order of a pretraining mix (stages/mix.py). The
rows are of the same type as a mix's, so that the same training reads them, again from the first after the last.

Inputs: token sets of conversations by role (`speech.0`, as in a mix), `text_tokenizer` and `speech_tokenizer`. Output:
rows(PackedRow) and vocabulary_layout.json. A conversation that is longer than a row is dropped: without its first half
an answer has no question.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.stages.mix import layout_of
from spelangy_model.data.conversations import (
    TEMPLATES,
    PlacedConversation,
    encode_conversation,
    pack_conversations,
    spoken_turns,
)
from spelangy_model.records import PackedRow, TokenDocument
from spelangy_model.tokenizer.codec import CODES_PER_S
from spelangy_model.tokenizer.vocab import LAYOUT_FILE

VERSION = "1"
TABLES: dict[str, type] = {"rows": PackedRow}
SOURCES = "speech."


@dataclass(frozen=True, kw_only=True)
class Config:
    """How conversations become rows of `row_tokens` positions.

    `spoken_share`: of the instructions that can be put both ways, how many are spoken (0 to 1); one that has sound
    alone is always spoken. `template` is a name of spelangy_model/data/conversations.py.
    """

    row_tokens: int
    seed: int
    template: str = "reply.v1"
    spoken_share: float = 1.0
    rows_per_shard: int = 1024

    def __post_init__(self) -> None:
        if self.template not in TEMPLATES:
            raise ValueError(f"no template {self.template!r}: choose one of {', '.join(TEMPLATES)}")
        if not 0 <= self.spoken_share <= 1 or self.row_tokens < 4 or self.rows_per_shard < 1:
            raise ValueError("spoken_share is in 0..1, row_tokens at least 4 and rows_per_shard at least 1")


CONTRACT = Contract(
    "conversation_rows",
    f"""
    SELECT count(*) AS packed_rows,
           coalesce(max(len(input_ids)) - min(len(input_ids)), 0) AS difference_of_row_lengths,
           count(*) FILTER (len(input_ids) <> len(position_ids) OR len(input_ids) <> len(loss_mask)) AS uneven_rows,
           count(*) FILTER (list_sum(loss_mask) = 0) AS rows_without_loss,
           {stat("filled_positions")} / greatest({stat("positions")}, 1) AS filled_share,
           {stat("loss_positions")} / greatest({stat("filled_positions")}, 1) AS answer_share
    FROM rows
    """,
    (
        Bound("packed_rows", 1),
        exactly("difference_of_row_lengths"),
        exactly("uneven_rows"),
        exactly("rows_without_loss"),
        Bound("filled_share", 0.5, 1, "warn"),
        Bound("answer_share", 0.01, 0.9, "warn"),
    ),
)

KIND = DatasetKind(
    group="mixes",
    description="Packed training rows of conversations, with the loss on answers alone.",
    contract=CONTRACT,
    takes={
        "speech": "conversation_tokens",
        "speech_tokenizer": "speech_tokenizer",
        "text_tokenizer": "text_tokenizer",
    },
    columns={
        "input_ids": ("*.chunks",),
        "loss_mask": ("*.chunks",),
        "spans": ("*.document_id", "*.source_id"),
    },
)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Pack all conversations; a unit is a shard of rows. The plan is made anew by a killed run, which is cheap."""
    from spelangy_model.tokenizer.text import encode_texts, load_text_tokenizer

    layout = layout_of(ctx.inputs["text_tokenizer"], ctx.inputs["speech_tokenizer"])
    tokenizer = load_text_tokenizer(ctx.inputs["text_tokenizer"].local_folder(ctx.execution.cache_dir))
    (prefix,) = encode_texts(tokenizer, [TEMPLATES[config.template].answer_prefix])
    placed: list[PlacedConversation] = []
    read = too_long = spoken = 0
    for role in (role for role in ctx.inputs if role.startswith(SOURCES)):
        for shard in (shard for member in ctx.members[role] for shard in member.shards("documents")):
            for document in shard.iter_records(TokenDocument):
                read += 1
                by_codes = spoken_turns(document, config.spoken_share, config.seed)
                sequence = encode_conversation(document.chunks, layout, prefix, by_codes)
                if len(sequence.ids) > config.row_tokens:
                    too_long += 1
                else:
                    spoken += any(by_codes)
                    placed.append(PlacedConversation(document.document_id, role, document.source_id, sequence))
    if not placed:
        raise InputError(
            f"none of {read} conversations fits a row of {config.row_tokens} positions: raise row_tokens, or cut them"
        )
    table = pack_conversations(placed, config.row_tokens, layout, config.seed)
    starts = range(0, table.num_rows, config.rows_per_shard)
    for unit, start in ctx.out.pending(starts):
        rows = table.slice(start, config.rows_per_shard)
        with ctx.out.unit(unit) as out:
            out.write_rows("rows", rows)
            out.kept(0)
            out.add("positions", rows.num_rows * config.row_tokens)
            if unit == 0:  # counts are of all rows: one unit's receipt holds them
                out.read(read)
                out.kept(len(placed))
                if too_long:
                    out.drop("longer_than_row", too_long)
                out.add("filled_positions", sum(len(one.sequence.ids) for one in placed))
                out.add("loss_positions", sum(int(one.sequence.loss_mask.sum()) for one in placed))
                out.add("spoken_conversations", spoken)
                for role in dict.fromkeys(one.source for one in placed):
                    mine = [one.sequence.ids for one in placed if one.source == role]
                    out.add(f"{role}.tokens", sum(len(ids) for ids in mine))
                    out.add(
                        f"{role}.speech_s", sum(int((ids >= layout.first_code).sum()) for ids in mine) / CODES_PER_S
                    )
                    out.add(f"{role}.epochs", 1.0)
                described = json.dumps(dataclasses.asdict(layout), indent=1, sort_keys=True)
                out.write_file(LAYOUT_FILE, f"{described}\n".encode())
        ctx.log(f"packed {len(placed)} of {read} conversations in {table.num_rows} rows")
