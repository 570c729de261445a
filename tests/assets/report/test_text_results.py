"""Text results stand on the board beside the published ones of the same name."""

import math
import re

import pytest

from spelangy_assets.report.leaderboard_page import Results, RunDescription, leaderboard_page
from spelangy_assets.report.text_results import TextResult, text_metrics
from spelangy_model.records import Metric

RESULTS = (
    TextResult("Core", ("one.acc", "two.acc_norm"), (("paper, before", 62.4), ("paper, after", 61.8))),
    TextResult("Code", ("humaneval.pass_at_1",), (("paper, after", 37.6),)),
)
METRICS = [
    Metric("fine", "text_skill.one.acc", 0.5, 0.4, 0.6, 100),
    Metric("fine", "text_skill.two.acc_norm", 0.3, 0.3, 0.3, 50),
    Metric("fine", "text_skill.humaneval.pass_at_1", 0.25, math.nan, math.nan, 164),
    Metric("base_lm", "text_skill.one.acc", 0.7, 0.6, 0.8, 100),
]


def test_a_result_is_the_mean_of_its_metrics_with_their_joint_interval() -> None:
    core, code = text_metrics(METRICS, RESULTS)  # base_lm lacks a metric of each
    assert (core.subject, core.metric, core.count) == ("fine", "text_result.Core.accuracy", 150)
    assert (core.value, core.low, core.high) == pytest.approx((0.4, 0.35, 0.45))
    assert code.value == 0.25
    assert math.isnan(code.low)
    with pytest.raises(ValueError, match="needs a name without dots"):
        TextResult("a.b", ("one.acc",))


def test_the_page_has_a_column_for_each_run_and_each_published_model() -> None:
    metrics = [*METRICS, *text_metrics(METRICS, RESULTS)]
    runs = [RunDescription("fine", "Fine chunks.", "spelangy lineage eval_fine")]
    page = leaderboard_page(Results(metrics, runs, text_results=RESULTS))
    table = page.partition("Text results beside published ones")[2].partition("</table>")[0]
    cells = [re.sub(r"<[^>]+>", " ", cell).split() for cell in re.findall(r"<t[hd].*?</t[hd]>", table)]
    words = [" ".join(cell) for cell in cells]
    assert words == [
        *("result", "fine", "paper, before", "paper, after"),
        *("Core (%)", "40.0 [35.0, 45.0]", "62.4", "61.8"),
        *("Code (%)", "25.0", "-", "37.6"),
    ]
