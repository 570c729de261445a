"""Engines by name: checking whether one is available, and loading it.

Put here: the choice of an engine. Do not put here: an engine (espeak.py, coqui.py) or their interface (protocol.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spelangy_model.audio.tts.protocol import Synthesizer, SynthesizerChoice, TtsUnavailable, Voice
from spelangy_model.options import refuse_idle


@dataclass(frozen=True, slots=True)
class SynthesizerSpec:
    """An engine by name: `espeak`, or `coqui` with the name of its model (or the folder that holds it).

    `batch_utterances` of about one length are spoken at once by a model that can. Sums over batches of another size
    round differently, so it belongs to the identity; espeak speaks one by one. ValueError for an option of other
    engines.
    """

    backend: str = "espeak"
    model: str = ""
    batch_utterances: int = 1

    def __post_init__(self) -> None:
        if self.backend == "espeak":
            refuse_idle(self, "for espeak", "model", "batch_utterances")

    def locate(self, voices: Sequence[Voice]) -> None:
        """Raise TtsUnavailable unless the engine, its model and each voice are there; see SynthesizerChoice."""
        if self.backend == "espeak":
            from spelangy_model.audio.tts import espeak

            espeak.check_voices(voices)
        elif self.backend == "coqui":
            from spelangy_model.audio.tts import coqui

            coqui.check_model(self.model, voices)
        else:
            raise TtsUnavailable(f"no TTS backend is called {self.backend!r}: choose espeak or coqui")

    def load(self, cache_dir: Path | None, device: str = "cpu") -> Synthesizer:
        """Load the engine; see SynthesizerChoice. Raises TtsUnavailable as `locate` does."""
        if self.backend == "espeak":
            from spelangy_model.audio.tts.espeak import EspeakSynthesizer

            return EspeakSynthesizer()
        if self.backend == "coqui":
            from spelangy_model.audio.tts.coqui import CoquiSynthesizer

            synthesizer = CoquiSynthesizer(self.model, device, self.batch_utterances)
            if cache_dir is None:
                return synthesizer
            from spelangy_model.audio.tts.speech_cache import RememberingSynthesizer

            return RememberingSynthesizer(synthesizer, cache_dir / "speech", f"coqui {synthesizer.digest} {device}")
        raise TtsUnavailable(f"no TTS backend is called {self.backend!r}: choose espeak or coqui")


def check_synthesizer(choice: SynthesizerChoice, voices: Sequence[Voice]) -> None:
    """Raise TtsUnavailable unless the engine, its model and each voice are there. Cheap: loads no model."""
    if not voices:
        raise TtsUnavailable("no voice is named: give at least one Voice")
    choice.locate(voices)


def open_synthesizer(choice: SynthesizerChoice, device: str = "cpu", cache_dir: Path | None = None) -> Synthesizer:
    """Load an engine; with a `cache_dir`, a slow one caches its speech there."""
    return choice.load(cache_dir, device)
