"""Bytes under a root that is a local folder or an s3:// prefix.

Put here: reading, writing and listing of whole files by relative path. Do not put here: what the files mean.
Small control files are replaced whole: by a rename on a local disk, by the one PUT that S3 makes atomic anyway. Those
that several processes write are swapped: below a lock on a local disk, by a conditional PUT on S3 (s3_objects.py).
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import fcntl
import os
import re
import socket
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pyarrow as pa
import pyarrow.fs as pafs

from spelangy_assets.store.names import joined
from spelangy_assets.store.s3_objects import S3Objects, S3Options

_S3_OPTIONS = tuple(field.name for field in fields(S3Options) if field.repr)  # none that is a secret
_READ_ATTEMPTS = 6
_READ_WAIT_S = 0.1
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP}  # some network file systems

# PyArrow's S3 raises an OSError without a number; its text holds the service's error code.
LOST_ON_S3 = re.compile(
    r"AWS Error (NETWORK_CONNECTION|SLOW_DOWN|INTERNAL_FAILURE|SERVICE_UNAVAILABLE|REQUEST_TIMEOUT)"
)


def below(root: str, *names: str) -> str:
    """Return the URI of a place below a root that is a URI with or without options in its query."""
    place, mark, options = root.partition("?")
    return "/".join([place.rstrip("/"), *names]) + mark + options


_AS_IT_IS = None  # else PyArrow compresses and opens what has a name that ends in .gz, on S3 twice


def unique() -> str:
    """Return a text that no other process or thread gives: for names of drafts and leases, never of data."""
    return f"{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}-{time.time_ns()}"


class Files:
    """Files below a root (a folder's path, file:///folder or s3://bucket/prefix).

    An S3 URI takes S3Options without secrets in its query, for example
    `s3://bucket/prefix?endpoint_url=http://host:port` for a server that is not AWS; others are as in `s3`. Credentials
    are found as all of AWS' tools find them, in the environment or by the machine's role. A request that fails because
    of the service or the network is sent up to ten times. A large file is uploaded in parts and exists once the last
    one is.
    """

    def __init__(self, root: str | Path, s3: S3Options | None = None):
        text = str(root)
        scheme, mark, rest = text.partition("://")
        self._objects: S3Objects | None = None
        if mark and scheme.lower() == "s3":
            self.filesystem, self._objects, base = _s3(f"s3://{rest}", s3 or S3Options())
            self._base = base.rstrip("/")
        elif mark:
            try:
                self.filesystem, base = pafs.FileSystem.from_uri(text)
            except (ValueError, OSError, NotImplementedError):  # whose texts repeat the URI with its secrets
                raise ValueError(f"no store can be opened at this {scheme}:// URI") from None
            self._base = base.rstrip("/")
        else:
            self.filesystem, self._base = pafs.LocalFileSystem(), str(Path(text).absolute())
        self.is_local = isinstance(self.filesystem, pafs.LocalFileSystem)
        # Without the options and the secrets that a URI may hold (s3://key:secret@bucket/prefix?region=...).
        self.uri = self._base if self.is_local else f"{scheme.lower()}://{self._base}"

    def full(self, path: str) -> str:
        """Return the file system's own path. ValueError for one that leaves the root."""
        return f"{self._base}/{joined(path)}" if path else self._base

    def local(self, path: str) -> Path:
        """Return the path on disk; ValueError when the root is not local."""
        if not self.is_local:
            raise ValueError(f"{self.uri} is not a local folder")
        return Path(self.full(path))

    def read(self, path: str) -> bytes:
        """Return a file's bytes; FileNotFoundError when there is none."""
        if self.is_local:  # a tenth of the time that PyArrow's stream takes to open; a Path would double it
            with open(self.full(path), "rb", buffering=0) as file:  # noqa: PTH123
                return file.read()
        if self._objects is None:
            with self.open_input(path) as stream:
                return stream.read()
        data = self._objects.read(self.full(path))
        if data is None:
            raise FileNotFoundError(errno.ENOENT, "no such object", f"s3://{self.full(path)}")
        return data

    def read_if_there(self, path: str) -> bytes | None:
        try:
            return self.read(path)
        except FileNotFoundError:
            return None

    def open_input(self, path: str) -> pa.NativeFile:
        """Open a file to be read from its beginning on; FileNotFoundError when there is none."""
        return self.filesystem.open_input_stream(self.full(path), compression=_AS_IT_IS)

    def open_output(self, path: str) -> pa.NativeFile:
        """Open a file to be written in place. A kill leaves it torn: only a control file written after it counts."""
        if self.is_local:
            self.local(path).parent.mkdir(parents=True, exist_ok=True)
        return self.filesystem.open_output_stream(self.full(path), compression=_AS_IT_IS)

    def write(self, path: str, data: bytes) -> None:
        """Write a file in place, from bytes that are in memory."""
        with self.open_output(path) as stream:
            stream.write(data)

    def draft_of(self, path: str) -> str:
        """Return where a file is written before it is put in its place: on S3 there, since an upload is atomic."""
        folder, _, name = path.rpartition("/")
        return f"{folder}/.{name}.{unique()}.draft" if self.is_local else path

    def put_in_place(self, draft: str, path: str) -> None:
        """Give a draft that is closed its name, when its bytes are on the disk."""
        if draft == path:
            return
        with self.local(draft).open("rb") as stream:
            os.fsync(stream.fileno())
        self.local(draft).replace(self.local(path))

    def sync(self, folder: str) -> None:
        """Flush the names in a folder to the disk before a control file lists them."""
        if self.is_local and self.local(folder).is_dir():  # a unit may have written nothing
            descriptor = os.open(self.local(folder), os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)

    def replace(self, path: str, data: bytes) -> None:
        """Write a small control file so that a reader sees the old bytes or the new ones, never a part."""
        if not self.is_local:
            self.write(path, data)
            return
        target = self.local(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{os.getpid()}")
        with draft.open("wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        draft.replace(target)

    def swap(self, path: str, data: bytes, old: bytes | None) -> bool:
        """Replace a small control file that holds `old` still (None: is not there); return whether it holds `data`.

        Of several processes that swap the same bytes out, one does: false means that another came before. On a file
        system without locks, or a service that knows no conditions, the file is compared first and may change between.
        """
        if self._objects is not None:
            return self._objects.swap(self.full(path), data, old)
        with self._alone():
            found = self.read_if_there(path)
            if found == old != data:
                self.replace(path, data)
                return True
            return found == data

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        lock = self.local(".lock")
        lock.parent.mkdir(parents=True, exist_ok=True)
        with lock.open("ab") as stream:  # closing it, as a kill does, lets go
            try:
                fcntl.flock(stream, fcntl.LOCK_EX)
            except OSError as error:
                if error.errno not in _NO_LOCKS:
                    raise
            yield

    def is_there(self) -> bool:
        """Whether there is anything at the root; false too for a missing bucket."""
        return self.filesystem.get_file_info(self._base).type == pafs.FileType.Directory

    def names(self, folder: str) -> list[tuple[str, bool]]:
        """Return (name, is_folder) of a folder's children, sorted; nothing when the folder is not there."""
        found = self.filesystem.get_file_info(pafs.FileSelector(self.full(folder), allow_not_found=True))
        return sorted((info.base_name, info.type == pafs.FileType.Directory) for info in found)

    def sizes(self, paths: list[str]) -> list[int | None]:
        """Return the size of each file in bytes; None for one that is not there."""
        if not paths:
            return []
        if self.is_local:
            return [_size_of(self.full(path)) for path in paths]
        return [info.size for info in self.filesystem.get_file_info([self.full(path) for path in paths])]

    def measure(self, folder: str) -> tuple[int, datetime.datetime]:
        """Return the bytes below a folder and when its newest file was written (UTC; the epoch when it holds none)."""
        found = self.filesystem.get_file_info(pafs.FileSelector(self.full(folder), recursive=True))
        files = [info for info in found if info.type == pafs.FileType.File]
        newest = max((info.mtime_ns for info in files), default=0)
        return sum(info.size for info in files), datetime.datetime.fromtimestamp(newest / 1e9, datetime.UTC)

    def changed_at(self, path: str) -> datetime.datetime | None:
        """Return when a file was written; None when it is not there."""
        info = self.filesystem.get_file_info(self.full(path))
        if info.type != pafs.FileType.File:
            return None
        return datetime.datetime.fromtimestamp(info.mtime_ns / 1e9, datetime.UTC)

    def touch(self, path: str) -> None:
        """Write an empty file, of which only the time counts."""
        if self.is_local:
            self.local(path).touch()
        else:
            self.write(path, b"")

    def delete_file(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_file(self.full(path))

    def delete(self, folder: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.filesystem.delete_dir(self.full(folder))


def _size_of(path: str) -> int | None:
    try:
        found = os.stat(path)  # noqa: PTH116
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


class _PatientFile:
    """A file on S3 whose reads are sent again when the service fails them."""

    def __init__(self, file: pa.NativeFile):
        self._file = file
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    @property
    def closed(self) -> bool:
        return self._file.closed

    def read(self, size: int = -1) -> bytes:
        start = self._file.tell()
        for attempt in range(1, _READ_ATTEMPTS + 1):
            try:
                return self._file.read(size if size >= 0 else None)
            except OSError as error:
                if attempt == _READ_ATTEMPTS or not LOST_ON_S3.search(str(error)):
                    raise
                time.sleep(_READ_WAIT_S * 2**attempt)
                self._file.seek(start)
        raise AssertionError("the last attempt returns or raises")


class _PatientS3(pafs.FileSystemHandler):
    """PyArrow's S3, with its reads sent again.

    PyArrow reads a range into a buffer of exactly its length. When the reply is an error whose text is longer, the
    buffer is spoilt and AWS' client gives up at once, whatever number of attempts is configured: while the service is
    unreliable, a small file or the column of a few rows cannot be read. PyArrow retries all other requests itself.
    """

    def __init__(self, inner: pafs.S3FileSystem):
        self._inner = inner

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _PatientS3) and self._inner == other._inner

    def __ne__(self, other: object) -> bool:
        return not self == other

    def get_type_name(self) -> str:
        return "patient-s3"

    def normalize_path(self, path: str) -> str:
        return self._inner.normalize_path(path)

    def get_file_info(self, paths: list[str]) -> Any:
        return self._inner.get_file_info(paths)

    def get_file_info_selector(self, selector: pafs.FileSelector) -> Any:
        return self._inner.get_file_info(selector)

    def create_dir(self, path: str, recursive: bool) -> None:
        self._inner.create_dir(path, recursive=recursive)

    def delete_dir(self, path: str) -> None:
        self._inner.delete_dir(path)

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        self._inner.delete_dir_contents(path, missing_dir_ok=missing_dir_ok)

    def delete_root_dir_contents(self) -> None:
        raise NotImplementedError("a store does not empty a bucket")

    def delete_file(self, path: str) -> None:
        self._inner.delete_file(path)

    def move(self, src: str, dest: str) -> None:
        self._inner.move(src, dest)

    def copy_file(self, src: str, dest: str) -> None:
        self._inner.copy_file(src, dest)

    def open_input_stream(self, path: str) -> pa.NativeFile:
        return self.open_input_file(path)

    def open_input_file(self, path: str) -> pa.NativeFile:
        return pa.PythonFile(_PatientFile(self._inner.open_input_file(path)), mode="r")

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        return self._inner.open_output_stream(path, metadata=metadata, compression=_AS_IT_IS)

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        raise NotImplementedError("S3 appends to no object")


def s3_options(uri: str) -> dict[str, Any]:
    """Return the S3Options that the query of an s3:// URI states.

    ValueError states what is wrong and repeats only the names of unknown options: a misplaced value may be a secret.
    """
    try:
        query = urlsplit(uri).query
        found = dict(parse_qsl(query, strict_parsing=bool(query)))
    except ValueError:
        raise ValueError(
            f"the s3:// URI of the store cannot be read: after its '?' it has NAME=VALUE, of {', '.join(_S3_OPTIONS)}"
        ) from None
    if unknown := sorted(found.keys() - set(_S3_OPTIONS)):
        raise ValueError(f"s3://...: no option {unknown}; there are {', '.join(_S3_OPTIONS)}")
    return {name: _option(name, value) for name, value in found.items()}


def _option(name: str, value: str) -> str | int | bool:
    kind = type(getattr(S3Options, name))
    if kind is int and value.isdecimal() and int(value) > 0:
        return int(value)
    if kind is bool or name == "verify":
        if value.lower() in ("true", "false"):
            return value.lower() == "true"
        raise ValueError(f"s3://...: {name} is true or false")
    if kind is int:
        raise ValueError(f"s3://...: {name} is a whole number from 1 on")
    return value


def _s3(uri: str, options: S3Options) -> tuple[pafs.PyFileSystem, S3Objects, str]:
    """Return the file system of an S3 URI, what reads and swaps whole objects there, and the path in it.

    ValueError as `s3_options` has it. PyArrow's own parsing of a URI sets three attempts and has no option to change
    that.
    """
    netloc, *behind = re.split("[/?#]", uri.removeprefix("s3://"), maxsplit=1)
    if "@" in "".join(behind):
        raise ValueError(
            "the s3:// URI of the store has an '@' behind its first '/', '?' or '#': in a secret write these as %2F, "
            "%3F, %23, or give it as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; in a prefix write '@' as %40"
        )
    if ":" in netloc.rpartition("@")[2]:
        raise ValueError(
            "the s3:// URI of the store names no bucket: it is s3://BUCKET/PREFIX or s3://KEY:SECRET@BUCKET"
        )
    options, parts = replace(options, **s3_options(uri)), urlsplit(uri)
    _, _, place = parts.netloc.rpartition("@")
    if parts.username and parts.password:
        key, secret = unquote(parts.username), unquote(parts.password)
        options = replace(options, aws_access_key_id=key, aws_secret_access_key=secret, aws_session_token=None)
    arrow = options.for_arrow()  # first, since it refuses what cannot be
    if not options.region_name and not options.endpoint_url:
        arrow["region"] = region = pafs.resolve_s3_region(place)
        options = replace(options, region_name=region)
    system = pafs.S3FileSystem(
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=options.max_attempts),
        allow_delayed_open=True,  # a file smaller than a part is one PUT, not the three requests of an upload in parts
        **arrow,
    )
    return pafs.PyFileSystem(_PatientS3(system)), S3Objects(options), unquote(f"{place}{parts.path}")
