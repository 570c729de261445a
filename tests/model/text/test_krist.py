"""Krist: pages as sentences to be spoken, with every fact kept."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.records import TextDocument
from spelangy_model.text.krist import KristRules, facts_of, lost_facts, rewrite_for_listening, write_scripts


@pytest.mark.parametrize(
    ("written", "sayable"),
    [
        ("Iron melts at 1538 degrees.[12][a]", "Iron melts at 1538 degrees."),
        ("It was found in Peru (see Figure 3) by Dr. Alva [citation needed].", "It was found in Peru by Dr. Alva."),
        ("More at https://example.org/a?b=c, or write to me@example.org.", "More at, or write to."),
        ("- two stones", "two stones."),
        ("## The mill", "The mill."),
        ("Home | France", "Home: France."),
        ("Iron | 26 | 55.8", "Iron: 26, 55.8."),
        ("A plain sentence stays as it is!", "A plain sentence stays as it is!"),
        ("-----", ""),
    ],
)
def test_only_what_cannot_be_spoken_is_removed(written, sayable):
    assert rewrite_for_listening(written) == sayable


def test_numbers_and_names_are_facts_and_references_are_not():
    assert set(facts_of("The Nile is 6,650 km long and flows to Egypt.[7] See https://x.org/2020.")) == {
        "nile", "6,650", "egypt",
    }  # fmt: skip


def test_lost_facts_are_named():
    assert lost_facts("It was built by Ada Hall in 1742.", "It was built by Ada in 1742.") == (3, ["hall"])


def document(text: str) -> TextDocument:
    return TextDocument("d" * 32, "p" * 32, "https://example.org/mill", "CC0-1.0", "The mill", text)


def test_a_page_becomes_lines_that_carry_its_source():
    text = "# The mill\nIt stands in Bergen. It was built in 1742.[3] It was built in 1742."
    (script,) = write_scripts(document(text), rewrite_for_listening(text), KristRules())
    assert [line.text for line in script.lines] == ["The mill.", "It stands in Bergen.", "It was built in 1742."]
    assert {line.role for line in script.lines} == {"sentence"}
    assert "seventeen" in script.lines[2].spoken_text
    assert (script.page_id, script.url, script.licence, script.evidence) == (
        "p" * 32,
        "https://example.org/mill",
        "CC0-1.0",
        text,
    )


def test_a_long_page_becomes_scripts_of_like_length_and_loses_nothing():
    text = "\n".join(f"Sentence number {index} is here." for index in range(100))
    scripts = write_scripts(document(text), text, KristRules(max_sentences=40))
    assert [len(script.lines) for script in scripts] == [34, 34, 32]
    assert [line.text for script in scripts for line in script.lines] == text.splitlines()
    assert len({script.document_id for script in scripts}) == 3


def test_a_long_sentence_is_cut_at_its_clauses():
    text = (
        "Water boils. " + "; ".join(f"part {index} of the long sentence goes on with words" for index in range(8)) + "."
    )
    (script,) = write_scripts(document(text), text, KristRules(min_sentences=1))
    assert max(len(line.text.split()) for line in script.lines) <= 40
    assert " ".join(line.text for line in script.lines) == text


@pytest.mark.parametrize(
    ("rewritten", "reason"),
    [("It was built. It fell. It is gone.", "facts_lost"), ("It was built in Bergen in 1742.", "too_few_sentences")],
)
def test_what_is_not_kept_has_a_reason(rewritten, reason):
    assert write_scripts(document("It was built in Bergen in 1742."), rewritten, KristRules()) == reason


def test_a_page_that_states_its_facts_again_is_dropped_where_the_rules_say_so():
    once = "It was built in Bergen in 1742. Then it burnt. Everyone left there."
    again = "It was built in Bergen in 1742. Then it burnt. In Bergen people say that it was 1742."
    strict = KristRules(max_restated_share=0.1)
    assert write_scripts(document(again), again, strict) == "restates_facts"
    assert len(write_scripts(document(again), again, KristRules())) == 1
    assert len(write_scripts(document(once), once, strict)) == 1
    named = dataclasses.replace(document(again), title="Bergen, 1742")  # its subject
    assert len(write_scripts(named, again, strict)) == 1


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["Bergen", "1742", "3.5", "the", "mill", "[1]", "(", ")", ".", "|", " | ", "-", "#", "\n", "and", ","]
        ),
        max_size=40,
    )
)
def test_the_rules_keep_every_fact_of_any_text(words):
    text = " ".join(words)
    assert lost_facts(text, rewrite_for_listening(text))[1] == []
