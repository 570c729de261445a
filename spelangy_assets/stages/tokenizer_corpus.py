"""Speech with exact transcripts for the training of the speech tokenizer, fixed by the recipe.

Put here: which sentences are spoken in which voices. Do not put here: training (tokenizer/train_speech.py), or speech
of any snapshot: the tokenizer never depends on a crawl, else every night's crawl would make all tokens stale.

Random sentences teach it words (a recognizer that is trained only on whole sentences learns those by heart); natural
sentences teach it how words run together. Each sentence is a document of one chunk.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.sources.texts import SentenceSource, SourceUnavailable
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages.speak import SpokenScript, speak_documents
from spelangy_model.audio.tts import (
    SpeechLimits,
    SynthesizerChoice,
    SynthesizerSpec,
    TtsUnavailable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
)
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.records import Chunk, Line, Script

VERSION = "2"
TABLES: dict[str, type] = {"chunks": Chunk}


@dataclass(frozen=True)
class Config:
    """The sentences, and the voices that speak them; a held-out accent is no voice of it."""

    sentences: tuple[SentenceSource, ...]
    seed: int = 0
    voices: tuple[Voice, ...] = VOICES
    synthesizer: SynthesizerChoice = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    licence: str = "Apache-2.0"
    sentences_per_unit: int = 512


KIND = DatasetKind(
    group="tokenizers",
    description="Speech that the tokenizer is trained on and measured with; fixed by the recipe.",
    contract=contracts.CHUNKS,
    kinds=("audio", "table"),
    pool="tts",
    cost="heavy",
)


@word
def tokenizer_speech(*sentences: SentenceSource, name: str = "tokenizer_speech", **options: Any) -> Dataset:
    """Return sentences spoken for the training of a speech tokenizer; `options` are fields of Config."""
    return dataset(__name__, Config(sentences=sentences, **options), name=name)


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error
    for source in config.sentences:
        try:
            source.check()
        except SourceUnavailable as error:
            raise PreflightError(f"the speech tokenizer's speech: {error}") from error


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit of `sentences_per_unit` sentences after the other."""
    synthesizer = open_synthesizer(config.synthesizer)
    sentences = [sentence for source in config.sentences for sentence in source.sentences()]
    starts = range(0, len(sentences), config.sentences_per_unit)
    for unit, start in ctx.out.pending(starts):
        with ctx.out.unit(unit) as out:
            documents: list[SpokenScript] = []
            for sentence in sentences[start : start + config.sentences_per_unit]:
                out.read(1)
                script = Script(
                    document_id=sentence.sentence_id,
                    page_id=sentence.source_id,
                    url=sentence.url,
                    licence=config.licence,
                    title="",
                    lines=[Line("sentence", sentence.text, sentence.text)],
                    evidence="",
                )
                voice = choose_voice(config.voices, config.seed, sentence.sentence_id)
                documents.append(SpokenScript(script, sentence.sentence_id, voice))
            for _, chunks, rejects in speak_documents(synthesizer, [documents], config.limits):
                out.write("chunks", chunks)
                for reject in rejects:
                    out.drop(reject.reason)
                out.add("hours_kept", sum(chunk.duration_s for chunk in chunks) / 3600)
        ctx.log(f"spoke {min(start + config.sentences_per_unit, len(sentences))} of {len(sentences)} sentences")
