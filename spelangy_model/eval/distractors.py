"""Three wrong options for each question, of the answer's type, so that only the question reveals the right one.

Put here: answer types, and the choice of distractors. Do not put here: files (question_files.py) or scoring.

Questions of one relation, where the set names relations, else of one answer type, are dealt into blocks of four, and
the four answers of a block are the options of each of its questions. So an option is right in exactly one of the four
questions that offer it: without the questions, any rule of choice is right in exactly a quarter of a block, and the
options of other blocks give no information. (With the whole set in view, options that were right before can be ruled
out: score question by question.) No distractor is an alias of the answer, part of one, or named by the question.

The questions left over in a relation are dealt with their type. The questions left over in a type get answers of the
type drawn at random; they are at most three if no answer is a quarter of its pool and aliases do not collide.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING

from spelangy_model.eval.question_files import RawQuestion
from spelangy_model.rng import stable_hash, stable_rng
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.numerals import fold_numbers, join_groups

if TYPE_CHECKING:
    import numpy as np

VERSION = "2"  # of the deal: other distractors for the same questions are another version
OPTIONS = 4
_MONTH = re.compile(r"\b(january|february|march|april|may|june|july|august|september|october|november|december)\b")


@dataclass(frozen=True, slots=True)
class ChoiceQuestion:
    """A question with four options. `kind` is the relation or answer type that the options share."""

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


def four_options(
    questions: Sequence[RawQuestion], seed: int, limit: int = 0
) -> tuple[list[ChoiceQuestion], dict[str, int]]:
    """Return the questions with their options, and how many were dropped for each reason.

    Options from the file are kept; their order is drawn too. The result depends on (seed, VERSION, the whole list). A
    question is dropped as `no_distractors` if its type has too few other answers. `limit` is the number of questions to
    draw, block by block; 0 takes all.
    """
    cards = [_card(question, seed) for question in questions]
    options = [list(question.options) for question in questions]
    kinds = ["given" if question.options else "" for question in questions]
    by_type: dict[str, list[int]] = defaultdict(list)
    for index, card in enumerate(cards):
        by_type[card.kind].append(index)
    left = [index for index, kind in enumerate(kinds) if not kind]
    for kind_of in (lambda index: questions[index].relation, lambda index: cards[index].kind):
        left = _deal_all(cards, left, kind_of, options, kinds, seed)
    for index in left:
        kinds[index] = cards[index].kind
        options[index] = _draw(cards[index], [cards[other] for other in by_type[kinds[index]]], seed)
    enough = [i for i in range(len(questions)) if len({_written(option) for option in options[i]}) == OPTIONS]
    dropped = {"no_distractors": len(questions) - len(enough)} if len(enough) < len(questions) else {}
    if limit:
        blocks = {i: stable_hash("block", seed, VERSION, *sorted(options[i])) for i in enough}
        enough = sorted(sorted(enough, key=lambda i: (blocks[i], cards[i].rank))[:limit])
    places = (
        int(place) for hand in count() for place in stable_rng(seed, "places", VERSION, hand).permutation(OPTIONS)
    )
    return [
        _ordered(questions[i], options[i], kinds[i], place, seed) for i, place in zip(enough, places, strict=False)
    ], dropped


def _written(option: str) -> str:
    """Return an option with case and white space normalized; signs are kept, because C is not C++ and +5 is not -5."""
    return " ".join(unicodedata.normalize("NFKC", option).casefold().split())


def _ordered(question: RawQuestion, options: Sequence[str], kind: str, place: int, seed: int) -> ChoiceQuestion:
    """Return a question with its answer at `place`, so that places are equally frequent, and the others shuffled."""
    others = [option for option in options if option != question.answers[0]]
    rng = stable_rng(seed, "option_order", VERSION, question.question_id, question.question)
    order = [others[int(number)] for number in rng.permutation(len(others))]
    order.insert(place, question.answers[0])
    return ChoiceQuestion(question, tuple(order), place, kind)


@dataclass(frozen=True, slots=True)
class _Card:
    """A question during the deal: its answer, all right answers in plain form, and its place in the shuffle."""

    answer: str
    plain: tuple[str, ...]
    asked: str
    kind: str
    rank: str

    def may_offer(self, other: _Card) -> bool:
        """Return whether the other's answer is wrong here. It may be right if one of the two contains the other.

        An answer that the question names is not offered.
        """
        option = other.plain[0]
        return bool(option) and f" {option} " not in self.asked and not any(_alike(option, own) for own in self.plain)


def _card(question: RawQuestion, seed: int) -> _Card:
    return _Card(
        answer=question.answers[0],
        plain=tuple(normalize(answer) for answer in question.answers),
        asked=f" {normalize(question.question)} ",
        kind=answer_type(question.question, question.answers[0]),
        rank=stable_hash("deal", seed, VERSION, question.question_id, question.question),
    )


def _deal_all(
    cards: Sequence[_Card],
    indices: Sequence[int],
    kind_of: Callable[[int], str],
    options: list[list[str]],
    kinds: list[str],
    seed: int,
) -> list[int]:
    """Deal the questions kind by kind, fill in the options and kinds of those in blocks, return the others."""
    by_kind: dict[str, list[int]] = defaultdict(list)
    for index in indices:
        by_kind[kind_of(index)].append(index)
    left = by_kind.pop("", [])
    for kind, members in by_kind.items():
        blocks, rest = _deal(cards, members, stable_rng(seed, "deal", VERSION, kind))
        left += rest
        for block in blocks:
            for index in block:
                options[index] = [cards[other].answer for other in block]
                kinds[index] = kind
    return sorted(left)


def _deal(
    cards: Sequence[_Card], members: Sequence[int], rng: np.random.Generator
) -> tuple[list[list[int]], list[int]]:
    """Return blocks of four questions that may offer each other's answers, and the questions left over.

    The commonest answers are dealt first, each question to one of the emptiest blocks that take it.
    """
    common = Counter(cards[index].plain[0] for index in members)

    def commonest_first(index: int) -> tuple[int, str, str]:
        card = cards[index]
        return -common[card.plain[0]], card.plain[0], card.rank

    filled: list[list[list[int]]] = [[[] for _ in range(len(members) // OPTIONS)], *([] for _ in range(OPTIONS))]
    left: list[int] = []
    for index in sorted(members, key=commonest_first):
        for size in range(OPTIONS):
            blocks = filled[size]
            places = map(int, rng.permutation(len(blocks)))
            place = next((place for place in places if _takes(cards, blocks[place], cards[index])), None)
            if place is not None:
                filled[size + 1].append([*blocks.pop(place), index])
                break
        else:
            left.append(index)
    return filled[OPTIONS], [*left, *(index for blocks in filled[:OPTIONS] for block in blocks for index in block)]


def _takes(cards: Sequence[_Card], block: Sequence[int], card: _Card) -> bool:
    return all(cards[other].may_offer(card) and card.may_offer(cards[other]) for other in block)


def _draw(card: _Card, pool: Sequence[_Card], seed: int) -> list[str]:
    """Return the answer and up to three answers of the pool, in the order in which a seeded shuffle meets them."""
    options, taken = [card.answer], list[str]()
    for place in stable_rng(seed, "distractors", VERSION, card.rank).permutation(len(pool)):
        other = pool[int(place)]
        if card.may_offer(other) and not any(_alike(other.plain[0], option) for option in taken):
            options.append(other.answer)
            taken.append(other.plain[0])
            if len(options) == OPTIONS:
                break
    return options


def _alike(first: str, second: str) -> bool:
    return f" {first} " in f" {second} " or f" {second} " in f" {first} "
