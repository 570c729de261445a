"""The main text of a page: the author's text, without menus, teasers, forms, comments and notices.

Put here: bounded calls of trafilatura for the main text, and its structure as text that keeps headings, lists and
tables. Do not put here: sentences (sentences, krist) or questions (questions). Written form: a line for each block, `#
` before headings (as many as its level), `- ` before list items, ` | ` between table cells.
"""

from __future__ import annotations

import html as html_entities
import logging
import re
from dataclasses import dataclass
from typing import Any, ClassVar

from spelangy_model.text.html_pages import is_nested_deeper


@dataclass(frozen=True, slots=True)
class Block:
    """One line of a page: a heading (`level` 1 to 6), a list item, a table row, a paragraph or a line of code."""

    kind: str  # heading, item, row, paragraph, code
    text: str
    level: int = 0


@dataclass(frozen=True, slots=True)
class ExtractionRules:
    """The choice of a page's main text, and of pages.

    Trafilatura's precise mode is tried first. If it finds less than `min_precise_characters`, the result of its
    balanced mode is used if it is `misled_factor` times as long. A page of more than `max_compared_elements` is not
    compared with what jusText and readability find, whose time grows with the square. A page of more elements or a
    deeper nesting than real ones have is not given to trafilatura: its text, and that of a large page in which
    trafilatura finds little, is what resiliparse takes for the main part, without structure, or, when the page nests
    deeper than `max_depth`, nothing.
    """

    min_precise_characters: int = 500
    misled_factor: ClassVar[float] = 1.5
    max_compared_elements: ClassVar[int] = 12_000
    max_elements: int = 30_000
    max_depth: ClassVar[int] = 128


def extract_text(html: str, rules: ExtractionRules | None = None) -> str:
    """Return the main text of an HTML page in the written form above; empty when the page has none.

    Never raises on malformed HTML: parts that libxml2 cannot parse are missing.
    """
    return render(main_blocks(html, rules or ExtractionRules()))


def main_blocks(html: str, rules: ExtractionRules) -> list[Block]:
    """Return the blocks of the main text, in the order of the page."""
    tree = _parsed(html)
    elements = 0 if tree is None else _elements(tree, rules)
    if not elements:
        return _plain_blocks(html, rules.max_depth)
    is_fast = elements > rules.max_compared_elements
    found = _trafilatura_blocks(tree, is_precise=True, is_fast=is_fast)
    if _characters(found) >= rules.min_precise_characters:
        return found
    balanced = _trafilatura_blocks(tree, is_precise=False, is_fast=is_fast)
    if _characters(balanced) > rules.misled_factor * _characters(found):
        found = balanced
    if is_fast and _characters(found) < rules.min_precise_characters:
        return _plain_blocks(html, rules.max_depth)
    return found


def _characters(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks)


def _parsed(html: str) -> Any:
    """Return libxml2's tree of a page; None if it cannot parse it."""
    from trafilatura.utils import load_html

    logging.getLogger("trafilatura").setLevel(logging.CRITICAL)  # a line about each page without text: the stage counts
    return load_html(html) if html.strip() else None


def _elements(tree: Any, rules: ExtractionRules) -> int:
    """Return how many elements a tree has; 0 when they are too many or nest too deeply."""
    from lxml.etree import iterwalk

    elements = depth = 0
    for event, _ in iterwalk(tree, events=("start", "end")):
        if event == "start":
            elements += 1
            depth += 1
            if depth > rules.max_depth or elements > rules.max_elements:
                return 0
        else:
            depth -= 1
    return elements


def _trafilatura_blocks(tree: Any, *, is_precise: bool, is_fast: bool = False) -> list[Block]:
    from trafilatura import bare_extraction

    document: Any = bare_extraction(tree, favor_precision=is_precise, include_comments=False, fast=is_fast)
    return [] if document is None else _without_labels(_without_infobox_name(_blocks_of(document.body)))


_SPACES = re.compile(r"\s+")
_INLINE = frozenset({"hi", "ref", "del", "graphic"})
_NESTED = ("head", "list", "table", "quote", "code")  # in a cell, they mark a table as layout
_MIN_PROSE_CHARACTERS = 12
_ENDS = tuple(".!?:;\"\u201d'\u2019)\u2026")


def _blocks_of(body: Any) -> list[Block]:
    """Return the blocks of trafilatura's tree."""
    blocks: list[Block] = []
    line: list[str] = []

    def close(kind: str, level: int) -> None:
        raw = "".join(line)
        line.clear()
        for part in raw.splitlines() if kind == "code" else (raw,):
            text = _SPACES.sub(" ", part).strip()
            if text:
                blocks.append(Block(kind, text, level))

    def walk(element: Any, kind: str, level: int) -> None:
        line.append(element.text or "")
        for child in element:
            tag = child.tag if isinstance(child.tag, str) else ""
            if tag in _INLINE or (tag == "code" and kind != "code" and element.tag in ("p", "item", "head", "cell")):
                walk(child, kind, level)
            elif tag == "lb":
                # a layout break is inside a sentence
                if "".join(line[-2:]).rstrip().endswith(_ENDS):
                    close(kind, level)
                else:
                    line.append(" ")
            elif tag == "row" and (cells := _cells(child)) is not None:
                close(kind, level)
                line.append(" | ".join(cells))
                close("row" if len(cells) > 1 else "paragraph", 0)
            elif tag:
                close(kind, level)
                inner, inner_level = _kind(child, kind, level)
                walk(child, inner, inner_level)
                close(inner, inner_level)
            line.append(child.tail or "")

    walk(body, "paragraph", 0)
    close("paragraph", 0)
    return blocks


def _kind(element: Any, kind: str, level: int) -> tuple[str, int]:
    match element.tag:
        case "head":
            digit = (element.get("rend") or "")[1:2]
            return "heading", int(digit) if digit.isdigit() and digit != "0" else 2
        case "item":
            is_definition = (element.get("rend") or "").startswith(("dt", "dd"))
            return "paragraph" if is_definition else "item", 0
        case "code":
            return "code", 0
        case "list" | "table" | "row" | "cell" | "quote" | "body":
            return "paragraph", 0
        case _:
            return kind, level


def _cells(row: Any) -> list[str] | None:
    """Return the texts of a row's cells that have one; None when the row is layout, not data."""
    if row.find(".//table") is not None or any(len(cell.findall(".//p")) > 1 for cell in row):
        return None
    if any(row.find(f".//{tag}") is not None for tag in _NESTED):
        return None
    texts = (_SPACES.sub(" ", " ".join(cell.itertext())).strip() for cell in row)
    return [text for text in texts if text]


def _without_infobox_name(blocks: list[Block]) -> list[Block]:
    """Leave out a heading that the caption of the table below it repeats, with the caption: it is the page's title."""
    kept: list[Block] = []
    at = 0
    while at < len(blocks):
        here, following = blocks[at], [block.text for block in blocks[at + 1 : at + 2]]
        is_name = here.kind == "heading" and following == [here.text] and blocks[at + 2 : at + 3]
        if is_name and blocks[at + 2].kind == "row":
            at += 2
            continue
        kept.append(here)
        at += 1
    return kept


def _without_labels(blocks: list[Block]) -> list[Block]:
    """Leave out last lines that are not prose: headings, and short lines such as buttons and tags."""
    end = len(blocks)
    while end and (
        blocks[end - 1].kind == "heading"
        or (blocks[end - 1].kind in ("paragraph", "item") and len(blocks[end - 1].text) < _MIN_PROSE_CHARACTERS)
    ):
        end -= 1
    return blocks[:end]


def _plain_blocks(html: str, max_depth: int) -> list[Block]:
    from resiliparse.extract.html2text import extract_plain_text

    if is_nested_deeper(html, max_depth):
        return []
    text = extract_plain_text(html, main_content=True, alt_texts=False, list_bullets=False)
    lines = (_SPACES.sub(" ", line).strip() for line in text.splitlines())
    return _without_labels([Block("paragraph", line) for line in lines if line])


def render(blocks: list[Block]) -> str:
    """Return the blocks as text: a line for each block, headings after an empty line."""
    lines: list[str] = []
    for block in blocks:
        if block.kind == "heading":
            lines += ["", f"{'#' * block.level} {block.text}"]
        else:
            lines.append(f"- {block.text}" if block.kind == "item" else block.text)
    return "\n".join(lines).strip()


_TITLE = re.compile(r"<title\b[^>]{0,500}>([^<]{0,2000})", re.IGNORECASE)


def page_title(html: str) -> str:
    """Return the text of the page's <title>, white space folded; empty when it has none."""
    match = _TITLE.search(html)
    return _SPACES.sub(" ", html_entities.unescape(match[1])).strip() if match else ""
