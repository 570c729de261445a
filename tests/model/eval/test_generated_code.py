"""Generated code runs under limits: what it should not do it cannot, and it passes only by running to its end."""

from __future__ import annotations

import platform
import sys
from pathlib import Path

import pytest

from spelangy_model.eval.generated_code import Limits, confinement, run_program

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits of processes are Linux's here")
QUICK = Limits(timeout_s=30.0, cpu_s=1, memory_bytes=200 << 20)


@pytest.mark.parametrize(
    "program",
    [
        "def f(x):\n    return x + 1\nassert f(1) == 2",
        "import collections, hashlib, itertools, math, random, re, typing\nassert hashlib.md5(b'a').hexdigest()",
        "print('x' * 10**6)",
        "import os\nassert set(os.environ) <= {'LC_CTYPE'}",
    ],
    ids=["right", "imports", "prints", "empty_environment"],
)
def test_a_program_that_runs_to_its_end_passes(program: str) -> None:
    ended = run_program(program)
    assert (ended.passed, ended.stopped) == (True, False)


@pytest.mark.parametrize(
    "program",
    [
        *("assert 1 == 2", "def f(:", "x = '\ud800'", "import sys; sys.exit(0)", "import os; os._exit(0)"),
        "def f(n): return f(n + 1)\nf(0)",
    ],
    ids=["wrong", "no_python", "half_a_character", "exits", "leaves", "recursion"],
)
def test_a_program_that_does_not_run_to_its_end_does_not_pass(program: str) -> None:
    assert not run_program(program).passed


@pytest.mark.parametrize(
    ("program", "limits"),
    [
        ("while True: pass", QUICK),
        ("import time; time.sleep(60)", Limits(timeout_s=0.5)),
    ],
    ids=["endless_loop", "sleep"],
)
def test_what_does_not_end_is_stopped(program: str, limits: Limits) -> None:
    ended = run_program(program, limits)
    assert (ended.passed, ended.stopped) == (False, True)


def test_memory_is_limited() -> None:
    program = "try:\n    x = bytearray(1 << 30)\nexcept MemoryError:\n    x = None\nassert x is None"
    assert run_program(program, QUICK).passed


TRY = """
import os
def refused(call):
    try:
        call()
    except (OSError, RuntimeError, ValueError):
        return
    raise AssertionError
"""
REFUSED = {
    "fork": "refused(os.fork)",
    "subprocess": "import subprocess\nrefused(lambda: subprocess.run(['true']))",
    "exec": "refused(lambda: os.execv('/bin/true', ['true']))",
    "thread": "import threading\nrefused(threading.Thread(target=print).start)",
    "network": "import socket\nrefused(socket.socket)",
    "signal": "refused(lambda: os.kill(os.getppid(), 0))",
    "limits": "import resource\nrefused(lambda: resource.setrlimit(resource.RLIMIT_AS, (-1, -1)))",
}
ON_FILES = {
    "write": "open({path!r}, 'w')",
    "append": "open({path!r}, 'a')",
    "new": "open({path!r} + '.new', 'x')",
    "remove": "os.remove({path!r})",
    "rename": "os.rename({path!r}, {path!r} + '.new')",
    "truncate": "os.truncate({path!r}, 0)",
    "mode": "os.chmod({path!r}, 0)",
    "folder": "os.mkdir({path!r} + '.new')",
    "link": "os.symlink({path!r}, {path!r} + '.new')",
}

filtered = pytest.mark.skipif(platform.machine() not in ("x86_64", "aarch64"), reason="no filter for this machine")


@filtered
@pytest.mark.parametrize("name", REFUSED)
def test_processes_signals_and_network_are_refused(name: str) -> None:
    if confinement() != "confined":
        pytest.skip("this kernel takes no filter")
    assert run_program(TRY + REFUSED[name]).passed


@filtered
def test_files_stay_as_they_are_and_can_be_read(tmp_path: Path) -> None:
    if confinement() != "confined":
        pytest.skip("this kernel takes no filter")
    path = tmp_path / "kept"
    path.write_text("kept")
    tries = "\n".join(f"refused(lambda: {call.format(path=str(path))})" for call in ON_FILES.values())
    program = f"{TRY}\n{tries}\nassert open({str(path)!r}).read() == 'kept'"
    assert run_program(program).passed
    assert path.read_text() == "kept"
    assert [one.name for one in tmp_path.iterdir()] == ["kept"]
