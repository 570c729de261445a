"""Chunking: the transcripts of a recording become (audio, text) pairs, coarse or fine.

Put here: where a chunk begins and ends. Do not put here: votes and filters, encoding of sound, records of shards.

After "Data-Centric Lessons To Improve Speech-Language Pretraining". Both chunkings are made from the same transcripts:

* coarse: consecutive segments of the same speaker are merged while the gap and the merged length allow it.
* fine: nothing is merged, and a segment is cut further at its sentence ends.

A segment of somebody else, or one that a filter dropped, between two segments keeps them apart: its sound has no text.
A cut lies at the quietest point between two words, never inside of one. A document is a run of consecutive chunks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.words import text_of
from spelangy_model.records import DroppedTranscript, Transcript, Word
from spelangy_model.text.sentences import split_sentences

_FRAME_S = 0.02
_QUIETEST_DB = -70.0  # whatever is below is silence, and one silence is as good as another
_SAME_DB = 3.0


@dataclass(frozen=True)
class ChunkRule:
    """How transcripts become chunks. Coarse uses the first two literals, fine the third; the rest holds for both.

    `max_gap_s`: the longest silence inside of a merged chunk. `max_chunk_s`: no merge goes beyond it.
    `min_sentence_s`: a shorter sentence stays with its neighbour. `margin_s`: how far before its first word's turn
    and after its last word's a chunk may reach for a quiet point, at most to the middle of the gap there.
    `max_document_gap_s`, `max_document_chunks`: a longer gap between chunks, or more chunks, begin a new document.
    """

    kind: Literal["coarse", "fine"]
    max_gap_s: float = 2.0
    max_chunk_s: float = 30.0
    min_sentence_s: float = 1.0
    margin_s: float = 0.2
    max_document_gap_s: float = 10.0
    max_document_chunks: int = 64

    def __post_init__(self) -> None:
        if self.kind not in ("coarse", "fine"):
            raise ValueError(f"ChunkRule.kind is 'coarse' or 'fine', not {self.kind!r}")
        if self.min_sentence_s <= 0 or self.max_document_chunks < 1:
            raise ValueError("ChunkRule: min_sentence_s is above 0, max_document_chunks at least 1")


@dataclass(frozen=True)
class Span:
    """A chunk before its sound is cut: `document` counts the recording's documents, `index` the document's chunks.

    Times are seconds from the start of the recording, on whole samples.
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
    the transcripts is in exactly one chunk; chunks overlap only where the speakers' turns do.
    """
    turns = _turns(transcripts, dropped, len(samples) / SAMPLE_RATE_HZ, rule)
    groups = _merged(turns, rule) if rule.kind == "coarse" else [[turn] for turn in turns if turn.words]
    loudness = _loudness_db(samples)
    spans: list[Span] = []
    document = index = 0
    for group in groups:
        start_s = _quietest(loudness, group[0].from_s, group[0].words[0].start_s)
        end_s = _quietest(loudness, group[-1].words[-1].end_s, group[-1].to_s)
        if end_s <= start_s:  # words without any length: the turn is all that is known
            start_s, end_s = group[0].from_s, group[-1].to_s
        words = [word for turn in group for word in turn.words]
        sentences = [words] if rule.kind == "coarse" else _sentences(words, rule.min_sentence_s)
        cuts = [_quietest(loudness, a[-1].end_s, b[0].start_s) for a, b in pairwise(sentences)]
        edges = [_on_sample(edge) for edge in (start_s, *cuts, end_s)]
        for part, begin, end in zip(sentences, edges, edges[1:], strict=False):
            if spans and (begin - spans[-1].end_s > rule.max_document_gap_s or index >= rule.max_document_chunks):
                document, index = document + 1, 0
            spans.append(Span(document, index, group[0].speaker, begin, end, tuple(part)))
            index += 1
    return spans


# --- turns and how they are merged --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Turn:
    """A segment, kept (with words) or dropped (without); its chunk begins in [from_s, first word], ends before to_s."""

    speaker: str
    start_s: float
    end_s: float
    from_s: float
    to_s: float
    words: tuple[Word, ...]


def _turns(
    transcripts: Sequence[Transcript], dropped: Sequence[DroppedTranscript], duration_s: float, rule: ChunkRule
) -> list[_Turn]:
    # A recognizer's words may reach out of their segment a little; the turn is what holds both.
    raw = [
        (min(t.start_s, t.words[0].start_s), max(t.end_s, t.words[-1].end_s), t.speaker, tuple(t.words))
        for t in transcripts
        if t.words
    ]
    raw += [(d.start_s, d.end_s, d.speaker, ()) for d in dropped]
    raw.sort(key=lambda turn: turn[:3])
    starts = [turn[0] for turn in raw]
    ends_before = np.maximum.accumulate([0.0, *(turn[1] for turn in raw)]).tolist()
    turns = []
    for i, (start_s, end_s, speaker, words) in enumerate(raw):
        before = min(rule.margin_s, max(0.0, start_s - ends_before[i]) / (2 if i else 1))
        following = starts[i + 1] if i + 1 < len(raw) else 2 * duration_s - end_s
        after = min(rule.margin_s, max(0.0, following - end_s) / 2)
        turns.append(_Turn(speaker, start_s, end_s, start_s - before, min(end_s + after, duration_s), words))
    return turns


def _merged(turns: Sequence[_Turn], rule: ChunkRule) -> list[list[_Turn]]:
    groups: list[list[_Turn]] = []
    last: _Turn | None = None
    for turn in turns:
        fits = (
            last is not None
            and bool(last.words and turn.words)
            and last.speaker == turn.speaker
            and turn.start_s - last.end_s <= rule.max_gap_s
            and turn.to_s - groups[-1][0].from_s <= rule.max_chunk_s
        )
        if fits:
            groups[-1].append(turn)
        elif turn.words:
            groups.append([turn])
        last = turn
    return groups


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


# --- quiet points -------------------------------------------------------------------------------------------------


def _loudness_db(samples: np.ndarray) -> np.ndarray:
    """Return the level of each 20 ms frame in dB of full scale, not below _QUIETEST_DB; shape (frames,)."""
    frame = int(_FRAME_S * SAMPLE_RATE_HZ)
    count = max(len(samples) // frame, 1)
    padded = np.zeros(count * frame, dtype=np.float32)
    padded[: min(len(samples), len(padded))] = samples[: len(padded)]
    power = np.square(padded.reshape(count, frame)).mean(axis=1, dtype=np.float64)
    return np.maximum(10 * np.log10(power + 1e-12), _QUIETEST_DB)


def _quietest(loudness: np.ndarray, from_s: float, to_s: float) -> float:
    """Return the quietest time between two: the middle of the longest run of frames about as quiet as the quietest."""
    if to_s <= from_s:
        return (from_s + to_s) / 2
    first = min(int(from_s / _FRAME_S), len(loudness) - 1)
    last = min(max(int(to_s / _FRAME_S), first + 1), len(loudness))
    inside = loudness[first:last]
    quiet = np.flatnonzero(inside <= inside.min() + _SAME_DB)
    runs = np.split(quiet, np.flatnonzero(np.diff(quiet) > 1) + 1)
    longest = max(runs, key=len)
    middle = (first + (longest[0] + longest[-1] + 1) / 2) * _FRAME_S
    return min(max(float(middle), from_s), to_s)


def _on_sample(time_s: float) -> float:
    return round(time_s * SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
