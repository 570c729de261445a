"""Who speaks when, where a snapshot says so itself: RTTM in place of diarization.

Put here: which RTTM file speaks of which recording. Do not put here: the format (spelangy_model/audio/rttm.py), what a
manifest says besides (audio_manifests.py), segments.

Two places are looked at. A manifest names an RTTM file for a recording (`rttm`, in NeMo's form `rttm_filepath`): one
that speaks of a single file is taken for that recording whatever it calls it. And `turns.rttm` at the top of a snapshot
speaks of any of its recordings; `export` writes that file. RTTM calls a recording by its place in the snapshot,
percent-encoded or not, with or without suffix, or by its bare name. Other RTTM files are no instruction, since they may
be the truth that a diarizer is measured by. A transcript, which has turns of its own, goes before RTTM.
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
    """What RTTM says of a snapshot: the files that were read, turns by recording, and what is wrong by name."""

    files: set[str] = field(default_factory=set)
    by_recording: dict[str, tuple[Utterance, ...]] = field(default_factory=dict)
    bad: dict[str, BadLine] = field(default_factory=dict)


def read_turns(read: Callable[[str], bytes], names: Sequence[str], recordings: Mapping[str, str]) -> GivenTurns:
    """Return the turns of a snapshot's recordings, given as {source_uri: the RTTM file that a manifest names, or ""}.

    `names` are the snapshot's files, `read` returns one. A recording whose RTTM is not there or names no turn of it
    is bad, and so is what `turns.rttm` says of no recording, or of one that it does not name exactly, and each line
    that is no RTTM.
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
        told = turns_of(rttm)
        mine = _Called([uri])
        own = [found for name, found in told.items() if len(told) == 1 or mine.find(name)]
        if len(own) == 1:
            given.by_recording[uri] = _utterances(own[0])
        else:
            speaks_of = ", ".join(sorted(told)[:5]) or "no file"
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
        bad[place] = BadLine(place, "bad_line", f"{name}, {error}; mend the line or take it out")
    return turns


class _Called:
    """Finds recordings by what RTTM calls them."""

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
