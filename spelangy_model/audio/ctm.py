"""Words with times as CTM, the format of NIST's scoring toolkit, and as SRT subtitles.

Put here: reading and writing CTM lines, writing SRT. Do not put here: anything that recognizes or scores words.
    <file> <channel> <start s> <duration s> <word> <confidence>
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from spelangy_model.records import Word


class CtmError(ValueError):
    """A line that is not CTM; the message names its number and what is wrong."""


def read_ctm(text: str) -> dict[str, list[Word]]:
    """Return the words of each file named in CTM text, in order of time; the words of all channels are merged.

    A word without a confidence has 1.0. ;; comments are passed over. Raises CtmError for a line with too few fields, a
    time that is no number, or a negative one; alternatives (`<ALT_BEGIN>`) are such a line.
    """
    words: dict[str, list[Word]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";;"):
            continue
        if len(fields) < 5:
            raise CtmError(f"line {number}: {len(fields)} fields, a CTM line has at least 5: {line!r}")
        try:
            start_s, duration_s = float(fields[2]), float(fields[3])
            confidence = float(fields[5]) if len(fields) > 5 else 1.0
        except ValueError as error:
            raise CtmError(f"line {number}: start, duration and confidence are numbers: {line!r}") from error
        if not (math.isfinite(start_s) and math.isfinite(duration_s) and start_s >= 0 and duration_s >= 0):
            raise CtmError(f"line {number}: start {fields[2]} and duration {fields[3]} are no time: {line!r}")
        words.setdefault(fields[0], []).append(Word(fields[4], start_s, start_s + duration_s, confidence))
    return {name: sorted(found, key=lambda word: (word.start_s, word.end_s)) for name, found in words.items()}


def write_ctm(words: Mapping[str, Iterable[Word]]) -> str:
    """Return CTM text: files in the order of the mapping, words in order of time, times to the millisecond.

    A duration is the difference of the rounded times, so that words which did not overlap still do not. Raises CtmError
    for a file name or a word that is empty or holds a space, which CTM cannot express.
    """
    lines = []
    for name, found in words.items():
        for word in sorted(found, key=lambda word: (word.start_s, word.end_s)):
            for label in (name, word.text):
                if not label or label.split() != [label]:
                    raise CtmError(f"CTM names and words hold no spaces and are not empty: {label!r}")
            start_ms, end_ms = round(word.start_s * 1000), round(word.end_s * 1000)
            duration = (end_ms - start_ms) / 1000
            lines.append(f"{name} 1 {start_ms / 1000:.3f} {duration:.3f} {word.text} {word.confidence:.6f}\n")
    return "".join(lines)


@dataclass(frozen=True, slots=True)
class Caption:
    """A subtitle; times in seconds from the start of the recording."""

    start_s: float
    end_s: float
    text: str


def captions_of(
    words: Sequence[Word], speaker: str = "", max_characters: int = 84, max_s: float = 7.0
) -> list[Caption]:
    """Break the words of one segment into captions.

    A caption ends where the next word would make it longer than `max_characters` (two lines of 42, as broadcasters set
    them) or than `max_s` seconds; a word is never broken. `speaker` precedes each text in square brackets.
    """
    captions: list[Caption] = []
    line: list[Word] = []

    def close() -> None:
        if line:
            label = f"[{speaker}] " if speaker else ""
            captions.append(Caption(line[0].start_s, line[-1].end_s, label + " ".join(word.text for word in line)))
            line.clear()

    for word in words:
        characters = sum(len(other.text) + 1 for other in line) + len(word.text)
        if line and (characters > max_characters or word.end_s - line[0].start_s > max_s):
            close()
        line.append(word)
    close()
    return captions


def write_srt(captions: Iterable[Caption]) -> str:
    """Return SRT text: captions numbered from 1 in order of time."""
    ordered = sorted(captions, key=lambda caption: (caption.start_s, caption.end_s))
    blocks = [
        f"{number}\n{_clock(caption.start_s)} --> {_clock(caption.end_s)}\n{caption.text}\n"
        for number, caption in enumerate(ordered, start=1)
    ]
    return "\n".join(blocks)


def _clock(seconds: float) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02d}:{minutes:02d}:{milliseconds // 1000:02d},{milliseconds % 1000:03d}"
