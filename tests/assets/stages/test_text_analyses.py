"""Contamination and topics over token sets that were made from known texts."""

from __future__ import annotations

from typing import Any

import pytest

from spelangy_assets.execution.stage import InputError, PreflightError
from spelangy_assets.quality import contracts
from spelangy_assets.stages import cover_topics, find_contaminated, find_contamination
from spelangy_model.records import Audio, Metric, SpokenQuestion, TokenChunk, TokenDocument
from spelangy_model.text.contamination import QuestionIndex, comparable_words
from spelangy_model.text.topics import Topic

RIVER = "Which river flows through the capital of the country?"
QUESTIONS = {"heard": [RIVER, "Who named Velvet?"], "new": ["What color is the second mill in the old town?"]}
TEXTS = {
    "web_tokens": [["The team won the match.", "The runner broke the record."], ["A band plays a song on stage."]],
    "quest_tokens": [[RIVER, "The answer is Nile."], ["Somebody asked who named Velvet."]],
}


def question(split: str, text: str, voice: str) -> SpokenQuestion:
    return SpokenQuestion(
        f"{text}{voice}", text, "facts", split, text, text, voice, "en-us", ["a", "b", "c", "d"], 0, "r", Audio(b"", "")
    )


@pytest.fixture
def analysis(toys, store):
    """Returns a function that builds an analysis stage over two roll-ups, a tokenizer and a benchmark."""
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
    for index, node in enumerate(nodes):
        assert toys.build(store, node, *nodes[:index]).verdict.passed

    def build(module: Any, config: Any, contract: Any = contracts.METRICS, **inputs: str):
        roles = {name: f"{name}_corpus" for name in TEXTS} | {"text_tokenizer": "text_tokenizer", "questions": "sqa"}
        node = toys.node("analysis", stage=module, config=config, contract=contract, inputs={**roles, **inputs})
        built = toys.build(store, node, *nodes)
        assert built.verdict.passed, built.verdict
        return built.artifact

    return build


ANY = contracts.Contract("any", "SELECT 1 AS one", (contracts.Bound("one", 1, 1),))


def values(artifact) -> dict[tuple[str, str], Metric]:
    return {(row.subject, row.metric): row for row in artifact.records("metrics", Metric)}


def test_hits_are_found_through_the_tokens_and_counted_by_text(analysis):
    artifact = analysis(find_contamination, find_contamination.Config())
    metrics = values(artifact)
    six = metrics["quest_tokens", "contamination.all.6gram"]
    assert (six.value, six.count) == (0.5, 2)  # of two texts of six words or more, whatever their recordings
    assert 0 < six.low < 0.5 < six.high < 1
    assert metrics["quest_tokens", "contamination.heard.whole_question"].value == 1.0
    assert metrics["quest_tokens", "contamination.new.6gram"].value == 0.0
    assert metrics["web_tokens", "contamination.all.whole_question"].value == 0.0
    assert ("quest_tokens", "contamination.all.13gram") not in metrics  # no question is that long
    hits = list(artifact.records("hits", find_contamination.ContaminationHit))
    assert {(hit.subject, hit.question, hit.overlap_words, hit.whole, hit.document_id) for hit in hits} == {
        ("quest_tokens", RIVER, 9, True, "quest_tokens0"),
        ("quest_tokens", "Who named Velvet?", 3, True, "quest_tokens1"),
    }


def test_what_no_token_set_holds_is_the_clean_benchmark(analysis):
    rows = list(
        analysis(find_contamination, find_contamination.Config()).records(
            "questions", find_contamination.QuestionOverlap
        )
    )
    assert {(row.question, row.overlap_words, row.whole, row.clean) for row in rows} == {
        (RIVER, 9, True, False),
        ("Who named Velvet?", 3, True, False),
        (QUESTIONS["new"][0], 0, False, True),
    }


def test_documents_that_hold_a_run_of_a_question_are_named_for_the_mixes(analysis):
    long = analysis(find_contaminated, find_contaminated.Config(min_words=9), contract=contracts.CONTAMINATED)
    rows = [
        (row.source, row.document_id, row.text_id, row.overlap_words)
        for row in long.records("contaminated", find_contaminated.ContaminatedDocument)
    ]
    assert rows == [("quest_tokens", "quest_tokens0", RIVER, 9)]
    assert long.manifest.counts.dropped == {"contaminated": 1}
    short = analysis(find_contaminated, find_contaminated.Config(min_words=3), contract=contracts.CONTAMINATED)
    named = {row.document_id for row in short.records("contaminated", find_contaminated.ContaminatedDocument)}
    assert named == {"quest_tokens0", "quest_tokens1"}


@pytest.mark.parametrize("words", range(6, 14))
def test_a_planted_run_of_each_length_is_found_and_one_word_less_is_not(words: int):
    question = "in which year did the very old stone bridge over the 3rd river of Velvet fall down"
    index = QuestionIndex({"q": question}, words)
    run = " ".join(comparable_words(question)[1 : 1 + words])
    planted = [("hit", f"He asked: {run.upper()}, they said."), ("miss", f"{run.rsplit(' ', 1)[0]} nothing else")]
    found = list(find_contaminated.contaminated_documents("set", index, planted))
    assert [(row.document_id, row.overlap_words) for row in found] == [("hit", words)]


@pytest.mark.slow
def test_topics_are_counted_and_sets_compared(analysis):
    topics = (
        Topic("sport", ("The team won.", "She ran a record.")),
        Topic("music", ("The band plays.", "A song on stage.")),
        Topic("geography", ("The river and the capital of a country.",)),
    )
    metrics = values(analysis(cover_topics, cover_topics.Config(topics=topics)))
    assert metrics["web_tokens", "topic.sport.share"].value == 0.5
    assert metrics["web_tokens", "topic.music.share"].value == 0.5
    assert metrics["web_tokens", "topic.sport.share"].count == 2
    assert sum(metrics["questions", f"topic.{topic.name}.share"].value for topic in topics) == pytest.approx(1)
    assert 0 < metrics["quest_tokens", "topic.distance_to.web_tokens"].value <= 1
    once = values(analysis(cover_topics, cover_topics.Config(topics=topics, max_documents=1)))
    assert once["web_tokens", "topic.sport.share"].count == 1


def test_a_classifier_that_is_not_there_is_named_before_work_starts(execution, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(PreflightError, match="hf download some/classifier"):
        cover_topics.preflight(cover_topics.Config(classifier="some/classifier"), execution)
    with pytest.raises(PreflightError, match="no Hugging Face model"):
        cover_topics.preflight(cover_topics.Config(classifier=str(tmp_path)), execution)


def test_an_analysis_without_token_sets_says_so(toys, store):
    node = toys.node(
        "analysis", stage=find_contamination, config=find_contamination.Config(), contract=contracts.METRICS,
        inputs={"questions": "sqa"},
    )  # fmt: skip

    def write_questions(ctx, config):
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                out.write("questions", [question("heard", RIVER, "v")])

    stage = toys.make_stage(write_questions, {"questions": SpokenQuestion})
    sqa = toys.node("sqa", stage=stage, config=toys.NoConfig(), contract=ANY)
    toys.build(store, sqa)
    with pytest.raises(InputError, match="at least one roll-up"):
        toys.build(store, node, sqa)
