"""Pages made to break a reader end in time that grows with their size, and what follows them is read."""

from __future__ import annotations

import gzip
import importlib.util
import io
import re
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from spelangy_model.records import Page, Reject
from spelangy_model.text import questions
from spelangy_model.text.extract import extract_text
from spelangy_model.text.html_pages import looks_like_html
from spelangy_model.text.krist import rewrite_for_listening
from spelangy_model.text.questions import mine_questions
from spelangy_model.text.rights import robots_of, stated_licence
from spelangy_model.text.spans import find_in_order
from spelangy_model.text.warc import read_archive

HOURS_IF_NOT_LINEAR = 50_000
REASONS = {
    "no bytes": "reject: empty_payload",
    "binary bytes": "reject: binary_payload",
    "UTF-16 that is none": "reject: undecodable_text",
    "noise called UTF-8": "reject: undecodable_text",
    "an attribute of 100 MB": "reject: too_large",
    "800,000 nested <div>": "reject: nested_too_deep",
    "nested lists": "reject: nested_too_deep",
    "a gigabyte of zeros, gzipped": "reject: too_large",
    "an ordinary page": "text kept, krist 2 scripts",
}


def load_fuzzer(project_dir: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_pages", project_dir / "benchmarks/fuzz_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["fuzz_pages"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def fuzzer(project_dir: Path) -> ModuleType:
    return load_fuzzer(project_dir)


@pytest.mark.timeout(30)  # each of these took minutes to years
@pytest.mark.parametrize(
    "read",
    [
        lambda: stated_licence("<a rel=x " * HOURS_IF_NOT_LINEAR),
        lambda: stated_licence('license <script type="application/ld+json">' * HOURS_IF_NOT_LINEAR),
        lambda: robots_of("robots <meta name=x " * HOURS_IF_NOT_LINEAR),
        lambda: find_in_order("the x y mill is old. " * 10_000, ["The mill is old."] * 5_000),
        lambda: looks_like_html(b"<!---->" * 290 + b"x"),
        lambda: extract_text("<main " * HOURS_IF_NOT_LINEAR),
        lambda: rewrite_for_listening("a." * HOURS_IF_NOT_LINEAR),
        lambda: mine_questions("<dl>" + "<dt>Why so?<dd>x" * 5_000),
        lambda: mine_questions("<details><summary>Why so?</summary>x" * 5_000),
        lambda: mine_questions('<div itemtype="schema.org/Question"><b itemprop=name>Why?</b>' * 5_000),
        lambda: mine_questions('<script type="application/ld+json">{"@type":"Question"}</script>' * 5_000),
        lambda: mine_questions("<p>" + "Why is it so? It is. " * 1_000),
        lambda: mine_questions(
            "".join(f'<h3><a href="#one">Why is it {number}?</a></h3>' for number in range(2_000))
            + f"<div id=one>{'<p>It is so.' * 2_000}</div>"
        ),
    ],
)
def test_pages_made_to_be_slow_are_not(read):
    read()


@pytest.mark.timeout(30)  # the miner looked at all sentences of a paragraph for each question in it
def test_a_paragraph_of_questions_takes_time_that_grows_with_its_length(monkeypatch):
    monkeypatch.setattr(questions, "split_sentences", re.compile(r"(?<=[?.]) ").split)  # without pysbd's own time
    mined = mine_questions("<p>" + "".join(f"Why is it {number}? It is. So be it. " for number in range(30_000)))
    assert (mined[-1].question, mined[-1].answer) == ("Why is it 29999?", "It is. So be it.")
    assert len(mined) == 30_000


def test_an_answer_as_long_as_a_book_is_refused_before_it_is_cut_into_sentences(monkeypatch):
    monkeypatch.setattr(questions, "split_sentences", lambda text: pytest.fail("was cut"))
    mined = questions.MinedQuestion("Why is the mill old?", "It is so, as said. " * 2_000, "accordion")
    assert questions._refuse_answer(mined.answer, questions.QuestRules(), in_flow=False) == "answer_too_long"


def test_a_panel_that_many_questions_open_is_the_answer_of_few():
    controls = "".join(f'<button aria-controls="one">Why is it {number}?</button>' for number in range(9))
    mined = mine_questions(f'{controls}<div id="one"><p>It is so.</p></div>', ("accordion",))
    assert [pair.question for pair in mined] == [f"Why is it {number}?" for number in range(4)]


@pytest.mark.parametrize("packed", [False, True])
def test_what_stands_behind_a_gzip_bomb_is_read(fuzzer, packed):
    records = [fuzzer.archive(gzip.compress(bytes(60 * 2**20))), fuzzer.archive(b"<p>Here.</p>")]
    data = b"".join(map(gzip.compress, records) if packed else records)
    bomb, page = read_archive(io.BytesIO(data), "a.warc")
    assert isinstance(bomb, Reject)
    assert bomb.reason == "too_large"
    assert isinstance(page, Page)


def test_markup_nested_too_deep_is_left_alone_and_the_rest_is_mined():
    deep = "".join(f"<details><summary>Why is it {depth} deep?</summary>" for depth in range(9))
    html = f"{deep}</details>{'</details>' * 8}<details><summary>Why is it flat?</summary>It is.</details>"
    mined = [pair.question for pair in mine_questions(html, ("details",))]
    assert mined == [*(f"Why is it {depth} deep?" for depth in range(4)), "Why is it flat?"]


def outcomes(fuzzer, names, folder: Path) -> dict[str, str]:
    """Read each bomb in a process of its own, and return what became of it."""
    found = {}
    for name in names:
        path = folder / "bomb.warc"
        path.write_bytes(fuzzer.archive(fuzzer.BOMBS[name]()) + fuzzer.archive(b"<p>What stands behind it is read."))
        result = fuzzer.run_bomb(path)
        assert len(result["fates"]) == 2, name
        found[name] = result["fates"][0]
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", ["an attribute of 100 MB", "800,000 nested <div>", "a gigabyte of zeros, gzipped"])
def test_a_bomb_is_rejected_with_its_reason(fuzzer, name, tmp_path):
    assert outcomes(fuzzer, [name], tmp_path) == {name: REASONS[name]}


@pytest.mark.slow
@pytest.mark.nightly
def test_no_bomb_kills_and_each_has_its_reason(fuzzer, tmp_path):
    # Two are left out, which are a minute of work and no danger: benchmarks/fuzz_pages.py has them.
    names = set(fuzzer.BOMBS) - {"one paragraph of questions", "100,000 headings"}
    found = outcomes(fuzzer, sorted(names), tmp_path)
    assert {name: found[name] for name in REASONS} == REASONS


@pytest.mark.slow
@pytest.mark.parametrize("cases", [200, pytest.param(1000, marks=pytest.mark.nightly)])
def test_no_damaged_page_raises(fuzzer, shared_dir, cases):
    pages = fuzzer.payloads(shared_dir / "data/web/pages.warc.gz")
    fates, failures, *_ = fuzzer.run_cases(pages, 1, range(cases))
    assert failures == []
    assert fates["krist"] > 0.05 * cases
    assert fates["questions"] > 0.01 * cases
    assert set(fates) - {"krist", "questions"} <= {
        "page",
        "undecodable_text",
        "binary_payload",
        "empty_payload",
        "nested_too_deep",
    }
    assert fuzzer.make_case(pages, 1, 7) == fuzzer.make_case(pages, 1, 7)
    assert Counter(fates)["page"] > 0.8 * cases
