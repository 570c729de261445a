"""ROVER: combine the words of several recognizers for one stretch of speech into one transcript by vote.

Put here: the rules by which hypotheses become a word transition network, and the vote on each slot. Do not put here:
the loops over cells and words (word_network.py), equal spellings of words (writings.py), recognizers, filters of
transcripts, or files.

After J. Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error
Reduction (ROVER)", ASRU 1997. Costs and scores are those of NIST's program (`rover` of SCTK); the words are the same
as NIST's when `times` and `fold` are off and no two arcs have equal scores. The paper leaves the following open:

* With `fold`, written words are mapped to spoken words (writings.py) before the alignment, as NIST's GLM filter does:
  "$25", "25 dollars" and "twenty-five dollars" then agree. Words of punctuation alone are left out.
* The speech is cut where all systems are silent for `COMMON_SILENCE_S` or longer. Each part is aligned separately.
* Systems join the network one by one. With `times`, systems join by weight, then by mean confidence, the highest
  first, so the order of the arguments matters only for ties. Without `times`, they join in the order given, as in
  SCTK. A slot holds one entry for each system that has joined: a word or nothing.
* The alignment has the least total cost, through one entry of each slot: pairing a word with an equal word costs 0,
  with another word 4, with nothing 1; skipping a word costs 3, skipping nothing 0.001; opening a new slot costs 3. Ties
  are broken from the end: the oldest entry of the slot first, then pair, open, skip. With `times`, costs are summed
  exactly. Without it, they are summed in single precision, so that ties break as in SCTK.
* With `times`, a pair also costs 1/1000 for each millisecond between the middles of slot and word, at most 0.5. This
  is less than the cost of a word, so it only decides between equal words ("very very good" against "very good").
  Words more than 10 s from a slot are not paired with it, and slots between pairs are sorted by time.
* A score is alpha * (share of the systems with this word) + (1 - alpha) * confidence. The confidence depends on
  `method`: the mean of those systems' confidences (meth1), the largest of them (maxconf), or their sum over the sum of
  the slot's confidences (avgconf). The confidence of nothing is `null_confidence`. A system's weight multiplies its
  vote and its confidence. Ties: the larger share, then a word before nothing, then the system that joined first.
* The confidences of a system may be calibrated. A calibrated confidence is the share of words with this confidence that
  were right in the speech on which the calibration was fitted (`spelangy calibrate`). The words of the result have
  calibrated confidences.

The vote does not decide the spelling of a winner: systems without case and punctuation would outvote a system that
writes them. `written` lists systems by trust in their spelling; systems that it does not name follow in the order
given. Each word takes the spelling of the first listed system that agrees with the vote. If all systems that agree
write without case and punctuation, the word takes its final punctuation mark, and its capital at the start of a
sentence, from the first listed system that writes them. The word before a word that was voted away does the same.
Written words that cover several slots, or share slots, are written as one unit: as the first listed system whose words
there all agree with the vote writes them; if there is no such system, as the system that agrees in most slots writes
them. A word has the times of the system whose spelling it takes, and the plain mean confidence of the systems that
agree.

With two systems of equal weight every disagreement is one against one, so confidence alone decides: alpha has no
effect, and `null_confidence` decides between a word and nothing. A majority needs three systems. A word from one system
alone loses to another system's silence if its confidence is below `null_confidence`, whatever the third system has
there.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self, get_args

import numpy as np

from spelangy_model.audio.words import in_order, in_order_times, normalized
from spelangy_model.audio.writings import fold
from spelangy_model.records import Vote, Word

Method = Literal["meth1", "maxconf", "avgconf"]

_SENTENCE_MARKS = ".!?\u2026"
_MARKS = _SENTENCE_MARKS + ",;:"
_CLOSING = "\"'\u201d\u2019)]"
_LOGIT_LIMIT = 0.999


@dataclass(frozen=True)
class SystemWeight:
    """The weight of a system's vote and confidence; a system that is not named has the weight 1."""

    system: str
    weight: float


@dataclass(frozen=True)
class Calibration:
    """Maps a system's confidence to the probability that a word is right: logistic(slope * logit + intercept)."""

    system: str
    slope: float
    intercept: float


@dataclass(frozen=True)
class RoverWeights:
    """The parameters of the vote; see the module's docstring. The methods have SCTK's names."""

    alpha: float = 0.5
    null_confidence: float = 0.95
    method: Method = "meth1"
    systems: tuple[SystemWeight, ...] = ()
    times: bool = True
    written: tuple[str, ...] = ()
    calibrations: tuple[Calibration, ...] = ()
    fold: bool = True

    def __post_init__(self) -> None:
        for name, value in (("alpha", self.alpha), ("null_confidence", self.null_confidence)):
            if not 0.0 <= value <= 1.0:
                raise ValueError(f"RoverWeights.{name} must be between 0 and 1, not {value}")
        if self.method not in get_args(Method):
            raise ValueError(f"RoverWeights.method is meth1, maxconf or avgconf, not {self.method!r}")
        names = [item.system for item in self.systems]
        if len(set(names)) < len(names) or any(not item.weight > 0 for item in self.systems):
            raise ValueError(f"RoverWeights.systems names each system once, with a weight over 0: {self.systems}")
        if len(set(self.written)) < len(self.written):
            raise ValueError(f"RoverWeights.written names each system once: {self.written}")
        names = [item.system for item in self.calibrations]
        if len(set(names)) < len(names) or any(not item.slope >= 0 for item in self.calibrations):
            raise ValueError(
                f"RoverWeights.calibrations names each system once, with a slope of 0 or more: {self.calibrations}"
            )

    @property
    def named(self) -> set[str]:
        """The systems that these parameters name."""
        return {*self.written, *(item.system for item in (*self.systems, *self.calibrations))}

    def of(self, systems: Sequence[str]) -> list[float]:
        """Return the weights of `systems`, in the same order."""
        named = {item.system: item.weight for item in self.systems}
        return [named.get(system, 1.0) for system in systems]


@dataclass(frozen=True)
class Agreed:
    """The result of the vote: the winning `words`, and the `votes` of every place in order of time.

    A place is a slot, or the slots that one written word covers or shares. `agreement` is the share of places in which
    all systems have the winner (1.0 when there is no place: all systems were silent); `confidence` is the mean
    confidence of the winning words (0.0 when there is none).
    """

    words: list[Word]
    votes: list[Vote]
    agreement: float
    confidence: float


def calibrated(confidences: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return calibrated confidences, (n,), from 0 to 1."""
    return 1 / (1 + np.exp(-(calibration.slope * logit_of(confidences) + calibration.intercept)))


def logit_of(confidences: np.ndarray) -> np.ndarray:
    """Return the logits of confidences, (n,); 0 and 1 are replaced by 0.001 and 0.999."""
    bounded = np.clip(confidences, 1 - _LOGIT_LIMIT, _LOGIT_LIMIT)
    return np.log(bounded / (1 - bounded))


def rover(hypotheses: Sequence[Sequence[Word]], weights: RoverWeights, systems: Sequence[str] = ()) -> Agreed:
    """Vote over the words of N systems for the same speech.

    `hypotheses` holds one list of words for each system (an empty list votes for silence), with times on one clock and
    confidence from 0 to 1. `systems` are the names of the systems, needed only if `weights` names any. The cost grows
    with the length of the speech times the number of words on which the systems differ between two silences. Raises
    ValueError without any system, and if the number of names is not the number of hypotheses.
    """
    if len(systems) != len(hypotheses) and (systems or weights.named):
        raise ValueError(f"rover got the words of {len(hypotheses)} systems and the names of {list(systems)}")
    from spelangy_model.audio import word_network

    if not hypotheses:
        raise ValueError("rover needs the words of at least one system")
    spoken = [in_order([word for word in words if normalized(word.text)]) for words in hypotheses]
    calibrations = {item.system: item for item in weights.calibrations}
    confidences = [[word.confidence for word in words] for words in spoken]
    for place, system in enumerate(systems):
        if system in calibrations:
            confidences[place] = calibrated(np.array(confidences[place]), calibrations[system]).tolist()
    trust = weights.of(systems) if systems else [1.0] * len(spoken)
    # `joining` is the order in which the systems join; `written` their order of trust in spelling, as indices into it.
    joining = list(range(len(spoken)))
    if weights.times:
        joining.sort(key=lambda place: _joins(trust[place], confidences[place]))
    writing = _Written.of([spoken[place] for place in joining], [confidences[place] for place in joining], weights.fold)
    named = {system: place for place, system in enumerate(weights.written)}
    written = np.array(
        sorted(
            range(len(joining)),
            key=lambda at: (
                named.get(systems[joining[at]], len(named)) if systems else 0,
                writing.marked[at] is not True,
                joining[at],
            ),
        ),
        np.int64,
    )
    slots = word_network.network(writing.keys, writing.starts_s, writing.ends_s, writing.offsets, weights.times)
    winners, means, agreeing = word_network.vote(
        slots,
        writing.keys,
        written,
        writing.confidences,
        np.array([trust[place] for place in joining]),
        weights.alpha,
        weights.null_confidence,
        word_network.METHODS.index(weights.method),
    )
    texts, back = writing.texts, [joining.index(place) for place in range(len(joining))]
    if writing.one_for_one:
        won = winners.tolist()
        order = [word for word in won if word != word_network.NOTHING]
        candidates = [[texts[word] for word in slot] for slot in slots[:, back].tolist()]
        sizes = [int(word != word_network.NOTHING) for word in won]
        sure = means[winners != word_network.NOTHING].tolist()
        alike = int((agreeing.all(axis=1) & (winners != word_network.NOTHING)).sum())
    else:
        candidates, chosen, sure, alike = _in_writing(writing, slots, winners, means, agreeing, written.tolist(), back)
        order, sizes = list(itertools.chain.from_iterable(chosen)), list(map(len, chosen))
    words = writing.words
    starts_s, ends_s = [words[word].start_s for word in order], [words[word].end_s for word in order]
    in_order_times(starts_s, ends_s)
    line = [texts[word] for word in order]
    if True in writing.marked and False in writing.marked:
        marking = next(system for system in written.tolist() if writing.marked[system])
        _take_marks(line, writing, [of_place[joining[marking]] for of_place in candidates], order, sizes)
    winning, at = [], 0
    for size in sizes:
        winning.append(line[at] if size == 1 else " ".join(line[at : at + size]))
        at += size
    return Agreed(
        words=list(map(Word, line, starts_s, ends_s, sure)),
        votes=list(map(Vote, candidates, winning)),
        agreement=alike / len(sizes) if sizes else 1.0,
        confidence=sum(sure) / len(order) if order else 0.0,
    )


def _joins(trust: float, confidences: Sequence[float]) -> tuple[float, float]:
    """Return the sort key of a system: the largest weight first, then the largest mean confidence."""
    return -trust, -round(sum(confidences) / len(confidences), 9) if confidences else 0.0


@dataclass(frozen=True)
class _Written:
    """The written words of all systems, one system after another, and the spoken words to which they map.

    `texts` are the texts of the words, and "" at the last index, word_network.NOTHING. `first` and `lengths` give the
    spoken words of each written word; a written word without any belongs to the written word before it. The arrays have
    one value for each spoken word: equal `keys` (int64) are equal words, `unit` (int64) is the written word. `offsets`
    (int64) are the indices at which the spoken words of each system begin, `begins` those of the written words.
    `marked`: whether a system wrote a capital or a sentence mark; None for a system that wrote nothing.
    """

    words: list[Word]
    texts: list[str]
    first: list[int]
    lengths: list[int]
    keys: np.ndarray
    starts_s: np.ndarray
    ends_s: np.ndarray
    confidences: np.ndarray
    unit: np.ndarray
    offsets: np.ndarray
    begins: list[int]
    marked: list[bool | None]
    one_for_one: bool

    @classmethod
    def of(cls, spoken: Sequence[Sequence[Word]], confidences: Sequence[Sequence[float]], folded: bool) -> Self:
        words = list(itertools.chain.from_iterable(spoken))
        texts = [word.text for word in words]
        starts_s, ends_s = [word.start_s for word in words], [word.end_s for word in words]
        begins = list(itertools.accumulate(map(len, spoken), initial=0))
        by_system = [texts[begin:end] for begin, end in itertools.pairwise(begins)]
        lines = ["".join(one) for one in by_system]
        if folded:
            readings = list(itertools.chain.from_iterable(fold(by_system)))
        else:
            readings = [(normalized(text),) for text in texts]
        sure = np.array(list(itertools.chain.from_iterable(confidences)), np.float64)
        lengths = list(map(len, readings))
        one_for_one = lengths.count(1) == len(lengths)
        offsets, first, unit = begins, list[int](), np.zeros(0, np.int64)  # not needed in that case
        if not one_for_one:
            first = list(itertools.accumulate(lengths, initial=0))
            unit = np.repeat(np.arange(len(words)), lengths)
            for word in range(len(words) - 1, 0, -1):
                if not lengths[word]:
                    ends_s[word - 1] = max(ends_s[word - 1], ends_s[word])
            spans = [
                span
                for start_s, end_s, reading in zip(starts_s, ends_s, readings, strict=True)
                for span in _shares(start_s, end_s, reading)
            ]
            starts_s, ends_s = [span[0] for span in spans], [span[1] for span in spans]
            offsets, sure = [first[begin] for begin in begins], sure[unit]
        keys = list(itertools.chain.from_iterable(readings))
        codes = {key: code for code, key in enumerate(dict.fromkeys(keys))}
        return cls(
            words=words,
            texts=[*texts, ""],
            first=first,
            lengths=lengths,
            keys=np.array(list(map(codes.__getitem__, keys)), np.int64),
            starts_s=np.array(starts_s, np.float64),
            ends_s=np.array(ends_s, np.float64),
            confidences=sure,
            unit=unit,
            offsets=np.array(offsets, np.int64),
            begins=begins,
            marked=[_is_marked(line) if line else None for line in lines],
            one_for_one=one_for_one,
        )

    def written(self, unit: int) -> list[int]:
        """Return a written word with the words after it that map to no spoken word."""
        end = unit + 1
        if end == len(self.lengths) or self.lengths[end]:
            return [unit]
        while end < len(self.lengths) and not self.lengths[end]:
            end += 1
        return list(range(unit, end))


def _is_marked(line: str) -> bool:
    return line != line.lower() or any(mark in line for mark in _SENTENCE_MARKS)


def _shares(start_s: float, end_s: float, reading: Sequence[str]) -> list[tuple[float, float]]:
    """Return the times of the spoken words of a written word, in proportion to their characters."""
    if len(reading) < 2:
        return [(start_s, end_s)] * len(reading)
    total = sum(map(len, reading))
    edges = [start_s + (end_s - start_s) * at / total for at in itertools.accumulate(map(len, reading), initial=0)]
    return list(itertools.pairwise(edges))


def _in_writing(
    writing: _Written,
    slots: np.ndarray,
    winners: np.ndarray,
    means: np.ndarray,
    agreeing: np.ndarray,
    asked: Sequence[int],
    given: Sequence[int],
) -> tuple[list[list[str]], list[list[int]], list[float], int]:
    """Group slots into places; the slots that one written word covers are one place.

    Return the text of each system at each place, the winning written words, their confidences, and the number of places
    on which all systems agree. `given`: the systems in the order of the arguments."""
    count, systems = slots.shape
    slot_of = np.zeros(len(writing.keys), np.int64)
    for system in range(systems):
        slot_of[slots[:, system][slots[:, system] >= 0]] = np.flatnonzero(slots[:, system] >= 0)
    held = [False] * count  # True: a written word covers this slot and the next one
    for word in np.flatnonzero(np.array(writing.lengths) > 1).tolist():
        begin, end = slot_of[writing.first[word]], slot_of[writing.first[word + 1] - 1]
        held[begin:end] = [True] * (end - begin)
    starts = {first for first, length in zip(writing.first, writing.lengths, strict=False) if length}
    entries, agree, won, mean_of = slots.tolist(), agreeing.tolist(), winners.tolist(), means.tolist()
    unit, texts = writing.unit.tolist(), writing.texts
    candidates: list[list[str]] = []
    chosen: list[list[int]] = []
    sure: list[float] = []
    alike = 0
    begin = 0
    all_agree = [all(systems) for systems in agree]
    of_spoken = [texts[word] for word in unit] + [""]
    for word in np.flatnonzero(np.array(writing.lengths) == 0).tolist():  # these belong to the word before
        of_spoken[writing.first[word] - 1] += f" {texts[word]}"
    for last in range(count):
        if held[last]:
            continue
        if begin == last:  # each system has one spoken word here, which is a whole written word, or nothing
            begin, word = last + 1, won[last]
            candidates.append([of_spoken[entries[last][s]] for s in given])
            chosen.append(writing.written(unit[word]) if word >= 0 else [])
            sure += [mean_of[last]] * len(chosen[-1])
            alike += all_agree[last] and word >= 0
            continue
        group, begin = range(begin, last + 1), last + 1
        units = [
            [word for slot in group if entries[slot][s] in starts for word in writing.written(unit[entries[slot][s]])]
            for s in range(systems)
        ]
        candidates.append([" ".join(texts[word] for word in units[s]) for s in given])
        winning = [slot for slot in group if won[slot] >= 0]
        alike += len(winning) == len(group) and all(all_agree[slot] for slot in group)
        words, confidences = _fitting(writing, entries, agree, mean_of, unit, winning, asked)
        if winning and not words:
            most = max((s for s in asked if units[s]), key=lambda s: sum(agree[slot][s] for slot in group))
            words = units[most]
            confidences = [sum(mean_of[slot] for slot in winning) / len(winning)] * len(words)
        chosen.append(words)
        sure += confidences
    return candidates, chosen, sure, alike


def _fitting(
    writing: _Written,
    entries: Sequence[Sequence[int]],
    agree: Sequence[Sequence[bool]],
    mean_of: Sequence[float],
    unit: Sequence[int],
    winning: Sequence[int],
    asked: Sequence[int],
) -> tuple[list[int], list[float]]:
    """Return written words that match the winners of some slots exactly, and their confidences; else ([], [])."""
    words: list[int] = []
    confidences: list[float] = []
    at = 0
    while at < len(winning):
        for system in asked:
            spoken = entries[winning[at]][system]
            if spoken < 0 or not agree[winning[at]][system] or writing.first[unit[spoken]] != spoken:
                continue
            covered = winning[at : at + writing.lengths[unit[spoken]]]
            if [entries[slot][system] for slot in covered] == list(
                range(spoken, writing.first[unit[spoken] + 1])
            ) and all(agree[slot][system] for slot in covered):
                more = writing.written(unit[spoken])
                words += more
                confidences += [sum(mean_of[slot] for slot in covered) / len(covered)] * len(more)
                at += len(covered)
                break
        else:
            return [], []
    return words, confidences


def _take_marks(
    line: list[str], writing: _Written, marked_texts: Sequence[str], order: Sequence[int], sizes: Sequence[int]
) -> None:
    """Add case and punctuation, in place, to words of systems that write neither, from a system that writes both.

    `marked_texts` are the system's texts at each place, `order` the words of the line, `sizes` how many each place has.
    """
    plain = {
        word
        for marked, (begin, end) in zip(writing.marked, itertools.pairwise(writing.begins), strict=True)
        if marked is False
        for word in range(begin, end)
    }
    at, starts = 0, True
    for own, size in zip(marked_texts, sizes, strict=True):
        mark = own[len(own.rstrip(_MARKS + _CLOSING)) :]
        ends = any(one in mark for one in _SENTENCE_MARKS)
        if size:
            if order[at] in plain and starts and own[:1].isupper():
                line[at] = line[at][:1].upper() + line[at][1:]
            at += size
            if order[at - 1] in plain and mark and line[at - 1][-1:].isalnum():
                line[at - 1] += mark
        elif at and ends and line[at - 1][-1:] not in _SENTENCE_MARKS + _CLOSING:
            line[at - 1] = line[at - 1].rstrip(_MARKS) + mark
        if own:
            starts = ends
