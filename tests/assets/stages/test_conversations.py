"""Conversations through their stages: written and spoken, tokenized, packed, and a run that goes on from them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import Dataset, DatasetKind, RecipeError, dataset
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.sample.instructions import halves, judged_instructions, training_instructions
from spelangy_assets.sample.sources import JudgedInstructions, SampleInstructions, WorldTexts
from spelangy_assets.sample.world import load_world
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages.write_conversations import FOLDER_VARIABLE
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.audio.perturbations import BandLimit, Noise
from spelangy_model.audio.tts.espeak import voices_of
from spelangy_model.data.conversation_files import digest_of_conversations
from spelangy_model.records import ConversationTurn, Metric, PackedRow, Reject, SpokenQuestion, TokenDocument
from spelangy_model.tokenizer.text import decode_text, load_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

WORLD = load_world()
VOICES = voices_of(("en-us",))


@dataclass(frozen=True)
class NoConfig:
    """Nothing to choose."""

    version: ClassVar[str] = "1"


def toy(name: str, makes: str, run: Any) -> Dataset:
    """Return a dataset of a stage that the test defines."""
    stage = ModuleType(f"toy_{name}")
    kind = DatasetKind(group="g", description="d", contract=contracts.FILES, makes=makes)
    vars(stage).update(
        VERSION="1",
        Config=NoConfig,
        TABLES={"none": Metric},
        KIND=kind,
        preflight=lambda config, execution: None,
        run=run,
    )
    return dataset(stage, NoConfig(), name=name)


def write_speech_tokenizer(ctx: StageContext, config: Any) -> None:
    import torch

    from spelangy_model.tokenizer.speech import SpeechTokenizer, preset_config, save_checkpoint

    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(0)
                save_checkpoint(SpeechTokenizer(preset_config("tiny")), ctx.out.scratch / "model")
            out.write_folder(ctx.out.scratch / "model")
            out.kept(1)


TEXT = lab.text_tokenizer(
    lab.Trained((WorldTexts(world=WORLD.digest, seed=0, documents=60, talks=10),), vocab_size=500)
)
TOKENS = lab.Tokens(speech=toy("speech_tokenizer", "speech_tokenizer", write_speech_tokenizer), text=TEXT)


def launch(module: str, spec: Mapping[str, Any], folder: Path) -> float:
    """Train in this process."""
    from spelangy_model.train.run import train
    from spelangy_model.train.spec import TrainSpec

    (folder / "spec.json").write_text(json.dumps(spec))
    train(TrainSpec.read(folder / "spec.json"), lambda text, figures: None)
    return 0.0


class Home:
    """A store, and what is built of a recipe in it."""

    def __init__(self, folder: Path):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(folder / "cache", launch, environment={FOLDER_VARIABLE: str(folder)})

    def built(self, leaf: Dataset) -> dict[str, Built]:
        graph = lab.Recipe("recipe", leaf).graph
        return {node.name: build(self.store, graph, node, None, self.execution) for node in graph}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("conversations"))


def write_base(ctx: StageContext, config: Any) -> None:
    from transformers import AutoTokenizer

    from spelangy_model.lm.presets import new_model
    from spelangy_model.tokenizer.vocab import extend_tokenizer
    from spelangy_model.train.checkpoint import save_model

    for unit, _ in ctx.out.pending([0]):
        folder = ctx.inputs["text_tokenizer"].local_folder(ctx.execution.cache_dir)
        layout = Layout(500, 1000)
        tokenizer = extend_tokenizer(AutoTokenizer.from_pretrained(folder), layout)
        with ctx.out.unit(unit) as out:
            save_model(ctx.out.scratch / "model", new_model("tiny", layout, seed=0), tokenizer, layout)
            out.write_folder(ctx.out.scratch / "model")
            out.kept(1)


BASE = dataclasses.replace(toy("base", "language_model", write_base), inputs={"text_tokenizer": TEXT})
SOURCE = SampleInstructions(world=WORLD.digest, seed=0, conversations=24)
CONVERSATIONS = lab.conversations(SOURCE, seed=0, voices=VOICES, conversations_per_unit=10)
TUNED = lab.finetune(
    BASE,
    CONVERSATIONS,
    tokens=TOKENS,
    name="tuned",
    row_tokens=192,
    spoken_share=0.5,
    steps=2,
    batch_rows=2,
    micro_rows=2,
    learning_rate=1e-3,
    warmup_steps=1,
    decay_steps=1,
    precision="float32",
    lora_rank=2,
)


@pytest.mark.slow
def test_instructions_become_a_run_that_is_a_run_like_any_other(home: Home) -> None:
    pytest.importorskip("peft")
    found = home.built(TUNED)
    assert [name for name, one in found.items() if not one.verdict.passed] == []
    turns = list(found["conversations"].artifact.records("turns", ConversationTurn))
    assert [turn.role for turn in turns] == ["user", "assistant"] * 24
    assert all(turn.voice and decode_flac(turn.audio.bytes).size for turn in turns[::2])
    assert not any(turn.voice or turn.audio.bytes or turn.spoken_text for turn in turns[1::2])
    documents = list(found["conversations_tokens"].artifact.records("documents", TokenDocument))
    assert all(one.chunks[0].codes and one.chunks[0].text_ids and not one.chunks[1].codes for one in documents)
    rows = list(found["conversations_rows"].artifact.records("rows", PackedRow))
    tokenizer = load_text_tokenizer(found["text_tokenizer"].artifact.local_folder(home.execution.cache_dir))
    answers = {turn.conversation_id: turn.text for turn in turns[1::2]}
    spans = [(row, span) for row in rows for span in row.spans]
    assert sorted(span.document_id for _, span in spans) == sorted(answers)
    for row, span in spans:
        part = range(span.start, span.start + span.length)
        counted = [row.input_ids[place] for place in part if row.loss_mask[place]]
        assert decode_text(tokenizer, counted[:-1]) == answers[span.document_id]
        assert counted[-1] == 501  # <eos>
    counts = found["conversations_rows"].artifact.manifest.counts
    assert 0 < counts.stats["spoken_conversations"] < 24
    files = {shard.path for shard in found["tuned"].artifact.manifest.shards}
    assert {"model.safetensors", "config.json", "tokenizer.json", "vocabulary_layout.json", "metrics.jsonl"} <= files
    assert not any("adapter" in path for path in files)
    assert found["tuned"].artifact.manifest.counts.stats["speech.0.epochs_seen"] > 0


def test_own_files_and_published_sets_are_conversations_and_bad_records_are_counted(home: Home, tmp_path: Path) -> None:
    place = Home(tmp_path)
    alpaca = [{"instruction": f"Name thing {i}.", "output": f"Thing {i}."} for i in range(3)]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, [*alpaca, {"instruction": "x", "output": None}])))
    (tmp_path / "q.flac").write_bytes(encode_flac((np.sin(np.arange(8000) / 20) / 4).astype(np.float32)))
    (tmp_path / "torn.flac").write_bytes(b"no sound")
    answer = {"role": "assistant", "content": "Yes."}
    messages = [{"messages": [{"role": "user", "audio": f"{name}.flac"}, answer]} for name in ("q", "torn", "gone")]
    (tmp_path / "m.jsonl").write_text("\n".join(map(json.dumps, messages)))

    def file(name: str, file_format: str) -> lab.ConversationFile:
        path = tmp_path / f"{name}.jsonl"
        return lab.ConversationFile(name, file_format, path.name, digest_of_conversations(path), "CC0-1.0")

    sources = (file("a", "alpaca"), file("m", "messages"))
    one = place.built(lab.conversations(*sources, seed=0, voices=VOICES, conversations_per_unit=2))["conversations"]
    assert one.verdict.passed
    counts = one.artifact.manifest.counts
    assert counts.dropped == {"null_answer": 1, "undecodable": 1, "missing_audio": 1}
    assert (counts.records_in, counts.records_kept) == (7, 4)
    rejects = [(row.source_uri, row.reason) for row in one.artifact.records("rejects", Reject)]
    assert ("a.jsonl#line 4", "null_answer") in rejects
    assert ("m.jsonl#line 3", "missing_audio") in rejects
    turns = list(one.artifact.records("turns", ConversationTurn))
    (recorded,) = [turn for turn in turns if turn.voice == "recorded"]
    assert recorded.text == ""
    assert recorded.licence == "CC0-1.0"
    written = place.built(lab.conversations(sources[0], seed=0, voices=()))["conversations"]
    assert not any(turn.audio.bytes for turn in written.artifact.records("turns", ConversationTurn))


def test_a_file_that_the_recipe_does_not_mean_is_refused_with_the_cure(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction": "x", "output": "y"}\n')
    place = Home(tmp_path)
    for one, words in (
        (
            lab.ConversationFile("a", "alpaca", "a.jsonl", "", "CC0-1.0"),
            r"a\.jsonl: its bytes have the digest \w+",
        ),
        (lab.ConversationFile("a", "alpaca", "b.jsonl", "", "CC0-1.0"), r"'a': .*b\.jsonl: no such file"),
    ):
        with pytest.raises(PreflightError, match=words):
            place.built(lab.conversations(one, seed=0, voices=VOICES))
    with pytest.raises(ValueError, match="name='A B' of a conversation file"):
        lab.ConversationFile("A B", "alpaca", "a.jsonl", "", "CC0-1.0")


def test_a_recipe_that_fine_tunes_what_cannot_be_is_refused_in_one_line() -> None:
    more: dict[str, Any] = {"steps": 1, "batch_rows": 1, "micro_rows": 1, "learning_rate": 1e-3}
    more |= {"warmup_steps": 0, "decay_steps": 0, "name": "tuned"}
    with pytest.raises(RecipeError, match=r"test_conversations\.py:\d+: finetune: base has no mix with a speech_token"):
        lab.finetune(BASE, CONVERSATIONS, **more)
    with pytest.raises(RecipeError, match="no template 'chatml': choose one of reply"):
        lab.finetune(BASE, CONVERSATIONS, tokens=TOKENS, template="chatml", **more)
    with pytest.raises(RecipeError, match="conversations takes ConversationTurn, but text_tokenizer is text tokenizer"):
        lab.finetune(BASE, TEXT, tokens=TOKENS, **more)
    with pytest.raises(RecipeError, match="two sources of conversations are called 'sample_instructions'"):
        lab.conversations(SOURCE, SOURCE, seed=0)


def test_judged_instructions_share_no_entity_and_no_new_wording_with_training() -> None:
    trained, judged = halves(WORLD, 0)
    assert sorted(one.name for one in (*trained, *judged)) == sorted(one.name for one in WORLD.entities)
    texts = [one.text for one in training_instructions(WORLD, 0, 500)]
    asked = judged_instructions(WORLD, 0)
    assert {one.entity for one in asked} == {one.name for one in judged}
    assert len(asked) == 2 * sum(len(WORLD.facts_of(one)) for one in judged)
    assert not any(f"{name} " in f"{text} ".replace("?", " ?") for text in texts for name in {o.entity for o in asked})
    new = [one for one in asked if one.split == "new_wording"]
    assert all("I want a" in one.text for one in new if one.form != "plain")
    assert not any("I want a" in text for text in texts)
    one_word = next(one for one in asked if one.form == "one_word")
    assert len(one_word.answers) == 1
    assert " " not in one_word.answers[0]
    sentence = next(one for one in asked if one.form == "sentence")
    assert len(sentence.answers) > 5


def test_perturbed_questions_are_splits_beside_the_questions_as_they_are(home: Home) -> None:
    source = JudgedInstructions(world=WORLD.digest, instructions_seed=0, max_questions_per_split=4)
    questions = lab.questions(source, name="asked", trained_voices=VOICES, held_out_voices=())
    noisy = lab.perturbed(questions, Noise(10), BandLimit(2000), max_questions=3)
    found = home.built(noisy)
    assert found["asked_perturbed"].verdict.passed
    before = {row.question_id: row for row in found["asked"].artifact.records("questions", SpokenQuestion)}
    after = list(found["asked_perturbed"].artifact.records("questions", SpokenQuestion))
    kept = {row.question_id: row for row in after if row.question_id in before}
    assert kept == before
    changed = [row for row in after if row.question_id not in before]
    assert [row.split for row in changed] == ["noise-10db", "band-2000hz"] * 3
    by_text = {row.text_id: row for row in before.values()}
    for row in changed:
        assert row.options == by_text[row.text_id].options
        assert row.audio.bytes != by_text[row.text_id].audio.bytes
    with pytest.raises(RecipeError, match="a perturbation is named twice among noise-10db, noise-10db"):
        lab.perturbed(questions, Noise(10), Noise(10))
