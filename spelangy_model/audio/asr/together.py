"""Recognize many recordings in few calls: recordings share windows, and failed ones are recognized again alone.

Put here: calls with shared windows, and the detection of failures in them. Do not put here: joining windows
(windows.py), or the choice of systems and recordings.

A Whisper call costs the same whatever its length, so short recordings share a window. Whisper sometimes fails
in a shared window: it skips a recording, or continues the one before with likely text ("6, 7, 8, 9, ...").
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from spelangy_model.audio.asr.protocol import Recognizer, WindowResult, recognize_all
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import MAX_WINDOW_S, PAUSE_S, Window, join_windows, words_by_place

# More letters and marks, without spaces, than any speaker reaches in a second.
MAX_CHARACTERS_PER_S = 25.0

IsDoubtful = Callable[[int, WindowResult], bool]


@dataclass(frozen=True, slots=True)
class SharedResults:
    """`results`, one for each window, in order, and the numbers of calls: `shared`, then `again`."""

    results: list[WindowResult]
    shared: int
    again: int


def unlike_speech(window: Window, result: WindowResult) -> bool:
    """Return whether a decoded window has no words, or more characters in a second than any speaker reaches."""
    characters = sum(len(word.text) for word in result.words)
    sound_s = sum(piece.length for piece in window.pieces) / SAMPLE_RATE_HZ
    return result.decoded and not 0 < characters <= MAX_CHARACTERS_PER_S * sound_s


def recognize_together(
    system: str,
    recognizer: Recognizer,
    windows: Sequence[Window],
    doubtful: IsDoubtful | None = None,
    max_s: float = MAX_WINDOW_S,
    pause_s: float = PAUSE_S,
) -> SharedResults:
    """Recognize windows of known language, joined to at most `max_s` seconds; doubtful ones again, each alone.

    `doubtful` is called with the index of each window that shared a call, and its result; by default `unlike_speech`
    decides. The result of a window that is transcribed alone is final. Raises ValueError for a window without a
    language (a shared window has one for all that it holds), AsrError when the recognizer gives fewer results than
    windows.
    """
    if not all(window.language for window in windows):
        raise ValueError("only windows whose language is known can share a call; recognize the others one by one")
    doubtful = doubtful or (lambda place, result: unlike_speech(windows[place], result))
    joined = join_windows(windows, max_s, pause_s)
    results: dict[int, WindowResult] = {}
    for shared, result in zip(joined, recognize_all(system, recognizer, [one.window for one in joined]), strict=True):
        results |= {p: replace(result, words=words) for p, words in words_by_place(shared, result.words).items()}
    sharing = sorted(place for shared in joined if len(shared.parts) > 1 for place in shared.places)
    again = [place for place in sharing if doubtful(place, results[place])]
    results |= zip(again, recognize_all(system, recognizer, [windows[place] for place in again]), strict=True)
    return SharedResults([results[place] for place in range(len(windows))], len(joined), len(again))
