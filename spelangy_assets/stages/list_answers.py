"""The answers that the questions of a benchmark accept, for judging answers in words.

Put here: the list. Do not put here: questions as sound (stages/write_benchmark.py) or judging
(stages/judge_answers.py). A dataset of its own, so that no spoken question is made again for it.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.sources.questions import QuestionSource
from spelangy_assets.sources.texts import SourceUnavailable
from spelangy_assets.stages import write_benchmark
from spelangy_model.records import AcceptedAnswers

VERSION = "1"
TABLES: dict[str, type] = {"accepted": AcceptedAnswers}


@dataclass(frozen=True)
class Config:
    """The sources and the seed of the questions."""

    sources: tuple[QuestionSource, ...]
    seed: int = 0


CONTRACT = Contract(
    "accepted_answers",
    """
    SELECT count(*) AS questions, count(*) - count(DISTINCT text_id) AS duplicate_ids,
           count(*) FILTER (len(answers) = 0 OR list_contains(answers, '')) AS without_answer
    FROM accepted
    """,
    (Bound("questions", 1), exactly("duplicate_ids"), exactly("without_answer")),
)

KIND = DatasetKind(
    group="evals", description="The answers that the questions accept: every alias of a set.", contract=CONTRACT
)


@word
def accepted_answers(questions: Dataset) -> Dataset | None:
    """Return the accepted answers of spoken questions; None where another stage than write_benchmark makes them."""
    if not isinstance(questions.config, write_benchmark.Config):
        return None
    config = Config(questions.config.sources, questions.config.seed)
    return dataset(__name__, config, name=f"{questions.label}_accepted")


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for each source of questions that is missing."""
    missing = []
    for source in config.sources:
        try:
            source.check(execution.environment)
        except SourceUnavailable as error:
            missing.append(f"the benchmark: {error}")
    if missing:
        raise PreflightError(*missing)


def run(ctx: StageContext, config: Config) -> None:
    """List each source as one unit."""
    for unit, source in ctx.out.pending(config.sources):
        try:
            asked, _ = source.read(config.seed, ctx.execution.environment)
        except SourceUnavailable as error:
            raise InputError(str(error)) from error
        with ctx.out.unit(unit) as out:
            out.read(len(asked))
            out.write(
                "accepted",
                [AcceptedAnswers(one.text_id, list(one.answers or (one.options[one.answer_index],))) for one in asked],
            )
