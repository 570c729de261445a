"""Quest: questions that a page asks and answers itself, as scripts to be spoken.

Put here: finding questions with their answers in HTML, the rules that tell a question worth learning from one that is
not, and the script (question, then rationale and answer). Do not put here: a language model's judgement (its prompts
lie in prompts/), voices, or duplicates across pages (the stage knows the other pages). Patterns, the most explicit
first: schema.org FAQPage and QAPage as JSON-LD, the same as microdata, definition lists, <details>, headings and
paragraphs that are one question and stand before its answer, and questions inside a paragraph that it answers at once.
"""

from __future__ import annotations

import html as html_entities
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from spelangy_model.records import Line, Page, Script
from spelangy_model.rng import stable_hash, stable_rng
from spelangy_model.text.extract import Block, ExtractionRules, main_blocks
from spelangy_model.text.json_ld import objects_of, types_of
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.sentences import cut_at_clauses, split_sentences
from spelangy_model.text.spans import NOWHERE, Span, Words

Pattern = Literal["json_ld", "microdata", "definition_list", "details", "heading", "sentence"]
PATTERNS: tuple[Pattern, ...] = ("json_ld", "microdata", "definition_list", "details", "heading", "sentence")


@dataclass(frozen=True, slots=True)
class QuestRules:
    """What is mined, and the bounds of a pair; words are those of `text.normalize`."""

    patterns: tuple[Pattern, ...] = PATTERNS
    min_question_words: int = 3
    max_question_words: int = 40
    max_rationale_sentences: int = 6
    max_answer_words: int = 40
    max_line_words: int = 55  # a longer reply becomes several lines, for no voice reads on for half a minute
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
    evidence: str = ""  # what of the page it rests on; empty: the page's whole answer


# --- mining -----------------------------------------------------------------------------------------------


def mine_questions(html: str, patterns: tuple[Pattern, ...] = PATTERNS) -> list[MinedQuestion]:
    """Return the questions of a page with their answers, valid or not, each wording once (its most explicit markup).

    Never raises on malformed HTML or JSON: what cannot be parsed asks nothing.
    """
    marked = _from_markup(html)
    blocks = main_blocks(html, ExtractionRules()) if {"heading", "sentence"} & set(patterns) else []
    miners: dict[Pattern, Iterable[tuple[str, str]]] = {
        **marked,
        "heading": _from_headings(blocks),
        "sentence": _from_sentences(blocks),
    }
    found: dict[str, MinedQuestion] = {}
    for pattern in PATTERNS:
        for question, answer in miners.get(pattern, ()) if pattern in patterns else ():
            question, answer = _fold(question), _fold(answer)
            key = normalize(question)
            if key and answer and key not in found:
                found[key] = MinedQuestion(question, answer, pattern)
    return list(found.values())


Pairs = Iterator[tuple[str, str]]


_HALF_PAIRS = re.compile("[\ud800-\udfff]")  # JSON can spell half a surrogate pair; no file can hold it


def _fold(text: str) -> str:
    return " ".join(_HALF_PAIRS.sub("\ufffd", text).split())


def _is_asked(text: str) -> bool:
    return text.rstrip(" \u201d\"'").endswith("?")


def _plain(markup: str) -> str:
    """Return the text of an HTML fragment, as answers in JSON-LD are."""
    if "<" not in markup:
        return html_entities.unescape(markup)
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(f"<body>{markup}</body>", alt_texts=False, list_bullets=False)


_MARKUP = re.compile(r"Question|<dt|<details", re.IGNORECASE)
_MAX_NESTING = 4  # an element's text costs its size: read at every depth, a page of nested ones would cost its square


def _from_markup(html: str) -> dict[Pattern, list[tuple[str, str]]]:
    """Return the pairs of the patterns that are markup, from one walk over the page's elements.

    One walk, for a collection of resiliparse runs its selector again for each element that is taken from it.
    """
    found: dict[Pattern, list[tuple[str, str]]] = {"json_ld": [], "microdata": [], "definition_list": [], "details": []}
    if not _MARKUP.search(html):
        return found
    from resiliparse.parse.html import HTMLTree

    tree = HTMLTree.parse(html)  # the nodes live as long as the tree
    items: list[dict[str, str]] = []  # the open Question items of microdata, outermost first
    nesting: Counter[str] = Counter()
    in_answer = 0
    for node, opens in _walk(tree.document):
        tag, kind, prop = node.tag, node.getattr("itemtype") or "", node.getattr("itemprop") or ""
        change = 1 if opens else -1
        if tag in ("dt", "dd", "details"):
            nesting[tag] += change
        if "schema.org/Question" in kind:
            if opens:
                items.append({})
            else:
                item = items.pop()
                found["microdata"] += [(item["name"], item["text"])] if item.keys() == {"name", "text"} else []
        if items and prop in ("acceptedAnswer", "suggestedAnswer"):
            in_answer += change
        if not opens:
            continue
        if tag == "script" and (node.getattr("type") or "").strip().lower() == "application/ld+json":
            found["json_ld"] += _from_json_ld(node.text)
        elif items and len(items) <= _MAX_NESTING and (prop == "name" or (prop == "text" and in_answer)):
            items[-1].setdefault(prop, node.text)
        if tag == "dt" and max(nesting["dt"], nesting["dd"]) <= _MAX_NESTING:
            found["definition_list"] += _from_definition(node)
        elif tag == "summary" and nesting["details"] <= _MAX_NESTING and node.parent.tag == "details":
            found["details"] += _from_details(node)
    return found


def _walk(document: Any) -> Iterator[tuple[Any, bool]]:
    """Yield every element twice, when it opens (True) and when it closes; no recursion, for pages nest deeply."""
    root = node = document.first_element_child
    while node is not None:
        yield node, True
        child = node.first_element_child
        while child is None:
            yield node, False
            if node == root:
                return
            child = node.next_element
            node = node if child is not None else node.parent
        node = child


def _from_json_ld(text: str) -> Pairs:
    for node in objects_of(text):
        if "Question" not in types_of(node):
            continue
        question = node.get("name") or node.get("text")
        for answer in _answers(node):
            if isinstance(question, str) and answer:
                yield _plain(question), _plain(answer)
                break


def _answers(node: dict[str, Any]) -> Iterator[str]:
    for key in ("acceptedAnswer", "suggestedAnswer"):
        answers = node.get(key) or []
        for answer in answers if isinstance(answers, list) else [answers]:
            text = answer.get("text") if isinstance(answer, dict) else answer
            if isinstance(text, str):
                yield text


def _from_definition(term: Any) -> Pairs:
    question = term.text
    if not _is_asked(question.strip()):
        return
    answers = []
    node = term.next_element
    while node is not None and node.tag == "dd":
        answers.append(node.text)
        node = node.next_element
    yield question, " ".join(answers)


def _from_details(summary: Any) -> Pairs:
    question = summary.text.strip()
    if _is_asked(question):
        yield question, summary.parent.text.strip().removeprefix(question)


def _from_headings(blocks: list[Block]) -> Pairs:
    """A heading that asks is answered by what stands below it; a paragraph that only asks, by the next paragraphs."""
    position = 0
    while position < len(blocks):
        block = blocks[position]
        position += 1
        if not _is_question_block(block):
            continue
        answers = []
        while position < len(blocks) and not _is_question_block(blocks[position]):
            following = blocks[position]
            if following.kind == "heading" and (block.kind != "heading" or following.level <= block.level):
                break
            answers.append(following.text)
            position += 1
        yield block.text, " ".join(answers)


def _is_question_block(block: Block) -> bool:
    if block.kind not in ("heading", "paragraph") or not _is_asked(block.text):
        return False
    return block.kind == "heading" or (
        _QUESTION_START.match(block.text) is not None and len(split_sentences(block.text)) == 1
    )


def _from_sentences(blocks: list[Block]) -> Pairs:
    for block in blocks:
        if block.kind != "paragraph" or "?" not in block.text:
            continue
        sentences = split_sentences(block.text)
        for index, sentence in enumerate(sentences[:-1]):
            if _is_asked(sentence) and _QUESTION_START.match(sentence) and not _is_asked(sentences[index + 1]):
                answer = itertools.takewhile(
                    lambda text: not _is_asked(text), itertools.islice(sentences, index + 1, None)
                )
                yield sentence, " ".join(answer)


# --- validity ---------------------------------------------------------------------------------------------

_WH = r"(?:who|whom|whose|what|when|where|why|which|how)"
_AUXILIARY = r"(?:is|are|was|were|do|does|did|can|could|will|would|should|has|have|had|may|might|must)"
_QUESTION_START = re.compile(
    r"^(?:(?:and|but|so|then|well),? )?(?:(?:in|on|at|from|to|for|by|with|of|under|into|through|about) )?"
    rf"(?:{_WH}|{_AUXILIARY})\b",
    re.I,
)
_LATER_WH = re.compile(rf"(?:, | (?:in|on|at|from|to|for|by|with|of|under|into|through) ){_WH}\b", re.I)

# Reasons in the order in which they are tried. The words are English, as the sets are.
_RHETORICAL = re.compile(
    r"^(?:why not|who (?:cares|knows?|knew|doesn't|does not|wouldn't|would have|could have|needs|wants)"
    r"|what could be|what if|what about|how about"
    r"|how (?:could|dare|can) (?:you|anyone|we)|did you know|have you (?:ever|heard|seen|noticed)|don't you"
    r"|doesn't|isn't|aren't|wasn't|weren't|can't|couldn't"
    r"|wouldn't|shouldn't|won't|haven't|hasn't|is (?:that|it|this) not|are (?:you|we) not|ready|want|need"
    r"|looking|interested|curious|wondering|sound|got"
    r"|so what\?|really|seriously|what (?:a|on earth|the hell)|who (?:on earth|else)|what's not to"
    r"|can you (?:believe|imagine|guess)|would you believe|guess)(?:\b|$)"
    r"|\b(?:right|don't you think|isn't it|aren't they|wouldn't you|eh|no)\?$",
    re.IGNORECASE,
)
_OPINION = re.compile(
    r"\b(?:do|did|would) you (?:think|like|love|agree|feel|prefer|want|enjoy|believe)\b"
    r"|\byour (?:opinion|favou?rite|thoughts)\b",
    re.I,
)
_SITE = re.compile(
    r"^any (?:other )?(?:question|comment|thought|idea|suggestion)s?\b|\b(?:us|our|ours|i|my|me|we need|we're"
    r"|we've)\b|\bcontact(?:ing)? (?:you|the (?:team|support))\b"
    r"|\bwe (?:collect|offer|share|ship|sell|store|process|accept|provide|protect|handle|respond|disclose"
    r"|charge|send|use)\b"
    r"|\b(?:subscribe|subscription|unsubscribe|newsletter|log ?in|sign ?(?:in|up)|password|cookies?|whitelist"
    r"|checkout|refunds?|coupons?|promo code)\b"
    r"|\byour (?:account|order|website|site|team|store|shop|services?|company|e-?mail)\b|\b(?:this"
    r"|the) (?:website|site|web page|blog|app|shop|store|forum|course|event)\b",
    re.IGNORECASE,
)
_DEICTIC = re.compile(
    r"\b(?:above|below|shown|pictured|depicted|illustrated|attached|mentioned|following|previous|aforementioned)\b"
    r"|\b(?:this|that|these|those|the) (?:picture|image|photo|photograph|figure|diagram|chart|graph|table|video"
    r"|map|page|article|post|story|text|passage|list|section|slide|quiz)s?\b"
    r"|^what(?:'s|\u2019s| is| was| are) (?:the )?(?:next|new|problem|point|story|catch|deal|matter|issue"
    r"|verdict|bottom line|solution|result)\?"
    r"|\bof (?:these|those|the two|the three|them)\b|\bhere\?$",
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
    question = mined.question.strip(" \u201c\u201d\"'")
    words = words_of(question)
    if not question.endswith("?") or question.count("?") > 1:
        return "not_one_question"
    if len(words) < rules.min_question_words:
        return "question_too_short"
    if len(words) > rules.max_question_words:
        return "question_too_long"
    if _RHETORICAL.search(question):
        return "rhetorical"
    if _SITE.search(question):
        return "about_the_site"
    if _OPINION.search(question):
        return "asks_opinion"
    if not _QUESTION_START.match(question) and not _LATER_WH.search(question):
        return "no_question_word"
    if _DEICTIC.search(question) or _lacks_subject(question):
        return "needs_context"
    return _refuse_answer(mined.answer, rules)


def _lacks_subject(question: str) -> bool:
    """Tell whether a pronoun comes before anything that it could mean, as in: What does it eat?"""
    if _EXPLETIVE.search(question):
        return False
    for word in words_of(question):
        if word in _PRONOUN:
            return True
        if word not in _FUNCTION:
            return False
    return True


def _refuse_answer(answer: str, rules: QuestRules) -> str | None:
    if not words_of(answer):
        return "no_answer"
    if all(_is_asked(sentence) for sentence in split_sentences(answer)):
        return "answered_by_question"
    if len(words_of(take_apart(answer, rules).short)) > rules.max_answer_words:
        return "answer_too_long"
    return None


# --- answers and scripts ----------------------------------------------------------------------------------

_ANSWER_SENTENCE = re.compile(
    r"^(?:so,? |therefore,? )?(?:the |in )?(?:short |correct |right )?(?:answer)(?: is|:| would be)\b", re.I
)


def take_apart(answer: str, rules: QuestRules) -> Answer:
    """Return the sentence that gives the answer and those that lead to it, all in the page's own words.

    A sentence that says so ("The answer is red.") is the answer. Else it is the first one, because a page that
    answers a question replies first and explains then; the explanation becomes the rationale.
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
    """Return the script of a question: its line, then, as a rule in one line, what leads to the answer and the answer.

    A share of `rules.bridge_share` of the scripts, drawn by document, answers without the rationale: a model is asked
    for an answer right after speech, and learns that only where an answer stands there. A reply of more than
    `rules.max_line_words` is cut at sentences; the last line ends in the answer. `text` is the page's extracted text,
    in which the lines' spans lie: the question's, and for each line of the reply that of the evidence.
    """
    document_id = stable_hash("quest", page.page_id, normalize(mined.question))
    direct = bool(stable_rng(seed, "quest", "bridge", document_id).random() < rules.bridge_share)
    reply = answer.short if direct or not answer.rationale else f"{answer.rationale} {answer.short}"
    asked = text.find(mined.question)
    said = answer.evidence or mined.answer
    found = text.find(said, max(asked[1], 0))
    found = found if found != NOWHERE else text.find(said)
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
