"""The listening page of a snapshot: turns, votes, chunks with their sound, and what was dropped and why.

Put here: how the records of web speech are laid out for a person. Do not put here: reading artifacts (the stage does)
or any decision about the data: the page shows what the records say, and its sums are sums over the records given.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from spelangy_assets.report.render import clock, duration, render, share
from spelangy_assets.report.sound import AudioBudget
from spelangy_model.records import Chunk, DroppedTranscript, Hypothesis, Recording, Segment, Transcript, Vote

T = TypeVar("T")

_COLOURS = 6  # as many as base.html has; further speakers share them
_STRIP_S = 60.0
_ROW = 15  # pixels; the drawing is 1000 units wide and stretches to the page
_OPEN_CHUNKS = 40  # a longer list starts folded


@dataclass(frozen=True)
class PageLimits:
    """What a page may hold, so that it still opens: bytes of sound as it is embedded, recordings, timeline strips."""

    audio_bytes: int = 24 * 2**20
    recordings: int = 40
    strips_per_recording: int = 20


def write_chunk_page(
    recordings: Sequence[Recording],
    segments: Sequence[Segment],
    hypotheses: Sequence[Hypothesis],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    *,
    title: str = "From recordings to chunks",
    limits: PageLimits | None = None,
) -> str:
    """Return the page as HTML. Equal records give equal bytes.

    `chunks` holds the chunkings by name, for example web_fine and web_coarse; sound is embedded in that order, chunk by
    chunk of each recording, until the limit is reached, which the page says. Recordings stand in the order given.
    """
    limits = limits or PageLimits()
    shown = list(recordings[: limits.recordings])
    budget = AudioBudget(limits.audio_bytes)
    heard = _group(hypotheses, lambda item: item.segment_id)
    turns = _group(segments, lambda item: item.recording_id)
    agreed = _group(transcripts, lambda item: item.recording_id)
    gone = _group(dropped, lambda item: item.recording_id)
    cut = {name: _group(items, lambda item: item.source_id) for name, items in chunks.items()}
    views = [
        _recording_view(
            recording,
            turns[recording.recording_id],
            heard,
            agreed[recording.recording_id],
            gone[recording.recording_id],
            {name: items[recording.recording_id] for name, items in cut.items()},
            budget,
            limits,
        )
        for recording in shown
    ]
    return render(
        "chunk_page.html",
        title=title,
        ledger=_ledger(recordings, segments, transcripts, dropped, chunks),
        recordings=views,
        left_out=len(recordings) - len(shown),
        audio_note=budget.note(),
    )


def _group(items: Sequence[T], key: Callable[[T], str]) -> defaultdict[str, list[T]]:
    grouped: defaultdict[str, list[T]] = defaultdict(list)
    for item in items:
        grouped[key(item)].append(item)
    return grouped


# --- the ledger ---------------------------------------------------------------------------------------------


def _ledger(
    recordings: Sequence[Recording],
    segments: Sequence[Segment],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
) -> dict[str, Any]:
    total_s = sum(recording.duration_s for recording in recordings)
    rows: list[dict[str, Any]] = []

    def add(name: str, kind: str, pieces: int, seconds: float) -> None:
        rows.append(
            {
                "name": name,
                "kind": kind,
                "pieces": f"{pieces:,}" if pieces else "-",
                "duration": duration(seconds),
                "share": share(seconds, total_s),
            }
        )

    add("audio in", "in", len(recordings), total_s)
    turns = _group(segments, lambda item: item.recording_id)
    spoken_s = sum(_covered_s(turns[recording.recording_id]) for recording in recordings)
    add("nobody speaks", "quiet", 0, total_s - spoken_s)
    add("speaker turns", "in", len(segments), _total_s(segments))
    add("transcripts kept", "kept", len(transcripts), _total_s(transcripts))
    for reason, count in sorted(Counter(item.reason for item in dropped).items(), key=lambda pair: (-pair[1], pair[0])):
        of_reason = [item for item in dropped if item.reason == reason]
        add(f"dropped: {reason}", "dropped", count, _total_s(of_reason))
    judged = {item.segment_id for item in (*transcripts, *dropped)}
    unjudged = [segment for segment in segments if segment.segment_id not in judged]
    if unjudged:
        add("turns without a transcript or a drop", "dropped", len(unjudged), _total_s(unjudged))
    for name, items in chunks.items():
        add(f"chunks of {name}", "kept", len(items), _total_s(items))
    return {"recordings": len(recordings), "rows": rows}


def _total_s(items: Sequence[Segment] | Sequence[Transcript] | Sequence[DroppedTranscript] | Sequence[Chunk]) -> float:
    return sum(item.end_s - item.start_s for item in items)


def _covered_s(segments: Sequence[Segment]) -> float:
    """Return the seconds in which at least one speaks."""
    covered, reached = 0.0, -math.inf
    for segment in sorted(segments, key=lambda item: item.start_s):
        covered += max(0.0, segment.end_s - max(reached, segment.start_s))
        reached = max(reached, segment.end_s)
    return covered


# --- a recording --------------------------------------------------------------------------------------------


def _recording_view(
    recording: Recording,
    segments: Sequence[Segment],
    heard: Mapping[str, Sequence[Hypothesis]],
    transcripts: Sequence[Transcript],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    budget: AudioBudget,
    limits: PageLimits,
) -> dict[str, Any]:
    speakers = list(dict.fromkeys(item.speaker for item in sorted(segments, key=lambda item: item.start_s)))
    colours = {speaker: index % _COLOURS for index, speaker in enumerate(speakers)}
    anchors = {
        (name, chunk.chunk_id): f"c-{name}-{recording.recording_id[:12]}-{number}"
        for name, items in chunks.items()
        for number, chunk in enumerate(items, 1)
    }
    strips = _strips(recording, segments, dropped, chunks, speakers, anchors)
    return {
        "id": recording.recording_id,
        "name": recording.source_uri or recording.recording_id[:16],
        "url": recording.source_url,
        "licence": recording.licence,
        "duration": duration(recording.duration_s),
        "format": recording.original_format,
        "rate": recording.original_sample_rate_hz,
        "channels": recording.original_channels,
        "speakers": [{"name": name, "colour": colours[name]} for name in speakers],
        "strips": strips[: limits.strips_per_recording],
        "strips_left_out": len(strips) > limits.strips_per_recording,
        "strips_shown": duration(limits.strips_per_recording * _STRIP_S),
        "kinds": [
            {
                "name": name,
                "open": position == 0 and len(items) <= _OPEN_CHUNKS,
                "duration": duration(_total_s(items)),
                "mean": duration(_total_s(items) / len(items)),
                "chunks": [
                    {
                        "number": number,
                        "anchor": anchors[name, chunk.chunk_id],
                        "speaker": chunk.speaker,
                        "colour": colours.get(chunk.speaker, 0),
                        "start": clock(chunk.start_s),
                        "end": clock(chunk.end_s),
                        "duration": duration(chunk.duration_s),
                        "audio": budget.embed(chunk),
                        "text": chunk.text,
                    }
                    for number, chunk in enumerate(items, 1)
                ],
            }
            for position, (name, items) in enumerate(chunks.items())
            if items
        ],
        "transcripts": [
            {
                "speaker": item.speaker,
                "start": clock(item.start_s),
                "words": [_word_view(vote, item.systems) for vote in item.votes]
                or [{"text": item.text, "css": "", "title": ""}],
                "heard": heard.get(item.segment_id, []),
                "agreement": f"{item.agreement:.2f}",
                "confidence": f"{item.confidence:.2f}",
            }
            for item in transcripts
        ],
        "dropped": [
            {
                "speaker": item.speaker,
                "start": clock(item.start_s),
                "end": clock(item.end_s),
                "reason": item.reason,
                "detail": item.detail,
                "text": item.text,
            }
            for item in dropped
        ],
    }


def _word_view(vote: Vote, systems: Sequence[str]) -> dict[str, str]:
    """Return a slot as it is shown: how many systems said what won decides how it is marked."""
    said = [_bare(candidate) for candidate in vote.candidates]
    agreeing = said.count(_bare(vote.winner))
    title = "; ".join(
        f"{system}: {candidate or '(nothing)'}" for system, candidate in zip(systems, vote.candidates, strict=False)
    )
    if not vote.winner:
        return {"text": next((text for text in vote.candidates if text), ""), "css": "gone", "title": title}
    if agreeing == len(said):
        return {"text": vote.winner, "css": "", "title": title if len(set(vote.candidates)) > 1 else ""}
    return {"text": vote.winner, "css": "most" if 2 * agreeing > len(said) else "split", "title": title}


def _bare(word: str) -> str:
    return "".join(character for character in word.lower() if character.isalnum())


# --- the timeline -------------------------------------------------------------------------------------------


def _strips(
    recording: Recording,
    segments: Sequence[Segment],
    dropped: Sequence[DroppedTranscript],
    chunks: Mapping[str, Sequence[Chunk]],
    speakers: Sequence[str],
    anchors: Mapping[tuple[str, str], str],
) -> list[dict[str, Any]]:
    """Return the timeline cut into strips of a minute, so that it can be read on a narrow screen."""
    gone = {item.segment_id: item for item in dropped}
    strips = []
    for number in range(max(1, math.ceil(recording.duration_s / _STRIP_S))):
        start = number * _STRIP_S
        end = min(start + _STRIP_S, recording.duration_s)
        rows = [*speakers, *chunks]
        bars = [
            _bar(
                segment,
                start,
                speakers.index(segment.speaker),
                css="dropped-bar" if segment.segment_id in gone else "",
                fill=""
                if segment.segment_id in gone
                else f"var(--speaker-{speakers.index(segment.speaker) % _COLOURS})",
                title=f"{segment.speaker} {clock(segment.start_s)} to {clock(segment.end_s)}"
                + (f", dropped: {gone[segment.segment_id].reason}" if segment.segment_id in gone else ""),
                href="",
            )
            for segment in segments
            if segment.start_s < end and segment.end_s > start
        ]
        bars += [
            _bar(
                chunk,
                start,
                len(speakers) + row,
                css="chunk-bar",
                fill="",
                title=f"{name}, {clock(chunk.start_s)} to {clock(chunk.end_s)}: {chunk.text}",
                href=anchors[name, chunk.chunk_id],
            )
            for row, (name, items) in enumerate(chunks.items())
            for chunk in items
            if chunk.start_s < end and chunk.end_s > start
        ]
        turns = sum(segment.start_s < end and segment.end_s > start for segment in segments)
        strips.append(
            {
                "height": _ROW * len(rows),
                "label": f"Timeline from {clock(start)} to {clock(end)}: {turns} turns by {len(speakers)} speakers, "
                + ", ".join(
                    f"{sum(c.start_s < end and c.end_s > start for c in items)} chunks of {name}"
                    for name, items in chunks.items()
                ),
                "ticks": [clock(start + offset)[:-2] for offset in range(0, int(_STRIP_S) + 1, 10)],
                "bars": bars,
                "rows": rows,
                "end_x": round((end - start) / _STRIP_S * 1000, 1),
            }
        )
    return strips


def _bar(item: Segment | Chunk, strip_start_s: float, row: int, **look: str) -> dict[str, Any]:
    left = max(0.0, (item.start_s - strip_start_s) / _STRIP_S * 1000)
    right = min(1000.0, (item.end_s - strip_start_s) / _STRIP_S * 1000)
    box = {"x": round(left, 1), "y": row * _ROW + 1, "width": round(max(right - left, 1.0), 1), "height": _ROW - 3}
    return {**box, **look}
