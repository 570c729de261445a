"""Instructions about the sample world with their answers: what a run is post-trained on, and what it is judged by.

Put here: their wording, and which entities each side has. Do not put here: speech, or records of a stage.

An instruction is a question on a fact, with the form that its answer shall have: one word, or a sentence that states
the fact of "it"; a plain question is answered as in the pages of the world, "The answer is ...". The entities
are split in two halves of each domain. Training asks about one half in the wordings of training texts; the judged
instructions ask about the other half, where `new_wording` has questions that occur in no training data and forms in
words that no training instruction has. So no judged question and no judged fact is in the post-training.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spelangy_assets.sample.render import answer_sentence, ask, pick, state
from spelangy_assets.sample.world import Entity, Fact, Use, World
from spelangy_model.rng import stable_codes, stable_hash, stable_order, stable_rng

FORMS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "plain": (("{question}",), ("{question}",)),
    "one_word": (
        ("{question} Answer in one word.", "In one word, {question}", "{question} Say just the word."),
        ("{question} I want a single word.",),
    ),
    "sentence": (
        ("{question} Answer in a sentence.", "In a sentence, {question}", "{question} Say a whole sentence."),
        ("{question} I want a full sentence.",),
    ),
}
"""By form: the wordings of training, and those of judged instructions in a new wording."""


# By split: the use of its questions' wordings, and which wordings of a form it takes.
_JUDGED: tuple[tuple[str, Use, int], ...] = (("seen_wording", "spoken", 0), ("new_wording", "evaluation", 1))


@dataclass(frozen=True, slots=True)
class Instruction:
    """An instruction; `answers` are all that follow it and are right, the first is the one that is trained on."""

    text_id: str
    split: str
    form: str
    text: str
    answers: tuple[str, ...]
    relation: str
    entity: str


def halves(world: World, seed: int) -> tuple[list[Entity], list[Entity]]:
    """Return the entities of training and those of judged instructions, half of each domain, drawn by the seed."""
    trained: list[Entity] = []
    judged: list[Entity] = []
    for domain in world.domains:
        entities = world.entities_of(domain.name)
        order = stable_order(stable_codes([one.name for one in entities]), seed, "instructions", domain.name)
        drawn = [entities[int(place)] for place in order]
        trained += drawn[: len(drawn) // 2]
        judged += drawn[len(drawn) // 2 :]
    return trained, judged


def training_instructions(world: World, seed: int, count: int) -> Iterator[Instruction]:
    """Yield so many instructions about the training half; fact, wording and form are drawn by (seed, number)."""
    facts = [fact for entity in halves(world, seed)[0] for fact in world.facts_of(entity)]
    for index in range(count):
        rng = stable_rng(seed, "instruction", index)
        fact = pick(rng, facts)
        question = ask(fact, pick(rng, fact.relation.wordings("questions", "spoken", "text_only")))
        form = pick(rng, tuple(FORMS))
        yield _instruction(world, fact, "train", question, form, pick(rng, FORMS[form][0]))


def judged_instructions(world: World, seed: int) -> list[Instruction]:
    """Return two instructions a fact of the judged half, one a split: seen_wording and new_wording."""
    found = []
    for fact in (fact for entity in halves(world, seed)[1] for fact in world.facts_of(entity)):
        for split, use, place in _JUDGED:
            rng = stable_rng(seed, "judged_instruction", split, fact.entity.name, fact.relation.name)
            question = ask(fact, pick(rng, fact.relation.wordings("questions", use)))
            form = pick(rng, tuple(FORMS))
            found.append(_instruction(world, fact, split, question, form, pick(rng, FORMS[form][place])))
    return found


def _instruction(world: World, fact: Fact, split: str, question: str, form: str, wording: str) -> Instruction:
    asked = question if wording.startswith("{question}") else question[0].lower() + question[1:]
    text = wording.replace("{question}", asked)
    if form == "plain":
        answers = (answer_sentence(world, fact),)
    elif form == "one_word":
        answers = (fact.value,)
    else:
        wordings = fact.relation.wordings("statements", "spoken", "text_only")
        answers = tuple(state(fact, one, pronoun) for pronoun in (True, False) for one in wordings)
    text_id = stable_hash("instruction", world.digest, text, *answers)
    return Instruction(text_id, split, form, text, answers, fact.relation.name, fact.entity.name)
