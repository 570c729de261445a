"""Classify errors of an OpenAI-compatible server: they concern one page, a parameter, every request, or are transient.

Put here: the classification by status and body, and the removal of secrets from error texts. Do not put here: the
response to an error (llm.py). Servers agree on statuses only roughly (429 is rate limiting or an empty account, 400 a
page or a parameter or a key), so the codes in the body decide first, then its text, then the status. The body's echo of
the request is never read, so that the text of a page is not mistaken for the server's message.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import quote, unquote, urlsplit

_LONGEST_READ = 2_000  # characters of a server's message that are read
_LONGEST_WORDS = 400  # and that are passed on

Kind = Literal["transient", "service", "parameter", "page", "odd"]


@dataclass(frozen=True, slots=True)
class ServerError:
    """`kind` states what the error concerns.

    transient: another try may go better. service: every request will meet it until a person acts. parameter: the server
    takes the request without `parameter` (max_tokens, temperature, seed, response_format; "": the server does not name
    it). page: it may be this request alone. odd: no answer and no error, which another try may turn into one. `failure`
    is the reason, `words` the server's message on one line.
    """

    kind: Kind
    failure: str
    words: str
    parameter: str = ""


_QUOTA_CODES = {
    "insufficient_quota", "insufficient_user_quota", "insufficient_balance", "insufficient_credits", "quota_exceeded",
    "billing_not_active", "billing_hard_limit_reached", "billing_error", "budget_exceeded", "payment_required",
    "arrearage",
}  # fmt: skip
_QUOTA_WORDS = re.compile(
    r"insufficient (account )?(credit|balance|quota|fund)|credit balance is too low|exceeded your current quota"
    r"|out of (call volume )?quota|out of credits|budget has been exceeded|account .{0,60}suspended|spending limit"
    r"|request too large for .{0,200}per min"
)
_KEY_CODES = {
    "invalid_api_key", "api_key_invalid", "authentication_error", "invalid_authentication", "unauthorized",
    "unauthenticated", "account_deactivated", "invalid_organization", "ip_not_authorized", "permission_denied",
    "permission_error", "permissiondenied", "access_denied", "accessdenied", "unsupported_country_region_territory",
}  # fmt: skip
_KEY_WORDS = re.compile(
    r"(incorrect|invalid|expired|missing|revoked|disabled) (api|subscription|access) ?(key|token)"
    r"|api key (is )?(not valid|invalid|missing|expired|not found|has expired|has been)|no auth credentials"
    r"|invalid (authentication|proxy server token|token)|authentication (error|failed)|provide .{0,20}api key"
)
_MODEL_CODES = {
    "model_not_found", "deploymentnotfound", "invalid_model", "model_not_available", "unknown_model",
    "model_not_supported", "model_decommissioned", "notfounderror", "not_found_error",
}  # fmt: skip
_MODEL_WORDS = re.compile(
    r"(model|deployment)\b.{0,120}(does not exist|not found|not available|not a valid|has been (deprecated|removed))"
    r"|not a valid model|(invalid|unknown|unsupported) model|no such model|model name passed"
)
_CONTENT_CODES = {
    "content_filter", "content_filtered", "content_policy_violation", "contentpolicyviolationerror",
    "responsibleaipolicyviolation", "invalid_prompt", "prohibited_content", "data_inspection_failed",
    "datainspectionfailed", "moderation_blocked", "sensitive_words_detected", "cyber_policy_violation", "safety",
}  # fmt: skip
_CONTENT_WORDS = re.compile(
    r"content (management |usage )?polic|content.?filter|flagged|moderation|usage polic|inappropriate content"
    r"|prohibited content|sensitive (word|content)|harmful content"
)
_LONG_CODES = {
    "context_length_exceeded", "exceed_context_size_error", "string_above_max_length", "request_too_large",
    "prompt_too_long", "contextwindowexceedederror", "tokens_limit_reached",
}  # fmt: skip
_LONG_WORDS = re.compile(
    r"context (length|size|window)|maximum context|(prompt|input|request|message|text)s? (is |are )?too (long|large)"
    r"|too many (input |prompt )?tokens|(must have less than|reduce the length)|exceeds? .{0,60}(input|prompt) tokens"
    r"|max(imum)? (allowed )?(input|prompt|sequence) (length|tokens)|entity too large"
)
_PARAMETER_CODES = {"unsupported_parameter", "unknown_parameter", "unsupportedparamserror", "extra_forbidden"}
_PARAMETER_WORDS = re.compile(
    r"(unsupported|unknown|unrecognized|unexpected|extra|requested) (request )?(param|argument|field|input|keyword)"
    r"|extra inputs are not permitted"
)
_PARAMETERS = {
    "max_tokens": re.compile(r"\bmax_(completion_|new_|output_)?tokens\b"),
    "response_format": re.compile(
        r"\bresponse_format\b|\bjson_(schema|object)\b|json schema|structured output|\bguided_|\bgrammar\b"
    ),
    "temperature": re.compile(r"\btemperature\b"),
    "seed": re.compile(r"\b(random_)?seed\b"),
}
_MAY_BE_A_PARAMETER = {400, 404, 415, 422, 500, 501}  # llama.cpp answers 500 and 501, OpenRouter 404
_PASSING = {408, 409, 424, 425, 429, 499}
_ECHO = re.compile(r"""(['"])input\1: .*""", re.DOTALL)  # pydantic's errors hold what was sent
_ECHOES = {"input", "ctx", "prompt", "messages", "request", "failed_generation"}


def read_error(status: int, body: object) -> ServerError:
    """Return what an error means, from its HTTP status and its body: JSON of any shape, text, or None."""
    found = list(_fields(body))
    codes = {text.strip().lower() for name, text in found if name == "code"}
    words = _one_line(" ".join(text for name, text in found if name == "words"))
    named = [text for name, text in found if name == "param"]
    message = words.lower()
    shown = words or _one_line(f"status {status} " + ", ".join(sorted(codes)))

    if "retrydelay" in codes and status == 429:  # Google's rate limit has the same text as an empty account
        return ServerError("transient", "rate_limited", shown)
    if codes & _QUOTA_CODES or status == 402 or (status < 500 and _QUOTA_WORDS.search(message)):
        return ServerError("service", "quota_spent", shown)
    if "json_validate_failed" in codes:  # Groq reads the reply itself
        return ServerError("page", "not_json", shown)
    if codes & _CONTENT_CODES or status == 451:
        return ServerError("page", "content_refused", shown)
    if codes & _KEY_CODES or status in (401, 407) or (status < 500 and _KEY_WORDS.search(message)):
        return ServerError("service", "key_refused", shown)
    if codes & _LONG_CODES or status in (413, 414) or (status not in (403, 429) and _LONG_WORDS.search(message)):
        return ServerError("page", "too_long", shown)
    parameter = _parameter(codes, named, message) if status in _MAY_BE_A_PARAMETER else None
    if parameter is not None:
        return ServerError("parameter", "page_refused", shown, parameter)
    if status in (400, 403, 422) and _CONTENT_WORDS.search(message):
        return ServerError("page", "content_refused", shown)
    if codes & _MODEL_CODES or status in (404, 405, 410) or (status < 500 and _MODEL_WORDS.search(message)):
        return ServerError("service", "model_unknown", shown)
    if status == 429:
        return ServerError("transient", "rate_limited", shown)
    if status in _PASSING or (status >= 500 and status != 501):
        return ServerError("transient", "server_error", shown)
    return ServerError("page", "page_refused", shown)


def _parameter(codes: set[str], named: list[str], message: str) -> str | None:
    for text in (*named, message):  # a parameter in the error's field counts before one in its text
        if text is message and any(re.match(r"(messages|model|prompt)\b", name) for name in named):
            return None
        for parameter, names in _PARAMETERS.items():
            if names.search(text.lower()):
                return parameter
    return "" if codes & _PARAMETER_CODES or _PARAMETER_WORDS.search(message) else None


def _fields(body: object, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Yield ("code" | "words" | "param", text) of an error's body, wherever a server puts them."""
    if depth > 6:
        return
    if isinstance(body, str):
        yield from _text(body, depth)
    elif isinstance(body, list):
        for item in body[:20]:
            yield from _fields(item, depth + 1)
    elif isinstance(body, dict):
        for key, value in body.items():
            name = str(key).lower()
            if name in _ECHOES:
                continue
            if name in ("code", "type", "status", "reason", "error_type", "error_code") and isinstance(value, str):
                yield "code", value
            elif name == "param" and isinstance(value, str):
                yield "param", value
            elif name == "retrydelay":
                yield "code", name
            elif name == "loc" and isinstance(value, list | tuple):
                yield "param", ".".join(str(part) for part in value if part != "body")
            elif name in ("message", "msg", "detail", "error", "title", "error_description", "errors", "details"):
                yield from _fields(value, depth + 1)
            elif isinstance(value, dict | list):
                yield from ((kind, text) for kind, text in _fields(value, depth + 1) if kind != "words")


def _text(text: str, depth: int) -> Iterator[tuple[str, str]]:
    stripped = text.strip()
    if stripped[:1] in ("{", "[") and len(stripped) < 100_000:  # Mistral puts JSON into a message
        try:
            yield from _fields(json.loads(stripped), depth + 1)
            return
        except (ValueError, RecursionError):
            pass
    yield "words", _ECHO.sub("", re.sub(r"<(script|style)\b.*?</\1>|<[^>]*>", " ", text[:20_000], flags=re.S | re.I))


def _one_line(text: str) -> str:
    printable = "".join(character if character.isprintable() else " " for character in text[:20_000])
    return " ".join(printable.split())[:_LONGEST_READ]


def secrets_of(base_url: str, api_key: str) -> tuple[str, ...]:
    """Return the secrets of a connection: the key, and the user, password and query values of the address."""
    hidden = [api_key]
    try:
        parts = urlsplit(base_url)
        user, password, query = parts.username or "", parts.password or "", parts.query
    except ValueError:
        user = password = query = ""
    for secret in (user, password) if password else (user,):
        hidden += [secret, unquote(secret)]
    if password:
        hidden.append(base64.b64encode(f"{unquote(user)}:{unquote(password)}".encode()).decode())
    hidden += [unquote(value) for _, _, value in (field.partition("=") for field in query.split("&"))]
    return tuple(dict.fromkeys(secret for secret in hidden if secret))


_SHOWN = 8  # this many consecutive characters of a secret count as the secret
# How servers show a part of a key.
_MASKED = re.compile(r"[\w.\-]*\*{3,}[\w.\-*]*|\b(?:sk|pk|rk|gsk|key|xai|hf)[-_][\w\-]*(?:\.{3}|…)[\w\-]*")
_BEARER = re.compile(r"\b(Bearer|Basic)\s+[^\s'\"]+", re.IGNORECASE)


def without_secrets(text: str, secrets: Iterable[str]) -> str:
    """Return the text, shortened for a reader, without the secrets and without parts of eight characters of them."""
    for secret in secrets:
        forms = {secret, quote(secret, safe=""), json.dumps(secret)[1:-1], repr(secret)[1:-1]}
        for form in sorted(forms, key=len, reverse=True):
            if len(form) < _SHOWN:
                text = re.sub(rf"(?<!\w){re.escape(form)}(?!\w)", "***", text)
                continue
            hidden = [False] * len(text)
            for start in range(len(form) - _SHOWN + 1):
                piece, at = form[start : start + _SHOWN], -1
                while (at := text.find(piece, at + 1)) >= 0:
                    hidden[at : at + _SHOWN] = [True] * _SHOWN
            shown = "".join("\x00" if hide else character for hide, character in zip(hidden, text, strict=True))
            text = re.sub("\x00+", "***", shown)
    text = _BEARER.sub(r"\1 ***", _MASKED.sub("***", text))
    return text if len(text) <= _LONGEST_WORDS else text[:_LONGEST_WORDS] + "..."


def words_of(problem: BaseException) -> str:
    """Return the text of a connection error and of its cause, on one line."""
    cause: Any = problem.__cause__
    return _one_line(f"{problem}" + (f" ({type(cause).__name__}: {cause})" if cause is not None else ""))
