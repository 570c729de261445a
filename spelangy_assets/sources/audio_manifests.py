"""What manifests say of the recordings of a snapshot, in the forms that the field writes.

Put here: reading those forms. Do not put here: looking for the files (audio_snapshot.py) or opening them.

A line of JSON is told by its keys, so that forms may stand side by side:

    own       {"file": "talks/one.opus", "url": "https://...", "licence": "CC-BY-4.0", "language": "en",
               "utterances": [{"speaker": "a", "text": "Hello.", "start_s": 0.2, "end_s": 0.9}]}
    NeMo      {"audio_filepath": "one.wav", "offset": 0.0, "duration": 2.5, "text": "Hello.", "lang": "en"}
    lhotse    a Recording {"id", "sources": [{"type": "file", "source": ...}]}, a SupervisionSegment {"recording_id",
              "start", "duration", "text"}, or a MonoCut with both inside

`path` and `file_name` mean `file`, `source` means `url`, `license` means `licence`, `lang` means `language`; other keys
are passed over. A transcript is what `utterances`, NeMo's `text` and lhotse's supervisions hold: with it neither
diarization nor ASR is asked. A NeMo line or a supervision is one utterance, so many may name one file; without a
duration it lasts to the end of the recording. Lines without text say where a file comes from, and it is read whole.
`rttm` (NeMo's `rttm_filepath`) names a file of turns, which spares diarization alone; beside it the "-" that NeMo
writes for an unknown text is none.
"""

from __future__ import annotations

import gzip
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any

from spelangy_assets.execution.stage import InputError
from spelangy_model.credentials import without_credentials
from spelangy_model.records import Utterance

UNKNOWN_LICENCE = "unknown"
UNKNOWN_SPEAKER = "unknown"
NO_TEXT = "-"


@dataclass(frozen=True)
class Entry:
    """What a manifest says of a file. An utterance that ends at infinity ends with the recording.

    `rttm` is the file that holds its turns, when they are known and its words are not (see given_turns.py).
    """

    url: str = ""
    licence: str = UNKNOWN_LICENCE
    language: str = ""
    utterances: tuple[Utterance, ...] = ()
    rttm: str = ""


@dataclass(frozen=True)
class BadLine:
    """A line that names nothing to be read: what it names, why in a fixed word, and in words with its place."""

    name: str
    reason: str
    error: str


@dataclass
class Listing:
    """All that the manifests of a snapshot say: entries by file name, in the order of the names."""

    entries: dict[str, Entry] = field(default_factory=dict)
    bad: list[BadLine] = field(default_factory=list)


def is_manifest(name: str) -> bool:
    """Whether a file at the top of a snapshot is a manifest: *.jsonl, and NeMo's *manifest*.json; both also as .gz."""
    plain = name.lower().removesuffix(".gz")
    return "/" not in name and (plain.endswith(".jsonl") or ("manifest" in plain and plain.endswith(".json")))


def read_manifests(manifests: Iterable[tuple[str, bytes]], roots: Sequence[str], texts: bool = False) -> Listing:
    """Return what manifests say, given as (name, bytes). `roots` are the snapshot's own places, absolute.

    With `texts` the own form's `text`, `transcription` or `sentence` is what is said in the whole file. Without, it is
    passed over: it may be the truth that a recognizer is measured by.

    A record that lies outside of the snapshot, has another record's id, or is of a kind that cannot be read is a bad
    line. InputError, naming the line and the cure, for one that is no JSON object or has a value of another type.
    """
    reader = _Reader(roots, texts)
    for name, data in manifests:
        try:
            plain = gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data
        except (OSError, EOFError) as error:
            raise InputError(f"{name}: {error}; it is no whole gzip file, write it again") from error
        for number, line in enumerate(plain.decode("utf-8-sig", "surrogateescape").split("\n"), start=1):
            if line.strip():
                reader.take(line, f"{name}, line {number}")
    return reader.listing()


def entry_of(row: Mapping[str, Any], where: str, text: str = "") -> Entry:
    """Return what one object in NeMo's or our own form says of its recording; `text` stands in for its own."""
    own = _utterances(row.get("utterances"), where)
    rttm = _text(row, ("rttm", "rttm_filepath"), "", where)
    said = _text(row, ("text",), text, where) if not own else ""
    if rttm and said == NO_TEXT:
        said = ""
    if said:
        own = (_timed(row, said, ("offset", "duration"), 0.0, where),)
    return Entry(
        url=without_credentials(_text(row, ("url", "source_url", "source"), "", where)),
        licence=_text(row, ("licence", "license"), UNKNOWN_LICENCE, where),
        language=_text(row, ("language", "lang"), "", where),
        utterances=own,
        rttm=rttm if not own else "",
    )


class _Reader:
    """Goes through the lines, and joins at the end what stands in several."""

    def __init__(self, roots: Sequence[str], texts: bool):
        self._texts = texts
        self._roots = [PurePosixPath(root) for root in roots]
        self._own: dict[str, Entry] = {}
        self._segments: dict[str, list[Entry]] = {}  # NeMo's lines, by file name
        self._files: dict[str, tuple[str, Entry]] = {}  # lhotse's recordings, by id
        self._supervisions: dict[str, dict[str, tuple[Utterance, str, str]]] = {}  # by recording id, then their own
        self._bad: list[BadLine] = []

    def take(self, line: str, where: str) -> None:
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: {error}; write one JSON object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: a {type(row).__name__}, not an object; write one JSON object a line")
        if "sources" in row:
            self._recording(row, where)
        elif "recording_id" in row and "start" in row:
            self._supervision(row, 0.0, where)
        elif "recording" in row or str(row.get("type", "")).endswith("Cut"):
            self._cut(row, where)
        elif "audio_filepath" in row:
            name = self._name(_text(row, ("audio_filepath",), "", where), where)
            if name:
                self._segments.setdefault(name, []).append(self._entry(row, where))
        else:
            name = self._name(_text(row, ("file", "path", "file_name"), "", where), where)
            said = _text(row, ("text", "transcription", "sentence"), "", where) if self._texts else ""
            entry = self._entry({**row, "text": said}, where)
            if name and self._own.setdefault(name, entry) != entry:
                self._refuse(name, "duplicate_id", f"{where}: says something else of {name} than a line before")

    def _entry(self, row: Mapping[str, Any], where: str) -> Entry:
        entry = entry_of(row, where)
        return replace(entry, rttm=self._name(entry.rttm, where)) if entry.rttm else entry

    def _recording(self, row: Mapping[str, Any], where: str) -> str:
        recording_id = _text(row, ("id",), "", where)
        sources = row["sources"] if isinstance(row["sources"], list) else [row["sources"]]
        known = [source for source in sources if isinstance(source, dict) and source.get("type") == "file"]
        if not recording_id or len(known) != 1 or len(sources) != 1:
            kinds = [source.get("type") if isinstance(source, dict) else source for source in sources]
            why = f"a recording with an id and one source of type 'file' is read, not {kinds}; save its audio as a file"
            self._refuse(recording_id or where, "unknown_source", f"{where}: {why}")
            return ""
        name = self._name(_text(known[0], ("source",), "", where), where)
        if not name:
            return ""
        custom = row.get("custom")
        entry = entry_of({**(custom if isinstance(custom, dict) else {}), **row, "sources": None, "text": None}, where)
        if self._files.setdefault(recording_id, (name, entry))[0] != name:
            self._refuse(name, "duplicate_id", f"{where}: the id {recording_id} is another file's on a line before")
            return ""
        return recording_id

    def _supervision(self, row: Mapping[str, Any], origin_s: float, where: str) -> None:
        said = _text(row, ("text",), "", where)
        if not said:
            return
        recording_id = _text(row, ("recording_id",), "", where)
        utterance = _timed(row, said, ("start", "duration"), origin_s, where)
        own_id = _text(row, ("id",), f"{utterance.speaker}@{utterance.start_s}", where)
        told = self._supervisions.setdefault(recording_id, {})
        first = told.setdefault(own_id, (utterance, _text(row, ("language",), "", where), where))
        if first[0] != utterance:
            self._refuse(recording_id, "duplicate_id", f"{where}: the id {own_id} is that of {first[2]} too")

    def _cut(self, row: Mapping[str, Any], where: str) -> None:
        recording = row.get("recording")
        if not isinstance(recording, dict) or "sources" not in recording:
            name = _text(row, ("id",), where, where)
            why = f"a {row.get('type', 'cut')} without a recording of its own; save mixed cuts as audio files"
            self._refuse(name, "unknown_source", f"{where}: {why}")
            return
        recording_id = self._recording(recording, where)
        for supervision in row.get("supervisions") or () if recording_id else ():
            given = {**supervision, "recording_id": recording_id}
            self._supervision(given, _number(row.get("start", 0.0), "start", where), where)

    def _name(self, name: str, where: str) -> str:
        """Return a file's name inside of the snapshot; "" when it names none, which is a bad line."""
        name = without_credentials(name)  # some give an address, which the reject repeats
        if not name:
            raise InputError(f'{where}: names no file; add "file": "NAME", relative to the snapshot')
        path = PurePosixPath(os.path.normpath(name))
        for root in self._roots:
            if path.is_absolute() and path.is_relative_to(root):
                path = path.relative_to(root)
        if path.is_absolute() or ".." in path.parts:
            why = f"{name} lies outside of the snapshot; only files inside of it are read"
            self._refuse(name, "outside", f"{where}: {why}")
            return ""
        return path.as_posix()

    def _refuse(self, name: str, reason: str, error: str) -> None:
        self._bad.append(BadLine(name, reason, error))

    def listing(self) -> Listing:
        entries = dict(self._own)
        for name, entry in self._joined():
            known = entries.setdefault(name, entry)
            if known != entry:
                entries[name] = Entry(
                    url=known.url or entry.url,
                    licence=known.licence if known.licence != UNKNOWN_LICENCE else entry.licence,
                    language=known.language or entry.language,
                    utterances=known.utterances or entry.utterances,
                    rttm=known.rttm or entry.rttm,
                )
        for recording_id in self._supervisions.keys() - self._files.keys():
            where = next(iter(self._supervisions[recording_id].values()))[2]
            self._refuse(recording_id, "missing_file", f"{where}: no recording has the id {recording_id}")
        order = sorted(self._bad, key=lambda bad: (bad.name, bad.error))
        return Listing(dict(sorted(entries.items())), order)

    def _joined(self) -> Iterator[tuple[str, Entry]]:
        for name, parts in self._segments.items():
            utterances = sorted({item for part in parts for item in part.utterances}, key=_time)
            yield name, replace(parts[0], utterances=tuple(utterances))
        for recording_id, (name, entry) in self._files.items():
            told = self._supervisions.get(recording_id, {}).values()
            languages = {language for _, language, _ in told if language}
            yield (
                name,
                replace(
                    entry,
                    language=entry.language or (languages.pop() if len(languages) == 1 else ""),
                    utterances=tuple(sorted({item for item, _, _ in told}, key=_time)),
                ),
            )


def _time(utterance: Utterance) -> tuple[float, float, str, str]:
    return utterance.start_s, utterance.end_s, utterance.speaker, utterance.text


def _timed(row: Mapping[str, Any], text: str, keys: tuple[str, str], origin_s: float, where: str) -> Utterance:
    start_s = origin_s + _number(row.get(keys[0]) or 0.0, keys[0], where)
    duration = row.get(keys[1])
    end_s = math.inf if duration is None else start_s + _number(duration, keys[1], where)
    speaker = row.get("speaker")
    speaker = UNKNOWN_SPEAKER if speaker in (None, "") else str(speaker)
    # Whole milliseconds, as in segments, so that an utterance and its segment have the same times.
    return Utterance(speaker, text, round(start_s, 3), end_s if math.isinf(end_s) else round(end_s, 3))


def _number(value: Any, key: str, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{where}: {key} is {value!r}; it is a number of seconds")
    return float(value)


def _text(row: Mapping[str, Any], keys: Sequence[str], default: str, where: str) -> str:
    for key in keys:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{where}: {key} is {value!r}; it is a string")
        if value:
            return value
    return default


def _utterances(rows: Any, where: str) -> tuple[Utterance, ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list):
        raise InputError(f"{where}: utterances is no list; write a list of objects")
    utterances = []
    for item in rows:
        try:
            speaker, text = str(item["speaker"]), item["text"]
            start_s, end_s = (round(float(item[key]), 3) for key in ("start_s", "end_s"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: an utterance has speaker, text, start_s and end_s: {error!r}") from error
        if not isinstance(text, str):
            raise InputError(f"{where}: the text of an utterance is {text!r}; it is a string")
        utterances.append(Utterance(speaker, text, start_s, end_s))
    return tuple(utterances)
