"""raw_pages: the captures of a snapshot that are usable pages, and why the others are not.

Put here: going through the files of a snapshot, the URL filter, exact duplicates, the language, the signatures by which
near duplicates are found. Do not put here: reading an archive or a file (text.warc, text.html_files), the rules
(text.urls), finding near duplicates (find_duplicate_pages) or the text of a page (extract_text).

A snapshot is a folder or an s3:// prefix of WARC and ARC archives and of pages as files (saved by hand, by a browser,
by wget --mirror), or a source that renders pages at run time.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, BinaryIO, Protocol, TypeVar, cast, runtime_checkable

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.sources.files import FolderSource, SnapshotFiles, checked_sources, printable
from spelangy_assets.store.forgotten import Forgotten
from spelangy_model.records import Page, PageSignature, Reject
from spelangy_model.text.html_files import read_html_file
from spelangy_model.text.html_pages import PageLimits, content_digest, make_page
from spelangy_model.text.language import detect_language
from spelangy_model.text.minhash import SignatureRules, minhash
from spelangy_model.text.urls import UrlRules, refuse_url
from spelangy_model.text.warc import read_archive

VERSION = "7"
TABLES: dict[str, type] = {"pages": Page, "rejects": Reject, "signatures": PageSignature}
PAGES_A_UNIT = 256  # of files and rendered pages; an archive is a unit of its own
READ_BYTES = 2**20  # at once: each read of a bucket is a request
T = TypeVar("T")
_ARCHIVE = re.compile(r"\.w?arc(?:\.|$)", re.IGNORECASE)


@runtime_checkable
class PageSource(Protocol):
    """A snapshot that is rendered: a frozen literal that identifies it, and its pages in a fixed order."""

    def pages(self) -> Iterable[tuple[str, str]]:
        """Yield (URL, HTML)."""
        ...


@dataclass(frozen=True)
class Config:
    """`languages` are ISO 639-1 codes; a page in none of them is dropped as language_CODE.

    A page with one of the robots directives `refused_directives` (see rights.robots_of) is dropped as robots_DIRECTIVE;
    the two defaults reserve the use of a text for models. The rules for addresses skip a file of unknown web address.
    """

    urls: UrlRules = field(default_factory=UrlRules)
    limits: PageLimits = field(default_factory=PageLimits)
    languages: tuple[str, ...] = ("en",)
    refused_directives: tuple[str, ...] = ("noai", "tdm-reservation")
    signature: SignatureRules = field(default_factory=SignatureRules)


CONTRACT = Contract(
    "raw_pages",
    """
    SELECT count(*) AS pages, count(*) - count(DISTINCT page_id) AS duplicate_ids,
           count(*) FILTER (html = '' OR url = '') AS empty_pages,
           count(*) FILTER (page_id NOT IN (SELECT page_id FROM signatures)) AS pages_without_signature
    FROM pages
    """,
    (Bound("pages", 1), exactly("duplicate_ids"), exactly("empty_pages"), exactly("pages_without_signature")),
)

KIND = DatasetKind(
    group="crawl",
    description="HTML pages of one snapshot's archives that the URL filter lets through.",
    contract=CONTRACT,
    kinds=("html",),
    folder="pages",
)


@word
def pages(snapshots: Mapping[str, Any], *, name: str = "raw_pages", **options: Any) -> Dataset:
    """Return the crawl of pages whose snapshots are named here, each with its source.

    A source is `Packaged`, `Arriving` (a folder of SPELANGY_SNAPSHOTS/pages), or a PageSource that renders its pages.
    `options` are fields of Config.
    """
    return dataset(__name__, config_of(Config, options), name=name, sources=checked_sources(snapshots, PageSource))


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit an archive or PAGES_A_UNIT files.

    Among equal pages the first is kept, so a unit that is done is only looked through.
    """
    seen: set[str] = set()
    for unit, captures in enumerate(_units(ctx.source, config)):
        if ctx.out.done(unit):
            pages = (item for item in captures if isinstance(item, Page))
            seen.update(content_digest(page) for page in pages if refuse_unread(page, config, ctx.forgotten) is None)
            continue
        with ctx.out.unit(unit) as out:
            for capture in captures:
                out.read(1)
                if isinstance(capture, Reject):
                    out.drop(capture.reason)
                    out.write("rejects", [capture])
                    continue
                reason = refuse_unread(capture, config, ctx.forgotten)
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


def refuse_unread(page: Page, config: Config, forgotten: Forgotten) -> str | None:
    """Return why a page is refused: a takedown, its address or its robots directives; else None."""
    if forgotten.holds(page.url, page.page_id):
        return "forgotten"
    reason = None if page.url.startswith("file:") else refuse_url(page.url, config.urls)
    directives = page.robots.split(", ")
    return reason or next((f"robots_{word}" for word in config.refused_directives if word in directives), None)


def plain_text(page: Page) -> str:
    """Return the text of a page, that of its main part when it has one: enough to detect its language."""
    from resiliparse.extract.html2text import extract_plain_text

    text = extract_plain_text(page.html, main_content=True, alt_texts=False, list_bullets=False)
    return text or extract_plain_text(page.html, alt_texts=False, list_bullets=False)


def refuse_language(text: str, languages: tuple[str, ...]) -> str | None:
    """Return language_CODE when a text is in none of the languages, else None."""
    language = detect_language(text)
    return None if language in languages else f"language_{language}"


def _units(source: object, config: Config) -> Iterator[Iterable[Page | Reject]]:
    if isinstance(source, FolderSource):
        files = SnapshotFiles(source.path)
        names, odd = files.listing()
        if not names and not odd:
            raise InputError(
                f"{files.where} holds no file: put archives (.warc, .warc.gz, .arc, .arc.gz) or pages there"
            )
        archives = [name for name in names if _ARCHIVE.search(name)]
        for name in archives:
            yield _archive(files, name, config)
        for several in _batched(name for name in names if not _ARCHIVE.search(name)):
            yield (_file(files, name, config) for name in several)
        # An empty folder is a reject only where its name is an archive's.
        odd = [item for item in odd if item.reason != "empty_folder" or _ARCHIVE.search(item.name)]
        for several in _batched(odd):
            yield [Reject(printable(item.name), "", item.reason, item.detail) for item in several]
    elif isinstance(source, PageSource):
        for several in _batched(enumerate(source.pages())):
            yield [make_page(url, html, source_uri=f"rendered@{index}") for index, (url, html) in several]
    else:
        raise InputError(f"raw_pages reads files of a snapshot or a PageSource, not {type(source).__name__}")


def _batched(items: Iterable[T]) -> Iterator[list[T]]:
    iterator = iter(items)
    while batch := list(islice(iterator, PAGES_A_UNIT)):
        yield batch


def _archive(files: SnapshotFiles, name: str, config: Config) -> Iterator[Page | Reject]:
    try:
        with files.open(name) as raw, io.BufferedReader(cast(Any, raw), READ_BYTES) as stream:
            yield from read_archive(stream, printable(name), config.limits)
    except PermissionError as error:
        yield Reject(printable(name), "", "unreadable_file", f"PermissionError: {error.strerror}")


def _file(files: SnapshotFiles, name: str, config: Config) -> Page | Reject:
    try:
        with files.open(name) as stream:
            return read_html_file(cast(BinaryIO, stream), name, config.limits)
    except PermissionError as error:
        return Reject(printable(name), "", "unreadable_file", f"PermissionError: {error.strerror}")
