"""clean_transcripts: the words on which the systems agree, for the segments that are good enough.

Put here: from hypotheses to a transcript or a drop. Do not put here: the vote (spelangy_model/audio/rover.py), the
filters (filters.py), the languages' vote (language.py).

Inputs `speech_segments` and `transcript_hypotheses`. With two systems ROVER is a pick by confidence (see rover.py).
Name the systems by trust in their punctuation (`RoverWeights.written`): fine chunks are cut where they write an end.
Every segment is in one of the two tables; a dropped one carries the reason, the measured value and the vote's text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, Drift, exactly
from spelangy_model.audio.filters import FilterLimits, first_drop
from spelangy_model.audio.language import LanguageVote, vote_language
from spelangy_model.audio.rover import RoverWeights, rover
from spelangy_model.audio.words import text_of
from spelangy_model.records import DroppedTranscript, Hypothesis, Segment, Transcript

VERSION = "6"
TABLES: dict[str, type] = {"transcripts": Transcript, "dropped": DroppedTranscript}


@dataclass(frozen=True)
class Config:
    """The literals of the three decisions: which words, which language, good enough or not."""

    rover: RoverWeights = field(default_factory=RoverWeights)
    language: LanguageVote = field(default_factory=LanguageVote)
    limits: FilterLimits = field(default_factory=FilterLimits)


CONTRACT = Contract(
    "clean_transcripts",
    """
    SELECT count(*) AS transcripts, count(*) - count(DISTINCT segment_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '') AS empty_texts,
           coalesce(avg(agreement), 1) AS mean_agreement, coalesce(avg(confidence), 1) AS mean_confidence,
           coalesce(avg(regexp_matches(text, '[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]')::INT)
                    FILTER (end_s - start_s > 10), 1) AS share_with_a_sentence_mark_over_10_s,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted_segments,
           (SELECT count(*) FROM dropped WHERE reason = '') AS drops_without_reason
    FROM transcripts
    """,
    (
        exactly("duplicate_ids"),
        exactly("empty_texts"),
        exactly("unaccounted_segments"),
        exactly("drops_without_reason"),
        Bound("transcripts", 1, None, "warn"),
        Bound("mean_agreement", 0.6, 1, "warn"),
        Bound("mean_confidence", 0.5, 1, "warn"),
        # Speech of ten seconds has sentence ends: without any, systems that write no punctuation won the vote.
        Bound("share_with_a_sentence_mark_over_10_s", 0.2, 1),
        Bound("share_with_a_sentence_mark_over_10_s", 0.7, 1, "warn"),
    ),
    drifts=(
        Drift("kept", "SELECT 1 FROM transcripts UNION ALL SELECT 0 FROM dropped"),
        Drift("agreement", "SELECT agreement FROM transcripts"),
        Drift("confidence", "SELECT confidence FROM transcripts"),
    ),
)

KIND = DatasetKind(
    group="transcripts",
    description="The words that ROVER's vote agreed on, after the filters; what they drop is kept with its reason.",
    contract=CONTRACT,
    takes={"speech_segments": Segment, "transcript_hypotheses": Hypothesis},
    columns={
        **{
            name: (f"speech_segments.{name}",) for name in ("segment_id", "recording_id", "speaker", "start_s", "end_s")
        },
        **{name: (f"transcript_hypotheses.{name}",) for name in ("language", "text", "words")},
        "systems": ("transcript_hypotheses.system",),
        "votes": ("transcript_hypotheses.words",),
        "agreement": ("transcript_hypotheses.words",),
        "confidence": ("transcript_hypotheses.words",),
    },
)


@word
def transcripts(segments: Dataset, hypotheses: Dataset, *, name: str = "clean_transcripts", **options: Any) -> Dataset:
    """Return the transcripts that the systems' vote and the filters leave; `options` are fields of Config."""
    inputs = {"speech_segments": segments, "transcript_hypotheses": hypotheses}
    return dataset(__name__, config_of(Config, options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing beyond the package's own requirements is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of segments."""
    shards = list(
        zip(
            ctx.inputs["speech_segments"].shards("segments"),
            ctx.inputs["transcript_hypotheses"].shards("hypotheses"),
            strict=True,
        )
    )
    for unit, (segments, hypotheses) in ctx.out.pending(shards):
        with ctx.out.unit(unit) as out:
            by_segment: dict[str, list[Hypothesis]] = {}
            for hypothesis in hypotheses.iter_records(Hypothesis):
                by_segment.setdefault(hypothesis.segment_id, []).append(hypothesis)
            for segment in segments.iter_records(Segment):
                hours = (segment.end_s - segment.start_s) / 3600
                out.read(1)
                out.add("hours_in", hours)
                if segment.segment_id not in by_segment:
                    raise InputError(
                        f"segment {segment.segment_id} of recording {segment.recording_id} has no hypothesis; "
                        "build transcript_hypotheses again"
                    )
                transcript = agree(segment, by_segment[segment.segment_id], config)
                drop = first_drop(transcript, segment, config.limits)
                if drop is None:
                    out.write("transcripts", [transcript])
                    out.add("hours_kept", hours)
                    out.add("words", len(transcript.words))
                else:
                    out.drop(drop.reason)
                    out.add(f"hours_dropped_{drop.reason}", hours)
                    out.write("dropped", [_dropped(transcript, drop.reason, drop.detail)])
        ctx.log(f"voted over shard {unit + 1} of {len(shards)}")


def agree(segment: Segment, hypotheses: Sequence[Hypothesis], config: Config) -> Transcript:
    """Return the transcript that the hypotheses of a segment vote for, whatever its quality."""
    systems = [hypothesis.system for hypothesis in hypotheses]
    agreed = rover([hypothesis.words for hypothesis in hypotheses], config.rover, systems)
    text = text_of(agreed.words)
    first = hypotheses[0]
    language, _ = vote_language(first.language, first.language_probability, text, config.language)
    return Transcript(
        segment_id=segment.segment_id,
        recording_id=segment.recording_id,
        speaker=segment.speaker,
        start_s=segment.start_s,
        end_s=segment.end_s,
        language=language,
        text=text,
        words=agreed.words,
        systems=systems,
        votes=agreed.votes,
        agreement=agreed.agreement,
        confidence=agreed.confidence,
    )


def _dropped(transcript: Transcript, reason: str, detail: str) -> DroppedTranscript:
    return DroppedTranscript(
        segment_id=transcript.segment_id,
        recording_id=transcript.recording_id,
        speaker=transcript.speaker,
        start_s=transcript.start_s,
        end_s=transcript.end_s,
        reason=reason,
        detail=detail,
        text=transcript.text,
    )
