"""contamination: benchmark questions that stand in the training texts, with the hits to read and what is left clean.

Put here: going through the token sets and counting. Do not put here: the search (text.contamination), or what scores
become without the hits (leaderboard).

Input: `tokens`, a roll-up of token sets. Output: metrics(Metric), hits(ContaminationHit), questions(QuestionOverlap),
one row a question text: the rows that are `clean` are the clean variant of the benchmark.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stage_parts.document_texts import document_texts
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Int32, Metric, SpokenQuestion
from spelangy_model.text.contamination import MAX_NGRAM_WORDS, MIN_NGRAM_WORDS, Overlap, QuestionIndex, longest_overlaps

VERSION = "3"
SUBJECT = "tokens"  # of the metrics; the leaderboard knows which token set it is


@dataclass(frozen=True, slots=True)
class ContaminationHit:
    """The longest run of words that a benchmark question shares with a training document."""

    benchmark: str
    split: str
    text_id: Annotated[str, "the question's text, whatever its recordings"]
    question: str
    overlap_words: Int32
    whole: Annotated[bool, "the run is the whole question"]
    document_id: Annotated[str, "the first training document that holds the longest run"]
    overlap: Annotated[str, "the run, normalized"]


@dataclass(frozen=True, slots=True)
class QuestionOverlap:
    """How much of a benchmark question stands in any training text."""

    benchmark: str
    split: str
    text_id: Annotated[str, "the question's text, whatever its recordings"]
    question: str
    overlap_words: Annotated[Int32, "the longest run of words in the token set; 0 for none of the n-grams"]
    whole: Annotated[bool, "the run is the whole question"]
    clean: Annotated[bool, "no n-gram of the smallest size, nor the whole of a shorter question, is in the token set"]


TABLES: dict[str, type] = {"metrics": Metric, "hits": ContaminationHit, "questions": QuestionOverlap}


Found = dict[str, tuple[str, Overlap]]  # question -> the document with its longest overlap, and that


@dataclass(frozen=True)
class Config:
    """The smallest and the largest n-gram that is counted, in words (the paper: 6 to 13)."""

    min_words: int = MIN_NGRAM_WORDS
    max_words: int = MAX_NGRAM_WORDS


KIND = DatasetKind(
    group="evals",
    description="N-grams of the benchmark questions that occur in {tokens}, with the hits to read.",
    contract=contracts.METRICS,
    takes={"tokens": ("speech_tokens", "text_tokens"), "questions": SpokenQuestion, "text_tokenizer": "text_tokenizer"},
    makes="contamination",
)


@word
def contamination(tokens: Dataset, questions: Dataset, text_tokenizer: Dataset, **options: Any) -> Dataset:
    """Return how much of the questions stands in a roll-up of token sets; `options` are fields of Config."""
    inputs = {"tokens": tokens, "questions": questions, "text_tokenizer": text_tokenizer}
    return dataset(__name__, Config(**options), name=f"{tokens.label}_contamination", inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit. A question text counts once."""
    questions = {row.text_id: row for row in ctx.inputs["questions"].records("questions", SpokenQuestion)}
    index = QuestionIndex({text_id: row.question for text_id, row in questions.items()}, config.min_words)
    for unit, members in ctx.out.pending([ctx.members["tokens"]]):
        with ctx.out.unit(unit) as out:
            found, documents = _search(ctx, index, members)
            overlaps = {text_id: overlap for text_id, (_, overlap) in found.items()}
            out.read(documents)
            out.kept(documents)
            out.write("metrics", _metrics(questions, index, overlaps, config))
            out.write(
                "hits",
                [
                    ContaminationHit(
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
            out.write("questions", _statuses(questions.values(), index, overlaps))
        ctx.log(f"{len(found)} of {len(questions)} questions in {documents} documents")


def _search(ctx: StageContext, index: QuestionIndex, members: list[Artifact]) -> tuple[Found, int]:
    documents = 0

    def texts():
        nonlocal documents
        for document in document_texts(ctx, members):
            documents += 1
            yield document

    return longest_overlaps(index, texts()), documents


def _statuses(
    questions: Iterable[SpokenQuestion], index: QuestionIndex, overlaps: dict[str, Overlap]
) -> list[QuestionOverlap]:
    return [
        QuestionOverlap(
            benchmark=row.benchmark,
            split=row.split,
            text_id=row.text_id,
            question=row.question,
            overlap_words=(words := overlaps[row.text_id].words if row.text_id in overlaps else 0),
            whole=words > 0 and words == index.word_counts[row.text_id],
            clean=words == 0,
        )
        for row in questions
    ]


def _metrics(
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
        metrics.append(share_metric(SUBJECT, f"contamination.{name}.whole_question", whole, len(chosen)))
        for words in range(config.min_words, config.max_words + 1):
            long_enough = [text_id for text_id in chosen if index.word_counts.get(text_id, 0) >= words]
            hits = sum(1 for text_id in long_enough if text_id in overlaps and overlaps[text_id].words >= words)
            if long_enough:
                metrics.append(share_metric(SUBJECT, f"contamination.{name}.{words}gram", hits, len(long_enough)))
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
