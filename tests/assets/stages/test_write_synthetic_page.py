"""From the artifacts of a snapshot to its page and accounts: the sample that is shown, the sums, equal bytes."""

from pathlib import Path

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.recipes.sample import SAMPLE as S
from spelangy_assets.recipes.sample import WHISPER_BASE
from spelangy_assets.stages import ingest_pages, mine_quest, round_trip, speak, write_synthetic_page
from spelangy_assets.stages.extract_text import Config as TextConfig
from spelangy_assets.stages.extract_text import extract_document
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_assets.store.fingerprint import payload_of
from spelangy_model.audio.io import encode_flac
from spelangy_model.records import Audio, CheckedChunk, Chunk, Line, Metric, Page, Reject, Script

ACCENTS = ("en-us", "en-029")
FLAC = encode_flac(np.full(16_000, 0.1, np.float32))


SENTENCE = "By a river it lies, and the mill that stands there grinds the corn of the whole town in every year."
MORE = (
    "The old miller keeps bees behind the house, and on market days he sells their honey to those who come for flour."
)
HTML = f"<html><body><main><h1>The mill</h1><p>{SENTENCE}</p><p>{MORE}</p></main></body></html>"


def page(number: int, html: str = HTML) -> Page:
    return Page(f"p{number}", f"https://example.org/{number}", "a.warc@0", "", "CC0-1.0", "utf-8", html)


document = extract_document(page(0), TextConfig())
assert not isinstance(document, str)
BEGIN = document.text.index("a river")


def script(number: int) -> Script:
    words = f"Sentence {number}."
    lines = [Line("question", words, words, BEGIN, BEGIN + len("a river"))]
    return Script(
        f"s{number}", f"p{number}", f"https://example.org/{number}", "CC0-1.0", f"T{number}", lines, "a river"
    )


def chunk(document: str, number: int, role: str) -> Chunk:
    accent = ACCENTS[number % 2]
    return Chunk(
        f"{document}/0", document, 0, role, f"p{number}", "", "CC0-1.0", f"{accent}+m1", accent, 0.0, 1.0,
        f"Sentence {number}.", f"Sentence {number}.", Audio(FLAC, "c.flac"),
    )  # fmt: skip


class Shelf:
    """What one set of synthetic speech was made of, as the page's stage finds it: three scripts in two voices."""

    def __init__(self, folder: Path):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0)
        chunks = [chunk(i, n, "question") for n in range(3) for i in speak.spoken_ids(f"s{n}", 2)]
        checked = [CheckedChunk(chunks[0].chunk_id, "d", "question", "en-us+m1", "en-us", "Sentence 0.", 1, "", 2, 2)]
        pages = [page(number) for number in range(9)] + [page(9, "<p>Too short.</p>")]
        self.inputs = {
            "raw_pages": self.commit("raw_pages", ingest_pages.TABLES, {"pages": pages}, dropped={"not_html": 2}),
            "scripts": self.commit(
                "quest_pairs", mine_quest.TABLES, {"scripts": list(map(script, range(3)))}, dropped={"rhetorical": 4}
            ),
            "speech": self.commit(
                "quest_speech",
                speak.TABLES,
                {"chunks": chunks, "rejects": [Reject("https://example.org/9", "d", "too_long", "31 s > 28 s: text")]},
                config=speak.Config(seed=1, voices_per_document=2),
                dropped={"too_long": 1},
                stats={"hours_kept": len(chunks) / 3600, "words_kept": 2 * len(chunks), "documents_kept": len(chunks)},
            ),
            "round_trip": self.commit(
                "quest_round_trip", round_trip.TABLES, {"checked": checked}, config={"max_word_error_rate": 0.5}, kept=1
            ),
        }

    def commit(self, asset, tables, rows, config=None, kept=None, dropped=None, stats=None) -> Artifact:
        address = Address(asset)
        writer = self.store.writer(
            DatasetName("recipe", asset), Identity(asset, "1", "", payload_of(config), [], "v1-key"), tables
        )
        with writer.unit(0) as out:
            for table, records in rows.items():
                out.write(table, records)
            if kept is not None:
                out.read(kept)
                out.kept(kept)
            else:
                out.read(sum(map(len, rows.values())) + sum((dropped or {}).values()))
            for reason, count in (dropped or {}).items():
                out.drop(reason, count)
            for stat, amount in (stats or {}).items():
                out.add(stat, amount)
        writer.commit()
        artifact = self.store.find(address, "v1-key")
        assert artifact is not None
        return artifact

    def page(self, name: str, **literals: int) -> Artifact:
        address = Address(name)
        writer = self.store.writer(
            DatasetName("recipe", name), Identity(name, "1", "", None, [], "v1-key"), write_synthetic_page.TABLES
        )
        context = StageContext(self.inputs, {}, writer, self.execution, "2026-01", None, lambda text: None)
        write_synthetic_page.run(context, write_synthetic_page.Config(**literals))
        writer.commit()
        artifact = self.store.find(address, "v1-key")
        assert artifact is not None
        return artifact


@pytest.fixture
def shelf(tmp_path):
    return Shelf(tmp_path)


def test_the_accounts_are_those_of_the_manifests(shelf):
    metrics = list(shelf.page("page").records("metrics", Metric))
    assert {(metric.subject, metric.count) for metric in metrics} == {("speech", 10)}
    figures = {metric.metric: metric.value for metric in metrics}
    assert figures["pages"] == 10
    assert figures["scripts"] == 3
    assert figures["scripts_per_page"] == pytest.approx(0.3)
    assert figures["records_read_per_page"] == pytest.approx(0.7)  # three kept, four dropped
    assert figures["pages_with_documents"] == 3
    assert figures["chunks"] == 6
    assert figures["hours"] == pytest.approx(6 / 3600)
    assert figures["words_per_minute"] == pytest.approx(120)
    assert figures["seconds_per_page"] == pytest.approx(0.6)
    assert figures["dropped.scripts.rhetorical"] == 4
    assert figures["dropped.speech.too_long"] == 1


def test_the_page_shows_as_many_of_each_accent_beside_their_source(shelf):
    artifact = shelf.page("page", documents=4)
    shown = artifact.read_file("synthetic_page.html").decode()
    assert shown.count("<article") == 4
    assert shown.count("spoken by en-us+m1") == shown.count("spoken by en-029+m1") == 2
    assert shown.count("<mark>a river</mark>") == 4
    assert "snapshot 2026-01" in shown
    for what in ("raw_pages: not_html", "scripts: rhetorical", "speech: too_long"):
        assert f'class="bad">{what}</th>' in shown


def test_a_page_without_a_main_text_is_shown_without_its_source(shelf):
    shelf.inputs["raw_pages"] = shelf.commit(
        "short_pages", ingest_pages.TABLES, {"pages": [page(number, "<p>By a river.</p>") for number in range(3)]}
    )
    shown = shelf.page("page", documents=6).read_file("synthetic_page.html").decode()
    assert shown.count("<article") == 6
    assert "<mark>" not in shown


def test_a_page_is_shown_as_its_scripts_read_it(shelf):
    shown = shelf.page("page", text=TextConfig(min_words=10_000)).read_file("synthetic_page.html").decode()
    assert "grinds the corn" not in shown
    assert "grinds the corn" in shelf.page("other").read_file("synthetic_page.html").decode()


def test_the_page_of_rewritten_scripts_takes_their_settings():
    text, check = TextConfig(min_words=7), lab.RoundTrip(recognizer=WHISPER_BASE, max_word_error_rate=0.5)
    made = lab.speech(lab.krist(S["raw_pages"].on("2026-01"), name="short", text=text), check, seed=1)
    assert made.companions["page"].config.text == text
    of_questions = lab.speech(lab.quest(S["raw_pages"].on("2026-01"), name="asked", seed=1), check, seed=1)
    assert of_questions.companions["page"].config.text == TextConfig()


def test_the_same_artifacts_give_the_same_page(shelf):
    assert shelf.page("one").data_version == shelf.page("two").data_version
