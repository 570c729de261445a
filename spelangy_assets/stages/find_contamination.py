"""contamination: benchmark questions that stand in the training texts, with the hits to read.

Put here: going through the token sets and counting. Do not put here: the search (text.contamination), or what scores
become without the hits (evaluate).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from spelangy_assets.stages.document_texts import corpora, document_texts
from spelangy_assets.stages.stage import Execution, StageContext
from spelangy_model.records import Int32, Metric, SpokenQuestion
from spelangy_model.text.contamination import MAX_NGRAM_WORDS, MIN_NGRAM_WORDS, Overlap, QuestionIndex, longest_overlaps

VERSION = "1"


@dataclass(frozen=True, slots=True)
class ContaminationHit:
    """The longest run of words that a benchmark question shares with a training document."""

    subject: Annotated[str, "the token set"]
    benchmark: str
    split: str
    text_id: Annotated[str, "the question's text, whatever its recordings"]
    question: str
    overlap_words: Int32
    whole: Annotated[bool, "the run is the whole question"]
    document_id: Annotated[str, "the first training document that holds the longest run"]
    overlap: Annotated[str, "the run, normalized"]


TABLES: dict[str, type] = {"metrics": Metric, "hits": ContaminationHit}


@dataclass(frozen=True)
class Config:
    """The smallest and the largest n-gram that is counted, in words (the paper: 6 to 13)."""

    min_words: int = MIN_NGRAM_WORDS
    max_words: int = MAX_NGRAM_WORDS


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a token set. Every question text counts once, however often it was recorded."""
    questions = {row.text_id: row for row in ctx.inputs["questions"].records("questions", SpokenQuestion)}
    index = QuestionIndex({text_id: row.question for text_id, row in questions.items()}, config.min_words)
    for unit, (subject, members) in ctx.out.pending(corpora(ctx)):
        with ctx.out.unit(unit) as out:
            documents = 0

            def texts(members=members):
                nonlocal documents
                for document in document_texts(ctx, members):
                    documents += 1
                    yield document

            found = longest_overlaps(index, texts())
            overlaps = {text_id: overlap for text_id, (_, overlap) in found.items()}
            out.read(documents)
            out.kept(documents)
            out.write("metrics", _metrics(subject, questions, index, overlaps, config))
            out.write(
                "hits",
                [
                    ContaminationHit(
                        subject=subject,
                        benchmark=questions[text_id].benchmark,
                        split=questions[text_id].split,
                        text_id=text_id,
                        question=questions[text_id].question,
                        overlap_words=overlap.words,
                        whole=overlap.whole,
                        document_id=document_id,
                        overlap=overlap.text,
                    )
                    for text_id, (document_id, overlap) in sorted(found.items())
                ],
            )


def _metrics(
    subject: str,
    questions: dict[str, SpokenQuestion],
    index: QuestionIndex,
    overlaps: dict[str, Overlap],
    config: Config,
) -> list[Metric]:
    """Return, over all questions and by split, the share whose overlap has n words (of those that long), and wholly."""
    metrics = []
    splits = sorted({row.split for row in questions.values()})
    for name, chosen in [("all", set(questions)), *((split, _of_split(questions, split)) for split in splits)]:
        whole = sum(1 for text_id in chosen if text_id in overlaps and overlaps[text_id].whole)
        metrics.append(share_metric(subject, f"contamination.{name}.whole_question", whole, len(chosen)))
        for words in range(config.min_words, config.max_words + 1):
            long_enough = [text_id for text_id in chosen if index.word_counts.get(text_id, 0) >= words]
            hits = sum(1 for text_id in long_enough if text_id in overlaps and overlaps[text_id].words >= words)
            if long_enough:
                metrics.append(share_metric(subject, f"contamination.{name}.{words}gram", hits, len(long_enough)))
    return metrics


def _of_split(questions: dict[str, SpokenQuestion], split: str) -> set[str]:
    return {text_id for text_id, row in questions.items() if row.split == split}


def share_metric(subject: str, metric: str, hits: int, count: int) -> Metric:
    """Return a share with its 95% Wilson interval."""
    from scipy.stats import binomtest

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    value = hits / count
    # at 0 and 1 the interval's end is the value itself but for the last bit
    return Metric(subject, metric, value, min(float(interval.low), value), max(float(interval.high), value), count)
