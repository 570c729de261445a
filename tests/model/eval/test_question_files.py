"""Question files in each publisher's layout, and four options that only the question distinguishes."""

from __future__ import annotations

import contextlib
import csv
import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from spelangy_model.audio.io import encode_flac
from spelangy_model.eval.distractors import answer_type, four_options
from spelangy_model.eval.question_files import QuestionFileError, RawQuestion, digest_of_questions, read_questions
from spelangy_model.rng import stable_hash

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "qa"


def test_webquestions_with_relations(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    path.write_text(json.dumps([{"qId": "w1", "qText": "who sang it? ", "answers": ["Ann Lee", "A. Lee", "Ann Lee"]}]))
    assert read_questions(path, "webquestions") == [RawQuestion("w1", "who sang it?", ("Ann Lee", "A. Lee"))]
    relations = [{"qId": "w1", "relPaths": [[["/music/artist", "/music/track"], 3]]}]
    (tmp_path / "relation_paths_test.json").write_text(json.dumps(relations))
    assert read_questions(path, "webquestions")[0].relation == "/music/artist /music/track"


@pytest.mark.parametrize("lines", [True, False])
def test_triviaqa_as_list_and_as_lines(tmp_path: Path, lines: bool) -> None:
    record = {"question": "Which?", "question_id": "t1", "answer": {"value": "Sun", "aliases": ["The Sun", "Sun"]}}
    path = tmp_path / "t.json"
    path.write_text(json.dumps(record) if lines else json.dumps([record]))
    assert read_questions(path, "triviaqa") == [RawQuestion("t1", "Which?", ("Sun", "The Sun"))]


def test_llama_questions_with_their_recordings(tmp_path: Path) -> None:
    path = tmp_path / "llama_questions_300.tsv"
    path.write_text("Questions\tAnswer\tWav Filename\nWhat is the capital of France?\tParis\t1.wav\n")
    with pytest.raises(QuestionFileError, match=r"'row 1': no recording '1\.wav'"):
        read_questions(path, "table")
    (tmp_path / "1.wav").write_bytes(encode_flac(np.zeros(160, np.float32)))
    (question,) = read_questions(path, "table")
    assert (question.question, question.answers, question.audio) == (
        "What is the capital of France?",
        ("Paris",),
        tmp_path / "1.wav",
    )


def test_a_csv_with_recordings_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "audios").mkdir()
    (tmp_path / "audios" / "a.mp3").write_bytes(b"x")
    path = tmp_path / "web.csv"
    path.write_text('question,answers,audio_filename\n"Who, then?","[""Ann"", ""Lee""]",a.mp3\n')
    (question,) = read_questions(path, "table")
    assert (question.question, question.answers, question.audio) == (
        "Who, then?",
        ("Ann", "Lee"),
        tmp_path / "audios" / "a.mp3",
    )


def test_open_trivia_keeps_what_has_four_options(tmp_path: Path) -> None:
    path = tmp_path / "world.txt"
    path.write_text("\n#Q Is it?\n^ True\nA True\nB False\n\n#Q Which\none?\n^ c\nA a\nB b\nC c\nD d\n")
    (question,) = read_questions(path, "opentriviaqa")
    assert (question.question, question.answers, question.options) == ("Which one?", ("c",), ("a", "b", "c", "d"))


def test_a_plain_file_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(
        '{"question": "Who?", "answer": "Ann", "id": 7, "relation": "person"}\n\n'
        '{"question": "What?", "answers": ["b", "bee"], "options": ["a", "b", "c", "d"]}\n'
    )
    assert read_questions(path, "jsonl") == [
        RawQuestion("7", "Who?", ("Ann",), "person"),
        RawQuestion("line 3", "What?", ("b", "bee"), "", ("a", "b", "c", "d")),
    ]


@pytest.mark.parametrize(
    ("file_format", "text", "message"),
    [
        ("jsonl", '{"question": "Who?"}', "line 1: 'answers' is missing"),
        ("jsonl", '{"question": "Who?", "answer": ""}', "'line 1' has no text or no answer"),
        ("jsonl", '{"question": "Who?", "answer": "a", "options": ["b"]}', "line 1: options are four"),
        ("jsonl", '{"question": "a?", "answer": "a", "id": 1}\n{"question": "b?", "answer": "b", "id": 1}', "twice"),
        ("jsonl", "{", "is no jsonl file"),
        ("jsonl", "", "holds no question"),
        ("webquestions", '[{"qId": "1"}]', "record 1: 'answers' is missing"),
        ("triviaqa", '[{"question": "a", "question_id": "1", "answer": "b"}]', "record 1: 'answer' is missing"),
        ("table", "a,b\n1,2\n", "no column of questions among"),
        ("parquet", "", "choose one of"),
    ],
)
def test_bad_files_are_named_with_the_record(tmp_path: Path, file_format: str, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    with pytest.raises(QuestionFileError, match=message):
        read_questions(path, file_format)


JSONL = {"question": "Who?", "answer": "Ann", "id": "1"}


@pytest.mark.parametrize("name", ["options", "relation", "audio", "answers", "id", "else"])
def test_null_means_that_a_field_is_not_there(tmp_path: Path, name: str) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({**JSONL, name: None}))
    (question,) = read_questions(path, "jsonl")
    assert question == RawQuestion("line 1" if name == "id" else "1", "Who?", ("Ann",))


def test_null_aliases(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    path.write_text(json.dumps({"question": "Q", "question_id": "1", "answer": {"value": "a", "aliases": None}}))
    assert read_questions(path, "triviaqa") == [RawQuestion("1", "Q", ("a",))]


@pytest.mark.parametrize("value", [3, True, [], {}, [1], ["a", None], math.nan, "\ud83d", "x" * 500])
@pytest.mark.parametrize("name", ["question", "answer", "answers", "options", "relation", "audio", "id"])
def test_a_field_of_another_type_is_named(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "own.jsonl"
    record = {key: given for key, given in JSONL.items() if not (name == "answers" and key == "answer")}
    path.write_text(json.dumps({"question": "First?", "answer": "x"}) + "\n" + json.dumps({**record, name: value}))
    try:
        questions = read_questions(path, "jsonl")
    except QuestionFileError as error:
        assert "own.jsonl: " in str(error)  # noqa: PT017
        assert "line 2" in str(error) or "question '1'" in str(error) or name == "id"  # noqa: PT017
    else:
        assert len(questions) == 2
        assert (name, value) in [("options", []), ("id", 3), ("id", "x" * 500)] or value == "x" * 500


@pytest.mark.parametrize(
    ("cell", "answers"),
    [
        ("['a', 'b']", ("a", "b")),
        ("['a' 'b']", ("a", "b")),
        ("""["it's", 'b']""", ("it's", "b")),
        ("array(['a', 'b'], dtype=object)", ("a", "b")),
        ('["a\\/b", "\\ud83d\\ude00"]', ("a/b", "\U0001f600")),
        ("[1969, 2.5]", ("1969", "2.5")),
        ("[sic] it is so", ("[sic] it is so",)),
        ("['a', 'b'", ("['a', 'b'",)),
        ("['a', open('b')]", ("['a', open('b')]",)),
    ],
)
def test_a_cell_of_several_answers(tmp_path: Path, cell: str, answers: tuple[str, ...]) -> None:
    path = tmp_path / "q.csv"
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([["Questions", "Answer"], ["What?", cell]])
    assert read_questions(path, "table")[0].answers == answers


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize("file_format", ["jsonl", "table", "webquestions"])
def test_marks_at_the_beginning_are_taken(tmp_path: Path, encoding: str, file_format: str) -> None:
    text = {
        "jsonl": '{"question": "Où?", "answer": "là"}',
        "table": "Questions,Answer\nOù?,là\n",
        "webquestions": '[{"qId": "1", "qText": "Où?", "answers": ["là"]}]',
    }[file_format]
    path = tmp_path / "q.csv"
    path.write_bytes(text.encode(encoding))
    (question,) = read_questions(path, file_format)
    assert (question.question, question.answers) == ("Où?", ("là",))


def test_a_recording_is_found_in_any_unicode_form(tmp_path: Path) -> None:
    (tmp_path / "e\u0301.wav").write_bytes(b"x")
    path = tmp_path / "own.jsonl"
    path.write_text(json.dumps({**JSONL, "audio": "\xe9.wav"}))
    assert read_questions(path, "jsonl")[0].audio == tmp_path / "e\u0301.wav"


def test_relations_of_another_shape_are_named(tmp_path: Path) -> None:
    (tmp_path / "test.json").write_text('[{"qId": "1", "qText": "a?", "answers": ["b"]}]')
    for paths in ("[1]", "[[1]]", "[[[1]]]", "[[]]", "null", '"a"'):
        (tmp_path / "relation_paths_test.json").write_text(f'[{{"qId": "1", "relPaths": {paths}}}]')
        with pytest.raises(QuestionFileError, match=r"relation_paths_test\.json: record 1: "):
            read_questions(tmp_path / "test.json", "webquestions")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.sampled_from(["a", "\ud800"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
_FIELDS = ("question", "answer", "answers", "options", "id", "relation", "audio", "question_id", "qId", "qText")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    st.lists(st.dictionaries(st.sampled_from(_FIELDS), _VALUES, max_size=6) | _VALUES, max_size=3),
    st.sampled_from(["webquestions", "triviaqa", "jsonl"]),
)
def test_any_records_are_questions_or_named(tmp_path: Path, records: list[object], file_format: str) -> None:
    path = tmp_path / "any.json"
    path.write_text(json.dumps(records))
    with contextlib.suppress(QuestionFileError):
        for question in read_questions(path, file_format):
            assert question.question
            assert all(question.answers)
            "".join((question.question_id, question.question, question.relation, *question.answers)).encode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=60), st.sampled_from(["webquestions", "triviaqa", "jsonl", "table", "opentriviaqa"]))
def test_any_bytes_are_questions_or_named(tmp_path: Path, data: bytes, file_format: str) -> None:
    path = tmp_path / "any.csv"
    path.write_bytes(b"Questions,Answer\n" * (file_format == "table") + data)
    with contextlib.suppress(QuestionFileError):
        read_questions(path, file_format)


def test_the_digest_sees_questions_and_recordings(tmp_path: Path) -> None:
    path = tmp_path / "own.jsonl"
    path.write_text('{"question": "Who?", "answer": "Ann", "audio": "a.wav"}')
    digests = set()
    for sound in (b"a", b"b"):
        (tmp_path / "a.wav").write_bytes(sound)
        digests.add(digest_of_questions(path, read_questions(path, "jsonl")))
    assert len(digests) == 2


@pytest.mark.parametrize(
    ("question", "answer", "kind"),
    [
        ("when was it?", "1969", "year"),
        ("how many?", "3,000", "number"),
        ("how many?", "twenty five", "number"),
        ("when?", "May 21, 1969", "date"),
        ("who wrote it?", "Ann Lee", "person"),
        ("where is it?", "Rome", "place"),
        ("what country is it in?", "Peru", "place"),
        ("what is it?", "a red fox", "thing_3"),
    ],
)
def test_types_of_answers(question: str, answer: str, kind: str) -> None:
    assert answer_type(question, answer) == kind


def made(count: int) -> list[RawQuestion]:
    """Questions of two relations; some answers are six times as common as others."""
    rng = np.random.default_rng(0)
    shares = 1 / np.sqrt(np.arange(1, 41))
    drawn = rng.choice(40, count, p=shares / shares.sum())
    return [
        RawQuestion(f"q{i}", f"what is {i}?", (f"{'ab'[i % 2]} value{n}", f"alias{n}"), f"relation {i % 2}")
        for i, n in enumerate(drawn)
    ]


def test_distractors_share_the_relation_and_are_no_alias() -> None:
    questions = made(600)
    chosen, dropped = four_options(questions, 0)
    assert dropped == {}
    assert four_options(questions, 0)[0] == chosen
    assert four_options(questions, 1)[0] != chosen
    for question in chosen:
        assert len(set(question.options)) == 4
        assert question.options[question.answer_index] == question.raw.answers[0]
        assert {option[0] for option in question.options} == {question.raw.answers[0][0]}


def test_nothing_that_may_be_right_is_a_distractor() -> None:
    pool = [RawQuestion(f"p{i}", "what is it?", (f"thing{i}",)) for i in range(20)]
    asked = RawQuestion("q", "what is thing3?", ("thing0", "thing1"))
    wider = [RawQuestion("w", "what?", ("the thing0",)), RawQuestion("c", "what?", ("THING1!",))]
    for seed in range(20):
        chosen, _ = four_options([*pool, asked, *wider], seed)
        options = set(next(q for q in chosen if q.raw is asked).options) - {"thing0"}
        assert not options & {"thing1", "thing3", "the thing0", "THING1!"}


def test_a_question_without_enough_answers_of_its_type_is_dropped() -> None:
    pool = [RawQuestion(str(i), "where?", ("Rome",)) for i in range(30)]
    assert four_options(pool, 0) == ([], {"no_distractors": 30})


def test_each_option_is_right_in_one_of_the_four_questions_that_offer_it() -> None:
    chosen, _ = four_options(made(2000), 0)
    blocks: dict[frozenset[str], list[str]] = {}
    for question in chosen:
        blocks.setdefault(frozenset(question.options), []).append(question.raw.answers[0])
    dealt = [block for block, answers in blocks.items() if sorted(answers) == sorted([*block] * (len(answers) // 4))]
    assert sum(len(blocks[block]) for block in dealt) >= 2000 - 3 * 2  # two relations, and what is left over of each
    rule = {option: stable_hash("any rule", option) for block in blocks for option in block}
    right = [max(q.options, key=rule.__getitem__) == q.raw.answers[0] for q in chosen if frozenset(q.options) in dealt]
    assert np.mean(right) == 0.25


def test_the_place_of_an_answer_is_uniform() -> None:
    chosen, _ = four_options(made(2000), 0)
    assert np.bincount([question.answer_index for question in chosen]).tolist() == [500] * 4
    first = [
        "".join(str(question.answer_index) for question in chosen[start : start + 4]) for start in range(0, 2000, 4)
    ]
    assert chisquare(np.bincount([int(hand[0]) for hand in first], minlength=4)).pvalue > 0.01


def test_a_limit_draws_whole_blocks() -> None:
    everything, dropped = four_options(made(2000), 0)
    chosen, same = four_options(made(2000), 0, limit=500)
    assert dropped == same
    assert len(chosen) == 500
    options = {question.raw.question_id: set(question.options) for question in everything}
    assert all(set(question.options) == options[question.raw.question_id] for question in chosen)
    right = Counter(question.raw.answers[0] for question in chosen)
    offered = Counter(option for question in chosen for option in question.options)
    assert sum(offered[option] != 4 * right[option] for option in offered) <= 4  # of the last block


def test_an_answer_that_is_most_of_its_pool_is_no_loss() -> None:
    usual = [RawQuestion(f"u{i}", "where?", ("Rome",), "capital") for i in range(30)]
    rare = [RawQuestion(f"r{i}", "where?", (f"Town{i}",), "capital") for i in range(10)]
    chosen, dropped = four_options([*usual, *rare], 0)
    assert len(chosen) == 40
    assert dropped == {}
    assert {len(set(question.options)) for question in chosen} == {4}


def test_what_a_relation_leaves_over_shares_its_type() -> None:
    relations = {"capital": 5, "river": 6, "lake": 5}
    questions = [
        RawQuestion(f"{name}{i}", "where?", (f"{name} place{i}",), name)
        for name, count in relations.items()
        for i in range(count)
    ]
    chosen, dropped = four_options(questions, 0)
    assert dropped == {}
    assert Counter(question.kind for question in chosen) == {"capital": 4, "river": 4, "lake": 4, "place": 4}


@pytest.mark.skipif(not SHARED.is_dir(), reason="the published question sets are not beside the project")
def test_published_sets_become_four_way_questions() -> None:
    questions = read_questions(SHARED / "webquestions" / "test.json", "webquestions")
    assert len(questions) == 2032
    chosen, dropped = four_options(questions, 0)
    assert len(chosen) + sum(dropped.values()) == 2032
    assert len(chosen) > 2000
    assert sum(question.kind.startswith("/") for question in chosen) > 1100
    trivia = read_questions(SHARED / "opentriviaqa" / "geography.txt", "opentriviaqa")
    assert all(len(set(question.options)) == 4 for question in four_options(trivia, 0)[0])
