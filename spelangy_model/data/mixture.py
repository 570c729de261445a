"""Mixtures: how much of which token set a run trains on, exact in tokens.

Put here: the definition of a mixture, the drawing of documents, and the report of what was achieved. Do not put
here: the sequence format (interleave.py) or reading and writing of shards (stages/mix.py).

Ratios are in tokens of rows, as the paper counts: `text_share` is the share of text-only rows among all rows (60/40 in
the paper), and the sources of a kind share the tokens of that kind's rows. Each source says exactly one of
  Proportion(share)   that share of its kind's tokens, in as many epochs as it takes, up to the cap
  Repeat(times)       every document that many times (2.5: all twice, a seeded half once more)
  Choose(documents)   that many documents, drawn without replacement
Repeat and Choose take what they take; proportions divide the rest of their kind and sum to 1.

Documents are drawn in seeded order, epoch by epoch; the next one always comes from the source that is furthest
behind its share, so the ratio holds to within half a document of each source at any point. A kind with a proportion
fills its rows exactly; a kind without one has as many rows as its documents need.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spelangy_model.data.interleave import Interleaving, TokenSequence, interleave_to_rows
from spelangy_model.data.packing import best_fit_decreasing, build_row
from spelangy_model.records import PackedRow, TokenDocument
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.vocab import Layout

KINDS = ("text", "speech_text")


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
    """So many documents, without replacement."""

    documents: int


@dataclass(frozen=True)
class Source:
    """A token set in a mixture: its name (which its spans bear), its kind of row, and its amount."""

    name: str
    kind: str
    amount: Proportion | Repeat | Choose


@dataclass(frozen=True)
class Mixture:
    """What a run trains on. `rows` of `row_length` positions, of which `text_share` are text-only rows."""

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
        """Return how many rows of a kind are wanted."""
        text_rows = round(self.rows * self.text_share)
        return text_rows if kind == "text" else self.rows - text_rows


@dataclass(frozen=True)
class SourceReport:
    """What a source gave. Shares are of the non-padding tokens of its kind's rows; `epochs` is documents drawn /
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
    """What was achieved, beside what was wanted."""

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


@dataclass(eq=False)
class _Draw:
    """One document drawn: its sequences (several when it was longer than a row), and its origin."""

    source: str
    sequences: list[TokenSequence]
    document: TokenDocument
    epoch: int
    tokens: int


class _Drawer:
    """Draws the documents of one source in seeded order, epoch by epoch."""

    def __init__(self, source: Source, documents: Sequence[TokenDocument], mixture: Mixture, layout: Layout):
        if not documents:
            raise MixtureError(f"source {source.name} has no documents; materialize it, or take it out of the mixture")
        self.source, self.documents, self.mixture, self.layout = source, documents, mixture, layout
        self.drawn, self.tokens = 0, 0
        self.epoch_tokens = 0
        self.order: list[int] = []
        self.dropped: Counter[str] = Counter()
        amount = source.amount
        if isinstance(amount, Repeat):
            self.limit = round(amount.times * len(documents))
        elif isinstance(amount, Choose):
            self.limit = amount.documents
        else:
            self.limit = math.floor(mixture.max_epochs * len(documents))
        cap = 1.0 if isinstance(amount, Choose) else mixture.max_epochs
        if self.limit > cap * len(documents) + 1e-9 or self.limit < 1:
            raise MixtureError(
                f"source {source.name} has {len(documents)} documents and cannot give {self.limit} "
                f"at a cap of {cap} epochs"
            )

    def next(self) -> _Draw | None:
        """Return the next document with tokens, or None at the source's limit."""
        while self.drawn < self.limit:
            epoch, place = divmod(self.drawn, len(self.documents))
            if place == 0:
                if epoch and not self.epoch_tokens:
                    raise MixtureError(
                        f"source {self.source.name}: no document fits a row of {self.mixture.row_length}"
                    )
                rng = stable_rng(self.mixture.seed, "draw", self.source.name, epoch)
                self.order, self.epoch_tokens = rng.permutation(len(self.documents)).tolist(), 0
            self.drawn += 1
            document = self.documents[self.order[place]]
            sequences, too_long = interleave_to_rows(
                document, self.layout, self.mixture.interleaving, epoch, self.mixture.seed, self.mixture.row_length
            )
            if too_long:
                self.dropped["chunk_longer_than_row"] += too_long
            teaching = [sequence for sequence in sequences if sequence.loss_mask.any()]
            if len(teaching) < len(sequences):
                self.dropped["piece_without_loss"] += len(sequences) - len(teaching)
            if not teaching:
                self.dropped["document_without_tokens"] += 1
                continue
            sequences = teaching
            tokens = sum(len(sequence.ids) for sequence in sequences)
            self.tokens += tokens
            self.epoch_tokens += tokens
            return _Draw(self.source.name, sequences, document, epoch, tokens)
        return None


def make_mixture(
    mixture: Mixture, layout: Layout, documents: Mapping[str, Sequence[TokenDocument]]
) -> tuple[list[PackedRow], MixtureReport]:
    """Return the packed rows of a mixture in training order, and the report of what was achieved.

    `documents` maps each source's name to its documents, in a stable order. Text rows and speech-text rows are
    each shuffled and then spread evenly among one another, so that every batch has nearly the mixture's ratio.
    Raises MixtureError when a source is missing or empty, a cap of epochs is reached, or no document fits.
    """
    missing = [source.name for source in mixture.sources if source.name not in documents]
    if missing:
        raise MixtureError(f"no documents were given for {missing}")
    placed: list[tuple[float, str, list[tuple[TokenSequence, str, str, str, int]]]] = []
    reports: list[SourceReport] = []
    dropped: Counter[str] = Counter()
    rows_by_kind: dict[str, int] = {}
    for kind in KINDS:
        sources = [source for source in mixture.sources if source.kind == kind]
        if not sources:
            rows_by_kind[kind] = 0
            continue
        drawers = {source.name: _Drawer(source, documents[source.name], mixture, layout) for source in sources}
        draws, wanted = _draw_kind(mixture, kind, drawers)
        draws, rows = _pack_kind(mixture, kind, draws)
        reports += _report_sources(kind, drawers, draws, wanted)
        for drawer in drawers.values():
            dropped.update(drawer.dropped)
        rows_by_kind[kind] = len(rows)
        order = stable_rng(mixture.seed, "rows", kind).permutation(len(rows)).tolist()
        phase = 0.25 if kind == "text" else 0.75
        placed += [((place + phase) / len(rows), kind, rows[row]) for place, row in enumerate(order)]
    placed.sort(key=lambda item: item[:2])
    packed = [
        build_row(number, kind, members, mixture.row_length, layout) for number, (_, kind, members) in enumerate(placed)
    ]
    slots = len(packed) * mixture.row_length
    report = MixtureReport(
        sources=reports,
        rows=rows_by_kind,
        wanted_text_share=mixture.text_share,
        text_share=rows_by_kind["text"] / len(packed),
        fill=sum(source.tokens for source in reports) / slots,
        dropped=dict(sorted(dropped.items())),
    )
    return packed, report


def _draw_kind(mixture: Mixture, kind: str, drawers: dict[str, _Drawer]) -> tuple[list[_Draw], dict[str, float]]:
    """Draw one kind's documents up to its slots; return them (the fixed sources' first) and the wanted shares."""
    slots = mixture.rows_of(kind) * mixture.row_length
    fixed = [d for d in drawers.values() if not isinstance(d.source.amount, Proportion)]
    draws: list[_Draw] = []
    for drawer in fixed:
        while (draw := drawer.next()) is not None:
            draws.append(draw)
    taken = {drawer.source.name: float(drawer.tokens) for drawer in fixed}
    free = [d for d in drawers.values() if isinstance(d.source.amount, Proportion)]
    left = slots - sum(taken.values())
    if free and left <= 0:
        raise MixtureError(
            f"the {kind} sources with repeat or choose take {sum(taken.values()):.0f} of {slots} tokens: nothing is "
            "left for the proportions; lower the repeats or raise rows"
        )
    shares = {d.source.name: d.source.amount.share for d in free if isinstance(d.source.amount, Proportion)}
    drawn = dict.fromkeys(shares, 0)
    upcoming: dict[str, _Draw | None] = {}

    def due(drawer: _Drawer) -> float:
        # The middle of the next document: a source then ends within half a document of its share, not within a whole.
        draw = upcoming[drawer.source.name]
        return (drawn[drawer.source.name] + (draw.tokens / 2 if draw else 0)) / shares[drawer.source.name]

    while free and sum(drawn.values()) < left:
        upcoming |= {d.source.name: d.next() for d in free if d.source.name not in upcoming}
        drawer = min(free, key=due)
        draw = upcoming.pop(drawer.source.name)
        if draw is None:
            held = len(drawer.documents)
            raise MixtureError(
                f"source {drawer.source.name} ({held} documents, {drawer.tokens} tokens in {mixture.max_epochs} "
                f"epochs) cannot give {shares[drawer.source.name]:.3f} of {left:.0f} {kind} tokens: raise "
                "max_epochs, lower its share or rows, or add data"
            )
        draws.append(draw)
        drawn[drawer.source.name] += draw.tokens
    total = slots if free else sum(taken.values())
    wanted = {name: tokens / total for name, tokens in taken.items()}
    wanted |= {name: share * left / total for name, share in shares.items()}
    return draws, wanted


def _pack_kind(
    mixture: Mixture, kind: str, draws: list[_Draw]
) -> tuple[list[_Draw], list[list[tuple[TokenSequence, str, str, str, int]]]]:
    """Pack the draws; where proportions fill the kind, take the longest prefix that fits its rows."""
    sources = {source.name: source for source in mixture.sources}
    first_free = next(
        (i for i, draw in enumerate(draws) if isinstance(sources[draw.source].amount, Proportion)), len(draws)
    )

    def pack(count: int) -> list[list[int]]:
        lengths = [len(sequence.ids) for draw in draws[:count] for sequence in draw.sequences]
        return best_fit_decreasing(lengths, mixture.row_length)

    count, rows = len(draws), pack(len(draws))
    if first_free < len(draws) and len(rows) > mixture.rows_of(kind):
        fits, over = first_free, len(draws)
        while over - fits > 1:
            middle = (fits + over) // 2
            fits, over = (middle, over) if len(pack(middle)) <= mixture.rows_of(kind) else (fits, middle)
        count, rows = fits, pack(fits)
    members = [
        (sequence, draw.document.document_id, draw.source, draw.document.source_id, draw.epoch)
        for draw in draws[:count]
        for sequence in draw.sequences
    ]
    return draws[:count], [[members[index] for index in row] for row in rows]


def _report_sources(
    kind: str, drawers: dict[str, _Drawer], draws: list[_Draw], wanted: dict[str, float]
) -> list[SourceReport]:
    counts: Counter[str] = Counter()
    tokens: Counter[str] = Counter()
    for draw in draws:
        counts[draw.source] += 1
        tokens[draw.source] += draw.tokens
    total = tokens.total()
    return [
        SourceReport(
            name=name,
            kind=kind,
            documents=len(drawer.documents),
            documents_drawn=counts[name],
            tokens=tokens[name],
            epochs=counts[name] / len(drawer.documents),
            wanted_share=wanted[name],
            share=tokens[name] / total,
        )
        for name, drawer in drawers.items()
    ]
