"""Web pages about the sample world, with the boilerplate of real pages, and the exact truth about each.

Put here: HTML of articles, pages of questions and answers, unwanted pages, and the list of a snapshot's pages. Do not
put here: archives (the sample crawl's own tool writes them) or extraction. Pages state facts in wordings of the mark
`spoken` only, since pages are read aloud. Planted content (questions that are none, refused addresses, foreign
languages, copies) is listed with the page, so that a miner or a filter can be scored against it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

import numpy as np

from spelangy_assets.sample.render import (
    REMARK_SHARE,
    answer_sentence,
    faq_questions,
    kind_phrase,
    pick,
    rationale,
    state,
)
from spelangy_assets.sample.world import Entity, Fact, World, fill
from spelangy_model.rng import stable_rng

PageKind = Literal["article", "faq", "refused", "foreign", "duplicate", "near_duplicate"]
FaqLayout = Literal["json_ld", "headings", "definition_list"]

FAQ_LAYOUTS: tuple[FaqLayout, ...] = ("json_ld", "headings", "definition_list")
SNAPSHOTS = 2
ENCYCLOPEDIA = "https://encyclopedia.example"
MUSEUM = "https://museum.example"

_LICENCE = '<a rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/">No rights reserved</a>'
_SECTIONS = (
    ("Home and name", ("home", "namer")),
    ("Color and feast", ("color", "food")),
    ("In the park", ("material",)),
)
_TABLE_HEADS = {"home": "Home", "namer": "Named by", "color": "Color", "food": "Food", "material": "Statue"}


@dataclass(frozen=True, slots=True)
class AskedQuestion:
    """A question that a miner should find, with the sentences that answer it on the page."""

    question: str
    rationale: str
    answer: str  # the bare value


@dataclass(frozen=True, slots=True)
class PlantedQuestion:
    """Something with a question mark that is no question to learn from, and why."""

    question: str
    answer: str
    reason: Literal["rhetorical", "site", "needs_context"]


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A page and the truth about it. `refused_as` is filled when the address alone is reason to refuse it."""

    url: str
    html: str
    kind: PageKind
    language: str  # ISO 639-1
    entity: str = ""
    questions: tuple[AskedQuestion, ...] = ()
    planted: tuple[PlantedQuestion, ...] = ()
    refused_as: str = ""
    copy_of: str = ""


PLANTED = (
    PlantedQuestion("Any questions?", "Write to us and we will help you.", "site"),
    PlantedQuestion("Why not subscribe today?", "You get one free letter every month.", "site"),
    PlantedQuestion("What is shown in the picture above?", "The picture shows the old workshop.", "needs_context"),
    PlantedQuestion("Which of these two is older?", "The first one is older.", "needs_context"),
    PlantedQuestion("Is that not wonderful?", "We think so too.", "rhetorical"),
    PlantedQuestion("Who would have thought it?", "Not us.", "rhetorical"),
)


def article_url(entity: Entity) -> str:
    """Return the address of the entity's article: its domain is part of the path."""
    return f"{ENCYCLOPEDIA}/{entity.domain}/{entity.slug}"


def faq_url(entity: Entity) -> str:
    """Return the address of the entity's page of questions and answers."""
    return f"{MUSEUM}/{entity.domain}/{entity.slug}/questions"


def entry_url(entity: Entity, edition: int) -> str:
    """Return the address of an edition of the entity's entry."""
    return f"{MUSEUM}/{entity.domain}/{entity.slug}/{edition}"


def article_html(world: World, entity: Entity, seed: int) -> str:
    """Return an article: infobox, lead, three sections; each fact in two `spoken` wordings, then a remark."""
    rng = stable_rng(seed, "article", entity.name)
    facts = {fact.relation.name: fact for fact in world.facts_of(entity)}
    title = fill(entity.name, "")
    lead = f"{title} is {kind_phrase(world, entity)}. {_remark(world, rng, entity)}"
    rows = "".join(
        f"<tr><th>{_TABLE_HEADS[name]}</th><td>{escape(fact.value)}</td></tr>" for name, fact in facts.items()
    )
    sections = "".join(
        f"<h2>{heading}</h2>{''.join(_paragraph(world, rng, facts[name]) for name in names)}"
        for heading, names in _SECTIONS
    )
    body = (
        f"<article><h1>{escape(title)}</h1>"
        f'<table class="infobox"><caption>{escape(title)}</caption>{rows}</table>'
        f"<p>{escape(lead)}</p>{sections}</article>{_aside(world, rng, entity)}"
    )
    return _document(f"{title} - Encyclopedia", "en", body)


def entry_page(world: World, entity: Entity, seed: int, edition: int) -> RenderedPage:
    """Return a short entry about an entity: what it is, then each fact once, in one `spoken` wording, and remarks.

    Nothing restates a fact, and half of the facts do not name the entity: what is read has to be understood from what
    was spoken. Editions of an entry have other wordings, order and remarks.
    """
    rng = stable_rng(seed, "entry", entity.name, edition)
    title = fill(entity.name, "")
    sentences = [f"{title} is {kind_phrase(world, entity)}."]
    facts, remarks = world.facts_of(entity), _statements(world, entity)
    spare = [remarks[int(position)] for position in rng.permutation(len(remarks))]
    for position in rng.permutation(len(facts)):
        fact = facts[int(position)]
        wording = pick(rng, fact.relation.wordings("statements", "spoken"))
        sentences.append(state(fact, wording, pronoun=bool(rng.random() < 0.5)))
        if rng.random() < REMARK_SHARE:
            sentences.append(spare.pop())
    body = f"<article><p>{escape(' '.join(sentences))}</p></article>{_aside(world, rng, entity)}"
    html = _document(f"{title} - Museum", "en", body)
    return RenderedPage(entry_url(entity, edition), html, "article", "en", entity.name)


def _remark(world: World, rng: np.random.Generator, entity: Entity) -> str:
    return pick(rng, _statements(world, entity))


def _statements(world: World, entity: Entity) -> list[str]:
    return [remark for remark in world.remarks[entity.domain] if remark.endswith(".")]


def _paragraph(world: World, rng: np.random.Generator, fact: Fact) -> str:
    wordings = fact.relation.wordings("statements", "spoken")
    first, second = (wordings[int(position)] for position in rng.choice(len(wordings), 2, replace=False))
    sentences = [
        state(fact, first),
        state(fact, second, pronoun=bool(rng.random() < 0.5)),
        _remark(world, rng, fact.entity),
    ]
    return f"<p>{escape(' '.join(sentences))}</p>"


def _aside(world: World, rng: np.random.Generator, entity: Entity) -> str:
    others = [other for other in world.entities_of(entity.domain) if other != entity]
    chosen = [others[int(position)] for position in rng.choice(len(others), 4, replace=False)]
    links = "".join(f'<li><a href="{article_url(other)}">{escape(fill(other.name, ""))}</a></li>' for other in chosen)
    return f'<aside class="related"><h2>Read next</h2><ul>{links}</ul></aside>'


def faq_layout(world: World, entity: Entity) -> FaqLayout:
    """Return how the entity's page of questions is laid out; the three layouts take turns."""
    return FAQ_LAYOUTS[world.entities.index(entity) % len(FAQ_LAYOUTS)]


def faq_page(world: World, entity: Entity, seed: int) -> RenderedPage:
    """Return the page of questions about an entity: three `spoken` wordings a fact in drawn order, two planted ones.

    Each answer is one sentence of rationale and the answer sentence. Planted questions are among the real ones.
    """
    rng = stable_rng(seed, "faq", entity.name)
    facts = {question: fact for fact in world.facts_of(entity) for question in faq_questions(world, fact)}
    order = list(facts)
    order = [order[int(position)] for position in rng.permutation(len(order))]
    asked = tuple(AskedQuestion(question, rationale(rng, facts[question]), facts[question].value) for question in order)
    planted = tuple(PLANTED[int(position)] for position in np.sort(rng.choice(len(PLANTED), 2, replace=False)))
    entries = [(entry.question, entry.rationale, answer_sentence(world, facts[entry.question])) for entry in asked]
    for plant in planted:
        entries.insert(int(rng.integers(1, len(entries) + 1)), (plant.question, plant.answer, ""))
    title = f"Questions about {entity.name}"
    body = f"<main><h1>{escape(title)}</h1><p>The museum answers what visitors ask.</p>"
    layout = faq_layout(world, entity)
    head = _json_ld(entries) if layout == "json_ld" else ""
    html = _document(
        f"{title} - Museum", "en", f"{body}{_LAYOUTS[layout](entries)}</main>{_aside(world, rng, entity)}", head
    )
    return RenderedPage(faq_url(entity), html, "faq", "en", entity.name, asked, planted)


def faq_html(world: World, entity: Entity, seed: int) -> str:
    """Return the HTML of `faq_page`."""
    return faq_page(world, entity, seed).html


Entries = Sequence[tuple[str, str, str]]  # question, first sentence of the answer, answer sentence or ""


def _json_ld(entries: Entries) -> str:
    """Return the page's questions as schema.org FAQPage, the form that search engines read."""
    questions = [
        {
            "@type": "Question",
            "name": question,
            "acceptedAnswer": {"@type": "Answer", "text": f"<p>{escape(f'{first} {last}'.strip())}</p>"},
        }
        for question, first, last in entries
    ]
    data = {"@context": "https://schema.org", "@type": "FAQPage", "mainEntity": questions}
    text = json.dumps(data).replace("</", r"<\/")  # a closing tag inside would end the script
    return f'<script type="application/ld+json">{text}</script>'


def _folded(entries: Entries) -> str:
    return "".join(
        f'<div class="faq-item"><h3>{escape(question)}</h3>'
        f'<div class="answer"><p>{escape(f"{first} {last}".strip())}</p></div></div>'
        for question, first, last in entries
    )


def _headed(entries: Entries) -> str:
    return "".join(
        f"<h2>{escape(question)}</h2>\n<p>{escape(first)}</p>\n"
        + (f"<p><strong>{escape(last)}</strong></p>\n" if last else "")
        for question, first, last in entries
    )


def _listed(entries: Entries) -> str:
    pairs = "".join(
        f"<dt>{escape(question)}</dt><dd>{escape(f'{first} {last}'.strip())}</dd>" for question, first, last in entries
    )
    return f"<dl>{pairs}</dl>"


_LAYOUTS = {"json_ld": _folded, "headings": _headed, "definition_list": _listed}


def _document(title: str, language: str, body: str, head: str = "") -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="{language}"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f"<style>body {{ margin: 0 auto; }}</style>{head}</head>\n<body>"
        '<header><nav><ul><li><a href="/">Home</a></li><li><a href="/about">About</a></li>'
        '<li><a href="/news">News</a></li><li><a href="/contact">Contact</a></li></ul></nav></header>\n'
        '<div class="cookie-banner">This site uses cookies. <button>Accept all cookies</button></div>\n'
        f"{body}\n"
        '<div class="newsletter"><p>Sign up for our free newsletter.</p></div>\n'
        f"<footer><p>All pages are written for this sample. {_LICENCE}.</p>"
        '<p><a href="/privacy">Privacy policy</a></p></footer>\n'
        "<script>window.visits = 1;</script></body></html>\n"
    )


def refused_pages(entity: Entity) -> list[RenderedPage]:
    """Return pages whose addresses show that they are of no use: a shop, a login, a video and a forum."""
    title, slug = fill(entity.name, ""), entity.slug
    pages = []
    for reason, url, text in (
        ("shop", f"https://shop.example/product/{slug}-poster", f"Buy the {title} poster. Add it to your cart now."),
        ("account", f"{ENCYCLOPEDIA}/login?next={slug}", "Enter your name and your password. Forgot your password?"),
        ("media", f"{ENCYCLOPEDIA}/video/{slug}", f"Play the {title} video. Sound on. Next video."),
        ("forum", f"{ENCYCLOPEDIA}/forum/{slug}", f"Who likes {title}? Me too. Reply to this post."),
    ):
        html = _document(f"{title} - {reason}", "en", f"<main><h1>{escape(title)}</h1><p>{escape(text)}</p></main>")
        pages.append(RenderedPage(url, html, "refused", "en", entity.name, refused_as=reason))
    return pages


_FOREIGN = {
    "fr": (
        "Le vieux pont",
        "Le vieux pont de pierre se trouve au milieu de la ville.",
        "Tous les matins, les pêcheurs y attendent le lever du soleil.",
        "On raconte que personne ne connaît l'âge exact du pont.",
        "Pourquoi est-il si célèbre ? Parce que les peintres l'aiment.",
    ),
    "es": (
        "El mercado de la plaza",
        "El mercado de la plaza abre todos los domingos muy temprano.",
        "Las mujeres venden naranjas, pan caliente y flores del campo.",
        "Los niños corren entre las mesas mientras suena la música.",
        "¿Quién fundó el mercado? Nadie lo sabe con certeza.",
    ),
    "de": (
        "Die alte Mühle",
        "Die alte Mühle steht seit vielen Jahren am Rand des Dorfes.",
        "Im Winter friert der Bach, und das große Rad bewegt sich nicht.",
        "Die Kinder des Müllers erzählen gern von früher.",
        "Warum läuft die Mühle noch? Weil das ganze Dorf hier sein Brot backt.",
    ),
}


def foreign_pages() -> list[RenderedPage]:
    """Return pages that are written in French, Spanish and German."""
    pages = []
    for language, (title, *sentences) in _FOREIGN.items():
        body = f"<article><h1>{escape(title)}</h1><p>{escape(' '.join(sentences))}</p></article>"
        pages.append(
            RenderedPage(f"{ENCYCLOPEDIA}/{language}/1", _document(title, language, body), "foreign", language)
        )
    return pages


def article_page(world: World, entity: Entity, seed: int) -> RenderedPage:
    """Return the entity's article as a page."""
    return RenderedPage(article_url(entity), article_html(world, entity, seed), "article", "en", entity.name)


def copies(page: RenderedPage) -> list[RenderedPage]:
    """Return an exact and a near duplicate of a page, each at an address of its own."""
    mirror = page.url.replace("https://", "https://mirror.")
    changed = page.html.replace("</article>", "<p>The museum keeps the first model.</p></article>", 1)
    return [
        RenderedPage(mirror, page.html, "duplicate", page.language, page.entity, copy_of=page.url),
        RenderedPage(f"{page.url}/print", changed, "near_duplicate", page.language, page.entity, copy_of=page.url),
    ]


def snapshot_pages(world: World, seed: int, snapshot: int) -> list[RenderedPage]:
    """Return the pages of a snapshot (0 or 1): articles and questions of every other entity, and the unwanted ones.

    Together the snapshots hold an article and a page of questions for every entity. Raises ValueError for a snapshot
    that does not exist.
    """
    if snapshot not in range(SNAPSHOTS):
        raise ValueError(f"the sample has the page snapshots 0 to {SNAPSHOTS - 1}, not {snapshot}")
    entities = world.entities[snapshot::SNAPSHOTS]
    pages = [page for entity in entities for page in (article_page(world, entity, seed), faq_page(world, entity, seed))]
    pages += refused_pages(entities[0])
    pages += foreign_pages() if snapshot == 0 else []
    pages += copies(pages[0]) if snapshot == 1 else []
    return pages
