"""Krist and Quest through a server that fails: what benchmarks/llm_client.py measures, smaller."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from spelangy_assets.stages.language_model import make_client
from spelangy_assets.stages.stage import Execution, PreflightError
from spelangy_model.text.llm import LanguageModel


def no_launch(module, spec, folder):
    raise AssertionError("no stage here starts a process")


@pytest.mark.parametrize("value", ["soon", "0", "-1", "inf", "nan"])
def test_a_timeout_that_is_no_time_is_refused(tmp_path, value):
    environment = {"SPELANGY_LLM_BASE_URL": "http://localhost/v1", "SPELANGY_LLM_API_KEY": "k"}
    execution = Execution(tmp_path, no_launch, environment=environment | {"SPELANGY_LLM_TIMEOUT_S": "2.5"})
    assert make_client(LanguageModel("m"), execution).server.timeout_s == 2.5
    execution = Execution(tmp_path, no_launch, environment=environment | {"SPELANGY_LLM_TIMEOUT_S": value})
    with pytest.raises(PreflightError, match="SPELANGY_LLM_TIMEOUT_S"):
        make_client(LanguageModel("m"), execution)


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
