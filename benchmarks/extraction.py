"""Main text: what is found of real pages and how fast, beside trafilatura with its defaults, in one run.

    PYTHONPATH=. python benchmarks/extraction.py PAGES.warc.gz GOLD.jsonl [MORE.warc.gz MORE_GOLD.jsonl ...] [--choices]

A GOLD.jsonl has a line a page of its archive: its url, and either must_contain and must_not_contain (lists of
snippets), or body (the whole main text). A snippet counts as found when it stands in the extracted text with white
space folded; precision and recall are those of all snippets. A body is compared by 4-word shingles; precision and
recall are means over the pages. The page is handed to each extractor decoded; the extractors take turns page by page,
so a busy machine slows all of them alike, and CPU seconds are counted, on one core.

A third of each gold, by a hash of the URL, is put aside: what is extracted was chosen on the others alone. --choices
prints what was tried, on those alone. Printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import logging
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from spelangy_model.rng import stable_hash
from spelangy_model.text.archive_records import Record, read_records
from spelangy_model.text.extract import ExtractionRules, extract_text
from spelangy_model.text.html_pages import decode_html
from spelangy_model.text.http_body import decode_body, parse_response

_MAX_BYTES = 32 * 2**20


def is_put_aside(url: str) -> bool:
    """Tell whether a page belongs to the third on which nothing was chosen."""
    return int(stable_hash("main text, set aside", url), 16) % 3 == 0


@dataclass
class Tally:
    """What one extractor found of a set of pages, and its CPU seconds."""

    found: int = 0
    missed: int = 0
    extra: int = 0
    precisions: list[float] = field(default_factory=list)  # of each page whose whole text is known
    recalls: list[float] = field(default_factory=list)
    cpu_s: float = 0.0
    pages: int = 0

    @property
    def precision(self) -> float:
        return mean(self.precisions) if self.precisions else self.found / max(1, self.found + self.extra)

    @property
    def recall(self) -> float:
        return mean(self.recalls) if self.recalls else self.found / max(1, self.found + self.missed)

    @property
    def f1(self) -> float:
        return 2 * self.precision * self.recall / max(1e-9, self.precision + self.recall)

    def add(self, text: str, entry: dict[str, Any], cpu_s: float) -> None:
        """Count what an extracted text has of what a line of gold says."""
        self.pages, self.cpu_s = self.pages + 1, self.cpu_s + cpu_s
        if "body" in entry:
            wanted, given = shingles(entry["body"]), shingles(text)
            both = (wanted & given).total()
            self.precisions.append(both / given.total() if given else float(not wanted))
            self.recalls.append(both / wanted.total() if wanted else 1.0)
            return
        folded = " ".join(text.split())
        kept = [" ".join(snippet.split()) in folded for snippet in entry["must_contain"]]
        self.found, self.missed = self.found + sum(kept), self.missed + len(kept) - sum(kept)
        self.extra += sum(" ".join(snippet.split()) in folded for snippet in entry["must_not_contain"])


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def shingles(text: str) -> Counter[tuple[str, ...]]:
    """Return the runs of four words of a text; its words when it has fewer."""
    words = re.findall(r"\w+", text)
    return Counter(tuple(words[start : start + 4]) for start in range(max(1, len(words) - 3)) if words)


def trafilatura_text(html: str, **options: Any) -> str:
    import trafilatura

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)
    return trafilatura.extract(html, **options) or ""


def resiliparse_text(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True, links=False, alt_texts=False)


Extractor = Callable[[str], str]
EXTRACTORS: dict[str, Extractor] = {
    "SpeLangy": extract_text,
    "trafilatura, defaults": trafilatura_text,
    "resiliparse, main_content": resiliparse_text,
}
# what was tried on the pages that are not put aside; the first was taken
CHOICES: dict[str, Extractor] = {
    "precise, below 500 characters balanced": extract_text,
    "trafilatura, defaults": trafilatura_text,
    "balanced, no comments": partial(trafilatura_text, include_comments=False),
    "precise, no comments": partial(trafilatura_text, include_comments=False, favor_precision=True),
    "recall, no comments": partial(trafilatura_text, include_comments=False, favor_recall=True),
    "fast, no comments": partial(trafilatura_text, include_comments=False, fast=True),
    "balanced, no comments, deduplicate": partial(trafilatura_text, include_comments=False, deduplicate=True),
    "balanced, no comments, no tables": partial(trafilatura_text, include_comments=False, include_tables=False),
    "precise, below 250 characters balanced": partial(extract_text, rules=ExtractionRules(min_precise_characters=250)),
    "precise, below 1000 characters balanced": partial(
        extract_text, rules=ExtractionRules(min_precise_characters=1000)
    ),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+", metavar="ARCHIVE GOLD")
    parser.add_argument("--choices", action="store_true", help="what was tried, on the pages that are not put aside")
    parser.add_argument("--rounds", type=int, default=1, help="how often each page is extracted; the best time counts")
    chosen = parser.parse_args()
    if len(chosen.files) % 2:
        parser.error("name an archive and its gold, in turns")
    extractors = CHOICES if chosen.choices else EXTRACTORS
    parts = ("rest",) if chosen.choices else ("all", "rest", "aside")
    print("| pages | part | count | extractor | precision | recall | F1 | pages/s |\n|---|---|---|---|---|---|---|---|")
    for archive, gold_file in zip(chosen.files[::2], chosen.files[1::2], strict=True):
        gold = read_gold(gold_file)
        pages = [(url, html) for url, html in read_pages(archive) if url in gold]
        if chosen.choices:
            pages = [(url, html) for url, html in pages if not is_put_aside(url)]
        tallies = measure(pages, gold, chosen.rounds, tuple(extractors))
        for part in parts:
            for name in extractors:
                tally = tallies[name, part]
                print(
                    f"| {archive.name.partition('.')[0]} | {part} | {tally.pages} | {name} | {tally.precision:.3f} | "
                    f"{tally.recall:.3f} | {tally.f1:.3f} | {tally.pages / max(1e-9, tally.cpu_s):.0f} |",
                    flush=True,
                )


def read_gold(path: Path) -> dict[str, dict[str, Any]]:
    """Return the lines of a gold file by URL."""
    return {entry["url"]: entry for entry in map(json.loads, path.read_text("utf-8").splitlines())}


def read_pages(archive: Path) -> list[tuple[str, str]]:
    """Return (URL, decoded HTML) of every response, also of those that the stage would refuse."""
    pages = []
    with archive.open("rb") as stream:
        for record in read_records(stream, _MAX_BYTES):
            if isinstance(record, Record) and record.get("warc-type") == "response":
                response = parse_response(record.block)
                html, _ = decode_html(decode_body(response, _MAX_BYTES), response.charset)
                pages.append((record.get("warc-target-uri"), html))
    return pages


def measure(
    pages: list[tuple[str, str]], gold: dict[str, dict[str, Any]], rounds: int, names: tuple[str, ...]
) -> dict[tuple[str, str], Tally]:
    """Return the tally of each (extractor, part): all pages, those put aside, the rest."""
    extractors = {name: (EXTRACTORS | CHOICES)[name] for name in names}
    for extract in extractors.values():
        extract(pages[0][1])  # what is loaded once is not a page's time
    tallies: dict[tuple[str, str], Tally] = defaultdict(Tally)
    for url, html in pages:
        for name, extract in extractors.items():
            seconds, text = float("inf"), ""
            for _ in range(rounds):
                start = time.process_time()
                text = extract(html)
                seconds = min(seconds, time.process_time() - start)
            for part in ("all", "aside" if is_put_aside(url) else "rest"):
                tallies[name, part].add(text, gold[url], seconds)
    return tallies


if __name__ == "__main__":
    main()
