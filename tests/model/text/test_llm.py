"""The client against a server that fails as servers do: every request ends with an answer or a reason, none twice."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spelangy_model.text.llm import _FORMS, LanguageModel, LanguageModelClient, Price, Prompt, Server, load_prompt

SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string"}},
    "required": ["text"],
    "additionalProperties": False,
}
PROMPT = Prompt("echo.v1", "Say: {{word}}", json.dumps(SCHEMA, sort_keys=True))


class FaultyServer:
    """Answers {"text": WORD} for "Say: WORD"; `faults(word, nth)` names what happens to the nth request for a word,
    `refuses(request)` what happens to a request. A fault that begins with a status and a space is sent as it is."""

    def __init__(self, faults=lambda word, nth: "", refuses=lambda request: ""):
        self.seen: Counter[str] = Counter()
        self.came_at_s: list[float] = []
        self.sent: list[dict] = []  # the parameters of each request
        self.usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8}
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def date_time_string(self, timestamp=None):
                return "Fri, 01 Jan 2021 10:00:00 GMT"  # a server whose clock is years behind

            def log_message(self, format, *args):
                pass

            def send(self, status, body, headers=()):
                data = body.encode()
                self.send_response(status)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                word = request["messages"][0]["content"].removeprefix("Say: ")
                with outer._lock:
                    outer._running += 1
                    outer.most_at_once = max(outer.most_at_once, outer._running)
                    nth = outer.seen[word]
                    outer.seen[word] += 1
                    outer.came_at_s.append(time.perf_counter())
                    outer.sent.append({name: value for name, value in request.items() if name != "messages"})
                try:
                    self.answer(word, refuses(request) or faults(word, nth))
                except (BrokenPipeError, ConnectionResetError):
                    pass  # the client gave up waiting
                finally:
                    with outer._lock:
                        outer._running -= 1

            def answer(self, word, fault):
                content, finish = json.dumps({"text": word}), "stop"
                if fault == "dripping":
                    self.send_response(200)
                    self.send_header("Content-Length", "1000")
                    self.end_headers()
                    while True:
                        self.wfile.write(b" ")
                        time.sleep(0.02)
                if fault == "endless":
                    return self.send(200, '{"choices": "' + "x" * 3_000_000)
                if fault == "endless error":
                    return self.send(503, "away " * 600_000)
                if fault in ("bomb", "zipped"):
                    content = "\\n" * 3_000_000 if fault == "bomb" else json.dumps(json.dumps({"text": word}))[1:-1]
                    data = gzip.compress(f'{{"choices": [{{"message": {{"content": "{content}"}}}}]}}'.encode())
                    self.send_response(200)
                    self.send_header("Content-Encoding", "gzip")
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data)
                    return None
                if fault == "429":
                    return self.send(429, '{"error": {"message": "slow down"}}', [("Retry-After", "0.01")])
                if fault.startswith("until"):
                    return self.send(503, '{"error": {"message": "soon"}}', [("Retry-After", fault[6:])])
                if fault == "500":
                    return self.send(500, '{"error": {"message": "broken"}}')
                if fault == "400":
                    return self.send(400, '{"error": {"message": "no, thank you"}}')
                if fault[:3].isdigit() and fault[3:4] == " ":
                    return self.send(int(fault[:3]), fault[4:])
                if fault == "timeout":
                    time.sleep(2.5)
                if fault == "not_a_completion":
                    return self.send(200, "<html>gateway</html>")
                if fault == "not_json":
                    content = "Sure! Here it is."
                if fault == "wrong_schema":
                    content = '{"word": 1}'
                if fault in ("odd", "odd once"):
                    return self.send(200, '{"choices": [{"message": null}]}')
                if fault == "cut_off":
                    content, finish = content[:4], "length"
                if fault == "slow":
                    time.sleep(0.05)
                self.send(
                    200,
                    json.dumps(
                        {
                            "id": "1", "object": "chat.completion", "created": 0, "model": "m",
                            "choices": [
                                {
                                    "index": 0, "finish_reason": finish,
                                    "message": {"role": "assistant", "content": content},
                                }
                            ],
                            "usage": outer.usage,
                        }
                    ),
                )  # fmt: skip

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def client(server, cache_dir, **changes):
    settings = {
        "concurrency": 4,
        "timeout_s": 0.5,
        "attempts": 4,
        "first_wait_s": 0.01,
        "longest_wait_s": 0.05,
    } | changes
    return LanguageModelClient(LanguageModel("m"), Server(server.base_url, "key", **settings), cache_dir)


def words(count):
    return [{"word": f"w{index}"} for index in range(count)]


def test_every_request_is_answered_in_order_through_all_faults(tmp_path):
    faults = ("429", "500", "timeout", "not_a_completion", "not_json", "wrong_schema")
    with FaultyServer(
        lambda word, nth: faults[int(word[1:]) % 9] if nth == 0 and int(word[1:]) % 9 < 6 else ""
    ) as server:
        asked = client(server, tmp_path, timeout_s=1.5)  # an answer takes less, also on a busy machine
        replies = asked.ask_all(PROMPT, words(27))
    assert [reply.value for reply in replies] == [{"text": f"w{index}"} for index in range(27)]
    assert asked.ledger.answered == 27
    assert asked.ledger.repairs == 6
    assert asked.ledger.retries == 12
    assert asked.ledger.requests == sum(server.seen.values()) == 27 + 18
    assert server.most_at_once <= 4 + 3  # a timed out request still runs on the server


@pytest.mark.parametrize(
    ("fault", "failure", "sent"),
    [
        ("429", "rate_limited", 4),
        ("500", "server_error", 4),
        ("not_a_completion", "server_error", 4),
        ("timeout", "timeout", 4),
        ("400", "requests_refused", 1),
        ('401 {"error": {"message": "expired"}}', "key_refused", 1),
        ('404 {"error": {"code": "model_not_found", "message": "no m"}}', "model_unknown", 1),
        ('429 {"error": {"code": "insufficient_quota", "message": "no credit"}}', "quota_spent", 1),
        ("cut_off", "cut_off", 1),
        ("not_json", "not_json", 2),
        ("wrong_schema", "schema_violated", 2),
    ],
)
def test_a_server_that_never_recovers_ends_in_a_reason(tmp_path, fault, failure, sent):
    with FaultyServer(lambda word, nth: fault) as server:
        asked = client(server, tmp_path, timeout_s=0.1 if fault == "timeout" else 2.0)
        (reply,) = asked.ask_all(PROMPT, words(1))
    assert reply.value is None
    assert (reply.failure, server.seen["w0"]) == (failure, sent)
    assert asked.ledger.failed == 1


def test_what_was_answered_is_never_sent_again(tmp_path):
    with FaultyServer(lambda word, nth: "400" if word == "w1" and nth == 0 else "") as server:
        first = client(server, tmp_path).ask_all(PROMPT, words(3))
        again = client(server, tmp_path)
        second = again.ask_all(PROMPT, words(3))
        assert [reply.failure for reply in first] == ["", "page_refused", ""]
        assert [reply.value for reply in second] == [{"text": f"w{index}"} for index in range(3)]
        assert again.ledger.from_cache == 2
        asked = {word: count for word, count in server.seen.items() if word in ("w0", "w1", "w2")}
        assert asked == {"w0": 1, "w1": 2, "w2": 1}  # the failure alone was asked again


def test_equal_requests_of_one_run_are_sent_once(tmp_path):
    with FaultyServer() as server:
        replies = client(server, tmp_path).ask_all(PROMPT, [{"word": "same"}] * 5)
    assert len(replies) == 5
    assert server.seen == Counter({"same": 1})


def test_another_prompt_or_model_is_another_request(tmp_path):
    with FaultyServer() as server:
        asked = client(server, tmp_path)
        asked.ask_all(PROMPT, words(1))
        looser = Prompt(PROMPT.name, PROMPT.template, json.dumps({"type": "object"}))
        asked.ask_all(looser, words(1))
        LanguageModelClient(LanguageModel("m", seed=1), asked.server, tmp_path).ask_all(PROMPT, words(1))
    assert server.seen == Counter({"w0": 3})


def test_a_spent_budget_stops_the_run_and_says_so(tmp_path):
    with FaultyServer() as server:
        asked = client(server, tmp_path, concurrency=1, max_tokens=20)
        replies = asked.ask_all(PROMPT, words(6))
    assert [reply.failure for reply in replies] == ["", "", "", "budget_spent", "budget_spent", "budget_spent"]
    assert asked.ledger.tokens == 24
    assert sum(server.seen.values()) == 3


def test_money_is_counted_at_the_price_and_its_budget_holds_for_all_that_a_client_asks(tmp_path):
    with FaultyServer() as server:
        limits = Server(server.base_url, "key", concurrency=1, max_usd=35.0)
        asked = LanguageModelClient(LanguageModel("m", price=Price(1e6, 2e6)), limits, tmp_path)  # a reply costs 11
        first, second = asked.ask_all(PROMPT, words(3)), asked.ask_all(PROMPT, words(6))
        assert [reply.failure for reply in first] == [""] * 3
        assert [reply.failure for reply in second] == [""] * 4 + ["budget_spent"] * 2
        assert second[-1].error == "44.0000 of 35 USD are spent"
        assert (asked.ledger.cost_usd, asked.ledger.from_cache) == (44, 3)
        cheaper = LanguageModelClient(LanguageModel("m", price=Price(0.1, 0.1)), limits, tmp_path)
        assert all(reply.value for reply in cheaper.ask_all(PROMPT, words(6)))  # a price is no part of a request
    assert set(server.seen.values()) == {1}


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        ("Fri, 01 Jan 2021 10:00:30 GMT", True),
        ("Friday, 01-Jan-21 10:00:30 GMT", True),
        ("Fri, 01 Jan 2021 09:59:59 GMT", False),
        ("next week", False),
        ("inf", False),
    ],
)
def test_a_server_may_say_by_date_when_to_come_again(tmp_path, answer, waits):
    with FaultyServer(lambda word, nth: f"until {answer}" if nth == 0 else "") as server:
        (reply,) = client(server, tmp_path, longest_wait_s=0.4).ask_all(PROMPT, words(1))
    assert reply.value == {"text": "w0"}
    first, second = server.came_at_s
    assert (second - first >= 0.2) == waits  # half of the longest wait, 30 s being beyond it


def test_no_more_requests_at_once_than_allowed(tmp_path):
    with FaultyServer(lambda word, nth: "slow") as server:
        client(server, tmp_path, concurrency=3).ask_all(PROMPT, words(12))
    assert server.most_at_once == 3


def test_a_torn_cache_file_is_asked_again(tmp_path):
    with FaultyServer() as server:
        client(server, tmp_path).ask_all(PROMPT, words(1))
        (kept,) = tmp_path.rglob("*.json")
        kept.write_text('{"text": ')
        assert client(server, tmp_path).ask_all(PROMPT, words(1))[0].value == {"text": "w0"}
    assert server.seen["w0"] == 2


def test_the_key_is_not_shown():
    assert "secret" not in repr(Server("http://localhost", "secret"))


def test_environment_that_names_no_server_says_which_variable():
    with pytest.raises(KeyError, match="SPELANGY_LLM_API_KEY"):
        Server.from_environment({"SPELANGY_LLM_BASE_URL": "http://localhost"})


@pytest.mark.parametrize("name", ["krist_rewrite.v1", "quest_answer.v1"])
def test_shipped_prompts_have_places_and_ask_for_json(name):
    prompt = load_prompt(name, SCHEMA)
    assert "JSON" in prompt.template
    places = {"title": "T", "text": "a {{title}} in braces"} | ({"question": "Q?"} if "quest" in name else {})
    assert "a {{title}} in braces" in prompt.fill(**places)  # what a page says is never a place
    with pytest.raises(KeyError, match="has the places"):
        prompt.fill(title="T")


def refusal(status, message, **more):
    return f"{status} {json.dumps({'error': {'message': message, **more}})}"


def test_a_key_that_expires_ends_the_asking_and_what_was_answered_is_kept(tmp_path):
    served = []

    def faults(word, nth):
        served.append(word)
        return "" if len(served) <= 5 else refusal(401, "Key sk-secret-0123456789 has expired")

    with FaultyServer(faults) as server:
        settings = Server(server.base_url, "sk-secret-0123456789", concurrency=2, first_wait_s=0.01)
        asked = LanguageModelClient(LanguageModel("m"), settings, tmp_path)
        replies = asked.ask_all(PROMPT, words(40))
        answered = [reply for reply in replies if reply.value]
        assert len(answered) == 5
        assert {reply.failure for reply in replies if not reply.value} == {"key_refused"}
        assert {reply.error for reply in replies if not reply.value} == {"Key *** has expired"}
        assert len(served) <= 5 + 2  # nothing is sent any more but what was under way
    with FaultyServer() as server:
        again = LanguageModelClient(LanguageModel("m"), Server(server.base_url, "new"), tmp_path)
        assert all(reply.value for reply in again.ask_all(PROMPT, words(40)))
        assert again.ledger.from_cache == 5


def test_a_server_that_is_away_is_not_asked_for_every_page(tmp_path):
    with FaultyServer(lambda word, nth: "500") as server:
        asked = client(server, tmp_path, concurrency=4)
        replies = asked.ask_all(PROMPT, words(200))
    assert {reply.failure for reply in replies} == {"server_error"}
    assert sum(server.seen.values()) < 200


def test_a_page_that_the_server_breaks_on_keeps_no_other_from_its_answer(tmp_path):
    with FaultyServer(lambda word, nth: "500" if word == "w3" else "") as server:
        replies = client(server, tmp_path, concurrency=1).ask_all(PROMPT, words(12))
    assert [index for index, reply in enumerate(replies) if not reply.value] == [3]
    assert replies[3].failure == "server_error"


@pytest.mark.parametrize(
    ("answer", "failure"),
    [
        (refusal(400, "filtered", code="content_filter"), "content_refused"),
        (refusal(400, "this model's maximum context length is 9"), "too_long"),
        ("403 <html>firewall</html>", "page_refused"),
    ],
)
def test_what_is_refused_of_one_page_is_that_page_s(tmp_path, answer, failure):
    with FaultyServer(lambda word, nth: answer if word == "w1" else "") as server:
        asked = client(server, tmp_path)
        replies = asked.ask_all(PROMPT, words(4))
    assert [reply.failure for reply in replies] == ["", failure, "", ""]
    assert server.seen["w1"] == 1


@pytest.mark.parametrize("answer", [refusal(400, "filtered", code="content_filter"), "403 <html>firewall</html>"])
def test_what_is_refused_of_a_harmless_page_too_is_no_page_s_fault(tmp_path, answer):
    with FaultyServer(lambda word, nth: "" if word == "w0" else answer) as server:
        replies = client(server, tmp_path).ask_all(PROMPT, words(4))
    assert [reply.failure for reply in replies] == ["", *["requests_refused"] * 3]
    assert all(reply.error in ("filtered", "firewall") for reply in replies[1:])


STRICT = {
    "max_tokens": lambda q: "max_tokens" in q and "Use 'max_completion_tokens' instead of 'max_tokens'",
    "both": lambda q: (
        ("max_tokens" in q and "Unsupported: max_tokens")
        or ("max_completion_tokens" in q and "Unsupported: max_completion_tokens")
    ),
    "temperature": lambda q: "temperature" in q and "'temperature' does not support 0.0",
    "seed": lambda q: "seed" in q and "Unrecognized request argument supplied: seed",
    "json_schema": lambda q: q.get("response_format", {}).get("type") == "json_schema" and "no json_schema here",
    "response_format": lambda q: "response_format" in q and "response_format is not supported",
    "unnamed": lambda q: "temperature" in q and "No endpoints found that can handle the requested parameters",
}


@pytest.mark.parametrize("strict", [*STRICT, "all"])
def test_a_parameter_that_is_refused_is_left_out_and_stays_out(tmp_path, strict):
    rules = list(STRICT.values()) if strict == "all" else [STRICT[strict]]

    def refuses(request):
        answer = next(filter(None, (rule(request) for rule in rules)), "")
        return refusal(404 if "endpoints" in answer else 400, answer) if answer else ""

    with FaultyServer(refuses=refuses) as server:
        asked = client(server, tmp_path, concurrency=3)
        replies = asked.ask_all(PROMPT, words(8))
        assert [reply.value for reply in replies] == [{"text": f"w{index}"} for index in range(8)]
        steps = asked.ledger.parameters_left_out
        assert 1 <= steps <= sum(len(forms) - 1 for forms in _FORMS.values())
        assert server.seen.total() <= 8 + 3 * steps  # each of those under way meets a refusal once
        before = server.seen.total()
        more = asked.ask_all(PROMPT, [{"word": "more"}])
        assert more[0].value == {"text": "more"}
        assert server.seen.total() == before + 1
    assert not refuses(server.sent[-1])
    assert len(asked.left_out) == steps


def test_a_server_that_takes_no_form_of_a_parameter_ends_the_run(tmp_path):
    with FaultyServer(refuses=lambda request: refusal(400, "I dislike your temperature")) as server:
        replies = client(server, tmp_path).ask_all(PROMPT, words(3))
    assert {reply.failure for reply in replies} == {"requests_refused"}


def test_a_key_from_a_file_is_taken_without_its_line_break():
    environment = {"SPELANGY_LLM_BASE_URL": " http://localhost/v1\n", "SPELANGY_LLM_API_KEY": "secret\n"}
    server = Server.from_environment(environment)
    assert (server.base_url, server.api_key) == ("http://localhost/v1", "secret")


def test_half_a_character_in_a_page_is_sent_as_a_mark(tmp_path):
    with FaultyServer() as server:
        (reply,) = client(server, tmp_path).ask_all(PROMPT, [{"word": "a\ud800b"}])
    assert reply.value == {"text": "a\ufffdb"}


def test_a_server_that_drips_is_not_waited_for(tmp_path):
    with FaultyServer(lambda word, nth: "dripping") as server:
        (reply,) = client(server, tmp_path, timeout_s=0.2, attempts=2).ask_all(PROMPT, words(1))
    assert (reply.failure, reply.error) == ("timeout", "no reply within 0.2 s")
    assert server.seen["w0"] == 2


@pytest.mark.parametrize("fault", ["endless", "bomb"])
def test_a_reply_beyond_all_size_is_read_no_further_and_is_that_page_s(tmp_path, fault):
    with FaultyServer(lambda word, nth: fault if word == "w1" else "") as server:
        asked = client(server, tmp_path, longest_reply_bytes=1_000_000, timeout_s=5.0)
        replies = asked.ask_all(PROMPT, words(3))
    assert [reply.failure for reply in replies] == ["", "reply_too_large", ""]
    assert server.seen["w1"] == 1
    assert asked.ledger.completion_tokens >= LanguageModel("m").max_output_tokens  # it was made, and will be charged


def test_of_an_error_beyond_all_size_the_begin_is_read(tmp_path):
    with FaultyServer(lambda word, nth: "endless error") as server:
        asked = client(server, tmp_path, longest_reply_bytes=100_000, timeout_s=5.0, attempts=2)
        (reply,) = asked.ask_all(PROMPT, words(1))
    assert reply.failure == "server_error"
    assert reply.error.startswith("away away")
    assert len(reply.error) < 500


def test_a_reply_that_is_compressed_unasked_is_read(tmp_path):
    with FaultyServer(lambda word, nth: "zipped") as server:
        (reply,) = client(server, tmp_path, timeout_s=5.0).ask_all(PROMPT, words(1))
    assert reply.value == {"text": "w0"}


def test_a_completion_of_an_odd_shape_is_asked_again_once_and_then_is_that_page_s(tmp_path):
    with FaultyServer(lambda word, nth: "odd" if word == "w1" or (word == "w2" and nth == 0) else "") as server:
        replies = client(server, tmp_path).ask_all(PROMPT, words(4))
    assert [reply.failure for reply in replies] == ["", "odd_reply", "", ""]
    assert (server.seen["w1"], server.seen["w2"]) == (2, 2)


def test_a_server_that_answers_nothing_but_odd_shapes_ends_the_run(tmp_path):
    with FaultyServer(lambda word, nth: "odd") as server:
        replies = client(server, tmp_path).ask_all(PROMPT, words(3))
    assert {reply.failure for reply in replies} == {"requests_refused"}


@pytest.mark.parametrize(
    "usage",
    [
        None, "much", {}, {"prompt_tokens": -(10**9), "completion_tokens": -(10**9)}, {"prompt_tokens": [1]},
        {"prompt_tokens": 0, "completion_tokens": 0}, {"prompt_tokens": 10**300, "completion_tokens": "1e9"},
    ],
)  # fmt: skip
def test_a_budget_ends_whatever_the_server_counts(tmp_path, usage):
    with FaultyServer() as server:
        server.usage = usage
        asked = client(server, tmp_path, concurrency=1, max_tokens=60)
        replies = asked.ask_all(PROMPT, words(30))
    assert replies[0].value
    assert replies[-1].failure == "budget_spent"
    assert 60 <= asked.ledger.tokens < 120
