"""Answers in words: what a run, or another system, says to each question, by greedy generation.

Put here: which questions are asked, and rows of the answers. Do not put here: generation
(spelangy_model/eval/generate.py) or whether an answer is right (stages/judge_answers.py), so that another judge
generates nothing again.

Inputs: `questions` (SpokenQuestion, of which a run reads no sound); for a run `run` and `question_codes`, for another
system `base_lm` where it works on a text LM. Output: answers(GeneratedAnswer): of a run one row a recording and one for
each question text, of another system one row a recording.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stages.evaluate import RunCheckpoint, open_run
from spelangy_assets.stages.score_system import asked_blocks, questions_of
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.audio.io import decode_flac
from spelangy_model.eval.systems import AnsweringSystem, Asked, GeneratingSystem, SystemUnavailable
from spelangy_model.options import refuse_idle
from spelangy_model.records import GeneratedAnswer, Question, QuestionCodes, SpokenQuestion

if TYPE_CHECKING:
    from spelangy_model.eval.generate import GeneratedText

VERSION = "1"
TABLES: dict[str, type] = {"answers": GeneratedAnswer}


@dataclass(frozen=True)
class Config:
    """`max_answer_tokens` is the limit of one answer. `max_questions` draws so many recordings by id, 0 takes all.

    `answer_prefix` is as in stages/evaluate.py, or that of the template that a run was fine-tuned on. `whole_reply`: an
    answer is all that the run writes until it ends, not the first sentence. `system` answers instead of a run, with a
    prefix of its own.
    """

    max_answer_tokens: int = 32
    max_questions: int = 0
    seed: int = 0
    answer_prefix: str = "The answer is"
    system: AnsweringSystem | None = None
    whole_reply: bool = False

    def __post_init__(self) -> None:
        if self.max_answer_tokens < 1:
            raise ValueError(f"max_answer_tokens={self.max_answer_tokens}: an answer has at least one token")
        if self.system is not None:
            refuse_idle(self, "for another system, which ends its answers itself", "whole_reply")


CONTRACT = Contract(
    "generated_answers",
    """
    SELECT count(*) AS answers, count(*) - count(DISTINCT (question_id, modality)) AS duplicate_answers,
           count(*) FILTER (answer = '') / greatest(count(*), 1) AS share_empty,
           count(*) FILTER (NOT ended) / greatest(count(*), 1) AS share_cut
    FROM answers
    """,
    (
        Bound("answers", 1),
        exactly("duplicate_answers"),
        Bound("share_empty", 0, 0.1, "warn"),
        Bound("share_cut", 0, 0.5, "warn"),  # above it max_answer_tokens is too low, or the model never ends
    ),
)

KIND = DatasetKind(
    group="evals",
    description="What {label} answers in words.",
    contract=CONTRACT,
    pool="gpu",
    cost="heavy",
    takes={
        "run": "language_model",
        "questions": SpokenQuestion,
        "question_codes": QuestionCodes,
        "base_lm": "language_model",
    },
    columns={
        "answer": ("questions.audio", "questions.question"),
        **{name: (f"questions.{name}",) for name in ("question_id", "text_id", "cluster_id", "benchmark", "split")},
    },
)


@word
def answers_of_run(run: Dataset, questions: Dataset, question_codes: Dataset, config: Config) -> Dataset:
    """Return what a run answers to spoken and written questions."""
    inputs = {"run": run, "questions": questions, "question_codes": question_codes}
    return dataset(__name__, config, name=f"answers_{run.label}", label=run.label, inputs=inputs)


@word
def answers_of_system(questions: Dataset, config: Config, *, label: str, text_lm: Dataset | None = None) -> Dataset:
    """Return what another system, `config.system`, answers to spoken questions."""
    inputs = {"questions": questions, "base_lm": text_lm}
    return dataset(__name__, config, name=f"answers_{label}", label=label, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the device, or a model or package of the system, is missing."""
    if config.system is None:
        execution.check_device()
        return
    try:
        config.system.check(execution.cache_dir, execution.device)
    except SystemUnavailable as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    """Answer a block of questions a unit, so that a killed run loses one block."""
    blocks = asked_blocks(ctx.inputs["questions"], config.seed, config.max_questions)
    if config.system is None:
        _ask_run(ctx, config, blocks)
    else:
        _ask_system(ctx, config, config.system, blocks)


def _ask_run(ctx: StageContext, config: Config, blocks: Sequence[Sequence[str]]) -> None:
    rows = {row.question_id: row for row in ctx.inputs["questions"].records("questions", Question)}
    place = {question_id: number for number, question_id in enumerate(rows)}
    speech = [sorted(block, key=place.__getitem__) for block in blocks]
    first: dict[str, str] = {}  # recording of each text: a question is before its perturbed recordings
    for one, row in rows.items():
        first.setdefault(row.text_id, one)
    texts = [
        first[text_id] for text_id in dict.fromkeys(rows[one].text_id for one in itertools.chain.from_iterable(speech))
    ]
    text = [texts[start : start + len(speech[0])] for start in range(0, len(texts), len(speech[0]))] if texts else []
    works = [*(("speech", block) for block in speech), *(("text", block) for block in text)]
    pending = list(ctx.out.pending(works))
    if not pending:
        return
    checkpoint = open_run(ctx)
    codes = {row.question_id: row for row in ctx.inputs["question_codes"].records("codes", QuestionCodes)}
    for row in codes.values():
        checkpoint.check(ctx, row.codebook_size)
    for unit, (modality, ids) in pending:
        asked = [rows[one] for one in ids]
        with ctx.out.unit(unit) as out:
            answers = _answers(checkpoint, config, modality, asked, codes)
            _write(out, [_row(row, modality, answer) for row, answer in zip(asked, answers, strict=True)])
        ctx.log(f"answered {len(asked)} questions, {modality}")


def _answers(
    checkpoint: RunCheckpoint,
    config: Config,
    modality: str,
    asked: Sequence[Question],
    codes: dict[str, QuestionCodes],
) -> list[GeneratedText]:
    from spelangy_model.eval.generate import answer_prompts
    from spelangy_model.eval.prompts import spoken_prompt, text_prompt

    layout, tokenizer, prefix = checkpoint.layout, checkpoint.tokenizer, config.answer_prefix
    prompts = [
        spoken_prompt(layout, tokenizer, codes[row.question_id].codes, prefix, ())
        if modality == "speech"
        else text_prompt(layout, tokenizer, row.question, prefix, ())
        for row in asked
    ]
    limits = config.max_answer_tokens, config.whole_reply
    return answer_prompts(checkpoint.model, layout, tokenizer, prompts, prefix, *limits)


def _ask_system(ctx: StageContext, config: Config, chosen: AnsweringSystem, blocks: Sequence[Sequence[str]]) -> None:
    import torch

    pending = list(ctx.out.pending(blocks))
    if not pending:
        return
    if ctx.execution.device == "cpu":
        torch.set_num_threads(1)  # answers to the letter, whatever the machine's cores are
    cache_dir = ctx.execution.cache_dir
    text_lm = ctx.inputs["base_lm"].local_folder(cache_dir) if chosen.reads_text_lm else None
    system = chosen.load(cache_dir, ctx.execution.device, text_lm)
    if not isinstance(system, GeneratingSystem):
        raise TypeError(f"{type(chosen).__name__} states that it generates, but what it loads has no `generate`")
    for unit, ids in pending:
        asked = questions_of(ctx.inputs["questions"], ids)
        with ctx.out.unit(unit) as out:
            sounds = [Asked(row.question_id, decode_flac(row.audio.bytes), tuple(row.options)) for row in asked]
            answers = system.generate(sounds, config.max_answer_tokens)
            _write(out, [_row(row, "speech", answer) for row, answer in zip(asked, answers, strict=True)])
        ctx.log(f"answered {len(asked)} questions")


def _row(row: Question, modality: str, answer: GeneratedText) -> GeneratedAnswer:
    spoken = modality == "speech"
    return GeneratedAnswer(
        question_id=row.question_id if spoken else row.text_id,
        text_id=row.text_id,
        cluster_id=row.cluster_id,
        benchmark=row.benchmark,
        split=row.split,
        accent=row.accent if spoken else "",
        modality=modality,
        question=row.question,
        right_option=row.options[row.answer_index],
        answer=answer.text,
        tokens=answer.tokens,
        ended=answer.ended,
    )


def _write(out: UnitWriter, rows: Sequence[GeneratedAnswer]) -> None:
    out.read(len(rows))
    out.write("answers", rows)
    out.add("answer_tokens", sum(row.tokens for row in rows))
    out.add("empty_answers", sum(not row.answer for row in rows))
    out.add("cut_answers", sum(not row.ended for row in rows))
