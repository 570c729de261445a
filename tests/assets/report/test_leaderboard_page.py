"""The leaderboard says what the metrics say, calls no overlap a difference, and loses no number."""

import html
import math
import re
from dataclasses import replace

import pytest

from spelangy_assets.report.comparisons import (
    ACCURACY,
    GAP,
    NOT_RESOLVED,
    NOT_SEEN,
    RESOLVED,
    SEEN,
    ArmComparison,
    ArmScore,
    ArmWork,
    MetricNoise,
    sentence,
    would_take,
)
from spelangy_assets.report.leaderboard_page import (
    Ablation,
    CleanScore,
    Provenance,
    Results,
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
    metric("run_web", "sqa.sample_world.seen_wording.accuracy", 0.30, 0.25, 0.35),
    metric("run_web", "sqa.sample_world.accuracy", 0.262, 0.230, 0.296),
    metric("run_web", "sqa.accent.en-us.accuracy", 0.27, 0.22, 0.32, 400),
    metric("run_web", "text_qa.accuracy", 0.99, 0.98, 1.0),
    metric("run_web", "gap.reverse_kl", 10.72, 10.1, 11.2),
    metric("run_web", "gap.sample_world.seen_wording.reverse_kl", 9.5, 9.0, 10.0),
    metric("run_quest", "sqa.all.accuracy", 0.412, 0.380, 0.446),
    metric("run_fine", "sqa.all.accuracy", 0.275, 0.245, 0.306),
    metric("web_fine_tokens", "topic.music.share", 0.45, 0.42, 0.48, 500),
    metric("quest_tokens", "topic.music.share", 0.20, 0.17, 0.23, 500),
    metric("web_fine_tokens", "topic.distance_to.quest_tokens", 0.123, count=1),
    metric("run_quest", "contamination.all.8gram", 0.025, 0.01, 0.04, 400),
    metric("run_quest", "contamination.all.whole_question", 0.333, 0.3, 0.4, 400),
    metric("speech_tokenizer", "codes_used", 865, count=1000),
    metric("run_web", "perplexity.text", 7.654321),
    metric("base_lm", "text_skill.own_questions.acc", 0.92, 0.90, 0.94),
    metric("run_web", "text_skill.own_questions.acc", 0.87, 0.84, 0.90),
    metric("run_web", "text_skill.own_questions.acc.drop", 0.05, 0.02, 0.08),
    metric("run_web", "text_skill.held_out_text.bits_per_byte", 0.41, 0.40, 0.42),
]


def pair(first, second, difference, low, high, p, verdict=SEEN, **changes) -> ArmComparison:
    known = {
        "metric": ACCURACY,
        "planned": True,
        "first_value": 0.4,
        "second_value": 0.4 - difference,
        "p_adjusted": p,
        "same_questions_low": NAN,
        "same_questions_high": NAN,
        "same_questions_p_value": NAN,
        "same_questions_p_adjusted": NAN,
        "clusters": 80,
        "first_seeds": 1,
        "second_seeds": 1,
        "alpha": 0.025,
        "smallest_effect": 0.05,
        "effect": 0.031,
        "needed_clusters": 209,
        "needed_seeds": 0,
        "needed_both": [],
    }
    return ArmComparison(
        first=first,
        second=second,
        difference=difference,
        low=low,
        high=high,
        p_value=p,
        verdict=verdict,
        **{**known, **changes},
    )


PAIRS = [
    pair("run_quest", "run_fine", 0.137, 0.09, 0.18, 0.0001, effect=0.072),
    pair("run_fine", "run_web", 0.013, -0.02, 0.05, 0.41, NOT_SEEN),
    pair("run_quest", "run_web", 0.15, 0.11, 0.19, 0.0001, "", planned=False, p_adjusted=NAN),
]
ABLATIONS = [
    Ablation("Synthetic data", "run_fine", "run_quest", "with Quest", (40.7, 47.9)),
    Ablation("Granularity", "run_web", "run_fine", "coarse to fine", (37.6, 40.7)),
]
WORK = [
    ArmWork("run_web", 400, 9000, 4000, 1350, 600, 0.1, ["web_coarse"], [1.9]),
    ArmWork("run_fine", 400, 9100, 4100, 1360, 610, 0.1, ["web_fine"], [2.0]),
    ArmWork("run_quest", 400, 9900, 6000, 1370, NAN, 0.02, ["web_fine", "quest"], [0.5, 3.0]),
]


def results(**changes) -> Results:
    known = {"metrics": METRICS, "runs": RUNS, "comparisons": PAIRS, "ablations": ABLATIONS, "work": WORK}
    return Results(**{**known, **changes})


def page_of(sources=None, chance=0.25, **changes) -> str:
    return leaderboard_page(results(**changes), sources=sources, chance=chance)


def cells(page: str, run: str) -> list[str]:
    row = re.search(rf'<tr><th scope="row"><a href="#run-\d">{run}</a></th>(.*?)</tr>', page)
    assert row
    return [re.sub(r"<[^>]+>", " ", cell).split("  ")[0].strip() for cell in re.findall(r"<td.*?</td>", row[1])]


def test_runs_stand_best_first_and_each_says_how_it_stands_to_chance():
    page = page_of()
    assert re.findall(r'<a href="#run-\d">(\w+)</a>', page) == ["run_quest", "run_fine", "run_web", "run_new"]
    assert cells(page, "run_quest")[0] == "above chance"
    assert cells(page, "run_web")[0] == "not resolved from chance"
    assert cells(page, "run_new")[0] == "not evaluated"
    assert cells(page_of(chance=0.5), "run_quest")[0] == "below chance"


def plain(text: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", text)).split())


def test_what_was_asked_stands_first_with_the_paper_beside_it():
    page = page_of()
    assert page.index('id="asked"') < page.index('id="sure"') < page.index('id="runs"')
    rows = re.findall(r"<tr><th scope=\"row\">(?:Synthetic|Granularity).*?</tr>", page, re.S)
    assert [plain(row) for row in rows] == [
        "Synthetic data: with Quest run_fine to run_quest, spoken QA, accuracy (points) seen in these models the "
        "paper's sign +7.2 40.7 to 47.9 26.3 40.0 +13.7 [+9.0, +18.0] - < 0.001",
        "Granularity: coarse to fine run_web to run_fine, spoken QA, accuracy (points) not seen in these models "
        "the paper's sign +3.1 37.6 to 40.7 38.7 40.0 +1.3 [-2.0, +5.0] - = 0.410",
    ]


def test_one_seed_is_never_called_resolved():
    for text in (page_of(), leaderboard_markdown(results())):
        assert text.count("another seed of the same recipe may differ as much") == 1
    assert "**resolved" not in leaderboard_markdown(results())
    several = [replace(each, first_seeds=3, second_seeds=3, verdict=RESOLVED) for each in PAIRS]
    assert "may differ as much" not in page_of(comparisons=several)


def test_an_ablation_without_evaluation_and_one_the_other_way_are_marked():
    rows = [
        Ablation("Granularity", "run_web", "run_none", "to nothing", (1.0, 2.0)),
        Ablation("Granularity", "run_web", "run_fine", "to worse", (40.7, 37.6)),
    ]
    page = plain(page_of(ablations=rows))
    assert (
        "to nothing run_web to run_none, spoken QA, accuracy (points) not evaluated +1.0 1.0 to 2.0 - - - - -" in page
    )
    assert "the other sign" in page


def test_a_metric_of_its_own_stands_beside_the_accuracy():
    rows = [Ablation("Granularity", "run_web", "run_quest", "to Quest", (37.6, 40.7), metric=GAP, effect=0.5)]
    by_gap = pair("run_quest", "run_web", -1.2, -2.0, -0.4, 0.01, metric=GAP, smallest_effect=1.1, effect=0.5)
    page = plain(page_of(ablations=rows, comparisons=[by_gap, PAIRS[2]]))
    assert (
        "modality gap, reverse KL (nats) seen in these models the paper's sign +3.1 37.6 to 40.7 "
        "1.60 0.40 -1.20 [-2.00, -0.40]" in page
    )
    assert "Beside it, accuracy +15.0 points [+11.0, +19.0], exploratory." in page
    with pytest.raises(ValueError, match=r"tested by 'gap': take one of sqa\.all\.accuracy"):
        Ablation("x", "a", "b", metric="gap")


def test_what_no_seed_draws_anew_is_said_of_verdicts_alone():
    note = "All runs start from one base LM"
    assert note in leaderboard_page(results(one_base=True))
    assert note in leaderboard_markdown(results(one_base=True))
    for other in (results(), results(one_base=True, ablations=[])):
        assert note not in leaderboard_page(other)
        assert note not in leaderboard_markdown(other)


def test_each_comparison_says_what_its_design_finds_and_what_it_would_take():
    assert would_take(PAIRS[0]) == "This design finds 5.0 points four times in five. That is enough for 7.2 points."
    assert would_take(PAIRS[1]) == (
        "This design finds 5.0 points four times in five. For 3.1 points it would take about 210 clusters of questions "
        "(there are 80) if seeds made no difference, which one seed cannot show."
    )
    several = pair("a", "b", 0.02, -0.03, 0.07, 0.3, NOT_RESOLVED, first_seeds=3, second_seeds=3, needed_seeds=14)
    assert "about 210 clusters of questions (there are 80) or 14 seeds an arm (there are 3)." in would_take(several)
    both = replace(several, needed_clusters=0, needed_seeds=0, needed_both=[300, 12])
    assert "about 300 clusters of questions (there are 80) and 12 seeds an arm (there are 3)." in would_take(both)
    assert would_take(replace(several, effect=NAN)).endswith("No effect is named to be found.")
    assert would_take(replace(several, needed_clusters=0, needed_seeds=0)).endswith(
        "more than a thousand seeds an arm."
    )
    for text in (page_of(), leaderboard_markdown(results())):
        assert "about 210 clusters of questions" in text
        assert "would not help" not in text


def test_two_populations_are_shown_apart():
    several = pair("a", "b", 0.02, -0.03, 0.07, 0.3, NOT_RESOLVED, same_questions_low=0.0, same_questions_high=0.04)
    assert sentence(several) == "a over b by +2.0 points [-3.0, +7.0], on these questions [+0.0, +4.0], p = 0.300"


def test_pairs_that_were_not_planned_have_no_verdict():
    page = page_of()
    section = page[page.index('id="exploratory"') :].split("</details>")[0]
    assert "run_quest over run_web by +15.0 points [+11.0, +19.0]" in section
    assert "p &lt;" not in section
    assert "p =" not in section


def test_arms_of_unequal_work_are_named():
    for text in (page_of(), leaderboard_markdown(results())):
        assert "Not equal: +9% tokens, +46% loss tokens." in text
        assert text.count("Not equal") == 1


def test_contamination_is_plotted_tested_and_described(parsed):
    clean = [
        CleanScore("run_web", True, 0.26, 0.25, 0.27, 300, 100, 0.4, False, False),
        CleanScore("run_quest", True, 0.41, 0.30, 0.60, 300, 100, 0.0004, True, False),
        CleanScore("run_fine", True, 0.27, 0.27, NAN, 400, 0, NAN, False, False),
        CleanScore("other", True, 0.41, 0.30, 0.60, 300, 100, 0.0004, True, True),
        CleanScore("system", False, 0.27, 0.27, NAN, 400, 0, NAN, False, False),
    ]
    page = page_of(clean=clean)
    for verdict in ("not inflated", "inflated", "cannot be tested", "better, as the wording may be", "not known"):
        assert f">{verdict}</td>" in page
    assert "60.0 (100)" in page
    labels = parsed(page).values("svg", "aria-label")
    assert "Share of questions by length of the shared run: run_quest: 8 words 2.5%" in labels


def test_every_metric_is_somewhere_on_the_page():
    page = page_of()
    for shown in "26.2 41.2 27.5 30.0 27.0 99.0 10.7 9.5 45.0 20.0 0.123 2.5 33.3 865 7.65".split():  # noqa: SIM905
        assert f">{shown}<" in page
    assert "perplexity.text" in page
    assert "codes_used" in page


def test_text_skill_stands_beside_the_base_lm_with_what_was_lost():
    table = page_of_table(page_of(), "Text skill")
    assert table["columns"] == ["own questions acc (%)", "own questions acc drop (%)", "held out text bits per byte"]
    assert table["rows"] == {"base_lm": ["92.0", "-", "-"], "run_web": ["87.0", "5.0", "0.41"]}


def test_every_base_lm_stands_in_the_table_of_text_skill_whatever_its_name():
    second = metric("a_base_made_elsewhere", "text_skill.own_questions.acc", 0.77, 0.75, 0.79)
    others = [replace(each, subject="first_base") if each.subject == "base_lm" else each for each in METRICS]
    rows = page_of_table(page_of(metrics=[*others, second]), "Text skill")["rows"]
    assert rows["first_base"] == ["92.0", "-", "-"]
    assert rows["a_base_made_elsewhere"] == ["77.0", "-", "-"]
    assert set(rows) == {"first_base", "a_base_made_elsewhere", "run_web"}


def test_every_number_leads_to_the_dataset_that_it_was_read_from():
    eval_web = Provenance("eval_web", "d" * 64, "evaluate 3", ["run: 0123", "questions: 4567"])
    topics = Provenance("web_fine_topics", "e" * 64, "cover_topics 2", ["texts: 89ab"])
    sources = {
        (each.subject, each.metric): topics if each.metric.startswith("topic.") else eval_web for each in METRICS
    }
    page = page_of(sources=sources, comparisons=())
    tables = page[page.index('id="runs"') :]
    cells = re.findall(r'<td class="number[^"]*"[^>]*>(.*?)</td>', tables)
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
    lines = leaderboard_markdown(Results(METRICS, RUNS)).splitlines()
    head = ["run", "spoken QA, all (%)", "spoken QA, sample world seen wording (%)", "text QA (%)"]
    assert lines[0] == f"| {' | '.join([*head, 'gap, reverse KL (nats)'])} |"
    assert lines[2] == "| run_quest | 41.2 [38.0, 44.6] | - | - | - |"
    assert lines[5] == "| run_new | - | - | - | - |"
    assert "chance is 25%" in "\n".join(lines)


def test_lineage_commands_are_shown_and_texts_are_escaped():
    page = page_of()
    for run in RUNS:
        assert f"<code>{run.lineage_command}</code>" in page
    assert "Web speech &lt;only&gt;." in page


def test_the_page_is_whole_asks_for_nothing_and_its_plots_have_words(parsed):
    page = page_of()
    checker = parsed(page)
    assert not checker.values("script", "src")
    assert not checker.values("img", "src")
    assert "url(" not in page
    assert page.count("<svg") == len(checker.values("svg", "aria-label")) == 6
    assert "run_quest: 41.2 [38.0, 44.6], chance 25%" in checker.values("svg", "aria-label")
    assert {link[1:] for link in checker.values("a", "href")} <= set(checker.ids)


def test_dots_stand_where_their_values_are():
    page = page_of()
    figure = page.split("<figure>")[1]
    chance = float(re.findall(r'class="chance" x1="([\d.]+)"', figure)[0])
    dots = [float(x) for x in re.findall(r'class="dot" x1="([\d.]+)"', figure)]
    ends = re.findall(r'class="interval" x1="([\d.]+)" x2="([\d.]+)"', figure)
    assert dots == sorted(dots, reverse=True)
    assert dots[-1] > chance
    assert all(float(low) < dot < float(high) for (low, high), dot in zip(ends, dots, strict=True))
    assert (dots[0] - chance) / (dots[-1] - chance) == pytest.approx((0.412 - 0.25) / (0.262 - 0.25), rel=0.02)


def test_no_runs_and_no_metrics_still_give_a_page(parsed):
    parsed(leaderboard_page(Results([], [])))
    parsed(leaderboard_page(Results([], RUNS)))


def test_a_metric_given_twice_is_named():
    with pytest.raises(ValueError, match=r"sqa\.all\.accuracy.*run_web"):
        page_of(metrics=[*METRICS, METRICS[0]])


def test_arms_stand_best_first_beside_what_they_were_trained_on(parsed):
    arms = [
        ArmScore("run_fine", 3, 0.3, 0.25, 0.35, 0.28, 0.32, 0.04),
        ArmScore("run_quest", 3, 0.4, 0.36, 0.44, 0.38, 0.41, 0),
        ArmScore("cascade", 1, 0.2, 0.16, 0.24, 0.2, 0.2, 0.01),
    ]
    page = page_of(arms=arms)
    parsed(page)
    table = plain(page[page.index('id="arms"') :].split("</table>")[0])
    assert "run_quest 3 40.0 [36.0, 44.0] 38.0 to 41.0 < 0.001 9,900 6,000 13.8% - 2.0% web_fine 0.5, quest 3" in table
    assert "run_fine 3 30.0 [25.0, 35.0] 28.0 to 32.0 = 0.040 9,100 4,100 14.9% 10.2 min 10.0% web_fine 2" in table
    assert table.index("run_quest") < table.index("run_fine") < table.index("cascade 1 20.0 [16.0, 24.0] - = 0.010 - -")
    line = "| run_quest | 3 | 40.0 [36.0, 44.0] | 38.0 to 41.0 | < 0.001 | 6,000 | - | 2.0% |"
    assert line in leaderboard_markdown(results(arms=arms))


def test_metrics_stand_with_their_noise_and_their_decisions():
    noise = [
        MetricNoise(ACCURACY, 4, 0.018, 0.036, 0.75, 54, "miniature"),
        MetricNoise(GAP, 4, NAN, 1.5, NAN, 0, "miniature"),
    ]
    page = page_of(noise=noise)
    assert "as the accuracy of miniature does" in page
    table = plain(page[page.index('id="noise"') :].split("</table>")[0])
    assert "spoken QA, accuracy points 1.8 3.6 2 75% 54" in table
    assert "modality gap, reverse KL nats - 1.5 - - 0" in table
