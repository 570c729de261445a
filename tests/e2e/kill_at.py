"""Runs `demo --recipe tiny` over one lane, and kills the process that writes the first file that matches a pattern.

    python kill_at.py PATTERN before|after

The lanes are started by spawning, which runs this module's top level in each of them: the trap is set there too.
"""

from __future__ import annotations

import os
import re
import signal
import sys

from spelangy_assets.store.files import Files

PATTERN, MOMENT = re.compile(sys.argv[1]), sys.argv[2]


def trap(name: str) -> None:
    original = getattr(Files, name)

    def trapped(self: Files, path: str, data: bytes) -> None:
        hit = PATTERN.search(path)
        if hit and MOMENT == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        original(self, path, data)
        if hit:
            os.kill(os.getpid(), signal.SIGKILL)

    setattr(Files, name, trapped)


trap("write")
trap("replace")

if __name__ == "__main__":
    from spelangy_assets.__main__ import main

    sys.exit(main(["demo", "--recipe", "tiny", "--lanes", "1"]))
