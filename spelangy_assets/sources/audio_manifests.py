"""Reads the manifests of a snapshot's recordings, in the formats of the field.

Put here: reading those formats. Do not put here: finding the files (audio_snapshot.py), resolving names in a snapshot
(manifest_names.py), JSON itself (spelangy_model/guarded_json.py).

The keys of a line of JSON give its form, so that a manifest may mix forms:

    own       {"file": "talks/one.opus", "url": "https://...", "licence": "CC-BY-4.0", "language": "en",
               "utterances": [{"speaker": "a", "text": "Hello.", "start_s": 0.2, "end_s": 0.9}]}
    NeMo      {"audio_filepath": "one.wav", "offset": 0.0, "duration": 2.5, "text": "Hello.", "lang": "en"}; with
              `shard_id` the name is that of a member of a tar shard
    lhotse    a Recording {"id", "sources": [{"type": "file", "channels": [0, 1], "source": ...}]}, a
              SupervisionSegment {"recording_id", "start", "duration", "channel", "text"}, or a cut with both inside

`path` and `file_name` mean `file`, `source` means `url`, `license` means `licence`, `lang` means `language`; other keys
are ignored; null, and the NaN that pandas writes for a missing text, mean that a key is absent. The transcript is in
`utterances`, NeMo's `text` or lhotse's supervisions; a recording that has one needs neither diarization nor ASR. A NeMo
line or a supervision is one utterance, so several may name one file; without a duration it lasts to the end of the
recording. Lines without text state where a file comes from, and the file is read whole. `rttm` (NeMo's `rttm_filepath`)
names a file of turns, which replaces diarization only; beside it, the "-" that NeMo writes for an unknown text means no
text. `channel` (of a supervision, a NeMo line, one of `utterances`; NeMo's `channel_selector`) is the channel, from 0,
that holds the utterance.

An entry that cannot be parsed is rejected alone, with its place: a line as a bad line, an utterance as a bad utterance.
A file whose metadata cannot be parsed at all is refused as `bad_metadata`; it is not read as if it had no metadata.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import IO, Any

from spelangy_assets.sources.manifest_names import ManifestNames, UnknownName, expanded
from spelangy_model.credentials import without_credentials
from spelangy_model.guarded_json import Row, is_text, read_rows, replaced
from spelangy_model.records import Utterance

UNKNOWN_LICENCE = "unknown"
UNKNOWN_SPEAKER = "unknown"
NO_TEXT = "-"
_MAX_CHANNELS = 1024
MAX_BAD_LINES = 100_000  # of one file; it is no manifest, and memory is kept for those that are


@dataclass(frozen=True)
class Entry:
    """A manifest's facts about a file. An utterance that ends at infinity ends with the recording.

    `rttm` is the file of its turns, when they are known and its words are not (see given_turns.py). `by_channel` are
    the utterances that belong to one channel of the file; `channels` is the file's number of channels, 0 where no
    manifest states it.
    """

    url: str = ""
    licence: str = UNKNOWN_LICENCE
    language: str = ""
    utterances: tuple[Utterance, ...] = ()
    rttm: str = ""
    by_channel: tuple[tuple[int, tuple[Utterance, ...]], ...] = ()
    channels: int = 0

    @property
    def is_transcribed(self) -> bool:
        return bool(self.utterances or self.by_channel)


@dataclass(frozen=True)
class BadLine:
    """An entry that is not read: the name in it (else its place), a fixed reason, and an error text with its place."""

    name: str
    reason: str
    error: str


@dataclass
class Listing:
    """The contents of a snapshot's manifests: entries by file name, in the order of the names.

    `refused` are files that only bad lines name, by their name.
    """

    entries: dict[str, Entry] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)
    refused: dict[str, BadLine] = field(default_factory=dict)


class ManifestError(Exception):
    """A value of the wrong type for its key. The text is the place and why.

    `reason` is the reject reason of a file without other metadata: bad_metadata or bad_utterances.
    """

    def __init__(self, where: str, why: str, reason: str = "bad_metadata"):
        super().__init__(f"{where}: {why}")
        self.where, self.reason = where, reason


def is_manifest(name: str) -> bool:
    """Whether a file at the top of a snapshot is a manifest: *.jsonl, and NeMo's *manifest*.json; both also as .gz."""
    plain = name.lower().removesuffix(".gz")
    return "/" not in name and (plain.endswith(".jsonl") or ("manifest" in plain and plain.endswith(".json")))


def manifests_of(names: Iterable[str]) -> list[str]:
    """Return the manifests among a snapshot's files: those at its top, and those beside NeMo's shards.

    NeMo writes FOLDER/audio_0.tar with FOLDER/tarred_audio_manifest.json or FOLDER/sharded_manifests/manifest_0.json.
    """
    names = list(names)
    shards = {PurePosixPath(name).parent for name in names if name.lower().endswith(".tar")}

    def is_beside_shards(name: str) -> bool:
        folder = PurePosixPath(name).parent
        folder = folder.parent if folder.name == "sharded_manifests" else folder
        return folder in shards and "manifest" in PurePosixPath(name).name and is_manifest(PurePosixPath(name).name)

    return [name for name in names if is_manifest(name) or is_beside_shards(name)]


def read_manifests(
    manifests: Iterable[tuple[str, bytes | IO[bytes]]],
    roots: Sequence[str],
    texts: bool = False,
    names: ManifestNames | None = None,
    rows: Callable[[str, IO[bytes]], Iterator[Row]] = lambda name, stream: read_rows(stream),
) -> Listing:
    """Return the contents of manifests, given as (name, content). `roots` are the snapshot's own absolute paths.

    With `texts`, the own form's `text`, `transcription` or `sentence` is the transcript of the whole file. Without, it
    is ignored: it may be the reference that a recognizer is evaluated against. `names` resolves file names,
    `rows` reads the records of a manifest (those of a corpus; see corpora.py).

    A line is bad when its file is outside of the snapshot, its id is another record's, its kind cannot be read, it is
    no JSON object, or a value has the wrong type. Streams are closed.
    """
    reader = _Reader(names or ManifestNames((), roots=roots), texts)
    for name, content in manifests:
        with io.BytesIO(content) if isinstance(content, bytes) else content as stream:
            reader.read(name, rows(name, stream))
    return reader.listing()


def entry_of(row: Mapping[str, Any], where: str, text: str = "", bad: list[BadLine] | None = None) -> Entry:
    """Return the entry of one object in NeMo's or our own form; `text` is used where the object has none.

    Utterances that cannot be parsed are added to `bad`. Raises ManifestError for any other bad value, and where no
    utterance is left.
    """
    own = _utterances(row.get("utterances"), where, [] if bad is None else bad)
    rttm = _text(row, ("rttm", "rttm_filepath"), "", where)
    transcript = _text(row, ("text",), text, where) if not own else ""
    if rttm and transcript == NO_TEXT:
        transcript = ""
    if transcript:
        own = [_timed(row, transcript, ("offset", "duration"), 0.0, where)]
    entry = Entry(
        url=without_credentials(replaced(_text(row, ("url", "source_url", "source"), "", where))),
        licence=replaced(_text(row, ("licence", "license"), UNKNOWN_LICENCE, where)),
        language=replaced(_text(row, ("language", "lang"), "", where)),
        rttm=rttm if not own else "",
    )
    return _with(entry, own)


_ChannelUtterance = tuple[int | None, Utterance]  # the channel that holds it; None: the manifest names no channel


def _with(entry: Entry, utterances: Iterable[_ChannelUtterance]) -> Entry:
    """Return an entry with utterances in order of time; of those at the same time the first comes first."""
    by_channel: dict[int | None, dict[Utterance, None]] = {}
    for channel, utterance in utterances:
        by_channel.setdefault(channel, {})[utterance] = None
    ordered = {channel: tuple(sorted(found, key=_time)) for channel, found in by_channel.items()}
    whole = ordered.pop(None, ())
    return replace(
        entry, utterances=whole, by_channel=tuple(sorted((c, found) for c, found in ordered.items() if c is not None))
    )


def _utterances_of(entry: Entry) -> Iterator[_ChannelUtterance]:
    yield from ((None, utterance) for utterance in entry.utterances)
    for channel, found in entry.by_channel:
        yield from ((channel, utterance) for utterance in found)


@dataclass(frozen=True)
class _Source:
    """One file of a lhotse recording, and the recording's channels that it holds, in the file's order."""

    name: str
    channels: tuple[int, ...]


@dataclass(frozen=True)
class _Supervision:
    """`channels` are the recording's; none: all."""

    utterance: Utterance
    channels: tuple[int, ...]
    language: str
    where: str


class _Reader:
    """Reads the lines, and joins those of one file at the end."""

    def __init__(self, names: ManifestNames, texts: bool):
        self._names = names
        self._texts = texts
        self._manifest = ""
        self._own: dict[str, Entry] = {}
        self._segments: dict[str, list[Entry]] = {}  # NeMo's lines, by file name
        self._files: dict[str, tuple[tuple[_Source, ...], Entry]] = {}  # lhotse's recordings, by id
        self._supervisions: dict[str, dict[str, _Supervision]] = {}  # by recording id, then their own
        self._bad: list[BadLine] = []
        self._not_understood: list[tuple[str, ManifestError]] = []  # files by name, and the error of a line
        self._bad_supervisions: list[tuple[str, ManifestError]] = []  # recordings by id

    def read(self, manifest: str, rows: Iterator[Row]) -> None:
        self._manifest = manifest
        known = self._count_bad()
        for row in rows:
            where = f"{manifest}, {row.place}"
            if row.error:
                cure = "" if row.is_last else "; write one JSON object a line"
                self._refuse(where, row.reason or "bad_line", f"{where}: {row.error}{cure}")
            else:
                try:
                    self._take(row.value, where)
                except ManifestError as error:
                    self._refuse(where, "bad_line", str(error))
                except UnknownName as error:
                    self._refuse(error.name or where, error.reason, f"{where}: {error}")
            if self._count_bad() - known >= MAX_BAD_LINES:
                why = f"{MAX_BAD_LINES} bad lines up to this one; the rest of the file is not read"
                self._refuse(f"{manifest}, after {row.place}", "not_text", f"{where}: {why}")
                return

    def _count_bad(self) -> int:
        return len(self._bad) + len(self._not_understood) + len(self._bad_supervisions)

    def _take(self, row: Any, where: str) -> None:
        if not isinstance(row, dict):
            raise ManifestError(where, f"a {type(row).__name__}, not an object; write one JSON object a line")
        if "sources" in row:
            self._recording(row, where)
        elif "recording_id" in row and "start" in row:
            self._supervision(row, 0.0, where)
        elif "recording" in row or str(row.get("type", "")).endswith("Cut"):
            self._cut(row, where)
        elif "audio_filepath" in row:
            self._segment(row, where)
        elif "tarred_audio_filepaths" in row:
            self._shards(row, where)
        else:
            self._whole_file(row, where)

    def _segment(self, row: Mapping[str, Any], where: str) -> None:
        shard = _whole_number(row, "shard_id", where)
        name = self._names.find(_text(row, ("audio_filepath",), "", where), self._manifest, shard)
        if row.get("_skipme") is True:  # NeMo's own mark for a line that is not to be used
            self._refuse(where, "skipped", f"{where}: marked _skipme")
            self._segments.setdefault(name, [])
        elif (entry := self._entry(row, name, where)) is not None:
            self._segments.setdefault(name, []).append(entry)

    def _shards(self, row: Mapping[str, Any], where: str) -> None:
        """Check that the shards named by a line of NeMo's data configuration exist."""
        for key in ("tarred_audio_filepaths", "manifest_filepath"):
            for pattern in _strings(row.get(key) or (), key, where):
                for name in expanded(pattern):
                    if not self._names.is_file(name, self._manifest):
                        self._refuse(name, "missing_file", f"{where}: {key} names it, and it is not there")

    def _whole_file(self, row: Mapping[str, Any], where: str) -> None:
        name = self._names.find(_text(row, ("file", "path", "file_name"), "", where), self._manifest)
        try:
            text = _text(row, ("text", "transcription", "sentence"), "", where) if self._texts else ""
        except ManifestError as error:
            self._not_understood.append((name, error))
            return
        entry = self._entry({**row, "text": text}, name, where)
        if entry is not None and self._own.setdefault(name, entry) != entry:
            self._refuse(name, "duplicate_id", f"{where}: says something else of {name} than a line before")

    def _entry(self, row: Mapping[str, Any], name: str, where: str) -> Entry | None:
        """Return the entry of a line; None when it cannot be parsed, and the error is kept for the listing."""
        try:
            entry = entry_of(row, where, bad=self._bad)
        except ManifestError as error:
            self._not_understood.append((name, error))
            return None
        if not entry.rttm:
            return entry
        try:
            return replace(entry, rttm=self._names.find(entry.rttm, self._manifest))
        except UnknownName as error:
            self._refuse(error.name or where, error.reason, f"{where}: {error}")
            return replace(entry, rttm="")

    def _recording(self, row: Mapping[str, Any], where: str) -> str:
        recording_id = _text(row, ("id",), "", where)
        sources = row["sources"] if isinstance(row["sources"], list) else [row["sources"]]
        known = [source for source in sources if isinstance(source, dict) and source.get("type") == "file"]
        if not recording_id or not known or len(known) < len(sources):
            kinds = [source.get("type") if isinstance(source, dict) else source for source in sources]
            why = f"a recording with an id and sources of type 'file' is read, not {_shown(kinds)}"
            self._refuse(recording_id or where, "unknown_source", f"{where}: {why}; save its audio as a file")
            return ""
        files = tuple(
            _Source(self._names.find(_text(one, ("source",), "", where), self._manifest), _channels(one, where))
            for one in known
        )
        custom = row.get("custom")
        custom = custom if isinstance(custom, dict) else {}
        beside = {key: value for key, value in custom.items() if isinstance(value, str)}
        try:
            entry = entry_of({**beside, **row, "sources": None, "text": None, "utterances": None}, where)
        except ManifestError as error:
            self._not_understood += [(file.name, error) for file in files]
            return ""
        if self._files.setdefault(recording_id, (files, entry))[0] != files:
            why = f"{where}: the id {recording_id} is another file's on a line before"
            self._refuse(files[0].name, "duplicate_id", why)
            return ""
        return recording_id

    def _supervision(self, row: Mapping[str, Any], origin_s: float, where: str) -> None:
        recording_id = _text(row, ("recording_id",), "", where)
        try:
            text = _text(row, ("text",), "", where)
            if not text:
                return
            utterance = _timed(row, text, ("start", "duration"), origin_s, where)[1]
            own_id = _text(row, ("id",), f"{utterance.speaker}@{utterance.start_s}", where)
            language = replaced(_text(row, ("language",), "", where))
            supervision = _Supervision(utterance, _channels({"channels": row.get("channel")}, where), language, where)
        except ManifestError as error:
            self._bad_supervisions.append((recording_id, error))
            return
        known = self._supervisions.setdefault(recording_id, {})
        first = known.setdefault(own_id, supervision)
        if (first.utterance, first.channels) != (utterance, supervision.channels):
            self._refuse(recording_id, "duplicate_id", f"{where}: the id {own_id} is that of {first.where} too")

    def _cut(self, row: Mapping[str, Any], where: str) -> None:
        recording = row.get("recording")
        if not isinstance(recording, dict) or "sources" not in recording:
            name = _text(row, ("id",), where, where)
            why = f"a {_shown(row.get('type', 'cut'))} without a recording of its own; save mixed cuts as audio files"
            self._refuse(name, "unknown_source", f"{where}: {why}")
            return
        recording_id = self._recording(recording, where)
        given = row.get("supervisions") or ()
        if not isinstance(given, list | tuple):
            raise ManifestError(where, f"supervisions is {_shown(given)}; it is a list of objects")
        start_s = _number(row.get("start", 0.0), "start", where)
        for number, supervision in enumerate(given if recording_id else (), start=1):
            place = f"{where}, supervision {number}"
            if _is_object(supervision):
                self._supervision({**supervision, "recording_id": recording_id}, start_s, place)
            else:
                error = ManifestError(place, f"{_shown(supervision)} is no object")
                self._bad_supervisions.append((recording_id, error))

    def _refuse(self, name: str, reason: str, error: str) -> None:
        self._bad.append(BadLine(name, reason, error))

    def listing(self) -> Listing:
        entries = dict(self._own)
        for name, entry in self._joined():
            known = entries.setdefault(name, entry)
            if known != entry:
                spoken = known if known.is_transcribed else entry
                entries[name] = Entry(
                    url=known.url or entry.url,
                    licence=known.licence if known.licence != UNKNOWN_LICENCE else entry.licence,
                    language=known.language or entry.language,
                    utterances=spoken.utterances,
                    rttm=known.rttm or entry.rttm,
                    by_channel=spoken.by_channel,
                    channels=known.channels or entry.channels,
                )
        for recording_id in self._supervisions.keys() - self._files.keys():
            where = next(iter(self._supervisions[recording_id].values())).where
            self._refuse(recording_id, "missing_file", f"{where}: no recording has the id {recording_id}")
        refused = self._not_read(entries)
        order = sorted(self._bad, key=lambda bad: (bad.name, bad.error))
        return Listing(dict(sorted(entries.items())), order, refused)

    def _not_read(self, entries: dict[str, Entry]) -> dict[str, BadLine]:
        """Refuse each file whose only lines could not be parsed, and return these files; else reject the line alone."""
        refused: dict[str, BadLine] = {}
        for name, error in self._not_understood:
            if name not in entries and name not in refused:
                refused[name] = BadLine(name, error.reason, str(error))
            else:
                self._refuse(error.where, "bad_line", str(error))
        for recording_id, error in self._bad_supervisions:
            files = self._files.get(recording_id, ((), None))[0]
            untranscribed = [file.name for file in files if not entries[file.name].is_transcribed]
            if untranscribed and untranscribed[0] not in refused:
                refused[untranscribed[0]] = BadLine(untranscribed[0], "bad_utterances", str(error))
            else:
                self._refuse(error.where, "bad_utterance", str(error))
        return refused

    def _joined(self) -> Iterator[tuple[str, Entry]]:
        for name, parts in self._segments.items():
            if parts:
                yield name, _with(parts[0], (found for part in parts for found in _utterances_of(part)))
        for recording_id, (files, entry) in self._files.items():
            supervisions = self._supervisions.get(recording_id, {}).values()
            languages = {item.language for item in supervisions if item.language}
            utterances: dict[str, list[_ChannelUtterance]] = {file.name: [] for file in files}
            for item in supervisions:
                if (place := self._placed(files, item)) is not None:
                    utterances[place[0]].append((place[1], item.utterance))
            language = entry.language or (languages.pop() if len(languages) == 1 else "")
            for file in files:
                about = replace(entry, language=language, channels=len(file.channels))
                about = about if len(file.channels) > 1 else replace(about, channels=0)
                yield file.name, _with(about, utterances[file.name])

    def _placed(self, files: Sequence[_Source], item: _Supervision) -> tuple[str, int | None] | None:
        """Return the file and the channel in it that hold a supervision; None, and a bad line, when none does."""
        channels = item.channels
        first = channels[0] if channels else None
        file = next((one for one in files if first is None or not one.channels or first in one.channels), None)
        if file is None:
            has = sorted({channel for one in files for channel in one.channels})
            self._refuse(
                item.where, "no_channel", f"{item.where}: the channel {first} is none of the recording's {has}"
            )
            return None
        if first is None or len(file.channels) == 1 or set(channels) == set(file.channels):
            return file.name, None
        if len(files) > 1 and (len(channels) > 1 or not file.channels):
            return file.name, None
        if len(channels) > 1:
            why = f"{item.where}: the channels {list(channels)} of {len(file.channels)}; one or all are read"
            self._refuse(item.where, "no_channel", why)
            return None
        return file.name, file.channels.index(first) if file.channels else first


def _strings(value: Any, key: str, where: str) -> Iterator[str]:
    """Yield a string, or those of a list, which may hold lists (NeMo's buckets)."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item, key, where)
    else:
        raise ManifestError(where, f"{key} holds {_shown(value)}; it is a string or a list of strings")


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _shown(value: Any) -> str:
    """Return a value as text of bounded length."""
    text = replaced(repr(value))
    return text if len(text) <= 80 else f"{text[:77]}..."


def _time(utterance: Utterance) -> tuple[float, float, str]:
    return utterance.start_s, utterance.end_s, utterance.speaker


def _timed(row: Mapping[str, Any], text: str, keys: tuple[str, str], origin_s: float, where: str) -> _ChannelUtterance:
    if not is_text(text):
        raise ManifestError(where, f"the text holds half a character ({_shown(text)}); write UTF-8", "bad_utterances")
    start = row.get(keys[0])
    start_s = origin_s + (0.0 if start is None else _number(start, keys[0], where))
    duration = row.get(keys[1])
    end_s = math.inf if duration is None else start_s + _number(duration, keys[1], where)
    speaker = row.get("speaker")
    if isinstance(speaker, dict | list):
        raise ManifestError(where, f"speaker is {_shown(speaker)}; it is a string or a number")
    speaker = UNKNOWN_SPEAKER if _is_absent(speaker) or speaker == "" else replaced(str(speaker))
    # Whole milliseconds, as in segments, so that an utterance and its segment have the same times.
    utterance = Utterance(speaker, text, round(start_s, 3), end_s if math.isinf(end_s) else round(end_s, 3))
    return _channel(row, where), utterance


def _is_absent(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _number(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ManifestError(where, f"{key} is {_shown(value)}; it is a number of seconds", "bad_utterances")
    return float(value)


def _whole_number(row: Mapping[str, Any], key: str, where: str) -> int | None:
    value = row.get(key)
    if _is_absent(value):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value % 1:
        raise ManifestError(where, f"{key} is {_shown(value)}; it is a whole number")
    return int(value)  # pandas writes 3.0 where another row has none


def _channel(row: Mapping[str, Any], where: str) -> int | None:
    """Return the one channel that a line names; None when it names none or means the whole file."""
    value = row.get("channel", row.get("channel_selector"))
    if value == "average":  # NeMo's word
        return None
    channels = _channels({"channels": value}, where)
    return channels[0] if len(channels) == 1 else None


def _channels(row: Mapping[str, Any], where: str) -> tuple[int, ...]:
    value = row.get("channels")
    given = value if isinstance(value, list) else [] if _is_absent(value) else [value]
    channels = [_whole_number({"channel": channel}, "channel", where) for channel in given]
    if not all(channel is not None and 0 <= channel < _MAX_CHANNELS for channel in channels):
        raise ManifestError(where, f"channel is {_shown(value)}; it is a number from 0 on")
    return tuple(channel for channel in channels if channel is not None)


def _text(row: Mapping[str, Any], keys: Sequence[str], default: str, where: str) -> str:
    for key in keys:
        value = row.get(key)
        if _is_absent(value):
            continue
        if not isinstance(value, str):
            raise ManifestError(where, f"{key} is {_shown(value)}; it is a string")
        if value:
            return value
    return default


def _utterances(rows: Any, where: str, bad: list[BadLine]) -> list[_ChannelUtterance]:
    if rows is None:
        return []
    if not isinstance(rows, list):
        raise ManifestError(where, "utterances is no list; write a list of objects")
    found: list[_ChannelUtterance] = []
    errors = []
    for number, item in enumerate(rows, start=1):
        place = f"{where}, utterance {number}"
        try:
            found.append(_utterance(item, place))
        except ManifestError as error:
            errors.append(BadLine(place, "bad_utterance", str(error)))
    if errors and not found:
        raise ManifestError(where, f"no utterance can be read: {errors[0].error}", "bad_utterances")
    bad += errors
    return found


def _utterance(item: Any, where: str) -> _ChannelUtterance:
    if not _is_object(item) or not {"speaker", "text", "start_s", "end_s"} <= item.keys():
        raise ManifestError(where, f"an utterance has speaker, text, start_s and end_s, not {_shown(item)}")
    speaker, text = item["speaker"], item["text"]
    if not isinstance(text, str) or not is_text(text):
        raise ManifestError(where, f"the text of an utterance is {_shown(text)}; it is a string")
    if speaker is None or isinstance(speaker, dict | list):
        raise ManifestError(where, f"the speaker of an utterance is {_shown(speaker)}; it is a string")
    start_s, end_s = (round(_seconds(item[key], key, where), 3) for key in ("start_s", "end_s"))
    return _channel(item, where), Utterance(replaced(str(speaker)), text, start_s, end_s)


def _seconds(value: Any, key: str, where: str) -> float:
    """Return a time of our own form, which may be written as text."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?[0-9]{1,12}(\.[0-9]*)?\s*", value):
        value = float(value)
    return _number(value, key, where)
