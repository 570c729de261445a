"""Files of conversations: what is read of each format, and what a bad record is called."""

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from spelangy_model.data.conversation_files import (
    ConversationFileError,
    GivenConversation,
    digest_of_conversations,
    parts_of,
    read_part,
)
from spelangy_model.records import Reject


def read(path: Path, file_format: str) -> list[GivenConversation | Reject]:
    parts = parts_of(path, file_format)
    found = [one for part, _ in parts for one in read_part(path, file_format, part, "CC0-1.0")]
    assert len(found) == sum(count for _, count in parts), "a block of a part is found by its count"
    return found


def lines(path: Path, *records: object) -> Path:
    path.write_text("".join(f"{one if isinstance(one, str) else json.dumps(one)}\n" for one in records))
    return path


def reasons(found: list[GivenConversation | Reject]) -> list[str]:
    return [one.reason if isinstance(one, Reject) else "" for one in found]


def turns(one: GivenConversation | Reject) -> list[tuple[str, str]]:
    assert isinstance(one, GivenConversation), one
    return [(turn.role, turn.text) for turn in one.turns]


def test_alpaca_is_an_instruction_with_its_input_and_an_output(tmp_path: Path) -> None:
    records = [
        {"instruction": "Name a color.", "input": "", "output": "Red."},
        {"instruction": "Say it in French.", "input": "Good morning", "output": "Bonjour"},
        {"instruction": "Name a color.", "output": None},
        {"instruction": " ", "output": "Red."},
        {"input": "x", "output": "Red."},
        ["no object"],
        "{ no json",
    ]
    found = read(lines(tmp_path / "a.jsonl", *records), "alpaca")
    assert turns(found[0]) == [("user", "Name a color."), ("assistant", "Red.")]
    assert turns(found[1])[0] == ("user", "Say it in French.\nGood morning")
    assert reasons(found[2:]) == [
        "null_answer",
        "null_instruction",
        "null_instruction",
        "bad_record",
        "bad_record",
    ]
    assert isinstance(found[2], Reject)
    assert found[2].source_uri == "a.jsonl#line 3"
    assert found[2].error == "'output' is missing, null, empty or no text"
    (tmp_path / "a.json").write_text(json.dumps(records[:2]))
    assert [turns(one) for one in read(tmp_path / "a.json", "alpaca")] == [turns(one) for one in found[:2]]


def test_messages_have_roles_in_order_and_recordings_beside_the_file(tmp_path: Path) -> None:
    (tmp_path / "q.wav").write_bytes(b"RIFF")
    (tmp_path.parent / "outside.wav").write_bytes(b"RIFF")
    user, answer = {"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Nina."}
    spoken = {"role": "user", "audio": "q.wav"}
    found = read(
        lines(
            tmp_path / "m.jsonl",
            {"messages": [{"role": "system", "content": "Be short."}, user, answer, user, answer]},
            {"messages": [spoken, answer]},
            {"messages": [user, user, answer]},
            {"messages": [user]},
            {"messages": [user, {"role": "assistant", "content": None}]},
            {"messages": [{"role": "user", "audio": "gone.wav"}, answer]},
            {"messages": [{"role": "user", "audio": "../outside.wav"}, answer]},
            {"messages": [{"role": "tool", "content": "x"}, answer]},
            {"text": "no messages"},
        ),
        "messages",
    )
    assert [role for role, _ in turns(found[0])] == ["system", "user", "assistant", "user", "assistant"]
    assert isinstance(found[1], GivenConversation)
    assert found[1].turns[0].sound == tmp_path / "q.wav"
    assert found[1].turns[0].text == ""
    assert reasons(found[2:]) == [
        "role_order",
        "role_order",
        "null_answer",
        "missing_audio",
        "missing_audio",
        "role_order",
        "bad_record",
    ]


def flac() -> bytes:
    stream = io.BytesIO()
    soundfile.write(stream, np.sin(np.arange(8000) / 20), 16_000, format="FLAC")
    return stream.getvalue()


def test_voice_assistant_is_parquet_whose_row_groups_are_parts(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    sound = {"bytes": flac(), "path": "a.flac"}
    rows = [
        {"question_audio": sound, "question": "Who?", "answer": "Nina.", "round": "1"},
        {"question_audio": sound, "question": None, "answer": "Nina.", "round": "1"},
        {"question_audio": sound, "question": "Who?", "answer": None, "round": "1"},
        {"question_audio": {"bytes": None, "path": "b.flac"}, "question": "Who?", "answer": "Nina.", "round": "1"},
    ]
    pq.write_table(pa.Table.from_pylist(rows[:3]), folder / "train-0.parquet", row_group_size=2)
    pq.write_table(pa.Table.from_pylist(rows[3:], schema=pa.Table.from_pylist(rows).schema), folder / "train-1.parquet")
    assert parts_of(folder, "voice_assistant") == [
        ("train-0.parquet#0", 2),
        ("train-0.parquet#1", 1),
        ("train-1.parquet#0", 1),
    ]
    found = read(folder, "voice_assistant")
    assert turns(found[0]) == [("user", "Who?"), ("assistant", "Nina.")]
    assert turns(found[1])[0] == ("user", "")
    assert reasons(found) == ["", "", "null_answer", "missing_audio"]
    assert isinstance(found[2], Reject)
    assert found[2].source_uri == "train-0.parquet#row=2"
    whole = digest_of_conversations(folder)
    pq.write_table(pa.Table.from_pylist(rows[:2]), folder / "train-0.parquet")
    assert digest_of_conversations(folder) != whole


def test_a_file_that_cannot_be_read_is_named_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConversationFileError, match=r"a\.jsonl: no such file"):
        parts_of(tmp_path / "a.jsonl", "alpaca")
    with pytest.raises(ConversationFileError, match="no format 'sharegpt': choose one of alpaca"):
        parts_of(tmp_path, "sharegpt")
    with pytest.raises(ConversationFileError, match="no Parquet file is there"):
        parts_of(tmp_path, "voice_assistant")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1")
    with pytest.raises(ConversationFileError, match=r"torn\.parquet: no Parquet file that can be read"):
        parts_of(tmp_path / "torn.parquet", "voice_assistant")
    pq.write_table(pa.table({"audio": ["x"], "text": ["y"]}), tmp_path / "other.parquet")
    with pytest.raises(ConversationFileError, match=r"no column 'question_audio', but audio, text"):
        parts_of(tmp_path / "other.parquet", "voice_assistant")
