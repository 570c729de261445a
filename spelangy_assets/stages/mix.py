"""A mix: packed training rows, in training order, drawn from token sets in stated ratios.

Put here: from corpora to shards of rows, and the report of what was achieved. Do not put here: drawing, interleaving
and packing (spelangy_model/data).

Inputs: for each source of the mixture a roll-up of token sets (members with a table documents(TokenDocument)),
`text_tokenizer`, and `speech_tokenizer` where a source has speech. Output: rows(PackedRow), the vocabulary's layout
(vocabulary_layout.json), which the tokenizers determine, and mixture.json: shares wanted and achieved, epochs, fill.
The whole mix is planned in memory; a unit is a shard of its rows.
"""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass

from spelangy_assets.stages.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.data.mixture import Mixture, MixtureError, MixtureReport, make_mixture
from spelangy_model.records import PackedRow, TokenDocument
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, Layout

VERSION = "1"
TABLES: dict[str, type] = {"rows": PackedRow}


@dataclass(frozen=True)
class Config:
    """The mixture, and how its rows are cut into shards."""

    mixture: Mixture
    rows_per_shard: int = 1024


def preflight(config: Config, execution: Execution) -> None:
    if config.rows_per_shard < 1:
        raise PreflightError(f"rows_per_shard is {config.rows_per_shard}; a shard needs at least one row")


def run(ctx: StageContext, config: Config) -> None:
    layout = layout_of(ctx.inputs["text_tokenizer"], ctx.inputs.get("speech_tokenizer"))
    # Which shards there are is known only when the rows are; a mix that is whole already is not planned again.
    documents = {
        source.name: [
            document for member in ctx.members[source.name] for document in member.records("documents", TokenDocument)
        ]
        for source in config.mixture.sources
    }
    try:
        rows, report = make_mixture(config.mixture, layout, documents)
    except MixtureError as error:
        raise InputError(f"this mixture cannot be made: {error}") from error
    starts = range(0, len(rows), config.rows_per_shard)
    for unit, start in ctx.out.pending(starts):
        shard = rows[start : start + config.rows_per_shard]
        with ctx.out.unit(unit) as out:
            out.write("rows", shard)
            out.add("positions", len(shard) * config.mixture.row_length)
            out.add("filled_positions", sum(span.length for row in shard for span in row.spans))
            out.add("loss_positions", sum(sum(row.loss_mask) for row in shard))
            out.kept(0)
            if unit == 0:  # counts and ratios are of the whole mix: they stand in one unit's receipt
                drawn = sum(source.documents_drawn for source in report.sources)
                out.read(drawn + sum(report.dropped.values()))
                out.kept(drawn)
                for reason, count in report.dropped.items():
                    out.drop(reason, count)
                out.add("largest_share_error", report.ratio_error)
                out.add("text_row_share", report.text_share)
                for source in report.sources:
                    out.add(f"{source.name}.tokens", source.tokens)
                    out.add(f"{source.name}.share", source.share)
                    out.add(f"{source.name}.epochs", source.epochs)
                out.write_file(LAYOUT_FILE, _json(dataclasses.asdict(layout)))
                out.write_file("mixture.json", _json({**dataclasses.asdict(report), "ratio_error": report.ratio_error}))
    ctx.log(describe(report))


def layout_of(text_tokenizer: Artifact, speech_tokenizer: Artifact | None) -> Layout:
    """Return the vocabulary that two tokenizers determine; without a speech tokenizer it has no codes."""
    text = json.loads(text_tokenizer.read_file("tokenizer.json"))
    ids = [*text["model"]["vocab"].values(), *(token["id"] for token in text["added_tokens"])]
    levels = json.loads(speech_tokenizer.read_file("config.json"))["fsq_levels"] if speech_tokenizer else None
    return Layout(max(ids) + 1, math.prod(levels) if levels else 0)


def describe(report: MixtureReport) -> str:
    """Return the tree of a mixture: kinds of rows, their sources, shares wanted and achieved."""
    total = sum(report.rows.values())
    lines = [f"{total} rows, {report.fill:.2%} filled, {report.ratio_error:.3%} off its ratios at most"]
    for kind, rows in report.rows.items():
        if rows:
            lines.append(f"  {kind}: {rows} rows ({rows / total:.2%})")
        lines += [
            f"    {source.name}: {source.share:.2%} of tokens (wanted {source.wanted_share:.2%}), "
            f"{source.tokens} tokens, {source.documents_drawn} documents = {source.epochs:.2f} epochs"
            for source in report.sources
            if source.kind == kind
        ]
    lines += [f"  left out: {count} {reason}" for reason, count in report.dropped.items()]
    return "\n".join(lines)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
