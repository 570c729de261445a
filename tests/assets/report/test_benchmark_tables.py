"""A benchmark has metrics, a column and a table of its own."""

import math

import pytest

from spelangy_assets.report.benchmark_tables import columns_of_benchmarks, tables_of_benchmarks
from spelangy_assets.report.leaderboard_page import Results, RunDescription, leaderboard_markdown, leaderboard_page
from spelangy_assets.stages.evaluate import summarize
from spelangy_model.records import Metric, QuestionScore


def score(benchmark: str, number: int, right: bool, modality: str = "speech") -> QuestionScore:
    return QuestionScore(
        question_id=f"{benchmark}-{number}-{modality}",
        text_id=f"{benchmark}-{number}",
        cluster_id=f"{benchmark}-{number}",
        benchmark=benchmark,
        split="test",
        accent="en-us" if modality == "speech" else "",
        modality=modality,
        option_log_likelihoods=[-1.0, -2.0, -3.0, -4.0],
        option_per_token=[-1.0, -2.0, -3.0, -4.0],
        option_per_character=[-1.0, -2.0, -3.0, -4.0],
        predicted_index=0,
        answer_index=0 if right else 1,
        reverse_kl=math.nan,
    )


# one benchmark is three times as large: right in 6 of 12 and in 1 of 4
SCORES = [
    *(score("swq", number, number < 6, modality) for number in range(12) for modality in ("speech", "text")),
    *(score("stq", number, number < 1, modality) for number in range(4) for modality in ("speech", "text")),
]
METRICS = list(summarize(SCORES, [], {one.question_id: "v" for one in SCORES}, "run"))


def test_each_benchmark_is_measured_and_their_mean_counts_each_alike():
    values = {metric.metric: metric.value for metric in METRICS}
    assert values["sqa.swq.accuracy"] == values["sqa.swq.test.accuracy"] == values["text_qa.swq.test.accuracy"] == 0.5
    assert values["sqa.stq.accuracy"] == 0.25
    assert values["sqa.all.accuracy"] == 7 / 16
    assert values["sqa.mean.accuracy"] == values["text_qa.mean.accuracy"] == pytest.approx(0.375)
    (mean,) = (metric for metric in METRICS if metric.metric == "sqa.mean.accuracy")
    assert mean.low < 0.375 < mean.high
    alone, voices = [one for one in SCORES if one.benchmark == "swq"], {one.question_id: "v" for one in SCORES}
    assert "sqa.mean.accuracy" not in {metric.metric for metric in summarize(alone, [], voices, "run")}


def test_the_board_shows_the_mean_first_and_a_table_a_benchmark():
    names = [metric.metric for metric in METRICS]
    assert columns_of_benchmarks(names) == [
        *("sqa.mean.accuracy", "sqa.swq.accuracy", "sqa.stq.accuracy", "text_qa.mean.accuracy")
    ]
    tables = dict(tables_of_benchmarks(names))
    assert tables["stq"] == [
        *("sqa.stq.accuracy", "sqa.stq.test.accuracy", "text_qa.stq.accuracy", "text_qa.stq.test.accuracy")
    ]
    board = [Metric("run", *[getattr(m, f) for f in ("metric", "value", "low", "high", "count")]) for m in METRICS]
    runs = [RunDescription("run", "A run.", "spelangy lineage eval_run")]
    results = Results(board, runs)
    page = leaderboard_page(results)
    assert "Benchmark swq" in page
    assert "Benchmark stq" in page
    assert "spoken QA, mean (%)" in leaderboard_markdown(results)


def test_one_benchmark_has_its_splits_as_columns_and_no_table():
    names = ["sqa.all.accuracy", "sqa.own.accuracy", "sqa.own.seen.accuracy", "sqa.accent.en-us.accuracy"]
    assert columns_of_benchmarks(names) == ["sqa.own.seen.accuracy"]
    assert tables_of_benchmarks(names) == []
