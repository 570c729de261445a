"""Replies as models and gateways send them are read, or are one reject with a reason; none of them crashes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.llm_errors import ServerError
from spelangy_model.text.llm_replies import Completion, find_object, read_completion, violation

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
GOOD = '{"text": "The mill turns."}'
VALUE = {"text": "The mill turns."}


def body(message, finish="stop", **more):
    return json.dumps({"choices": [{"index": 0, "finish_reason": finish, "message": message}], **more}).encode()


def read(data):
    """Return the value of a reply, or its failure."""
    completion = read_completion(data)
    if isinstance(completion, ServerError):
        return completion.failure
    if completion.failure:
        return completion.failure
    value, failure, words = find_object(completion, SCHEMA)
    assert bool(failure) == bool(words)
    return failure or value


@pytest.mark.parametrize(
    "content",
    [
        GOOD,
        f"\ufeff{GOOD}",
        f"<think>\nWhat is asked? {{text}}\n</think>\n\n{GOOD}",
        f"I should answer {{}}.\n</think>\n{GOOD}",
        f'<think>Perhaps {{"text": "a draft"}}, or {{"text": "b"}}?</think>{GOOD}',
        f"<Thinking>hm</Thinking> {GOOD}",
        f"[THINK]hm[/THINK]{GOOD}",
        f"<|channel|>analysis<|message|>hm {{<|end|><|start|>assistant<|channel|>final<|message|>{GOOD}",
        f"Here it is:\n```json\n{GOOD}\n```\nHope it helps.",
        f"```JSON\n{GOOD}\n```",
        f"```\n{GOOD}\n```",
        f"~~~json\n{GOOD}\n~~~",
        f"Sure! {GOOD}<|im_end|>",
        f"{GOOD}\n{GOOD}",
        f"[{GOOD}]",
        json.dumps(GOOD),
        [{"type": "text", "text": GOOD}],
        [{"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}, {"type": "text", "text": GOOD}],
        [{"type": "reasoning", "text": '{"text": "a draft"}'}, {"type": "output_text", "text": GOOD}],
        [{"type": "text", "text": {"value": GOOD, "annotations": []}}],
        [GOOD[:10], GOOD[10:]],
        {"type": "text", "text": GOOD},
        VALUE,
    ],
)
def test_an_answer_is_read_from_what_stands_around_it(content):
    assert read(body({"role": "assistant", "content": content})) == VALUE


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ('{"text": "one\ntwo\tthree"}', "one\ntwo\tthree"),
        ('```json\n{"text": "the mark </think> ends it"}\n```', "the mark </think> ends it"),
        ('{"text": "a ``` fence"}', "a ``` fence"),
        ('So: {"text": "{\\"text\\": \\"inner\\"}"}', '{"text": "inner"}'),
        ('{"text": "a \\ud83d\\ude00 face"}', "a \U0001f600 face"),
    ],
)
def test_what_the_text_itself_holds_is_not_taken_for_marks(content, text):
    assert read(body({"content": content})) == {"text": text}


@pytest.mark.parametrize(
    ("content", "failure"),
    [
        ("", "not_json"),
        (None, "not_json"),
        ("Certainly!", "not_json"),
        ('{"text": "half a pa', "not_json"),  # never completed
        ('{"text": "one"} or rather {"text": "two"}', "not_json"),  # which is meant?
        ('<think>Perhaps {"text": "a draft"}?</think> I cannot.', "not_json"),
        ('<think>Perhaps {"text": "a draft"}? No, since', "not_json"),
        ('{"word": 1}', "schema_violated"),
        ("[1, 2]", "schema_violated"),
        ('{"text": 5}', "schema_violated"),
        ('{"text": "half a face \\ud83d"}', "schema_violated"),
        ('{"text": "the end\\u0000 of it"}', "schema_violated"),
        ("[" * 100_000, "not_json"),
        ('{"text": ' * 50_000, "not_json"),
        ('{"text": [' + "[" * 900 + "]" * 900 + "]}", "schema_violated"),
    ],
)
def test_what_is_no_answer_has_a_reason(content, failure):
    assert read(body({"content": content})) == failure


def test_an_answer_that_the_server_took_for_reasoning_is_found_at_its_end():
    assert read(body({"content": None, "reasoning_content": f"Let me see.\n{GOOD}\n"})) == VALUE
    assert read(body({"content": "", "reasoning": f"```json\n{GOOD}\n```"})) == VALUE
    assert read(body({"content": None, "reasoning_content": f"{GOOD} would do, or not."})) == "not_json"
    assert read(body({"content": GOOD, "reasoning_content": '{"text": "a draft"}'})) == VALUE


@pytest.mark.parametrize(
    ("finish", "message", "failure"),
    [
        ("length", {"content": GOOD[:9]}, "cut_off"),
        ("MAX_TOKENS", {"content": None}, "cut_off"),
        ("content_filter", {"content": ""}, "content_refused"),
        ("SAFETY", {"content": None}, "content_refused"),
        ("stop", {"content": None, "refusal": "I cannot help with that."}, "content_refused"),
        ("stop", {"content": GOOD, "refusal": ""}, VALUE),
        (None, {"content": GOOD}, VALUE),
        (7, {"content": GOOD}, VALUE),
    ],
)
def test_why_a_reply_ended_counts(finish, message, failure):
    assert read(body(message, finish)) == failure


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ({"choices": []}, "odd_reply"),
        ({"choices": None}, "odd_reply"),
        ({"choices": "none"}, "odd_reply"),
        ({"choices": ["odd"]}, "not_json"),
        ({"choices": [GOOD]}, VALUE),
        ({"choices": {"message": {"content": GOOD}}}, VALUE),
        ({"choices": [{"message": None}]}, "odd_reply"),
        ({"choices": [{"message": GOOD}]}, VALUE),
        ({"choices": [{"text": GOOD}]}, VALUE),
        ({"choices": [{"message": {"content": [None, 5, {"type": "image_url"}]}}]}, "not_json"),
        ({"message": {"content": GOOD}, "done": True}, VALUE),
        ({"status": "ok"}, "odd_reply"),
        ([], "odd_reply"),
        (None, "odd_reply"),
        (5, "odd_reply"),
        ({"error": {"code": 429, "message": "slow down"}}, "rate_limited"),
        ({"error": {"code": 400, "type": "exceed_context_size_error", "message": "too much"}}, "too_long"),
        ({"error": {"code": "401", "message": "No auth credentials found"}}, "key_refused"),
        ({"error": "odd", "choices": []}, "page_refused"),
        ({"choices": [{"message": {"content": ""}, "error": {"code": 502, "message": "gone"}}]}, "server_error"),
        ({"error": {"note": 1}, "choices": [{"message": {"content": GOOD}}]}, VALUE),
        ([{"error": {"code": 404, "message": "no m", "status": "NOT_FOUND"}}], "model_unknown"),
    ],
)
def test_completions_of_an_odd_shape_are_read_or_have_a_reason(reply, found):
    assert read(json.dumps(reply).encode()) == found


@pytest.mark.parametrize("data", [b"", b"<html>", b"\xff\xfe", b'data: {"choices": []}\n', b"[" * 10**6, b"9" * 10**5])
def test_a_body_that_is_no_json_is_the_server_s_fault(data):
    assert read(data) == "server_error"


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}, (5, 3)),
        ({"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 500}, (5, 495)),  # reasoning beside it
        ({"prompt_tokens": "5", "completion_tokens": 3.0}, (5, 3)),
        ({"prompt_tokens": -(10**9), "completion_tokens": -1}, (None, None)),
        ({"prompt_tokens": 0, "completion_tokens": 0}, (None, None)),
        ({"prompt_tokens": True, "completion_tokens": None}, (None, None)),
        ({"prompt_tokens": 10**400, "completion_tokens": float("inf")}, (None, None)),
        ({"prompt_tokens": float("nan"), "completion_tokens": [3]}, (None, None)),
        ("much", (None, None)),
        ([5, 3], (None, None)),
        (None, (None, None)),
    ],
)
def test_token_counts_that_cannot_be_are_none(usage, counted):
    completion = read_completion(body({"content": GOOD}, usage=usage))
    assert isinstance(completion, Completion)
    assert (completion.prompt_tokens, completion.completion_tokens) == counted


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30) | st.just(GOOD),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["choices", "message", "content", "text", "type", "error", "code", "finish_reason", "usage", "refusal",
                 "reasoning_content", "prompt_tokens", "completion_tokens", "total_tokens", "value"]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=15,
)  # fmt: skip
completions = st.fixed_dictionaries(
    {"choices": st.lists(st.fixed_dictionaries({"message": values, "finish_reason": values}), min_size=1, max_size=2)},
    optional={"usage": values, "error": values},
)


@settings(max_examples=100)
@given(values | completions)
def test_any_completion_is_an_answer_or_has_a_reason(reply):
    found = read(json.dumps(reply).encode())
    assert found == VALUE or isinstance(found, str) or not violation(found, SCHEMA)


pieces = st.lists(
    st.sampled_from(
        ["<think>", "</think>", "```json\n", "\n```", "{", "}", '"', "prose ", '{"text": "x"}', GOOD, "\\", "["]
    )
    | st.text(max_size=8),
    max_size=12,
)


@settings(max_examples=100)
@given(pieces)
def test_any_text_around_an_answer_is_an_answer_or_has_a_reason(reply):
    found = read(body({"content": "".join(reply)}))
    assert found in ("not_json", "schema_violated") or not violation(found, SCHEMA)


@given(st.text(max_size=60).filter(lambda text: not violation({"text": text}, SCHEMA)), st.booleans(), st.booleans())
def test_any_text_comes_through_fences_and_reasoning_as_it_is(text, reasoned, fenced):
    reply = json.dumps({"text": text}, ensure_ascii=False)
    reply = f"```json\n{reply}\n```" if fenced else reply
    reply = f"<think>Which words? {{}}</think>\n{reply}" if reasoned else reply
    assert read(body({"content": reply})) == {"text": text}


@pytest.mark.timeout(60)  # of a second: unbounded, it would take hours
@pytest.mark.parametrize(
    "text", ["{" * 10**6, '{"a":' * 10**5, '{"a":["' * 10**5, '{"a":[{},' * 10**5, '{"text": "' + "x" * 10**6]
)
def test_a_hostile_text_costs_bounded_work(text):
    assert read(body({"content": text})) in ("not_json", "schema_violated")
