"""Where a snapshot's raw material comes from, and its version.

Put here: what identifies a source. Do not put here: reading it (the crawl stages do).
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from spelangy_assets.stages.stage import FolderSource, InputError
from spelangy_assets.store.fingerprint import digest_of, fingerprint


def files_of(folder: Path) -> list[Path]:
    """Return the files below a snapshot's folder in a stable order; hidden files are passed over.

    Raises InputError when there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: put the snapshot's files there, or name another folder of snapshots")
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        (path for path in found if not any(part.startswith(".") for part in path.relative_to(folder).parts)),
        key=lambda path: path.relative_to(folder).as_posix().encode("utf-8", "surrogateescape"),
    )


def source_version(source: object) -> str:
    """Return the version of a source: a folder by names and contents, a rendered snapshot by its literal."""
    if not isinstance(source, FolderSource):
        return fingerprint(source)[:24]
    listing = []
    for path in files_of(source.path):
        try:
            with path.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
        except PermissionError:
            digest = "unreadable"  # the stage rejects it by name
        name = path.relative_to(source.path).as_posix().encode("utf-8", "backslashreplace").decode()
        listing.append([name, digest])
    return digest_of(listing)[:24]
