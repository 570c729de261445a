"""Read conversations in their publishers' formats into one form.

Put here: the readers. Do not put here: speech, tokens, or the template (conversations.py). Formats, with their sources:

    alpaca            JSON or JSON lines of {instruction, input, output}: the instruction, with its input after it, is
                      answered by the output (github.com/tatsu-lab/stanford_alpaca, and the many in its form)
    messages          JSON lines of {messages: [{role, content}, ...]}, roles system, user, assistant (OpenAI's form);
                      a user's message may have `audio`, a path beside the file, instead of its content or with it
    voice_assistant   Parquet with columns question_audio {bytes, path}, question and answer
                      (huggingface.co/datasets/gpt-omni/VoiceAssistant-400K); each row is a conversation of its own

A file is read in parts: a JSON file is one, of a Parquet file, or a folder of them, each row group. A record that is no
conversation is given back with its reason: bad_record (no JSON, or no object), null_instruction, null_answer,
missing_audio, role_order.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_model.data.conversations import ASSISTANT, USER, ConversationError, check_roles
from spelangy_model.guarded_json import is_text, read_rows
from spelangy_model.records import Reject

_PARQUET = {"audio": "question_audio", "text": "question", "answer": "answer"}


class ConversationFileError(Exception):
    """A file of conversations that cannot be read at all. The text names the file and the cure."""


@dataclass(frozen=True, slots=True)
class GivenTurn:
    """A turn as a source gives it; `sound` is its recording (a file, or a file's bytes), None: it has none."""

    role: str
    text: str
    sound: Path | bytes | None = None


@dataclass(frozen=True, slots=True)
class GivenConversation:
    """A conversation as a source gives it; `given_id` is unique in its set, `source_uri` names file and record."""

    given_id: str
    source_uri: str
    licence: str
    turns: tuple[GivenTurn, ...]


Turns = Sequence[GivenTurn]


def parts_of(path: Path, file_format: str) -> list[tuple[str, int]]:
    """Return the parts of a file or folder, each with the number of its records.

    Raises ConversationFileError for a path or format that is not there, and a Parquet file without the columns.
    """
    if file_format not in FORMATS:
        raise ConversationFileError(f"no format {file_format!r}: choose one of {', '.join(FORMATS)}")
    if file_format != "voice_assistant":
        if not path.is_file():
            raise ConversationFileError(f"{path}: no such file")
        with path.open("rb") as stream:
            return [(path.name, sum(1 for _ in read_rows(stream)))]
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    if not files or not all(file.is_file() for file in files):
        raise ConversationFileError(f"{path}: no Parquet file is there")
    found = []
    for file in files:
        with _opened(file) as parquet:
            metadata = parquet.metadata
            found += [
                (f"{file.name}#{group}", metadata.row_group(group).num_rows) for group in range(metadata.num_row_groups)
            ]
    return found


def read_part(path: Path, file_format: str, part: str, licence: str) -> Iterator[GivenConversation | Reject]:
    """Yield the records of a part in order: a conversation, or a reject with its reason."""
    for given_id, uri, read in FORMATS[file_format](path, part):
        try:
            turns = tuple(read())
            check_roles([turn.role for turn in turns])
            if not all(is_text(turn.text) for turn in turns):
                raise ConversationError("bad_record", "it holds half a character; write it as UTF-8")
        except ConversationError as error:
            yield Reject(uri, given_id, error.reason, str(error))
        else:
            yield GivenConversation(given_id, uri, licence, turns)


def digest_of_conversations(path: Path) -> str:
    """Return the SHA-256 over a file, or over the Parquet files of a folder in order, as a recipe states it.

    Recordings that a file of messages names are not part of it.
    """
    digest = hashlib.sha256()
    for file in sorted(path.glob("*.parquet")) if path.is_dir() else [path]:
        with file.open("rb") as stream:
            digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


Read = Callable[[], Turns]


def _json_rows(path: Path, turns: Callable[[dict[str, Any], Path], Turns]) -> Iterator[tuple[str, str, Read]]:
    with path.open("rb") as stream:
        for row in read_rows(stream):

            def read(row: Any = row) -> Turns:
                if row.error or not isinstance(row.value, dict):
                    raise ConversationError("bad_record", row.error or "it is no JSON object")
                return turns(row.value, path)

            yield row.place, f"{path.name}#{row.place}", read


def _alpaca(path: Path, part: str) -> Iterator[tuple[str, str, Read]]:
    return _json_rows(path, _alpaca_turns)


def _alpaca_turns(record: dict[str, Any], path: Path) -> Turns:
    asked = [_text(record, "instruction", "null_instruction")]
    if record.get("input"):
        asked.append(_text(record, "input", "null_instruction"))
    return GivenTurn(USER, "\n".join(asked)), GivenTurn(ASSISTANT, _text(record, "output", "null_answer"))


def _messages(path: Path, part: str) -> Iterator[tuple[str, str, Read]]:
    return _json_rows(path, _message_turns)


def _message_turns(record: dict[str, Any], path: Path) -> Turns:
    messages = record.get("messages")
    if not isinstance(messages, list) or not all(isinstance(one, dict) for one in messages):
        raise ConversationError("bad_record", "'messages' is no list of objects with a role and a content")
    turns = []
    for one in messages:
        role, audio = str(one.get("role")), one.get("audio")
        if audio and role == USER:
            sound = path.parent / str(audio)
            if not sound.resolve().is_relative_to(path.parent.resolve()) or not sound.is_file():
                raise ConversationError("missing_audio", f"there is no recording {audio!r} beside the file")
            turns.append(GivenTurn(role, str(one.get("content") or ""), sound))
        else:
            turns.append(
                GivenTurn(role, _text(one, "content", "null_answer" if role == ASSISTANT else "null_instruction"))
            )
    return turns


def _voice_assistant(path: Path, part: str) -> Iterator[tuple[str, str, Read]]:
    name, _, group = part.rpartition("#")
    file = path / name if path.is_dir() else path
    with _opened(file) as parquet:
        first = sum(parquet.metadata.row_group(before).num_rows for before in range(int(group)))
        rows = parquet.read_row_group(int(group), columns=list(_PARQUET.values())).to_pylist()
    for number, row in zip(itertools.count(first), rows, strict=False):
        yield f"{name} row {number}", f"{name}#row={number}", lambda row=row: _spoken_turns(row)


def _spoken_turns(row: dict[str, Any]) -> Turns:
    audio = row[_PARQUET["audio"]]
    sound = audio.get("bytes") if isinstance(audio, dict) else None
    if not sound:
        raise ConversationError("missing_audio", "question_audio holds no bytes: publish the set with its sound")
    answer = GivenTurn(ASSISTANT, _text(row, _PARQUET["answer"], "null_answer"))
    return GivenTurn(USER, str(row[_PARQUET["text"]] or "").strip(), sound), answer


def _text(record: dict[str, Any], name: str, reason: str) -> str:
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        raise ConversationError(reason, f"{name!r} is missing, null, empty or no text")
    return value.strip()


def _opened(file: Path) -> pq.ParquetFile:
    try:
        parquet = pq.ParquetFile(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise ConversationFileError(f"{file}: no Parquet file that can be read: {error}") from error
    missing = [name for name in _PARQUET.values() if name not in parquet.schema_arrow.names]
    if missing:
        parquet.close()
        raise ConversationFileError(
            f"{file}: it has no column {missing[0]!r}, but {', '.join(parquet.schema_arrow.names)}"
        )
    return parquet


FORMATS: dict[str, Callable[[Path, str], Iterator[tuple[str, str, Read]]]] = {
    "alpaca": _alpaca,
    "messages": _messages,
    "voice_assistant": _voice_assistant,
}
