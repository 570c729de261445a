"""ROVER: several recognizers' words for one stretch of speech become one line of words by vote.

Put here: alignment of hypotheses into a word transition network, and the vote over its slots. Do not put here:
what a recognizer is, which transcripts are good enough, or files.

After J. Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error
Reduction (ROVER)", ASRU 1997, with the costs and the scores of NIST's own program (`rover` of SCTK), whose words it
gives when `times` is off and no two arcs score the same. Stated here because that paper leaves it open:

* Where all systems are silent for `COMMON_SILENCE_S` or longer, the speech is cut, and each part is aligned by itself.
* Systems join the network one by one, in the order given. A slot holds, for each system so far, a word or nothing.
* The alignment has the least total cost, through one entry of each slot: pairing a word with an equal one costs 0, with
  another 4, with nothing 1; passing a word by costs 3, passing nothing 0.001; opening a new slot costs 3. Equal costs,
  from the end: the slot's oldest entry, then pair before open before pass. SCTK adds up in single precision, which
  breaks some ties by chance; here they stay ties.
* With `times`, a pair also costs 1/1000 for each millisecond between the middles of slot and word, at most 0.5: that
  never outweighs a word, it only decides which of several equal words is meant ("very very good" against "very good").
  Words more than 10 s from a slot are then not paired with it, and between pairs the slots stand in order of time.
* Words are compared in normalized form (`words.normalized`) and keep their written form; a word of punctuation
  alone takes no part.
* A score is alpha * (share of the systems that said it) + (1 - alpha) * confidence. The confidence is, by `method`, the
  mean of those systems' confidences (meth1), the largest of them (maxconf), or their sum over the sum of the slot's
  confidences (avgconf); nothing's confidence is the literal `null_confidence`. A system's weight multiplies its vote
  and its confidence. Equal scores: the larger share, then a word before nothing, then the earliest system's entry.
* The winner's written form is the one that most of its systems wrote, then the earliest system's; its times are
  those of the earliest system that wrote it so, its confidence the plain mean of its systems'. List the systems by
  trust in their punctuation.

With two systems of equal weight every disagreement is one against one, so the vote is a pick by confidence: alpha has
no say in it and `null_confidence` decides between a word and nothing. A majority needs three.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spelangy_model.audio.words import in_order, normalized
from spelangy_model.records import Vote, Word

COMMON_SILENCE_S = 1.0

# Costs in thousandths, so that they add up exactly.
_SUBSTITUTE, _GAP, _BESIDE_NOTHING, _PASS_NOTHING = 4000, 3000, 1000, 1
_TIME_CAP = 500
_REACH_MS = 10_000
_FAR = 1 << 60

_PAIR, _OPEN, _PASS = 0, 1, 2

Method = Literal["meth1", "maxconf", "avgconf"]


@dataclass(frozen=True)
class SystemWeight:
    """What a system's vote and confidence count, against 1 for a system that is not named."""

    system: str
    weight: float


@dataclass(frozen=True)
class RoverWeights:
    """The vote's literals; see the module's docstring. The methods have the names of SCTK's."""

    alpha: float = 0.5
    null_confidence: float = 0.5
    method: Method = "meth1"
    systems: tuple[SystemWeight, ...] = ()
    times: bool = True

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("null_confidence", self.null_confidence)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"RoverWeights.{name} lies between 0 and 1, not {value}")
        if self.method not in ("meth1", "maxconf", "avgconf"):
            raise ValueError(f"RoverWeights.method is meth1, maxconf or avgconf, not {self.method!r}")
        names = [item.system for item in self.systems]
        if len(set(names)) < len(names) or any(not item.weight > 0 for item in self.systems):
            raise ValueError(f"RoverWeights.systems names each system once, with a weight over 0: {self.systems}")

    def of(self, systems: Sequence[str]) -> list[float]:
        """Return the weights of some systems, in their order."""
        named = {item.system: item.weight for item in self.systems}
        return [named.get(system, 1.0) for system in systems]


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


def rover(hypotheses: Sequence[Sequence[Word]], weights: RoverWeights, systems: Sequence[str] = ()) -> Agreed:
    """Vote over the words of N systems for the same speech.

    `hypotheses` holds one list of words a system (an empty one votes for silence), with times on one clock and
    confidence from 0 to 1; `systems` their names, needed only where `weights` names any. Time grows with the length
    of the speech times the words on which the systems differ between two silences. Raises ValueError when there is
    no system at all, and when the names do not fit.
    """
    if len(systems) != len(hypotheses) and (systems or weights.systems):
        raise ValueError(f"rover got the words of {len(hypotheses)} systems and the names of {list(systems)}")
    return vote(network(hypotheses, weights.times), weights, systems)


Slot = list[Word | None]  # one entry a system, in their order; None: it said nothing


def vote(slots: Sequence[Slot], weights: RoverWeights, systems: Sequence[str] = ()) -> Agreed:
    """Vote over the slots of a network; `rover` is this on the network of some hypotheses."""
    trust = weights.of(systems) if systems else [1.0] * (len(slots[0]) if slots else 0)
    words, votes, unanimous = [], [], 0
    for slot in slots:
        winner, all_agree = _vote(slot, weights, trust)
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


def _vote(slot: Slot, weights: RoverWeights, trust: list[float]) -> tuple[Word | None, bool]:
    """Return a slot's winner (None: nothing) and whether all systems said it."""
    supporters: dict[str, list[int]] = {}  # the systems that said a word, in the order of the earliest
    silent = []
    for system, word in enumerate(slot):
        if word is None:
            silent.append(system)
        else:
            supporters.setdefault(normalized(word.text), []).append(system)
    if len(supporters) == 1 and not silent:
        return _written([word for word in slot if word]), True

    believed = [
        weights.null_confidence if word is None else w * word.confidence for w, word in zip(trust, slot, strict=True)
    ]
    all_trust, all_belief = sum(trust), sum(believed)

    def rank(group: list[int], is_word: bool) -> tuple[float, float, bool]:
        belief = [believed[system] for system in group]
        if weights.method == "maxconf":
            confidence = max(belief)
        elif weights.method == "avgconf":
            confidence = sum(belief) / all_belief if all_belief else 0.0
        else:
            confidence = sum(belief) / len(belief)
        share = sum(trust[system] for system in group) / all_trust
        # Rounded, so that sums taken in another order cannot break a tie that the rules do not name.
        return round(weights.alpha * share + (1 - weights.alpha) * confidence, 9), round(share, 9), is_word

    best, best_rank = None, rank(silent, False) if silent else (-1.0, 0.0, False)
    for key, group in supporters.items():
        candidate = rank(group, True)
        if candidate > best_rank:
            best, best_rank = key, candidate
    if best is None:
        return None, False
    return _written([word for system in supporters[best] if (word := slot[system])]), False


def _written(group: list[Word]) -> Word:
    """Return the word that some systems said, in the form that most of them wrote."""
    chosen = group[0]
    if len(group) > 2:  # of two forms written once each, the earliest system's
        forms: dict[str, int] = {}
        for word in group:
            forms[word.text] = forms.get(word.text, 0) + 1
        form = max(forms, key=lambda text: forms[text])  # the first of equals
        chosen = next(word for word in group if word.text == form)
    confidence = sum(word.confidence for word in group) / len(group)
    return Word(chosen.text, chosen.start_s, chosen.end_s, confidence)


# --- the word transition network ------------------------------------------------------------------------------


def network(hypotheses: Sequence[Sequence[Word]], times: bool = True) -> list[Slot]:
    """Return the slots that the words of N systems make; see `rover`."""
    if not hypotheses:
        raise ValueError("rover needs the words of at least one system")
    spoken = [in_order([word for word in words if normalized(word.text)]) for words in hypotheses]
    slots: list[Slot] = []
    for part in _parts(spoken):
        joined: list[Slot] = [[word] for word in part[0]]
        for count, words in enumerate(part[1:], start=1):
            joined = _join(joined, count, words, times)
        slots += joined
    return slots


def _parts(spoken: list[list[Word]]) -> list[list[list[Word]]]:
    """Cut the words of all systems where all are silent for COMMON_SILENCE_S or longer."""
    edges, reached = [], float("inf")
    for start_s, end_s in sorted([(word.start_s, word.end_s) for words in spoken for word in words]):
        if start_s - reached >= COMMON_SILENCE_S:
            edges.append(start_s)
        reached = end_s if reached == float("inf") else max(reached, end_s)
    if not edges:
        return [spoken]
    parts, begins = [], [0] * len(spoken)
    for edge in [*edges, float("inf")]:
        ends = [bisect.bisect_left(words, edge, key=lambda word: word.start_s) for words in spoken]
        parts.append([words[begin:end] for words, begin, end in zip(spoken, begins, ends, strict=True)])
        begins = ends
    return parts


def _join(slots: list[Slot], count: int, words: list[Word], times: bool) -> list[Slot]:
    """Align the words of one more system with the slots of `count`, and return the slots of them all."""
    if not words:
        return [[*slot, None] for slot in slots]
    slot_ms = [_middle_ms(slot) for slot in slots]
    word_ms = [_middle_ms([word]) for word in words]
    pairs = _align(slots, slot_ms, words, word_ms, times)
    merged: list[Slot] = []
    i = j = 0
    for paired_slot, paired_word in [*pairs, (len(slots), len(words))]:
        while i < paired_slot or j < paired_word:
            if j == paired_word or (i < paired_slot and slot_ms[i] <= word_ms[j]):
                merged.append([*slots[i], None])
                i += 1
            else:
                merged.append([*[None] * count, words[j]])
                j += 1
        if i < len(slots):
            merged.append([*slots[i], words[j]])
        i, j = i + 1, j + 1
    return merged


def _middle_ms(slot: Slot) -> int:
    total = said = 0.0
    for word in slot:
        if word is not None:
            total += word.start_s + word.end_s
            said += 1
    return round(500 * total / said)


def _align(
    slots: list[Slot], slot_ms: list[int], words: list[Word], word_ms: list[int], times: bool
) -> list[tuple[int, int]]:
    """Return the (slot, word) pairs of a cheapest alignment, in order.

    Dynamic programming, after E. Ukkonen ("Algorithms for approximate string matching", 1985): only the cells through
    which an alignment of at most a given cost can lead are computed, and that cost is raised until there is one. What a
    cell's rest costs at least is known from how many of its words can be matched at all (`_unmatched`), so that mostly
    one or two words of a slot count.
    """
    if not slots or not words:
        return []
    keys = [normalized(word.text) for word in words]
    arcs = [_arcs(slot) for slot in slots]
    # What each word costs at least for its time, wherever it goes, summed from the end.
    floor = [0] * (len(words) + 1)
    if times:
        ordered = sorted(slot_ms)
        for j in range(len(words) - 1, -1, -1):
            at = bisect.bisect_left(ordered, word_ms[j])
            nearest = min(abs(slot - word_ms[j]) for slot in ordered[max(at - 1, 0) : at + 1])
            floor[j] = floor[j + 1] + min(nearest, _TIME_CAP)
    unmatched = _unmatched(arcs, keys)
    slack = 6 * _BESIDE_NOTHING
    while (trace := _trace(arcs, unmatched, slot_ms, keys, word_ms, floor, times, slack)) is None:
        slack *= 2
    pairs, i, j = [], len(slots), len(words)
    arc = None
    while i or j:
        row = trace[i]
        arc = row.best[j - row.low] if arc is None else arc
        step = row.moves[arc][j - row.low]
        if step != _OPEN:
            i, arc = i - 1, None
        j -= step != _PASS
        if step == _PAIR:
            pairs.append((i, j))
    pairs.reverse()
    return pairs


def _unmatched(arcs: list[list[str]], keys: list[str]) -> list[int]:
    """Return for the slots from each one on which words a longest common subsequence with them leaves over.

    Bit k of a number is the k-th word from the end: of the last w words as many stay unmatched as its w lowest bits
    hold ones. After H. Hyyro, "Bit-parallel LCS-length computation revisited" (2004); a number holds any many bits.
    """
    places: dict[str, int] = {}
    for place, key in enumerate(reversed(keys)):
        places[key] = places.get(key, 0) | 1 << place
    ones = (1 << len(keys)) - 1
    left, rows = ones, [ones]
    for entries in reversed(arcs):
        equal = 0
        for key in entries:
            equal |= places.get(key, 0)
        if matched := left & equal:
            left = ((left + matched) | (left - matched)) & ones
        rows.append(left)
    rows.reverse()
    return rows


def _arcs(slot: Slot) -> list[str]:
    """Return what a slot's entries say ("": nothing), each once, first the word that opened the slot."""
    said = [normalized(word.text) if word else "" for word in slot]
    if not said[0]:
        said.insert(0, next(key for key in said if key))
    return list(dict.fromkeys(said))


@dataclass(slots=True)
class _Row:
    """The cells after a slot: first column (words dealt with), the best arc a column, each arc's last moves."""

    low: int
    best: list[int]
    moves: list[list[int]]


def _trace(
    arcs: list[list[str]],
    unmatched: list[int],
    slot_ms: list[int],
    keys: list[str],
    word_ms: list[int],
    floor: list[int],
    times: bool,
    slack: int,
) -> list[_Row] | None:
    """Return a row for the start and one a slot.

    None when every alignment costs more than the least one that matches, lengths and times allow, plus `slack`.
    """
    n, m = len(arcs), len(keys)
    opening = _GAP - (_TIME_CAP if times else 0)  # a word that opens a slot saves the cost of its time
    masks = [(1 << (m - j)) - 1 for j in range(m + 1)]
    nulls = sum("" in entries for entries in arcs)

    def rest(i: int, j: int) -> int:
        """What the rest costs at least, by counts alone: each slot and each word without a match has its price."""
        words = (unmatched[i] & masks[j]).bit_count()
        passed = n - i - nulls - (m - j - words)  # slots of words alone, passed by or given another word
        if passed < 0:
            passed = 0
        opened = words - nulls - passed
        if opened < 0:
            opened = 0
        return floor[j] + _GAP * passed + _BESIDE_NOTHING * (words - opened) + opening * opened

    limit = rest(0, 0) + slack
    low, above = 0, [0]
    for j in range(1, m + 1):
        if above[-1] + _GAP + rest(0, j) > limit:
            break
        above.append(above[-1] + _GAP)
    rows = [_Row(0, [0] * len(above), [[_OPEN] * len(above)])]
    for i in range(1, n + 1):
        width, at, entries = len(above), slot_ms[i - 1], arcs[i - 1]
        nulls -= "" in entries
        left = [_FAR] * len(entries)
        costs, best_arcs, moves = [], [], [[] for _ in entries]
        for j in range(low, m + 1):
            k = j - low
            pair_from = above[k - 1] if 0 < k <= width else _FAR
            pass_from = above[k] if k < width else _FAR
            if k > width and min(left) >= _FAR:
                break
            word = keys[j - 1]
            if times and pair_from < _FAR:
                apart = abs(word_ms[j - 1] - at)
                pair_from = pair_from + min(apart, _TIME_CAP) if apart <= _REACH_MS else _FAR
            allowed = limit - rest(i, j)
            least, least_arc = _FAR, 0
            for arc, key in enumerate(entries):
                if key:
                    cost, skip = pair_from + (0 if key == word else _SUBSTITUTE), pass_from + _GAP
                else:
                    cost, skip = pair_from + _BESIDE_NOTHING, pass_from + _PASS_NOTHING
                opened = left[arc] + _GAP
                move = _PAIR
                if cost > skip or cost > opened:
                    cost, move = (skip, _PASS) if skip < opened else (opened, _OPEN)
                if cost > allowed:
                    cost = _FAR
                left[arc] = cost
                moves[arc].append(move)
                if cost < least:
                    least, least_arc = cost, arc
            costs.append(least)
            best_arcs.append(least_arc)
        begin, end = 0, len(costs)
        while begin < end and costs[begin] >= _FAR:
            begin += 1
        while begin < end and costs[end - 1] >= _FAR:
            end -= 1
        if begin == end:
            return None
        low, above = low + begin, costs[begin:end]
        rows.append(_Row(low, best_arcs[begin:end], [steps[begin:end] for steps in moves]))
    return rows if low + len(above) == m + 1 else None
