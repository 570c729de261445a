"""ROVER: several recognizers' words for one stretch of speech become one line of words by vote.

Put here: the rules by which hypotheses become a word transition network and its slots are voted on. Do not put here:
the loops over cells and words (word_network.py), what a recognizer is, which transcripts are good enough, or files.

After J. Fiscus, "A post-processing system to yield reduced word error rates: Recognizer Output Voting Error
Reduction (ROVER)", ASRU 1997, with the costs and the scores of NIST's own program (`rover` of SCTK), whose words it
gives when `times` is off and no two arcs score the same. Stated here because that paper leaves it open:

* Where all systems are silent for `COMMON_SILENCE_S` or longer, the speech is cut, and each part is aligned by itself.
* Systems join the network one by one, in the order given. A slot holds, for each system so far, a word or nothing.
* The alignment has the least total cost, through one entry of each slot: pairing a word with an equal one costs 0, with
  another 4, with nothing 1; passing a word by costs 3, passing nothing 0.001; opening a new slot costs 3. Equal costs,
  from the end: the slot's oldest entry, then pair before open before pass. With `times` costs are added up exactly;
  without, in single precision as SCTK does, so that chance breaks the same ties.
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

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from spelangy_model.audio.words import in_order, in_order_times, normalized
from spelangy_model.records import Vote, Word

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
        if self.method not in get_args(Method):
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
    from spelangy_model.audio import word_network

    if not hypotheses:
        raise ValueError("rover needs the words of at least one system")
    spoken = [in_order([word for word in words if normalized(word.text)]) for words in hypotheses]
    words = list(itertools.chain.from_iterable(spoken))
    texts = [word.text for word in words]
    starts_s, ends_s = [word.start_s for word in words], [word.end_s for word in words]
    codes: dict[str, int] = {}
    keys = np.array([codes.setdefault(key, len(codes)) for key in map(normalized, texts)], np.int64)
    forms = np.array([codes.setdefault(text, len(codes)) for text in texts], np.int64)
    offsets = np.array([0, *itertools.accumulate(map(len, spoken))], np.int64)
    slots = word_network.network(
        keys, np.array(starts_s, np.float64), np.array(ends_s, np.float64), offsets, weights.times
    )
    winners, means, unanimous = word_network.vote(
        slots,
        keys,
        forms,
        np.array([word.confidence for word in words], np.float64),
        np.array(weights.of(systems) if systems else [1.0] * len(spoken)),
        weights.alpha,
        weights.null_confidence,
        word_network.METHODS.index(weights.method),
    )
    texts.append("")  # what the last index, word_network.NOTHING, says
    won = winners.tolist()
    said = [word for word in won if word != word_network.NOTHING]
    won_starts_s, won_ends_s = [starts_s[word] for word in said], [ends_s[word] for word in said]
    in_order_times(won_starts_s, won_ends_s)
    confidences = means[winners != word_network.NOTHING].tolist()
    return Agreed(
        words=list(map(Word, [texts[word] for word in said], won_starts_s, won_ends_s, confidences)),
        votes=[
            Vote([texts[word] for word in slot], texts[winner])
            for slot, winner in zip(slots.tolist(), won, strict=True)
        ],
        agreement=unanimous / len(won) if won else 1.0,
        confidence=sum(confidences) / len(said) if said else 0.0,
    )
