"""Words with times: comparing them, and keeping their times in order.

Put here: what recognizers, ROVER, filters and chunking all need of a list of words. Do not put here: anything
that listens to audio or that decides about a transcript.
"""

from __future__ import annotations

import functools
import itertools
import unicodedata
from collections.abc import Iterable, Sequence

from spelangy_model.records import Word


@functools.lru_cache(maxsize=65536)
def normalized(word: str) -> str:
    """Return the form in which two words are compared: NFKC, case folded, letters, marks and digits only.

    Currency and percent signs stay, since "$5" and "5" are said differently. A word of punctuation alone gives "".
    """
    folded = unicodedata.normalize("NFKC", word).casefold()
    return "".join(c for c in folded if c in "%$€£" or unicodedata.category(c)[0] in "LMN")


def text_of(words: Iterable[Word]) -> str:
    """Return the words as one line, with single spaces."""
    return " ".join(word.text for word in words)


def in_order(words: Sequence[Word]) -> list[Word]:
    """Return the words with times that never run backwards and never overlap; their order stays as it is.

    Where a word begins before the one ahead of it has ended, both meet in the middle of what they share. Needed
    wherever words of several systems stand in one line, and for systems whose times are loose.
    """
    if all(word.start_s <= word.end_s for word in words) and all(
        one.end_s <= other.start_s for one, other in itertools.pairwise(words)
    ):
        return list(words)
    starts = [word.start_s for word in words]
    ends = [max(word.start_s, word.end_s) for word in words]
    for i in range(1, len(starts)):
        if starts[i] < ends[i - 1]:
            meeting = max(starts[i - 1], (max(starts[i], starts[i - 1]) + min(ends[i - 1], ends[i])) / 2)
            ends[i - 1] = starts[i] = meeting
            ends[i] = max(ends[i], meeting)
    return [Word(word.text, start, end, word.confidence) for word, start, end in zip(words, starts, ends, strict=True)]


def spread(text: str, start_s: float, end_s: float, confidence: float = 1.0) -> list[Word]:
    """Return the words of `text` with times interpolated between `start_s` and `end_s` by their characters.

    For a transcript that came with the audio and says only when an utterance begins and ends: each word takes the
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
