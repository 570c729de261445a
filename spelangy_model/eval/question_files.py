"""Read question sets in their publishers' formats into one form.

Put here: the readers. Do not put here: distractors (distractors.py) or speech. Each reader takes the path of a file and
yields RawQuestion in the file's order; a record that violates its format raises QuestionFileError with the
file, the record and what is wrong. null means that a field is not there. Formats, with their sources:

    webquestions   JSON list of {qId, qText, answers} (github.com/brmson/dataset-factoid-webquestions); a file of
                   relation paths beside it, relation_paths_*.json with {qId, relPaths}, types the answers
    triviaqa       JSON or JSON lines of {question, question_id, answer: {value, aliases}} (Hugging Face, trivia_qa)
    table          CSV or TSV with a header: Questions, Answer, Wav Filename (LLaMA-Questions), and the like with a
                   column of recordings (OpenAudioBench); they are beside the file, or in audios/ or wav/ beside it; a
                   cell of several answers is a list in JSON, or as pandas writes one
    opentriviaqa   #Q question, ^ answer, A to D options (github.com/uberspot/OpenTriviaQA); questions with another
                   number of options are dropped
    mmlu           JSON or JSON lines of {question, choices (four), answer (0 to 3, or A to D)}, and if known id,
                   subject, audio (MMLU; SpeechMMLU, whose recordings have the written questions beside them)
    jsonl          custom sets: {question, answer or answers, and if known id, options, relation, audio (a path),
                   cluster}

The cluster of a question, where a file names one: the first of the entity_pages of triviaqa, a column of tables
(cluster, subject, passage or document), `subject` of mmlu, `cluster` of jsonl.
"""

from __future__ import annotations

import ast
import csv
import hashlib
import io
import math
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spelangy_model.guarded_json import JsonError, is_text, parse_json, read_rows, read_text

_COLUMNS = {
    "question": ("question", "questions", "prompt", "instruction"),
    "answer": ("answer", "answers", "reference", "target"),
    "audio": ("wav filename", "audio_filename", "audio", "audio_path", "filename"),
    "cluster": ("cluster", "subject", "passage", "document"),
}


class QuestionFileError(Exception):
    """A question file that violates its format. The text names the file, the record and what is wrong."""


@dataclass(frozen=True, slots=True)
class RawQuestion:
    """A question with all accepted answers; the first one becomes the right option.

    `options` are the four of the file, if it has them; `relation` is empty if it is not known; `audio` is the
    recording of the question, None if it must be synthesized. `cluster` is the subject, source document or passage that
    it shares with others; empty if the file names none.
    """

    question_id: str
    question: str
    answers: tuple[str, ...]
    relation: str = ""
    options: tuple[str, ...] = ()
    audio: Path | None = None
    cluster: str = ""


def read_questions(path: Path, file_format: str) -> list[RawQuestion]:
    """Read a file in one of FORMATS. Raises QuestionFileError, also for a missing file, no question, a repeated id."""
    if file_format not in FORMATS:
        raise QuestionFileError(f"no format {file_format!r}: choose one of {', '.join(FORMATS)}")
    if not _is_file(path):
        raise QuestionFileError(f"{path}: no such file")
    try:
        questions = list(FORMATS[file_format](path))
    except JsonError as error:
        raise QuestionFileError(f"{path}: is no {file_format} file: {error}") from error
    except OSError as error:
        raise QuestionFileError(f"{error.filename or path}: {error.strerror or error}") from error
    seen: set[str] = set()
    for question in questions:
        named = f"{path}: question {question.question_id!r}"
        if question.question_id in seen:
            raise QuestionFileError(f"{path}: the id {question.question_id!r} is given twice")
        seen.add(question.question_id)
        if not question.question or not question.answers or not all(question.answers):
            raise QuestionFileError(f"{named} has no text or no answer")
        if not all(
            map(
                is_text,
                (question.question_id, question.question, question.relation, question.cluster, *question.answers),
            )
        ):
            raise QuestionFileError(f"{named} holds half a character; write it as UTF-8")
        if question.audio is not None and not _is_file(question.audio):
            raise QuestionFileError(f"{named}: no recording {question.audio.name!r}")
    if not questions:
        raise QuestionFileError(f"{path}: holds no question")
    return questions


def digest_of_questions(path: Path, questions: list[RawQuestion]) -> str:
    """Return the SHA-256 over the file and its recordings in order, in hexadecimal, as a recipe states it for a set."""
    digest = hashlib.sha256(path.read_bytes())
    for relation_file in _relation_files(path):
        digest.update(relation_file.read_bytes())
    for question in questions:
        if question.audio is not None:
            digest.update(hashlib.sha256(question.audio.read_bytes()).digest())
    return digest.hexdigest()


def _relation_files(path: Path) -> list[Path]:
    return sorted(path.parent.glob(f"relation_paths_{path.stem}.json")) if path.suffix == ".json" else []


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is longer than any file's
        return False


def _field(record: Any, name: str, kind: type, path: Path, where: str) -> Any:
    if not isinstance(record, dict) or not isinstance(record.get(name), kind):
        raise QuestionFileError(f"{path}: {where}: {name!r} is missing or of another type")
    return record[name]


def _optional(record: dict[str, Any], name: str, kind: type, default: Any, path: Path, where: str) -> Any:
    """Return a field that may be missing or null."""
    return default if record.get(name) is None else _field(record, name, kind, path, where)


def _texts(values: list[Any], path: Path, where: str) -> tuple[str, ...]:
    if not all(isinstance(value, str) for value in values):
        raise QuestionFileError(f"{path}: {where}: an answer or option that is no text")
    return tuple(dict.fromkeys(value.strip() for value in values))


def _web_questions(path: Path) -> Iterator[RawQuestion]:
    relations: dict[str, str] = {}
    for file in _relation_files(path):
        for where, record in _json_records(file):
            paths = _field(record, "relPaths", list, file, where)
            if paths:
                relations[_field(record, "qId", str, file, where)] = _first_path(paths, file, where)
    for where, record in _json_records(path):
        question_id = _field(record, "qId", str, path, where)
        answers = _texts(_field(record, "answers", list, path, where), path, where)
        text = _field(record, "qText", str, path, where).strip()
        yield RawQuestion(question_id, text, answers, relations.get(question_id, ""))


def _first_path(paths: list[Any], path: Path, where: str) -> str:
    """Return the first of relPaths, [[[relation, ...], count], ...], as one text."""
    first = paths[0][0] if isinstance(paths[0], list) and paths[0] else None
    if not isinstance(first, list) or not all(isinstance(part, str) for part in first):
        raise QuestionFileError(f"{path}: {where}: relPaths holds no list of relations")
    return " ".join(first)


def _json_records(path: Path) -> Iterator[tuple[str, Any]]:
    with path.open("rb") as stream:
        for row in read_rows(stream):
            if row.error:
                raise JsonError(f"{row.place}: {row.error}")
            yield row.place, row.value


def _trivia_qa(path: Path) -> Iterator[RawQuestion]:
    for where, record in _json_records(path):
        answer = _field(record, "answer", dict, path, where)
        value = _field(answer, "value", str, path, where)
        yield RawQuestion(
            _field(record, "question_id", str, path, where),
            _field(record, "question", str, path, where).strip(),
            _texts([value, *_optional(answer, "aliases", list, [], path, where)], path, where),
            cluster=_subject(record.get("entity_pages")),
        )


def _subject(pages: Any) -> str:
    """Return the title of the first page of the entities that a question names: {title: [...]} or [{title}, ...]."""
    titles = pages.get("title") if isinstance(pages, dict) else pages
    first = titles[0] if isinstance(titles, list) and titles else ""
    title = first.get("title") if isinstance(first, dict) else first
    return title.strip() if isinstance(title, str) else ""


def _jsonl(path: Path) -> Iterator[RawQuestion]:
    for where, record in _json_records(path):
        question = _field(record, "question", str, path, where).strip()
        answer = _optional(record, "answer", str, None, path, where)
        answers = [answer] if answer is not None else _field(record, "answers", list, path, where)
        texts = _texts(answers, path, where)
        options = _texts(_optional(record, "options", list, [], path, where), path, where)
        if options and (len(options) != 4 or not texts or texts[0] not in options):
            raise QuestionFileError(f"{path}: {where}: options are four, and the answer is one of them")
        if options and not all(options):
            raise QuestionFileError(f"{path}: {where}: an option without text")
        audio = _optional(record, "audio", str, "", path, where)
        yield RawQuestion(
            _id(record, path, where),
            question,
            texts,
            _optional(record, "relation", str, "", path, where),
            options,
            _named(path.parent / audio) if audio else None,
            _optional(record, "cluster", str, "", path, where).strip(),
        )


def _mmlu(path: Path) -> Iterator[RawQuestion]:
    for where, record in _json_records(path):
        choices = _texts(_field(record, "choices", list, path, where), path, where)
        answer = record.get("answer")
        place = "ABCD".find(answer) if isinstance(answer, str) and len(answer) == 1 else answer
        if len(choices) != 4 or not all(choices):
            raise QuestionFileError(f"{path}: {where}: 'choices' are four different texts")
        if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < 4:
            raise QuestionFileError(f"{path}: {where}: 'answer' is 0 to 3 or A to D, not {answer!r}")
        audio = _optional(record, "audio", str, "", path, where)
        subject = _optional(record, "subject", str, "", path, where)
        yield RawQuestion(
            _id(record, path, where),
            _field(record, "question", str, path, where).strip(),
            (choices[place],),
            subject,
            choices,
            _named(path.parent / audio) if audio else None,
            subject.strip(),
        )


def _id(record: dict[str, Any], path: Path, where: str) -> str:
    """Return a record's id, a text or a whole number; else its place."""
    given = record.get("id")
    if isinstance(given, bool) or not isinstance(given, str | int | None):
        raise QuestionFileError(f"{path}: {where}: 'id' is neither a text nor a whole number")
    return where if given is None else str(given)


def _named(path: Path) -> Path:
    """Return a file by its name in any of Unicode's normal forms: a list may be composed, and a disk decomposed."""
    if _is_file(path) or not _is_folder(path.parent):
        return path
    composed = unicodedata.normalize("NFC", path.name)
    found = [other for other in path.parent.iterdir() if unicodedata.normalize("NFC", other.name) == composed]
    return found[0] if len(found) == 1 else path


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _table(path: Path) -> Iterator[RawQuestion]:
    rows = csv.DictReader(io.StringIO(read_text(path), newline=""), delimiter="\t" if path.suffix == ".tsv" else ",")
    try:
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
            answers = _listed(texts["answer"], path, f"row {number}")
            audio = _recording(path, texts["audio"]) if texts["audio"] else None
            yield RawQuestion(f"row {number}", texts["question"], answers, audio=audio, cluster=texts["cluster"])
    except csv.Error as error:
        raise JsonError(f"line {rows.line_num}: {error}") from error


_QUOTED = r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*\""""
# As pandas writes a column of lists or arrays: ['a', "b's"], ['a' 'b'], array(['a'], dtype=object).
_PYTHON_LIST = re.compile(
    rf"(?:array\()?\[\s*((?:{_QUOTED})(?:\s*[,\s]\s*(?:{_QUOTED}))*+)\s*,?\s*\](?:, dtype=\S+\))?"
)


def _listed(cell: str, path: Path, where: str) -> tuple[str, ...]:
    """Return the answers of a cell: one, or a list in JSON or as pandas writes it."""
    if not cell.startswith(("[", "array(")):
        return (cell,)
    try:
        answers = parse_json(cell)
    except JsonError:
        return _listed_by_pandas(cell)
    if not isinstance(answers, list) or not all(_is_answer(answer) for answer in answers):
        raise QuestionFileError(f"{path}: {where}: a list of answers that are not all texts or numbers")
    return tuple(str(answer).strip() for answer in answers)


def _listed_by_pandas(cell: str) -> tuple[str, ...]:
    written = _PYTHON_LIST.fullmatch(cell)
    if written is None:
        return (cell,)
    try:
        return tuple(str(ast.literal_eval(text)).strip() for text in re.findall(_QUOTED, written[1]))
    except (ValueError, SyntaxError):  # an escape unknown to Python: a text with brackets
        return (cell,)


def _is_answer(value: Any) -> bool:
    return isinstance(value, str) or (
        isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    )


def _recording(path: Path, name: str) -> Path:
    places = [path.parent / name, *(path.parent / folder / Path(name).name for folder in ("audios", "audio", "wav"))]
    return next((place for place in map(_named, places) if _is_file(place)), places[0])


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
    "mmlu": _mmlu,
    "jsonl": _jsonl,
}
