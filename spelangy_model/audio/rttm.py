"""Speaker turns as RTTM, the format of NIST's Rich Transcription evaluations.

Put here: reading and writing SPEAKER lines. Do not put here: anything that finds or scores turns.
    SPEAKER <file> <channel> <start s> <duration s> <NA> <NA> <speaker> <NA> <NA>
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

from spelangy_model.audio.turns import Turn


class RttmError(ValueError):
    """A line that is not RTTM; the message names its number and what is wrong."""


def read_rttm(text: str) -> dict[str, list[Turn]]:
    """Return the turns of each file named in RTTM text, sorted. Other line types and ;; comments are passed over.

    Raises RttmError for a SPEAKER line with too few fields, a time that is no number, or no duration.
    """
    turns, errors = read_rttm_lines(text)
    if errors:
        raise errors[0]
    return turns


def read_rttm_lines(text: str) -> tuple[dict[str, list[Turn]], list[RttmError]]:
    """Return the turns as `read_rttm` does, and what is wrong with the lines that cannot be read."""
    turns: dict[str, list[Turn]] = {}
    errors = []
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            if (found := _turn_of(line, f"line {number}")) is not None:
                turns.setdefault(found[0], []).append(found[1])
        except RttmError as error:
            errors.append(error)
    return {name: sorted(found) for name, found in turns.items()}, errors


def _turn_of(line: str, where: str) -> tuple[str, Turn] | None:
    fields = line.split()
    if not fields or fields[0] != "SPEAKER":
        return None
    line = line if len(line) <= 200 else f"{line[:197]}..."
    if len(fields) < 8:
        raise RttmError(f"{where}: {len(fields)} fields, a SPEAKER line has at least 8: {line!r}")
    try:
        start_s, duration_s = float(fields[3]), float(fields[4])
    except ValueError as error:
        raise RttmError(f"{where}: start and duration are seconds: {line!r}") from error
    if not (math.isfinite(start_s) and math.isfinite(duration_s) and start_s >= 0 and duration_s > 0):
        raise RttmError(f"{where}: start {fields[3]} and duration {fields[4]} span no time: {line!r}")
    return fields[1], Turn(start_s, start_s + duration_s, fields[7])


def write_rttm(turns: Mapping[str, Iterable[Turn]]) -> str:
    """Return RTTM text: files in the order of the mapping, turns sorted, times to the millisecond.

    Raises RttmError for a file or speaker name that is empty or holds a space, which RTTM cannot express.
    """
    lines = []
    for name, found in turns.items():
        for turn in sorted(found):
            for label in (name, turn.speaker):
                if not label or label.split() != [label]:
                    raise RttmError(f"RTTM names hold no spaces and are not empty: {label!r}")
            lines.append(
                f"SPEAKER {name} 1 {turn.start_s:.3f} {turn.duration_s:.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
            )
    return "".join(lines)
