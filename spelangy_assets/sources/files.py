"""Where a snapshot's raw material comes from, and its version.

Put here: what identifies a source, and its files. Do not put here: what they mean (the crawl stages know).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow.fs as pafs

from spelangy_assets.execution.stage import InputError
from spelangy_assets.store.artifacts import Address
from spelangy_assets.store.files import Files
from spelangy_assets.store.fingerprint import digest_of


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

    def __init__(self, place: Path | str):
        self.place = place
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
        """Return the version: of a folder by names and contents.

        Of a prefix by names, sizes and times of upload, because a bucket is not read only to learn that it is the same;
        the same objects uploaded again are ingested again, to the same bytes, and nothing below that is repeated.
        """
        if self._bucket is not None:
            listing = [[name, info.size, info.mtime_ns] for name, info in self._objects()]
            return digest_of(listing)[:24]
        listing = []
        for name in self.names():
            try:
                with self.open(name) as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
            except PermissionError:
                digest = "unreadable"  # the stage rejects it by name
            listing.append([printable(name), digest])
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


@dataclass(frozen=True)
class Packaged:
    """A snapshot that the package itself carries, by its path inside of the sample's snapshots."""

    path: str


@dataclass(frozen=True)
class Arriving:
    """A snapshot in its folder of SPELANGY_SNAPSHOTS. `texts`: a `text` of any manifest is what is said in its file."""

    texts: bool = False


def checked_sources(snapshots: Mapping[str, Any], rendered: type) -> dict[str, Any]:
    """Return the sources of a crawl's snapshots. TypeError for what is none, ValueError for a name of no folder."""
    if not isinstance(snapshots, Mapping):
        raise TypeError(f"snapshots are a mapping from names to sources, not {type(snapshots).__name__}")
    for name, source in snapshots.items():
        Address("recipe", "crawl", name)
        if not isinstance(source, Packaged | Arriving | rendered):
            raise TypeError(
                f"snapshot {name!r}: {type(source).__name__} is no source; take Packaged, Arriving or one that renders"
            )
    return dict(snapshots)


@dataclass(frozen=True)
class FolderSource:
    """A snapshot that is a folder of files, or an s3:// prefix; see SnapshotFiles for what identifies it.

    `texts`: a `text` that any manifest has of a file is what is said in it (see audio_manifests.py).
    """

    path: Path | str
    texts: bool = False

    def content_version(self) -> str:
        """Return the version of the files, and whether their texts are read."""
        version = SnapshotFiles(self.path).version()
        return f"{version}+texts" if self.texts else version


def printable(name: str) -> str:
    """Return a file's name as text that any record can hold: bytes that are no text as \\xNN."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _sort_key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
