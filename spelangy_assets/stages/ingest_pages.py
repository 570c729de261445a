"""raw_pages: the captures of a snapshot that are pages worth reading, and why the others are not.

Put here: going through the archives of a snapshot, the URL filter, exact duplicates, the language, the signatures by
which near duplicates are found. Do not put here: reading an archive (text.warc), the rules (text.urls), finding near
duplicates (find_duplicate_pages) or what is said on a page (extract_text). A snapshot is a folder
of WARC and ARC archives, or a source that renders pages at run time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Protocol, runtime_checkable

from spelangy_assets.stages.sources import files_of
from spelangy_assets.stages.stage import Execution, FolderSource, InputError, StageContext
from spelangy_model.records import Page, PageSignature, Reject
from spelangy_model.text.language import detect_language
from spelangy_model.text.minhash import SignatureRules, minhash
from spelangy_model.text.urls import UrlRules, refuse_url
from spelangy_model.text.warc import PageLimits, content_digest, make_page, read_archive

VERSION = "3"
TABLES: dict[str, type] = {"pages": Page, "rejects": Reject, "signatures": PageSignature}
RENDERED_PAGES_A_UNIT = 256


@runtime_checkable
class PageSource(Protocol):
    """A snapshot that is rendered: a frozen literal that identifies it, and its pages in a fixed order."""

    def pages(self) -> Iterable[tuple[str, str]]:
        """Yield (URL, HTML)."""
        ...


@dataclass(frozen=True)
class Config:
    """`languages` are ISO 639-1 codes; a page in none of them is dropped as language_CODE."""

    urls: UrlRules = field(default_factory=UrlRules)
    limits: PageLimits = field(default_factory=PageLimits)
    languages: tuple[str, ...] = ("en",)
    signature: SignatureRules = field(default_factory=SignatureRules)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit an archive. Among equal pages the first is kept, so a unit that is done is only looked through."""
    seen: set[str] = set()
    for unit, captures in enumerate(_units(ctx.source, config)):
        if ctx.out.done(unit):
            seen.update(content_digest(item) for item in captures if isinstance(item, Page) and _wanted(item, config))
            continue
        with ctx.out.unit(unit) as out:
            for capture in captures:
                out.read(1)
                if isinstance(capture, Reject):
                    out.drop(capture.reason)
                    out.write("rejects", [capture])
                    continue
                reason = refuse_url(capture.url, config.urls)
                text = ""
                if reason is None:
                    digest = content_digest(capture)
                    text = "" if digest in seen else plain_text(capture)
                    reason = "duplicate" if digest in seen else refuse_language(text, config.languages)
                    seen.add(digest)
                if reason is None:
                    out.write("pages", [capture])
                    minima = [] if isinstance(ctx.source, PageSource) else minhash(text, config.signature)
                    out.write("signatures", [PageSignature(capture.page_id, capture.captured_at, capture.url, minima)])
                else:
                    out.drop(reason)


def _wanted(page: Page, config: Config) -> bool:
    return refuse_url(page.url, config.urls) is None


def plain_text(page: Page) -> str:
    """Return the words of a page, those of its main part when it has one: enough to tell what language it is in."""
    from resiliparse.extract.html2text import extract_plain_text

    text = extract_plain_text(page.html, main_content=True, alt_texts=False, list_bullets=False)
    return text or extract_plain_text(page.html, alt_texts=False, list_bullets=False)


def refuse_language(text: str, languages: tuple[str, ...]) -> str | None:
    """Return language_CODE when a text is in none of the languages, else None."""
    language = detect_language(text)
    return None if language in languages else f"language_{language}"


def _units(source: object, config: Config) -> Iterator[Iterable[Page | Reject]]:
    if isinstance(source, FolderSource):
        if isinstance(source.path, str):
            raise InputError("raw_pages reads archives from a folder on disk, not from a bucket; copy them there")
        paths = files_of(source.path)
        if not paths:
            raise InputError(f"{source.path} holds no archive: put .warc, .warc.gz, .arc or .arc.gz files there")
        for path in paths:
            yield _archive(path, path.relative_to(source.path).as_posix(), config)
    elif isinstance(source, PageSource):
        rendered = enumerate(source.pages())
        while batch := list(islice(rendered, RENDERED_PAGES_A_UNIT)):
            yield [make_page(url, html, source_uri=f"rendered@{index}") for index, (url, html) in batch]
    else:
        raise InputError(f"raw_pages reads a folder of archives or a PageSource, not {type(source).__name__}")


def _archive(path: Path, name: str, config: Config) -> Iterator[Page | Reject]:
    with path.open("rb") as stream:
        yield from read_archive(stream, name, config.limits)
