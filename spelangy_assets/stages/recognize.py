"""transcript_hypotheses: the words that each ASR system recognized in each segment.

Put here: which recordings each system recognizes, and the rows of the results. Do not put here: windows
(spelangy_model/audio/windows.py), recognizers (asr.py), the vote over systems (clean_transcripts).

Inputs `raw_audio` and `speech_segments`. The first system of the recipe runs first and detects the language of each
window. When a window is surely of a language that this system does not decode, no system decodes it, and all systems
have a hypothesis without words there: the languages of a crawl are known without the cost of transcribing them.
Some systems take equally long for a window of any length. For these, windows of a known language are joined across
recordings up to a full window, so that a crawl of short clips takes a fraction of the calls. A recording is recognized
again by itself when the joined result is doubtful: its number of words is far from the first system's. The first
system, which nothing checks so, shares windows only where the recipe asks for it.

A recording that came with a transcript is not recognized: its system is 'given', each word's times are interpolated
inside its utterance by characters, its confidence is 1, and the language is that of the recording's whole transcript.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.columns import GIVEN_COLUMNS
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.ahead import read_ahead
from spelangy_model.audio.asr import (
    AsrError,
    AsrSystem,
    IsDoubtful,
    Recognizer,
    WindowResult,
    recognize_all,
    recognize_together,
)
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.language import language_code
from spelangy_model.audio.windows import MAX_WINDOW_S, PAUSE_S, Window, make_windows, words_by_segment
from spelangy_model.audio.words import spread, text_of
from spelangy_model.records import Hypothesis, Recording, Segment, Word
from spelangy_model.text.language import detect_language

VERSION = "6"
TABLES: dict[str, type] = {"hypotheses": Hypothesis}
INDEPENDENT_UNITS = True

GIVEN = "given"


@dataclass(frozen=True)
class Config:
    """The literals.

    `systems` are in order of trust: the first one detects the language, and the earliest wins a tie of the vote.
    Recordings are recognized together in groups of `group_windows` windows, each of up to 1.8 MB of sound. The result
    of a window that recordings share is kept where its number of words differs from the first system's by at most
    `shared_difference` of the larger of the two. `trust_language`: the language that came with a recording is taken as
    true; otherwise it is detected in each window, since a crawl's own statement of language is often wrong.
    `max_windows` of each shard are recognized, to try expensive systems on a sample; 0: all. The turns outside of them
    have no hypothesis and are counted as `not_sampled`. `share_first`: recordings of a trusted language share the
    first system's windows too. Short recordings then take less than half of the time; whether there are more mistakes
    or fewer is not resolved (docs/benchmarks.md). Recognized again alone is what has no words, or more than a person
    can speak in its time.
    """

    systems: tuple[AsrSystem, ...]
    max_window_s: float = MAX_WINDOW_S
    pause_s: float = PAUSE_S
    group_windows: int = 32
    shared_difference: float = 0.1
    trust_language: bool = False
    max_windows: int = 0
    share_first: bool = False

    def __post_init__(self) -> None:
        names = [system.name for system in self.systems]
        if not names or len(set(names)) < len(names) or GIVEN in names:
            raise ValueError(f"recognize needs one ASR system or more, each of its own name, none '{GIVEN}': {names}")


CONTRACT = Contract(
    "transcript_hypotheses",
    """
    SELECT count(*) AS hypotheses,
           count(*) - count(DISTINCT (segment_id, system)) AS duplicate_hypotheses,
           (SELECT coalesce(max(n) - min(n), 0)
            FROM (SELECT count(*) AS n FROM hypotheses GROUP BY system)) AS missing_hypotheses,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(words) AS w) WHERE w.end_s < w.start_s OR w.confidence NOT BETWEEN 0 AND 1
           )) AS impossible_words
    FROM hypotheses
    """,
    (
        Bound("hypotheses", 1, None, "warn"),
        exactly("duplicate_hypotheses"),
        Bound("missing_hypotheses", 0, 0, "warn"),
        exactly("impossible_words"),
    ),
)

KIND = DatasetKind(
    group="transcripts",
    description="What each ASR system wrote for each segment, word by word with times and confidence.",
    contract=CONTRACT,
    pool="asr",
    cost="heavy",
    takes={"raw_audio": Recording, "speech_segments": Segment},
    columns={
        "segment_id": ("speech_segments.segment_id",),
        "recording_id": ("speech_segments.recording_id",),
        **dict.fromkeys(
            ("text", "words", "language"), (*GIVEN_COLUMNS, "speech_segments.start_s", "speech_segments.end_s")
        ),
    },
)


@word
def hypotheses(
    audio: Dataset,
    segments: Dataset,
    systems: Sequence[AsrSystem],
    *,
    name: str = "transcript_hypotheses",
    **options: Any,
) -> Dataset:
    """Return what each of `systems`, in order of trust, wrote for each segment; `options` are fields of Config."""
    config = Config(systems=tuple(systems), **options)
    return dataset(__name__, config, name=name, inputs={"raw_audio": audio, "speech_segments": segments})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a system's package or model is missing."""
    missing = []
    for system in config.systems:
        try:
            system.locate(execution.cache_dir)
        except AsrError as error:
            missing.append(str(error))
    if missing:
        raise PreflightError(*missing)


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of recordings."""
    recognizers: list[tuple[AsrSystem, Recognizer]] = []
    minutes_total = minutes_recognized = 0.0  # summed over systems

    def recognized_by_one(group: Sequence[_Turns]) -> None:
        nonlocal minutes_recognized
        minutes_recognized += _minutes(segment for turns in group for segment in turns.segments)
        ctx.progress(round(minutes_recognized, 1), round(minutes_total, 1), "minutes of speech, system by system")

    def recognize_group(group: list[_Turns], out: UnitWriter) -> None:
        nonlocal recognizers
        if group:
            recognizers = recognizers or [
                (system, system.load(ctx.execution.cache_dir, ctx.execution.device)) for system in config.systems
            ]
            _write(_recognize(group, recognizers, config, out, recognized_by_one), out)
        group.clear()

    shards = list(
        zip(ctx.inputs["raw_audio"].shards("recordings"), ctx.inputs["speech_segments"].shards("segments"), strict=True)
    )
    for unit, (recordings, segments) in ctx.out.pending(shards):
        with ctx.out.unit(unit, behind=ctx.execution.readers > 0) as out:
            turns: dict[str, list[Segment]] = {}
            for segment in segments.iter_records(Segment):
                turns.setdefault(segment.recording_id, []).append(segment)
            minutes_recognized = 0.0
            minutes_total = len(config.systems) * _minutes(one for own in turns.values() for one in own)
            group: list[_Turns] = []
            count = 0

            def windows_of(recording: Recording, turns: Mapping[str, list[Segment]] = turns) -> list[Window]:
                own = turns.get(recording.recording_id, [])
                # `count` only grows: where a reader finds no room for a window, there is none later.
                if not own or recording.has_transcript or (config.max_windows and count >= config.max_windows):  # noqa: B023
                    return []
                return make_windows(decode_flac(recording.audio.bytes), own, config.max_window_s, config.pause_s)

            listed = recordings.iter_records(Recording, batch_rows=1)
            for recording, windows in read_ahead(windows_of, listed, ctx.execution.readers):
                own = turns.get(recording.recording_id, [])
                out.read(len(own))
                if not own:
                    continue
                if recording.has_transcript:
                    out.kept(len(own))
                    recognize_group(group, out)
                    _write(_given(recording, own), out)
                    minutes_total -= len(config.systems) * _minutes(own)
                    continue
                if config.max_windows and count == config.max_windows:
                    out.drop("not_sampled", len(own))
                    continue
                if config.max_windows and count + len(windows) > config.max_windows:
                    windows = windows[: config.max_windows - count]
                    inside = {piece.segment_id for window in windows for piece in window.pieces}
                    out.drop("not_sampled", sum(one.segment_id not in inside for one in own))
                    own = [one for one in own if one.segment_id in inside]
                count += len(windows)
                out.kept(len(own))
                if config.trust_language:
                    windows = [replace(window, language=language_code(recording.language)) for window in windows]
                group.append(_Turns(own, windows))
                if sum(len(one.windows) for one in group) >= config.group_windows:
                    recognize_group(group, out)
            recognize_group(group, out)
        ctx.log(f"recognized shard {unit + 1} of {len(shards)}")


@dataclass(frozen=True)
class _Turns:
    """The turns of a recording, and the windows that hold them."""

    segments: list[Segment]
    windows: list[Window]


def _minutes(segments: Iterable[Segment]) -> float:
    return sum(segment.end_s - segment.start_s for segment in segments) / 60


def _write(hypotheses: list[Hypothesis], out: UnitWriter) -> None:
    out.write("hypotheses", hypotheses)
    out.add("words", sum(len(hypothesis.words) for hypothesis in hypotheses))


def _recognize(
    group: Sequence[_Turns],
    recognizers: Sequence[tuple[AsrSystem, Recognizer]],
    config: Config,
    out: UnitWriter,
    recognized_by_one: Callable[[Sequence[_Turns]], None],
) -> list[Hypothesis]:
    windows = [window for turns in group for window in turns.windows]
    (first, detector), *others = recognizers
    results = _listen(first, detector, windows, None, config, out)
    recognized_by_one(group)
    spoken = [result for result in results if result.decoded]
    decoded = [replace(w, language=r.language) for w, r in zip(windows, results, strict=True) if r.decoded]
    words = {first.name: _by_segment(decoded, spoken)}

    def far_from_first(place: int, result: WindowResult) -> bool:
        one, two = len(spoken[place].words), len(result.words)
        return abs(one - two) > config.shared_difference * max(one, two)

    for system, recognizer in others:
        words[system.name] = _by_segment(decoded, _listen(system, recognizer, decoded, far_from_first, config, out))
        recognized_by_one(group)
    language = {
        piece.segment_id: (result.language, result.language_probability)
        for window, result in zip(windows, results, strict=True)
        for piece in window.pieces
    }
    out.add("windows", len(windows))
    out.add("windows_not_decoded", len(windows) - len(decoded))
    out.add("hours_recognized", sum(len(window.samples) for window in windows) / SAMPLE_RATE_HZ / 3600)
    return [
        _hypothesis(segment, system.name, words[system.name].get(segment.segment_id, []), *language[segment.segment_id])
        for turns in group
        for segment in turns.segments
        for system, _ in recognizers
    ]


def _listen(
    system: AsrSystem,
    recognizer: Recognizer,
    windows: Sequence[Window],
    doubtful: IsDoubtful | None,
    config: Config,
    out: UnitWriter,
) -> list[WindowResult]:
    """Return a system's results, one a window; windows of known language are joined where the system gains by it."""
    joins = system.joins_recordings and (doubtful is not None or config.share_first)
    known = [place for place, window in enumerate(windows) if joins and window.language]
    alone = sorted(set(range(len(windows))) - set(known))
    results = dict(zip(alone, recognize_all(system.name, recognizer, [windows[p] for p in alone]), strict=True))
    out.add(f"windows_of_{system.name}", len(alone))
    if known:
        joined = recognize_together(
            system.name,
            recognizer,
            [windows[place] for place in known],
            doubtful and (lambda k, result: doubtful(known[k], result)),
            config.max_window_s,
            config.pause_s,
        )
        results |= zip(known, joined.results, strict=True)
        out.add(f"windows_of_{system.name}", joined.shared + joined.again)
        out.add(f"windows_again_of_{system.name}", joined.again)
    return [results[place] for place in range(len(windows))]


def _by_segment(windows: Sequence[Window], results: Sequence[WindowResult]) -> dict[str, list[Word]]:
    words: dict[str, list[Word]] = {}
    for window, result in zip(windows, results, strict=True):
        words |= words_by_segment(window, result.words)
    return words


def _given(recording: Recording, segments: Sequence[Segment]) -> list[Hypothesis]:
    texts = {(u.speaker, u.start_s, u.end_s): u.text for u in recording.utterances}
    language = detect_language("\n".join(texts.values()))
    hypotheses = []
    for segment in segments:
        text = texts.get((segment.speaker, segment.start_s, segment.end_s))
        if text is None:
            raise InputError(
                f"{recording.source_uri}: segment {segment.segment_id} ({segment.speaker}, {segment.start_s} to "
                f"{segment.end_s} s) is none of the recording's utterances; build speech_segments again"
            )
        words = spread(text, segment.start_s, segment.end_s)
        hypotheses.append(_hypothesis(segment, GIVEN, words, language, 1.0))
    return hypotheses


def _hypothesis(segment: Segment, system: str, words: list[Word], language: str, probability: float) -> Hypothesis:
    return Hypothesis(
        segment_id=segment.segment_id,
        recording_id=segment.recording_id,
        system=system,
        text=text_of(words),
        words=words,
        language=language,
        language_probability=probability,
    )
