"""Training: the loss counts what it should, learns, and goes on to the bit where it was killed."""

import dataclasses
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.loader import RowReader
from spelangy_model.data.mixture import Mixture, Proportion, Source, make_mixture
from spelangy_model.lm.forward import load_model
from spelangy_model.lm.presets import new_model
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument, to_table
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.text import save_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout, LayoutError, check_checkpoint
from spelangy_model.train import run as run_module
from spelangy_model.train.checkpoint import find_running
from spelangy_model.train.flops import step_flops
from spelangy_model.train.run import PackedLoss, train
from spelangy_model.train.schedule import learning_rate_factor
from spelangy_model.train.spec import SpecError, TrainSpec

LAYOUT = Layout(text_size=300, codebook_size=20)


def silent(text: str, figures: dict) -> None:
    pass


@pytest.fixture(scope="module")
def spec(tmp_path_factory: pytest.TempPathFactory) -> TrainSpec:
    """A run of 6 steps on documents that count upward, over two shards."""
    folder = tmp_path_factory.mktemp("train")
    rng = np.random.default_rng(0)
    documents = [
        TokenDocument(
            f"d{i}",
            "s",
            "",
            "",
            [
                TokenChunk("x", [start % 20] * 5, [(start + k) % 300 for k in range(9)])
                for start in rng.integers(0, 300, 4)
            ],
        )
        for i in range(60)
    ]
    mixture = Mixture(
        (Source("web", "speech_text", Proportion(1.0)),), 24, 64, 0.0, Interleaving("deterministic", False), 9, 0
    )
    rows, _ = make_mixture(mixture, LAYOUT, {"web": documents})
    for shard, part in enumerate((rows[:14], rows[14:])):
        pq.write_table(to_table(part, PackedRow), folder / f"rows-{shard}.parquet")
    save_text_tokenizer(train_text_tokenizer([f"word {i} of many" for i in range(99)], 300), folder / "text")
    return TrainSpec(
        rows=tuple(str(folder / f"rows-{shard}.parquet") for shard in range(2)),
        layout=LAYOUT,
        steps=6,
        batch_rows=4,
        micro_rows=3,
        learning_rate=1e-3,
        warmup_steps=2,
        decay_steps=3,
        weight_decay=0.1,
        clip_norm=1.0,
        precision="float32",
        seed=0,
        inputs=("mix",),
        out=str(folder / "out"),
        work=str(folder / "work"),
        init_preset="tiny",
        tokenizer=str(folder / "text"),
        checkpoint_every=2,
    )


def at(spec: TrainSpec, folder: Path, **changes: object) -> TrainSpec:
    return dataclasses.replace(spec, out=str(folder / "out"), work=str(folder / "work"), **changes)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.name: path.read_bytes() for path in folder.iterdir() if path.name not in ("timing.jsonl", "tensorboard")
    }


@pytest.fixture(scope="module")
def trained(spec: TrainSpec) -> Path:
    train(spec, silent)
    return Path(spec.out)


def test_rows_are_read_in_order_over_shards_and_again_from_the_first(spec: TrainSpec) -> None:
    reader = RowReader([Path(path) for path in spec.rows])
    assert len(reader) == 24
    whole = reader.batch(0, 24)
    wrapped = reader.batch(20, 8)
    assert np.array_equal(wrapped.input_ids, np.concatenate([whole.input_ids[20:], whole.input_ids[:4]]))
    assert sum(whole.source_tokens.values()) == int((whole.input_ids != LAYOUT.pad).sum())
    assert set(whole.source_tokens) == {"web"}


def test_an_empty_shard_is_named(tmp_path: Path) -> None:
    pq.write_table(to_table([], PackedRow), tmp_path / "rows-0.parquet")
    with pytest.raises(ValueError, match=r"rows-0\.parquet holds no rows"):
        RowReader([tmp_path / "rows-0.parquet"])


def test_masked_positions_contribute_nothing(spec: TrainSpec) -> None:
    batch = RowReader([Path(path) for path in spec.rows]).batch(0, 2)
    module = PackedLoss(new_model("tiny", LAYOUT, seed=0))
    ids, positions, mask = (
        torch.from_numpy(array).long() for array in (batch.input_ids, batch.position_ids, batch.loss_mask)
    )

    def gradient(mask: torch.Tensor) -> torch.Tensor:
        module.zero_grad()
        module(ids, positions, mask).backward()
        return torch.cat([parameter.grad.flatten() for parameter in module.parameters()])

    whole, half = gradient(mask), mask.clone()
    half[:, 32:] = 0
    first, rest = gradient(half), gradient(mask - half)
    assert torch.allclose(first + rest, whole, atol=1e-4)
    assert not gradient(torch.zeros_like(mask)).any()
    codes = ids >= LAYOUT.first_code
    assert not (codes & mask.bool()).any()


def test_masked_speech_moves_no_weight_and_draws_no_gradient(spec: TrainSpec) -> None:
    """With the loss on text only, what is predicted at speech positions is free: no gradient reaches it."""
    batch = RowReader([Path(path) for path in spec.rows]).batch(0, 2)
    ids, positions, mask = (
        torch.from_numpy(array).long() for array in (batch.input_ids, batch.position_ids, batch.loss_mask)
    )
    model = new_model("tiny", LAYOUT, seed=0)
    seen: list[torch.Tensor] = []

    def keep(module: torch.nn.Module, inputs: tuple, output: torch.Tensor) -> torch.Tensor:
        seen.append(output)
        output.retain_grad()
        return output

    model.model.norm.register_forward_hook(keep)  # the last hidden states: each predicts the position after it
    PackedLoss(model)(ids, positions, mask).backward()
    gradient = seen[0].grad[:, :-1].abs().sum(-1)
    speech = (ids >= LAYOUT.first_code) | (ids == LAYOUT.speech_start) | (ids == LAYOUT.speech_end)
    assert speech[:, 1:].any() and mask[:, 1:].any()
    assert not gradient[speech[:, 1:]].any()
    assert gradient[mask[:, 1:].bool()].all()


def test_the_loss_is_that_of_hugging_face_on_one_document() -> None:
    model = new_model("tiny", LAYOUT, seed=0)
    ids = torch.randint(0, 300, (1, 40), generator=torch.Generator().manual_seed(0))
    expected = model(input_ids=ids, labels=ids).loss
    found = PackedLoss(model)(ids, torch.arange(40)[None], torch.ones_like(ids)) / 39
    assert float(found) == pytest.approx(float(expected), rel=1e-5)


def test_a_run_learns_and_writes_what_any_user_can_load(spec: TrainSpec, trained: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    lines = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 3, 4, 5, 6]
    assert lines[-1]["loss"] < lines[0]["loss"]
    assert lines[-1]["share_by_source"] == {"web": 1.0}
    model = AutoModelForCausalLM.from_pretrained(trained)
    tokenizer = AutoTokenizer.from_pretrained(trained)
    assert len(tokenizer) == model.config.vocab_size == LAYOUT.size
    prompt = tokenizer("<bos> word", return_tensors="pt")
    assert model.generate(**prompt, max_new_tokens=3, do_sample=False).shape[1] > prompt["input_ids"].shape[1]


def test_a_run_is_the_same_to_the_byte(spec: TrainSpec, trained: Path, tmp_path: Path) -> None:
    again = at(spec, tmp_path)
    train(again, silent)
    assert files(Path(again.out)) == files(trained)


@pytest.mark.parametrize("killed_after", [1, 3, 5])
def test_a_killed_run_goes_on_to_the_bit(
    spec: TrainSpec, trained: Path, tmp_path: Path, killed_after: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    again = at(spec, tmp_path)
    real_step, steps = run_module.optimizer_step, []

    def step_until_killed(*arguments):
        if len(steps) == killed_after:
            raise KeyboardInterrupt
        steps.append(1)
        return real_step(*arguments)

    monkeypatch.setattr(run_module, "optimizer_step", step_until_killed)
    with pytest.raises(KeyboardInterrupt):
        train(again, silent)
    monkeypatch.setattr(run_module, "optimizer_step", real_step)
    found = find_running(Path(again.work), again.digest)
    assert (found[1] if found else 0) == killed_after // 2 * 2
    train(again, silent)
    assert files(Path(again.out)) == files(trained)


def test_a_checkpoint_of_another_spec_is_never_continued(spec: TrainSpec, trained: Path) -> None:
    assert find_running(Path(spec.work), spec.digest)
    assert find_running(Path(spec.work), dataclasses.replace(spec, seed=1).digest) is None
    assert find_running(Path(spec.work), dataclasses.replace(spec, inputs=("other mix",)).digest) is None
    assert dataclasses.replace(spec, checkpoint_every=50, out="elsewhere").digest == spec.digest


def test_a_checkpoint_with_a_changed_layout_is_not_resumed(spec: TrainSpec, trained: Path, tmp_path: Path) -> None:
    """As many ids, other meanings: sizes agree, so only the layout's file can tell."""
    again = at(spec, tmp_path)
    shutil.copytree(spec.work, again.work)
    folder, _ = find_running(Path(again.work), again.digest)  # type: ignore[misc]
    Layout(text_size=299, codebook_size=21).save(folder)
    with pytest.raises(LayoutError, match=r"the checkpoint has .*text_size=299.* this run needs"):
        train(again, silent)


def test_micro_batches_do_not_change_the_step(spec: TrainSpec, trained: Path, tmp_path: Path) -> None:
    whole = at(spec, tmp_path, micro_rows=4)
    train(whole, silent)
    losses = [
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
        for folder in (trained, Path(whole.out))
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-4)


def test_a_run_from_a_text_only_checkpoint_keeps_its_ids(spec: TrainSpec, tmp_path: Path) -> None:
    text_rows = tmp_path / "text.parquet"
    mixture = Mixture((Source("t", "text", Proportion(1.0)),), 8, 64, 1.0, Interleaving(), 99, 0)
    texts = [TokenDocument("d", "s", "", "", [TokenChunk("text", [], list(range(20)))])]
    text_layout = Layout(300, 0)
    pq.write_table(to_table(make_mixture(mixture, text_layout, {"t": texts})[0], PackedRow), text_rows)
    base = at(spec, tmp_path / "base", rows=(str(text_rows),), layout=text_layout, steps=2)
    train(base, silent)
    speech = at(spec, tmp_path / "speech", init_preset="", tokenizer="", init_checkpoint=base.out, steps=1)
    model, tokenizer = run_module.start_model(speech)
    before = load_model(Path(base.out)).get_input_embeddings().weight
    assert torch.equal(model.get_input_embeddings().weight[:305], before)
    assert len(tokenizer) == LAYOUT.size
    train(speech, silent)
    assert check_checkpoint(load_model(Path(speech.out)), Path(speech.out)) == LAYOUT
    with pytest.raises(LayoutError, match="cannot be widened"):
        run_module.start_model(dataclasses.replace(speech, layout=Layout(290, 20)))


def test_specs_survive_json_and_say_what_is_wrong(spec: TrainSpec, tmp_path: Path) -> None:
    path = tmp_path / "spec.json"
    path.write_text(json.dumps(spec.to_json()))
    assert TrainSpec.read(path) == spec
    path.write_text('{"rows": []}')
    with pytest.raises(SpecError, match=r"spec\.json: not a training spec"):
        TrainSpec.read(path)
    with pytest.raises(SpecError, match="exactly one of"):
        dataclasses.replace(spec, init_checkpoint="also")
    with pytest.raises(SpecError, match="precision"):
        dataclasses.replace(spec, precision="float16")


def test_the_learning_rate_rises_stays_and_falls() -> None:
    factors = [learning_rate_factor("wsd", step, 10, 2, 4) for step in range(10)]
    assert factors == pytest.approx([0.5, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25])


def test_the_cosine_rises_and_falls_to_a_tenth() -> None:
    factors = [learning_rate_factor("cosine", step, 11, 2, 0) for step in range(11)]
    assert factors == pytest.approx([0.5, 1, 1, 0.9657, 0.8682, 0.7222, 0.55, 0.3778, 0.2318, 0.1343, 0.1], abs=1e-4)
    assert factors[2] == 1
    with pytest.raises(ValueError, match="no schedule 'linear'"):
        learning_rate_factor("linear", 0, 1, 0, 0)


def test_activation_checkpointing_gives_the_same_losses(spec: TrainSpec, trained: Path, tmp_path: Path) -> None:
    again = at(spec, tmp_path, activation_checkpointing=True, steps=2)
    train(again, silent)
    losses = [
        [json.loads(line)["loss"] for line in (folder / "metrics.jsonl").read_text().splitlines()[:2]]
        for folder in (Path(again.out), trained)
    ]
    assert losses[0] == losses[1]


def test_a_step_reports_its_cost(spec: TrainSpec, trained: Path) -> None:
    lines = [json.loads(line) for line in (trained / "timing.jsonl").read_text().splitlines()]
    assert all(line["tokens_per_s"] > 0 and line["memory_bytes"] > 1e6 and line["mfu"] is None for line in lines)
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))


def test_the_operations_of_a_step_are_those_of_its_matrices() -> None:
    config = new_model("tiny", LAYOUT, seed=0).config
    weights = 4 * (4 * 192 * 192 + 3 * 192 * 512)
    linear = 6 * weights * 100 + 6 * LAYOUT.size * 192 * 7
    attention = 12 * 4 * 192 * (60 * 61 / 2 + 40 * 41 / 2)
    assert step_flops(config, np.array([60, 40]), 7) == pytest.approx(linear + attention)


class Launched:
    """A run on two processes of this machine, started as a launcher starts it."""

    def __init__(self, spec: TrainSpec, folder: Path, sharded: bool):
        folder.mkdir(parents=True, exist_ok=True)
        self.spec, self.file, self.log = spec, folder / "spec.json", folder / "log.txt"
        self.file.write_text(json.dumps(spec.to_json()))
        self.environment = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_FSDP": str(sharded).lower()}

    def start(self) -> subprocess.Popen:
        launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
        command = [*launcher, "-m", "spelangy_model.train.run", str(self.file)]
        with self.log.open("a") as log:
            return subprocess.Popen(
                command, env=self.environment, start_new_session=True, stdout=log, stderr=subprocess.STDOUT
            )

    def finish(self) -> Path:
        assert self.start().wait(timeout=300) == 0, self.log.read_text()[-3000:]
        return Path(self.spec.out)

    def kill_after(self, steps: int) -> None:
        """Kill all its processes with SIGKILL when so many steps stand in the log, wherever the next one is."""
        process = self.start()
        metrics = Path(self.spec.work) / "metrics.jsonl"
        while not (metrics.exists() and len(metrics.read_text().splitlines()) >= steps):
            assert process.poll() is None, self.log.read_text()[-3000:]
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sharded", [pytest.param(False, id="ddp", marks=pytest.mark.nightly), pytest.param(True, id="fsdp2")]
)
def test_two_processes_that_were_killed_go_on_to_the_bit(spec: TrainSpec, tmp_path: Path, sharded: bool) -> None:
    two = {"micro_rows": 1, "steps": 8, "checkpoint_every": 2}  # two rows a process and step: accumulated
    whole = Launched(at(spec, tmp_path / "whole", **two), tmp_path / "whole", sharded).finish()
    again = Launched(at(spec, tmp_path / "again", **two), tmp_path / "again", sharded)
    again.kill_after(int(stable_rng(0, "kill", str(sharded)).integers(3, 7)))
    found = find_running(Path(again.spec.work), again.spec.digest)
    assert found is not None and 2 <= found[1] < 8
    assert files(again.finish()) == files(whole)
    losses = [json.loads(line)["loss"] for line in (whole / "metrics.jsonl").read_text().splitlines()]
    alone = at(spec, tmp_path / "alone", steps=8)
    train(alone, silent)
    expected = [json.loads(line)["loss"] for line in (Path(alone.out) / "metrics.jsonl").read_text().splitlines()]
    assert losses == pytest.approx(expected, abs=2e-4)
