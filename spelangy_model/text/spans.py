"""Locate words in their source text: character spans [start, end).

Put here: the search for words in their source text. Do not put here: the selection of words (krist, questions). Case,
marks and white space do not count (words are those of `text.normalize`), and a few words of the text may be missing in
the words: references and addresses, which no voice can speak.
"""

from __future__ import annotations

import re
from bisect import bisect_left

from spelangy_model.text.normalize import words_of

Span = tuple[int, int]
NOWHERE: Span = (-1, -1)
MAX_GAP_WORDS = 30
_MAX_TRIES = 64
_WINDOW_WORDS = 2000
_CHARACTERS = re.compile(r"\S+")


class Words:
    """The words of a text with their places, made once, searched often; linear in the text's size."""

    def __init__(self, text: str):
        self.text = text
        self.words: list[str] = []
        self._spans: list[Span] = []
        self._places: dict[str, list[int]] = {}
        for match in _CHARACTERS.finditer(text):
            for word in words_of(match.group()):
                self._places.setdefault(word, []).append(len(self.words))
                self.words.append(word)
                self._spans.append(match.span())

    def find(self, taken: str, after: int = 0, window_words: int | None = None) -> Span:
        """Return the first span at or after a character that holds the words of `taken` in their order; else NOWHERE.

        One without gaps is preferred to an earlier one with gaps, of at most MAX_GAP_WORDS each. It begins within
        `window_words` of the character; None: anywhere after it.
        """
        wanted = words_of(taken)
        if not wanted:
            return NOWHERE
        places = self._places.get(wanted[0], [])
        first = bisect_left(self._spans, (after, after))
        beyond = len(places) if window_words is None else bisect_left(places, first + window_words)
        starts = places[bisect_left(places, first) : beyond]
        whole = next((start for start in starts if self.words[start : start + len(wanted)] == wanted), None)
        if whole is not None:
            return self._span(whole, whole + len(wanted) - 1)
        for start in starts[:_MAX_TRIES]:
            last = self._last_of(wanted, start)
            if last is not None:
                return self._span(self._latest_start(wanted, last), last)
        return NOWHERE

    def _last_of(self, wanted: list[str], start: int) -> int | None:
        """Return where the words end that begin at `start`, each as early as it can be; None when one is too far."""
        place = start
        for word in wanted[1:]:
            places = self._places.get(word, [])
            following = bisect_left(places, place + 1)
            if following == len(places) or places[following] - place > MAX_GAP_WORDS + 1:
                return None
            place = places[following]
        return place

    def _latest_start(self, wanted: list[str], last: int) -> int:
        """Return the latest place from which the words, in their order, end at `last`."""
        place = last
        for word in reversed(wanted[:-1]):
            places = self._places[word]
            place = places[bisect_left(places, place) - 1]
        return place

    def _span(self, first: int, last: int) -> Span:
        return self._spans[first][0], self._spans[last][1]


def find_in_order(text: str, pieces: list[str]) -> list[Span]:
    """Return the spans of pieces that were taken from a text one after the other; NOWHERE for one that is not in it.

    Each is looked for within _WINDOW_WORDS of the one before, and a few in the whole text: pages are made to be slow.
    """
    words = Words(text)
    spans: list[Span] = []
    after = whole_texts = 0
    for piece in pieces:
        span = words.find(piece, after, _WINDOW_WORDS)
        if span == NOWHERE:
            whole_texts += 1
            span = words.find(piece) if whole_texts <= _MAX_TRIES else NOWHERE
        if span[0] >= after:
            after = span[1]
        spans.append(span)
    return spans
