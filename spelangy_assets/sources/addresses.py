"""Which addresses a person wants: lists in files, and the episodes of podcast feeds.

Put here: reading them, and what they state of each address (licence, language, words, title ...). Do not put here:
fetching (download.py, download_queue.py), or which snapshot comes of it (downloads.py).

    talks.txt      an address a line; empty lines and those that begin with # are passed over
    talks.csv      a header, and a column `url`; also .tsv
    talks.jsonl    an object a line, in the form of a manifest (audio_manifests.py) with `url` in the place of `file`

Beside `url` are read `licence`, `language`, `utterances` (of JSON Lines), and what describes an episode: `title`,
`author`, `published`, `guid`. Sources for feeds: RSS 2.0, RFC 4287 (Atom), RFC 4946 (its licences), and the modules
creativeCommons, media, dcterms and podcast (https://podcastindex.org/namespace/1.0).
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from spelangy_assets.execution.stage import InputError
from spelangy_assets.sources.audio_manifests import UNKNOWN_LICENCE, BadLine, Entry, ManifestError, entry_of
from spelangy_model.credentials import without_credentials
from spelangy_model.guarded_json import JsonError, read_rows, read_text, replaced
from spelangy_model.text.rights import licence_named

ABOUT = ("title", "author", "published", "guid", "page", "feed")
_ADDRESS = re.compile(r"https?://[^\s/?#]+[^\s]*", re.IGNORECASE)
_MAX_CHARACTERS = 4096
_CREATIVE_COMMONS_ID = re.compile(r"cc(-[a-z]{2,4})*-\d\.\d|cc0-1\.0", re.IGNORECASE)


@dataclass(frozen=True)
class Wanted:
    """An address, and what is stated of it. With a `reason` (and `detail`) it is not fetched and is a reject.

    `address` may hold a password or a signature; `name`, which is what records and errors show, holds none.
    """

    name: str
    address: str = ""
    entry: Entry = field(default_factory=Entry)
    about: tuple[tuple[str, str], ...] = ()
    reason: str = ""
    detail: str = ""


def read_list(path: Path) -> Iterator[Wanted]:
    """Yield the addresses of a file, and each line that names none as a reject. InputError: the file cannot be read."""
    suffix = path.name.lower().removesuffix(".gz").rpartition(".")[2]
    readers = {"txt": _text_rows, "csv": _table_rows, "tsv": _table_rows, "jsonl": _json_rows, "ndjson": _json_rows}
    if suffix not in readers:
        raise InputError(f"{path}: a list of addresses is a .txt, .csv, .tsv or .jsonl file")
    try:
        for where, row in readers[suffix](path):
            yield row if isinstance(row, Wanted) else wanted_of(row, f"{path.name}, {where}")
    except (JsonError, csv.Error) as error:
        raise InputError(f"{path}: {error}") from error
    except FileNotFoundError as error:
        raise InputError(f"no file {path}: put the list of addresses there, or name another one") from error


_Rows = Iterator[tuple[str, "Mapping[str, Any] | Wanted"]]


def _text_rows(path: Path) -> _Rows:
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield f"line {number}", {"url": line.strip()}


def _table_rows(path: Path) -> _Rows:
    text = read_text(path)
    rows = csv.DictReader(io.StringIO(text), delimiter="\t" if ".tsv" in path.name.lower() else ",")
    if "url" not in (names := [name.strip().lower() for name in rows.fieldnames or ()]):
        raise InputError(f"{path}: its columns are {', '.join(names) or 'none'}; name one of them url")
    rows.fieldnames = names
    for row in rows:
        # A value is "" where a cell is empty, a list under None where a line has more cells than the header.
        yield f"line {rows.line_num}", {key: value.strip() for key, value in row.items() if key and value}


def _json_rows(path: Path) -> _Rows:
    with path.open("rb") as stream:
        for row in read_rows(stream):
            where = f"{path.name}, {row.place}"
            if row.error or not isinstance(row.value, dict):
                yield row.place, Wanted(where, reason="bad_line", detail=f"{where}: {row.error or 'no JSON object'}")
            else:
                yield row.place, row.value


def wanted_of(row: Mapping[str, Any], where: str) -> Wanted:
    """Return what one row says; a reject (bad_address, bad_metadata, bad_utterances) when it cannot be understood."""
    address = row.get("url")
    if not isinstance(address, str) or not address.strip():
        return Wanted(where, reason="bad_address", detail=f"{where}: names no address; give it a url")
    # What follows the mark names a place inside of the file and is never sent to a server.
    address = replaced(address.strip()).partition("#")[0]
    name = without_credentials(address)
    if len(address) > _MAX_CHARACTERS or not _ADDRESS.fullmatch(address):
        why = f"{where}: {name[:80]} is no address of http or https"
        return Wanted(name[:_MAX_CHARACTERS], reason="bad_address", detail=why)
    bad: list[BadLine] = []
    try:
        # A `text` may be the truth that a recognizer is measured by, and files beside a list are not looked for.
        entry = entry_of({**row, "url": address, "text": None, "rttm": None, "rttm_filepath": None}, where, bad=bad)
    except ManifestError as error:
        return Wanted(name, reason=error.reason, detail=str(error))
    if bad:
        return Wanted(name, reason="bad_utterances", detail=bad[0].error)
    about = ((key, row.get(key)) for key in ABOUT)
    stated = tuple((key, replaced(value.strip())) for key, value in about if isinstance(value, str) and value.strip())
    return Wanted(name, address, entry, stated)


def licensed(wanted: Wanted, licence: str, is_unlicensed_taken: bool) -> Wanted:
    """Return an address with the licence that is meant where none is stated, or as a reject (no_licence)."""
    if wanted.reason or wanted.entry.licence != UNKNOWN_LICENCE:
        return wanted
    if licence:
        return replace(wanted, entry=replace(wanted.entry, licence=licence))
    if is_unlicensed_taken:
        return wanted
    why = "no licence is stated: state it in the list, or in the recipe by licence= or unlicensed=True"
    return replace(wanted, reason="no_licence", detail=why)


def distinct(several: Iterator[Wanted]) -> list[Wanted]:
    """Return each address once, in the order of their names; what says something else of one is a reject."""
    first: dict[str, Wanted] = {}
    others: dict[tuple[str, str, str], Wanted] = {}
    for wanted in several:
        key = wanted.name
        if not wanted.reason and key in first and (first[key].entry, first[key].about) != (wanted.entry, wanted.about):
            why = "the address is named before, and something else is said of it"
            wanted = replace(wanted, reason="duplicate_id", detail=why)
        if wanted.reason:
            others[key, wanted.reason, wanted.detail] = wanted
        else:
            first.setdefault(key, wanted)
    return sorted((*first.values(), *others.values()), key=lambda one: (one.name, one.reason, one.detail))


# --- feeds --------------------------------------------------------------------------------------------------------


def episodes(feed: bytes, address: str) -> list[dict[str, str]] | None:
    """Return the rows of a feed's enclosures (see `wanted_of`), and of an entry without one a row without `url`.

    None when the bytes are no feed.
    """
    import feedparser

    parsed = feedparser.parse(io.BytesIO(feed), response_headers={"content-location": address})
    if not parsed.version:
        return None
    channel = parsed.feed
    rows: list[dict[str, str]] = []
    for entry in parsed.entries:
        row = {
            "licence": _licence(entry) or _licence(channel),
            "language": str(entry.get("language") or channel.get("language") or "").partition("-")[0].lower(),
            "title": entry.get("title", ""),
            "author": entry.get("author") or channel.get("author", "") or channel.get("title", ""),
            "published": entry.get("published") or entry.get("updated", ""),
            "guid": entry.get("id", ""),
            "page": entry.get("link", ""),
            "feed": without_credentials(address),
        }
        row = {key: str(value) for key, value in row.items() if value}
        found = [link for link in entry.get("links", ()) if link.get("rel") == "enclosure" and link.get("href")]
        sounds = [link for link in found if _may_be_sound(str(link.get("type", "")))]
        rows += [{**row, "url": urljoin(address, str(link["href"]))} for link in sounds] or [row]
    return rows


def _may_be_sound(media_type: str) -> bool:
    return not media_type or media_type.partition("/")[0].lower() in ("audio", "video", "application")


def episode_of(row: Mapping[str, str]) -> Wanted:
    """Return what a feed says of one enclosure; an entry without sound is a reject (no_enclosure)."""
    feed, name = row.get("feed", ""), row.get("guid") or row.get("page") or row.get("title") or "an entry"
    if "url" not in row:
        why = f"an entry of {feed} without an enclosure of sound"
        return Wanted(f"{feed}#{without_credentials(name)}", reason="no_enclosure", detail=why)
    return wanted_of(row, f"{feed}, {name}")


def _licence(stated: Mapping[str, Any]) -> str:
    """Return the licence that a feed or an entry states; "" when it states none. Words of copyright are none."""
    for words in _licence_words(stated):
        if _CREATIVE_COMMONS_ID.fullmatch(words.strip()):
            return words.strip().upper()
        if words.strip():
            return licence_named(words)
    rights = licence_named(str(stated.get("rights", "")))
    return rights if rights.startswith("CC") and " " not in rights else ""


def _licence_words(stated: Mapping[str, Any]) -> Iterator[str]:
    links: Sequence[Mapping[str, Any]] = stated.get("links", ())
    yield from (str(link.get("href", "")) for link in links if link.get("rel") == "license")
    for key in ("podcast_license", "media_license", "dcterms_license", "dc_license"):
        value = stated.get(key, "")
        yield str(value.get("url") or value.get("href") or "") if isinstance(value, Mapping) else str(value)
