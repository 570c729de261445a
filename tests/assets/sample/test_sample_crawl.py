"""The sample crawl: its truth agrees with its files, nothing leaks from the benchmark, and its tool makes it again."""

import gzip
import hashlib
import importlib.util
import io
import itertools
import json
import re
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import soundfile
from fastwarc.warc import ArchiveIterator, WarcRecordType

from spelangy_assets.sample import pages, render
from spelangy_assets.sample.crawl import AUDIO_SNAPSHOTS, PAGE_SNAPSHOTS, SAMPLE_CRAWL
from spelangy_assets.sample.world import Use, load_world, words_of

WORLD = load_world()
ROOT = Path(__file__).resolve().parents[3]


def load_tool() -> Any:
    spec = importlib.util.spec_from_file_location("make_sample_crawl", ROOT / "tools" / "make_sample_crawl.py")
    assert spec is not None
    assert spec.loader is not None
    tool = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = tool  # dataclasses look their module up
    spec.loader.exec_module(tool)
    return tool


TOOL = load_tool()


def truth(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (SAMPLE_CRAWL / "truth" / f"{name}.jsonl").read_text("utf-8").splitlines()]


@pytest.fixture(scope="module")
def page_truth() -> list[dict[str, Any]]:
    return truth("pages")


@pytest.fixture(scope="module")
def archived() -> dict[str, str]:
    """URL -> body of every capture of the archives."""
    bodies = {}
    for path in sorted((SAMPLE_CRAWL / "pages").glob("*/*.warc.gz")):
        with path.open("rb") as stream:
            for capture in ArchiveIterator(stream, record_types=WarcRecordType.response, parse_http=True):
                bodies[capture.headers["WARC-Target-URI"]] = capture.reader.read().decode("utf-8")
    return bodies


def visible(html: str) -> str:
    return re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", html, flags=re.DOTALL)


# --- pages ------------------------------------------------------------------------------------------------


def test_archives_hold_what_the_truth_lists(page_truth: list[dict[str, Any]], archived: dict[str, str]) -> None:
    assert [entry["url"] for entry in page_truth if entry["url"] not in archived] == []
    assert set(archived) == {entry["url"] for entry in page_truth}
    assert {entry["snapshot"] for entry in page_truth} == set(PAGE_SNAPSHOTS)
    kinds = Counter(entry["kind"] for entry in page_truth)
    assert kinds["article"] == kinds["faq"] == len(WORLD.entities)
    assert kinds["duplicate"] == kinds["near_duplicate"] == 1
    assert kinds["foreign"] >= 3
    assert {entry["refused_as"] for entry in page_truth if entry["kind"] == "refused"} == {
        "shop",
        "account",
        "media",
        "forum",
    }


def test_every_fact_is_asked_in_three_spoken_wordings(
    page_truth: list[dict[str, Any]], archived: dict[str, str]
) -> None:
    by_entity = {entry["entity"]: entry for entry in page_truth if entry["kind"] == "faq"}
    for fact in WORLD.facts:
        entry = by_entity[fact.entity.name]
        spoken = {render.ask(fact, wording) for wording in fact.relation.wordings("questions", "spoken")}
        asked = [item for item in entry["questions"] if item["question"] in spoken]
        assert len(asked) == 3
        assert {item["answer"] for item in asked} == {fact.value}
        html = archived[entry["url"]]
        for item in asked:
            assert f">{item['question']}<" in html
            assert item["rationale"] in html
            assert fact.value in words_with_case(item["rationale"])


def words_with_case(text: str) -> set[str]:
    return set(re.findall(r"[A-Za-z']+", text)) | {text.split()[0].lower()}


def test_planted_questions_stand_on_the_pages_and_are_not_listed_as_real(
    page_truth: list[dict[str, Any]], archived: dict[str, str]
) -> None:
    reasons = Counter()
    for entry in page_truth:
        real = {item["question"] for item in entry.get("questions", [])}
        for plant in entry.get("planted", []):
            assert f">{plant['question']}<" in archived[entry["url"]]
            assert plant["question"] not in real
            reasons[plant["reason"]] += 1
    assert set(reasons) == {"site", "needs_context", "rhetorical"}
    assert min(reasons.values()) >= 20


def test_layouts_differ_and_json_ld_says_what_the_page_shows(archived: dict[str, str]) -> None:
    layouts = Counter(pages.faq_layout(WORLD, entity) for entity in WORLD.entities)
    assert set(layouts) == set(get_args(pages.FaqLayout))
    for entity in WORLD.entities:
        html = archived[pages.faq_url(entity)]
        layout = pages.faq_layout(WORLD, entity)
        assert ("<dl>" in html) == (layout == "definition_list")
        scripts = re.findall(r'<script type="application/ld\+json">(.*?)</script>', html, flags=re.DOTALL)
        assert bool(scripts) == (layout == "json_ld")
        for script in scripts:
            data = json.loads(script)
            assert data["@type"] == "FAQPage"
            shown = re.findall(r"<h3>(.*?)</h3>", html)
            assert [question["name"] for question in data["mainEntity"]] == shown
            assert len(shown) == 17


def test_duplicates_are_what_they_are_called(page_truth: list[dict[str, Any]], archived: dict[str, str]) -> None:
    for entry in page_truth:
        if entry["kind"] == "duplicate":
            assert archived[entry["url"]] == archived[entry["copy_of"]]
        if entry["kind"] == "near_duplicate":
            assert archived[entry["url"]] != archived[entry["copy_of"]]
            known = words_of(visible(archived[entry["copy_of"]]))
            assert len(set(words_of(visible(archived[entry["url"]]))) - set(known)) <= 10
    unique = {entry["url"] for entry in page_truth if entry["kind"] != "duplicate"}
    assert len({archived[url] for url in unique}) == len(unique)


def test_pages_hold_no_wording_that_is_not_spoken(archived: dict[str, str]) -> None:
    text = " ".join(archived.values())
    withheld = {
        render.ask(fact, wording)
        for fact in WORLD.facts
        for wording in fact.relation.wordings("questions", "text_only", "evaluation")
    } | {
        render.state(fact, wording)
        for fact in WORLD.facts
        for wording in fact.relation.wordings("statements", "text_only", "evaluation")
    }
    sentences = set(re.split(r"(?<=[.?])[ <]|>", text))
    assert not sentences & withheld


def test_all_that_is_rendered_in_english_keeps_to_1500_words(
    page_truth: list[dict[str, Any]], archived: dict[str, str]
) -> None:
    words = set(WORLD.vocabulary)
    for entry in page_truth:
        if entry.get("language") == "en":
            words.update(words_of(visible(archived[entry["url"]])))
    assert len(words) <= 1500
    for index in range(200):
        assert set(words_of(" ".join(text for _, text in render.conversation(WORLD, 0, index)))) <= set(
            WORLD.vocabulary
        )
        assert set(words_of(render.text_document(WORLD, 0, index))) <= set(WORLD.vocabulary)


def test_the_url_filter_refuses_what_it_must_and_nothing_else(page_truth: list[dict[str, Any]]) -> None:
    from spelangy_model.text.urls import UrlRules, refuse_url

    for entry in page_truth:
        if entry["kind"] in ("article", "faq", "refused"):
            expected = f"url_{entry['refused_as']}" if entry["refused_as"] else None
            assert refuse_url(entry["url"], UrlRules()) == expected


def test_the_tool_makes_the_same_archives_again(tmp_path: Path) -> None:
    TOOL.make_pages(tmp_path)
    committed = {path.relative_to(SAMPLE_CRAWL): path for path in (SAMPLE_CRAWL / "pages").rglob("*.gz")}
    assert len(committed) == len(PAGE_SNAPSHOTS) * TOOL.ARCHIVES_PER_SNAPSHOT
    for relative, path in committed.items():
        # contents, because another zlib may pack them differently
        assert gzip.decompress((tmp_path / relative).read_bytes()) == gzip.decompress(path.read_bytes())
    assert (tmp_path / "truth/pages.jsonl").read_bytes() == (SAMPLE_CRAWL / "truth/pages.jsonl").read_bytes()
    first = {path: path.read_bytes() for path in sorted((tmp_path / "pages").rglob("*.gz"))}
    TOOL.make_pages(tmp_path)
    assert {path: path.read_bytes() for path in first} == first


def test_a_snapshot_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="page snapshots 0 to 1"):
        pages.snapshot_pages(WORLD, 0, 2)


# --- recordings -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files() -> list[dict[str, Any]]:
    return truth("files")


@pytest.fixture(scope="module")
def sentences() -> dict[str, list[dict[str, Any]]]:
    table: dict[str, list[dict[str, Any]]] = {}
    for sentence in truth("sentences"):
        table.setdefault(sentence["recording"], []).append(sentence)
    return table


def path_of(entry: dict[str, Any]) -> Path:
    return SAMPLE_CRAWL / "audio" / entry["snapshot"] / entry["file"]


def test_the_crawl_weighs_at_most_six_megabytes() -> None:
    assert sum(path.stat().st_size for path in SAMPLE_CRAWL.rglob("*") if path.is_file()) <= 6_000_000


def test_files_manifests_and_truth_name_the_same_recordings(files: list[dict[str, Any]]) -> None:
    listed = set()
    for snapshot in AUDIO_SNAPSHOTS:
        folder = SAMPLE_CRAWL / "audio" / snapshot
        entries = [json.loads(line) for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines()]
        assert all(set(entry) == {"file", "url", "licence"} for entry in entries)  # nothing of the truth
        assert {entry["file"] for entry in entries} == {path.name for path in folder.glob("*.opus")}
        listed |= {(snapshot, entry["file"]) for entry in entries}
    assert listed == {(entry["snapshot"], entry["file"]) for entry in files}
    for entry in files:
        assert hashlib.sha256(path_of(entry).read_bytes()).hexdigest() == entry["sha256"]


@pytest.mark.slow
def test_each_file_is_what_the_truth_calls_it(files: list[dict[str, Any]]) -> None:
    by_name = {entry["recording"]: entry for entry in files}
    assert Counter(entry["status"] for entry in files) == {"unique": 7, "duplicate": 1, "undecodable": 1}
    for entry in files:
        if entry["status"] == "undecodable":
            with pytest.raises(soundfile.LibsndfileError):
                soundfile.read(path_of(entry))
            continue
        samples, rate_hz = soundfile.read(path_of(entry))
        assert samples.ndim == 1
        assert len(samples) / rate_hz == pytest.approx(entry["duration_s"], abs=0.03)
        if entry["status"] == "duplicate":
            original = by_name[entry["copy_of"]]
            assert path_of(entry).read_bytes() == path_of(original).read_bytes()
            assert entry["snapshot"] == original["snapshot"]


def test_there_is_enough_speech_of_two_people(sentences: dict[str, list[dict[str, Any]]]) -> None:
    assert len(sentences) == 7
    english_s = sum(s["end_s"] - s["start_s"] for table in sentences.values() for s in table if s["language"] == "en")
    assert english_s >= 6 * 60
    for table in sentences.values():
        assert {sentence["speaker"] for sentence in table} >= {"A", "B"}
    foreign_s = sum(s["end_s"] - s["start_s"] for table in sentences.values() for s in table if s["language"] != "en")
    assert foreign_s >= 15


def test_pauses_are_natural_and_some_turns_overlap(sentences: dict[str, list[dict[str, Any]]]) -> None:
    stretches = {entry["recording"]: entry for entry in truth("stretches")}
    overlaps = 0
    for recording, table in sentences.items():
        for before, after in itertools.pairwise(table):
            pause_s = after["start_s"] - before["end_s"]
            stretch = stretches.get(recording)
            if stretch and before["end_s"] <= stretch["start_s"] < after["start_s"]:
                continue
            assert -0.55 <= pause_s <= 1.55
            overlaps += pause_s < 0
            if pause_s < 0:
                assert before["speaker"] != after["speaker"]
    assert overlaps >= 3


@pytest.mark.slow
def test_sound_lies_where_the_truth_says(
    files: list[dict[str, Any]], sentences: dict[str, list[dict[str, Any]]]
) -> None:
    stretches = truth("stretches")
    assert {stretch["kind"] for stretch in stretches} == {"music", "noise"}
    for entry in files:
        if entry["status"] != "unique":
            continue
        samples, rate_hz = soundfile.read(path_of(entry), dtype="float32")
        spans = [(s["start_s"], s["end_s"]) for s in sentences[entry["recording"]]]
        spans += [(s["start_s"], s["end_s"]) for s in stretches if s["recording"] == entry["recording"]]
        inside = np.zeros(len(samples), dtype=bool)
        for start_s, end_s in spans:
            assert 0 <= start_s < end_s <= entry["duration_s"]
            part = samples[round(start_s * rate_hz) : round(end_s * rate_hz)]
            assert np.sqrt(np.mean(part**2)) > 0.02
            # the first and the last tenth of a second hold sound: the times are no looser than that
            edge = round(0.1 * rate_hz)
            assert min(np.abs(part[:edge]).max(), np.abs(part[-edge:]).max()) > 0.002
            inside[max(0, round((start_s - 0.02) * rate_hz)) : round((end_s + 0.02) * rate_hz)] = True
        assert np.sqrt(np.mean(samples[~inside] ** 2)) < 0.003


def test_rttm_agrees_with_the_sentences(sentences: dict[str, list[dict[str, Any]]]) -> None:
    for recording, table in sentences.items():
        spoken = [TOOL.SpokenSentence(**{key: value for key, value in s.items() if key != "recording"}) for s in table]
        text = (SAMPLE_CRAWL / "truth" / "rttm" / f"{recording}.rttm").read_text()
        assert text == TOOL.rttm(recording, spoken)
        turns = [line.split() for line in text.splitlines()]
        assert all(turn[0] == "SPEAKER" and turn[1] == recording and len(turn) == 10 for turn in turns)
        spoken_s = sum(s["end_s"] - s["start_s"] for s in table)
        assert spoken_s <= sum(float(turn[4]) for turn in turns) + 0.01 <= spoken_s + TOOL.TURN_GAP_S * len(table)


def test_every_sentence_comes_from_the_world(sentences: dict[str, list[dict[str, Any]]]) -> None:
    for number, plan in enumerate(TOOL.PLANS):
        english = [(s["speaker"], s["text"]) for s in sentences[plan.name] if s["language"] == "en"]
        expected = [
            line
            for part in range(TOOL.TALKS_PER_RECORDING)
            for line in render.conversation(WORLD, TOOL.SEED, number * TOOL.TALKS_PER_RECORDING + part)
        ]
        assert english == expected


def test_an_ogg_file_keeps_its_sound_under_another_stream_number() -> None:
    buffer = io.BytesIO()
    tone = 0.1 * np.sin(np.arange(24_000) * 0.1).astype(np.float32)
    soundfile.write(buffer, tone, 24_000, format="OGG", subtype="OPUS")
    original = buffer.getvalue()
    serial = int.from_bytes(original[14:18], "little")
    assert TOOL.renumbered(original, serial) == original  # so the checksums are those of libsndfile
    changed = TOOL.renumbered(original, serial ^ 1)
    assert changed != original
    np.testing.assert_array_equal(soundfile.read(io.BytesIO(changed))[0], soundfile.read(io.BytesIO(original))[0])


def test_no_wording_of_the_evaluation_is_spoken(sentences: dict[str, list[dict[str, Any]]]) -> None:
    spoken = {s["text"] for table in sentences.values() for s in table}
    uses = [use for use in get_args(Use) if use != "spoken"]
    for fact in WORLD.facts:
        for wording in fact.relation.wordings("questions", *uses):
            assert render.ask(fact, wording) not in spoken


@pytest.mark.slow
def test_the_recordings_are_intelligible(sentences: dict[str, list[dict[str, Any]]], tmp_path: Path) -> None:
    import jiwer
    import soxr
    from faster_whisper import WhisperModel
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer

    from spelangy_model.weights import whisper_ct2

    model = WhisperModel(str(whisper_ct2("base", tmp_path)), compute_type="int8", cpu_threads=1)
    normalize = EnglishTextNormalizer({})
    for recording in ("talk-01", "talk-05"):
        path = next((SAMPLE_CRAWL / "audio").glob(f"*/{recording}.opus"))
        samples, rate_hz = soundfile.read(path, dtype="float32")
        table = [s for s in sentences[recording] if s["end_s"] < 27]
        clip = soxr.resample(samples[: round((table[-1]["end_s"] + 0.2) * rate_hz)], rate_hz, 16_000)
        transcript = " ".join(segment.text for segment in model.transcribe(clip, language="en", beam_size=5)[0])
        spoken = " ".join(s["text"] for s in table)
        assert jiwer.wer(normalize(spoken), normalize(transcript)) < 0.15
