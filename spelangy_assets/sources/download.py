"""Downloads one address to this disk: conditional, resumable, limited.

Put here: the headers of one request, and what is kept of its response. Do not put here: connections and redirects
(checked_network.py), the order of many addresses (download_queue.py), snapshots (downloads.py).
"""

from __future__ import annotations

import contextlib
import datetime
import email.utils
import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

import httpcore2
import httpx2

from spelangy_assets.sources.audio_snapshot import AUDIO_SUFFIXES
from spelangy_assets.sources.checked_network import Failure, Web, header
from spelangy_assets.sources.download_shelf import Held, Shelf, read_json, sync_folder, write_json
from spelangy_model.audio.containers import HEAD_BYTES, looks_like_sound

_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+|\*)")
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_MAX_WAIT_S = 120.0


@dataclass(frozen=True)
class Limits:
    """The limits of one download. `types` are patterns of media types; a response that states none is accepted."""

    max_bytes: int
    max_s: float
    types: tuple[str, ...]


def download(
    web: Web,
    shelf: Shelf,
    name: str,
    address: str,
    limits: Limits,
    before: Callable[[httpx2.URL], None],
    is_over: threading.Event,
) -> Held:
    """Return what an address gives now, with its bytes on the shelf. Raises Failure, and OSError of the disk.

    Bytes that exist are requested by ETag or Last-Modified, and transferred only if they changed. A download that a
    kill cut off is resumed by Range, or restarted if the server cannot confirm that the file is the same.
    """
    held, part = shelf.held(name), shelf.part(name)
    if held is not None and held.forgotten:
        raise Failure("forgotten", "it was taken down")
    state = read_json(part.with_suffix(".json"))
    if (finished := _finish(shelf, name, part, state)) is not None:
        return finished  # all of it came before a kill
    offset = part.stat().st_size if part.is_file() else 0
    proof = state.get("proof", "") if offset else ""
    headers = {}
    if proof:
        headers = {"Range": f"bytes={offset}-", "If-Range": proof}
    elif held is not None and held.etag:
        headers = {"If-None-Match": held.etag}
    elif held is not None and held.last_modified:
        headers = {"If-Modified-Since": held.last_modified}
    with web.opened(address, headers, limits.max_s, before) as response:
        if response.status == HTTPStatus.NOT_MODIFIED and held is not None:
            _check_size(held.size, limits)
            return held
        if response.status == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and proof:
            part.unlink()
            raise Failure("cut_off", "the server does not have the rest of the file", "passing")
        if response.status == HTTPStatus.PARTIAL_CONTENT and proof:
            _check_range(response, offset, state.get("total"), part)
        elif response.status == HTTPStatus.OK:
            offset = 0
        else:
            raise _refused(response)
        total = _check_head(response, name, offset, limits)
        state = {
            "proof": _proof(response),
            "total": total,
            "etag": header(response, "etag"),
            "last_modified": header(response, "last-modified"),
        }
        part.parent.mkdir(parents=True, exist_ok=True)
        if not offset:
            part.unlink(missing_ok=True)
        write_json(part.with_suffix(".json"), state)
        _take(response, part, offset, name, limits, is_over)
    size = part.stat().st_size if part.is_file() else 0
    if not size:
        part.unlink(missing_ok=True)
        raise Failure("empty", "the response has no body")
    if total is not None and size != total:
        raise Failure("cut_off", f"{size} of {total} bytes", "passing")
    finished = _finish(shelf, name, part, {**state, "total": size})
    assert finished is not None
    return finished


def _take(
    response: httpcore2.Response, part: Path, offset: int, name: str, limits: Limits, is_over: threading.Event
) -> None:
    """Append a body to the partial file. A written piece is never requested again."""
    media_type = _media_type(header(response, "content-type"))
    is_stated = media_type.startswith(("audio/", "video/")) or not _wants_sound(limits)
    is_looked_at = bool(offset) or is_stated or _is_named_as_sound(name)
    size = offset
    with part.open("ab", buffering=0) as stream:
        for piece in response.iter_stream():
            if is_over.is_set():
                raise Failure("cut_off", "the fetching was ended", "passing")
            size += len(piece)
            if size > limits.max_bytes:
                part.unlink()
            _check_size(size, limits)
            stream.write(piece)
            if not is_looked_at and size >= HEAD_BYTES:
                is_looked_at = True
                _check_sound(part)
        os.fsync(stream.fileno())
    if not is_looked_at and size:
        _check_sound(part)


def _check_sound(part: Path) -> None:
    with part.open("rb") as stream:
        if looks_like_sound(stream.read(HEAD_BYTES)):
            return
    part.unlink()
    raise Failure("not_audio", "neither its name, its media type nor its content is that of audio")


def _finish(shelf: Shelf, name: str, part: Path, state: dict[str, Any]) -> Held | None:
    """Rename a complete partial file to a blob and record it; return None if it is not complete.

    Each step leaves what the next one needs, so after a kill between two of them nothing is transferred again.
    """
    digest, size = state.get("digest", ""), state.get("total")
    if not digest:
        if size is None or not part.is_file() or part.stat().st_size != size:
            return None
        with part.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()  # type: ignore[arg-type]
        write_json(part.with_suffix(".json"), {**state, "digest": digest})
    blob = shelf.blob(digest)
    if part.is_file():
        blob.parent.mkdir(parents=True, exist_ok=True)
        part.replace(blob)
        sync_folder(blob.parent)
    if not blob.is_file():
        part.with_suffix(".json").unlink(missing_ok=True)
        return None
    held = Held(digest, size or blob.stat().st_size, state.get("etag", ""), state.get("last_modified", ""))
    shelf.keep(name, held)
    part.with_suffix(".json").unlink(missing_ok=True)
    return held


def _check_range(response: httpcore2.Response, offset: int, total: int | None, part: Path) -> None:
    given = _RANGE.fullmatch(header(response, "content-range"))
    if given is None or int(given[1]) != offset or (total and given[3] not in ("*", str(total))):
        part.unlink()
        raise Failure("cut_off", f"the server sent another range than bytes from {offset} on", "passing")


def _check_head(response: httpcore2.Response, name: str, offset: int, limits: Limits) -> int | None:
    """Return the size of the whole file, None if the server states none. Raises Failure for an unwanted response."""
    coding = header(response, "content-encoding").lower()
    if coding not in ("", "identity"):
        raise Failure("encoded", f"compressed as {coding[:40]}, which was not requested")
    media_type = _media_type(header(response, "content-type"))
    if media_type and not any(fnmatchcase(media_type, pattern.lower()) for pattern in limits.types):
        raise Failure("not_audio", f"the server states the media type {media_type}")
    length = header(response, "content-length")
    total = offset + int(length) if length.isascii() and length.isdecimal() else None
    _check_size(total or 0, limits)
    return total


def _check_size(size: int, limits: Limits) -> None:
    if size > limits.max_bytes:
        raise Failure("too_large", f"larger than the {limits.max_bytes} bytes that are allowed")


def _refused(response: httpcore2.Response) -> Failure:
    status = response.status
    words = next((one.phrase for one in HTTPStatus if one == status), "")
    kind = "passing" if status in _PASSING else "final"
    return Failure(f"http_{status}", f"HTTP {status} {words}".strip(), kind, _wait_s(header(response, "retry-after")))


def _wait_s(retry_after: str) -> float:
    """Return the seconds that Retry-After requests, as a number or as a date; 0 if it requests none."""
    if retry_after.isascii() and retry_after.isdecimal():
        return min(float(retry_after), _MAX_WAIT_S)
    with contextlib.suppress(ValueError, TypeError):
        until = email.utils.parsedate_to_datetime(retry_after)
        return min(max((until - datetime.datetime.now(datetime.UTC)).total_seconds(), 0.0), _MAX_WAIT_S)
    return 0.0


def _proof(response: httpcore2.Response) -> str:
    """Return the validator for If-Range: a strong ETag, else Last-Modified (RFC 9110, 13.1.5)."""
    etag = header(response, "etag")
    return etag if etag.startswith('"') else header(response, "last-modified") if not etag else ""


def _media_type(value: str) -> str:
    return value.partition(";")[0].strip().lower()


def _wants_sound(limits: Limits) -> bool:
    return any(pattern.startswith("audio/") for pattern in limits.types)


def _is_named_as_sound(name: str) -> bool:
    return PurePosixPath(urlsplit(name).path).suffix.lower() in AUDIO_SUFFIXES
