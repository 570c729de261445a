import subprocess
import sys

import numpy as np
import pytest


def test_the_peak_of_memory_is_that_of_the_process_and_not_of_what_started_it() -> None:
    large = np.ones(1 << 25)  # 256 MiB that the process below never has
    code = "from spelangy_model.memory import peak_memory_bytes; print(peak_memory_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1e6 < int(done.stdout) < large.nbytes


RESIDENT = """
import os
from spelangy_model.memory import release_free_memory

def resident_mb():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only glibc can be asked")
def test_what_is_freed_below_what_stays_is_given_back():
    code = """
blocks = [bytearray(b"x" * 2000) for _ in range(50_000)]
last = blocks[-1]
del blocks
freed = resident_mb()
release_free_memory()
print(freed - resident_mb())
"""
    done = subprocess.run([sys.executable, "-c", RESIDENT + code], capture_output=True, text=True, check=True)
    assert float(done.stdout) > 80


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_arrow_has_freed_is_given_back():
    code = """
import pyarrow as pa
names = [str(number) * 20 for number in range(10_000)]
columns = [pa.array(names) for _ in range(50)]
del columns
freed = resident_mb()
release_free_memory()
print(pa.default_memory_pool().bytes_allocated(), freed - resident_mb())
"""
    done = subprocess.run([sys.executable, "-c", RESIDENT + code], capture_output=True, text=True, check=True)
    held, given_back_mb = done.stdout.split()
    assert int(held) == 0
    assert float(given_back_mb) > 15
