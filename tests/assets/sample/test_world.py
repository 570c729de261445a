"""The sample world: what its files promise, and that what is rendered from it honours the marks of the wordings."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from importlib import resources

import numpy as np
import pytest

from spelangy_assets.sample import render
from spelangy_assets.sample.sources import HELD_OUT, SampleWorld, SentenceKind, WorldSentences, WorldTexts
from spelangy_assets.sample.world import WorldError, fill, load_world, parse_world, words_of
from spelangy_assets.sources.questions import QuestionSource
from spelangy_assets.sources.texts import SentenceSource, SourceUnavailable, TextSource
from spelangy_model.rng import stable_hash

WORLD = load_world()
SEED = 3


@pytest.fixture(scope="module")
def conversations() -> list[list[tuple[str, str]]]:
    return [render.conversation(WORLD, SEED, index) for index in range(400)]


@pytest.fixture(scope="module")
def text_documents() -> list[str]:
    return [render.text_document(WORLD, SEED, index) for index in range(2000)]


def sentences_of(uses: tuple[str, ...], kinds: tuple[str, ...] = ("questions", "statements")) -> set[str]:
    """Every sentence that wordings of these marks can give."""
    return {
        fill(wording, fact.entity.name, fact.value)
        for fact in WORLD.facts
        for kind in kinds
        for wording in fact.relation.wordings(kind, *uses)  # type: ignore[arg-type]
    }


def test_the_world_has_the_promised_size() -> None:
    assert len(WORLD.entities) == 80
    assert len(WORLD.relations) == 5
    assert len(WORLD.facts) == 400
    assert {len(WORLD.entities_of(domain.name)) for domain in WORLD.domains} == {16}
    assert sum(domain.talk_percent for domain in WORLD.domains) == 100
    assert 300 < len(WORLD.vocabulary) <= 1500


def test_answers_are_one_plain_word_and_near_uniform() -> None:
    for relation in WORLD.relations:
        counts = Counter(fact.value for fact in WORLD.facts if fact.relation == relation)
        assert set(counts) == set(relation.values)
        assert len(relation.values) == 12
        assert max(counts.values()) - min(counts.values()) <= 1
        assert all(value.isascii() and value.isalpha() for value in relation.values)
    values = [value.lower() for relation in WORLD.relations for value in relation.values]
    assert len(set(values)) == len(values)
    assert not set(values) & {entity.slug for entity in WORLD.entities}


def test_each_relation_has_enough_wordings_with_each_mark() -> None:
    for relation in WORLD.relations:
        for kind in ("questions", "statements"):
            texts = relation.wordings(kind, "spoken", "text_only", "evaluation")
            assert len(texts) >= 8
            assert len(set(texts)) == len(texts)
        assert len(relation.wordings("questions", "spoken")) == 5
        assert len(relation.wordings("questions", "text_only")) >= 2
        assert len(relation.wordings("questions", "evaluation")) >= 1
        openings = {
            text.split()[0].lower() for text in relation.wordings("questions", "spoken", "text_only", "evaluation")
        }
        assert openings <= {"what", "which", "where", "who", "whose", "how"}
        assert all(text.endswith("?") for text in relation.wordings("questions", "spoken", "text_only", "evaluation"))
        assert all(text.endswith(".") for text in relation.wordings("statements", "spoken", "text_only"))


def test_no_two_facts_share_a_question() -> None:
    questions = [
        render.ask(fact, wording)
        for fact in WORLD.facts
        for wording in fact.relation.wordings("questions", "spoken", "text_only", "evaluation")
    ]
    assert len(set(questions)) == len(questions)


def test_talk_uses_spoken_wordings_only(conversations: list[list[tuple[str, str]]]) -> None:
    spoken = {sentence for talk in conversations for _, sentence in talk}
    assert not spoken & sentences_of(("text_only", "evaluation"))
    assert len(spoken & sentences_of(("spoken",), ("statements",))) > 1000


def test_the_text_corpus_holds_all_wordings_but_those_of_the_evaluation(text_documents: list[str]) -> None:
    written = {sentence for document in text_documents for sentence in re.split(r"(?<=[.?]) ", document)}
    assert not written & sentences_of(("evaluation",))
    questions = sentences_of(("spoken", "text_only"), ("questions",))
    assert len(written & questions) > 0.9 * len(questions)


def test_a_text_document_answers_its_questions_right(text_documents: list[str]) -> None:
    truth = {
        render.ask(fact, wording): render.answer_sentence(WORLD, fact)
        for fact in WORLD.facts
        for wording in fact.relation.wordings("questions", "spoken", "text_only")
    }
    checked = 0
    for document in text_documents[:300]:
        parts = document.split("? ")
        for before, after in itertools.pairwise(parts):
            question = before.rpartition(". ")[2] + "?"
            assert truth[question] in after.partition("?")[0]
            checked += 1
    assert checked > 500


def test_talk_is_skewed_over_domains_and_alternates_between_two_speakers(
    conversations: list[list[tuple[str, str]]],
) -> None:
    names = {entity.name: entity.domain for entity in WORLD.entities}
    domains: Counter[str] = Counter()
    for talk in conversations:
        assert len(talk) == render.CONVERSATION_SENTENCES
        assert {speaker for speaker, _ in talk} == {"A", "B"}
        text = " " + " ".join(sentence for _, sentence in talk)
        found = {domain for name, domain in names.items() if name.removeprefix("the ") in words_and_names(text)}
        assert len(found) == 1
        domains[found.pop()] += 1
    for domain in WORLD.domains:
        assert domains[domain.name] / len(conversations) == pytest.approx(domain.talk_percent / 100, abs=0.08)


def words_and_names(text: str) -> set[str]:
    return {word.strip(".,?") for word in text.split()}


def test_about_a_third_of_the_talk_states_no_fact(conversations: list[list[tuple[str, str]]]) -> None:
    remarks = {remark for entries in WORLD.remarks.values() for remark in entries}
    talk = [sentence for conversation in conversations for _, sentence in conversation]
    assert 0.2 < np.mean([sentence in remarks for sentence in talk]) < 0.4


def test_benchmark_questions_cover_every_fact_in_every_split() -> None:
    questions = render.benchmark_questions(WORLD, SEED)
    assert len(questions) == 3 * len(WORLD.facts)
    assert len({question.text_id for question in questions}) == len(questions)
    truth = {(fact.entity.name, fact.relation.name): fact for fact in WORLD.facts}
    marks = {"seen_wording": "spoken", "text_only_wording": "text_only", "new_wording": "evaluation"}
    for question in questions:
        fact = truth[question.entity, question.relation]
        assert question.options[question.answer_index] == fact.value
        assert len(set(question.options)) == 4
        assert set(question.options) <= set(fact.relation.values)
        wordings = fact.relation.wordings("questions", marks[question.split])  # type: ignore[arg-type]
        assert question.question in {render.ask(fact, wording) for wording in wordings}
        if question.split == "seen_wording":
            assert question.question in render.faq_questions(WORLD, fact)
    positions = Counter(question.answer_index for question in questions)
    assert set(positions.values()) == {len(questions) // 4}


def test_an_option_of_the_benchmark_is_right_in_one_of_the_four_questions_that_offer_it() -> None:
    blocks: dict[frozenset[str], list[str]] = {}
    for question in render.benchmark_questions(WORLD, SEED):
        blocks.setdefault(frozenset(question.options), []).append(question.options[question.answer_index])
    for options, answers in blocks.items():
        assert Counter(answers) == dict.fromkeys(options, len(answers) // 4)


def test_each_spoken_wording_is_asked_about_equally_often() -> None:
    for relation in WORLD.relations:
        counts = Counter(
            next(w for w in relation.wordings("questions", "spoken") if render.ask(fact, w) == question)
            for fact in WORLD.facts
            if fact.relation == relation
            for question in render.faq_questions(WORLD, fact)
        )
        assert set(counts.values()) == {48}


def test_word_salad_deals_the_whole_vocabulary_evenly() -> None:
    words = [word for index in range(700) for word in words_of(render.word_salad(WORLD, SEED, index))]
    counts = Counter(words)
    assert set(counts) == set(WORLD.vocabulary)
    assert max(counts.values()) - min(counts.values()) <= 1
    assert words[:100] != sorted(words[:100])


def test_rendering_depends_on_seed_and_index_alone() -> None:
    for function in (render.conversation, render.text_document, render.word_salad):
        assert function(WORLD, SEED, 5) == function(WORLD, SEED, 5)
        assert function(WORLD, SEED, 5) != function(WORLD, SEED + 1, 5)
        assert function(WORLD, SEED, 5) != function(WORLD, SEED, 6)
    assert render.benchmark_questions(WORLD, SEED) == render.benchmark_questions(WORLD, SEED)
    assert render.benchmark_questions(WORLD, SEED) != render.benchmark_questions(WORLD, SEED + 1)


def test_turns_are_as_long_as_they_are_asked_to_be_and_say_the_same() -> None:
    short, long = (render.conversation(WORLD, SEED, 3, turns) for turns in ((1, 1), (5, 5)))
    assert [sentence for _, sentence in short] == [sentence for _, sentence in long]
    assert [len(list(turn)) for _, turn in itertools.groupby(speaker for speaker, _ in short)] == [1] * 16
    assert [len(list(turn)) for _, turn in itertools.groupby(speaker for speaker, _ in long)] == [5, 5, 5, 1]


# --- behind the protocols of real sources -------------------------------------------------------------------------


def test_texts_are_documents_and_then_talks_from_the_first_number_on() -> None:
    texts = list(WorldTexts(world=WORLD.digest, seed=SEED, documents=2, talks=1, first=7).texts())
    talk = " ".join(sentence for _, sentence in render.conversation(WORLD, SEED, 7))
    assert texts == [render.text_document(WORLD, SEED, 7), render.text_document(WORLD, SEED, 8), talk]
    held_out = WorldTexts(world=WORLD.digest, seed=SEED, documents=50, first=HELD_OUT)
    assert not set(held_out.texts()) & set(WorldTexts(world=WORLD.digest, seed=SEED, documents=500).texts())


@pytest.mark.parametrize("kind", ["word_salad", "talk", "questions"])
def test_the_first_sentences_of_a_kind_stay_when_more_are_asked_for(kind: SentenceKind) -> None:
    few, many = (
        list(WorldSentences(world=WORLD.digest, seed=SEED, kind=kind, count=count).sentences()) for count in (5, 20)
    )
    assert (len(few), many[:5]) == (5, few)
    assert [sentence.url for sentence in few] == [f"sample-world:{kind}/{index}" for index in range(5)]
    ids = [stable_hash("tokenizer_speech", WORLD.digest, SEED, kind, index) for index in range(20)]
    assert [sentence.sentence_id for sentence in many] == ids
    assert {sentence.source_id for sentence in many} == {WORLD.digest}


def test_a_thinned_benchmark_is_spread_over_its_splits_and_entities() -> None:
    whole, dropped = SampleWorld(world=WORLD.digest).read(SEED, {})
    assert (len(whole), dropped) == (len(render.benchmark_questions(WORLD, SEED)), {})
    few, _ = SampleWorld(world=WORLD.digest, name="few", max_questions_per_split=30).read(SEED, {})
    assert Counter(question.split for question in few) == dict.fromkeys({one.split for one in whole}, 30)
    for split in {question.split for question in few}:
        ids = [question.text_id for question in whole if question.split == split]
        gaps = np.diff([ids.index(question.text_id) for question in few if question.split == split])
        assert gaps.max() - gaps.min() <= 1
    half = SampleWorld(world=WORLD.digest, max_questions_per_split=200).read(SEED, {})[0]
    assert {question.relation for question in half} == {question.relation for question in whole}
    assert {question.benchmark for question in few} == {"few"}
    assert {question.text_id for question in few} < {question.text_id for question in whole}
    more = SampleWorld(world=WORLD.digest, max_questions_per_split=10**6).read(SEED, {})[0]
    assert Counter(more) == Counter(whole)


@pytest.mark.parametrize(
    "check",
    [
        WorldTexts(world="0" * 64, seed=0).check,
        WorldSentences(world="0" * 64, seed=0, kind="talk", count=1).check,
        partial(SampleWorld(world="0" * 64).check, {}),
    ],
)
def test_a_world_that_is_not_installed_is_named_by_every_source(check: Callable[[], None]) -> None:
    with pytest.raises(SourceUnavailable, match="state the installed one"):
        check()


def test_the_sources_fit_their_protocols() -> None:
    assert isinstance(WorldTexts(world="", seed=0), TextSource)
    assert isinstance(WorldSentences(world="", seed=0, kind="talk", count=1), SentenceSource)
    assert isinstance(SampleWorld(world=""), QuestionSource)


def test_contradictions_in_the_files_are_named() -> None:
    folder = resources.files("spelangy_assets.sample")
    facts = json.loads((folder / "facts.json").read_text())
    phrasings = json.loads((folder / "phrasings.json").read_text())
    assert parse_world(facts, phrasings, "x").facts == WORLD.facts

    wrong = json.loads(json.dumps(facts))
    wrong["entities"][0]["facts"]["home"] = "Atlantis"
    with pytest.raises(WorldError, match=r"Velvet.*Atlantis.*home"):
        parse_world(wrong, phrasings, "x")

    wrong = json.loads(json.dumps(phrasings))
    wrong["relations"]["home"]["questions"][0]["text"] = "Where is it?"
    with pytest.raises(WorldError, match="Where is it"):
        parse_world(facts, wrong, "x")

    wrong = json.loads(json.dumps(phrasings))
    wrong["relations"]["home"]["questions"][0]["use"] = "whispered"
    with pytest.raises(WorldError, match="whispered"):
        parse_world(facts, wrong, "x")
