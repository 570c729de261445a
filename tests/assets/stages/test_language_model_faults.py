"""Krist and Quest through a server that fails: what benchmarks/llm_client.py measures, smaller; and what they spend."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.stage_parts.language_model import BudgetSpent, ask_all, make_client
from spelangy_assets.store.artifacts import Identity
from spelangy_model.text.llm import LanguageModel, Ledger, Price, Prompt, Reply

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
        self.model, self.ledger = PRICED, Ledger(requests=10, cost_usd=5.0)

    def ask_all(self, prompt, fillings):
        self.ledger.requests += 2
        self.ledger.cost_usd += 0.5
        return [Reply({}), Reply({}), *[Reply(None, "budget_spent", "5.5 of 5 USD are spent")] * (len(fillings) - 2)]


def test_a_spent_budget_ends_the_run_and_is_no_reason_to_drop_a_document(toys, store):
    writer = store.writer(toys.address(), Identity("toy", "1", "", None, [], "key"), {})
    with writer.unit(0) as out:
        assert len(ask_all(Spending(), PROMPT, [{}] * 2, out)) == 2
    assert writer.commit().counts.stats["model_cost_usd"] == 0.5  # the unit's, not the run's so far
    with pytest.raises(BudgetSpent, match=r"2 of this unit's 3 requests have ended.*SPELANGY_LLM_MAX_USD"):
        ask_all(Spending(), PROMPT, [{}] * 3, out)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_document_ends_and_nothing_that_was_answered_is_asked_again_after_a_kill(project_dir, tmp_path):
    spec = importlib.util.spec_from_file_location("llm_client", project_dir / "benchmarks/llm_client.py")
    bench = importlib.util.module_from_spec(spec)
    sys.modules["llm_client"] = bench
    spec.loader.exec_module(bench)
    runs = {}
    for name, counts, server in bench.measure(tmp_path, 24, 0.3):
        for stage in bench.STAGES:
            told = counts[stage]
            assert told["in"] == told["kept"] + sum(told["dropped"].values()) == 24
            assert all(reason.startswith("model_") for reason in told["dropped"])
        early, under_way = server.sent_twice()
        assert early == 0
        assert under_way <= bench.CONCURRENCY
        runs[name] = sum(counts[stage]["kept"] for stage in bench.STAGES), server.calls.total()
    (whole, calls), (kept, more), _ = runs.values()
    assert whole == calls == 48
    assert kept > 40
    assert more > 52
