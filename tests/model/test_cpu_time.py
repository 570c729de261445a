"""CPU seconds of this process and of its children."""

import subprocess
import sys
import time

from spelangy_model.cpu_time import child_cpu_seconds, cpu_seconds

WORKS = """
import os, time
while time.process_time() < 0.3:
    pass
print(time.process_time(), flush=True)
os._exit(0)
"""


def test_a_child_counts_with_all_that_it_used_once_it_was_waited_for():
    for _ in range(5):  # a count in hundredths of a second is too small for some of them
        before = child_cpu_seconds()
        used = float(subprocess.run([sys.executable, "-c", WORKS], capture_output=True, check=True).stdout)
        assert used <= child_cpu_seconds() - before < used + 0.3


def test_one_s_own_seconds_count_too():
    begun, children, own = cpu_seconds(), child_cpu_seconds(), time.process_time()
    while time.process_time() < own + 0.1:
        pass
    assert 0.09 < cpu_seconds() - begun < 0.3
    assert child_cpu_seconds() == children
