"""Krist: the text of a knowledge-rich page as sentences to be spoken.

Put here: the light rewriting for listening by rules (the offline default), the check that facts survive any
rewriting, the cut into lines. Do not put here: extraction (extract), a language model's rewriting (its prompt
is in prompts/), voices, or the spoken form of numbers (spoken). `Line.text` stays written language: only what no voice
can speak is rewritten (references, addresses, table and list marks).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from spelangy_model.records import Line, Script, TextDocument
from spelangy_model.rng import stable_hash
from spelangy_model.text.normalize import normalize
from spelangy_model.text.sentences import cut_at_clauses, split_sentences
from spelangy_model.text.spans import find_in_order


@dataclass(frozen=True, slots=True)
class KristRules:
    """Bounds of a Krist document; words are those of `text.normalize`."""

    min_sentences: int = 3
    max_sentences: int = 64  # a longer page becomes several scripts
    max_restated_share: float = 1.0
    """A page with a larger share of numbers and names that an earlier line has already, is dropped as restates_facts.
    Reading such a page teaches a model to copy, not to understand speech."""
    max_sentence_words: ClassVar[int] = 40  # a longer sentence is cut at its clauses
    min_fact_share: ClassVar[float] = 0.95


_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>()\[\]]+[^\s<>()\[\].,;:!?'\"]", re.IGNORECASE)
_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,8}\b")
_REFERENCE = re.compile(
    r"\s?(?:\[(?:\d{1,3}(?:\s?[,\u2013-]\s?\d{1,3})*|[a-z]|note \d+|citation needed|edit|update)\]|\((?:see"
    r"|cf\.?) [^()]{1,60}\)"
    r"|\((?:pictured|listen|image|photo)[^()]{0,30}\))",
    re.IGNORECASE,
)
_BULLET = re.compile(r"^(?:[-*\u2022\u25aa\u25cf\u2013]\s+|#{1,6}\s+)")
_SPACES = re.compile(r"\s+")
_SPACE_BEFORE_MARK = re.compile(r"\s+([,.;:!?)])")
_EMPTY_BRACKETS = re.compile(r"\s?[(\[]\s*[)\]]")


def rewrite_for_listening(text: str) -> str:
    """Return a text (extract's written form) in which every line can be spoken: a rule-based, light rewriting.

    References, addresses and list marks are removed; a table row becomes a sentence ("Home: France."); a heading or
    list item without an end mark gets a full stop. Words, numbers and their order are kept.
    """
    return "\n".join(line for line in map(_sayable, text.splitlines()) if line)


def _sayable(line: str) -> str:
    line = _EMAIL.sub("", _URL.sub("", _REFERENCE.sub("", line)))
    cells = [cell.strip() for cell in line.split(" | ") if cell.strip()]
    if len(cells) > 1:
        line = f"{cells[0]}: {', '.join(cells[1:])}"
    line = _SPACES.sub(" ", _EMPTY_BRACKETS.sub("", _BULLET.sub("", line.strip())))
    line = _SPACE_BEFORE_MARK.sub(r"\1", line).strip()
    if not any(character.isalnum() for character in line):
        return ""
    return line if line[-1] in ".!?:;\"\u201d'\u2019)\u2026" else f"{line}."


def facts_of(text: str) -> Counter[str]:
    """Return the facts that a rewriting must keep, with their counts: numbers, and names (capitalized inside a line).

    A word that begins a line or follows an end mark may be capitalized for that alone and counts only as a number.
    """
    facts: Counter[str] = Counter()
    text = _EMAIL.sub(" ", _URL.sub(" ", _REFERENCE.sub(" ", text)))
    for number in re.findall(r"\d+(?:[.,]\d+)*", text):
        facts[number.rstrip(".,")] += 1
    for name in re.findall(r"(?<=[\w,;)] )[A-Z][\w'\u2019-]*\w", text):
        facts[normalize(name)] += 1
    return facts


def lost_facts(source: str, rewritten: str) -> tuple[int, list[str]]:
    """Return how many distinct facts a source has, and those of them that are missing in the rewritten text."""
    facts = [fact for fact in facts_of(source) if fact]
    numbers = {number.rstrip(".,") for number in re.findall(r"\d+(?:[.,]\d+)*", rewritten)}
    words = f" {normalize(rewritten)} "
    return len(facts), [fact for fact in facts if fact not in numbers and f" {normalize(fact)} " not in words]


def surviving_facts(source: str, scripts: list[Script]) -> tuple[int, int]:
    """Return how many distinct facts a source has, and how many of them are missing in the lines of its scripts."""
    facts, lost = lost_facts(source, "\n".join(line.text for script in scripts for line in script.lines))
    return facts, len(lost)


def restated_facts(lines: Sequence[Line], title: str) -> tuple[int, int]:
    """Return how many numbers and names lines state, and how many of these an earlier line has; the title's own, which
    name the subject, do not count."""
    stated = restated = 0
    subject = set(normalize(title).split())
    before: set[str] = set()
    for line in lines:
        facts = [fact for fact in facts_of(line.text) if fact and fact not in subject]
        stated += len(facts)
        restated += sum(fact in before for fact in facts)
        before.update(facts, normalize(line.text).split())
    return stated, restated


def script_lines(text: str, rules: KristRules) -> list[Line]:
    """Return the sentences of a rewritten text as lines; a sentence that repeats the one before it is left out."""
    from spelangy_model.text.spoken import spoken_form

    lines: list[Line] = []
    previous = ""
    for sentence in split_sentences(text):
        for piece in cut_at_clauses(sentence, rules.max_sentence_words):
            plain = normalize(piece)
            if plain and plain != previous:
                lines.append(Line("sentence", piece, spoken_form(piece)))
                previous = plain
    return [line for line in lines if line.spoken_text.strip()]


def write_scripts(document: TextDocument, rewritten: str, rules: KristRules) -> list[Script] | str:
    """Return the scripts of a document, in order, or the reason why there are none.

    Reasons: facts_lost, too_few_sentences, restates_facts.
    """
    lines = script_lines(rewritten, rules)
    facts, lost = lost_facts(document.text, "\n".join(line.text for line in lines))
    if facts and 1 - len(lost) / facts < rules.min_fact_share:
        return "facts_lost"
    if len(lines) < rules.min_sentences:
        return "too_few_sentences"
    stated, restated = restated_facts(lines, document.title)
    if restated > rules.max_restated_share * stated:
        return "restates_facts"
    spans = find_in_order(document.text, [line.text for line in lines])
    lines = [replace(line, start=start, end=end) for line, (start, end) in zip(lines, spans, strict=True)]
    parts = -(-len(lines) // rules.max_sentences)
    size = -(-len(lines) // parts)  # parts of nearly equal length, so that no last one is a single sentence
    return [
        Script(
            document_id=stable_hash("krist", document.document_id, part),
            page_id=document.page_id,
            url=document.url,
            licence=document.licence,
            title=document.title,
            lines=lines[part * size : (part + 1) * size],
            evidence=document.text
            if parts == 1
            else "\n".join(line.text for line in lines[part * size : (part + 1) * size]),
            robots=document.robots,
        )
        for part in range(parts)
    ]
