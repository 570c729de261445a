"""Fine-tuning is the same loop from a checkpoint: on conversations, all weights or adapters, resumable to the bit."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from spelangy_model.data.conversations import PlacedConversation, encode_conversation, pack_conversations
from spelangy_model.lm.forward import load_model
from spelangy_model.lm.presets import new_model
from spelangy_model.records import TokenChunk
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.text import save_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout, extend_tokenizer
from spelangy_model.train import run as run_module
from spelangy_model.train.checkpoint import find_running, save_model
from spelangy_model.train.lora import add_adapters, merge_adapters, trained_parameters
from spelangy_model.train.run import train
from spelangy_model.train.spec import SpecError, TrainSpec

LAYOUT = Layout(text_size=300, codebook_size=20)
RANKS = pytest.mark.parametrize("rank", [pytest.param(0, id="full"), pytest.param(4, id="lora")])


def silent(text: str, figures: dict) -> None:
    pass


def conversations() -> Iterator[PlacedConversation]:
    for index in range(40):
        rng = stable_rng(0, "finetuning", index)
        turns = [
            TokenChunk("user", rng.integers(0, 20, 12).tolist(), []),
            TokenChunk("assistant", [], [(index + step) % 300 for step in range(4)]),
        ]
        sequence = encode_conversation(turns, LAYOUT, (7, 8), [True, False])
        yield PlacedConversation(f"c{index}", "speech.0", "set", sequence)


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    """A run of 6 steps on conversations from a model of random weights."""
    from transformers import AutoTokenizer

    folder = tmp_path_factory.mktemp("finetuning")
    pq.write_table(pack_conversations(list(conversations()), 64, LAYOUT, seed=0), folder / "rows.parquet")
    save_text_tokenizer(train_text_tokenizer([f"word {i} of many" for i in range(99)], 300), folder / "text")
    tokenizer = extend_tokenizer(AutoTokenizer.from_pretrained(folder / "text"), LAYOUT)
    save_model(folder / "base", new_model("tiny", LAYOUT, seed=0), tokenizer, LAYOUT)
    return TrainSpec(
        rows=(str(folder / "rows.parquet"),),
        layout=LAYOUT,
        steps=6,
        batch_rows=4,
        micro_rows=4,
        learning_rate=3e-3,
        warmup_steps=1,
        decay_steps=2,
        precision="float32",
        seed=0,
        inputs=("conversations", "base"),
        out=str(folder / "out"),
        work=str(folder / "work"),
        init_checkpoint=str(folder / "base"),
        checkpoint_every=2,
    )


def at(spec: TrainSpec, folder: Path, rank: int) -> TrainSpec:
    return dataclasses.replace(spec, out=str(folder / "out"), work=str(folder / "work"), lora_rank=rank)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ("timing.jsonl", "tensorboard")
    }


@RANKS
def test_a_killed_fine_tuning_goes_on_to_the_bit(
    spec: TrainSpec, tmp_path: Path, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if rank:
        pytest.importorskip("peft")
    whole, again = at(spec, tmp_path / "whole", rank), at(spec, tmp_path / "again", rank)
    train(whole, silent)
    real_step, steps = run_module.optimizer_step, []

    def step_until_killed(*arguments):
        if len(steps) == 3:
            raise KeyboardInterrupt
        steps.append(1)
        return real_step(*arguments)

    monkeypatch.setattr(run_module, "optimizer_step", step_until_killed)
    with pytest.raises(KeyboardInterrupt):
        train(again, silent)
    monkeypatch.setattr(run_module, "optimizer_step", real_step)
    found = find_running(Path(again.work), again.digest)
    assert found is not None
    assert found[1] == 2
    assert (found[0] / "adapters.safetensors").exists() == bool(rank)
    assert (found[0] / "model.safetensors").exists() == (not rank)
    train(again, silent)
    assert files(Path(again.out)) == files(Path(whole.out))
    lines = [json.loads(line) for line in (Path(whole.out) / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[0]["loss_tokens"] < lines[0]["positions"] / 3  # answers alone


@pytest.mark.slow
@pytest.mark.nightly
@RANKS
def test_fine_tuning_after_kill_9_is_equal_to_the_bit(spec: TrainSpec, tmp_path: Path, rank: int) -> None:
    if rank:
        pytest.importorskip("peft")

    def start(one: TrainSpec) -> subprocess.Popen:
        file = Path(one.out).with_name("spec.json")
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(one.to_json()))
        command = [sys.executable, "-m", "spelangy_model.train.run", str(file)]
        return subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)

    longer = dataclasses.replace(spec, steps=40)
    whole, again = at(longer, tmp_path / "whole", rank), at(longer, tmp_path / "again", rank)
    assert start(whole).wait(timeout=120) == 0
    process = start(again)
    metrics = Path(again.work) / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text().count("\n") >= 9):
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    found = find_running(Path(again.work), again.digest)
    assert found is not None
    assert 2 <= found[1] < 40
    assert start(again).wait(timeout=120) == 0
    assert files(Path(again.out)) == files(Path(whole.out))


def test_adapters_are_merged_into_a_plain_model_that_answers_alike(spec: TrainSpec, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    folder = Path(spec.init_checkpoint)
    model, before = load_model(folder), load_model(folder)
    adapted = add_adapters(model, 4, 16, seed=0)
    trained = trained_parameters(model)
    assert all("lora" in name for name in trained)
    assert not any("lm_head" in name for name in trained)
    again = trained_parameters(add_adapters(load_model(folder), 4, 16, seed=0).get_base_model())
    assert all(torch.equal(one, again[name]) for name, one in trained.items())
    with torch.no_grad():
        for number, parameter in enumerate(trained.values()):
            parameter += 0.01 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(number))
    ids = torch.arange(20)[None]
    wanted = model(input_ids=ids).logits
    assert not torch.allclose(wanted, before(input_ids=ids).logits, atol=1e-3)
    merged = merge_adapters(adapted)
    from transformers import AutoTokenizer

    save_model(tmp_path / "merged", merged, AutoTokenizer.from_pretrained(folder), LAYOUT)
    assert sorted(files(tmp_path / "merged")) == sorted(files(folder))
    loaded = load_model(tmp_path / "merged")
    assert dict(loaded.named_parameters()).keys() == dict(before.named_parameters()).keys()
    assert torch.allclose(loaded(input_ids=ids).logits, wanted, atol=1e-5)


def test_what_adapters_cannot_be_put_into_is_refused(spec: TrainSpec) -> None:
    with pytest.raises(SpecError, match="start from init_checkpoint"):
        dataclasses.replace(spec, init_checkpoint="", init_preset="tiny", tokenizer="text", lora_rank=4)
    with pytest.raises(ValueError, match="lora_alpha does nothing where all weights are trained"):
        dataclasses.replace(spec, lora_alpha=8)
    with pytest.raises(SpecError, match="lora_rank is 0"):
        dataclasses.replace(spec, lora_rank=-1)
