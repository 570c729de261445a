"""Submits a job to SLURM, waits for its end, and submits again what ended without a result.

Put here: sbatch, squeue, sacct and scancel. Do not put here: what a job computes (slurm_work.py).

A task's result is the exit status that its script leaves in the job's folder as its last act. A task that is no longer
in the queue and left none was killed: by a time limit, a lack of memory, a lost node, a person. A preempted job stays
in the queue, because SLURM requeues it (`--requeue`). Jobs are found by their names, which are unique: the reply of
sbatch may get lost although the job was accepted. Secrets reach a job through its environment, never by its script.
"""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from spelangy_assets.orchestration.orphans import is_alive, mark_of_process
from spelangy_assets.orchestration.slurm_cluster import Cluster, Resources
from spelangy_assets.store.files import unique

TEMPORARY = os.EX_TEMPFAIL  # the exit status of a task that another try may help
_ANSWER_WITHIN_S = 120
_BUSY = re.compile(r"socket timed out|unable to contact|connection refused|temporarily", re.IGNORECASE)
_ERROR_LINE = re.compile(r"^(?:[\w.]*\.)?(\w+(?:Error|Exception|Unavailable): \S.*)", re.MULTILINE)
_NO_NAME = re.compile(r"[^A-Za-z0-9_.-]+")
_SIGNALLED = re.compile(r"exitcode\s*: -\d+")  # torch's launcher, of a process that a signal ended
_RECORDS = "submitted"
_FORGOTTEN_AFTER_S = 600.0


class SlurmError(RuntimeError):
    """A job that could not be submitted, failed, or was lost too often. The text names the log."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """One job: a shell command, in `tasks` copies that differ by `$task` (0, 1, ...). `$folder` is the job's folder.

    `progress` gives a value that changes when the job gets anywhere: the bound on submissions counts from there.
    """

    name: str
    folder: Path
    resources: Resources
    command: str
    tasks: int = 1
    nodes: int = 1
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    progress: Callable[[], object] = lambda: None

    def script(self, attempt: int, tasks: Sequence[int]) -> str:
        """Return the script of sbatch for some of the tasks."""
        array = ",".join(map(str, tasks))
        at_once = f"%{self.resources.array_at_once}" if self.resources.array_at_once else ""
        options = [
            f"--job-name={self.name}",
            f"--output={self.log(attempt, '%a' if self.tasks > 1 else 0)}",
            "--open-mode=append",
            "--requeue",
            f"--nodes={self.nodes}",
            *([f"--array={array}{at_once}"] if self.tasks > 1 else []),
            *(["--ntasks-per-node=1"] if self.nodes > 1 else []),
            *self.resources.options,
        ]
        ended = f'"$folder/ended-{attempt}-$task"'
        return "\n".join(
            [
                "#!/bin/bash",
                *(f"#SBATCH {option}" for option in options),
                f"folder={shlex.quote(str(self.folder))}",
                "task=${SLURM_ARRAY_TASK_ID:-0}",
                f"rm -f {ended}",  # of a run before a requeue
                *self.resources.setup,
                self.command,
                "status=$?",
                f"echo $status > {ended}.draft && mv {ended}.draft {ended}",
                "exit $status",
                "",
            ]
        )

    def log(self, attempt: int, task: int | str) -> Path:
        return self.folder / f"attempt-{attempt}-task-{task}.log"

    def status(self, attempt: int, task: int) -> int | None:
        """Return the exit status that a task left; None where it left none."""
        try:
            return int((self.folder / f"ended-{attempt}-{task}").read_text())
        except (OSError, ValueError):
            return None


def new_job(cluster: Cluster, what: str, **facts: object) -> Job:
    """Return a job with a name and a folder of its own."""
    name = f"spelangy-{_NO_NAME.sub('-', what)}-{hashlib.sha256(unique().encode()).hexdigest()[:12]}"
    folder = cluster.jobs / name
    folder.mkdir(parents=True)
    return Job(name=name, folder=folder, **facts)  # pyright: ignore[reportArgumentType]


def run_job(cluster: Cluster, job: Job, log: Callable[[str], None]) -> None:
    """Run a job to its end; its folder is deleted with success.

    SlurmError when a task fails by itself, or when it ended `cluster.tries` times without a result and without
    progress. An exception, an interrupt included, cancels the job.
    """
    _clear_abandoned(cluster, log)
    record = cluster.jobs / _RECORDS / f"{job.name}.json"
    record.parent.mkdir(parents=True, exist_ok=True)
    _note(record, mark_of_process())
    try:
        _run(cluster, job, record, log)
    except BaseException:
        _cancel(job.name)
        _note(record, "")  # it is in the queue for a while yet
        raise
    record.unlink(missing_ok=True)
    shutil.rmtree(job.folder, ignore_errors=True)


def _run(cluster: Cluster, job: Job, record: Path, log: Callable[[str], None]) -> None:
    left, attempt, fruitless, before = list(range(job.tasks)), 0, 0, job.progress()
    while left:
        attempt += 1
        number = _submit(cluster, job, attempt, left)
        log(f"submitted job {number} ({job.name}): {len(left)} of {job.tasks} tasks, log {job.log(attempt, left[0])}")
        logged = ""
        while waiting := _after_a_poll(cluster, job, record):
            _check(job, attempt, number, set(left) - {task for task, _ in waiting})
            if (text := _counted(waiting)) != logged:
                log(f"{job.name}: {text}")
                logged = text
        ended = _results(cluster, job, attempt, left)
        _check(job, attempt, number, left)
        left = [task for task, status in ended.items() if status != 0]
        if not left:
            return
        now = job.progress()
        fruitless, before = (0, now) if now != before else (fruitless + 1, before)
        lost = f"{len(left)} tasks of job {number} ended without a result{_states(number)}"
        if fruitless >= cluster.tries:
            where = job.log(attempt, left[0])
            raise SlurmError(f"{job.name}: {lost}, {cluster.tries} times in a row without progress; log {where}")
        log(f"{lost}; submitting them again")


def _check(job: Job, attempt: int, number: str, ended: Iterable[int]) -> None:
    """Raise SlurmError for a task that failed by itself, among those that have left the queue."""
    for task in ended:
        status, where = job.status(attempt, task), job.log(attempt, task)
        if status is not None and 0 < status < 128 and status != TEMPORARY and not _SIGNALLED.search(_text(where)):
            raise SlurmError(f"{job.name}: {_words(where)} (job {number}, task {task}, exit {status}; log {where})")


def _submit(cluster: Cluster, job: Job, attempt: int, tasks: Sequence[int]) -> str:
    script = job.folder / f"attempt-{attempt}.sh"
    script.write_text(job.script(attempt, tasks))
    # A run inside of an allocation would hand that one's size on to its jobs.
    inherited = {name: value for name, value in os.environ.items() if not _of_an_allocation(name)}
    command = ["sbatch", "--parsable", f"--chdir={Path.cwd()}", "--export=ALL", str(script)]
    error = ""
    for _ in range(cluster.tries):
        done = _ask(command, {**inherited, **job.environment})
        if done.returncode == 0:
            return done.stdout.strip().partition(";")[0]
        error = " ".join(done.stderr.split())
        if not _BUSY.search(error):
            break
        time.sleep(cluster.poll_s)
        if _queue(job.name):
            return "?"  # it was accepted, only the reply got lost
    raise SlurmError(f"{job.name}: sbatch refuses {script}: {error}")


def _of_an_allocation(name: str) -> bool:
    return name.startswith("SLURM_") and name != "SLURM_CONF"


def _after_a_poll(cluster: Cluster, job: Job, record: Path) -> list[tuple[int, str]]:
    """Wait for the time of one poll; return the tasks that are in the queue then, with their states.

    SlurmError when squeue did not answer for a long time.
    """
    for tries_left in reversed(range(10 * cluster.tries)):
        time.sleep(cluster.poll_s)
        record.touch()
        try:
            return _queue(job.name)
        except SlurmError:
            if not tries_left:
                raise
    raise AssertionError("tries is at least 1")


def _counted(waiting: Iterable[tuple[int, str]]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(Counter(state for _, state in waiting).items()))


def _queue(name: str) -> list[tuple[int, str]]:
    """Return the tasks of a job that are in the queue, each with its state, of a pending one with the reason."""
    mine = [f"--user={getpass.getuser()}", f"--name={name}"]
    listed = _ask(["squeue", "--noheader", "--array", *mine, "--format=%i|%T|%r"])
    if listed.returncode != 0:
        raise SlurmError(f"squeue does not answer: {' '.join(listed.stderr.split())}")
    found = []
    for line in listed.stdout.splitlines():
        number, state, why = (part.strip() for part in line.split("|"))
        found.append((int(number.partition("_")[2] or 0), f"pending ({why})" if state == "PENDING" else state.lower()))
    return found


def _results(cluster: Cluster, job: Job, attempt: int, tasks: Iterable[int]) -> dict[int, int | None]:
    """Return the exit status of each task. A network file system may show a file late: one poll more is waited."""
    found = {task: job.status(attempt, task) for task in tasks}
    if None in found.values():
        time.sleep(cluster.poll_s)
        list(job.folder.iterdir())  # has such a file system look again
        found = {task: job.status(attempt, task) for task in found}
    return found


def _states(number: str) -> str:
    """Return how SLURM accounts for the tasks of a job, if it does."""
    found = _ask(["sacct", "--allocations", "--noheader", "--parsable2", f"--jobs={number}", "--format=State,ExitCode"])
    counts = Counter(line.partition("|")[0].partition(" ")[0] for line in found.stdout.splitlines() if line)
    counts.pop("COMPLETED", None)
    return f" ({', '.join(f'{count} {state}' for state, count in sorted(counts.items()))})" if counts else ""


def _words(log: Path) -> str:
    """Return the last line of a log that states an error, or its last line."""
    text = _text(log)
    found = [match[1] for match in _ERROR_LINE.finditer(text)] or [line for line in text.splitlines() if line.strip()]
    return found[-1].strip() if found else "a task failed without a word"


def _text(log: Path) -> str:
    return log.read_text(errors="replace") if log.exists() else ""


def _note(record: Path, process: str) -> None:
    record.write_text(json.dumps({"host": platform.node(), "process": process}))


def _abandoned(cluster: Cluster) -> list[Path]:
    """Return the records of jobs that no process waits for any more."""
    found = []
    for record in sorted((cluster.jobs / _RECORDS).glob("*.json")):
        with contextlib.suppress(OSError, ValueError, KeyError):
            facts, age_s = json.loads(record.read_text()), time.time() - record.stat().st_mtime
            orphaned = facts["host"] == platform.node() and not is_alive(facts["process"])
            if orphaned or age_s > _FORGOTTEN_AFTER_S + 10 * cluster.poll_s:
                found.append(record)
    return found


def cancel_abandoned(cluster: Cluster) -> None:
    """Cancel the jobs that no process waits for any more, without waiting for their end."""
    for record in _abandoned(cluster):
        _cancel(record.stem)


def _clear_abandoned(cluster: Cluster, log: Callable[[str], None]) -> None:
    """Cancel those jobs and wait until they have left the queue: two trainings would write into one folder."""
    for record in _abandoned(cluster):
        log(f"cancelling {record.stem}: the process that waited for it is gone")
        _cancel(record.stem)
        for _ in range(10 * cluster.tries):
            if not _queue(record.stem):
                break
            time.sleep(cluster.poll_s)
        else:
            raise SlurmError(f"{record.stem} is still in the queue after scancel; cancel it, and delete {record}")
        record.unlink(missing_ok=True)


def _cancel(name: str) -> None:
    # In a session of its own: an interrupted command ends at once, the cancelling does not.
    with contextlib.suppress(OSError):
        command = ["scancel", f"--user={getpass.getuser()}", f"--name={name}"]
        subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )


def _ask(command: Sequence[str], environment: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a command of SLURM and return what it answered, whatever its exit status is."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_ANSWER_WITHIN_S, env=environment
        )
    except FileNotFoundError as error:
        raise SlurmError(
            f"SPELANGY_SLURM is set, but there is no {command[0]} here: start the run where jobs are submitted"
        ) from error
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", "socket timed out")
