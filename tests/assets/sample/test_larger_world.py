"""A larger world: drawn from the sample world's words, the same each time, and rendered like it."""

from collections import Counter

import pytest

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample import pages, render
from spelangy_assets.sample.site import WorldPages
from spelangy_assets.sample.world import WorldError, load_world
from spelangy_assets.sample.worlds import larger_world, open_world
from spelangy_model.text.questions import QuestRules, mine_questions, refuse_question

SEED = 5
WORLD = larger_world(160, SEED)


def test_it_has_the_facts_and_wordings_that_are_asked_for_and_no_new_word() -> None:
    base = load_world()
    assert len(WORLD.facts) == 5 * len(WORLD.entities) == 800
    assert {len(WORLD.entities_of(domain.name)) for domain in WORLD.domains} == {32}
    assert {entity.name for entity in base.entities} < {entity.name for entity in WORLD.entities}
    assert len({entity.slug for entity in WORLD.entities}) == 160
    assert set(WORLD.vocabulary) <= set(base.vocabulary)
    for relation in WORLD.relations:
        assert len({phrasing.text for phrasing in relation.questions}) == 20
        uses = Counter(phrasing.use for phrasing in relation.questions)
        assert uses == {"heard": 12, "text_only": 5, "evaluation": 3}
        counts = Counter(fact.value for fact in WORLD.facts if fact.relation == relation)
        assert set(counts) == set(relation.values)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_its_facts_are_drawn_by_the_seed_and_are_not_the_sample_worlds() -> None:
    def values(world) -> list[str]:
        return [fact.value for fact in world.facts]

    again = larger_world.__wrapped__(160, SEED)
    assert (values(again), again.digest) == (values(WORLD), WORLD.digest)
    other = larger_world(160, SEED + 1)
    assert other.digest != WORLD.digest
    same = sum(a == b for a, b in zip(values(WORLD), values(other), strict=True))
    assert same < 120  # 1 in 12 by chance
    sample = {(fact.entity.name, fact.relation.name): fact.value for fact in load_world().facts}
    kept = sum(sample.get((fact.entity.name, fact.relation.name)) == fact.value for fact in WORLD.facts)
    assert kept < 70


@pytest.mark.slow
def test_every_question_of_its_pages_is_mined_and_passes_the_rules() -> None:
    rules = QuestRules()
    html = dict(WorldPages(WORLD.digest, SEED).pages())
    assert len(html) == 2 * 160
    for entity in WORLD.entities:
        page = pages.faq_page(WORLD, entity, SEED)
        mined = {
            found.question: refuse_question(found, rules) for found in mine_questions(html[page.url], rules.patterns)
        }
        assert {question.question: mined.get(question.question, "missing") for question in page.questions} == {
            question.question: None for question in page.questions
        }


def test_what_is_asked_can_have_been_learned() -> None:
    questions = render.benchmark_questions(WORLD, SEED)
    assert len(questions) == 3 * 800
    facts = {(fact.entity.name, fact.relation.name): fact.value for fact in WORLD.facts}
    assert all(facts[q.entity, q.relation] == q.options[q.answer_index] for q in questions)


def test_a_reference_opens_the_world_that_it_names_and_no_other() -> None:
    assert open_world(WORLD.digest) is WORLD
    assert open_world(load_world().digest) is load_world()
    for wrong in (WORLD.digest[:-1], "larger/160/6/" + WORLD.digest.split("/")[-1], "0" * 64):
        with pytest.raises(WorldError, match="state the installed one in the recipe"):
            open_world(wrong)
    with pytest.raises(PreflightError, match="pages: the recipe's sample world"):
        list(WorldPages("0" * 64, SEED).pages())


@pytest.mark.parametrize(("entities", "words"), [(81, "equally many"), (1000, "give 160 names")])
def test_a_size_that_the_words_do_not_give_is_refused(entities: int, words: str) -> None:
    with pytest.raises(WorldError, match=words):
        larger_world(entities, SEED)
