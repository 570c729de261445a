"""What a reader of the page of questions finds, and which questions are drawn."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import numpy as np

from spelangy_assets.report.question_page import Answer, AnsweredQuestion, question_page
from spelangy_assets.stages.write_question_page import draw
from spelangy_model.audio.io import encode_flac
from spelangy_model.records import Audio, SpokenQuestion

FLAC = encode_flac(0.1 * np.sin(np.arange(8000, dtype=np.float32) / 20).astype(np.float32))
QUESTION = SpokenQuestion(
    *(
        "q0",
        "t0",
        "c0",
        "bench",
        "split",
        "Who <is> it?",
        "who is it",
        "en-us+m1",
        "en-us",
        ["Ann", "Ben"],
        1,
        "person",
    ),
    audio=Audio(FLAC, "q0.flac"),
)
LIKELY = Answer(1, [float(np.log(0.2)), float(np.log(0.6))], transcript="Who is its?")
ASKED = [
    AnsweredQuestion(QUESTION, {"cascade": LIKELY, "fine": Answer(0, [-1.0, -1.0], words="Ann & co.")}),
    AnsweredQuestion(
        replace(QUESTION, question_id="q1", answer_index=0), {"cascade": None, "fine": Answer(0, [0, -1])}
    ),
]


def page(asked: list[AnsweredQuestion] = ASKED, **changes: Any) -> str:
    return question_page(asked, title="Questions", of=40, board="board", **{"audio_bytes": 1 << 20, **changes})


def test_the_page_has_the_sound_the_answers_their_shares_and_the_transcript(parsed: Any) -> None:
    shown = page()
    sources = parsed(shown).values("audio", "src")
    assert sources == [f"data:audio/flac;base64,{base64.b64encode(FLAC).decode()}"] * 2
    for text in (
        "2 of 40 spoken questions",
        "Who &lt;is&gt; it?",
        "Ben \u2713",
        "Ann \u2717",
        "25.0%",
        "75.0%",
        "50.0%",
    ):
        assert text in shown
    for text in ("Who is its?", "Ann &amp; co.", "was not asked", '<th scope="col">transcript</th>', "in words</th>"):
        assert text in shown
    cascade, fine = (row for row in shown.split("<tr>") if '<td class="number">' in row and "%" not in row)
    assert [part.split("<")[0] for part in cascade.split('class="number">')[1:]] == ["1", "1"]
    assert [part.split("<")[0] for part in fine.split('class="number">')[1:]] == ["1", "2"]
    assert shown == page()


def test_columns_that_hold_nothing_and_sound_beyond_the_limit_are_left_out(parsed: Any) -> None:
    bare = page([AnsweredQuestion(QUESTION, {"fine": Answer(0, [-1.0, -1.0])})], audio_bytes=10)
    assert "transcript</th>" not in bare and "in words</th>" not in bare
    assert "audio not embedded" in bare and parsed(bare).values("audio", "src") == []


def test_questions_are_drawn_by_the_seed_first_those_that_systems_were_asked_and_of_other_texts() -> None:
    questions = {f"q{i}": replace(QUESTION, question_id=f"q{i}", text_id=f"t{i // 2}") for i in range(40)}
    of_a_system = [f"q{i}" for i in range(10)]
    drawn = draw(questions, [of_a_system], 8, seed=3)
    assert draw(questions, [of_a_system], 8, seed=3) == drawn != draw(questions, [of_a_system], 8, seed=4)
    assert len({questions[one].text_id for one in drawn}) == 8
    assert set(drawn[:5]) <= set(of_a_system)
    assert sorted(draw(questions, [], 100, seed=3)) == sorted(questions)
