"""Contamination and topics over token sets that were made from known texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages import cover_topics, find_contaminated, find_contamination
from spelangy_assets.stages.roll_up import corpus
from spelangy_model.records import Audio, Metric, PackedRow, RowSpan, SpokenQuestion, TokenChunk, TokenDocument
from spelangy_model.text.contamination import QuestionIndex, comparable_words
from spelangy_model.text.topics import Topic

RIVER = "Which river flows through the capital of the country?"
QUESTIONS = {"seen": [RIVER, "Who named Velvet?"], "new": ["What color is the second mill in the old town?"]}
TEXTS = {
    "web_tokens": [["The team won the match.", "The runner broke the record."], ["A band plays a song on stage."]],
    "quest_tokens": [[RIVER, "The answer is Nile."], ["Somebody asked who named Velvet."]],
}


def question(split: str, text: str, voice: str) -> SpokenQuestion:
    return SpokenQuestion(
        f"{text}{voice}",
        text,
        text,
        "facts",
        split,
        text,
        text,
        voice,
        "en-us",
        ["a", "b", "c", "d"],
        0,
        "r",
        Audio(b"", ""),
    )


@pytest.fixture
def analysis(toys, store):
    """Returns a function that builds an analysis stage over a roll-up of tokens, a tokenizer and a benchmark."""
    pytest.importorskip("tokenizers")
    from spelangy_model.tokenizer.text import encode_texts, save_text_tokenizer, train_text_tokenizer

    every = [text for documents in TEXTS.values() for document in documents for text in document]
    tokenizer = train_text_tokenizer(every, 300)

    def write_tokenizer(ctx, config):
        save_text_tokenizer(tokenizer, ctx.out.scratch)
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                out.write_folder(ctx.out.scratch)

    def write_tokens(name):
        def write(ctx, config):
            for unit, document in ctx.out.pending(TEXTS[name]):
                with ctx.out.unit(unit) as out:
                    chunks = [TokenChunk("speech", [], ids) for ids in encode_texts(tokenizer, document)]
                    out.write("documents", [TokenDocument(f"{name}{unit}", "s", "u", "l", chunks)])

        return write

    def write_mix(documents):
        def write(ctx, config):
            for unit, _ in ctx.out.pending([0]):
                with ctx.out.unit(unit) as out:
                    spans = [RowSpan(one, source, "s", 0, 0, 1, 0) for source, one in documents]
                    out.write("rows", [PackedRow(0, "text", [0], [0], [1], spans)])

        return write

    def write_questions(ctx, config):
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                rows = [
                    question(split, text, voice)
                    for split, texts in QUESTIONS.items()
                    for text in texts
                    for voice in ("v1", "v2")
                ]
                out.write("questions", rows)

    def stage(run, tables):
        return {"stage": toys.make_stage(run, tables), "config": toys.NoConfig()}

    nodes = [
        toys.node("text_tokenizer", **stage(write_tokenizer, {}), contract=contracts.FILES),
        toys.node("sqa", **stage(write_questions, {"questions": SpokenQuestion}), contract=ANY),
    ]
    for name in TEXTS:
        nodes.append(toys.node(name, **stage(write_tokens(name), {"documents": TokenDocument}), contract=ANY))
        nodes.append(toys.roll_up(f"{name}_corpus", (name, None)))
    for name, documents in MIXES.items():
        nodes.append(toys.node(name, **stage(write_mix(documents), {"rows": PackedRow}), contract=ANY))
    for index, node in enumerate(nodes):
        assert toys.build(store, node, *nodes[:index]).verdict.passed

    def build(module: Any, config: Any, **inputs: str):
        kind = module.KIND
        name = f"analysis_of_{next(iter(inputs.values()))}"
        inputs |= {role: asset for role, asset in SHARED.items() if role in kind.takes}
        node = toys.node(name, stage=module, config=config, contract=kind.contract, inputs=inputs)
        built = toys.build(store, node, *nodes)
        assert built.verdict.passed, built.verdict
        return built.artifact

    return build


# mixes, by the documents that they draw
MIXES = {
    "mix_quest": [("speech.0", "quest_tokens0"), ("speech.0", "quest_tokens1")],
    "mix_half": [("speech.0", "quest_tokens1"), ("speech.0", "quest_tokens1")],
    "mix_web": [("speech.0", "web_tokens0"), ("speech.0", "quest_tokens0")],
}
SHARED = {"text_tokenizer": "text_tokenizer", "questions": "sqa"}
ANY = Contract("any", "SELECT 1 AS one", (Bound("one", 1, 1),))


def of_mix(mix: str, tokens: str) -> dict[str, str]:
    return {"mix": mix, "speech.0": f"{tokens}_corpus"}


def values(artifact) -> dict[str, Metric]:
    rows = list(artifact.records("metrics", Metric))
    assert len({row.subject for row in rows}) == 1
    return {row.metric: row for row in rows}


def test_hits_are_found_through_the_tokens_and_counted_by_text(analysis):
    artifact = analysis(find_contamination, find_contamination.Config(), **of_mix("mix_quest", "quest_tokens"))
    metrics = values(artifact)
    six = metrics["contamination.all.6gram"]
    assert (six.subject, six.value, six.count) == ("mix", 0.5, 2)  # of two texts of six words, however recorded
    assert 0 < six.low < 0.5 < six.high < 1
    assert metrics["contamination.seen.whole_question"].value == 1.0
    assert metrics["contamination.new.6gram"].value == 0.0
    assert "contamination.all.13gram" not in metrics  # no question is that long
    hits = list(artifact.records("hits", find_contamination.ContaminationHit))
    assert {(hit.question, hit.overlap_words, hit.whole, hit.document_id) for hit in hits} == {
        (RIVER, 9, True, "quest_tokens0"),
        ("Who named Velvet?", 3, True, "quest_tokens1"),
    }


def test_a_mix_is_searched_in_what_it_draws_of_each_source(analysis):
    half = analysis(find_contamination, find_contamination.Config(), **of_mix("mix_half", "quest_tokens"))
    hits = half.records("hits", find_contamination.ContaminationHit)
    assert {hit.question for hit in hits} == {"Who named Velvet?"}
    assert half.manifest.counts.records_in == 1
    artifact = analysis(find_contamination, find_contamination.Config(), **of_mix("mix_web", "web_tokens"))
    assert values(artifact)["contamination.all.whole_question"].value == 0.0
    assert list(artifact.records("hits", find_contamination.ContaminationHit)) == []
    rows = list(artifact.records("questions", find_contamination.QuestionOverlap))
    assert len(rows) == 3
    assert all(row.clean for row in rows)


def test_what_the_mix_does_not_hold_is_the_clean_benchmark(analysis):
    artifact = analysis(find_contamination, find_contamination.Config(), **of_mix("mix_quest", "quest_tokens"))
    rows = list(artifact.records("questions", find_contamination.QuestionOverlap))
    assert {(row.question, row.overlap_words, row.whole, row.clean) for row in rows} == {
        (RIVER, 9, True, False),
        ("Who named Velvet?", 3, True, False),
        (QUESTIONS["new"][0], 0, False, True),
    }


def test_documents_that_hold_a_run_of_a_question_are_named_for_the_mixes(analysis):
    long = analysis(find_contaminated, find_contaminated.Config(min_words=9), tokens="quest_tokens_corpus")
    rows = [
        (row.document_id, row.text_id, row.overlap_words)
        for row in long.records("contaminated", find_contaminated.ContaminatedDocument)
    ]
    assert rows == [("quest_tokens0", RIVER, 9)]
    assert long.manifest.counts.dropped == {"contaminated": 1}
    short = analysis(find_contaminated, find_contaminated.Config(min_words=3), tokens="quest_tokens_corpus")
    named = {row.document_id for row in short.records("contaminated", find_contaminated.ContaminatedDocument)}
    assert named == {"quest_tokens0", "quest_tokens1"}
    other = analysis(find_contaminated, find_contaminated.Config(min_words=3), tokens="web_tokens_corpus")
    assert list(other.records("contaminated", find_contaminated.ContaminatedDocument)) == []


@pytest.mark.parametrize("words", range(6, 14))
def test_a_planted_run_of_each_length_is_found_and_one_word_less_is_not(words: int):
    question = "in which year did the very old stone bridge over the 3rd river of Velvet fall down"
    index = QuestionIndex({"q": question}, words)
    run = " ".join(comparable_words(question)[1 : 1 + words])
    planted = [("hit", f"He asked: {run.upper()}, they said."), ("miss", f"{run.rsplit(' ', 1)[0]} nothing else")]
    found = list(find_contaminated.contaminated_documents(index, planted))
    assert [(row.document_id, row.overlap_words) for row in found] == [("hit", words)]


@pytest.mark.slow
def test_the_topics_of_a_token_set_and_of_questions_are_counted(analysis):
    topics = (
        Topic("sport", ("The team won.", "She ran a record.")),
        Topic("music", ("The band plays.", "A song on stage.")),
        Topic("geography", ("The river and the capital of a country.",)),
    )
    config = cover_topics.Config(topics=topics)
    web = values(analysis(cover_topics, config, texts="web_tokens_corpus"))
    assert web["topic.sport.share"].value == 0.5
    assert web["topic.music.share"].value == 0.5
    assert (web["topic.sport.share"].subject, web["topic.sport.share"].count) == ("texts", 2)
    asked = values(analysis(cover_topics, config, texts="sqa"))
    assert sum(asked[f"topic.{topic.name}.share"].value for topic in topics) == pytest.approx(1)
    assert asked["topic.sport.share"].count == 3  # texts, however recorded
    once = analysis(cover_topics, cover_topics.Config(topics=topics, max_documents=1), texts="web_tokens_corpus")
    assert values(once)["topic.sport.share"].count == 1
    assert once.manifest.counts.dropped == {"not_sampled": 1}


class Alternates:
    """A classifier that counts: the first text is of one topic, the next of the other."""

    names = ("odd", "even")

    def classify(self, texts):
        return [self.names[index % 2] for index, _ in enumerate(texts)]


def test_questions_of_several_benchmarks_are_counted_together_and_each_for_itself(toys, store, monkeypatch):
    def write_questions(ctx, config):
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                rows = [question("seen", text, voice) for text in ("a", "b", "c") for voice in ("v1", "v2")]
                out.write("questions", [*rows, replace(question("seen", "d", "v1"), benchmark="more")])

    stage = toys.make_stage(write_questions, {"questions": SpokenQuestion})
    sqa = toys.node("sqa", stage=stage, config=toys.NoConfig(), contract=ANY)
    toys.build(store, sqa)
    monkeypatch.setattr(cover_topics, "_classifier", lambda config, device: Alternates())
    monkeypatch.setattr(cover_topics, "preflight", lambda config, execution: None)
    contract = cover_topics.KIND.contract
    node = toys.node(
        "topics", stage=cover_topics, config=cover_topics.Config(), contract=contract, inputs={"texts": "sqa"}
    )
    built = toys.build(store, node, sqa)
    counted = {(row.subject, row.metric): (row.value, row.count) for row in built.artifact.records("metrics", Metric)}
    assert counted == {
        ("texts", "topic.odd.share"): (0.5, 4),
        ("texts", "topic.even.share"): (0.5, 4),
        ("facts", "topic.odd.share"): (2 / 3, 3),
        ("facts", "topic.even.share"): (1 / 3, 3),
        ("more", "topic.odd.share"): (1.0, 1),
        ("more", "topic.even.share"): (0.0, 1),
    }
    assert (built.artifact.manifest.counts.records_in, built.artifact.manifest.counts.records_kept) == (4, 4)


def test_a_classifier_that_is_not_there_is_named_before_work_starts(execution, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PreflightError, match="hf download some/classifier"):
        cover_topics.preflight(cover_topics.Config(classifier="some/classifier"), execution)
    with pytest.raises(PreflightError, match="no Hugging Face model"):
        cover_topics.preflight(cover_topics.Config(classifier=str(tmp_path)), execution)


def test_an_analysis_of_what_is_no_token_set_is_refused_when_the_recipe_is_read():
    pages, questions, tokenizer = SAMPLE["raw_pages"], SAMPLE["sqa_benchmarks"], SAMPLE["text_tokenizer"]
    documents = corpus(SAMPLE["text_documents"])
    for refused in (pages, documents, questions):
        with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: \w+: tokens takes speech tokens or text"):
            find_contaminated.contaminated(refused, questions, tokenizer)
    with pytest.raises(RecipeError, match="questions takes SpokenQuestion, but text_corpus is text tokens"):
        find_contamination.contamination(SAMPLE["mix_fine"], SAMPLE["text_corpus"])
