"""A larger world: the sample world's relations and wordings for more entities, the same each time."""

from collections import Counter

import pytest

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample import pages, render
from spelangy_assets.sample.site import WorldEntries, WorldQuestions
from spelangy_assets.sample.world import WorldError, load_world, words_of
from spelangy_assets.sample.worlds import larger_world, open_world
from spelangy_model.text.questions import QuestRules, mine_questions, refuse_question
from spelangy_model.text.urls import UrlRules, refuse_url

SEED = 5
WORLD = larger_world(160, SEED)


def test_it_has_the_entities_that_are_asked_for_and_the_sample_worlds_wordings() -> None:
    base = load_world()
    assert len(WORLD.facts) == 5 * len(WORLD.entities) == 800
    assert {len(WORLD.entities_of(domain.name)) for domain in WORLD.domains} == {32}
    assert {entity.name for entity in base.entities} < {entity.name for entity in WORLD.entities}
    assert len({entity.slug for entity in WORLD.entities}) == 160
    assert WORLD.relations == base.relations
    for relation in WORLD.relations:
        counts = Counter(fact.value for fact in WORLD.facts if fact.relation == relation)
        assert set(counts) == set(relation.values)
        assert max(counts.values()) - min(counts.values()) <= 1


def test_no_name_holds_a_word_of_another_name_or_of_any_sentence() -> None:
    """A part of one name then teaches nothing of another."""
    names = [words_of(entity.name.removeprefix("the ")) for entity in larger_world(400, SEED).entities]
    assert all(len(words) == 1 for words in names)
    counts = Counter(words[0] for words in names)
    assert max(counts.values()) == 1
    own = {word for entity in load_world().entities for word in words_of(entity.name)}
    assert not (set(counts) - own) & set(load_world().vocabulary)


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


def test_no_page_is_refused_by_its_address() -> None:
    world = larger_world(400, SEED)
    addresses = [url for entity in world.entities for url in (pages.faq_url(entity), pages.entry_url(entity, 0))]
    assert [url for url in addresses if refuse_url(url, UrlRules())] == []


@pytest.mark.slow
def test_every_question_of_its_pages_is_mined_and_passes_the_rules() -> None:
    rules = QuestRules()
    html = dict(WorldQuestions(WORLD.digest, SEED).pages())
    assert len(html) == 160
    for entity in WORLD.entities:
        page = pages.faq_page(WORLD, entity, SEED)
        mined = {
            found.question: refuse_question(found, rules) for found in mine_questions(html[page.url], rules.patterns)
        }
        assert {question.question: mined.get(question.question, "missing") for question in page.questions} == {
            question.question: None for question in page.questions
        }


def test_an_entry_states_each_fact_once_and_its_editions_differ() -> None:
    for entity in WORLD.entities[::16]:
        editions = [pages.entry_page(WORLD, entity, SEED, edition).html for edition in range(3)]
        assert len(set(editions)) == 3
        for html in editions:
            words = Counter(words_of(html.split("<article>")[1].split("</article>")[0]))
            values = Counter(fact.value.lower() for fact in WORLD.facts_of(entity))
            assert {value: words[value] for value in values} == values


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
    for source in (WorldEntries("0" * 64, SEED, 1), WorldQuestions("0" * 64, SEED)):
        with pytest.raises(PreflightError, match="pages: the recipe's sample world"):
            list(source.pages())


@pytest.mark.parametrize(("entities", "words"), [(81, "equally many"), (1000, "there are 80 names")])
def test_a_size_that_there_are_not_enough_names_for_is_refused(entities: int, words: str) -> None:
    with pytest.raises(WorldError, match=words):
        larger_world(entities, SEED)
