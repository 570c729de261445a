"""The location of the sample crawl in the package, and its snapshots.

Put here: its location and names. Do not put here: how it was made (tools/make_sample_crawl.py, docs/sample_crawl.md) or
how a snapshot is read. The folder `truth` beside the snapshots describes their contents; no stage may read it.
"""

from pathlib import Path

SAMPLE_CRAWL = Path(__file__).resolve().parent / "snapshots"
AUDIO_SNAPSHOTS = ("2026-01", "2026-02")
PAGE_SNAPSHOTS = ("2026-01", "2026-02")


def audio_snapshot(name: str) -> Path:
    """Return the folder of a snapshot's recordings, with their manifest.jsonl."""
    return SAMPLE_CRAWL / "audio" / name


def page_snapshot(name: str) -> Path:
    """Return the folder of a snapshot's web archives."""
    return SAMPLE_CRAWL / "pages" / name
