"""What is in the data: hours by speaker, accent, source, licence and language; lengths and quality of the chunks.

Put here: sums over measured chunks, of a set of chunks or as a mix draws them. Do not put here: measuring a chunk
(measure_speech), the way from recordings to chunks (account_speech), or layout (report/contents_page.py).

Inputs: `measures.SOURCE`, a roll-up of measures, for each set of chunks; of a mix also `mix`, and `text.N`, its token
sets of text. The amounts of a set of chunks are hours, and each chunk counts once. The amounts of a mix are tokens, in
which a chunk has the share of its document's tokens that it has of its document's time, and a chunk counts once for
each epoch in which its document is drawn. Speaker, accent and language are stated of speech alone. Output:
portions(Portion), metrics(Metric) and the page contents.html.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Annotated, Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.report.contents_page import contents_page
from spelangy_assets.sources.audio_manifests import UNKNOWN_LICENCE
from spelangy_assets.stages.measure_speech import MeasuredChunk
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Metric, PackedRow, TokenDocument, schema_of

VERSION = "1"
PAGE = "contents.html"
SUBJECT = "data"  # of the metrics
ASPECTS = ("set", "speaker", "accent", "source", "licence", "language")
SPEECH_ASPECTS = ("speaker", "accent", "language")
PERCENTILES = (5, 25, 50, 75, 95)
# The edges of the histograms; the first and the last bin are open where a value may lie beyond.
BINS: Mapping[str, tuple[float, ...]] = {
    "duration_s": (0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 25, 30, math.inf),
    "snr_db": (-math.inf, 0, 5, 10, 15, 20, 25, 30, 35, 40, 50, 60, math.inf),
    **dict.fromkeys(("mos", "mos_speech", "mos_background"), (1, 1.5, 2, 2.5, 3, 3.5, 4, 4.5, 5.01)),
}


@dataclass(frozen=True, slots=True)
class Portion:
    """A part of the data that has a value of an aspect in common."""

    aspect: Annotated[str, "set, speaker, accent, source, licence or language"]
    name: Annotated[str, "the value; empty: not stated"]
    chunks: Annotated[int, "chunks, and documents of text"]
    amount: Annotated[float, "hours; of a mix tokens"]


TABLES: dict[str, type] = {"portions": Portion, "metrics": Metric}


@dataclass(frozen=True)
class Config:
    """`labels` is what the page calls the sets, in the order of the inputs `measures.*`, then `text.*`."""

    labels: tuple[str, ...]


CONTRACT = Contract(
    "data_contents",
    """
    SELECT count(*) AS portions, count(*) - count(DISTINCT (aspect, name)) AS duplicate_portions,
           count(*) FILTER (NOT amount >= 0 OR chunks < 0) AS impossible_amounts,
           coalesce((SELECT max(total) - min(total) FROM (
               SELECT sum(amount) AS total FROM portions WHERE aspect IN ('set', 'source', 'licence') GROUP BY aspect))
               / greatest(sum(amount) FILTER (aspect = 'set'), 1e-9), 0) AS difference_of_totals,
           coalesce((SELECT max(value) FROM metrics WHERE metric = 'largest_speaker_share'), 0)
               AS largest_speaker_share,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages
    FROM portions
    """,
    (
        Bound("portions", 1, None, "warn"),
        exactly("duplicate_portions"),
        exactly("impossible_amounts"),
        Bound("difference_of_totals", 0, 1e-6),
        Bound("largest_speaker_share", 0, 0.5, "warn"),
        Bound("pages", 1),
    ),
)

KIND = DatasetKind(
    group="chunks",
    description="What is in {label}: hours by speaker, accent, source, licence, language; lengths and quality.",
    contract=CONTRACT,
    kinds=("table", "html"),
    takes={"measures": MeasuredChunk, "mix": PackedRow, "text": "text_tokens"},
)


@word
def contents_of_chunks(measures: Dataset, label: str) -> Dataset:
    """Return what is in a set of chunks, from the roll-up of its measures."""
    return dataset(
        __name__, Config((label,)), name=f"{label}_contents", inputs={"measures.speech.0": measures}, label=label
    )


@word
def contents_of_mix(mix: Dataset, measures: Mapping[str, Dataset]) -> Dataset:
    """Return what a mix draws; `measures` are roll-ups by the role of the token set in the mix."""
    texts = {role: one for role, one in mix.inputs.items() if role.startswith("text.")}
    labels = [one.members[0][0].inputs["chunks"].label for one in measures.values()]
    labels += [one.label for one in texts.values()]
    inputs = {"mix": mix, **{f"measures.{role}": one for role, one in measures.items()}, **texts}
    return dataset(__name__, Config(tuple(labels)), name=f"{mix.name}_contents", inputs=inputs, label=mix.name)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit; sound and token ids are not read."""
    for unit, _ in ctx.out.pending([PAGE]):
        roles = [role for role in ctx.members if role.startswith("measures.")]
        texts = [role for role in ctx.members if role.startswith("text.")]
        named = dict(zip([*roles, *texts], config.labels, strict=True))
        sets = [_measured(ctx.members[role], role.removeprefix("measures."), named[role]) for role in roles]
        mix = ctx.inputs.get("mix")
        if mix is not None:
            sets = _drawn(mix, [*sets, *(_texts(ctx.members[role], role, named[role]) for role in texts)])
        rows = pa.concat_tables(sets).combine_chunks()
        with ctx.out.unit(unit) as out:
            unit = "hours" if mix is None else "tokens"
            portions, metrics = portions_of(rows), metrics_of(rows, unit)
            out.read(len(rows))
            out.kept(len(rows))
            out.write("portions", portions)
            out.write("metrics", metrics)
            page = contents_page(
                {
                    aspect: [(one.name, one.chunks, one.amount) for one in portions if one.aspect == aspect]
                    for aspect in ASPECTS
                },
                {one.metric: one.value for one in metrics},
                unit=unit,
                title=f"What is in {', '.join(config.labels)}{' as a mix draws them' if mix is not None else ''}",
            )
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)


# --- one row a chunk, or a document of text ---------------------------------------------------------------------

# Beside what is measured: the set and its role, how many `times` the row counts, and its `amount`.
_MEASURES = ("duration_s", "snr_db", "mos", "mos_speech", "mos_background")
_SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("role", "chunk_id", "document_id", *ASPECTS)),
        *((name, pa.float64()) for name in (*_MEASURES, "times", "amount")),
        ("ends_sentence", pa.bool_()),
        ("speech", pa.bool_()),
    ]
)


def _arrow() -> Any:
    """Return PyArrow's functions. To import them takes a seventh of a second; no type checker knows them."""
    import pyarrow.compute

    return pyarrow.compute


def _rows(columns: Mapping[str, Any], length: int) -> pa.Table:
    """Return columns as a table of the schema; those that are missing are empty."""
    pc = _arrow()
    made = []
    for field in _SCHEMA:
        value = columns.get(field.name)
        if value is None:
            value = pa.array(np.full(length, np.nan)) if pa.types.is_floating(field.type) else pa.nulls(length)
            value = value.cast(field.type)
            if pa.types.is_string(field.type):
                value = pc.fill_null(value, "")
        elif not isinstance(value, pa.Array | pa.ChunkedArray):
            value = pa.repeat(pa.scalar(value, field.type), length)
        made.append(value.cast(field.type))
    return pa.Table.from_arrays(made, schema=_SCHEMA)


def _read(versions: Sequence[Artifact], table: str, record: type, names: list[str]) -> pa.Table:
    return pa.concat_tables([schema_of(record).empty_table().select(names), *(v.table(table, names) for v in versions)])


def _measured(versions: Sequence[Artifact], role: str, label: str) -> pa.Table:
    pc = _arrow()
    names = ["chunk_id", "document_id", *ASPECTS[1:], *_MEASURES, "ends_sentence"]
    table = _read(versions, "measured", MeasuredChunk, names)
    found = {name: table[name] for name in names}
    found["amount"] = pc.divide(table["duration_s"], 3600.0)
    return _rows({**found, "role": role, "set": label, "times": 1.0, "speech": True}, len(table))


def _texts(versions: Sequence[Artifact], role: str, label: str) -> pa.Table:
    pc = _arrow()
    table = _read(versions, "documents", TokenDocument, ["document_id", "source_url", "licence"])
    found = {
        "chunk_id": table["document_id"],
        "document_id": table["document_id"],
        "source": pa.array([urlsplit(url).hostname or "" for url in table["source_url"].to_pylist()], pa.string()),
        "licence": pc.if_else(pc.equal(table["licence"], UNKNOWN_LICENCE), "", table["licence"]),
    }
    return _rows({**found, "role": role, "set": label, "speech": False}, len(table))


def _drawn(mix: Artifact, sets: Sequence[pa.Table]) -> list[pa.Table]:
    """Return the rows of documents that the mix draws, with the times and the tokens that it draws of each."""
    pc = _arrow()
    parts = []
    for shard in mix.shards("rows"):
        spans = pc.list_flatten(shard.table(["spans"])["spans"]).combine_chunks()
        fields = ("source", "document_id", "epoch", "length")
        parts.append(pa.table({name: pc.struct_field(spans, name) for name in fields}))
    spans = pa.concat_tables(parts).group_by(["source", "document_id"])
    drawn = spans.aggregate([("epoch", "count_distinct"), ("length", "sum")])
    found = []
    for rows in sets:
        # Two snapshots may hold one document; the mix takes it from one of them.
        _, first = np.unique(rows["chunk_id"].to_numpy(zero_copy_only=False), return_index=True)
        rows = rows.take(np.sort(first))
        rows = rows.append_column("weight", pc.if_else(rows["speech"], rows["duration_s"], 1.0))
        whole = rows.group_by("document_id").aggregate([("weight", "sum")])
        joined = rows.join(whole, "document_id").join(
            drawn, ["role", "document_id"], ["source", "document_id"], join_type="inner"
        )
        columns = {name: joined[name] for name in _SCHEMA.names}
        columns["times"] = joined["epoch_count_distinct"]
        columns["amount"] = pc.divide(pc.multiply(joined["weight"], joined["length_sum"]), joined["weight_sum"])
        # A join gives its rows in any order, and sums of floats depend on it.
        found.append(_rows(columns, len(joined)).sort_by("chunk_id"))
    return found


# --- sums --------------------------------------------------------------------------------------------------------


def portions_of(rows: pa.Table) -> list[Portion]:
    """Return the portions by aspect, the largest first, equal ones by name."""
    speech, found = rows.filter(rows["speech"]), []
    for aspect in ASPECTS:
        of = speech if aspect in SPEECH_ASPECTS else rows
        sums = of.group_by(aspect).aggregate([("times", "sum"), ("amount", "sum")]).to_pylist()
        own = [Portion(aspect, row[aspect], int(row["times_sum"]), float(row["amount_sum"])) for row in sums]
        found += sorted(own, key=lambda one: (-one.amount, one.name))
    return found


def metrics_of(rows: pa.Table, unit: str) -> list[Metric]:
    """Return totals, and the mean, percentiles and shares of bins of each measure over chunks of speech."""
    pc = _arrow()
    speech = rows.filter(rows["speech"])
    times = speech["times"].to_numpy()
    chunks = int(times.sum())
    by_speaker = {one.name: one.amount for one in portions_of(rows) if one.aspect == "speaker"}
    stated = {name: amount for name, amount in by_speaker.items() if name}
    whole = sum(by_speaker.values())
    values: dict[str, float] = {
        unit: float(pc.sum(rows["amount"]).as_py() or 0.0),
        "chunks": chunks,
        "documents": len(pc.unique(pc.binary_join_element_wise(rows["role"], rows["document_id"], " "))),
        "speakers": len(stated),
        "largest_speaker_share": max(stated.values(), default=0.0) / whole if whole else 0.0,
    }
    if chunks:
        values["share_that_end_a_sentence"] = float(np.average(speech["ends_sentence"].to_numpy(), weights=times))
    counted = {metric: (value, chunks) for metric, value in values.items()}
    for name, edges in BINS.items():
        value = speech[name].to_numpy()
        known = np.isfinite(value)
        if not known.any():
            continue
        value, weight = value[known], times[known]
        order = np.argsort(value, kind="stable")
        reached = np.cumsum(weight[order])
        places = np.searchsorted(reached, np.array(PERCENTILES) / 100 * reached[-1])
        shares = np.histogram(value, bins=np.array(edges), weights=weight)[0] / reached[-1]
        found = {f"{name}.mean": float(np.average(value, weights=weight))}
        found |= {
            f"{name}.p{percent:02d}": float(value[order][place])
            for percent, place in zip(PERCENTILES, places, strict=True)
        }
        found |= {
            f"{name}.share.{low:g}_{high:g}": float(one)
            for (low, high), one in zip(pairwise(edges), shares, strict=True)
        }
        counted |= {metric: (one, int(reached[-1])) for metric, one in found.items()}
    return [Metric(SUBJECT, metric, float(one), math.nan, math.nan, count) for metric, (one, count) in counted.items()]
