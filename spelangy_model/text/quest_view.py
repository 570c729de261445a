"""Quest's view of a page: its blocks in order, with folded parts, their controls and removed parts.

Put here: the conversion of HTML to blocks of clean text, each with its place in the page. Do not put here: which block
asks and which answers (questions) or the main text of a page (extract): a main text leaves out what is hidden, and the
answers of an FAQ are. What a voice cannot speak is treated by rule: scripts, icons, emoji, permalinks, footnote marks
and "Read more" are left out, a raised digit becomes a power or is dropped as a footnote mark, and a removed block
(script, navigation, form, code, frame, advertisement) is a `gap`: no text before one continues behind it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from spelangy_model.text.spoken import NOTE_MARK

Kind = Literal["heading", "paragraph", "item", "row", "gap"]
Element = Any  # lxml's, which has no types

MAX_DEPTH = 256  # of elements; pages that nest deeper are rejected before they are mined

_HEADINGS = ("h1", "h2", "h3", "h4", "h5", "h6")
_BLOCKS = frozenset(
    """
    address article aside blockquote body caption center dd details dialog div dl dt fieldset figure footer form header
    hgroup hr html legend li main menu nav ol p pre section summary table tbody td tfoot th thead tr ul
    """.split()  # noqa: SIM905
) | frozenset(_HEADINGS)
# Removed without a gap: they show no text, or only an alternative for something else.
_UNSEEN = frozenset(
    "head style template noscript link meta svg math img picture source figcaption wbr title base".split()  # noqa: SIM905
)
# Removed with a gap: the text that follows may belong to the removed content.
_REMOVED = frozenset(
    """
    script nav footer aside form iframe frame object embed video audio canvas select textarea pre table dialog amp-ad
    """.split()  # noqa: SIM905
)
_REMOVED_ROLES = frozenset(
    "navigation complementary contentinfo search dialog menu banner alert".split()  # noqa: SIM905
)
_FURNITURE = re.compile(
    r"comment|newsletter|subscri|related|sharing|social|breadcrumb|cookie|consent|promo|advert|byline|disclaimer"
    r"|author-?(?:bio|box|info)|about-?(?:the-)?author|copyright|pagination|recommended|read-?next|more-stories"
    r"|most-popular|trending|outbrain|taboola|signup|masthead|jp-post-flair|disqus|respond|tag-?list|(?:post|entry)-?meta"
    r"|menu|(?:site|page|entry)-footer|site-header"
    r"|(?<![\w-])(?:sidebar|widget|footer|share|tags|author|ads?|meta|navbar|navigation|popup|modal)(?![\w-])",
    re.IGNORECASE,
)
_CAPTION = re.compile(r"caption|credit|(?<![\w-])(?:image|photo|gallery|slide-)", re.IGNORECASE)
_FOLDING = re.compile(r"accordi[oa]n|faq|toggle|collaps|question|expand", re.IGNORECASE)
_FOLDED_LIST = re.compile(r"tab-?(?:pane|panel|content)|accordi[oa]n|faq|collaps", re.IGNORECASE)
_ICON = re.compile(
    r"(?<![\w-])(?:icons?|material-(?:icons|symbols)[\w-]*|glyphicon|dashicons|fa[srlb]?|sr-only|screen-reader-text"
    r"|visually-hidden|visuallyhidden|headerlink|heading-link|anchor(?:js-link|-link)?|permalink|hash-link"
    r"|mw-editsection|reference|footnote-ref|noteref)(?![\w-])|(?<![\w-])icon-",
    re.IGNORECASE,
)
_PERMALINK = re.compile(r"[#\u00b6\u00a7\U0001f517]|\[?edit\]?|(?:copy )?link")
_READ_MORE = re.compile(
    r"(?:(?:read|learn|see|show|view|find out) (?:more|less|full answer)|continue reading|click here"
    r"|more info(?:rmation)?|(?:back )?to (?:the )?top"
    r"|expand|collapse|open|close|copy(?: link)?|share|print|tweet|edit)"
    r"\W*",
    re.IGNORECASE,
)
_CREDIT = re.compile(
    r"(?:photo|image|picture|illustration|video)s?(?: source| credits?| courtesy| by)?\s?(?::|by |courtesy )", re.I
)
_PICTURE_SIGNS = re.compile(
    "[\U0001f000-\U0001faff\u2600-\u27bf\u2b00-\u2bff\u25a0-\u25ff\ufe0e\ufe0f\u200b\u200d\u2060\ufeff\ue000-\uf8ff"
    "\U000f0000-\U0010ffff]"
)
_HALF_PAIRS = re.compile("[\ud800-\udfff]")  # JSON can spell half a surrogate pair; no file can hold it
_RAISED = str.maketrans(
    "0123456789+-\u2212\u2013n",
    "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207b\u207b\u207f",
)
_POWER = r"[+\-\u2212\u2013]?(?:\d{1,3}|n)"
_NOTE = r"[\[(]?(?:\d{1,3}(?:[,;\u2013-]\s?\d{1,3})*|[a-z]|\*+|\u2020|\u2021|TM|SM|\u2122|\u00ae|)[\])]?"
_UNIT_BEFORE = re.compile(r"(?:(?<![^\W\d_])(?:[a-zA-Z]|[kcmd]?m|mm|ft|in|yd|mi)|[\d)\u03c0])$")


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """One block of a page. `level` is that of a heading, 7 for a paragraph that is bold as a whole; `lead` the bold
    words that it begins with; `hidden` the outermost element around it that the page hides; `cells` those of a row."""

    kind: Kind
    element: Element
    text: str = ""
    level: int = 0
    lead: str = ""
    link_share: float = 0.0
    hidden: Element = None
    cells: tuple[str, ...] = ()


def parse(html: str) -> Element:
    """Return the root of a page's elements, or None when it has none. Never raises on malformed HTML.

    Lexbor makes the tree, as browsers do (libxml2 puts half a page into a table that is not closed); lxml walks it.
    """
    from lxml import etree  # type: ignore[attr-defined]  # it has no types
    from resiliparse.parse.html import HTMLTree

    tree: Any = HTMLTree.parse(_HALF_PAIRS.sub("\ufffd", html))
    if tree.document is None or tree.document.first_element_child is None:
        return None
    data = tree.document.first_element_child.html.encode("utf-8", "replace").replace(b"\x00", b"")
    parser = etree.HTMLParser(encoding="utf-8", huge_tree=True, remove_comments=True, remove_pis=True)
    try:
        return etree.fromstring(data, parser)
    except etree.XMLSyntaxError:
        return None


def clean(text: str) -> str:
    """Return one line of text without what a voice cannot speak: footnote marks, emoji, icons, halves of characters."""
    text = NOTE_MARK.sub("", _PICTURE_SIGNS.sub("", _HALF_PAIRS.sub("\ufffd", text)))
    return " ".join(text.split())


def text_of_markup(markup: str) -> str:
    """Return the clean text of an HTML fragment, as answers in JSON-LD are; doubly escaped text is parsed again."""
    import html as html_entities

    for _ in range(3):
        if "<" not in markup and "&" not in markup:
            return clean(markup)
        if re.search(r"<[a-zA-Z/!]", markup):
            root = parse(f"<body>{markup}</body>")
            text = joined(blocks_of(root, is_content=True)) if root is not None else ""
        else:
            text = html_entities.unescape(markup)
        if text == markup or not re.search(r"<[a-zA-Z/][^<>]*>|&(?:lt|gt|amp|quot|nbsp|#\d+);", text):
            return clean(text)
        markup = text
    return clean(re.sub(r"<[a-zA-Z/][^<>]*>", " ", markup))


def text_of(element: Element) -> str:
    """Return the clean text of one element; its hidden text only if it shows none."""
    blocks = blocks_of(element, is_content=True)
    return joined(block for block in blocks if block.hidden is None) or joined(blocks)


def joined(blocks: Iterable[Block]) -> str:
    """Return the text of blocks up to the first gap behind text: sentences, with the items of a list one after another.

    A block without a final mark gets one, because a voice makes no pause at the end of a line.
    """
    parts: list[str] = []
    headed = False
    for block in blocks:
        if block.kind == "gap":
            if parts and block.element.tag != "script":
                break
            continue
        text = ", ".join(block.cells) if block.cells else block.text
        if not text or _READ_MORE.fullmatch(text) or (len(text) < 200 and _CREDIT.match(text)):
            continue
        if parts and parts[-1][-1].isalnum():
            parts[-1] += ":" if headed else "," if block.kind == "item" and len(parts[-1]) < 60 else "."
        headed = block.level > 0
        parts.append(text)
    return clean(" ".join(parts))


def is_control(element: Element) -> bool:
    """Return whether an element opens and closes another one: a button, a tab, a link that leads nowhere."""
    get = element.get
    if element.tag in ("button", "summary") or get("role") in ("button", "tab"):
        return True
    if any(get(name) is not None for name in ("aria-expanded", "aria-controls", "data-toggle", "data-bs-toggle")):
        return True
    if element.tag == "a":
        address = (get("href") or "#").strip()
        return address in ("#", "") or address.lower().startswith("javascript:")
    return _FOLDING.search(get("class") or "") is not None


def target_of(element: Element) -> str:
    """Return the id of the element that a control or a link on the page names; empty when it names none."""
    for name in ("aria-controls", "data-target", "data-bs-target", "href"):
        value = (element.get(name) or "").strip()
        if value and (name == "aria-controls" or (value.startswith("#") and len(value) > 1)):
            return value.lstrip("#").split()[0] if value.lstrip("#").split() else ""
    return ""


def leads_away(element: Element) -> bool:
    """Return whether an element is a link to another page."""
    address = (element.get("href") or "#").strip()
    return element.tag == "a" and not address.startswith("#") and not address.lower().startswith("javascript:")


def is_hidden(element: Element) -> bool:
    """Return whether a page hides an element by markup; what a style sheet hides is not known here."""
    if element.get("hidden") is not None or element.get("aria-hidden") == "true":
        return True
    style = element.get("style")
    return style is not None and re.search(r"display\s*:\s*none|visibility\s*:\s*hidden", style, re.I) is not None


# --- from elements to blocks ------------------------------------------------------------------------------

_PROSE = ("p", "li", "h2", "div", "td", "span")
_BREAK = "\n\x00"  # a line break inside a block; no page holds a NUL here


def blocks_of(root: Element, is_content: bool = False) -> list[Block]:
    """Return the blocks below an element in the order of the page; `is_content`: nothing in it is furniture.

    Furniture is a gap. An element that holds most of a page's text is content, whatever it is called.
    """
    reader = _Reader(root, is_content)
    reader.read(root, root, None, 0, bold=False, linked=False)
    reader.flush(root, None)
    return reader.blocks


class _Reader:
    """One walk over the elements below a root; inline words are collected up to the edge of the block around them."""

    def __init__(self, root: Element, is_content: bool):
        self.blocks: list[Block] = []
        self._root = root
        self._is_content = is_content
        self._most = 0.0 if is_content else 0.5 * _length(root)
        self._waiting: list[tuple[str, bool]] = []  # words, and whether they are bold
        self._linked = 0

    def read(self, element: Element, owner: Element, hidden: Element, depth: int, *, bold: bool, linked: bool) -> None:
        """Read the content of an element; `owner` is the block around it, `hidden` the outermost hidden one."""
        self._say(element.text, bold, linked)
        if depth > MAX_DEPTH:
            self._say("".join(element.itertext()), bold, linked)
            return
        for child in element:
            self._read_child(child, owner, hidden, depth + 1, bold, linked)
            self._say(child.tail, bold, linked)

    def flush(self, owner: Element, hidden: Element) -> None:
        """Make the collected text a block; a question that ends at a line break is a separate block."""
        waiting, linked = self._waiting, self._linked
        self._waiting, self._linked = [], 0
        raw = "".join(words for words, _ in waiting)
        if not raw or raw.isspace():
            return
        bold = list(itertools.takewhile(lambda part: part[1] or not part[0].strip(), waiting))
        lead = clean("".join(words for words, _ in bold).replace("\x00", ""))
        kind, level = _kind_of(owner, self._root)
        lines = [line for line in (clean(line) for line in raw.split(_BREAK)) if line]
        if len(lines) > 1 and any(_ends_asking(line) for line in lines):
            for line in lines:
                self.blocks.append(Block(kind, owner, line, level or (7 if line == lead else 0), "", 0.0, hidden))
            return
        text = clean(raw.replace("\x00", ""))
        if not text:
            return
        is_lead = lead.rstrip(" .:") == text.rstrip(" .:")
        level = level or (7 if kind == "paragraph" and is_lead else 0)
        self.blocks.append(Block(kind, owner, text, level, "" if is_lead else lead, linked / len(text), hidden))

    def _say(self, words: str | None, bold: bool, linked: bool) -> None:
        if words:
            self._waiting.append((words, bold))
            self._linked += len(words.strip()) if linked else 0

    def _read_child(
        self, child: Element, owner: Element, hidden: Element, depth: int, bold: bool, linked: bool
    ) -> None:
        tag = child.tag
        if tag in _UNSEEN:
            return
        if tag in ("br", "sup"):
            self._say(_BREAK if tag == "br" else self._raised(child), bold, linked)
            return
        name = child.get("class") or ""
        is_block = tag in _BLOCKS or "-" in tag
        if self._is_removed(child):
            if is_block or tag in _REMOVED:
                self.flush(owner, hidden)
                self.blocks.append(Block("gap", child, hidden=hidden))
            return
        here = child if hidden is None and is_hidden(child) else hidden
        if is_block:
            self.flush(owner, hidden)
            if tag in ("figure", "hr") or (_CAPTION.search(name) and _length(child) < 300):
                return
            if tag == "tr" and (cells := _cells_of(child)):
                self.blocks.append(Block("row", child, " | ".join(cells), hidden=here, cells=cells))
                return
            if here is child and _FOLDED_LIST.search(name) and _asks(child):
                here = hidden  # a folded list of questions, not the answer to one
            self.read(child, child, here, depth, bold=False, linked=False)
            self.flush(child, here)
            return
        words = " ".join("".join(child.itertext()).split())
        if here is not hidden or _is_mark(child, words):
            return
        opens = "?" in words and (tag == "button" or is_control(child))
        if opens and _ends_asking(text_of(child)):
            self.flush(owner, hidden)
            self.read(child, child, here, depth, bold=bold, linked=linked)
            self.flush(child, here)
        elif tag != "button":
            self.read(child, owner, here, depth, bold=bold or tag in ("b", "strong"), linked=linked or tag == "a")

    def _raised(self, element: Element) -> str:
        """Return a superscript as text: a power, the end of an ordinal, or nothing for a footnote mark."""
        text = "".join(element.itertext()).strip()
        if text in ("st", "nd", "rd", "th"):
            return text
        if element.find(".//a") is None and element.get("class") is None and re.fullmatch(_POWER, text):
            before = "".join(words for words, _ in self._waiting[-2:])
            return text.translate(_RAISED) if _UNIT_BEFORE.search(before) else ""
        return "" if re.fullmatch(_NOTE, text) else f" {text}"

    def _is_removed(self, element: Element) -> bool:
        tag = element.tag
        if tag == "table":
            return not _is_read(element)
        if tag in _REMOVED:
            return not (tag == "aside" and self._is_content)
        if element.get("role") in _REMOVED_ROLES:
            return True
        name = f"{element.get('class') or ''} {element.get('id') or ''}"
        if self._is_content or tag in ("html", "body", "main", "article") or not _FURNITURE.search(name):
            return False
        if _FAQ.search(name) and not _REPLIES.search(name):
            return False
        return _length(element) <= self._most


_FAQ = re.compile(r"faq|accordi[oa]n", re.IGNORECASE)
_REPLIES = re.compile(r"comment|related|respond", re.IGNORECASE)


def _length(element: Element) -> int:
    return sum(len(text) for text in element.itertext(*_PROSE))


def _ends_asking(words: str) -> bool:
    return words.rstrip(' +-\u2013\u2212\u00d7\u203a\u00bb"\u201d').endswith("?")


def _is_mark(element: Element, words: str) -> bool:
    """Return whether inline words are not part of the text: an icon, a permalink, the mark of a note, "Read more"."""
    tag, name = element.tag, element.get("class")
    if tag in ("a", "i", "span", "em", "small", "button") and name is not None and _ICON.search(name):
        return True
    if tag in ("a", "span", "button") and words:
        return _READ_MORE.fullmatch(words) is not None or (tag == "a" and _PERMALINK.fullmatch(words) is not None)
    return False


def _kind_of(owner: Element, root: Element) -> tuple[Kind, int]:
    """Return the kind and level of the text in an element, from it or an element around it: <h2><button>, <li><p>."""
    element = owner
    for _ in range(3):
        if element is None or element is root:
            break
        if element.tag in _HEADINGS:
            return "heading", int(element.tag[1])
        if element.get("role") == "heading":
            level = element.get("aria-level") or ""
            return "heading", int(level) if level in ("1", "2", "3", "4", "5", "6") else 3
        if element.tag == "li":
            return "item", 0
        element = element.getparent()
    return "paragraph", 0


def _is_read(table: Element) -> bool:
    """Return whether a table is read: one that lays out a page, or one with questions in it."""
    return any(table.find(f".//{tag}") is not None for tag in ("p", "h2", "h3")) or _asks(table)


def _asks(element: Element) -> bool:
    return any("?" in text for text in element.itertext())


def _cells_of(row: Element) -> tuple[str, ...]:
    """Return the texts of the cells of a row; none when the row lays out blocks instead of holding words."""
    cells = [cell for cell in row if cell.tag in ("td", "th")]
    laid_out = any(cell.find(f".//{tag}") is not None for cell in cells for tag in ("table", "div", *_HEADINGS))
    return () if len(cells) < 2 or laid_out else tuple(text_of(cell) for cell in cells)
