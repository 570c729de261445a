"""A command that a signal ends says one line, whatever the signal meets."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from spelangy_assets.cli.interrupts import run_until_interrupted

_COMMAND = """
import ctypes, os, signal, sys, time
from spelangy_assets.cli import interrupts
interrupts.PATIENCE_S = 0.2
for one in interrupts.SIGNALS:
    signal.signal(one, signal.SIG_DFL)  # whatever the test's own process ignores

def usual():
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(60)
    return 0

def swallowed():
    ctypes.CFUNCTYPE(None)(lambda: os.kill(os.getpid(), signal.SIGTERM))()
    sys.stderr.flush()
    time.sleep(60)
    return 0

def twice():
    try:
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        interrupts.PATIENCE_S = 60
        os.kill(os.getpid(), signal.SIGHUP)
    return 0

def ignored():
    os.kill(os.getpid(), signal.SIGHUP)
    return 3

if sys.argv[1] == "ignored":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
sys.exit(interrupts.run_until_interrupted(globals()[sys.argv[1]]))
"""


def _run(kind: str) -> tuple[int, list[str]]:
    done = subprocess.run([sys.executable, "-c", _COMMAND, kind], capture_output=True, text=True, timeout=50)
    return done.returncode, done.stderr.split("\n")


@pytest.mark.parametrize(
    ("kind", "status", "line"),
    [
        ("usual", 128 + signal.SIGTERM, "interrupted by SIGTERM; run again to continue"),
        ("swallowed", 128 + signal.SIGTERM, "interrupted by SIGTERM; run again to continue"),
        ("twice", 128 + signal.SIGHUP, "interrupted by SIGHUP; run again to continue"),
        ("ignored", 3, ""),
    ],
)
def test_a_signal_ends_a_command_with_one_line(kind: str, status: int, line: str):
    ended, lines = _run(kind)
    assert ended == status
    assert lines[-2:] == ([line, ""] if line else [""])
    assert kind == "swallowed" or [text for text in lines if text] == [line] * bool(line)


def test_a_command_that_is_not_interrupted_leaves_the_handlers_as_they_were():
    before = [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)]
    assert run_until_interrupted(lambda: 4) == 4
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
    with pytest.raises(ZeroDivisionError):
        run_until_interrupted(lambda: os.getpid() // 0)
    assert [signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)] == before
