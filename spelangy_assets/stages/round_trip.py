"""krist_round_trip, quest_round_trip: recognizes synthetic speech and drops voices with too many word errors.

Put here: which chunks are recognized, the word errors of each voice, and which chunks are dropped. Do not put here:
recognizers (spelangy_model/audio/asr.py), the checks that need no recognizer (speech_fault, in speak), or the limit
(`contract`). Token sets read speech together with its round trip, so they read neither before the round trip passes.

Input `chunks`. Word errors compare the recognized text with the text that the voice was given (`spoken_text`), both
normalized by Whisper's normalizer. A sample takes equally many chunks of each voice, drawn by their ids. A voice that
would fail on the few words of the first look is recognized a second time, on further chunks, each alone, since a
recognizer that loses its place in a window misses the words that follow. This second look decides about the voice. A
voice that fails it is dropped with all its chunks (`voice_not_understood`), counted and listed; its rate is the metric
dropped_voice.*. The rate over all voices is that of the first look, without the dropped voices.

Word errors are correlated within a chunk (a heading of names, a lost window), so a voice's interval uses an effective
number of words: Kish's design effect, measured over all chunks of the deciding looks.
With `max_chunk_word_error_rate` every chunk is recognized. A chunk above it is recognized again alone, and is dropped
as `misheard` if it is still above: a sentence by itself, a question, rationale or answer with the rest of its document
(`document_incomplete`).
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.stages.speak import STANDS_ALONE
from spelangy_assets.store.artifacts import Artifact, ShardFile, UnitWriter
from spelangy_model.audio.asr import AsrError, AsrSystem, Recognizer
from spelangy_model.audio.io import decode_flac
from spelangy_model.audio.round_trip import Sound, transcribe
from spelangy_model.audio.wer import word_errors
from spelangy_model.eval.stats import wilson_interval
from spelangy_model.records import CheckedChunk, Chunk, Metric, RejectedChunk
from spelangy_model.rng import stable_hash

VERSION = "4"
TABLES: dict[str, type] = {"metrics": Metric, "checked": CheckedChunk, "rejected": RejectedChunk}

_BLOCK_CHUNKS = 256  # held as sound at once


@dataclass(frozen=True)
class Config:
    """`max_word_error_rate` is the synthesizer's limit: a small recognizer has a rate of 0.2 to 0.4 on espeak-ng, and
    below 0.1 on a natural voice. The sample has at least one chunk of each voice, and `sample_chunks` where it can.
    """

    recognizer: AsrSystem
    max_word_error_rate: float
    sample_chunks: int = 60
    second_look_chunks: int = 20
    max_chunk_word_error_rate: float | None = None


def contract(config: Config) -> Contract:
    """Return the contract that a recognizer understands the voices of a dataset.

    A voice breaks it when the lower end of its interval is above the limit, since it has few words and must not fail by
    chance. All voices together, which have many words, break it when the upper end is above the limit. The stage drops
    such voices: a dropped voice is a warning, and the contract fails when more than half of the chunks are dropped.
    """
    return Contract(
        "round_trip",
        f"""
        WITH recognized AS (SELECT count(*) AS chunks FROM checked),
        dropped AS (SELECT count(*) AS chunks FROM rejected),
        judged AS (SELECT records_in AS chunks FROM counts)
        SELECT any_value(recognized.chunks) AS chunks_recognized,
               CASE WHEN any_value(recognized.chunks) = 0 THEN 0
                    ELSE max(low) FILTER (metric = 'voice.word_error_rate') END AS worst_voice_word_error_rate_low,
               CASE WHEN any_value(recognized.chunks) = 0 THEN 0
                    ELSE max(high) FILTER (metric = 'word_error_rate') END AS word_error_rate_high,
               count(subject) - count(DISTINCT (subject, metric)) FILTER (subject IS NOT NULL) AS duplicate_metrics,
               any_value(dropped.chunks) / greatest(any_value(judged.chunks), 1) AS share_rejected,
               {stat("voices_dropped")} AS voices_dropped
        FROM recognized CROSS JOIN dropped CROSS JOIN judged LEFT JOIN metrics ON true
        """,
        (
            Bound("chunks_recognized", 1, None, "warn"),
            Bound("worst_voice_word_error_rate_low", 0, config.max_word_error_rate),
            Bound("word_error_rate_high", 0, config.max_word_error_rate),
            exactly("duplicate_metrics"),
            Bound("share_rejected", 0, 0.5),
            Bound("share_rejected", 0, 0.2, "warn"),
            Bound("voices_dropped", 0, 0, "warn"),
        ),
    )


KIND = DatasetKind(
    group="synthetic",
    description="What a recognizer writes for {chunks}: the word error rates of its voices.",
    contract=contract,
    pool="asr",
    cost="heavy",
    takes={"chunks": Chunk},
    makes="round_trip",
)


@word
def round_trip(speech: Dataset, config: Config) -> Dataset:
    """Return the round trip of synthetic speech."""
    return dataset(__name__, config, name=f"{speech.label}_round_trip", inputs={"chunks": speech})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the recognizer's package or model is missing."""
    try:
        config.recognizer.locate(execution.cache_dir)
    except AsrError as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    """Recognize a sample in one unit, or every chunk, a shard a unit."""
    limit = config.max_chunk_word_error_rate
    works: list[ShardFile | None] = [None] if limit is None else [*ctx.inputs["chunks"].shards("chunks")]
    recognizer: Recognizer | None = None
    for unit, shard in ctx.out.pending(works):
        recognizer = recognizer or config.recognizer.load(ctx.execution.cache_dir, ctx.execution.device)
        with ctx.out.unit(unit) as out:
            if shard is None or limit is None:
                _recognize_sample(ctx, recognizer, config, out)
            else:
                _recognize_all(shard, unit, limit, recognizer, config, out)
        ctx.log(f"recognized {'a sample' if shard is None else f'shard {unit + 1} of {len(works)}'}")


def _recognize_sample(ctx: StageContext, recognizer: Recognizer, config: Config, out: UnitWriter) -> None:
    chunks = ctx.inputs["chunks"]
    order = _order(chunks)
    each, more = divmod(max(config.sample_chunks, len(order)), max(1, len(order)))
    shares = {voice: each + (number < more) for number, voice in enumerate(order)}
    sample = [place for voice, places in order.items() for place in places[: shares[voice]]]
    first = _recognize(recognizer, config, _read(chunks, sample), out)
    out.add("chunks_recognized", len(first))
    out.write("checked", first)
    deciding = _by(first, lambda chunk: chunk.speaker)
    effect = design_effect(first)
    suspects = [v for v in deciding if _error_rate(v, "", deciding[v], effect).low > config.max_word_error_rate]
    for voice in suspects:
        own = order[voice]
        further = own[shares[voice] :][: config.second_look_chunks] or own[: shares[voice]]
        alone = [_recognize(recognizer, config, [chunk], out, look=2) for chunk in _read(chunks, further)]
        deciding[voice] = [chunk for one in alone for chunk in one]
        out.write("checked", deciding[voice])
        out.add("voices_recognized_again", 1)
        ctx.log(f"recognized {voice} again: {len(further)} chunks")
    effect = design_effect([chunk for checked in deciding.values() for chunk in checked])
    bad = [v for v in suspects if _error_rate(v, "", deciding[v], effect).low > config.max_word_error_rate]
    dropped = {voice: deciding.pop(voice) for voice in bad}
    rejected = _chunks_of(chunks, dropped, config.max_word_error_rate)
    out.read(sum(len(places) for places in order.values()))
    for chunk in rejected:
        out.drop(chunk.reason)
    out.write("rejected", rejected)
    out.kept(sum(len(places) for places in order.values()) - len(rejected))
    out.add("voices_dropped", len(dropped))
    understood = [chunk for chunk in first if chunk.speaker not in dropped]
    out.write("metrics", _metrics(understood, deciding, effect))
    out.write("metrics", [_error_rate(v, "dropped_voice.word_error_rate", dropped[v], effect) for v in sorted(dropped)])


def _chunks_of(chunks: Artifact, dropped: Mapping[str, Sequence[CheckedChunk]], limit: float) -> list[RejectedChunk]:
    """Return every chunk of the dropped voices; reads no sound. A voice speaks whole documents, so none is cut."""
    if not dropped:
        return []
    rates = {voice: sum(c.word_errors for c in own) / sum(c.words for c in own) for voice, own in dropped.items()}
    rejected = []
    for shard in chunks.shards("chunks"):
        columns = shard.table(["chunk_id", "document_id", "speaker"]).to_pydict()
        for chunk_id, document_id, voice in zip(*columns.values(), strict=True):
            if voice in dropped:
                detail = f"word error rate of {voice} {rates[voice]:.2f} > {limit}"
                rejected.append(RejectedChunk(chunk_id, document_id, "voice_not_understood", detail))
    return rejected


def _recognize_all(
    shard: ShardFile, unit: int, limit: float, recognizer: Recognizer, config: Config, out: UnitWriter
) -> None:
    checked: list[CheckedChunk] = []
    chunks = shard.iter_records(Chunk)
    while block := list(itertools.islice(chunks, _BLOCK_CHUNKS)):
        for chunk, first in zip(block, _recognize(recognizer, config, block, out), strict=True):
            alone = _rate(first) > limit
            checked += _recognize(recognizer, config, [chunk], out, look=2) if alone else [first]
    rejected: list[RejectedChunk] = []
    for _, document in itertools.groupby(checked, key=lambda chunk: chunk.document_id):
        members = list(document)
        bad = [chunk for chunk in members if _rate(chunk) > limit]
        rejected += [_reject(chunk, "misheard", f"word error rate {_rate(chunk):.2f} > {limit}") for chunk in bad]
        if any(chunk.role != STANDS_ALONE for chunk in bad):
            rest = [chunk for chunk in members if _rate(chunk) <= limit]
            rejected += [_reject(chunk, "document_incomplete", "another line was misheard") for chunk in rest]
    for chunk in rejected:
        out.drop(chunk.reason)
    out.read(len(checked))
    out.write("checked", checked)
    out.write("rejected", rejected)
    out.kept(len(checked) - len(rejected))
    out.add("chunks_recognized", len(checked))
    voices = _by(checked, lambda chunk: chunk.speaker)
    out.write("metrics", _metrics(checked, voices, design_effect(checked), f" shard {unit}"))


def _order(chunks: Artifact) -> dict[str, list[tuple[int, str]]]:
    """Return each voice's (shard, chunk_id) in the order in which they are drawn; reads no sound."""
    order: defaultdict[str, list[tuple[int, str]]] = defaultdict(list)
    for number, shard in enumerate(chunks.shards("chunks")):
        columns = shard.table(["chunk_id", "speaker"]).to_pydict()
        for chunk_id, voice in zip(columns["chunk_id"], columns["speaker"], strict=True):
            order[voice].append((number, chunk_id))
    return {voice: sorted(order[voice], key=lambda place: stable_hash("listen", place[1])) for voice in sorted(order)}


def _read(chunks: Artifact, places: Sequence[tuple[int, str]]) -> list[Chunk]:
    """Return chunks by their places, in that order. Reads only the row groups that hold one."""
    ids = {chunk_id for _, chunk_id in places}
    shards = chunks.shards("chunks")
    found: dict[str, Chunk] = {}
    for number in sorted({number for number, _ in places}):
        found |= {chunk.chunk_id: chunk for chunk in shards[number].chosen_records(Chunk, "chunk_id", ids)}
    return [found[chunk_id] for _, chunk_id in places]


def _recognize(
    recognizer: Recognizer, config: Config, chunks: Sequence[Chunk], out: UnitWriter, look: int = 1
) -> list[CheckedChunk]:
    sounds = [Sound(chunk.chunk_id, decode_flac(chunk.audio.bytes)) for chunk in chunks]
    texts = transcribe(config.recognizer.name, recognizer, sounds)
    out.add("hours_recognized", sum(chunk.duration_s for chunk in chunks) / 3600)
    checked = []
    for chunk, text in zip(chunks, texts, strict=True):
        errors = word_errors([chunk.spoken_text], [text])
        checked.append(
            CheckedChunk(
                chunk_id=chunk.chunk_id,
                document_id=chunk.document_id,
                role=chunk.role,
                speaker=chunk.speaker,
                accent=chunk.accent,
                spoken_text=chunk.spoken_text,
                look=look,
                recognized=text,
                word_errors=errors.errors,
                words=errors.reference_words,
            )
        )
    return checked


def _rate(chunk: CheckedChunk) -> float:
    return chunk.word_errors / max(1, chunk.words)


def _reject(chunk: CheckedChunk, reason: str, detail: str) -> RejectedChunk:
    return RejectedChunk(chunk.chunk_id, chunk.document_id, reason, detail)


# --- word error rates -----------------------------------------------------------------------------------------


def design_effect(checked: Sequence[CheckedChunk]) -> float:
    """Return the variance of a voice's share of wrong words relative to that of as many independent words.

    Over all voices together: the variance of the ratio of errors to words over a voice's chunks, divided by p (1 - p)
    of its words; at least 1, and 1 where no voice has two chunks. Source: L. Kish, Survey Sampling (1965), 8.2.
    """
    scatter = independent = 0.0
    for chunks in _by(checked, lambda chunk: chunk.speaker).values():
        words = sum(chunk.words for chunk in chunks)
        if len(chunks) < 2 or not words:
            continue
        errors = [min(chunk.word_errors, chunk.words) for chunk in chunks]
        share = sum(errors) / words
        squares = sum((wrong - share * chunk.words) ** 2 for wrong, chunk in zip(errors, chunks, strict=True))
        scatter += squares * len(chunks) / (len(chunks) - 1)
        independent += share * (1 - share) * words
    return max(1.0, scatter / independent) if independent else 1.0


def _metrics(
    first: Sequence[CheckedChunk], deciding: Mapping[str, list[CheckedChunk]], effect: float, where: str = ""
) -> list[Metric]:
    """Return the share of wrong words over all voices, by accent, and by voice from its deciding look."""
    accents = _by(first, lambda chunk: chunk.accent)
    return [
        *([_error_rate(f"all voices{where}", "word_error_rate", first, effect)] if first else []),
        *(_error_rate(accent + where, "accent.word_error_rate", accents[accent], effect) for accent in sorted(accents)),
        *(_error_rate(voice + where, "voice.word_error_rate", deciding[voice], effect) for voice in sorted(deciding)),
    ]


def _by(checked: Sequence[CheckedChunk], key: Callable[[CheckedChunk], str]) -> dict[str, list[CheckedChunk]]:
    grouped: defaultdict[str, list[CheckedChunk]] = defaultdict(list)
    for chunk in checked:
        grouped[key(chunk)].append(chunk)
    return grouped


def _error_rate(subject: str, metric: str, checked: Sequence[CheckedChunk], effect: float) -> Metric:
    """Return errors per reference word with Wilson's interval of the share of wrong words.

    The interval is that of words/`effect` independent words (rounded up); errors beyond the number of words count in
    the value alone.
    """
    errors, words = sum(chunk.word_errors for chunk in checked), max(1, sum(chunk.words for chunk in checked))
    value = errors / words
    independent = math.ceil(words / effect)
    interval = wilson_interval(round(min(value, 1.0) * independent), independent)
    return Metric(subject, metric, value, min(interval.low, value), max(interval.high, value), words)
