"""Recipe `tokenizer`: trains the speech tokenizer that the package ships, and one whose codes can be made sound.

`speech_tokenizer` is the shipped one. `decodable_tokenizer` has a decoder and its reconstruction loss beside CTC;
`speech_reconstruction` plays what its codes sound like, and docs/benchmarks.md says why it is not the shipped one.

Put here: their literals. Do not put here: shipping it (cli/ship_tokenizer.py).
"""

from __future__ import annotations

from spelangy_assets import lab
from spelangy_assets.recipes.sample_parts import SEED, TRAINED_VOICES, WHISPER_BASE, WORLD
from spelangy_assets.sample.sources import SentenceKind, WorldSentences
from spelangy_model.tokenizer.speech_schedule import SpeechTraining

COUNTS: dict[SentenceKind, int] = {"word_salad": 7800, "talk": 2000, "questions": 2000}
SENTENCES = tuple(WorldSentences(world=WORLD, seed=SEED, kind=kind, count=count) for kind, count in COUNTS.items())
speech = lab.tokenizer_speech(*SENTENCES, seed=SEED, voices=TRAINED_VOICES)
decodable = lab.speech_tokenizer(
    speech, source="trained", training=SpeechTraining(reconstruction_loss_weight=0.3), name="decodable_tokenizer"
)
TOKENIZER = lab.Recipe(
    "tokenizer",
    lab.speech_tokenizer(speech, source="trained"),
    lab.reconstruction(decodable, speech, WHISPER_BASE),
    description="Trains the speech tokenizer that the package ships, and one whose codes can be made sound",
)
