"""Answers in words: where a generated answer ends, and whether it is one that a question accepts.

Put here: the rules on text. Do not put here: generation (generate.py), or a judge that is a language model (the stage
judge_answers). Source of the normal form: the evaluation scripts of SQuAD and TriviaQA, which put words in lower case
and leave out punctuation and articles. Source of `contained`: UltraEval-Audio, which looks for an accepted answer
inside of the reply.
"""

from __future__ import annotations

import string
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spelangy_model.text.sentences import split_sentences

_ARTICLES = frozenset({"a", "an", "the"})
_JOINTS = frozenset("-_/\u2010\u2011\u2012\u2013\u2014")  # between words: the words stay apart


@dataclass(frozen=True, slots=True)
class Match:
    """How an answer matches: as a whole, or with an accepted answer among its words. `alias` is that answer."""

    kind: Literal["exact", "contained"]
    alias: str


def first_answer(prefix: str, continuation: str) -> str:
    """Return the answer in what a model wrote after `prefix`: the rest of that sentence, or a sentence of its own.

    A language model that was not trained on dialogues goes on after its answer, with a further sentence or a further
    line. Abbreviations, initials and decimals end no sentence (text/sentences.py). White space is folded.
    """
    line = next(iter(continuation.strip().splitlines()), "")
    begun = " ".join(prefix.split())
    whole = split_sentences(f"{begun} {line}")
    if whole and len(whole[0]) > len(begun):
        return whole[0].removeprefix(begun).strip()
    return next(iter(split_sentences(line)), "")  # the prefix is a sentence of its own


def normal_answer(text: str) -> str:
    """Return the normal form of an answer: lower case, without punctuation and articles, white space folded.

    An answer of nothing else keeps its signs, in lower case.
    """
    plain = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(" " if sign in _JOINTS else "" if _is_punctuation(sign) else sign for sign in plain)
    return " ".join(word for word in kept.split() if word not in _ARTICLES) or " ".join(plain.split())


def _is_punctuation(sign: str) -> bool:
    return sign in string.punctuation or unicodedata.category(sign).startswith("P")


def match(answer: str, accepted: Sequence[str]) -> Match | None:
    """Return how an answer matches the first of the accepted ones that it matches best; None: it matches none."""
    given = normal_answer(answer)
    if not given:
        return None
    forms = [(normal_answer(alias), alias) for alias in accepted]
    for form, alias in forms:
        if form == given:
            return Match("exact", alias)
    for form, alias in forms:
        if form and f" {form} " in f" {given} ":
            return Match("contained", alias)
    return None
