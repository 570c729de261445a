"""The sample's benchmark: multiple-choice questions on its facts, spoken anew.

Put here: which questions are spoken in which voices. Do not put here: their wording (world/render.py), an engine, or
scoring. Every question is spoken twice: in a voice of the accents that training heard, and in one of the accents
that nothing was trained on. The recordings are new ones: rate and pitch are drawn for the benchmark alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from spelangy_assets.stages.stage import Execution, PreflightError, StageContext
from spelangy_assets.world.render import BenchmarkQuestion, benchmark_questions
from spelangy_assets.world.world import load_world
from spelangy_model.audio.io import encode_flac
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
from spelangy_model.records import Audio, SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.spoken import spoken_form

VERSION = "1"
TABLES: dict[str, type] = {"questions": SpokenQuestion}


@dataclass(frozen=True)
class Config:
    """`max_questions_per_split` takes every n-th question, so that all relations and entities stay; 0 takes all."""

    seed: int
    world: str
    trained_voices: tuple[Voice, ...]
    held_out_voices: tuple[Voice, ...]
    max_questions_per_split: int = 0
    benchmark: str = "sample_world"
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    questions_per_unit: int = 400


def preflight(config: Config, execution: Execution) -> None:
    try:
        check_synthesizer(config.synthesizer, config.trained_voices + config.held_out_voices)
    except TtsUnavailable as error:
        raise PreflightError(str(error)) from error
    shared = {voice.accent for voice in config.trained_voices} & {voice.accent for voice in config.held_out_voices}
    if shared:
        raise PreflightError(f"the accents {sorted(shared)} cannot be trained and held out at once: name them once")
    found = load_world().digest
    if config.world != found:
        raise PreflightError(
            f"the recipe's questions are of the sample world {config.world!r}, the installed one is {found!r}: "
            "state the installed one in the recipe"
        )


def run(ctx: StageContext, config: Config) -> None:
    questions = chosen_questions(config)
    synthesizer = open_synthesizer(config.synthesizer)
    for unit, start in ctx.out.pending(range(0, len(questions), config.questions_per_unit)):
        with ctx.out.unit(unit) as out:
            for question in questions[start : start + config.questions_per_unit]:
                for group, voices in (("trained", config.trained_voices), ("held_out", config.held_out_voices)):
                    if not voices:
                        continue
                    out.read(1)
                    voice = choose_voice(voices, config.seed, "benchmark", group, question.text_id)
                    try:
                        spoken = _speak(synthesizer, config, question, group, voice)
                    except Unspeakable as fault:
                        out.drop(fault.reason)
                        continue
                    out.write("questions", [spoken])
                    out.add(f"{question.split}.questions", 1)
        ctx.log(f"spoke {min(start + config.questions_per_unit, len(questions))} of {len(questions)} questions")


def chosen_questions(config: Config) -> list[BenchmarkQuestion]:
    """Return the benchmark's questions, split by split where a limit thins them out."""
    questions = benchmark_questions(load_world(), config.seed)
    limit = config.max_questions_per_split
    if not limit:
        return questions
    chosen: list[BenchmarkQuestion] = []
    for split in dict.fromkeys(question.split for question in questions):
        members = [question for question in questions if question.split == split]
        count = min(limit, len(members))
        chosen += [members[index * len(members) // count] for index in range(count)]
    return chosen


def _speak(
    synthesizer: Synthesizer, config: Config, question: BenchmarkQuestion, group: str, voice: Voice
) -> SpokenQuestion:
    spoken_text = spoken_form(question.question)
    samples = speak_line(synthesizer, spoken_text, voice, config.limits)
    question_id = stable_hash("spoken_question", config.seed, question.text_id, group)
    return SpokenQuestion(
        question_id=question_id,
        text_id=question.text_id,
        benchmark=config.benchmark,
        split=question.split,
        question=question.question,
        spoken_text=spoken_text,
        voice=voice.name,
        accent=voice.accent,
        options=list(question.options),
        answer_index=question.answer_index,
        relation=question.relation,
        audio=Audio(bytes=encode_flac(samples), path=f"{question_id}.flac"),
    )
