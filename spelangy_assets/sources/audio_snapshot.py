"""What an audio snapshot holds: which pieces of sound, where each lies, and what is known of it.

Put here: walking a snapshot, tar shards, exact duplicates. Do not put here: the forms of manifests
(audio_manifests.py), or decoding.

Every file whose name ends as sound does, or whose content begins as sound does, is taken, hidden ones excepted, every
file that a manifest at the top names, and every such member of a tar shard, under the name SHARD.tar/MEMBER. In a
shard, as WebDataset writes it, members whose names are equal up to the first dot of their last part belong together:
KEY.flac with KEY.txt (its transcript) and KEY.json (an object of a manifest's form; `text` is the transcript). Among
files with equal bytes the first by name is kept; one of which something is known goes before one of which nothing is.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.audio_manifests import BadLine, Entry, entry_of, is_manifest, read_manifests
from spelangy_assets.sources.files import SnapshotFiles, printable
from spelangy_assets.sources.given_turns import read_turns
from spelangy_model.audio.containers import HEAD_BYTES, looks_like_sound

AUDIO_SUFFIXES = (
    *(
        ".3g2",
        ".3gp",
        ".aac",
        ".ac3",
        ".aif",
        ".aifc",
        ".aiff",
        ".amr",
        ".ape",
        ".au",
        ".avi",
        ".caf",
        ".flac",
        ".flv",
        ".m4a",
    ),
    *(".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mpga", ".oga", ".ogg"),
    *(".ogv", ".opus", ".ra", ".snd", ".sph", ".spx", ".ts", ".tta", ".voc", ".w64", ".wav", ".wave", ".weba", ".webm"),
    *(".wma", ".wmv", ".wv"),
)
_PIECE = 1 << 20
_TEXT_BYTES = 16 << 20  # of a shard's .txt or .json


@dataclass(frozen=True)
class Item:
    """A piece of sound to be read. With a `reason` (and `detail`) it need not be opened, and is a reject.

    `file` is the file that holds it, from `begin` on when it is a member of a shard (-1: it is the file).
    """

    source_uri: str
    file: str
    entry: Entry = field(default_factory=Entry)
    digest: str = ""
    size_bytes: int = 0
    begin: int = -1
    reason: str = ""
    detail: str = ""


def items_of(files: SnapshotFiles, texts: bool = False) -> list[Item]:
    """Return what a snapshot holds, in a stable order; `texts` as in read_manifests.

    Raises InputError for a manifest that cannot be understood.
    """
    names = files.names()
    manifests = [name for name in names if is_manifest(name)]
    listing = read_manifests(((name, files.read(name)) for name in manifests), files.roots, texts)
    items: list[Item] = []
    for name in names:
        if name in manifests:
            continue
        if name.lower().endswith(".tar") and name not in listing.entries:
            items.extend(_members(files, name))
        elif name in listing.entries or _is_named_as_sound(name) or _begins_as_sound(files, name):
            items.append(_whole(files, name))
        else:
            items.append(_refused(name, "not_audio", "neither its name nor its content is that of sound"))
    items += [
        _refused(name, "not_a_file", "an empty folder that is named like sound")
        for name in files.empty_folders()
        if _is_named_as_sound(name)
    ]
    items = [replace(item, entry=listing.entries.get(item.source_uri, item.entry)) for item in items]
    there = {item.source_uri for item in items}
    missing = [_refused(name, "missing_file", "a manifest names it, and it is not there") for name in listing.entries]
    items += [item for item in missing if item.source_uri not in there]
    items.sort(key=lambda item: (item.source_uri not in listing.entries, os.fsencode(item.source_uri)))
    items = _with_turns(files, items)
    items += [_bad(line) for line in listing.bad]
    seen: set[str] = set()
    unique = []
    for item in items:
        if item.digest in seen:
            item = replace(item, reason="duplicate", detail="another file of the snapshot holds the same bytes")
        if item.digest and not item.reason:
            seen.add(item.digest)
        unique.append(replace(item, source_uri=printable(item.source_uri)))
    return unique


@contextmanager
def on_disk(files: SnapshotFiles, item: Item, scratch: Path) -> Iterator[Path]:
    """Give a path at which an item's bytes lie: its own, or that of a copy, which is gone afterwards."""
    path = files.path(item.file)
    if path is not None and item.begin < 0:
        yield path
        return
    # With its suffix: of two decoders the name chooses the first to ask, and so the words of an error.
    suffix = PurePosixPath(printable(item.source_uri)).suffix
    with tempfile.NamedTemporaryFile(dir=str(scratch), suffix=suffix) as copy:
        with files.open(item.file) as stream:
            if item.begin < 0:
                shutil.copyfileobj(stream, copy, _PIECE)
            else:
                stream.seek(item.begin)
                for piece in _pieces(stream, item.size_bytes):
                    copy.write(piece)
        copy.flush()
        yield Path(copy.name)


def _refused(name: str, reason: str, detail: str) -> Item:
    return Item(name, name, reason=reason, detail=detail)


def _with_turns(files: SnapshotFiles, items: list[Item]) -> list[Item]:
    """Return the items with the turns that RTTM says of them, without the files that said it."""
    sounds = {item.source_uri: item.entry.rttm for item in items if not item.reason}
    given = read_turns(files.read, files.names(), sounds)
    told = []
    for item in items:
        if item.source_uri in given.files:
            continue
        if wrong := given.bad.pop(item.source_uri, None):
            item = replace(item, reason=wrong.reason, detail=wrong.error)
        turns = given.by_recording.get(item.source_uri)
        if turns and not item.entry.utterances:
            item = replace(item, entry=replace(item.entry, utterances=turns))
        told.append(item)
    return told + [_bad(line) for line in given.bad.values()]


def _bad(line: BadLine) -> Item:
    return _refused(line.name, line.reason, line.error)


def _is_named_as_sound(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _begins_as_sound(files: SnapshotFiles, name: str) -> bool:
    try:
        with files.open(name) as stream:
            return looks_like_sound(stream.read(HEAD_BYTES))
    except OSError:
        return False


def _whole(files: SnapshotFiles, name: str) -> Item:
    digest, size = hashlib.sha256(), 0
    try:
        with files.open(name) as stream:
            for piece in _pieces(stream):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        return _refused(name, "unreadable", error.strerror or type(error).__name__)
    return Item(name, name, digest=digest.hexdigest()[:32], size_bytes=size)


def _members(files: SnapshotFiles, shard: str) -> list[Item]:
    """Return the pieces of sound in a tar shard, with what its other members say of them."""
    sounds: list[tuple[str, Item]] = []
    told: dict[str, dict[str, bytes]] = {}
    others: list[Item] = []
    try:
        with files.open(shard) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                if not member.isfile() or PurePosixPath(member.name).name.startswith("."):
                    continue
                name, suffix = f"{shard}/{member.name}", PurePosixPath(member.name).suffix.lower()
                content = tar.extractfile(member)
                if content is None:
                    continue
                told_of = suffix in (".txt", ".json") and member.size <= _TEXT_BYTES
                if _is_named_as_sound(member.name) or (not told_of and looks_like_sound(content.read(HEAD_BYTES))):
                    content.seek(0)
                    digest = hashlib.sha256()
                    for piece in _pieces(content, member.size):
                        digest.update(piece)
                    item = Item(name, shard, Entry(), digest.hexdigest()[:32], member.size, member.offset_data)
                    sounds.append((_key(member.name), item))
                elif told_of:
                    told.setdefault(_key(member.name), {})[suffix] = content.read()
                else:
                    others.append(_refused(name, "not_audio", "a member that is neither sound nor its .txt or .json"))
    except (tarfile.TarError, OSError, EOFError) as error:
        return [*(item for _, item in sounds), _refused(shard, "broken_shard", str(error) or type(error).__name__)]
    keys = {key for key, _ in sounds}
    lonely = [key for key in told if key not in keys]
    others += [
        _refused(f"{shard}/{key}", "missing_file", "its shard holds text for it, and no sound") for key in lonely
    ]
    return [*(_described(item, told.get(key, {})) for key, item in sounds), *others]


def _described(item: Item, told: dict[str, bytes]) -> Item:
    text = told.get(".txt", b"").decode("utf-8", "replace").strip()
    try:
        row = json.loads(told.get(".json", b"{}"))
        if not isinstance(row, dict):
            raise InputError(f"{item.source_uri}: its .json is a {type(row).__name__}, not an object")
        return replace(item, entry=entry_of(row, item.source_uri, text))
    except (ValueError, InputError) as error:
        return replace(item, reason="bad_metadata", detail=str(error))


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return (path.parent / path.name.partition(".")[0]).as_posix()


def _pieces(stream: IO[bytes], size: int | None = None) -> Iterator[bytes]:
    left = size
    while piece := stream.read(_PIECE if left is None else min(_PIECE, left)):
        left = None if left is None else left - len(piece)
        yield piece
