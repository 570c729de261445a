"""Overlap of benchmark questions with training texts, against a search that only counts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.contamination import Overlap, QuestionIndex, longest_overlaps
from spelangy_model.text.normalize import words_of

LONG = "Which river flows through the capital of the country where the old mill stands?"


def test_the_longest_run_is_found_whatever_its_marks_and_case():
    index = QuestionIndex({"q": LONG})
    text = "He asked which RIVER flows, through the capital of the country: nobody knew."
    assert index.overlaps(text) == [Overlap("q", 9, False, "which river flows through the capital of the country")]
    assert index.overlaps(f"So: {LONG} The Nile.") == [Overlap("q", 14, True, " ".join(words_of(LONG)))]


def test_five_words_in_common_are_no_overlap():
    assert QuestionIndex({"q": LONG}).overlaps("through the capital of the, which is old") == []


def test_a_short_question_counts_only_as_a_whole():
    index = QuestionIndex({"q": "Who named Velvet?"})
    assert index.overlaps("Nobody knows who named it.") == []
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


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from("abc"), min_size=1, max_size=10), st.lists(st.sampled_from("abc"), max_size=30))
def test_overlap_equals_a_search_over_all_runs(question, text):
    overlaps = QuestionIndex({"q": " ".join(question)}, min_words=3).overlaps(" ".join(text))
    best = longest_run(question, text)
    assert [overlap.words for overlap in overlaps] == ([best] if best >= min(3, len(question)) else [])
