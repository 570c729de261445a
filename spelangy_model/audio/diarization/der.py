"""Diarization error rate, by pyannote.metrics.

Put here: scoring of speaker turns. Do not put here: finding them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spelangy_model.audio.turns import Turn


@dataclass(frozen=True, slots=True)
class DiarizationError:
    """Seconds of speaker time: `total_s` in the reference, and the three kinds of errors."""

    total_s: float
    missed_s: float
    false_alarm_s: float
    confusion_s: float

    @property
    def rate(self) -> float:
        """Missed, false and confused speech over the reference's speech; NaN when the reference holds none."""
        wrong = self.missed_s + self.false_alarm_s + self.confusion_s
        return wrong / self.total_s if self.total_s else float("nan")


def diarization_error(
    reference: Mapping[str, Sequence[Turn]],
    hypothesis: Mapping[str, Sequence[Turn]],
    *,
    duration_s: Mapping[str, float],
    collar_s: float = 0.0,
    skip_overlap: bool = False,
) -> DiarizationError:
    """Return the diarization error over recordings, summed in seconds, as NIST's md-eval does.

    `duration_s` is how much of each recording is scored (from 0). `collar_s` seconds on either side of
    each boundary of the reference are not scored (pyannote.metrics would count both sides together), with
    `skip_overlap` neither is overlapped speech; by default all is scored. Speakers are matched on all of a
    recording's time. Raises KeyError when a recording of the reference has no hypothesis.
    """
    from pyannote.core import Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate
    from pyannote.metrics.identification import IdentificationErrorRate

    matching: Any = DiarizationErrorRate()
    metric: Any = IdentificationErrorRate(collar=2 * collar_s, skip_overlap=skip_overlap)
    for name, turns in reference.items():
        scored = Timeline([Segment(0.0, duration_s[name])])
        spoken, found = _annotation(turns, "spoken"), _annotation(hypothesis[name], "found")
        # Speakers are matched on all of the time, as NIST does and DiarizationErrorRate with a collar does not.
        matched = matching.optimal_mapping(spoken, found, uem=scored)
        metric(spoken, found.rename_labels(mapping=matched), uem=scored)
    return DiarizationError(
        total_s=float(metric["total"]),
        missed_s=float(metric["missed detection"]),
        false_alarm_s=float(metric["false alarm"]),
        confusion_s=float(metric["confusion"]),
    )


def _annotation(turns: Iterable[Turn], side: str) -> Any:
    from pyannote.core import Annotation, Segment

    annotation = Annotation()
    for index, turn in enumerate(turns):
        # Labels of the two sides differ, so that an equal name that is not matched counts as another person.
        annotation[Segment(turn.start_s, turn.end_s), index] = f"{side} {turn.speaker}"
    return annotation
