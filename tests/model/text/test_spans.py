import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.records import Page, TextDocument
from spelangy_model.text.extract import ExtractionRules, extract_text
from spelangy_model.text.krist import KristRules, rewrite_for_listening, write_scripts
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.questions import QuestRules, mine_questions, refuse_question, take_apart, write_quest_script
from spelangy_model.text.spans import MAX_GAP_WORDS, NOWHERE, Words, find_in_order
from spelangy_model.text.warc import read_archive

SPEAKER_LABEL = re.compile(r"^\w+: ", re.MULTILINE)
TEXT = "# The mill\nIt's old [1] and (see the map) quiet.\n\n- Built in 1742.\nIt's old and quiet. It's old."


@pytest.mark.parametrize(
    ("taken", "found"),
    [
        ("The mill.", "The mill"),
        ("its OLD and quiet", "It's old and quiet."),  # without gaps, although the same with gaps stands before it
        ("It's old and... quiet. Built in 1742", "It's old [1] and (see the map) quiet.\n\n- Built in 1742."),
        ("quiet. Built", "quiet.\n\n- Built"),
        ("the mill is", None),
        ("", None),
        ("\u2026", None),
    ],
)
def test_words_are_found_whatever_marks_and_case_they_had(taken: str, found: str | None):
    start, end = Words(TEXT).find(taken)
    assert (TEXT[start:end] if (start, end) != NOWHERE else None) == found


def test_a_repeated_sentence_is_found_where_its_turn_is():
    first, second, third = find_in_order("Yes. No. Yes. Maybe.", ["Yes.", "Yes.", "No."])
    assert (first, second, third) == ((0, 4), (9, 13), (5, 7 + 1))


def test_words_that_are_too_far_apart_are_not_one_span():
    near, far = (f"mill {'x ' * gap}wheel" for gap in (MAX_GAP_WORDS, MAX_GAP_WORDS + 1))
    assert Words(near).find("mill wheel") == (0, len(near))
    assert Words(far).find("mill wheel") == NOWHERE


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "C", "d!", "e's", "(f", "g)", "3.5", "éİ", "\n"]), max_size=40), st.data())
def test_what_was_taken_from_a_text_is_in_its_span(parts: list[str], data: st.DataObject):
    text = " ".join(parts)
    first = data.draw(st.integers(0, len(parts)))
    taken = " ".join(parts[first : data.draw(st.integers(first, len(parts)))])
    start, end = Words(text).find(taken)
    if words_of(taken):
        assert words_of(text[start:end]) == words_of(taken)
    else:
        assert (start, end) == NOWHERE


@pytest.mark.slow
def test_the_spans_of_real_pages_hold_their_stated_text(shared_dir):
    answered = asked = 0
    rules = QuestRules()
    with (shared_dir / "data/web/pages.warc.gz").open("rb") as stream:
        pages = [page for page in read_archive(stream, "a") if isinstance(page, Page)][:40]
    for page in pages:
        text = extract_text(page.html, ExtractionRules())
        words = Words(text)
        for mined in mine_questions(page.html):
            if refuse_question(mined, rules) is None:
                script = write_quest_script(page, mined, take_apart(mined.answer, rules), rules, 0, words)
                question, *reply = script.lines
                if (question.start, question.end) == NOWHERE:  # the main text of the page leaves this heading out
                    assert normalize(mined.question) not in normalize(text)
                    continue
                assert words_of(text[question.start : question.end]) == words_of(mined.question)
                for line in reply:
                    span = SPEAKER_LABEL.sub("", text[line.start : line.end])  # answers are mined without labels
                    assert words_of(span) == words_of(mined.answer)
                asked += 1
        document = TextDocument("d", page.page_id, page.url, "", "", text)
        scripts = write_scripts(document, rewrite_for_listening(text), KristRules())
        for line in () if isinstance(scripts, str) else (line for script in scripts for line in script.lines):
            span = words_of(text[line.start : line.end])
            assert line.start >= 0
            assert iter_holds(span, words_of(line.text))
            answered += 1
    assert asked >= 10
    assert answered >= 1000


def iter_holds(span: list[str], words: list[str]) -> bool:
    """Tell whether a list holds words in their order."""
    rest = iter(span)
    return all(word in rest for word in words)
