"""Column lineage that several stages share.

Put here: columns of more than one stage. Do not put here: columns of a single stage, which are in its module.
"""

from __future__ import annotations

# What came with a recording may replace what a stage would find.
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
