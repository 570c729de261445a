"""The sample world behind the protocols of real sources: its texts, its sentences, its talk, its questions.

Put here: which of the world's renderings a source gives, as literals. Do not put here: their text (render.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from typing import Literal

from spelangy_assets.sample.render import (
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
from spelangy_model.records import CONTEXT_SENTENCES
from spelangy_model.rng import stable_hash, stable_rng

SentenceKind = Literal["word_salad", "talk", "questions"]
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
        yield ask(fact, pick(rng, fact.relation.wordings("questions", "heard")))
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
        questions = benchmark_questions(open_world(self.world), seed)
        if limit := self.max_questions_per_split:
            chosen = []
            for split in dict.fromkeys(question.split for question in questions):
                members = [question for question in questions if question.split == split]
                kept = min(limit, len(members))
                chosen += [members[index * len(members) // kept] for index in range(kept)]
            questions = chosen
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
