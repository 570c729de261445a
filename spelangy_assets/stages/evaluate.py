"""Scores one run: spoken and written multiple choice, and the modality gap, with one load of the model.

Put here: from questions to score rows, and from those to metrics. Do not put here: likelihoods, divergences or
intervals (spelangy_model/eval).

Inputs: `run` (a model folder), `questions` (SpokenQuestion), `speech_tokenizer` (files). Output:
scores(QuestionScore), one row a recording and one for each question text (accent empty, question_id = text_id), and
metrics(Metric):

    sqa.{split}.accuracy  sqa.all.accuracy  sqa.accent.{accent}.accuracy   spoken; chance is 0.25
    text_qa.{split}.accuracy  text_qa.accuracy                              the same questions, written
    gap.reverse_kl  gap.{split}.reverse_kl                                  nats

Intervals are a bootstrap over question texts, since the recordings of one text are not independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from spelangy_assets.stages.stage import Execution, InputError, PreflightError, StageContext
from spelangy_model.audio.io import decode_flac
from spelangy_model.records import Metric, QuestionScore, SpokenQuestion

VERSION = "1"
TABLES: dict[str, type] = {"scores": QuestionScore, "metrics": Metric}


@dataclass(frozen=True)
class Config:
    """`answer_prefix` stands between the question and the option; it is how training texts begin an answer."""

    seed: int
    answer_prefix: str = "The answer is"


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the device that the settings name is not there."""
    if execution.device.startswith("cuda"):
        import torch

        if not torch.cuda.is_available():
            raise PreflightError(f"device {execution.device} is set, but torch sees no GPU: set the device to cpu")


def run(ctx: StageContext, config: Config) -> None:
    """Score in one unit."""
    for unit, _ in ctx.out.pending(["scores"]):
        questions = list(ctx.inputs["questions"].records("questions", SpokenQuestion))
        with ctx.out.unit(unit) as out:
            out.read(len(questions))
            scores = _score(ctx, config, questions)
            out.write("scores", scores)
            out.kept(len(questions))
            metrics = list(summarize(scores, ctx.inputs["run"].manifest.asset, config.seed))
            out.write("metrics", metrics)
        for metric in metrics:
            ctx.log(f"{metric.metric}: {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] of {metric.count}")


def _score(ctx: StageContext, config: Config, questions: list[SpokenQuestion]) -> list[QuestionScore]:
    import torch

    from spelangy_model.eval.gap import reverse_kl
    from spelangy_model.eval.multiple_choice import score_prompts
    from spelangy_model.eval.prompts import spoken_prompt, text_prompt
    from spelangy_model.lm.forward import load_model
    from spelangy_model.tokenizer.speech import SpeechTokenizer
    from spelangy_model.tokenizer.text import load_text_tokenizer
    from spelangy_model.tokenizer.vocab import check_checkpoint

    device = torch.device(ctx.execution.device)
    if device.type == "cpu":
        torch.set_num_threads(1)  # scores to the bit, whatever the machine's cores are
    cache_dir, name = ctx.execution.cache_dir, ctx.inputs["run"].manifest.asset
    folder = ctx.inputs["run"].local_folder(cache_dir)
    model: Any = load_model(folder)
    model.to(device)
    layout = check_checkpoint(model, folder)
    tokenizer = load_text_tokenizer(folder)
    speech: Any = SpeechTokenizer.from_pretrained(ctx.inputs["speech_tokenizer"].local_folder(cache_dir))
    speech.to(device)
    if speech.codebook_size != layout.codebook_size:
        raise InputError(
            f"{ctx.inputs['run'].uri} knows {layout.codebook_size} speech codes, the speech tokenizer has "
            f"{speech.codebook_size}: score it with the tokenizer that it was trained on"
        )
    codes = speech.encode([decode_flac(question.audio.bytes) for question in questions])
    texts = list({question.text_id: question for question in questions}.values())
    spoken = [
        spoken_prompt(layout, tokenizer, list(heard), config.answer_prefix, question.options)
        for question, heard in zip(questions, codes, strict=True)
    ]
    written = [
        text_prompt(layout, tokenizer, question.question, config.answer_prefix, question.options) for question in texts
    ]
    ctx.log(f"scoring {len(spoken)} spoken and {len(written)} written questions")
    after_text = dict(zip((q.text_id for q in texts), score_prompts(model, written, layout.pad), strict=True))
    rows = []
    for question, score in zip(questions, score_prompts(model, spoken, layout.pad), strict=True):
        gap = reverse_kl(score.next_log_probs, after_text[question.text_id].next_log_probs, layout.text_size)
        rows.append(
            _row(name, question, question.question_id, question.accent, "speech", score.option_log_likelihoods, gap)
        )
    for question in texts:
        likelihoods = after_text[question.text_id].option_log_likelihoods
        rows.append(_row(name, question, question.text_id, "", "text", likelihoods, math.nan))
    return rows


def _row(
    run: str,
    question: SpokenQuestion,
    question_id: str,
    accent: str,
    modality: str,
    likelihoods: list[float],
    gap: float,
) -> QuestionScore:
    return QuestionScore(
        run=run,
        question_id=question_id,
        text_id=question.text_id,
        benchmark=question.benchmark,
        split=question.split,
        accent=accent,
        modality=modality,
        option_log_likelihoods=likelihoods,
        predicted_index=max(range(len(likelihoods)), key=likelihoods.__getitem__),
        answer_index=question.answer_index,
        reverse_kl=gap,
    )


def summarize(scores: list[QuestionScore], subject: str, seed: int) -> Iterator[Metric]:
    """Yield the metrics of one run's scores, each with its 95% interval."""
    import numpy as np

    from spelangy_model.eval.stats import cluster_bootstrap

    def metric(name: str, members: list[QuestionScore], value: Callable[[QuestionScore], float]) -> Metric:
        values = np.array([value(score) for score in members])
        interval = cluster_bootstrap(values, np.array([score.text_id for score in members]), seed, name)
        return Metric(subject, name, interval.value, interval.low, interval.high, len(members))

    def correct(score: QuestionScore) -> float:
        return float(score.predicted_index == score.answer_index)

    spoken = [score for score in scores if score.modality == "speech"]
    written = [score for score in scores if score.modality == "text"]
    splits = list(dict.fromkeys(score.split for score in scores))
    if spoken:
        yield metric("sqa.all.accuracy", spoken, correct)
        yield metric("gap.reverse_kl", spoken, lambda score: score.reverse_kl)
        for accent in sorted({score.accent for score in spoken}):
            yield metric(f"sqa.accent.{accent}.accuracy", [s for s in spoken if s.accent == accent], correct)
    if written:
        yield metric("text_qa.accuracy", written, correct)
    for split in splits:
        if members := [score for score in spoken if score.split == split]:
            yield metric(f"sqa.{split}.accuracy", members, correct)
            yield metric(f"gap.{split}.reverse_kl", members, lambda score: score.reverse_kl)
        if members := [score for score in written if score.split == split]:
            yield metric(f"text_qa.{split}.accuracy", members, correct)
