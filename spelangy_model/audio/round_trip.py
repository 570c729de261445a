"""The round trip of synthetic speech: transcribe chunks that voices spoke.

Put here: joining chunks into the recognizer's windows, and assigning its words to them. Do not put here: the choice of
chunks, or the checks of their words (the stage round_trip).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from spelangy_model.audio.asr import Recognizer, recognize_all
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import PAUSE_S, make_windows, words_by_segment
from spelangy_model.audio.words import text_of
from spelangy_model.records import Segment


@dataclass(frozen=True, slots=True, eq=False)
class Sound:
    """A chunk's samples, (n,) float32 mono at 16 kHz, at most a window's length of them."""

    chunk_id: str
    samples: npt.NDArray[np.float32]


def transcribe(system: str, recognizer: Recognizer, sounds: Sequence[Sound], language: str = "en") -> list[str]:
    """Return the transcript of each sound; an empty text where the recognizer finds no words.

    Sounds are put one after the other with a pause between, as turns of one recording, because a recognizer
    processes a whole window at equal cost. `language` is known and not detected. Ids must differ. Raises
    ValueError for a sound that is empty or longer than a window.
    """
    if not sounds:
        return []
    silence = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), dtype=np.float32)
    segments, parts, reached = [], [], 0
    for sound in sounds:
        start_s, end_s = reached / SAMPLE_RATE_HZ, (reached + len(sound.samples)) / SAMPLE_RATE_HZ
        segments.append(Segment(sound.chunk_id, "round trip", start_s, end_s, "", 0.0))
        parts += [sound.samples, silence]
        reached += len(sound.samples) + len(silence)
    made = make_windows(np.concatenate(parts), segments)
    windows = [replace(window, language=language) for window in made]
    transcripts: dict[str, str] = {}
    for window, result in zip(windows, recognize_all(system, recognizer, windows), strict=True):
        transcripts |= {chunk_id: text_of(words) for chunk_id, words in words_by_segment(window, result.words).items()}
    return [transcripts[sound.chunk_id] for sound in sounds]
