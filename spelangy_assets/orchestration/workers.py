"""Materializes a whole recipe through Dagster in a few long-lived processes.

Put here: running runs in parents-first order over parallel workers. Do not put here: how a graph is cut into runs
(execution/runs.py), what is printed (demo.py), or how workers are started (base_process.py). A step process of its own
for each asset costs seconds of imports; a worker runs many Dagster runs in process, one torch thread each, which on two
cores is the quickest way through the sample.
"""

import contextlib
import multiprocessing
import os
import queue
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.process import BaseProcess
from typing import Any

import dagster as dg
import psutil

from spelangy_assets.execution.build import Built
from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.runs import Run, ready
from spelangy_assets.execution.targets import Target
from spelangy_assets.orchestration.base_process import Launcher, base_process, libraries_of
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.memory import PeakMemory
from spelangy_assets.orchestration.orphans import is_alive, kill_trees, mark_of_process
from spelangy_assets.orchestration.slurm_cluster import cluster_of
from spelangy_assets.orchestration.slurm_jobs import cancel_abandoned
from spelangy_assets.settings import Settings
from spelangy_assets.store.manifest import Counts
from spelangy_model.cpu_time import cpu_seconds
from spelangy_model.memory import release_free_memory
from spelangy_model.progress import Standing

PROCESS_TAG = "spelangy/process"


class WorkerDied(RuntimeError):
    """A worker process ended before its work did; what it had finished stays."""


@dataclass(frozen=True)
class Working:
    """How far a worker is with one dataset."""

    asset: str
    partition: str | None
    standing: Standing


@dataclass(frozen=True)
class Finished:
    """One dataset that a worker brought up to date, as its manifest describes it."""

    asset: str
    partition: str | None
    cached: bool
    passed: bool
    counts: Counts
    seconds: float
    cpu_seconds: float

    @classmethod
    def of(cls, asset: str, partition: str | None, built: Built) -> "Finished":
        """Return the record of a finished build."""
        made = built.artifact.manifest
        return cls(asset, partition, built.cached, built.verdict.accepted, made.counts, made.seconds, made.cpu_seconds)


@dataclass(frozen=True)
class Ended:
    """A run that ended, with the error text when it failed."""

    run: Run
    run_id: str
    failure: str


Message = Working | Finished | Ended


def _worker(recipe: str, reference: str, settings: Settings, inbox: Any, results: Any, launcher: Launcher) -> None:
    """The body of a worker's process: take a run, do it, say how it ended; None ends the worker."""
    warnings.filterwarnings("ignore", module="dagster")  # its notices on beta parameters, one a process and asset
    from spelangy_assets.orchestration.definitions import build_definitions
    from spelangy_assets.orchestration.installation import Installation
    from spelangy_assets.recipes.registry import recipe_named

    def report(asset: str, partition: str | None, built: Built) -> None:
        results.put(Finished.of(asset, partition, built))

    def show(asset: str, partition: str | None, standing: Standing) -> None:
        results.put(Working(asset, partition, standing))

    definitions = build_definitions(
        settings, {"installation": Installation(settings, report, show, launcher)}, recipes=[recipe_named(reference)]
    )
    with dg.DagsterInstance.get() as instance:
        while (run := inbox.get()) is not None:
            result = definitions.resolve_job_def(job_name(recipe, run.crawl)).execute_in_process(
                instance=instance,
                partition_key=run.partition,
                asset_selection=[asset_key(recipe, name) for name in run.assets],
                tags={PROCESS_TAG: mark_of_process()},
                raise_on_error=False,
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
            failure = ""
            if not result.success:
                failures = [event for event in result.all_events if event.is_step_failure]
                failure = "\n".join(_failure_text(event) for event in failures) or "the run failed outside its steps"
            results.put(Ended(run, result.run_id, failure))
            release_free_memory()  # the next run may wait for a training, which takes as much again


def _failure_text(event: dg.DagsterEvent) -> str:
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return f"{event.step_key}: {data.user_failure_data.description}"
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error else event.message}"


def close_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark runs as failed whose worker process is gone: without a daemon a killed run stays open for ever."""
    closed = []
    filters = dg.RunsFilter(statuses=[dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING])
    for run in instance.get_runs(filters):
        mark = run.tags.get(PROCESS_TAG)
        if mark and not is_alive(mark):
            instance.report_run_failed(run, f"The process of this run ({mark.split(':')[0]}) is gone; it was killed.")
            closed.append(run.run_id)
    return closed


@dataclass
class Outcome:
    """What a whole materialization gave."""

    run_ids: list[str] = field(default_factory=list)
    failures: dict[str, str] = field(default_factory=dict)
    not_run: list[str] = field(default_factory=list)
    cpu_seconds: float = 0.0
    peak_memory_bytes: int = 0
    peak_memory_runs: list[str] = field(default_factory=list)


def run_in_workers(
    recipe: Recipe, settings: Settings, runs: Sequence[Run], workers: int, on_message: Callable[[Message], None]
) -> Outcome:
    """Do runs over workers, parents first, the most urgent first. Descendants of a failure are not run and are named.

    `on_message` is called with every message of a worker, as it comes.
    When an exception or an interrupt ends this function, the workers are killed in the middle of their work: the next
    run resumes from there.
    """
    cluster = cluster_of(settings)  # a file that is wrong ends here
    if not runs:
        return Outcome(cpu_seconds=cpu_seconds())
    context = multiprocessing.get_context("spawn")
    _start_tracker()
    results = context.Queue()
    inboxes = [context.Queue() for _ in range(min(workers, len(runs)))]
    libraries = libraries_of(_nodes(recipe, runs), settings.device)
    given = [(recipe.name, recipe.reference, settings, inbox, results) for inbox in inboxes]
    base = context.Process(target=base_process, args=(libraries, _worker, given), name="workers")
    outcome, memory = Outcome(), PeakMemory()
    idle = list(range(len(inboxes)))
    busy: dict[Run, int] = {}  # run -> worker
    waiting = list(runs)
    done: set[Target] = set()
    try:
        with _OneThread(), _ParentInterrupts():
            base.start()
        while waiting or busy:
            for run in ready(waiting, done)[: len(idle)]:
                worker = idle.pop(0)
                inboxes[worker].put(run)
                busy[run] = worker
                waiting.remove(run)
            if not busy:
                break  # what waits is below a failure
            for message in _messages(results, base):
                on_message(message)
                if not isinstance(message, Ended):
                    continue
                idle.append(busy.pop(message.run))
                outcome.run_ids.append(message.run_id)
                if message.failure:
                    outcome.failures[message.run.title] = message.failure
                else:
                    done |= set(message.run.targets)
            memory.look(run.title for run in busy)
    except BaseException:
        _kill(base)
        if cluster is not None:
            cancel_abandoned(cluster)
        for inbox in inboxes:
            inbox.cancel_join_thread()  # else the exit waits for a reader that is gone
        raise
    for inbox in inboxes:
        inbox.put(None)
    base.join(timeout=30)
    _kill(base)
    outcome.not_run = sorted(run.title for run in waiting)
    outcome.peak_memory_bytes, outcome.peak_memory_runs = memory.peak_bytes, memory.peak_runs
    outcome.cpu_seconds = cpu_seconds()
    return outcome


def _nodes(recipe: Recipe, runs: Sequence[Run]) -> list[Node]:
    return [recipe.graph[asset] for asset in dict.fromkeys(asset for run in runs for asset in run.assets)]


def _start_tracker() -> None:
    """Start the process of multiprocessing that removes the semaphores which killed workers leave.

    It writes nothing to stderr, and an interrupt of the terminal does not end it before the semaphores are gone.
    """
    sys.warnoptions.append("ignore::UserWarning:multiprocessing.resource_tracker")  # is passed on to it
    with _ParentInterrupts():
        resource_tracker.ensure_running()
    sys.warnoptions.pop()


def _kill(base: BaseProcess) -> None:
    if base.pid is None:
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        if base.is_alive():
            kill_trees([psutil.Process(base.pid)])
    base.join(timeout=2)


def _messages(results: Any, base: BaseProcess) -> Iterator[Message]:
    try:
        yield results.get(timeout=0.5)
        while True:
            yield results.get_nowait()
    except queue.Empty:
        if base.exitcode not in (None, 0):
            raise WorkerDied("a worker died (killed, or out of memory); run again to continue") from None


class _ParentInterrupts:
    """Children that start inside the block get no interrupt of the terminal: their parent ends them.

    A blocked signal stays blocked in a child. Dagster would raise it inside of a step, wherever the step is.
    """

    def __enter__(self) -> None:
        self._before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGHUP})

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._before)


class _OneThread:
    """Children that start inside the block use one thread a library."""

    _NAMES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

    def __enter__(self) -> None:
        self._before = {name: os.environ.get(name) for name in self._NAMES}
        os.environ.update(dict.fromkeys(self._NAMES, "1"))

    def __exit__(self, *_: object) -> None:
        for name, value in self._before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
