"""text_skill: the text skill of a language model, by lm-evaluation-harness, and its loss relative to the base LM.

Put here: which tasks, and the documents of the local tasks. Do not put here: the harness
(spelangy_model/eval/harness.py) or scoring of our own (stages/evaluate.py scores the same questions by its own means).

Inputs: `model` (a model folder), `questions` (SpokenQuestion), and of a run `base`: the artifact of this stage of its
base LM. Output: scores.json, all scores question by question, and metrics(Metric):

    text_skill.{task}.{metric}         as the harness calls it, with a 95% interval over documents where there is one;
                                       over clusters of questions for own_questions, as in stages/evaluate.py
    text_skill.{task}.{metric}.drop    against `base`: how much worse, positive where skill was lost; paired

Local tasks need no hub: own_questions (the benchmark's questions, written) and held_out_text (texts of `held_out`).
humaneval runs Python that the model wrote, where SPELANGY_ALLOW_GENERATED_CODE=yes allows it
(spelangy_model/eval/generated_code.py).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.sources.texts import SourceUnavailable, TextSource
from spelangy_assets.stage_parts import contracts
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.eval.stats import Interval
from spelangy_model.records import Metric, Question, SpokenQuestion

if TYPE_CHECKING:
    from spelangy_model.eval.harness import Task, TaskScore

VERSION = "4"
TABLES: dict[str, type] = {"metrics": Metric}
SUBJECT = "run"  # of the metrics; the leaderboard knows which run it is
SCORES_FILE = "scores.json"


@dataclass(frozen=True)
class TaskChoice:
    """A task by the harness's name, with the examples before each question; None leaves them to the task."""

    name: str
    fewshot: int | None = None


@dataclass(frozen=True)
class Config:
    """The tasks, and how much of them. Everything is done where a limit is 0.

    `max_questions` takes every n-th question text for own_questions, `max_documents` the first documents of each task
    of the hub; `held_out` are the texts of held_out_text, which no mix holds.
    """

    tasks: tuple[TaskChoice, ...]
    seed: int = 0
    answer_prefix: str = "The answer is"
    max_questions: int = 0
    max_documents: int = 0
    held_out: TextSource | None = None
    batch_size: int = 64


KIND = DatasetKind(
    group="evals",
    description="lm-evaluation-harness on {model}: what it knows as a text model, and what it lost of its base.",
    contract=contracts.METRICS,
    pool="gpu",
    cost="heavy",
    takes={"model": "language_model", "base": "text_skill", "questions": SpokenQuestion},
    makes="text_skill",
)


@word
def text_skill(
    model: Dataset, questions: Dataset, config: Config, *, name: str, base: Dataset | None = None
) -> Dataset:
    """Return the text skill of a language model; `base`, its base LM's skill, shows its losses."""
    return dataset(__name__, config, name=name, inputs={"model": model, "base": base, "questions": questions})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the harness or a task is not there, or held_out_text has no source of texts."""
    from spelangy_model.eval.harness import HarnessUnavailable, check_tasks

    names = [task.name for task in config.tasks]
    try:
        check_tasks(names, _allows_code(execution))
    except HarnessUnavailable as error:
        raise PreflightError(str(error)) from error
    if ("held_out_text" in names) != (config.held_out is not None):
        raise PreflightError("the task held_out_text needs held_out=, the texts that it reads; and nothing else does")
    try:
        if config.held_out is not None:
            config.held_out.check()
    except SourceUnavailable as error:
        raise PreflightError(f"text skill: {error}") from error


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit."""
    for unit, _ in ctx.out.pending(["skill"]):
        base = _scores_of(ctx.inputs["base"]) if "base" in ctx.inputs else None
        with ctx.out.unit(unit) as out:
            scores = _evaluate(ctx, config, list(_tasks(ctx, config)))
            out.read(sum(score.count for score in scores))
            metrics = list(_metrics(scores, base, config.seed))
            out.write("metrics", metrics)
            out.write_file(SCORES_FILE, _json(scores))
            out.kept(sum(score.count for score in scores))
        for metric in metrics:
            ctx.log(f"{metric.metric} {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]")


def _tasks(ctx: StageContext, config: Config) -> Iterator[Task]:
    from spelangy_model.eval.harness import Task

    for choice in config.tasks:
        documents: list[dict[str, Any]] = []
        clusters: list[str] = []
        if choice.name == "own_questions":
            texts = {row.text_id: row for row in ctx.inputs["questions"].records("questions", Question)}
            rows = list(texts.values())
            count = min(config.max_questions or len(rows), len(rows))
            chosen = [rows[index * len(rows) // count] for index in range(count)]
            clusters = [row.cluster_id for row in chosen]
            documents = [
                {
                    "question": row.question,
                    "options": row.options,
                    "answer_index": row.answer_index,
                    "answer_prefix": config.answer_prefix,
                }
                for row in chosen
            ]
        elif choice.name == "held_out_text":
            documents = [{"text": text} for text in config.held_out.texts()] if config.held_out else []
        yield Task(choice.name, choice.fewshot, documents, clusters)


def _evaluate(ctx: StageContext, config: Config, tasks: list[Task]) -> list[TaskScore]:
    import torch

    from spelangy_model.eval.generated_code import confinement
    from spelangy_model.eval.harness import CODE_TASK, HarnessUnavailable, evaluate_checkpoint

    if any(task.name == CODE_TASK for task in tasks):
        state = confinement()
        ctx.log(
            "generated code runs without network, processes and writes to files"
            if state == "confined"
            else "generated code runs under limits alone: this system takes no filter, so network is not forbidden"
        )
    if ctx.execution.device == "cpu":
        torch.set_num_threads(1)  # scores to the bit, whatever the machine's cores are
    folder = ctx.inputs["model"].local_folder(ctx.execution.cache_dir)
    limit = config.max_documents or None
    try:
        return evaluate_checkpoint(
            *(folder, tasks, ctx.execution.device, config.batch_size, config.seed, limit), _allows_code(ctx.execution)
        )
    except HarnessUnavailable as error:
        raise InputError(str(error)) from error


def _allows_code(execution: Execution) -> bool:
    """Return whether a person allows code that a model wrote to run here."""
    from spelangy_model.eval.generated_code import ALLOW_VARIABLE

    return execution.environment.get(ALLOW_VARIABLE) == "yes"


def _json(scores: list[TaskScore]) -> bytes:
    return json.dumps([dataclasses.asdict(score) for score in scores], sort_keys=True).encode()


def _scores_of(skill: Artifact) -> list[TaskScore]:
    """Return the scores that another artifact of this stage keeps, question by question."""
    from spelangy_model.eval.harness import TaskScore

    return [
        TaskScore(
            **{
                **score,
                "interval": Interval(**score["interval"]),
                "samples": tuple((amount, units) for amount, units in score["samples"]),
                "clusters": tuple(score["clusters"]),
            }
        )
        for score in json.loads(skill.read_file(SCORES_FILE))
    ]


def _metrics(scores: list[TaskScore], base: list[TaskScore] | None, seed: int) -> Iterator[Metric]:
    from spelangy_model.eval.harness import drop

    before = {(score.task, score.metric): score for score in base or []}
    for score in scores:
        name = f"text_skill.{score.task}.{score.metric}"
        yield Metric(SUBJECT, name, score.interval.value, score.interval.low, score.interval.high, score.count)
        if base is not None:
            lost = drop(before[score.task, score.metric], score, seed)
            yield Metric(SUBJECT, f"{name}.drop", lost.value, lost.low, lost.high, score.count)
