"""Spoken and written sentences and questions about the sample world: pure functions of (world, seed, index).

Put here: sentences, from a single one to a conversation, a text document and the benchmark. Do not put here: web pages
(pages.py), speech, or records of a stage. Every choice comes from a generator that the arguments alone determine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from spelangy_assets.sample.world import Entity, Fact, Use, World, fill
from spelangy_model.eval.distractors import four_options
from spelangy_model.eval.question_files import RawQuestion
from spelangy_model.rng import stable_hash, stable_rng

REMARK_SHARE = 0.3  # of the sentences of a conversation: they state no fact
PRONOUN_SHARE = 0.3  # of the facts that follow the entity's name
RATIONALE_SHARE = 0.3  # of the answers in the text corpus
CONVERSATION_SENTENCES = 16
TURN_SENTENCES = (1, 4)  # the fewest and the most sentences of a turn
QUESTIONS_PER_FAQ_FACT = 3
_SALAD_LENGTHS = (4, 8, 5, 7, 6)  # words of five consecutive random sentences
_TEXT_USES: tuple[Use, ...] = ("spoken", "text_only")

# The distractors of a split are drawn by the name that it first had: with another key, every question would have other
# options, another id and so another voice.
_KEY_OF_SPLIT = {"seen_wording": "heard_wording", "text_only_wording": "unheard_wording", "new_wording": "new_wording"}

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BenchmarkQuestion:
    """A four-way multiple-choice question, before it is spoken.

    `text_id` identifies question, options and their order. `split` is seen_wording (exactly this sentence is on a page
    of questions and answers), text_only_wording (its wording occurs in text alone) or new_wording (its wording is in no
    training data). All options are values of the fact's relation.
    """

    text_id: str
    split: str
    question: str
    options: tuple[str, ...]
    answer_index: int
    relation: str
    entity: str
    domain: str


def pick(rng: np.random.Generator, items: Sequence[T]) -> T:
    """Draw one item."""
    return items[int(rng.integers(len(items)))]


def state(fact: Fact, wording: str, pronoun: bool = False) -> str:
    """Word a fact as a statement or a rationale; with `pronoun` the entity is "it"."""
    return fill(wording, "it" if pronoun else fact.entity.name, fact.value)


def ask(fact: Fact, wording: str) -> str:
    """Word a fact as a question."""
    return fill(wording, fact.entity.name)


def answer_sentence(world: World, fact: Fact) -> str:
    """Return the sentence that gives the bare answer, the same wherever a question is answered: The answer is X."""
    return fill(world.answer, fact.entity.name, fact.value)


def rationale(rng: np.random.Generator, fact: Fact) -> str:
    """Return one sentence from which the answer can be read off."""
    return state(fact, pick(rng, fact.relation.wordings("rationales", "spoken")))


def faq_questions(world: World, fact: Fact) -> tuple[str, ...]:
    """Return the questions about a fact that a page of questions and answers holds: 3 of the 5 `spoken` wordings.

    They rotate with the entity, so that every wording is as frequent as the others.
    """
    wordings = fact.relation.wordings("questions", "spoken")
    first = world.entities.index(fact.entity)
    return tuple(ask(fact, wordings[(first + step) % len(wordings)]) for step in range(QUESTIONS_PER_FAQ_FACT))


def kind_phrase(world: World, entity: Entity) -> str:
    """Return the entity's kind: a band, an animal, ..."""
    noun = world.domain(entity.domain).noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def open_talk(world: World, rng: np.random.Generator, entity: Entity) -> str:
    """Return a sentence that names the entity and states none of its facts."""
    return fill(pick(rng, world.openers).replace("{kind}", kind_phrase(world, entity)), entity.name)


def conversation(
    world: World, seed: int, index: int, turn_sentences: tuple[int, int] = TURN_SENTENCES
) -> list[tuple[str, str]]:
    """Return a talk of two people: 16 pairs (speaker "A" or "B", sentence) in `spoken` wordings.

    Its domain is drawn by the domains' shares of talk (skewed, as the paper's web speech is), two of the domain's
    entities come up one after the other, and turns are `turn_sentences` long, from the fewest to the most.
    """
    return _conversation(world, seed, index, turn_sentences)[1]


def passages_of_talk(world: World, seed: int, index: int, length: int) -> list[tuple[Entity, list[tuple[str, str]]]]:
    """Return a conversation as passages of `length` sentences that follow each other, with what each is about."""
    entities, talk = _conversation(world, seed, index, TURN_SENTENCES)
    about = CONVERSATION_SENTENCES // len(entities)
    return [
        (entity, talk[start : start + length])
        for place, entity in enumerate(entities)
        for start in range(place * about, (place + 1) * about - length + 1, length)
    ]


def _conversation(
    world: World, seed: int, index: int, turn_sentences: tuple[int, int]
) -> tuple[list[Entity], list[tuple[str, str]]]:
    """Return a talk, and the entities that it is about in turn, each for an equal part."""
    rng = stable_rng(seed, "conversation", index)
    shares = np.array([domain.talk_percent for domain in world.domains], dtype=np.float64)
    domain = world.domains[int(rng.choice(len(shares), p=shares / shares.sum()))]
    candidates = world.entities_of(domain.name)
    entities = [candidates[int(position)] for position in rng.permutation(len(candidates))[:2]]
    sentences = [
        sentence for entity in entities for sentence in _talk_about(world, rng, entity, CONVERSATION_SENTENCES // 2)
    ]
    talk: list[tuple[str, str]] = []
    fewest, most = turn_sentences
    speaker = int(rng.integers(2))
    while len(talk) < len(sentences):
        turn = sentences[len(talk) : len(talk) + int(rng.integers(fewest, most + 1))]
        talk.extend(("AB"[speaker], sentence) for sentence in turn)
        speaker = 1 - speaker
    return entities, talk


def _talk_about(world: World, rng: np.random.Generator, entity: Entity, length: int) -> list[str]:
    remarks = [*world.remarks[entity.domain], *world.remarks["general"]]
    facts = list(world.facts_of(entity))
    facts = [facts[int(position)] for position in rng.permutation(len(facts))]
    talk = [open_talk(world, rng, entity)]
    named = False  # "it" needs a name right before, and an opener may have been a question
    while len(talk) < length:
        fact_is_due = len(talk) + len(facts) >= length  # else the facts that are left no longer fit
        if facts and (fact_is_due or rng.random() >= REMARK_SHARE):
            fact = facts.pop()
            wording = pick(rng, fact.relation.wordings("statements", "spoken"))
            talk.append(state(fact, wording, pronoun=named and bool(rng.random() < PRONOUN_SHARE)))
            named = True
        else:
            talk.append(pick(rng, remarks))
            named = False
    return talk


def text_document(world: World, seed: int, index: int) -> str:
    """Return a document of the text corpus in `spoken` and `text_only` wordings; five facts, no fact twice.

    Half of the documents are about one entity (entity number `index` modulo the entities), in statements and answered
    questions; the other half are answered questions about facts of any entity. A question is followed by its answer
    sentence, at times with a rationale between them, in the form in which spoken questions are answered.
    """
    rng = stable_rng(seed, "text", index)
    if rng.random() < 0.5:
        facts = list(world.facts_of(world.entities[index % len(world.entities)]))
        facts = [facts[int(position)] for position in rng.permutation(len(facts))]
        question_share = 0.5
    else:
        facts = [world.facts[int(position)] for position in rng.choice(len(world.facts), 5, replace=False)]
        question_share = 1.0
    return " ".join(sentence for fact in facts for sentence in _written(world, rng, fact, question_share))


def _written(world: World, rng: np.random.Generator, fact: Fact, question_share: float) -> list[str]:
    if rng.random() >= question_share:
        return [state(fact, pick(rng, fact.relation.wordings("statements", *_TEXT_USES)))]
    question = ask(fact, pick(rng, fact.relation.wordings("questions", *_TEXT_USES)))
    reason = [rationale(rng, fact)] if rng.random() < RATIONALE_SHARE else []
    return [question, *reason, answer_sentence(world, fact)]


def benchmark_questions(world: World, seed: int) -> list[BenchmarkQuestion]:
    """Return three questions a fact, one for each split, in the order of the facts.

    The distractors are the answers of other questions of the relation and split, as in every set of questions.
    """
    asked = []
    for fact in world.facts:
        rng = stable_rng(seed, "benchmark", fact.entity.name, fact.relation.name)
        wordings = {
            "seen_wording": faq_questions(world, fact),
            "text_only_wording": tuple(ask(fact, text) for text in fact.relation.wordings("questions", "text_only")),
            "new_wording": tuple(ask(fact, text) for text in fact.relation.wordings("questions", "evaluation")),
        }
        asked += [(fact, split, pick(rng, candidates)) for split, candidates in wordings.items()]
    raw = [
        RawQuestion(
            f"{key}: {fact.entity.name}, {fact.relation.name}", text, (fact.value,), f"{key} {fact.relation.name}"
        )
        for fact, key, text in ((fact, _KEY_OF_SPLIT[split], text) for fact, split, text in asked)
    ]
    return [
        BenchmarkQuestion(
            text_id=stable_hash("question", question.raw.question, *question.options),
            split=split,
            question=question.raw.question,
            options=question.options,
            answer_index=question.answer_index,
            relation=fact.relation.name,
            entity=fact.entity.name,
            domain=fact.entity.domain,
        )
        for (fact, split, _), question in zip(asked, four_options(raw, seed)[0], strict=True)
    ]


def word_salad(world: World, seed: int, index: int) -> str:
    """Return a sentence of 4 to 8 random words of the whole vocabulary, for the training of a speech tokenizer.

    Consecutive indices deal the vocabulary like a pack of cards, shuffled anew each time it is through, so that all
    words are equally frequent. Random order keeps a recognizer from learning sentences by heart.
    """
    words = world.vocabulary
    round_, place = divmod(index, len(_SALAD_LENGTHS))
    start = round_ * sum(_SALAD_LENGTHS) + sum(_SALAD_LENGTHS[:place])
    dealt = []
    for position in range(start, start + _SALAD_LENGTHS[place]):
        deck, card = divmod(position, len(words))
        dealt.append(words[int(stable_rng(seed, "salad", deck).permutation(len(words))[card])])
    return fill(" ".join(dealt) + ".", "")
