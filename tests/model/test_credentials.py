"""Addresses are kept without what lets a reader in, and otherwise letter for letter."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.credentials import without_credentials
from spelangy_model.text.html_pages import Capture, PageLimits, make_page, page_or_reject


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://me:s3cret@host.example/a.opus", "https://host.example/a.opus"),
        ("https://token-alone@host.example:8080/a?b=1#t=1,2", "https://host.example:8080/a?b=1#t=1,2"),
        ("https://me:p@ss@host.example/a", "https://host.example/a"),
        ("https://me:pa/ss@host.example/a", "https://host.example/a"),
        ("https://me:pa?ss@host.example/a", "https://host.example/a"),
        ("https://me:pa#ss@host.example", "https://host.example"),
        ("//me:s3cret@host.example/a", "//host.example/a"),
        ("S3://KEY:SECRET@bucket/a@b", "S3://bucket/a@b"),
        ("ftp://me:s3cret@[2001:db8::1]:21/a", "ftp://[2001:db8::1]:21/a"),
        (
            "https://b.s3.amazonaws.com/a.wav?versionId=7&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F1"
            "&X-Amz-Date=1&X-Amz-Expires=9&X-Amz-SignedHeaders=host&X-Amz-Signature=abc&X-Amz-Security-Token=t",
            "https://b.s3.amazonaws.com/a.wav?versionId=7",
        ),
        ("https://storage.googleapis.com/b/a?X-Goog-Signature=abc", "https://storage.googleapis.com/b/a"),
        (
            "https://b.s3.amazonaws.com/a?AWSAccessKeyId=K&Expires=1&Signature=s",
            "https://b.s3.amazonaws.com/a?Expires=1",
        ),
        (
            "https://a.blob.core.windows.net/c/a?sv=2024&sp=r&sig=abc%3D",
            "https://a.blob.core.windows.net/c/a?sv=2024&sp=r",
        ),
        ("https://h/a?access_token=x&b=2", "https://h/a?b=2"),
        ("https://h/a?b=2&amp;token=x", "https://h/a?b=2&amp"),
        ("https://h/a?b=2;token=x;c=3", "https://h/a?b=2;c=3"),
        ("https://h/a?API-Key=x", "https://h/a"),
        ("https://h/a?X%2DAmz%2DSignature=x&y=1", "https://h/a?y=1"),
        ("https://h/a?sid=0a1b2c3d4e5f6a7b8c9d0e1f&b=2", "https://h/a?b=2"),
        ("https://h/?&token=x&b", "https://h/?&b"),
        ("https://h/a?key=AIzaSyA1234567890123456789012345678901", "https://h/a"),
        ("https://h/a;jsessionid=ABC;v=1/b", "https://h/a;v=1/b"),
        ("https://h/a#access_token=x&state=1", "https://h/a#state=1"),
        ("https://h/a?u=https%3A%2F%2Fme%3As3cret%40other%2Fb", "https://h/a?u=https%3A%2F%2Fother%2Fb"),
    ],
)
def test_credentials_are_removed(url, kept):
    assert without_credentials(url) == kept
    assert without_credentials(kept) == kept


@pytest.mark.parametrize(
    "url",
    [
        "https://medium.com/@author/a-page",
        "https://host.example:8080/@me?key=value&code=US&pageToken=CAUQ&sort=token&page=2#section=3",
        "https://h/?", "https://h/a#", "https://h/a?b&c=&d==1;;", "https://h/a?b=%zz&c=ä", "https://h/a b?q=1 2",
        "https://h/article.php?sid=6508", "https://h/?&a=1&&b", "https://h/a?session=spring-conference&sign=leo",
        "https://maps.example/@52.1,5.2,7z", "https://h/a?email=me@host.example", "https://h/a;v=1",
        "https://archive.example/web/2020/https://other.example/a", "sample-world:conversation/1/2",
        "mailto:me@host.example", "file:///data/a@b.wav", "talks/a@b.wav?token=1", "a;token=1.wav", "", "https://",
        "//", "https://[bad/v1", "http://h:port/x",
    ],
)  # fmt: skip
def test_what_is_no_credential_stays_letter_for_letter(url):
    assert without_credentials(url) == url


letters = st.characters(codec="utf-8", exclude_characters="/?#@\\ \t\n\r&;=", exclude_categories=["Cs", "Cc", "Zs"])
words = st.text(letters, min_size=4, max_size=12).map(lambda word: f"Zq{word}")


@given(st.text(max_size=60))
def test_any_text_comes_back_and_twice_is_once(text):
    for url in (text, f"https://{text}", f"https://h/{text}"):
        once = without_credentials(url)
        assert without_credentials(once) == once


@given(words, words, st.sampled_from(["token", "sig", "X-Amz-Signature", "api_key", "Password"]), words)
def test_a_secret_is_in_no_part_of_what_is_kept(user, password, name, secret):
    kept = without_credentials(f"https://{user}:{password}@host.example/a?b=1&{name}={quote(secret)}&c=2#t=1,2")
    assert kept == "https://host.example/a?b=1&c=2#t=1,2"


def test_pages_and_their_rejects_hold_no_credentials():
    signed = "https://me:s3cret@site.example/a?id=3&X-Amz-Signature=s3cret#t"
    page = make_page(signed, "<p>text</p>", source_uri="a.warc#0")
    assert page.url == "https://site.example/a?id=3#t"
    assert page.page_id == make_page(page.url, "<p>text</p>", source_uri="a.warc#0").page_id
    capture = Capture("resource", "1", "ftp://me:s3cret@site.example/a", 0, "", 200, "text/html", "", b"<p>")
    reject = page_or_reject(capture, "a.warc#0", PageLimits())
    assert "s3cret" not in repr(reject)
    assert "site.example" in repr(reject)
