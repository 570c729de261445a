"""The main text of pages: furniture goes, structure stays, nothing crashes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.text.extract import ExtractionRules, extract_text, page_title

PROSE = "The old mill stands at the edge of the village, where the brook freezes in winter and the wheel rests."
MORE = "Two brothers ran it for forty years, and each of them wrote down every sack of flour that left the house."
LAST = "Since then the roof has been mended twice, and in summer children of the village learn there how to bake bread."


def load_benchmark(project_dir: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("extraction", project_dir / "benchmarks/extraction.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["extraction"] = module
    spec.loader.exec_module(module)
    return module


def page(body: str) -> str:
    return f"<!doctype html><html><head><title>T</title></head><body>{body}</body></html>"


def test_structure_is_kept_as_written_form():
    html = page(
        f"<article><h1>The mill</h1><p>{PROSE}</p><h2>Parts</h2><ul><li>a wheel</li><li>two stones</li></ul>"
        f"<table><tr><th>Built</th><td>1742</td></tr></table><p>{PROSE} It is &lt; 9 m high.</p></article>"
    )
    assert extract_text(html).splitlines() == [
        "# The mill",
        PROSE,
        "",
        "## Parts",
        "- a wheel",
        "- two stones",
        "Built | 1742",
        f"{PROSE} It is < 9 m high.",
    ]


def test_questions_keep_their_answers():
    html = page(f"<main><h2>Why did the mill stop?</h2><p>{PROSE}</p><h2>Who owns it?</h2><p>{MORE}</p></main>")
    assert extract_text(html).splitlines() == ["## Why did the mill stop?", PROSE, "", "## Who owns it?", MORE]


@pytest.mark.parametrize(
    "furniture",
    [
        '<nav><a href="/">Home</a><a href="/news">Newest stories of the whole wide world, all for you</a></nav>',
        '<div class="newsletter-box"><p>Sign up for the letter that everybody in the whole village reads.</p></div>',
        '<div id="comments"><p>I was there in my youth and the miller gave me a bag of the finest flour.</p></div>',
        "<footer><p>This page was written by volunteers who meet in the old school every second Monday.</p></footer>",
        "<form><p>Please fill in the form below, and we will send you everything that there is to know.</p></form>",
        '<ul><li><a href="/a">Ten things about bread that you have never seen before</a></li></ul>',
        "<script>var text = 'The script holds a sentence that is long enough to look like prose.';</script>",
    ],
)
def test_furniture_is_left_out(furniture):
    body = f"{furniture}<article><p>{PROSE}</p><p>{MORE}</p><p>{LAST}</p></article>{furniture}"
    assert extract_text(page(body)) == f"{PROSE}\n{MORE}\n{LAST}"


def test_names_on_the_frames_of_a_page_say_nothing():
    html = (
        f'<html class="has-newsletter"><body class="comments-open sidebar"><main class="menu-page"><p>{PROSE}</p>'
        "</main></body></html>"
    )
    assert extract_text(html) == PROSE


def test_the_structure_of_lists_tables_and_breaks_is_kept():
    html = page(
        f"<article><p>{PROSE}</p><p>{MORE}</p><p>{LAST}</p>"
        "<p>The wheel turned.<br>The stone turned,<br>and the flour fell.</p>"
        "<dl><dt>Sluice</dt><dd>A gate that holds water back.</dd></dl>"
        "<ol><li>Open the <b>sluice</b> and wait.</li><li>Pour the <a href='/g'>grain</a> in.</li></ol>"
        "<table><tr><th>Year</th><th>Sacks of flour</th></tr><tr><td>1742</td><td>300</td></tr></table>"
        f"<pre>first line of it\n  second line of it</pre><p>{PROSE} Again.</p></article>"
    )
    assert extract_text(html).splitlines()[3:] == [
        "The wheel turned.",
        "The stone turned, and the flour fell.",
        "Sluice",
        "A gate that holds water back.",
        "- Open the sluice and wait.",
        "- Pour the grain in.",
        "Year | Sacks of flour",
        "1742 | 300",
        "first line of it second line of it",
        f"{PROSE} Again.",
    ]


def test_a_table_that_is_layout_is_no_row():
    cell = f"<h2>The mill</h2><p>{PROSE}</p><p>{MORE}</p>"
    html = page(f"<table><tr><td>{cell}</td><td><p>{LAST}</p><p>{LAST} Twice.</p></td></tr></table>")
    assert " | " not in extract_text(html)
    assert f"{PROSE}\n{MORE}" in extract_text(html)


def test_the_name_of_an_infobox_and_labels_at_the_end_are_left_out():
    rows = "<tr><th>Built</th><td>1742</td></tr><tr><th>Use</th><td>flour</td></tr>"
    box = f"<table><caption>Old mill</caption>{rows}</table>"
    html = page(f"<article><h1>Old mill</h1>{box}<p>{PROSE}</p><p>{MORE}</p><p>{LAST}</p><p>Print</p></article>")
    assert extract_text(html).splitlines() == ["Built | 1742", "Use | flour", PROSE, MORE, LAST]


def test_a_page_of_too_many_elements_is_read_without_structure():
    html = page(
        "<main>" + "".join(f"<p>Line {number} of a list that has no end.</p>" for number in range(50)) + "</main>"
    )
    lines = extract_text(html, ExtractionRules(max_elements=40)).splitlines()
    assert lines[0] == "Line 0 of a list that has no end."
    assert len(lines) == 50


@pytest.mark.timeout(30)  # jusText alone takes minutes for it
def test_a_page_of_many_nested_lists_ends_and_gives_its_text():
    lists = ("<ul><li>An item. " * 20 + "</li></ul>" * 20) * 300
    assert PROSE in extract_text(page(f"{lists}<p>{PROSE}</p><p>{MORE}</p>"))


@pytest.mark.parametrize(
    "html", ["", " ", "<", "<html>", page(""), "\x02\x03<p>\x02x</p>", "<p>" * 5000, "<div>" * 20_000]
)
def test_pages_without_main_text_give_none(html):
    assert extract_text(html) == ""


def test_deep_nesting_and_long_attributes_end():
    assert PROSE in extract_text("<div>" * 100 + f"<p>{PROSE}</p>")
    assert extract_text("<div>" * 20_000 + f"<p>{PROSE}</p>") in ("", PROSE)
    assert PROSE in extract_text(page(f'<p data-x="{"y" * 3_000_000}">{PROSE}</p>'))


SOUP = [
    "<p>",
    "</p>",
    "<h2>",
    "</h2>",
    "<ul>",
    "<li>",
    "</li>",
    "</ul>",
    "<a/href='x'>",
    "</a>",
    "<table><tr><td>",
    "</td></tr>",
    "<pre>",
    "<br>",
    "</",
    "<!--",
    "-->\n&amp;",
    "&#xd800;",
    "\x00",
    "\x02",
    "word",
    "<dl><dt>",
    "<dd>",
    "<script>",
    "<",
    "]]>",
]


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from([*SOUP, PROSE, "\n"]), max_size=40))
def test_any_soup_of_tags_gives_text(parts):
    text = extract_text("".join(parts))
    assert "\ufffe" not in text
    text.encode("utf-8")


def test_title_is_plain_text():
    assert page_title("<title lang=en>\n Fish &amp; chips </title>") == "Fish & chips"
    assert page_title("<h1>no title</h1>") == ""


@pytest.mark.slow
@pytest.mark.parametrize("name", ["pages", pytest.param("more_pages", marks=pytest.mark.nightly), "articles"])
def test_main_text_is_no_worse_than_the_librarys_defaults(shared_dir, project_dir, name):
    benchmark = load_benchmark(project_dir)
    gold_name = {"pages": "gold", "more_pages": "more_gold", "articles": "articles_gold"}[name]
    web = shared_dir / "data/web"
    gold = benchmark.read_gold(web / f"{gold_name}.jsonl")
    pages = [(url, html) for url, html in benchmark.read_pages(web / f"{name}.warc.gz") if url in gold]
    tallies = benchmark.measure(pages, gold, 1, ("SpeLangy", "trafilatura, defaults"))
    ours, defaults = (tallies[extractor, "all"].f1 for extractor in ("SpeLangy", "trafilatura, defaults"))
    print(f"F1 {ours:.3f}, the library's defaults {defaults:.3f}")
    assert ours >= defaults
