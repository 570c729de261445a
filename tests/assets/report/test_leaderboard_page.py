"""The leaderboard says what the metrics say, calls no overlap a difference, and loses no number."""

import html
import math
import re
from dataclasses import replace

import pytest

from spelangy_assets.report.comparisons import ArmComparison, ArmScore, sentence
from spelangy_assets.report.leaderboard_page import (
    Ablation,
    CleanScore,
    Provenance,
    RunDescription,
    leaderboard_markdown,
    leaderboard_page,
)
from spelangy_model.records import Metric

NAN = math.nan


def metric(subject, name, value, low=NAN, high=NAN, count=800):
    return Metric(subject, name, value, low, high, count)


RUNS = [
    RunDescription("run_web", "Web speech <only>.", "spelangy lineage eval_web", {"mix": "web"}),
    RunDescription("run_quest", "With Quest.", "spelangy lineage eval_quest", {"mix": "quest"}),
    RunDescription("run_fine", "Fine chunks.", "spelangy lineage eval_fine"),
    RunDescription("run_new", "Not evaluated yet.", "spelangy lineage eval_new"),
]
METRICS = [
    metric("run_web", "sqa.all.accuracy", 0.262, 0.230, 0.296),
    metric("run_web", "sqa.sample_world.heard_wording.accuracy", 0.30, 0.25, 0.35),
    metric("run_web", "sqa.sample_world.accuracy", 0.262, 0.230, 0.296),
    metric("run_web", "sqa.accent.en-us.accuracy", 0.27, 0.22, 0.32, 400),
    metric("run_web", "text_qa.accuracy", 0.99, 0.98, 1.0),
    metric("run_web", "gap.reverse_kl", 10.72, 10.1, 11.2),
    metric("run_web", "gap.sample_world.heard_wording.reverse_kl", 9.5, 9.0, 10.0),
    metric("run_quest", "sqa.all.accuracy", 0.412, 0.380, 0.446),
    metric("run_fine", "sqa.all.accuracy", 0.275, 0.245, 0.306),
    metric("web_fine_tokens", "topic.music.share", 0.45, 0.42, 0.48, 500),
    metric("quest_tokens", "topic.music.share", 0.20, 0.17, 0.23, 500),
    metric("web_fine_tokens", "topic.distance_to.quest_tokens", 0.123, count=1),
    metric("quest_tokens", "contamination.all.8gram", 0.025, 0.01, 0.04, 400),
    metric("quest_tokens", "contamination.all.whole_question", 0.333, 0.3, 0.4, 400),
    metric("speech_tokenizer", "codes_used", 865, count=1000),
    metric("run_web", "perplexity.text", 7.654321),
    metric("base_lm", "text_skill.own_questions.acc", 0.92, 0.90, 0.94),
    metric("run_web", "text_skill.own_questions.acc", 0.87, 0.84, 0.90),
    metric("run_web", "text_skill.own_questions.acc.drop", 0.05, 0.02, 0.08),
    metric("run_web", "text_skill.held_out_text.bits_per_byte", 0.41, 0.40, 0.42),
]


def pair(first, second, difference, low, high, p, **changes) -> ArmComparison:
    known = {
        "metric": "sqa.all.accuracy",
        "first_value": 0.4,
        "second_value": 0.4 - difference,
        "p_adjusted": p,
        "p_mcnemar": NAN,
        "resolved": p < 0.05,
        "questions": 800,
        "first_seeds": 1,
        "second_seeds": 1,
        "needed_questions": 3712,
        "needed_seeds": 0,
    }
    return ArmComparison(
        first=first, second=second, difference=difference, low=low, high=high, p_value=p, **{**known, **changes}
    )


PAIRS = [
    pair("run_quest", "run_fine", 0.137, 0.09, 0.18, 0.0001),
    pair("run_fine", "run_web", 0.013, -0.02, 0.05, 0.41),
]


def cells(page: str, run: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row"><a href="#run-\d">{run}</a></th>(.*?)</tr>', page)
    assert row
    return [re.sub(r"<[^>]+>", " ", cell).split("  ")[0].strip() for cell in re.findall(r"<td.*?</td>", row[1])]


def test_runs_stand_best_first_and_each_says_how_it_stands_to_chance():
    page = leaderboard_page(METRICS, RUNS)
    assert re.findall(r'<a href="#run-\d">(\w+)</a>', page) == ["run_quest", "run_fine", "run_web", "run_new"]
    assert cells(page, "run_quest")[0] == "above chance"
    assert cells(page, "run_web")[0] == "not resolved from chance"
    assert cells(page, "run_new")[0] == "not evaluated"
    assert cells(leaderboard_page(METRICS, RUNS, chance=0.5), "run_quest")[0] == "below chance"


def test_each_pair_is_called_what_its_comparison_says():
    page = re.sub(r"</?strong.*?>", "", leaderboard_page(METRICS, RUNS, PAIRS))
    for text in (leaderboard_markdown(METRICS, RUNS, PAIRS), html.unescape(page)):
        assert "resolved: run_quest over run_fine by 13.7 points [9.0, 18.0], p < 0.001." in text
        assert "not resolved: run_fine over run_web by 1.3 points [-2.0, 5.0], p = 0.410." in text
        assert "not resolved: run_quest" not in text


def test_what_is_not_resolved_comes_with_what_it_would_take():
    assert "it would take about 3,700 questions (there are 800)" in sentence(PAIRS[1])
    for text in (leaderboard_markdown(METRICS, RUNS, PAIRS), leaderboard_page(METRICS, RUNS, PAIRS)):
        assert text.count("takes 3 seeds or more to know") == 1
    several = sentence(pair("a", "b", 0.02, -0.03, 0.07, 0.3, first_seeds=3, second_seeds=3, needed_seeds=14))
    assert "about 3,700 questions (there are 800) or 14 seeds an arm (there are 3 and 3)" in several
    assert "Over 3 and 3 seeds." in several
    assert "more questions would not help" in sentence(
        pair("a", "b", 0.02, -0.03, 0.07, 0.3, first_seeds=3, second_seeds=3, needed_questions=0)
    )
    assert "no difference to look for" in sentence(pair("a", "b", 0.0, -0.03, 0.03, 1.0))


def test_ablations_stand_beside_the_paper_in_its_direction():
    rows = [
        Ablation("Synthetic data", "run_fine", "run_quest", "with Quest", (40.7, 47.9)),
        Ablation("Granularity", "run_fine", "run_web", "coarse to fine", (37.6, 40.7)),
        Ablation("Granularity", "run_fine", "run_none", "to nothing", (1.0, 2.0)),
        Ablation("Length", "run_fine", "run_web"),
    ]
    page = leaderboard_page(METRICS, RUNS, PAIRS, ablations=rows)
    assert re.findall(r"<h3>(Synthetic data|Granularity|Length)</h3>", page) == [
        "Synthetic data",
        "Granularity",
        "Length",
    ]
    wanted = r"<tr>(?=<th[^>]*>(?:with|coarse|to|run_fine to)).*</tr>"
    found = [re.sub(r"\s*<[^>]+>\s*", " ", row) for row in re.findall(wanted, page)]
    assert [" ".join(row.split()) for row in found] == [
        "with Quest run_fine to run_quest 40.7 to 47.9 +7.2 26.3 to 40.0 +13.7 [+9.0, +18.0] resolved",
        "coarse to fine run_fine to run_web 37.6 to 40.7 +3.1 40.0 to 38.7 -1.3 [-5.0, +2.0] not resolved",
        "to nothing run_fine to run_none 1.0 to 2.0 +1.0 - - not evaluated",
        "run_fine to run_web run_fine to run_web - - 40.0 to 38.7 -1.3 [-5.0, +2.0] not resolved",
    ]


def test_contamination_is_plotted_tested_and_said_in_words(parsed):
    clean = [
        CleanScore("run_web", 0.26, 0.25, 0.27, 300, 100, 0.4, False),
        CleanScore("run_quest", 0.41, 0.30, 0.60, 300, 100, 0.0004, True),
        CleanScore("run_fine", 0.27, 0.27, NAN, 400, 0, NAN, False),
    ]
    page = leaderboard_page(METRICS, RUNS, PAIRS, clean=clean)
    for verdict in ("not inflated", "inflated", "cannot be tested"):
        assert f">{verdict}</td>" in page
    assert "60.0 (100)" in page
    labels = parsed(page).values("svg", "aria-label")
    assert "Share of questions by length of the shared run: quest_tokens: 8 words 2.5%" in labels


def test_every_metric_is_somewhere_on_the_page():
    page = leaderboard_page(METRICS, RUNS)
    for shown in "26.2 41.2 27.5 30.0 27.0 99.0 10.7 9.5 45.0 20.0 0.123 2.5 33.3 865 7.65".split():  # noqa: SIM905
        assert f">{shown}<" in page
    assert "perplexity.text" in page
    assert "codes_used" in page


def test_text_skill_stands_beside_the_base_lm_with_what_was_lost():
    table = page_of_table(leaderboard_page(METRICS, RUNS), "Text skill")
    assert table["columns"] == ["own questions acc (%)", "own questions acc drop (%)", "held out text bits per byte"]
    assert table["rows"] == {"base_lm": ["92.0", "-", "-"], "run_web": ["87.0", "5.0", "0.41"]}


def test_every_base_lm_stands_in_the_table_of_text_skill_whatever_its_name():
    second = metric("a_base_made_elsewhere", "text_skill.own_questions.acc", 0.77, 0.75, 0.79)
    others = [replace(each, subject="first_base") if each.subject == "base_lm" else each for each in METRICS]
    rows = page_of_table(leaderboard_page([*others, second], RUNS), "Text skill")["rows"]
    assert rows["first_base"] == ["92.0", "-", "-"]
    assert rows["a_base_made_elsewhere"] == ["77.0", "-", "-"]
    assert set(rows) == {"first_base", "a_base_made_elsewhere", "run_web"}


def test_every_number_leads_to_the_dataset_that_it_was_read_from():
    eval_web = Provenance("eval_web", "d" * 64, "evaluate 3", ["run: 0123", "questions: 4567"])
    topics = Provenance("web_fine_topics", "e" * 64, "cover_topics 2", ["texts: 89ab"])
    sources = {
        (each.subject, each.metric): topics if each.metric.startswith("topic.") else eval_web for each in METRICS
    }
    page = leaderboard_page(METRICS, RUNS, sources=sources)
    cells = re.findall(r'<td class="number[^"]*"[^>]*>(.*?)</td>', page)
    numbers = [cell for cell in cells if re.match(r"(<a[^>]*>)?[\d.]+", cell)]
    assert len(numbers) >= len(METRICS)
    assert all(cell.startswith('<a class="from" href="#from-') for cell in numbers)
    assert all(f'id="{anchor}"' in page for anchor in re.findall(r'href="#(from-[^"]*)"', page))
    assert "spelangy lineage web_fine_topics" in page
    assert "run: 0123, questions: 4567" in page
    assert "eeeeeeeeeeeeeeee" in page
    assert "cover_topics 2" in page


def page_of_table(page: str, title: str) -> dict:
    """Return the columns of a table, and the values of its rows without their intervals."""
    found = re.search(rf"<h2>{title}</h2>(.*?)</table>", page, re.S)
    assert found
    head, body = found[1].split("<tbody>")
    rows = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', body)
    return {
        "columns": re.findall(r'<th scope="col" class="number">(.*?)</th>', head),
        "rows": {name: re.findall(r"<td[^>]*>([^<]*)", cells) for name, cells in rows},
    }


def test_markdown_has_a_row_for_each_run_and_a_dash_for_what_is_missing():
    lines = leaderboard_markdown(METRICS, RUNS).splitlines()
    head = ["run", "spoken QA, all (%)", "spoken QA, sample world heard wording (%)", "text QA (%)"]
    assert lines[0] == f"| {' | '.join([*head, 'gap, reverse KL (nats)'])} |"
    assert lines[2] == "| run_quest | 41.2 [38.0, 44.6] | - | - | - |"
    assert lines[5] == "| run_new | - | - | - | - |"
    assert "chance is 25%" in "\n".join(lines)


def test_lineage_commands_are_shown_and_texts_are_escaped():
    page = leaderboard_page(METRICS, RUNS)
    for run in RUNS:
        assert f"<code>{run.lineage_command}</code>" in page
    assert "Web speech &lt;only&gt;." in page


def test_the_page_is_whole_asks_for_nothing_and_its_plots_have_words(parsed):
    page = leaderboard_page(METRICS, RUNS, PAIRS)
    checker = parsed(page)
    assert not checker.values("script", "src")
    assert not checker.values("img", "src")
    assert "url(" not in page
    assert page.count("<svg") == len(checker.values("svg", "aria-label")) == 6
    assert "run_quest: 41.2 [38.0, 44.6], chance 25%" in checker.values("svg", "aria-label")
    assert {link[1:] for link in checker.values("a", "href")} <= set(checker.ids)


def test_dots_stand_where_their_values_are():
    page = leaderboard_page(METRICS, RUNS)
    figure = page.split("<figure>")[1]
    chance = float(re.findall(r'class="chance" x1="([\d.]+)"', figure)[0])
    dots = [float(x) for x in re.findall(r'class="dot" x1="([\d.]+)"', figure)]
    ends = re.findall(r'class="interval" x1="([\d.]+)" x2="([\d.]+)"', figure)
    assert dots == sorted(dots, reverse=True)
    assert dots[-1] > chance
    assert all(float(low) < dot < float(high) for (low, high), dot in zip(ends, dots, strict=True))
    assert (dots[0] - chance) / (dots[-1] - chance) == pytest.approx((0.412 - 0.25) / (0.262 - 0.25), rel=0.02)


def test_no_runs_and_no_metrics_still_give_a_page(parsed):
    parsed(leaderboard_page([], []))
    parsed(leaderboard_page([], RUNS))


def test_a_metric_given_twice_is_named():
    with pytest.raises(ValueError, match=r"sqa\.all\.accuracy.*run_web"):
        leaderboard_page([*METRICS, METRICS[0]], RUNS)


def test_arms_of_several_seeds_stand_together_and_single_runs_are_not_repeated(parsed):
    arms = [
        ArmScore("fine", 3, 0.3, 0.25, 0.35, 0.28, 0.32, 0.04),
        ArmScore("quest", 3, 0.4, 0.36, 0.44, 0.38, 0.41, 0),
    ]
    page = leaderboard_page(METRICS, RUNS, PAIRS, arms)
    parsed(page)
    assert page.index(">quest</th>") < page.index(">fine</th>")
    assert "28.0 to 32.0" in page
    assert "| quest | 3 | 40.0 [36.0, 44.0] | 38.0 to 41.0 | < 0.001 |" in leaderboard_markdown(
        METRICS, RUNS, PAIRS, arms
    )
    single = [ArmScore("run_a", 1, 0.3, 0.25, 0.35, 0.3, 0.3, 0.04)]
    assert "Arms over their seeds" not in leaderboard_page(METRICS, RUNS, PAIRS, single)
