"""Fit the parameters of a vote on speech whose text is known.

Put here: which words of a hypothesis are right, calibration of confidences, the choice of the vote's other parameters.
Do not put here: the vote (rover.py), the source of hypotheses and texts.

The confidences of recognizers are on different scales: 0.9 of one may be right as often as 0.6 of another. Each
system's confidence is mapped to the share of words with that confidence that are right (J. Platt, "Probabilistic
outputs for support vector machines", 1999: a logistic curve, here over the confidence's logit). alpha and
null_confidence are then the point of a small grid with the fewest word errors; ties are broken by the errors of the
neighbours. With three systems or more, the grid holds only values with which a word of one system alone, at a
confidence of 0.9, loses to another system's silence: speech without insertions does not show their cost.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from spelangy_model.audio.rover import Calibration, RoverWeights, calibrated, logit_of, rover
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.words import normalized, text_of
from spelangy_model.audio.writings import fold
from spelangy_model.records import Word

ALPHAS = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
NULL_CONFIDENCES = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0)
SURE = 0.9  # the confidence of a recognizer in a word that it made up
PRIOR_WORDS = 10.0  # weight, in words, of the prior curve of no change: few words change it little


@dataclass(frozen=True)
class KnownSpeech:
    """A recording's true text, and its turns: for each the words of each system, in the order of `systems`."""

    text: str
    turns: Sequence[Sequence[Sequence[Word]]]


def right_words(words: Sequence[Word], text: str) -> np.ndarray:
    """Return which words match the text in an alignment of the least cost, bool (n,); False for punctuation alone."""
    from spelangy_model.audio import word_network

    worded = [place for place, word in enumerate(words) if normalized(word.text)]
    true = [word for word in text.split() if normalized(word)]
    folded = fold([[words[place].text for place in worded], true])
    codes: dict[str, int] = {}
    keys = np.array([codes.setdefault(key, len(codes)) for row in folded for one in row for key in one], np.int64)
    count = sum(map(len, folded[0]))
    times = np.zeros(len(keys))
    slots = word_network.network(keys, times, times, np.array([0, count, len(keys)]), False)
    equal = np.zeros(count, bool)
    both = slots[(slots >= 0).all(axis=1)]
    equal[both[:, 0]] = keys[both[:, 0]] == keys[both[:, 1]]
    right = np.zeros(len(words), bool)
    at = 0
    for place, reading in zip(worded, folded[0], strict=True):
        right[place] = equal[at : at + len(reading)].all()
        at += len(reading)
    return right


def fit_calibration(system: str, confidences: np.ndarray, right: np.ndarray) -> Calibration:
    """Return the maximum-likelihood curve of right and wrong words, by Newton's method; slope 0 or more."""
    features = np.stack([logit_of(confidences), np.ones(len(confidences))], axis=1)
    start = np.array([1.0, 0.0])
    found = start.copy()
    for _ in range(100):
        chance = 1 / (1 + np.exp(-features @ found))
        gradient = features.T @ (right - chance) - PRIOR_WORDS * (found - start)
        curvature = (features * (chance * (1 - chance))[:, None]).T @ features + PRIOR_WORDS * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        found += step
        if np.abs(step).max() < 1e-9:
            break
    return Calibration(system, round(max(float(found[0]), 0.0), 3), round(float(found[1]), 3))


def fit_weights(speech: Sequence[KnownSpeech], systems: Sequence[str], weights: RoverWeights) -> RoverWeights:
    """Return `weights` with calibrations, alpha and null_confidence fitted. Raises ValueError if a system has no words.

    The fit may not hold for other kinds of speech: measure on recordings that it did not use.
    """
    calibrations = []
    for place, system in enumerate(systems):
        words = [[word for turn in one.turns for word in turn[place]] for one in speech]
        flat = [word for of_one in words for word in of_one]
        if not flat:
            raise ValueError(f"{system} recognized no word in the speech whose text is known; nothing can be fitted")
        right = np.concatenate([right_words(own, one.text) for own, one in zip(words, speech, strict=True)])
        calibrations.append(fit_calibration(system, np.array([word.confidence for word in flat]), right))
    weights = replace(weights, calibrations=tuple(calibrations))
    surest = max(float(calibrated(np.array([SURE]), one)[0]) for one in calibrations)
    errors = np.full((len(ALPHAS), len(NULL_CONFIDENCES)), np.inf)
    for i, j in itertools.product(range(len(ALPHAS)), range(len(NULL_CONFIDENCES))):
        alpha, null = ALPHAS[i], NULL_CONFIDENCES[j]
        if len(systems) < 3 or null > surest:
            errors[i, j] = errors_of(speech, systems, replace(weights, alpha=alpha, null_confidence=null))

    def rank(place: tuple[int, int]) -> tuple[float, float]:
        around = errors[tuple(slice(max(0, at - 1), at + 2) for at in place)]
        return float(errors[place]), float(around[np.isfinite(around)].mean())

    i, j = min(((i, j) for i, j in np.ndindex(errors.shape) if np.isfinite(errors[i, j])), key=rank)
    return replace(weights, alpha=ALPHAS[i], null_confidence=NULL_CONFIDENCES[j])


def voted(one: KnownSpeech, systems: Sequence[str], weights: RoverWeights) -> str:
    """Return the text on which the systems agree in a recording."""
    return " ".join(text_of(rover(turn, weights, systems).words) for turn in one.turns)


def errors_of(speech: Sequence[KnownSpeech], systems: Sequence[str], weights: RoverWeights) -> int:
    """Return the vote's word errors in all recordings."""
    return word_errors([one.text for one in speech], [voted(one, systems, weights) for one in speech]).errors
