"""Pages made to break a reader, and real pages broken at random: what becomes of each, in which time and memory.

    PYTHONPATH=. python benchmarks/fuzz_pages.py PAGES.warc.gz [--cases 100000] [--seed 0] [--only bombs|cases]

Two parts. Bombs: each is an archive of one capture that goes the whole way (archive, URL, language, main text, Krist,
Quest) in a process of its own; printed are what became of it, CPU seconds and the process's peak resident memory, with
an ordinary page for comparison. Cases: pages of the archive, whole or a window of one, damaged by operations drawn by
stable_rng (seed, case): bytes flipped, spans cut, repeated, spliced from another page, tags and entities put in; each
goes through decoding, extraction, Krist's rules and Quest's miner. An exception is printed with its case number, which
alone makes the page again; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import gzip
import io
import json
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from spelangy_assets.stages import extract_text, ingest_pages
from spelangy_model.records import Page, Reject, TextDocument
from spelangy_model.rng import stable_rng
from spelangy_model.text.extract import extract_text as main_text
from spelangy_model.text.html_pages import make_page
from spelangy_model.text.krist import KristRules, rewrite_for_listening, write_scripts
from spelangy_model.text.questions import (
    QuestRules,
    mine_questions,
    refuse_question,
    take_apart,
    write_quest_script,
)
from spelangy_model.text.spans import Words
from spelangy_model.text.urls import UrlRules, refuse_url
from spelangy_model.text.warc import read_archive

PROSE = "The old mill stands at the edge of the village, where the brook freezes in winter and the wheel rests. "
ORDINARY = "".join(f"<p>{PROSE}Wheel number {number} was built in {1700 + number}.</p>" for number in range(40))
MIB = 2**20
ROOM = 4 * MIB - 4096  # just below the default limit of a payload


def filled(part: str, size: int = ROOM) -> bytes:
    """Return a page that holds `part` over and over, and some prose behind it."""
    data = part.encode()
    return data * (size // len(data)) + f"<p>{PROSE * 5}</p>".encode()


def entities() -> bytes:
    levels = "".join(f'<!ENTITY a{n + 1} "{f"&a{n};" * 10}">' for n in range(10))
    return (
        f'<?xml version="1.0"?><!DOCTYPE html [<!ENTITY a0 "ha">{levels}]><html><body><p>&a10;</p>'
        f"<p>{PROSE * 5}</p></body></html>"
    ).encode()


# name -> the payload of the capture, as the server sent it
BOMBS: dict[str, Callable[[], bytes]] = {
    "an ordinary page": lambda: f"<html><body><h1>Mill</h1>{ORDINARY}</body></html>".encode(),
    "no bytes": lambda: b"",
    "binary bytes": lambda: bytes(range(256)) * 400,
    "UTF-16 that is none": lambda: b"\xff\xfe" + b"\x00\xd8" * 50_000,
    "UTF-8 called Latin-1": lambda: f"<meta charset=iso-8859-1><p>{PROSE * 3} \u00e9\u4e2d\u0416</p>".encode(),
    "noise called UTF-8": lambda: stable_rng(0, "noise").bytes(200_000).replace(b"\x00", b""),
    "an attribute of 100 MB": lambda: b'<p data-x="' + b"y" * (100 * MIB) + b'">',
    "an attribute of 4 MB": lambda: b'<p data-x="' + b"y" * ROOM + f'">{PROSE * 5}</p>'.encode(),
    "a gigabyte of zeros, gzipped": lambda: gzip.compress(b"\0" * 2**30, 9),
    "a billion entities": entities,
    "800,000 nested <div>": lambda: filled("<div>"),
    "nested <b>, never closed": lambda: filled("<b>", MIB),
    "nested tables": lambda: filled("<table><tr><td>"),
    "nested lists": lambda: filled("<ul><li>x"),
    "100 nested lists, 600,000 items": lambda: b"<ul><li>" * 100 + filled("<li>x"),
    "nested <details>": lambda: filled("<details><summary>Why is it so?</summary>x"),
    "nested microdata": lambda: filled('<div itemtype="schema.org/Question"><b itemprop=name>Why?</b>'),
    "nested definition lists": lambda: filled("<dl><dt>Why is it so?<dd>"),
    "150,000 definitions": lambda: filled("<dt>Why is it so?<dd>x"),
    "80,000 scripts of JSON-LD": lambda: filled('<script type="application/ld+json">{"@type":"Question"}</script>'),
    "JSON-LD nested 2,000,000 deep": lambda: (
        b'<script type="application/ld+json">{"@type":"Question","x":' + b"[" * (ROOM - 100) + b"</script>"
    ),
    "links that never end": lambda: filled("<a rel=x "),
    "frames that never end": lambda: filled("<main "),
    "comments before nothing": lambda: filled("<!---->"),
    "one word of 4 MB": lambda: filled("a"),
    "one address of 4 MB": lambda: filled("a."),
    "one paragraph of questions": lambda: b"<p>" + filled("Why is it so? It is. ", MIB),
    "25,000 questions that open one panel": lambda: (
        "".join(f'<h3><a href="#one">Why is wheel {number} old?</a></h3>' for number in range(25_000)).encode()
        + b"<div id=one>"
        + filled("<p>It is so, as said.", 2 * MIB)
    ),
    "100,000 headings": lambda: filled("<h2>Why is the mill so old?</h2><p>It is.</p>"),
    "one sentence of 100,000 words": lambda: b"<p>" + filled("and the mill ", MIB),
    "digits": lambda: filled("<p>1234567890,1.2.3-4 "),
    "opening brackets": lambda: filled("<p>([{\u201c\u2018("),
}


def archive(payload: bytes) -> bytes:
    """Return a WARC file of one response that holds the payload."""
    encoding = "Content-Encoding: gzip\r\n" if payload[:2] == b"\x1f\x8b" else ""
    http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n{encoding}\r\n".encode() + payload
    head = (
        "WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://mill.example/old-mill\r\n"
        "WARC-Date: 2026-01-02T03:04:05Z\r\nContent-Type: application/http; msgtype=response\r\n"
        f"Content-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def fate(capture: Page | Reject) -> str:
    """Return what becomes of a capture on its way through the stages, with their default settings."""
    if isinstance(capture, Reject):
        return f"reject: {capture.reason}"
    reason = refuse_url(capture.url, UrlRules()) or ingest_pages.refuse_language(
        ingest_pages.plain_text(capture), ("en",)
    )
    if reason:
        return f"page dropped: {reason}"
    quest = [f"quest {count}: {word}" for word, count in Counter(quest_fates(capture)).items()]
    return "; ".join([f"text {text_fate(capture)}", *quest])


def text_fate(page: Page) -> str:
    document = extract_text.extract_document(page, extract_text.Config())
    if isinstance(document, str):
        return f"dropped: {document}"
    scripts = write_scripts(document, rewrite_for_listening(document.text), KristRules())
    return f"kept, krist dropped: {scripts}" if isinstance(scripts, str) else f"kept, krist {len(scripts)} scripts"


def quest_fates(page: Page) -> list[str]:
    rules, fates = QuestRules(), []
    words = Words(main_text(page.html))
    for mined in mine_questions(page.html):
        reason = refuse_question(mined, rules)
        if reason is None:
            write_quest_script(page, mined, take_apart(mined.answer, rules), rules, 0, words)
        fates.append(reason or "kept")
    return fates


def run_bomb(path: Path) -> dict[str, object]:
    """Return what became of the captures of an archive; the peak memory counts all that this process did before."""
    start = time.process_time()
    with path.open("rb") as stream:
        fates = [fate(capture) for capture in read_archive(stream, path.name)]
    return {"fates": fates, "cpu_s": time.process_time() - start, "peak_mib": peak_rss_mib()}


def peak_rss_mib() -> float:
    """Return this program's peak resident memory (Linux); what its parent held before the start does not count."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def run_bombs() -> None:
    print(f"## Bombs: {len(BOMBS)} archives of one capture, each followed by a page that must still be read\n")
    print("| capture | archive MiB | what became of it | CPU s | peak memory MiB |\n|---|---|---|---|---|")
    for name in BOMBS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "bomb.warc"
            path.write_bytes(archive(BOMBS[name]()) + archive(b"<p>What stands behind it is read too."))
            size_mib = path.stat().st_size / MIB
            command = [sys.executable, __file__, "--bomb", str(path)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"| {name} | - | DIED with status {done.returncode} | - | - |", flush=True)
            continue
        result = json.loads(done.stdout)
        if len(result["fates"]) != 2:
            raise SystemExit(f"{name}: two captures went in, {result['fates']} came out")
        print(
            f"| {name} | {size_mib:.1f} | {result['fates'][0]} | {result['cpu_s']:.1f} | {result['peak_mib']:.0f} |",
            flush=True,
        )


# --- cases ------------------------------------------------------------------------------------------------

PIECES = [
    b"<p>", b"</p>", b"<h2>", b"<li>", b"<a href='x'>", b"</a>", b"<table><tr><td>", b"<pre>", b"<br>", b"<!--",
    b"-->", b"&amp;", b"&#xd800;", b"&#0;", b"\x02", b"\x03", b"<dl><dt>", b"<dd>", b"<script>", b"</script>", b"<",
    b"?", b". ", b"]]>", b"<details><summary>", b"</summary>", b"<template>", b"<svg>", b"\xff", b"\xed\xa0",
    b"<h3>Why is it so?</h3><p>", b"<script type='application/ld+json'>{\"@type\":\"Question\",\"name\":\"",
    b"\\ud800", b"\",\"acceptedAnswer\":", b"<div itemtype='https://schema.org/Question'><b itemprop=name>",
    b"<i itemprop=acceptedAnswer><b itemprop=text>", b"\xe2\x80\xae", b"\xef\xbf\xbe", b"1,234.5e9", b"$",
    b"https://", b"\xe2\x80\x9c",
]  # fmt: skip


def make_case(pages: list[bytes], seed: int, case: int) -> bytes:
    """Return the damaged page of a case; a pure function of its arguments."""
    rng = stable_rng(seed, "fuzz-pages", case)

    def below(number: int) -> int:
        return int(rng.integers(max(1, number)))

    data = pages[below(len(pages))]
    if rng.random() < 0.95:  # a window: damage at a place matters, and whole pages are long
        start = below(len(data))
        data = data[start : start + 200 + below(6000)]
    page = bytearray(data)
    for _ in range(1 + below(12)):
        at, length = below(len(page)), below(400)
        match below(6):
            case 0:
                page[at : at + 1] = bytes([below(256)])
            case 1:
                del page[at : at + length]
            case 2:
                page[at:at] = bytes(page[at : at + length]) * (1 + below(20))
            case 3:
                other = pages[below(len(pages))]
                place = below(len(other))
                page[at:at] = other[place : place + length]
            case 4:
                page[at:at] = PIECES[below(len(PIECES))] * (1 if rng.random() < 0.9 else below(200))
            case _:
                page[at : at + length] = bytes(rng.permutation(list(page[at : at + length])).astype("uint8"))
    return bytes(page)


def try_case(data: bytes) -> Counter[str]:
    """Send a damaged page through all that reads pages. What it raises is a defect."""
    fates: Counter[str] = Counter()
    for capture in read_archive(io.BytesIO(archive(data)), "case.warc"):
        fates[capture.reason if isinstance(capture, Reject) else "page"] += 1
        if isinstance(capture, Reject):  # what the archive reader refuses, the others are still not to choke on
            capture = make_page("https://mill.example/old-mill", data.decode("utf-8", "replace"), source_uri="")
        text = main_text(capture.html)
        text.encode("utf-8")
        document = TextDocument("id", "page", capture.url, "", "", text)
        scripts = write_scripts(document, rewrite_for_listening(text), KristRules())
        for script in [] if isinstance(scripts, str) else scripts:
            for line in script.lines:
                (line.text + line.spoken_text).encode("utf-8")
            fates["krist"] += 1
        rules, words = QuestRules(), Words(text)
        for mined in mine_questions(capture.html):
            refuse_question(mined, rules)
            quest = write_quest_script(capture, mined, take_apart(mined.answer, rules), rules, 0, words)
            (quest.evidence + quest.lines[0].spoken_text + quest.lines[1].spoken_text).encode("utf-8")
            fates["questions"] += 1
    return fates


def run_cases(pages: list[bytes], seed: int, cases: range) -> tuple[Counter[str], list[str], float, float]:
    """Return how many pages met each fate, the failures with their case numbers, the longest CPU time of a case in
    seconds, and the peak memory of the process in MiB."""
    fates: Counter[str] = Counter()
    failures: list[str] = []
    longest_s = 0.0
    for case in cases:
        data = make_case(pages, seed, case)
        start = time.process_time()
        try:
            fates += try_case(data)
        except Exception:  # noqa: BLE001  a fuzzer reports whatever it provokes
            failures.append(f"case {case}: {traceback.format_exc(limit=-3)}")
        longest_s = max(longest_s, time.process_time() - start)
    return fates, failures, longest_s, peak_rss_mib()


def payloads(path: Path) -> list[bytes]:
    from fastwarc.warc import ArchiveIterator

    with path.open("rb") as stream:
        return [record.reader.read() for record in ArchiveIterator(stream, parse_http=True)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path, nargs="?")
    parser.add_argument("--cases", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--only", choices=["bombs", "cases"], help="one of the two parts; default: both")
    parser.add_argument("--bomb", type=Path, help=argparse.SUPPRESS)  # one archive, in a process of its own
    chosen = parser.parse_args()
    if chosen.bomb:
        print(json.dumps(run_bomb(chosen.bomb)))
        return 0
    if chosen.pages is None:
        parser.error("name an archive of pages")
    if chosen.only != "cases":
        run_bombs()
    if chosen.only == "bombs":
        return 0
    pages = payloads(chosen.pages)
    parts = [range(part, chosen.cases, 50) for part in range(min(50, chosen.cases))]
    start = time.perf_counter()
    with ProcessPoolExecutor(chosen.workers) as pool:
        results = list(pool.map(run_cases, [pages] * len(parts), [chosen.seed] * len(parts), parts))
    fates = sum((counts for counts, _, _, _ in results), Counter())
    failures = [failure for _, several, _, _ in results for failure in several]
    longest_s, peak_mib = (max(result[place] for result in results) for place in (2, 3))
    print(f"\n## Cases: {chosen.cases:,} damaged pages, seed {chosen.seed}\n")
    print("| exceptions | longest case, CPU s | peak memory MiB | what was made |\n|---|---|---|---|")
    made = ", ".join(f"{word} {count:,}" for word, count in fates.most_common())
    print(f"| {len(failures)} | {longest_s:.2f} | {peak_mib:.0f} | {made} |")
    print(f"{time.perf_counter() - start:.0f} s", file=sys.stderr)
    print("\n".join(failures[:20]))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
