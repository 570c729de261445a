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

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import quote

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.audio_manifests import BadLine
from spelangy_model.audio.rttm import RttmError, read_rttm
from spelangy_model.audio.turns import Turn
from spelangy_model.records import Utterance

TURNS = "turns.rttm"


@dataclass
class GivenTurns:
    """What RTTM says of a snapshot: the files that were read, turns by recording, and what is wrong by name."""

    files: set[str] = field(default_factory=set)
    by_recording: dict[str, tuple[Utterance, ...]] = field(default_factory=dict)
    bad: dict[str, BadLine] = field(default_factory=dict)


def read_turns(read: Callable[[str], bytes], names: Sequence[str], recordings: Mapping[str, str]) -> GivenTurns:
    """Return the turns of a snapshot's recordings, given as {source_uri: the RTTM file that a manifest names, or ""}.

    `names` are the snapshot's files, `read` returns one. A recording whose RTTM is not there or names no turn of it
    is bad, and so is what `turns.rttm` says of no recording. InputError, naming line and cure, for what is no RTTM.
    """
    given = GivenTurns()
    there = set(names)
    for uri, rttm in recordings.items():
        if not rttm:
            continue
        if rttm not in there:
            given.bad[uri] = BadLine(uri, "missing_file", f"its manifest names {rttm} for turns, and it is not there")
            continue
        told = _parsed(read(rttm), rttm)
        given.files.add(rttm)
        own = [found for name, found in told.items() if len(told) == 1 or uri in _called(name, [uri])]
        if len(own) == 1:
            given.by_recording[uri] = _utterances(own[0])
        else:
            why = f"{rttm} speaks of {sorted(told) or 'nobody'}; without it in the manifest the recording is diarized"
            given.bad[uri] = BadLine(uri, "no_turns", why)
    if TURNS in there and TURNS not in given.files:
        given.files.add(TURNS)
        for name, found in _parsed(read(TURNS), TURNS).items():
            called = _called(name, recordings)
            if len(called) > 1:
                raise InputError(f"{TURNS}: {name} may be any of {called}; call each by its place in the snapshot")
            if not called:
                place = f"{TURNS}: {name}"
                given.bad[place] = BadLine(
                    place, "missing_file", "turns of it are given, and no recording has the name"
                )
            elif not recordings[called[0]]:
                given.by_recording[called[0]] = _utterances(found)
    return given


def _parsed(data: bytes, name: str) -> dict[str, list[Turn]]:
    try:
        return read_rttm(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: {error}; write it as UTF-8") from error
    except RttmError as error:
        raise InputError(f"{name}, {error}; mend the line or take it out") from error


def _called(name: str, uris: Iterable[str]) -> list[str]:
    """Return the recordings that an RTTM name means, by the most exact of its meanings that any has."""
    uris = list(uris)
    for form in (
        lambda uri: quote(uri, safe="", errors="surrogateescape"),
        lambda uri: uri,
        lambda uri: str(PurePosixPath(uri).with_suffix("")),
        lambda uri: PurePosixPath(uri).stem,
    ):
        if called := [uri for uri in uris if form(uri) == name]:
            return called
    return []


def _utterances(turns: Sequence[Turn]) -> tuple[Utterance, ...]:
    return tuple(Utterance(turn.speaker, "", round(turn.start_s, 3), round(turn.end_s, 3)) for turn in turns)
