"""ROVER: several recognizers' words for one stretch of speech become one line of words by vote.

Put here: alignment of hypotheses into a word transition network, and the vote over its slots. Do not put here:
what a recognizer is, which transcripts are good enough, or files.

After J. Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error
Reduction (ROVER)", ASRU 1997. Stated here because that paper leaves it open:

* Systems join the network one by one, in the order given. A slot holds, for each system so far, a word or nothing.
* The alignment has the least total cost. Pairing a word with a slot costs the least over the slot's entries:
  0 for an equal word, `_SUBSTITUTE` for another, `_GAP` for nothing. Passing a slot by costs 0 if some system said
  nothing there, else `_GAP`; opening a new slot costs `_GAP`. A pair also costs 1 for each millisecond between the
  middles of slot and word, at most `_TIME_CAP`: it never outweighs a word, it only decides which of several equal
  words is meant ("very very good" against "very good"). Words more than 10 s from a slot are not paired with it,
  which keeps the work linear in the length. Equal costs: pair before pass before open, from the end. Between pairs
  the slots stand in order of time.
* Words are compared in normalized form (`words.normalized`) and keep their written form; a word of punctuation
  alone takes no part.
* A word's score is alpha * (systems that said it / systems) + (1 - alpha) * (their mean confidence); nothing's
  confidence is the literal `null_confidence`. Equal scores: more systems, then a word before nothing, then the
  entry of the earliest system.
* The winner's written form is the one that most of its systems wrote, then the earliest system's; its times are
  those of the earliest system that wrote it so, its confidence its systems' mean. List the systems by trust in
  their punctuation.

With two systems every disagreement is one against one, so the vote is a pick by confidence: alpha has no say in it
and `null_confidence` decides between a word and nothing. A majority needs three.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spelangy_model.audio.words import in_order, normalized
from spelangy_model.records import Vote, Word

_SUBSTITUTE = 4000
_GAP = 3000
_TIME_CAP = 500
_REACH_MS = 10_000

_PAIR, _PASS, _OPEN = 0, 1, 2


@dataclass(frozen=True)
class RoverWeights:
    """The vote's literals: `alpha` weighs frequency against confidence, `null_confidence` is that of saying nothing."""

    alpha: float = 0.5
    null_confidence: float = 0.5

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("null_confidence", self.null_confidence)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"RoverWeights.{name} lies between 0 and 1, not {value}")


@dataclass(frozen=True)
class Agreed:
    """What the vote gave: `words` that won, `votes` of every slot in order of time.

    `agreement` is the share of slots in which all systems said the winner (1.0 when there is no slot: all were
    silent); `confidence` is the mean confidence of the winning words (0.0 when there is none).
    """

    words: list[Word]
    votes: list[Vote]
    agreement: float
    confidence: float


def rover(hypotheses: Sequence[Sequence[Word]], weights: RoverWeights) -> Agreed:
    """Vote over the words of N systems for the same speech.

    `hypotheses` holds one list of words a system (an empty one votes for silence), with times on one clock and
    confidence from 0 to 1. Time and memory grow linearly with the speech's length. Raises ValueError when there is
    no system at all.
    """
    if not hypotheses:
        raise ValueError("rover needs the words of at least one system")
    slots = _network(hypotheses)
    words, votes, unanimous = [], [], 0
    for slot in slots:
        winner, all_agree = _vote(slot, weights)
        votes.append(Vote([word.text if word else "" for word in slot], winner.text if winner else ""))
        unanimous += all_agree
        if winner:
            words.append(winner)
    return Agreed(
        words=in_order(words),
        votes=votes,
        agreement=unanimous / len(slots) if slots else 1.0,
        confidence=sum(word.confidence for word in words) / len(words) if words else 0.0,
    )


_Slot = list[Word | None]  # one entry a system, in their order


def _vote(slot: _Slot, weights: RoverWeights) -> tuple[Word | None, bool]:
    """Return a slot's winner (None: nothing) and whether all systems said it."""
    supporters: dict[str, list[Word]] = {}
    silent = 0
    for word in slot:
        if word is None:
            silent += 1
        else:
            supporters.setdefault(normalized(word.text), []).append(word)

    def rank(count: int, confidence: float, is_word: bool) -> tuple[float, int, bool]:
        # Rounded, so that sums taken in another order cannot break a tie that the rules do not name.
        return round(weights.alpha * count / len(slot) + (1 - weights.alpha) * confidence, 9), count, is_word

    best, best_rank = None, rank(silent, weights.null_confidence, False) if silent else (-1.0, 0, False)
    for key, group in supporters.items():  # in the order of the earliest system that said the word
        candidate = rank(len(group), sum(word.confidence for word in group) / len(group), True)
        if candidate > best_rank:
            best, best_rank = key, candidate
    if best is None:
        return None, silent == len(slot)
    group = supporters[best]
    forms: dict[str, int] = {}
    for word in group:
        forms[word.text] = forms.get(word.text, 0) + 1
    form = max(forms, key=lambda text: forms[text])  # the first of equals: the earliest system's
    chosen = next(word for word in group if word.text == form)
    confidence = sum(word.confidence for word in group) / len(group)
    return Word(form, chosen.start_s, chosen.end_s, confidence), len(group) == len(slot)


# --- the word transition network ------------------------------------------------------------------------------


def _network(hypotheses: Sequence[Sequence[Word]]) -> list[_Slot]:
    spoken = [in_order([word for word in words if normalized(word.text)]) for words in hypotheses]
    slots: list[_Slot] = [[word] for word in spoken[0]]
    for count, words in enumerate(spoken[1:], start=1):
        merged: list[_Slot] = []
        middles = [_middle_ms(slot) for slot in slots]
        i = j = 0
        for paired_slot, paired_word in [*_align(slots, words), (len(slots), len(words))]:
            while i < paired_slot or j < paired_word:
                if j == paired_word or (i < paired_slot and middles[i] <= _middle_ms([words[j]])):
                    merged.append([*slots[i], None])
                    i += 1
                else:
                    merged.append([*[None] * count, words[j]])
                    j += 1
            if i < len(slots):
                merged.append([*slots[i], words[j]])
            i, j = i + 1, j + 1
        slots = merged
    return slots


def _middle_ms(slot: _Slot) -> int:
    said = [word for word in slot if word is not None]
    return round(500 * sum(word.start_s + word.end_s for word in said) / len(said))


def _align(slots: list[_Slot], words: Sequence[Word]) -> list[tuple[int, int]]:
    """Return the (slot, word) pairs of a cheapest alignment, in order.

    Dynamic programming, a row a slot; only the columns of words within reach are computed, a row at a time by NumPy.
    """
    if not slots or not words:
        return []
    n, m = len(slots), len(words)
    ids: dict[str, int] = {}
    word_ids = np.array([ids.setdefault(normalized(word.text), len(ids)) for word in words])
    word_ms = np.array([_middle_ms([word]) for word in words])
    slot_ms = np.maximum.accumulate([_middle_ms(slot) for slot in slots])
    # Column j of row i: the first i slots and j words are dealt with. A row reaches as far as the next one pairs,
    # since words are opened before the slot with which a later one is paired.
    lows = [0, *np.searchsorted(word_ms, slot_ms - _REACH_MS, side="left").tolist()]
    reach = [0, *np.searchsorted(word_ms, slot_ms + _REACH_MS, side="right").tolist()]
    highs = [*reach[1:], m]

    far = np.int64(1) << 40
    opening = _GAP * np.arange(m + 1, dtype=np.int64)
    cost = opening[: highs[0] + 1]
    trace = [np.full(highs[0] + 1, _OPEN, dtype=np.uint8)]
    for i, slot in enumerate(slots, start=1):
        low, high, last_low, last_high = lows[i], highs[i], lows[i - 1], highs[i - 1]
        above = np.full(high - low + 2, far)  # the row above: columns low - 1 to high
        begin, end = max(low - 1, last_low), min(high, last_high)
        above[begin - low + 1 : end - low + 2] = cost[begin - last_low : end - last_low + 1]
        silent = None in slot
        pairing = np.full(high - low, _GAP if silent else _SUBSTITUTE, dtype=np.int64)
        for key in {normalized(word.text) for word in slot if word is not None}:
            if key in ids:
                pairing[word_ids[low:high] == ids[key]] = 0
        pairing += np.minimum(np.abs(word_ms[low:high] - slot_ms[i - 1]), _TIME_CAP)
        pairing[max(reach[i] - low, 0) :] = far
        paired = np.append(far, above[1:-1] + pairing)
        passed = above[1:] + (0 if silent else _GAP)
        # cost[j] = min over k <= j of best[k] + _GAP * (j - k): a running minimum, as opening always costs the same.
        offset = opening[: high - low + 1]
        cost = np.minimum.accumulate(np.minimum(paired, passed) - offset) + offset
        move = np.full(high - low + 1, _OPEN, dtype=np.uint8)
        move[cost == passed] = _PASS
        move[cost == paired] = _PAIR
        trace.append(move)

    pairs, i, j = [], n, m
    while i or j:
        step = trace[i][j - lows[i]]
        i -= step != _OPEN
        j -= step != _PASS
        if step == _PAIR:
            pairs.append((i, j))
    pairs.reverse()
    return pairs
