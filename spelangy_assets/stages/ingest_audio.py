"""raw_audio: the recordings of a snapshot, decoded to mono 16 kHz, and why the others are not among them.

Put here: going through a snapshot, its manifest, exact duplicates. Do not put here: how a file becomes rows
(read_recording.py), anything about speakers or words, or how a rendered snapshot is made (whoever renders it says).

A snapshot is a folder, or a source that renders recordings at run time. In a folder every file whose name ends as
sound does is taken, hidden ones excepted, and every file that `manifest.jsonl` at its top names, an object a line:

    {"file": "talks/one.opus", "url": "https://...", "licence": "CC-BY-4.0",
     "utterances": [{"speaker": "a", "text": "Hello.", "start_s": 0.2, "end_s": 0.9}]}

`audio_filepath` and `path` mean `file`, `source` means `url`, `license` means `licence`; other keys are passed over.
`utterances` is a transcript that came with the audio: with it neither diarization nor ASR is asked. Among files with
equal bytes the first by name is kept; a listed one goes before one that is not.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spelangy_assets.stages.read_recording import Facts, ReadRule, check_duration, fitted, read_recordings
from spelangy_assets.stages.sources import files_of
from spelangy_assets.stages.stage import Execution, FolderSource, InputError, StageContext
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, encode_flac
from spelangy_model.audio.measures import SourceMeter, measure_signal
from spelangy_model.audio.parts import PartRule
from spelangy_model.records import Audio, Recording, Reject, Utterance

VERSION = "2"
TABLES: dict[str, type] = {"recordings": Recording, "rejects": Reject}

MANIFEST = "manifest.jsonl"
AUDIO_SUFFIXES = (
    *(".3gp", ".aac", ".ac3", ".aif", ".aifc", ".aiff", ".amr", ".ape", ".au", ".avi", ".caf", ".flac", ".flv", ".m4a"),
    *(".m4b", ".m4v", ".mka", ".mkv", ".mov", ".mp2", ".mp3", ".mp4", ".mpga", ".oga", ".ogg", ".opus", ".ra", ".snd"),
    *(".spx", ".voc", ".w64", ".wav", ".wave", ".webm", ".wma", ".wmv"),
)
UNKNOWN_LICENCE = "unknown"


@dataclass(frozen=True, slots=True, eq=False)
class RenderedRecording:
    """One recording of a rendered snapshot: float32 mono samples (n,) at 16 kHz, and its transcript."""

    source_uri: str
    source_url: str
    licence: str
    format: str
    samples: np.ndarray
    utterances: Sequence[Utterance]


@runtime_checkable
class AudioSource(Protocol):
    """A snapshot that is rendered: a frozen dataclass of literals that identify it, its recordings in a fixed order."""

    @property
    def recordings(self) -> int:
        """How many there are."""
        ...

    def open(self) -> Callable[[int], RenderedRecording]:
        """Load what renders, and return what makes the recording of an index from it alone.

        `open` raises PreflightError when an engine is missing; the renderer raises AudioError for a recording that
        cannot be made, and its reason is counted.
        """
        ...


@dataclass(frozen=True)
class Config:
    """Recordings outside of the two durations are rejects; one longer than a part becomes several rows.

    A unit is at most so many recordings or bytes of files.
    """

    min_duration_s: float = 0.25
    max_duration_s: float = 48 * 3600.0
    parts: PartRule = field(default_factory=PartRule)
    recordings_per_unit: int = 16
    bytes_per_unit: int = 32_000_000

    @property
    def rule(self) -> ReadRule:
        return ReadRule(self.min_duration_s, self.max_duration_s, self.parts)


@dataclass(frozen=True)
class _Entry:
    """What the manifest says of a file."""

    url: str = ""
    licence: str = UNKNOWN_LICENCE
    utterances: tuple[Utterance, ...] = ()


@dataclass(frozen=True)
class _Item:
    """A file to be read: `reason` is set where it need not be opened."""

    path: Path
    source_uri: str
    digest: str
    entry: _Entry
    size_bytes: int
    reason: str = ""


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed: a source that renders asks for its engine when it is opened."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit for so many recordings (see Config)."""
    if isinstance(ctx.source, FolderSource):
        _ingest_folder(ctx, config, ctx.source.path)
    elif isinstance(ctx.source, AudioSource):
        _ingest_rendered(ctx, config, ctx.source)
    else:
        raise InputError(f"raw_audio reads a folder of recordings or an AudioSource, not {type(ctx.source).__name__}")


# --- a folder -----------------------------------------------------------------------------------------------


def _ingest_folder(ctx: StageContext, config: Config, folder: Path) -> None:
    units = list(_units(_items(folder), config))
    if not units:
        raise InputError(f"{folder} holds no file: put recordings there (WAV, FLAC, MP3, Ogg, M4A, WebM ...)")
    for unit, items in ctx.out.pending(units):
        with ctx.out.unit(unit) as out:
            for item in items:
                out.read(1)
                try:
                    for recording in _read(item, config, ctx.out.scratch, out):
                        _keep(out, recording)
                    out.kept(1)
                except AudioError as error:
                    _reject(out, item.source_uri, item.digest, error)
        ctx.log(f"read {sum(len(done) for done in units[: unit + 1])} of {sum(map(len, units))} files")


def _read(item: _Item, config: Config, scratch: Path, out: UnitWriter) -> Iterator[Recording]:
    if item.reason:
        raise AudioError(item.reason, _WHY[item.reason])
    entry = item.entry
    facts = Facts(item.digest, item.source_uri, entry.url, entry.licence, utterances=entry.utterances)
    yield from read_recordings(item.path, facts, config.rule, scratch, out.add)


_WHY = {
    "duplicate": "another file of the snapshot holds the same bytes",
    "missing_file": f"{MANIFEST} names it, and it is not there",
    "not_audio": "the name does not end as sound does, and the manifest does not name it",
    "unreadable": "the file system does not let it be read",
}


def _items(folder: Path) -> list[_Item]:
    """Return what the snapshot holds, in a stable order, listed files first."""
    entries = read_manifest(folder)
    found = {path.relative_to(folder).as_posix(): path for path in files_of(folder)}
    found.pop(MANIFEST, None)
    names = [*entries, *(name for name in found if name not in entries)]
    seen: set[str] = set()
    items = []
    for name in names:
        path, entry = folder / name, entries.get(name, _Entry())
        digest, size, reason = "", 0, ""
        if name not in entries and path.suffix.lower() not in AUDIO_SUFFIXES:
            reason = "not_audio"
        elif not path.is_file():
            reason = "missing_file"
        else:
            try:
                with path.open("rb") as stream:
                    digest = hashlib.file_digest(stream, "sha256").hexdigest()[:32]
                size = path.stat().st_size
            except OSError:
                reason = "unreadable"
            else:
                reason = "duplicate" if digest in seen else ""
                seen.add(digest)
        # Names need not be text: a column is, so that bytes that are not UTF-8 are written as escapes.
        uri = os.fsencode(name).decode("utf-8", "backslashreplace")
        items.append(_Item(path, uri, digest, entry, size, reason))
    return items


def _units(items: Sequence[_Item], config: Config) -> Iterator[list[_Item]]:
    """Cut the items into units; a unit holds one item at least, whatever its size."""
    unit: list[_Item] = []
    size = 0
    for item in items:
        if unit and (len(unit) == config.recordings_per_unit or size + item.size_bytes > config.bytes_per_unit):
            yield unit
            unit, size = [], 0
        unit.append(item)
        size += item.size_bytes
    if unit:
        yield unit


# --- its manifest ---------------------------------------------------------------------------------------------


def read_manifest(folder: Path) -> dict[str, _Entry]:
    """Return what a snapshot's manifest says, by file name relative to the folder, sorted; {} when there is none.

    Raises InputError, naming the line and the cure, for a line that is no JSON object, names no file or one outside
    of the folder, says two things of one file, or holds an utterance without speaker, text and times.
    """
    path = folder / MANIFEST
    if not path.is_file():
        return {}
    entries: dict[str, _Entry] = {}
    text = path.read_bytes().decode("utf-8-sig", "surrogateescape")
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        where = f"{path}, line {number}"
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: {error}; write one JSON object a line") from error
        if not isinstance(row, dict):
            raise InputError(f"{where}: a {type(row).__name__}, not an object; write one JSON object a line")
        name = _inside(folder, _text(row, ("file", "audio_filepath", "path"), "", where), where)
        entry = _Entry(
            url=_text(row, ("url", "source_url", "source"), "", where),
            licence=_text(row, ("licence", "license"), UNKNOWN_LICENCE, where),
            utterances=_utterances(row.get("utterances"), where),
        )
        if entries.setdefault(name, entry) != entry:
            raise InputError(f"{where}: says something else of {name} than a line before; keep one of them")
    return dict(sorted(entries.items()))


def _text(row: Mapping[str, Any], keys: Sequence[str], default: str, where: str) -> str:
    for key in keys:
        value = row.get(key)
        if value is not None and not isinstance(value, str):
            raise InputError(f"{where}: {key} is {value!r}; it is a string")
        if value:
            return value
    return default


def _inside(folder: Path, name: str, where: str) -> str:
    if not name:
        raise InputError(f'{where}: names no file; add "file": "NAME", relative to {folder}')
    path = PurePosixPath(os.path.normpath(name))
    if path.is_absolute() and path.is_relative_to(folder.as_posix()):
        path = path.relative_to(folder.as_posix())
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"{where}: {name} lies outside of {folder}; name files inside of the snapshot")
    return path.as_posix()


def _utterances(rows: Any, where: str) -> tuple[Utterance, ...]:
    if rows is None:
        return ()
    if not isinstance(rows, list):
        raise InputError(f"{where}: utterances is no list; write a list of objects")
    utterances = []
    for item in rows:
        try:
            speaker, text = str(item["speaker"]), item["text"]
            # Whole milliseconds, as in segments, so that an utterance and its segment have the same times.
            start_s, end_s = (round(float(item[key]), 3) for key in ("start_s", "end_s"))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"{where}: an utterance has speaker, text, start_s and end_s: {error!r}") from error
        if not isinstance(text, str):
            raise InputError(f"{where}: the text of an utterance is {text!r}; it is a string")
        utterances.append(Utterance(speaker, text, start_s, end_s))
    return tuple(utterances)


# --- a rendered snapshot ----------------------------------------------------------------------------------------


def _ingest_rendered(ctx: StageContext, config: Config, source: AudioSource) -> None:
    starts = list(ctx.out.pending(range(0, source.recordings, config.recordings_per_unit)))
    if not starts:
        return
    render = source.open()
    for unit, start in starts:
        end = min(start + config.recordings_per_unit, source.recordings)
        with ctx.out.unit(unit) as out:
            for index in range(start, end):
                out.read(1)
                try:
                    recording = _rendered(render(index), config)
                except AudioError as error:
                    _reject(out, f"rendered@{index}", "", error)
                else:
                    _keep(out, recording)
                    out.kept(1)
                    out.add("hours_in", recording.duration_s / 3600)
        ctx.log(f"rendered {end} of {source.recordings} recordings")


def _rendered(made: RenderedRecording, config: Config) -> Recording:
    duration_s = len(made.samples) / SAMPLE_RATE_HZ
    check_duration(duration_s, config.rule)
    utterances = fitted(made.utterances, duration_s)
    measures, meter = measure_signal(made.samples), SourceMeter(SAMPLE_RATE_HZ)
    meter.watch(made.samples[:, None])
    data = encode_flac(made.samples)
    # Two recordings may sound the same; that they are two is known from their addresses.
    digest = hashlib.sha256(made.source_uri.encode() + b"\0" + data).hexdigest()[:32]
    return Recording(
        recording_id=digest,
        source_uri=made.source_uri,
        source_url=made.source_url,
        licence=made.licence,
        duration_s=duration_s,
        original_sample_rate_hz=SAMPLE_RATE_HZ,
        original_channels=1,
        original_format=made.format,
        audio=Audio(data, f"{digest}.flac"),
        utterances=list(utterances),
        loudness_lufs=measures.loudness_lufs,
        snr_db=measures.snr_db,
        original_clipping_share=meter.clipping_share,
        original_bandwidth_hz=meter.bandwidth_hz,
    )


# --- both -------------------------------------------------------------------------------------------------------


def _keep(out: UnitWriter, recording: Recording) -> None:
    out.write("recordings", [recording])
    out.add("hours_kept", recording.duration_s / 3600)


def _reject(out: UnitWriter, source_uri: str, record_id: str, error: AudioError) -> None:
    out.drop(error.reason)
    out.write("rejects", [Reject(source_uri, record_id, error.reason, error.detail)])
