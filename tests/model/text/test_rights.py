import pytest

from spelangy_model.text.rights import robots_of, stated_licence

BY = "https://creativecommons.org/licenses/by/4.0/"


def ld(text: str) -> str:
    return f'<script type="application/ld+json">{text}</script>'


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">x</a>',
         ("CC-BY-SA-4.0", "rel_license")),
        ("<link href=http://creativecommons.org/publicdomain/zero/1.0/ rel=license>", ("CC0-1.0", "rel_license")),
        ('<a href="/terms" rel="nofollow license">x</a>', ("/terms", "rel_license")),
        (f'<a itemprop="license" href="{BY}deed.de">x</a>', ("CC-BY-4.0", "rel_license")),
        (f'<footer>Text: <a href="{BY}">CC BY</a></footer>', ("CC-BY-4.0", "creative_commons_link")),
        (f'<a href="{BY}">CC BY</a> <a href="{BY}deed.en">deed</a>', ("CC-BY-4.0", "creative_commons_link")),
        ('<a href="//creativecommons.org/licenses/by-nc-nd/3.0/us/">x</a>',
         ("CC-BY-NC-ND-3.0", "creative_commons_link")),
        ('<a href="http://creativecommons.org/licenses/by-nc/">x</a>', ("CC-BY-NC", "creative_commons_link")),
        # pictures under other licences stand on one page: none of them is the page's
        (f'<a href="{BY}">photo</a><a href="https://creativecommons.org/licenses/by-sa/2.0/">map</a>', ("unknown", "")),
        ('<a href="https://creativecommons.org/licenses/">what these licences are</a>', ("unknown", "")),
        ('<a href="https://creativecommons.org/licenses/by-laws/1.0/">x</a>', ("unknown", "")),
        (ld(f'{{"@type": "Article", "license": "{BY}"}}'), ("CC-BY-4.0", "json_ld")),
        (ld(f'{{"@graph": [{{"@type": "WebPage", "license": {{"@id": "{BY}"}}}}]}}'), ("CC-BY-4.0", "json_ld")),
        (ld(f'{{"@type": "ImageObject", "license": "{BY}"}}'), ("unknown", "")),
        (ld('{"license": '), ("unknown", "")),
        (f'<meta name="DC.rights" content="{BY}">', ("CC-BY-4.0", "meta")),
        ('<meta name="dcterms.license" content="MIT &amp; friends">', ("MIT & friends", "meta")),
        ('<a rel="license" href="">x</a>', ("unknown", "")),
        ("<p>license creativecommons rights</p>", ("unknown", "")),
        ("", ("unknown", "")),
    ],
)  # fmt: skip
def test_a_licence_is_carried_with_what_states_it(html: str, expected: tuple[str, str]):
    assert stated_licence(html) == expected


def test_the_archive_is_believed_before_the_page_and_the_page_before_a_mere_link():
    html = f'<a href="{BY}">x</a><a rel="license" href="https://creativecommons.org/licenses/by-sa/4.0/">y</a>'
    assert stated_licence(html)[0] == "CC-BY-SA-4.0"
    link = [("link", f'<https://a.example/next>; rel="next", <{BY}>; rel="license"')]
    assert stated_licence(html, link) == ("CC-BY-4.0", "http_link")
    assert stated_licence(html, link, [("licence", "CC0-1.0")]) == ("CC0-1.0", "warc_metadata")


def test_the_directives_for_robots_are_one_sorted_list():
    html = (
        '<meta name="robots" content="NOINDEX, max-snippet:-1"><meta name="CCBot" content="nofollow">'
        '<meta content="1" name="tdm-reservation"><meta name="author" content="noai">'
    )
    http = [("x-robots-tag", "noai, noimageai"), ("x-robots-tag", "somebot: noindex, nofollow")]
    archive = [("robots", "noarchive"), ("harvester-robots", "checked via  crawler-commons")]
    assert robots_of(html, http, archive) == (
        "ccbot:nofollow, harvester:checked via crawler-commons, max-snippet:-1, noai, noarchive, noimageai, noindex, "
        "somebot:nofollow, somebot:noindex, tdm-reservation"
    )
    assert robots_of("<p>Robots are welcome.</p>", [("tdm-reservation", "0"), ("x-robots-tag", " , ")]) == ""
