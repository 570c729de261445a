"""From archives to Krist and Quest scripts, on archives that the tests write and on the sample crawl."""

from __future__ import annotations

import http.server
import json
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import InputError, PreflightError
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages import extract_text, ingest_pages, mine_quest, write_krist
from spelangy_assets.stages.extract_text import CONTRACT as TEXT_DOCUMENTS
from spelangy_assets.stages.ingest_pages import CONTRACT as RAW_PAGES
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.forgotten import forget
from spelangy_model.records import Page, Reject, Script, TextDocument
from spelangy_model.text.llm import LanguageModel
from spelangy_model.text.questions import QuestRules

KRIST = write_krist.contract(write_krist.Config())
PROSE = "The old mill stands at the edge of the village, where the brook freezes in winter and the wheel rests. "
FAQ = "<h2>{question}</h2><p>The map shows the mill in Norway.</p><p>The answer is Norway.</p>"


def page(body: str, title: str = "The mill") -> str:
    return f"<!doctype html><html><head><title>{title}</title></head><body><main>{body}</main></body></html>"


def record(url: str, html: str, status: str = "200 OK") -> bytes:
    http = f"HTTP/1.1 {status}\r\nContent-Type: text/html; charset=utf-8\r\n\r\n{html}".encode()
    head = (
        f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: {url}\r\nWARC-Date: 2026-01-02T03:04:05Z\r\n"
        f"Content-Type: application/http; msgtype=response\r\nContent-Length: {len(http)}\r\n\r\n"
    )
    return head.encode() + http + b"\r\n\r\n"


def raw_pages(**config) -> Node:
    return Node(
        name="raw_pages",
        group="crawl",
        description="pages",
        stage=ingest_pages,
        config=ingest_pages.Config(**config),
        contract=RAW_PAGES,
        has_source=True,
    )


def below(stage, name: str, contract, **config) -> Node:
    return Node(
        name=name,
        group="synthetic",
        description=name,
        stage=stage,
        config=stage.Config(**config),
        contract=contract,
        inputs={"raw_pages": "raw_pages"},
    )


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Two archives: an article and its copy elsewhere, a shop, a French page, a missing page, two FAQ pages."""
    folder = tmp_path / "snapshot"
    folder.mkdir()
    article = page(f"<h1>The mill</h1><p>{PROSE * 3}</p><p>It was built in Bergen in 1742. {PROSE}</p>")
    french = "<p>" + "Le vieux pont de pierre se trouve au milieu de la ville. " * 8 + "</p>"
    (folder / "a.warc").write_bytes(
        record("https://mill.example/history", article)
        + record("https://shop.example/mill", page("<p>Buy a mill.</p>"))
        + record("https://mill.example/fr/pont", page(french))
        + record("https://mill.example/gone", "", "404 Not Found")
        + record(
            "https://mill.example/faq", page(FAQ.format(question="Where is the mill of Bergen?") + f"<p>{PROSE}</p>")
        )
    )
    (folder / "b.warc").write_bytes(
        record("https://mirror.example/history", article)
        + record(
            "https://mill.example/more",
            page(
                FAQ.format(question="Where is the MILL of Bergen?")
                + FAQ.format(question="Why not visit us today?")
                + FAQ.format(question="Which country owns the mill of Bergen?")
            ),
        )
    )
    return folder


def build_pages(toys, store, folder: Path, **config) -> Artifact:
    built = toys.build(store, raw_pages(**config), source=FolderSource(folder))
    assert built.verdict.passed
    return built.artifact


def test_a_page_that_was_taken_down_is_left_out_and_makes_no_copy_of_it_a_duplicate(toys, store, snapshot):
    build_pages(toys, store, snapshot)
    forget(store, "https://mill.example/history", "A. Person", "the publisher asks")
    artifact = build_pages(toys, store, snapshot)
    assert artifact.manifest.counts.dropped == {"forgotten": 1, "url_shop": 1, "language_fr": 1, "http_status": 1}
    assert [item.url for item in artifact.records("pages", Page)] == [
        "https://mill.example/faq",
        "https://mirror.example/history",
        "https://mill.example/more",
    ]


def scripts_of(artifact: Artifact) -> list[Script]:
    return list(artifact.records("scripts", Script))


def test_every_capture_is_a_page_or_a_counted_drop(toys, store, snapshot):
    artifact = build_pages(toys, store, snapshot)
    counts = artifact.manifest.counts
    assert counts.dropped == {"url_shop": 1, "language_fr": 1, "http_status": 1, "duplicate": 1}
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values()) == 7
    pages = list(artifact.records("pages", Page))
    assert [item.url.rsplit("/", 1)[-1] for item in pages] == ["history", "faq", "more"]
    assert pages[0].source_uri == "a.warc@0"
    (reject,) = artifact.records("rejects", Reject)
    assert (reject.reason, reject.source_uri.split("@")[0]) == ("http_status", "a.warc")


def test_a_copy_is_dropped_even_when_its_original_lies_in_a_unit_that_was_done_before_a_kill(
    toys, store, snapshot, monkeypatch
):
    undisturbed = build_pages(toys, store, snapshot).data_version
    read = ingest_pages.read_archive

    def killed_in_the_second(stream, name, limits):
        if name == "b.warc":
            raise KeyboardInterrupt
        return read(stream, name, limits)

    monkeypatch.setattr(ingest_pages, "read_archive", killed_in_the_second)
    other = type(store)(snapshot.parent / "other", snapshot.parent / "cache")
    with pytest.raises(KeyboardInterrupt):
        build_pages(toys, other, snapshot)
    monkeypatch.setattr(ingest_pages, "read_archive", read)
    artifact = build_pages(toys, other, snapshot)
    assert artifact.data_version == undisturbed
    assert artifact.manifest.counts.dropped["duplicate"] == 1


@dataclass(frozen=True)
class RenderedMills:
    """Pages that are made at run time."""

    version: ClassVar[str] = "1"
    count: int

    def pages(self):
        for index in range(self.count):
            yield f"https://mill.example/{index}", page(f"<p>{PROSE * 3} It has {index} wheels.</p>")


def test_rendered_pages_come_in_through_the_same_door(toys, store, monkeypatch):
    monkeypatch.setattr(ingest_pages, "PAGES_A_UNIT", 2)
    built = toys.build(store, raw_pages(), source=RenderedMills(5))
    assert [item.source_uri for item in built.artifact.records("pages", Page)] == [f"rendered@{k}" for k in range(5)]
    assert built.artifact.manifest.units == 3


def test_files_of_a_folder_are_pages_or_counted_drops(toys, store, tmp_path, monkeypatch):
    monkeypatch.setattr(ingest_pages, "PAGES_A_UNIT", 3)
    folder = tmp_path / "folder"
    files = {
        "www.mill.example/index.html": page(f"<p>{PROSE * 3}</p>"),
        "www.mill.example/shop/wheel.html": page(f"<p>{PROSE * 2}</p>"),
        "www.mill.example/style.css": "p { margin: 0 }",
        "notes/mill.htm": page(f"<p>{PROSE * 3} It has a wheel.</p>"),
        "notes/shop.html": page(f"<p>{PROSE * 3} It has a shop.</p>"),
        "notes/reserved.html": page(f"<p>{PROSE}</p>").replace("<title>", '<meta name="robots" content="noai"><title>'),
        "copy.html": page(f"<p>{PROSE * 3}</p>"),
        "empty.html": "",
        ".hidden.html": page(f"<p>{PROSE * 3} Hidden from all.</p>"),
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "crawl.warc").write_bytes(record("https://mill.example/faq", page(f"<p>{PROSE * 4}</p>")))
    artifact = build_pages(toys, store, folder)
    assert {row.url: row.source_uri for row in artifact.records("pages", Page)} == {
        "https://mill.example/faq": "crawl.warc@0",
        "file:///copy.html": "copy.html",
        "file:///notes/mill.htm": "notes/mill.htm",
        "file:///notes/shop.html": "notes/shop.html",
    }
    counts = artifact.manifest.counts
    assert counts.dropped == {"duplicate": 1, "url_shop": 1, "robots_noai": 1, "not_html": 1, "empty_payload": 1}
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values()) == len(files)
    assert artifact.manifest.units == 4
    again = type(store)(tmp_path / "other", tmp_path / "cache")
    kept = build_pages(toys, again, folder, refused_directives=())
    assert {row.robots for row in kept.records("pages", Page)} == {"", "noai"}


def test_links_and_pipes_among_pages_are_pages_or_counted_drops(toys, store, tmp_path):
    folder, far = tmp_path / "folder", tmp_path / "far"
    for place, name in ((folder, "a.html"), (far, "b.html")):
        place.mkdir()
        (place / name).write_text(page(f"<p>{PROSE * 3} It is {name}.</p>"))
    (folder / "linked").symlink_to(far, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    (folder / "gone.html").symlink_to(tmp_path / "none")
    os.mkfifo(folder / "pipe.warc")
    (folder / "folder.warc.gz").mkdir()
    (folder / "empty").mkdir()
    artifact = build_pages(toys, store, folder)
    assert {row.source_uri for row in artifact.records("pages", Page)} == {"a.html", "linked/b.html"}
    assert {row.source_uri: row.reason for row in artifact.records("rejects", Reject)} == {
        "loop": "linked_twice", "gone.html": "dangling_link", "pipe.warc": "not_a_file",
        "folder.warc.gz": "empty_folder",
    }  # fmt: skip
    counts = artifact.manifest.counts
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values()) == 6


def test_what_wget_leaves_is_read_as_archive_and_as_folder(toys, store, tmp_path):
    wget = shutil.which("wget")
    if wget is None:
        pytest.skip("wget is not installed")
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(page(f'<p>{PROSE * 3}</p><a href="mill.html">The mill</a> <img src="wheel.png">'))
    (site / "mill.html").write_text(page(f"<p>{PROSE * 3} It was built in 1742.</p>"))
    (site / "wheel.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=site)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        for kind, flags in (("warc", ["--warc-file=site", "--delete-after"]), ("folder", ["--mirror"])):
            (tmp_path / kind).mkdir()
            command = [wget, "-q", "-r", "-p", "-e", "robots=off", *flags, f"http://localhost:{server.server_port}/"]
            subprocess.run(command, cwd=tmp_path / kind, check=True, timeout=60, env={"PATH": os.environ["PATH"]})
        server.shutdown()
    found = {}
    for kind in ("warc", "folder"):
        other = type(store)(tmp_path / f"store-{kind}", tmp_path / "cache")
        artifact = build_pages(toys, other, tmp_path / kind)
        found[kind] = {row.html: row for row in artifact.records("pages", Page)}
        assert artifact.manifest.counts.dropped["not_html"] == 1
    assert found["warc"].keys() == found["folder"].keys()
    assert len(found["warc"]) == 2
    for html, archived in found["warc"].items():
        assert archived.url.endswith("mill.html" if "1742" in html else "/")
        assert archived.robots == "harvester:off"
        assert archived.captured_at


def test_a_source_that_gives_nothing_says_what_is_missing(toys, store, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"holds no file: put archives \(\.warc"):
        toys.build(store, raw_pages(), source=FolderSource(tmp_path / "empty"))


def test_main_texts_carry_their_page(toys, store, snapshot):
    build_pages(toys, store, snapshot)
    node = below(extract_text, "text_documents", TEXT_DOCUMENTS)
    artifact = toys.build(store, node, raw_pages()).artifact
    documents = list(artifact.records("documents", TextDocument))
    assert documents[0].title == "The mill"
    assert "It was built in Bergen in 1742." in documents[0].text
    assert artifact.manifest.counts.records_kept == len(documents)
    assert artifact.manifest.counts.records_in == 3


def test_krist_keeps_the_facts_of_its_page(toys, store, snapshot):
    build_pages(toys, store, snapshot)
    built = toys.build(store, below(write_krist, "krist_documents", KRIST), raw_pages())
    assert built.verdict.passed
    stats = built.artifact.manifest.counts.stats
    assert stats["facts_kept"] == stats["facts"] > 3
    script = scripts_of(built.artifact)[0]
    lines = [line.text for line in script.lines]
    assert "It was built in Bergen in 1742." in lines
    assert script.url == "https://mill.example/history"
    assert built.artifact.manifest.counts.stats["sentences"] == sum(
        len(item.lines) for item in scripts_of(built.artifact)
    )


def test_quest_asks_each_question_once_over_all_pages(toys, store, snapshot):
    build_pages(toys, store, snapshot)
    built = toys.build(store, below(mine_quest, "quest_pairs", contracts.SCRIPTS), raw_pages())
    assert built.verdict.passed
    scripts = scripts_of(built.artifact)
    assert [script.title for script in scripts] == [
        "Where is the mill of Bergen?",
        "Which country owns the mill of Bergen?",
    ]
    assert all(script.lines[-1].text.endswith("The answer is Norway.") for script in scripts)
    counts = built.artifact.manifest.counts
    assert counts.dropped == {"duplicate_question": 1, "rhetorical": 1}
    assert counts.records_in == 4


def test_a_named_model_without_a_server_fails_before_any_work(toys, store, snapshot):
    build_pages(toys, store, snapshot)
    for stage, name in ((write_krist, "krist_documents"), (mine_quest, "quest_pairs")):
        with pytest.raises(PreflightError, match="SPELANGY_LLM_BASE_URL is not set"):
            toys.build(store, below(stage, name, contracts.SCRIPTS, model=LanguageModel("gpt-4o")), raw_pages())


def test_the_prompt_is_part_of_the_identity_only_when_a_model_reads_it():
    assert mine_quest.Config().prompt_digest == ""
    assert len(mine_quest.Config(model=LanguageModel("m")).prompt_digest) == 16


class Answering:
    """Stands for the client: answers by the question or the text that it is asked."""

    def __init__(self, answer):
        self.answer = answer
        self.ledger = self
        self.left_out = []
        self.calls = 0

    def as_dict(self):
        return {"requests": self.calls, "prompt_tokens": 120 * self.calls}

    def ask_all(self, prompt, fillings):
        from spelangy_model.text.llm import Reply

        self.calls += 1
        for filling in fillings:
            prompt.fill(**filling)
        return [value if isinstance(value, Reply) else Reply(value) for value in map(self.answer, fillings)]


def test_a_model_s_answers_are_kept_only_with_evidence_from_the_page(toys, store, snapshot, monkeypatch):
    def answer(filling):
        proven = "Where" in filling["question"]
        return {
            "valid": True,
            "reason": "",
            "rationale": "Maps show Norway.",
            "answer": "In Norway.",
            "evidence": "the mill in norway" if proven else "the mill in Sweden",
        }

    monkeypatch.setattr(mine_quest, "make_client", lambda model, execution: Answering(answer))
    monkeypatch.setattr(mine_quest, "require_server", lambda model, execution: None)
    build_pages(toys, store, snapshot)
    node = below(
        mine_quest, "quest_pairs", contracts.SCRIPTS, model=LanguageModel("m"), rules=QuestRules(bridge_share=0.0)
    )
    artifact = toys.build(store, node, raw_pages()).artifact
    assert [script.lines[1].text for script in scripts_of(artifact)] == ["Maps show Norway. In Norway."]
    assert artifact.manifest.counts.dropped["evidence_not_on_page"] == 1
    assert artifact.manifest.counts.stats["model_prompt_tokens"] == 120 * artifact.manifest.units


def test_a_model_s_rewriting_must_keep_the_facts(toys, store, snapshot, monkeypatch):
    from spelangy_model.text.llm import Reply

    def answer(filling):
        if "1742" in filling["text"]:
            return {"text": filling["text"].replace("1742", "an old year")}
        return Reply(None, "cut_off", "")

    monkeypatch.setattr(write_krist, "make_client", lambda model, execution: Answering(answer))
    monkeypatch.setattr(write_krist, "require_server", lambda model, execution: None)
    build_pages(toys, store, snapshot)
    node = below(write_krist, "krist_documents", KRIST, model=LanguageModel("m"))
    artifact = toys.build(store, node, raw_pages()).artifact
    assert scripts_of(artifact) == []
    dropped = artifact.manifest.counts.dropped
    assert dropped["facts_lost"] == 1
    assert dropped["model_cut_off"] == 2


@pytest.mark.slow
def test_the_sample_crawl_gives_every_question_and_no_planted_one(toys, store, project_dir):
    crawl = project_dir / "spelangy_assets/sample/snapshots"
    truth = [json.loads(line) for line in (crawl / "truth/pages.jsonl").read_text("utf-8").splitlines()]
    for snapshot_name in ("2026-01", "2026-02"):
        pages = replace(raw_pages(), partition="page_snapshot")
        quest = replace(below(mine_quest, "quest_pairs", contracts.SCRIPTS), partition="page_snapshot")
        source = FolderSource(crawl / "pages" / snapshot_name)
        toys.build(store, pages, source=source, partition=snapshot_name)
        artifact = toys.build(store, quest, pages, partition=snapshot_name).artifact
        entries = [entry for entry in truth if entry["snapshot"] == snapshot_name]
        wanted = {question["question"] for entry in entries for question in entry.get("questions", ())}
        mined = {script.title for script in scripts_of(artifact)}
        assert len(mined & wanted) / len(mined) >= 0.95
        assert len(mined & wanted) / len(wanted) >= 0.9
        assert not mined & {planted["question"] for entry in entries for planted in entry.get("planted", ())}


def test_odd_archives_end_as_pages_or_rejects(toys, store, shared_dir):
    artifact = build_pages(toys, store, shared_dir / "data/warc_odd")
    counts = artifact.manifest.counts
    assert counts.records_in == counts.records_kept + sum(counts.dropped.values())
    assert all(reject.reason and reject.source_uri for reject in artifact.records("rejects", Reject))
    assert counts.dropped["broken_archive"] == 1


def test_the_quality_rules_of_the_field_judge_pages_too(toys, store, snapshot):
    from spelangy_model.text.quality import C4, GopherQuality

    build_pages(toys, store, snapshot)
    for rules, kept in (((), 3), ((GopherQuality(max_words=100),), 1), ((C4(min_sentences=99),), 0)):
        nodes = below(extract_text, "text_documents", extract_text.CONTRACT, quality=rules)
        built = toys.build(store, nodes, raw_pages())
        assert built.artifact.manifest.counts.records_kept == kept
