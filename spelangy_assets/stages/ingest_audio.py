"""raw_audio: the recordings of a snapshot, decoded to mono 16 kHz, and why the others are not among them.

Put here: units of work, what is kept and what is not, and the contract of a rendered snapshot. Do not put here: what
a folder or bucket holds (audio_snapshot.py), how a file becomes rows (read_recording.py), anything about words.

A snapshot is a folder or s3:// prefix of recordings, with manifests and tar shards where there are any, what was
fetched from addresses, or a source that renders recordings at run time. What describes the episodes of a podcast lies
beside the tables in episodes-UNIT.jsonl, outside of the data version.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, Drift, exactly
from spelangy_assets.sources.audio_snapshot import Item, items_of, on_disk
from spelangy_assets.sources.corpora import CORPORA
from spelangy_assets.sources.downloads import DownloadedSource, Downloads
from spelangy_assets.sources.files import FolderSource, SnapshotFiles, checked_sources, named
from spelangy_assets.sources.given_utterances import Misfit, fit
from spelangy_assets.sources.read_recording import Facts, ReadRule, check_duration, read_recordings
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError, encode_flac
from spelangy_model.audio.measures import SourceMeter, measure_signal
from spelangy_model.audio.parts import PartRule
from spelangy_model.records import Audio, Fingerprint, Recording, Reject, Utterance

VERSION = "9"
TABLES: dict[str, type] = {"recordings": Recording, "rejects": Reject, "fingerprints": Fingerprint}
INDEPENDENT_UNITS = True


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

    A unit is at most so many recordings or bytes of files. Every stage down to the chunks writes a few files a unit,
    and a kill costs at most a unit of work. With `use_transcripts` false transcripts and turns that came with the audio
    are passed over, and diarizer and ASR are asked (to measure them, for one).
    """

    min_duration_s: float = 0.25
    max_duration_s: float = 48 * 3600.0
    parts: PartRule = field(default_factory=PartRule)
    use_transcripts: bool = True
    recordings_per_unit: int = 256
    bytes_per_unit: int = 32_000_000

    @property
    def rule(self) -> ReadRule:
        return ReadRule(self.min_duration_s, self.max_duration_s, self.parts)


CONTRACT = Contract(
    "raw_audio",
    """
    SELECT count(*) AS recordings, count(*) - count(DISTINCT recording_id) AS duplicate_ids,
           count(*) FILTER (duration_s <= 0)
               + (SELECT count(*) FILTER (audio_bytes = 0) FROM recordings_audio) AS empty_recordings,
           (SELECT count(*) FROM rejects) AS rejects,
           count(*) FILTER (licence = 'unknown') / greatest(count(*), 1) AS share_of_unknown_licence
    FROM recordings
    """,
    (
        Bound("recordings", 1),
        exactly("duplicate_ids"),
        exactly("empty_recordings"),
        Bound("share_of_unknown_licence", 0, 0.5, "warn"),
    ),
    drifts=(
        Drift("snr_db", "SELECT snr_db FROM recordings", 0.2),
        Drift("loudness_lufs", "SELECT loudness_lufs FROM recordings", 0.2),
    ),
)

KIND = DatasetKind(
    group="crawl",
    description="Recordings of one snapshot, decoded to mono 16 kHz; what cannot be decoded is in its rejects.",
    contract=CONTRACT,
    kinds=("audio",),
    folder="audio",
)


@word
def recordings(snapshots: Mapping[str, Any], *, name: str = "raw_audio", **options: Any) -> Dataset:
    """Return the crawl of recordings whose snapshots are named here, each with what it is read from.

    A source is `Packaged`, `Arriving` (a folder of SPELANGY_SNAPSHOTS/audio), `Downloads` (addresses), a
    public corpus in such a folder (`LibriSpeech`, `LibriHeavy`, `Emilia`, `Yodas`, `PeoplesSpeech`, `VoxPopuli`), or an
    AudioSource that renders its recordings. `options` are fields of Config.
    """
    sources = checked_sources(snapshots, Downloads | CORPORA | AudioSource)
    config = config_of(Config, options)
    rendered = [snapshot for snapshot, source in sources.items() if isinstance(source, AudioSource)]
    if rendered and not config.use_transcripts:
        raise ValueError(
            f"use_transcripts=False is for files, and {', '.join(rendered)} is rendered, words and all: leave it out"
        )
    return dataset(__name__, config, name=name, sources=sources)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed: a source that renders asks for its engine when it is opened."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit for so many recordings (see Config)."""
    if isinstance(ctx.source, FolderSource):
        files = SnapshotFiles(ctx.source.path)
        _ingest_files(ctx, config, files, items_of(files, ctx.source.texts, ctx.source.corpus))
    elif isinstance(ctx.source, DownloadedSource):
        _ingest_files(ctx, config, ctx.source.files, ctx.source.items())
    elif isinstance(ctx.source, AudioSource):
        _ingest_rendered(ctx, config, ctx.source)
    else:
        raise InputError(f"raw_audio reads a folder of recordings or an AudioSource, not {type(ctx.source).__name__}")


# --- files -----------------------------------------------------------------------------------------------


def _ingest_files(ctx: StageContext, config: Config, files: SnapshotFiles, found: Sequence[Item]) -> None:
    units = list(_units(found, config))
    if not units:
        raise InputError(f"{files.where} holds no file: put recordings there (WAV, FLAC, MP3, Ogg, M4A, WebM ...)")
    for unit, items in ctx.out.pending(units):
        with ctx.out.unit(unit) as out:
            described: list[Item] = []
            for item in items:
                out.read(1)
                if ctx.forgotten.holds(item.entry.url, item.digest):
                    out.drop("forgotten")
                    continue
                described += [item] if item.about else []
                try:
                    for recording, fingerprint in _read(files, item, config, ctx.out.scratch, out):
                        _keep(out, recording)
                        out.write("fingerprints", [fingerprint])
                    out.kept(1)
                except AudioError as error:
                    _reject(out, item.source_uri, item.digest, error)
            if described:
                rows = ({"url": one.source_uri, "recording_id": one.digest, **dict(one.about)} for one in described)
                text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
                out.write_file(f"episodes-{unit:05d}.jsonl", text.encode(), identity=False)
        ctx.log(f"read {sum(len(done) for done in units[: unit + 1])} of {sum(map(len, units))} files")


def _read(
    files: SnapshotFiles, item: Item, config: Config, scratch: Path, out: UnitWriter
) -> Iterator[tuple[Recording, Fingerprint]]:
    if item.reason:
        raise AudioError(item.reason, item.detail)
    entry = item.entry
    utterances = entry.utterances if config.use_transcripts else ()
    facts = Facts(item.digest, item.source_uri, entry.url, entry.licence, entry.language, utterances, item.channel)

    def leave_out(misfit: Misfit) -> None:
        out.read(1)
        out.drop(misfit.reason)
        span = f"#t={misfit.utterance.start_s:.3f},{misfit.utterance.end_s:.3f}"
        out.write("rejects", [Reject(item.source_uri + span, item.digest, misfit.reason, misfit.detail)])

    # Its copy and its parts are in the scratch folder: the error of a full disk names what was read then.
    with named(item.source_uri), on_disk(files, item, scratch) as path:
        yield from read_recordings(path, facts, config.rule, scratch, out.add, leave_out)


def _units(items: Sequence[Item], config: Config) -> Iterator[list[Item]]:
    """Cut the items into units; a unit holds one item at least, whatever its size."""
    unit: list[Item] = []
    size = 0
    for item in items:
        if unit and (len(unit) == config.recordings_per_unit or size + item.size_bytes > config.bytes_per_unit):
            yield unit
            unit, size = [], 0
        unit.append(item)
        size += item.size_bytes
    if unit:
        yield unit


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
                    if ctx.forgotten.holds(recording.source_url, recording.recording_id):
                        out.drop("forgotten")
                        continue
                    _keep(out, recording)
                    out.kept(1)
                    out.add("hours_in", recording.duration_s / 3600)
        ctx.log(f"rendered {end} of {source.recordings} recordings")


def _rendered(made: RenderedRecording, config: Config) -> Recording:
    duration_s = len(made.samples) / SAMPLE_RATE_HZ
    check_duration(duration_s, config.rule)
    given = fit(made.utterances, duration_s)
    if given.misfits:
        raise AudioError("bad_utterances", given.misfits[0].detail)
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
        utterances=list(given.utterances),
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
