"""Texts that others extracted: what enters, what is left out and why, and that every row and character is accounted."""

from __future__ import annotations

import bz2
import datetime
import gzip
import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import InputError, PreflightError
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stage_parts.seen import open_seen
from spelangy_assets.stages import ingest_texts
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.forgotten import forget
from spelangy_assets.store.lineage import connect, query
from spelangy_assets.store.lineage_queries import HELD_SQL
from spelangy_model.records import PageSignature, Reject, SuppliedText
from spelangy_model.text.quality import C4, FineWeb, GopherQuality, GopherRepetition

WORDS = (
    "the old mill stands at edge of village where brook freezes in winter and wheel rests while people who live there "
    "bring bread flour water stones horses letters that they have with them when snow falls over roads from near "
    "mountains house river garden school church market summer evening morning light window story children"
)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    return folder


def prose(seed: int, sentences: int = 12) -> str:
    rng = random.Random(seed)
    return "\n".join(
        " ".join(" ".join(rng.choices(WORDS.split(), k=11)).capitalize() + "." for _ in range(3))
        for _ in range(sentences // 3)
    )


def node(**config: Any) -> Node:
    return Node(
        name="supplied_texts",
        group="crawl",
        description="texts",
        stage=ingest_texts,
        config=ingest_texts.Config(**config),
        contract=ingest_texts.CONTRACT,
        has_source=True,
    )


def build(toys: Any, store: Any, folder: Path | str, **config: Any) -> Artifact:
    built = toys.build(store, node(**config), source=FolderSource(folder))
    assert built.verdict.passed, built.verdict.failures()
    return built.artifact


def write_lines(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = "".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows).encode()
    packed = {".gz": gzip.compress, ".bz2": bz2.compress}.get(path.suffix)
    if path.suffix in (".zst", ".zstd"):
        with pa.CompressedOutputStream(str(path), "zstd") as out:
            out.write(data)
    else:
        path.write_bytes(packed(data) if packed else data)


def texts_of(artifact: Artifact) -> list[SuppliedText]:
    return list(artifact.records("texts", SuppliedText))


LAYOUTS: dict[str, tuple[str, dict[str, Any], tuple[str, str, str, str, str]]] = {
    "FineWeb-Edu": (
        "000_00000.parquet",
        {"id": "<urn:uuid:1>", "dump": "CC-MAIN-2024-10", "url": "https://a.example/1", "date": "2024-02-01T00:00:00Z"}
        | {"file_path": "s3://commoncrawl/x", "language": "en", "language_score": 0.9, "token_count": 9, "score": 3.1},
        ("https://a.example/1", "<urn:uuid:1>", "unknown", "2024-02-01T00:00:00Z", ""),
    ),
    "DCLM-baseline": (
        "global-shard_01/shard_0000_processed.jsonl.zst",
        {"url": "http://b.example/", "bff_contained_ngram_count_before_dedupe": 3, "warcinfo": "robots: classic"}
        | {"metadata": {"WARC-Record-ID": "<urn:uuid:2>", "WARC-Date": "2014-07-22T12:00:00Z", "Content-Length": "9"}},
        ("http://b.example/", "<urn:uuid:2>", "unknown", "2014-07-22T12:00:00Z", ""),
    ),
    "DCLM-baseline in Parquet": (
        "train-00000.parquet",
        {"url": "http://b.example/", "previous_word_count": 9}
        | {"metadata": {"WARC-Record-ID": "<urn:uuid:2>", "WARC-Date": datetime.datetime(2014, 7, 22, 12)}},
        ("http://b.example/", "<urn:uuid:2>", "unknown", "2014-07-22T12:00:00", ""),
    ),
    "Dolma": (
        "documents/cc_en_head/0933.json.gz",
        {"id": "d-3", "source": "common-crawl", "added": "2023-04-11", "created": "2020-01-17T12:48:23Z"}
        | {
            "metadata": {
                "url": "http://c.example/x",
                "title": "A  mill",
                "license": "CC https://creativecommons.org/licenses/by/4.0/",
            }
        },
        ("http://c.example/x", "d-3", "CC-BY-4.0", "2020-01-17T12:48:23Z", "A mill"),
    ),
    "Nemotron-CC": (
        "quality=high/kind=actual/CC-MAIN-2013-20-part-00000.jsonl.zstd",
        {"warc_record_id": "4f-1", "url": "https://d.example/", "language": "eng"},
        ("https://d.example/", "4f-1", "unknown", "", ""),
    ),
    "C4": (
        "en/c4-train.00000-of-01024.json.gz",
        {"timestamp": "2019-04-25T12:57:54Z", "url": "https://key:secret@e.example/p"},
        ("https://e.example/p", "", "unknown", "2019-04-25T12:57:54Z", ""),
    ),
    "metadata as JSON in a string": (
        "part.0.parquet",
        {"id": 7, "metadata": '{"url": "https://f.example/", "license": "Apache-2.0"}'},
        ("https://f.example/", "7", "Apache-2.0", "", ""),
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_layouts_of_the_field_are_read_as_they_are(toys, store, tmp_path, layout):
    name, fields, wanted = LAYOUTS[layout]
    path = tmp_path / "corpus" / name
    rows = [{"text": prose(number), **fields} for number in range(3)]
    path.parent.mkdir(parents=True)
    if name.endswith(".parquet"):
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        write_lines(path, rows)
    artifact = build(toys, store, tmp_path / "corpus")
    found = texts_of(artifact)
    assert [one.text for one in found] == [prose(number) for number in range(3)]
    assert {(one.url, one.supplied_id, one.licence, one.published_at, one.title) for one in found} == {wanted}
    assert {one.language for one in found} == {"en"}
    place = "row" if name.endswith(".parquet") else "line"
    assert [one.source_uri for one in found] == [f"{name}#{place}={n + (place == 'line')}" for n in range(3)]


def test_a_bad_row_is_a_reject_with_file_and_row(toys, store, corpus):
    write_lines(
        corpus / "a.jsonl",
        [
            {"text": prose(1), "id": "one"},
            "{not json}\n",
            {"id": "no text"},
            {"text": None, "id": "null"},
            {"text": ["a list"]},
            ["a row that is a list"],
            '{"text": "half \\ud800 of a character", "id": "half"}\n',
            {"text": prose(2)},
        ],
    )
    rows = pa.table({"text": [prose(3), None, "  ", prose(4)], "id": ["a", "b", "c", "d"]})
    pq.write_table(rows, corpus / "b.parquet")
    pq.write_table(pa.table({"body": ["no column of texts"]}), corpus / "c.parquet")
    (corpus / "d.parquet").write_bytes(b"PAR1 this is no Parquet file PAR1")
    whole = gzip.compress("".join(json.dumps({"text": prose(n)}) + "\n" for n in range(5, 9)).encode())
    (corpus / "e.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    (corpus / "notes.docx").write_bytes(b"?")
    (corpus / "README.md").write_text("of the publisher")
    write_lines(corpus / "z.jsonl", [{"text": prose(number), "licence": "MIT"} for number in range(20, 60)])
    artifact = build(toys, store, corpus)
    rejects = {(one.source_uri, one.record_id, one.reason) for one in artifact.records("rejects", Reject)}
    assert {one for one in rejects if not one[0].startswith("e.")} == {
        ("a.jsonl#line=2", "", "not_json"),
        ("a.jsonl#line=3", "no text", "no_text"),
        ("a.jsonl#line=4", "null", "no_text"),
        ("a.jsonl#line=5", "", "no_text"),
        ("a.jsonl#line=6", "", "no_text"),
        ("a.jsonl#line=7", "half", "half_character"),
        ("b.parquet#row=1", "b", "no_text"),
        ("b.parquet#row=2", "c", "no_text"),
        ("c.parquet#schema", "", "no_text_column"),
        ("d.parquet#after row=-1", "", "truncated"),
        ("notes.docx", "", "unknown_format"),
    }
    assert [one[2] for one in rejects if one[0].startswith("e.jsonl.gz#")][-1] in ("truncated", "not_json")
    counts = artifact.manifest.counts
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values())
    assert {one.url for one in texts_of(artifact)} >= {"file:a.jsonl#line=1", "file:b.parquet#row=3"}


def test_the_ledger_sums_rows_and_characters(toys, store, corpus):
    french = "Le vieux pont de pierre se trouve au milieu de la ville. " * 8
    again = prose(1).replace("\n", "  ").upper()  # the same words
    write_lines(
        corpus / "a.jsonl.gz", [{"text": text} for text in (prose(1), french, "Too short.", again, prose(2) + " {x}")]
    )
    write_lines(corpus / "b.jsonl.bz2", [{"text": prose(2) + "\nHome | About | Terms"}, {"text": prose(1)}])
    artifact = build(toys, store, corpus, quality=(C4(),), licence="ODC-By-1.0")
    counts = artifact.manifest.counts
    assert counts.dropped == {"duplicate": 2, "too_short": 1, "language_fr": 1, "c4_curly_bracket": 1}
    kept = texts_of(artifact)
    assert [one.text for one in kept] == [prose(1), prose(2)]
    assert {one.licence for one in kept} == {"ODC-By-1.0"}
    stats = counts.stats
    assert stats["characters_cut"] == len("\nHome | About | Terms")
    dropped = sum(value for name, value in stats.items() if name.startswith("characters_dropped."))
    assert stats["characters_read"] == stats["characters_kept"] + stats["characters_cut"] + dropped
    assert stats["characters_dropped.language_fr"] == len(french)
    assert [one.page_id for one in artifact.records("signatures", PageSignature)] == [one.page_id for one in kept]


def test_a_killed_run_gives_the_same_bytes_and_takes_no_text_for_its_own_copy(toys, store, tmp_path, monkeypatch):
    folder = tmp_path / "corpus"
    for number in range(3):  # each shard has a text of its own and one that the first has
        write_lines(folder / f"{number}.jsonl", [{"text": prose(number)}, {"text": prose(0)}])
    whole = build(toys, store, folder).data_version

    real, looked = ingest_texts.minhash, []

    def dies(text: str, rules: Any) -> list[int]:
        looked.append(text)
        if len(looked) == 2:
            raise KeyboardInterrupt
        return real(text, rules)

    monkeypatch.setattr(ingest_texts, "minhash", dies)
    with pytest.raises(KeyboardInterrupt):
        toys.build(store, node(), source=FolderSource(folder), force=True)
    monkeypatch.setattr(ingest_texts, "minhash", real)
    again = toys.build(store, node(), source=FolderSource(folder), force=True).artifact
    assert again.manifest.build_key.endswith("-r2")
    assert again.data_version == whole


def test_digests_that_were_lost_are_read_again(tmp_path: Path):
    done = {0}
    with open_seen(tmp_path, done.__contains__) as seen:
        assert seen.missing(done) == [0]
        assert seen.is_new("ab" * 16, 0)
        assert not seen.is_new("ab" * 16, 0)
        seen.keep(0)
        assert seen.is_new("cd" * 16, 1)
        seen.keep(1)  # killed before its receipt
    with open_seen(tmp_path, done.__contains__) as seen:
        assert seen.missing(done) == []
        assert seen.is_new("cd" * 16, 1)
        assert not seen.is_new("ab" * 16, 1)


def test_what_was_taken_down_is_left_out_and_its_lineage_is_found(toys, store, corpus):
    write_lines(corpus / "a.jsonl", [{"text": prose(1), "url": "https://a.example/1"}, {"text": prose(2)}])
    artifact = build(toys, store, corpus)
    with connect(store) as connection:
        (held,) = query(connection, HELD_SQL, url="https://a.example/1")
        kinds = query(connection, "SELECT kind, url, licence, source_uri FROM crawl ORDER BY url DESC")
    assert held["id"].endswith(artifact.manifest.build_key)
    assert kinds[0] == {
        "kind": "text",
        "url": "https://a.example/1",
        "licence": "unknown",
        "source_uri": "a.jsonl#line=1",
    }
    forget(store, "https://a.example/1", "A. Person", "the author asks")
    again = build(toys, store, corpus)
    assert again.manifest.counts.dropped == {"forgotten": 1}
    assert [one.text for one in texts_of(again)] == [prose(2)]


def test_a_folder_without_shards_and_options_that_do_not_fit_are_named(toys, store, corpus):
    with pytest.raises(InputError, match="holds no shard of texts"):
        build(toys, store, corpus)
    write_lines(corpus / "a.jsonl", [{"text": prose(1)}])
    with pytest.raises(PreflightError, match=r"\['xx'\] cannot be distinguished"):
        build(toys, store, corpus, languages=("xx",))
    with pytest.raises(PreflightError, match="min_words 9 is above max_words 2"):
        build(toys, store, corpus, min_words=9, max_words=2)


@pytest.mark.parametrize(
    ("option", "kept"),
    [
        ({"fields": lab.TextFields(text=("body",))}, ["three"]),
        ({"licence": "CC0-1.0"}, ["one", "two"]),
        ({"min_words": 200}, ["two"]),
        ({"max_words": 200}, ["one"]),
        ({"languages": ("fr",)}, []),
        ({"quality": (GopherQuality(min_words=200),)}, ["two"]),
    ],
)
def test_every_option_does_something(toys, store, corpus, option, kept):
    rows = [{"id": "one", "text": prose(1)}, {"id": "two", "text": prose(2, 24)}, {"id": "three", "body": prose(3)}]
    write_lines(corpus / "a.jsonl", rows)
    built = toys.build(store, node(**option), source=FolderSource(corpus))
    found = texts_of(built.artifact)
    assert [one.supplied_id for one in found] == kept
    if "licence" in option:
        assert {one.licence for one in found} == {"CC0-1.0"}


# --- rules ----------------------------------------------------------------------------------------------------------

GOOD = prose(1, 30)
MENU = "\n".join(f"Item {number} of the shop" for number in range(60))


@pytest.mark.parametrize(
    ("rule", "text", "reason"),
    [
        (GopherQuality(), GOOD, ""),
        (GopherQuality(), "A few words.", "gopher_few_words"),
        (GopherQuality(max_words=100), GOOD, "gopher_many_words"),
        (GopherQuality(), "a b c d e f g h i j " * 10, "gopher_word_length"),
        (GopherQuality(), GOOD + " #" * 200, "gopher_symbols"),
        (GopherQuality(), "\n".join(f"\u2022 the {line} to" for line in GOOD.split("\n")), "gopher_bullets"),
        (GopherQuality(), GOOD.replace(".\n", "...\n") + "...", "gopher_ellipses"),
        (GopherQuality(), GOOD + " 1234" * 200, "gopher_letters"),
        (GopherQuality(), "Nuages blancs dessous montagne rouge. " * 20, "gopher_stop_words"),
        (GopherRepetition(), GOOD, ""),
        (GopherRepetition(), "\n\n".join([prose(1, 3)] * 4 + [prose(2)]), "gopher_repeated_paragraphs"),
        (
            GopherRepetition(),
            "\n".join(["Read more here."] * 40 + [prose(n, 3) for n in range(40)]),
            "gopher_repeated_lines",
        ),
        (GopherRepetition(), GOOD + " buy cheap pills" * 80, "gopher_top_2_gram"),
        (
            GopherRepetition(),
            " ".join([prose(1, 3), prose(2, 9), prose(1, 3), prose(3, 3), prose(1, 3)]).replace("\n", " "),
            "gopher_repeated_5_grams",
        ),
        (C4(), GOOD, ""),
        (C4(), "Lorem ipsum dolor sit amet. " + GOOD, "c4_lorem_ipsum"),
        (C4(), "x = {1}\n" + GOOD, "c4_curly_bracket"),
        (C4(curly_brackets=False), "So we write {x} for it.\n" + GOOD, ""),
        (C4(), MENU, "c4_few_sentences"),
        (C4(terminal_marks=False), MENU, ""),
        (FineWeb(), GOOD, ""),
        (FineWeb(), MENU, "fineweb_marks"),
        (FineWeb(), "\n".join(f"Yes, {number}." for number in range(50)), "fineweb_short_lines"),
        (FineWeb(), "\n".join([*GOOD.split("\n"), *GOOD.split("\n")[:2]]), "fineweb_repeated_lines"),
        (FineWeb(max_short_lines=1.1), "\n".join(f"So {number}." for number in range(50)), "fineweb_line_ends"),
    ],
)
def test_the_rules_of_the_field_judge_as_their_papers_say(rule, text, reason):
    assert rule.apply(text)[1] == reason


def test_c4_takes_lines_away():
    lines = [
        "Turn on Javascript to see this page.",
        "Short.",
        GOOD,
        "No mark at the end of this",
        "Our cookie policy is new.",
    ]
    assert C4().apply("\n".join(lines) + " [12]") == (GOOD, "")


def test_a_word_of_several_repeated_ngrams_counts_once():
    text = "one two three four five six seven one two three four five six seven"
    limits = GopherRepetition(top_ngrams=(), repeated_ngrams=((5, 0.5),))
    assert limits.apply(text)[1] == ""  # 27 letters of 67 characters
    assert GopherRepetition(top_ngrams=(), repeated_ngrams=((5, 0.4),)).apply(text)[1] == "gopher_repeated_5_grams"


# --- in a recipe ----------------------------------------------------------------------------------------------------


def test_supplied_texts_stand_in_a_mix_beside_pages_with_index_and_decontamination():
    from spelangy_assets.recipes import sample
    from spelangy_assets.recipes.sample import SAMPLE

    supplied = lab.texts({"fineweb-edu": lab.Arriving()}, licence="ODC-By-1.0")
    tokens = lab.Tokens(speech=SAMPLE["speech_tokenizer"], text=SAMPLE["text_tokenizer"])
    own, given = SAMPLE["text_tokens"], tokens(supplied)
    rows = lab.mix(
        text={own: 0.4, given: 0.6}, rows=100, without=SAMPLE["sqa_benchmarks"], licences={given: ["ODC-By-*"]}
    )
    speech = lab.mix(speech={SAMPLE["web_fine_tokens"]: 1.0}, rows=100, licences=["CC-*", "public-domain"])
    with pytest.raises(lab.RecipeError, match="licences= names supplied_tokens, which is no token set of this mix"):
        lab.mix(text={own: 1.0}, rows=100, licences={given: ["CC0-*"]})
    arms = {
        "more": lab.train(rows, base=SAMPLE["base_lm"], **sample.training(10, 5, 3e-3)),
        "free": lab.train(speech, base=SAMPLE["base_lm"], **sample.training(10, 5, 3e-3)),
    }
    graph = lab.Recipe("more", lab.leaderboard(arms, SAMPLE["sqa_benchmarks"], judging=sample.judging())).graph
    assert graph["mix_more"].inputs["duplicates.1"] == "supplied_texts_duplicates"
    assert graph["mix_more"].inputs["contaminated.text.1"] == "supplied_contaminated"
    assert graph["supplied_tokens"].inputs["text_documents"] == "supplied_texts"
    assert [source.licences for source in graph["mix_more"].config.mixture.sources] == [(), ("ODC-By-*",)]
    assert [source.licences for source in graph["mix_free"].config.mixture.sources] == [("CC-*", "public-domain")]
    assert graph["supplied_texts"].folder == "texts"
