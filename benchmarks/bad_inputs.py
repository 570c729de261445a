"""Bad inputs of all kinds that a crawl brings, made from a seed, and what the project's own readers make of each.

Put here: the generators and the accounting. Do not put here: kills (kills.py) or the report (campaign.py).

A case is a pure function of (seed, kind, number): `--only KIND --first NUMBER --inputs 1` makes one again. Every case
has to end as records, as rejects with a reason, or as both; an exception, a process that dies, an input that leaves no
trace and a reject without a reason are failures (of JSON-LD that states no question, `asks nothing` is the trace: its
page is a record all the same). Audio, manifests and names go through the stage `ingest_audio` with
its store, receipts and counts; archives, pages, replies and question files through the functions that the stages call.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from spelangy_model.rng import stable_rng

Rng = np.random.Generator
RATE_HZ = 16_000
BATCH = 40  # cases of a snapshot, and of a process' turn


@dataclass
class Outcome:
    """What became of cases: fates by word, failures with their numbers, the longest CPU time of one in seconds (of a
    snapshot: the mean of its cases) and the peak memory of the process in MiB."""

    fates: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    cases: int = 0
    longest_s: float = 0.0
    peak_mib: float = 0.0

    def add(self, other: Outcome) -> None:
        self.fates += other.fates
        self.failures += other.failures
        self.cases += other.cases
        self.longest_s = max(self.longest_s, other.longest_s)
        self.peak_mib = max(self.peak_mib, other.peak_mib)


# --- damage -------------------------------------------------------------------------------------------------------

EXTREMES = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\x01\0\0\0", b"\0\0\0\x01", b"\xff" * 8]


def below(rng: Rng, number: int) -> int:
    return int(rng.integers(max(1, number)))


def one_of(rng: Rng, values: Any) -> Any:
    return values[below(rng, len(values))]


def damaged(data: bytes, rng: Rng, most: int = 5) -> bytes:
    """Return bytes with up to `most` damages: flipped, cut out, cut off, repeated, zeroed, extremes put over them."""
    out = bytearray(data)
    for _ in range(1 + below(rng, most)):
        at = below(rng, len(out)) if rng.random() < 0.5 else below(rng, min(len(out), 256))  # headers, half of the time
        length = 1 + below(rng, 300)
        match below(rng, 7):
            case 0:
                out[at : at + 1] = bytes([below(rng, 256)])
            case 1:
                del out[at : at + length]
            case 2:
                del out[at if rng.random() < 0.5 else len(out) - below(rng, len(out) // 2 or 1) :]
            case 3:
                out[at:at] = bytes(out[at : at + length]) * (1 + below(rng, 4))
            case 4:
                out[at : at + length] = bytes(len(out[at : at + length]))
            case 5:
                extreme = one_of(rng, EXTREMES)
                out[at : at + len(extreme)] = extreme
            case _:
                out[at:at] = rng.bytes(1 + below(rng, 40))
    return bytes(out)


def voiced(seconds: float, rng: Rng) -> np.ndarray:
    """Return something like speech, float32, never twice the same."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(rng.uniform(90, 200) + 20 * np.sin(2 * np.pi * t)) / RATE_HZ
    sound = sum(np.sin(k * phase) / k for k in range(1, 8)) * (np.sin(2 * np.pi * 3 * t) > -0.5)
    return (0.1 * sound + 0.002 * rng.standard_normal(len(t))).astype(np.float32)


ODD_STRINGS = [
    "",
    " ",
    "\0",
    "\ud83d",
    "\u202e",
    "a" * 5000,
    "../../x",
    "/etc/passwd",
    "NaN",
    "-",
    "null",
    "{}",
    "a\nb",
]
ODD_VALUES: list[Any] = [
    None, True, False, 0, -1, 1e308, -1e-308, 10**40, float("nan"), float("inf"), [], {}, [[]], [None], {"a": None},
]  # fmt: skip


def odd(rng: Rng) -> Any:
    return one_of(rng, ODD_STRINGS) if rng.random() < 0.5 else one_of(rng, ODD_VALUES)


def mutated(value: Any, rng: Rng) -> Any:
    """Return a JSON value with one place of it made odd: a value swapped, a key lost or renamed, a list repeated."""
    if isinstance(value, dict) and value and rng.random() < 0.95:
        key = one_of(rng, sorted(value))
        match below(rng, 6):
            case 0:
                return {name: inner for name, inner in value.items() if name != key}
            case 1:
                return {**value, key: odd(rng)}
            case 2:
                return {**value, key: [value[key]] * below(rng, 4)}
            case _:
                return {**value, key: mutated(value[key], rng)}
    if isinstance(value, list) and value and rng.random() < 0.95:
        place = below(rng, len(value))
        return [*value[:place], mutated(value[place], rng), *value[place + (rng.random() < 0.8) :]]
    return odd(rng)


def written(value: Any, rng: Rng) -> bytes:
    """Return JSON as it may arrive: whole, damaged, cut off, in another encoding, nested, with long numbers."""
    text = json.dumps(value, ensure_ascii=bool(rng.random() < 0.7))
    match below(rng, 10):
        case 0:
            return damaged(text.encode("utf-8", "replace"), rng)
        case 1:
            return text.encode(one_of(rng, ["utf-16", "utf-8-sig", "utf-32", "latin-1"]), "replace")
        case 2:
            deep = one_of(rng, [5, 500, 50_000])
            return b"[" * deep + text.encode("utf-8", "replace") + b"]" * one_of(rng, [deep, 0])
        case 3:
            return text[: below(rng, len(text))].encode("utf-8", "replace")
        case 4:
            return text.replace(":", f': {"9" * one_of(rng, [20, 400, 6000])}, "x":', 1).encode("utf-8", "replace")
        case _:
            return text.encode("utf-8", "replace")


# --- snapshots of sound -------------------------------------------------------------------------------------------


@cache
def containers() -> tuple[tuple[str, bytes], ...]:
    """Return one short sound in the containers that crawls bring: (suffix, bytes)."""
    import av
    import soundfile

    sound = voiced(1.5, stable_rng(0, "container"))
    two = np.stack([sound, sound[::-1]], axis=1)
    made = []
    for suffix, kind, subtype in (
        ("wav", "WAV", "PCM_16"), ("wav", "WAV", "FLOAT"), ("wav", "WAV", "ULAW"), ("wav", "WAVEX", "PCM_24"),
        ("w64", "W64", "PCM_16"), ("rf64", "RF64", "PCM_16"), ("aiff", "AIFF", "PCM_16"), ("au", "AU", "PCM_16"),
        ("caf", "CAF", "PCM_16"), ("sph", "NIST", "PCM_16"), ("flac", "FLAC", None), ("ogg", "OGG", "VORBIS"),
        ("opus", "OGG", "OPUS"), ("mp3", "MP3", None),
    ):  # fmt: skip
        for samples in (sound, two):
            stream = io.BytesIO()
            soundfile.write(stream, samples, RATE_HZ, format=kind, subtype=subtype)
            made.append((suffix, stream.getvalue()))
    for suffix, muxer, codec in (
        ("m4a", "mp4", "aac"), ("mkv", "matroska", "flac"), ("webm", "webm", "libopus"), ("ts", "mpegts", "mp2"),
        ("aac", "adts", "aac"), ("avi", "avi", "pcm_s16le"), ("ogg", "ogg", "flac"),
    ):  # fmt: skip
        stream = io.BytesIO()
        with av.open(stream, "w", format=muxer) as out:
            rate_hz = 48_000 if codec == "libopus" else RATE_HZ
            track: Any = out.add_stream(codec, rate=rate_hz, layout="mono")
            whole = av.AudioFrame.from_ndarray(sound[None].copy(), format="fltp", layout="mono")
            whole.sample_rate = RATE_HZ
            resampler = av.AudioResampler(
                format=track.codec_context.format or "s16", layout="mono", rate=rate_hz,
                frame_size=track.codec_context.frame_size or 1152,
            )  # fmt: skip
            done = 0
            for frame in [*resampler.resample(whole), *resampler.resample(None)]:
                frame.pts, frame.time_base = done, Fraction(1, rate_hz)
                done += frame.samples
                out.mux(track.encode(frame))
            out.mux(track.encode(None))
        made.append((suffix, stream.getvalue()))
    return tuple(made)


def ingest(folder: Path, home: Path) -> tuple[list[str], dict[str, str], Any]:
    """Run the stage over a folder; return the addresses of recordings, rejects with reason and words, the counts."""
    from spelangy_assets.execution.build import build
    from spelangy_assets.execution.graph import Graph, Node
    from spelangy_assets.execution.stage import Execution
    from spelangy_assets.sources.files import FolderSource
    from spelangy_assets.stages import ingest_audio
    from spelangy_assets.store.artifacts import ArtifactStore
    from spelangy_model.records import Recording, Reject

    node = Node(
        name="raw_audio", group="crawl", description="", stage=ingest_audio, config=ingest_audio.Config(),
        contract=ingest_audio.CONTRACT, has_source=True,
    )  # fmt: skip
    execution = Execution(cache_dir=home / "c", launch=lambda module, spec, place: 0.0)
    store = ArtifactStore(home / "store", home / "cache")
    built = build(store, Graph("recipe", [node]), node, None, execution, FolderSource(folder)).artifact
    rejects: dict[str, str] = {}
    for number, row in enumerate(built.records("rejects", Reject)):
        rejects[f"{row.source_uri}\0{number}"] = row.reason if row.reason and row.error else ""
    return [row.source_uri for row in built.records("recordings", Recording)], rejects, built.manifest.counts


def accounted(folder: Path, home: Path, files: dict[str, int]) -> tuple[list[Counter[str]], list[str]]:
    """Run the stage; return the fates of each case and what is wrong with the account.

    `files` is how many files each case brought: so many records or rejects at least have to name it.
    """
    kept, rejects, counts = ingest(folder, home)
    fates: dict[str, Counter[str]] = {name: Counter() for name in (*files, "")}
    wrong = []
    for uri in kept:
        fates[case_of(uri)]["record"] += 1
    for uri, reason in rejects.items():
        fates[case_of(uri)][reason or "no reason"] += 1
    if counts.records_in != counts.records_kept + sum(counts.dropped.values()):
        wrong.append(f"{counts.records_in} in, {counts.records_kept} kept, dropped {counts.dropped}")
    for name, seen in fates.items():
        if seen.total() < files.get(name, 0):
            wrong.append(f"{name}: {files[name]} files, {dict(seen)}")
        if seen["no reason"]:
            wrong.append(f"{name}: a reject without a reason or words")
    return [+seen for name, seen in fates.items() if name], wrong


def case_name(number: int) -> str:
    return f"case-{number:06}"


def case_of(uri: str) -> str:
    """Return the case that an address names; what a manifest invented names none."""
    return uri[: len(case_name(0))] if uri.startswith("case-") else ""


def write_container(folder: Path, number: int, rng: Rng) -> int:
    suffix, data = one_of(rng, containers())
    if rng.random() < 0.1:
        more = one_of(rng, containers())[1]
        data = data + more if rng.random() < 0.5 else data[: below(rng, len(data))] + more
    if rng.random() < 0.1:
        suffix = one_of(rng, ["wav", "mp3", "flac", "txt", "tar", "sph", "", "WAV", "ogg"])
    data = damaged(data, rng)
    name = f"{case_name(number)}.{suffix}" if suffix else case_name(number)
    if rng.random() < 0.08:
        stream = io.BytesIO()
        with tarfile.open(fileobj=stream, mode="w") as tar:
            for member in ("one.wav", "two.flac"):
                info = tarfile.TarInfo(member)
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        data, name = damaged(stream.getvalue(), rng), f"{case_name(number)}.tar"
    (folder / name).write_bytes(data)
    return 1


def write_manifest(folder: Path, number: int, rng: Rng) -> int:
    """Two sound files of a folder, and at the top of the snapshot a manifest that says something odd of them."""
    import soundfile

    case = case_name(number)
    (folder / case).mkdir()
    for name in ("a.wav", "b.wav"):
        soundfile.write(folder / case / name, voiced(0.4, rng), RATE_HZ)
    utterance = {"speaker": "a", "text": "Hello.", "start_s": 0.0, "end_s": 0.3}
    cut = {
        "id": f"{case}-c", "type": "MonoCut", "start": 0.0, "duration": 0.3, "channel": 0,
        "recording": {"id": case, "sources": [{"type": "file", "channels": [0], "source": f"{case}/a.wav"}],
                      "sampling_rate": RATE_HZ, "num_samples": 6400, "duration": 0.4, "channel_ids": [0]},
        "supervisions": [{"id": case, "recording_id": case, "start": 0.0, "duration": 0.3, "channel": 0, "text": "Hi"}],
    }  # fmt: skip
    rows: list[Any] = [
        {"file": f"{case}/a.wav", "url": "https://example.org/a", "licence": "CC0-1.0", "utterances": [utterance]},
        {"audio_filepath": f"{case}/b.wav", "offset": 0.1, "duration": 0.2, "text": "Hello.", "lang": "en"},
        cut,
        {"file": f"{case}/b.wav", "rttm": f"{case}/b.rttm"},
    ]
    chosen = [one_of(rng, rows) for _ in range(1 + below(rng, 4))]
    for _ in range(1 + below(rng, 3)):
        spot = below(rng, len(chosen))
        chosen[spot] = mutated(chosen[spot], rng)
    data = b"\n".join(written(row, rng) for row in chosen) + b"\n"
    name = one_of(rng, [".jsonl", ".jsonl", ".manifest.json", ".cuts.jsonl.gz"])
    if name.endswith(".gz"):
        data = gzip.compress(data, mtime=0)
        data = damaged(data, rng, 1) if rng.random() < 0.3 else data
    (folder / f"{case}{name}").write_bytes(data)
    return 2


def write_name(folder: Path, number: int, rng: Rng) -> int:
    """A sound file whose name is odd: bytes that are no UTF-8, what shells, pages and addresses take for theirs."""
    import soundfile

    signs = [
        "a", " ", "\n", "\t", "'", '"', "\\", "%2F", "%", "#t=1,2", "?", "*", "[x]", "<b>", "&amp;", "é", "~",
        "\u202e", "\u200b", "日本", "\U0001f600", "\udcff", "\udc80", ".", "..", "-", "--help", "|", ":", ";", "$(x)",
        "\x01", "\x7f", "\ufffd", "\ufeff", "{}",
    ]  # fmt: skip
    odd_part = "".join(one_of(rng, signs) for _ in range(1 + below(rng, 12)))
    if rng.random() < 0.1:
        odd_part = odd_part[:1] * 200
    name = f"{case_name(number)}{one_of(rng, ['.', '#', '/'])}{odd_part}{one_of(rng, ['.wav', '.WAV', '', '.flac'])}"
    # Names of 200 bytes; a hidden file is no input.
    parts = [part[:200] for part in os.fsencode(name).split(b"/") if part.strip(b".")]
    path = Path(os.fsdecode(b"/".join([os.fsencode(folder), *parts]).replace(b"/.", b"/x.")))
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = io.BytesIO()
    soundfile.write(stream, voiced(0.4, rng), RATE_HZ, format="WAV")
    path.write_bytes(stream.getvalue())
    return 1


def in_snapshots(write: Callable[[Path, int, Rng], int]) -> Callable[[str, int, range], Outcome]:
    def run(kind: str, seed: int, cases: range) -> Outcome:
        outcome = Outcome(cases=len(cases))
        with TemporaryDirectory() as place:
            folder = Path(place) / "snapshot"
            folder.mkdir()
            owners = {case_name(case): write(folder, case, stable_rng(seed, kind, case)) for case in cases}
            start = time.process_time()
            try:
                fates, wrong = accounted(folder, Path(place), owners)
            except Exception:  # noqa: BLE001  what a bad input raises is what is looked for
                outcome.failures.append(f"{kind} {cases}: {traceback.format_exc(limit=-4)}")
                return outcome
            outcome.longest_s = (time.process_time() - start) / len(cases)
        outcome.failures += [f"{kind} {fault}" for fault in wrong]
        for seen in fates:
            outcome.fates.update(seen.keys())
        return outcome

    return run


# --- what is read one by one --------------------------------------------------------------------------------------

PROSE = "The old mill stands at the edge of the village, where the brook freezes in winter and the wheel rests. "


def one_archive(rng: Rng) -> tuple[str, bytes]:
    records = []
    is_arc, is_packed = rng.random() < 0.2, rng.random() < 0.5
    for number in range(3):
        body = f"<html><title>Mill</title><body><p>{PROSE * (1 + below(rng, 4))}{number}</p></body></html>".encode()
        headers = "Content-Type: text/html; charset=utf-8\r\n"
        match below(rng, 5):
            case 0:
                body, headers = gzip.compress(body, mtime=0), headers + "Content-Encoding: gzip\r\n"
            case 1:
                body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
                headers += "Transfer-Encoding: chunked\r\n"
            case 2:
                headers += one_of(
                    rng, ["Content-Encoding: br\r\n", "Content-Encoding: gzip\r\n", "X: \xff\r\n", ":\r\n"]
                )
            case _:
                pass
        http = f"HTTP/1.1 200 OK\r\n{headers}\r\n".encode("latin-1") + body
        url = f"https://mill.example/{number}"
        if is_arc:
            record = f"{url} 10.0.0.1 20260102030405 text/html {len(http)}\n".encode() + http + b"\n"
        else:
            record = (
                f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
                f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
            ).encode() + http + b"\r\n\r\n"  # fmt: skip
        record = damaged(record, rng, 3) if rng.random() < 0.4 else record
        records.append(gzip.compress(record, mtime=0) if is_packed else record)
    data = b"".join(records)
    data = damaged(data, rng, 2) if rng.random() < 0.6 else data
    return f"case.{'arc' if is_arc else 'warc'}{'.gz' if is_packed else ''}", data


def read_one_archive(rng: Rng, place: Path) -> Counter[str]:
    from spelangy_model.records import Page, Reject
    from spelangy_model.text.warc import read_archive

    name, data = one_archive(rng)
    fates: Counter[str] = Counter()
    for capture in read_archive(io.BytesIO(data), name):
        if isinstance(capture, Page):
            capture.html.encode("utf-8")
            fates["record"] += 1
        else:
            assert isinstance(capture, Reject)
            fates[capture.reason if capture.error else ""] += 1
    return fates


def read_one_json_ld(rng: Rng, place: Path) -> Counter[str]:
    from spelangy_model.text.questions import mine_page

    asked = {"@type": "Question", "name": "Why do leaves turn red in autumn?", "acceptedAnswer": {
        "@type": "Answer", "text": "The tree stops making <b>chlorophyll</b>. Other pigments then show."}}  # fmt: skip
    value: Any = one_of(rng, [
        {"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": [asked, asked]}, asked, [asked],
        {"@graph": [asked, {"@type": "WebPage", "name": "x"}]}, {"@type": "QAPage", "mainEntity": asked},
    ])  # fmt: skip
    for _ in range(below(rng, 3)):
        value = mutated(value, rng)
    script = written(value, rng).decode("utf-8", "replace")
    script = one_of(
        rng, ["{}", "{}", "<!--\n{}\n-->", "//<![CDATA[\n{}\n//]]>", "{};", "\ufeff{}", "// x\n{}"]
    ).replace("{}", script)
    script = f'<script type="application/ld+json">{script}</script>'
    html = f"<html><body><p>{PROSE * 3}</p>{script}<p>Is it so?</p></body></html>"
    mined = mine_page(html)
    for pair in mined.questions:
        (pair.question + pair.answer).encode("utf-8")
    fates = Counter({"record": len(mined.questions), **mined.reasons})
    if not +fates:
        fates["asks nothing"] = 1
    return +fates


def read_one_reply(rng: Rng, place: Path) -> Counter[str]:
    from spelangy_model.text.llm_errors import ServerError
    from spelangy_model.text.llm_replies import find_object, read_completion

    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"],
              "additionalProperties": False}  # fmt: skip
    value: Any = {"text": "The mill turns."}
    if rng.random() < 0.4:
        value = mutated(value, rng)
    text = written(value, rng).decode("utf-8", "replace")
    content: Any = one_of(
        rng, ["{}", "<think>hm {x}</think>{}", "Here:\n```json\n{}\n```", "hm</think>{}", "{}{}", "[{}]"]
    )
    content = content.replace("{}", text)
    if rng.random() < 0.2:
        content = [{"type": "text", "text": content}]
    body: Any = {
        "id": "1", "object": "chat.completion", "created": 0, "model": "m",
        "choices": [{"index": 0, "finish_reason": one_of(rng, ["stop", "stop", "length", "content_filter", None]),
                     "message": {"role": "assistant", "content": content}}],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }  # fmt: skip
    for _ in range(below(rng, 3)):
        body = mutated(body, rng)
    completion = read_completion(written(body, rng))
    if isinstance(completion, ServerError):
        return Counter({completion.failure if completion.words else "": 1})
    if completion.failure:
        return Counter({completion.failure: 1})
    found, failure, words = find_object(completion, schema)
    if failure:
        return Counter({failure if words else "": 1})
    found["text"].encode("utf-8")
    return Counter({"record": 1})


def read_one_question_file(rng: Rng, place: Path) -> Counter[str]:
    from spelangy_model.eval.question_files import QuestionFileError, read_questions

    form = one_of(rng, ["jsonl", "triviaqa", "webquestions", "table", "opentriviaqa"])
    path = place / "questions"
    if form == "table":
        text = (
            "Questions,Answer\nWhat turns the mill?,\"the brook, in summer\"\nHow old is it?,\"['300 years', '300']\"\n"
        )
        path = place / "questions.csv"
        data = damaged(text.encode(), rng, 3)
    elif form == "opentriviaqa":
        text = "#Q What turns the mill?\n^ the brook\nA the wind\nB the brook\nC an ox\nD nothing\n\n" * 2
        data = damaged(text.encode(), rng, 3)
    else:
        rows: list[Any] = {
            "jsonl": [{"question": "What turns it?", "answer": "brook", "options": ["a", "b", "c", "brook"], "id": "1"},
                      {"question": "How old?", "answers": ["300 years", "300"]}],
            "triviaqa": [{"question": "What?", "question_id": "1", "answer": {"value": "brook", "aliases": ["a"]}}],
            "webquestions": [{"qId": "1", "qText": "what turns it", "answers": ["brook"]}],
        }[form]  # fmt: skip
        for _ in range(below(rng, 4)):
            rows = mutated(rows, rng)
        if form == "jsonl" and isinstance(rows, list):
            data = b"\n".join(written(row, rng) for row in rows)
        else:
            data = written(rows, rng)
    path.write_bytes(data)
    try:
        questions = read_questions(path, form)
    except QuestionFileError as error:
        return Counter({"question file refused" if str(path) in str(error) else "": 1})
    for question in questions:
        (question.question + "".join(question.answers)).encode("utf-8")
    return Counter({"record": len(questions)})


def one_by_one(read: Callable[[Rng, Path], Counter[str]]) -> Callable[[str, int, range], Outcome]:
    def run(kind: str, seed: int, cases: range) -> Outcome:
        outcome = Outcome(cases=len(cases))
        with TemporaryDirectory() as place:
            for case in cases:
                start = time.process_time()
                try:
                    fates = read(stable_rng(seed, kind, case), Path(place))
                except Exception:  # noqa: BLE001
                    outcome.failures.append(f"{kind} {case}: {traceback.format_exc(limit=-4)}")
                    continue
                outcome.longest_s = max(outcome.longest_s, time.process_time() - start)
                if not fates or "" in fates:
                    outcome.failures.append(f"{kind} {case}: no trace, or a reject without a reason: {dict(fates)}")
                outcome.fates.update(fates.keys())
        return outcome

    return run


# kind -> (its share of all cases, what runs a batch of them)
KINDS: dict[str, tuple[float, Callable[[str, int, range], Outcome]]] = {
    "audio files": (0.25, in_snapshots(write_container)),
    "manifests": (0.15, in_snapshots(write_manifest)),
    "file names": (0.05, in_snapshots(write_name)),
    "web archives": (0.20, one_by_one(read_one_archive)),
    "JSON-LD": (0.15, one_by_one(read_one_json_ld)),
    "LLM replies": (0.15, one_by_one(read_one_reply)),
    "question files": (0.05, one_by_one(read_one_question_file)),
}


def peak_rss_mib() -> float:
    """Return this process's peak resident memory (Linux)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_kind(kind: str, seed: int, first: int, cases: int, pipe: Connection) -> None:
    """Run cases of a kind in batches, in a process of its own, and say what became of each batch."""
    run = KINDS[kind][1]
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # codecs complain there
    for start in range(first, first + cases, BATCH):
        batch = range(start, min(start + BATCH, first + cases))
        pipe.send(batch)
        result = run(kind, seed, batch)
        result.peak_mib = peak_rss_mib()
        pipe.send(result)


def run_inputs(
    cases: int, seed: int, say: Callable[[str], None], start: Callable[..., Any], only: str = "", first: int = 0
) -> dict[str, Outcome]:
    """Run all kinds, each in a process that `start` makes, and in a new one where one died."""
    results = {}
    for kind, (share, _) in KINDS.items():
        if only not in ("", kind):
            continue
        outcome, left = Outcome(), range(first, first + (cases if only else round(cases * share)))
        while left:
            process, here = start(run_kind, kind, seed, left.start, len(left))
            batch = left[:BATCH]
            for message in received(here):
                if isinstance(message, range):
                    batch = message
                else:
                    outcome.add(message)
                    left = left[len(batch) :]
            process.join()
            if left:
                outcome.failures.append(f"{kind} {batch}: the process died with status {process.exitcode}")
                outcome.cases += len(batch)
                left = left[len(batch) :]
        say(f"{kind}: {outcome.cases} cases, {len(outcome.failures)} failures, {outcome.peak_mib:.0f} MiB")
        results[kind] = outcome
    return results


def received(here: Connection) -> Iterator[Any]:
    while True:
        try:
            yield here.recv()
        except EOFError:
            return
