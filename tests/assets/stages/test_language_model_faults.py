"""Krist and Quest through a server that fails: what benchmarks/llm_client.py measures, smaller; and what they spend."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.execution.status import Status, status_of
from spelangy_assets.orchestration.policies import is_transient
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stage_parts.language_model import BudgetSpent, ServiceLost, ServiceRefused, ask_all, make_client
from spelangy_assets.stages import ingest_pages, mine_quest, write_krist
from spelangy_assets.stages.ingest_pages import CONTRACT as RAW_PAGES
from spelangy_assets.store.artifacts import DatasetName, Identity, StoreError
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_model.text.llm import LanguageModel, Ledger, Price, Prompt, Reply

KRIST = write_krist.contract(write_krist.Config())
PROMPT = Prompt("none.v1", "Say nothing.", "{}")


def no_launch(module, spec, folder):
    raise AssertionError("no stage here starts a process")


PRICED = LanguageModel("m", price=Price(0.15, 0.60))


def execution_with(folder, **limits):
    environment = {"SPELANGY_LLM_BASE_URL": "http://localhost/v1", "SPELANGY_LLM_API_KEY": "k"}
    return Execution(folder, no_launch, environment=environment | limits)


@pytest.mark.parametrize(
    ("variable", "attribute"), [("SPELANGY_LLM_TIMEOUT_S", "timeout_s"), ("SPELANGY_LLM_MAX_USD", "max_usd")]
)
@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_time_or_a_budget_that_is_none_is_refused(tmp_path, variable, attribute, value):
    client = make_client(PRICED, execution_with(tmp_path, **{variable: "2.5"}))
    assert getattr(client.server, attribute) == 2.5
    with pytest.raises(PreflightError, match=variable):
        make_client(PRICED, execution_with(tmp_path, **{variable: value}))


def test_a_budget_in_money_needs_a_price_in_the_recipe(tmp_path):
    with pytest.raises(PreflightError, match="states no price of the language model 'm'"):
        make_client(LanguageModel("m"), execution_with(tmp_path, SPELANGY_LLM_MAX_USD="1"))


class Sums(dict):
    """Stands for a unit's writer: adds up."""

    def add(self, stat, amount):
        self[stat] = self.get(stat, 0) + amount


class Spending:
    """Stands for a client whose money ends after two more replies."""

    def __init__(self):
        self.model, self.ledger, self.left_out = PRICED, Ledger(requests=10, cost_usd=5.0), []

    def ask_all(self, prompt, fillings):
        self.ledger.requests += 2
        self.ledger.cost_usd += 0.5
        return [Reply({}), Reply({}), *[Reply(None, "budget_spent", "5.5 of 5 USD are spent")] * (len(fillings) - 2)]


def test_a_spent_budget_ends_the_run_and_is_no_reason_to_drop_a_document(toys, store):
    writer = store.writer(toys.address(), Identity("toy", "1", "", None, [], "key"), {})
    with writer.unit(0) as out:
        assert len(ask_all(Spending(), PROMPT, [{}] * 2, out, print)) == 2
    assert writer.commit().counts.stats["model_cost_usd"] == 0.5  # the unit's, not the run's so far
    with pytest.raises(BudgetSpent, match=r"2 of this unit's 3 requests have ended.*SPELANGY_LLM_MAX_USD"):
        ask_all(Spending(), PROMPT, [{}] * 3, out, print)


class Answering:
    """A server that answers Krist and Quest from the page that it is sent, or as `fault(page, nth)` says: status, body.

    `page` is the title, `nth` counts the requests so far.
    """

    def __init__(self, fault: Callable[[str, int], tuple[int, dict] | None] = lambda page, nth: None):
        self.fault, self.asked = fault, Counter[str]()
        lock, outer = threading.Lock(), self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format, *args):
                pass

            def do_POST(self):
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                prompt = request["messages"][0]["content"]
                page = prompt.partition("Title: ")[2].partition("\n")[0]
                with lock:
                    nth = outer.asked.total()
                    outer.asked[page] += 1
                status, body = outer.fault(page, nth) or (200, completion(answer_of(prompt)))
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.environment = {
            "SPELANGY_LLM_BASE_URL": f"http://127.0.0.1:{self._server.server_address[1]}/v1",
            "SPELANGY_LLM_API_KEY": "sk-of-the-project-12345",
            "SPELANGY_LLM_CONCURRENCY": "1",
        }

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def answer_of(prompt: str) -> dict[str, object]:
    text = prompt.rpartition("Page:\n")[2]
    if '"evidence"' not in prompt:
        return {"text": text}
    evidence = " ".join(text.split()[:8])
    return {"valid": True, "reason": "", "rationale": "It says so.", "answer": "Anna Berg.", "evidence": evidence}


def completion(value: object) -> dict:
    message = {"role": "assistant", "content": json.dumps(value)}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "m",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip


PAGES = 5


@pytest.fixture
def crawl(tmp_path):
    """A folder with an archive of PAGES pages; each is about a mill and answers a question."""
    records = []
    for number in range(PAGES):
        main = "".join(
            f"<p>Wheel {part} of Mill {number} was built by Anna Berg in {1500 + number + part}, and it still turns "
            f"when the brook is high. Its stones came from quarry {number * 7 + part}.</p>"
            for part in range(6)
        )
        html = (
            f"<!doctype html><html><head><title>Mill {number}</title></head><body><main><h1>Mill {number}</h1>{main}"
            f"<h2>Who built Mill number {number} of Bergen?</h2><p>Anna Berg built Mill {number}. She drew it.</p>"
            "</main></body></html>"
        )
        http = f"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}"
        records.append(
            f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: https://mill.example/{number}\r\n"
            f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http.encode())}\r\n\r\n"
            f"{http}\r\n\r\n"
        )
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "mills.warc").write_text("".join(records), newline="")
    return folder


RAW_PAGES = Node(
    name="raw_pages", group="crawl", description="", stage=ingest_pages, config=ingest_pages.Config(),
    contract=RAW_PAGES, has_source=True,
)  # fmt: skip


def asking(stage, contract=None) -> Node:
    name = stage.__name__.rpartition(".")[2]
    return Node(
        name=name, group="synthetic", description="", stage=stage, config=stage.Config(model=LanguageModel("m")),
        contract=contract or {"write_krist": KRIST, "mine_quest": contracts.SCRIPTS}[name],
        inputs={"raw_pages": "raw_pages"},
    )  # fmt: skip


class Installation:
    """The pages and one stage that asks a model about them."""

    def __init__(self, toys, store, folder, tmp_path):
        self._toys, self.store, self._source, self._cache = toys, store, FolderSource(folder), tmp_path / "replies"
        toys.build(store, RAW_PAGES, source=self._source)

    def build(self, node: Node, server: Answering, **more):
        execution = Execution(self._cache, no_launch, environment=server.environment)
        return self._toys.build(self.store, node, RAW_PAGES, execution=execution, **more)

    def status(self, node: Node) -> Status:
        found = status_of(self.store, Graph("recipe", [RAW_PAGES, node]), {}, self.source)
        return next(status for status in found if status.asset == node.name)

    def source(self, node: Node, partition: str | None) -> object:
        return self._source if node.has_source else None


@pytest.fixture
def installation(toys, store, crawl, tmp_path):
    return Installation(toys, store, crawl, tmp_path)


def error(status, message, **more):
    return status, {"error": {"message": message, **more}}


REFUSALS = {
    "wrong_key": (error(401, "Incorrect API key provided: sk-of-the-project-12345", code="invalid_api_key"), "API_KEY"),
    "unknown_model": (error(404, "The model `m` does not exist", code="model_not_found"), "BASE_URL"),
    "no_credit": (error(429, "You exceeded your current quota", code="insufficient_quota"), "credit"),
    "no_words": (error(400, "no"), "even a harmless page is refused"),
}


@pytest.mark.parametrize("stage", [write_krist, mine_quest])
@pytest.mark.parametrize("name", REFUSALS)
def test_what_the_service_refuses_of_all_ends_the_run_with_its_words_and_drops_no_page(installation, stage, name):
    reply, cure = REFUSALS[name]
    node = asking(stage)
    with Answering(lambda page, nth: reply if nth >= 2 else None) as server:
        with pytest.raises(ServiceRefused) as raised:
            installation.build(node, server)
        assert not is_transient(raised.value)
        words = reply[1]["error"]["message"].replace("sk-of-the-project-12345", "***")
        assert words in str(raised.value)
        assert cure in str(raised.value)
        assert "sk-of-the-project" not in str(raised.value)
        assert f"2 of this unit's {PAGES} requests have ended" in str(raised.value)
        assert installation.status(node).state == "missing"
        server.fault = lambda page, nth: None
        before = server.asked.total()
        built = installation.build(node, server)
        assert (built.artifact.manifest.counts.records_kept, built.cached) == (PAGES, False)
        assert built.verdict.passed
        assert server.asked.total() - before == PAGES - 2  # those alone that were not answered


@pytest.mark.parametrize("reply", [error(503, "be back soon"), error(429, "slow down")])
def test_a_service_that_is_away_ends_the_run_as_something_that_may_pass(installation, monkeypatch, reply):
    from spelangy_assets.stage_parts import language_model

    limits = language_model._server
    monkeypatch.setattr(
        language_model,
        "_server",
        lambda model, execution: dataclasses.replace(limits(model, execution), attempts=2, first_wait_s=0.01),
    )
    node = asking(write_krist)
    with Answering(lambda page, nth: reply if nth >= 3 else None) as server:
        with pytest.raises(ServiceLost, match=reply[1]["error"]["message"]) as raised:
            installation.build(node, server)
        assert is_transient(raised.value)
        server.fault = lambda page, nth: None
        assert installation.build(node, server).artifact.manifest.counts.records_kept == PAGES


def test_a_page_that_is_refused_for_what_it_says_stops_nothing(installation):
    refused = error(400, "The response was filtered", code="content_filter")
    with Answering(lambda page, nth: refused if page == "Mill 3" else None) as server:
        counts = installation.build(asking(write_krist), server).artifact.manifest.counts
    assert counts.records_kept == PAGES - 1
    assert counts.dropped == {"model_content_refused": 1}


def test_a_parameter_that_is_refused_is_left_out_and_logged(installation, toys):
    refused = error(400, "Unsupported value: 'temperature'", param="temperature", code="unsupported_value")
    with Answering(lambda page, nth: refused if nth == 0 else None) as server:
        built = installation.build(asking(write_krist), server)
    assert built.artifact.manifest.counts.records_kept == PAGES
    assert built.artifact.manifest.counts.stats["model_parameters_left_out"] == 1
    assert any("temperature is refused: Unsupported value" in line for line in toys.log)


OLD_SCRIPTS = dataclasses.replace(
    contracts.SCRIPTS,
    bounds=tuple(
        bound
        for bound in contracts.SCRIPTS.bounds
        if bound.column not in ("lost_to_a_service", "share_dropped_by_model")
    ),
)


def thinned(reasons: dict[int, str]):
    """Stand for the stage of an earlier version, which dropped a page whose request failed."""

    def asks(client, prompt, fillings, out, log):
        out.add("model_failed", len(reasons))
        out.add("model_answered", len(fillings) - len(reasons))
        return [
            Reply(None, reasons[number]) if number in reasons else Reply(answer_of(prompt.fill(**filling)))
            for number, filling in enumerate(fillings)
        ]

    return asks


@pytest.mark.parametrize("reasons", [dict.fromkeys(range(PAGES), "refused"), {2: "server_error"}, {4: "timeout"}])
def test_a_dataset_that_was_published_without_what_a_service_refused_is_found_and_made_again(
    installation, toys, monkeypatch, reasons
):
    with Answering() as server:
        with monkeypatch.context() as earlier:
            earlier.setattr(write_krist, "ask_all", thinned(reasons))
            old = installation.build(asking(write_krist, OLD_SCRIPTS), server)
        assert old.verdict.passed  # as it was published then
        assert old.artifact.manifest.counts.records_kept == PAGES - len(reasons)
        node = asking(write_krist, contracts.SCRIPTS)
        assert fingerprint(node.contract) != fingerprint(OLD_SCRIPTS)
        found = installation.status(node)
        assert (found.state, found.why) == ("stale", "built, but not judged by its contract of now")
        built = installation.build(node, server)
        assert not built.cached
        assert built.verdict.passed
        assert built.artifact.manifest.counts.records_kept == PAGES
        assert built.artifact.manifest.build_key == old.artifact.manifest.build_key + "-r2"
        assert any("lost records to a service's bad hour: making it again" in line for line in toys.log)
        assert installation.status(node).state == "fresh"
        assert installation.build(node, server).cached


def test_a_thinned_dataset_that_cannot_be_made_again_is_read_by_nothing_and_stays_found(installation, monkeypatch):
    node = asking(write_krist, contracts.SCRIPTS)
    with Answering(lambda page, nth: error(401, "no")) as server:
        with monkeypatch.context() as earlier:
            earlier.setattr(write_krist, "ask_all", thinned({0: "timeout"}))
            installation.build(asking(write_krist, OLD_SCRIPTS), server)
        with pytest.raises(ServiceRefused):
            installation.build(node, server)
        found = installation.status(node)
        assert (found.state, found.causes, found.repairable) == ("stale", ("quality",), True)
        assert "records were lost to a service's bad hour" in found.why
        with pytest.raises(StoreError, match="failed its contract"):
            installation.store.resolve(DatasetName("recipe", "write_krist"))


def test_a_dataset_that_lost_too_many_pages_to_bad_replies_is_blocked(installation):
    with Answering(lambda page, nth: (200, completion("prose")) if page in ("Mill 1", "Mill 2") else None) as server:
        built = installation.build(asking(write_krist), server)
    assert built.artifact.manifest.counts.dropped == {"model_not_json": 2}
    assert [item.name for item in built.verdict.failures()] == [
        "share_dropped_by_model in [0, 0.25]", "share_dropped_by_model in [0, 0.05]"
    ]  # fmt: skip
    assert not built.verdict.accepted
    assert installation.status(asking(write_krist)).state == "failed"


@pytest.mark.parametrize(
    "address", ["localhost:8000/v1", "ftp://me:secret-of-mine@host/v1", "http://", "http://[bad/v1"]
)
def test_an_address_that_is_none_is_refused_without_repeating_it(tmp_path, address):
    with pytest.raises(PreflightError, match="SPELANGY_LLM_BASE_URL is no address") as raised:
        make_client(PRICED, execution_with(tmp_path, SPELANGY_LLM_BASE_URL=address))
    assert "secret-of-mine" not in str(raised.value)


@pytest.mark.parametrize("key", ["one\ntwo", "“quoted”"])
def test_a_key_that_no_request_can_hold_is_refused_without_repeating_it(tmp_path, key):
    with pytest.raises(PreflightError, match="SPELANGY_LLM_API_KEY holds characters") as raised:
        make_client(PRICED, execution_with(tmp_path, SPELANGY_LLM_API_KEY=key))
    assert "quoted" not in str(raised.value)


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(300)
def test_every_document_ends_and_nothing_that_was_answered_is_asked_again_after_a_kill(project_dir, tmp_path):
    spec = importlib.util.spec_from_file_location("llm_client", project_dir / "benchmarks/llm_client.py")
    bench = importlib.util.module_from_spec(spec)
    sys.modules["llm_client"] = bench
    spec.loader.exec_module(bench)
    runs = {}
    for name, counts, server in bench.measure(tmp_path, 24, 0.3):
        for stage in bench.STAGES:
            own = counts[stage]
            assert own["in"] == own["kept"] + sum(own["dropped"].values()) == 24
            assert all(reason.startswith("model_") for reason in own["dropped"])
        early, under_way = server.sent_twice()
        assert early == 0
        assert under_way <= bench.CONCURRENCY
        runs[name] = sum(counts[stage]["kept"] for stage in bench.STAGES), server.calls.total()
    (whole, calls), (kept, more), _ = runs.values()
    assert whole == calls == 48
    assert kept > 40
    assert more > 52
