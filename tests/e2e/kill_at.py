"""Runs recipe `tiny` in one worker, and kills the process that writes the first file that matches one of the patterns.

    python kill_at.py REPORT PATTERN before|after [PATTERN before|after ...]

REPORT is the file to which the number of the pair that matched is written.

The workers are started by spawning, which runs this module's top level in each of them: the trap is set there too.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Self

from spelangy_assets.store.files import Files

REPORT = Path(sys.argv[1])
KILLS = [(re.compile(pattern), moment) for pattern, moment in zip(sys.argv[2::2], sys.argv[3::2], strict=True)]


open_output, replace = Files.open_output, Files.replace


def die(path: str, moment: str) -> None:
    for number, (pattern, at) in enumerate(KILLS):
        if at == moment and pattern.search(path):
            REPORT.write_text(str(number))
            os.kill(os.getpid(), signal.SIGKILL)


class Stream:
    """A file that is being written, as the store uses it."""

    def __init__(self, path: str, stream: Any):
        self.path, self.stream, self.write = path, stream, stream.write

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        self.stream.close()
        die(self.path, "after")


def trapped_open(files: Files, path: str) -> Any:
    die(path, "before")
    return Stream(path, open_output(files, path))


def trapped_replace(files: Files, path: str, data: bytes) -> None:
    die(path, "before")
    replace(files, path, data)
    die(path, "after")


Files.open_output = trapped_open
Files.replace = trapped_replace

if __name__ == "__main__":
    from spelangy_assets.__main__ import main

    sys.exit(main(["run", "tiny", "--workers", "1"]))
