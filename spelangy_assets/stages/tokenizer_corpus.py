"""Speech with exact transcripts for the training of the speech tokenizer, fixed by the recipe.

Put here: which sentences are spoken in which voices. Do not put here: training (tokenizer/train_speech.py), or speech
of any snapshot: the tokenizer never depends on a crawl, else every night's crawl would make all tokens stale.

Random sentences teach it words (a recognizer that hears only whole sentences learns those by heart); sentences as
they are said teach it how words run together. Each sentence is a document of one chunk.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count, islice
from typing import Literal

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.sample.render import answer_sentence, ask, conversation, pick, rationale, word_salad
from spelangy_assets.sample.world import World, WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_assets.stages.speak import SpokenScript, speak_documents
from spelangy_model.audio.tts import (
    SpeechLimits,
    SynthesizerSpec,
    TtsUnavailable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
)
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.records import Chunk, Line, Script
from spelangy_model.rng import stable_hash, stable_rng

VERSION = "2"
TABLES: dict[str, type] = {"chunks": Chunk}

SentenceKind = Literal["word_salad", "talk", "questions"]


@dataclass(frozen=True)
class Sentences:
    """So many sentences of a kind: random words, talk as in conversations, or questions with their answers."""

    kind: SentenceKind
    count: int


@dataclass(frozen=True)
class Config:
    """`world` is the reference of the sample world, whose words are spoken; a held-out accent is no voice of it."""

    seed: int
    world: str
    sentences: tuple[Sentences, ...]
    voices: tuple[Voice, ...] = VOICES
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    licence: str = "Apache-2.0"
    sentences_per_unit: int = 512


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error
    try:
        open_world(config.world)
    except WorldError as error:
        raise PreflightError(f"the speech tokenizer's speech: {error}") from error


def run(ctx: StageContext, config: Config) -> None:
    world = open_world(config.world)
    synthesizer = open_synthesizer(config.synthesizer)
    texts = [
        (part.kind, index, text)
        for part in config.sentences
        for index, text in enumerate(islice(_KINDS[part.kind](world, config.seed), part.count))
    ]
    starts = range(0, len(texts), config.sentences_per_unit)
    for unit, start in ctx.out.pending(starts):
        with ctx.out.unit(unit) as out:
            documents: list[SpokenScript] = []
            for kind, index, text in texts[start : start + config.sentences_per_unit]:
                out.read(1)
                document_id = stable_hash("tokenizer_speech", config.world, config.seed, kind, index)
                script = Script(
                    document_id=document_id,
                    page_id=config.world,
                    url=f"sample-world:{kind}/{index}",
                    licence=config.licence,
                    title="",
                    lines=[Line("sentence", text, text)],
                    evidence="",
                )
                voice = choose_voice(config.voices, config.seed, document_id)
                documents.append(SpokenScript(script, document_id, voice))
            for chunks, rejects in speak_documents(synthesizer, documents, config.limits):
                out.write("chunks", chunks)
                for reject in rejects:
                    out.drop(reject.reason)
                out.add("hours_kept", sum(chunk.duration_s for chunk in chunks) / 3600)
        ctx.log(f"spoke {min(start + config.sentences_per_unit, len(texts))} of {len(texts)} sentences")


# --- sentences: without end, the first n of each kind are taken ---------------------------------------------------


def _salad(world: World, seed: int) -> Iterator[str]:
    return (word_salad(world, seed, index) for index in count())


def _talk(world: World, seed: int) -> Iterator[str]:
    return (sentence for index in count() for _, sentence in conversation(world, seed, index))


def _questions(world: World, seed: int) -> Iterator[str]:
    for index in count():
        rng = stable_rng(seed, "questions", index)
        fact = pick(rng, world.facts)
        yield ask(fact, pick(rng, fact.relation.wordings("questions", "heard")))
        yield rationale(rng, fact)
        yield answer_sentence(world, fact)


_KINDS: dict[SentenceKind, Callable[[World, int], Iterator[str]]] = {
    "word_salad": _salad,
    "talk": _talk,
    "questions": _questions,
}
