"""Public corpora in their own layouts: snapshot types that know a corpus's files, licence and languages.

Put here: for each corpus, which of its files hold metadata, and how a record of them becomes lines that
audio_manifests.py reads. Do not put here: those lines, the finding of sound (audio_snapshot.py), or any download.

A corpus is in its folder of SPELANGY_SNAPSHOTS/audio, whole or in part, below any folders of its own. The licence is
the one that the corpus states; where a record states one of its own, that counts. A record that cannot be read is a
reject with file and line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import IO, Any, Protocol, runtime_checkable

from spelangy_assets.sources.audio_manifests import UNKNOWN_LICENCE, Entry, manifests_of
from spelangy_assets.sources.files import Names
from spelangy_model.guarded_json import Row, read_lines, read_rows

Lines = Iterable[Mapping[str, Any]]


@runtime_checkable
class Corpus(Protocol):
    """A corpus. `VERSION` changes when its files are read otherwise."""

    VERSION: str

    def metadata(self, names: list[str]) -> list[str]:
        """Return those of a snapshot's files that hold metadata, in a stable order."""
        ...

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        """Yield the records of such a file, in a form that audio_manifests.py reads. `names` are all files."""
        ...

    def licence(self, name: str) -> str:
        """Return the licence of a recording by its name in the snapshot."""
        ...

    def language(self, name: str) -> str:
        """Return the language of a recording by its name; empty where the corpus does not say it there."""
        ...


def described(corpus: Corpus, name: str, entry: Entry) -> Entry:
    """Return what is known of a recording, with the corpus's licence and language where its record has none."""
    licence = corpus.licence(name) if entry.licence == UNKNOWN_LICENCE else entry.licence
    return replace(entry, licence=licence, language=entry.language or corpus.language(name))


def _from_json(stream: IO[bytes], lines_of: Callable[[Mapping[str, Any]], Lines]) -> Iterator[Row]:
    for row in read_rows(stream):
        if row.error or not isinstance(row.value, dict):
            yield row
            continue
        try:
            lines = list(lines_of(row.value))
        except (KeyError, TypeError, ValueError) as error:
            yield replace(row, value=None, error=f"not a record of this corpus: {type(error).__name__}: {error}")
        else:
            yield from (replace(row, value=line) for line in lines)


@dataclass(frozen=True)
class LibriSpeech:
    """LibriSpeech (OpenSLR 12): SPLIT/SPEAKER/CHAPTER/ID.flac, and their texts in SPEAKER-CHAPTER.trans.txt.

    English, CC BY 4.0. The texts are in capitals, without punctuation.
    """

    VERSION = "1"

    def metadata(self, names: list[str]) -> list[str]:
        return [name for name in names if name.endswith(".trans.txt")]

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        folder = PurePosixPath(name).parent
        for row in read_lines(stream):
            if row.error:
                yield row
                continue
            utterance, _, text = row.value.partition(" ")
            speaker = utterance.partition("-")[0]
            if not text.strip() or not speaker.isdigit():
                yield replace(row, value=None, error="not SPEAKER-CHAPTER-NUMBER and a text")
                continue
            file = (folder / f"{utterance}.flac").as_posix()
            yield replace(row, value={"audio_filepath": file, "text": text.strip(), "speaker": speaker})

    def licence(self, name: str) -> str:
        return "CC-BY-4.0"

    def language(self, name: str) -> str:
        return "en"


@dataclass(frozen=True)
class LibriHeavy:
    """Libriheavy's cuts (`libriheavy_cuts_*.jsonl.gz`) over the FLAC files of Libri-Light.

    The text is the supervision's own, or the first of its `texts`, as in the book. A name's `download/librilight/`
    is left out where the file lies without it. English. The recordings are in the public domain; the alignments
    are under Apache-2.0.
    """

    VERSION = "1"

    def metadata(self, names: list[str]) -> list[str]:
        return [name for name in names if re.search(r"cuts[^/]*\.jsonl(\.gz)?$", name)]

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        return _from_json(stream, lambda cut: [self._cut(cut, names)])

    def _cut(self, cut: Mapping[str, Any], names: Names) -> Mapping[str, Any]:
        supervisions = [
            {**one, "text": one.get("text") or one["custom"]["texts"][0], "language": ""} for one in cut["supervisions"]
        ]
        recording = cut["recording"]
        sources = [{**one, "source": self._place(one["source"], names)} for one in recording["sources"]]
        return {**cut, "supervisions": supervisions, "recording": {**recording, "sources": sources}}

    @staticmethod
    def _place(source: str, names: Names) -> str:
        short = source.removeprefix("download/").removeprefix("librilight/")
        return next((one for one in (source, f"librilight/{short}") if one in names), short)

    def licence(self, name: str) -> str:
        return "CC-PDM-1.0"

    def language(self, name: str) -> str:
        return "en"


@dataclass(frozen=True)
class Emilia:
    """Emilia: WebDataset shards (KEY.mp3 with KEY.json), or JSON Lines whose `wav` names a file beside them.

    CC BY-NC 4.0; what is below a folder Emilia-YODAS is CC BY 4.0.
    """

    VERSION = "1"

    def metadata(self, names: list[str]) -> list[str]:
        return [name for name in names if name.endswith((".jsonl", ".jsonl.gz"))]

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        def line(record: Mapping[str, Any]) -> Lines:
            beside = (PurePosixPath(name).parent / record["wav"]).as_posix()
            file = beside if beside in names else record["wav"]
            known = {key: record.get(key) for key in ("text", "speaker", "language")}
            return [{"audio_filepath": file, **known}]

        return _from_json(stream, line)

    def licence(self, name: str) -> str:
        return "CC-BY-4.0" if "yodas" in name.lower() else "CC-BY-NC-4.0"

    def language(self, name: str) -> str:
        return ""


@dataclass(frozen=True)
class Yodas:
    """YODAS (text/SHARD.txt beside audio/SHARD/ID.wav), and Granary's NeMo manifests of it; CC BY 3.0.

    `default_language` is that of recordings whose records name none. A line of Granary whose `target_lang` is not its
    `source_lang` is a translation, not what is said, and a reject.
    """

    VERSION = "1"
    default_language: str = ""

    def metadata(self, names: list[str]) -> list[str]:
        texts = [name for name in names if PurePosixPath(name).parent.name == "text" and name.endswith(".txt")]
        lines = (".jsonl", ".jsonl.gz")
        return sorted({*texts, *manifests_of(names), *(name for name in names if name.endswith(lines))})

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        return self._texts(name, stream) if name.endswith(".txt") else _from_json(stream, self._granary)

    @staticmethod
    def _texts(name: str, stream: IO[bytes]) -> Iterator[Row]:
        path = PurePosixPath(name)
        for row in read_lines(stream):
            parts = () if row.error else row.value.split(maxsplit=1)
            if row.error or len(parts) < 2:
                yield row if row.error else replace(row, value=None, error="not the id of an utterance and a text")
                continue
            file = (path.parent.parent / "audio" / path.stem / f"{parts[0]}.wav").as_posix()
            url = f"https://www.youtube.com/watch?v={parts[0][:11]}"  # an id begins with its video's
            yield replace(row, value={"audio_filepath": file, "text": parts[1].strip(), "url": url})

    @staticmethod
    def _granary(record: Mapping[str, Any]) -> Lines:
        spoken, wanted = record.get("source_lang"), record.get("target_lang")
        if spoken and wanted and spoken != wanted:
            raise ValueError(f"its text is a translation from {spoken} to {wanted}")
        if "audio_filepath" not in record:
            return [record]
        return [{**record, "text": record.get("text") or record.get("answer"), "lang": record.get("lang") or spoken}]

    def licence(self, name: str) -> str:
        return "CC-BY-3.0"

    def language(self, name: str) -> str:
        return self.default_language


@dataclass(frozen=True)
class PeoplesSpeech:
    """The People's Speech: tar shards of FLAC, and JSON Lines whose `training_data` names and transcribes them.

    English, CC BY 4.0; its subsets clean_sa and dirty_sa are CC BY-SA 4.0. The corpus names no speakers.
    """

    VERSION = "1"

    def metadata(self, names: list[str]) -> list[str]:
        return [name for name in names if re.search(r"\.jsonl?(\.gz)?$", name)]

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        def lines(record: Mapping[str, Any]) -> Lines:
            fields = record["training_data"]
            pairs = zip(fields["name"], fields["label"], strict=True)
            return [{"audio_filepath": file, "text": text} for file, text in pairs]

        return _from_json(stream, lines)

    def licence(self, name: str) -> str:
        return "CC-BY-SA-4.0" if re.search(r"_sa(?![a-z])", name) else "CC-BY-4.0"

    def language(self, name: str) -> str:
        return "en"


@dataclass(frozen=True)
class VoxPopuli:
    """VoxPopuli: transcribed_data/LANG/YEAR/ID.ogg with asr_train.tsv and the like, and unlabelled LANG/YEAR/ID.ogg.

    CC0. The text is `raw_text`, or `normalized_text` where it is empty.
    """

    VERSION = "1"

    def metadata(self, names: list[str]) -> list[str]:
        return [name for name in names if re.search(r"(^|/)asr_(train|dev|test)\.tsv$", name)]

    def rows(self, name: str, stream: IO[bytes], names: Names) -> Iterator[Row]:
        folder, header = PurePosixPath(name).parent, []
        for row in read_lines(stream):
            if row.error:
                yield row
                continue
            cells = row.value.split("\t")
            if not header:
                header = cells
                if missing := {"id", "raw_text", "speaker_id"} - set(header):
                    why = f"its first line names no column {', '.join(sorted(missing))}"
                    yield replace(row, value=None, error=why, reason="not_text")
                    return
                continue
            if len(cells) != len(header):
                yield replace(row, value=None, error=f"{len(cells)} columns, not {len(header)}")
                continue
            line = dict(zip(header, cells, strict=True))
            places = [(folder / line["id"][:4] / f"{line['id']}.{end}").as_posix() for end in ("ogg", "flac", "wav")]
            file = next((one for one in places if one in names), places[0])
            text = line["raw_text"].strip() or line.get("normalized_text", "").strip()
            yield replace(row, value={"audio_filepath": file, "text": text, "speaker": line["speaker_id"]})

    def licence(self, name: str) -> str:
        return "CC0-1.0"

    def language(self, name: str) -> str:
        found = re.search(r"(?:^|/)([a-z]{2})(?:_v2)?/\d{4}(?:_\d)?/[^/]*$", name)
        return found[1] if found else ""


CORPORA = LibriSpeech | LibriHeavy | Emilia | Yodas | PeoplesSpeech | VoxPopuli
