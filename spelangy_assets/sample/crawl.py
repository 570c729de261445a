"""Where the sample crawl lies in the package, and which snapshots it has.

Put here: its location and names. Do not put here: how it was made (tools/make_sample_crawl.py, docs/sample_crawl.md) or
how a snapshot is read. The folder `truth` beside the snapshots tells what is in them; no stage may look at it.
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
