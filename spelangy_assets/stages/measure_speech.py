"""Measures of chunks: length, signal-to-noise ratio, and an opinion score where a model gives one.

Put here: measuring each chunk, and which documents are too bad. Do not put here: sums over chunks (describe_data), or
the measures themselves (spelangy_model/audio/measures.py, speech_quality.py).

Inputs: `chunks`; `clean_transcripts` or `raw_audio` where the chunks were made from them, for languages. Output:
measured(MeasuredChunk), and rejected(RejectedChunk) for tokenizing: documents below a limit. A document is kept whole
or not at all, so its mean over time is judged.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Annotated
from urllib.parse import urlsplit

import numpy as np

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.sources.audio_manifests import UNKNOWN_LICENCE, UNKNOWN_SPEAKER
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.audio.io import AudioError, decode_flac
from spelangy_model.audio.measures import measure_snr_db
from spelangy_model.audio.speech_quality import Opinion, QualityModel, SpeechQualityError
from spelangy_model.records import Chunk, Recording, RejectedChunk, Transcript
from spelangy_model.text.language import UNDETERMINED

VERSION = "1"
INDEPENDENT_UNITS = True
_NOT_MEASURED = Opinion(math.nan, math.nan, math.nan)
_SENTENCE_END = re.compile("[.!?\u2026\u3002\uff01\uff1f\u061f\u0964][\"')\u201d\u2019]*$")


@dataclass(frozen=True, slots=True)
class MeasuredChunk:
    """A chunk without its sound and words; a text that is empty is not stated."""

    chunk_id: str
    document_id: str
    speaker: Annotated[
        str, "a voice, the publisher's id of a person, or RECORDING/LABEL where a label is of one recording"
    ]
    accent: str
    source: Annotated[str, "the host that published it"]
    licence: str
    language: Annotated[str, "ISO 639-1 code"]
    duration_s: float
    ends_sentence: Annotated[bool, "whether the text ends in a mark of a sentence"]
    snr_db: Annotated[float, "as in Recording, of the chunk alone"]
    mos: Annotated[float, "mean opinion score, 1 to 5; NaN: not measured"]
    mos_speech: float
    mos_background: float


TABLES: dict[str, type] = {"measured": MeasuredChunk, "rejected": RejectedChunk}


@dataclass(frozen=True)
class Config:
    """`model` gives opinion scores; None: the signal-to-noise ratio alone is measured.

    A document below `min_snr_db` or `min_mos` on average over time enters no token set. None: there is no limit.
    """

    model: QualityModel | None = None
    min_snr_db: float | None = None
    min_mos: float | None = None

    def __post_init__(self) -> None:
        if self.min_mos is not None and self.model is None:
            raise ValueError("min_mos needs a model that gives scores: model=Dnsmos()")

    @property
    def limits(self) -> dict[str, tuple[str, float]]:
        """Return each reason with the measure and the least value that it stands for."""
        given = {"low_snr": ("snr_db", self.min_snr_db), "low_mos": ("mos", self.min_mos)}
        return {reason: (measure, least) for reason, (measure, least) in given.items() if least is not None}


CONTRACT = Contract(
    "measured_speech",
    """
    SELECT count(*) AS chunks, count(*) - count(DISTINCT chunk_id) AS duplicate_ids,
           count(*) FILTER (NOT isfinite(snr_db)) AS chunks_without_snr,
           count(*) FILTER (NOT isnan(mos) AND (mos < 0 OR mos > 5.5)) AS impossible_scores,
           (SELECT count(*) FROM rejected) / greatest(count(*), 1) AS share_rejected
    FROM measured
    """,
    (
        Bound("chunks", 1, None, "warn"),
        exactly("duplicate_ids"),
        exactly("chunks_without_snr"),
        exactly("impossible_scores"),
        Bound("share_rejected", 0, 0.5, "warn"),
    ),
)

KIND = DatasetKind(
    group="chunks",
    description="{chunks}, measured chunk by chunk: length, signal-to-noise ratio, opinion score.",
    contract=CONTRACT,
    takes={"chunks": Chunk, "clean_transcripts": Transcript, "raw_audio": Recording},
    columns={
        **{name: (f"chunks.{name}",) for name in ("chunk_id", "document_id", "accent", "licence")},
        "speaker": ("chunks.speaker", "chunks.source_id"),
        "source": ("chunks.source_url",),
        "duration_s": ("chunks.start_s", "chunks.end_s"),
        "ends_sentence": ("chunks.text",),
        **dict.fromkeys(("snr_db", "mos", "mos_speech", "mos_background"), ("chunks.audio",)),
    },
)


@word
def measure(chunks: Dataset, config: Config) -> Dataset:
    """Return the measures of chunks."""
    inputs: dict[str, Dataset | None] = {"chunks": chunks}
    for role, made in (("clean_transcripts", Transcript), ("raw_audio", Recording)):
        known = chunks.inputs.get(role)
        if known is not None and known.makes is made:
            inputs[role] = known
            break
    return dataset(__name__, config, name=f"{chunks.label}_measures", inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the model's package is missing."""
    if config.model is not None:
        try:
            config.model.locate(execution.cache_dir)
        except SpeechQualityError as error:
            raise PreflightError(str(error)) from error


@dataclass(frozen=True)
class _Known:
    """What is known of recordings: languages by recording and speaker ("": all of its speakers).

    `read_by_one` are those with one speaker, whose words came with them: their label is taken as the publisher's id of
    a person, as in corpora of utterances. Labels of a conversation, and those of a diarizer, are of one recording.
    """

    languages: Mapping[tuple[str, str], str]
    read_by_one: frozenset[str]

    def language(self, chunk: Chunk) -> str:
        of_recording = self.languages.get((chunk.source_id, ""), "")
        return self.languages.get((chunk.source_id, chunk.speaker), of_recording)


def run(ctx: StageContext, config: Config) -> None:
    """Measure each shard of `chunks` as one unit."""
    shards = ctx.inputs["chunks"].shards("chunks")
    pending = list(ctx.out.pending(shards))
    if not pending:
        return
    known = _known(ctx.inputs)
    score = config.model.load(ctx.execution.cache_dir, ctx.execution.device) if config.model else None
    for unit, shard in pending:
        with ctx.out.unit(unit) as out:
            rows = _measured(shard.iter_records(Chunk), known, score)
            for _, several in groupby(rows, key=lambda row: row.document_id):
                document = list(several)
                rejected = _rejected(document, config)
                out.read(len(document))
                out.write("measured", document)
                out.write("rejected", rejected)
                out.kept(len(document) - len(rejected))
                for one in rejected:
                    out.drop(one.reason)
                out.add("hours_measured", sum(row.duration_s for row in document) / 3600)
        ctx.log(f"measured shard {unit + 1} of {len(shards)}")


def _measured(
    chunks: Iterator[Chunk], known: _Known, score: Callable[[np.ndarray], Opinion] | None
) -> Iterator[MeasuredChunk]:
    for chunk in chunks:
        snr_db, opinion = measure_snr_db(np.zeros(0, np.float32)), _NOT_MEASURED
        try:
            samples = decode_flac(chunk.audio.bytes)
        except AudioError:  # tokenizing drops and counts it
            samples = np.zeros(0, np.float32)
        if len(samples):
            snr_db = measure_snr_db(samples)
            opinion = score(samples) if score is not None else opinion
        yield MeasuredChunk(
            chunk_id=chunk.chunk_id,
            document_id=chunk.document_id,
            speaker=_speaker(chunk, known),
            accent=chunk.accent,
            source=urlsplit(chunk.source_url).hostname or "",
            licence="" if chunk.licence == UNKNOWN_LICENCE else chunk.licence,
            language=known.language(chunk),
            duration_s=chunk.duration_s,
            ends_sentence=bool(_SENTENCE_END.search(chunk.text)),
            snr_db=snr_db,
            mos=opinion.overall,
            mos_speech=opinion.speech,
            mos_background=opinion.background,
        )


def _speaker(chunk: Chunk, known: _Known) -> str:
    """Return a name of the speaker that no speaker of another recording has by chance."""
    if chunk.accent:
        return chunk.speaker
    if chunk.speaker == UNKNOWN_SPEAKER:
        return ""
    return chunk.speaker if chunk.source_id in known.read_by_one else f"{chunk.source_id[:12]}/{chunk.speaker}"


def _rejected(document: list[MeasuredChunk], config: Config) -> list[RejectedChunk]:
    durations = np.array([row.duration_s for row in document])
    for reason, (measure_name, least) in config.limits.items():
        mean = float(np.average([getattr(row, measure_name) for row in document], weights=durations))
        if not mean >= least:  # a chunk without sound has no score, and its document none either
            detail = f"{measure_name} of the document {mean:.2f} < {least}"
            return [RejectedChunk(row.chunk_id, row.document_id, reason, detail) for row in document]
    return []


def _known(inputs: Mapping[str, Artifact]) -> _Known:
    """Read what is known of recordings; sound and words are not read."""
    speakers: defaultdict[str, set[str]] = defaultdict(set)
    for row in inputs["chunks"].table("chunks", ["source_id", "speaker"]).to_pylist():
        speakers[row["source_id"]].add(row["speaker"])
    alone = {source_id for source_id, labels in speakers.items() if len(labels) == 1}
    if (clean := inputs.get("clean_transcripts")) is not None:
        seconds: defaultdict[tuple[str, str], defaultdict[str, float]] = defaultdict(lambda: defaultdict(float))
        recognized = set()
        table = clean.table("transcripts", ["recording_id", "speaker", "start_s", "end_s", "language", "systems"])
        for row in table.to_pylist():
            seconds[row["recording_id"], row["speaker"]][row["language"]] += row["end_s"] - row["start_s"]
            if row["systems"] != ["given"]:
                recognized.add(row["recording_id"])
        found = {key: max(sorted(spoken), key=spoken.__getitem__) for key, spoken in seconds.items()}
        stated = {key: language for key, language in found.items() if language != UNDETERMINED}
        return _Known(stated, frozenset(alone - recognized))
    languages: dict[tuple[str, str], str] = {}
    if (raw := inputs.get("raw_audio")) is not None:
        table = raw.table("recordings", ["recording_id", "language"])
        languages = {(row["recording_id"], ""): row["language"] for row in table.to_pylist()}
    return _Known(languages, frozenset(alone))
