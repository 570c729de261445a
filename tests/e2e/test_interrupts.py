"""`demo` is interrupted: it ends with its workers within seconds, says one line, and the next run goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

LIMIT_S = 5.0

pytestmark = pytest.mark.slow


def demo_at_work(home: Path, number: signal.Signals) -> subprocess.Popen[str]:
    """Start recipe `tiny`, open to a signal, and wait until it has made a dataset."""
    before = signal.signal(number, signal.default_int_handler)  # a runner may ignore it, and a child inherits that
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("SPELANGY_", "DAGSTER_"))}
    demo = subprocess.Popen(
        [sys.executable, "-m", "spelangy_assets", "run", "tiny"],
        env={**environment, "SPELANGY_HOME": str(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # a process group of its own, as a terminal gives a command
    )
    signal.signal(number, before)
    assert demo.stdout is not None
    while "kept" not in demo.stdout.readline():
        assert demo.poll() is None
    return demo


@pytest.mark.parametrize(
    ("number", "to_group", "after_s", "name"),
    [
        (signal.SIGINT, True, 1.0, "Ctrl-C"),  # as a terminal sends it
        pytest.param(signal.SIGINT, False, 6.0, "Ctrl-C", marks=pytest.mark.nightly),
        (signal.SIGTERM, False, 3.0, "SIGTERM"),
        pytest.param(signal.SIGHUP, True, 2.0, "SIGHUP", marks=pytest.mark.nightly),
    ],
)
def test_an_interrupted_demo_ends_soon_and_says_so(
    number: signal.Signals, to_group: bool, after_s: float, name: str, tmp_path: Path
):
    demo = demo_at_work(tmp_path, number)
    time.sleep(after_s)
    below = psutil.Process(demo.pid).children(recursive=True)
    assert len(below) >= 2
    started = time.monotonic()
    if to_group:
        os.killpg(demo.pid, number)
    else:
        demo.send_signal(number)
    _, stderr = demo.communicate(timeout=60)
    _, left = psutil.wait_procs(below, timeout=max(0.0, started + LIMIT_S - time.monotonic()))
    ended = time.monotonic() - started
    assert stderr.strip() == f"interrupted by {name}; run again to continue"
    assert demo.returncode == 128 + number
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
    assert ended < LIMIT_S + 1.0


def test_a_killed_worker_ends_the_demo_with_one_line(tmp_path: Path):
    demo = demo_at_work(tmp_path, signal.SIGINT)
    below = psutil.Process(demo.pid).children(recursive=True)
    base = next(process for process in psutil.Process(demo.pid).children() if process.children())
    base.children()[0].kill()
    _, stderr = demo.communicate(timeout=60)
    assert stderr.strip() == "spelangy: a worker died (killed, or out of memory); run again to continue"
    assert demo.returncode == 2
    _, left = psutil.wait_procs(below, timeout=LIMIT_S)
    assert not [process for process in left if process.status() != psutil.STATUS_ZOMBIE]
