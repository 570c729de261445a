"""The page of a speech tokenizer's sound: utterances as they were recorded, and as their codes sound.

Put here: how the pairs are laid out for a person. Do not put here: decoding or recognition (the stage does), or any
figure that the records do not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from spelangy_assets.report.render import number, render
from spelangy_assets.report.sound import AudioBudget
from spelangy_model.progress import duration
from spelangy_model.records import Audio, Chunk, Metric


@dataclass(frozen=True)
class Recognized:
    """What the recognizer wrote for a sound, and its word errors."""

    text: str
    word_errors: int


@dataclass(frozen=True)
class Pair:
    """An utterance, the sound of its codes as FLAC, and what the recognizer wrote for both."""

    chunk: Chunk
    decoded: bytes
    words: int
    original_recognized: Recognized
    decoded_recognized: Recognized


def reconstruction_page(
    pairs: Sequence[Pair], metrics: Sequence[Metric], *, title: str, recognizer: str, audio_bytes: int
) -> str:
    """Return the page as HTML. Equal records give equal bytes; sound is embedded up to `audio_bytes`."""
    budget = AudioBudget(audio_bytes)
    return render(
        "reconstruction_page.html",
        title=title,
        recognizer=recognizer,
        metrics=[(one.metric.replace("_", " ").replace(".", ": "), number(one.value), one.count) for one in metrics],
        pairs=[_view(pair, budget) for pair in pairs],
        audio_note=budget.note(),
    )


def _view(pair: Pair, budget: AudioBudget) -> dict[str, Any]:
    chunk = pair.chunk
    decoded = replace(chunk, audio=Audio(pair.decoded, "decoded.flac"))
    return {
        "id": chunk.chunk_id,
        "voice": chunk.speaker,
        "duration": duration(chunk.duration_s),
        "text": chunk.spoken_text,
        "sounds": [
            {
                "name": name,
                "audio": budget.embed(sound),
                "transcript": recognized.text or "(nothing)",
                "errors": f"{recognized.word_errors} of {pair.words} words wrong",
                "right": recognized.word_errors == 0,
            }
            for name, sound, recognized in (
                ("original", chunk, pair.original_recognized),
                ("decoded", decoded, pair.decoded_recognized),
            )
        ],
    }
