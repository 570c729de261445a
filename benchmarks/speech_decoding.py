"""What a recognizer makes of the sound of a speech tokenizer's codes, beside the original.

    python benchmarks/speech_decoding.py CHECKPOINT [--manifest recordings/manifest.jsonl]

CHECKPOINT is a folder of a speech tokenizer that has a decoder (`decodable_tokenizer` of recipe `tokenizer`). The
speech is 100 sentences that its training held out, spoken by espeak-ng, and with --manifest (JSON lines: path, text,
lang, duration_s) up to 100 English recordings of 1 to 15 s, drawn by their names. Each sound is recognized alone by
Whisper base. A row `spectrum alone` has the log-mel power of the original made sound again: what the way from spectrum
to sound costs without any code. The interval is of the ratio of errors, over 2,000 bootstrap draws of utterances.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from spelangy_assets.recipes.sample_parts import WHISPER_BASE
from spelangy_assets.recipes.tokenizer import TOKENIZER
from spelangy_assets.stages.speech_tokenizer import held_out
from spelangy_model.audio.io import decode
from spelangy_model.audio.round_trip import Sound, transcribe
from spelangy_model.audio.tts import choose_voice
from spelangy_model.audio.tts.espeak import EspeakSynthesizer
from spelangy_model.audio.wer import word_errors
from spelangy_model.pretrained import load_weights
from spelangy_model.rng import stable_hash, stable_rng
from spelangy_model.tokenizer.mel_sound import sound_mel, sound_of_mel
from spelangy_model.tokenizer.speech import SpeechTokenizer

UTTERANCES = 100
Speech = tuple[list[str], list[np.ndarray]]


def held_out_sentences() -> Speech:
    """Return sentences that the training held out, spoken in its voices."""
    config = TOKENIZER["tokenizer_speech"].config
    found = [one for source in config.sentences for one in source.sentences() if held_out(one.text)]
    found = sorted(found, key=lambda one: stable_hash("decode", one.sentence_id))[:UTTERANCES]
    synthesizer = EspeakSynthesizer()
    voices = [choose_voice(config.voices, config.seed, one.sentence_id) for one in found]
    return [one.text for one in found], [
        synthesizer.speak(one.text, voice) for one, voice in zip(found, voices, strict=True)
    ]


def recordings(manifest: Path) -> Speech:
    """Return English recordings with their texts; of digits alone none, since two words say little."""
    rows = [json.loads(line) for line in manifest.read_text().splitlines()]
    fit = [row for row in rows if row.get("lang") == "en" and row.get("text") and 1 <= row["duration_s"] <= 15]
    fit = [row for row in fit if len(row["text"].split()) > 2]
    fit = sorted(fit, key=lambda row: stable_hash("decode", row["path"]))[:UTTERANCES]
    return [row["text"] for row in fit], [decode(manifest.parent / row["path"]).samples for row in fit]


def errors_of(texts: Sequence[str], sounds: Sequence[np.ndarray], recognizer: object) -> np.ndarray:
    """Return (errors, words) of each utterance, int64, shape (utterances, 2)."""
    counted = []
    for number, (reference, sound) in enumerate(zip(texts, sounds, strict=True)):
        (text,) = transcribe(WHISPER_BASE.name, recognizer, [Sound(str(number), sound)])  # type: ignore[arg-type]
        found = word_errors([reference], [text])
        counted.append((found.errors, found.reference_words))
    return np.array(counted)


def ratio_interval(original: np.ndarray, decoded: np.ndarray) -> tuple[float, float]:
    """Return the 95% interval of decoded errors per original error, over bootstrap draws of utterances."""
    draws = stable_rng(0, "bootstrap").integers(len(original), size=(2000, len(original)))
    ratios = decoded[draws, 0].sum(1) / np.maximum(original[draws, 0].sum(1), 1)
    low, high = np.quantile(ratios, (0.025, 0.975))
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--manifest", type=Path, default=None, help="recordings of people, as JSON lines")
    chosen = parser.parse_args()
    model = load_weights(SpeechTokenizer, chosen.checkpoint).eval()
    sets = {"held-out sentences, espeak-ng": held_out_sentences()}
    if chosen.manifest:
        sets["recordings of people"] = recordings(chosen.manifest)
    print("| speech | sound | utterances | words | words wrong | errors per error of the original |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        recognizer = WHISPER_BASE.load(Path(folder))
        for name, (texts, sounds) in sets.items():
            mels = [sound_mel(sound, model.config.decoder["mel_bins"]) for sound in sounds]
            original = errors_of(texts, sounds, recognizer)
            kinds = {
                "original": original,
                "spectrum alone": errors_of(texts, [sound_of_mel(mel) for mel in mels], recognizer),
                "decoded": errors_of(texts, model.decode(model.encode(sounds)), recognizer),
            }
            for kind, counted in kinds.items():
                errors, words = counted.sum(0)
                low, high = ratio_interval(original, counted)
                ratio = f"{errors / max(original[:, 0].sum(), 1):.2f} ({low:.2f} to {high:.2f})"
                print(f"| {name} | {kind} | {len(texts)} | {words} | {errors / words:.1%} | {ratio} |", flush=True)


if __name__ == "__main__":
    main()
