"""Three wrong options for each question, of the answer's type, so that only the question tells the right one.

Put here: answer types, and how distractors are drawn. Do not put here: files (question_files.py) or scoring.

Distractors are the answers of other questions of the same relation where the set names relations, else of the same
type. They are drawn as often as they are answers: an option that is right often is wrong as often, so that a model
which sees the options alone learns nothing from how common they are (a little remains where one answer is a tenth of
its pool or more). None is an alias of the answer.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from spelangy_model.eval.question_files import RawQuestion
from spelangy_model.rng import stable_rng
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.numerals import fold_numbers, join_groups

VERSION = "1"  # of the draw: other distractors for the same questions are another version
OPTIONS = 4
_SMALLEST_POOL = 12  # unlike answers; a smaller relation falls back to the type
_MONTH = re.compile(r"\b(january|february|march|april|may|june|july|august|september|october|november|december)\b")


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question with four options. `kind` is what the options share: the relation, or the answer's type."""

    raw: RawQuestion
    options: tuple[str, ...]
    answer_index: int
    kind: str


def answer_type(question: str, answer: str) -> str:
    """Return number, year, date, person, place, thing_1 to thing_3 (by words): the plain signs of text, no lexicon."""
    words = fold_numbers(words_of(join_groups(answer)))
    asked = words_of(question)
    if len(words) == 1 and words[0].isdecimal():
        return "year" if len(words[0]) == 4 and 1000 <= int(words[0]) < 2100 else "number"
    if any(word[:1].isdigit() for word in words):
        return "date" if _MONTH.search(answer.lower()) else "number"
    if asked[:1] in (["who"], ["whom"]) or asked[:2] == ["what", "actor"]:
        return "person"
    if asked[:1] == ["where"] or {"country", "city", "state", "capital", "continent"} & set(asked[:4]):
        return "place"
    return f"thing_{min(3, max(1, len(words)))}"


def four_options(questions: Sequence[RawQuestion], seed: int) -> tuple[list[ChoiceQuestion], dict[str, int]]:
    """Return the questions with their options, and how many were dropped for each reason.

    Options of the file stay; their order is drawn too. A function of (seed, VERSION, the whole list). A question is
    dropped as `no_distractors` when its pool holds too few answers that are not its own.
    """
    by_relation: dict[str, list[RawQuestion]] = defaultdict(list)
    by_type: dict[str, list[RawQuestion]] = defaultdict(list)
    for question in questions:
        by_type[_type(question)].append(question)
        if question.relation:
            by_relation[question.relation].append(question)
    chosen: list[ChoiceQuestion] = []
    dropped: dict[str, int] = defaultdict(int)
    for question in questions:
        kind, pool = question.relation, by_relation.get(question.relation, [])
        if len({normalize(other.answers[0]) for other in pool}) < _SMALLEST_POOL:
            kind = _type(question)
            pool = by_type[kind]
        options = list(question.options) or _draw(question, pool, seed)
        if len({normalize(option) for option in options}) != OPTIONS:
            dropped["no_distractors"] += 1
            continue
        answer = question.answers[0]
        rng = stable_rng(seed, "option_order", VERSION, question.question_id, question.question)
        order = [options[int(place)] for place in rng.permutation(OPTIONS)]
        chosen.append(
            ChoiceQuestion(question, tuple(order), order.index(answer), "given" if question.options else kind)
        )
    return chosen, dict(dropped)


def _type(question: RawQuestion) -> str:
    return answer_type(question.question, question.answers[0])


def _draw(question: RawQuestion, pool: Sequence[RawQuestion], seed: int) -> list[str]:
    """Return the answer and up to three answers of the pool, in the order in which a seeded shuffle meets them."""
    options = [question.answers[0]]
    rng = stable_rng(seed, "distractors", VERSION, question.question_id, question.question)
    taken = [normalize(answer) for answer in question.answers]
    asked = f" {normalize(question.question)} "
    for place in rng.permutation(len(pool)):
        option = pool[int(place)].answers[0]
        plain = normalize(option)
        # what contains an answer, or is contained in one, may be right too; what the question names is no choice
        if not plain or f" {plain} " in asked or any(_alike(plain, other) for other in taken):
            continue
        options.append(option)
        taken.append(plain)
        if len(options) == OPTIONS:
            break
    return options


def _alike(first: str, second: str) -> bool:
    return f" {first} " in f" {second} " or f" {second} " in f" {first} "
