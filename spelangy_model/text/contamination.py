"""Find benchmark questions in the training text by overlap of word n-grams.

Put here: the one normalization of both sides, the index over a benchmark and the search of texts for it. Do not put
here: where texts come from, or the significance test on scores without the contaminated questions (eval). The paper
counts a question as contaminated when an n-gram of it, n from 6 to 13, occurs in the training text; here the longest
common run is kept, so that one pass gives every n. Memory grows with the benchmark, never with the training text.

All words outside the questions share one number, the others have one each; a rolling hash over windows of them,
computed for many texts at once, finds candidates, and every candidate is compared word by word: a hit is never a
collision.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from spelangy_model.text.normalize import words_of
from spelangy_model.text.numerals import fold_numbers, join_groups

MIN_NGRAM_WORDS = 6
MAX_NGRAM_WORDS = 13
_BATCH_CHARACTERS = 1_000_000
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)  # odd, of mixed bits: 2**64 over the golden ratio
_TABLE_BITS = np.uint64(22)  # of the table of hashes that may belong to a question: 4 MB


def comparable_words(text: str) -> list[str]:
    """Return a text's words in the form of the comparison: case, marks and the spelling of numbers do not matter."""
    return fold_numbers(words_of(join_groups(text)))


@dataclass(frozen=True, slots=True)
class Overlap:
    """The longest run of words that a question shares with a training text."""

    question_id: str
    words: int  # length of the run; the whole question when it is that long or shorter than the smallest n-gram
    whole: bool  # the run is the whole question
    text: str  # the run, normalized


class QuestionIndex:
    """The n-grams of a benchmark's questions.

    A question shorter than `min_words` is indexed by all its words: it overlaps only as a whole.
    """

    def __init__(self, questions: Mapping[str, str], min_words: int = MIN_NGRAM_WORDS):
        self.word_counts: dict[str, int] = {}
        self._words: dict[str, list[str]] = {}
        self._places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
        for question_id, text in questions.items():
            words = comparable_words(text)
            if not words:
                continue
            self._words[question_id] = words
            self.word_counts[question_id] = len(words)
            size = min(min_words, len(words))
            for start in range(len(words) - size + 1):
                self._places[tuple(words[start : start + size])].append((question_id, start))
        self._numbers = {word: i for i, word in enumerate(sorted({w for gram in self._places for w in gram}), start=1)}
        grams: dict[int, list[tuple[str, ...]]] = defaultdict(list)
        for gram in self._places:
            grams[len(gram)].append(gram)
        self._tables: list[tuple[int, np.ndarray]] = []
        for size, members in sorted(grams.items()):
            table = np.zeros(1 << int(_TABLE_BITS), bool)
            ids = np.array([[self._numbers[word] for word in gram] for gram in members], np.uint64)
            table[_slots(ids.reshape(-1), size)[::size]] = True
            self._tables.append((size, table))

    def overlaps(self, text: str) -> list[Overlap]:
        """Return the longest overlap of each question that the text shares an n-gram with, in the benchmark's order."""
        found = longest_overlaps(self, [("", text)])
        return [found[question_id][1] for question_id in self._words if question_id in found]

    def hits(self, texts: Sequence[str]) -> Iterator[tuple[int, Overlap]]:
        """Yield (number of the text, overlap) for every place where an n-gram of a question begins in a text.

        A run of n words more than the smallest n-gram is met n times, first at its full length.
        """
        for number, question_id, run in self.runs(texts, {}):
            yield number, Overlap(question_id, len(run), len(run) == self.word_counts[question_id], " ".join(run))

    def runs(self, texts: Sequence[str], longest: Mapping[str, int]) -> Iterator[tuple[int, str, list[str]]]:
        """Yield (number of the text, question, run) of every run that is longer than `longest` has for its question.

        `longest` is read again at each run: a caller that updates it does not get the same run again.
        """
        words: list[str] = []
        starts: list[int] = []
        for text in texts:
            starts.append(len(words))
            words += comparable_words(text)
            words.append("")  # no word: runs end with their text
        numbers = np.fromiter(map(self._numbers.get, words, repeat(0)), np.uint64, len(words))
        for size, table in self._tables:
            for at in np.flatnonzero(table[_slots(numbers, size)]).tolist():
                for question_id, start in self._places.get(tuple(words[at : at + size]), ()):
                    question, enough = self._words[question_id], longest.get(question_id, 0)
                    if len(question) - start <= enough:
                        continue
                    length = size
                    while start + length < len(question) and words[at + length] == question[start + length]:
                        length += 1
                    if length > enough:
                        yield bisect_right(starts, at) - 1, question_id, words[at : at + length]


def _slots(numbers: np.ndarray, size: int) -> np.ndarray:
    """Return, for each window of `size` numbers (uint64), its place in a table; empty where there is no window."""
    count = len(numbers) - size + 1
    if count <= 0:
        return np.zeros(0, np.uint64)
    hashes = np.zeros(count, np.uint64)
    for place in range(size):
        hashes *= _MULTIPLIER
        hashes += numbers[place : place + count]
    hashes *= _MULTIPLIER
    return hashes >> (np.uint64(64) - _TABLE_BITS)


def longest_overlaps(index: QuestionIndex, texts: Iterable[tuple[str, str]]) -> dict[str, tuple[str, Overlap]]:
    """Return, for each question that (id, text) pairs share an n-gram with, the first text with its longest overlap."""
    longest: dict[str, int] = {}
    found: dict[str, tuple[str, Overlap]] = {}
    for ids, batch in _batches(texts):
        for number, question_id, run in index.runs(batch, longest):
            longest[question_id] = len(run)
            whole = len(run) == index.word_counts[question_id]
            found[question_id] = (ids[number], Overlap(question_id, len(run), whole, " ".join(run)))
    return found


def _batches(texts: Iterable[tuple[str, str]]) -> Iterator[tuple[list[str], list[str]]]:
    ids: list[str] = []
    batch: list[str] = []
    characters = 0
    for text_id, text in texts:
        ids.append(text_id)
        batch.append(text)
        characters += len(text)
        if characters >= _BATCH_CHARACTERS:
            yield ids, batch
            ids, batch, characters = [], [], 0
    if batch:
        yield ids, batch
