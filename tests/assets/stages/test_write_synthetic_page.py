"""From the artifacts of a snapshot to its page and accounts: the sample that is shown, the sums, equal bytes."""

from pathlib import Path

import numpy as np
import pytest

from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stages import (
    extract_text,
    ingest_pages,
    mine_quest,
    round_trip,
    speak,
    write_krist,
    write_synthetic_page,
)
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_assets.store.fingerprint import payload_of
from spelangy_model.audio.io import encode_flac
from spelangy_model.records import Audio, Chunk, HeardChunk, Line, Metric, Reject, Script, TextDocument

ACCENTS = ("en-us", "en-029")
FLAC = encode_flac(np.full(16_000, 0.1, np.float32))


def script(number: int, role: str) -> Script:
    lines = [Line(role, f"Sentence {number}.", f"Sentence {number}.", 3, 10)]  # of "By a river it lies."
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
    """A snapshot's artifacts as the page's stage finds them."""

    def __init__(self, folder: Path):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(cache_dir=folder / "cache", launch=lambda *_: None)
        scripts = [script(number, "sentence") for number in range(6)]
        self.inputs = {
            "raw_pages": self.commit("raw_pages", ingest_pages.TABLES, {}, kept=10, dropped={"not_html": 2}),
            "text_documents": self.commit(
                "text_documents",
                extract_text.TABLES,
                {"documents": [TextDocument("t", f"p{n}", "", "", "", "By a river it lies.") for n in range(6)]},
            ),
            "krist_documents": self.commit("krist_documents", write_krist.TABLES, {"scripts": scripts}),
            "quest_pairs": self.commit(
                "quest_pairs", mine_quest.TABLES, {"scripts": scripts[:3]}, dropped={"rhetorical": 4}
            ),
        }
        for name, count, voices in (("krist", 6, 1), ("quest", 3, 2)):
            role = "sentence" if name == "krist" else "question"
            chunks = [chunk(i, n, role) for n in range(count) for i in speak.spoken_ids(f"s{n}", voices)]
            self.inputs[f"{name}_speech"] = self.commit(
                f"{name}_speech",
                speak.TABLES,
                {"chunks": chunks, "rejects": [Reject("https://example.org/9", "d", "too_long", "31 s > 28 s: text")]},
                config=speak.Config(seed=1, voices_per_document=voices),
                dropped={"too_long": 1},
                stats={"hours_kept": len(chunks) / 3600, "words_kept": 2 * len(chunks), "documents_kept": len(chunks)},
            )
            heard = [HeardChunk(chunks[0].chunk_id, "d", role, "en-us+m1", "en-us", "Sentence 0.", 1, "", 2, 2)]
            self.inputs[f"{name}_round_trip"] = self.commit(
                f"{name}_round_trip", round_trip.TABLES, {"heard": heard}, config={"max_word_error_rate": 0.5}, kept=1
            )

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
    metrics = {(m.subject, m.metric): m.value for m in shelf.page("page").records("metrics", Metric)}
    assert metrics["krist", "pages"] == 10
    assert metrics["quest", "scripts"] == 3
    assert metrics["quest", "scripts_per_page"] == pytest.approx(0.3)
    assert metrics["quest", "pages_with_documents"] == 3
    assert metrics["krist", "hours"] == pytest.approx(6 / 3600)
    assert metrics["krist", "words_per_minute"] == pytest.approx(120)
    assert metrics["quest", "seconds_per_page"] == pytest.approx(0.6)
    assert metrics["quest", "dropped.quest_pairs.rhetorical"] == 4
    assert metrics["krist", "dropped.krist_speech.too_long"] == 1


def test_the_page_shows_as_many_of_each_accent_beside_their_source(shelf):
    artifact = shelf.page("page", krist_documents=4, quest_documents=2)
    page = artifact.read_file("synthetic_page.html").decode()
    assert page.count("<article") == 6
    assert page.count("spoken by en-us+m1") == page.count("spoken by en-029+m1") == 3
    assert page.count("<mark>a river</mark>") == 6
    assert "snapshot 2026-01" in page
    for what in ("raw_pages: not_html", "quest_pairs: rhetorical", "krist_speech: too_long"):
        assert f'class="bad">{what}</th>' in page


def test_the_same_artifacts_give_the_same_page(shelf):
    assert shelf.page("one").data_version == shelf.page("two").data_version
