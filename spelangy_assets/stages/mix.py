"""A mix: packed training rows, in training order, drawn from token sets in stated ratios.

Put here: from corpora to shards of rows, and the report of the achieved shares. Do not put here: drawing, interleaving
and packing (spelangy_model/data).

Inputs: for each source of the mixture, by its role (`speech.0`, `text.0` and so on), a roll-up of token sets (members
with a table documents(TokenDocument)); `text_tokenizer`; `speech_tokenizer` where a source has speech; and the indexes
of duplicates of the crawls that the sources are made from (`duplicates.0` and so on): documents of the recordings and
pages that they name are left out, and counted as near_duplicate. `contaminated.SOURCE` names documents of a source that
hold words of a benchmark; they are dropped as contaminated. Documents of refused licences are dropped as
licence_refused.
Output: rows(PackedRow), the vocabulary's layout (vocabulary_layout.json), which the tokenizers determine, and
mixture.json: shares wanted and achieved, epochs, fill.

The mix is planned on lengths, in `parts` if it is large; then each shard of a source is read once, and the sequences
that are drawn from it are written into a file of the scratch folder, in the order of the rows that want them; then each
shard of rows takes its sequences from those files. What is held at any time is the plan of a part, one shard of
documents and one shard of rows, and on the disk the files of a part. A unit is a shard of rows; a killed run continues
with the files that are there.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from spelangy_assets.execution.dataset import DatasetKind
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.stages.find_contaminated import ContaminatedDocument
from spelangy_assets.store.artifacts import Artifact, ShardFile, UnitWriter
from spelangy_model.data.documents import COLUMNS, DocumentArrays, document_arrays
from spelangy_model.data.mixture import (
    Mixture,
    MixtureError,
    MixturePlan,
    MixtureReport,
    OpenShard,
    Source,
    Written,
    join_reports,
    plan_mixture,
    rows_of_plan,
    write_planned,
)
from spelangy_model.records import Duplicate, PackedRow
from spelangy_model.tokenizer.codec import CODES_PER_S, codebook_size_of
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, Layout

VERSION = "5"
TABLES: dict[str, type] = {"rows": PackedRow}
DUPLICATES, CONTAMINATED = "duplicates.", "contaminated."  # what roles begin with


@dataclass(frozen=True)
class Config:
    """The mixture, and how its rows are cut into shards.

    A plan takes some 300 bytes a document. With `parts`, so many plans are made, one after another, each of its share
    of the rows and of every `parts`-th shard of each source; training sees them in that order.
    """

    mixture: Mixture
    rows_per_shard: int = 1024
    parts: int = 1


CONTRACT = Contract(
    "mix",
    f"""
    SELECT count(*) AS packed_rows,
           coalesce(max(len(input_ids)) - min(len(input_ids)), 0) AS difference_of_row_lengths,
           count(*) FILTER (len(input_ids) <> len(position_ids) OR len(input_ids) <> len(loss_mask)) AS uneven_rows,
           count(*) FILTER (list_sum(loss_mask) = 0) AS rows_without_loss,
           {stat("largest_share_error", missing="1")} AS largest_share_error,
           {stat("filled_positions")} / greatest({stat("positions")}, 1) AS filled_share
    FROM rows
    """,
    (
        Bound("packed_rows", 1),
        exactly("difference_of_row_lengths"),
        exactly("uneven_rows"),
        exactly("rows_without_loss"),
        Bound("largest_share_error", 0, 0.005),
        Bound("filled_share", 0.8, 1, "warn"),
    ),
)

KIND = DatasetKind(
    group="mixes",
    description="Packed training rows, drawn from token sets in stated shares.",
    contract=CONTRACT,
    takes={
        "speech": "speech_tokens",
        "text": "text_tokens",
        "speech_tokenizer": "speech_tokenizer",
        "text_tokenizer": "text_tokenizer",
        "duplicates": Duplicate,
        "contaminated": ContaminatedDocument,
    },
    columns={
        "input_ids": ("*.chunks",),
        "loss_mask": ("*.chunks",),
        "spans": ("*.document_id", "*.source_id"),
    },
)


def preflight(config: Config, execution: Execution) -> None:
    if config.rows_per_shard < 1:
        raise PreflightError(f"rows_per_shard is {config.rows_per_shard}; a shard needs at least one row")
    if not 1 <= config.parts <= config.mixture.rows:
        raise PreflightError(f"parts is {config.parts}, for {config.mixture.rows} rows: each part needs a row")


def run(ctx: StageContext, config: Config) -> None:
    layout = layout_of(ctx.inputs["text_tokenizer"], ctx.inputs.get("speech_tokenizer"))
    mixture = config.mixture
    duplicates = [
        duplicate
        for role, index in ctx.inputs.items()
        if role.startswith(DUPLICATES)
        for duplicate in index.records("duplicates", Duplicate)
    ]
    contaminated = {
        role.removeprefix(CONTAMINATED): {
            row.document_id for row in found.records("contaminated", ContaminatedDocument)
        }
        for role, found in ctx.inputs.items()
        if role.startswith(CONTAMINATED)
    }
    shards: dict[str, list[_Shard]] = {}
    for source in mixture.sources:
        members = ctx.members[source.name]
        repeated = repeated_sources({member.address.partition for member in members}, duplicates)
        shards[source.name] = [
            _Shard(
                shard,
                frozenset(repeated.get(member.address.partition, ())),
                frozenset(contaminated.get(source.name, ())),
                source,
            )
            for member in members
            for shard in member.shards("documents")
        ]
        if config.parts > max(1, len(shards[source.name])):
            raise InputError(
                f"source {source.name} has {len(shards[source.name])} shards of documents, too few for "
                f"{config.parts} parts, which need one each: lower parts"
            )
    made = _Made()
    for number in range(config.parts):
        _make_part(ctx, config, layout, shards, number, made)
    ctx.log(describe(join_reports(made.reports)))


@dataclass
class _Made:
    """What the parts so far have: their reports, and how many units and rows they are."""

    reports: list[MixtureReport] = field(default_factory=list)
    units: int = 0
    rows: int = 0


def _make_part(
    ctx: StageContext,
    config: Config,
    layout: Layout,
    shards: Mapping[str, Sequence[_Shard]],
    number: int,
    made: _Made,
) -> None:
    """Plan a part and write those of its units that are not there. The plan ends with this call."""
    openers = {name: [one.documents for one in found[number :: config.parts]] for name, found in shards.items()}
    # Which shards of rows there are is known only when the plan is.
    try:
        mixture = config.mixture.part(number, config.parts)
        plan = plan_mixture(mixture, openers)
    except MixtureError as error:
        part = f"part {number + 1} of {config.parts}: " if config.parts > 1 else ""
        raise InputError(f"this mixture cannot be made: {part}{error}") from error
    made.reports.append(plan.report)
    row_count, size = len(plan.kinds), config.rows_per_shard
    starts = enumerate(range(0, row_count, size), made.units)
    units = {unit: range(start, min(start + size, row_count)) for unit, start in starts}
    pending = [unit for unit, _ in ctx.out.pending(units, made.units)]
    drawn: dict[tuple[int, int], _DrawnSequences] = {}
    if pending:
        drawn = _draw_sequences(mixture, layout, plan, openers, units, ctx.out.scratch, (number, config.parts))
    for unit in pending:
        rows = units[unit]
        written = {key: part for key, file in drawn.items() if (part := file.sequences(unit)) is not None}
        table = rows_of_plan(mixture, layout, plan, rows.start, rows.stop, written, made.rows)
        with ctx.out.unit(unit) as out:
            out.write_rows("rows", table)
            out.add("positions", len(rows) * mixture.row_length)
            out.add("filled_positions", int(plan.length[plan.rows_between(rows.start, rows.stop)].sum()))
            out.add("loss_positions", int(sum(part.loss_mask.sum() for part in written.values())))
            for (source, _), part in written.items():
                codes = int((part.ids >= layout.first_code).sum())
                out.add(f"{mixture.sources[source].name}.speech_s", codes / CODES_PER_S)
            out.kept(0)
            # Counts and ratios of the whole mix are in one unit's receipt, the first one at which all are known.
            if number == config.parts - 1 and unit == made.units:
                _describe_whole(ctx, layout, shards, join_reports(made.reports), out)
    for file in drawn.values():  # the units that took from them are done
        file.file.unlink()
    made.units += len(units)
    made.rows += row_count


def _describe_whole(
    ctx: StageContext,
    layout: Layout,
    shards: Mapping[str, Sequence[_Shard]],
    report: MixtureReport,
    out: UnitWriter,
) -> None:
    """Write what is true of the whole mix into a unit."""
    documents = sum(source.documents_drawn for source in report.sources)
    left_out = Counter[str]()
    for one in (one for found in shards.values() for one in found):
        left_out.update(one.left_out())
    out.read(documents + sum(report.dropped.values()) + left_out.total())
    out.kept(documents)
    for reason, count in [*sorted(left_out.items()), *report.dropped.items()]:
        out.drop(reason, count)
    out.add("largest_share_error", report.ratio_error)
    out.add("text_share", report.text_share)
    for source in report.sources:
        out.add(f"{source.name}.tokens", source.tokens)
        out.add(f"{source.name}.share", source.share)
        out.add(f"{source.name}.epochs", source.epochs)
    out.write_file(LAYOUT_FILE, _json(dataclasses.asdict(layout)))
    out.write_file("mixture.json", _json({**dataclasses.asdict(report), "ratio_error": report.ratio_error}))
    tree = describe(report, {name: _versions(ctx.members[name]) for name in shards})
    out.write_file("mixture.md", f"```\n{tree}\n```\n".encode(), identity=False)


def repeated_sources(snapshots: Collection[str | None], duplicates: Iterable[Duplicate]) -> dict[str | None, set[str]]:
    """Return by snapshot the recordings and pages that a source with these snapshots has twice.

    An index may cover more snapshots than a source has: where the kept one is in none of the source's snapshots, the
    first of its duplicates takes its place.
    """
    repeated: dict[str | None, set[str]] = {}
    stood_in_for: set[tuple[str, str]] = set()
    for duplicate in duplicates:
        kept = (duplicate.duplicate_of_snapshot, duplicate.duplicate_of)
        if duplicate.snapshot not in snapshots:
            continue
        if duplicate.duplicate_of_snapshot in snapshots or kept in stood_in_for:
            repeated.setdefault(duplicate.snapshot, set()).add(duplicate.source_id)
        else:
            stood_in_for.add(kept)
    return repeated


@dataclass(frozen=True)
class _Shard:
    """A shard of documents with the recordings and pages, and the documents, that are left out of it."""

    file: ShardFile
    repeated: frozenset[str]
    contaminated: frozenset[str]
    source: Source

    @property
    def _is_whole(self) -> bool:
        return not (self.repeated or self.contaminated or self.source.licences)

    def documents(self) -> DocumentArrays:
        """Return the documents without those that are left out."""
        table = self.file.table(COLUMNS if self._is_whole else (*COLUMNS, "licence"))
        if not self._is_whole:
            kept = [reason is None for reason in self._reasons(table)]
            table = table.filter(pa.array(kept, pa.bool_()))
        return document_arrays(table)

    def left_out(self) -> Counter[str]:
        """Return how many documents are left out, by reason; a document counts once."""
        if self._is_whole:
            return Counter()
        reasons = self._reasons(self.file.table(["document_id", "source_id", "licence"]))
        return Counter(reason for reason in reasons if reason is not None)

    def _reasons(self, table: pa.Table) -> list[str | None]:
        columns = (table.column(name).to_pylist() for name in ("document_id", "source_id", "licence"))
        return [
            "near_duplicate"
            if source_id in self.repeated
            else "contaminated"
            if document_id in self.contaminated
            else None
            if self.source.allows(licence)
            else "licence_refused"
            for document_id, source_id, licence in zip(*columns, strict=True)
        ]


@dataclass(frozen=True)
class _DrawnSequences:
    """The sequences that are drawn from one shard of documents: an Arrow file with one batch a unit that wants any."""

    file: Path
    units: np.ndarray

    def sequences(self, unit: int) -> Written | None:
        """Return what one unit wants, in the order of the plan; None when it wants nothing of this shard."""
        batch = int(np.searchsorted(self.units, unit))
        if batch == len(self.units) or self.units[batch] != unit:
            return None
        with pa.memory_map(str(self.file)) as source:
            found = pa.ipc.open_file(source).get_batch(batch)
            return Written(
                ids=found.column("ids").flatten().to_numpy(),
                loss_mask=found.column("loss_mask").flatten().to_numpy(),
                switches=found.column("switches").to_numpy(),
                document_id=found.column("document_id"),
                source_id=found.column("source_id"),
            )


def _draw_sequences(
    mixture: Mixture,
    layout: Layout,
    plan: MixturePlan,
    openers: Mapping[str, Sequence[OpenShard]],
    units: Mapping[int, range],
    scratch: Path,
    part_of: tuple[int, int],
) -> dict[tuple[int, int], _DrawnSequences]:
    """Write the drawn sequences of each shard of documents, unless that was done before; return them by their place.

    `part_of` is the part's number and how many there are: the files of different parts have different names.
    """
    ends = np.array([rows.stop for rows in units.values()])
    found: dict[tuple[int, int], _DrawnSequences] = {}
    for number, source in enumerate(mixture.sources):
        of_source = np.flatnonzero(plan.source == number)
        for part, documents in enumerate(openers[source.name]):
            members = of_source[plan.shard[of_source] == part]
            if not len(members):
                continue
            wanted_by = np.searchsorted(ends, plan.row[members], side="right") + min(units)
            of_whole = part_of[0] + part * part_of[1]
            drawn = _DrawnSequences(scratch / f"drawn-{number:03d}-{of_whole:06d}.arrow", np.unique(wanted_by))
            if not drawn.file.exists():
                sequences = write_planned(mixture, layout, plan, members, documents())
                draft = drawn.file.with_suffix(".part")
                _write_batches(draft, sequences, plan.length[members], np.searchsorted(wanted_by, drawn.units))
                draft.replace(drawn.file)
            found[number, part] = drawn
    return found


def _write_batches(path: Path, sequences: Written, lengths: np.ndarray, starts: np.ndarray) -> None:
    first = np.concatenate([[0], np.cumsum(lengths)])
    table = pa.table(
        {
            "ids": pa.LargeListArray.from_arrays(first, pa.array(sequences.ids)),
            "loss_mask": pa.LargeListArray.from_arrays(first, pa.array(sequences.loss_mask)),
            "switches": sequences.switches,
            "document_id": sequences.document_id,
            "source_id": sequences.source_id,
        }
    ).combine_chunks()
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        for begin, end in zip(starts, [*starts[1:], len(lengths)], strict=True):
            (batch,) = table.slice(begin, end - begin).to_batches()
            writer.write_batch(batch)


def _versions(members: Sequence[Artifact]) -> list[str]:
    return [f"{member.name}@{member.data_version[:12]}" for member in members]


def layout_of(text_tokenizer: Artifact, speech_tokenizer: Artifact | None) -> Layout:
    """Return the vocabulary that two tokenizers determine; without a speech tokenizer it has no codes."""
    text = json.loads(text_tokenizer.read_file("tokenizer.json"))
    ids = [*text["model"]["vocab"].values(), *(token["id"] for token in text["added_tokens"])]
    codes = 0
    if speech_tokenizer:
        codes = codebook_size_of(json.loads(speech_tokenizer.read_file("config.json")), speech_tokenizer.uri)
    return Layout(max(ids) + 1, codes)


def describe(report: MixtureReport, versions: Mapping[str, Sequence[str]] | None = None) -> str:
    """Return the tree of a mixture: kinds of rows, their sources, shares wanted and achieved, versions of the data."""
    total = sum(report.rows.values())
    lines = [f"{total} rows, {report.fill:.2%} filled, {report.ratio_error:.3%} off its ratios at most"]
    for kind, rows in report.rows.items():
        if rows:
            lines.append(f"  {kind}: {rows} rows ({rows / total:.2%})")
        for source in report.sources:
            if source.kind == kind:
                lines.append(
                    f"    {source.name}: {source.share:.2%} of tokens (wanted {source.wanted_share:.2%}), "
                    f"{source.tokens} tokens, {source.documents_drawn} documents = {source.epochs:.2f} epochs"
                )
                lines += [f"      from {version}" for version in (versions or {}).get(source.name, ())]
    lines += [f"  left out: {count} {reason}" for reason, count in report.dropped.items()]
    return "\n".join(lines)


def _json(value: object) -> bytes:
    return (json.dumps(value, indent=1, sort_keys=True) + "\n").encode()
