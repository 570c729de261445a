"""Runs `demo --recipe tiny` over one worker, and kills the process that writes the first file that matches a pattern.

    python kill_at.py PATTERN before|after

The workers are started by spawning, which runs this module's top level in each of them: the trap is set there too.
"""

from __future__ import annotations

import os
import re
import signal
import sys
from typing import Any, Self

from spelangy_assets.store.files import Files

PATTERN, MOMENT = re.compile(sys.argv[1]), sys.argv[2]


open_output, replace = Files.open_output, Files.replace


def die(path: str, moment: str) -> None:
    if PATTERN.search(path) and moment == MOMENT:
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
