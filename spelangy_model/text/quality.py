"""Published quality rules for web text: Gopher, C4, FineWeb.

Put here: rules over one text. Do not put here: reading (text_shards.py), languages, or duplicates across documents.
Each rule takes a text and returns what it leaves of it and, where that is nothing to learn from, the reason. Sources:

    GopherQuality, GopherRepetition   Rae et al., Scaling Language Models (2021), appendix A1 and table A1
    C4                                Raffel et al., Exploring the Limits of Transfer Learning (2020), section 2.2
    FineWeb                           Penedo et al., The FineWeb Datasets (2024), section 3.6; its C4 rules there are
                                      C4(terminal_marks=False, curly_brackets=False)

The thresholds are those of the papers. A word is a run of characters between white space that holds a letter or a
digit; datatrove, whose filters need NLTK and its downloaded models, counts marks apart, so a text at a threshold may be
judged otherwise there.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

_PARAGRAPH = re.compile(r"\n{2,}")
_CITATION = re.compile(r"\[(?:\d*|edit|citation needed)\]")
_SENTENCE_END = re.compile(r"[.!?\u2026]+[\"'\u201d\u2019)\]]*(?=\s|$)")
_STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})
_ENDS = (".", "?", "!", '"', "'", "\u201d", "\u2019")
_ELLIPSES = ("...", "\u2026")
_BULLETS = (*"\u2022\u2023\u25b6\u25c0\u25e6\u25a0\u25a1\u25aa\u25ab\u2013", "-", "*")
_POLICY = ("terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies")


@runtime_checkable
class QualityRule(Protocol):
    """A rule over one text: a frozen dataclass of parameters."""

    def apply(self, text: str) -> tuple[str, str]:
        """Return what is left of the text, and the reason why it is dropped; an empty reason keeps it."""
        ...


def apply_rules(text: str, rules: Iterable[QualityRule]) -> tuple[str, str]:
    """Return what the rules leave of a text, one after the other, and the first reason to drop it."""
    for rule in rules:
        text, reason = rule.apply(text)
        if reason:
            return text, reason
        if not text.strip():
            return text, "nothing_left"
    return text, ""


@dataclass(frozen=True)
class GopherQuality:
    """Words, their mean length, symbols, bullets, ellipses, letters and stop words of a document."""

    min_words: int = 50
    max_words: int = 100_000
    min_mean_word_characters: float = 3
    max_mean_word_characters: float = 10
    max_symbols_per_word: float = 0.1
    max_bullet_lines: float = 0.9
    max_ellipsis_lines: float = 0.3
    min_alphabetic_words: float = 0.8
    min_stop_words: int = 2

    def apply(self, text: str) -> tuple[str, str]:
        return text, self._reason(text)

    def _reason(self, text: str) -> str:
        tokens = text.split()
        words = [token for token in tokens if any(map(str.isalnum, token))]
        if len(words) < self.min_words:
            return "gopher_few_words"
        if len(words) > self.max_words:
            return "gopher_many_words"
        mean = sum(map(len, words)) / len(words)
        if not self.min_mean_word_characters <= mean <= self.max_mean_word_characters:
            return "gopher_word_length"
        ellipses = sum(text.count(mark) for mark in _ELLIPSES)
        if max(text.count("#"), ellipses) / len(words) > self.max_symbols_per_word:
            return "gopher_symbols"
        lines = [line for line in text.splitlines() if line.strip()]
        if _share(line.lstrip().startswith(_BULLETS) for line in lines) > self.max_bullet_lines:
            return "gopher_bullets"
        if _share(line.rstrip().endswith(_ELLIPSES) for line in lines) > self.max_ellipsis_lines:
            return "gopher_ellipses"
        if sum(any(map(str.isalpha, word)) for word in words) / len(tokens) < self.min_alphabetic_words:
            return "gopher_letters"
        marks = ".,;:!?\"'()[]\u201c\u201d\u2018\u2019"
        found = sum(word.strip(marks).lower() in _STOP_WORDS for word in words)
        return "gopher_stop_words" if found < self.min_stop_words else ""


@dataclass(frozen=True)
class GopherRepetition:
    """The repetition in a document: lines, paragraphs, its most frequent n-grams, repeated n-grams.

    `top_ngrams` and `repeated_ngrams` are (words, share of the characters) pairs. Every occurrence
    after the first counts as repeated; a word in several repeated n-grams counts once.
    """

    max_line_share: float = 0.3
    max_paragraph_share: float = 0.3
    max_line_characters: float = 0.2
    max_paragraph_characters: float = 0.2
    top_ngrams: tuple[tuple[int, float], ...] = ((2, 0.20), (3, 0.18), (4, 0.16))
    repeated_ngrams: tuple[tuple[int, float], ...] = (
        *((5, 0.15), (6, 0.14), (7, 0.13)),
        *((8, 0.12), (9, 0.11), (10, 0.10)),
    )

    def apply(self, text: str) -> tuple[str, str]:
        return text, self._reason(text)

    def _reason(self, text: str) -> str:
        characters = max(1, len(text))
        lines = [line for line in text.splitlines() if line.strip()]
        for name, pieces, share, of_characters in (
            ("paragraphs", _PARAGRAPH.split(text.strip()), self.max_paragraph_share, self.max_paragraph_characters),
            ("lines", lines, self.max_line_share, self.max_line_characters),
        ):
            count, size = _repeated(pieces)
            if count / max(1, len(pieces)) > share or size / characters > of_characters:
                return f"gopher_repeated_{name}"
        words = text.split()
        lengths = np.array([len(word) for word in words])
        top, again = dict(self.top_ngrams), dict(self.repeated_ngrams)
        for n, ids in _ngrams(words, max([*top, *again])):
            if n in top and _top(ids, lengths, n) > top[n] * characters:
                return f"gopher_top_{n}_gram"
            if n in again and _again(ids, lengths, n) > again[n] * characters:
                return f"gopher_repeated_{n}_grams"
        return ""


@dataclass(frozen=True)
class C4:
    """Drops lines that are not sentences, then documents with too few sentences.

    `terminal_marks`: drop lines without a final mark. `curly_brackets`: drop documents with one, as code.
    """

    min_sentences: int = 5
    min_line_words: int = 3
    max_word_characters: int = 1000
    terminal_marks: bool = True
    curly_brackets: bool = True

    def apply(self, text: str) -> tuple[str, str]:
        kept: list[str] = []
        sentences = 0
        for line in text.splitlines():
            line, lowered = _CITATION.sub("", line.strip()), line.lower()
            if "lorem ipsum" in lowered:
                return text, "c4_lorem_ipsum"
            if self.curly_brackets and "{" in line:
                return text, "c4_curly_bracket"
            words = line.split()
            if len(words) < self.min_line_words or max(map(len, words)) > self.max_word_characters:
                continue
            if self.terminal_marks and (not line.endswith(_ENDS) or line.endswith(_ELLIPSES)):
                continue
            if "javascript" in lowered or any(words in lowered for words in _POLICY):
                continue
            sentences += max(1, len(_SENTENCE_END.findall(line)))
            kept.append(line)
        if sentences < self.min_sentences:
            return text, "c4_few_sentences"
        return "\n".join(kept), ""


@dataclass(frozen=True)
class FineWeb:
    """Lines without a mark at their end, short lines, repeated lines, many line ends: lists and menus."""

    min_lines_with_mark: float = 0.12
    short_line_characters: int = 30
    max_short_lines: float = 0.67
    max_repeated_characters: float = 0.01
    max_line_ends_per_word: float = 0.3

    def apply(self, text: str) -> tuple[str, str]:
        return text, self._reason(text)

    def _reason(self, text: str) -> str:
        lines = [line for line in text.split("\n") if line.strip()]
        if _share(line.rstrip().endswith(_ENDS) for line in lines) <= self.min_lines_with_mark:
            return "fineweb_marks"
        if _share(len(line) <= self.short_line_characters for line in lines) >= self.max_short_lines:
            return "fineweb_short_lines"
        if _repeated(lines)[1] / max(1, len(text.replace("\n", ""))) >= self.max_repeated_characters:
            return "fineweb_repeated_lines"
        return "fineweb_line_ends" if text.count("\n") / max(1, len(text.split())) > self.max_line_ends_per_word else ""


def _share(flags: Iterable[bool]) -> float:
    found = list(flags)
    return sum(found) / max(1, len(found))


def _repeated(pieces: Sequence[str]) -> tuple[int, int]:
    """Return the number of repeated pieces, and of their characters."""
    seen: set[str] = set()
    count = characters = 0
    for piece in pieces:
        if piece in seen:
            count, characters = count + 1, characters + len(piece)
        seen.add(piece)
    return count, characters


def _ngrams(words: Sequence[str], longest: int) -> Iterable[tuple[int, np.ndarray]]:
    """Yield (n, the number of the n-gram at each place), int64 (words - n + 1,), for n from 2 on."""
    numbers: dict[str, int] = {}
    single = np.array([numbers.setdefault(word, len(numbers)) for word in words], np.int64)
    ids = single
    for n in range(2, min(longest, len(words)) + 1):
        _, ids = np.unique(ids[:-1] * len(numbers) + single[n - 1 :], return_inverse=True)
        yield n, ids.astype(np.int64)


def _top(ids: np.ndarray, lengths: np.ndarray, n: int) -> int:
    """Return the characters of the commonest n-gram, over all its occurrences; 0 if none occurs twice."""
    counts = np.bincount(ids)
    top = int(counts.argmax())
    place = int((ids == top).argmax())
    return int(counts[top]) * int(lengths[place : place + n].sum() + n - 1) if counts[top] > 1 else 0


def _again(ids: np.ndarray, lengths: np.ndarray, n: int) -> int:
    """Return the number of characters of words in repeated n-grams."""
    _, first = np.unique(ids, return_index=True)
    repeated = np.ones(len(ids), bool)
    repeated[first] = False
    edges = np.zeros(len(lengths) + 1, np.int64)
    starts = np.flatnonzero(repeated)
    np.add.at(edges, starts, 1)
    np.add.at(edges, starts + n, -1)
    return int(lengths[np.cumsum(edges[:-1]) > 0].sum())
