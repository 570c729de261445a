"""Words with times: comparing them, and keeping their times in order.

Put here: functions on lists of words for recognizers, ROVER, filters and chunking. Do not put here: processing of
audio, or decisions about a transcript.
"""

from __future__ import annotations

import functools
import operator
import unicodedata
from collections.abc import Iterable, Sequence

from spelangy_model.records import Word


@functools.lru_cache(maxsize=65536)
def normalized(word: str) -> str:
    """Return the form in which two words are compared: NFKC, case folded, letters, marks and digits only.

    Currency and percent signs stay, since "$5" and "5" are spoken differently. A word of punctuation alone gives "".
    """
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(c for c in folded if c in "%$€£" or unicodedata.category(c)[0] in "LMN")


def text_of(words: Iterable[Word]) -> str:
    """Return the words as one line, with single spaces."""
    return " ".join(word.text for word in words)


def in_order(words: Sequence[Word]) -> list[Word]:
    """Return the words with increasing times that do not overlap; their order does not change.

    If a word begins before the previous one ends, both are cut at the middle of the overlap. This is needed where
    words of several systems are merged, and for systems with inexact times.
    """
    starts_s, ends_s = [word.start_s for word in words], [word.end_s for word in words]
    if in_order_times(starts_s, ends_s):
        return list(words)
    return [
        Word(word.text, start_s, end_s, word.confidence)
        for word, start_s, end_s in zip(words, starts_s, ends_s, strict=True)
    ]


def in_order_times(starts_s: list[float], ends_s: list[float]) -> bool:
    """Apply `in_order` to the times of words, in place, and return whether they were in order already."""
    if all(map(operator.le, starts_s, ends_s)) and all(map(operator.le, ends_s, starts_s[1:])):
        return True
    ends_s[:] = map(max, starts_s, ends_s)
    for i in range(1, len(starts_s)):
        if starts_s[i] < ends_s[i - 1]:
            meeting = max(starts_s[i - 1], (max(starts_s[i], starts_s[i - 1]) + min(ends_s[i - 1], ends_s[i])) / 2)
            ends_s[i - 1] = starts_s[i] = meeting
            ends_s[i] = max(ends_s[i], meeting)
    return False


def spread(text: str, start_s: float, end_s: float, confidence: float = 1.0) -> list[Word]:
    """Return the words of `text` with times interpolated between `start_s` and `end_s` by their characters.

    For a transcript that came with the audio and states only when an utterance begins and ends: each word takes the
    time of its share of the characters, a space counting as one, so that words do not touch.
    """
    pieces = text.split()
    total = sum(map(len, pieces)) + max(len(pieces) - 1, 0)
    words, position = [], 0
    for piece in pieces:
        begin = start_s + (end_s - start_s) * position / total
        end = start_s + (end_s - start_s) * (position + len(piece)) / total
        words.append(Word(piece, begin, end, confidence))
        position += len(piece) + 1
    return words
