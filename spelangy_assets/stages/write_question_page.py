"""The page on which a person listens to a board's questions, and reads what each run and each system answers.

Put here: the draw of the questions, and gathering the records. Do not put here: layout (report/question_page.py); what
was asked and scored (stages/evaluate.py, stages/score_system.py, stages/generate_answers.py). Nothing is computed anew.

Inputs, numbered as the config lists them: `questions` (SpokenQuestion); `eval.N` of each run and `answers.N` in words
where they were generated; `system.N` (by score_system) of each system, and `system_answers.N`. Output:
question_page.html.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, stat
from spelangy_assets.report.question_page import Answer, AnsweredQuestion, question_page
from spelangy_assets.stages.score_system import TranscribedQuestion, questions_of
from spelangy_model.records import GeneratedAnswer, Question, QuestionScore, SpokenQuestion
from spelangy_model.rng import stable_hash

VERSION = "1"
TABLES: dict[str, type] = {}
PAGE = "question_page.html"
_AUDIO_BYTES = 8 << 20  # of sound in the page, as it is embedded


@dataclass(frozen=True)
class Config:
    """The labels of the runs and systems, as the board has them; how many questions are shown, drawn by the seed."""

    runs: tuple[str, ...] = ()
    systems: tuple[str, ...] = ()
    board: str = "leaderboard"
    questions: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.questions < 1:
            raise ValueError(f"questions={self.questions}: a page shows at least one")


CONTRACT = Contract(
    "question_page",
    f"SELECT {stat('pages')} AS pages, {stat('answers')} AS answers",
    (Bound("pages", 1), Bound("answers", 1)),
)

KIND = DatasetKind(
    group="evals",
    description="Spoken questions to listen to, with what each run and each system answers.",
    contract=CONTRACT,
    kinds=("html",),
    takes={
        "questions": SpokenQuestion,
        "eval": "scores",
        "answers": GeneratedAnswer,
        "system": "system_scores",
        "system_answers": GeneratedAnswer,
    },
)


@word
def answered_questions(questions: Dataset, inputs: Mapping[str, Dataset], config: Config, *, name: str) -> Dataset:
    """Return the page of questions with the answers of `inputs`, by the roles of this stage."""
    return dataset(__name__, config, name=name, inputs={"questions": questions, **inputs})


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            questions = {row.question_id: row for row in ctx.inputs["questions"].records("questions", Question)}
            answers = {
                **{
                    label: _answers(ctx, f"system.{i}", f"system_answers.{i}") for i, label in enumerate(config.systems)
                },
                **{label: _answers(ctx, f"eval.{i}", f"answers.{i}") for i, label in enumerate(config.runs)},
            }
            shown = draw(questions, [answers[label].keys() for label in config.systems], config.questions, config.seed)
            recorded = questions_of(ctx.inputs["questions"], shown)
            page = question_page(
                [
                    AnsweredQuestion(row, {name: of.get(row.question_id) for name, of in answers.items()})
                    for row in recorded
                ],
                title="Questions to listen to, and what was answered",
                of=len(questions),
                board=config.board,
                audio_bytes=_AUDIO_BYTES,
            )
            out.read(len(questions))
            out.kept(len(recorded))
            out.drop("not_shown", len(questions) - len(recorded))
            out.add("answers", sum(row.question_id in of for row in recorded for of in answers.values()))
            out.add("pages", 1)
            out.write_file(PAGE, page.encode())


def draw(questions: Mapping[str, Question], preferred: Sequence[Collection[str]], count: int, seed: int) -> list[str]:
    """Return the ids of so many recordings in a drawn order: first those that all of `preferred` hold.

    No two are of one text as long as there are others.
    """

    def rank(question_id: str) -> tuple[int, str]:
        return -sum(question_id in ids for ids in preferred), stable_hash("shown", seed, question_id)

    ranked = sorted(questions, key=rank)
    texts: set[str] = set()
    first, again = [], []
    for question_id in ranked:
        text = questions[question_id].text_id
        (again if text in texts else first).append(question_id)
        texts.add(text)
    return [*first, *again][:count]


def _answers(ctx: StageContext, scores: str, generated: str) -> dict[str, Answer]:
    """Return the answers to spoken questions of one that was asked, by question."""
    artifact = ctx.inputs[scores]
    rows = (row for row in artifact.records("scores", QuestionScore) if row.modality == "speech")
    transcripts = {row.question_id: row.transcript for row in artifact.records("transcripts", TranscribedQuestion)}
    words: dict[str, str] = {}
    if generated in ctx.inputs:
        written = ctx.inputs[generated].records("answers", GeneratedAnswer)
        words = {row.question_id: row.answer for row in written if row.modality == "speech"}
    return {
        row.question_id: Answer(
            row.predicted_index,
            row.option_log_likelihoods,
            transcripts.get(row.question_id),
            words.get(row.question_id),
        )
        for row in rows
    }
