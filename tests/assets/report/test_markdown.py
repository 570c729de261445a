"""Text of others in Markdown, rendered as a page would: it is there as text, and nothing else is."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from spelangy_assets.report.markdown import markdown_table, markdown_text, without_pictures

STAYS = (
    *("quest", "base_lm", "spoken QA (%)", "a sentence, with commas; and more.", "it's 5 o'clock", "0.125", "-3.5"),
    *(
        "1.5e-05",
        "50%",
        "krist_speech",
        "2026-01",
        "one/two",
        "ein Wort: nein".replace(":", ""),
        "日本語の文",
        "Ünïcode",
    ),
)
ACTS = (
    "![x](/graphql?query=mutation{setNuxSeen})",
    "![x](https://elsewhere.example/x.png)",
    "![x][ref]\n\n[ref]: https://elsewhere.example/x.png",
    "[click](javascript:alert(1))",
    "[![x](a.png)](b)",
    "[ref]: https://elsewhere.example",
    "<https://elsewhere.example>",
    "https://elsewhere.example/?q=1",
    "www.elsewhere.example",
    "see WWW.elsewhere.example",
    "a.person@elsewhere.example",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "<!-- --><svg/onload=alert(1)>",
    "</td></tr></table><img src=x>",
    "&lt;img src=x&gt; &#33;&#91;x](y)",
    "`code` ``more`` ```",
    "`",
    "``",
    "` ![x](y)",
    "`|![x](y)",
    "![x](y)|`",
    "a\\|![x](y)",
    "a\\\\|`![x](y)",
    "\\",
    "\\`![x](y)\\`",
    "a | b | ![x](y)",
    "|",
    "||",
    "| --- |",
    "# heading",
    "> quoted",
    "- item",
    "+ item",
    "* item",
    "1. item",
    "1) item",
    "- [ ] task",
    "---",
    "===",
    "***bold*** __bold__ _it_ ~~gone~~",
    "a_b_ _c",
    "[^1] and [^1]: note ![x](y)",
    "^[inline ![x](y)]",
    "$math$ :smile: ==mark==",
    "```\nfence\n```\n![x](y)",
    "    indented\n\n![x](y)",
    "one\r\n\r\n![x](y)",
    "one\u2028\u2029\x85\x0b\x0c![x](y)",
    "\ufeff![x](y)",
    "!\u200b[x](y)",
    "\uff01\uff3bx\uff3d\uff08y\uff09",
    "\u202e)y(]x[!\u202c",
    "\x00![x](y)\x1b[31m",
    "\ud800![x](y)",
    "{{ 7*7 }} {% x %}",
    "",
    "  ",
)
RENDERERS = {
    "commonmark": MarkdownIt("commonmark", {"html": True}),
    "gfm": MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]),
}


class Page(HTMLParser):
    """The tags of a page and the text of its cells or paragraphs."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        assert not attrs or set(dict(attrs)) == {"style"}
        self.tags.append(tag)
        if tag in ("td", "p"):
            self.texts.append("")

    def handle_data(self, data):
        if self.texts:
            self.texts[-1] += data


def shown(text: str) -> str:
    """What a reader should see: spaces as one, and a replacement for what has no picture or turns letters around."""
    line = re.sub(r"[\s\x1c-\x1f\x85\u2028\u2029]+", " ", text)
    unseen = r"[\x00-\x08\x0e-\x1b\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
    return re.sub(unseen, "\ufffd", line).strip()


def spaced(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def check(text: str) -> None:
    for name, renderer in RENDERERS.items():
        page = Page(renderer.render(markdown_text(text)))
        assert set(page.tags) <= {"p", "code"}, (name, page.tags)
        assert spaced("".join(page.texts)) == spaced(shown(text)), name
    table = markdown_table(("a", "b"), [(text, "after")])
    page = Page(RENDERERS["gfm"].render(table))
    assert set(page.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "code"}, page.tags
    assert [spaced(cell) for cell in page.texts] == [spaced(shown(text)), "after"]


@pytest.mark.parametrize("text", [*STAYS, *ACTS])
def test_text_is_shown_as_it_is_and_nothing_more(text: str):
    check(text)


@given(st.text(st.sampled_from("`|\\![]()<>&;:/._-*#~^@ \nwha1"), max_size=24))
@settings(max_examples=100, deadline=None)
def test_any_arrangement_of_marks_is_text(text: str):
    check(text)


@given(st.text(max_size=20))
@settings(max_examples=100, deadline=None)
def test_any_characters_are_text(text: str):
    check(text)


@pytest.mark.parametrize("text", STAYS)
def test_names_numbers_and_prose_stay_as_they_are(text: str):
    assert markdown_text(text) == text


@pytest.mark.parametrize("text", [text for text in ACTS if "elsewhere" in text])
def test_no_address_is_left_for_a_renderer_that_makes_links_of_bare_ones(text: str):
    tokens = [
        child
        for token in RENDERERS["commonmark"].parse(markdown_text(text))
        for child in token.children or ()
        if child.type == "text"
    ]
    assert not re.search(r"://|www\.|@", "".join(token.content for token in tokens), re.IGNORECASE)


PNG = "data:image/png;base64,iVBORw0KGgo="


@pytest.mark.parametrize(
    "markdown",
    [
        "![x](/graphql?query=m)",
        "![x][r]\n\n[r]: /y",
        "![x]\n\n[x]: /y",
        f"![a [x]({PNG})](/y)",
        f"![`]({PNG})`](/y)",
        f"![<a]({PNG})>](/y)",
        f"![a\\]({PNG})](/y)",
        f"[![x](/y)]({PNG})",
        f"![x]({PNG} ![y](/y))",
        "!![x](/y)",
        "![x](data:image/svg+xml;base64,AAAA)",
    ],
)
def test_no_picture_is_fetched_whatever_a_file_holds(markdown: str):
    assert "<img" in RENDERERS["gfm"].render(markdown) or PNG in markdown or "svg" in markdown
    for source in re.findall('<img src="([^"]*)"', RENDERERS["gfm"].render(without_pictures(markdown))):
        assert source == PNG


def test_a_picture_that_a_file_holds_itself_stays():
    markdown = f"![loss over steps]({PNG})\n"
    assert without_pictures(markdown) == markdown
