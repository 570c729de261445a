"""Map different spellings of the same words to one form: "25", "twenty five" and "twenty-five" are spoken alike.

Put here: the mapping from written to spoken words, for comparing the output of several recognizers. Do not put here:
the vote (rover.py), the spoken form of a text for TTS (text/spoken.py), or text normalization (text/normalize.py).

Recognizers differ in how they write numbers, compounds, contractions and abbreviations. NIST maps such spellings to one
before it aligns and scores (the GLM filter of SCTK). This module does the same, with one difference: a spelling with
several readings takes the reading that another system wrote, so no reading is guessed.

* A word with digits, a percent sign or a currency sign is read in full ("$25" as twenty five dollars). A word with
  hyphens is split at them. American spelling replaces British. "and" inside a number is dropped.
* A contraction, a title, a number with several readings ("1030") and a Roman numeral take another reading than the
  first if some system wrote that other reading.
* A word that another system wrote in several parts ("e mail", "U S A", "any one") is split into those parts.
"""

from __future__ import annotations

import importlib.util
import itertools
import json
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from operator import add
from pathlib import Path

from spelangy_model.audio.words import normalized
from spelangy_model.text.numerals import NUMBER_WORDS, ordinal
from spelangy_model.text.spoken import spoken_form

Reading = tuple[str, ...]

_NUMERIC = re.compile(r"[\d%$\u20ac\u00a3]")
_HYPHENS = re.compile(r"(?<=\w)[-\u2010\u2011\u2013\u2014/]+(?=\w)")
_EDGES = re.compile(r"^(?!\.\d)[^\w$\u20ac\u00a3#%]+|[^\w%]+$")
_DIGITS = re.compile(r"\d{1,6}")
_DECIMAL = re.compile(r"([$\u20ac\u00a3]?)(\d+)\.(\d+)")
_ROMAN = re.compile(r"[IVX]{2,}")
_CURRENCY = re.compile(r"[$\u20ac\u00a3](?:[\d.,]*\d)?")
_SCALES = frozenset({"hundred", "thousand", "million", "billion", "trillion"})
_SCALE_READINGS = frozenset((word,) for word in _SCALES)
_BEFORE_AND = _SCALES | {"dollars", "euros", "pounds"}

# Short forms of other words. Keys are in the form of `normalized`.
_NEGATED = "do does did is was are were has have had could would should might must need"
_OTHERS: dict[str, tuple[str, ...]] = {
    **{f"{verb}nt": (f"{verb} not",) for verb in _NEGATED.split()},
    **{"wont": ("will not",), "cant": ("can not", "cannot"), "shant": ("shall not",), "aint": ("is not", "am not")},
    **{"gonna": ("going to",), "wanna": ("want to",), "gotta": ("got to",), "gimme": ("give me",)},
    **{"kinda": ("kind of",), "sorta": ("sort of",), "lemme": ("let me",), "lets": ("let us",), "yall": ("you all",)},
    **{
        "its": ("it is",),
        "thats": ("that is",),
        "im": ("i am",),
        "ima": ("i am going to",),
        "em": ("them",),
        "til": ("until",),
        "till": ("until",),
    },
    **{f"{word}a": (f"{word} have",) for word in ("could", "would", "should")},
    **{"mr": ("mister",), "mrs": ("missus", "misses", "missis"), "ms": ("miz", "miss"), "dr": ("doctor", "drive")},
    **{"st": ("saint", "street"), "prof": ("professor",), "jr": ("junior",), "sr": ("senior",), "vs": ("versus",)},
    **{"ok": ("okay",), "etc": ("et cetera",), "lt": ("lieutenant",), "capt": ("captain",), "gen": ("general",)},
    **{"sgt": ("sergeant",), "gov": ("governor",), "mt": ("mount",), "inc": ("incorporated",), "ltd": ("limited",)},
}
_ENDINGS = {"'ll": ("will", "shall"), "'re": ("are",), "'ve": ("have",), "'d": ("would", "had"), "'s": ("is", "has")}


@lru_cache(maxsize=65536)
def readings(text: str) -> tuple[Reading, ...]:
    """Return the readings of a written word, as words in the form of `normalized`; () for punctuation alone."""
    key = normalized(text)
    if not key:
        return ()
    if _NUMERIC.search(text):
        return tuple(dict.fromkeys(_number_readings(text)))
    parts = _spelled(_HYPHENS.sub(" ", text)) if _HYPHENS.search(text) else (_american(key),)
    return tuple(dict.fromkeys((parts or (key,), *_alternatives(text, key))))


def fold(texts: Sequence[Sequence[str]]) -> list[list[Reading]]:
    """Return the reading of each written word of each system, chosen in view of the other systems.

    No text may be punctuation alone. A word with an empty reading belongs to the written word before it.
    """
    found = [list(map(readings, words)) for words in texts]
    folded = [[of_word[0] for of_word in row] for row in found]
    plain = all(max(map(len, row), default=1) == 1 for row in folded)
    if not plain or any(_SCALE_READINGS.intersection(row) for row in folded):
        folded = [_joined_numbers(words, row) for words, row in zip(texts, folded, strict=True)]
    if len(texts) < 2:
        return folded
    if any(max(map(len, row), default=1) > 1 for row in found):
        open_words = {
            text: of_word
            for words, row in zip(texts, found, strict=True)
            for text, of_word in zip(words, row, strict=True)
            if len(of_word) > 1
        }
        all_readings = "".join(f" {' '.join(key for reading in row for key in reading)} |" for row in folded)
        chosen = {
            text: other
            for text, (_, *others) in open_words.items()
            for other in reversed(others)
            if f" {' '.join(other)} " in all_readings
        }
        if chosen:
            folded = [
                [chosen.get(text, reading) if reading else reading for text, reading in zip(words, row, strict=True)]
                for words, row in zip(texts, folded, strict=True)
            ]
    parts = _compounds(folded)
    if parts:
        folded = [
            [
                tuple(part for key in reading for part in parts.get(key, (key,)))
                if any(map(parts.__contains__, reading))
                else reading
                for reading in row
            ]
            for row in folded
        ]
    return folded


def _compounds(folded: Sequence[Sequence[Reading]]) -> dict[str, Reading]:
    """Return the words that some system wrote in several parts, and those parts."""
    rows = [list(itertools.chain.from_iterable(row)) for row in folded]
    sets = [set(row) for row in rows]
    everyone = set.intersection(*sets)
    parts: dict[str, Reading] = {}
    for place, row in enumerate(rows):
        others = set[str]().union(*sets[:place], *sets[place + 1 :]) - everyone
        for key, found in _parts(others, row).items():
            parts[key] = min(found, parts.get(key, found))  # independent of the order of the systems
    return parts


def _parts(keys: set[str], row: Sequence[str]) -> dict[str, Reading]:
    """Return the keys that consecutive words of a row spell when joined, each with the first such words."""
    first: dict[str, tuple[int, int]] = {}
    longest = max(map(len, keys), default=0)
    joined = list(row)
    for count in range(2, len(row) + 1):
        joined = list(map(add, joined, row[count - 1 :]))
        if min(map(len, joined)) > longest:
            break
        for key in keys.intersection(joined):
            at = joined.index(key)
            first[key] = min((at, at + count), first.get(key, (at, at + count)))
    return {key: tuple(row[at:end]) for key, (at, end) in first.items()}


def _joined_numbers(words: Sequence[str], row: list[Reading]) -> list[Reading]:
    """Return a row in which the first of several written words that form one number takes the whole reading."""
    row = list(row)
    for at in range(len(row) - 1):
        after = row[at + 1]
        if after == ("and",) and row[at][-1:] and row[at][-1] in _BEFORE_AND:
            if at + 2 < len(row) and row[at + 2] and row[at + 2][0] in NUMBER_WORDS - _SCALES:
                row[at + 1] = ()
        elif row[at] == ("a",) and after[0] in _SCALES:
            row[at] = ("one",)
        elif _CURRENCY.fullmatch(words[at]) and row[at]:
            alone = len(words[at]) == 1
            if words[at + 1][:1].isdigit() if alone else after[0] in _SCALES:
                row[at] = _spelled(spoken_form(words[at] + ("" if alone else " ") + _EDGES.sub("", words[at + 1])))
                row[at + 1] = ()
    return row


def _alternatives(text: str, key: str) -> Iterator[Reading]:
    for other in _OTHERS.get(key, ()):
        yield tuple(other.split())
    plain = text.replace("\u2019", "'").casefold()
    for ending, others in _ENDINGS.items():
        head, found, rest = plain.rpartition(ending)
        if found and head and not normalized(rest):
            for other in others:
                yield (normalized(head), other)
    bare = _EDGES.sub("", text)
    if _ROMAN.fullmatch(bare):
        yield _spelled(spoken_form(bare))


def _number_readings(text: str) -> Iterator[Reading]:
    bare = _EDGES.sub("", text) or text
    if bare == "%":
        yield ("percent",)
        yield ("per", "cent")
        return
    full = _without_and(_spelled(spoken_form(bare)))
    yield full or (normalized(text),)
    if _DIGITS.fullmatch(bare):
        yield from _digit_readings(bare)
    decimal = _DECIMAL.fullmatch(bare)
    if decimal:
        sign, whole, part = decimal.groups()
        yield (*_cardinal(whole), *_cardinal(part))
        yield (*_cardinal(whole), "point", *_cardinal(part))
        yield (*_cardinal(whole), "point", *_one_by_one(part))
        if sign:
            yield (*_cardinal(whole), "point", *_one_by_one(part), full[_unit(full)])
    if bare.endswith(":00"):
        yield _cardinal(bare[:-3])


def _unit(amount: Reading) -> int:
    """Return the index of the currency in a spoken amount: the word after the first number."""
    return next((at for at, word in enumerate(amount) if word not in NUMBER_WORDS and word != "point"), -1)


def _digit_readings(digits: str) -> Iterator[Reading]:
    yield _without_and(_spelled(spoken_form(f"{int(digits):,}")))
    if len(digits) in (3, 4) and digits[0] != "0":
        high, low = digits[:-2], digits[-2:]
        if low == "00":
            yield (*_cardinal(high), "hundred")
        elif low[0] == "0":
            yield (*_cardinal(high), "o", *_cardinal(low[1]))
        else:
            yield (*_cardinal(high), *_cardinal(low))
    if len(digits) > 1:
        yield _one_by_one(digits)
        if "0" in digits:
            yield tuple("o" if word == "zero" else word for word in _one_by_one(digits))
    if len(digits) < 3 and int(digits):
        yield _spelled(spoken_form(ordinal(int(digits))))


def _cardinal(digits: str) -> Reading:
    return _without_and(_spelled(spoken_form(f"{int(digits):,}")))


def _one_by_one(digits: str) -> Reading:
    return tuple(word for digit in digits for word in _cardinal(digit))


def _without_and(words: Reading) -> Reading:
    return tuple(word for word in words if word != "and")


def _spelled(text: str) -> Reading:
    """Return the normalized words of a text, split at hyphens."""
    return tuple(_american(key) for part in _HYPHENS.sub(" ", text).split() if (key := normalized(part)))


def _american(key: str) -> str:
    return "o" if key == "oh" else _spellings().get(key, key)


@cache
def _spellings() -> dict[str, str]:
    """Return American spellings by British ones, from the table of Whisper's text normalizer for WER."""
    found = importlib.util.find_spec("whisper")  # does not import it
    if found is None or not found.origin:
        return {}
    return json.loads((Path(found.origin).parent / "normalizers" / "english.json").read_text("utf-8"))
