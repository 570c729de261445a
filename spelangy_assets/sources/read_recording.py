"""Reads one audio file into its rows: streamed, measured and cut into parts, either completely or not at all.

Put here: from a file and the known facts about it to Recordings. Do not put here: the list of files
(audio_snapshot.py), decoding and measuring (spelangy_model/audio).

A file of any length is read within the memory of one part. Its parts wait in a temporary file, as FLAC, until its end
has been read, because a file that breaks off in its sixth hour is rejected as a whole. Sound beyond full scale (float
files, lossy codecs) is scaled to a peak of 1 over the whole file, and channels that would cancel in the average are not
averaged; in either case the file is read again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import numpy as np

from spelangy_assets.sources.given_utterances import Misfit, fit
from spelangy_model.audio.channels import ChannelMeter
from spelangy_model.audio.fingerprint import landmarks
from spelangy_model.audio.io import (
    SAMPLE_RATE_HZ,
    AudioError,
    encode_flac,
    is_silent,
    mono_16k,
    open_stream,
)
from spelangy_model.audio.measures import SignalMeasures, SourceMeter, measure_signal
from spelangy_model.audio.parts import Part, PartRule, cut_parts
from spelangy_model.records import Audio, Fingerprint, Recording, Utterance

_MEMORY_BYTES = 32 << 20  # of FLAC; a longer recording waits on disk


@dataclass(frozen=True)
class Facts:
    """What is known of a file before it is opened. An utterance that ends at infinity ends with the recording.

    `channel` is the one of its channels, from 0, that is read; None: the file as a whole.
    """

    recording_id: str
    source_uri: str
    source_url: str
    licence: str
    language: str = ""
    utterances: tuple[Utterance, ...] = ()
    channel: int | None = None


@dataclass(frozen=True)
class ReadRule:
    """Recordings outside of the two durations are refused; longer ones than a part become several rows."""

    min_duration_s: float
    max_duration_s: float
    parts: PartRule


@dataclass(frozen=True)
class _Waiting:
    """A part in the temporary file."""

    index: int
    offset_s: float
    duration_s: float
    measures: SignalMeasures
    landmarks: tuple[np.ndarray, np.ndarray]
    begin: int
    size: int


def read_recordings(
    path: Path,
    facts: Facts,
    rule: ReadRule,
    scratch: Path,
    count: Callable[[str, float], None] = lambda stat, amount: None,
    leave_out: Callable[[Misfit], None] = lambda misfit: None,
) -> Iterator[tuple[Recording, Fingerprint]]:
    """Yield the rows of a file, in order of time. Raises AudioError before the first one, or not at all.

    Silent parts are left out; a file of silent parts only is refused as `silent`. When turns were given, parts without
    a turn are left out, too. For a file that is kept, `count` gets its hours (hours_in), the hours of the parts left
    out (hours_silent, hours_without_turns) and of silence inserted where its timestamps leave a gap (hours_of_gaps);
    the streams after its first (joined_streams), its other audio tracks (other_tracks), and its channels that are not
    in the average (channels_left_out). `leave_out` gets each given utterance that does not fit the file.
    """
    with tempfile.SpooledTemporaryFile(_MEMORY_BYTES, dir=str(scratch)) as spool:
        reading = _Reading(path, facts, rule)
        waiting = reading.to_spool(spool)
        while reading.again:
            spool.seek(0)
            spool.truncate()
            waiting = reading.to_spool(spool)
        reading.check(found_sound=bool(waiting))
        for stat, amount in reading.oddities():
            count(stat, amount)
        many = reading.parts > 1
        count("hours_in", reading.duration_s / 3600)
        for misfit in reading.misfits:
            leave_out(misfit)
        silent_s = reading.duration_s - sum(part.duration_s for part in waiting)
        if silent_s > 1e-6:
            count("hours_silent", silent_s / 3600)
        for part in waiting:
            spool.seek(part.begin)
            row = reading.row(part, spool.read(part.size), many)
            if facts.utterances and not row.utterances and not any(item.text for item in facts.utterances):
                count("hours_without_turns", row.duration_s / 3600)  # the given turns leave this part without speech
                continue
            hashes, frames = part.landmarks
            yield row, Fingerprint(row.recording_id, hashes.tolist(), frames.tolist())


class _Reading:
    """One pass through a file, repeated with other settings where the last pass shows that they are needed."""

    def __init__(self, path: Path, facts: Facts, rule: ReadRule):
        self._path, self._facts, self._rule = path, facts, rule
        self._channels: tuple[int, ...] | None = None if facts.channel is None else (facts.channel,)
        self._peak = 1.0
        self.again = False
        self.parts = 0
        self.duration_s = 0.0

    def to_spool(self, spool: IO[bytes]) -> list[_Waiting]:
        """Encode the parts into the spool; with `again` they must be made once more."""
        gain = np.float32(1 / self._peak)
        peak = self._peak
        self._stream = open_stream(self._path)
        self._meter, channels = SourceMeter(self._stream.sample_rate_hz), ChannelMeter()

        def watch(block: np.ndarray) -> None:
            self._meter.watch(block)
            channels.watch(block)

        spans = [(u.start_s, u.end_s) for u in self._facts.utterances if 0 <= u.start_s < u.end_s]
        waiting = []
        self.parts = 0
        blocks = mono_16k(self._stream, watch, self._channels)
        for part in cut_parts(blocks, self._rule.parts, spans):
            self.parts += 1
            self.duration_s = part.offset_s + len(part.samples) / SAMPLE_RATE_HZ
            if self.duration_s > self._rule.max_duration_s:
                raise AudioError("too_long", f"longer than the {self._rule.max_duration_s:g} s that are allowed")
            peak = max(peak, float(part.samples.max()), -float(part.samples.min()))
            if not is_silent(part.samples) and peak == self._peak:
                waiting.append(self._wait(part, spool, gain))
        if self._channels is None and (chosen := channels.choose()) is not None:
            self._channels, self.again = chosen, True
        else:
            self.again = peak > self._peak
            self._peak = peak
        return waiting

    def oddities(self) -> Iterator[tuple[str, float]]:
        """Yield the counts of a file's additional or missing streams, tracks and channels."""
        found = self._stream.found
        if found.gaps_s:
            yield "hours_of_gaps", found.gaps_s / 3600
        if found.links > 1:
            yield "joined_streams", found.links - 1
        if found.other_tracks:
            yield "other_tracks", found.other_tracks
        if self._channels is not None and self._facts.channel is None:
            yield "channels_left_out", self._stream.channels - len(self._channels)

    def _wait(self, part: Part, spool: IO[bytes], gain: np.float32) -> _Waiting:
        if gain != 1:
            np.multiply(part.samples, gain, out=part.samples)
        data = encode_flac(part.samples)
        begin = spool.tell()
        spool.write(data)
        duration_s = len(part.samples) / SAMPLE_RATE_HZ
        measures, marks = measure_signal(part.samples), landmarks(part.samples)
        return _Waiting(part.index, part.offset_s, duration_s, measures, marks, begin, len(data))

    def check(self, found_sound: bool) -> None:
        """Raise AudioError when the sound is empty, silent, too short or too long, or does not fit the given facts."""
        if not self.duration_s:
            raise AudioError("empty", "the file holds no sample")
        if not found_sound:
            raise AudioError("silent", f"there is no sound in its {self.duration_s:.1f} s")
        check_duration(self.duration_s, self._rule)
        fitted = fit(self._facts.utterances, self.duration_s)
        self._utterances, self.misfits = fitted.utterances, fitted.misfits

    def row(self, part: _Waiting, flac: bytes, many: bool) -> Recording:
        facts = self._facts
        recording_id = f"{facts.recording_id}-{part.index:04d}" if many else facts.recording_id
        end_s = part.offset_s + part.duration_s
        # A media fragment (W3C Media Fragments URI 1.0) states which part of the original it is.
        fragment = f"#t={part.offset_s:.3f},{end_s:.3f}" if many else ""
        joint = "&" if facts.source_uri.endswith(f"#channel={facts.channel}") else "#"
        return Recording(
            recording_id=recording_id,
            source_uri=facts.source_uri + fragment.replace("#", joint),
            source_url=facts.source_url and facts.source_url + fragment,
            licence=facts.licence,
            duration_s=part.duration_s,
            original_sample_rate_hz=self._stream.sample_rate_hz,
            original_channels=self._stream.channels,
            original_format=self._stream.format,
            audio=Audio(flac, f"{recording_id}.flac"),
            utterances=[
                replace(
                    item,
                    start_s=round(item.start_s - part.offset_s, 3),
                    end_s=min(round(item.end_s - part.offset_s, 3), part.duration_s),
                )
                for item in self._utterances
                if part.offset_s <= item.start_s < end_s
            ],
            language=facts.language,
            offset_s=part.offset_s,
            loudness_lufs=part.measures.loudness_lufs,
            snr_db=part.measures.snr_db,
            original_clipping_share=self._meter.clipping_share,
            original_bandwidth_hz=self._meter.bandwidth_hz,
        )


def check_duration(duration_s: float, rule: ReadRule) -> None:
    """Raise AudioError (too_short, too_long) for a duration outside of the rule's."""
    if duration_s < rule.min_duration_s:
        raise AudioError("too_short", f"{duration_s:.2f} s < {rule.min_duration_s} s")
    if duration_s > rule.max_duration_s:
        raise AudioError("too_long", f"{duration_s:.2f} s > {rule.max_duration_s} s")
