"""Mixtures: the shares of token sets in the training data, exact in tokens.

Put here: the definition of a mixture, the drawing of documents, and the report of what was achieved. Do not put
here: the sequence format (interleave.py) or reading and writing of shards (stages/mix.py).

Ratios are in tokens, as the paper counts: `text_share` is the share of text-only rows among the tokens of all rows,
padding left out (60/40 in the paper), and the sources of a kind share the tokens of that kind's rows. Each source has
exactly one of
  Proportion(share)   that share of its kind's tokens, in as many epochs as it takes, up to the cap
  Repeat(times)       every document that many times (2.5: all twice, a seeded half once more)
  Choose(documents)   that many documents, drawn without replacement
Repeat and Choose fix their tokens; proportions divide the rest of their kind and sum to 1.

Documents are drawn in seeded order, epoch by epoch; the next one always comes from the source that is furthest
behind its share, so at any point the ratio is exact within half a document of each source. A kind with a proportion
takes the documents that its rows hold, which may leave the end of its last rows empty; a kind without one has as many
rows as its documents need. Where both kinds have proportions, their rows are divided by how full they are, so that the
share of text is exact within a row.

A mixture is planned on lengths alone: shards of documents are read one at a time, and each drawn sequence costs
a few dozen bytes, whatever its length. `plan_mixture` returns the place of each sequence in the rows; the tokens are
read afterwards (stages/mix.py shard by shard, `make_mixture` all at once). What a plan holds grows with the documents,
so a large mixture is planned in parts: each is a mixture of its own, with its share of the rows and of the shards.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

import numpy as np
import pyarrow as pa

from spelangy_model.data.documents import DocumentArrays, arrays_of_records, ranges
from spelangy_model.data.interleave import Interleaving, plan_sequences, write_sequences
from spelangy_model.data.packing import Packing, Spans, best_fit_decreasing, build_rows
from spelangy_model.records import PackedRow, TokenDocument, from_table
from spelangy_model.rng import stable_codes, stable_order, stable_rng
from spelangy_model.tokenizer.vocab import Layout

KINDS = ("text", "speech_text")
_DEALS = 3
_COMPACT = np.int32  # of what a plan holds for each sequence of a mixture; sums are taken in int64


class MixtureError(ValueError):
    """A mixture that contradicts itself or cannot be made from its sources."""


@dataclass(frozen=True)
class Proportion:
    """A share (0 to 1) of the tokens of its kind that Repeat and Choose leave."""

    share: float


@dataclass(frozen=True)
class Repeat:
    """Every document `times` times."""

    times: float


@dataclass(frozen=True)
class Choose:
    """A number of documents, without replacement."""

    documents: int


@dataclass(frozen=True)
class Source:
    """A token set in a mixture: its role (stored in its spans), its kind of row, and its amount.

    `licences` are those that a document may have, as shell patterns without regard to case (CC-BY-[0-9]*, CC0-*);
    empty: any, and none.
    """

    name: str
    kind: str
    amount: Proportion | Repeat | Choose
    licences: tuple[str, ...] = ()

    def allows(self, licence: str) -> bool:
        """Whether a document of this licence may be drawn."""
        return not self.licences or any(fnmatchcase(licence.lower(), one.lower()) for one in self.licences)


@dataclass(frozen=True)
class Mixture:
    """A run's training data: `rows` of `row_length` positions; `text_share` of the tokens are in text-only rows."""

    sources: tuple[Source, ...]
    rows: int
    row_length: int
    text_share: float
    interleaving: Interleaving
    max_epochs: float
    seed: int

    def __post_init__(self) -> None:
        names = [source.name for source in self.sources]
        if not names or len(set(names)) != len(names):
            raise MixtureError(f"a mixture needs sources with different names, not {names}")
        if self.rows < 1 or self.row_length < 4 or not 0 <= self.text_share <= 1 or self.max_epochs <= 0:
            raise MixtureError("rows >= 1, row_length >= 4, text_share in 0..1 and max_epochs > 0 are needed")
        for kind in KINDS:
            sources = [source for source in self.sources if source.kind == kind]
            shares = [source.amount.share for source in sources if isinstance(source.amount, Proportion)]
            if shares and (min(shares) <= 0 or not math.isclose(sum(shares), 1.0, abs_tol=1e-6)):
                raise MixtureError(f"the proportions of the {kind} sources are {shares}: all above 0, with sum 1")
            if bool(sources) != (self.rows_of(kind) > 0):
                raise MixtureError(f"{self.rows_of(kind)} {kind} rows are wanted from {len(sources)} {kind} sources")
        if unknown := {source.kind for source in self.sources} - set(KINDS):
            raise MixtureError(f"a source's kind is one of {KINDS}, not {sorted(unknown)}")

    def rows_of(self, kind: str) -> int:
        """Return how many rows of a kind there would be if all were equally full."""
        text_rows = round(self.rows * self.text_share)
        return text_rows if kind == "text" else self.rows - text_rows

    def part(self, number: int, count: int) -> Mixture:
        """Return one of `count` equal parts: its rows, and its documents where a source has a number of them."""

        def share(whole: int) -> int:
            return whole * (number + 1) // count - whole * number // count

        def of_part(source: Source) -> Source:
            amount = source.amount
            return replace(source, amount=Choose(share(amount.documents))) if isinstance(amount, Choose) else source

        return replace(self, sources=tuple(map(of_part, self.sources)), rows=share(self.rows))


@dataclass(frozen=True)
class SourceReport:
    """The use of a source. Shares are of the non-padding tokens of its kind's rows; `epochs` is documents drawn /
    held.
    """

    name: str
    kind: str
    documents: int
    documents_drawn: int
    tokens: int
    epochs: float
    wanted_share: float
    share: float


@dataclass(frozen=True)
class MixtureReport:
    """The achieved and the wanted mixture; shares are of tokens, `fill` is of positions."""

    sources: list[SourceReport]
    rows: dict[str, int]
    wanted_text_share: float
    text_share: float
    fill: float
    dropped: dict[str, int] = field(default_factory=dict)

    @property
    def ratio_error(self) -> float:
        """The largest difference between an achieved and a wanted share (0.005 is half a per cent)."""
        errors = [abs(source.share - source.wanted_share) for source in self.sources]
        return max([*errors, abs(self.text_share - self.wanted_text_share)])


def join_reports(reports: Sequence[MixtureReport]) -> MixtureReport:
    """Return the report of a mixture from those of its parts, which have the same sources in the same order."""
    if len(reports) == 1:
        return reports[0]
    tokens_by_kind = [Counter[str]() for _ in reports]
    for report, by_kind in zip(reports, tokens_by_kind, strict=True):
        for source in report.sources:
            by_kind[source.kind] += source.tokens
    kind_tokens = sum(tokens_by_kind, Counter[str]())

    def joined(parts: Sequence[SourceReport]) -> SourceReport:
        kind = parts[0].kind
        documents, drawn, tokens = (
            sum(getattr(part, name) for part in parts) for name in ("documents", "documents_drawn", "tokens")
        )
        wanted = sum(part.wanted_share * own[kind] for part, own in zip(parts, tokens_by_kind, strict=True))
        return replace(
            parts[0],
            documents=documents,
            documents_drawn=drawn,
            tokens=tokens,
            epochs=drawn / documents,
            wanted_share=wanted / kind_tokens[kind],
            share=tokens / kind_tokens[kind],
        )

    rows, dropped = Counter[str](), Counter[str]()
    for report in reports:
        rows.update(report.rows)
        dropped.update(report.dropped)
    return MixtureReport(
        sources=[joined(parts) for parts in zip(*(report.sources for report in reports), strict=True)],
        rows={kind: rows[kind] for kind in reports[0].rows},
        wanted_text_share=reports[0].wanted_text_share,
        text_share=kind_tokens["text"] / kind_tokens.total(),
        fill=sum(report.fill * sum(report.rows.values()) for report in reports) / rows.total(),
        dropped=dict(sorted(dropped.items())),
    )


# Opens a shard of a token set; it is called again whenever the shard is needed, and nothing is held in between.
OpenShard = Callable[[], DocumentArrays]


@dataclass(frozen=True, eq=False)
class MixturePlan:
    """The place of each sequence: arrays with one entry for each placed sequence, in the order of rows and places.

    `source` is its place in the mixture's sources, `shard` and `sequence` its place in the source's shard when that is
    planned for `epoch` (interleave.plan_sequences); `length` is in positions. `kinds` has one entry a row.
    """

    kinds: np.ndarray
    row: np.ndarray
    source: np.ndarray
    shard: np.ndarray
    epoch: np.ndarray
    sequence: np.ndarray
    length: np.ndarray
    report: MixtureReport

    def rows_between(self, first: int, end: int) -> slice:
        """Return the sequences of rows first .. end - 1."""
        return slice(*np.searchsorted(self.row, (first, end)).tolist())


@dataclass(frozen=True, eq=False)
class _Epoch:
    """The documents of a source as sequences: sequences of document d are first[d] .. first[d + 1] - 1."""

    first: np.ndarray
    shard: np.ndarray
    sequence: np.ndarray
    length: np.ndarray
    tokens: np.ndarray
    drops: dict[str, np.ndarray]


@dataclass(eq=False)
class _Draws:
    """Documents drawn from one source, in order: arrays of one entry a draw. Documents without sequences are passed."""

    position: np.ndarray  # among all draws of the source, passed ones included
    document: np.ndarray
    epoch: np.ndarray
    tokens: np.ndarray


class _Drawer:
    """Draws the documents of one source in seeded order, epoch by epoch."""

    def __init__(self, source: Source, shards: Sequence[OpenShard], mixture: Mixture):
        self.source, self.mixture, self.shards = source, mixture, shards
        self.epochs: list[_Epoch] = []
        self.orders: list[np.ndarray] = []
        self.parts: list[_Draws] = []
        self.documents = -1
        self.codes = np.empty(0, np.uint64)  # of the documents' ids, by which draws are made
        self.tokens = 0
        self._read_epoch()
        if not self.documents:
            raise MixtureError(f"source {source.name} has no documents; materialize it, or take it out of the mixture")
        amount = source.amount
        if isinstance(amount, Repeat):
            self.limit = round(amount.times * self.documents)
        elif isinstance(amount, Choose):
            self.limit = amount.documents
        else:
            self.limit = math.floor(mixture.max_epochs * self.documents)
        cap = 1.0 if isinstance(amount, Choose) else mixture.max_epochs
        if self.limit > cap * self.documents + 1e-9 or self.limit < 1:
            raise MixtureError(
                f"source {source.name} has {self.documents} documents and cannot give {self.limit} "
                f"at a cap of {cap} epochs"
            )

    @property
    def exhausted(self) -> bool:
        return len(self.parts) * self.documents >= self.limit

    def draw_epoch(self) -> None:
        """Draw the documents of one more epoch, or of what the limit leaves of it."""
        number = len(self.parts)
        if number == len(self.epochs):
            self._read_epoch()
        epoch = self.epochs[number]
        order = stable_order(self.codes, self.mixture.seed, "draw", number)
        self.orders.append(order)
        order = order[: self.limit - number * self.documents]
        kept = epoch.tokens[order] > 0
        drawn = order[kept]
        position = number * self.documents + np.flatnonzero(kept)
        part = _Draws(position, drawn, np.full(len(drawn), number, _COMPACT), epoch.tokens[drawn])
        if not len(drawn) and not self.exhausted:
            raise MixtureError(f"source {self.source.name}: no document fits a row of {self.mixture.row_length}")
        self.tokens += int(part.tokens.sum())
        self.parts.append(part)

    def draws(self) -> _Draws:
        """Return all draws so far."""
        names = ("position", "document", "epoch", "tokens")
        if not self.parts:
            return _Draws(*(np.empty(0, np.int64) for _ in names))
        return _Draws(*(np.concatenate([getattr(part, name) for part in self.parts]) for name in names))

    def drops(self, drawn: int) -> Counter[str]:
        """Return what was left out of the first `drawn` documents, passed ones included."""
        dropped: Counter[str] = Counter()
        for number, order in enumerate(self.orders):
            seen = order[: max(0, drawn - number * self.documents)]
            for reason, counts in self.epochs[number].drops.items():
                dropped[reason] += int(counts[seen].sum())
        return dropped

    def _read_epoch(self) -> None:
        number = len(self.epochs)
        if number and self.mixture.interleaving.sampling == "deterministic":
            self.epochs.append(self.epochs[0])  # every epoch has the same speech chunks
            return
        parts: list[tuple[np.ndarray, ...]] = []  # of a shard's plan, only what is asked for below: it has every chunk
        codes: list[np.ndarray] = []
        for shard in self.shards:
            documents = shard()
            if not number:
                codes.append(stable_codes(documents.document_ids.to_pylist()))
            plan = plan_sequences(
                documents, self.mixture.interleaving, number, self.mixture.seed, self.mixture.row_length
            )
            place = np.flatnonzero(plan.teaches)
            kept, dropped = plan.document[place], plan.document[~plan.teaches]
            count = len(documents)
            parts.append(
                (
                    np.full(len(place), len(parts), _COMPACT),
                    place.astype(_COMPACT),
                    plan.length[place].astype(_COMPACT),
                    np.bincount(kept, minlength=count).astype(_COMPACT),
                    np.bincount(kept, plan.length[place], count).astype(np.int64),
                    plan.chunks_too_long.astype(_COMPACT),
                    np.bincount(dropped, minlength=count).astype(_COMPACT),
                )
            )
        if not number:
            self.codes = np.concatenate([self.codes, *codes])
        nothing = (np.empty(0, np.int64),) * 7
        shards, sequence, length, counts, tokens, too_long, without_loss = (
            np.concatenate(column) for column in zip(*(parts or [nothing]), strict=True)
        )
        self.documents = len(counts)
        first = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=first[1:])
        self.epochs.append(
            _Epoch(
                first=first,
                shard=shards,
                sequence=sequence,
                length=length,
                tokens=tokens,
                drops={
                    "chunk_longer_than_row": too_long,
                    "piece_without_loss": without_loss,
                    "document_without_tokens": (counts == 0).astype(_COMPACT),
                },
            )
        )


def plan_mixture(mixture: Mixture, token_sets: Mapping[str, Sequence[OpenShard]]) -> MixturePlan:
    """Return the place of each sequence in the rows, in training order.

    `token_sets` maps each source's name to its shards, in a stable order. Text rows and speech-text rows are each
    shuffled and then spread evenly among one another, so that every batch has nearly the mixture's ratio. Raises
    MixtureError when a source is missing or empty, a cap of epochs is reached, or no document fits.
    """
    missing = [source.name for source in mixture.sources if source.name not in token_sets]
    if missing:
        raise MixtureError(f"no documents were given for {missing}")
    sources = {kind: [number for number, source in enumerate(mixture.sources) if source.kind == kind] for kind in KINDS}
    plans = {
        kind: _KindPlan(
            mixture,
            kind,
            {n: _Drawer(mixture.sources[n], token_sets[mixture.sources[n].name], mixture) for n in numbers},
        )
        for kind, numbers in sources.items()
        if numbers
    }
    _match_text_share(mixture, plans)
    rows_by_kind: dict[str, int] = dict.fromkeys(KINDS, 0)
    reports: list[SourceReport] = []
    dropped: Counter[str] = Counter()
    parts: list[tuple[np.ndarray, ...]] = []
    places: list[np.ndarray] = []
    kinds: list[str] = []
    for kind, plan in plans.items():
        sequences, packing = plan.sequences, plan.packing
        source_reports, kind_dropped = _report_sources(kind, plan.drawers, plan.drawn[: plan.draws], plan.wanted)
        reports += source_reports
        dropped.update(kind_dropped)
        rows = rows_by_kind[kind] = len(packing)
        order = stable_rng(mixture.seed, "rows", kind).permutation(rows)
        place = np.empty(rows)
        place[order] = (np.arange(rows) + (0.25 if kind == "text" else 0.75)) / rows
        row = np.repeat(np.arange(rows, dtype=_COMPACT) + len(kinds), np.diff(packing.first))
        parts.append((row, *(part[packing.members] for part in sequences)))
        places.append(place)
        kinds += [kind] * rows
    # Rows in training order: by place, speech-text before text where two places are equal.
    by_place = np.lexsort((np.array(kinds), np.concatenate(places)))
    number = np.empty(len(kinds), _COMPACT)
    number[by_place] = np.arange(len(kinds))
    row, source, shard, epoch, sequence, length = (np.concatenate(column) for column in zip(*parts, strict=True))
    row = number[row]
    by_row = np.argsort(row, kind="stable")
    report = MixtureReport(
        sources=reports,
        rows=rows_by_kind,
        wanted_text_share=mixture.text_share,
        text_share=sum(one.tokens for one in reports if one.kind == "text") / sum(one.tokens for one in reports),
        fill=sum(report.tokens for report in reports) / (len(kinds) * mixture.row_length),
        dropped=dict(sorted((reason, count) for reason, count in dropped.items() if count)),
    )
    return MixturePlan(
        np.array(kinds)[by_place],
        row[by_row],
        source[by_row],
        shard[by_row],
        epoch[by_row],
        sequence[by_row],
        length[by_row],
        report,
    )


class _KindPlan:
    """The draws of one kind and their places in rows; `fill_rows` plans them, and may be called again."""

    def __init__(self, mixture: Mixture, kind: str, drawers: dict[int, _Drawer]):
        self.mixture, self.kind, self.drawers = mixture, kind, drawers
        self.has_proportions = any(isinstance(drawer.source.amount, Proportion) for drawer in drawers.values())
        self.fill_rows(mixture.rows_of(kind))

    @property
    def tokens(self) -> int:
        return int(self.lengths[: self.draws].sum())

    def fill_rows(self, rows: int) -> None:
        """Take the documents that `rows` rows hold. Raises MixtureError where not one document fits."""
        self.rows = rows
        self.drawn, self.wanted, shortage = _draw_kind(self.mixture, self.kind, rows, self.drawers)
        self.lengths = np.empty(len(self.drawn), np.int64)
        for n, drawer in self.drawers.items():
            mine = self.drawn[:, 0] == n
            self.lengths[mine] = drawer.draws().tokens[self.drawn[mine, 1]]
        self.sequences, self.packing, self.draws = _pack_kind(self.mixture, self.kind, rows, self.drawers, self.drawn)
        if shortage and self.draws == len(self.drawn):
            raise MixtureError(shortage)  # with less than all of it the rows would be full: they hold padding too
        if not self.draws:
            first = self.mixture.sources[self.drawn[0, 0]].name
            raise MixtureError(
                f"source {first}: a document of {self.lengths[0]} tokens is longer than the {rows} {self.kind} rows of "
                f"{self.mixture.row_length} together: raise rows, or cut the document"
            )


def _match_text_share(mixture: Mixture, plans: Mapping[str, _KindPlan]) -> None:
    """Deal the rows among the kinds by how full they are, so that text has its share of the tokens."""
    if len(plans) < 2 or not all(plan.has_proportions for plan in plans.values()):
        return
    text, speech = plans["text"], plans["speech_text"]
    for _ in range(_DEALS):  # how full rows are depends on their number, a little
        wanted = mixture.text_share * speech.tokens / speech.rows
        others = (1 - mixture.text_share) * text.tokens / text.rows
        text_rows = min(max(1, round(mixture.rows * wanted / (wanted + others))), mixture.rows - 1)
        if text_rows == text.rows:
            return
        text.fill_rows(text_rows)
        speech.fill_rows(mixture.rows - text_rows)


def _draw_kind(
    mixture: Mixture, kind: str, rows: int, drawers: dict[int, _Drawer]
) -> tuple[np.ndarray, dict[int, float], str]:
    """Draw one kind's documents up to its rows; return them (the fixed sources' first) and the wanted shares.

    A draw is (source, number among the source's draws). The string says which source ended before its share of the
    rows' positions; it is empty where none did.
    """
    slots = rows * mixture.row_length
    shares = {
        n: drawer.source.amount.share for n, drawer in drawers.items() if isinstance(drawer.source.amount, Proportion)
    }
    fixed = [n for n in drawers if n not in shares]
    for n in fixed:
        while not drawers[n].exhausted:
            drawers[n].draw_epoch()
    draws = [_numbered(n, len(drawers[n].draws().tokens)) for n in fixed]
    taken = {n: float(drawers[n].tokens) for n in fixed}
    left = slots - sum(taken.values())
    if shares and left <= 0:
        raise MixtureError(
            f"the {kind} sources with repeat or choose take {sum(taken.values()):.0f} of {slots} tokens: nothing is "
            "left for the proportions; lower the repeats or raise rows"
        )
    shortage = ""
    if shares:
        drawn, shortage = _draw_shares(mixture, kind, {n: drawers[n] for n in shares}, shares, left)
        draws.append(drawn)
    total = slots if shares else sum(taken.values())
    wanted = {n: tokens / total for n, tokens in taken.items()}
    wanted |= {n: share * left / total for n, share in shares.items()}
    return np.concatenate(draws), wanted, shortage


def _numbered(source: int, count: int) -> np.ndarray:
    return np.stack([np.full(count, source), np.arange(count)], 1)


def _draw_shares(
    mixture: Mixture, kind: str, drawers: dict[int, _Drawer], shares: dict[int, float], left: float
) -> tuple[np.ndarray, str]:
    """Return draws, the next one always from the source that is furthest behind its share, up to `left` tokens.

    Where a source ends before, they end with it, and the string says so.
    """
    for n, drawer in drawers.items():
        while drawer.tokens < shares[n] * left and not drawer.exhausted:
            drawer.draw_epoch()
    while True:
        tokens = {n: drawer.draws().tokens for n, drawer in drawers.items()}
        # A draw is due at the middle of its document: a source then ends within half a document of its share, not
        # within a whole. A source's due times rise, so taking the least one each time is sorting all of them.
        due = [(np.cumsum(part) - part + part / 2) / shares[n] for n, part in tokens.items()]
        merged = np.argsort(np.concatenate(due), kind="stable")
        numbered = np.concatenate([_numbered(n, len(part)) for n, part in tokens.items()])[merged]
        reached = np.cumsum(np.concatenate(list(tokens.values()))[merged])
        count = int(np.searchsorted(reached, left)) + 1
        last_due = np.concatenate(due)[merged[count - 1]] if count <= len(merged) else math.inf
        first_short = min(drawers, key=lambda n: drawers[n].tokens / shares[n])
        drawer = drawers[first_short]
        if drawer.tokens / shares[first_short] >= last_due:
            return numbered[:count], ""
        if drawer.exhausted:
            even = np.concatenate(due)[merged] <= drawer.tokens / shares[first_short]
            return numbered[: int(even.sum())], (
                f"source {drawer.source.name} ({drawer.documents} documents, {drawer.tokens} tokens in "
                f"{mixture.max_epochs} epochs) cannot give {shares[first_short]:.3f} of {left:.0f} {kind} tokens: "
                "raise max_epochs, lower its share or rows, or add data"
            )
        drawer.draw_epoch()


def _pack_kind(
    mixture: Mixture, kind: str, rows: int, drawers: dict[int, _Drawer], drawn: np.ndarray
) -> tuple[tuple[np.ndarray, ...], Packing, int]:
    """Pack the draws; where proportions fill the kind, take the longest prefix that fits its rows.

    Returns (source, shard, epoch, sequence, length) of the drawn sequences, their packing, and how many draws it holds.
    """
    source = drawn[:, 0].astype(_COMPACT)
    count = np.empty(len(drawn), np.int64)  # sequences of each draw
    begin = np.empty(len(drawn), np.int64)  # the first of them, among those of the source's epoch
    epoch = np.empty(len(drawn), _COMPACT)
    for n, drawer in drawers.items():
        mine = source == n
        draws = drawer.draws()
        document, epoch[mine] = draws.document[drawn[mine, 1]], draws.epoch[drawn[mine, 1]]
        for number, of_epoch in enumerate(drawer.epochs):
            here = np.flatnonzero(mine)[epoch[mine] == number]
            chosen = document[epoch[mine] == number]
            begin[here] = of_epoch.first[chosen]
            count[here] = of_epoch.first[chosen + 1] - of_epoch.first[chosen]
    place = ranges(begin, count)
    source, epoch = np.repeat(source, count), np.repeat(epoch, count)
    columns = {name: np.empty(len(place), _COMPACT) for name in ("shard", "sequence", "length")}
    for n, drawer in drawers.items():
        for number, of_epoch in enumerate(drawer.epochs):
            here = np.flatnonzero((source == n) & (epoch == number))
            for name, column in columns.items():
                column[here] = getattr(of_epoch, name)[place[here]]
    ends = np.cumsum(count)

    def pack(draws: int) -> Packing:
        return best_fit_decreasing(columns["length"][: ends[draws - 1] if draws else 0], mixture.row_length)

    free = np.array([isinstance(source.amount, Proportion) for source in mixture.sources])[drawn[:, 0]]
    first_free = int(np.argmax(free)) if free.any() else len(drawn)
    draws, packing = len(drawn), pack(len(drawn))
    if first_free < len(drawn) and len(packing) > rows:
        fits, over = first_free, len(drawn)
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (middle, over) if len(pack(middle)) <= rows else (fits, middle)
        draws, packing = fits, pack(fits)
    return (source, columns["shard"], epoch, columns["sequence"], columns["length"]), packing, draws


def _report_sources(
    kind: str, drawers: dict[int, _Drawer], drawn: np.ndarray, wanted: dict[int, float]
) -> tuple[list[SourceReport], Counter[str]]:
    counts = {n: int((drawn[:, 0] == n).sum()) for n in drawers}
    tokens = {n: int(drawer.draws().tokens[: counts[n]].sum()) for n, drawer in drawers.items()}
    dropped: Counter[str] = Counter()
    for n, drawer in drawers.items():
        if counts[n]:
            dropped.update(drawer.drops(int(drawer.draws().position[counts[n] - 1]) + 1))
    return [
        SourceReport(
            name=drawer.source.name,
            kind=kind,
            documents=drawer.documents,
            documents_drawn=counts[n],
            tokens=tokens[n],
            epochs=counts[n] / drawer.documents,
            wanted_share=wanted[n],
            share=tokens[n] / sum(tokens.values()),
        )
        for n, drawer in drawers.items()
    ], dropped


@dataclass(frozen=True, eq=False)
class Written:
    """Written sequences of one shard of a source: `ids` and `loss_mask` end to end, the rest one entry a sequence."""

    ids: np.ndarray
    loss_mask: np.ndarray
    switches: np.ndarray
    document_id: pa.Array
    source_id: pa.Array


def write_planned(
    mixture: Mixture, layout: Layout, plan: MixturePlan, members: np.ndarray, documents: DocumentArrays
) -> Written:
    """Return the plan's sequences from one shard of one source, in the order of `members`.

    `members` are their places in the plan; `documents` are those of the shard.
    """
    epochs = plan.epoch[members]
    order = np.argsort(epochs, kind="stable")
    parts: list[tuple[np.ndarray, ...]] = []
    for epoch in np.unique(epochs).tolist():
        sequences = plan_sequences(documents, mixture.interleaving, epoch, mixture.seed, mixture.row_length)
        wanted = plan.sequence[members[order][epochs[order] == epoch]]
        written = write_sequences(documents, sequences, wanted, layout, mixture.interleaving.loss_on_speech)
        parts.append((written.ids, written.loss_mask, sequences.switches[wanted], sequences.document[wanted]))
    ids, loss_mask, switches, document = (np.concatenate(column) for column in zip(*parts, strict=True))
    # Back from the order of epochs to the requested order.
    length = plan.length[members].astype(np.int64)
    first = np.cumsum(length[order]) - length[order]
    back = np.argsort(order, kind="stable")
    place = ranges(first[back], length)
    taken = pa.array(document[back])
    return Written(
        ids[place],
        loss_mask[place],
        switches[back],
        documents.document_ids.take(taken),
        documents.source_ids.take(taken),
    )


def rows_of_plan(
    mixture: Mixture,
    layout: Layout,
    plan: MixturePlan,
    first: int,
    end: int,
    written: Mapping[tuple[int, int], Written],
    rows_before: int = 0,
) -> pa.Table:
    """Return rows first .. end - 1 of a plan as a table of PackedRow, numbered from `rows_before` + first.

    `written` maps (source, shard) to that shard's sequences of these rows, in the order of the plan.
    """
    span = plan.rows_between(first, end)
    row, length = (column[span].astype(np.int64) for column in (plan.row, plan.length))
    source, shard = plan.source[span], plan.shard[span]
    start = np.cumsum(length) - length
    ids, loss_mask = np.empty(int(length.sum()), np.int32), np.empty(int(length.sum()), np.int8)
    switches = np.empty(len(length), np.int64)
    places: list[np.ndarray] = []
    for (number, part), sequences in written.items():
        mine = np.flatnonzero((source == number) & (shard == part))
        target = ranges(start[mine], length[mine])
        ids[target], loss_mask[target], switches[mine] = sequences.ids, sequences.loss_mask, sequences.switches
        places.append(mine)
    back = pa.array(np.argsort(np.concatenate(places)))
    strings = [
        pa.concat_arrays([getattr(sequences, name) for sequences in written.values()]).take(back)
        for name in ("document_id", "source_id")
    ]
    names = pa.array([source.name for source in mixture.sources], pa.string()).take(pa.array(source))
    spans = Spans(row - first, length, switches, plan.epoch[span], strings[0], names, strings[1])
    return build_rows(
        rows_before + first, plan.kinds[first:end].tolist(), spans, ids, loss_mask, mixture.row_length, layout
    )


def make_mixture(
    mixture: Mixture, layout: Layout, documents: Mapping[str, Sequence[TokenDocument]]
) -> tuple[list[PackedRow], MixtureReport]:
    """Return the packed rows of a mixture of documents in memory, in training order, and the report."""
    arrays = {name: arrays_of_records(records) for name, records in documents.items()}
    plan = plan_mixture(mixture, {name: [lambda part=part: part] for name, part in arrays.items()})
    written = {
        (n, 0): write_planned(mixture, layout, plan, np.flatnonzero(plan.source == n), arrays[source.name])
        for n, source in enumerate(mixture.sources)
        if (plan.source == n).any()
    }
    table = rows_of_plan(mixture, layout, plan, 0, len(plan.kinds), written)
    return from_table(table, PackedRow), plan.report
