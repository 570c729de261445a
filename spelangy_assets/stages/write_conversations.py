"""Conversations for post-training: instructions with their answers, of any source, spoken where they have no sound.

Put here: which instruction is spoken in which voice. Do not put here: their wording (their source), the formats of
files (spelangy_model/data/conversation_files.py), an engine, or tokens. A system turn and an answer are text alone. A
line that cannot be spoken well, and a recording that cannot be decoded, drops its conversation. A unit is a block of
one part of a source; a record that is no conversation is a row of `rejects`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.sources.conversations import ConversationSource
from spelangy_assets.sources.texts import SourceUnavailable
from spelangy_model.audio.io import AudioError, decode, encode_flac
from spelangy_model.audio.tts import (
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
    speak_line,
)
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.data.conversation_files import (
    ConversationFileError,
    GivenConversation,
    digest_of_conversations,
    parts_of,
    read_part,
)
from spelangy_model.data.conversations import USER
from spelangy_model.records import Audio, ConversationTurn, Reject
from spelangy_model.rng import stable_hash
from spelangy_model.text.spoken import spoken_form

VERSION = "1"
TABLES: dict[str, type] = {"turns": ConversationTurn, "rejects": Reject}
INDEPENDENT_UNITS = True
FOLDER_VARIABLE = "SPELANGY_CONVERSATIONS"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class ConversationFile:
    """A file of conversations, or a folder of Parquet: `path` is below the folder that SPELANGY_CONVERSATIONS names.

    `format` is one of spelangy_model/data/conversation_files.py, `digest` that of its bytes; an empty digest is refused
    with the digest to state. `licence` is the set's own, which each of its records holds.
    """

    name: str
    format: str
    path: str
    digest: str
    licence: str

    def __post_init__(self) -> None:
        if not _PLAIN.fullmatch(self.name):
            raise ValueError(
                f"name={self.name!r} of a conversation file: write it in lower-case letters, digits, - and _"
            )

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable when the file is not there, unreadable, or not what the recipe states."""
        self.parts(environment)
        digest = digest_of_conversations(self._path(environment))
        if digest != self.digest:
            raise SourceUnavailable(
                f"{self._path(environment)}: its bytes have the digest {digest}, the recipe states "
                f"{self.digest or 'none'}: put the file there that the recipe means, or state this one"
            )

    def parts(self, environment: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return the parts, each with how many records it has."""
        try:
            return parts_of(self._path(environment), self.format)
        except ConversationFileError as error:
            raise SourceUnavailable(f"the conversations {self.name!r}: {error}") from error

    def records(self, part: str, environment: Mapping[str, str]) -> Iterator[GivenConversation | Reject]:
        """Yield the records of a part."""
        return read_part(self._path(environment), self.format, part, self.licence)

    def _path(self, environment: Mapping[str, str]) -> Path:
        if not environment.get(FOLDER_VARIABLE):
            raise SourceUnavailable(f"the conversations {self.name!r} are in a folder: set {FOLDER_VARIABLE} to it")
        return Path(environment[FOLDER_VARIABLE]) / self.path


@dataclass(frozen=True)
class Config:
    """Which conversations are spoken in which voices. Without `voices` instructions that have no sound stay written.

    `conversations_per_unit` is how many a killed run may have to speak again.
    """

    sources: tuple[ConversationSource, ...]
    seed: int
    voices: tuple[Voice, ...] = VOICES
    synthesizer: SynthesizerChoice = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    conversations_per_unit: int = 256


CONTRACT = Contract(
    "conversations",
    """
    SELECT count(DISTINCT conversation_id) AS conversations,
           count(*) - count(DISTINCT (conversation_id, "index")) AS duplicate_turns,
           (SELECT count(*) FROM (
               SELECT conversation_id FROM turns GROUP BY conversation_id
               HAVING max("index") + 1 <> count(*) OR min("index") <> 0
                   OR arg_max(role, "index") <> 'assistant')) AS broken_conversations,
           count(*) FILTER (role NOT IN ('system', 'user', 'assistant')) AS unknown_roles,
           count(*) FILTER (role <> 'user' AND trim(text) = '') AS empty_texts,
           count(*) FILTER (role <> 'user' AND voice <> '') AS spoken_answers,
           (SELECT count(*) FILTER (audio_bytes > 0 AND audio_bytes < 64) FROM turns_audio) AS torn_audio,
           (SELECT count(*) FILTER (audio_bytes > 0) FROM turns_audio) - count(*) FILTER (voice <> '')
               AS voices_without_sound,
           (SELECT coalesce(sum(records), 0) FROM drops) / (SELECT greatest(records_in, 1) FROM counts) AS share_dropped
    FROM turns
    """,
    (
        Bound("conversations", 1),
        exactly("duplicate_turns"),
        exactly("broken_conversations"),
        exactly("unknown_roles"),
        exactly("empty_texts"),
        exactly("spoken_answers"),
        exactly("torn_audio"),
        exactly("voices_without_sound"),
        Bound("share_dropped", 0, 0.05, "warn"),
    ),
)

KIND = DatasetKind(
    group="conversations",
    description="Instructions with their answers, spoken where they came without sound.",
    contract=CONTRACT,
    kinds=("audio", "table"),
    pool="tts",
    cost="heavy",
)


@word
def conversations(*sources: ConversationSource, name: str = "conversations", **options: Any) -> Dataset:
    """Return the conversations of any number of named sources; `options` are fields of Config."""
    if not sources:
        raise TypeError("name at least one source of conversations")
    names = [one.name for one in sources]
    if twice := [one for one in names if names.count(one) > 1]:
        raise ValueError(f"two sources of conversations are called {twice[0]!r}: name one anew")
    return dataset(__name__, Config(sources=sources, **options), name=name)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for each source that is missing, and for a voice that is."""
    missing = []
    if config.voices:
        try:
            check_synthesizer(config.synthesizer, config.voices)
        except TtsUnavailable as error:
            missing.append(str(error))
    for source in config.sources:
        try:
            source.check(execution.environment)
        except SourceUnavailable as error:
            missing.append(str(error))
    if missing:
        raise PreflightError(*missing)


def run(ctx: StageContext, config: Config) -> None:
    """Write a block of a source's part as one unit."""
    environment = ctx.execution.environment
    blocks = []
    for source in config.sources:
        try:
            parts = source.parts(environment)
        except SourceUnavailable as error:
            raise InputError(str(error)) from error
        blocks += [
            (source, part, start) for part, count in parts for start in range(0, count, config.conversations_per_unit)
        ]
    speaks = bool(config.voices)
    synthesizer = (
        open_synthesizer(config.synthesizer, ctx.execution.device, ctx.execution.cache_dir) if speaks else None
    )
    for unit, (source, part, start) in ctx.out.pending(blocks):
        with ctx.out.unit(unit) as out:
            records = source.records(part, environment)
            for given in itertools.islice(records, start, start + config.conversations_per_unit):
                out.read(1)
                made = given if isinstance(given, Reject) else _turns(synthesizer, config, source.name, given)
                if isinstance(made, Reject):
                    out.write("rejects", [made])
                    out.drop(made.reason)
                    continue
                out.write("turns", made)
                out.kept(1)
                out.add(f"{source.name}.conversations", 1)
        ctx.log(f"{source.name}, {part}: conversations {start + 1} and on, {unit + 1} of {len(blocks)} blocks")


def _turns(
    synthesizer: Synthesizer | None, config: Config, source: str, given: GivenConversation
) -> list[ConversationTurn] | Reject:
    conversation_id = stable_hash("conversation", source, given.given_id)
    turns = []
    for index, turn in enumerate(given.turns):
        voice = accent = spoken_text = ""
        sound = b""
        try:
            if turn.sound is not None:
                voice = accent = "recorded"
                spoken_text, sound = turn.text, encode_flac(decode(turn.sound).samples)
            elif turn.role == USER and synthesizer is not None:
                chosen = choose_voice(config.voices, config.seed, "conversation", conversation_id)
                voice, accent, spoken_text = chosen.name, chosen.accent, spoken_form(turn.text)
                sound = encode_flac(speak_line(synthesizer, spoken_text, chosen, config.limits))
        except (Unspeakable, AudioError) as fault:
            return Reject(given.source_uri, given.given_id, fault.reason, fault.detail)
        turns.append(
            ConversationTurn(
                conversation_id=conversation_id,
                index=index,
                role=turn.role,
                source=source,
                source_uri=given.source_uri,
                licence=given.licence,
                voice=voice,
                accent=accent,
                text=turn.text,
                spoken_text=spoken_text,
                audio=Audio(sound, f"{conversation_id}-{index}.flac"),
            )
        )
    return turns
