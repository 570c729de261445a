"""Workers and what they launch are forked from one process, which has imported the libraries."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from spelangy_assets.orchestration.base_process import libraries_of
from spelangy_assets.recipes.registry import recipe_named

# `colorsys` stands for a heavy library: nothing else imports it.
SCRIPT = """
import json, multiprocessing, os, signal, sys, time
import psutil
from spelangy_assets.orchestration.base_process import Launch, base_process

def body(folder, job, launcher):
    job(folder, launcher)

def report(folder, launcher):
    asked = [Launch("toy_child", folder / f"{name}.json", {**os.environ, "TOY": name})
             for name in ("works", "exits", "raises", "is_killed")]
    ended = [launcher(one) for one in asked]
    (folder / "report.json").write_text(json.dumps({
        "imported": "colorsys" in sys.modules,
        "base": os.getppid(),
        "exit_status": [one.exit_status for one in ended],
        "cpu_seconds": [one.cpu_seconds for one in ended],
    }))

def launch_for_ever(folder, launcher):
    launcher(Launch("toy_child", folder / "sleeps.json", {**os.environ, "TOY": "sleeps"}))

def launch_with_own_errors(folder, launcher):
    with (folder / "errors.txt").open("w") as errors:
        kept = os.dup(2)
        os.dup2(errors.fileno(), 2)
        launcher(Launch("toy_child", folder / "raises.json", {**os.environ, "TOY": "raises"}))
        os.dup2(kept, 2)

def be_interrupted(folder, launcher):
    def interrupt(*_):
        raise InterruptedError
    signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1)
    try:
        launch_for_ever(folder, launcher)
    except InterruptedError:
        left = psutil.pid_exists(int((folder / "sleeps.txt").read_text().split()[0]))
        launcher.connection.send((launcher.number, None))  # too late: as if the signal came after the answer
        ended = launcher(Launch("toy_child", folder / "exits.json", {**os.environ, "TOY": "exits"}))
        (folder / "report.json").write_text(json.dumps([left, ended.exit_status]))

def ask_for_nonsense(folder, launcher):
    while not (folder / "sleeps.txt").exists():
        time.sleep(0.01)
    launcher("no request")

def fail(folder, launcher):
    while not (folder / "sleeps.txt").exists():
        time.sleep(0.01)
    if (folder / "wait").exists():
        time.sleep(60)
    os._exit(9)

if __name__ == "__main__":
    from pathlib import Path
    folder, jobs = Path(sys.argv[1]), [globals()[name] for name in sys.argv[2:]]
    base = multiprocessing.get_context("spawn").Process(
        target=base_process, args=(["no_such_library", "broken", "colorsys"], body, [(folder, job) for job in jobs])
    )
    base.start()
    base.join()
    print(base.exitcode)
"""

CHILD = """
import os, sys, time
from pathlib import Path

def main(arguments):
    name = Path(arguments[0]).stem
    Path(arguments[0]).with_suffix(".txt").write_text(f"{os.getpid()} {os.getppid()} {os.environ.pop('TOY')}")
    if name == "works":
        began = time.process_time()
        while time.process_time() < began + 0.3:
            pass
    if name == "exits":
        raise SystemExit(3)
    if name == "raises":
        raise ValueError("a mistake")
    if name == "is_killed":
        os.kill(os.getpid(), 9)
    if name == "sleeps":
        time.sleep(60)
"""


@pytest.fixture
def start(tmp_path: Path) -> Any:
    (tmp_path / "parent.py").write_text(SCRIPT)
    (tmp_path / "toy_child.py").write_text(CHILD)
    (tmp_path / "broken.py").write_text("raise ValueError('numpy.dtype size changed')")
    paths = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])

    def started(*jobs: str) -> subprocess.Popen[str]:
        command = [sys.executable, str(tmp_path / "parent.py"), str(tmp_path), *jobs]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths}, **streams)

    return started


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere processes are not forked")
def test_what_a_worker_launches_is_forked_and_its_end_is_returned(start: Any, tmp_path: Path):
    parent = start("report")
    output, errors = parent.communicate(timeout=60)
    assert output.split() == ["0"], errors
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["imported"]
    assert report["exit_status"] == [0, 3, 1, -signal.SIGKILL]
    assert "ValueError: a mistake" in errors
    cpu_seconds = report["cpu_seconds"]
    assert 0.3 <= cpu_seconds[0] < 1.5
    assert all(0 <= seconds < 0.3 for seconds in cpu_seconds[1:])
    for name in ("works", "exits", "raises", "is_killed"):
        _, above, environment = (tmp_path / f"{name}.txt").read_text().split()
        assert (int(above), environment) == (report["base"], name)


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it writes where the base process writes")
def test_what_a_worker_launches_writes_where_the_worker_writes(start: Any, tmp_path: Path):
    output, errors = start("launch_with_own_errors").communicate(timeout=60)
    assert output.split() == ["0"], errors
    assert "ValueError: a mistake" in (tmp_path / "errors.txt").read_text()
    assert "a mistake" not in errors


def test_an_interrupted_worker_ends_what_it_launched_and_gets_the_next_answer(start: Any, tmp_path: Path):
    output, errors = start("be_interrupted").communicate(timeout=60)
    assert output.split() == ["0"], errors
    assert json.loads((tmp_path / "report.json").read_text()) == [False, 3]


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_others_and_what_they_launched(start: Any, tmp_path: Path):
    parent = start("launch_for_ever", "fail")
    assert parent.communicate(timeout=60)[0].split() == ["1"]
    assert not _lives(_launched(tmp_path))


@pytest.mark.slow
def test_a_base_process_that_fails_ends_all(start: Any, tmp_path: Path):
    parent = start("launch_for_ever", "ask_for_nonsense")
    output, errors = parent.communicate(timeout=60)
    assert output.split() == ["1"]
    assert "AttributeError" in errors
    assert not _lives(_launched(tmp_path))


@pytest.mark.slow
def test_a_killed_parent_leaves_nothing(start: Any, tmp_path: Path):
    (tmp_path / "wait").touch()
    parent = start("launch_for_ever", "fail")
    ends = time.monotonic() + 60
    while not (tmp_path / "sleeps.txt").exists() and time.monotonic() < ends:
        time.sleep(0.01)
    below = psutil.Process(parent.pid).children(recursive=True)
    assert {process.pid for process in below} > {_launched(tmp_path)}
    parent.kill()
    parent.communicate()
    left = {process.pid for process in below}
    while any(map(_lives, left)) and time.monotonic() < ends:
        time.sleep(0.02)
    assert not [pid for pid in left if _lives(pid)]


def _launched(folder: Path) -> int:
    return int((folder / "sleeps.txt").read_text().split()[0])


def _lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_torch_is_imported_once_where_stages_need_it_and_never_for_a_gpu():
    graph = recipe_named("sample").graph

    def heavy(names: list[str], device: str = "cpu") -> list[str]:
        modules = libraries_of([graph[name] for name in names], device)
        return [name for name in modules if name in ("torch", "spelangy_model.train.run")]

    assert heavy(["raw_pages", "quest_pairs"]) == []
    assert heavy(["raw_audio", "speech_segments"]) == ["torch"]
    assert heavy(["run_quest", "eval_quest"]) == ["torch", "spelangy_model.train.run"]
    assert heavy(["run_quest", "eval_quest"], "cuda") == []
