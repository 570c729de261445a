"""How fast the tiny speech tokenizer is on one core, beside what a user would pick instead.

    python benchmarks/speech_tokenizer.py

Speech is espeak-ng's, rendered here: sentences of the sample world in four accents. Measured in turn, in one process of
one thread, in CPU seconds; the best of some rounds counts. Features are part of every row. Mimi is transformers'
MimiModel at full size with random weights (its speed does not depend on them), asked for its semantic codebook alone,
which is all that its backend here uses. Where utterances are tokenized one by one, the same codes come out.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from importlib import resources
from itertools import count, islice
from pathlib import Path

import numpy as np
import torch

from spelangy_assets.sample.render import conversation
from spelangy_assets.sample.world import load_world
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.audio.tts.espeak import EspeakSynthesizer, voices_of
from spelangy_model.tokenizer.features import log_mel
from spelangy_model.tokenizer.mimi import MimiCodec
from spelangy_model.tokenizer.open_codec import open_codec

VOICES = voices_of(("en-us", "en-us-nyc", "en-gb-x-rp", "en-gb-scotland"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--utterances", type=int, default=2048, help="as many as a full shard holds")
    parser.add_argument("--mimi-utterances", type=int, default=12, help="Mimi is slow: of the same speech, these first")
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    torch.set_num_threads(1)

    synthesizer = EspeakSynthesizer()
    world = load_world()
    sentences = (sentence for index in count() for _, sentence in conversation(world, 0, index))
    texts = islice(sentences, chosen.utterances)
    flacs = [encode_flac(synthesizer.speak(text, VOICES[i % len(VOICES)])) for i, text in enumerate(texts)]
    sounds = [decode_flac(flac) for flac in flacs]
    model = open_codec(Path(str(resources.files("spelangy_assets") / "tokenizer_checkpoint")))
    mimi = random_mimi()
    few = sounds[: chosen.mimi_utterances]
    small = sounds[:256]

    def one_by_one() -> list[np.ndarray]:
        return [model.encode([sound])[0] for sound in small]

    for batched, alone in zip(model.encode(sounds), one_by_one(), strict=False):
        np.testing.assert_array_equal(batched, alone)
    rows: list[tuple[str, list[np.ndarray], Callable[[], object]]] = [
        ("tiny, all utterances in one call", sounds, lambda: model.encode(sounds)),
        ("the same, FLAC decoded too", sounds, lambda: model.encode([decode_flac(flac) for flac in flacs])),
        ("tiny, an utterance a call", small, one_by_one),
        ("Mimi (random weights), an utterance a call", few, lambda: mimi.encode(few)),
        ("of the first row, log-mel features alone", sounds, lambda: [log_mel(sound, 40) for sound in sounds]),
    ]
    best = [float("inf")] * len(rows)
    for _ in range(chosen.rounds):
        for index, (_, _, work) in enumerate(rows):
            started = time.process_time()
            work()
            best[index] = min(best[index], time.process_time() - started)
    rates = [hours_of(utterances) * 3600 / seconds for (_, utterances, _), seconds in zip(rows, best, strict=True)]
    print("| what | utterances | hours | CPU s | x real time | of the first row |\n|---|---|---|---|---|---|")
    for (name, utterances, _), seconds, rate in zip(rows, best, rates, strict=True):
        print(
            f"| {name} | {len(utterances):,} | {hours_of(utterances):.2f} | {seconds:.2f} | {rate:,.0f} "
            f"| {rate / rates[0]:.3g} |"
        )


def hours_of(sounds: list[np.ndarray]) -> float:
    return sum(map(len, sounds)) / SAMPLE_RATE_HZ / 3600


def random_mimi() -> MimiCodec:
    from transformers import MimiConfig, MimiModel

    return MimiCodec(MimiModel(MimiConfig()))


if __name__ == "__main__":
    main()
