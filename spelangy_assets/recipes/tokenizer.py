"""Recipe `tokenizer`: trains the speech tokenizer that the package ships.

Put here: its literals. Do not put here: shipping it (cli/ship_tokenizer.py).
"""

from __future__ import annotations

from spelangy_assets import lab
from spelangy_assets.recipes.sample import SEED, TOKENIZER_ACCENTS, WORLD
from spelangy_assets.sample.sources import WorldSentences
from spelangy_model.audio.tts.espeak import voices_of

SENTENCES = tuple(
    WorldSentences(world=WORLD, seed=SEED, kind=kind, count=count)
    for kind, count in (("word_salad", 7800), ("talk", 2000), ("questions", 2000))
)
TOKENIZER = lab.Recipe(
    "tokenizer",
    lab.speech_tokenizer(
        lab.tokenizer_speech(*SENTENCES, seed=SEED, voices=voices_of(TOKENIZER_ACCENTS)), source="trained"
    ),
    description="Trains the speech tokenizer that the package ships",
)
