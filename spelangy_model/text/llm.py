"""A language model behind any OpenAI-compatible server: many requests, each answered once, checked, and cached.

Put here: the client (bounded concurrency, retries, one repair, limits, cache, budget) and the loading of prompts. Do
not put here: the meaning of a server's errors (llm_errors.py) or replies (llm_replies.py), requests (krist, questions
and prompts/) or the use of replies. A request's identity is its content (model, prompt, sampling, schema): equal
requests are sent once, a rerun sends nothing that was answered, and a killed run loses only what was in flight. The
address and the key of the server come from the environment; they are not part of the identity and are not written
anywhere.
"""

from __future__ import annotations

import asyncio
import datetime
import email.utils
import functools
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from spelangy_model.rng import stable_rng
from spelangy_model.text.llm_errors import ServerError, read_error, secrets_of, without_secrets, words_of
from spelangy_model.text.llm_replies import Completion, find_object, read_completion, violation

BASE_URL_VARIABLE = "SPELANGY_LLM_BASE_URL"
API_KEY_VARIABLE = "SPELANGY_LLM_API_KEY"


@dataclass(frozen=True, slots=True)
class Price:
    """What a server asks, in US dollars a million tokens of prompts and of replies."""

    prompt_usd: float
    completion_usd: float


class AskedClient(Protocol):
    """A client of a language model: answers each request once and counts its cost. `model` is its configuration."""

    @property
    def model(self) -> Any: ...

    @property
    def ledger(self) -> Ledger: ...

    @property
    def left_out(self) -> Sequence[str]:
        """What the model's server does not know, in words for the log."""
        ...

    def ask_all(self, prompt: Prompt, fillings: Sequence[Mapping[str, str]]) -> list[Reply]:
        """Return a reply for each filling of the prompt, in order."""
        ...


class LanguageModelChoice(Protocol):
    """The configuration of a language model that is not behind an OpenAI-compatible server.

    One from outside is a frozen dataclass with a `name`, a `version` and these two methods.
    """

    @property
    def name(self) -> str: ...

    def locate(self, environment: Mapping[str, str]) -> None:
        """Raise an error with the cure unless the model can be asked. Cheap: asks nothing."""
        ...

    def load(self, environment: Mapping[str, str], cache_dir: Path) -> AskedClient: ...


@dataclass(frozen=True, slots=True)
class LanguageModel:
    """The model and its sampling parameters, which identify a request. `price` does not belong to the identity."""

    name: str
    max_output_tokens: int = 2048
    temperature: float = 0.0
    seed: int = 0
    price: Price | None = None


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the limits of requests; not part of any identity.

    `max_tokens` and `max_usd` are budgets of a run, over prompts and replies. Requests under way when one is spent
    still finish, so a run exceeds it by at most `concurrency` requests. `timeout_s` is for a whole reply, however
    slowly it comes; one above `longest_reply_bytes` is read no further.
    """

    base_url: str
    api_key: str = field(repr=False)
    concurrency: int = 16
    timeout_s: float = 60.0
    attempts: int = 6
    first_wait_s: float = 0.5
    longest_wait_s: float = 30.0
    longest_reply_bytes: int = 8 << 20
    max_tokens: int | None = None
    max_usd: float | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str], **changes: Any) -> Server:
        """Return the server that the environment names. Raises KeyError with the variable that is not set."""
        for variable in (BASE_URL_VARIABLE, API_KEY_VARIABLE):
            if not environment.get(variable, "").strip():  # a key read from a file ends in a line break
                raise KeyError(variable)
        return cls(environment[BASE_URL_VARIABLE].strip(), environment[API_KEY_VARIABLE].strip(), **changes)


@dataclass(frozen=True, slots=True)
class Prompt:
    """A versioned prompt file with {{placeholders}}, and the JSON schema of its reply. Its digest is its identity."""

    name: str
    template: str
    schema: str  # canonical JSON

    @property
    def digest(self) -> str:
        return hashlib.sha256(f"{self.template}\x00{self.schema}".encode()).hexdigest()[:16]

    def fill(self, **values: str) -> str:
        """Fill in the values, once: braces inside a value stay text. KeyError when the names differ."""
        places = set(_PLACE.findall(self.template))
        if places != values.keys():
            raise KeyError(f"prompt {self.name} has the places {sorted(places)}, not {sorted(values)}")
        return _PLACE.sub(lambda match: values[match[1]], self.template)


_PLACE = re.compile(r"\{\{(\w+)\}\}")


def load_prompt(name: str, schema: Mapping[str, Any]) -> Prompt:
    """Return prompts/NAME.txt with the schema that its replies must meet. Raises FileNotFoundError."""
    path = resources.files("spelangy_model.text") / "prompts" / f"{name}.txt"
    return Prompt(name, path.read_text("utf-8"), json.dumps(schema, sort_keys=True))


@dataclass(slots=True)
class Ledger:
    """The requests and costs of a run. Tokens are the server's own count; dollars are theirs at the recipe's price."""

    requests: int = 0  # sent over the wire, repairs and retries included
    answered: int = 0
    failed: int = 0
    from_cache: int = 0
    retries: int = 0
    repairs: int = 0
    parameters_left_out: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost_usd: float = 0.0

    @property
    def tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens

    def as_dict(self) -> dict[str, float]:
        return {**asdict(self), "tokens": self.tokens}


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request: a `value` that meets the schema, or a reason word and the server's own words."""

    value: dict[str, Any] | None
    failure: str = ""
    error: str = ""


# Failures that do not concern the page in the request, but the service, the account or the budget.
TRANSIENT_FAILURES = frozenset({"server_error", "timeout", "rate_limited"})
SERVICE_FAILURES = frozenset({"key_refused", "quota_spent", "model_unknown", "requests_refused"})
# Failures that may be of the page: they count as such once the server takes a harmless one.
_PAGE_REFUSALS = frozenset({"page_refused", "content_refused", "too_long", "odd_reply"})
_ODD_ATTEMPTS = 2
_LONGEST_ECHO = 8_000  # characters of a wrong reply that the model is shown again
_BEGUN = 4  # requests that are begun, over those under way: the others of them wait to be sent again
_HARMLESS = "The mill by the brook was built in 1723. It grinds corn to this day."


class LanguageModelClient:
    """Asks one model on one server. `cache_dir` holds one JSON file a reply; it may be shared by runs and processes.

    The budgets cover all requests of one client, and so do the server's refusals: a parameter that it does not
    take is left out of all later requests (`left_out` lists them), and once it refuses every request, none is sent.
    """

    def __init__(self, model: LanguageModel, server: Server, cache_dir: Path):
        """Raise ValueError for a budget in money where the model has no price."""
        if server.max_usd is not None and model.price is None:
            raise ValueError(f"a budget of {server.max_usd:g} USD needs a price of the language model {model.name!r}")
        self.model = model
        self.server = server
        self.ledger = Ledger()
        self._cache_dir = cache_dir
        self._secrets = secrets_of(server.base_url, server.api_key)
        self._parameters = _Parameters(model)
        self._completions = 0
        self._over: Reply | None = None  # why nothing more is sent

    @property
    def left_out(self) -> Sequence[str]:
        """What the server refused and is sent no more, with its words."""
        return self._parameters.left_out

    def ask_all(self, prompt: Prompt, fillings: Sequence[Mapping[str, str]]) -> list[Reply]:
        """Return a reply for each filling, in order. Never raises for a server's failure: failures are replies.

        Failures of the run: budget_spent; server_error, timeout, rate_limited (another time may go better);
        key_refused, quota_spent, model_unknown, requests_refused (a person has to act). Failures of one request:
        page_refused, content_refused, too_long, odd_reply (no message; the server takes others), cut_off (the reply did
        not end), not_json, schema_violated, reply_too_large.
        """
        texts = [prompt.fill(**filling) for filling in fillings]
        return asyncio.run(self._ask_all(prompt, texts))

    async def _ask_all(self, prompt: Prompt, texts: list[str]) -> list[Reply]:
        from openai import AsyncOpenAI

        gate = asyncio.Semaphore(self.server.concurrency)
        begun = asyncio.Semaphore(_BEGUN * self.server.concurrency)

        async def ask(text: str) -> Reply:
            async with begun:  # so that the first ones soon know whether a server is away
                return await self._ask(api, gate, prompt, text)

        async with AsyncOpenAI(
            base_url=self.server.base_url,
            api_key=self.server.api_key,
            timeout=self.server.timeout_s,
            max_retries=0,
            default_headers={"Accept-Encoding": "identity"},
            http_client=_bounded_client(self.server.longest_reply_bytes),
        ) as api:
            distinct = list(dict.fromkeys(texts))
            replies = dict(zip(distinct, await asyncio.gather(*map(ask, distinct)), strict=True))
            refused = [text for text, reply in replies.items() if reply.failure in _PAGE_REFUSALS]
            if refused and (why := await self._refuses_all(api, gate, prompt)):
                for text in refused:
                    replies[text] = Reply(None, why, replies[text].error)
        return [replies[text] for text in texts]

    async def _refuses_all(self, api: Any, gate: asyncio.Semaphore, prompt: Prompt) -> str:
        """Ask about a harmless page; return why the server refuses even that, or "".

        Error texts vary too much between servers to show whether the page or the installation is at fault.
        """
        text = prompt.fill(**dict.fromkeys(set(_PLACE.findall(prompt.template)), _HARMLESS))
        reply = await self._one_reply(api, gate, prompt, [{"role": "user", "content": text}], "harmless")
        if reply.failure in _PAGE_REFUSALS:
            return "requests_refused"
        return reply.failure if reply.failure in TRANSIENT_FAILURES | SERVICE_FAILURES | {"budget_spent"} else ""

    def _key(self, prompt: Prompt, text: str) -> str:
        identity = [{k: v for k, v in asdict(self.model).items() if k != "price"}, prompt.digest, text]
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode("utf-8", "backslashreplace")).hexdigest()

    async def _ask(self, api: Any, gate: asyncio.Semaphore, prompt: Prompt, text: str) -> Reply:
        key = self._key(prompt, text)
        path = self._cache_dir / key[:2] / f"{key}.json"
        kept = _read_json(path)
        if kept is not None and not violation(kept, json.loads(prompt.schema)):
            self.ledger.from_cache += 1
            return Reply(kept)
        messages = [{"role": "user", "content": _sendable(text)}]
        reply = await self._one_reply(api, gate, prompt, messages, key)
        if reply.failure in ("not_json", "schema_violated"):
            self.ledger.repairs += 1
            words, _, answer = reply.error.partition("\n")
            if answer.strip():  # some servers take no empty turn
                wish = f"This is not the JSON that was asked for: {_sendable(words)}. Send it again, alone."
                messages += [
                    {"role": "assistant", "content": _sendable(answer[:_LONGEST_ECHO])},
                    {"role": "user", "content": wish},
                ]
            again = await self._one_reply(api, gate, prompt, messages, key)
            if again.failure not in _PAGE_REFUSALS:  # the server may take no second turn, which is not the page's fault
                reply = again
        if reply.value is None:
            self.ledger.failed += 1
            return Reply(None, reply.failure, without_secrets(reply.error.partition("\n")[0], self._secrets))
        self.ledger.answered += 1
        _write_json(path, reply.value)
        return reply

    async def _one_reply(
        self, api: Any, gate: asyncio.Semaphore, prompt: Prompt, messages: list[Any], key: str
    ) -> Reply:
        """Send until the server gives a completion, waiting longer each time; then read it as JSON of the schema.

        The gate counts requests under way: one that waits to be sent again leaves its place to another.
        """
        reply, attempt, completions = Reply(None, "server_error", ""), 0, self._completions
        while attempt < self.server.attempts:
            async with gate:
                if self._over is not None:
                    return self._over
                if spent := self._spent():
                    return Reply(None, "budget_spent", spent)
                self.ledger.requests += 1
                form = self._parameters.form()
                outcome, asked_wait_s = await self._send(api, prompt, messages, form)
            if isinstance(outcome, Reply):
                return outcome
            words = without_secrets(outcome.words, self._secrets)
            reply = Reply(None, outcome.failure, words)
            if outcome.kind == "parameter" and self._parameters.change(outcome.parameter, form, words):
                self.ledger.parameters_left_out = len(self._parameters.left_out)
                continue
            if outcome.kind == "service":
                self._over = reply
            if outcome.kind not in ("transient", "odd"):
                return reply
            attempt += 1
            if outcome.kind == "odd" and attempt >= _ODD_ATTEMPTS:
                return reply
            if attempt < self.server.attempts:
                self.ledger.retries += 1
                wait_s = max(
                    min(self.server.longest_wait_s, self.server.first_wait_s * 2 ** (attempt - 1)), asked_wait_s
                )
                # full jitter, so that clients that failed together do not come back together
                await asyncio.sleep(wait_s * float(stable_rng(0, "llm-retry", key, attempt - 1).uniform(0.5, 1.0)))
        if self._completions == completions:  # nothing was answered in all that time: the server is away
            self._over = reply
        return reply

    async def _send(
        self, api: Any, prompt: Prompt, messages: list[Any], form: Mapping[str, str]
    ) -> tuple[Reply | ServerError, float]:
        """Send once; return the result, and the seconds that the server asks to wait."""
        import openai

        schema = json.loads(prompt.schema)
        try:
            async with asyncio.timeout(self.server.timeout_s):  # the client's own is for each read
                response = await api.chat.completions.with_raw_response.create(
                    model=self.model.name, messages=messages, **self._parameters.sent(form, prompt.name, schema)
                )
        except (openai.APITimeoutError, TimeoutError):
            return ServerError("transient", "timeout", f"no reply within {self.server.timeout_s:g} s"), 0.0
        except openai.APIStatusError as problem:
            wait_s = _retry_after_s(problem.response, self.server.longest_wait_s)
            return read_error(problem.status_code, problem.body), wait_s
        except _TooLarge as problem:
            self._charge(_tokens(messages), self.model.max_output_tokens)
            return ServerError("page", "reply_too_large", str(problem)), 0.0
        except openai.APIError as problem:  # a connection that broke
            return ServerError("transient", "server_error", f"{type(problem).__name__}: {words_of(problem)}"), 0.0
        completion = read_completion(response.content)
        if isinstance(completion, ServerError):
            if completion.kind == "odd":
                self._charge(_tokens(messages), 0)
            return completion, 0.0
        self._completions += 1
        self._charge(
            completion.prompt_tokens or _tokens(messages),
            completion.completion_tokens or _tokens([completion.text, completion.thought]),
        )
        return _read_reply(completion, schema), 0.0

    def _charge(self, prompt_tokens: int, completion_tokens: int) -> None:
        self.ledger.prompt_tokens += prompt_tokens
        self.ledger.completion_tokens += completion_tokens
        if price := self.model.price:
            cost = prompt_tokens * price.prompt_usd + completion_tokens * price.completion_usd
            self.ledger.cost_usd += cost / 1e6

    def _spent(self) -> str:
        """Return which budget is spent, as text; empty: none."""
        tokens, usd = self.server.max_tokens, self.server.max_usd
        if tokens is not None and self.ledger.tokens >= tokens:
            return f"{self.ledger.tokens} of {tokens} tokens are spent"
        if usd is not None and self.ledger.cost_usd >= usd:
            return f"{self.ledger.cost_usd:.4f} of {usd:g} USD are spent"
        return ""


# The forms of each parameter, tried one after the other; "": left out. The order of parameters is the order in which
# they are dropped if the server does not name the parameter that it refuses.
_FORMS = {
    "seed": ("seed", ""),
    "response_format": ("json_schema", "json_object", ""),
    "temperature": ("temperature", ""),
    "max_tokens": ("max_tokens", "max_completion_tokens", ""),
}


class _Parameters:
    """The parameters beside the messages, without those that the server refused."""

    def __init__(self, model: LanguageModel):
        self._model = model
        self._form = {parameter: forms[0] for parameter, forms in _FORMS.items()}
        self.left_out: list[str] = []

    def form(self) -> Mapping[str, str]:
        return dict(self._form)

    def sent(self, form: Mapping[str, str], name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters of a request in a form."""
        sent: dict[str, Any] = {}
        if form["max_tokens"]:
            sent[form["max_tokens"]] = self._model.max_output_tokens
        for parameter in ("temperature", "seed"):
            if form[parameter]:
                sent[parameter] = getattr(self._model, parameter)
        if form["response_format"] == "json_schema":
            described = {"name": re.sub(r"[^\w-]", "_", name), "schema": schema, "strict": True}
            sent["response_format"] = {"type": "json_schema", "json_schema": described}
        elif form["response_format"]:
            sent["response_format"] = {"type": form["response_format"]}
        return sent

    def change(self, parameter: str, form: Mapping[str, str], words: str) -> bool:
        """Give up what was refused of a request in a form; return whether there is another form to send.

        Of many requests under way that are refused alike, the first changes the form for all.
        """
        if not parameter:
            left = [name for name in _FORMS if self._form[name]]
            if not left or form != self._form:
                return form != self._form
            parameter = left[0]
        if self._form[parameter] != form[parameter]:
            return True
        if not form[parameter]:
            return False
        forms = _FORMS[parameter]
        self._form[parameter] = now = forms[forms.index(form[parameter]) + 1]
        self.left_out.append(f"{form[parameter]} is refused" + (f", {now} is sent" if now else "") + f": {words}")
        return True


def _sendable(text: str) -> str:
    """Return the text without halves of surrogate pairs, which no request can hold."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _read_reply(completion: Completion, schema: dict[str, Any]) -> Reply:
    if completion.failure == "cut_off":
        return Reply(None, "cut_off", f"the reply did not end within the output limit\n{completion.text}")
    if completion.failure:
        return Reply(None, completion.failure, completion.text.replace("\n", " "))
    value, failure, words = find_object(completion, schema)
    return Reply(None, failure, f"{words}\n{completion.text}") if failure else Reply(value)


def _tokens(content: Any) -> int:
    """Estimate the tokens of a text or messages, for a server that does not report them: a budget must end."""
    return math.ceil(len(json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")) / 4)


class _TooLarge(Exception):
    """A reply is larger than any answer can be."""


def _bounded_client(longest_bytes: int) -> Any:
    """Return an HTTP client that reads no reply beyond a size, neither as sent nor as decompressed.

    Of an error it keeps the beginning; a success that is larger raises _TooLarge.
    """
    import httpx2
    import openai

    class Bounded(openai.DefaultAsyncHttpxClient):
        async def send(self, request: Any, *, stream: bool = False, **more: Any) -> Any:
            response = await super().send(request, stream=True, **more)
            data, whole = bytearray(), True
            try:
                async for piece in response.aiter_raw():
                    data += piece
                    if len(data) > longest_bytes:
                        whole = False
                        break
            finally:
                await response.aclose()
            coding = response.headers.get("content-encoding", "identity").lower()
            content = bytes(data)
            if coding in ("gzip", "x-gzip", "deflate"):  # sent all the same by some gateways
                inflate = zlib.decompressobj(47)
                try:
                    content = inflate.decompress(content, longest_bytes + 1)
                except zlib.error as problem:
                    raise httpx2.DecodingError(f"a reply is no {coding}: {problem}", request=request) from None
            elif coding != "identity":
                raise httpx2.DecodingError(f"a reply is compressed as {coding}, unasked", request=request)
            if len(content) > longest_bytes or not whole:
                if response.is_success:
                    raise _TooLarge(f"a reply is larger than {longest_bytes} bytes")
                content = content[:longest_bytes]
            kept = ("content-type", "retry-after", "date", "x-request-id")
            headers = {name: value for name, value in response.headers.items() if name in kept}
            return httpx2.Response(response.status_code, headers=headers, content=content, request=response.request)

    return Bounded(verify=_certificates())


@functools.cache
def _certificates() -> Any:
    """Return the certificates that a server must have, for all clients of the process: to read them takes 40 ms."""
    import httpx2

    return httpx2.create_ssl_context()


def _retry_after_s(response: Any, longest_s: float) -> float:
    """Return the seconds that a server asks to wait, given in seconds or as an HTTP date; 0 if it states none.

    A date is compared with the server's own clock if the response states it (RFC 9110, 10.2.3 and 6.6.1).
    """
    stated = response.headers.get("retry-after", "0")
    try:
        wait_s = float(stated)
    except ValueError:
        until = _http_date(stated)
        now = _http_date(response.headers.get("date", "")) or datetime.datetime.now(datetime.UTC)
        wait_s = (until - now).total_seconds() if until else 0.0
    return min(longest_s, max(0.0, wait_s)) if math.isfinite(wait_s) else 0.0


def _http_date(stated: str) -> datetime.datetime | None:
    try:
        read = email.utils.parsedate_to_datetime(stated)
    except ValueError:
        return None
    return read if read.tzinfo else read.replace(tzinfo=datetime.UTC)


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, ValueError):
        return None


def _write_json(path: Path, value: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(f".{id(value):x}.part")
    draft.write_text(json.dumps(value, ensure_ascii=True, sort_keys=True), "utf-8")
    draft.replace(path)
