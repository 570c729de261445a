"""Question sets as their publishers lay them out, read into one form.

Put here: the readers. Do not put here: distractors (distractors.py) or speech. Each reader takes the path of a file and
yields RawQuestion in the file's order; a record that is not what its format says raises QuestionFileError with the
file, the record and what is wrong. Formats, with their sources:

    webquestions   JSON list of {qId, qText, answers} (github.com/brmson/dataset-factoid-webquestions); a file of
                   relation paths beside it, relation_paths_*.json with {qId, relPaths}, types the answers
    triviaqa       JSON or JSON lines of {question, question_id, answer: {value, aliases}} (Hugging Face, trivia_qa)
    table          CSV or TSV with a header: Questions, Answer, Wav Filename (LLaMA-Questions), and the like with a
                   column of recordings (OpenAudioBench); they lie beside the file, or in audios/ or wav/ beside it
    opentriviaqa   #Q question, ^ answer, A to D options (github.com/uberspot/OpenTriviaQA); others than four options go
    jsonl          one's own: {question, answer or answers, and if known id, options, relation, audio (a path)}
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_COLUMNS = {
    "question": ("question", "questions", "prompt", "instruction"),
    "answer": ("answer", "answers", "reference", "target"),
    "audio": ("wav filename", "audio_filename", "audio", "audio_path", "filename"),
}


class QuestionFileError(Exception):
    """A question file that is not what its format says. The text names the file, the record and what is wrong."""


@dataclass(frozen=True, slots=True)
class RawQuestion:
    """A question with all answers that count as right, the first of which is the one to be chosen.

    `options` are the four of the file, where it has them; `relation` is empty where it is not known; `audio` is the
    recording of the question, None where it is to be spoken.
    """

    question_id: str
    question: str
    answers: tuple[str, ...]
    relation: str = ""
    options: tuple[str, ...] = ()
    audio: Path | None = None


def read_questions(path: Path, file_format: str) -> list[RawQuestion]:
    """Read a file in one of FORMATS. Raises QuestionFileError, also for no file, no question and an id given twice."""
    if file_format not in FORMATS:
        raise QuestionFileError(f"no format {file_format!r}: choose one of {', '.join(FORMATS)}")
    if not path.is_file():
        raise QuestionFileError(f"{path}: no such file")
    try:
        questions = list(FORMATS[file_format](path))
    except (UnicodeDecodeError, json.JSONDecodeError, csv.Error) as error:
        raise QuestionFileError(f"{path}: is no {file_format} file: {error}") from error
    seen: set[str] = set()
    for question in questions:
        if question.question_id in seen:
            raise QuestionFileError(f"{path}: the id {question.question_id!r} is given twice")
        seen.add(question.question_id)
        if not question.question or not question.answers or not all(question.answers):
            raise QuestionFileError(f"{path}: question {question.question_id!r} has no text or no answer")
        if question.audio is not None and not question.audio.is_file():
            raise QuestionFileError(f"{path}: question {question.question_id!r}: no recording {question.audio.name!r}")
    if not questions:
        raise QuestionFileError(f"{path}: holds no question")
    return questions


def digest_of_questions(path: Path, questions: list[RawQuestion]) -> str:
    """Return the SHA-256 over the file and its recordings in order, in hexadecimal: what a recipe states of a set."""
    digest = hashlib.sha256(path.read_bytes())
    for relation_file in _relation_files(path):
        digest.update(relation_file.read_bytes())
    for question in questions:
        if question.audio is not None:
            digest.update(hashlib.sha256(question.audio.read_bytes()).digest())
    return digest.hexdigest()


def _relation_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"relation_paths_{path.stem}.json")) if path.suffix == ".json" else []


def _field(record: Any, name: str, kind: type | tuple[type, ...], path: Path, where: str) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get(name), kind):
        raise QuestionFileError(f"{path}: {where}: {name!r} is missing or of another type")
    return record[name]


def _texts(values: list[Any], path: Path, where: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise QuestionFileError(f"{path}: {where}: an answer that is no text")
    return tuple(dict.fromkeys(value.strip() for value in values))


def _web_questions(path: Path) -> Iterator[RawQuestion]:
    relations: dict[str, str] = {}
    for file in _relation_files(path):
        for record in json.loads(file.read_text("utf-8")):
            if record["relPaths"]:
                relations[record["qId"]] = " ".join(record["relPaths"][0][0])
    for number, record in enumerate(json.loads(path.read_text("utf-8")), start=1):
        where = f"record {number}"
        question_id = _field(record, "qId", str, path, where)
        answers = _texts(_field(record, "answers", list, path, where), path, where)
        text = _field(record, "qText", str, path, where).strip()
        yield RawQuestion(question_id, text, answers, relations.get(question_id, ""))


def _json_records(path: Path) -> Iterator[tuple[str, Any]]:
    text = path.read_text("utf-8")
    if text.lstrip().startswith("["):
        yield from ((f"record {number}", record) for number, record in enumerate(json.loads(text), start=1))
        return
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield f"line {number}", json.loads(line)


def _trivia_qa(path: Path) -> Iterator[RawQuestion]:
    for where, record in _json_records(path):
        answer = _field(record, "answer", dict, path, where)
        value = _field(answer, "value", str, path, where)
        yield RawQuestion(
            _field(record, "question_id", str, path, where),
            _field(record, "question", str, path, where).strip(),
            _texts([value, *answer.get("aliases", [])], path, where),
        )


def _jsonl(path: Path) -> Iterator[RawQuestion]:
    for where, record in _json_records(path):
        question = _field(record, "question", str, path, where).strip()
        answers = [record["answer"]] if "answer" in record else _field(record, "answers", list, path, where)
        options = _texts(record.get("options", []), path, where)
        if options and (len(options) != 4 or answers[0].strip() not in options):
            raise QuestionFileError(f"{path}: {where}: options are four, and the answer is one of them")
        yield RawQuestion(
            str(record.get("id", where)),
            question,
            _texts(answers, path, where),
            str(record.get("relation", "")),
            options,
            path.parent / record["audio"] if record.get("audio") else None,
        )


def _table(path: Path) -> Iterator[RawQuestion]:
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream, delimiter="\t" if path.suffix == ".tsv" else ",")
        names = {name.strip().lower(): name for name in rows.fieldnames or ()}
        columns = {
            role: next((names[choice] for choice in choices if choice in names), None)
            for role, choices in _COLUMNS.items()
        }
        for role in ("question", "answer"):
            if columns[role] is None:
                raise QuestionFileError(f"{path}: no column of {role}s among {sorted(names)}")
        for number, row in enumerate(rows, start=1):
            texts = {role: (row.get(name) or "").strip() if name else "" for role, name in columns.items()}
            answers = _listed(texts["answer"])
            audio = _recording(path, texts["audio"]) if texts["audio"] else None
            yield RawQuestion(f"row {number}", texts["question"], answers, audio=audio)


def _listed(cell: str) -> tuple[str, ...]:
    """Return the answers of a cell: one, or a list in JSON."""
    if cell.startswith("["):
        try:
            return tuple(str(answer).strip() for answer in json.loads(cell))
        except json.JSONDecodeError:
            return (cell,)
    return (cell,)


def _recording(path: Path, name: str) -> Path:
    places = [path.parent / name, *(path.parent / folder / Path(name).name for folder in ("audios", "audio", "wav"))]
    return next((place for place in places if place.is_file()), places[0])


def _open_trivia_qa(path: Path) -> Iterator[RawQuestion]:
    blocks = path.read_text("utf-8", errors="replace").split("#Q ")[1:]  # stray bytes of other encodings are in it
    for number, block in enumerate(blocks, start=1):
        lines = [line.strip() for line in block.splitlines() if line.strip()]
        mark = next((i for i, line in enumerate(lines) if line.startswith("^ ")), None)
        if not mark:
            continue
        answer = lines[mark][2:].strip()
        options = tuple(line[2:].strip() for line in lines[mark + 1 :] if line[:2] in ("A ", "B ", "C ", "D "))
        question = " ".join(lines[:mark])
        if len(set(options)) == 4 and answer in options and "\ufffd" not in question + "".join(options):
            yield RawQuestion(f"{path.stem} {number}", question, (answer,), options=options)


FORMATS: dict[str, Callable[[Path], Iterator[RawQuestion]]] = {
    "webquestions": _web_questions,
    "triviaqa": _trivia_qa,
    "table": _table,
    "opentriviaqa": _open_trivia_qa,
    "jsonl": _jsonl,
}
