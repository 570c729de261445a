"""Which benchmark questions stand in the training text: overlap of word n-grams.

Put here: the index over a benchmark and the search of a text for it. Do not put here: where texts come from, or the
significance test on scores without the contaminated questions (eval). The paper counts a question as
contaminated when an n-gram of it, n from 6 to 13, occurs in the training text; here the longest common run is kept,
so that one pass gives every n. Memory grows with the benchmark, never with the training text.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from spelangy_model.text.normalize import words_of

MIN_NGRAM_WORDS = 6
MAX_NGRAM_WORDS = 13


@dataclass(frozen=True, slots=True)
class Overlap:
    """The longest run of words that a question shares with a training text."""

    question_id: str
    words: int  # length of the run; the whole question when it is that long or shorter than the smallest n-gram
    whole: bool  # the run is the whole question
    text: str  # the run, normalized


class QuestionIndex:
    """The n-grams of a benchmark's questions, in the one normalization of text.normalize.

    A question shorter than `min_words` is indexed by all its words: it overlaps only as a whole.
    """

    def __init__(self, questions: Mapping[str, str], min_words: int = MIN_NGRAM_WORDS):
        self.word_counts: dict[str, int] = {}
        self._words: dict[str, tuple[str, ...]] = {}
        self._places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        for question_id, text in questions.items():
            words = tuple(words_of(text))
            if not words:
                continue
            self._words[question_id] = words
            self.word_counts[question_id] = len(words)
            size = min(min_words, len(words))
            for start in range(len(words) - size + 1):
                self._places[words[start : start + size]].append((question_id, start))
        self._sizes = sorted({len(gram) for gram in self._places})

    def overlaps(self, text: str) -> list[Overlap]:
        """Return the longest overlap of each question that the text shares an n-gram with, in the benchmark's order."""
        words = tuple(words_of(text))
        longest: dict[str, tuple[str, ...]] = {}
        for size in self._sizes:
            for at in range(len(words) - size + 1):
                for question_id, start in self._places.get(words[at : at + size], ()):
                    question = self._words[question_id]
                    length = size
                    while (
                        start + length < len(question)
                        and at + length < len(words)
                        and question[start + length] == words[at + length]
                    ):
                        length += 1
                    if length > len(longest.get(question_id, ())):
                        longest[question_id] = words[at : at + length]
        return [
            Overlap(question_id, len(run), len(run) == len(self._words[question_id]), " ".join(run))
            for question_id in self._words
            if (run := longest.get(question_id))
        ]


def longest_overlaps(index: QuestionIndex, texts: Iterable[tuple[str, str]]) -> dict[str, tuple[str, Overlap]]:
    """Return, for each question that (id, text) pairs share an n-gram with, the first text with its longest overlap."""
    found: dict[str, tuple[str, Overlap]] = {}
    for text_id, text in texts:
        for overlap in index.overlaps(text):
            best = found.get(overlap.question_id)
            if best is None or overlap.words > best[1].words:
                found[overlap.question_id] = (text_id, overlap)
    return found
