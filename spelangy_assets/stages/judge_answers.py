"""Judges answers in words: a normalized match against every accepted answer, and on request a language model.

Put here: rows of the judgements, and their metrics. Do not put here: the match (spelangy_model/eval/answers.py), the
client of a language model (spelangy_model/text/llm.py), or generation (stages/generate_answers.py).

Inputs: `answers` (GeneratedAnswer) and, where the questions come from sources, `accepted` (AcceptedAnswers); without it
the right option alone is accepted. Output: judged(JudgedAnswer), one row an answer, and metrics(Metric):

    {sqa, text_qa}.{all, mean, BENCHMARK, BENCHMARK.SPLIT}.generated.accuracy      an accepted answer is in the answer
    ... .generated.exact_match                                                     the answer is an accepted one
    ... .generated.judged                                                          the judge calls it right

`sqa` is of spoken, `text_qa` of written questions; `mean` counts each of several benchmarks alike. An answer for
which no reply of the judge could be read does not count as right, and is counted by reason (judge_failed_REASON): left
out, it would raise the score. A server that is away ends the run, as in other stages; its replies are kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.language_model import ask_all, make_client, require_server
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.eval.answers import match
from spelangy_model.records import AcceptedAnswers, GeneratedAnswer, Metric
from spelangy_model.text.llm import LanguageModel, LanguageModelChoice, load_prompt

VERSION = "1"
PROMPT = "judge_answer.v1"
SUBJECT = "answers"  # of the metrics; the leaderboard knows whose they are
_REPLY = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "right": {"type": "boolean"}},
    "required": ["reason", "right"],
    "additionalProperties": False,
}


@dataclass(frozen=True, slots=True)
class JudgedAnswer:
    """An answer in words, and whether it is right."""

    question_id: str
    text_id: str
    cluster_id: str
    benchmark: str
    split: str
    accent: str
    modality: str
    answer: str
    match: Annotated[str, "exact, contained, or empty: it matches no accepted answer"]
    alias: Annotated[str, "the accepted answer that it matches"]
    judgement: Annotated[str, "right, wrong, empty without a judge, else why its reply could not be read"]
    judge_reason: Annotated[str, "in the judge's words"]


TABLES: dict[str, type] = {"judged": JudgedAnswer, "metrics": Metric}


@dataclass(frozen=True)
class Config:
    """`judge` is a language model that is asked about each answer; None: answers are matched alone.

    `prompt_digest` is filled in: it ties the judge's replies to the text of its prompt.
    """

    judge: LanguageModel | LanguageModelChoice | None = None
    prompt_digest: str = ""

    def __post_init__(self) -> None:
        if self.judge is not None:
            object.__setattr__(self, "prompt_digest", load_prompt(PROMPT, _REPLY).digest)


CONTRACT = Contract(
    "judged_answers",
    """
    SELECT count(*) AS answers, count(*) - count(DISTINCT (question_id, modality)) AS duplicate_answers,
           count(*) FILTER ((match = '') <> (alias = '')) AS matches_without_alias,
           count(*) FILTER (judgement NOT IN ('', 'right', 'wrong')) / greatest(count(*), 1) AS share_judge_failed,
           (SELECT count(*) - count(DISTINCT metric) FROM metrics) AS duplicate_metrics
    FROM judged
    """,
    (
        Bound("answers", 1),
        exactly("duplicate_answers"),
        exactly("matches_without_alias"),
        exactly("duplicate_metrics"),
        Bound("share_judge_failed", 0, 0.1),
        Bound("share_judge_failed", 0, 0.01, "warn"),
    ),
)

KIND = DatasetKind(
    group="evals",
    description="Which answers of {label} are right.",
    contract=CONTRACT,
    pool="llm",
    takes={"answers": GeneratedAnswer, "accepted": AcceptedAnswers},
    makes="judged_answers",
    columns={
        name: (f"answers.{name}",)
        for name in ("question_id", "text_id", "cluster_id", "benchmark", "split", "modality", "answer")
    },
)


@word
def judged_answers(answers: Dataset, accepted: Dataset | None, config: Config) -> Dataset:
    """Return which answers in words are right."""
    inputs = {"answers": answers, "accepted": accepted}
    return dataset(__name__, config, name=f"judged_{answers.label}", label=answers.label, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a judge is named and cannot be asked."""
    require_server(config.judge, execution)


def run(ctx: StageContext, config: Config) -> None:
    """Judge in one unit."""
    for unit, _ in ctx.out.pending(["judged"]):
        answers = list(ctx.inputs["answers"].records("answers", GeneratedAnswer))
        known: dict[str, list[str]] = {}
        if "accepted" in ctx.inputs:
            rows = ctx.inputs["accepted"].records("accepted", AcceptedAnswers)
            known = {row.text_id: row.answers for row in rows}
        accepted = [known.get(answer.text_id, [answer.right_option]) for answer in answers]
        with ctx.out.unit(unit) as out:
            out.read(len(answers))
            judged = [_matched(*pair) for pair in zip(answers, accepted, strict=True)]
            if config.judge is not None:
                judged = _asked(ctx, config.judge, out, answers, accepted, judged)
            out.write("judged", judged)
            metrics = list(summarize(judged))
            out.write("metrics", metrics)
        for metric in metrics:
            ctx.log(f"{metric.metric}: {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] of {metric.count}")


def _matched(answer: GeneratedAnswer, accepted: Sequence[str]) -> JudgedAnswer:
    found = match(answer.answer, accepted)
    return JudgedAnswer(
        question_id=answer.question_id,
        text_id=answer.text_id,
        cluster_id=answer.cluster_id,
        benchmark=answer.benchmark,
        split=answer.split,
        accent=answer.accent,
        modality=answer.modality,
        answer=answer.answer,
        match=found.kind if found else "",
        alias=found.alias if found else "",
        judgement="",
        judge_reason="",
    )


def _asked(
    ctx: StageContext,
    judge: LanguageModel | LanguageModelChoice,
    out: UnitWriter,
    answers: Sequence[GeneratedAnswer],
    accepted: Sequence[Sequence[str]],
    judged: Sequence[JudgedAnswer],
) -> list[JudgedAnswer]:
    """Return the rows with the judge's verdicts. An empty answer is wrong without a question to the judge."""
    places = [place for place, row in enumerate(judged) if row.answer]
    fillings = [
        {
            "question": answers[place].question,
            "accepted": "\n".join(f"- {answer}" for answer in accepted[place]),
            "answer": answers[place].answer,
        }
        for place in places
    ]
    client = make_client(judge, ctx.execution)
    replies = dict(zip(places, ask_all(client, load_prompt(PROMPT, _REPLY), fillings, out, ctx.log), strict=True))
    rows = []
    for place, row in enumerate(judged):
        if place not in replies:
            rows.append(replace(row, judgement="wrong", judge_reason="the answer is empty"))
            continue
        reply = replies[place]
        if reply.value is None:
            out.add(f"judge_failed_{reply.failure}", 1)
            rows.append(replace(row, judgement=reply.failure, judge_reason=reply.error))
        else:
            verdict = "right" if reply.value["right"] else "wrong"
            rows.append(replace(row, judgement=verdict, judge_reason=reply.value["reason"]))
    return rows


_VALUES: dict[str, Callable[[JudgedAnswer], float]] = {
    "accuracy": lambda row: float(bool(row.match)),
    "exact_match": lambda row: float(row.match == "exact"),
    "judged": lambda row: float(row.judgement == "right"),
}


def summarize(judged: Sequence[JudgedAnswer]) -> Iterator[Metric]:
    """Yield the metrics of judged answers, each with its 95% interval over clusters of questions."""
    for kind, modality in (("sqa", "speech"), ("text_qa", "text")):
        rows = [row for row in judged if row.modality == modality]
        for name, value in _VALUES.items():
            members = [row for row in rows if name != "judged" or row.judgement]
            if not members:
                continue
            counts = Counter(row.benchmark for row in members)
            yield _metric(f"{kind}.all.generated.{name}", members, value)
            if len(counts) > 1:
                alike = [1 / counts[row.benchmark] for row in members]
                yield _metric(f"{kind}.mean.generated.{name}", members, value, alike)
            for benchmark in counts:
                own = [row for row in members if row.benchmark == benchmark]
                yield _metric(f"{kind}.{benchmark}.generated.{name}", own, value)
                for split in dict.fromkeys(row.split for row in own):
                    part = [row for row in own if row.split == split]
                    yield _metric(f"{kind}.{benchmark}.{split}.generated.{name}", part, value)


def _metric(
    name: str, rows: Sequence[JudgedAnswer], value: Callable[[JudgedAnswer], float], weights: Any = None
) -> Metric:
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    found = mean_of(
        np.array([value(row) for row in rows]),
        np.array([row.cluster_id for row in rows]),
        weights=None if weights is None else np.array(weights),
        fraction=True,
    ).interval
    return Metric(SUBJECT, name, found.value, found.low, found.high, len(rows))
