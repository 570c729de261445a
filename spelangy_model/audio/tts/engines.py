"""The engines by name: whether one is there, and loading it.

Put here: the choice of an engine. Do not put here: an engine (espeak.py, coqui.py) or what it promises (protocol.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spelangy_model.audio.tts.protocol import Synthesizer, TtsUnavailable, Voice
from spelangy_model.options import refuse_idle


@dataclass(frozen=True, slots=True)
class SynthesizerSpec:
    """An engine by name: `espeak`, or `coqui` with the name of its model (or the folder that holds it).

    `batch_utterances` of about one length are spoken at once by a model that can. Sums over batches of another size
    round otherwise, so it bears identity; espeak speaks one by one. ValueError for an option that the engine has not.
    """

    backend: str = "espeak"
    model: str = ""
    batch_utterances: int = 1

    def __post_init__(self) -> None:
        if self.backend == "espeak":
            refuse_idle(self, "for espeak", "model", "batch_utterances")


def check_synthesizer(spec: SynthesizerSpec, voices: Sequence[Voice]) -> None:
    """Raise TtsUnavailable unless the engine, its model and each voice are there. Cheap: loads no model."""
    if not voices:
        raise TtsUnavailable("no voice is named: give at least one Voice")
    if spec.backend == "espeak":
        from spelangy_model.audio.tts import espeak

        espeak.check_voices(voices)
    elif spec.backend == "coqui":
        from spelangy_model.audio.tts import coqui

        coqui.check_model(spec.model, voices)
    else:
        raise TtsUnavailable(f"no TTS backend is called {spec.backend!r}: choose espeak or coqui")


def open_synthesizer(spec: SynthesizerSpec, device: str = "cpu", cache_dir: Path | None = None) -> Synthesizer:
    """Load the engine of a spec; with a `cache_dir`, one that is slow remembers there what it said.

    Raises TtsUnavailable as `check_synthesizer` does.
    """
    if spec.backend == "espeak":
        from spelangy_model.audio.tts.espeak import EspeakSynthesizer

        return EspeakSynthesizer()
    if spec.backend == "coqui":
        from spelangy_model.audio.tts.coqui import CoquiSynthesizer

        synthesizer = CoquiSynthesizer(spec.model, device, spec.batch_utterances)
        if cache_dir is None:
            return synthesizer
        from spelangy_model.audio.tts.speech_cache import RememberingSynthesizer

        return RememberingSynthesizer(synthesizer, cache_dir / "speech", f"coqui {synthesizer.digest} {device}")
    raise TtsUnavailable(f"no TTS backend is called {spec.backend!r}: choose espeak or coqui")
