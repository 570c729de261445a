"""The benchmarks: four-way multiple-choice questions, on the sample's facts or from files of one's own, spoken anew.

Put here: which questions are spoken in which voices. Do not put here: their wording (sample/render.py), the formats of
files and the choice of distractors (spelangy_model/eval), an engine, or scoring. Every question is spoken twice: in a
voice of the accents that training heard, and in one of the accents that nothing was trained on; a question that comes
with a recording is heard as it was recorded. The recordings are new ones: rate and pitch are drawn for the benchmark
alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.sample.render import BenchmarkQuestion, benchmark_questions
from spelangy_assets.sample.world import WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_model.audio.io import AudioError, decode, encode_flac
from spelangy_model.audio.tts import (
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
from spelangy_model.eval.distractors import four_options
from spelangy_model.eval.question_files import QuestionFileError, RawQuestion, digest_of_questions, read_questions
from spelangy_model.records import Audio, SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.spoken import spoken_form

VERSION = "5"
TABLES: dict[str, type] = {"questions": SpokenQuestion}
FOLDER_VARIABLE = "SPELANGY_BENCHMARKS"


@dataclass(frozen=True)
class QuestionSet:
    """A file of questions: `path` lies below the folder that SPELANGY_BENCHMARKS names, `digest` is what it must hold.

    `format` is one of spelangy_model/eval/question_files.py. `max_questions` draws so many by the seed, 0 takes all;
    distractors are drawn from the whole file all the same.
    """

    name: str
    format: str
    path: str
    digest: str
    split: str = "test"
    max_questions: int = 0


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question with its options, from whatever source."""

    benchmark: str
    question: BenchmarkQuestion
    audio: Path | None = None


@dataclass(frozen=True)
class Config:
    """`max_questions_per_split` takes every n-th question, so that all relations and entities stay; 0 takes all.

    `world` is the reference of the sample world, or empty for none of its questions; `sets` are files of one's own.
    """

    seed: int
    world: str
    trained_voices: tuple[Voice, ...]
    held_out_voices: tuple[Voice, ...]
    max_questions_per_split: int = 0
    benchmark: str = "sample_world"
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    questions_per_unit: int = 400
    sets: tuple[QuestionSet, ...] = ()


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.trained_voices + config.held_out_voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error
    shared = {voice.accent for voice in config.trained_voices} & {voice.accent for voice in config.held_out_voices}
    if shared:
        raise PreflightError(f"the accents {sorted(shared)} cannot be trained and held out at once: name them once")
    try:
        if config.world:
            open_world(config.world)
    except WorldError as error:
        raise PreflightError(f"the benchmark: {error}") from error
    if not config.world and not config.sets:
        raise PreflightError("the recipe names no questions: name the sample world, or sets of your own")
    for chosen in config.sets:
        _read(chosen, execution.environment)


def run(ctx: StageContext, config: Config) -> None:
    asked = [_Asked(config.benchmark, question) for question in (chosen_questions(config) if config.world else [])]
    dropped: dict[str, int] = {}
    for chosen in config.sets:
        found, reasons = _set_questions(chosen, config.seed, ctx.execution.environment)
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
                    out.add(f"{item.question.split}.questions", 1)
        ctx.log(f"spoke {min(start + config.questions_per_unit, len(asked))} of {len(asked)} questions")


def _read(chosen: QuestionSet, environment: Mapping[str, str]) -> list[RawQuestion]:
    """Read a set's file. Raises PreflightError when it is not there, unreadable, or not what the recipe states."""
    if not environment.get(FOLDER_VARIABLE):
        raise PreflightError(f"the recipe asks the question set {chosen.name!r}: set {FOLDER_VARIABLE} to its folder")
    path = Path(environment[FOLDER_VARIABLE]) / chosen.path
    try:
        questions = read_questions(path, chosen.format)
    except QuestionFileError as error:
        raise PreflightError(str(error)) from error
    digest = digest_of_questions(path, questions)
    if digest != chosen.digest:
        raise PreflightError(
            f"{path}: its questions and recordings have the digest {digest}, the recipe states {chosen.digest}: "
            "put the file there that the recipe means, or state this one"
        )
    return questions


def _set_questions(
    chosen: QuestionSet, seed: int, environment: Mapping[str, str]
) -> tuple[list[_Asked], dict[str, int]]:
    """Return a set's questions with their options, and how many were dropped for each reason."""
    questions, dropped = four_options(_read(chosen, environment), seed, chosen.max_questions)
    asked = [
        _Asked(
            chosen.name,
            BenchmarkQuestion(
                text_id=stable_hash("question_text", chosen.name, chosen.split, question.raw.question_id),
                split=chosen.split,
                question=question.raw.question,
                options=question.options,
                answer_index=question.answer_index,
                relation=question.kind,
                entity="",
                domain="",
            ),
            question.raw.audio,
        )
        for question in questions
    ]
    return asked, dropped


def chosen_questions(config: Config) -> list[BenchmarkQuestion]:
    """Return the benchmark's questions, split by split where a limit thins them out."""
    questions = benchmark_questions(open_world(config.world), config.seed)
    limit = config.max_questions_per_split
    if not limit:
        return questions
    chosen: list[BenchmarkQuestion] = []
    for split in dict.fromkeys(question.split for question in questions):
        members = [question for question in questions if question.split == split]
        count = min(limit, len(members))
        chosen += [members[index * len(members) // count] for index in range(count)]
    return chosen


def _record(
    synthesizer: Synthesizer, config: Config, item: _Asked, group: str, voices: tuple[Voice, ...]
) -> SpokenQuestion:
    """Return a question with its recording, or with one in a voice of the group. Raises Unspeakable or AudioError."""
    question = item.question
    spoken_text = spoken_form(question.question)
    if item.audio is not None:
        samples, name, accent = decode(item.audio).samples, "recorded", "recorded"
    else:
        voice = choose_voice(voices, config.seed, "benchmark", group, question.text_id)
        samples, name, accent = speak_line(synthesizer, spoken_text, voice, config.limits), voice.name, voice.accent
    question_id = stable_hash("spoken_question", config.seed, question.text_id, group)
    return SpokenQuestion(
        question_id=question_id,
        text_id=question.text_id,
        benchmark=item.benchmark,
        split=question.split,
        question=question.question,
        spoken_text=spoken_text,
        voice=name,
        accent=accent,
        options=list(question.options),
        answer_index=question.answer_index,
        relation=question.relation,
        audio=Audio(bytes=encode_flac(samples), path=f"{question_id}.flac"),
    )
