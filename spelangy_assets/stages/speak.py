"""Synthetic speech: documents to be spoken -> chunks of (audio, text).

Put here: which voice speaks which document, and what is done about a line that cannot be spoken well. Do not put
here: an engine, a voice's sound or the checks of a line (spelangy_model/audio/tts.py), or what the documents say.

Input `scripts`: an artifact with a table scripts(Script). All lines of a document are spoken in one voice, drawn by
the document's id. With several voices a document, each is a document of its own whose id is derived from the
script's id and the voice's number; no voice speaks a script twice before all have spoken it once.
A line of the role `sentence` stands for itself: it alone is dropped when it cannot be spoken well. Questions,
rationales and answers need each other: the document goes with any one of them (`document_incomplete`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spelangy_assets.stages.stage import Execution, PreflightError, StageContext
from spelangy_model.audio.espeak import VOICES
from spelangy_model.audio.io import SAMPLE_RATE_HZ, encode_flac
from spelangy_model.audio.tts import (
    Samples,
    SpeechLimits,
    Synthesizer,
    SynthesizerSpec,
    TtsUnavailable,
    Unspeakable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
    speak_line,
)
from spelangy_model.records import Audio, Chunk, Line, Script, from_table
from spelangy_model.rng import stable_hash

VERSION = "1"
TABLES: dict[str, type] = {"chunks": Chunk}

STANDS_ALONE = "sentence"


@dataclass(frozen=True)
class Config:
    """`scripts_per_unit` is how many documents a killed run may have to speak again."""

    seed: int
    voices: tuple[Voice, ...] = VOICES
    voices_per_document: int = 1
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    scripts_per_unit: int = 256


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    synthesizer = open_synthesizer(config.synthesizer)
    parts = [
        (shard, start)
        for shard in ctx.inputs["scripts"].shards("scripts")
        for start in range(0, shard.rows, config.scripts_per_unit)
    ]
    for unit, (shard, start) in ctx.out.pending(parts):
        with ctx.out.unit(unit) as out:
            for script in from_table(shard.table().slice(start, config.scripts_per_unit), Script):
                for number, voice in enumerate(voices_for(script.document_id, config)):
                    out.read(len(script.lines))
                    document_id = script.document_id
                    if config.voices_per_document > 1:
                        document_id = stable_hash("spoken", script.document_id, number)
                    chunks, dropped = speak_document(synthesizer, script, document_id, voice, config.limits)
                    out.write("chunks", chunks)
                    for reason in dropped:
                        out.drop(reason)
                    out.add("documents_kept", bool(chunks))
                    out.add("hours_kept", sum(chunk.duration_s for chunk in chunks) / 3600)
        ctx.log(f"spoke {start + 1} to {min(start + config.scripts_per_unit, shard.rows)} of {shard.rows} documents")


def voices_for(document_id: str, config: Config) -> list[Voice]:
    """Return the voices of a document, in the order of their numbers; each is used once before any is used again."""
    chosen: list[Voice] = []
    left: list[Voice] = []
    for number in range(config.voices_per_document):
        left = left or list(config.voices)
        chosen.append(choose_voice(left, config.seed, document_id, number))
        left = [voice for voice in left if voice.name != chosen[-1].name]
    return chosen


def speak_document(
    synthesizer: Synthesizer, script: Script, document_id: str, voice: Voice, limits: SpeechLimits
) -> tuple[list[Chunk], list[str]]:
    """Return a script's chunks in one voice, as the document of that id, and a reason for each dropped line."""
    spoken: list[tuple[Line, Samples]] = []
    dropped: list[str] = []
    incomplete = False
    for line in script.lines:
        try:
            spoken.append((line, speak_line(synthesizer, line.spoken_text, voice, limits)))
        except Unspeakable as fault:
            dropped.append(fault.reason)
            incomplete |= line.role != STANDS_ALONE
    if incomplete:
        return [], dropped + ["document_incomplete"] * len(spoken)
    return [_chunk(script, line, samples, document_id, i, voice) for i, (line, samples) in enumerate(spoken)], dropped


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
