"""Where a snapshot's raw material comes from, and its version.

Put here: what identifies a source, and its files. Do not put here: what they mean (the crawl stages know).
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import stat
import threading
import time
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import IO, Any

import pyarrow.fs as pafs

from spelangy_assets.execution.stage import InputError
from spelangy_assets.store.files import Files
from spelangy_assets.store.fingerprint import digest_of, payload_of
from spelangy_assets.store.names import check_name

_SETTLED_NS = 2_000_000_000


@dataclass(frozen=True)
class Odd:
    """A directory entry that is no file to be read: its name in the snapshot, a fixed word and words for why."""

    name: str
    reason: str
    detail: str


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFCHR: "a character device",
}


_OF_THE_ENTRY = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)  # what else fails is the disk's: it stops the run


def walk(folder: Path) -> tuple[list[str], list[Odd]]:
    """Return the files below a snapshot's folder, and what else is there, by name relative to it, in a stable order.

    Hidden entries are passed over. Links are followed: to files, and to folders, each of which is gone through once, so
    that a loop of links ends; a further link to it is odd (`linked_twice`). Odd, too, are links to nothing
    (`dangling_link`), pipes, sockets and devices (`not_a_file`), folders that may not be read (`unreadable`), and empty
    ones (`empty_folder`). Raises InputError when there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"no folder {folder}: put the snapshot's files there, or name another folder of snapshots")
    files: list[str] = []
    odd: list[Odd] = []
    entered: dict[tuple[int, int], str] = {}
    linked: list[str] = []
    waiting = [""]
    # Folders of the snapshot itself come before linked ones, so that a link never changes the name of what is there.
    while waiting or linked:
        if not waiting:
            linked.sort(key=_sort_key, reverse=True)
        name = waiting.pop() if waiting else linked.pop()
        path = folder / name
        try:
            about = path.stat()
            if (first := entered.setdefault((about.st_dev, about.st_ino), name)) != name:
                odd.append(Odd(name, "linked_twice", f"a link to a folder that is read as {first or 'the snapshot'}"))
                continue
            with os.scandir(path) as found:
                entries = sorted(found, key=lambda entry: _sort_key(entry.name), reverse=True)
        except OSError as error:
            if error.errno not in _OF_THE_ENTRY:
                raise
            odd.append(Odd(name or ".", "unreadable", error.strerror or ""))
            continue
        if not entries and name:
            odd.append(Odd(name, "empty_folder", "a folder that holds nothing"))
        for entry in entries:
            if entry.name.startswith("."):
                continue
            own = f"{name}/{entry.name}" if name else entry.name
            kind, why = _kind_of(entry)
            if kind == stat.S_IFDIR:
                (linked if entry.is_symlink() else waiting).append(own)
            elif kind == stat.S_IFREG:
                files.append(own)
            else:
                odd.append(Odd(own, *why))
    return sorted(files, key=_sort_key), sorted(odd, key=lambda item: _sort_key(item.name))


def _kind_of(entry: os.DirEntry[str]) -> tuple[int, tuple[str, str]]:
    """Return the type of an entry, links followed, and for what is odd its reason and words."""
    try:
        kind = stat.S_IFMT(entry.stat().st_mode)
    except OSError as error:
        if error.errno in _OF_THE_ENTRY:
            return 0, ("unreadable", error.strerror or "")
        if error.errno not in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise
        why = "a link that leads back to itself" if error.errno == errno.ELOOP else "a link to what is not there"
        return 0, ("dangling_link", why)
    return kind, ("not_a_file", f"{_KINDS.get(kind, 'something special')}, not a file")


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
        return self.listing()[0]

    def listing(self) -> tuple[list[str], list[Odd]]:
        """Return `names`, and the entries that are no files to be read (see `walk`); a bucket has none of these."""
        if self._bucket is None:
            return walk(self._folder)
        return [name for name, _ in self._objects()], []

    def path(self, name: str) -> Path | None:
        """Return the path of a file on this machine's disk; None when it is elsewhere."""
        return None if self._bucket else self._folder / name

    def open(self, name: str) -> IO[bytes]:
        """Open a file that can be sought in."""
        if self._bucket is None:
            return (self._folder / name).open("rb")
        stream: Any = self._bucket.filesystem.open_input_file(self._bucket.full(name))
        return stream

    def read(self, name: str, at_most: int) -> bytes:
        """Return a file's bytes, of a longer one the first `at_most`."""
        with named(name), self.open(name) as stream:
            return stream.read(at_most)

    def version(self) -> str:
        """Return the version: of a folder by names and contents, of which those are read that changed since they were
        read last, where digests are remembered.

        Of a prefix by names, sizes and times of upload, because a bucket is not read only to learn that it is the same;
        the same objects uploaded again are ingested again, to the same bytes, and nothing below that is repeated.
        """
        if self._bucket is not None:
            listing = [[name, info.size, info.mtime_ns] for name, info in self._objects()]
            return digest_of(listing)[:24]
        names, odd = walk(self._folder)
        remembered = _Digests(self._digests, self._folder)
        listing = [[printable(item.name), f"{item.reason}: {item.detail}"] for item in odd]
        for name in names:
            try:
                with named(name):
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
class Packaged:
    """A snapshot that the package itself carries, by its path inside of the sample's snapshots."""

    path: str


@dataclass(frozen=True)
class Arriving:
    """A snapshot in its folder of SPELANGY_SNAPSHOTS. `texts`: a `text` of any manifest is what is said in its file."""

    texts: bool = False


def checked_sources(snapshots: Mapping[str, Any], others: type | UnionType) -> dict[str, Any]:
    """Return the sources of a crawl's snapshots, which are files or of the types `others`.

    TypeError for what is none, ValueError for a name of no folder.
    """
    if not isinstance(snapshots, Mapping):
        raise TypeError(f"snapshots are a mapping from names to sources, not {type(snapshots).__name__}")
    for name, source in snapshots.items():
        check_name(name)
        if not isinstance(source, Packaged | Arriving | others):
            raise TypeError(
                f"snapshot {name!r}: {type(source).__name__} is no source; take Packaged, Arriving or one that renders"
            )
    return dict(snapshots)


@dataclass(frozen=True)
class FolderSource:
    """A snapshot that is a folder of files, or an s3:// prefix; see SnapshotFiles for what identifies it.

    `texts`: a `text` that any manifest has of a file is what is said in it (see audio_manifests.py). `corpus`: the
    public corpus that the files are of (see corpora.py). `digests` is a folder in which the digests of files on disk
    are remembered.
    """

    path: Path | str
    texts: bool = False
    digests: Path | None = field(default=None, compare=False, repr=False)
    corpus: Any = None

    def content_version(self) -> str:
        """Return the version of the files, and how they are read."""
        version = SnapshotFiles(self.path, self.digests).version()
        if self.corpus is not None:
            return f"{version}+{digest_of([payload_of(self.corpus), self.corpus.VERSION])[:16]}"
        return f"{version}+texts" if self.texts else version


class Names:
    """The names that a snapshot has, found by name in any of Unicode's normal forms.

    macOS hands out decomposed names (NFD), manifests hold composed ones (NFC), or the other way round.
    """

    def __init__(self, names: Iterable[str]):
        self._exact: set[str] = set()
        self._composed: dict[str, list[str]] = {}
        for name in names:
            if name not in self._exact:
                self._exact.add(name)
                self._composed.setdefault(unicodedata.normalize("NFC", name), []).append(name)

    def __contains__(self, name: object) -> bool:
        return name in self._exact

    def find(self, name: str) -> str | None:
        """Return the name that a text means: the same one, else the only one that is equal to it when composed."""
        if name in self._exact:
            return name
        found = self._composed.get(unicodedata.normalize("NFC", name), [])
        return found[0] if len(found) == 1 else None


@contextmanager
def named(name: str) -> Iterator[None]:
    """Put a file's name into the errors of disk and memory that name none, so that one line can name them."""
    try:
        yield
    except MemoryError as error:
        raise MemoryError(f"{printable(name)}: no memory is left to read it; use fewer workers") from error
    except OSError as error:
        if error.filename is not None or error.errno is None:
            raise
        raise type(error)(error.errno, error.strerror, printable(name)) from error


def printable(name: str) -> str:
    """Return a file's name as text that any record can hold: bytes that are no text as \\xNN."""
    try:
        data = name.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:  # a half surrogate pair that stands for no byte: of a manifest, not of a disk
        data = name.encode("utf-8", "surrogatepass")
    return data.decode("utf-8", "backslashreplace")


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))


def _sort_key(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")
