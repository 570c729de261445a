"""A recipe of a user's own, on a user's own chunks and a user's own model, through Dagster from end to end."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
import soundfile
import torch

from spelangy_assets.cli.demo import materialize
from spelangy_assets.execution.status import status_of
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.orchestration.definitions import build_definitions
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.partitions import snapshots
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.sample.render import text_document, word_salad
from spelangy_assets.sample.world import load_world
from spelangy_assets.settings import Settings
from spelangy_assets.stages.adopt_checkpoint import folder_digest
from spelangy_assets.store.artifacts import DatasetName
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import CHECKPOINTS_SQL, SOURCES_SQL
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts.espeak import EspeakSynthesizer, voices_of
from spelangy_model.records import TokenDocument

RECIPE = """
from spelangy_assets import lab
from spelangy_assets.recipes.sample import TINY
from spelangy_assets.recipes.sample_parts import ROW_TOKENS, SEED, TRAINED_VOICES, WORLD, judging, training
from spelangy_assets.sample.notes import WrittenNotes
from spelangy_assets.sample.sources import WorldSentences

THEIRS = lab.Checkpoint(name="theirs", sha256="DIGEST", licence="MIT", url="https://models.example/theirs")
salad = WorldSentences(world=WORLD, seed=SEED, kind="word_salad", count=100)
spoken = lab.tokenizer_speech(salad, seed=SEED, voices=TRAINED_VOICES)
text = lab.checkpoint("text_tokenizer", name="text_tokenizer", checkpoint=THEIRS)
base = lab.checkpoint("language_model", name="base_lm", checkpoint=THEIRS, text_tokenizer=text)
tokens = lab.Tokens(speech=lab.speech_tokenizer(spoken), text=text)
chunks = lab.adopted_chunks(lab.recordings({"elsewhere": lab.Arriving()}))
notes = lab.pages({"notes": WrittenNotes(world=WORLD, seed=SEED, documents=60, documents_per_page=2)})
rows = lab.mix(
    speech={tokens(chunks): 1.0},
    text={tokens(lab.documents(notes)): 1.0},
    text_share=0.15,
    rows=600,
    row_tokens=ROW_TOKENS,
    max_epochs=999.0,
    seed=SEED,
)
run = lab.train(rows, base=base, **training(4, 5, 3e-3, warmup=4))
OURS = lab.Recipe("ours", lab.leaderboard({"adopted": run}, TINY["sqa_benchmarks"], judging=judging()))
"""


def write_chunks(folder: Path) -> int:
    """Write eight talks of five sentences with a NeMo manifest, and return how many sentences there are."""
    folder.mkdir(parents=True)
    world, synthesizer, voices = load_world(), EspeakSynthesizer(), voices_of(("en-us", "en-gb-scotland"))
    lines = []
    for talk in range(8):
        pieces, offset = [], 0.0
        for sentence in range(5):
            text = word_salad(world, 3, 5 * talk + sentence)
            spoken = synthesizer.speak(text, voices[talk % len(voices)])
            duration = len(spoken) / SAMPLE_RATE_HZ
            facts = {"speaker": f"speaker-{talk}", "lang": "en", "licence": "CC0-1.0"}
            target = {"audio_filepath": f"talk-{talk}.flac", "offset": round(offset, 3), "duration": round(duration, 3)}
            lines.append({**target, "text": text, "url": f"https://talks.example/{talk}", **facts})
            pieces += [spoken, np.zeros(SAMPLE_RATE_HZ // 2, np.float32)]
            offset += duration + 0.5
        soundfile.write(folder / f"talk-{talk}.flac", np.concatenate(pieces), SAMPLE_RATE_HZ)
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return len(lines)


def write_model(folder: Path) -> str:
    """Write a causal LM with a tokenizer of its own, as Hugging Face does, and return its digest."""
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    from spelangy_model.tokenizer.text import train_text_tokenizer

    texts = [text_document(load_world(), 0, index) for index in range(60)]
    tokenizer = train_text_tokenizer(texts, 500)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|endoftext|>").save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=512, hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder_digest(folder)


@pytest.mark.slow
def test_own_chunks_and_an_own_model_become_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = write_chunks(tmp_path / "home" / "snapshots" / "audio" / "elsewhere")
    digest = write_model(tmp_path / "home" / "checkpoints" / "theirs")
    (tmp_path / "recipes_of_ours.py").write_text(RECIPE.replace("DIGEST", digest))
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SPELANGY_RECIPE_MODULES", "recipes_of_ours")
    monkeypatch.setenv("SPELANGY_RECIPES", "ours")
    monkeypatch.setenv("DAGSTER_HOME", "")  # set by what materializes, and taken back with the test
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    settings = Settings.from_environment()

    recipe = recipe_named("ours")
    definitions = build_definitions(settings)
    dg.Definitions.validate_loadable(definitions)
    assert asset_key("ours", "adopted_chunks") in {spec.key for spec in definitions.resolve_all_asset_specs()}

    targets = required_targets(recipe.graph, [("run_adopted", None)])
    output = io.StringIO()
    result = materialize(recipe, settings, targets, 1, output)
    assert result.complete, output.getvalue()

    store = Installation(settings).store
    chunks = store.resolve(DatasetName("ours", "adopted_chunks", "elsewhere"))
    assert (chunks.manifest.counts.records_in, chunks.manifest.counts.dropped) == (written, {})
    tokens = store.resolve(DatasetName("ours", "adopted_tokens", "elsewhere"))
    documents = list(tokens.records("documents", TokenDocument))
    assert [len(document.chunks) for document in documents] == [5] * 8
    run = store.resolve(DatasetName("ours", "run_adopted"))
    assert run.manifest.counts.stats["speech.0.share"] > 0.7
    with connect(store, "ours") as connection:
        identity = published_id(store, DatasetName("ours", "run_adopted"))
        sources = query(connection, SOURCES_SQL, artifact=identity)
        licences = {row["url"]: row["licence"] for row in sources if row["kind"] == "recording"}
        assert licences == {f"https://talks.example/{talk}": "CC0-1.0" for talk in range(8)}
        models = query(connection, CHECKPOINTS_SQL, artifact=identity)
        assert {(row["holds"], row["sha256"], row["url"]) for row in models} == {
            (holds, digest, "https://models.example/theirs") for holds in ("language_model", "text_tokenizer")
        }

    # what the folder is called is nothing; what it holds is all
    (tmp_path / "home" / "snapshots" / "audio" / "elsewhere").rename(tmp_path / "moved")
    (tmp_path / "home" / "snapshots" / "audio" / "elsewhere").symlink_to(tmp_path / "moved")
    installation = Installation(settings)
    statuses = status_of(store, recipe.graph, snapshots(recipe.graph, settings), installation.source)
    states = {(status.asset, status.partition): status.state for status in statuses}
    assert {states[target] for target in targets} == {"fresh"}
