"""Checks a given transcript, or given turns, against the recording: which utterances fit, and why the rest do not.

Put here: the rules for one utterance and its recording. Do not put here: where utterances come from
(audio_manifests.py, given_turns.py), or the quality of an utterance (adopt_chunks).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from spelangy_model.audio.io import AudioError
from spelangy_model.records import Utterance

_SLACK_S = 0.1  # by which a manifest's end may exceed the sound: its times are rounded, or of another decoder


@dataclass(frozen=True)
class Misfit:
    """An utterance that is left out: `reason` is utterance_without_text, utterance_outside or utterance_twice."""

    utterance: Utterance
    reason: str
    detail: str


@dataclass(frozen=True)
class Fitted:
    """The utterances that fit a recording, in the order that they came in, and those that do not."""

    utterances: tuple[Utterance, ...]
    misfits: tuple[Misfit, ...]


def fit(utterances: Sequence[Utterance], duration_s: float) -> Fitted:
    """Fit a given transcript, or given turns, to a recording of `duration_s` seconds.

    An end at infinity, or later than the recording's end by no more than rounding, becomes the recording's end. Left
    out are utterances without speaker, or without text where others have one, those that are not inside of the
    recording, and a second utterance of one speaker at exactly the same time. Raises AudioError (bad_utterances) when
    none of the given utterances is left.
    """
    kept: dict[tuple[str, float, float], Utterance] = {}
    misfits = []
    words = any(item.text for item in utterances)
    for item in utterances:
        end_s = duration_s if math.isinf(item.end_s) or 0 < item.end_s - duration_s <= _SLACK_S else item.end_s
        shown = f"{item.speaker!r} from {item.start_s} to {item.end_s} s"
        if not item.speaker or (words and not item.text.strip()):
            misfits.append(Misfit(item, "utterance_without_text", f"{shown}: without speaker or text"))
        elif not 0 <= item.start_s < end_s <= duration_s:
            why = f"{shown}: not inside of the recording's {duration_s:.3f} s"
            misfits.append(Misfit(item, "utterance_outside", why))
        elif (item.speaker, item.start_s, end_s) in kept:
            misfits.append(Misfit(item, "utterance_twice", f"{shown}: one speaker says two things at once"))
        else:
            kept[item.speaker, item.start_s, end_s] = replace(item, end_s=end_s)
    if misfits and not kept:
        raise AudioError("bad_utterances", misfits[0].detail)
    return Fitted(tuple(kept.values()), tuple(misfits))
