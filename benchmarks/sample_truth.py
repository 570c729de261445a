"""What web speech of the sample crawl comes to, against its exact truth.

    make demo
    python benchmarks/sample_truth.py

Printed as Markdown: word error of clean_transcripts; where the chunks' edges lie; what became of each planted defect.

The truth (docs/sample_crawl.md) says when each sentence begins and ends. When each word does is found by aligning the
true words of a sentence inside of its true times (pocketsphinx, frames of 10 ms, which no stage of the recipe uses); a
word counts as cut when an edge lies more than TOLERANCE_S inside of it. The error of an edge is how far it lies from
the nearest beginning or end of a true sentence's words, in speech or in silence; anywhere in a pause no speech is
clipped, which the column "inside of true speech" says (0 in a pause). Where two people speak at once no edge can
spare both, so edges within AT_ONCE_S of such a place are counted apart.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from spelangy_assets.settings import PACKAGE_FOLDER, Settings
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.wer import WordErrors, word_errors
from spelangy_model.eval.stats import ratio_bootstrap
from spelangy_model.records import Chunk, DroppedTranscript, Recording, Reject, Transcript
from spelangy_model.rng import stable_rng

TRUTH = PACKAGE_FOLDER / "sample" / "snapshots" / "truth"
TOLERANCE_S = 0.05
AT_ONCE_S = 0.25
FOUND_SHARE = 0.05  # a planted stretch is found when at most this share of it is in chunks
ALIGN_PAD_S = 0.1
ALIGN_NOISE = 3e-4
CHUNKINGS = ("web_coarse", "web_fine")


@dataclass(frozen=True)
class TrueWord:
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True)
class Sentence:
    """A sentence of the truth with the times of its words; a foreign one has none."""

    speaker: str
    text: str
    language: str
    start_s: float
    end_s: float
    words: tuple[TrueWord, ...]


@dataclass(frozen=True)
class Snapshot:
    """What was made of one snapshot, or of some of its recordings."""

    recordings: Sequence[Recording]
    rejects: Sequence[Reject]
    transcripts: Sequence[Transcript]
    dropped: Sequence[DroppedTranscript]
    chunks: Mapping[str, Sequence[Chunk]]


@dataclass
class Edges:
    """How the edges of one chunking lie, in seconds; `cut` and `apart` name chunks as NAME@SECONDS."""

    chunks: int = 0
    seconds: float = 0.0
    into_speech_s: list[float] = field(default_factory=list)
    from_speech_s: list[float] = field(default_factory=list)
    cut: list[str] = field(default_factory=list)
    while_two_speak: list[str] = field(default_factory=list)


def main() -> None:
    argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter).parse_args()
    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    names = sorted({row["snapshot"] for row in rows_of("files")})
    snapshots = {name: published(store, name) for name in names}
    recordings = [recording for snapshot in snapshots.values() for recording in snapshot.recordings]
    sentences = true_sentences(recordings)
    print_words(snapshots.values(), sentences)
    print_edges(snapshots.values(), sentences)
    print_planted(snapshots)


def published(store: ArtifactStore, snapshot: str, recipe: str = "sample") -> Snapshot:
    """Return what the recipe has published of a snapshot."""
    raw, clean = (store.resolve(DatasetName(recipe, asset, snapshot)) for asset in ("raw_audio", "clean_transcripts"))
    return Snapshot(
        recordings=list(raw.records("recordings", Recording)),
        rejects=list(raw.records("rejects", Reject)),
        transcripts=list(clean.records("transcripts", Transcript)),
        dropped=list(clean.records("dropped", DroppedTranscript)),
        chunks={
            name: list(store.resolve(DatasetName(recipe, name, snapshot)).records("chunks", Chunk))
            for name in CHUNKINGS
        },
    )


# --- the truth ------------------------------------------------------------------------------------------------


def rows_of(table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (TRUTH / f"{table}.jsonl").read_text("utf-8").splitlines()]


def true_name(recording: Recording) -> str:
    """Return the truth's name of a recording, by its bytes, whichever of several equal files was kept."""
    (name,) = {
        row["copy_of"] or row["recording"] for row in rows_of("files") if row["sha256"][:32] == recording.recording_id
    }
    return name


def true_sentences(recordings: Iterable[Recording]) -> dict[str, list[Sentence]]:
    """Return the true sentences of each recording, by recording_id."""
    from pocketsphinx import Decoder

    decoder = Decoder(lm=None, loglevel="FATAL")
    found = {}
    for recording in recordings:
        name, samples = true_name(recording), decode_flac(recording.audio.bytes)
        found[recording.recording_id] = [
            Sentence(
                *(row["speaker"], row["text"], row["language"], row["start_s"], row["end_s"]),
                words=_aligned(decoder, row, samples) if row["language"] == "en" else (),
            )
            for row in rows_of("sentences")
            if row["recording"] == name
        ]
    return found


def _aligned(decoder: Any, row: dict[str, Any], samples: np.ndarray) -> tuple[TrueWord, ...]:
    texts = re.findall(r"[a-z']+", row["text"].lower())
    begin = max(0, round((row["start_s"] - ALIGN_PAD_S) * SAMPLE_RATE_HZ))
    clip = samples[begin : round((row["end_s"] + ALIGN_PAD_S) * SAMPLE_RATE_HZ)]
    # Silence behind, with a faint noise as in a room, lets the aligner end on a short last word.
    padded = np.concatenate([clip, np.zeros(SAMPLE_RATE_HZ // 5, np.float32)])
    padded += stable_rng(0, "align", row["recording"], row["text"]).normal(0.0, ALIGN_NOISE, len(padded))
    pcm = np.rint(np.clip(padded, -1, 1) * 32767).astype(np.int16)
    decoder.set_align_text(" ".join(texts))
    decoder.start_utt()
    decoder.process_raw(pcm.tobytes(), full_utt=True)
    decoder.end_utt()
    spans = [(s.start_frame / 100, (s.end_frame + 1) / 100) for s in decoder.seg() if not s.word.startswith("<")]
    if len(spans) != len(texts):
        raise ValueError(f"{row['recording']}: {row['text']!r} was not aligned: {len(spans)} of {len(texts)} words")
    offset = begin / SAMPLE_RATE_HZ
    return tuple(
        TrueWord(text, max(offset + start, row["start_s"]), min(offset + end, row["end_s"]))
        for text, (start, end) in zip(texts, spans, strict=True)
    )


# --- words ----------------------------------------------------------------------------------------------------


def transcript_errors(snapshot: Snapshot, sentences: Mapping[str, Sequence[Sentence]]) -> dict[str, WordErrors]:
    """Count the word errors of what was kept of each recording, dropped English counting as deletions."""
    errors = {}
    for recording in snapshot.recordings:
        kept = sorted((t for t in snapshot.transcripts if t.recording_id == recording.recording_id), key=_start)
        english = [s.text for s in sentences[recording.recording_id] if s.language == "en"]
        errors[true_name(recording)] = word_errors([" ".join(english)], [" ".join(t.text for t in kept)])
    return errors


def _start(item: Transcript) -> tuple[float, float]:
    return item.start_s, item.end_s


def print_words(snapshots: Iterable[Snapshot], sentences: Mapping[str, Sequence[Sentence]]) -> None:
    print("\n## Words of clean_transcripts\n")
    print("| recording | word error | reference words | substitutions | deletions | insertions |\n" + 6 * "|---" + "|")
    errors = {name: e for snapshot in snapshots for name, e in transcript_errors(snapshot, sentences).items()}
    for name, e in [*sorted(errors.items()), ("all", total(errors.values()))]:
        print(
            f"| {name} | {100 * e.rate:.1f}% | {e.reference_words} | {e.substitutions} | {e.deletions} | "
            f"{e.insertions} |"
        )


def rate_interval(wrong: Sequence[float], units: Sequence[float], digits: int = 1) -> str:
    """Return the 95% interval of an error rate by a bootstrap of recordings, each with what is wrong of how much."""
    found = ratio_bootstrap(np.array(wrong), np.array(units), lambda ratio: ratio[0], 0, "recordings", resamples=10_000)
    return f"{100 * found.low:.{digits}f} to {100 * found.high:.{digits}f}%"


def word_interval(errors: Sequence[WordErrors], digits: int = 1) -> str:
    """Return the 95% interval of the word error rate of recordings."""
    return rate_interval([one.errors for one in errors], [one.reference_words for one in errors], digits)


def total(errors: Iterable[WordErrors]) -> WordErrors:
    rows = [(e.substitutions, e.deletions, e.insertions, e.reference_words) for e in errors]
    return WordErrors(*(sum(column) for column in zip(*rows, strict=True)))


# --- edges ----------------------------------------------------------------------------------------------------


def edges_of(snapshot: Snapshot, chunking: str, sentences: Mapping[str, Sequence[Sentence]]) -> Edges:
    """Measure both edges of each chunk of one chunking."""
    edges = Edges()
    for chunk in snapshot.chunks[chunking]:
        edges.chunks += 1
        edges.seconds += chunk.duration_s
        own = sentences[chunk.source_id]
        for time_s in (chunk.start_s, chunk.end_s):
            name = f"{chunk.source_id[:8]}@{time_s:.2f}"
            spoken = [(s.words[0].start_s, s.words[-1].end_s) if s.words else (s.start_s, s.end_s) for s in own]
            edges.into_speech_s.append(max(max(0.0, min(time_s - a, b - time_s)) for a, b in spoken))
            edges.from_speech_s.append(min(min(abs(time_s - a), abs(time_s - b)) for a, b in spoken))
            if not any(min(time_s - w.start_s, w.end_s - time_s) > TOLERANCE_S for s in own for w in s.words):
                continue
            at_once = [
                min(b, d) + AT_ONCE_S > time_s > c - AT_ONCE_S for (_, b), (c, d) in pairwise(sorted(spoken)) if c < b
            ]
            (edges.while_two_speak if any(at_once) else edges.cut).append(name)
    return edges


def print_edges(snapshots: Iterable[Snapshot], sentences: Mapping[str, Sequence[Sentence]]) -> None:
    print("\n## Edges of the chunks\n")
    print(
        "| chunking | chunks | mean length | inside of true speech: median, 95%, most | "
        "from the nearest end of true speech: median, 95% | chunks cut inside of a word | where two speak at once |"
    )
    print("|---|---|---|---|---|---|---|")
    several = list(snapshots)
    for chunking in CHUNKINGS:
        edges = Edges()
        for part in (edges_of(snapshot, chunking, sentences) for snapshot in several):
            edges = Edges(*(getattr(edges, name) + getattr(part, name) for name in vars(edges)))
        cut, apart = len(edges.cut), len(edges.while_two_speak)
        into, near = 1000 * np.array(edges.into_speech_s), 1000 * np.array(edges.from_speech_s)
        print(
            f"| {chunking} | {edges.chunks} | {edges.seconds / edges.chunks:.2f} s | "
            f"{np.median(into):.0f}, {np.percentile(into, 95):.0f}, {into.max():.0f} ms | "
            f"{np.median(near):.0f}, {np.percentile(near, 95):.0f} ms | {cut} | {apart} |"
        )


# --- what was planted -----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Planted:
    """A planted defect and what became of it; for a stretch `in_chunks_s` of its `seconds` are in some chunk."""

    what: str
    became: str
    found: bool


def planted_files(rejects: Iterable[Reject], name: str) -> list[Planted]:
    """Return what became of the duplicate and undecodable files of the snapshot of that name."""
    reasons = {reject.source_uri: reject.reason for reject in rejects}
    planted = []
    for row in rows_of("files"):
        if row["snapshot"] != name or row["status"] == "unique":
            continue
        # Of two equal files either may be the one that is kept.
        names = [row["file"]]
        names += [r["file"] for r in rows_of("files") if row["copy_of"] and r["recording"] == row["copy_of"]]
        rejected = [reasons[file] for file in names if file in reasons]
        planted.append(
            Planted(f"{row['file']}: {row['status']}", f"rejected: {', '.join(rejected)}", rejected == [row["status"]])
        )
    return planted


def planted_stretches(snapshot: Snapshot) -> list[Planted]:
    """Return what became of the stretches of foreign speech, music and noise."""
    planted = []
    for recording in snapshot.recordings:
        name = true_name(recording)
        foreign = [s for s in rows_of("sentences") if s["recording"] == name and s["language"] != "en"]
        stretches = [(s["kind"], s["start_s"], s["end_s"]) for s in rows_of("stretches") if s["recording"] == name]
        if foreign:
            stretches.append((f"speech in {foreign[0]['language']}", foreign[0]["start_s"], foreign[-1]["end_s"]))
        for kind, start_s, end_s in stretches:
            in_chunks = max(
                sum(_shared(c, start_s, end_s) for c in chunks if c.source_id == recording.recording_id)
                for chunks in snapshot.chunks.values()
            )
            dropped: dict[str, float] = {}
            for drop in snapshot.dropped:
                if drop.recording_id == recording.recording_id and (s := _shared(drop, start_s, end_s)):
                    dropped[drop.reason] = dropped.get(drop.reason, 0.0) + s
            became = [f"{s:.1f} s dropped: {reason}" for reason, s in sorted(dropped.items())] or ["no speech there"]
            planted.append(
                Planted(
                    f"{name}: {end_s - start_s:.1f} s of {kind}",
                    f"{', '.join(became)}; {in_chunks:.1f} s in chunks",
                    in_chunks <= FOUND_SHARE * (end_s - start_s),
                )
            )
    return planted


def _shared(item: Chunk | DroppedTranscript, start_s: float, end_s: float) -> float:
    return max(0.0, min(item.end_s, end_s) - max(item.start_s, start_s))


def print_planted(snapshots: Mapping[str, Snapshot]) -> None:
    print("\n## Planted defects\n\n| planted | became | found |\n|---|---|---|")
    for name, snapshot in snapshots.items():
        for planted in [*planted_files(snapshot.rejects, name), *planted_stretches(snapshot)]:
            print(f"| {planted.what} | {planted.became} | {'yes' if planted.found else 'no'} |")


if __name__ == "__main__":
    main()
