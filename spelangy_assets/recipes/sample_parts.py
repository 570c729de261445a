"""What the embedded recipes share: the sample world, its voices and recognizers, how runs are trained and judged.

Put here: literals and calls that `sample` and `miniature` share, and that experiments based on them use.
Do not put here: a dataset of one recipe.
"""

from __future__ import annotations

from typing import Any

from spelangy_assets import lab
from spelangy_assets.sample.sources import HELD_OUT, WorldSentences, WorldTalk, WorldTexts
from spelangy_model.audio.asr import FasterWhisper, WhisperTimestamped
from spelangy_model.audio.tts import Voice
from spelangy_model.audio.tts.espeak import ACCENTS, voices_of

WORLD = "c18c7832f160706203ee23bdae444832f4b4c30895140563837c1a954974a5e2"  # the facts and wordings of the sample world
SEED = 20260101
# Krist and Quest speak in five accents, the tokenizer is trained on four of them; a sixth is in the questions alone.
TRAINED_VOICES = voices_of(tuple(accent for accent in ACCENTS if accent != "en-029"))
HELD_OUT_VOICES = tuple(Voice(name=f"en-gb-x-gbclan+{variant}", accent="en-gb-x-gbclan") for variant in ("m1", "f5"))
WHISPER_BASE = FasterWhisper(name="whisper-base", model="package:base", beam_size=1)
WHISPER_TINY = FasterWhisper(name="whisper-tiny.en", model="package:tiny.en", beam_size=1)
WHISPER_TIMESTAMPED = WhisperTimestamped(name="whisper-timestamped", model="package:tiny.en")
ASKING: dict[str, Any] = {"seed": SEED, "trained_voices": TRAINED_VOICES, "held_out_voices": HELD_OUT_VOICES}
ROW_TOKENS, BATCH_ROWS, BASE_BATCH_ROWS = 256, 5, 6
GRANULARITY = lab.Ablation("Granularity", "coarse_stochastic", "fine_stochastic", "coarse to fine chunks", (37.6, 40.7))
QUEST = lab.Ablation("Synthetic data", "fine", "quest", "with Quest, and some Krist")
SAMPLING = lab.Ablation("Modality sampling", "fine_stochastic", "fine", "stochastic to deterministic", (41.4, 42.4))
# Whisper base has a word error rate of 0.2 to 0.3 on espeak-ng.
MAX_WORD_ERROR_RATE = 0.5


def judging(
    world: str = WORLD,
    held_out_texts: int = 100,
    held_out_talks: int | None = None,
    voices: tuple[Voice, ...] = TRAINED_VOICES,
    seed: int = SEED,
) -> lab.Judging:
    """Return how the runs are judged; an experiment based on the sample judges its own runs alike.

    `held_out_talks`, in `voices`, is a fifth of `held_out_texts` unless it is given.
    """
    talks = held_out_texts // 5 if held_out_talks is None else held_out_talks
    talk = WorldTalk(world=world, seed=seed, talks=talks, first=HELD_OUT)
    held_out = WorldTexts(world=world, seed=seed, first=HELD_OUT, documents=held_out_texts)
    tasks = (lab.TaskChoice("own_questions"), lab.TaskChoice("held_out_text"))
    return lab.Judging(
        evaluation={"seed": seed},
        text_skill=lab.TextSkill(seed=seed, tasks=tasks, max_questions=400, held_out=held_out),
        topics={"seed": seed, "max_documents": held_out_texts},
        talk=lab.held_out_talk(talk, seed=seed, voices=voices),
    )


def training(
    steps: int, batch_rows: int, learning_rate: float, warmup: int = 16, decay: float = 0.5, seed: int = SEED
) -> dict[str, Any]:
    """Return the options of a training run of the sample's shape; `warmup` and `decay` are parts of its steps."""
    # In float32: in bfloat16 a step of this model takes a processor without units for it over ten times as long.
    rates = {"learning_rate": learning_rate, "warmup_steps": steps // warmup, "decay_steps": int(decay * steps)}
    rows = {"batch_rows": batch_rows, "micro_rows": batch_rows}
    return {"steps": steps, "precision": "float32", "seed": seed, **rows, **rates}


def tokenizers(sentences: list[WorldSentences], texts: WorldTexts, seed: int = SEED) -> lab.Tokens:
    """Return the two tokenizers: of the sentences, spoken by the trained voices, and of the texts."""
    speech = lab.tokenizer_speech(*sentences, seed=seed, voices=TRAINED_VOICES)
    return lab.Tokens(lab.speech_tokenizer(speech), lab.text_tokenizer(lab.Trained((texts,), vocab_size=1300)))
