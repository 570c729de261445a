"""What a reader of the page finds: the span of the source, what was spoken and recognized, and what was dropped."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest

from spelangy_assets.report.synthetic_page import SpokenDocument, SpokenSet, surroundings, synthetic_page
from spelangy_model.audio.io import encode_flac
from spelangy_model.records import Audio, CheckedChunk, Chunk, Line, Metric, Reject, Script

NAN = float("nan")
FLAC = encode_flac(0.1 * np.sin(np.arange(8000, dtype=np.float32) / 20).astype(np.float32))
PAGE_TEXT = "# The harp\nIt is old.\n\n### What is a harp?\nAn *instrument*, of wood.\n\n" + "It has strings. " * 60
EVIDENCE = "What is a harp? An instrument, of wood."


def chunk(index: int, role: str, text: str, spoken: str = "") -> Chunk:
    return Chunk(
        f"c{index}", "d1", index, role, "p1", "https://example.org/harp", "CC0-1.0", "en-us+m1", "en-us", 0.0, 0.5,
        text, spoken or text, Audio(FLAC, "c.flac"),
    )  # fmt: skip


CHUNKS = [chunk(0, "question", "What is a <harp>?"), chunk(1, "answer", "Wood, $5.", "Wood, five dollars.")]
ASKED = PAGE_TEXT.index("What"), PAGE_TEXT.index("harp?") + 5
ANSWERED = PAGE_TEXT.index("An *"), PAGE_TEXT.index("wood.") + 5
LINES = [Line("question", "b", "c", *ASKED), Line("answer", "b", "c", *ANSWERED)]
SCRIPT = Script("s1", "p1", "https://example.org/harp", "CC0-1.0", "What is a <harp>?", LINES, EVIDENCE)
QUEST = SpokenSet(
    "Quest",
    [SpokenDocument(SCRIPT, CHUNKS, PAGE_TEXT)],
    accounts=[
        Metric("quest", "hours", 0.25, NAN, NAN, 1),
        Metric("quest", "dropped.quest_pairs.rhetorical", 7, NAN, NAN, 1),
    ],
    dropped={"quest_pairs: rhetorical": 7},
    rejects=[Reject("https://example.org/x", "d9", "nothing_to_say", "en-us+m1: <...>")],
    voices=[
        Metric("all voices", "word_error_rate", 0.2, 0.1, 0.3, 40),
        Metric("en-us", "accent.word_error_rate", 0.2, 0.1, 0.3, 40),
        Metric("en-us+m1", "voice.word_error_rate", 0.9, 0.7, 0.95, 20),
        Metric("en-us+m2", "voice.word_error_rate", 0.1, 0.0, 0.4, 20),
    ],
    checked={
        "c1": CheckedChunk("c1", "d1", "answer", "v", "en-us", "Wood, five dollars.", 1, "would five dollars", 1, 3)
    },
    max_word_error_rate=0.5,
)  # fmt: skip


def test_the_page_shows_the_span_the_lines_the_voice_and_what_was_recognized(parsed):
    page = synthetic_page([QUEST], title="Snapshot")
    checker = parsed(page)
    assert f"data:audio/flac;base64,{base64.b64encode(FLAC).decode()}" in checker.values("audio", "src")
    assert "<mark>What is a harp?\nAn *instrument*, of wood.</mark>" in page
    assert "What is a &lt;harp&gt;?" in page
    assert "<harp>" not in page
    assert "read as: Wood, five dollars." in page
    assert re.search(r"recognized as: <span class=\"warn\">would five dollars</span> \(1 of 3 words wrong\)", page)
    assert page.count("read as:") == page.count("recognized as:") == 1


def test_a_voice_that_fails_and_what_was_dropped_stand_out(parsed):
    page = synthetic_page([QUEST], title="Snapshot")
    parsed(page)
    assert '<th scope="row" class="bad">en-us+m1</th>' in page
    assert '<th scope="row">en-us+m2</th>' in page
    assert '<th scope="row" class="bad">quest_pairs: rhetorical</th><td class="number">7</td>' in page
    assert "nothing_to_say" in page
    assert page.count("rhetorical") == 1  # among the dropped, not once more among the accounts


def test_sound_beyond_the_limit_is_left_out_and_the_page_says_so(parsed):
    page = synthetic_page([QUEST], title="Snapshot", audio_bytes=len(FLAC) * 4 // 3 + 4)
    assert len(parsed(page).values("audio", "src")) == 1
    assert "audio not embedded" in page
    assert "1 do not" in page


def test_equal_records_give_equal_bytes_and_sets_may_be_empty(parsed):
    assert synthetic_page([QUEST], title="a") == synthetic_page([QUEST], title="a")
    empty = SpokenSet("Krist", [], [], {})
    assert "Every record was kept" in synthetic_page([empty, QUEST], title="a")
    parsed(synthetic_page([empty, QUEST], title="a"))


@pytest.mark.parametrize(
    ("text", "spans", "expected"),
    [
        ("one two three four", [(4, 7), (8, 13)], ("one ", "two three", " four")),
        ("one two three", [(-1, -1), (4, 7)], ("one ", "two", " three")),
        ("one two three", [(0, 13)], ("", "one two three", "")),
        ("one two three", [(-1, -1)], ("", EVIDENCE, "")),
        ("", [(0, 3)], ("", EVIDENCE, "")),
    ],
    ids=["several lines", "one is not there", "the whole", "none is there", "no text"],
)
def test_the_evidence_stands_between_what_surrounds_it(text, spans, expected):
    lines = [Line("sentence", "b", "c", *span) for span in spans]
    assert surroundings(SpokenDocument(replace(SCRIPT, lines=lines), CHUNKS, text)) == expected


def test_what_surrounds_evidence_is_cut_to_size():
    text = "x " * 1000 + "here it is" + " y" * 1000
    lines = [Line("sentence", "b", "c", 2000, 2010)]
    before, span, after = surroundings(SpokenDocument(replace(SCRIPT, lines=lines), CHUNKS, text))
    assert span == "here it is"
    assert len(before) == len(after) == 401
    assert before.startswith("\u2026")
    assert after.endswith("\u2026")
