"""The URL filter refuses by whole words of host and path, and says why."""

import pytest

from spelangy_model.text.urls import UrlRules, refuse_url


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("https://en.wikipedia.org/wiki/Iron", None),
        ("https://example.org/workshop/shopping-for-tools-in-1850", None),
        ("https://example.org/article/shop-floor-safety", None),
        ("https://shop.example.org/iron", "url_shop"),
        ("https://example.org/product/iron-poster", "url_shop"),
        ("https://example.org/login?next=iron", "url_account"),
        ("https://example.org/Forum/iron", "url_forum"),
        ("https://example.org/viewtopic.php?t=1", "url_forum"),
        ("https://example.org/video/iron", "url_media"),
        ("https://example.org/%76ideo/iron", "url_media"),
        ("https://casino.example.org/", "url_adult_or_gambling"),
        ("https://example.org/tag/iron", "url_listing"),
        ("https://m.facebook.com/iron", "url_host"),
        ("https://notfacebook.com/iron", None),
        ("https://example.org/iron.PDF", "url_extension"),
        ("ftp://example.org/iron", "url_malformed"),
        ("http://[::1/iron", "url_malformed"),
        ("nothing", "url_malformed"),
        ("https://example.org/" + "x" * 600, "url_too_long"),
    ],
)
def test_refusals(url, reason):
    assert refuse_url(url, UrlRules()) == reason


def test_knowledge_is_asked_for_by_host_or_word_when_named():
    rules = UrlRules(knowledge_hosts=("museum.example",), knowledge_words=("biology",))
    assert refuse_url("https://www.museum.example/any", rules) is None
    assert refuse_url("https://school.example/Biology-101", rules) is None
    assert refuse_url("https://school.example/lunch", rules) == "url_not_knowledge"
    assert refuse_url("https://museum.example/shop/", rules) == "url_shop"
