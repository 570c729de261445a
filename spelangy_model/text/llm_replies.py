"""Read completions of OpenAI-compatible servers, of any shape: an object of a schema, or the reason why it is none.

Put here: reading a reply's bytes. Do not put here: sending (llm.py) or errors (llm_errors.py). Nothing here raises for
a server's reply. A truncated reply is never completed, as libraries that repair JSON do, because half a page would pass
for a whole one. The caller asks again instead.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from spelangy_model.text.llm_errors import ServerError, read_error


@dataclass(frozen=True, slots=True)
class Completion:
    """A server's answer. `failure`: why there is none (cut_off, content_refused; the message is in `text`), else empty.

    `thought` is the text of reasoning models beside their answer. Token counts are the server's; None: it reports
    none that is plausible.
    """

    text: str
    thought: str = ""
    failure: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


_CUT = {"length", "max_tokens", "max_output_tokens", "model_length", "max_length"}
_REFUSED = {"content_filter", "safety", "prohibited_content", "blocklist", "recitation", "refusal", "sensitive"}
_MOST_TOKENS = 10**9  # of one request; a larger number is not a count


def read_completion(data: bytes) -> Completion | ServerError:
    """Return the completion in the body of a successful response."""
    try:
        body = json.loads(data.decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        begin = data[:200].decode("utf-8", "replace")
        return ServerError("transient", "server_error", f"the reply is no JSON: {' '.join(begin.split())!r}")
    if isinstance(body, list) and len(body) == 1:
        body = body[0]
    choice = _choice(body)
    for holder in (choice, body):  # some servers send errors with the status of a success
        if isinstance(holder, dict) and holder.get("error") and not _content_of(_message(choice)):
            return read_error(_status(holder["error"]), holder)
    message = _message(choice)
    if message is None:
        return ServerError("odd", "odd_reply", "a completion without a message")
    prompt_tokens, completion_tokens = _usage(body)
    text, thought = _content_of(message), _thought(message)
    finish = choice.get("finish_reason") if isinstance(choice, dict) else None
    finish = finish.lower() if isinstance(finish, str) else ""
    refusal = message.get("refusal") if isinstance(message, dict) else None
    failure = ""
    if finish in _CUT:
        failure = "cut_off"
    elif finish in _REFUSED or (isinstance(refusal, str) and refusal and not text):
        failure, text = "content_refused", refusal if isinstance(refusal, str) and refusal else f"it ended as {finish}"
    return Completion(text, thought, failure, prompt_tokens, completion_tokens)


def _choice(body: Any) -> Any:
    if not isinstance(body, dict):
        return None
    choices = body.get("choices")
    if isinstance(choices, dict):
        return choices
    if isinstance(choices, list):
        return choices[0] if choices else None
    return body if "message" in body and "error" not in body else None


def _message(choice: Any) -> Any:
    """Return a choice's message, a dict or a string; None when it has none."""
    if isinstance(choice, str):
        return choice
    if not isinstance(choice, dict):
        return None
    message = choice.get("message")
    if isinstance(message, dict | str):
        return message
    return choice["text"] if isinstance(choice.get("text"), str) else None


def _content_of(message: Any) -> str:
    return _text_of(message.get("content") if isinstance(message, dict) else message).strip()


def _text_of(content: Any) -> str:
    """Return the text of a content: a string, an object as such, or a list of parts, those of reasoning left out."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "".join(_text_of(part) for part in content if isinstance(part, str | dict))
    if not isinstance(content, dict):
        return ""
    kind, text = content.get("type"), content.get("text")
    if kind is None and "text" not in content:
        return json.dumps(content)
    if isinstance(kind, str):
        if "think" in kind.lower() or "reason" in kind.lower():
            return ""
        if isinstance(text, dict):
            text = text.get("value")
        return text if isinstance(text, str) else ""
    return json.dumps(content)


def _thought(message: Any) -> str:
    if not isinstance(message, dict):
        return ""
    thoughts = (message.get(name) for name in ("reasoning_content", "reasoning", "thinking"))
    return next((text.strip() for text in thoughts if isinstance(text, str) and text.strip()), "")


def _status(error: Any) -> int:
    code = error.get("code") if isinstance(error, dict) else None
    code = int(code) if isinstance(code, str) and code.isdecimal() and len(code) == 3 else code
    return code if isinstance(code, int) and 400 <= code <= 599 else 400


def _usage(body: Any) -> tuple[int | None, int | None]:
    usage = body.get("usage") if isinstance(body, dict) else None
    if not isinstance(usage, dict):
        return None, None
    prompt, completion, total = (_count(usage.get(f"{name}_tokens")) for name in ("prompt", "completion", "total"))
    if prompt is not None and completion is not None and total is not None:
        completion = max(completion, total - prompt)  # some leave reasoning out of the completion's
    return prompt, completion


def _count(value: Any) -> int | None:
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= _MOST_TOKENS:
        return None  # every request has tokens
    return math.ceil(value)


# Where reasoning ends and the answer begins, as the models write it into their text.
_THOUGHT_ENDS = re.compile(
    r"</(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)>|\[/THINK\]"
    r"|<\|end_of_thought\|>|◁/think▷|<\|channel\|>final\b[^<{]*<\|message\|>",
    re.IGNORECASE,
)
_THOUGHT_BEGINS = re.compile(
    r"\s*(?:<(?:seed:)?(?:think|thinking|thought|thoughts|reasoning|reflection|scratchpad|analysis)>|\[THINK\]"
    r"|<\|begin_of_thought\|>|◁think▷|<\|channel\|>analysis)",
    re.IGNORECASE,
)
_AFTER = re.compile(r"[\s`]*(?:<[|/]\w*[|]?>|\s)*\Z")  # what may follow an answer at the end of a text
_MOST_STARTS = 5_000
_DECODER = json.JSONDecoder(strict=False)  # line breaks as they are inside of strings


def find_object(completion: Completion, schema: dict[str, Any]) -> tuple[Any, str, str]:
    """Return (value, "", "") of the one object in a reply that meets the schema, or (None, failure, words).

    Failures: not_json (no object, or more than one that could be meant), schema_violated. Prose and fences around it
    and reasoning before it are passed over. An answer that a server took for reasoning is taken from the reasoning's
    end.
    """
    if completion.text:
        return _object_in(completion.text, schema, _THOUGHT_BEGINS.match(completion.text) is not None)
    if completion.thought:
        return _object_in(completion.thought, schema, True)
    return None, "not_json", "the reply is empty"


def _object_in(text: str, schema: dict[str, Any], is_thought: bool) -> tuple[Any, str, str]:
    try:
        whole = _DECODER.decode(text)
        if isinstance(whole, str):  # JSON in a string of JSON
            whole = _DECODER.decode(whole)
        if not (isinstance(whole, list) and len(whole) == 1):
            words = violation(whole, schema)
            return (None, "schema_violated", words) if words else (whole, "", "")
    except (ValueError, RecursionError):
        pass
    found = list(_objects(text))
    ends = [
        end.end()
        for end in _THOUGHT_ENDS.finditer(text)
        if not any(start < end.start() < stop for start, stop, _ in found)
    ]
    if ends:
        found = [one for one in found if one[0] >= ends[-1]]
    elif is_thought:
        found = [one for one in found[-1:] if _AFTER.match(text, one[1])]
    if not found:
        return None, "not_json", "there is no JSON object in the reply"
    words = [violation(value, schema) for _, _, value in found]
    meant = [value for (_, _, value), wrong in zip(found, words, strict=True) if not wrong]
    if not meant:
        return None, "schema_violated", words[-1]
    if any(value != meant[0] for value in meant):
        return None, "not_json", f"there are {len(meant)} JSON objects in the reply"
    return meant[0], "", ""


def _objects(text: str) -> Iterator[tuple[int, int, dict[str, Any]]]:
    """Yield (start, stop, value) of the JSON objects in a text, in order, none inside of another.

    The work is bounded: a reply of braces alone must not take hours.
    """
    at, left = 0, 4 * len(text) + 100_000
    for _ in range(_MOST_STARTS):
        at = text.find("{", at)
        if at < 0 or left < 0:
            return
        try:
            value, stop = _DECODER.raw_decode(text, at)
        except json.JSONDecodeError as problem:
            left -= (len(text) if problem.msg.startswith("Unterminated") else problem.pos) - at
            at += 1
        except (ValueError, RecursionError):
            left -= 10_000
            at += 1
        else:
            yield at, stop, value
            at = stop


# Control characters end a speaker's text or its file; half a surrogate pair is in no encoding.
_NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f\ud800-\udfff]")


def violation(value: Any, schema: dict[str, Any]) -> str:
    """Return how a value violates the schema, or that one of its texts is unusable; empty: it is valid."""
    from jsonschema import Draft202012Validator

    try:
        problem = next(iter(Draft202012Validator(schema).iter_errors(value)), None)
        if problem is not None:
            return problem.message.replace("\n", " ")[:300]
        return "a text holds a character that is none" if any(map(_NO_TEXT.search, _texts(value))) else ""
    except RecursionError:
        return "it is nested too deep"


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield name
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
