"""Recipe `tokenizer`: trains the speech tokenizer that the package ships.

Put here: its literals. Do not put here: shipping it (cli/ship_tokenizer.py).
"""

from __future__ import annotations

from spelangy_assets import lab
from spelangy_assets.recipes.sample_parts import SEED, TRAINED_VOICES, WORLD
from spelangy_assets.sample.sources import SentenceKind, WorldSentences

COUNTS: dict[SentenceKind, int] = {"word_salad": 7800, "talk": 2000, "questions": 2000}
SENTENCES = tuple(WorldSentences(world=WORLD, seed=SEED, kind=kind, count=count) for kind, count in COUNTS.items())
TOKENIZER = lab.Recipe(
    "tokenizer",
    lab.speech_tokenizer(lab.tokenizer_speech(*SENTENCES, seed=SEED, voices=TRAINED_VOICES), source="trained"),
    description="Trains the speech tokenizer that the package ships",
)
