"""Overlap of benchmark questions with training texts, against a search that only counts."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_assets.sample.render import benchmark_questions, text_document
from spelangy_assets.sample.world import load_world
from spelangy_model.rng import stable_rng
from spelangy_model.text.contamination import (
    MAX_NGRAM_WORDS,
    MIN_NGRAM_WORDS,
    Overlap,
    QuestionIndex,
    comparable_words,
    longest_overlaps,
)
from spelangy_model.text.normalize import words_of

LONG = "Which river flows through the capital of the country where the old mill stands?"


def test_the_longest_run_is_found_whatever_its_marks_and_case():
    index = QuestionIndex({"q": LONG})
    text = "He asked which RIVER flows, through the capital of the country: everyone knew."
    assert index.overlaps(text) == [Overlap("q", 9, False, "which river flows through the capital of the country")]
    assert index.overlaps(f"So: {LONG} The Nile.") == [Overlap("q", 14, True, " ".join(words_of(LONG)))]


def test_five_words_in_common_are_no_overlap():
    assert QuestionIndex({"q": LONG}).overlaps("through the capital of the, which is old") == []


def test_a_short_question_counts_only_as_a_whole():
    index = QuestionIndex({"q": "Who named Velvet?"})
    assert index.overlaps("Everyone knows who named it.") == []
    assert index.overlaps("They ask: who named Velvet, and when?") == [Overlap("q", 3, True, "who named velvet")]


def test_the_first_document_with_the_longest_run_is_named():
    index = QuestionIndex({"q": LONG, "other": "What is the name of the miller who built it?"})
    texts = [("a", "through the capital of the country"), ("b", LONG), ("c", LONG)]
    found = longest_overlaps(index, texts)
    assert {key: (document, overlap.words) for key, (document, overlap) in found.items()} == {"q": ("b", 14)}


def longest_run(question: list[str], text: list[str]) -> int:
    best = 0
    for start in range(len(question)):
        for end in range(start + 1, len(question) + 1):
            gram = question[start:end]
            if any(text[at : at + len(gram)] == gram for at in range(len(text) - len(gram) + 1)):
                best = max(best, end - start)
    return best


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=10), st.lists(st.sampled_from("abc"), max_size=30))
def test_overlap_equals_a_search_over_all_runs(question, text):
    overlaps = QuestionIndex({"q": " ".join(question)}, min_words=3).overlaps(" ".join(text))
    best = longest_run(question, text)
    assert [overlap.words for overlap in overlaps] == ([best] if best >= min(3, len(question)) else [])


# Questions of unlike words, each with a number, so that every n-gram of them is a question's own.
VOCABULARY = [f"{a}{b}" for a in ("kel", "mor", "tas", "vin", "dra", "lup", "sor", "nim") for b in "aeiou"]


def made_question(number: int) -> list[str]:
    rng = stable_rng(7, "planted", number)
    words = [str(word) for word in rng.choice(VOCABULARY, MAX_NGRAM_WORDS + 2)]
    words[3], words[9] = str(1100 + 7 * number), str(number % 12 + 1)
    return words


def disguised(gram: list[str], variant: str) -> str:
    from num2words import num2words

    if variant == "plain":
        return " ".join(gram)
    if variant == "case":
        return " ".join(gram).upper()
    if variant == "punctuation":
        return "\u201c" + ", ".join(word.capitalize() for word in gram) + "!\u201d"
    if variant == "number_words":
        return " ".join(num2words(int(word)) if word.isdigit() else word for word in gram)
    if variant == "years":
        return " ".join(num2words(int(w), to="year") if w.isdigit() and int(w) > 1000 else w for w in gram)
    return " ".join(f"{int(word):,}" if word.isdigit() else word for word in gram)


@pytest.mark.parametrize("variant", ["plain", "case", "punctuation", "number_words", "years", "grouped"])
@pytest.mark.parametrize("size", range(MIN_NGRAM_WORDS, MAX_NGRAM_WORDS + 1))
def test_every_planted_ngram_is_found_and_nothing_in_a_clean_control(size: int, variant: str) -> None:
    questions = {f"q{number}": made_question(number) for number in range(40)}
    index = QuestionIndex({key: " ".join(words) for key, words in questions.items()})
    control = [(f"d{number}", text_document(load_world(), 0, number)) for number in range(40)]
    assert longest_overlaps(index, control) == {}
    planted = []
    for number, (key, words) in enumerate(questions.items()):
        start = int(stable_rng(0, "at", size, number).integers(0, len(words) - size + 1))
        gram = disguised(words[start : start + size], variant)
        text = control[number][1]
        middle = text.find(" ", len(text) // 2)
        planted.append((f"p{key}", f"{text[:middle]} {gram}. {text[middle:]}"))
    found = longest_overlaps(index, [*control, *planted])
    assert {key: (document, overlap.words) for key, (document, overlap) in found.items()} == {
        key: (f"p{key}", size) for key in questions
    }


def test_texts_that_are_searched_together_do_not_join() -> None:
    index = QuestionIndex({"q": LONG})
    half = "which river flows through the", "capital of the country where"
    assert list(index.hits(half)) == []
    assert next((number, overlap.words) for number, overlap in index.hits(["nothing", " ".join(half)])) == (1, 10)


def test_a_question_and_its_transcript_are_the_same_words() -> None:
    written = "What happened on the 21st of May, 1,969 years after 3 million people came?"
    spoken = "what happened on the twenty first of may nineteen sixty nine years after three million people came"
    assert comparable_words(written) == comparable_words(spoken)


def test_the_sample_benchmark_is_found_in_itself() -> None:
    questions = {question.text_id: question.question for question in benchmark_questions(load_world(), 0)[:200]}
    found = longest_overlaps(QuestionIndex(questions), questions.items())
    assert all(found[text_id][1].whole for text_id in questions)
