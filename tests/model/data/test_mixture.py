"""Mixtures: exact shares, seeded order, epochs and caps, and definitions that contradict themselves."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.mixture import (
    Choose,
    Mixture,
    MixtureError,
    MixtureReport,
    Proportion,
    Repeat,
    Source,
    SourceReport,
    join_reports,
    make_mixture,
)
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=100, codebook_size=50)


def documents(name: str, count: int, chunks: int, speech: bool = True) -> list[TokenDocument]:
    rng = np.random.default_rng(len(name))
    return [
        TokenDocument(
            f"{name}{i}",
            f"page{i}",
            "",
            "",
            [
                TokenChunk("x", [1] * int(rng.integers(8, 30)) if speech else [], [2] * int(rng.integers(4, 12)))
                for _ in range(chunks)
            ],
        )
        for i in range(count)
    ]


DOCUMENTS = {
    "web": documents("web", 60, 12),
    "quest": documents("quest", 900, 2),
    "text": documents("text", 400, 5, speech=False),
}
MIXTURE = Mixture(
    sources=(
        Source("web", "speech_text", Proportion(0.25)),
        Source("quest", "speech_text", Proportion(0.75)),
        Source("text", "text", Proportion(1.0)),
    ),
    rows=400,
    row_length=128,
    text_share=0.6,
    interleaving=Interleaving("stochastic", False),
    max_epochs=8,
    seed=0,
)


def tokens_by_source(rows: list[PackedRow]) -> Counter[str]:
    tokens: Counter[str] = Counter()
    for row in rows:
        for span in row.spans:
            tokens[span.source] += span.length
    return tokens


def test_the_ratios_are_those_of_the_definition() -> None:
    rows, report = make_mixture(MIXTURE, LAYOUT, DOCUMENTS)
    kinds = Counter(row.kind for row in rows)
    assert kinds["text"] == pytest.approx(240, abs=4)
    assert kinds.total() in (399, 400)
    tokens = tokens_by_source(rows)
    assert report.text_share == tokens["text"] / tokens.total()
    assert abs(tokens["text"] - 0.6 * tokens.total()) <= MIXTURE.row_length
    assert tokens["quest"] / (tokens["quest"] + tokens["web"]) == pytest.approx(0.75, abs=0.02)
    assert {source.name: source.tokens for source in report.sources} == tokens
    errors = (tokens["web"] / (tokens["quest"] + tokens["web"]) - 0.25, report.text_share - 0.6)
    assert report.ratio_error == pytest.approx(max(map(abs, errors)))
    assert report.fill == pytest.approx(tokens.total() / (kinds.total() * 128))
    assert report.fill > 0.95


def test_a_large_mixture_is_within_half_a_per_cent() -> None:
    _, report = make_mixture(dataclasses.replace(MIXTURE, rows=1500, max_epochs=30), LAYOUT, DOCUMENTS)
    assert report.ratio_error <= 0.005


def test_every_batch_has_nearly_the_mixtures_kinds() -> None:
    rows, _ = make_mixture(MIXTURE, LAYOUT, DOCUMENTS)
    assert [row.row for row in rows] == list(range(len(rows)))
    for first in range(0, len(rows) - 20, 20):
        assert 11 <= sum(row.kind == "text" for row in rows[first : first + 20]) <= 13


def test_the_same_mixture_gives_the_same_rows_and_another_seed_others() -> None:
    rows, _ = make_mixture(MIXTURE, LAYOUT, DOCUMENTS)
    assert make_mixture(MIXTURE, LAYOUT, DOCUMENTS)[0] == rows
    assert make_mixture(dataclasses.replace(MIXTURE, seed=1), LAYOUT, DOCUMENTS)[0] != rows


def drawn(name: str, count: int, pool: list[TokenDocument], seed: int = 0) -> set[str]:
    """Return the documents that a source draws when it takes so many."""
    sources = (Source(name, "speech_text", Choose(count)),)
    mixture = dataclasses.replace(MIXTURE, sources=sources, text_share=0.0, seed=seed)
    rows, _ = make_mixture(mixture, LAYOUT, {name: pool})
    found = {span.document_id for row in rows for span in row.spans}
    assert len(found) == count
    return found


def test_documents_are_drawn_by_their_ids_whatever_their_order_and_their_sources_name() -> None:
    chosen = drawn("web", 7, DOCUMENTS["web"])
    assert drawn("web", 7, DOCUMENTS["web"][::-1]) == chosen
    assert drawn("speech.3", 7, DOCUMENTS["web"]) == chosen
    assert drawn("web", 7, DOCUMENTS["web"], seed=1) != chosen


def test_documents_that_come_or_leave_do_not_change_the_draw_among_the_others() -> None:
    pool, new = DOCUMENTS["web"], DOCUMENTS["quest"][:40]
    before, after = drawn("web", 20, pool), drawn("web", 20, [*new[:20], *pool, *new[20:]])
    assert {one for one in after if one.startswith("web")} < before
    left = [one for one in pool if one.document_id not in before]
    gone, *_ = (one for one in pool if one.document_id in before)
    without = drawn("web", 20, [one for one in pool if one is not gone])
    assert without >= before - {gone.document_id}
    assert without - before <= {one.document_id for one in left}


def test_a_document_of_two_token_sets_is_drawn_by_each() -> None:
    sources = (Source("speech.0", "speech_text", Choose(60)), Source("speech.1", "speech_text", Choose(60)))
    mixture = dataclasses.replace(MIXTURE, sources=sources, text_share=0.0)
    rows, report = make_mixture(mixture, LAYOUT, dict.fromkeys(("speech.0", "speech.1"), DOCUMENTS["web"]))
    spans = [(span.source, span.document_id) for row in rows for span in row.spans]
    wanted = {(source.name, document.document_id) for source in sources for document in DOCUMENTS["web"]}
    assert set(spans) == wanted
    assert [source.documents_drawn for source in report.sources] == [60, 60]


def test_epochs_are_counted_and_each_has_other_spoken_chunks() -> None:
    rows, report = make_mixture(MIXTURE, LAYOUT, {**DOCUMENTS, "web": DOCUMENTS["web"][:4]})
    web = next(source for source in report.sources if source.name == "web")
    assert web.epochs == web.documents_drawn / 4
    assert web.epochs > 1
    spans = [(span.document_id, span.epoch) for row in rows for span in row.spans if span.source == "web"]
    assert {epoch for _, epoch in spans} == set(range(int(np.ceil(web.epochs))))


def test_repeat_and_choose_take_what_they_say() -> None:
    sources = (
        Source("web", "speech_text", Choose(7)),
        Source("quest", "speech_text", Repeat(0.1)),
        Source("text", "text", Repeat(2.0)),
    )
    rows, report = make_mixture(dataclasses.replace(MIXTURE, sources=sources), LAYOUT, DOCUMENTS)
    drawn = {source.name: source.documents_drawn for source in report.sources}
    assert drawn == {"web": 7, "quest": 90, "text": 800}
    spans = {(s.document_id, s.epoch) for row in rows for s in row.spans if s.source == "text"}
    assert len(spans) == 800


def test_proportions_share_what_the_others_leave() -> None:
    sources = (
        Source("web", "speech_text", Choose(10)),
        Source("quest", "speech_text", Proportion(1.0)),
        Source("text", "text", Proportion(1.0)),
    )
    rows, report = make_mixture(dataclasses.replace(MIXTURE, sources=sources), LAYOUT, DOCUMENTS)
    assert len(rows) in (399, 400)
    assert {s.name: s.documents_drawn for s in report.sources}["web"] == 10
    assert report.ratio_error < 0.02


def test_a_reached_cap_says_what_to_change() -> None:
    with pytest.raises(MixtureError, match=r"source web .* cannot give .* raise max_epochs"):
        make_mixture(dataclasses.replace(MIXTURE, max_epochs=3), LAYOUT, {**DOCUMENTS, "web": DOCUMENTS["web"][:1]})
    with pytest.raises(MixtureError, match="cannot give 901"):
        make_mixture(
            dataclasses.replace(MIXTURE, text_share=0, sources=(Source("quest", "speech_text", Choose(901)),)),
            LAYOUT,
            DOCUMENTS,
        )


def test_a_cap_that_the_padded_rows_do_not_reach_refuses_nothing() -> None:
    whole = dataclasses.replace(
        MIXTURE, text_share=0, rows=40, sources=(Source("web", "speech_text", Proportion(1.0)),)
    )
    rows, report = make_mixture(whole, LAYOUT, DOCUMENTS)
    (web,) = report.sources
    needed = whole.rows * whole.row_length / web.tokens * web.epochs  # to fill all positions
    assert needed > 1.02 * web.epochs, "without padding this test shows nothing"
    capped = dataclasses.replace(whole, max_epochs=(web.epochs + needed) / 2)
    assert make_mixture(capped, LAYOUT, DOCUMENTS)[0] == rows
    with pytest.raises(MixtureError, match="raise max_epochs"):
        make_mixture(dataclasses.replace(whole, max_epochs=0.9 * web.epochs), LAYOUT, DOCUMENTS)


def test_missing_and_unfitting_documents_are_named() -> None:
    with pytest.raises(MixtureError, match=r"no documents were given for \['text'\]"):
        make_mixture(MIXTURE, LAYOUT, {key: value for key, value in DOCUMENTS.items() if key != "text"})
    with pytest.raises(MixtureError, match="source web has no documents"):
        make_mixture(MIXTURE, LAYOUT, {**DOCUMENTS, "web": []})
    giant = [TokenDocument("g", "p", "", "", [TokenChunk("x", [1] * 500, [2] * 500)])]
    with pytest.raises(MixtureError, match="no document fits a row"):
        make_mixture(MIXTURE, LAYOUT, {**DOCUMENTS, "web": giant})


def test_a_document_longer_than_all_rows_of_its_kind_is_named() -> None:
    """Each of its chunks fits into a row, so that the whole of it is drawn at once."""
    endless = [TokenDocument("e", "p", "", "", [TokenChunk("x", [1] * 20, [2] * 8)] * 3000)]
    mixture = dataclasses.replace(
        MIXTURE, rows=20, sources=(Source("web", "speech_text", Proportion(1.0)),), text_share=0
    )
    with pytest.raises(
        MixtureError, match=r"source web: a document of \d+ tokens is longer than the 20 speech_text rows"
    ):
        make_mixture(mixture, LAYOUT, {"web": endless})


def test_the_share_of_text_is_of_tokens_also_where_one_kind_packs_badly() -> None:
    """Text documents of just over half a row leave half of each row empty."""
    half = [TokenDocument(f"h{i}", "p", "", "", [TokenChunk("x", [], [2] * 70)]) for i in range(400)]
    rows, report = make_mixture(MIXTURE, LAYOUT, {**DOCUMENTS, "text": half})
    tokens = tokens_by_source(rows)
    assert tokens["text"] / tokens.total() == pytest.approx(0.6, abs=0.005)
    assert report.text_share == tokens["text"] / tokens.total()
    assert sum(row.kind == "text" for row in rows) > 260


def test_what_does_not_fit_is_counted() -> None:
    giant = TokenDocument("g", "p", "", "", [TokenChunk("x", [1] * 500, [2] * 500)])
    _, report = make_mixture(MIXTURE, LAYOUT, {**DOCUMENTS, "web": [giant, *DOCUMENTS["web"][:9]]})  # all are drawn
    web = next(source for source in report.sources if source.name == "web")
    assert 1 <= int(web.epochs) <= report.dropped["chunk_longer_than_row"] <= np.ceil(web.epochs)
    assert report.dropped["document_without_tokens"] == report.dropped["chunk_longer_than_row"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"text_share": 1.5}, "text_share in"),
        ({"text_share": 0.0}, "0 text rows are wanted from 1 text sources"),
        ({"sources": (MIXTURE.sources[0], MIXTURE.sources[2])}, "with sum 1"),
        ({"sources": (MIXTURE.sources[0], MIXTURE.sources[0])}, "different names"),
        ({"sources": (*MIXTURE.sources, Source("x", "video", Proportion(1.0)))}, "kind is one of"),
    ],
)
def test_a_definition_that_contradicts_itself_is_refused(change: dict, words: str) -> None:
    with pytest.raises(MixtureError, match=words):
        dataclasses.replace(MIXTURE, **change)


def test_a_part_in_which_a_source_has_no_tokens_still_wants_its_share() -> None:
    def report(first: int, second: int) -> MixtureReport:
        sources = [
            SourceReport(name, "text", 10, 5, tokens, 0.5, wanted, tokens / (first + second))
            for name, tokens, wanted in (("a", first, 0.25), ("b", second, 0.75))
        ]
        return MixtureReport(sources, {"text": 2, "speech_text": 0}, 1.0, 1.0, 0.9)

    whole = join_reports([report(0, 100), report(25, 75)])
    assert [source.wanted_share for source in whole.sources] == [0.25, 0.75]
    assert [source.share for source in whole.sources] == [0.125, 0.875]
    assert whole.ratio_error == 0.125
