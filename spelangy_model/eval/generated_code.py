"""Runs Python that a language model wrote, to see whether it passes its test. Never without a person's permission.

Put here: starting the process, and how it ended. Do not put here: what the process takes from itself
(confined_python.py) or tasks (harness.py).

Each program runs in a process of its own: an empty environment, an empty folder, a new session that is killed as a
whole after `timeout_s`, limits of processor time, memory, open files, file sizes and processes. Where the kernel takes
a filter of system calls (seccomp: Linux on x86_64 and aarch64), it has no network, starts no process and no thread,
signals no other process, and makes, changes and removes no file; elsewhere it has the limits alone. `confinement`
states which.

This is no sandbox. The program runs as the user and may read all that the user may read.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spelangy_model.rng import stable_hash

ALLOW_VARIABLE = "SPELANGY_ALLOW_GENERATED_CODE"
_SCRIPT = Path(__file__).with_name("confined_python.py")


@dataclass(frozen=True)
class Limits:
    """What one program may take. `timeout_s` is by the clock, `cpu_s` of the processor."""

    timeout_s: float = 10.0
    cpu_s: int = 5
    memory_bytes: int = 1 << 30


@dataclass(frozen=True)
class Ended:
    """How a program ended. `stopped`: by the clock or by a signal, as that of the limit of processor time."""

    passed: bool
    stopped: bool


def run_program(program: str, limits: Limits | None = None) -> Ended:
    """Run a Python program; it passes where it runs to its end without an exception.

    A program that ends itself early, with `exit()` or `os._exit(0)`, does not pass. Raises OSError where no process can
    be started.
    """
    nonce = stable_hash("ended", ascii(program))  # what no program writes by accident
    given = json.dumps({"nonce": nonce, "program": program}).encode("utf-8", "backslashreplace")
    written, code, in_time = _start(given, "run", limits or Limits())
    _, _, rest = written.partition(b"\n")
    return Ended(passed=in_time and code == 0 and rest == nonce.encode(), stopped=not in_time or code < 0)


def confinement() -> Literal["confined", "limited"]:
    """Return whether programs here are under the filter, or under limits alone. RuntimeError: not even under limits."""
    written, code, _ = _start(b"", "probe", Limits())
    state = written.strip().decode()
    if code != 0 or state not in ("confined", "limited"):
        raise RuntimeError("this system sets no limits on a process: generated code cannot run here")
    return "confined" if state == "confined" else "limited"


def _start(given: bytes, what: str, limits: Limits) -> tuple[bytes, int, bool]:
    """Return what the process wrote, its exit status, and whether it ended in time."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-I", "-S", "-B", str(_SCRIPT), str(limits.memory_bytes), str(limits.cpu_s), what]
        process = subprocess.Popen(
            command,
            env={},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            written, _ = process.communicate(given, timeout=limits.timeout_s)
            return written, process.returncode, True
        except subprocess.TimeoutExpired:
            return b"", -signal.SIGKILL, False
        finally:
            _kill_session(process)


def _kill_session(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and all that it started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
