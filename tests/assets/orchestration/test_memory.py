"""Memory of several processes: shared pages count once."""

from __future__ import annotations

import subprocess
import sys

import pytest

CODE = """
import os, sys
from spelangy_assets.orchestration.memory import PeakMemory
import psutil

block = bytearray(os.urandom(1)) * 200_000_000
ends_read, ends_write = os.pipe()
ready_read, ready_write = os.pipe()
children = int(sys.argv[1])
for _ in range(children):
    if os.fork() == 0:
        os.close(ends_write)
        sum(block[::4096])  # reads each page, and so shares it
        os.write(ready_write, b"1")
        os.read(ends_read, 1)
        os._exit(0)
for _ in range(children):
    os.read(ready_read, 1)
memory = PeakMemory()
memory.look(["b", "a"])
first = memory.peak_bytes
memory.look(["c"])
assert memory.peak_bytes == first
os.close(ends_write)
for _ in range(children):
    os.wait()
memory.look(["c"])
assert memory.peak_bytes == first
assert memory.peak_runs == ["a", "b"]
print(first)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="PSS is Linux's")
def test_a_page_that_processes_share_counts_once() -> None:
    alone, with_three = (
        int(subprocess.run([sys.executable, "-c", CODE, count], capture_output=True, check=True).stdout)
        for count in ("0", "3")
    )
    assert alone > 200_000_000
    assert with_three < alone + 40_000_000, "three more processes of 200 MB that they share"
