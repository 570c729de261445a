"""Where a snapshot's raw material comes from, and its version.

Put here: what identifies a source, and its files. Do not put here: what they mean (the crawl stages know).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import pyarrow.fs as pafs

from spelangy_assets.execution.stage import InputError
from spelangy_assets.store.files import Files
from spelangy_assets.store.fingerprint import digest_of

_SETTLED_NS = 2_000_000_000


def files_of(folder: Path) -> list[Path]:
    """Return the files below a snapshot's folder in a stable order; hidden files are passed over.

    Raises InputError when there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: put the snapshot's files there, or name another folder of snapshots")
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(
        (path for path in found if not _is_hidden(path.relative_to(folder).as_posix())),
        key=lambda path: _sort_key(path.relative_to(folder).as_posix()),
    )


class SnapshotFiles:
    """The files of a snapshot by name relative to it: below a folder, or below an s3:// prefix (see store/files.py)."""

    def __init__(self, place: Path | str, digests: Path | None = None):
        self.place = place
        self._digests = digests
        self._bucket = Files(place) if isinstance(place, str) else None

    @property
    def where(self) -> str:
        """Words for the place, without the secrets that a URI may bear."""
        return self._bucket.uri if self._bucket else str(self.place)

    @property
    def roots(self) -> list[str]:
        """The absolute names that the place has; a manifest may use them."""
        if isinstance(self.place, Path):
            return [self.place.absolute().as_posix(), self.place.resolve().as_posix()]
        return []

    def names(self) -> list[str]:
        """Return the names of all files that are not hidden, in a stable order. InputError when there is no such place.

        Names that are no text hold surrogates, as Python's file names do.
        """
        if self._bucket is None:
            folder = self._folder
            return [path.relative_to(folder).as_posix() for path in files_of(folder)]
        return [name for name, _ in self._objects()]

    def empty_folders(self) -> list[str]:
        """Return the folders that hold nothing; a bucket has none."""
        if self._bucket is not None:
            return []
        found = (path for path in self._folder.rglob("*") if path.is_dir() and not any(path.iterdir()))
        names = (path.relative_to(self._folder).as_posix() for path in found)
        return sorted((name for name in names if not _is_hidden(name)), key=_sort_key)

    def path(self, name: str) -> Path | None:
        """Return where a file lies on this machine's disk; None when it lies elsewhere."""
        return None if self._bucket else self._folder / name

    def open(self, name: str) -> IO[bytes]:
        """Open a file that can be sought in."""
        if self._bucket is None:
            return (self._folder / name).open("rb")
        stream: Any = self._bucket.filesystem.open_input_file(self._bucket.full(name))
        return stream

    def read(self, name: str) -> bytes:
        with self.open(name) as stream:
            return stream.read()

    def version(self) -> str:
        """Return the version: of a folder by names and contents, of which those are read that changed since they were
        read last, where digests are remembered.

        Of a prefix by names, sizes and times of upload, because a bucket is not read only to learn that it is the same;
        the same objects uploaded again are ingested again, to the same bytes, and nothing below that is repeated.
        """
        if self._bucket is not None:
            listing = [[name, info.size, info.mtime_ns] for name, info in self._objects()]
            return digest_of(listing)[:24]
        remembered = _Digests(self._digests, self._folder)
        listing = []
        for name in self.names():
            try:
                digest = remembered.of(printable(name), self._folder / name)
            except PermissionError:
                digest = "unreadable"  # the stage rejects it by name
            listing.append([printable(name), digest])
        remembered.write()
        return digest_of(listing)[:24]

    @property
    def _folder(self) -> Path:
        return Path(self.place)

    def _objects(self) -> list[tuple[str, pafs.FileInfo]]:
        assert self._bucket is not None
        base = self._bucket.full("")
        found = self._bucket.filesystem.get_file_info(pafs.FileSelector(base, recursive=True, allow_not_found=True))
        named = [(info.path.removeprefix(f"{base}/"), info) for info in found if info.type == pafs.FileType.File]
        if not named:
            raise InputError(f"nothing below {self._bucket.uri}: upload the snapshot's files, or name another prefix")
        return sorted(((n, info) for n, info in named if not _is_hidden(n)), key=lambda item: _sort_key(item[0]))


class _Digests:
    """The SHA-256 of the files of one folder, remembered by name, size and times between processes.

    A file that changed within the last seconds is not remembered: it may change again within one tick of its clock.
    """

    def __init__(self, folder: Path | None, snapshot: Path):
        place = hashlib.sha256(os.fsencode(snapshot.absolute())).hexdigest()[:32]
        self._file = None if folder is None else folder / f"{place}.json"
        self._before: dict[str, list[Any]] = {}
        self._now: dict[str, list[Any]] = {}
        if self._file is not None:
            try:
                found = json.loads(self._file.read_bytes())
                self._before = found if isinstance(found, dict) else {}
            except (OSError, ValueError):
                self._before = {}  # none yet, or torn: all is read

    def of(self, name: str, file: Path) -> str:
        """Return the digest of a file; PermissionError when it must be read and cannot."""
        with file.open("rb") as stream:
            found = os.fstat(stream.fileno())
            facts = [found.st_size, found.st_mtime_ns, found.st_ctime_ns]
            known = self._before.get(name)
            if isinstance(known, list) and known[:3] == facts and len(known) == 4:
                digest = str(known[3])
            else:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        if time.time_ns() - max(found.st_mtime_ns, found.st_ctime_ns) > _SETTLED_NS:
            self._now[name] = [*facts, digest]
        return digest

    def write(self) -> None:
        """Remember what was found. A cache folder that cannot be written costs a reading, not the run."""
        if self._file is None or self._now == self._before:
            return
        with contextlib.suppress(OSError):
            self._file.parent.mkdir(parents=True, exist_ok=True)
            draft = self._file.with_name(f".{self._file.name}.{os.getpid()}-{threading.get_ident()}")
            draft.write_text(json.dumps(self._now))
            draft.replace(self._file)


@dataclass(frozen=True)
class FolderSource:
    """A snapshot that is a folder of files, or an s3:// prefix; see SnapshotFiles for what identifies it.

    `texts`: a `text` that any manifest has of a file is what is said in it (see audio_manifests.py). `digests` is a
    folder in which the digests of files on disk are remembered.
    """

    path: Path | str
    texts: bool = False
    digests: Path | None = field(default=None, compare=False, repr=False)

    def version(self) -> str:
        """Return the version of the files, and whether their texts are read."""
        version = SnapshotFiles(self.path, self.digests).version()
        return f"{version}+texts" if self.texts else version


def printable(name: str) -> str:
    """Return a file's name as text that any record can hold: bytes that are no text as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _sort_key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
