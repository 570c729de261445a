"""text_skill: what the base LM and every run know as text models, by lm-evaluation-harness, and what the runs lost.

Put here: which tasks on which checkpoints, and the documents of the local tasks. Do not put here: the harness
(spelangy_model/eval/harness.py) or scoring of our own (stages/evaluate.py scores the same questions by its own means).

Inputs: `base_lm` and `run_NAME` (model folders), `questions` (SpokenQuestion). Output: metrics(Metric), of the base LM
and of each run:

    text_skill.{task}.{metric}         as the harness calls it, with a 95% interval over documents where there is one
    text_skill.{task}.{metric}.drop    of runs: how much worse than the base LM, positive where skill was lost; paired

Local tasks need no hub: own_questions (the benchmark's questions, written) and held_out_text (documents of the sample
world that no mix holds).
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.sample.render import text_document
from spelangy_assets.sample.world import WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_model.eval.stats import Interval
from spelangy_model.records import Metric, SpokenQuestion

if TYPE_CHECKING:
    from spelangy_model.eval.harness import Task, TaskScore

VERSION = "1"
TABLES: dict[str, type] = {"metrics": Metric}
BASE = "base_lm"
_FIRST_HELD_OUT = 1_000_000_000  # documents of the text corpus count from 0


@dataclass(frozen=True)
class TaskChoice:
    """A task by the harness's name, with the examples before each question; None leaves them to the task."""

    name: str
    fewshot: int | None = None


@dataclass(frozen=True)
class Config:
    """The tasks, and how much of them. Everything is done where a limit is 0.

    `max_questions` takes every n-th question text for own_questions, `max_documents` the first documents of each task
    of the hub; `world` is the reference of the sample world, of which held_out_text is `held_out_documents` texts.
    """

    seed: int
    tasks: tuple[TaskChoice, ...]
    answer_prefix: str = "The answer is"
    max_questions: int = 0
    max_documents: int = 0
    world: str = ""
    held_out_documents: int = 0
    batch_size: int = 64


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the harness or a task is not there, or held_out_text has no world to be of."""
    from spelangy_model.eval.harness import HarnessUnavailable, check_tasks

    names = [task.name for task in config.tasks]
    try:
        check_tasks(names)
    except HarnessUnavailable as error:
        raise PreflightError(str(error)) from error
    if "held_out_text" in names and not (config.world and config.held_out_documents):
        raise PreflightError("held_out_text is of the sample world: name its digest and held_out_documents")
    try:
        if config.world:
            open_world(config.world)
    except WorldError as error:
        raise PreflightError(f"text skill: {error}") from error


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a checkpoint, the base LM first: the others are compared with it."""
    tasks = list(_tasks(ctx, config))
    checkpoints = sorted(role for role in ctx.inputs if role.startswith("run_"))
    for unit, role in ctx.out.pending([BASE, *checkpoints]):
        with ctx.out.unit(unit) as out:
            base = _base_scores(ctx, config, tasks)
            scores = base if role == BASE else _evaluate(ctx, config, role, tasks)
            out.read(sum(score.count for score in scores))
            metrics = list(_metrics(role, scores, base, config.seed))
            out.write("metrics", metrics)
            out.kept(sum(score.count for score in scores))
        for metric in metrics:
            ctx.log(f"{role}: {metric.metric} {metric.value:.4f} [{metric.low:.4f}, {metric.high:.4f}]")


def _tasks(ctx: StageContext, config: Config) -> Iterator[Task]:
    from spelangy_model.eval.harness import Task

    for choice in config.tasks:
        documents: list[dict[str, Any]] = []
        if choice.name == "own_questions":
            texts = {row.text_id: row for row in ctx.inputs["questions"].records("questions", SpokenQuestion)}
            rows = list(texts.values())
            count = min(config.max_questions or len(rows), len(rows))
            documents = [
                {
                    "question": row.question,
                    "options": row.options,
                    "answer_index": row.answer_index,
                    "answer_prefix": config.answer_prefix,
                }
                for row in (rows[index * len(rows) // count] for index in range(count))
            ]
        elif choice.name == "held_out_text":
            documents = [
                {"text": text_document(open_world(config.world), config.seed, _FIRST_HELD_OUT + index)}
                for index in range(config.held_out_documents)
            ]
        yield Task(choice.name, choice.fewshot, documents)


def _evaluate(ctx: StageContext, config: Config, role: str, tasks: list[Task]) -> list[TaskScore]:
    import torch

    from spelangy_model.eval.harness import HarnessUnavailable, evaluate_checkpoint

    if ctx.execution.device == "cpu":
        torch.set_num_threads(1)  # scores to the bit, whatever the machine's cores are
    folder = ctx.inputs[role].local_folder(ctx.execution.cache_dir)
    limit = config.max_documents or None
    try:
        return evaluate_checkpoint(folder, tasks, ctx.execution.device, config.batch_size, config.seed, limit)
    except HarnessUnavailable as error:
        raise InputError(str(error)) from error


def _base_scores(ctx: StageContext, config: Config, tasks: list[Task]) -> list[TaskScore]:
    """Return the base LM's scores; they are left for a run that is killed after them."""
    from spelangy_model.eval.harness import TaskScore

    path = ctx.out.scratch / f"{BASE}.json"
    if not path.is_file():
        scores = _evaluate(ctx, config, BASE, tasks)
        path.write_text(json.dumps([dataclasses.asdict(score) for score in scores]))
    return [
        TaskScore(
            **{
                **score,
                "interval": Interval(**score["interval"]),
                "samples": tuple((amount, units) for amount, units in score["samples"]),
            }
        )
        for score in json.loads(path.read_text())
    ]


def _metrics(subject: str, scores: list[TaskScore], base: list[TaskScore], seed: int) -> Iterator[Metric]:
    from spelangy_model.eval.harness import drop

    before = {(score.task, score.metric): score for score in base}
    for score in scores:
        name = f"text_skill.{score.task}.{score.metric}"
        yield Metric(subject, name, score.interval.value, score.interval.low, score.interval.high, score.count)
        if subject != BASE:
            lost = drop(before[score.task, score.metric], score, seed)
            yield Metric(subject, f"{name}.drop", lost.value, lost.low, lost.high, score.count)
