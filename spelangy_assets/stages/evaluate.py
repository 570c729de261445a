"""Scores one run: spoken and written multiple choice, the modality gap, and held-out talk, with one load of the model.

Put here: from questions to score rows, and from those to metrics. Do not put here: likelihoods, divergences or
intervals (spelangy_model/eval).

Inputs: `run` (a model folder), `questions` (SpokenQuestion, of which the sound is not read) and `question_codes`, the
same questions as speech codes; where there is held-out talk `talk` (SpokenPassage) and the `speech_tokenizer` of its
sound. Output: scores(QuestionScore), one row a recording and one for each question text (accent empty, question_id =
text_id), gaps(TokenGap), one row a recording and token of its answer, passages(PassageScore), and metrics(Metric):

    sqa.{benchmark}.{split}.accuracy  sqa.{benchmark}.accuracy              spoken, by the primary scoring; chance 0.25
    sqa.all.accuracy  sqa.accent.{accent}.accuracy  sqa.voice.{voice}.accuracy   all questions; by who asks
    sqa.mean.accuracy  text_qa.mean.accuracy                                each benchmark counts alike, where several
    text_qa.{benchmark}.{split}.accuracy  text_qa.{benchmark}.accuracy  text_qa.accuracy   the same questions, written
    sqa.all.probability  sqa.all.margin  sqa.all.log_probability            of the right option: see right_option
    text_qa.probability  text_qa.margin  text_qa.log_probability            the same of the written questions
    scoring.{scoring}.sqa.accuracy  scoring.{scoring}.text_qa.accuracy      all questions by each scoring
    gap.reverse_kl  gap.{benchmark}.{split}.reverse_kl  gap.forward_kl      nats, at the answer's first token
    gap.answer.reverse_kl  gap.answer.forward_kl                            nats, mean over all the answer's tokens
    talk.spoken_K.loss  talk.written_K.loss                 nats a token of the next sentence of held-out talk after its
                                                            first K = 1, 2, 3 sentences, as speech or as text
    talk.alone_K.loss                                       of the same sentence with nothing before it
    talk.spoken_K.hearing_gain  talk.hearing_gain           how much the loss grows when the K spoken sentences are
                                                            another talk's; over all K

Intervals are over clusters (cluster_id): questions or talk about one entity in several wordings and recordings are not
independent. Those of accuracies and probabilities stay between 0 and 1 (spelangy_model/eval/stats.py, mean_of).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_model.audio.io import decode_flac
from spelangy_model.records import (
    Metric,
    PassageScore,
    Question,
    QuestionCodes,
    QuestionScore,
    SpokenPassage,
    SpokenQuestion,
    TokenGap,
)

if TYPE_CHECKING:
    import numpy as np

    from spelangy_model.eval.multiple_choice import PromptScore
    from spelangy_model.tokenizer.vocab import Layout

VERSION = "6"
TABLES: dict[str, type] = {"scores": QuestionScore, "gaps": TokenGap, "passages": PassageScore, "metrics": Metric}

SUBJECT = "run"  # of the metrics; the leaderboard knows which run it is
_TEXTS_AT_ONCE = 512  # question texts whose distributions are in memory together


@dataclass(frozen=True)
class Config:
    """`answer_prefix` is the text between the question and the option, with which training texts begin an answer.

    `prompt_format` names the layout of the prompt (spelangy_model/eval/prompts.py), `primary` the scoring that judges a
    run. Benchmarks whose options differ much in length are judged better per token or per character. `seed` draws which
    passage's speech replaces which.
    """

    seed: int = 0
    answer_prefix: str = "The answer is"
    prompt_format: Literal["answer_read"] = "answer_read"
    primary: Literal["raw", "per_token", "per_character"] = "raw"


CONTRACT = Contract(
    "scores",
    """
    SELECT count(*) AS scores, count(*) - count(DISTINCT (question_id, modality)) AS duplicate_scores,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(option_log_likelihoods) AS x) WHERE NOT isfinite(x) OR x > 0
           )) AS impossible_log_likelihoods,
           (SELECT count(*) FROM gaps WHERE NOT (isfinite(reverse_kl) AND isfinite(forward_kl)
               AND reverse_kl >= 0 AND forward_kl >= 0)) AS impossible_gaps,
           (SELECT count(*) FROM passages WHERE EXISTS (
               SELECT 1 FROM (SELECT unnest(alone || spoken || written || swapped) AS x) WHERE NOT isfinite(x) OR x < 0
           )) AS impossible_losses,
           (SELECT count(*) FROM metrics) AS metrics
    FROM scores
    """,
    (
        Bound("scores", 1),
        exactly("impossible_losses"),
        exactly("duplicate_scores"),
        exactly("impossible_log_likelihoods"),
        exactly("impossible_gaps"),
        Bound("metrics", 1),
    ),
)

KIND = DatasetKind(
    group="evals",
    description="Spoken and written question answering, the modality gap and held-out talk of {run}.",
    contract=CONTRACT,
    pool="gpu",
    cost="heavy",
    takes={
        "run": "language_model",
        "questions": SpokenQuestion,
        "question_codes": QuestionCodes,
        "talk": SpokenPassage,
        "speech_tokenizer": "speech_tokenizer",
    },
    makes="scores",
    columns={
        **{
            name: (f"questions.{name}",)
            for name in ("question_id", "text_id", "cluster_id", "benchmark", "split", "accent")
        },
        **dict.fromkeys(
            ("option_log_likelihoods", "option_per_token", "option_per_character", "predicted_index", "reverse_kl"),
            ("question_codes.codes", "questions.question", "questions.options"),
        ),
        "answer_index": ("questions.answer_index",),
    },
)


@word
def evaluation(
    run: Dataset,
    questions: Dataset,
    question_codes: Dataset,
    *,
    name: str,
    talk: Dataset | None = None,
    speech_tokenizer: Dataset | None = None,
    **options: Any,
) -> Dataset:
    """Return a run's scores on questions and their speech codes; `options` are fields of Config.

    With held-out `talk`, which needs `speech_tokenizer`, on that too.
    """
    if (talk is None) != (speech_tokenizer is None):
        raise TypeError("talk= and speech_tokenizer= are given together")
    inputs = {
        "run": run,
        "questions": questions,
        "question_codes": question_codes,
        "talk": talk,
        "speech_tokenizer": speech_tokenizer,
    }
    return dataset(__name__, config_of(Config, options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for an unknown format or scoring, or when the device of the settings is not there."""

    from spelangy_model.eval.multiple_choice import SCORINGS
    from spelangy_model.eval.prompts import FORMATS

    for name, chosen, known in (
        ("prompt_format", config.prompt_format, FORMATS),
        ("primary", config.primary, SCORINGS),
    ):
        if chosen not in known:
            raise PreflightError(f"{name} {chosen!r} is not known: choose one of {', '.join(known)}")
    execution.check_device()


def run(ctx: StageContext, config: Config) -> None:
    """Score in one unit."""
    for unit, _ in ctx.out.pending(["scores"]):
        questions = list(ctx.inputs["questions"].records("questions", Question))
        with ctx.out.unit(unit) as out:
            out.read(len(questions))
            checkpoint = open_run(ctx)
            scores, gaps = _score(ctx, checkpoint, config, questions)
            passages = _score_talk(ctx, checkpoint, config)
            out.write("scores", scores)
            out.write("gaps", gaps)
            out.write("passages", passages)
            out.kept(len(questions))
            voices = {question.question_id: question.voice for question in questions}
            metrics = [*summarize(scores, gaps, voices, SUBJECT), *summarize_talk(passages, SUBJECT)]
            out.write("metrics", metrics)
        for metric in metrics:
            ctx.log(f"{metric.metric}: {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] of {metric.count}")


@dataclass(frozen=True)
class RunCheckpoint:
    """A run's model with its vocabulary."""

    model: Any
    layout: Layout
    tokenizer: Any

    def check(self, ctx: StageContext, codebook_size: int) -> None:
        """Raise InputError where speech has other codes than the model knows."""
        if codebook_size != self.layout.codebook_size:
            raise InputError(
                f"{ctx.inputs['run'].uri} knows {self.layout.codebook_size} speech codes, the speech tokenizer has "
                f"{codebook_size}: score it with the tokenizer that it was trained on"
            )


def open_run(ctx: StageContext) -> RunCheckpoint:
    """Return the model of the input `run`, on the device of the settings."""
    import torch

    from spelangy_model.lm.forward import load_model
    from spelangy_model.tokenizer.text import load_text_tokenizer
    from spelangy_model.tokenizer.vocab import check_checkpoint

    device = torch.device(ctx.execution.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # scores to the bit, whatever the machine's cores are
    cache_dir = ctx.execution.cache_dir
    folder = ctx.inputs["run"].local_folder(cache_dir)
    model: Any = load_model(folder)
    model.to(device)
    layout = check_checkpoint(model, folder)
    tokenizer = load_text_tokenizer(folder)
    return RunCheckpoint(model, layout, tokenizer)


def _score(
    ctx: StageContext, checkpoint: RunCheckpoint, config: Config, questions: list[Question]
) -> tuple[list[QuestionScore], list[TokenGap]]:
    from spelangy_model.eval.gap import position_gaps
    from spelangy_model.eval.multiple_choice import score_prompts
    from spelangy_model.eval.prompts import spoken_prompt, text_prompt

    model, layout, tokenizer = checkpoint.model, checkpoint.layout, checkpoint.tokenizer
    codes = {row.question_id: row for row in ctx.inputs["question_codes"].records("codes", QuestionCodes)}
    for row in codes.values():
        checkpoint.check(ctx, row.codebook_size)
    prefix = config.answer_prefix
    spoken_rows: list[QuestionScore] = []
    written_rows: list[QuestionScore] = []
    gaps: list[TokenGap] = []
    texts = {question.text_id: question for question in questions}
    for block in _blocks(list(texts), _TEXTS_AT_ONCE):
        chosen = set(block)
        recorded = [question for question in questions if question.text_id in chosen]
        spoken = [
            spoken_prompt(layout, tokenizer, codes[q.question_id].codes, prefix, q.options, q.answer_index)
            for q in recorded
        ]
        read = [texts[text_id] for text_id in block]
        written = [
            text_prompt(layout, tokenizer, question.question, prefix, question.options, question.answer_index)
            for question in read
        ]
        after_text = dict(zip(block, score_prompts(model, written, layout.pad), strict=True))
        for question, prompt, score in zip(recorded, spoken, score_prompts(model, spoken, layout.pad), strict=True):
            reference = after_text[question.text_id]
            found = position_gaps(score.followed_log_probs, reference.followed_log_probs, layout.text_size)
            spoken_rows.append(_row(question, "speech", score, config, found[0].reverse_kl))
            gaps += [
                TokenGap(
                    question_id=question.question_id,
                    text_id=question.text_id,
                    position=position,
                    token=tokenizer.decode([token]),
                    reverse_kl=gap.reverse_kl,
                    forward_kl=gap.forward_kl,
                    moved_tokens=[tokenizer.decode([moved]) for moved in gap.moved],
                    moved_speech=gap.moved_speech,
                    moved_text=gap.moved_text,
                )
                for position, (token, gap) in enumerate(zip(prompt.options[prompt.followed], found, strict=True))
            ]
        written_rows += [_row(question, "text", after_text[question.text_id], config, math.nan) for question in read]
        ctx.progress(len(written_rows), len(texts), "questions")
    return spoken_rows + written_rows, gaps


def _score_talk(ctx: StageContext, checkpoint: RunCheckpoint, config: Config) -> list[PassageScore]:
    """Return how the run predicts the last sentence of each passage of held-out talk; none where none is given."""
    from spelangy_model.eval.passages import TokenizedPassage, passage_losses
    from spelangy_model.tokenizer.open_codec import open_codec

    if "talk" not in ctx.inputs:
        return []
    passages = list(ctx.inputs["talk"].records("talk", SpokenPassage))
    folder = ctx.inputs["speech_tokenizer"].local_folder(ctx.execution.cache_dir)
    codec = open_codec(folder, ctx.execution.device)
    checkpoint.check(ctx, codec.codebook_size)
    tokenized = []
    for start in range(0, len(passages), _TEXTS_AT_ONCE):
        block = passages[start : start + _TEXTS_AT_ONCE]
        codes = iter(codec.encode([sound for passage in block for sound in _sentences_of(passage)]))
        tokenized += [
            TokenizedPassage(tuple(tuple(map(int, next(codes))) for _ in passage.start_s), tuple(passage.sentences))
            for passage in block
        ]
    ctx.log(f"scoring {len(passages)} passages of held-out talk")
    losses = passage_losses(
        checkpoint.model, checkpoint.layout, checkpoint.tokenizer, tokenized, swaps_of(passages, config.seed)
    )
    return [
        PassageScore(
            *(passage.passage_id, passage.cluster_id),
            *(loss.tokens, loss.alone, loss.spoken, loss.written, loss.swapped),
        )
        for passage, loss in zip(passages, losses, strict=True)
    ]


def _sentences_of(passage: SpokenPassage) -> list[np.ndarray]:
    """Return the sound of each spoken sentence with the pause after it."""
    import numpy as np

    from spelangy_model.audio.io import SAMPLE_RATE_HZ

    starts = [round(start * SAMPLE_RATE_HZ) for start in passage.start_s[1:]]
    return np.split(decode_flac(passage.audio.bytes), starts)


def swaps_of(passages: Sequence[SpokenPassage], seed: int) -> list[int]:
    """Return for each passage the number of one of another talk and of another cluster, drawn by the seed.

    InputError where there is none.
    """
    from spelangy_model.rng import stable_hash

    order = sorted(range(len(passages)), key=lambda at: stable_hash("swapped", seed, passages[at].passage_id))
    found = [0] * len(passages)
    for place, at in enumerate(order):
        mine = passages[at]
        following = (order[(place + step) % len(order)] for step in range(1, len(order)))
        other = next(
            (
                one
                for one in following
                if passages[one].talk_id != mine.talk_id and passages[one].cluster_id != mine.cluster_id
            ),
            None,
        )
        if other is None:
            raise InputError(f"no passage is of another talk than {mine.talk_id} and about something else: add talk")
        found[at] = other
    return found


def _blocks(items: Sequence[str], size: int) -> Iterator[Sequence[str]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _row(question: Question, modality: str, score: PromptScore, config: Config, gap: float) -> QuestionScore:
    spoken = modality == "speech"
    return QuestionScore(
        question_id=question.question_id if spoken else question.text_id,
        text_id=question.text_id,
        cluster_id=question.cluster_id,
        benchmark=question.benchmark,
        split=question.split,
        accent=question.accent if spoken else "",
        modality=modality,
        option_log_likelihoods=score.raw,
        option_per_token=score.per_token,
        option_per_character=score.per_character,
        predicted_index=score.best(config.primary),
        answer_index=question.answer_index,
        reverse_kl=gap,
    )


RIGHT_OPTION = ("probability", "margin", "log_probability")


def right_option(log_likelihoods: Sequence[float], answer: int) -> dict[str, float]:
    """Return how likely the right of the options is: among them all, over the best wrong one (nats), and alone (nats).

    Of the summed log-likelihoods, whatever scoring judges the run.
    """
    import numpy as np

    values = np.asarray(log_likelihoods, np.float64)
    wrong = np.delete(values, answer)
    shifted = np.exp(values - values.max())
    return {
        "probability": float(shifted[answer] / shifted.sum()),
        "margin": float(values[answer] - wrong.max()),
        "log_probability": float(values[answer]),
    }


def talk_values(score: PassageScore) -> dict[str, tuple[float, int]]:
    """Return a passage's value for each metric of talk: nats a token, and the number of tokens."""
    gains = [swapped - spoken for spoken, swapped in zip(score.spoken, score.swapped, strict=True)]
    nats = {
        f"talk.{way}_{count}.{what}": (value, score.tokens[count - 1])
        for what, way, values in (
            ("loss", "alone", score.alone),
            ("loss", "spoken", score.spoken),
            ("loss", "written", score.written),
            ("hearing_gain", "spoken", gains),
        )
        for count, value in enumerate(values, start=1)
    }
    nats["talk.hearing_gain"] = sum(gains), sum(score.tokens)
    return {name: (value / tokens, tokens) for name, (value, tokens) in nats.items()}


def summarize_talk(passages: Sequence[PassageScore], subject: str) -> Iterator[Metric]:
    """Yield the metrics of held-out talk, each with its 95% interval over clusters; each token counts alike."""
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    if not passages:
        return
    values = [talk_values(passage) for passage in passages]
    clusters = np.array([passage.cluster_id for passage in passages])
    for name in values[0]:
        means, tokens = np.array([row[name] for row in values]).T
        found = mean_of(means, clusters, weights=tokens).interval
        yield Metric(subject, name, found.value, found.low, found.high, len(passages))


SCORES_OF = {
    "raw": "option_log_likelihoods",
    "per_token": "option_per_token",
    "per_character": "option_per_character",
}


def summarize(
    scores: list[QuestionScore], gaps: list[TokenGap], voices: dict[str, str], subject: str
) -> Iterator[Metric]:
    """Yield the metrics of one run's scores, each with its 95% interval. `voices` is the voice of each recording."""
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    cluster_of = {score.text_id: score.cluster_id for score in scores}

    def metric(
        name: str, members: Sequence[Any], value: Callable[[Any], float], weights: Sequence[float] | None = None
    ) -> Metric:
        found = mean_of(
            np.array([value(score) for score in members]),
            np.array([cluster_of[score.text_id] for score in members]),
            weights=None if weights is None else np.array(weights),
            fraction=name.endswith((".accuracy", ".probability")),
        ).interval
        return Metric(subject, name, found.value, found.low, found.high, len(members))

    def correct(score: QuestionScore) -> float:
        return float(score.predicted_index == score.answer_index)

    def continuous(score: QuestionScore) -> Mapping[str, float]:
        return right_option(score.option_log_likelihoods, score.answer_index)

    def correct_by(scoring: str) -> Callable[[QuestionScore], float]:
        return lambda score: float(int(np.argmax(getattr(score, SCORES_OF[scoring]))) == score.answer_index)

    spoken = [score for score in scores if score.modality == "speech"]
    written = [score for score in scores if score.modality == "text"]
    asked = list(dict.fromkeys((score.benchmark, score.split) for score in scores))
    benchmarks = list(dict.fromkeys(benchmark for benchmark, _ in asked))
    if spoken:
        yield metric("sqa.all.accuracy", spoken, correct)
    for modality, members in (("sqa.all", spoken), ("text_qa", written)):
        for name in RIGHT_OPTION if members else ():
            yield metric(f"{modality}.{name}", members, lambda score, name=name: continuous(score)[name])
    if gaps:
        yield metric("gap.reverse_kl", spoken, lambda score: score.reverse_kl)
        yield metric("gap.forward_kl", [gap for gap in gaps if gap.position == 0], lambda gap: gap.forward_kl)
        yield metric("gap.answer.reverse_kl", gaps, lambda gap: gap.reverse_kl)
        yield metric("gap.answer.forward_kl", gaps, lambda gap: gap.forward_kl)
    if spoken:
        for accent in sorted({score.accent for score in spoken}):
            yield metric(f"sqa.accent.{accent}.accuracy", [s for s in spoken if s.accent == accent], correct)
        for voice in sorted(set(voices.values())):
            yield metric(f"sqa.voice.{voice}.accuracy", [s for s in spoken if voices[s.question_id] == voice], correct)
    if written:
        yield metric("text_qa.accuracy", written, correct)
    for scoring in SCORES_OF:
        for name, members in (("sqa", spoken), ("text_qa", written)):
            if members:
                yield metric(f"scoring.{scoring}.{name}.accuracy", members, correct_by(scoring))
    for kind, members in (("sqa", spoken), ("text_qa", written)):
        counts = Counter(score.benchmark for score in members)
        if len(counts) > 1:
            yield metric(f"{kind}.mean.accuracy", members, correct, [1 / counts[score.benchmark] for score in members])
        for benchmark in benchmarks:
            if of_benchmark := [score for score in members if score.benchmark == benchmark]:
                yield metric(f"{kind}.{benchmark}.accuracy", of_benchmark, correct)
        for benchmark, split in asked:
            of_split = [score for score in members if (score.benchmark, score.split) == (benchmark, split)]
            if of_split:
                yield metric(f"{kind}.{benchmark}.{split}.accuracy", of_split, correct)
                if gaps and kind == "sqa":
                    yield metric(f"gap.{benchmark}.{split}.reverse_kl", of_split, lambda score: score.reverse_kl)
