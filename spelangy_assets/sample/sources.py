"""The sample world behind the protocols of real sources: its texts, its sentences, its talk, its questions.

Put here: which of the world's renderings a source gives, as literals. Do not put here: their text (render.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal, TypeVar

from spelangy_assets.sample.instructions import judged_instructions, training_instructions
from spelangy_assets.sample.render import (
    BenchmarkQuestion,
    answer_sentence,
    ask,
    benchmark_questions,
    conversation,
    passages_of_talk,
    pick,
    rationale,
    text_document,
    word_salad,
)
from spelangy_assets.sample.world import World, WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_assets.sources.questions import Asked
from spelangy_assets.sources.talk import Passage
from spelangy_assets.sources.texts import Sentence, SourceUnavailable
from spelangy_model.data.conversation_files import GivenConversation, GivenTurn
from spelangy_model.eval.distractors import four_options
from spelangy_model.eval.question_files import RawQuestion
from spelangy_model.records import CONTEXT_SENTENCES
from spelangy_model.rng import stable_hash, stable_rng

SentenceKind = Literal["word_salad", "talk", "questions"]
Q = TypeVar("Q", BenchmarkQuestion, Asked)
HELD_OUT = 1_000_000_000  # documents of training texts count from 0


def _check(world: str) -> None:
    try:
        open_world(world)
    except WorldError as error:
        raise SourceUnavailable(str(error)) from error


@dataclass(frozen=True, kw_only=True)
class WorldTexts:
    """So many text documents of a world from the one numbered `first` on, then so many talks, as text."""

    world: str
    seed: int
    documents: int = 0
    talks: int = 0
    first: int = 0

    def check(self) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def texts(self) -> Iterator[str]:
        """Yield the texts."""
        world = open_world(self.world)
        for index in range(self.documents):
            yield text_document(world, self.seed, self.first + index)
        for index in range(self.talks):
            yield " ".join(sentence for _, sentence in conversation(world, self.seed, self.first + index))


@dataclass(frozen=True, kw_only=True)
class WorldTalk:
    """The passages of so many conversations of a world from the one numbered `first` on; training counts from 0."""

    world: str
    seed: int
    talks: int
    first: int

    def check(self) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def passages(self) -> Iterator[Passage]:
        """Yield the passages; those about one entity are one cluster."""
        world = open_world(self.world)
        for index in range(self.first, self.first + self.talks):
            for place, (entity, sentences) in enumerate(
                passages_of_talk(world, self.seed, index, CONTEXT_SENTENCES + 1)
            ):
                passage_id = stable_hash("passage", self.world, self.seed, index, place)
                yield Passage(passage_id, f"conversation/{index}", entity.name, tuple(sentences))


@dataclass(frozen=True, kw_only=True)
class WorldSentences:
    """So many sentences of a kind: random words, talk as in conversations, or questions with their answers."""

    world: str
    seed: int
    kind: SentenceKind
    count: int

    def check(self) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def sentences(self) -> Iterator[Sentence]:
        """Yield the sentences."""
        endless = _KINDS[self.kind](open_world(self.world), self.seed)
        for index, text in enumerate(islice(endless, self.count)):
            sentence_id = stable_hash("tokenizer_speech", self.world, self.seed, self.kind, index)
            yield Sentence(sentence_id, self.world, f"sample-world:{self.kind}/{index}", text)


def _salad(world: World, seed: int) -> Iterator[str]:
    return (word_salad(world, seed, index) for index in count())


def _talk(world: World, seed: int) -> Iterator[str]:
    return (sentence for index in count() for _, sentence in conversation(world, seed, index))


def _questions(world: World, seed: int) -> Iterator[str]:
    for index in count():
        rng = stable_rng(seed, "questions", index)
        fact = pick(rng, world.facts)
        yield ask(fact, pick(rng, fact.relation.wordings("questions", "spoken")))
        yield rationale(rng, fact)
        yield answer_sentence(world, fact)


_KINDS: dict[SentenceKind, Callable[[World, int], Iterator[str]]] = {
    "word_salad": _salad,
    "talk": _talk,
    "questions": _questions,
}


@dataclass(frozen=True, kw_only=True)
class SampleWorld:
    """The questions on a world's facts, under the name of a benchmark.

    `max_questions_per_split` takes questions at equal distances from a split, which is ordered by entity; 0 takes all.
    A distance that is a multiple of the number of relations selects a single relation.
    """

    world: str
    name: str = "sample_world"
    max_questions_per_split: int = 0

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        """Return the questions, split by split where the limit thins them out; none is dropped."""
        questions = _thinned(benchmark_questions(open_world(self.world), seed), self.max_questions_per_split)
        return [
            Asked(
                benchmark=self.name,
                text_id=one.text_id,
                split=one.split,
                question=one.question,
                options=one.options,
                answer_index=one.answer_index,
                relation=one.relation,
                cluster=one.entity,
            )
            for one in questions
        ], {}


@dataclass(frozen=True, kw_only=True)
class SampleInstructions:
    """So many instructions on a world's facts with their answers, for post-training (sample/instructions.py)."""

    world: str
    seed: int
    conversations: int
    name: str = "sample_instructions"

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def parts(self, environment: Mapping[str, str]) -> list[tuple[str, int]]:
        """Return all as one part."""
        return [("sample-world:instructions", self.conversations)]

    def records(self, part: str, environment: Mapping[str, str]) -> Iterator[GivenConversation]:
        """Yield the instructions, each with the first of its answers."""
        world = open_world(self.world)
        for index, one in enumerate(training_instructions(world, self.seed, self.conversations)):
            turns = (GivenTurn("user", one.text), GivenTurn("assistant", one.answers[0]))
            yield GivenConversation(f"{index}", f"{part}/{index}", "Apache-2.0", turns)


@dataclass(frozen=True, kw_only=True)
class JudgedInstructions:
    """The held-out instructions of `SampleInstructions` of the same seed, as questions whose answers are in words.

    `max_questions_per_split` is as in `SampleWorld`. A right answer has the form that was asked for.
    """

    world: str
    instructions_seed: int
    name: str = "instructions"
    max_questions_per_split: int = 0

    def check(self, environment: Mapping[str, str]) -> None:
        """Raise SourceUnavailable when the installed world is another one."""
        _check(self.world)

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        """Return the instructions; the other options are answers to others of the relation and the form."""
        found = judged_instructions(open_world(self.world), self.instructions_seed)
        raw = [RawQuestion(one.text_id, one.text, one.answers, f"{one.form} {one.relation}") for one in found]
        of_id = {one.text_id: one for one in found}
        questions, dropped = four_options(raw, seed)
        asked = []
        for question in questions:
            one = of_id[question.raw.question_id]
            asked.append(
                Asked(
                    benchmark=self.name,
                    text_id=one.text_id,
                    split=one.split,
                    question=one.text,
                    options=question.options,
                    answer_index=question.answer_index,
                    relation=one.relation,
                    cluster=one.entity,
                    answers=one.answers,
                )
            )
        return _thinned(asked, self.max_questions_per_split), dropped


def _thinned(asked: list[Q], limit: int) -> list[Q]:
    """Return at most `limit` questions of each split, at equal distances; 0 takes all."""
    if not limit:
        return asked
    chosen: list[Q] = []
    for split in dict.fromkeys(question.split for question in asked):
        members = [question for question in asked if question.split == split]
        kept = min(limit, len(members))
        chosen += [members[index * len(members) // kept] for index in range(kept)]
    return chosen
