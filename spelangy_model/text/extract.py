"""The main text of a page: what its author wrote, without menus, teasers, forms and notices.

Put here: turning HTML into blocks, deciding which blocks are content, writing them as text that keeps headings,
lists, tables and questions with their answers. Do not put here: sentences (sentences, krist) or questions
(questions). Two steps, each for what it is good at: resiliparse (Lexbor, in C) renders the page without the
elements whose names say that they are furniture; then rules over blocks in the manner of jusText (link density,
length, neighbours, the phrases that every site prints) take out what is left. Written form: a line a block,
`# ` before headings (as many as its level), `- ` before list items, ` | ` between table cells.
"""

from __future__ import annotations

import html as html_entities
import re
from dataclasses import dataclass

# CSS selectors of furniture. A name is matched anywhere in class or id only where sites use it for nothing else
# (each one was tried alone on real pages: it may cost no wanted text); ambiguous ones are matched as whole words.
_ELEMENTS = (
    "nav", "footer", "aside", "form", "button", "iframe", "noscript", "template", "dialog", "select", "svg",
    "script", "style",
    "[role=navigation]", "[role=complementary]", "[role=contentinfo]", "[role=search]", "[role=dialog]",
    "[role=menu]",
    "[role=banner]", "[role=alert]", "[aria-hidden=true]", "[hidden]", "[itemprop=author]", "[rel=author]",
)  # fmt: skip
_NAME_PARTS = (
    "comment", "newsletter", "subscri", "related", "sharing", "social", "breadcrumb", "cookie", "consent",
    "promo", "advert",
    "author-bio", "author-box", "author-info", "about-author", "about-the-author", "byline", "disclaimer",
    "copyright",
    "pagination", "recommended", "readnext", "read-next", "more-stories", "most-popular", "trending", "outbrain",
    "signup",
    "masthead", "jp-post-flair", "disqus", "respond", "tag-list", "taglist", "post-meta", "entry-meta",
    "postmeta", "menu",
    "site-footer", "page-footer", "entry-footer", "site-header",
)  # fmt: skip
_NAMES = (
    "sidebar",
    "widget",
    "footer",
    "share",
    "tags",
    "author",
    "ad",
    "ads",
    "meta",
    "navbar",
    "navigation",
    "popup",
)
_SELECTORS = [
    *_ELEMENTS,
    *(f'[{attribute}*="{part}" i]' for part in _NAME_PARTS for attribute in ("class", "id")),
    *(f'[class~="{name}" i]' for name in _NAMES),
    *(f'[id="{name}" i]' for name in _NAMES),
]
# The frames of a page list in their class what the page has elsewhere ("has-sidebar", "comments-open"): unnamed first.
_FRAME_TAG = re.compile(r"<(html|body|main|article)\b[^<>]{0,5000}>", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Block:
    """One line of a page: a heading (`level` 1 to 6), a list item, a table row or a paragraph."""

    kind: str  # heading, item, row, paragraph, code
    text: str
    level: int = 0
    link_share: float = 0.0  # characters inside links / characters


@dataclass(frozen=True, slots=True)
class ExtractionRules:
    """Thresholds of the block rules (jusText's idea; the values were chosen on 130 real pages with gold snippets)."""

    max_link_share: float = 0.5
    max_link_share_short: float = 0.3
    short_characters: int = 80
    prose_characters: int = 12
    good_characters: int = 140
    min_main_characters: int = 250
    misled_factor: int = 3


def extract_text(html: str, rules: ExtractionRules | None = None) -> str:
    """Return the main text of an HTML page in the written form above; empty when the page has none.

    Never raises on malformed HTML: what Lexbor cannot make sense of is not there.
    """
    return render(main_blocks(html, rules or ExtractionRules()))


def main_blocks(html: str, rules: ExtractionRules) -> list[Block]:
    """Return the blocks of the main text, in the order of the page."""
    from resiliparse.extract.html2text import extract_plain_text

    html = _FRAME_TAG.sub(r"<\1>", html)

    def attempt(skipped: list[str]) -> list[Block]:
        markup = extract_plain_text(
            html, preserve_formatting="minimal_html", links=True, alt_texts=False, skip_elements=skipped
        )
        return classify(parse_blocks(markup), rules)

    found = attempt(_SELECTORS)
    if _characters(found) >= rules.min_main_characters:
        return found
    # a theme that calls its very content "widget" or "comment": the names mislead, the elements do not
    other = attempt(list(_ELEMENTS))
    return other if _characters(other) > rules.misled_factor * _characters(found) else found


def _characters(blocks: list[Block]) -> int:
    return sum(len(block.text) for block in blocks)


_LINK_OPEN, _LINK_CLOSE = "\x02", "\x03"
_TAG = re.compile(r"<(/?)(h[1-6]|p|li|ul|ol|pre)>")
_LINKED = re.compile(f"{_LINK_OPEN}([^{_LINK_CLOSE}]*)")
_SPACES = re.compile(r"\s+")


def parse_blocks(markup: str) -> list[Block]:
    """Return the blocks of resiliparse's minimal HTML: the content of a block tag, or a line outside of any."""
    markup = re.sub(r"<a\b[^>]*>", _LINK_OPEN, markup).replace("</a>", _LINK_CLOSE).replace("<br>", "")
    blocks: list[Block] = []
    kind, level, position = "line", 0, 0
    for match in _TAG.finditer(markup):
        _close_block(blocks, kind, level, markup[position : match.start()])
        position = match.end()
        closing, tag = match.groups()
        kind, level = "line", 0
        if not closing:
            kind = {"h": "heading", "l": "item"}.get(tag[0]) or {"p": "paragraph", "pre": "code"}.get(tag, "line")
            level = int(tag[1]) if kind == "heading" else 0
    _close_block(blocks, kind, level, markup[position:])
    return blocks


def _close_block(blocks: list[Block], kind: str, level: int, raw: str) -> None:
    if not raw or raw.isspace():
        return
    # what stands in a tag is one block (its line breaks are layout); outside of tags a line is a block
    for line in raw.split("\n") if kind in ("line", "code") else (raw,):
        is_row = kind == "line" and "\t\t" in line.strip()
        plain = line.replace(_LINK_OPEN, "").replace(_LINK_CLOSE, "")
        if is_row:
            text = " | ".join(cell for cell in (_SPACES.sub(" ", cell).strip() for cell in plain.split("\t\t")) if cell)
        else:
            text = _SPACES.sub(" ", plain).strip()
        if not text:
            continue
        linked = sum(len(part) for part in _LINKED.findall(line))
        name = "row" if is_row else "paragraph" if kind == "line" else kind
        blocks.append(Block(name, html_entities.unescape(text), level, min(1.0, linked / len(text))))


# Lines that sites print about themselves. A tail marker at the head of a short block ends the content where only
# teasers follow; a notice is left out wherever it stands. English and German, the languages of the pages tried.
_TAIL = re.compile(
    r"(?:related (?:stories|articles|posts|content|topics|news|links)|more (?:stories|articles|from|on this"
    r"|like this)|read (?:more|next|also)\b"
    r"|you (?:may|might) also|recommended|(?:leave|post|write|add|submit) (?:a|your) (?:comment|reply|response)"
    r"|\d* ?comments?\b|post your comments"
    r"|explore further|most (?:read|popular|viewed|shared)|trending|latest (?:news|posts|stories)|popular posts"
    r"|about the author|about us\b"
    r"|share this|follow us|sign up|subscribe|newsletter|join our|further reading:?$|editors'? (?:picks"
    r"|recommendations)|in other news"
    r"|auch interessant|das könnte|mehr zum thema|kommentar|schreibe einen|ähnliche|weitere (?:artikel|beiträge"
    r"|themen|news)|nächster artikel"
    r"|verwandte|lesen sie auch|über den autor|teilen|nos siga|leia (?:mais|também)|lire aussi|à lire|leer más"
    r"|te puede interesar)",
    re.IGNORECASE,
)
_NOTICE = re.compile(
    r"(?:advertisement|anzeige|werbung|publicidade|publicité|sponsored|story continues|continue reading|skip to"
    r"|back to top|loading|print(?: this)?|reply"
    r"|share(?: on| this|$)|tweet|facebook|twitter|email this|by signing|subscribe|already a subscriber"
    r"|first-time subscriber|sign (?:up|in)|log ?in\b|please log"
    r"|join our|get (?:the most|regular updates)|never miss|missing out|stay up|follow us|thank you for"
    r"|thanks for (?:reading|signing)|we use cookies|this (?:site|website) uses"
    r"|copyright|©|all rights reserved|terms (?:of|and|&)|privacy|your email|required fields|unable to edit"
    r"|feedback to|the content is provided"
    r"|read the latest|view (?:our )?latest|filed under|tagged|posted (?:by|in|on)|published (?:by|in|on)"
    r"|updated?:|last (?:updated|modified)|by [A-Z][\w.-]+ [A-Z][\w.-]+$"
    r"|advertising disclosure|note: the advertising|disclaimer|der beitrag wurde|veröffentlicht (?:von|am)"
    r"|to view the full story"
    r"|this post contains references|we recommend the best products|we may receive|photo(?: by| credit|:)"
    r"|image(?: by| credit|:)|getty images|\d+ (?:minutes?|min) read|\d+ minutes? - )",
    re.IGNORECASE,
)
_BIO = re.compile(
    r"^(?:[A-Z][\w.'-]+ ){1,4}(?:is|was|ist) (?:a|an|the|our|\w+'s|\w+’s) [^.]{0,60}\b(?:writer|reporter|editor"
    r"|journalist|correspondent|author|blogger|expert|columnist|contributor)\b"
)
_LETTER = re.compile(r"[^\W\d_]")


def classify(blocks: list[Block], rules: ExtractionRules) -> list[Block]:
    """Return the blocks that are content.

    A block is good (long, few links, ends like prose), bad (links, notices) or open; an open one takes the side of
    its neighbours, and the content ends at a tail marker after which no more prose follows than stands before it.
    """
    marks = [_mark(block, rules) for block in blocks]
    good = [index for index, mark in enumerate(marks) if mark == "good"]
    if not good:
        return []
    first, last = good[0], good[-1]
    while first > 0 and marks[first - 1] == "open" and blocks[first - 1].kind in ("heading", "row"):
        first -= 1
    total = sum(len(blocks[index].text) for index in good)
    before = 0
    for index in range(first, last + 1):
        if marks[index] == "tail" and before > 0.5 * total:
            last = max(position for position in good if position < index)
            break
        before += len(blocks[index].text) if marks[index] == "good" else 0
    return [blocks[index] for index in range(first, last + 1) if marks[index] in ("good", "open")]


def _mark(block: Block, rules: ExtractionRules) -> str:
    text = block.text
    short = len(text) < rules.short_characters
    if short and _TAIL.match(text):
        return "tail"
    if (_NOTICE.match(text) and len(text) < 400) or _BIO.match(text):
        return "bad"
    if block.link_share > (rules.max_link_share_short if short else rules.max_link_share):
        return "bad"
    if not _LETTER.search(text):
        return "bad" if block.kind != "row" else "open"
    if len(text) >= rules.good_characters and block.kind != "row":
        return "good"
    if len(text) >= rules.prose_characters and text[-1] in '.!?:"”’)' and block.kind in ("paragraph", "item"):
        return "good"
    return "open"


def render(blocks: list[Block]) -> str:
    """Return the blocks as text: a line a block, headings after an empty line."""
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
