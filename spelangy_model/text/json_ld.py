"""The objects of JSON-LD, which pages carry in <script type="application/ld+json"> (schema.org).

Put here: reading a script's text into its objects. Do not put here: finding the scripts, or the meaning of the
objects (questions, rights). Pages write invalid JSON: comments, trailing commas, a semicolon, CDATA, single
quotes, several objects in a row. pyjson5 reads most of it: of the tolerant readers tried it is the only one that is
linear, deterministic and free of guesses. A truncated script is not read, because its last answer is incomplete.
"""

from __future__ import annotations

import html as html_entities
import json
import re
from collections.abc import Iterator
from typing import Any

_OPENINGS = re.compile(r"(?:\s|\ufeff|<!--|-->|//(?=\s*<!|-->|><!)|>(?=<!)|(?:/\*\s*)?<!\[CDATA\[(?:\s*\*/)?)*")
_CLOSINGS = ("\ufeff", ";", "-->", "<!--", "]]>", "<!", "//", "/*", "*/")
_ASSIGNMENT = re.compile(r"(?:(?:var|let|const)\s+)?[\w.$]{1,80}\s*=\s*(?=[\[{])")
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_CONTROL = re.compile(r"[\x00-\x1f\u2028\u2029]+")
_NEXT_OBJECT = re.compile(r"}[\s;,]*(?={)")
_MAX_DEPTH = 200  # of text that is not strict JSON


def objects_of(text: str) -> Iterator[dict[str, Any]]:
    """Yield every object of a JSON text, in document order; none when it cannot be read. It may nest deeply."""
    yield from objects_in(read_json_ld(text) or [])


def objects_in(values: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield every object in values of JSON, in document order."""
    waiting = list(reversed(values))
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            yield value
            waiting.extend(reversed(list(value.values())))
        elif isinstance(value, list):
            waiting.extend(reversed(value))


def read_json_ld(text: str) -> list[Any] | None:
    """Return the values of a script of JSON-LD, strict or not; None when it cannot be read. Never raises."""
    import pyjson5

    try:
        return [json.loads(text, strict=False)]
    except (ValueError, RecursionError):
        pass
    inner = _unwrapped(text)
    if not inner or inner[-1] not in "}]":
        return None
    folded = _STRING.sub(lambda match: _CONTROL.sub(" ", match[0]), inner)
    for candidate in (inner, folded, f"[{_NEXT_OBJECT.sub('},', folded)}]"):
        for read in (lambda it: json.loads(it, strict=False), lambda it: pyjson5.decode(it, _MAX_DEPTH)):
            try:
                return [read(candidate)]
            except (ValueError, RecursionError, pyjson5.Json5Exception):
                continue
    return None


def _unwrapped(text: str) -> str:
    """Return a script without what hides it from old browsers, or makes it a statement."""
    if '"' not in text and "&quot;" in text:
        text = html_entities.unescape(text)
    text = text[_matched(_OPENINGS, text) :]
    text = text[_matched(_ASSIGNMENT, text) :].rstrip()
    shorter = text
    while shorter is not None:
        text = shorter.rstrip()
        shorter = next((text.removesuffix(closing) for closing in _CLOSINGS if text.endswith(closing)), None)
    return text


def _matched(pattern: re.Pattern[str], text: str) -> int:
    match = pattern.match(text)
    return match.end() if match else 0


def types_of(node: dict[str, Any]) -> list[str]:
    """Return the types of an object without vocabulary: `Question` for schema:Question and https://schema.org/Question."""
    kinds = node.get("@type")
    kinds = kinds if isinstance(kinds, list) else [kinds]
    return [re.split(r"[/#:]", kind)[-1] for kind in kinds if isinstance(kind, str)]


def text_of(value: Any) -> str:
    """Return the text of a property: a string, `@value`, or the first of a list (the English one where one is)."""
    values = value if isinstance(value, list) else [value]
    for one in sorted(values, key=lambda one: not _is_english(one)):
        text = one.get("@value") if isinstance(one, dict) else one
        if isinstance(text, str) and text.strip():
            return text
    return ""


def _is_english(value: Any) -> bool:
    return isinstance(value, dict) and str(value.get("@language", "")).lower().startswith("en")
