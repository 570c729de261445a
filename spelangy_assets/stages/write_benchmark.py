"""The benchmarks: four-way multiple-choice questions of any source, including the user's files, spoken anew.

Put here: which questions are spoken in which voices. Do not put here: their wording (their source), the formats of
files and the choice of distractors (spelangy_model/eval), an engine, or scoring. Every question is spoken twice: in
a voice of an accent of the training data, and in one of an accent that no model was trained on; a question that comes
with a recording keeps it. The spoken recordings are new: rate and pitch are drawn for the benchmark alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.report.benchmark_tables import NO_BENCHMARK
from spelangy_assets.sources.questions import Asked, QuestionSource
from spelangy_assets.sources.texts import SourceUnavailable, check_names
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
from spelangy_model.catalogue import KNOWN
from spelangy_model.eval.distractors import four_options
from spelangy_model.eval.question_files import QuestionFileError, RawQuestion, digest_of_questions, read_questions
from spelangy_model.records import Audio, SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.spoken import spoken_form

VERSION = "7"
TABLES: dict[str, type] = {"questions": SpokenQuestion}
FOLDER_VARIABLE = "SPELANGY_BENCHMARKS"
_PLAIN = re.compile(r"[a-z0-9][a-z0-9_-]*")


@dataclass(frozen=True)
class QuestionSet:
    """A file of questions: `path` is below the folder that SPELANGY_BENCHMARKS names, `digest` is that of its content.

    `name` is part of metric names (sqa.NAME.SPLIT.accuracy). `format` is one of spelangy_model/eval/question_files.py.
    `max_questions` draws so many by the seed, 0 takes all; distractors are drawn from the whole file all the same.
    An empty digest is refused before anything is spoken, with the digest to state (`spelangy questions FILE` prints
    it, too).
    """

    name: str
    format: str
    path: str
    digest: str
    split: str = "test"
    max_questions: int = 0

    def __post_init__(self) -> None:
        for what, written in (("name", self.name), ("split", self.split)):
            if not _PLAIN.fullmatch(written) or written in NO_BENCHMARK:
                raise ValueError(
                    f"{what}={written!r} of a question set is part of metric names: write it in lower-case letters, "
                    f"digits, - and _, and not as {', '.join(NO_BENCHMARK)}"
                )

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable when the file is not there, unreadable, or not what the recipe states."""
        self._raw(environment)

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        """Return the set's questions with their options, and how many were dropped for each reason."""
        questions, dropped = four_options(self._raw(environment), seed, self.max_questions)
        asked = [
            Asked(
                benchmark=self.name,
                text_id=stable_hash("question_text", self.name, self.split, question.raw.question_id),
                split=self.split,
                question=question.raw.question,
                options=question.options,
                answer_index=question.answer_index,
                relation=question.kind,
                audio=question.raw.audio,
                cluster=question.raw.cluster,
                answers=question.raw.answers,
            )
            for question in questions
        ]
        return asked, dropped

    def _raw(self, environment: Mapping[str, str]) -> list[RawQuestion]:
        if not environment.get(FOLDER_VARIABLE):
            raise SourceUnavailable(
                f"the recipe asks the question set {self.name!r}: set {FOLDER_VARIABLE} to its folder{self._cure}"
            )
        path = Path(environment[FOLDER_VARIABLE]) / self.path
        try:
            questions = read_questions(path, self.format)
        except QuestionFileError as error:
            raise SourceUnavailable(
                f"the question set {self.name!r}: {error}{'' if path.exists() else self._cure}"
            ) from error
        digest = digest_of_questions(path, questions)
        if digest != self.digest:
            raise SourceUnavailable(
                f"{path}: its questions and recordings have the digest {digest}, the recipe states "
                f"{self.digest or 'none'}: put the file there that the recipe means, or state this one"
            )
        return questions

    @property
    def _cure(self) -> str:
        """Return where a known set is published and how to get it, as text."""
        known = KNOWN.get(self.name)
        return f", where {self.path} holds it; get it with: {known.get}" if known else ""


@dataclass(frozen=True)
class Config:
    """Which questions are spoken in which voices."""

    sources: tuple[QuestionSource, ...]
    trained_voices: tuple[Voice, ...]
    held_out_voices: tuple[Voice, ...]
    seed: int = 0
    synthesizer: SynthesizerChoice = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    questions_per_unit: int = 400


CONTRACT = Contract(
    "questions",
    """
    SELECT count(*) AS questions, count(*) - count(DISTINCT question_id) AS duplicate_ids,
           count(*) FILTER (len(options) <> 4 OR len(list_distinct(options)) <> 4) AS not_four_distinct_options,
           count(*) FILTER (answer_index NOT BETWEEN 0 AND 3) AS answer_outside_options,
           count(*) FILTER (answer_index = 0) / greatest(count(*), 1) AS share_of_first_answer
    FROM questions
    """,
    (
        Bound("questions", 1),
        exactly("duplicate_ids"),
        exactly("not_four_distinct_options"),
        exactly("answer_outside_options"),
        Bound("share_of_first_answer", 0.15, 0.35, "warn"),
    ),
)

KIND = DatasetKind(
    group="evals",
    description="Spoken questions with four options each, never used in training.",
    contract=CONTRACT,
    kinds=("audio", "table"),
    pool="tts",
    cost="heavy",
)


@word
def questions(*sources: QuestionSource, name: str = "sqa_benchmarks", **options: Any) -> Dataset:
    """Return the questions of any number of named sets, spoken; `options` are fields of Config."""
    check_names(sources, "question sets")
    return dataset(__name__, Config(sources=sources, **options), name=name)


def preflight(config: Config, execution: Execution) -> None:
    missing = []
    try:
        check_synthesizer(config.synthesizer, config.trained_voices + config.held_out_voices)
    except TtsUnavailable as error:
        missing.append(str(error))
    shared = {voice.accent for voice in config.trained_voices} & {voice.accent for voice in config.held_out_voices}
    if shared:
        raise PreflightError(f"the accents {sorted(shared)} cannot be trained and held out at once: name them once")
    for source in config.sources:
        try:
            source.check(execution.environment)
        except SourceUnavailable as error:
            missing.append(f"the benchmark: {error}")
    if missing:
        raise PreflightError(*missing)


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit of `questions_per_unit` question texts after the other."""
    asked: list[Asked] = []
    dropped: dict[str, int] = {}
    for source in config.sources:
        try:
            found, reasons = source.read(config.seed, ctx.execution.environment)
        except SourceUnavailable as error:
            raise InputError(str(error)) from error
        asked += found
        for reason, count in reasons.items():
            dropped[reason] = dropped.get(reason, 0) + count
    synthesizer = open_synthesizer(config.synthesizer)
    groups = [
        (group, voices)
        for group, voices in (("trained", config.trained_voices), ("held_out", config.held_out_voices))
        if voices
    ]
    for unit, start in ctx.out.pending(range(0, len(asked), config.questions_per_unit)):
        with ctx.out.unit(unit) as out:
            if unit == 0:
                for reason, count in dropped.items():
                    out.read(count)
                    out.drop(reason, count)
            for item in asked[start : start + config.questions_per_unit]:
                for group, voices in groups if item.audio is None else [("recorded", ())]:
                    out.read(1)
                    try:
                        spoken = _record(synthesizer, config, item, group, voices)
                    except Unspeakable as fault:
                        out.drop(fault.reason)
                        continue
                    except AudioError as fault:
                        out.drop(fault.reason)
                        ctx.log(f"{item.audio}: {fault.detail}")
                        continue
                    out.write("questions", [spoken])
                    out.add(f"{item.split}.questions", 1)
        ctx.log(f"spoke {min(start + config.questions_per_unit, len(asked))} of {len(asked)} questions")


def _record(
    synthesizer: Synthesizer, config: Config, item: Asked, group: str, voices: tuple[Voice, ...]
) -> SpokenQuestion:
    """Return a question with its recording, or with one in a voice of the group. Raises Unspeakable or AudioError."""
    spoken_text = spoken_form(item.question)
    if item.audio is not None:
        samples, name, accent = decode(item.audio).samples, "recorded", "recorded"
    else:
        voice = choose_voice(voices, config.seed, "benchmark", group, item.text_id)
        samples, name, accent = speak_line(synthesizer, spoken_text, voice, config.limits), voice.name, voice.accent
    question_id = stable_hash("spoken_question", config.seed, item.text_id, group)
    return SpokenQuestion(
        question_id=question_id,
        text_id=item.text_id,
        cluster_id=item.cluster_id,
        benchmark=item.benchmark,
        split=item.split,
        question=item.question,
        spoken_text=spoken_text,
        voice=name,
        accent=accent,
        options=list(item.options),
        answer_index=item.answer_index,
        relation=item.relation,
        audio=Audio(bytes=encode_flac(samples), path=f"{question_id}.flac"),
    )
