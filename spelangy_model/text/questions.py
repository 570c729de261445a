"""Quest: questions that a page asks and answers itself, as scripts to be spoken.

Put here: finding questions with their answers in HTML, the rules that select questions worth learning
from, and the script (question, then rationale and answer). Do not put here: what of a page is read (quest_view), a
language model's judgement (its prompts are in prompts/), voices, or duplicates across pages (the stage knows the other
pages). Patterns, the most explicit first: schema.org FAQPage and QAPage as JSON-LD, the same as microdata or RDFa,
definition lists, <details>, accordions (a control and the panel that it opens), "Q:" and "A:", rows of a table,
headings and lines that are one question before its answer, and questions inside a paragraph that answers them at
once.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, get_args

from spelangy_model.records import Line, Page, Script
from spelangy_model.rng import stable_hash, stable_rng
from spelangy_model.text import quest_view
from spelangy_model.text.json_ld import objects_in, read_json_ld, text_of, types_of
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.quest_view import Block, Element, target_of
from spelangy_model.text.sentences import cut_at_clauses, split_sentences
from spelangy_model.text.spans import NOWHERE, Span, Words

Pattern = Literal[
    "json_ld", "microdata", "definition_list", "details", "accordion", "labelled", "table", "heading", "sentence"
]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)


@dataclass(frozen=True, slots=True)
class QuestRules:
    """The patterns to mine, and the limits of a pair; words are those of `text.normalize`."""

    patterns: tuple[Pattern, ...] = PATTERNS
    min_question_words: ClassVar[int] = 3
    max_question_words: ClassVar[int] = 40
    max_rationale_sentences: ClassVar[int] = 6
    max_answer_words: ClassVar[int] = 40
    max_line_words: ClassVar[int] = 55  # a longer reply becomes several lines, because no voice reads for half a minute
    bridge_share: float = 0.5


@dataclass(frozen=True, slots=True)
class MinedQuestion:
    """A question with the page's own answer to it, both as plain text of the page."""

    question: str
    answer: str
    pattern: Pattern


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer taken apart: the sentences that lead to it, and the one that gives it."""

    rationale: str
    short: str
    evidence: str = ""  # its evidence on the page; empty: the page's whole answer


# --- mining -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MinedPage:
    """The questions of a page, and the counts of questions left out, by reason.

    Reasons: `no_question`, markup that states one without words; `no_answer`, nothing follows that could be one;
    `answer_removed`, what follows is behind a removed element (a script, a frame, a form, code, an
    advertisement); `page_title` and `heads_sections`, the whole page, or parts with headings of their own, are about
    the question; `json_ld_unreadable`, a script with questions that is no JSON, or half of it.
    """

    questions: list[MinedQuestion]
    reasons: Counter[str]


def mine_questions(html: str, patterns: tuple[Pattern, ...] = PATTERNS) -> list[MinedQuestion]:
    """Return the questions of a page with their answers, as `mine_page` does, without the reasons."""
    return mine_page(html, patterns).questions


def mine_page(html: str, patterns: tuple[Pattern, ...] = PATTERNS) -> MinedPage:
    """Return the questions of a page with their answers, valid or not, each wording once (its most explicit markup).

    Never raises on malformed HTML or JSON: unparseable parts have no questions.
    """
    mined = MinedPage([], Counter())
    root = quest_view.parse(html) if "?" in html or "&#63;" in html or "\\u003" in html else None
    if root is None:
        return mined
    in_flow = {"accordion", "labelled", "table", "heading", "sentence"} & set(patterns)
    flow = _Flow(root, mined.reasons) if in_flow else None
    miners: dict[Pattern, Callable[[], Iterable[tuple[str, str]]]] = {
        "json_ld": lambda: _from_json_ld(root, mined.reasons),
        "microdata": lambda: _from_microdata(root),
        "definition_list": lambda: _from_definitions(root),
        "details": lambda: _from_details(root),
    }
    found: dict[str, MinedQuestion] = {}
    for pattern in PATTERNS:
        if pattern not in patterns:
            continue
        pairs = miners[pattern]() if pattern in miners else flow.pairs[pattern] if flow is not None else ()
        for question, answer in pairs:
            question, answer = _asked(question), _ANSWER_LABEL.sub("", quest_view.clean(answer))
            key = normalize(question)
            if not key:
                mined.reasons["no_question"] += 1
            elif not answer:
                mined.reasons["no_answer"] += 1
            elif key not in found:
                found[key] = MinedQuestion(question, answer, pattern)
    return MinedPage(list(found.values()), +mined.reasons)


Pairs = Iterator[tuple[str, str]]
_QUESTION_LABEL = re.compile(
    r"(?:(?:Q|FAQ|Question)\s*\d{0,3}\s*(?:[.:)\u2013\u2014-]+\s*)+|\(?\d{1,3}[.):]\s+|\d{1,3}\s+(?=[A-Z])|#\d{1,3}:?\s+)",
    re.I,
)
_ANSWER_LABEL = re.compile(r"^(?:A\s*\d{0,3}:|(?:Answer|Ans)\s*\d{0,3}\s*[.:\u2013-])\s*")
_AFTER_QUESTION = re.compile(r"(?<=[?\u201d\"'])[\s+\-\u2013\u2212\u00d7\u203a\u00bb<>|^*#\u00b6]+$")


def _asked(text: str) -> str:
    """Return a question without its label or number, and without the signs of its control."""
    text = _AFTER_QUESTION.sub("", quest_view.clean(text))
    match = _QUESTION_LABEL.match(text)
    return text[match.end() :] if match is not None and match.end() < len(text) else text


def _is_asked(text: str) -> bool:
    return text.rstrip(" \u201d\"'").endswith("?")


_MAX_NESTING = 4  # an element's text costs its size: read at every depth, a page of nested ones would cost its square


def _is_nested(element: Element, *tags: str) -> bool:
    return next(itertools.islice(element.iterancestors(*tags), _MAX_NESTING, None), None) is not None


def _from_json_ld(root: Element, reasons: Counter[str]) -> Pairs:
    nodes: list[dict[str, Any]] = []
    for script in root.iter("script"):
        if (script.get("type") or "").partition(";")[0].strip().lower() != "application/ld+json":
            continue
        values = read_json_ld(script.text or "")
        if values is None:
            reasons["json_ld_unreadable"] += "Question" in (script.text or "")
        else:
            nodes += objects_in(values)
    named = {node["@id"]: node for node in nodes if isinstance(node.get("@id"), str) and len(node) > 1}
    for node in nodes:
        if "Question" not in types_of(node):
            continue
        question = text_of(node.get("name")) or text_of(node.get("text")) or text_of(node.get("headline"))
        answer = next(_answers(node, named), "")
        if question and answer:
            yield quest_view.text_of_markup(question), quest_view.text_of_markup(answer)
        elif question:
            reasons["no_answer"] += 1
        elif node.keys() - {"@type", "@id"}:  # else it refers to a question elsewhere
            reasons["no_question"] += 1


def _answers(node: dict[str, Any], named: dict[str, dict[str, Any]]) -> Iterator[str]:
    for key in ("acceptedAnswer", "suggestedAnswer"):
        answers = node.get(key) or []
        for answer in answers if isinstance(answers, list) else [answers]:
            if isinstance(answer, dict) and "text" not in answer:
                answer = named.get(str(answer.get("@id")), answer)
            text = text_of(answer.get("text") or answer.get("articleBody") if isinstance(answer, dict) else answer)
            if text:
                yield text


def _from_microdata(root: Element) -> Pairs:
    """Microdata and RDFa: an item of type Question, its name, and the text of its answer."""
    open_items = 0
    for item in root.iter():
        kind = item.get("itemtype") or item.get("typeof") or ""
        if not re.search(r"(?:^|[/:\s])Question\b", kind):
            continue
        ancestors = itertools.islice(item.iterancestors(), 256)
        open_items = sum("Question" in (above.get("itemtype") or above.get("typeof") or "") for above in ancestors)
        if open_items >= _MAX_NESTING:
            continue
        question = answer = ""
        for part in item.iterdescendants():
            name = part.get("itemprop") or part.get("property") or ""
            if name.endswith("name") and not question and not _in_answer(part, item):
                question = part.get("content") or quest_view.text_of(part)
            elif name.endswith("text") and not answer and _in_answer(part, item):
                answer = part.get("content") or quest_view.text_of(part)
        if question and answer:
            yield question, answer


def _in_answer(part: Element, item: Element) -> bool:
    above = itertools.takewhile(lambda element: element is not item, itertools.islice(part.iterancestors(), 256))
    properties = ((element.get("itemprop") or element.get("property") or "") for element in (part, *above))
    return any("acceptedAnswer" in name or "suggestedAnswer" in name for name in properties)


def _from_definitions(root: Element) -> Pairs:
    for term in root.iter("dt"):
        if _is_nested(term, "dt", "dd"):
            continue
        question = _asked(quest_view.text_of(term))
        if _is_asked(question):
            following = itertools.takewhile(lambda node: node.tag == "dd", term.itersiblings())
            yield question, " ".join(quest_view.text_of(definition) for definition in following)


def _from_details(root: Element) -> Pairs:
    for summary in root.iter("summary"):
        details = summary.getparent()
        if details is None or details.tag != "details" or _is_nested(summary, "details"):
            continue
        question = _asked(quest_view.text_of(summary))
        if _is_asked(question):
            blocks = quest_view.blocks_of(details, is_content=True)
            yield question, quest_view.joined(block for block in blocks if not _lies_in(block.element, summary))


def _lies_in(element: Element, holder: Element) -> bool:
    return element is holder or any(above is holder for above in element.iterancestors())


class _Flow:
    """The pairs in a page's flow, by pattern: a block asks, and the block below it or a folded one answers."""

    def __init__(self, root: Element, reasons: Counter[str]):
        self.pairs: dict[Pattern, list[tuple[str, str]]] = {
            "accordion": [],
            "labelled": [],
            "table": [],
            "heading": [],
            "sentence": [],
        }
        self._reasons = reasons
        self._blocks = blocks = _without_speakers(quest_view.blocks_of(root))
        self._asks = [_asks(block) for block in blocks]
        self._named: dict[str, Element] | None = None
        self._times_read: Counter[Element] = Counter()
        self._root = root
        title = root.find(".//title")
        self._title = normalize("" if title is None else title.text or "")
        for at, block in enumerate(blocks):
            if block.hidden is not None:
                continue
            if block.cells:
                self._read_row(block)
            elif self._asks[at]:
                self._read_question(at)
            elif block.lead and _is_asked(block.lead):
                self._read_lead(at)
            elif block.kind == "paragraph" and not block.level:
                self.pairs["sentence"] += self._sentences(at)

    def _read_row(self, block: Block) -> None:
        question, answer, *_ = block.cells
        if _is_asked(_asked(question)) and answer and not _is_asked(answer):
            self.pairs["table"].append((question, answer))

    def _read_question(self, at: int) -> None:
        block = self._blocks[at]
        question = _asked(block.text)
        if block.kind == "heading" and (block.level == 1 or self._title.startswith(normalize(question))):
            self._reasons["page_title"] += 1
            return
        pattern: Pattern = "heading"
        panel = self._panel(at)
        if panel:
            answer, pattern = panel, "accordion"
        else:
            answer = self._below(at)
            if question != block.text and block.text[:1] in "Qq":
                pattern = "labelled"
        if answer:
            self.pairs[pattern].append((question, answer))

    def _read_lead(self, at: int) -> None:
        """A paragraph that begins with its question in bold answers it in the rest, and in a list that it announces."""
        block = self._blocks[at]
        rest = block.text[len(block.lead) :].strip() if block.text.startswith(block.lead) else ""
        if rest:
            self.pairs["heading"].append((_asked(block.lead), self._with_list(at, rest)))

    def _sentences(self, at: int) -> Pairs:
        block = self._blocks[at]
        if "?" not in block.text or block.link_share > 0.5:
            return
        sentences = split_sentences(block.text)
        for index, sentence in enumerate(sentences[:-1]):
            if _is_asked(sentence) and _QUESTION_START.match(sentence) and not _is_asked(sentences[index + 1]):
                later = range(index + 1, len(sentences))
                end = next((place for place in later if _is_asked(sentences[place])), len(sentences))
                text = " ".join(sentences[index + 1 : end])
                yield sentence, self._with_list(at, text) if block.text.endswith(text) else text

    def _with_list(self, at: int, text: str) -> str:
        if not text.endswith(":"):
            return text
        items = itertools.takewhile(lambda block: block.kind == "item", self._blocks[at + 1 :])
        listed = [block.text.rstrip(".;,") for block in items]
        return f"{text} {', '.join(listed)}." if listed else text

    def _panel(self, at: int) -> str:
        """Return the text of the element that a question opens: one that it names, a hidden one behind it, or the
        element next to its control."""
        block = self._blocks[at]
        controls = [element for element in _around(block) if quest_view.is_control(element) or target_of(element)]
        for control in controls:
            target = self._element(target_of(control))
            if target is not None and not _lies_in(block.element, target):
                text = self._answer_in(target, block)
                if text:
                    return text
        following = self._blocks[at + 1] if at + 1 < len(self._blocks) else None
        if following is not None and following.hidden is not None and following.kind != "gap":
            return self._answer_in(following.hidden, block)
        if not any(quest_view.is_control(control) for control in controls):
            return ""
        panel = _next_to(block)
        return self._answer_in(panel, block) if panel is not None and panel.tag in _HOLDERS else ""

    def _element(self, name: str) -> Element | None:
        if not name:
            return None
        if self._named is None:
            self._named = {}
            for element in self._root.iter():
                if element.get("id"):
                    self._named.setdefault(element.get("id"), element)
        return self._named.get(name)

    def _answer_in(self, panel: Element, question: Block) -> str:
        """Return the text of a panel; empty when it asks questions itself, and so is a list of them.

        A panel answers few questions. Reading it for every question that names it would take quadratic time.
        """
        self._times_read[panel] += 1
        if self._times_read[panel] > _MAX_NESTING:
            return ""
        blocks = quest_view.blocks_of(panel, is_content=True)
        visible = [block for block in blocks if block.hidden is None] or blocks
        wanted = normalize(question.text)
        if visible and normalize(visible[0].text) == wanted:
            visible = visible[1:]
        return "" if any(_asks(block) for block in visible) else quest_view.joined(visible)

    def _below(self, at: int) -> str:
        """Return the text below a question, up to the next question, a heading that ends it, a gap, or the end of the
        element that holds both."""
        asking, holder = self._blocks[at], None
        answers: list[Block] = []
        above = itertools.islice(asking.element.iterancestors("a"), 1)
        if any(quest_view.leads_away(element) for element in (*_around(asking), *above)):
            return ""  # the teaser of another page
        for index in range(at + 1, len(self._blocks)):
            block = self._blocks[index]
            if block.hidden is not None:
                continue
            if block.kind in ("gap", "row") or self._asks[index] or (block.lead and _is_asked(block.lead)):
                if not answers:
                    self._reasons["answer_removed" if block.kind == "gap" else "no_answer"] += asking.kind == "heading"
                break
            if 0 < block.level <= (asking.level or 7):
                break
            if block.level and not answers:
                self._reasons["heads_sections"] += 1
                break
            if holder is None:
                holder = _common(asking.element, block.element)
                if asking.kind == "item" and not _lies_in(block.element, _item_of(asking)):
                    break
            elif holder is not None and not _lies_in(block.element, holder):
                break
            if block.link_share <= 0.7 or block.text.endswith((".", "!")):
                answers.append(block)
        return quest_view.joined(answers)


_HOLDERS = frozenset(["div", "section", "dd", "ul", "ol", "article", "td", "blockquote", "span"])


_SPEAKER = re.compile(
    r"(?!(?:Notes?|Tips?|Warning|Example|Step|Yes|No|Answer|Question|FAQ|[QA]\d*)\b)"
    r"([A-Z][\w.'\u2019-]*(?: [A-Z][\w.'\u2019-]*){0,3}):\s+(?=\S)"
)


def _without_speakers(blocks: list[Block]) -> list[Block]:
    """Return blocks without the names of speakers before their words, as in interviews.

    A name is a speaker's when the page names it twice so, or in capitals. What a speaker asks and another answers is
    a separate line, like a line in bold.
    """
    labels = [None if block.cells else _SPEAKER.match(block.text) for block in blocks]
    names = Counter(label[1] for label in labels if label)
    speakers = [label[1] if label and (names[label[1]] > 1 or label[1].isupper()) else "" for label in labels]
    unlabelled = []
    for at, (block, label, speaker) in enumerate(zip(blocks, labels, speakers, strict=True)):
        if label is None or not speaker:
            unlabelled.append(block)
            continue
        following = next((name for name in speakers[at + 1 : at + 4] if name), speaker)
        asks = block.kind == "paragraph" and _is_asked(block.text) and following != speaker
        lead = block.lead[label.end() :] if len(block.lead) > label.end() else ""
        unlabelled.append(replace(block, text=block.text[label.end() :], lead=lead, level=7 if asks else block.level))
    return unlabelled


def _asks(block: Block) -> bool:
    """Return whether a block is one question: a heading or a bold line that asks, a control, or a lone question."""
    question = _asked(block.text)
    if block.kind == "gap" or block.cells or not _is_asked(question) or len(question) > 400:
        return False
    if block.kind == "heading" or block.level or question != quest_view.clean(block.text):
        return True
    if any(quest_view.is_control(element) for element in _around(block)):
        return True
    return _QUESTION_START.match(question) is not None and len(split_sentences(question)) == 1


def _around(block: Block) -> list[Element]:
    """Return the elements that hold a block's text and no more, and those in it that hold all of it."""
    wanted = len("".join(block.text.split()))
    element, around = block.element, []
    if element.tag in ("button", "summary", "a", "span"):  # a control, whatever icons it holds
        around.append(element)
        element = element.getparent()
    while element is not None and _signs(element, wanted + 9) <= wanted + 8 and len(around) < 6:
        around.append(element)
        element = element.getparent()
    inner = block.element if around else ()
    while len(inner) and len(around) < 12:
        inner = max(inner, key=lambda part: _signs(part, wanted))
        if _signs(inner, wanted) < 0.8 * wanted:
            break
        around.append(inner)
    return around


def _signs(element: Element, most: int) -> int:
    """Return how many signs an element's text has; no more than `most` and some are counted."""
    signs = 0
    for text in element.itertext():
        signs += len("".join(text.split()))
        if signs > most:
            break
    return signs


def _next_to(block: Block) -> Element | None:
    """Return the element behind the largest one that holds only the question."""
    around = [block.element, *(above for above in _around(block) if _lies_in(block.element, above))]
    for element in around:
        following = element.getnext()
        if following is not None:
            return following
    return None


def _item_of(block: Block) -> Element:
    return next(
        (above for above in (block.element, *block.element.iterancestors()) if above.tag == "li"), block.element
    )


def _common(asking: Element, answering: Element) -> Element | None:
    """Return the smallest element that holds both; None when that is the page."""
    above = [asking, *asking.iterancestors()]
    for element in (answering, *answering.iterancestors()):
        if element in above:
            return None if element.tag in ("body", "html") else element
    return None


# --- validity ---------------------------------------------------------------------------------------------

_WH = r"(?:who|whom|whose|what|when|where|why|which|how)"
_AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|might|must)"
_QUESTION_START = re.compile(
    r"^(?:(?:and|but|so|then|well),? )?(?:(?:in|on|at|from|to|for|by|with|of|under|into|through|about) )?"
    rf"(?:{_WH}|{_AUXILIARY})\b",
    re.I,
)
_LATER_WH = re.compile(
    r"[,\u2013\u2014-] (?:can|could|would) you\b|(?:, |: |\u2026 |\.\.\. | [\u2013\u2014-] "
    rf"| (?:in|on|at|from|to|for|by|with|of|under|into|through) ){_WH}\b",
    re.I,
)
_ELLIPTIC = re.compile(  # Pets allowed? Any limits on luggage?
    r"\b(?:allowed|permitted|required|needed|included|accepted|available|provided)\?$"
    r"|^\w+(?: (?:and|or) \w+)? (?:allowed|permitted|required|needed|included|accepted) (?:in|on|at|for|to|with|by) "
    r"|(?:^| [\u2013\u2014-] )any (?:\w+ )?\w+ (?:on|for|in|about|against|between) ",
    re.IGNORECASE,
)

# Reasons in the order in which they are tried. The words are English, as the sets are.
_RHETORICAL = re.compile(
    r"^(?:why not|who (?:cares|knows?|knew|doesn't|does not|wouldn't|would have|could have|needs|wants)"
    r"|what could be|what if|what about|how about"
    r"|how (?:could|dare|can) (?:you|anyone|we)|did you know|have you (?:ever|heard|seen|noticed|tried"
    r"|experienced|wondered|thought)|have an?|what better|don't you"
    r"|doesn't|isn't|aren't|wasn't|weren't|can't|couldn't"
    r"|wouldn't|shouldn't|won't|haven't|hasn't|is (?:that|it|this) not|are (?:you|we) not|ready|want|need"
    r"|are you (?:an?|the|someone|one|in|on|new|tired|sure|planning|preparing|considering|thinking|wondering|still)"
    r"|looking|interested|curious|wondering|sound|got"
    r"|so what\?|really|seriously|what (?:a|on earth|the hell)|who (?:on earth|else)|what's not to"
    r"|can you (?:believe|imagine|guess)|would you believe|guess)(?:\b|$)"
    r"|\b(?:anyway|right|don't you think|isn't it|aren't they|wouldn't you|eh|no)\?$",
    re.IGNORECASE,
)
_OPINION = re.compile(
    r"\b(?:do|did|would) you (?:think|like|love|agree|feel|prefer|want|enjoy|believe)\b"
    r"|\byour (?:opinion|favou?rite|thoughts)\b",
    re.I,
)
_SITE = re.compile(
    r"^any (?:other )?(?:question|comment|thought|idea|suggestion)s?\b|(?<!tell )(?<!give )(?<!walk )(?<!kick )\bus\b"
    r"|\bours?\b(?! (?:brain|bod(?:y|ies)|eye|ear|skin|heart|planet|solar|sun|moon|galaxy|universe|bone|mind|cell"
    r"|DNA|teeth|hair|ancestor|species|lives|world|lung|immune|digestive|muscle|blood|sense|climate|health|food|water|air"
    r"|ocean))|\b(?:we need|we're"
    r"|we've)\b|\bcontact(?:ing)? (?:you|the (?:team|support))\b"
    r"|\bwe (?:collect|offer|share|ship|sell|store|process|accept|provide|protect|handle|respond|disclose"
    r"|charge|send|use)\b"
    r"|\b(?:subscribe|subscription|unsubscribe|newsletter|log ?in|sign ?(?:in|up)|password|cookies?|whitelist"
    r"|checkout|refunds?|coupons?|promo code)\b|\byour [\w ]*policy\b|\bmore info(?:rmation)?\?$"
    r"|\b(?:your|my) (?:account|order|website|site|team|store|shop|services?|company|e-?mail)\b|\b(?:this"
    r"|the) (?:website|site|web page|blog|app|shop|store|forum|course|event)\b",
    re.IGNORECASE,
)
_DEICTIC = re.compile(
    r"\b(?:above|below|shown|pictured|depicted|illustrated|attached|mentioned|following|previous|aforementioned)\b"
    r"|\b(?:this|that|these|those|the) (?:picture|image|photo|photograph|figure|diagram|chart|graph|table|video"
    r"|map|page|article|post|story|text|passage|list|section|slide|quiz)s?\b"
    r"|^what(?:'s|\u2019s| is| was| are) (?:the )?(?:next|new|problem|point|story|catch|deal|matter|issue"
    r"|verdict|bottom line|solution|result)\?"
    r"|\bof (?:these|those|the two|the three|them)\b|\bhere\?$"
    r"|\b(?:these|those) [a-z]"
    r"|\bthis (?!year|week|month|season|century|decade|summer|winter|spring|autumn|morning)[a-z]"
    r"|(?<!true )(?<!sure )(?<!mean )\bthat [a-z]+\?$|\bany other\b|\bany (?:additional|further) information\b"
    r"|^(?:so |but |and )?what(?:'s|\u2019s| is| was| has| just)?(?: \w+ly| just| really)?"
    r" (?:happen(?:s|ed|ing)?|going on)(?: here| next| now| then)?\?",
    re.IGNORECASE,
)
_EXPLETIVE = re.compile(
    r"\bit(?: is| was|'s)? (?:also )?(?:true|possible|safe|legal|illegal|necessary|normal|okay|ok|best|better"
    r"|important|hard|easy|difficult|common|dangerous|healthy|take|mean|cost|matter)\b",
    re.I,
)
_PRONOUN = frozenset(
    words_of("he she it they him her his hers its their theirs them this that these those there one ones")
)
_FUNCTION = frozenset(
    words_of(
        """
        who whom whose what when where why which how is are was were be been being am do does did done can could will
        would shall should has have had may might must a an the of in on at to from for by with about into through under
        over and or but so if as than then not no some any all both more most many much long often far old big come came
        get got go make made call called mean happen happened need use used work you your
        """
    )
)


def refuse_question(mined: MinedQuestion, rules: QuestRules) -> str | None:
    """Return why a mined pair is not worth learning (a reason word), or None when it is a valid question."""
    question = mined.question.strip(" \u201c\u201d\"'").replace("\u2019", "'")
    words = words_of(question)
    if not question.endswith("?") or not _is_one(question):
        return "not_one_question"
    if len(words) < rules.min_question_words:
        return "question_too_short"
    if len(words) > rules.max_question_words:
        return "question_too_long"
    if _RHETORICAL.search(_GOES_ON.sub("", question)) and not (mined.pattern in _MARKED and _WHAT_IF.match(question)):
        return "rhetorical"
    if _SITE.search(question):
        return "about_the_site"
    if _OPINION.search(question):
        return "asks_opinion"
    if not any(form(question) for form in (_QUESTION_START.match, _LATER_WH.search, _ELLIPTIC.search)) and (
        not _QUESTION_START.match(split_sentences(question)[-1])
    ):
        return "no_question_word"
    if _DEICTIC.search(question[: question.index("?") + 1]) or _lacks_subject(question):
        return "needs_context"
    if question != mined.question and mined.question[:1] in '\u201c"\u2018':
        return "needs_context"  # speech of a character in a story
    if mined.pattern == "sentence" and (_GOES_ON.match(question) or _PERSONAL.search(question)):
        return "needs_context"
    return _refuse_answer(mined.answer, rules, mined.pattern in ("heading", "sentence")) or (
        None if _is_english(question, mined.answer) else "not_english"
    )


_GOES_ON = re.compile(r"^(?:and|but|so|then|well|or)\b[,\u2026. ]*", re.IGNORECASE)  # what came before in the paragraph
# In a paragraph the author asks himself, or speaks to the reader; in an FAQ the reader asks.
_PERSONAL = re.compile(r"\b(?:I|me|my|we|our|you|your|this|that|these|those)\b", re.IGNORECASE)
_ENGLISH = frozenset(
    words_of(
        """
        the of and to is are a for it with as be by this have has had from or not you your they at that which who why
        how what when where can could do does did will would should may if on there their these those but we our i my
        """
    )
)


def _is_english(question: str, answer: str) -> bool:
    words = words_of(question) + words_of(answer)[:60]
    return sum(word in _ENGLISH for word in words) >= 0.12 * len(words)


_HE = re.compile(r"\b(?:he|she|him|his|her|hers)\b", re.IGNORECASE)
_NAME = re.compile(r"(?<=\w )[A-Z][a-z]|\b(?:person|child|man|woman|boy|girl|king|queen|baby)\b")
_THERE = re.compile(r"\b(?:is|are|was|were|will|be|been)(?: not)? there\b|\bthere(?: is| are| be)\b", re.IGNORECASE)


_MARKED: tuple[Pattern, ...] = ("json_ld", "microdata", "definition_list", "details", "accordion", "labelled", "table")
_WHAT_IF = re.compile(r"what if\b", re.IGNORECASE)
_FOLLOWS_UP = re.compile(
    r"if (?:so|not|no|yes)\b|why(?: ?/ ?why not| or why not| not)?\?$|how so\?$"
    r"|[^?]*\b(?:that|this|it|they|them|those)\b",
    re.IGNORECASE,
)


def _is_one(question: str) -> bool:
    """Return whether it is one question, or one with a second that asks on: Did you? If so, why?"""
    first, _, more = question[:-1].partition("?")
    more = more.strip()
    return not more or (first != "" and "?" not in more and _FOLLOWS_UP.match(f"{more}?") is not None)


def _lacks_subject(question: str) -> bool:
    """Return whether a pronoun comes before anything that it could mean, as in: What does it eat?"""
    if _EXPLETIVE.search(question):
        return False
    if _HE.search(question) and not _NAME.search(question):
        return True
    question = _THERE.sub(" ", question)
    for word in words_of(question):
        if word in _PRONOUN:
            return True
        if word not in _FUNCTION:
            return False
    return True


_MAX_ANSWER_CHARACTERS = 20_000  # a chapter is no answer, and to cut a page into sentences takes minutes


def _refuse_answer(answer: str, rules: QuestRules, in_flow: bool) -> str | None:
    if len(answer) > _MAX_ANSWER_CHARACTERS:
        return "answer_too_long"
    if (
        not words_of(answer)
        or _DATE_LINE.fullmatch(answer)
        or (in_flow and len(words_of(answer)) < 12 and not _SENTENCE_END.search(answer))
    ):
        return "no_answer"
    if all(_is_asked(sentence) for sentence in split_sentences(answer) if words_of(sentence)):
        return "answered_by_question"
    apart = take_apart(answer, rules)
    short = apart.short
    if len(words_of(short)) > rules.max_answer_words:
        return "answer_too_long"
    if short.endswith(":"):
        return "answer_cut_off"
    if len(words_of(f"{apart.rationale} {short}")) < 12 and _CALL.match(short):
        return "about_the_site"
    return "answer_has_code" if _CODE.search(short) else None


_SENTENCE_END = re.compile(r"[.!?\u2026:][\"\u201d'\u2019)\]]*(?:\s|$)")  # a name or a date below a headline has none
_DATE_LINE = re.compile(
    r"(?:asked|answered|modified|updated|posted|published|by|at|on|in|ago|min(?:ute)?s?|hours?|days?|read|views?|comments?"
    r"|jan\w*|feb\w*|mar\w*|apr\w*|may|june?|july?|aug\w*|sept?\w*|oct\w*|nov\w*|dec\w*|am|pm|\d+|\W)+",
    re.IGNORECASE,
)
_CALL = re.compile(
    r"(?:please )?(?:sign up|subscribe|click|contact|register|download|read|follow|share|call|email)\b", re.I
)
_CODE = re.compile(r"[{}]|;\s*$|=>|\(\)|</|\w=[\w\"']|::|\$\w+\s*=")


# --- answers and scripts ----------------------------------------------------------------------------------

_ANSWER_SENTENCE = re.compile(
    r"^(?:so,? |therefore,? )?(?:the |in )?(?:short |correct |right )?(?:answer)(?: is|:| would be)\b", re.I
)


def take_apart(answer: str, rules: QuestRules) -> Answer:
    """Return the sentence that gives the answer and those that lead to it, all in the page's own words.

    A sentence that states the answer ("The answer is red.") is the answer. Otherwise the first sentence is, because
    pages reply first and then explain; the explanation becomes the rationale.
    """
    sentences = [sentence for sentence in split_sentences(answer) if words_of(sentence) and not _is_asked(sentence)]
    if not sentences:
        return Answer("", "")
    stated = next((index for index, sentence in enumerate(sentences) if _ANSWER_SENTENCE.match(sentence)), 0)
    rest = sentences[:stated] + sentences[stated + 1 :]
    return Answer(" ".join(rest[: rules.max_rationale_sentences]), sentences[stated])


def write_quest_script(
    page: Page, mined: MinedQuestion, answer: Answer, rules: QuestRules, seed: int, text: Words
) -> Script:
    """Return the script of a question: its line, then, as a rule in one line, the rationale and the answer.

    A share of `rules.bridge_share` of the scripts, drawn by document, answers without the rationale: a model must
    answer right after speech, and learns this only from examples with the answer there. A reply of more than
    `rules.max_line_words` is cut at sentences; the last line ends in the answer. `text` is the page's extracted text,
    which holds the lines' spans: the question's, and for each line of the reply the span of the evidence.
    """
    document_id = stable_hash("quest", page.page_id, normalize(mined.question))
    direct = bool(stable_rng(seed, "quest", "bridge", document_id).random() < rules.bridge_share)
    reply = answer.short if direct or not answer.rationale else f"{answer.rationale} {answer.short}"
    asked = text.find(mined.question)
    evidence = answer.evidence or mined.answer
    found = text.find(evidence, max(asked[1], 0))
    found = found if found != NOWHERE else text.find(evidence)
    *rationale, last = _pack(reply, rules.max_line_words)
    return Script(
        document_id=document_id,
        page_id=page.page_id,
        url=page.url,
        licence=page.licence,
        title=mined.question,
        lines=[
            _line("question", mined.question, asked),
            *(_line("rationale", part, found) for part in rationale),
            _line("answer", last, found),
        ],
        evidence=f"{mined.question} {mined.answer}",
        robots=page.robots,
    )


def _pack(reply: str, max_words: int) -> list[str]:
    """Return a reply as parts of whole sentences, as few and as even as fit; a longer one is cut at its clauses."""
    sentences = [piece for sentence in split_sentences(reply) for piece in cut_at_clauses(sentence, max_words)]
    counts = [len(words_of(sentence)) for sentence in sentences]
    if sum(counts) <= max_words or len(sentences) < 2:
        return [reply]
    aim = sum(counts) / -(-sum(counts) // max_words)
    parts: list[list[str]] = [[sentences[0]]]
    filled = counts[0]
    for sentence, count in zip(sentences[1:], counts[1:], strict=True):
        if filled + count > max_words or filled + count / 2 > aim:
            parts.append([])
            filled = 0
        parts[-1].append(sentence)
        filled += count
    return [" ".join(part) for part in parts]


def _line(role: str, text: str, span: Span) -> Line:
    from spelangy_model.text.spoken import spoken_form

    return Line(role, text, spoken_form(text), *span)
