"""text_documents: the main text of each page, for text-only training and for Krist.

Put here: extraction page by page and the filters on its results. Do not put here: how text is distinguished from
boilerplate (text.extract).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.stage_parts.columns import SCRIPT_COLUMNS
from spelangy_model.records import Page, TextDocument
from spelangy_model.rng import stable_hash
from spelangy_model.text.extract import ExtractionRules, extract_text, page_title
from spelangy_model.text.language import detect_language
from spelangy_model.text.normalize import normalize, words_of
from spelangy_model.text.quality import QualityRule, apply_rules

VERSION = "4"
TABLES: dict[str, type] = {"documents": TextDocument}


@dataclass(frozen=True)
class Config:
    """Bounds on the extracted text, in words of text.normalize; `languages` are ISO 639-1 codes.

    The `quality` rules (spelangy_model/text/quality.py) are applied in order to what is left.
    """

    extraction: ExtractionRules = field(default_factory=ExtractionRules)
    min_words: int = 30
    max_words: ClassVar[int] = 100_000
    languages: tuple[str, ...] = ("en",)
    quality: tuple[QualityRule, ...] = ()


CONTRACT = Contract(
    "text_documents",
    """
    SELECT count(*) AS documents, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '') AS empty_texts, count(*) FILTER (text LIKE '%<div%') AS markup_left
    FROM documents
    """,
    (
        Bound("documents", 1),
        exactly("duplicate_ids"),
        exactly("empty_texts"),
        Bound("markup_left", 0, 0, "warn"),
    ),
)

KIND = DatasetKind(
    group="synthetic",
    description="The main text of the pages, for text-only training.",
    contract=CONTRACT,
    takes={"raw_pages": Page},
    columns={name: SCRIPT_COLUMNS[name] for name in ("document_id", "page_id", "url", "licence", "title")}
    | {"text": ("raw_pages.html",)},
)


@word
def documents(pages: Dataset, *, name: str = "text", **options: Any) -> Dataset:
    """Return the main texts of pages; `options` are fields of Config."""
    return dataset(
        __name__, config_of(Config, options), name=f"{name}_documents", label=name, inputs={"raw_pages": pages}
    )


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard of pages. Equal texts of one shard are kept once."""
    for unit, shard in ctx.out.pending(ctx.inputs["raw_pages"].shards("pages")):
        with ctx.out.unit(unit) as out:
            seen: set[str] = set()
            for page in shard.iter_records(Page):
                out.read(1)
                document = extract_document(page, config)
                if not isinstance(document, str):
                    digest = stable_hash(normalize(document.text))
                    if digest in seen:
                        document = "duplicate_text"
                    seen.add(digest)
                if isinstance(document, str):
                    out.drop(document)
                else:
                    out.add("words", len(words_of(document.text)))
                    out.write("documents", [document])


def extract_document(page: Page, config: Config) -> TextDocument | str:
    """Return the main text of a page, or the drop reason where it is not usable."""
    text = extract_text(page.html, config.extraction)
    words = len(words_of(text))
    if words == 0:
        return "no_main_text"
    if words < config.min_words:
        return "too_short"
    if words > config.max_words:
        return "too_long"
    language = detect_language(text)
    if language not in config.languages:
        return f"language_{language}"
    text, reason = apply_rules(text, config.quality)
    if reason:
        return reason
    return TextDocument(
        document_id=stable_hash("text", page.page_id),
        page_id=page.page_id,
        url=page.url,
        licence=page.licence,
        title=page_title(page.html),
        text=text,
        robots=page.robots,
    )
