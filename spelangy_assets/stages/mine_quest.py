"""quest_pairs: the questions that pages ask and answer, as scripts to be spoken.

Put here: mining page by page, duplicates across pages, the choice between rules and a language model. Do not put
here: the patterns and rules (text.questions), the client (text.llm) or voices (speak).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stage_parts.columns import SCRIPT_COLUMNS
from spelangy_assets.stage_parts.language_model import ask_all, make_client, require_server
from spelangy_assets.store.artifacts import ShardFile, UnitWriter
from spelangy_model.records import Page, Script
from spelangy_model.text.extract import ExtractionRules, extract_text, page_title
from spelangy_model.text.llm import AskedClient, LanguageModel, LanguageModelChoice, load_prompt
from spelangy_model.text.normalize import normalize
from spelangy_model.text.questions import (
    Answer,
    MinedQuestion,
    QuestRules,
    mine_page,
    refuse_question,
    take_apart,
    write_quest_script,
)
from spelangy_model.text.spans import Words

VERSION = "6"
TABLES: dict[str, type] = {"scripts": Script}
PROMPT = "quest_answer.v1"
_REASONS = ["", "rhetorical", "asks_opinion", "about_the_site", "needs_context", "not_answered"]
_REPLY = {
    "type": "object",
    "properties": {
        "valid": {"type": "boolean"},
        "reason": {"type": "string", "enum": _REASONS},
        "rationale": {"type": "string"},
        "answer": {"type": "string"},
        "evidence": {"type": "string"},
    },
    "required": ["valid", "reason", "rationale", "answer", "evidence"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Config:
    """`model` judges and answers the questions that pass the rules; None: the page's own answer is split.

    `prompt_digest` is filled in: it ties a model's replies to the text of its prompt. A model sees at most
    `max_model_characters` of the page's text. `seed` draws which scripts answer without rationale.
    """

    rules: QuestRules = field(default_factory=QuestRules)
    model: LanguageModel | LanguageModelChoice | None = None
    prompt_digest: str = ""
    max_model_characters: ClassVar[int] = 12_000
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model is not None:
            object.__setattr__(self, "prompt_digest", load_prompt(PROMPT, _REPLY).digest)


KIND = DatasetKind(
    group="synthetic",
    description="Quest: questions mined from pages, with rationale and answer.",
    contract=contracts.SCRIPTS,
    pool="llm",
    takes={"raw_pages": Page},
    columns=SCRIPT_COLUMNS,
)


@word
def quest(pages: Dataset, *, name: str = "quest", **options: Any) -> Dataset:
    """Return Quest's scripts: questions mined from pages with their answers; `options` are fields of Config."""
    return dataset(__name__, config_of(Config, options), name=f"{name}_pairs", label=name, inputs={"raw_pages": pages})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a model is named and no server is."""
    require_server(config.model, execution)


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of pages. The first page that asks a question keeps it; the questions of a unit that is
    done are mined again, which is cheap, but never sent to a model again."""
    client = make_client(config.model, ctx.execution) if config.model else None
    asked: set[str] = set()
    shards = ctx.inputs["raw_pages"].shards("pages")
    for unit, shard in enumerate(shards):
        ctx.progress(unit, len(shards), "shards")
        if ctx.out.done(unit):
            mined_again = _mined(shard, config, Counter())
            asked.update(normalize(mined.question) for _, mined in mined_again if _valid(mined, config))
            continue
        with ctx.out.unit(unit) as out:
            pairs: list[tuple[Page, MinedQuestion]] = []
            unread = Counter[str]()
            for page, mined in _mined(shard, config, unread):
                out.read(1)
                key = normalize(mined.question)
                reason = refuse_question(mined, config.rules) or ("duplicate_question" if key in asked else None)
                if reason is not None:
                    out.drop(reason)
                    continue
                asked.add(key)
                pairs.append((page, mined))
                out.add(f"pairs_{mined.pattern}", 1)
            for reason, questions in unread.items():
                out.read(questions)
                out.drop(reason, questions)
            text, of_page = Words(""), ""
            for (page, mined), answer in zip(pairs, _answers(ctx, out, config, client, pairs), strict=True):
                if isinstance(answer, str):
                    out.drop(answer)
                    continue
                if page.page_id != of_page:
                    text, of_page = Words(extract_text(page.html, ExtractionRules())), page.page_id
                script = write_quest_script(page, mined, answer, config.rules, config.seed, text)
                out.add("scripts_in_text", all(line.start >= 0 for line in script.lines))
                out.write("scripts", [script])


def _mined(shard: ShardFile, config: Config, unread: Counter[str]) -> Iterator[tuple[Page, MinedQuestion]]:
    """Yield the questions of a shard's pages; count questions without an answer there, by reason, into `unread`."""
    for page in shard.iter_records(Page):
        mined = mine_page(page.html, config.rules.patterns)
        unread.update(mined.reasons)
        for question in mined.questions:
            yield page, question


def _valid(mined: MinedQuestion, config: Config) -> bool:
    return refuse_question(mined, config.rules) is None


def _answers(
    ctx: StageContext,
    out: UnitWriter,
    config: Config,
    client: AskedClient | None,
    pairs: list[tuple[Page, MinedQuestion]],
) -> list[Answer | str]:
    """Return the answer to each question, or the reason why there is none."""
    if client is None:
        return [take_apart(mined.answer, config.rules) for _, mined in pairs]
    texts = {page.page_id: extract_text(page.html, ExtractionRules()) for page, _ in pairs}
    fillings = [
        {
            "title": page_title(page.html),
            "question": mined.question,
            "text": f"{mined.question} {mined.answer}\n\n{texts[page.page_id]}"[: config.max_model_characters],
        }
        for page, mined in pairs
    ]
    answers: list[Answer | str] = []
    replies = ask_all(client, load_prompt(PROMPT, _REPLY), fillings, out, ctx.log)
    for filling, reply in zip(fillings, replies, strict=True):
        value = reply.value
        if value is None:
            answers.append(f"model_{reply.failure}")
        elif not value["valid"]:
            answers.append(value["reason"] or "not_valid")
        elif not value["answer"].strip():
            answers.append("no_answer")
        elif not value["evidence"].strip() or normalize(value["evidence"]) not in normalize(filling["text"]):
            answers.append("evidence_not_on_page")
        else:
            answers.append(Answer(*(" ".join(value[name].split()) for name in ("rationale", "answer", "evidence"))))
    return answers
