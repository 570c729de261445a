"""Sound inside of a page, up to a limit, so that the page still opens.

Put here: how the sound of a chunk or a question is embedded. Do not put here: which of them a page shows.
"""

from __future__ import annotations

import base64

from spelangy_model.records import Chunk, SpokenQuestion


class AudioBudget:
    def __init__(self, limit_bytes: int):
        self._limit = limit_bytes
        self._used = self._with = self._without = 0

    def embed(self, chunk: Chunk | SpokenQuestion) -> str:
        """Return a data URI, or nothing when it would pass the limit."""
        encoded = base64.b64encode(chunk.audio.bytes).decode()
        if self._used + len(encoded) > self._limit:
            self._without += 1
            return ""
        self._used += len(encoded)
        self._with += 1
        return f"data:audio/flac;base64,{encoded}"

    def note(self) -> str:
        held = f"{self._with} chunks have their sound in this page ({self._used / 2**20:.1f} MiB)"
        if not self._without:
            return f"{held}; it needs no network."
        return f"{held}; {self._without} do not, because the page holds at most {self._limit / 2**20:.0f} MiB of sound."
