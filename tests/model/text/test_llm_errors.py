"""Answers of servers are classified: temporary, to be fixed by a person, a parameter, or this page alone."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.text.llm_errors import read_error, secrets_of, without_secrets


def openai(message, code=None, param=None, type="invalid_request_error"):
    return {"error": {"message": message, "type": type, "param": param, "code": code}}


def pydantic(*names, sent=0):
    return [
        {"type": "extra_forbidden", "loc": ["body", name], "msg": "Extra inputs are not permitted", "input": sent}
        for name in names
    ]


# (whose words, status, body, what it means); bodies as the servers send them, cut where they grow long.
SERVICE = [
    ("OpenAI", 401, openai("Incorrect API key provided: sk-wrong***9xyz.", "invalid_api_key"), "key_refused"),
    ("OpenAI", 403, openai("Project does not have access to model `gpt-5`", "model_not_found"), "model_unknown"),
    ("OpenAI", 404, openai("The model `gpt-5o` does not exist or you do not have access to it.", "model_not_found"),
     "model_unknown"),
    ("OpenAI", 429, openai("You exceeded your current quota, please check your plan and billing details.",
                           "insufficient_quota", type="insufficient_quota"), "quota_spent"),
    ("OpenAI", 429, openai("Request too large for gpt-4o in organization org-1 on tokens per min (TPM): Limit 30000, "
                           "Requested 40000.", "rate_limit_exceeded", type="tokens"), "quota_spent"),
    ("Azure", 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key or wrong API "
                                                        "endpoint."}}, "key_refused"),
    ("Azure", 401, {"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, audience is "
                                                  "incorrect, or have expired."}, "key_refused"),
    ("Azure", 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment for this resource does not "
                                                                       "exist."}}, "model_unknown"),
    ("Azure", 403, {"error": {"code": "403", "message": "Out of call volume quota. Quota will be replenished in "
                                                        "2.12:34:56"}}, "quota_spent"),
    ("vLLM", 401, {"error": "Unauthorized"}, "key_refused"),
    ("vLLM", 404, {"object": "error", "message": "The model `lama` does not exist.", "type": "NotFoundError",
                   "param": None, "code": 404}, "model_unknown"),
    ("llama.cpp", 401, {"error": {"code": 401, "message": "Invalid API Key", "type": "authentication_error"}},
     "key_refused"),
    ("Mistral", 401, {"detail": "Unauthorized"}, "key_refused"),
    ("Mistral", 400, {"object": "error", "message": "Invalid model: mistral-tiny-9", "type": "invalid_model",
                      "param": None, "code": "1500"}, "model_unknown"),
    ("Anthropic", 400, {"type": "error", "error": {"type": "invalid_request_error", "message": "Your credit balance is "
                                                   "too low to access the Anthropic API."}}, "quota_spent"),
    ("Anthropic", 404, {"type": "error", "error": {"type": "not_found_error", "message": "model: claude-9"}},
     "model_unknown"),
    ("Gemini", 400, [{"error": {"code": 400, "message": "API key not valid. Please pass a valid API key.",
                                "status": "INVALID_ARGUMENT", "details": [{"reason": "API_KEY_INVALID"}]}}],
     "key_refused"),
    ("DeepSeek", 402, openai("Insufficient Balance", "invalid_request_error", type="unknown_error"), "quota_spent"),
    ("Ollama", 404, openai('model "lama3" not found, try pulling it first', type="api_error"), "model_unknown"),
    ("LiteLLM", 400, openai("Budget has been exceeded! Current cost: 1.2, Max budget: 1.0", "400",
                            type="budget_exceeded"), "quota_spent"),
    ("LiteLLM", 401, openai("Authentication Error, Invalid proxy server token passed.", "401", type="auth_error"),
     "key_refused"),
    ("LiteLLM", 400, openai("/chat/completions: Invalid model name passed in model=x. Call `/v1/models`", "400"),
     "model_unknown"),
    ("one-api", 503, openai("No available channel for model x", "model_not_found", type="new_api_error"),
     "model_unknown"),
    ("OpenRouter", 402, {"error": {"message": "This request requires more credits, or fewer max_tokens. You requested "
                                              "up to 4096 tokens, but can only afford 4000.", "code": 402}},
     "quota_spent"),
    ("OpenRouter", 402, {"error": {"message": "Insufficient credits. Add more using https://openrouter.ai", "code": 402,
                                   "metadata": {"limit_source": "openrouter_credits"}}}, "quota_spent"),
    ("Groq", 400, openai("The model `qwen-qwq-32b` has been decommissioned and is no longer supported.",
                         "model_decommissioned"), "model_unknown"),
    ("Fireworks", 412, {"error": {"message": "Account x is suspended, possibly due to reaching the monthly spending "
                                             "limit", "code": "PRECONDITION_FAILED"}}, "quota_spent"),
    ("a wrong address", 404, "<html><head><title>404 Not Found</title></head><body>nginx</body></html>",
     "model_unknown"),
    ("a wrong address", 405, {"detail": "Method Not Allowed"}, "model_unknown"),
]  # fmt: skip

TRANSIENT = [
    ("OpenAI", 429, openai("Rate limit reached for gpt-4o on requests per min (RPM)", "rate_limit_exceeded",
                           type="requests"), "rate_limited"),
    ("Azure", 429, {"error": {"code": "429", "message": "Requests to the ChatCompletions_Create Operation have "
                                                        "exceeded call rate limit. Please retry after 6 seconds."}},
     "rate_limited"),
    ("Gemini", 429, [{"error": {"code": 429, "message": "You exceeded your current quota, please check your plan and "
                                "billing details.", "status": "RESOURCE_EXHAUSTED",
                                "details": [{"quotaId": "PerMinute"}, {"retryDelay": "27s"}]}}], "rate_limited"),
    ("Gemini", 429, [{"error": {"code": 429, "message": "Resource has been exhausted (e.g. check quota).",
                                "status": "RESOURCE_EXHAUSTED"}}], "rate_limited"),
    ("Gemini", 429, {"error": {"code": 429, "message": "No capacity available for model g on the server",
                               "status": "RESOURCE_EXHAUSTED", "details": [{"reason": "MODEL_CAPACITY_EXHAUSTED"}]}},
     "rate_limited"),
    ("Mistral", 429, {"object": "error", "message": "Service tier capacity exceeded for this model.",
                      "type": "service_tier_capacity_exceeded", "code": "3505"}, "rate_limited"),
    ("TGI", 429, {"error": "Model is overloaded", "error_type": "overloaded"}, "rate_limited"),
    ("TGI", 424, {"error": "Request failed during generation", "error_type": "generation"}, "server_error"),
    ("llama.cpp", 503, {"error": {"code": 503, "message": "Loading model", "type": "unavailable_error"}},
     "server_error"),
    ("Anthropic", 529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}},
     "server_error"),
    ("a gateway", 502, "<html><body><h1>502 Bad Gateway</h1></body></html>", "server_error"),
    ("a gateway", 504, None, "server_error"),
    ("a gateway", 408, "", "server_error"),
    ("vLLM", 500, "Internal Server Error", "server_error"),
]  # fmt: skip

PARAMETER = [
    ("OpenAI", 400, openai("Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                           "'max_completion_tokens' instead.", "unsupported_parameter", "max_tokens"), "max_tokens"),
    ("OpenAI", 400, openai("Unsupported value: 'temperature' does not support 0.0 with this model.",
                           "unsupported_value", "temperature"), "temperature"),
    ("OpenAI", 400, openai("Invalid parameter: 'response_format' of type 'json_schema' is not supported with this "
                           "model."), "response_format"),
    ("OpenAI", 400, openai("max_tokens is too large: 2048. This model supports at most 1024 completion tokens.",
                           "invalid_value", "max_tokens"), "max_tokens"),
    ("Azure", 400, openai("Unrecognized request argument supplied: seed"), "seed"),
    ("Azure", 400, openai("response_format value as json_schema is enabled only for api versions 2024-08-01-preview "
                          "and later", "BadRequest"), "response_format"),
    ("Mistral", 422, {"object": "error", "message": {"detail": pydantic("seed")}, "type": "invalid_request_error",
                      "param": None, "code": None}, "seed"),
    ("Mistral", 422, {"object": "error", "message": json.dumps({"detail": pydantic("seed")}),
                      "type": "internal_error_proxy", "param": None, "code": "1000"}, "seed"),
    ("Mistral", 422, {"detail": pydantic("max_completion_tokens", sent=8192)}, "max_tokens"),
    ("vLLM", 400, {"object": "error", "message": str(pydantic("seed")), "type": "BadRequestError", "code": 400},
     "seed"),
    ("vLLM", 400, {"error": {"message": "Failed to convert the json schema to a grammar: unsupported",
                             "type": "BadRequestError", "param": None, "code": 400}}, "response_format"),
    ("llama.cpp", 400, {"error": {"code": 400, "type": "invalid_request_error", "message": "response_format type must "
                                  "be one of \"text\" or \"json_object\", but got: json_schema"}}, "response_format"),
    ("llama.cpp", 500, {"error": {"code": 500, "type": "server_error", "message": "Unsupported param: seed"}}, "seed"),
    ("TGI", 422, {"error": "Input validation error: `temperature` must be strictly positive",
                  "error_type": "validation"}, "temperature"),
    ("LM Studio", 400, {"error": "'response_format.type' must be 'json_schema' or 'text'"}, "response_format"),
    ("Databricks", 400, {"error_code": "BAD_REQUEST", "message": "Model eu.anthropic.claude does not support the "
                                                                 "temperature parameter."}, "temperature"),
    ("DeepSeek", 400, openai("deepseek-reasoner does not support the parameter `temperature`"), "temperature"),
    ("a proxy", 400, {"detail": "Unsupported parameter: temperature"}, "temperature"),
    ("a proxy", 400, {"error": {"message": "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                                           "'max_completion_tokens' instead.", "code": "invalid_request_body"}},
     "max_tokens"),
    ("OpenRouter", 404, {"error": {"message": "No endpoints found that can handle the requested parameters.",
                                   "code": 404}}, ""),
    ("LiteLLM", 400, openai("litellm.UnsupportedParamsError: groq does not support parameters: {'seed': 0}, for model",
                            "400", type="None"), "seed"),
]  # fmt: skip

PAGE = [
    ("Azure", 400, {"error": {"message": "The response was filtered due to the prompt triggering Azure OpenAI's "
                              "content management policy.", "type": None, "param": "prompt", "code": "content_filter",
                              "status": 400, "innererror": {"code": "ResponsibleAIPolicyViolation"}}},
     "content_refused"),
    ("LiteLLM", 400, {"error": {"message": "litellm.BadRequestError: AzureException", "type": None, "code": "400",
                                "provider_specific_fields": {"innererror": {"code": "ResponsibleAIPolicyViolation"}}}},
     "content_refused"),
    ("OpenAI", 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                           "invalid_prompt"), "content_refused"),
    ("OpenRouter", 403, {"error": {"message": "Your chosen model requires moderation and your input was flagged",
                                   "code": 403, "metadata": {"reasons": ["violence"], "flagged_input": "..."}}},
     "content_refused"),
    ("DashScope", 400, openai("Input data may contain inappropriate content.", "data_inspection_failed"),
     "content_refused"),
    ("OpenAI", 400, openai("This model's maximum context length is 8192 tokens. However, you requested 9000 tokens "
                           "(6952 in the messages, 2048 in the completion).", "context_length_exceeded", "messages"),
     "too_long"),
    ("vLLM", 400, {"object": "error", "message": "'max_tokens' or 'max_completion_tokens' is too large: 2048. This "
                   "model's maximum context length is 4096 tokens and your request has 3000 input tokens.",
                   "type": "BadRequestError", "param": None, "code": 400}, "too_long"),
    ("llama.cpp", 400, {"error": {"code": 400, "message": "request (4390 tokens) exceeds the available context size "
                        "(4096 tokens), try increasing it", "type": "exceed_context_size_error"}}, "too_long"),
    ("llama.cpp", 500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}},
     "too_long"),
    ("Mistral", 400, {"object": "error", "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for "
                      "model with 32768 maximum context length", "type": "invalid_request_prompt", "code": "3051"},
     "too_long"),
    ("TGI", 422, {"error": "Input validation error: `inputs` must have less than 4096 tokens. Given: 5000",
                  "error_type": "validation"}, "too_long"),
    ("a gateway", 413, "<html><title>413 Request Entity Too Large</title></html>", "too_long"),
    ("RKLLM", 400, {"error": "Prompt is 11543 tokens but the model context window is 4096 tokens."}, "too_long"),
    ("Groq", 400, {"error": {"message": "Failed to validate JSON. Please adjust your prompt.", "code":
                   "json_validate_failed", "failed_generation": "invalid api key"}}, "not_json"),
    ("a firewall", 403, "<html><title>Attention Required! | Cloudflare</title></html>", "page_refused"),
    ("DeepSeek", 400, openai("Content Exists Risk"), "page_refused"),
    ("who knows", 400, {"error": {"message": "Bad Request"}}, "page_refused"),
    ("who knows", 418, None, "page_refused"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("server", "status", "body", "failure", "kind"),
    [
        pytest.param(*case[:3], case[3], kind, id=f"{kind}-{case[0]}-{case[1]}-{case[3]}".replace(" ", "_"))
        for kind, cases in (("service", SERVICE), ("transient", TRANSIENT), ("page", PAGE))
        for case in cases
    ],
)
def test_answers_of_servers_are_classified(server, status, body, failure, kind):
    error_found = read_error(status, body)
    assert (error_found.kind, error_found.failure) == (kind, failure), error_found
    assert error_found.words
    assert "\n" not in error_found.words


@pytest.mark.parametrize(("server", "status", "body", "parameter"), PARAMETER)
def test_a_parameter_that_is_refused_is_found(server, status, body, parameter):
    error_found = read_error(status, body)
    assert (error_found.kind, error_found.parameter) == ("parameter", parameter), error_found


@pytest.mark.parametrize("page", ["invalid api key", "insufficient_quota", "temperature", "model x does not exist"])
def test_what_a_page_says_is_not_taken_for_what_the_server_says(page):
    detail = [{"type": "string_too_odd", "loc": ["body", "messages", 0, "content"], "msg": "Odd", "input": page}]
    for body in (
        {"detail": detail},
        {"error": {"message": str(detail)}},
        {"error": {"message": "Bad", "prompt": page, "messages": [{"content": page}], "failed_generation": page}},
        {"message": json.dumps({"detail": detail})},
    ):
        assert read_error(400, body).failure == "page_refused"


shapes = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["error", "message", "code", "type", "param", "loc", "detail", "status", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(st.integers(100, 599), shapes)
def test_any_body_means_something(status, body):
    error_found = read_error(status, body)
    assert error_found.failure
    assert error_found.words
    assert error_found.words.isprintable()


KEY = "sk-proj-Zx81_kQ-77hZ2mLw0pQr"


@pytest.mark.parametrize(
    "error_found",
    [
        f"Incorrect API key provided: {KEY}.",
        f"Incorrect API key provided: {KEY[:12]}***{KEY[-4:]}.",
        f"header 'Authorization: Bearer {KEY}' is odd",
        f"header 'Authorization: Bearer {KEY[5:18]}' is odd",
        f"key={KEY[:20]} cut",
        "Incorrect API key provided: sk-proj-...0pQr",
    ],
)
def test_a_key_that_a_server_echoes_is_removed(error_found):
    shown = without_secrets(error_found, secrets_of("https://api.example/v1", KEY))
    assert all(KEY[start : start + 4] not in shown for start in range(8, len(KEY) - 3))
    assert "***" in shown


def test_what_an_address_holds_beside_the_place_is_a_secret():
    secrets = secrets_of("https://me:p%40ss-w0rd-long@llm.example/v1?api-key=qwertyuiop123", "none")
    for secret in ("p@ss-w0rd-long", "p%40ss-w0rd-long", "Basic bWU6cEBzcy13MHJkLWxvbmc=", "qwertyuiop123"):
        assert secret.split()[-1] not in without_secrets(f"failed at {secret}", secrets)


def test_ordinary_words_are_left_alone():
    error_found = "The model `m` does not exist, see https://example.org/models"
    assert without_secrets(error_found, secrets_of("http://localhost:8000/v1", KEY)) == error_found
