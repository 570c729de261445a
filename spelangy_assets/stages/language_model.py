"""What the stages that may ask a language model share: the choice in the recipe, the preflight, the client.

Put here: that. Do not put here: the client itself (text.llm) or what is asked.
"""

from __future__ import annotations

from spelangy_assets.stages.stage import Execution, PreflightError
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.text.llm import API_KEY_VARIABLE, BASE_URL_VARIABLE, LanguageModel, LanguageModelClient, Server

CONCURRENCY_VARIABLE = "SPELANGY_LLM_CONCURRENCY"
MAX_TOKENS_VARIABLE = "SPELANGY_LLM_MAX_TOKENS"
TIMEOUT_VARIABLE = "SPELANGY_LLM_TIMEOUT_S"


def require_server(model: LanguageModel | None, execution: Execution) -> None:
    """Raise PreflightError when a recipe names a language model and the environment names no server for it."""
    if model is not None:
        _server(model, execution)


def make_client(model: LanguageModel, execution: Execution) -> LanguageModelClient:
    """Return the client of the recipe's model; replies are kept in the cache folder, by content."""
    return LanguageModelClient(model, _server(model, execution), execution.cache_dir / "language_model")


def account(client: LanguageModelClient, out: UnitWriter) -> None:
    """Add what the client asked and got to the unit's sums, as model_requests, model_prompt_tokens and so on."""
    for name, amount in client.ledger.as_dict().items():
        out.add(f"model_{name}", amount)


def _server(model: LanguageModel, execution: Execution) -> Server:
    environment = execution.environment
    limits: dict[str, float] = {}
    for name, variable in (("concurrency", CONCURRENCY_VARIABLE), ("max_tokens", MAX_TOKENS_VARIABLE)):
        if environment.get(variable):
            if not environment[variable].isdecimal() or int(environment[variable]) < 1:
                raise PreflightError(f"{variable} is {environment[variable]!r}, not a whole number above 0")
            limits[name] = int(environment[variable])
    if environment.get(TIMEOUT_VARIABLE):
        try:
            limits["timeout_s"] = float(environment[TIMEOUT_VARIABLE])
        except ValueError:
            limits["timeout_s"] = 0.0
        if not 0 < limits["timeout_s"] < float("inf"):
            raise PreflightError(f"{TIMEOUT_VARIABLE} is {environment[TIMEOUT_VARIABLE]!r}, not seconds above 0")
    try:
        return Server.from_environment(environment, **limits)
    except KeyError as missing:
        raise PreflightError(
            f"the recipe asks the language model {model.name!r}, but {missing.args[0]} is not set: set "
            f"{BASE_URL_VARIABLE} to the address of an OpenAI-compatible server (https://api.openai.com/v1, or a vLLM "
            f"server of your own) and {API_KEY_VARIABLE} to its key"
        ) from None
