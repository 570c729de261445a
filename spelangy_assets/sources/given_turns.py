"""Given speaker turns: RTTM files of a snapshot, which replace diarization.

Put here: which RTTM file belongs to which recording. Do not put here: the format (spelangy_model/audio/rttm.py), other
facts of a manifest (audio_manifests.py), segments.

Two places are read. A manifest names an RTTM file for a recording (`rttm`, in NeMo's form `rttm_filepath`): one that
describes a single file is taken for that recording, whatever name it uses. And `turns.rttm` at the top of a snapshot
may describe any of its recordings; `export` writes that file. RTTM names a recording by its path in the snapshot,
percent-encoded or not, with or without suffix, or by its bare file name. Other RTTM files are not used, since they may
be the reference that a diarizer is evaluated against. A transcript, which has turns of its own, precedes RTTM.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from spelangy_assets.sources.audio_manifests import BadLine
from spelangy_model.audio.rttm import read_rttm_lines
from spelangy_model.audio.turns import Turn
from spelangy_model.guarded_json import decoded
from spelangy_model.records import Utterance

TURNS = "turns.rttm"
MAX_RTTM_BYTES = 256 << 20  # 5 million turns


@dataclass
class GivenTurns:
    """The given turns of a snapshot: the RTTM files that were read, turns by recording, and errors by name."""

    files: set[str] = field(default_factory=set)
    by_recording: dict[str, tuple[Utterance, ...]] = field(default_factory=dict)
    bad: dict[str, BadLine] = field(default_factory=dict)


def read_turns(read: Callable[[str], bytes], names: Sequence[str], recordings: Mapping[str, str]) -> GivenTurns:
    """Return the turns of a snapshot's recordings, given as {source_uri: the RTTM file that a manifest names, or ""}.

    `names` are the snapshot's files, `read` returns one. Bad are: a recording whose RTTM is missing or names no turn of
    it; turns in `turns.rttm` of no recording, or of several that the name could mean; each line that is not RTTM.
    """
    given = GivenTurns()
    there = set(names)
    files: dict[str, dict[str, list[Turn]]] = {}

    def turns_of(name: str) -> dict[str, list[Turn]]:
        if name not in files:
            files[name] = _parsed(read(name), name, given.bad)
            given.files.add(name)
        return files[name]

    for uri, rttm in recordings.items():
        if not rttm:
            continue
        if rttm not in there:
            given.bad[uri] = BadLine(uri, "missing_file", f"its manifest names {rttm} for turns, and it is not there")
            continue
        turns = turns_of(rttm)
        mine = _Called([uri])
        own = [found for name, found in turns.items() if len(turns) == 1 or mine.find(name)]
        if len(own) == 1:
            given.by_recording[uri] = _utterances(own[0])
        else:
            speaks_of = ", ".join(sorted(turns)[:5]) or "no file"
            why = f"{rttm} speaks of {speaks_of}; without it in the manifest the recording is diarized"
            given.bad[uri] = BadLine(uri, "no_turns", why)
    if TURNS in there and TURNS not in given.files:
        known = _Called(recordings)
        for name, found in turns_of(TURNS).items():
            called = known.find(name)
            if len(called) == 1:
                if not recordings[called[0]]:
                    given.by_recording[called[0]] = _utterances(found)
                continue
            place = f"{TURNS}: {name}"
            if called:
                why = f"it may be any of {called[:5]}; call each by its place in the snapshot"
                given.bad[place] = BadLine(place, "ambiguous", why)
            else:
                why = "turns of it are given, and no recording has the name"
                given.bad[place] = BadLine(place, "missing_file", why)
    return given


def _parsed(data: bytes, name: str, bad: dict[str, BadLine]) -> dict[str, list[Turn]]:
    if len(data) > MAX_RTTM_BYTES:
        bad[name] = BadLine(name, "too_large", f"more than {MAX_RTTM_BYTES} bytes of turns; split it by recording")
        return {}
    try:
        turns, errors = read_rttm_lines(decoded(data))
    except UnicodeError as error:
        bad[name] = BadLine(name, "not_text", f"{error}; write it as UTF-8")
        return {}
    for error in errors:
        place = f"{name}, {str(error).partition(':')[0]}"
        bad[place] = BadLine(place, "bad_line", f"{name}, {error}; correct the line or take it out")
    return turns


class _Called:
    """Finds recordings by their names in RTTM."""

    def __init__(self, uris: Iterable[str]):
        self._by_form: list[dict[str, list[str]]] = []
        uris = list(uris)
        for form in (
            lambda uri: quote(uri, safe="", errors="surrogateescape"),
            lambda uri: quote(_composed(uri), safe="", errors="surrogateescape"),
            lambda uri: uri,
            _composed,
            lambda uri: str(PurePosixPath(_composed(uri)).with_suffix("")),
            lambda uri: PurePosixPath(_composed(uri)).stem,
        ):
            forms: dict[str, list[str]] = {}
            for uri in uris:
                forms.setdefault(form(uri), []).append(uri)
            self._by_form.append(forms)

    def find(self, name: str) -> list[str]:
        """Return the recordings that a name means, by the most exact of its meanings that any has."""
        for forms in self._by_form:
            if called := forms.get(name) or forms.get(_composed(name)):
                return called
        return []


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)


def _utterances(turns: Sequence[Turn]) -> tuple[Utterance, ...]:
    return tuple(Utterance(turn.speaker, "", round(turn.start_s, 3), round(turn.end_s, 3)) for turn in turns)
