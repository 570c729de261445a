"""Contaminated documents: training documents that hold a run of words of a benchmark question; mixes leave them out.

Put here: from token sets to contaminated documents. Do not put here: the search (text.contamination), the report of how
much of a benchmark occurs in the training texts (find_contamination), or leaving documents out (mix).

Inputs: `tokens` (a roll-up of token sets), `text_tokenizer`, `questions`. Output: contaminated(ContaminatedDocument),
each document once, with the longest run that it shares with any question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Annotated, Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.document_texts import document_texts
from spelangy_model.records import Int32, Question, SpokenQuestion
from spelangy_model.text.contamination import Overlap, QuestionIndex, comparable_words

VERSION = "2"
_DOCUMENTS_AT_ONCE = 2000


@dataclass(frozen=True, slots=True)
class ContaminatedDocument:
    """A document that holds a run of words of a benchmark question."""

    document_id: str
    text_id: Annotated[str, "the question with the longest run"]
    overlap_words: Int32
    overlap: Annotated[str, "the run, normalized"]


TABLES: dict[str, type] = {"contaminated": ContaminatedDocument}


@dataclass(frozen=True)
class Config:
    """A document is contaminated when it shares `min_words` words in a row with a question, one of the paper's 6 to 13.

    Shorter questions are not searched for: a few words occur in any text.
    """

    min_words: int = 8


CONTRACT = Contract(
    "contaminated",
    """
    SELECT (SELECT records_in FROM counts) AS documents,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted,
           count(*) - count(DISTINCT document_id) AS documents_named_twice,
           count(*) / (SELECT greatest(records_in, 1) FROM counts) AS share_contaminated
    FROM contaminated
    """,
    (
        Bound("documents", 1),
        exactly("unaccounted"),
        exactly("documents_named_twice"),
        Bound("share_contaminated", 0, 0.1, "warn"),
    ),
)

KIND = DatasetKind(
    group="corpora",
    description="Documents of {tokens} that hold words of a benchmark question; mixes leave them out.",
    contract=CONTRACT,
    takes={"tokens": ("speech_tokens", "text_tokens"), "questions": SpokenQuestion, "text_tokenizer": "text_tokenizer"},
)


@word
def contaminated(tokens: Dataset, questions: Dataset, text_tokenizer: Dataset, **options: Any) -> Dataset:
    """Return the documents of a roll-up of token sets that hold words of questions; `options` are fields of Config."""
    inputs = {"tokens": tokens, "questions": questions, "text_tokenizer": text_tokenizer}
    return dataset(__name__, config_of(Config, options), name=f"{tokens.label}_contaminated", inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    if config.min_words < 2:
        raise PreflightError(f"min_words is {config.min_words}: single words occur in every document; take 6 to 13")


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit."""
    questions = {row.text_id: row.question for row in ctx.inputs["questions"].records("questions", Question)}
    long = {text_id: text for text_id, text in questions.items() if len(comparable_words(text)) >= config.min_words}
    index = QuestionIndex(long, config.min_words)
    for unit, members in ctx.out.pending([ctx.members["tokens"]]):
        named: set[str] = set()  # a document may be in two snapshots
        found = 0
        with ctx.out.unit(unit) as out:
            documents = document_texts(ctx, members)
            while block := list(islice(documents, _DOCUMENTS_AT_ONCE)):
                rows = list(contaminated_documents(index, block))
                out.write("contaminated", [row for row in rows if row.document_id not in named])
                named |= {row.document_id for row in rows}
                out.read(len(block))
                out.kept(len(block) - len(rows))
                for _ in rows:
                    out.drop("contaminated")
                found += len(rows)
        ctx.log(f"{found} documents hold {config.min_words} words in a row of a question")


def contaminated_documents(
    index: QuestionIndex, documents: Sequence[tuple[str, str]]
) -> Iterator[ContaminatedDocument]:
    """Yield those of the (id, text) documents that share an n-gram of the index, with their longest run."""
    longest: dict[int, Overlap] = {}
    for number, overlap in index.hits([text for _, text in documents]):
        if number not in longest or overlap.words > longest[number].words:
            longest[number] = overlap
    for number, overlap in sorted(longest.items()):
        yield ContaminatedDocument(documents[number][0], overlap.question_id, overlap.words, overlap.text)
