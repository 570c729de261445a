"""Scores a system that is no run: a cascade of ASR and text LM, or a SpeechLM of others, on the spoken questions.

Put here: which questions are asked, and rows and metrics of the answers. Do not put here: the systems
(spelangy_model/eval/systems.py) or scoring of runs (stages/evaluate.py, whose metrics these are).

Inputs: `questions` (SpokenQuestion), and `base_lm` for a system that works on a text LM. Output: scores(QuestionScore),
metrics(Metric) as of a run, without gaps, and transcripts(TranscribedQuestion), what a system wrote down before it
answered, with asr.word_error_rate among the metrics.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stages.evaluate import summarize
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.audio.io import decode_flac
from spelangy_model.eval.systems import Answered, AnsweringSystem, Asked, SystemUnavailable
from spelangy_model.records import Int32, Metric, QuestionScore, SpokenQuestion
from spelangy_model.rng import stable_hash

VERSION = "6"
SUBJECT = "system"  # of the metrics; the leaderboard knows which system it is
_AT_ONCE = 256  # questions held as sound


@dataclass(frozen=True, slots=True)
class TranscribedQuestion:
    """What a system wrote down of a spoken question."""

    question_id: str
    spoken_text: str
    transcript: str
    word_errors: Annotated[Int32, "against the spoken text, both as Whisper's normalizer writes them"]
    words: Annotated[Int32, "of the spoken text, normalized"]


TABLES: dict[str, type] = {"scores": QuestionScore, "metrics": Metric, "transcripts": TranscribedQuestion}


@dataclass(frozen=True)
class Config:
    """`max_questions` draws so many recordings by id, 0 takes all."""

    system: AnsweringSystem
    seed: int = 0
    primary: Literal["raw", "per_token", "per_character"] = "raw"
    max_questions: int = 0


CONTRACT = Contract(
    "system_scores",
    """
    SELECT count(*) AS scores, count(*) - count(DISTINCT question_id) AS duplicate_scores,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(option_log_likelihoods) AS x) WHERE NOT isfinite(x) OR x > 0
           )) AS impossible_log_likelihoods,
           (SELECT count(*) FROM metrics) AS metrics
    FROM scores
    """,
    (Bound("scores", 1), exactly("duplicate_scores"), exactly("impossible_log_likelihoods"), Bound("metrics", 1)),
)

KIND = DatasetKind(
    group="evals",
    description="The spoken questions put to a system that a user would take instead.",
    contract=CONTRACT,
    pool="gpu",
    cost="heaviest",
    takes={"questions": SpokenQuestion, "base_lm": "language_model"},
    makes="system_scores",
)


@word
def system(
    questions: Dataset, system: AnsweringSystem, *, name: str, text_lm: Dataset | None = None, **options: Any
) -> Dataset:
    """Return how another system answers the questions; one that reads a text LM is given `text_lm`."""
    if system.reads_text_lm != (text_lm is not None):
        raise TypeError(f"{type(system).__name__} {'needs text_lm=' if system.reads_text_lm else 'reads no text LM'}")
    inputs = {"questions": questions, "base_lm": text_lm}
    return dataset(__name__, Config(system=system, **options), name=f"eval_{name}", label=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a model, package or device of the system is missing."""
    try:
        config.system.check(execution.cache_dir, execution.device)
    except SystemUnavailable as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    """Ask in one unit."""
    import torch

    if ctx.execution.device == "cpu":
        torch.set_num_threads(1)  # scores to the bit, whatever the machine's cores are
    for unit, _ in ctx.out.pending(["answers"]):
        cache_dir = ctx.execution.cache_dir
        text_lm = ctx.inputs["base_lm"].local_folder(cache_dir) if config.system.reads_text_lm else None
        system = config.system.load(cache_dir, ctx.execution.device, text_lm)
        questions = ctx.inputs["questions"].manifest.rows("questions")
        scores: list[QuestionScore] = []
        transcripts: list[TranscribedQuestion] = []
        voices: dict[str, str] = {}
        clusters: dict[str, str] = {}
        with ctx.out.unit(unit) as out:
            for ids in asked_blocks(ctx.inputs["questions"], config.seed, config.max_questions):
                block = questions_of(ctx.inputs["questions"], ids)
                answers = system.answer(
                    [Asked(row.question_id, decode_flac(row.audio.bytes), tuple(row.options)) for row in block]
                )
                scores += [_score(config, row, answer) for row, answer in zip(block, answers, strict=True)]
                transcripts += [
                    _transcribed(row, answer.transcript)
                    for row, answer in zip(block, answers, strict=True)
                    if answer.transcript is not None
                ]
                voices |= {row.question_id: row.voice for row in block}
                clusters |= {row.question_id: row.cluster_id for row in block}
                ctx.progress(len(scores), config.max_questions or questions, "questions")
            out.read(len(scores))
            out.kept(len(scores))
            out.write("scores", scores)
            out.write("transcripts", transcripts)
            metrics = [*summarize(scores, [], voices, SUBJECT), *_errors(SUBJECT, transcripts, clusters)]
            out.write("metrics", metrics)
        for metric in metrics:
            ctx.log(f"{metric.metric}: {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] of {metric.count}")


def asked_blocks(questions: Artifact, seed: int, max_questions: int) -> list[list[str]]:
    """Return the ids of the questions that a system is asked, in blocks that are answered together.

    Within a block the order is mixed: a recognizer that gets similar questions in a row repeats itself.
    """
    ids = [
        question_id
        for shard in questions.shards("questions")
        for question_id in shard.table(["question_id"]).column("question_id").to_pylist()
    ]

    def rank(question_id: str) -> str:
        return stable_hash("asked", seed, question_id)

    drawn = set(sorted(ids, key=rank)[: max_questions or len(ids)])
    chosen = [question_id for question_id in ids if question_id in drawn]
    return [sorted(chosen[start : start + _AT_ONCE], key=rank) for start in range(0, len(chosen), _AT_ONCE)]


def questions_of(questions: Artifact, ids: Sequence[str]) -> list[SpokenQuestion]:
    """Return the questions of those ids with their sound, in that order."""
    wanted = set(ids)
    found = {
        row.question_id: row
        for shard in questions.shards("questions")
        for row in shard.chosen_records(SpokenQuestion, "question_id", wanted)
    }
    return [found[question_id] for question_id in ids]


def _score(config: Config, row: SpokenQuestion, answer: Answered) -> QuestionScore:
    return QuestionScore(
        question_id=row.question_id,
        text_id=row.text_id,
        cluster_id=row.cluster_id,
        benchmark=row.benchmark,
        split=row.split,
        accent=row.accent,
        modality="speech",
        option_log_likelihoods=answer.scores.raw,
        option_per_token=answer.scores.per_token,
        option_per_character=answer.scores.per_character,
        predicted_index=answer.scores.best(config.primary),
        answer_index=row.answer_index,
        reverse_kl=math.nan,
    )


def _transcribed(row: SpokenQuestion, transcript: str) -> TranscribedQuestion:
    from spelangy_model.audio.wer import word_errors

    errors = word_errors([row.spoken_text], [transcript])
    return TranscribedQuestion(row.question_id, row.spoken_text, transcript, errors.errors, errors.reference_words)


def _errors(name: str, transcripts: Sequence[TranscribedQuestion], clusters: Mapping[str, str]) -> Iterator[Metric]:
    """Yield the word error rate with a bootstrap's interval over clusters of questions, by question_id."""
    import numpy as np

    from spelangy_model.eval.stats import ratio_bootstrap

    if not transcripts:
        return
    errors, words = np.array([[row.word_errors, row.words] for row in transcripts]).T
    groups = np.array([clusters[row.question_id] for row in transcripts])
    found = ratio_bootstrap(errors, words, lambda ratio: ratio[0], 0, name, clusters=groups)
    yield Metric(name, "asr.word_error_rate", found.value, found.low, found.high, len(transcripts))
