"""Chunking: the transcripts of a recording become (audio, text) pairs, coarse or fine.

Put here: where a chunk begins and ends. Do not put here: votes and filters, encoding of sound, records of shards.

After "Data-Centric Lessons To Improve Speech-Language Pretraining". Both chunkings are made from the same transcripts:

* coarse: consecutive segments of the same speaker are merged while the gap and the merged length allow it.
* fine: segments are not merged; each is cut at its sentence ends, and a long sentence at its longest pauses.

A segment of another speaker, or one that a filter dropped, between two segments keeps them apart: its sound has no
text. A document is a run of consecutive chunks.

A cut is at the quietest place between two words. Quiet is measured over a tenth of a second, so that the closure inside
a "t" does not count. Of a quiet stretch a chunk takes the first twentieth of a second after a word (the last before a
word), so that the edge marks the end of the word; the rest of a pause inside a turn belongs to the next chunk. A
stretch hardly quieter than the speech around it is not a pause: there the cut is at the single quietest point. Word
times decide where to look; turns count only where they do not contradict word times, because a diarizer changes the
speaker 0.2 s early or late. If there is no quiet between two words but a long quiet stretch close by, the recognizer
has counted the silence as part of a word, as Whisper does at the start of a window; then the cut is in that silence,
and the word's time ends at the cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import accumulate, pairwise
from typing import ClassVar

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.words import text_of
from spelangy_model.records import DroppedTranscript, Transcript, Word
from spelangy_model.text.sentences import split_sentences

_FRAME_S = 0.01
_QUIETEST_DB = -70.0  # below this level, all silence counts as equally quiet
_SAME_DB = 3.0
_MUCH_QUIETER_DB = 10.0
_PAUSE_S = 0.1
_LONG_PAUSE_S = 0.3
_SHORT_S = 0.06
_AROUND_S = 0.5
_PAD_S = 0.02


@dataclass(frozen=True, kw_only=True)
class Edges:
    """The rules for the edges of chunks and documents, for all kinds of chunks."""

    margin_s: float = 0.5
    """How far before its first word and after its last one a chunk may reach for a quiet point, not into speech or
    dropped segments; it takes at most a twentieth of a second of the quiet stretch."""
    slack_s: float = 0.4
    """How far a word's time may be wrong, at most half of the word."""
    max_document_gap_s: float = 10.0
    """A longer gap between chunks begins a new document."""
    max_document_chunks: int = 64
    """More chunks than this begin a new document."""

    def __post_init__(self) -> None:
        for option in fields(self):
            value = getattr(self, option.name)
            if value is not None and not value >= 0:  # as it is not of a NaN
                raise ValueError(f"{option.name} is {value}: take 0 or more")
        if self.max_document_chunks < 1:
            raise ValueError(f"max_document_chunks is {self.max_document_chunks}: take at least 1")


@dataclass(frozen=True, kw_only=True)
class Turns(Edges):
    """Coarse chunks: consecutive segments of one speaker are merged."""

    PAPER_MEAN_S: ClassVar[float] = 19.2
    max_s: float = 30.0
    """No merged chunk is longer than this; a single longer segment is kept as it is."""
    max_gap_s: float = 2.0
    """The longest silence inside of a merged chunk."""


@dataclass(frozen=True, kw_only=True)
class Sentences(Edges):
    """Fine chunks: segments are not merged, and cut further at their sentence ends."""

    PAPER_MEAN_S: ClassVar[float] = 5.2
    max_s: float | None = None
    """A sentence whose words last longer is cut at its longest pauses; None: sentences stay whole."""
    min_sentence_s: float = 1.0
    """A shorter sentence stays with its neighbour."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_sentence_s <= 0:
            raise ValueError(f"min_sentence_s is {self.min_sentence_s}: take more than 0")
        if self.max_s is not None and self.max_s <= self.min_sentence_s:
            raise ValueError(f"max_s is {self.max_s}: take more than min_sentence_s, which is {self.min_sentence_s}")


ChunkRule = Turns | Sentences


@dataclass(frozen=True)
class Span:
    """A chunk before its sound is cut: `document` counts the recording's documents, `index` the document's chunks.

    Times are seconds from the start of the recording, on whole samples. No word reaches out of its span.
    """

    document: int
    index: int
    speaker: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]

    @property
    def text(self) -> str:
        return text_of(self.words)


def chunk_recording(
    samples: np.ndarray,
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    rule: ChunkRule,
) -> list[Span]:
    """Return the chunks of one recording, in order of time.

    `samples` (n,): the whole recording at 16 kHz. `dropped`: the segments whose sound has no text. Every word of
    the transcripts is in exactly one chunk; chunks overlap only where speech does.
    """
    turns = _turns(transcripts, dropped, rule)
    last_to_end = [None, *accumulate(turns, lambda a, b: max(a, b, key=lambda turn: turn.last_s))]
    first_to_begin = [None, *accumulate(reversed(turns), lambda a, b: min(a, b, key=lambda turn: turn.first_s))][::-1]
    energy = _energy(samples)
    duration_s = len(samples) / SAMPLE_RATE_HZ
    spans: list[Span] = []
    document = index = 0
    for first, last in _merged(turns, rule):
        group = turns[first : last + 1]
        words = [word for turn in group for word in turn.words]
        sentences = [words] if isinstance(rule, Turns) else _sentences_of(words, rule)
        cuts = [_longest(energy, _between(a[-1], b[0], rule)) for a, b in pairwise(sentences)]
        start_s = _begin(energy, min(group, key=lambda turn: turn.first_s), last_to_end[first], rule)
        end_s = _end(energy, max(group, key=lambda turn: turn.last_s), first_to_begin[last + 1], duration_s, rule)
        if end_s <= start_s:  # words without any length: only the turn's times are known
            start_s, end_s = turns[first].start_s, min(turns[last].end_s, duration_s)
        edges = [_on_sample(edge) for edge in (start_s, *cuts, end_s)]
        for part, begin, end in zip(sentences, edges, edges[1:], strict=False):
            if spans and (begin - spans[-1].end_s > rule.max_document_gap_s or index >= rule.max_document_chunks):
                document, index = document + 1, 0
            spans.append(Span(document, index, turns[first].speaker, begin, end, tuple(_inside(part, begin, end))))
            index += 1
    return spans


def _inside(words: Sequence[Word], begin_s: float, end_s: float) -> list[Word]:
    def kept(time_s: float) -> float:
        return min(max(time_s, begin_s), end_s)

    return [replace(word, start_s=kept(word.start_s), end_s=kept(word.end_s)) for word in words]


# --- turns and how they are merged --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Turn:
    """A segment, kept (with words) or dropped (without).

    `first_s`, `last_s`: where its first word begins and its last one ends, or all of a dropped one. `from_s`, `to_s`:
    the same, widened to where the diarizer found speech, by `slack_s` at most.
    """

    speaker: str
    start_s: float
    end_s: float
    words: tuple[Word, ...]
    first_s: float
    last_s: float
    from_s: float
    to_s: float


def _turns(transcripts: Sequence[Transcript], dropped: Sequence[DroppedTranscript], rule: ChunkRule) -> list[_Turn]:
    turns = [_Turn(d.speaker, d.start_s, d.end_s, (), *(d.start_s, d.end_s) * 2) for d in dropped]
    for t in transcripts:
        if t.words:
            # A recognizer's words may reach out of their segment a little; the turn covers both.
            first_s, last_s = t.words[0].start_s, t.words[-1].end_s
            start_s, end_s = min(t.start_s, first_s), max(t.end_s, last_s)
            from_s, to_s = max(start_s, first_s - rule.slack_s), min(end_s, last_s + rule.slack_s)
            turns.append(_Turn(t.speaker, start_s, end_s, tuple(t.words), first_s, last_s, from_s, to_s))
    return sorted(turns, key=lambda turn: (turn.start_s, turn.end_s, turn.speaker))


def _merged(turns: Sequence[_Turn], rule: ChunkRule) -> list[tuple[int, int]]:
    """Return the first and last turn of each group that becomes one chunk or is cut into chunks; fine never merges."""
    groups: list[tuple[int, int]] = []
    for i, turn in enumerate(turns):
        if not turn.words:
            continue
        before = turns[i - 1] if i else None
        if (
            isinstance(rule, Turns)
            and before is not None
            and before.words
            and before.speaker == turn.speaker
            and turn.start_s - before.end_s <= rule.max_gap_s
            and turn.to_s - turns[groups[-1][0]].from_s + 2 * rule.margin_s <= rule.max_s
        ):
            groups[-1] = (groups[-1][0], i)
        else:
            groups.append((i, i))
    return groups


def _sentences_of(words: Sequence[Word], rule: Sentences) -> list[list[Word]]:
    """Return the parts of a segment that are chunks of the fine rule."""
    parts = _sentences(words, rule.min_sentence_s)
    if rule.max_s is None:
        return parts
    return [piece for part in parts for piece in _no_longer(part, rule.max_s)]


def _no_longer(words: list[Word], max_s: float) -> list[list[Word]]:
    """Cut words that last longer than `max_s` at their longest pause, of equal ones at the one nearest the middle."""
    if len(words) < 2 or words[-1].end_s - words[0].start_s <= max_s:
        return [words]
    middle_s = (words[0].start_s + words[-1].end_s) / 2

    def worth(place: int) -> tuple[float, float]:
        before, after = words[place - 1], words[place]
        return round(after.start_s - before.end_s, 2), -abs(after.start_s - middle_s)

    place = max(range(1, len(words)), key=worth)
    return [*_no_longer(words[:place], max_s), *_no_longer(words[place:], max_s)]


def _sentences(words: Sequence[Word], min_s: float) -> list[list[Word]]:
    """Cut words at sentence ends; a part shorter than `min_s` stays with the next one, the last with the one before."""
    sizes = [len("".join(sentence.split())) for sentence in split_sentences(text_of(words))]
    ends = set(np.cumsum(sizes).tolist())  # in characters without spaces, which no splitter changes
    parts: list[list[Word]] = [[]]
    characters = 0
    for word in words:
        parts[-1].append(word)
        characters += len("".join(word.text.split()))
        if characters in ends and parts[-1][-1].end_s - parts[-1][0].start_s >= min_s:
            parts.append([])
    if not parts[-1]:
        parts.pop()
    if len(parts) > 1 and parts[-1][-1].end_s - parts[-1][0].start_s < min_s:
        parts[-2].extend(parts.pop())
    return parts


# --- the allowed places of edges ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Gap:
    """The time between two words, and how far outside it a cut may be if their times are wrong (seconds)."""

    from_s: float
    to_s: float
    before_s: float = 0.0
    after_s: float = 0.0


def _slack_s(word: Word, rule: ChunkRule) -> float:
    return min(rule.slack_s, (word.end_s - word.start_s) / 2)


def _between(a: Word, b: Word, rule: ChunkRule) -> _Gap:
    return _Gap(a.end_s, b.start_s, _slack_s(a, rule), _slack_s(b, rule))


def _apart(left: _Turn, right: _Turn, rule: ChunkRule) -> _Gap | None:
    """Return the gap between two turns, by diarizer and words, or else by the words alone; None: they speak at once."""
    before_s = _slack_s(left.words[-1], rule) if left.words else 0.0
    after_s = _slack_s(right.words[0], rule) if right.words else 0.0
    for from_s, to_s in ((left.to_s, right.from_s), (left.last_s, right.first_s)):
        if from_s <= to_s:
            return _Gap(from_s, to_s, before_s, after_s)
    return None


def _begin(energy: np.ndarray, turn: _Turn, before: _Turn | None, rule: ChunkRule) -> float:
    """Return where a chunk begins whose first turn is `turn`, while `before` is the last one to end ahead of it.

    It looks no further than the margin for a quiet point; but the two chunks beside a short gap both look at the whole
    of it, so that they do not overlap.
    """
    reach_s = max(turn.from_s - rule.margin_s, 0.0)
    gap = None
    if before is not None and before.last_s >= reach_s - rule.margin_s:
        gap = _apart(before, turn, rule)
    if gap is None:
        gap = _Gap(reach_s, turn.from_s, 0.0, _slack_s(turn.words[0], rule))
    return max(_near(energy, gap, from_left=False), reach_s)


def _end(energy: np.ndarray, turn: _Turn, after: _Turn | None, duration_s: float, rule: ChunkRule) -> float:
    """Return where a chunk ends whose last turn is `turn`, while `after` is the first one to begin behind it."""
    reach_s = min(turn.to_s + rule.margin_s, duration_s)
    gap = None
    if after is not None and after.first_s <= reach_s + rule.margin_s:
        gap = _apart(turn, after, rule)
    if gap is None:
        gap = _Gap(turn.to_s, reach_s, _slack_s(turn.words[-1], rule), 0.0)
    return min(_near(energy, gap, from_left=True), reach_s)


# --- quiet points -------------------------------------------------------------------------------------------------


def _energy(samples: np.ndarray) -> np.ndarray:
    """Return the summed power of the 10 ms frames before each, and of all of them; shape (frames + 1,)."""
    frame = int(_FRAME_S * SAMPLE_RATE_HZ)
    count = max(len(samples) // frame, 1)
    padded = np.zeros(count * frame, dtype=np.float32)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    power = np.square(padded.reshape(count, frame)).mean(axis=1, dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(power)])


def _levels_db(energy: np.ndarray, frames: np.ndarray, over_s: float) -> np.ndarray:
    """Return the level around each frame in dB of full scale, not below _QUIETEST_DB; shape (frames,)."""
    half = round(over_s / _FRAME_S / 2)
    left, right = np.maximum(frames - half, 0), np.minimum(frames + half + 1, len(energy) - 1)
    power = np.maximum(energy[right] - energy[left], 0.0) / (right - left)
    return np.maximum(10 * np.log10(power + 1e-12), _QUIETEST_DB)


def _quiet_runs(energy: np.ndarray, gap: _Gap, over_s: float) -> list[tuple[float, float]]:
    """Return the stretches of a gap that are about as quiet as its quietest point, in seconds and order.

    The gap is widened by the tolerance of the words' times if this finds a much quieter place.
    """
    inside = _frames(energy, gap.from_s, gap.to_s)
    levels = _levels_db(energy, inside, over_s)
    wide = _frames(energy, gap.from_s - gap.before_s, gap.to_s + gap.after_s)
    wide_levels = _levels_db(energy, wide, over_s)
    if len(wide) and (not len(inside) or wide_levels.min() < levels.min() - _MUCH_QUIETER_DB):
        inside, levels = wide, wide_levels
    if not len(inside):
        middle = (gap.from_s + gap.to_s) / 2
        return [(middle, middle)]
    quiet = inside[levels <= levels.min() + _SAME_DB]
    runs = np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1)
    return [(float(run[0]) * _FRAME_S, float(run[-1] + 1) * _FRAME_S) for run in runs]


def _frames(energy: np.ndarray, from_s: float, to_s: float) -> np.ndarray:
    """Return the frames entirely between two times; shape (frames,)."""
    return np.arange(max(math.ceil(from_s / _FRAME_S - 1e-6), 0), min(int(to_s / _FRAME_S + 1e-6), len(energy) - 1))


def _longest(energy: np.ndarray, gap: _Gap) -> float:
    """Return the beginning of the longest quiet run: one cut for the two chunks beside it."""
    over_s = min(max((gap.to_s - gap.from_s) / 2, _PAUSE_S), _LONG_PAUSE_S)
    longest = max(_quiet_runs(energy, gap, over_s), key=lambda run: run[1] - run[0])
    return _beside(energy, gap, longest, over_s, from_left=True)


def _near(energy: np.ndarray, gap: _Gap, from_left: bool) -> float:
    """Return the beginning of the pause nearest to the left word (the end of that nearest to the right one).

    A quiet run shorter than a pause may be a closure inside of the word; without any longer one the longest counts.
    """
    runs = _quiet_runs(energy, gap, _PAUSE_S)
    pauses = [run for run in runs if run[1] - run[0] >= _PAUSE_S and _is_silent(energy, run)]
    pauses = pauses or [max(runs, key=lambda run: run[1] - run[0])]
    return _beside(energy, gap, pauses[0 if from_left else -1], _PAUSE_S, from_left)


def _is_silent(energy: np.ndarray, run: tuple[float, float]) -> bool:
    """Return whether a quiet run is much quieter than the loudest sound close by; a quiet run inside a word is not."""
    around = _frames(energy, run[0] - _AROUND_S, run[1] + _AROUND_S)
    own = _frames(energy, *run)
    if not len(own):
        return False
    loudest_db = _levels_db(energy, around, _SHORT_S).max()
    return bool(np.median(_levels_db(energy, own, _SHORT_S)) < loudest_db - _MUCH_QUIETER_DB)


def _beside(energy: np.ndarray, gap: _Gap, run: tuple[float, float], over_s: float, from_left: bool) -> float:
    """Return the point of a quiet run that is _PAD_S away from the word on its left (or right), or its middle.

    Quiet measured over `over_s` begins half of that after the word; measured over a shorter time it begins sooner, but
    never inside the recognizer's word.
    """
    begin, end = run
    middle = (begin + end) / 2
    own = _frames(energy, begin, end)
    if not len(own):
        return middle
    levels = _levels_db(energy, own, _SHORT_S)
    if not _is_silent(energy, run):  # speech continues: only the quietest point is left
        return float(own[levels.argmin()] + 0.5) * _FRAME_S
    quiet_db = np.median(levels) + _SAME_DB
    from_s, to_s = max(begin - over_s / 2, min(gap.from_s, begin)), min(end + over_s / 2, max(gap.to_s, end))
    reach = (from_s, middle) if from_left else (middle, to_s)
    frames = _frames(energy, *reach)
    loud = frames[_levels_db(energy, frames, _SHORT_S) > quiet_db]
    if from_left:
        word_s = float(loud[-1] + 1) * _FRAME_S if len(loud) else reach[0]
        return min(middle, word_s + _PAD_S)
    word_s = float(loud[0]) * _FRAME_S if len(loud) else reach[1]
    return max(middle, word_s - _PAD_S)


def _on_sample(time_s: float) -> float:
    return round(time_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
