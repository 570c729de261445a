"""The rights that a page and its archive state: the licence, and the directives to robots.

Put here: the places that state a licence or a directive, and which of them count. Do not put here: the consequences (a
recipe may refuse pages by their directives) or licences of recordings. Sources: rel=license (HTML), schema.org, Dublin
Core, Creative Commons' addresses, ISO 28500 (fields of metadata and warcinfo records), the robots meta element and
X-Robots-Tag, the TDM Reservation Protocol (W3C community group report, 2024). Statements are passed on without
judgement.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import unescape

from spelangy_model.text.json_ld import objects_of, types_of

Fields = Sequence[tuple[str, str]]  # (name in lower case, value)
UNKNOWN = "unknown"
_MAX_CHARACTERS = 300

_LICENCE_FIELDS = frozenset({"license", "licence", "rights", "dc.rights", "dcterms.license", "dcterms.rights"})
_LICENCE_METAS = _LICENCE_FIELDS | {"dc.rights.license", "dcterms.licence", "og:license"}
_ROBOT_METAS = frozenset({"robots", "googlebot", "bingbot", "ccbot", "gptbot"})
_OF_A_PART = frozenset({"ImageObject", "VideoObject", "AudioObject", "MediaObject", "SoftwareApplication", "Dataset"})

# in steps, for one pattern over tag, attribute and word would backtrack for hours on a page made for it
_LINK = re.compile(r"<(?:a|link)\b[^<>]{0,2000}>", re.IGNORECASE)
_META = re.compile(r"<meta\b[^<>]{0,2000}>", re.IGNORECASE)
_JSON_LD = re.compile(r"<script\b[^<>]{0,500}\bld\+json\b[^<>]{0,500}>", re.IGNORECASE)
_SAYS_ANYTHING = re.compile(r"licen[sc]e|creativecommons|\brights\b", re.IGNORECASE)
_SAYS_ROBOTS = re.compile(rf"\b(?:{'|'.join(sorted(_ROBOT_METAS))}|tdm-reservation)\b", re.IGNORECASE)
_CREATIVE_COMMONS = re.compile(
    r"creativecommons\.org/(?:licenses/((?:by|nc|nd|sa)(?:-(?:by|nc|nd|sa))*)(?:/(\d\.\d))?(?![\w.-])"
    r"|publicdomain/(zero|mark)/(\d\.\d))",
    re.I,
)
_HTTP_LINK = re.compile(r"<([^<>]{1,2000})>([^<>,]{0,500})")


def stated_licence(html: str, http_fields: Fields = (), archive_fields: Fields = ()) -> tuple[str, str]:
    """Return the licence of a page and what states it: the first of

    warc_metadata   a field of the archive about the capture
    http_link       the HTTP header Link with rel=license
    rel_license     a link with rel=license, or itemprop=license
    json_ld         schema.org's `license` of the page (not of a picture on it)
    meta            Dublin Core
    creative_commons_link   links to one Creative Commons licence and to no other, not marked as the page's own

    The licence is an SPDX id where it is one of Creative Commons, else the link or the words; (unknown, "") when none
    is stated.
    """
    for stated_by, words in _statements(html, http_fields, archive_fields):
        if (licence := licence_named(words)) != UNKNOWN:
            return licence, stated_by
    return UNKNOWN, ""


def licence_named(words: str) -> str:
    """Return the licence that words or a link name: an SPDX id for Creative Commons, else the words, else unknown."""
    words = " ".join(unescape(words).split())[:_MAX_CHARACTERS]
    return _spdx(words) or words or UNKNOWN


def _statements(html: str, http_fields: Fields, archive_fields: Fields) -> Iterator[tuple[str, str]]:
    yield from (("warc_metadata", value) for name, value in archive_fields if name in _LICENCE_FIELDS)
    for name, value in http_fields:
        if name == "link":
            links = _HTTP_LINK.findall(value)
            yield from (
                ("http_link", link) for link, more in links if re.search(r"\brel\s*=\s*\"?license\b", more, re.I)
            )
    if not _SAYS_ANYTHING.search(html):
        return
    tags = _LINK.findall(html)
    own = (tag for tag in tags if {"license", "licence"} & _words(f"{_value('rel', tag)} {_value('itemprop', tag)}"))
    yield from (("rel_license", _value("href", tag)) for tag in own)
    yield from (("json_ld", licence) for licence in _in_json_ld(html))
    for tag in _META.findall(html):
        if {_value("name", tag).lower(), _value("property", tag).lower()} & _LICENCE_METAS:
            yield "meta", _value("content", tag)
    linked = {licence: href for tag in tags if (licence := _spdx(href := _value("href", tag)))}
    if len(linked) == 1:
        yield "creative_commons_link", next(iter(linked.values()))


def _in_json_ld(html: str) -> Iterator[str]:
    for match in _JSON_LD.finditer(html):
        end = html.find("</", match.end())
        if end < 0:
            return
        for node in objects_of(html[match.end() : end]):
            stated = node.get("license")
            stated = stated.get("url") or stated.get("@id") if isinstance(stated, dict) else stated
            if isinstance(stated, str) and _OF_A_PART.isdisjoint(str(kind) for kind in types_of(node)):
                yield stated


def _spdx(words: str) -> str:
    """Return the id of a Creative Commons licence whose address is in the words; a version may be missing. Else ""."""
    match = _CREATIVE_COMMONS.search(words)
    if match is None:
        return ""
    terms, version, domain, domain_version = match.groups()
    if domain:
        return f"CC0-{domain_version}" if domain.lower() == "zero" else "public-domain"
    return f"CC-{terms.upper()}" + (f"-{version}" if version else "")


# --- robots -----------------------------------------------------------------------------------------------

_WITH_A_VALUE = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})


def robots_of(html: str, http_fields: Fields = (), archive_fields: Fields = ()) -> str:
    """Return the robots directives for a page, sorted and joined by ", "; empty when there is none.

    noindex, noai, ... as the robots meta element, X-Robots-Tag or a field of the archive have them; a directive to
    one robot alone has its name before it (ccbot:nofollow). tdm-reservation: text and data mining is reserved.
    harvester:POLICY is the policy that the archive's harvester followed.
    """
    found: set[str] = set()
    for name, value in http_fields:
        if name == "x-robots-tag":
            found.update(_directives(value))
        elif name == "tdm-reservation" and value.strip() == "1":
            found.add(name)
    for name, value in archive_fields:
        if name == "robots":
            found.update(_directives(value))
        elif name == "harvester-robots":
            found.add(f"harvester:{' '.join(value.lower().replace(',', ';').split())}")
    for tag in _META.findall(html) if _SAYS_ROBOTS.search(html) else ():
        name, content = _value("name", tag).lower(), _value("content", tag)
        if name == "robots":
            found.update(_directives(content))
        elif name in _ROBOT_METAS:
            found.update(f"{name}:{directive}" for directive in _directives(content))
        elif name == "tdm-reservation" and content.strip() == "1":
            found.add(name)
    return ", ".join(sorted(found))[:_MAX_CHARACTERS]


def _directives(text: str) -> Iterator[str]:
    """Yield the directives of a value such as `noindex, nofollow` or `somebot: noindex, max-snippet:-1`."""
    robot = ""
    for part in re.split(r"[,;]", text.lower()):
        name, mark, rest = (piece.strip() for piece in part.partition(":"))
        if mark and name not in _WITH_A_VALUE:
            robot, part = f"{name}:", rest
        word = "".join(part.split())
        if word:
            yield robot + word


def _words(text: str) -> set[str]:
    return set(text.lower().split())


_ATTRIBUTES = {
    name: re.compile(rf"(?<![\w-]){name}\s*=\s*(?:\"([^\"]*)\"|'([^']*)'|([^\s>]+))", re.IGNORECASE)
    for name in ("rel", "itemprop", "href", "name", "property", "content")
}


def _value(attribute: str, tag: str) -> str:
    match = _ATTRIBUTES[attribute].search(tag)
    return next(value for value in match.groups() if value is not None) if match else ""
