"""The models and question sets that recipes name: size, licence, gate, and how to get them.

Sizes and licences were not checked against the publishers' cards: the card decides.

Put here: facts on a model or set by its name. Do not put here: which of them a recipe takes, or finding them on this
machine (hub.py, weights.py). Sizes are the approximate sizes of the download. A name that is not here is not refused:
its size and licence are reported as unknown.
"""

from __future__ import annotations

from dataclasses import dataclass

_HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Known:
    """A model or question set; None: its publisher states no size.

    `gate` states the terms that a person has to accept, and where; empty: none.
    """

    size_gb: float | None
    licence: str
    get: str
    gate: str = ""


def _model(name: str, size_gb: float, licence: str, gated: bool = False) -> tuple[str, Known]:
    gate = f"accept its terms at {_HUB}/{name}, then: hf auth login" if gated else ""
    return name, Known(size_gb, licence, f"hf download {name}", gate)


_OPEN_AUDIO_BENCH = (
    "hf download baichuan-inc/OpenAudioBench --repo-type dataset --local-dir $SPELANGY_BENCHMARKS/OpenAudioBench"
)

KNOWN: dict[str, Known] = dict(
    (
        _model("Systran/faster-whisper-large-v3", 3.1, "MIT"),
        _model("nvidia/parakeet-ctc-1.1b", 4.3, "CC-BY-4.0"),
        _model("nvidia/parakeet-ctc-0.6b", 2.4, "CC-BY-4.0"),
        _model("nvidia/parakeet-tdt-0.6b-v2", 2.5, "CC-BY-4.0"),
        _model("nvidia/parakeet-tdt-0.6b-v3", 2.5, "CC-BY-4.0"),
        _model("nvidia/canary-1b-v2", 6.4, "CC-BY-4.0"),
        _model("pyannote/speaker-diarization-3.1", 0.03, "MIT", gated=True),
        _model("pyannote/speaker-diarization-community-1", 0.03, "CC-BY-4.0", gated=True),
        _model("meta-llama/Llama-3.2-3B", 6.4, "Llama 3.2 Community License", gated=True),
        _model("Qwen/Qwen2-Audio-7B", 16.8, "Apache-2.0"),
        _model("mistralai/Voxtral-Mini-3B-2507", 9.4, "Apache-2.0"),
        _model("sentence-transformers/all-MiniLM-L6-v2", 0.1, "Apache-2.0"),
        _model("kyutai/mimi", 0.4, "CC-BY-4.0"),
        (
            "tts_models/en/vctk/vits",
            Known(0.2, "Apache-2.0", "tts --model_name tts_models/en/vctk/vits --text ready --out_path ready.wav"),
        ),
        ("spoken-webquestions", Known(None, "none stated; the questions CC-BY-4.0", _OPEN_AUDIO_BENCH)),
        ("spoken-triviaqa", Known(None, "none stated; the questions Apache-2.0", _OPEN_AUDIO_BENCH)),
        ("spoken-llama-questions", Known(None, "none stated; the questions CC-BY-4.0", _OPEN_AUDIO_BENCH)),
    )
)


def known_in(text: str) -> list[str]:
    """Return the names of the catalogue that a text names, the longest first where one holds another."""
    found: list[str] = []
    for name in sorted(KNOWN, key=len, reverse=True):
        if name in text and not any(name in longer for longer in found):
            found.append(name)
    return found
