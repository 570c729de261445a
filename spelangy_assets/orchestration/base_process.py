"""The base process of a materialization: it imports libraries once, and workers and trainings are forked from it.

Put here: that process, and what it is asked for. Do not put here: what a worker does (workers.py), or processes of
other machines. To import everything takes a process up to 14 CPU seconds and 400 MB; forked processes share both. It
does no work itself, so that each process begins with the same state.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.reduction import recv_handle, send_handle
from typing import Any

import psutil

from spelangy_assets.execution.graph import Node
from spelangy_assets.orchestration.installation import Launch, Launched
from spelangy_assets.orchestration.orphans import end_with_parent, kill_trees
from spelangy_model.cpu_time import child_cpu_seconds

Body = Callable[..., None]

_FORKS = sys.platform == "linux"  # macOS's own libraries break in a forked process: there each process imports
# By what a stage asks for, with what its modules import late. Everything is judged by Great Expectations.
_ALWAYS = ("spelangy_assets.orchestration.definitions", "spelangy_assets.quality.expectations")
_TORCH = ("torch",)
_STREAMS = (1, 2)  # of a process: what it prints, and its errors
_LANGUAGE_MODELS = ("spelangy_model.train.run", "spelangy_model.lm.forward")


def libraries_of(nodes: Iterable[Node], device: str) -> list[str]:
    """Return the modules that the base process of those datasets imports.

    It imports torch where a stage runs a model on a CPU, and never for a GPU: a process that was forked from one that
    has looked for GPUs cannot use them.
    """
    modules: list[str] = [*_ALWAYS]
    pools, groups = {node.pool for node in nodes}, {node.group for node in nodes}
    if device == "cpu" and pools & {"gpu", "asr"}:
        modules += _TORCH
        if groups & {"runs", "evals"}:
            modules += _LANGUAGE_MODELS
    return modules


@dataclass
class Launcher:
    """What a worker asks the base process through; it waits for the answer.

    What is launched writes where the worker writes. It is killed when the waiting is interrupted: a second try must not
    find the first one at work, nor take its answer. So requests have numbers.
    """

    connection: Connection
    number: int = 0

    def __call__(self, asked: Launch) -> Launched:
        self.number += 1
        self.connection.send((self.number, asked))
        for stream in _STREAMS if _FORKS else ():
            send_handle(self.connection, stream, None)
        try:
            return self._answer()
        except BaseException:  # a signal; Dagster makes an exception of it, and tries the step again
            self.connection.send((self.number, None))
            self._answer()
            raise

    def _answer(self) -> Launched:
        while True:
            number, ended = self.connection.recv()
            if number == self.number:
                return ended


def base_process(libraries: Sequence[str], body: Body, arguments: Sequence[tuple[Any, ...]]) -> None:
    """Be the base process: run `body(*arguments, launcher)` in a process for each of the arguments, until all end.

    All of them end with this one, and this one with its parent. When one of them fails the others are killed, and this
    process ends with status 1.
    """
    gc.disable()  # what is imported stays
    for name in libraries if _FORKS else ():
        with contextlib.suppress(Exception):  # the dataset that needs it imports it again, and says so
            importlib.import_module(name)
    gc.freeze()  # a collection would write to each object, and so copy the pages that are shared
    gc.enable()
    base = _Base()
    try:
        for index, given in enumerate(arguments):
            base.start_worker(f"worker-{index}", body, given)
        base.serve()
    finally:
        if base.workers:  # it failed, for want of memory, say; Python would wait for them at its exit
            traceback.print_exc()
            base.end_all()


class _Base:
    """What is waited for, and what is done when it is ready: a process has ended, or a worker asks for one."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("fork") if _FORKS else multiprocessing.get_context("spawn")
        self._waiting: dict[Any, Callable[[], None]] = {}
        self._launched: dict[Connection, BaseProcess] = {}  # by the worker that waits for it
        self.workers = 0
        self._counted_s = 0.0

    def start_worker(self, name: str, body: Body, arguments: tuple[Any, ...]) -> None:
        mine, its = self._context.Pipe()
        process = self._context.Process(target=_run_body, args=(body, *arguments, Launcher(its)), name=name)
        process.start()
        its.close()
        self.workers += 1
        self._waiting[mine] = partial(self._asked, mine)
        self._waiting[process.sentinel] = partial(self._worker_ended, process)

    def serve(self) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            self._waiting[parent.sentinel] = self.end_all
        while self.workers:
            for ready in wait(list(self._waiting)):
                self._waiting[ready]()

    def _worker_ended(self, process: BaseProcess) -> None:
        del self._waiting[process.sentinel]
        process.join()
        self.workers -= 1
        if process.exitcode:
            self.end_all()

    def _asked(self, worker: Connection) -> None:
        try:
            number, asked = worker.recv()
            if asked is not None:
                self._launch(number, asked, worker)
            elif worker in self._launched:
                kill_trees([psutil.Process(self._launched[worker].pid)])
            else:  # it has ended by itself, and the worker may have read the answer
                worker.send((number, None))
        except EOFError:  # the worker has ended
            del self._waiting[worker]

    def _launch(self, number: int, asked: Launch, worker: Connection) -> None:
        streams = [recv_handle(worker) for _ in _STREAMS] if _FORKS else []
        process = self._context.Process(target=_run_module, args=(asked, streams), name=asked.module)
        process.start()
        for stream in streams:
            os.close(stream)
        self._launched[worker] = process
        self._waiting[process.sentinel] = partial(self._launched_ended, number, process, worker)

    def _launched_ended(self, number: int, process: BaseProcess, worker: Connection) -> None:
        del self._waiting[process.sentinel], self._launched[worker]
        process.join()
        ended_s = child_cpu_seconds()  # of all processes that have ended; while workers run, they launched them
        worker.send((number, Launched(process.exitcode or 0, ended_s - self._counted_s)))
        self._counted_s = ended_s

    def end_all(self) -> None:
        kill_trees(psutil.Process().children())
        os._exit(1)


def _run_body(body: Body, *arguments: Any) -> None:
    end_with_parent()
    body(*arguments)


def _run_module(asked: Launch, streams: Sequence[int]) -> None:
    """Run a module as `python -m` does, by the function that takes the arguments of the command line."""
    end_with_parent()
    for stream, given in zip(_STREAMS, streams, strict=False):
        os.dup2(given, stream)
    os.environ.clear()
    os.environ.update(asked.environment)
    importlib.import_module(asked.module).main([str(asked.spec_file)])
