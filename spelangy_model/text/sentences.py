"""Sentences of written text.

Put here: the cut at sentence ends, with pysbd's rules for English (abbreviations, initials, decimals, quotations). Do
not put here: cuts of recordings (they are made at words with times). A line of the text is never joined with the
next: headings and list items are sentences of their own.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from spelangy_model.text.normalize import words_of

MAX_PIECE_CHARACTERS = 4000
_CLAUSE_END = re.compile(
    r"(?<=[;:])\s+|(?<=,)\s+(?=(?:and|but|or|which|who|where|while|because|although|so)\b)|\s+[\u2013\u2014]\s+"
)
# A line in which pysbd has nothing to look at: no mark inside that ends, lists or quotes: half of all lines.
_ONE_SENTENCE = re.compile(r"[^.!?\u2026\u3002\uff01\uff1f;:()\[\]{}\"\u201c\u201d\u2022]*[.!?]?")


@cache
def _segmenter() -> Any:
    from pysbd import Segmenter

    return Segmenter(language="en", clean=False)


def split_sentences(text: str) -> list[str]:
    """Return the sentences of a text, in order; joined by spaces they are the text with its white space folded.

    A line longer than MAX_PIECE_CHARACTERS is cut at a space first: pysbd's time grows faster than its input.
    """
    sentences: list[str] = []
    for line in text.splitlines():
        for piece in _pieces(" ".join(line.split())):
            if _ONE_SENTENCE.fullmatch(piece):
                sentences.append(piece)
                continue
            sentences += [sentence.strip() for sentence in _segmenter().segment(piece) if sentence.strip()]
    return sentences


def _pieces(line: str) -> list[str]:
    if len(line) <= MAX_PIECE_CHARACTERS:
        return [line] if line else []
    return re.findall(rf"\S.{{0,{MAX_PIECE_CHARACTERS - 1}}}(?=\s|$)|\S{{{MAX_PIECE_CHARACTERS}}}", line)


def cut_at_clauses(sentence: str, max_words: int) -> list[str]:
    """Cut a sentence of too many words at its clauses, as few times as needed; one without clauses stays whole."""
    if len(words_of(sentence)) <= max_words:
        return [sentence]
    pieces: list[str] = []
    for clause in _CLAUSE_END.split(sentence):
        if not clause:
            continue
        if pieces and len(words_of(pieces[-1])) + len(words_of(clause)) <= max_words:
            pieces[-1] += f" {clause}"
        else:
            pieces.append(clause)
    return pieces
