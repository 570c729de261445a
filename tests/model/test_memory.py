import subprocess
import sys

import numpy as np


def test_the_peak_of_memory_is_that_of_the_process_and_not_of_what_started_it() -> None:
    large = np.ones(1 << 25)  # 256 MiB that the process below never has
    code = "from spelangy_model.memory import peak_memory_bytes; print(peak_memory_bytes())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert 1e6 < int(done.stdout) < large.nbytes
