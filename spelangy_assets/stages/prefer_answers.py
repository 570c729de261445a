"""Which of two runs' answers a language model prefers, asked in both orders, since judges favour a place.

Put here: rows of the preferences, and their metrics. Do not put here: the client (spelangy_model/text/llm.py), or the
match with accepted answers and a judge of single answers (stages/judge_answers.py).

Inputs: `first` and `second` (GeneratedAnswer to the same questions) and, where the questions come from sources,
`accepted` (AcceptedAnswers). Output: preferred(PreferredAnswer), one row a spoken question, and metrics(Metric):

    preference.win_rate          share of questions whose first answer is preferred; neither counts half
    preference.neither_share     neither, or another one when the order was turned
    preference.place_share       the verdict followed the place: another answer when the order was turned

Answers that are equal are not asked about: neither is preferred. A question of which a reply of the judge could not be
read is left out of both sides alike, and counted by reason.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.language_model import ask_all, make_client, require_server
from spelangy_model.records import AcceptedAnswers, GeneratedAnswer, Metric
from spelangy_model.text.llm import LanguageModel, LanguageModelChoice, Reply, load_prompt

VERSION = "1"
PROMPT = "prefer_answer.v1"
SUBJECT = "pair"  # of the metrics; the board knows whose answers they are
_REPLY = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "better": {"type": "string", "enum": ["first", "second", "neither"]}},
    "required": ["reason", "better"],
    "additionalProperties": False,
}
_TURNED = {"first": "second", "second": "first", "neither": "neither"}


@dataclass(frozen=True, slots=True)
class PreferredAnswer:
    """Two answers to a spoken question, and which one the judge prefers."""

    question_id: str
    text_id: str
    cluster_id: str
    split: str
    first_answer: str
    second_answer: str
    in_order: Annotated[str, "the better one when the first came first: first, second, neither, empty: not asked"]
    turned: Annotated[str, "the better one when the second came first, by the same names"]
    preferred: Annotated[str, "first or second where both orders agree on it, else neither"]
    reason: Annotated[str, "in the judge's words, when the first came first"]


TABLES: dict[str, type] = {"preferred": PreferredAnswer, "metrics": Metric}


@dataclass(frozen=True)
class Config:
    """`judge` is asked twice about each question. `prompt_digest` is filled in: it ties the replies to the prompt."""

    judge: LanguageModel | LanguageModelChoice
    prompt_digest: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "prompt_digest", load_prompt(PROMPT, _REPLY).digest)


CONTRACT = Contract(
    "preferred_answers",
    """
    SELECT count(*) AS questions, count(*) - count(DISTINCT question_id) AS duplicate_questions,
           count(*) FILTER (preferred <> 'neither' AND in_order <> turned) AS preferred_against_an_order,
           (SELECT coalesce(sum(records), 0) FROM drops) / (SELECT greatest(records_in, 1) FROM counts)
               AS share_judge_failed
    FROM preferred
    """,
    (
        Bound("questions", 1),
        exactly("duplicate_questions"),
        exactly("preferred_against_an_order"),
        Bound("share_judge_failed", 0, 0.1),
        Bound("share_judge_failed", 0, 0.01, "warn"),
    ),
)

KIND = DatasetKind(
    group="evals",
    description="Which of two answers a language model prefers, in both orders.",
    contract=CONTRACT,
    pool="llm",
    takes={"first": GeneratedAnswer, "second": GeneratedAnswer, "accepted": AcceptedAnswers},
    makes="preferred_answers",
    columns={
        "first_answer": ("first.answer",),
        "second_answer": ("second.answer",),
        **{name: (f"first.{name}",) for name in ("question_id", "text_id", "cluster_id", "split")},
    },
)


@word
def preferred_answers(first: Dataset, second: Dataset, accepted: Dataset | None, config: Config) -> Dataset:
    """Return which of two runs' answers to the same questions the judge prefers."""
    inputs = {"first": first, "second": second, "accepted": accepted}
    return dataset(__name__, config, name=f"preferred_{first.label}_{second.label}", inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the judge cannot be asked."""
    require_server(config.judge, execution)


def run(ctx: StageContext, config: Config) -> None:
    """Ask about all questions in one unit; received replies are kept, so that a killed run asks for the rest."""
    for unit, _ in ctx.out.pending(["preferred"]):
        first, second = (_spoken(ctx, role) for role in ("first", "second"))
        if [row.question_id for row in first] != [row.question_id for row in second]:
            raise InputError("the two runs answered other questions: generate both answers again")
        known: dict[str, list[str]] = {}
        if "accepted" in ctx.inputs:
            rows = ctx.inputs["accepted"].records("accepted", AcceptedAnswers)
            known = {row.text_id: row.answers for row in rows}
        pairs = list(zip(first, second, strict=True))
        asked = [place for place, (one, other) in enumerate(pairs) if one.answer.strip() != other.answer.strip()]
        fillings = [
            {
                "question": pairs[place][0].question,
                "accepted": "\n".join(f"- {text}" for text in known.get(pairs[place][0].text_id, ["(none are given)"])),
                "first": pairs[place][turned].answer or "(nothing)",
                "second": pairs[place][1 - turned].answer or "(nothing)",
            }
            for turned in (0, 1)
            for place in asked
        ]
        client = make_client(config.judge, ctx.execution)
        with ctx.out.unit(unit) as out:
            out.read(len(pairs))
            replies = ask_all(client, load_prompt(PROMPT, _REPLY), fillings, out, ctx.log)
            in_order = dict(zip(asked, replies[: len(asked)], strict=True))
            turned = dict(zip(asked, replies[len(asked) :], strict=True))
            kept = []
            for place, (one, other) in enumerate(pairs):
                failed = next((r for r in (in_order.get(place), turned.get(place)) if r and r.value is None), None)
                if failed is not None:
                    out.drop(f"judge_failed_{failed.failure}")
                else:
                    kept.append(_row(one, other, in_order.get(place), turned.get(place)))
            out.write("preferred", kept)
            metrics = summarize(kept) if kept else []
            out.write("metrics", metrics)
        for metric in metrics:
            ctx.log(f"{metric.metric}: {metric.value:.3f} [{metric.low:.3f}, {metric.high:.3f}] of {metric.count}")


def _spoken(ctx: StageContext, role: str) -> list[GeneratedAnswer]:
    rows = (row for row in ctx.inputs[role].records("answers", GeneratedAnswer) if row.modality == "speech")
    return sorted(rows, key=lambda row: row.question_id)


def _row(one: GeneratedAnswer, other: GeneratedAnswer, in_order: Reply | None, turned: Reply | None) -> PreferredAnswer:
    better = str(in_order.value["better"]) if in_order and in_order.value else ""
    better_turned = _TURNED[str(turned.value["better"])] if turned and turned.value else ""
    return PreferredAnswer(
        question_id=one.question_id,
        text_id=one.text_id,
        cluster_id=one.cluster_id,
        split=one.split,
        first_answer=one.answer,
        second_answer=other.answer,
        in_order=better,
        turned=better_turned,
        preferred=better if better and better == better_turned else "neither",
        reason=str(in_order.value["reason"]) if in_order and in_order.value else "",
    )


def summarize(rows: Sequence[PreferredAnswer]) -> list[Metric]:
    """Return the metrics of preferences, each with its 95% interval over clusters of questions."""
    import numpy as np

    from spelangy_model.eval.stats import mean_of

    wins = {"first": 1.0, "neither": 0.5, "second": 0.0}
    values = {
        "preference.win_rate": [wins[row.preferred] for row in rows],
        "preference.neither_share": [float(row.preferred == "neither") for row in rows],
        "preference.place_share": [float({row.in_order, row.turned} == {"first", "second"}) for row in rows],
    }
    clusters = np.array([row.cluster_id for row in rows])
    found = []
    for name, column in values.items():
        ends = mean_of(np.array(column), clusters, fraction=True).interval
        found.append(Metric(SUBJECT, name, ends.value, ends.low, ends.high, len(rows)))
    return found
