"""Which file of a snapshot a manifest means: Unicode's normal forms, absolute names, members of NeMo's tar shards.

Put here: names. Do not put here: a manifest's facts about a file (audio_manifests.py), or the files of a snapshot
(audio_snapshot.py).

NeMo names a member of a tar shard by its name inside of the shard, and the shard by `shard_id`: the number in the name
of the tar (audio_3.tar), or in that of the manifest (manifest_3.json). A recording of which several utterances are used
is a member once: convert_to_tarred_audio_dataset.py calls the further ones NAME-sub1.wav, NAME-sub2.wav.
"""

from __future__ import annotations

import itertools
import os
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import PurePosixPath

from spelangy_assets.sources.files import Names
from spelangy_model.credentials import without_credentials

_MAX_EXPANDED = 100_000
_MAX_BRACES = 16
_SUB = re.compile(r"-sub\d+(?=\.[^./]*$|$)")
_RANGE = re.compile(r"\{(\d{1,9})\.\.(\d{1,9})\}|\{([^{}]*,[^{}]*)\}")


class UnknownName(Exception):
    """A name that means no file of the snapshot, or no single one. `reason` is a fixed word; `name` may be empty."""

    def __init__(self, name: str, reason: str, why: str):
        super().__init__(why)
        self.name, self.reason = name, reason


class ManifestNames:
    """Finds the files of a snapshot, and the members of its shards, by their names in manifests.

    `names` are its files, `members` those of each tar shard, `roots` the absolute places of the snapshot.
    """

    def __init__(
        self, names: Iterable[str], members: Mapping[str, Sequence[str]] | None = None, roots: Sequence[str] = ()
    ):
        self._files = Names(names)
        self._roots = [PurePosixPath(root) for root in roots]
        self._sources: dict[str, str] = {}  # members by shard and name, by their names in the snapshot
        self._shards: dict[str, list[str]] = {}  # the shards that hold a member of a name
        for shard, found in (members or {}).items():
            for member in dict.fromkeys(found):
                self._sources[_composed(f"{shard}/{member}")] = f"{shard}/{member}"
                self._shards.setdefault(_composed(member), []).append(shard)

    def find(self, name: str, manifest: str = "", shard: int | None = None) -> str:
        """Return the name in the snapshot of what `manifest` calls `name`; a name that is not there stays as it is.

        Raises UnknownName (outside, bad_name, ambiguous).
        """
        if not name:
            raise UnknownName("", "bad_line", 'names no file; add "file": "NAME", relative to the snapshot')
        if shard is None and name in self._files:
            return name  # the usual case, at a tenth of the cost of the code below
        path = PurePosixPath(os.path.normpath(name))
        for root in self._roots:
            if path.is_absolute() and path.is_relative_to(root):
                path = path.relative_to(root)
        plain = path.as_posix()
        if shard is None and (found := self._files.find(plain) or self._sources.get(_composed(plain))):
            return found
        if found := self._member(plain, manifest, shard):
            return found
        if path.is_absolute() or ".." in path.parts or "://" in name:
            shown = without_credentials(name)  # some give an address, which the reject repeats
            raise UnknownName(shown, "outside", f"{shown} is outside of the snapshot; only files inside of it are read")
        try:
            os.fsencode(plain)
        except UnicodeEncodeError as error:
            raise UnknownName("", "bad_name", f"{name!r} is no name that a file can have") from error
        beside = (PurePosixPath(manifest).parent / plain).as_posix()
        return self._files.find(plain) or self._files.find(beside) or self._sources.get(_composed(plain)) or plain

    def is_file(self, name: str, manifest: str = "") -> bool:
        """Whether there is a file of a name, at the top or beside the manifest."""
        beside = PurePosixPath(manifest).parent
        places = (beside, beside.parent)
        return any(self._files.find((place / name).as_posix()) for place in (PurePosixPath("."), *places))

    def _member(self, name: str, manifest: str, shard: int | None) -> str | None:
        """Return the member SHARD.tar/NAME that a name means; None when there is none."""
        for called in dict.fromkeys((name, _SUB.sub("", name))):
            called = _composed(called)
            shards = self._shards.get(called, [])
            if not shards:
                continue
            number = shard if shard is not None and shard >= 0 else _number_of(manifest) if len(shards) > 1 else None
            # A shard with another number is never taken; shards without numbers are chosen by their members.
            fitting = [one for one in shards if number is None or _number_of(one) in (number, None)]
            fitting = [one for one in fitting if _is_near(one, manifest)] or fitting
            if len(fitting) > 1:
                why = f"{name} is a member of {len(fitting)} shards ({', '.join(fitting[:3])} ...)"
                raise UnknownName("", "ambiguous", f"{why}; add the shard_id of one")
            if fitting:
                return self._sources[_composed(f"{fitting[0]}/{called}")]
        return None


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", os.path.normpath(name))


def _is_near(shard: str, manifest: str) -> bool:
    folder = PurePosixPath(manifest).parent
    return PurePosixPath(shard).parent in (folder, folder.parent if folder.name == "sharded_manifests" else folder)


def _number_of(name: str) -> int | None:
    """Return the last number in a file's name: of audio_3.tar 3."""
    numbers = re.findall(r"\d+", PurePosixPath(name).name.partition(".")[0])
    return int(numbers[-1]) if numbers and len(numbers[-1]) <= 9 else None


def expanded(pattern: str) -> Iterator[str]:
    """Yield the names that NeMo's pattern denotes: audio__OP_0..3_CL_.tar, audio_{0..3}.tar, {a,b}.tar.

    Of more than 100,000 names the first are yielded.
    """
    plain = pattern
    for written, brace in (("_OP_", "{"), ("_CL_", "}")):
        plain = plain.replace(written, brace)
    if plain.count("{") > _MAX_BRACES:
        return iter((pattern,))
    return itertools.islice(_expanded(plain), _MAX_EXPANDED)


def _expanded(pattern: str) -> Iterator[str]:
    found = _RANGE.search(pattern)
    if found is None:
        yield pattern
        return
    low, high, listed = found.groups()
    if listed is None:
        width = len(low) if low.startswith("0") else 0
        parts: Iterable[str] = (f"{number:0{width}d}" for number in range(int(low), int(high) + 1))
    else:
        parts = listed.split(",")
    for part in parts:
        yield from _expanded(pattern[: found.start()] + part + pattern[found.end() :])
