"""What the stages that may ask a language model share: the choice in the recipe, the preflight, the client, the sums.

Put here: that. Do not put here: the client itself (text.llm) or what is asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.text.llm import (
    API_KEY_VARIABLE,
    BASE_URL_VARIABLE,
    LanguageModel,
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
    """A run has spent what it was allowed; what was answered is kept, and the next run asks only for the rest."""


def require_server(model: LanguageModel | None, execution: Execution) -> None:
    """Raise PreflightError when a recipe names a language model and the environment names no server for it."""
    if model is not None:
        _server(model, execution)


def make_client(model: LanguageModel, execution: Execution) -> LanguageModelClient:
    """Return the client of the recipe's model, one for a run, whose budgets it holds.

    Replies are kept in the cache folder, by content.
    """
    return LanguageModelClient(model, _server(model, execution), execution.cache_dir / "language_model")


def ask_all(
    client: LanguageModelClient, prompt: Prompt, fillings: Sequence[Mapping[str, str]], out: UnitWriter
) -> list[Reply]:
    """Return a reply for each filling; add what it took to the unit's sums (model_requests, model_cost_usd and so on).

    Raises BudgetSpent where a reply is missing for that reason: a dataset must not depend on what a run may spend.
    """
    before = client.ledger.as_dict()
    replies = client.ask_all(prompt, fillings)
    for name, amount in client.ledger.as_dict().items():
        out.add(f"model_{name}", amount - before[name])
    missing = [reply for reply in replies if reply.failure == "budget_spent"]
    if missing:
        raise BudgetSpent(
            f"language model {client.model.name!r}: {missing[0].error}; {len(replies) - len(missing)} of this unit's "
            f"{len(replies)} requests have ended, and answers are kept: set {MAX_USD_VARIABLE} or "
            f"{MAX_TOKENS_VARIABLE} higher and run again"
        )
    return replies


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
        return Server.from_environment(environment, **limits)
    except KeyError as missing:
        raise PreflightError(
            f"the recipe asks the language model {model.name!r}, but {missing.args[0]} is not set: set "
            f"{BASE_URL_VARIABLE} to the address of an OpenAI-compatible server (https://api.openai.com/v1, or a vLLM "
            f"server of your own) and {API_KEY_VARIABLE} to its key"
        ) from None
