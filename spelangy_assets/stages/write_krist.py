"""krist_documents: the main texts of knowledge-rich pages as sentences to be spoken.

Put here: rewriting page by page, by rules or by a language model, and the choice of kept texts. Do not put here: the
rules (text.krist), the client (text.llm) or voices (speak).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, stat
from spelangy_assets.stage_parts.columns import SCRIPT_COLUMNS
from spelangy_assets.stage_parts.contracts import SCRIPTS_BOUNDS, SCRIPTS_SQL
from spelangy_assets.stage_parts.language_model import ask_all, make_client, require_server
from spelangy_assets.stages import extract_text
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.records import Page, Script, TextDocument
from spelangy_model.text.krist import KristRules, restated_facts, rewrite_for_listening, surviving_facts, write_scripts
from spelangy_model.text.llm import AskedClient, LanguageModel, LanguageModelChoice, load_prompt

VERSION = "6"
TABLES: dict[str, type] = {"scripts": Script}
PROMPT = "krist_rewrite.v1"
_REPLY = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}


@dataclass(frozen=True)
class Config:
    """`text` selects the main texts; `model` rewrites them; None: the rules do.

    `prompt_digest` is filled in: it ties a model's texts to the text of its prompt.

    A text longer than `max_model_characters` is not sent to a model and is dropped as too_long_for_model.
    """

    text: extract_text.Config = field(default_factory=extract_text.Config)
    rules: KristRules = field(default_factory=KristRules)
    model: LanguageModel | LanguageModelChoice | None = None
    prompt_digest: str = ""
    max_model_characters: ClassVar[int] = 24_000

    def __post_init__(self) -> None:
        if self.model is not None:
            object.__setattr__(self, "prompt_digest", load_prompt(PROMPT, _REPLY).digest)


def contract(config: Config) -> Contract:
    """Return the contract that pages keep their numbers and names, and state them no more than once if rules ask that.

    A count that is missing must fail its bound.
    """
    more = f""",
           CASE WHEN count(*) = 0 OR {stat("facts", missing="1")} = 0 THEN 1
                ELSE {stat("facts_kept")} / {stat("facts", missing="1")} END AS share_of_facts_kept"""
    bounds = (*SCRIPTS_BOUNDS, Bound("share_of_facts_kept", 0.99, 1, "warn"))
    if config.rules.max_restated_share < 1:
        more += f""",
           {stat("facts_restated", missing="1")} / greatest({stat("facts_stated")}, 1) AS share_of_facts_restated"""
        bounds += (Bound("share_of_facts_restated", 0, config.rules.max_restated_share),)
    return Contract("krist", SCRIPTS_SQL.format(more=more), bounds)


KIND = DatasetKind(
    group="synthetic",
    description="Krist: knowledge-rich pages rewritten for listening.",
    contract=contract,
    pool="llm",
    takes={"raw_pages": Page},
    columns=SCRIPT_COLUMNS,
)


@word
def krist(pages: Dataset, *, name: str = "krist", **options: Any) -> Dataset:
    """Return Krist's scripts: pages rewritten; `options` are fields of Config."""
    return dataset(
        __name__, config_of(Config, options), name=f"{name}_documents", label=name, inputs={"raw_pages": pages}
    )


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when a model is named and no server is."""
    require_server(config.model, execution)


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of pages."""
    client = make_client(config.model, ctx.execution) if config.model else None
    for unit, shard in ctx.out.pending(ctx.inputs["raw_pages"].shards("pages")):
        with ctx.out.unit(unit) as out:
            documents: list[TextDocument] = []
            for page in shard.iter_records(Page):
                out.read(1)
                document = extract_text.extract_document(page, config.text)
                if isinstance(document, str):
                    out.drop(document)
                else:
                    documents.append(document)
            kept = 0
            for document, text, reason in _rewritten(ctx, out, config, client, documents):
                scripts = reason if reason else write_scripts(document, text, config.rules)
                if isinstance(scripts, str):
                    out.drop(scripts)
                    continue
                kept += 1
                out.write("scripts", scripts)
                facts, lost = surviving_facts(document.text, scripts)
                out.add("facts", facts)
                out.add("facts_kept", facts - lost)
                lines = [line for script in scripts for line in script.lines]
                stated, restated = restated_facts(lines, document.title)
                out.add("facts_stated", stated)
                out.add("facts_restated", restated)
                out.add("sentences", len(lines))
                out.add("sentences_in_text", sum(line.start >= 0 for line in lines))
            out.kept(kept)  # pages: a long one makes several scripts


def _rewritten(
    ctx: StageContext,
    out: UnitWriter,
    config: Config,
    client: AskedClient | None,
    documents: list[TextDocument],
) -> list[tuple[TextDocument, str, str]]:
    """Return (document, rewritten text, reason why there is none)."""
    if client is None:
        return [(document, rewrite_for_listening(document.text), "") for document in documents]
    short = [document for document in documents if len(document.text) <= config.max_model_characters]
    fillings = [{"title": document.title, "text": document.text} for document in short]
    replies = ask_all(client, load_prompt(PROMPT, _REPLY), fillings, out, ctx.log)
    by_id = {document.document_id: reply for document, reply in zip(short, replies, strict=True)}
    rewritten = []
    for document in documents:
        reply = by_id.get(document.document_id)
        if reply is None:
            rewritten.append((document, "", "too_long_for_model"))
        elif reply.value is None:
            rewritten.append((document, "", f"model_{reply.failure}"))
        else:
            rewritten.append((document, rewrite_for_listening(reply.value["text"]), ""))
    return rewritten
