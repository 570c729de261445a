"""Shared parts of the stages that may call a language model: the choice in the recipe, preflight, client and sums.

Put here: these parts. Do not put here: the client itself (text.llm) or the prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from urllib.parse import urlsplit

from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.text.llm import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    SERVICE_FAILURES,
    TRANSIENT_FAILURES,
    AskedClient,
    LanguageModel,
    LanguageModelChoice,
    LanguageModelClient,
    Prompt,
    Reply,
    Server,
)

CONCURRENCY_VARIABLE = "SPELANGY_LLM_CONCURRENCY"
MAX_TOKENS_VARIABLE = "SPELANGY_LLM_MAX_TOKENS"
MAX_USD_VARIABLE = "SPELANGY_LLM_MAX_USD"
TIMEOUT_VARIABLE = "SPELANGY_LLM_TIMEOUT_S"


class BudgetSpent(Exception):
    """A run has spent its budget. Received replies are kept, and the next run requests only the rest."""


class ServiceRefused(Exception):
    """A language model's server refuses every request until a person acts; the text holds its message and the cure."""


class ServiceLost(ConnectionError):
    """A language model's server was away or busy for longer than the client tries: another time may go better."""


_CURES = {
    "key_refused": f"set {API_KEY_VARIABLE} to a key that the server takes, and the model to one that it may use",
    "quota_spent": "the account has no credit or too low a limit: add credit or raise the limit",
    "model_unknown": f"name a model of the server in the recipe, or correct {BASE_URL_VARIABLE}, its address up to /v1",
    "requests_refused": "even a harmless page is refused: fix what the server's message states, or use another server",
    "timeout": f"see to the server, or set {TIMEOUT_VARIABLE} higher",
    "rate_limited": f"wait, or set {CONCURRENCY_VARIABLE} lower",
    "server_error": "see to the server",
}


AnyLanguageModel = LanguageModel | LanguageModelChoice


def require_server(model: AnyLanguageModel | None, execution: Execution) -> None:
    """Raise PreflightError when a recipe names a language model that cannot be called here."""
    if isinstance(model, LanguageModel):
        _server(model, execution)
    elif model is not None:
        try:
            model.locate(execution.environment)
        except (OSError, ValueError, KeyError) as error:
            raise PreflightError(f"the language model {model.name!r}: {error}") from error


def make_client(model: AnyLanguageModel, execution: Execution) -> AskedClient:
    """Return the client of the recipe's model, one for a run, whose budgets it holds.

    Replies are kept in the cache folder, by content.
    """
    if not isinstance(model, LanguageModel):
        return model.load(execution.environment, execution.cache_dir / "language_model")
    return LanguageModelClient(model, _server(model, execution), execution.cache_dir / "language_model")


def ask_all(
    client: AskedClient,
    prompt: Prompt,
    fillings: Sequence[Mapping[str, str]],
    out: UnitWriter,
    log: Callable[[str], None],
) -> list[Reply]:
    """Return a reply for each filling; add the cost to the unit's sums (model_requests, model_cost_usd and so on).

    A reply without a value is caused by the page. Where a reply is missing for another reason the run ends, since a
    dataset must not depend on the budget of a run or on the state of a service: raises BudgetSpent, ServiceRefused
    (until a person acts) or ServiceLost (which is transient). Received replies are kept, and not requested again.
    """
    before = client.ledger.as_dict()
    replies = client.ask_all(prompt, fillings)
    for name, amount in client.ledger.as_dict().items():
        out.add(f"model_{name}", amount - before[name])
    log(f"language model: {client.ledger.as_dict()}")
    for words in client.left_out:
        log(f"language model: {words}")
    ends = SERVICE_FAILURES | TRANSIENT_FAILURES | {"budget_spent"}
    missing = [(filling, reply) for filling, reply in zip(fillings, replies, strict=True) if reply.failure in ends]
    if not missing:
        return replies
    # Errors that need a person come first, then those that may pass, then a spent budget.
    filling, first = min(
        missing, key=lambda one: (one[1].failure == "budget_spent", one[1].failure in TRANSIENT_FAILURES)
    )
    begin = f"language model {client.model.name!r}: {first.failure.replace('_', ' ')}: {first.error}; "
    done = (
        f"{len(replies) - len(missing)} of this unit's {len(replies)} requests have ended, and answers are kept: "
        "nothing is dropped for this: "
    )
    if first.failure == "budget_spent":
        raise BudgetSpent(f"{begin}{done}set {MAX_USD_VARIABLE} or {MAX_TOKENS_VARIABLE} higher and run again")
    page = f"first at the page {filling['title'][:100]!r}; " if filling.get("title") else ""
    text = f"{begin}{page}{done}{_CURES[first.failure]}, and run again"
    raise (ServiceLost if first.failure in TRANSIENT_FAILURES else ServiceRefused)(text)


def _server(model: LanguageModel, execution: Execution) -> Server:
    environment = execution.environment
    limits: dict[str, float] = {}
    for name, variable in (("concurrency", CONCURRENCY_VARIABLE), ("max_tokens", MAX_TOKENS_VARIABLE)):
        if environment.get(variable):
            if not environment[variable].isdecimal() or int(environment[variable]) < 1:
                raise PreflightError(f"{variable} is {environment[variable]!r}, not a whole number above 0")
            limits[name] = int(environment[variable])
    for name, variable, unit in (("timeout_s", TIMEOUT_VARIABLE, "seconds"), ("max_usd", MAX_USD_VARIABLE, "dollars")):
        if environment.get(variable):
            try:
                limits[name] = float(environment[variable])
            except ValueError:
                limits[name] = 0.0
            if not 0 < limits[name] < float("inf"):
                raise PreflightError(f"{variable} is {environment[variable]!r}, not {unit} above 0")
    if "max_usd" in limits and model.price is None:
        raise PreflightError(
            f"{MAX_USD_VARIABLE} is set, but the recipe states no price of the language model {model.name!r}: "
            f"state it, or set {MAX_TOKENS_VARIABLE}"
        )
    try:
        server = Server.from_environment(environment, **limits)
    except KeyError as missing:
        raise PreflightError(
            f"the recipe asks the language model {model.name!r}, but {missing.args[0]} is not set: set "
            f"{BASE_URL_VARIABLE} to the address of an OpenAI-compatible server (https://api.openai.com/v1, or a vLLM "
            f"server of your own) and {API_KEY_VARIABLE} to its key"
        ) from None
    if not (server.api_key.isascii() and server.api_key.isprintable()):
        raise PreflightError(f"{API_KEY_VARIABLE} holds characters that no key has (a line break, a quotation mark?)")
    try:
        parts = urlsplit(server.base_url)
        reachable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        reachable = False
    if not reachable:
        raise PreflightError(f"{BASE_URL_VARIABLE} is no address of a server: it begins with http:// or https://")
    return server
