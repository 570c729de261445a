"""Main text: what is found of real pages and how fast, beside trafilatura with its defaults, in one run.

    PYTHONPATH=. python benchmarks/extraction.py PAGES.warc.gz GOLD.jsonl

GOLD.jsonl has a line a page of the archive: url, lang, must_contain and must_not_contain (lists of snippets). A snippet
counts as found when it stands in the extracted text with white space folded. The page is handed to each extractor
decoded; the extractors take turns page by page, so a busy machine slows all of them alike, and CPU seconds are
counted, on one core. Printed as Markdown: precision, recall, F1 and speed of each, and the first one's speed as a
multiple.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from spelangy_model.text.extract import extract_text
from spelangy_model.text.html_pages import decode_html


@dataclass
class Tally:
    """Snippets and seconds of one extractor."""

    found: int = 0
    missed: int = 0
    extra: int = 0
    cpu_s: float = 0.0

    @property
    def precision(self) -> float:
        return self.found / max(1, self.found + self.extra)

    @property
    def recall(self) -> float:
        return self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)


def trafilatura_text(html: str) -> str:
    import trafilatura

    return trafilatura.extract(html) or ""


def resiliparse_text(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, links=False, alt_texts=False)


EXTRACTORS: dict[str, Callable[[str], str]] = {
    "SpeLangy": extract_text,
    "trafilatura, defaults": trafilatura_text,
    "resiliparse, main_content": resiliparse_text,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pages", type=Path)
    parser.add_argument("gold", type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="how often each page is extracted; the best time counts")
    chosen = parser.parse_args()
    gold = {entry["url"]: entry for entry in map(json.loads, chosen.gold.read_text("utf-8").splitlines())}
    pages = [(url, html) for url, html in read_pages(chosen.pages) if url in gold]
    tallies = measure(pages, gold, chosen.rounds)
    english = sum(gold[url]["lang"] == "en" for url, _ in pages)
    print(f"{len(pages)} pages, {english} of them English; one core, CPU seconds, best of {chosen.rounds}\n")
    print("| extractor | precision | recall | F1 | F1, English | pages/s |\n|---|---|---|---|---|---|")
    for name in EXTRACTORS:
        whole, part = tallies[name, "all"], tallies[name, "en"]
        print(
            f"| {name} | {whole.precision:.3f} | {whole.recall:.3f} | {whole.f1:.3f} | {part.f1:.3f} | "
            f"{len(pages) / whole.cpu_s:.0f} |"
        )
    ours, peer = tallies["SpeLangy", "all"], tallies["trafilatura, defaults", "all"]
    print(f"\nSpeLangy against trafilatura: F1 {ours.f1 - peer.f1:+.3f}, speed x{peer.cpu_s / ours.cpu_s:.1f}")


def read_pages(archive: Path) -> list[tuple[str, str]]:
    """Return (URL, decoded HTML) of every response, also of those whose URL the stage would refuse."""
    from fastwarc.warc import ArchiveIterator

    with archive.open("rb") as stream:
        return [
            (record.headers["WARC-Target-URI"], decode_html(record.reader.read(), record.http_charset or "")[0])
            for record in ArchiveIterator(stream, parse_http=True)
        ]


def measure(pages: list[tuple[str, str]], gold: dict[str, dict], rounds: int) -> dict[tuple[str, str], Tally]:
    """Return the tally of each (extractor, "all" or language)."""
    for extract in EXTRACTORS.values():
        extract(pages[0][1])  # what is loaded once is not a page's time
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for url, html in pages:
        entry = gold[url]
        for name, extract in EXTRACTORS.items():
            seconds, text = float("inf"), ""
            for _ in range(rounds):
                start = time.process_time()
                text = extract(html)
                seconds = min(seconds, time.process_time() - start)
            folded = " ".join(text.split())
            kept = [" ".join(snippet.split()) in folded for snippet in entry["must_contain"]]
            extra = sum(" ".join(snippet.split()) in folded for snippet in entry["must_not_contain"])
            for tally in (tallies[name, "all"], tallies[name, entry["lang"]]):
                tally.found += sum(kept)
                tally.missed += len(kept) - sum(kept)
                tally.extra += extra
                tally.cpu_s += seconds
    return tallies


if __name__ == "__main__":
    main()
