"""ROVER: several recognizers' words for one stretch of speech become one line of words by vote.

Put here: the rules by which hypotheses become a word transition network and its slots are voted on. Do not put here:
the loops over cells and words (word_network.py), which writings are the same words (writings.py), what a recognizer is,
which transcripts are good enough, or files.

After J. Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error
Reduction (ROVER)", ASRU 1997, with the costs and the scores of NIST's own program (`rover` of SCTK), whose words it
gives when `times` and `fold` are off and no two arcs score the same. Stated here because that paper leaves it open:

* With `fold`, written words fall into the words that are said (writings.py) before they are aligned, as NIST's GLM
  filter does it: "$25", "25 dollars" and "twenty-five dollars" then agree. A punctuation mark alone takes no part.
* Where all systems are silent for `COMMON_SILENCE_S` or longer, the speech is cut, and each part is aligned by itself.
* Systems join the network one by one: with `times` the one that weighs most first, then the one that is surest of its
  words, so that the order in which they are given matters only where these are equal; without, in the order given, as
  in SCTK. A slot holds, for each system so far, a word or nothing.
* The alignment has the least total cost, through one entry of each slot: pairing a word with an equal one costs 0, with
  another 4, with nothing 1; passing a word by costs 3, passing nothing 0.001; opening a new slot costs 3. Equal costs,
  from the end: the slot's oldest entry, then pair before open before pass. With `times` costs are added up exactly;
  without, in single precision as SCTK does, so that chance breaks the same ties.
* With `times`, a pair also costs 1/1000 for each millisecond between the middles of slot and word, at most 0.5: that
  never outweighs a word, it only decides which of several equal words is meant ("very very good" against "very good").
  Words more than 10 s from a slot are then not paired with it, and between pairs the slots stand in order of time.
* A score is alpha * (share of the systems that said it) + (1 - alpha) * confidence. The confidence is, by `method`, the
  mean of those systems' confidences (meth1), the largest of them (maxconf), or their sum over the sum of the slot's
  confidences (avgconf); nothing's confidence is the literal `null_confidence`. A system's weight multiplies its vote
  and its confidence. Equal scores: the larger share, then a word before nothing, then the system that joined first.
* A system's confidences may be calibrated: each is then the share of such words that were right where the literals
  were fitted (`spelangy calibrate`). The words of the vote bear calibrated confidences.

How a winner is written is no matter of votes: systems that write neither case nor punctuation would outvote one that
does. `written` names systems by trust in their writing (those that it does not name follow in the order given); each
word is written as the first of them that agrees with the vote wrote it. Where all that agree write without case and
punctuation, the word takes the mark at its end, and the capital at the start of a sentence, from the first system of
the list that writes them; so does the word before one that was voted away. Written words that cover several slots, or
share them, are written in one piece: as the first system of the list whose words there all agree with the vote; where
there is none, as the one of which most agree. A word's times are those of the system that wrote it; its confidence is
the plain mean of those that said it.

With two systems of equal weight every disagreement is one against one, so the vote is a pick by confidence: alpha has
no say in it and `null_confidence` decides between a word and nothing. A majority needs three. A word that one system
alone says loses to another's silence, whatever a third says there, where its confidence is below `null_confidence`.
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
    """What a system's vote and confidence count, against 1 for a system that is not named."""

    system: str
    weight: float


@dataclass(frozen=True)
class Calibration:
    """How a system's confidence becomes a probability of being right: the logistic of slope * logit + intercept."""

    system: str
    slope: float
    intercept: float


@dataclass(frozen=True)
class RoverWeights:
    """The vote's literals; see the module's docstring. The methods have the names of SCTK's."""

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
                raise ValueError(f"RoverWeights.{name} lies between 0 and 1, not {value}")
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
        """The systems that the literals name."""
        return {*self.written, *(item.system for item in (*self.systems, *self.calibrations))}

    def of(self, systems: Sequence[str]) -> list[float]:
        """Return the weights of some systems, in their order."""
        named = {item.system: item.weight for item in self.systems}
        return [named.get(system, 1.0) for system in systems]


@dataclass(frozen=True)
class Agreed:
    """What the vote gave: `words` that won, `votes` of every place in order of time.

    A place is a slot, or the slots that one written word covers or shares. `agreement` is the share of places in which
    all systems said the winner (1.0 when there is none: all were silent); `confidence` is the mean confidence of the
    winning words (0.0 when there is none).
    """

    words: list[Word]
    votes: list[Vote]
    agreement: float
    confidence: float


def calibrated(confidences: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Return calibrated confidences, (n,), from 0 to 1."""
    return 1 / (1 + np.exp(-(calibration.slope * logit_of(confidences) + calibration.intercept)))


def logit_of(confidences: np.ndarray) -> np.ndarray:
    """Return the logits of confidences, (n,); 0 and 1 count as a thousandth from them."""
    bounded = np.clip(confidences, 1 - _LOGIT_LIMIT, _LOGIT_LIMIT)
    return np.log(bounded / (1 - bounded))


def rover(hypotheses: Sequence[Sequence[Word]], weights: RoverWeights, systems: Sequence[str] = ()) -> Agreed:
    """Vote over the words of N systems for the same speech.

    `hypotheses` holds one list of words a system (an empty one votes for silence), with times on one clock and
    confidence from 0 to 1; `systems` their names, needed only where `weights` names any. Time grows with the length
    of the speech times the words on which the systems differ between two silences. Raises ValueError when there is
    no system at all, and when the names do not fit.
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
    # The order in which the systems join, and that in which they are asked for the writing, as places in the first.
    joining = list(range(len(spoken)))
    if weights.times:
        joining.sort(key=lambda place: _joins(trust[place], confidences[place]))
    said = _Said.of([spoken[place] for place in joining], [confidences[place] for place in joining], weights.fold)
    named = {system: place for place, system in enumerate(weights.written)}
    written = np.array(
        sorted(
            range(len(joining)),
            key=lambda at: (
                named.get(systems[joining[at]], len(named)) if systems else 0,
                said.marked[at] is not True,
                joining[at],
            ),
        ),
        np.int64,
    )
    slots = word_network.network(said.keys, said.starts_s, said.ends_s, said.offsets, weights.times)
    winners, means, agreeing = word_network.vote(
        slots,
        said.keys,
        written,
        said.confidences,
        np.array([trust[place] for place in joining]),
        weights.alpha,
        weights.null_confidence,
        word_network.METHODS.index(weights.method),
    )
    texts, back = said.texts, [joining.index(place) for place in range(len(joining))]
    if said.one_for_one:
        won = winners.tolist()
        order = [word for word in won if word != word_network.NOTHING]
        candidates = [[texts[word] for word in slot] for slot in slots[:, back].tolist()]
        sizes = [int(word != word_network.NOTHING) for word in won]
        sure = means[winners != word_network.NOTHING].tolist()
        alike = int((agreeing.all(axis=1) & (winners != word_network.NOTHING)).sum())
    else:
        candidates, chosen, sure, alike = _in_writing(said, slots, winners, means, agreeing, written.tolist(), back)
        order, sizes = list(itertools.chain.from_iterable(chosen)), list(map(len, chosen))
    words = said.words
    starts_s, ends_s = [words[word].start_s for word in order], [words[word].end_s for word in order]
    in_order_times(starts_s, ends_s)
    line = [texts[word] for word in order]
    if True in said.marked and False in said.marked:
        marking = next(system for system in written.tolist() if said.marked[system])
        _take_marks(line, said, [heard[joining[marking]] for heard in candidates], order, sizes)
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
    """Return by what systems are put in order, whatever the order in which they are given."""
    return -trust, -round(sum(confidences) / len(confidences), 9) if confidences else 0.0


@dataclass(frozen=True)
class _Said:
    """The written words of all systems, one system after another, and the spoken words into which they fall.

    `texts` are the words' own, and "" for the last index, word_network.NOTHING. `first` and `lengths` say which spoken
    words are a written word's; one without any belongs to the written word before it. The arrays hold a value a spoken
    word: equal `keys` (int64) are equal words, `unit` (int64) is the written word, `offsets` (int64) says where
    systems begin, as `begins` does of written words. `marked`: whether a system wrote a capital or a sentence mark;
    None for one that wrote nothing.
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
        offsets, first, unit = begins, list[int](), np.zeros(0, np.int64)  # what is not needed then
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
        """Return a written word with those after it that have no spoken word of their own."""
        end = unit + 1
        if end == len(self.lengths) or self.lengths[end]:
            return [unit]
        while end < len(self.lengths) and not self.lengths[end]:
            end += 1
        return list(range(unit, end))


def _is_marked(line: str) -> bool:
    return line != line.lower() or any(mark in line for mark in _SENTENCE_MARKS)


def _shares(start_s: float, end_s: float, reading: Sequence[str]) -> list[tuple[float, float]]:
    """Return the times of the spoken words of a written one, by their characters."""
    if len(reading) < 2:
        return [(start_s, end_s)] * len(reading)
    total = sum(map(len, reading))
    edges = [start_s + (end_s - start_s) * at / total for at in itertools.accumulate(map(len, reading), initial=0)]
    return list(itertools.pairwise(edges))


def _in_writing(
    said: _Said,
    slots: np.ndarray,
    winners: np.ndarray,
    means: np.ndarray,
    agreeing: np.ndarray,
    asked: Sequence[int],
    given: Sequence[int],
) -> tuple[list[list[str]], list[list[int]], list[float], int]:
    """Return places for slots: what each system wrote there, the written words that win, their confidence, and how many
    places all agree on. Slots that a written word covers are one place. `given`: the systems in the order given."""
    count, systems = slots.shape
    slot_of = np.zeros(len(said.keys), np.int64)
    for system in range(systems):
        slot_of[slots[:, system][slots[:, system] >= 0]] = np.flatnonzero(slots[:, system] >= 0)
    held = [False] * count  # by a written word, together with the slot behind it
    for word in np.flatnonzero(np.array(said.lengths) > 1).tolist():
        begin, end = slot_of[said.first[word]], slot_of[said.first[word + 1] - 1]
        held[begin:end] = [True] * (end - begin)
    starts = {first for first, length in zip(said.first, said.lengths, strict=False) if length}
    entries, agree, won, mean_of = slots.tolist(), agreeing.tolist(), winners.tolist(), means.tolist()
    unit, texts = said.unit.tolist(), said.texts
    candidates: list[list[str]] = []
    chosen: list[list[int]] = []
    sure: list[float] = []
    alike = 0
    begin = 0
    all_agree = [all(systems) for systems in agree]
    of_spoken = [texts[word] for word in unit] + [""]
    for word in np.flatnonzero(np.array(said.lengths) == 0).tolist():  # those belong to the word before
        of_spoken[said.first[word] - 1] += f" {texts[word]}"
    for last in range(count):
        if held[last]:
            continue
        if begin == last:  # each system said one spoken word here, which is a written one, or nothing
            begin, word = last + 1, won[last]
            candidates.append([of_spoken[entries[last][s]] for s in given])
            chosen.append(said.written(unit[word]) if word >= 0 else [])
            sure += [mean_of[last]] * len(chosen[-1])
            alike += all_agree[last] and word >= 0
            continue
        group, begin = range(begin, last + 1), last + 1
        units = [
            [word for slot in group if entries[slot][s] in starts for word in said.written(unit[entries[slot][s]])]
            for s in range(systems)
        ]
        candidates.append([" ".join(texts[word] for word in units[s]) for s in given])
        winning = [slot for slot in group if won[slot] >= 0]
        alike += len(winning) == len(group) and all(all_agree[slot] for slot in group)
        words, confidences = _fitting(said, entries, agree, mean_of, unit, winning, asked)
        if winning and not words:
            most = max((s for s in asked if units[s]), key=lambda s: sum(agree[slot][s] for slot in group))
            words = units[most]
            confidences = [sum(mean_of[slot] for slot in winning) / len(winning)] * len(words)
        chosen.append(words)
        sure += confidences
    return candidates, chosen, sure, alike


def _fitting(
    said: _Said,
    entries: Sequence[Sequence[int]],
    agree: Sequence[Sequence[bool]],
    mean_of: Sequence[float],
    unit: Sequence[int],
    winning: Sequence[int],
    asked: Sequence[int],
) -> tuple[list[int], list[float]]:
    """Return written words that say exactly what won in some slots, with their confidences; none if there are none."""
    words: list[int] = []
    confidences: list[float] = []
    at = 0
    while at < len(winning):
        for system in asked:
            spoken = entries[winning[at]][system]
            if spoken < 0 or not agree[winning[at]][system] or said.first[unit[spoken]] != spoken:
                continue
            covered = winning[at : at + said.lengths[unit[spoken]]]
            if [entries[slot][system] for slot in covered] == list(range(spoken, said.first[unit[spoken] + 1])) and all(
                agree[slot][system] for slot in covered
            ):
                more = said.written(unit[spoken])
                words += more
                confidences += [sum(mean_of[slot] for slot in covered) / len(covered)] * len(more)
                at += len(covered)
                break
        else:
            return [], []
    return words, confidences


def _take_marks(line: list[str], said: _Said, heard: Sequence[str], order: Sequence[int], sizes: Sequence[int]) -> None:
    """Give words that were written without case and marks those of a system that writes them, in place.

    `heard` is what that system wrote at each place, `order` the words of the line, `sizes` how many a place has.
    """
    plain = {
        word
        for marked, (begin, end) in zip(said.marked, itertools.pairwise(said.begins), strict=True)
        if marked is False
        for word in range(begin, end)
    }
    at, starts = 0, True
    for own, size in zip(heard, sizes, strict=True):
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
