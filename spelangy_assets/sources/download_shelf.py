"""The files of downloads: whole ones, partial ones, and what each address gave last.

Put here: their paths and the order in which they are written. Do not put here: requests (download.py).

    blobs/DI/DIGEST     whole files, by the SHA-256 of their bytes
    parts/KE/KEY        the bytes so far of an address; KEY.json: the validators that the rest must match
    known/KE/KEY.json   what an address gave last: its digest, ETag and Last-Modified

KEY is the digest of the address without credentials, so a renewed signature of an address finds the same bytes. A
blob gets its name once all of it is on the disk. A kill loses only the unwritten part of the current piece.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Held:
    """What an address gave last. `digest` is empty, and `forgotten` true, after a takedown."""

    digest: str
    size: int
    etag: str = ""
    last_modified: str = ""
    forgotten: bool = False


class Shelf:
    """The files of all downloads, below one folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.blobs = folder / "blobs"

    def blob(self, digest: str) -> Path:
        return self.folder / self.blob_name(digest)

    @staticmethod
    def blob_name(digest: str) -> str:
        """Return the name of a blob relative to the shelf."""
        return f"blobs/{digest[:2]}/{digest}"

    def part(self, name: str) -> Path:
        return self._place("parts", name)

    def held(self, name: str) -> Held | None:
        """Return what an address gave last, if its bytes exist or it was taken down; else None."""
        known = read_json(self._known(name))
        try:
            held = Held(**{key: known[key] for key in Held.__dataclass_fields__})
        except KeyError:
            return None
        return held if held.forgotten or self.blob(held.digest).is_file() else None

    def keep(self, name: str, held: Held) -> None:
        write_json(self._known(name), {"url": name, **asdict(held)})

    def forget(self, name: str) -> bool:
        """Delete the bytes that an address gave, even if other addresses gave the same, and never request it again."""
        held = self.held(name)
        for path in (self.part(name), self.part(name).with_suffix(".json")):
            path.unlink(missing_ok=True)
        if held is not None and held.digest:
            self.blob(held.digest).unlink(missing_ok=True)
        self.keep(name, Held("", 0, forgotten=True))
        return held is not None

    def _known(self, name: str) -> Path:
        return self._place("known", name).with_suffix(".json")

    def _place(self, kind: str, name: str) -> Path:
        key = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return self.folder / kind / key[:2] / key


def read_json(path: Path) -> dict[str, Any]:
    """Return the object of a file; an empty one where there is none, or a torn one."""
    try:
        found = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):  # none yet, or torn
        return {}
    return found if isinstance(found, dict) else {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a file atomically and durably."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as stream:
        json.dump(value, stream)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(path)


def sync_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
