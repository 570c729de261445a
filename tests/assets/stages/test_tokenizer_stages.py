"""From chunks to token documents with the shipped tokenizer: what is kept, what is dropped, and resuming."""

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.evaluate import evaluate
from spelangy_assets.sample.render import word_salad
from spelangy_assets.sample.world import load_world
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages import mix, round_trip, speech_tokenizer, tokenize_chunks
from spelangy_assets.stages.tokenize_chunks import CONTRACT as SPEECH_TOKENS
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, ArtifactWriter, DatasetName, Identity
from spelangy_model.audio.io import encode_flac
from spelangy_model.audio.tts.espeak import EspeakSynthesizer, voices_of
from spelangy_model.records import Audio, Chunk, Metric, RejectedChunk, TokenDocument
from spelangy_model.tokenizer.speech_schedule import SpeechTraining
from spelangy_model.tokenizer.text import decode_text, load_text_tokenizer, save_text_tokenizer, train_text_tokenizer

VOICES = voices_of(("en-us",))


def chunk(document: str, index: int, text: str, audio: bytes, duration_s: float = 1.0) -> Chunk:
    return Chunk(
        chunk_id=f"{document}-{index}",
        document_id=document,
        index=index,
        role="speech",
        source_id=f"source of {document}",
        source_url=f"https://example.org/{document}",
        licence="CC0-1.0",
        speaker="A",
        accent="en-us",
        start_s=0.0,
        end_s=duration_s,
        text=text,
        spoken_text=text,
        audio=Audio(audio, "chunk.flac"),
    )


@pytest.fixture(scope="module")
def spoken() -> list[tuple[str, np.ndarray]]:
    """Twelve random sentences and their speech."""
    world, synthesizer = load_world(), EspeakSynthesizer()
    texts = [word_salad(world, 11, index) for index in range(12)]
    return [(text, synthesizer.speak(text, VOICES[i % len(VOICES)])) for i, text in enumerate(texts)]


@pytest.fixture(scope="module")
def documents(spoken: list[tuple[str, np.ndarray]]) -> list[Chunk]:
    """Six documents of two chunks each."""
    return [
        chunk(f"d{i // 2}", i % 2, text, encode_flac(samples), len(samples) / 16_000)
        for i, (text, samples) in enumerate(spoken)
    ]


class Bench:
    """Runs stages on committed inputs, without the rest of a graph."""

    def __init__(self, store: ArtifactStore, execution: Execution, identity: Identity):
        self.store, self.execution, self.identity = store, execution, identity

    def writer(self, asset: str, tables: dict[str, type]) -> ArtifactWriter:
        return self.store.writer(DatasetName("recipe", asset), dataclasses.replace(self.identity, stage=asset), tables)

    def commit(self, asset: str, writer: ArtifactWriter) -> Artifact:
        writer.commit()
        artifact = self.store.find(Address(asset), self.identity.build_key)
        assert artifact is not None
        return artifact

    def chunks(self, asset: str, *units: list[Chunk]) -> Artifact:
        writer = self.writer(asset, {"chunks": Chunk})
        for unit, rows in enumerate(units):
            with writer.unit(unit) as out:
                out.write("chunks", rows)
        return self.commit(asset, writer)

    def folder(self, asset: str, folder: Path) -> Artifact:
        writer = self.writer(asset, {})
        with writer.unit(0) as out:
            out.write_folder(folder)
        return self.commit(asset, writer)

    def run(
        self,
        stage: Any,
        config: Any,
        inputs: Mapping[str, Artifact],
        asset: str,
        log: Callable[[str], None] = lambda text: None,
    ) -> Artifact:
        stage.preflight(config, self.execution)
        with contextlib.closing(self.writer(asset, stage.TABLES)) as writer:
            stage.run(StageContext(inputs, {}, writer, self.execution, None, None, log), config)
            return self.commit(asset, writer)


@pytest.fixture
def bench(store: ArtifactStore, execution: Execution, identity: Identity) -> Bench:
    return Bench(store, execution, identity)


@pytest.fixture
def tokenizers(bench: Bench, tmp_path: Path) -> dict[str, Artifact]:
    """The shipped speech tokenizer, and a small text tokenizer."""
    save_text_tokenizer(train_text_tokenizer([word_salad(load_world(), 1, i) for i in range(200)], 400), tmp_path / "t")
    return {
        "speech_tokenizer": bench.run(speech_tokenizer, speech_tokenizer.Config(), {}, "speech_tokenizer"),
        "text_tokenizer": bench.folder("text_tokenizer", tmp_path / "t"),
    }


CONFIG = tokenize_chunks.Config()


def test_documents_keep_their_order_their_source_and_their_text(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk], spoken: list[tuple[str, np.ndarray]]
) -> None:
    inputs = {**tokenizers, "chunks": bench.chunks("web_fine", documents[:8], documents[8:])}
    tokens = bench.run(tokenize_chunks, CONFIG, inputs, "web_fine_tokens")
    made = list(tokens.records("documents", TokenDocument))
    assert [document.document_id for document in made] == [f"d{i}" for i in range(6)]
    assert made[2].source_url == "https://example.org/d2"
    text = load_text_tokenizer(tokenizers["text_tokenizer"].local_folder(bench.execution.cache_dir))
    flat = [piece for document in made for piece in document.chunks]
    assert [decode_text(text, piece.text_ids) for piece in flat] == [sentence for sentence, _ in spoken]
    for piece, (_, samples) in zip(flat, spoken, strict=True):
        assert len(piece.codes) == -(-len(samples) // 1280)
    counts = tokens.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (12, 12, {})
    assert counts.stats["speech_tokens"] == sum(len(piece.codes) for piece in flat)
    assert counts.stats["hours_kept"] == pytest.approx(sum(len(samples) for _, samples in spoken) / 16_000 / 3600)


def test_the_codebook_of_each_shard_is_measured(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    inputs = {**tokenizers, "chunks": bench.chunks("web_fine", documents[:8], documents[8:])}
    tokens = bench.run(tokenize_chunks, CONFIG, inputs, "web_fine_tokens")
    metrics = list(tokens.records("codebook", Metric))
    assert [metric.subject for metric in metrics[::5]] == ["shard 0", "shard 1"]
    first = {metric.metric: metric.value for metric in metrics[:5]}
    codes = [
        code for piece in tokens.shards("documents")[0].records(TokenDocument) for c in piece.chunks for code in c.codes
    ]
    assert first["codebook.used_codes"] == len(set(codes)) > 50
    assert first["codebook.dead_codes"] == 1000 - len(set(codes))
    assert 50 < first["codebook.perplexity_codes"] <= len(set(codes))
    assert first["codebook.perplexity_share"] == first["codebook.perplexity_codes"] / min(len(codes), 1000)
    assert evaluate(tokens, SPEECH_TOKENS, tokenize_chunks.TABLES).passed


def test_a_tokenizer_that_collapsed_is_stopped_at_its_first_token_set(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk], tmp_path: Path
) -> None:
    import torch

    from spelangy_model.tokenizer.speech import SpeechTokenizer, save_checkpoint

    model = SpeechTokenizer.from_pretrained(tokenizers["speech_tokenizer"].local_folder(bench.execution.cache_dir))
    torch.nn.init.zeros_(model.to_latent.weight)  # equal codes for every sound
    save_checkpoint(model, tmp_path / "collapsed")
    many = [dataclasses.replace(row, document_id=f"{row.document_id}{i}") for i in range(3) for row in documents]
    inputs = {**tokenizers, "speech_tokenizer": bench.folder("collapsed", tmp_path / "collapsed")}
    tokens = bench.run(tokenize_chunks, CONFIG, {**inputs, "chunks": bench.chunks("web_fine", many)}, "web_fine_tokens")
    verdict = evaluate(tokens, SPEECH_TOKENS, tokenize_chunks.TABLES)
    assert not verdict.passed
    assert {item.name.split(" ")[0] for item in verdict.failures()} == {
        "least_perplexity_share",
        "largest_repeat_share",
    }


def test_a_document_with_one_bad_chunk_is_dropped_as_a_whole_and_counted(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    rows = list(documents)
    rows[1] = dataclasses.replace(rows[1], audio=Audio(b"no FLAC", "x.flac"))
    rows[4] = dataclasses.replace(rows[4], text="  ")
    rows[6] = dataclasses.replace(rows[6], audio=Audio(encode_flac(np.zeros(16_000 * 7, np.float32)), "x.flac"))
    inputs = {**tokenizers, "chunks": bench.chunks("web_fine", rows)}
    config = tokenize_chunks.Config(max_chunk_s=6.0)
    tokens = bench.run(tokenize_chunks, config, inputs, "web_fine_tokens")
    assert [d.document_id for d in tokens.records("documents", TokenDocument)] == ["d1", "d4", "d5"]
    counts = tokens.manifest.counts
    expected = {"undecodable_audio": 1, "empty_text": 1, "too_long": 1, "document_incomplete": 3}
    assert counts.dropped == expected
    assert (counts.records_in, counts.records_kept) == (12, 6)


def test_what_the_round_trip_rejected_is_passed_over_and_counted(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    writer = bench.writer("web_fine_round_trip", round_trip.TABLES)
    with writer.unit(0) as out:
        out.write(
            "rejected", [RejectedChunk("d1-1", "d1", "misheard", ""), RejectedChunk("d2-0", "d2", "misheard", "")]
        )
        out.write("rejected", [RejectedChunk("d2-1", "d2", "document_incomplete", "")])
    checked = bench.commit("web_fine_round_trip", writer)
    inputs = {**tokenizers, "chunks": bench.chunks("web_fine", documents), "round_trip": checked}
    tokens = bench.run(tokenize_chunks, CONFIG, inputs, "web_fine_tokens")
    kept = {document.document_id: len(document.chunks) for document in tokens.records("documents", TokenDocument)}
    assert kept == {"d0": 2, "d1": 1, "d3": 2, "d4": 2, "d5": 2}
    assert tokens.manifest.counts.records_in == 12
    assert tokens.manifest.counts.dropped == {"misheard": 2, "document_incomplete": 1}


def test_codes_do_not_depend_on_how_chunks_are_cut_into_shards(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    one = bench.run(tokenize_chunks, CONFIG, {**tokenizers, "chunks": bench.chunks("one", documents)}, "one_tokens")
    parts = bench.chunks("parts", documents[:2], documents[2:4], documents[4:])
    many = bench.run(tokenize_chunks, CONFIG, {**tokenizers, "chunks": parts}, "many_tokens")
    assert list(one.records("documents", TokenDocument)) == list(many.records("documents", TokenDocument))


def test_codes_do_not_depend_on_reading_ahead(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    inputs = {**tokenizers, "chunks": bench.chunks("one", documents)}
    versions = []
    for readers in (0, 3):
        bench.execution = replace(bench.execution, readers=readers)
        versions.append(bench.run(tokenize_chunks, CONFIG, inputs, f"by_{readers}").data_version)
    assert versions[0] == versions[1]


def test_a_run_that_was_cut_off_goes_on_at_the_next_shard(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk]
) -> None:
    inputs = {**tokenizers, "chunks": bench.chunks("web_fine", documents[:8], documents[8:])}

    class Killed(BaseException):
        pass

    def die(text: str) -> None:
        raise Killed

    with pytest.raises(Killed):
        bench.run(tokenize_chunks, CONFIG, inputs, "cut", die)
    lines: list[str] = []
    resumed = bench.run(tokenize_chunks, CONFIG, inputs, "cut", lines.append)
    assert [line.split(":")[0] for line in lines] == ["shard 1"]
    whole = bench.run(tokenize_chunks, CONFIG, inputs, "whole")
    assert resumed.data_version == whole.data_version


def test_an_altered_checkpoint_is_refused_before_any_work(bench: Bench) -> None:
    config = speech_tokenizer.Config(checkpoint_sha256="0" * 64)
    with pytest.raises(PreflightError, match="the recipe asks for 0000"):
        speech_tokenizer.preflight(config, bench.execution)


def test_mimi_tokenizes_chunks_behind_the_same_stages(
    bench: Bench, tokenizers: dict[str, Artifact], documents: list[Chunk], tiny_mimi: Path
) -> None:
    config = speech_tokenizer.Config(source="mimi", model=str(tiny_mimi))
    speech = {"tokenizer_speech": bench.chunks("tokenizer_speech", documents[:4])}
    made = bench.run(speech_tokenizer, config, speech, "mimi")
    assert {metric.metric.split(".")[0] for metric in made.records("metrics", Metric)} == {"codebook"}
    assert evaluate(made, contracts.SPEECH_TOKENIZER, speech_tokenizer.TABLES).passed
    inputs = {**tokenizers, "speech_tokenizer": made, "chunks": bench.chunks("web_fine", documents)}
    tokens = bench.run(tokenize_chunks, CONFIG, inputs, "web_fine_tokens")
    flat = [piece for document in tokens.records("documents", TokenDocument) for piece in document.chunks]
    assert [len(piece.codes) for piece in flat] == [-(-round(row.duration_s * 16_000) // 1280) for row in documents]
    assert mix.layout_of(tokenizers["text_tokenizer"], made).codebook_size == 64 > max(max(p.codes) for p in flat)


def test_a_mimi_that_is_not_here_is_missed_before_any_work_with_its_cure(bench: Bench, tiny_mimi: Path) -> None:
    def preflight(model: str) -> None:
        speech_tokenizer.preflight(speech_tokenizer.Config(source="mimi", model=model), bench.execution)

    preflight(str(tiny_mimi))
    with pytest.raises(PreflightError, match="hf download unknown/mimi"):
        preflight("unknown/mimi")
    (tiny_mimi / "model.safetensors").unlink()
    with pytest.raises(PreflightError, match=r"has no model\.safetensors"):
        preflight(str(tiny_mimi))
    (tiny_mimi / "config.json").write_text('{"model_type": "whisper"}')
    with pytest.raises(PreflightError, match="'whisper'"):
        preflight(str(tiny_mimi))


@pytest.mark.parametrize(("source", "preset"), [("trained", "huge"), ("borrowed", "tiny")])
def test_an_unknown_preset_or_source_is_refused(bench: Bench, source: Any, preset: str) -> None:
    with pytest.raises(PreflightError, match=r"tiny|'shipped', 'trained' or 'mimi'"):
        speech_tokenizer.preflight(speech_tokenizer.Config(source=source, preset=preset), bench.execution)


def test_the_shipped_checkpoint_recognizes_words_in_an_order_that_it_was_not_trained_on(
    bench: Bench, spoken: list[tuple[str, np.ndarray]]
) -> None:
    from spelangy_model.tokenizer.speech import SpeechTokenizer
    from spelangy_model.tokenizer.train_speech import round_trip

    made = bench.run(speech_tokenizer, speech_tokenizer.Config(), {}, "speech_tokenizer")
    model = SpeechTokenizer.from_pretrained(made.local_folder(bench.execution.cache_dir))
    texts, sounds = zip(*spoken, strict=True)
    assert round_trip(model, sounds, texts).character_error_rate < 0.4
    assert sum(shard.bytes for shard in made.manifest.shards) < 4_000_000


def test_a_tokenizer_is_trained_on_the_recipes_speech_and_measured_on_texts_held_out(
    bench: Bench, spoken: list[tuple[str, np.ndarray]]
) -> None:
    rows = []
    for i in range(60):  # enough texts that some are held out
        _, samples = spoken[i % len(spoken)]
        rows.append(chunk(f"t{i}", 0, f"Sentence {'x' * (i % 7)} {chr(97 + i % 26)}.", encode_flac(samples)))
    config = speech_tokenizer.Config(
        source="trained", training=SpeechTraining(steps=3, unquantized_steps=1, warmup_steps=1, batch_s=8.0)
    )
    made = bench.run(speech_tokenizer, config, {"tokenizer_speech": bench.chunks("tokenizer_speech", rows)}, "trained")
    assert {shard.path for shard in made.manifest.shards} >= set(speech_tokenizer.CHECKPOINT_FILES)
    assert made.manifest.counts.records_in == 60
    metrics = {metric.metric: metric for metric in made.records("metrics", Metric)}
    held_out = metrics["round_trip.word_error_rate"]
    assert 0 < held_out.count < 20
    assert made.manifest.counts.stats == {"reading_heads": 1}
    assert metrics["codebook.used_share"].count == sum(-(-len(spoken[i % 12][1]) // 1280) for i in range(60))
