"""What an audio snapshot holds: which pieces of sound, where each lies, and what is known of it.

Put here: going through a snapshot, tar shards, exact duplicates. Do not put here: the forms of manifests
(audio_manifests.py), or decoding.

Every file whose name ends as sound does, or whose content begins as sound does, is taken, hidden ones excepted, every
file that a manifest names, and every such member of a tar shard, under the name SHARD.tar/MEMBER. In a shard, as
WebDataset writes it, members whose names are equal up to the first dot of their last part belong together: KEY.flac
with KEY.txt (its transcript) and KEY.json (an object of a manifest's form; `text` is the transcript). Whatever else
there is, a directory entry or a member of a shard, is a reject with its reason. Among files with equal bytes the first
by name is kept; one with a manifest's entry is preferred to one without. A file of which a manifest knows
the words of single channels becomes one item a channel, FILE#channel=0.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any

from spelangy_assets.sources.audio_manifests import (
    BadLine,
    Entry,
    Listing,
    ManifestError,
    entry_of,
    manifests_of,
    read_manifests,
)
from spelangy_assets.sources.corpora import Corpus, described
from spelangy_assets.sources.files import Names, Odd, SnapshotFiles, named, printable
from spelangy_assets.sources.given_turns import MAX_RTTM_BYTES, read_turns
from spelangy_assets.sources.manifest_names import ManifestNames
from spelangy_model.audio.containers import HEAD_BYTES, looks_like_sound
from spelangy_model.guarded_json import JsonError, decoded, parse_json, replaced

AUDIO_SUFFIXES = (
    *(".3g2", ".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".flac"),
    *(".flv", ".m4a", ".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpeg", ".mpg", ".mpga"),
    *(".oga", ".ogg", ".ogv", ".opus", ".ra", ".snd", ".sph", ".spx", ".ts", ".tta", ".voc", ".w64", ".wav"),
    *(".wave", ".weba", ".webm", ".wma", ".wmv", ".wv"),
)
_PIECE = 1 << 20
_TEXT_BYTES = 16 << 20  # of a shard's .txt or .json
_SHARD_TEXT_BYTES = 512 << 20  # of all that a shard has: they are held until their sound has been seen


@dataclass(frozen=True)
class Item:
    """A piece of sound to be read. With a `reason` (and `detail`) it need not be opened, and is a reject.

    `file` is the file that holds it, from `begin` on when it is a member of a shard (-1: it is the file). `channel` is
    the one that is to be read, None where the file is read as a whole; `name` is that of the file or member. `about`
    is what describes it beside: the title of an episode, the feed that names it.
    """

    source_uri: str
    file: str
    entry: Entry = field(default_factory=Entry)
    digest: str = ""
    size_bytes: int = 0
    begin: int = -1
    reason: str = ""
    detail: str = ""
    channel: int | None = None
    about: tuple[tuple[str, str], ...] = ()

    @property
    def suffix(self) -> str:
        """The end of the name of the file or member."""
        name = self.source_uri if self.channel is None else self.source_uri.rpartition("#channel=")[0]
        return PurePosixPath(printable(name or self.source_uri)).suffix


def items_of(files: SnapshotFiles, texts: bool = False, corpus: Corpus | None = None) -> list[Item]:
    """Return what a snapshot holds, in a stable order; `texts` as in read_manifests, `corpus` one that it is.

    Whatever a file, a manifest or a shard holds ends as an item; an OSError of the disk or the service is raised.
    """
    names, odd = files.listing()
    manifests = manifests_of(names) if corpus is None else corpus.metadata(names)
    shards = {name: _members(files, name) for name in names if name.lower().endswith(".tar")}
    members = {shard: [name.removeprefix(f"{shard}/") for name in _sounds(items)] for shard, items in shards.items()}
    unread: list[BadLine] = []
    opened = _opened(files, manifests, unread)
    known = ManifestNames(names, members, files.roots)
    if corpus is None:
        listing = read_manifests(opened, files.roots, texts, known)
    else:
        listing = read_manifests(opened, files.roots, texts, known, partial(corpus.rows, names=Names(names)))
    items: list[Item] = []
    for name in names:
        if name in manifests:
            continue
        if name in shards and name not in listing.entries:
            items.extend(shards[name])
        elif name in listing.entries or _is_named_as_sound(name) or _begins_as_sound(files, name):
            items.append(_whole(files, name))
        else:
            items.append(_refused(name, "not_audio", "neither its name nor its content is that of sound"))
    items += _odd(odd)
    items = _with_entries(items, listing)
    if corpus is not None:
        items = [replace(item, entry=described(corpus, item.source_uri, item.entry)) for item in items]
    items = _with_turns(files, names, items)
    items += [_bad(line) for line in (*listing.bad, *unread)]
    return deduplicated(items)


def deduplicated(items: Iterable[Item]) -> list[Item]:
    """Return items in their order: of those with equal bytes the first is kept, and one with words of single channels
    becomes one item a channel."""
    seen: set[str] = set()
    unique: list[Item] = []
    for item in items:
        if item.digest in seen:
            item = replace(item, reason="duplicate", detail="another file of the snapshot holds the same bytes")
        if item.digest and not item.reason:
            seen.add(item.digest)
        unique += _by_channel(item)
    return [replace(item, source_uri=printable(item.source_uri), detail=replaced(item.detail)) for item in unique]


def _opened(files: SnapshotFiles, manifests: Sequence[str], bad: list[BadLine]) -> Iterator[tuple[str, IO[bytes]]]:
    for name in manifests:
        try:
            with named(name):
                stream = files.open(name)
        except PermissionError as error:
            bad.append(BadLine(name, "unreadable", error.strerror or type(error).__name__))
        else:
            with named(name):
                yield name, stream


def _sounds(items: Iterable[Item]) -> list[str]:
    return [item.source_uri for item in items if item.begin >= 0]


def _odd(odd: Iterable[Odd]) -> list[Item]:
    """Return rejects for entries that are no files; of empty folders for those alone that are named like sound."""
    items = []
    for item in odd:
        if item.reason != "empty_folder":
            items.append(_refused(item.name, item.reason, item.detail))
        elif _is_named_as_sound(item.name):
            items.append(_refused(item.name, "not_a_file", "an empty folder that is named like sound"))
    return items


def _with_entries(items: list[Item], listing: Listing) -> list[Item]:
    """Return the items with their entries in manifests, and a reject for each name that is not there."""
    described = []
    for item in items:
        if (wrong := listing.refused.get(item.source_uri)) is not None:
            item = replace(item, reason=item.reason or wrong.reason, detail=item.detail or wrong.error)
        described.append(replace(item, entry=listing.entries.get(item.source_uri, item.entry)))
    there = {item.source_uri for item in items}
    described += [
        _refused(name, "missing_file", "a manifest names it, and it is not there")
        for name in listing.entries
        if name not in there
    ]
    lost = there | listing.entries.keys()
    described += [_bad(line) for name, line in sorted(listing.refused.items()) if name not in lost]
    return sorted(described, key=lambda item: (item.source_uri not in listing.entries, _sort_key(item.source_uri)))


def _sort_key(name: str) -> bytes:
    return printable(name).encode() if not _is_name(name) else os.fsencode(name)


def _is_name(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _by_channel(item: Item) -> Iterator[Item]:
    """Yield an item, or one for each channel of which the words are known.

    Channels of which no words are given beside others of which words are known are rejects: their sound is no recording
    without a transcript, since a manifest says what is used of the file.
    """
    entry = item.entry
    if item.reason or not entry.by_channel:
        yield item
        return
    plain = replace(entry, by_channel=())
    ((first, utterances), *others) = entry.by_channel
    if first == 0 and not others and not entry.utterances and entry.channels < 2:
        # As far as is known the file has one channel; if it has more, this one is read.
        yield replace(item, entry=replace(plain, utterances=utterances), channel=0)
        return
    if entry.utterances:
        yield replace(item, entry=plain)
    spoken = dict(entry.by_channel)
    for channel in range(max(entry.channels, max(spoken) + 1)):
        uri = f"{item.source_uri}#channel={channel}"
        if channel in spoken:
            own = replace(plain, utterances=spoken[channel])
            yield replace(item, source_uri=uri, entry=own, channel=channel, digest=f"{item.digest}-c{channel}")
        elif not entry.utterances:
            yield _refused(
                uri, "channel_without_text", "a manifest gives the words of other channels of the file alone"
            )


@contextmanager
def on_disk(files: SnapshotFiles, item: Item, scratch: Path) -> Iterator[Path]:
    """Give a path at which an item's bytes lie: its own, or that of a copy, which is gone afterwards."""
    path = files.path(item.file)
    if path is not None and item.begin < 0:
        yield path
        return
    # With its suffix: of two decoders the name chooses the first to ask, and so the words of an error.
    with tempfile.NamedTemporaryFile(dir=str(scratch), suffix=item.suffix) as copy:
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


def _with_turns(files: SnapshotFiles, names: Sequence[str], items: list[Item]) -> list[Item]:
    """Return the items with their turns by RTTM, without the RTTM files."""
    sounds = {item.source_uri: item.entry.rttm for item in items if not item.reason}
    given = read_turns(lambda name: files.read(name, MAX_RTTM_BYTES + 1), names, sounds)
    described = []
    for item in items:
        if item.source_uri in given.files:
            continue
        if wrong := given.bad.pop(item.source_uri, None):
            item = replace(item, reason=wrong.reason, detail=wrong.error)
        turns = given.by_recording.get(item.source_uri)
        if turns and not item.entry.is_transcribed:
            item = replace(item, entry=replace(item.entry, utterances=turns))
        described.append(item)
    return described + [_bad(line) for line in given.bad.values()]


def _bad(line: BadLine) -> Item:
    return _refused(line.name, line.reason, line.error)


def _is_named_as_sound(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in AUDIO_SUFFIXES


def _begins_as_sound(files: SnapshotFiles, name: str) -> bool:
    try:
        with named(name), files.open(name) as stream:
            return looks_like_sound(stream.read(HEAD_BYTES))
    except PermissionError:
        return True  # it is a reject as what it cannot be read as


def _whole(files: SnapshotFiles, name: str) -> Item:
    digest, size = hashlib.sha256(), 0
    try:
        with named(name), files.open(name) as stream:
            for piece in _pieces(stream):
                digest.update(piece)
                size += len(piece)
    except PermissionError as error:
        return _refused(name, "unreadable", error.strerror or type(error).__name__)
    return Item(name, name, digest=digest.hexdigest()[:32], size_bytes=size)


# tarfile lets these of a hostile header through, beside its own errors.
_TAR_ERRORS = (tarfile.TarError, EOFError, ValueError, OverflowError, IndexError, KeyError)


def _members(files: SnapshotFiles, shard: str) -> list[Item]:
    """Return the members of a tar shard: sound, with its text and metadata, and everything else as rejects."""
    sounds: dict[str, Item] = {}
    texts: dict[str, dict[str, bytes | str]] = {}
    others: list[Item] = []
    count = held = 0
    try:
        with named(shard), files.open(shard) as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                count += 1
                name, suffix = f"{shard}/{member.name}", PurePosixPath(member.name).suffix.lower()
                if why := _unusable(member, suffix):
                    others += [_refused(name, *why)] if why[0] else []
                    continue
                content = tar.extractfile(member)
                if content is None:
                    raise tarfile.ReadError(f"{member.name} cannot be read")
                is_text = suffix in (".txt", ".json")
                if _is_named_as_sound(member.name) or (not is_text and looks_like_sound(content.read(HEAD_BYTES))):
                    content.seek(0)
                    digest = hashlib.sha256()
                    for piece in _pieces(content, member.size):
                        digest.update(piece)
                    if name in sounds:
                        others.append(_refused(name, "overwritten", "a later member of the shard has the same name"))
                    sounds[name] = Item(name, shard, Entry(), digest.hexdigest()[:32], member.size, member.offset_data)
                elif is_text:
                    held += member.size
                    if member.size > _TEXT_BYTES or held > _SHARD_TEXT_BYTES:
                        text: bytes | str = (
                            f"more than {_TEXT_BYTES} bytes, or {_SHARD_TEXT_BYTES} with those before it"
                        )
                    else:
                        text = content.read()
                    texts.setdefault(_key(member.name), {})[suffix] = text
                else:
                    others.append(_refused(name, "not_audio", "a member that is neither sound nor its .txt or .json"))
    except PermissionError as error:
        return [_refused(shard, "unreadable", error.strerror or type(error).__name__)]
    except _TAR_ERRORS as error:
        others.append(_refused(shard, "broken_shard", str(error) or type(error).__name__))
        count += 1
    if not count:
        return [_refused(shard, "empty_shard", "a tar file that holds nothing")]
    keys = {name: _key(name.removeprefix(f"{shard}/")) for name in sounds}
    lonely = [key for key in texts if key not in set(keys.values())]
    others += [
        _refused(f"{shard}/{key}", "missing_file", "its shard holds text for it, and no sound") for key in lonely
    ]
    items = [_described(item, texts.get(keys[name], {}), others) for name, item in sounds.items()]
    return [*items, *others]


def _unusable(member: tarfile.TarInfo, suffix: str) -> tuple[str, str] | None:
    """Return why a member of a shard is no file to be read; an empty reason for what holds nothing to be lost."""
    if member.isdir():
        return ("not_a_file", "a folder that is named like sound") if suffix in AUDIO_SUFFIXES else ("", "")
    if member.issym() or member.islnk():
        return "not_a_file", f"a link to {member.linkname}; store the file itself"
    if member.isfifo() or member.isblk() or member.ischr():
        return "not_a_file", "a pipe or a device, not a file"
    if member.issparse():
        return "not_a_file", "a sparse file; store it whole"
    if not member.isfile():
        return "not_a_file", f"a member of type {member.type!r}"
    if PurePosixPath(member.name).name.startswith("."):
        return "hidden", "the name of a hidden file"
    return None


def _described(item: Item, texts: dict[str, bytes | str], others: list[Item]) -> Item:
    bad: list[BadLine] = []
    try:
        text = _text_of(texts, ".txt").strip()
        row: Any = parse_json(_text_of(texts, ".json")) if ".json" in texts else {}
        if not isinstance(row, dict):
            raise JsonError(f"its .json is a {type(row).__name__}, not an object")
        entry = entry_of(row, item.source_uri, text, bad)
    except JsonError as error:
        return replace(item, reason="bad_metadata", detail=f"{item.source_uri}: {error}")
    except ManifestError as error:
        return replace(item, reason="bad_metadata", detail=str(error))
    others += [_bad(line) for line in bad]
    return replace(item, entry=entry)


def _text_of(texts: dict[str, bytes | str], suffix: str) -> str:
    """Return the text of a member. Raises JsonError when it is no text or too much."""
    data = texts.get(suffix, b"")
    if isinstance(data, str):
        raise JsonError(f"its {suffix} is {data}")
    try:
        return decoded(data)
    except UnicodeError as error:
        raise JsonError(f"its {suffix} is not UTF-8 ({error})") from error


def _key(name: str) -> str:
    path = PurePosixPath(name)
    return (path.parent / path.name.partition(".")[0]).as_posix()


def _pieces(stream: IO[bytes], size: int | None = None) -> Iterator[bytes]:
    left = size
    while piece := stream.read(_PIECE if left is None else min(_PIECE, left)):
        left = None if left is None else left - len(piece)
        yield piece
