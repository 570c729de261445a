"""The URL filter for knowledge-rich domains.

Put here: rules over a URL alone (scheme, host, path, query), each refusal with a reason. Do
not put here: rules over a page's content (language, extract) or anything that resolves a name. The paper filters
URLs for knowledge-rich domains and does not publish its lists; these are the project's, and part of a recipe.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import ClassVar
from urllib.parse import unquote, urlsplit


@dataclass(frozen=True, slots=True)
class UrlRules:
    """The URLs to refuse and to require. Words match whole parts of a host or path, case ignored.

    `knowledge_hosts` and `knowledge_words` are alternatives: when either is set, a URL must be on one of the hosts
    (or below it) or carry one of the words; when both are empty, whatever is not refused is kept.
    """

    max_length: ClassVar[int] = 500
    refused_hosts: tuple[str, ...] = (
        "facebook.com",
        "instagram.com",
        "pinterest.com",
        "tiktok.com",
        "twitter.com",
        "x.com",
        "youtube.com",
        "ebay.com",
        "amazon.com",
        "aliexpress.com",
    )
    shop: ClassVar[tuple[str, ...]] = (
        "shop", "store", "cart", "basket", "checkout", "product", "products", "buy", "deals", "coupon",
        "coupons", "pricing",
    )  # fmt: skip
    account: ClassVar[tuple[str, ...]] = (
        "login", "signin", "sign-in", "log-in", "logout", "register", "signup", "sign-up", "account", "password",
        "auth",
        "wp-login.php", "wp-admin",
    )  # fmt: skip
    forum: ClassVar[tuple[str, ...]] = (
        "forum", "forums", "viewtopic.php", "showthread.php", "thread", "threads", "comments", "messageboard", "bbs",
    )  # fmt: skip
    media: ClassVar[tuple[str, ...]] = (
        "video", "videos", "watch", "gallery", "galleries", "photos", "slideshow", "livestream", "podcast",
        "podcasts",
    )  # fmt: skip
    adult_or_gambling: ClassVar[tuple[str, ...]] = (
        "porn", "xxx", "sex", "adult", "escort", "casino", "casinos", "betting", "poker", "slots", "gambling",
    )  # fmt: skip
    listing: tuple[str, ...] = (
        "search", "tag", "tags", "category", "categories", "archive", "archives", "author", "page", "feed",
        "rss", "sitemap",
        "privacy", "privacy-policy", "terms", "cookies", "contact", "imprint", "impressum", "careers", "jobs",
        "calendar",
    )  # fmt: skip
    refused_extensions: ClassVar[tuple[str, ...]] = (
        "pdf", "jpg", "jpeg", "png", "gif", "svg", "webp", "mp3", "mp4", "avi", "mov", "zip", "gz", "exe", "css",
        "js", "json", "xml",
    )  # fmt: skip
    knowledge_hosts: tuple[str, ...] = ()
    knowledge_words: tuple[str, ...] = ()


_WORD_RULES = ("shop", "account", "forum", "media", "adult_or_gambling", "listing")


@cache
def _words_of(rules: UrlRules) -> tuple[tuple[str, frozenset[str]], ...]:
    return tuple((name, frozenset(getattr(rules, name))) for name in _WORD_RULES)


def refuse_url(url: str, rules: UrlRules) -> str | None:
    """Return why the rules refuse an absolute URL (a reason such as `url_shop`), or None when it is wanted."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").rstrip(".")
        path = unquote(parts.path).lower()
    except ValueError:
        return "url_malformed"
    if parts.scheme.lower() not in ("http", "https") or not host:
        return "url_malformed"
    if len(url) > rules.max_length:
        return "url_too_long"
    if _lies_on(host, rules.refused_hosts):
        return "url_host"
    pieces = [piece for piece in path.split("/") if piece]
    if pieces and pieces[-1].rpartition(".")[2] in rules.refused_extensions and "." in pieces[-1]:
        return "url_extension"
    # "shop" refuses shop.example.org and /shop/, not /workshop/ and not an article named shop-floor-safety
    names = {*host.split(".")[:-1], *pieces, *(piece.partition(".")[0] for piece in pieces)}
    for reason, words in _words_of(rules):
        if not names.isdisjoint(words):
            return f"url_{reason}"
    if not rules.knowledge_hosts and not rules.knowledge_words:
        return None
    if _lies_on(host, rules.knowledge_hosts):
        return None
    tokens = set(re.split(r"[^a-z0-9]+", f"{host} {path}"))
    return None if not tokens.isdisjoint(rules.knowledge_words) else "url_not_knowledge"


def _lies_on(host: str, domains: tuple[str, ...]) -> bool:
    return any(host == domain or host.endswith(f".{domain}") for domain in domains)
