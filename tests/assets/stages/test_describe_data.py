"""What is in the data: measures of chunks, limits on them, and sums over chunks and over what a mix draws."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.build import Built
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.stages import describe_data, measure_speech
from spelangy_assets.stages.describe_data import Portion
from spelangy_assets.stages.measure_speech import MeasuredChunk
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import SAMPLE_RATE_HZ, encode_flac
from spelangy_model.audio.speech_quality import Opinion
from spelangy_model.records import (
    Audio,
    Chunk,
    Metric,
    PackedRow,
    RejectedChunk,
    RowSpan,
    TokenChunk,
    TokenDocument,
    Transcript,
)

ANY = Contract("any", "SELECT 1 AS fine", (Bound("fine", 1),))


def sound(seconds: float, noise: float) -> bytes:
    """Bursts of a tone over noise: the signal-to-noise ratio follows from the two levels."""
    rng = np.random.default_rng(0)
    moments = np.arange(int(seconds * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
    tone = 0.5 * np.sin(2 * np.pi * 440 * moments) * (moments * 4 % 2 < 1)
    return encode_flac((tone + noise * rng.standard_normal(len(moments))).astype(np.float32))


def chunk(name: str, source_id: str, speaker: str, seconds: float = 1.0, noise: float = 0.01, **more: Any) -> Chunk:
    fields = {
        "chunk_id": name, "document_id": name.split(".")[0], "index": int(name.split(".")[1]), "role": "speech",
        "source_id": source_id, "source_url": "https://Radio.example/talk", "licence": "CC-BY-4.0",
        "speaker": speaker, "accent": "", "start_s": 0.0, "end_s": seconds, "text": "It rains.", "spoken_text": "",
        "audio": Audio(sound(seconds, noise), "c.flac"),
    }  # fmt: skip
    return Chunk(**{**fields, **more})


CHUNKS = [
    chunk("d1.0", "talk", "A"),
    chunk("d1.1", "talk", "B", seconds=3.0, noise=0.1, text="and then"),
    chunk("d2.0", "read", "s17", text="«Ja!»", licence="unknown"),
    chunk("d3.0", "found", "speaker_00", source_url=""),
]


def transcript(recording: str, speaker: str, language: str, systems: list[str]) -> Transcript:
    return Transcript("s", recording, speaker, 0.0, 4.0, language, "it rains", [], systems, [], 1.0, 1.0)


TRANSCRIPTS = [
    transcript("talk", "A", "en", ["given"]),
    transcript("talk", "B", "de", ["given"]),
    transcript("read", "s17", "und", ["given"]),
    transcript("found", "speaker_00", "en", ["whisper"]),
]


@dataclass(frozen=True)
class Loudest:
    """A model of quality that gives a sound of one second a good score, a longer one a bad one."""

    version: ClassVar[str] = "1"
    name: str = "loudest"

    def locate(self, cache_dir: Path) -> None:
        return

    def load(self, cache_dir: Path, device: str = "cpu") -> Callable[[np.ndarray], Opinion]:
        return lambda samples: Opinion(4.0 if len(samples) == SAMPLE_RATE_HZ else 1.0, 3.0, 2.0)


class Bench:
    """Writes tables as artifacts and builds the stages below them."""

    def __init__(self, store: ArtifactStore, execution: Execution, toys: Any):
        self.store, self.execution, self.toys = store, execution, toys
        self.nodes: list[Node] = []

    def build(self, node: Node, partition: str | None = None) -> Built:
        self.nodes.append(node)
        return build_of(self, node, partition)

    def write(self, name: str, partition: str | None = None, **tables: list[Any]) -> Built:
        def run(ctx: StageContext, config: Any) -> None:
            for unit, _ in ctx.out.pending([0]):
                with ctx.out.unit(unit) as out:
                    for table, rows in tables.items():
                        out.write(table, rows)

        kinds = {table: type(rows[0]) for table, rows in tables.items()}
        stage = self.toys.make_stage(run, kinds, name=f"written_{name}")
        home = "raw_audio" if partition else None
        node = self.toys.node(name, stage=stage, config=self.toys.NoConfig(), contract=ANY, partition=home)
        return self.build(node, partition)

    def measured(self, config: measure_speech.Config) -> Built:
        self.write("web", "mon", chunks=CHUNKS)
        self.write("clean", "mon", transcripts=TRANSCRIPTS)
        inputs = {"chunks": "web", "clean_transcripts": "clean"}
        node = self.toys.node(
            "web_measures", stage=measure_speech, config=config, contract=measure_speech.CONTRACT, inputs=inputs,
            partition="raw_audio",
        )  # fmt: skip
        return self.build(node, "mon")

    def described(self, labels: tuple[str, ...], **inputs: str) -> Built:
        node = self.toys.node(
            "contents",
            stage=describe_data,
            config=describe_data.Config(labels),
            contract=describe_data.CONTRACT,
            inputs={role.replace("__", "."): name for role, name in inputs.items()},
        )
        return self.build(node)


def build_of(bench: Bench, node: Node, partition: str | None) -> Built:
    from spelangy_assets.execution.build import build

    return build(bench.store, Graph("recipe", bench.nodes), node, partition, bench.execution)


@pytest.fixture
def bench(store: ArtifactStore, execution: Execution, toys: Any) -> Bench:
    return Bench(store, execution, toys)


def portions(built: Built) -> dict[tuple[str, str], tuple[int, float]]:
    rows = built.artifact.records("portions", Portion)
    return {(row.aspect, row.name): (row.chunks, round(row.amount, 9)) for row in rows}


def metrics(built: Built) -> dict[str, float]:
    return {row.metric: row.value for row in built.artifact.records("metrics", Metric)}


def test_a_chunk_is_measured_and_what_is_known_of_it_is_kept(bench: Bench) -> None:
    built = bench.measured(measure_speech.Config())
    assert built.verdict.passed
    rows = {row.chunk_id: row for row in built.artifact.records("measured", MeasuredChunk)}
    # A conversation's labels and a diarizer's are of one recording; a reader's label is the publisher's.
    assert [row.speaker for row in rows.values()] == ["talk/A", "talk/B", "s17", "found/speaker_00"]
    assert [row.language for row in rows.values()] == ["en", "de", "", "en"]
    assert [row.source for row in rows.values()] == ["radio.example"] * 3 + [""]
    assert [row.licence for row in rows.values()] == ["CC-BY-4.0"] * 2 + ["", "CC-BY-4.0"]
    assert [row.ends_sentence for row in rows.values()] == [True, False, False, True]
    assert rows["d1.0"].snr_db == pytest.approx(31, abs=1)  # 20 log10(0.5 / sqrt(2) / 0.01)
    assert rows["d1.1"].snr_db == pytest.approx(11, abs=1)
    assert all(np.isnan(row.mos) for row in rows.values())
    assert built.artifact.manifest.counts.dropped == {}


def test_a_document_below_a_limit_is_rejected_whole_and_counted(bench: Bench) -> None:
    limits = measure_speech.Config(Loudest(), min_mos=2.0, min_snr_db=0.0)  # d1: (4 + 3 * 1) / 4 s
    built = bench.measured(limits)
    assert built.artifact.manifest.counts.dropped == {"low_mos": 2}
    rejected = list(built.artifact.records("rejected", RejectedChunk))
    assert [row.chunk_id for row in rejected] == ["d1.0", "d1.1"]
    assert {row.detail for row in rejected} == {"mos of the document 1.75 < 2.0"}


def test_only_limits_reach_the_tokens_of_a_recipe() -> None:
    tokens = lab.Tokens(speech=SAMPLE["speech_tokenizer"], text=SAMPLE["text_tokenizer"])
    fine = SAMPLE["web_fine"]
    assert tokens(lab.measured(fine, lab.Measures(lab.Dnsmos()))).inputs == tokens(fine).inputs
    good = tokens(lab.measured(fine, lab.Measures(lab.Dnsmos(), min_mos=3.0), name="web_good"))
    assert good.inputs["measures"].name == "web_good_measures"
    rows = lab.mix(speech={good: 0.5, tokens(fine): 0.5}, rows=10, name="mix_both")
    graph = lab.Recipe("both", rows).graph
    assert graph["mix_both"].inputs["speech.0"] == "web_good_corpus"
    assert graph["mix_both_contents"].config.labels == ("web_good", "web_fine")
    with pytest.raises(ValueError, match="min_mos needs a model that gives scores"):
        lab.Measures(min_mos=3.0)


def test_the_contents_of_chunks_are_hours_by_every_aspect(bench: Bench) -> None:
    bench.measured(measure_speech.Config(Loudest()))
    bench.build(bench.toys.roll_up("web_measures_corpus", ("web_measures", "mon")))
    built = bench.described(("web",), measures__speech__0="web_measures_corpus")
    assert built.verdict.passed
    hour = 3600
    found = portions(built)
    assert found["speaker", "talk/B"] == (1, round(3 / hour, 9))
    assert found["licence", ""] == (1, round(1 / hour, 9))
    assert found["language", "en"] == (2, round(2 / hour, 9))
    assert found["accent", ""] == found["set", "web"] == (4, round(6 / hour, 9))
    values = metrics(built)
    assert values["hours"] == pytest.approx(6 / hour)
    assert values["largest_speaker_share"] == pytest.approx(0.5)
    assert values["share_that_end_a_sentence"] == 0.5
    assert (values["speakers"], values["documents"], values["chunks"]) == (4, 3, 4)
    assert values["duration_s.share.1_2"] == 0.75
    assert values["mos.mean"] == pytest.approx((3 * 4 + 1) / 4)
    page = built.artifact.read_file("contents.html").decode()
    assert "not stated" in page
    assert "Opinion score, overall" in page
    assert "Opinion scores were not measured" not in page


def test_the_contents_of_a_mix_count_what_it_draws(bench: Bench) -> None:
    """d1 is drawn in two epochs, in one of them in two parts; d3 is not drawn; d2 is a document of text, too."""

    def span(document: str, source: str, epoch: int, length: int) -> RowSpan:
        return RowSpan(document, source, "x", epoch, 0, length, 0)

    bench.measured(measure_speech.Config())
    bench.build(bench.toys.roll_up("web_measures_corpus", ("web_measures", "mon")))
    texts = [TokenDocument("d2", "p", "https://pages.example/a", "CC0-1.0", [TokenChunk("text", [], [1])])]
    bench.write("text_tokens", "mon", documents=texts)
    bench.build(bench.toys.roll_up("text_corpus", ("text_tokens", "mon")))
    rows = [[span("d1", "speech.0", 0, 30), span("d2", "text.0", 0, 7)], [span("d1", "speech.0", 0, 10)]]
    rows.append([span("d1", "speech.0", 1, 40), span("d2", "speech.0", 0, 20)])
    bench.write("mix", rows=[PackedRow(i, "text", [], [], [], spans) for i, spans in enumerate(rows)])
    built = bench.described(
        ("web", "pages"), mix="mix", measures__speech__0="web_measures_corpus", text__0="text_corpus"
    )
    assert built.verdict.passed
    found = portions(built)
    assert found["set", "web"] == (5, 100.0)  # d1.0 and d1.1 twice, d2.0 once
    assert found["set", "pages"] == (1, 7.0)
    assert found["speaker", "talk/A"] == (2, 20.0)  # 1 s of the 4 s that the document lasts
    assert found["speaker", "talk/B"] == (2, 60.0)
    assert ("speaker", "found/speaker_00") not in found
    assert found["source", "pages.example"] == (1, 7.0)
    assert sum(amount for (aspect, _), (_, amount) in found.items() if aspect == "language") == 100.0
    values = metrics(built)
    assert (values["tokens"], values["chunks"], values["documents"]) == (107.0, 5, 3)
    assert values["largest_speaker_share"] == pytest.approx(0.6)
    assert "as a mix draws them" in built.artifact.read_file("contents.html").decode()


def test_an_extra_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch, execution: Execution) -> None:
    monkeypatch.setitem(sys.modules, "speechmos", None)
    with pytest.raises(PreflightError, match=r"^dnsmos-p835: the package speechmos is not installed: pip install \S+$"):
        measure_speech.preflight(measure_speech.Config(lab.Dnsmos()), execution)


def test_dnsmos_prefers_clean_sound_to_noise(tmp_path: Path) -> None:
    pytest.importorskip("speechmos", reason="the extra quality is not installed")
    from spelangy_model.audio.io import decode_flac

    score = lab.Dnsmos().load(tmp_path)
    clean, noisy = (score(decode_flac(sound(2.3, noise))) for noise in (0.0, 0.3))  # one window of 9 s
    assert 1 <= noisy.background < clean.background <= 5


def test_chunks_without_sound_are_measured_all_the_same(bench: Bench) -> None:
    broken = replace(CHUNKS[0], audio=Audio(b"no sound", "c.flac"))
    bench.write("web", "mon", chunks=[broken])
    node = bench.toys.node(
        "web_measures", stage=measure_speech, config=measure_speech.Config(Loudest(), min_mos=1.0),
        contract=measure_speech.CONTRACT, inputs={"chunks": "web"}, partition="raw_audio",
    )  # fmt: skip
    built = bench.build(node, "mon")
    assert built.artifact.manifest.counts.dropped == {"low_mos": 1}
