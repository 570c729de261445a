"""Text to speech: several engines behind one protocol, and the processing of their sound.

Put here: one module an engine. Do not put here: the spelling out of numbers (`text/spoken.py`), or shards.
"""

from spelangy_model.audio.tts.engines import SynthesizerSpec, check_synthesizer, open_synthesizer
from spelangy_model.audio.tts.protocol import (
    LoudnessSynthesizer,
    Samples,
    SpeechLimits,
    Synthesizer,
    SynthesizerChoice,
    TtsUnavailable,
    Unspeakable,
    Voice,
    choose_voice,
    speak_line,
    speak_lines,
)

__all__ = [
    "LoudnessSynthesizer",
    "Samples",
    "SpeechLimits",
    "Synthesizer",
    "SynthesizerChoice",
    "SynthesizerSpec",
    "TtsUnavailable",
    "Unspeakable",
    "Voice",
    "check_synthesizer",
    "choose_voice",
    "open_synthesizer",
    "speak_line",
    "speak_lines",
]
