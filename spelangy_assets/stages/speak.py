"""Synthetic speech: documents to be spoken -> chunks of (audio, text).

Put here: which voice speaks which document, and the handling of a line that cannot be spoken well. Do not put here: an
engine, a voice's sound or the checks of a line (audio/tts/protocol.py), or the text of the documents.

Input `scripts`: an artifact with a table scripts(Script). All lines of a document are spoken in one voice, drawn by
the document's id. With several voices a document, each is a document of its own whose id is derived from the
script's id and the voice's number; no voice speaks a script twice before all have spoken it once.
A line of the role `sentence` is independent: it alone is dropped when it cannot be spoken well. Questions, rationales
and answers need each other: when one of them is dropped, so is the document (`document_incomplete`). Each line that is
not spoken is a row of `rejects`, with its measured value.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_model.ahead import read_ahead
from spelangy_model.audio.io import SAMPLE_RATE_HZ, encode_flac
from spelangy_model.audio.tts import (
    LoudnessSynthesizer,
    Samples,
    SpeechLimits,
    Synthesizer,
    SynthesizerChoice,
    SynthesizerSpec,
    TtsUnavailable,
    Unspeakable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
    speak_lines,
)
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.records import Audio, Chunk, Line, Reject, Script, from_table
from spelangy_model.rng import stable_hash
from spelangy_model.text.normalize import words_of

VERSION = "3"
TABLES: dict[str, type] = {"chunks": Chunk, "rejects": Reject}
INDEPENDENT_UNITS = True

STANDS_ALONE = "sentence"
_BLOCK_LINES = 256  # held as sound at once


@dataclass(frozen=True)
class Config:
    """`loudness_lufs`: the integrated loudness that each line is brought to; None: its active speech keeps the level
    that every engine's has (tts.TARGET_LEVEL_DBFS). `scripts_per_unit` is how many documents a killed run may have to
    speak again.
    """

    seed: int
    voices: tuple[Voice, ...] = VOICES
    voices_per_document: int = 1
    synthesizer: SynthesizerChoice = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    loudness_lufs: float | None = None
    scripts_per_unit: int = 256


KIND = DatasetKind(
    group="synthetic",
    description="{scripts}, spoken in the voices of the recipe.",
    contract=contracts.CHUNKS,
    kinds=("audio", "table"),
    pool="tts",
    cost="heavy",
    takes={"scripts": Script},
    columns={
        "document_id": ("scripts.document_id",),
        "source_id": ("scripts.page_id",),
        "source_url": ("scripts.url",),
        "licence": ("scripts.licence",),
        **dict.fromkeys(("role", "text", "spoken_text", "audio"), ("scripts.lines",)),
    },
)


@word
def spoken(scripts: Dataset, *, name: str = "", **options: Any) -> Dataset:
    """Return scripts as synthetic speech; `options` are fields of Config."""
    label = name or scripts.label
    return dataset(
        __name__, config_of(Config, options), name=f"{label}_speech", label=label, inputs={"scripts": scripts}
    )


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    parts = [
        (shard, start)
        for shard in ctx.inputs["scripts"].shards("scripts")
        for start in range(0, shard.rows, config.scripts_per_unit)
    ]
    pending = list(ctx.out.pending(parts))
    if not pending:
        return
    synthesizer = open_synthesizer(config.synthesizer, ctx.execution.device, ctx.execution.cache_dir)
    if config.loudness_lufs is not None:
        synthesizer = LoudnessSynthesizer(synthesizer, config.loudness_lufs)
    for unit, (shard, start) in pending:
        with ctx.out.unit(unit, behind=ctx.execution.readers > 0) as out:
            scripts = from_table(shard.table().slice(start, config.scripts_per_unit), Script)
            blocks = _blocks(scripts, config)
            made = speak_documents(synthesizer, blocks, config.limits, ctx.execution.readers)
            for document, chunks, rejects in made:
                out.read(len(document.script.lines))
                out.write("chunks", chunks)
                out.write("rejects", rejects)
                for reject in rejects:
                    out.drop(reject.reason)
                out.add("documents_kept", bool(chunks))
                out.add("words_kept", sum(len(words_of(chunk.text)) for chunk in chunks))
                out.add("hours_kept", sum(chunk.duration_s for chunk in chunks) / 3600)
        ctx.log(f"spoke {start + 1} to {min(start + config.scripts_per_unit, shard.rows)} of {shard.rows} documents")


@dataclass(frozen=True, slots=True)
class SpokenScript:
    """A script in one voice: the document of that id."""

    script: Script
    document_id: str
    voice: Voice


def _blocks(scripts: Iterable[Script], config: Config) -> Iterator[list[SpokenScript]]:
    """Yield the documents that scripts become, in order, in blocks of at least `_BLOCK_LINES` lines."""
    block: list[SpokenScript] = []
    for script in scripts:
        voices = voices_for(script.document_id, config)
        for document_id, voice in zip(spoken_ids(script.document_id, len(voices)), voices, strict=True):
            block.append(SpokenScript(script, document_id, voice))
            if sum(len(document.script.lines) for document in block) >= _BLOCK_LINES:
                yield block
                block = []
    if block:
        yield block


def voices_for(document_id: str, config: Config) -> list[Voice]:
    """Return the voices of a document, in the order of their numbers; each is used once before any is used again."""
    chosen: list[Voice] = []
    left: list[Voice] = []
    for number in range(config.voices_per_document):
        left = left or list(config.voices)
        chosen.append(choose_voice(left, config.seed, document_id, number))
        left = [voice for voice in left if voice.name != chosen[-1].name]
    return chosen


def spoken_ids(document_id: str, voices_per_document: int) -> list[str]:
    """Return the ids of the documents that a script becomes, one a voice; in one voice it keeps its own."""
    if voices_per_document == 1:
        return [document_id]
    return [stable_hash("spoken", document_id, number) for number in range(voices_per_document)]


def speak_documents(
    synthesizer: Synthesizer, blocks: Iterable[Sequence[SpokenScript]], limits: SpeechLimits, encoders: int = 0
) -> Iterator[tuple[SpokenScript, list[Chunk], list[Reject]]]:
    """Yield each document, its chunks, and a reject for each line without one.

    All lines of a block are spoken together. `encoders` threads encode its sound while the next block is spoken.
    """

    def spoken() -> Iterator[tuple[Sequence[SpokenScript], list[Samples | Unspeakable]]]:
        for block in blocks:
            lines = [(line.spoken_text, document.voice) for document in block for line in document.script.lines]
            yield block, speak_lines(synthesizer, lines, limits)

    for _, documents in read_ahead(_encoded, spoken(), encoders, most=1):
        yield from documents


def _encoded(
    spoken: tuple[Sequence[SpokenScript], list[Samples | Unspeakable]],
) -> list[tuple[SpokenScript, list[Chunk], list[Reject]]]:
    block, sounds = spoken
    left = iter(sounds)
    return [(document, *_document(document, list(islice(left, len(document.script.lines))))) for document in block]


def _document(document: SpokenScript, sounds: Sequence[Samples | Unspeakable]) -> tuple[list[Chunk], list[Reject]]:
    script, document_id, voice = document.script, document.document_id, document.voice
    spoken: list[tuple[Line, Samples]] = []
    rejects: list[Reject] = []
    incomplete = False
    for line, sound in zip(script.lines, sounds, strict=True):
        if isinstance(sound, Unspeakable):
            words = f"{voice.name}, {sound.detail}: {line.spoken_text}"
            rejects.append(Reject(script.url, document_id, sound.reason, words))
            incomplete |= line.role != STANDS_ALONE
        else:
            spoken.append((line, sound))
    if incomplete:
        rest = [Reject(script.url, document_id, "document_incomplete", line.spoken_text) for line, _ in spoken]
        return [], rejects + rest
    return [_chunk(script, line, samples, document_id, i, voice) for i, (line, samples) in enumerate(spoken)], rejects


def _chunk(script: Script, line: Line, samples: Samples, document_id: str, index: int, voice: Voice) -> Chunk:
    chunk_id = stable_hash("chunk", document_id, index)
    return Chunk(
        chunk_id=chunk_id,
        document_id=document_id,
        index=index,
        role=line.role,
        source_id=script.page_id,
        source_url=script.url,
        licence=script.licence,
        speaker=voice.name,
        accent=voice.accent,
        start_s=0.0,
        end_s=len(samples) / SAMPLE_RATE_HZ,
        text=line.text,
        spoken_text=line.spoken_text,
        audio=Audio(bytes=encode_flac(samples), path=f"{chunk_id}.flac"),
    )
