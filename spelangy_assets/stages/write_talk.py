"""Held-out talk: spoken passages of a few sentences, to evaluate how well a model understands speech.

Put here: which passages are spoken in which voices. Do not put here: their wording (their source), an engine, or
scoring (stages/evaluate.py). The last sentence of a passage is only read, so it is not spoken. Recordings are new ones:
rate and pitch are drawn for them alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.sources.talk import Passage, TalkSource
from spelangy_assets.sources.texts import SourceUnavailable
from spelangy_model.audio.io import SAMPLE_RATE_HZ, encode_flac
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
from spelangy_model.records import CONTEXT_SENTENCES, Audio, SpokenPassage
from spelangy_model.text.spoken import spoken_form

VERSION = "1"
TABLES: dict[str, type] = {"talk": SpokenPassage}
_PAUSE_S = 0.15  # after each sentence, as between those of one speaker in conversations


@dataclass(frozen=True)
class Config:
    """Which passages are spoken in which voices; two speakers of a talk never have the same, where there are two."""

    source: TalkSource
    voices: tuple[Voice, ...]
    seed: int = 0
    synthesizer: SynthesizerChoice = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    passages_per_unit: int = 512


CONTRACT = Contract(
    "talk",
    f"""
    SELECT count(*) AS passages, count(*) - count(DISTINCT passage_id) AS duplicate_ids,
           count(*) FILTER (len(sentences) <> {CONTEXT_SENTENCES + 1} OR len(start_s) <> {CONTEXT_SENTENCES}
               OR len(voices) <> {CONTEXT_SENTENCES}) AS of_another_length,
           count(DISTINCT cluster_id) AS clusters
    FROM talk
    """,
    (Bound("passages", 2), exactly("duplicate_ids"), exactly("of_another_length"), Bound("clusters", 2)),
)

KIND = DatasetKind(
    group="evals",
    description="Passages of talk that is in no training set, spoken but for their last sentence.",
    contract=CONTRACT,
    kinds=("audio", "table"),
    pool="tts",
    cost="heavy",
)


@word
def held_out_talk(source: TalkSource, *, name: str = "held_out_talk", **options: Any) -> Dataset:
    """Return passages of held-out talk, spoken; `options` are fields of Config."""
    return dataset(__name__, Config(source=source, **options), name=name)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a voice or the talk is missing."""
    try:
        check_synthesizer(config.synthesizer, config.voices)
        config.source.check()
    except (TtsUnavailable, SourceUnavailable) as error:
        raise PreflightError(f"held-out talk: {error}") from error


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit of `passages_per_unit` passages after the other."""
    passages = list(config.source.passages())
    synthesizer = open_synthesizer(config.synthesizer)
    for unit, start in ctx.out.pending(range(0, len(passages), config.passages_per_unit)):
        with ctx.out.unit(unit) as out:
            for passage in passages[start : start + config.passages_per_unit]:
                out.read(1)
                try:
                    out.write("talk", [_speak(synthesizer, config, passage)])
                except Unspeakable as fault:
                    out.drop(fault.reason)
        ctx.log(f"spoke {min(start + config.passages_per_unit, len(passages))} of {len(passages)} passages")


def _speak(synthesizer: Synthesizer, config: Config, passage: Passage) -> SpokenPassage:
    """Return a passage with its recording. Raises Unspeakable."""
    if len(passage.sentences) != CONTEXT_SENTENCES + 1:
        raise ValueError(
            f"{passage.passage_id}: a passage has {CONTEXT_SENTENCES + 1} sentences, not {len(passage.sentences)}"
        )
    spoken = passage.sentences[:-1]
    voices: dict[str, Voice] = {}
    for speaker in sorted({speaker for speaker, _ in spoken}):
        taken = {voice.name for voice in voices.values()}
        free = tuple(voice for voice in config.voices if voice.name not in taken) or config.voices
        voices[speaker] = choose_voice(free, config.seed, "talk", passage.passage_id, speaker)
    parts: list[np.ndarray] = []
    start_s: list[float] = []
    pause = np.zeros(round(_PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    for speaker, sentence in spoken:
        start_s.append(sum(map(len, parts)) / SAMPLE_RATE_HZ)
        parts += [speak_line(synthesizer, spoken_form(sentence), voices[speaker], config.limits), pause]
    return SpokenPassage(
        passage_id=passage.passage_id,
        talk_id=passage.talk_id,
        cluster_id=passage.cluster or passage.talk_id,
        sentences=[sentence for _, sentence in passage.sentences],
        voices=[voices[speaker].name for speaker, _ in spoken],
        start_s=start_s,
        audio=Audio(bytes=encode_flac(np.concatenate(parts)), path=f"{passage.passage_id}.flac"),
    )
