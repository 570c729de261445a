"""Krist and Quest by rules: do facts survive, are the right questions found.

    PYTHONPATH=. python benchmarks/synthetic_text.py [PAGES.warc.gz GOLD.jsonl]

Quest: the sample's pages, whose questions and planted invalid ones are known (sample_crawl/truth), and what is found in
an archive where one is named. Spoken form: a table of readings, half of it written before the rules. Krist: the
sample's pages and the English pages of an archive where one is named: the distinct numbers and names of each main text
that its Krist lines still say in writing. A page of too few sentences makes no Krist and is counted apart.
"""

from __future__ import annotations

import argparse
import csv
import json
from collections import Counter
from pathlib import Path

import spelangy_assets
from spelangy_model.records import Page, TextDocument
from spelangy_model.text.extract import extract_text
from spelangy_model.text.html_pages import decode_html
from spelangy_model.text.krist import KristRules, rewrite_for_listening, surviving_facts, write_scripts
from spelangy_model.text.normalize import normalize
from spelangy_model.text.questions import QuestRules, mine_page, mine_questions, refuse_question
from spelangy_model.text.spoken import spoken_form
from spelangy_model.text.warc import read_archive

READINGS = Path(__file__).parents[1] / "tests/model/text/spoken_readings.tsv"
CRAWL = Path(spelangy_assets.__file__).parent / "sample" / "snapshots"


def sample_pages() -> dict[str, Page]:
    pages: dict[str, Page] = {}
    for path in sorted((CRAWL / "pages").rglob("*.warc.gz")):
        with path.open("rb") as stream:
            pages |= {item.url: item for item in read_archive(stream, path.name) if isinstance(item, Page)}
    return pages


def print_quest(pages: dict[str, Page], truth: list[dict]) -> None:
    rules, reasons, kept_plants = QuestRules(), Counter[str](), 0
    mined: set[str] = set()
    wanted, planted = (
        {normalize(item["question"]) for entry in truth for item in entry.get(kind, ())}
        for kind in ("questions", "planted")
    )
    for entry in truth:
        if entry["kind"] != "faq":
            continue
        for pair in mine_questions(pages[entry["url"]].html, rules.patterns):
            reason, question = refuse_question(pair, rules), normalize(pair.question)
            if reason is None:
                mined.add(question)
                kept_plants += question in planted
            elif question in planted:
                reasons[reason] += 1
    right, plants = len(mined & wanted), sum(len(entry.get("planted", ())) for entry in truth)
    refused = ", ".join(f"{word} {count}" for word, count in reasons.most_common())
    print(f"## Quest: {sum(entry['kind'] == 'faq' for entry in truth)} FAQ pages of the sample\n")
    print("| asked on the pages | mined | right | precision | recall | planted | planted and kept | refused as |")
    print("|---|---|---|---|---|---|---|---|")
    print(
        f"| {len(wanted)} | {len(mined)} | {right} | {right / max(1, len(mined)):.3f} | {right / len(wanted):.3f} | "
        f"{plants} | {kept_plants} | {refused} |"
    )


def print_quest_of_archive(name: str, htmls: list[str]) -> None:
    """Print what an archive's pages ask, by where it was found, and what was refused."""
    rules, kept, refused, pages = QuestRules(), Counter[str](), Counter[str](), 0
    for html in htmls:
        mined = mine_page(html, rules.patterns)
        reasons = [refuse_question(pair, rules) for pair in mined.questions]
        kept.update(pair.pattern for pair, reason in zip(mined.questions, reasons, strict=True) if reason is None)
        refused.update(reason for reason in reasons if reason is not None)
        refused.update(mined.reasons)
        pages += None in reasons
    print(f"\n## Quest: {name}\n")
    print("| pages | with questions | questions | found as | refused, or without an answer |\n|---|---|---|---|---|")
    found, lost = (", ".join(f"{word} {count}" for word, count in all_.most_common()) for all_ in (kept, refused))
    print(f"| {len(htmls)} | {pages} | {kept.total()} | {found} | {lost} |")


def print_readings() -> None:
    right, total = Counter[str](), Counter[str]()
    with READINGS.open(encoding="utf-8", newline="") as stream:
        for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
            total[row["half"]] += 1
            readings = {normalize(reading) for reading in row["spoken"].split(" || ")}
            right[row["half"]] += normalize(spoken_form(row["written"])) in readings
    print("\n## Spoken form: a table of readings\n\n| half | readings | right |\n|---|---|---|")
    for half, count in total.items():
        print(f"| written {half} the rules | {count} | {right[half]} |")


def print_krist(sets: dict[str, list[str]]) -> None:
    print("\n## Krist: facts of the main text that its lines say\n")
    print("| pages | count | with Krist | facts | lost | kept |\n|---|---|---|---|---|---|")
    for name, htmls in sets.items():
        written = facts = lost = 0
        for html in htmls:
            text = extract_text(html)
            document = TextDocument("", "", "", "", "", text)
            scripts = write_scripts(document, rewrite_for_listening(text), KristRules())
            if not isinstance(scripts, str):
                here, missing = surviving_facts(text, scripts)
                written, facts, lost = written + 1, facts + here, lost + missing
        print(f"| {name} | {len(htmls)} | {written} | {facts} | {lost} | {1 - lost / max(1, facts):.2%} |")


def english_pages(archive: Path, gold: Path) -> list[str]:
    from fastwarc.warc import ArchiveIterator

    languages = {entry["url"]: entry["lang"] for entry in map(json.loads, gold.read_text("utf-8").splitlines())}
    with archive.open("rb") as stream:
        return [
            decode_html(record.reader.read(), record.http_charset or "")[0]
            for record in ArchiveIterator(stream, parse_http=True)
            if languages.get(record.headers["WARC-Target-URI"]) == "en"
        ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("archive", type=Path, nargs="*", help="an archive and its gold file")
    chosen = parser.parse_args()
    pages = sample_pages()
    truth = [json.loads(line) for line in (CRAWL / "truth/pages.jsonl").read_text("utf-8").splitlines()]
    print_quest(pages, truth)
    english = {entry["url"] for entry in truth if entry.get("language") == "en"}
    sets = {"sample, English": [page.html for url, page in pages.items() if url in english]}
    if len(chosen.archive) == 2:
        name = chosen.archive[0].name + ", English"
        sets[name] = english_pages(*chosen.archive)
        print_quest_of_archive(name, sets[name])
    print_readings()
    print_krist(sets)


if __name__ == "__main__":
    main()
