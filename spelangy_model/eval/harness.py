"""Text skill, measured by lm-evaluation-harness on a checkpoint of this project.

Put here: the harness's LM interface over our checkpoints, and its results as plain numbers. Do not put here: local
tasks (tasks/*.yaml) or the source of their documents. Source: github.com/EleutherAI/lm-evaluation-harness, used
through its own API, with its tasks, prompts and metrics unchanged.

A checkpoint is a transformers folder that the harness's Hugging Face model reads. This module adds this
project's rule for encoding texts: <bos>, then the text with one space before it (tokenizer/text.py).
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import logging
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from spelangy_model.eval.generated_code import ALLOW_VARIABLE, confinement, run_program
from spelangy_model.eval.stats import Interval, compare, mean_of, ratio_bootstrap
from spelangy_model.extras import cure

LOCAL_TASKS = ("own_questions", "held_out_text")
CODE_TASK = "humaneval"  # ours in place of the harness's, which runs generated code in its own process
_OF_RATIO: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    # metrics whose samples are (log-likelihood, units), and how the ratio of their sums becomes the metric
    "bits_per_byte": lambda ratio: -ratio / math.log(2),
    "byte_perplexity": lambda ratio: np.exp(-ratio),
    "word_perplexity": lambda ratio: np.exp(-ratio),
}


_MAX_KNOWN_TEXTS = 1 << 14
# The ids of texts by tokenizer: its checkpoints are evaluated on the same texts.
_known_ids: dict[tuple[Any, ...], list[int]] = {}


class HarnessUnavailable(RuntimeError):
    """The harness, or a requested task, is missing; the text states how to get it."""


@dataclass(frozen=True)
class Task:
    """A task by the harness's name. `documents` are those of a local task, and empty for one from the hub.

    `fewshot` is the number of examples before each question; None leaves it to the task. `clusters` mark documents that
    are not independent; without them all are independent.
    """

    name: str
    fewshot: int | None = None
    documents: Sequence[Mapping[str, Any]] = field(default=(), repr=False)
    clusters: Sequence[str] = field(default=(), repr=False)


@dataclass(frozen=True)
class TaskScore:
    """One metric of one task, as the harness reports it.

    `samples` are (amount, units) of each document in the harness's order, whose sums give the metric. They are
    empty for a group of tasks; the interval then follows from the harness's standard error, NaN if there is none.
    `clusters` are those of the task, one for each sample, if it has any.
    """

    task: str
    metric: str
    interval: Interval
    count: int
    higher_is_better: bool
    samples: tuple[tuple[float, float], ...]
    clusters: tuple[str, ...] = ()


def check_tasks(names: Sequence[str], allow_code: bool = False) -> None:
    """Raise HarnessUnavailable when lm-evaluation-harness is not installed or does not know a task.

    So where a task runs generated code and `allow_code` is false, or this system sets no limits on a process.
    """
    try:
        from lm_eval.tasks import TaskManager
    except ImportError as error:
        raise HarnessUnavailable(f"{error}: {cure('lm_eval')}") from error
    if CODE_TASK in names:
        if not allow_code:
            raise HarnessUnavailable(
                f"the task {CODE_TASK} runs Python that the model writes: set {ALLOW_VARIABLE}=yes to allow it here "
                "(docs/questions.md states its limits; they are no sandbox), or leave the task out"
            )
        try:
            confinement()
        except RuntimeError as error:
            raise HarnessUnavailable(f"the task {CODE_TASK}: {error}") from error
    if elsewhere := [name for name in names if name not in (*LOCAL_TASKS, CODE_TASK)]:
        known = TaskManager()
        if unknown := [name for name in elsewhere if not known.match_tasks([name])]:
            raise HarnessUnavailable(
                f"lm-evaluation-harness has no task {', '.join(unknown)}: "
                f"`lm_eval ls tasks` lists what it has, local ones are {', '.join(LOCAL_TASKS)}"
            )


def evaluate_checkpoint(
    folder: Path,
    tasks: Sequence[Task],
    device: str,
    batch_size: int,
    seed: int,
    limit: int | None = None,
    allow_code: bool = False,
) -> list[TaskScore]:
    """Return every metric of every task. `limit` takes the first documents of each task of the hub, None all.

    Raises HarnessUnavailable when a task's data cannot be loaded, and as `check_tasks` for a task of generated code.
    """
    check_tasks([task.name for task in tasks if task.name == CODE_TASK], allow_code)
    from lm_eval import evaluator
    from lm_eval.tasks import TaskManager

    harness: Any = evaluator
    # The harness collects its environment with git, pip and lscpu on each call; the result is not used here.
    harness.get_git_commit_hash = str
    harness.add_env_info = dict
    _compile_templates_once()
    manager = TaskManager(include_defaults=any(not task.documents and task.name != CODE_TASK for task in tasks))
    model = open_checkpoint(folder, device, batch_size)
    scores: list[TaskScore] = []
    for task in tasks:
        try:
            with _quiet():
                results = harness.simple_evaluate(
                    model=model,
                    tasks=[_local(task) if task.documents or task.name == CODE_TASK else task.name],
                    num_fewshot=task.fewshot,
                    task_manager=manager,
                    limit=None if task.documents else limit,
                    bootstrap_iters=1000,  # of the few metrics without a closed form; 0 would leave out all errors
                    random_seed=seed % 2**31,
                    numpy_random_seed=seed % 2**31,
                    torch_random_seed=seed % 2**31,
                    fewshot_random_seed=seed % 2**31,
                )
        except (ConnectionError, FileNotFoundError) as error:
            raise HarnessUnavailable(
                f"the data of task {task.name!r} is not on this machine and cannot be fetched ({error}): fetch it once "
                f"where the hub can be reached, with: {_cure(task.name)}"
            ) from error
        scores += _scores(task, results, seed)
    return scores


def _cure(task: str) -> str:
    if task == CODE_TASK:
        return "python -c \"import datasets; datasets.load_dataset('openai/openai_humaneval')\""
    return f"lm_eval run --model dummy --tasks {task} --limit 1"


def open_checkpoint(folder: Path, device: str, batch_size: int) -> Any:
    """Return the harness's LM over a checkpoint: its HFLM with another encoding of texts."""
    from lm_eval.models import huggingface
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    from spelangy_model.lm.forward import load_model
    from spelangy_model.pretrained import load_settings
    from spelangy_model.tokenizer.vocab import check_checkpoint

    harness_lm: Any = huggingface.HFLM

    class CheckpointLM(harness_lm):
        def tok_encode(self, string: str, add_special_tokens: bool | None = None, **more: Any) -> list[int]:
            asked = (digest, string, add_special_tokens, self.add_bos_token, *sorted(more.items()))
            if asked not in _known_ids:
                if len(_known_ids) >= _MAX_KNOWN_TEXTS:
                    _known_ids.clear()
                _known_ids[asked] = super().tok_encode(_spaced(string), add_special_tokens=add_special_tokens, **more)
            return list(_known_ids[asked])

        def tok_batch_encode(self, strings: list[str], *arguments: Any, **more: Any) -> Any:
            return super().tok_batch_encode([_spaced(string) for string in strings], *arguments, **more)

        def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = False) -> Any:
            self.add_bos_token = False  # a window begins with the prefix token, which is <bos>
            try:
                return super().loglikelihood_rolling(requests, disable_tqdm)
            finally:
                self.add_bos_token = True

    model: Any = load_model(folder)
    layout = check_checkpoint(model, folder)
    tokenizer = load_settings(PreTrainedTokenizerFast, folder)
    digest = hashlib.sha256((folder / "tokenizer.json").read_bytes()).hexdigest()
    bos: Any = tokenizer.convert_ids_to_tokens(layout.bos)
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, layout.bos)]
    )
    with _quiet():
        return CheckpointLM(
            pretrained=model.to(device), tokenizer=tokenizer, add_bos_token=True, device=device, batch_size=batch_size
        )


def _compile_templates_once() -> None:
    """Cache the harness's compiled templates: it compiles one again for each document, from a handful in all."""
    from lm_eval import utils

    environment: Any = utils.env
    if not hasattr(environment.from_string, "cache_info"):
        environment.from_string = functools.lru_cache(maxsize=256)(environment.from_string)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the harness's progress bars and notices out of a run's log; failures raise exceptions."""
    logger = logging.getLogger("lm_eval")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logger.setLevel(level)


def drop(base: TaskScore, score: TaskScore, seed: int) -> Interval:
    """Return how much worse a checkpoint is than the base LM on one metric, positive where skill was lost.

    Both are paired on the documents or their clusters: by `compare`, of ratios by a bootstrap. The ends are NaN
    without samples, or with one cluster.
    """
    sign = 1.0 if base.higher_is_better else -1.0
    units = [count for _, count in base.samples]
    if not units or units != [count for _, count in score.samples]:
        return Interval(sign * (base.interval.value - score.interval.value), math.nan, math.nan)
    amounts = np.array([[amount for amount, _ in side.samples] for side in (base, score)])
    clusters = np.array(base.clusters) if base.clusters else np.arange(len(units))
    scale = _OF_RATIO.get(base.metric)
    if scale is None:
        if len(set(clusters.tolist())) < 2:
            return Interval(sign * (base.interval.value - score.interval.value), math.nan, math.nan)
        means = sign * amounts / np.array(units)
        return compare(means[0], means[1], clusters, np.array(units)).difference
    return ratio_bootstrap(
        amounts,
        np.array(units),
        lambda ratio: sign * (scale(ratio[0]) - scale(ratio[1])),
        seed,
        "drop",
        base.task,
        clusters=clusters,
    )


def _scores(task: Task, results: Mapping[str, Any], seed: int) -> list[TaskScore]:
    """Return the metrics of a task, or of a group's own line, from the harness's results."""
    name = task.name
    line = results.get("groups", {}).get(name) or results["results"][name]
    members = results["group_subtasks"].get(name) or [name]
    counts = results["n-samples"]
    count = sum(counts[member]["effective"] for member in members if member in counts)
    rows = sorted(results["samples"].get(name, []), key=lambda row: row["doc_id"])
    scores = []
    for key, value in line.items():
        metric, _, filtered = key.partition(",")
        if not filtered or metric.endswith("_stderr") or not isinstance(value, float | int):
            continue
        mine = [row for row in rows if row["filter"] == filtered and metric in row]
        samples = tuple(sample for row in mine if (sample := _sample(row[metric])) is not None)
        error = line.get(f"{metric}_stderr,{filtered}")
        clusters = tuple(str(task.clusters[row["doc_id"]]) for row in mine if task.clusters)
        scores.append(
            TaskScore(
                task=name,
                metric=metric if filtered == "none" else f"{metric}.{filtered}",
                interval=_interval(name, metric, float(value), samples, clusters, error, seed),
                count=count,
                higher_is_better=bool(results["higher_is_better"].get(name, {}).get(metric, True)),
                samples=samples if len(samples) == len(mine) else (),
                clusters=clusters if len(samples) == len(mine) else (),
            )
        )
    return scores


def _sample(value: Any) -> tuple[float, float] | None:
    """Return a document's share of a metric: a number over one document, or an amount over its units."""
    if isinstance(value, bool | int | float):
        return float(value), 1.0
    if isinstance(value, tuple | list) and len(value) == 2 and all(isinstance(part, int | float) for part in value):
        return float(value[0]), float(value[1])
    return None


def _interval(
    task: str,
    metric: str,
    value: float,
    samples: Sequence[tuple[float, float]],
    clusters: Sequence[str],
    error: Any,
    seed: int,
) -> Interval:
    """Return the harness's value with our interval if the samples give that value, else with the harness's error.

    A mean has the interval of `mean_of`, as elsewhere; a ratio has a bootstrap interval.
    """
    if samples:
        amounts, units = np.array(samples).T
        within = np.array(clusters) if len(clusters) == len(samples) else np.arange(len(samples))
        scale = _OF_RATIO.get(metric)
        if scale is None:
            means = amounts / units
            fraction = bool(means.min() >= 0 and means.max() <= 1)
            found = mean_of(means, within, weights=units, fraction=fraction).interval
        else:
            found = ratio_bootstrap(amounts, units, lambda ratio: scale(ratio[0]), seed, task, metric, clusters=within)
        if math.isclose(found.value, value, rel_tol=1e-6, abs_tol=1e-9):
            return Interval(value, found.low, found.high)
    reach = 1.96 * error if isinstance(error, float) else math.nan
    return Interval(value, value - reach, value + reach)


def _spaced(text: str) -> str:
    return text if text[:1].isspace() or not text else f" {text}"


def _local(task: Task) -> dict[str, Any]:
    """Return the harness's configuration of a task that is defined here, with its documents where they are given."""
    import yaml
    from datasets import Dataset

    text = (resources.files("spelangy_model.eval") / "tasks" / f"{task.name}.yaml").read_text("utf-8")

    def documents(**_: Any) -> dict[str, Dataset]:
        return {"test": Dataset.from_list([dict(document) for document in task.documents])}

    config = yaml.safe_load(text)
    if task.documents:
        config = {**{key: value for key, value in config.items() if key != "dataset_path"}, "custom_dataset": documents}
    return {**config, "process_results": passes_its_test} if task.name == CODE_TASK else config


def passes_its_test(document: Mapping[str, Any], written: Sequence[str]) -> dict[str, float]:
    """Return whether a function that a model completed passes its test, and whether it had to be stopped."""
    program = f"{document['prompt']}{written[0]}\n{document['test']}\ncheck({document['entry_point']})\n"
    ended = run_program(program)
    return {"pass_at_1": float(ended.passed), "stopped": float(ended.stopped)}
