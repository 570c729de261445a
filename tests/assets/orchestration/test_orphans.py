"""A worker goes with the process that started it, and takes along what it started."""

import subprocess
import sys
import time

import psutil
import pytest

from spelangy_assets.orchestration.orphans import end_with_parent, kill_trees

PARENT = """
import multiprocessing, os, subprocess, sys, time
from spelangy_assets.orchestration.orphans import end_with_parent, kill_trees

def worker():
    end_with_parent()
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    print(os.getpid(), child.pid, flush=True)
    time.sleep(60)

if __name__ == "__main__":
    multiprocessing.get_context("spawn").Process(target=worker).start()
    time.sleep(60)
"""


def test_a_killed_parent_leaves_neither_the_lane_nor_its_children(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    below = [psutil.Process(int(word)) for word in parent.stdout.readline().split()]
    assert len(below) == 2
    assert all(process.is_running() for process in below)
    parent.kill()
    parent.wait()
    ends = time.monotonic() + 30
    while time.monotonic() < ends and any(_lives(process) for process in below):
        time.sleep(0.02)
    assert not any(_lives(process) for process in below)


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_without_a_parent_there_is_nothing_to_end_with():
    with pytest.raises(RuntimeError, match="multiprocessing"):
        end_with_parent()


def test_a_tree_is_killed_with_what_it_starts_at_that_moment():
    starts = "import subprocess, sys, time\nwhile True: subprocess.Popen(['sleep', '60']); time.sleep(0.001)"
    root = subprocess.Popen([sys.executable, "-c", starts])
    me = psutil.Process(root.pid)
    while len(me.children()) < 5:
        time.sleep(0.01)
    kill_trees([me])
    root.wait()
    assert not [
        one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == ["sleep", "60"] and _lives(one)
    ]
