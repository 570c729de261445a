"""Numbers in one form, however they were written or transcribed: 1,969, nineteen sixty nine and 1969 are one word.

Put here: the folding of English number words, ordinals and grouped digits into digits, for comparing texts. Do not put
here: the way back (spoken.py, the input of a TTS), or any other normalization (normalize.py). One recognizer writes
digits, another words: a comparison that keeps both forms misses matches.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_GROUPED = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")

_UNITS = {
    word: value
    for value, word in enumerate(
        [
            "zero",
            "one",
            "two",
            "three",
            "four",
            "five",
            "six",
            "seven",
            "eight",
            "nine",
            "ten",
            "eleven",
            "twelve",
            "thirteen",
            "fourteen",
            "fifteen",
            "sixteen",
            "seventeen",
            "eighteen",
            "nineteen",
        ]
    )
}
_TENS = {
    word: 10 * value
    for value, word in enumerate("twenty thirty forty fifty sixty seventy eighty ninety".split(), start=2)  # noqa: SIM905
}
_SCALES = {"thousand": 1000, "million": 10**6, "billion": 10**9, "trillion": 10**12}
_ORDINALS = {
    **{
        word: value
        for value, word in enumerate(
            [
                "first",
                "second",
                "third",
                "fourth",
                "fifth",
                "sixth",
                "seventh",
                "eighth",
                "ninth",
                "tenth",
                "eleventh",
                "twelfth",
                "thirteenth",
                "fourteenth",
                "fifteenth",
                "sixteenth",
                "seventeenth",
                "eighteenth",
                "nineteenth",
            ],
            start=1,
        )
    },
    **{word.replace("ty", "tieth"): value for word, value in _TENS.items()},
}
_POWER_ORDINALS = {f"{word}th": word for word in ("hundred", *_SCALES)}
NUMBER_WORDS = frozenset({*_UNITS, *_TENS, *_SCALES, *_ORDINALS, *_POWER_ORDINALS, "hundred"})


def join_groups(text: str) -> str:
    """Return the text with the commas between groups of three digits left out."""
    return _GROUPED.sub("", text) if "," in text else text


def fold_numbers(words: Sequence[str]) -> list[str]:
    """Return normalized words (normalize.words_of) with each number that is spelled out as digits, ordinals as 21st.

    Two numbers below a hundred make a year (nineteen sixty nine, nineteen oh five); a scale after digits multiplies
    (3 million); "and" inside a number is dropped; "point" between numbers is dropped, as the mark is.
    """
    folded: list[str] = []
    done = 0
    for at in [at for at, word in enumerate(words) if word in NUMBER_WORDS]:
        if at < done:
            continue
        start = at - 1 if words[at] in _SCALES and at > done and words[at - 1].isdecimal() else at
        folded += words[done:start]
        if start > done and folded[-1] == "point" and folded[-2:-1] and folded[-2].isdecimal():
            folded.pop()
        text, done = _number(words, start)
        folded.append(text)
    folded += words[done:]
    return folded


def _number(words: Sequence[str], at: int) -> tuple[str, int]:
    """Read the number that begins at a position; return it in digits and the position behind it."""
    start, total, part, is_ordinal = at, 0, None, False
    while at < len(words) and not is_ordinal:
        base = _POWER_ORDINALS.get(words[at], words[at])
        value = _value(base)
        if base == "hundred" and (at == start or (part is not None and 0 < part < 100)):
            part = 100 * (part or 1)
        elif base in _SCALES and (at == start or part):
            total, part = total + (part or 1) * _SCALES[base], None
        elif base == "and" and at > start and words[at - 1] in ("hundred", *_SCALES) and _below_hundred(words, at + 1):
            at += 1
            continue
        elif value is not None and _fits(part, value):
            part = (part or 0) + value
        elif base.isdecimal() and at == start:
            part = int(base)
        else:
            break
        is_ordinal = words[at] in _ORDINALS or words[at] in _POWER_ORDINALS
        at += 1
    if part is not None and not is_ordinal and not total and 10 <= part < 100 and at == start + _length(words, start):
        low = _low_of_year(words, at)
        if low is not None:
            return str(100 * part + low[0]), low[1]
    number = total + (part or 0)
    return (ordinal(number) if is_ordinal else str(number)), at


def _value(word: str) -> int | None:
    return _UNITS.get(word, _TENS.get(word, _ORDINALS.get(word)))


def _fits(part: int | None, value: int) -> bool:
    """Say whether a number below a hundred may follow what was read of a number."""
    if part is None:
        return True
    return (part % 100 == 0 and part > 0) or (part % 10 == 0 and part % 100 >= 20 and 0 < value < 10)


def _below_hundred(words: Sequence[str], at: int) -> bool:
    return at < len(words) and _value(words[at]) is not None


def _length(words: Sequence[str], at: int) -> int:
    """Return how many words the cardinal below a hundred at a position has."""
    if words[at] in _TENS and at + 1 < len(words) and 0 < _UNITS.get(words[at + 1], 0) < 10:
        return 2
    return int(words[at] in _TENS or words[at] in _UNITS)


def _low_of_year(words: Sequence[str], at: int) -> tuple[int, int] | None:
    """Return the last two digits of a year at a position, and the position after them."""
    if at + 1 < len(words) and words[at] in ("oh", "o") and 0 < _UNITS.get(words[at + 1], 0) < 10:
        return _UNITS[words[at + 1]], at + 2
    if at >= len(words):
        return None
    length = _length(words, at)
    value = sum(_UNITS.get(word, _TENS.get(word, 0)) for word in words[at : at + length])
    return (value, at + length) if length and value >= 10 else None


def ordinal(number: int) -> str:
    """Return an ordinal in digits: 21st."""
    last = "th" if 10 <= number % 100 < 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{last}"
