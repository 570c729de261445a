"""Where columns come from that several stages make of the same inputs.

Put here: columns of more than one stage. Do not put here: those of one stage, which stand in its module.
"""

from __future__ import annotations

# What came with recordings may stand in the place of what a stage would find.
GIVEN_COLUMNS = ("raw_audio.audio", "raw_audio.utterances")
SCRIPT_COLUMNS: dict[str, tuple[str, ...]] = {
    "document_id": ("raw_pages.page_id",),
    "page_id": ("raw_pages.page_id",),
    "url": ("raw_pages.url",),
    "licence": ("raw_pages.licence",),
    "title": ("raw_pages.html",),
    "lines": ("raw_pages.html",),
    "evidence": ("raw_pages.html",),
}
