"""contamination: benchmark questions that occur in the documents of a mix, the hits to read, and the clean questions.

Put here: going through the documents of a mix and counting. Do not put here: the search (text.contamination), or what
scores become without the hits (leaderboard).

Inputs: `mix`, and its roll-ups of token sets by the mix's own roles (`speech.0`, `text.0` and so on), of which the
documents that the mix draws are read. Output: metrics(Metric), hits(ContaminationHit), questions(QuestionOverlap), one
row a question text: the rows that are `clean` are the clean variant of the benchmark for models trained on the mix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pyarrow as pa

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stage_parts.document_texts import document_texts
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Int32, Metric, PackedRow, Question, SpokenQuestion
from spelangy_model.text.contamination import MAX_NGRAM_WORDS, MIN_NGRAM_WORDS, Overlap, QuestionIndex, longest_overlaps

VERSION = "5"
SOURCES = ("speech.", "text.")  # prefixes of the roles of a mix's token sets
SUBJECT = "mix"  # of the metrics; the leaderboard knows which run it is


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
    """How much of a benchmark question occurs in any document that a mix draws."""

    benchmark: str
    split: str
    text_id: Annotated[str, "the question's text, whatever its recordings"]
    question: str
    overlap_words: Annotated[Int32, "the longest run of words in a document of the mix; 0 for none of the n-grams"]
    whole: Annotated[bool, "the run is the whole question"]
    clean: Annotated[bool, "no n-gram of the smallest size, nor the whole of a shorter question, is in the mix"]


TABLES: dict[str, type] = {"metrics": Metric, "hits": ContaminationHit, "questions": QuestionOverlap}


Found = dict[str, tuple[str, Overlap]]  # question -> the document with its longest overlap, and that


@dataclass(frozen=True)
class Config:
    """The smallest and the largest n-gram that is counted, in words (the paper: 6 to 13)."""

    min_words: int = MIN_NGRAM_WORDS
    max_words: int = MAX_NGRAM_WORDS


KIND = DatasetKind(
    group="evals",
    description="N-grams of the benchmark questions that occur in {mix}, with the hits to read.",
    contract=contracts.METRICS,
    takes={
        "mix": PackedRow,
        "speech": ("speech_tokens", "conversation_tokens"),
        "text": "text_tokens",
        "questions": SpokenQuestion,
        "text_tokenizer": "text_tokenizer",
    },
    makes="contamination",
)


@word
def contamination(mix: Dataset, questions: Dataset, **options: Any) -> Dataset:
    """Return how much of the questions occurs in the documents of a mix; `options` are fields of Config."""
    sources = {role: one for role, one in mix.inputs.items() if role.startswith(SOURCES)}
    inputs = {"mix": mix, "questions": questions, "text_tokenizer": mix.inputs["text_tokenizer"], **sources}
    return dataset(__name__, config_of(Config, options), name=f"{mix.label}_contamination", inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit. A question text counts once."""
    questions = {row.text_id: row for row in ctx.inputs["questions"].records("questions", Question)}
    index = QuestionIndex({text_id: row.question for text_id, row in questions.items()}, config.min_words)
    for unit, _ in ctx.out.pending(["mix"]):
        with ctx.out.unit(unit) as out:
            found, documents = _search(ctx, index)
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


def drawn_documents(mix: Artifact) -> dict[str, set[str]]:
    """Return the ids of the documents in the rows of a mix, by the role of their source."""
    found: dict[str, set[str]] = {}
    for shard in mix.shards("rows"):
        spans = shard.table(["spans"]).column("spans").combine_chunks().flatten()
        pairs = pa.table({name: spans.field(name) for name in ("source", "document_id")}).group_by(
            ["source", "document_id"]
        )
        for row in pairs.aggregate([]).to_pylist():
            found.setdefault(row["source"], set()).add(row["document_id"])
    return found


def _search(ctx: StageContext, index: QuestionIndex) -> tuple[Found, int]:
    documents = 0

    def texts():
        nonlocal documents
        for role, drawn in sorted(drawn_documents(ctx.inputs["mix"]).items()):
            for document in document_texts(ctx, ctx.members[role], drawn):
                documents += 1
                yield document

    return longest_overlaps(index, texts()), documents


def _statuses(
    questions: Iterable[Question], index: QuestionIndex, overlaps: dict[str, Overlap]
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
    questions: dict[str, Question],
    index: QuestionIndex,
    overlaps: dict[str, Overlap],
    config: Config,
) -> list[Metric]:
    """Return, over all questions and by split, the share whose overlap has n words (of those that long), and wholly."""
    metrics = []
    splits = sorted({row.split for row in questions.values()})
    for name, chosen in [("all", set(questions)), *((split, _of_split(questions, split)) for split in splits)]:

        def share(what: str, texts: Sequence[str], hits: Callable[[str], bool], name: str = name) -> Metric:
            clusters = [questions[text_id].cluster_id for text_id in texts]
            return share_metric(SUBJECT, f"contamination.{name}.{what}", [hits(text_id) for text_id in texts], clusters)

        metrics.append(share("whole_question", sorted(chosen), lambda one: one in overlaps and overlaps[one].whole))
        for words in range(config.min_words, config.max_words + 1):
            long_enough = [text_id for text_id in sorted(chosen) if index.word_counts.get(text_id, 0) >= words]
            if long_enough:
                metrics.append(
                    share(
                        f"{words}gram",
                        long_enough,
                        lambda one, words=words: one in overlaps and overlaps[one].words >= words,
                    )
                )
    return metrics


def _of_split(questions: dict[str, Question], split: str) -> set[str]:
    return {text_id for text_id, row in questions.items() if row.split == split}


def share_metric(subject: str, metric: str, hits: Sequence[bool], clusters: Sequence[str]) -> Metric:
    """Return a share with its 95% interval; items of one cluster are not independent."""
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    found = mean_of(np.array(hits), np.array(clusters), fraction=True).interval
    return Metric(subject, metric, found.value, found.low, found.high, len(hits))
