"""deploy/slurm: a stage's units as a job array, a training as a job over two nodes, both killed, on a fake cluster."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.stage import PreflightError, StageContext
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.slurm_cluster import Cluster, Resources, cluster_of
from spelangy_assets.orchestration.slurm_work import SlurmWork, launch_command
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import Settings
from spelangy_assets.stages import train_lm
from spelangy_assets.store.artifacts import DatasetName
from spelangy_model.data.interleave import Interleaving
from spelangy_model.data.mixture import Mixture, Proportion, Source, make_mixture
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.text import save_text_tokenizer, train_text_tokenizer
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, Layout

RECIPE = """
from spelangy_assets import lab

RECIPE = lab.Recipe("clips", lab.corpus(lab.recordings({"clips": lab.Arriving()}, recordings_per_unit=1)))
"""
CLIPS, TASKS = 8, 2


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home whose snapshot `clips` has short recordings, each a unit."""
    folder = tmp_path / "home" / "snapshots" / "audio" / "clips"
    folder.mkdir(parents=True)
    rng = stable_rng(0, "clips")
    for index in range(CLIPS):
        soundfile.write(folder / f"clip-{index}.flac", rng.normal(0, 0.1, 16_000).astype(np.float32), 16_000)
    return tmp_path / "home"


def settings_of(home: Path, tmp_path: Path, **more: str) -> Settings:
    (tmp_path / "cluster.toml").write_text(f"poll_s = 0.3\n[cpu]\narray_tasks = {TASKS}\n")
    return Settings.at(home, SPELANGY_SLURM=str(tmp_path / "cluster.toml"), **more)


def build_clips(recipe_file: Path, settings: Settings, log: Any = lambda text: None) -> Built:
    recipe = recipe_named(str(recipe_file))
    node, installation, cluster = recipe.graph["raw_audio"], Installation(settings), cluster_of(settings)
    distribute = None if cluster is None else SlurmWork(cluster, installation, recipe, node, log).distribute
    execution = installation.execution(None, distribute)
    source = installation.source(node, "clips")
    return build(installation.store, recipe.graph, node, "clips", execution, source=source, log=log)


@pytest.mark.slow
def test_a_killed_array_resumes_to_the_version_of_one_process(
    home: Path, slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project_dir: Path
):
    monkeypatch.setenv("PYTHONPATH", str(project_dir))
    (tmp_path / "clips.py").write_text(RECIPE)
    settings = settings_of(home, tmp_path, SPELANGY_STORE=str(tmp_path / "store"))
    rng = stable_rng(0, "kills")
    receipts = "data/ingest_audio/clips/*/unit-*.json"
    for task, requeue in ((0, True), (1, False)):
        at, after_s = int(rng.integers(2, CLIPS - 2)), float(rng.uniform(0, 0.02))
        slurm.kill(tmp_path / "store", receipts, at, after_s=after_s, requeue=requeue, task=task)
    logged: list[str] = []
    together = build_clips(tmp_path / "clips.py", settings, logged.append)
    assert len(slurm.kills) == 2, logged
    alone = build_clips(
        tmp_path / "clips.py", Settings.at(tmp_path / "alone", SPELANGY_SNAPSHOTS=str(home / "snapshots"))
    )
    assert together.artifact.data_version == alone.artifact.data_version
    assert together.artifact.manifest.counts == alone.artifact.manifest.counts
    assert together.artifact.manifest.units == CLIPS


@pytest.mark.slow
@pytest.mark.nightly
def test_a_real_slurm_does_the_same(
    home: Path, real_slurm: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project_dir: Path
):
    """One of the two tasks is killed when the first unit is there."""
    monkeypatch.setenv("PYTHONPATH", str(project_dir))
    (tmp_path / "clips.py").write_text(RECIPE)
    settings = settings_of(home, tmp_path, SPELANGY_STORE=str(tmp_path / "store"))

    def kill_one() -> None:
        while not list((tmp_path / "store").glob("data/ingest_audio/clips/*/unit-*.json")):
            time.sleep(0.005)
        listed = subprocess.run(
            ["squeue", "-h", "-r", "-t", "R", "-o", "%i"], capture_output=True, text=True, check=True
        )
        subprocess.run(["scancel", "--signal=KILL", "--full", listed.stdout.split()[0]], check=True)

    killer = threading.Thread(target=kill_one, daemon=True)
    killer.start()
    logged: list[str] = []
    together = build_clips(tmp_path / "clips.py", settings, logged.append)
    killer.join(timeout=10)
    assert any("1 tasks of job 1 ended without a result" in line for line in logged), logged
    alone = build_clips(
        tmp_path / "clips.py", Settings.at(tmp_path / "alone", SPELANGY_SNAPSHOTS=str(home / "snapshots"))
    )
    assert together.artifact.data_version == alone.artifact.data_version


# --- training -----------------------------------------------------------------------------------------------

LAYOUT = Layout(text_size=300, codebook_size=20)
ROWS, STEPS = 24, 8


def write_mix(ctx: StageContext, config: Any) -> None:
    """Rows of documents that count upward."""
    rng = stable_rng(0, "rows")
    documents = []
    for number in range(60):
        starts = rng.integers(0, 300, 4)
        chunks = [TokenChunk("x", [at % 20] * 5, [(at + k) % 300 for k in range(9)]) for at in map(int, starts)]
        documents.append(TokenDocument(f"d{number}", "s", "", "", chunks))
    source = Source("speech.0", "speech_text", Proportion(1.0))
    interleaving = Interleaving("deterministic", False)
    rows, _ = make_mixture(Mixture((source,), ROWS, 64, 0.0, interleaving, 9, 0), LAYOUT, {"speech.0": documents})
    for unit, part in ctx.out.pending([rows]):
        with ctx.out.unit(unit) as out:
            out.write("rows", part)
            out.write_file(LAYOUT_FILE, json.dumps({"text_size": 300, "codebook_size": 20}).encode())
            tokens = float(sum(span.length for row in part for span in row.spans))
            for name, amount in {"positions": ROWS * 64.0, "speech.0.tokens": tokens, "speech.0.epochs": 1.0}.items():
                out.add(name, amount)


def write_tokenizer(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending(["tokenizer"]):
        folder = ctx.out.scratch / "tokenizer"
        save_text_tokenizer(train_text_tokenizer([f"word {i} of many" for i in range(99)], 300), folder)
        with ctx.out.unit(unit) as out:
            out.write_folder(folder)
            out.kept(1)


def training_graph(toys: Any) -> list[Any]:
    def stage(run: Any, **tables: type) -> ModuleType:
        made = toys.make_stage(run, name=run.__name__)
        made.TABLES = tables
        return made

    some = Contract("some", "SELECT count(*) AS files FROM files", (Bound("files", 1),))
    config = train_lm.Config(
        preset="tiny",
        steps=STEPS,
        batch_rows=4,
        micro_rows=1,
        learning_rate=1e-3,
        warmup_steps=2,
        decay_steps=3,
        precision="float32",
        seed=0,
    )
    plain = {"config": toys.NoConfig(), "contract": some}
    return [
        toys.node("mix", stage=stage(write_mix, rows=PackedRow), **plain),
        toys.node("tokenizer", stage=stage(write_tokenizer), **plain),
        toys.node(
            "run",
            stage=train_lm,
            config=config,
            contract=train_lm.CONTRACT,
            inputs={"mix": "mix", "text_tokenizer": "tokenizer"},
            pool="gpu",
        ),
    ]


@pytest.mark.slow
@pytest.mark.nightly
@pytest.mark.timeout(600)
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_killed_training_resumes_to_the_version_of_an_undisturbed_one(
    nodes: int,
    bench: Any,
    toys: Any,
    slurm: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    project_dir: Path,
):
    """Over one node: to that of a training without SLURM. Killed twice: once requeued, once gone."""
    monkeypatch.setenv("PYTHONPATH", str(project_dir))
    monkeypatch.setattr(train_lm, "_CHECKPOINT_EVERY", 2)
    (tmp_path / "train.toml").write_text(f"poll_s = 0.3\n[train]\nnodes = {nodes}\n")
    (tmp_path / "cpu.toml").write_text("poll_s = 0.3\n")
    rng = stable_rng(0, "kills", str(nodes))
    versions = {}
    for name in ("undisturbed", "killed"):
        on_slurm = name == "killed" or nodes > 1
        more = {"SPELANGY_SLURM": str(tmp_path / "train.toml")} if on_slurm else {}
        settings = Settings.at(tmp_path / name, **more)
        installation = Installation(settings)
        bench.installation, bench.store = installation, installation.store
        if name == "killed":
            work = Path(settings.store_uri) / "data" / "train_lm" / "_"
            for steps, requeue in (("246", True), ("46", False)):
                slurm.kill(
                    *(work, f"*/_scratch/running/checkpoint-0000000[{steps}]", 1),
                    after_s=float(rng.uniform(0, 0.3)),
                    requeue=requeue,
                )
        result = bench.materialize(*training_graph(toys))
        assert result.success, bench.failures(result)
        versions[name] = bench.store.resolve(toys.address("run")).data_version
        metadata = bench.metadata(result, "run")
        assert metadata["child/step"] == STEPS
    assert len(slurm.kills) == 2
    assert versions["killed"] == versions["undisturbed"]
    assert {call[1] for call in slurm.calls if call[0] == "srun"} == ({"--nodes=2"} if nodes > 1 else set())


# --- what goes where ----------------------------------------------------------------------------------------


def work_of(node: Any, tmp_path: Path, **changes: Any) -> SlurmWork:
    installation = Installation(Settings.at(tmp_path, **changes))
    cluster = Cluster(jobs=tmp_path, cpu=Resources(array_tasks=7), gpu=Resources(array_tasks=3))
    return SlurmWork(cluster, installation, recipe_named("tiny"), node, lambda text: None)


def test_units_are_shared_models_run_in_a_job_and_the_rest_stays(tmp_path: Path):
    def tasks(name: str, **changes: str) -> int | None:
        distribute: Any = work_of(recipe_named("tiny").graph[name], tmp_path, **changes).distribute
        return distribute and distribute.args[0]

    assert tasks("transcript_hypotheses") == 7
    assert tasks("transcript_hypotheses", SPELANGY_DEVICE="cuda") == 3
    assert tasks("raw_audio", SPELANGY_DEVICE="cuda") == 7
    assert tasks("eval_fine") == 1
    assert tasks("clean_transcripts") is None
    assert tasks("run_fine") is None, "it is launched over nodes"


def test_a_gpu_is_asked_for_on_the_nodes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    here = Installation(Settings.at(tmp_path, SPELANGY_DEVICE="cuda"))
    with pytest.raises(PreflightError, match="torch sees no GPU"):
        here.execution().check_device()
    Installation(
        Settings.at(tmp_path, SPELANGY_DEVICE="cuda", SPELANGY_SLURM="cluster.toml")
    ).execution().check_device()


def test_one_launcher_on_each_node_meets_at_the_first(tmp_path: Path):
    settings = Settings.at(tmp_path, SPELANGY_ACCELERATE_CONFIG="fsdp.yaml")
    command = launch_command(settings, Resources(nodes=4, processes=8, cpus=64), "module", tmp_path / "spec.json")
    assert "srun --nodes=4 --ntasks=4 --ntasks-per-node=1 --kill-on-bad-exit=1 bash -c" in command
    assert "--config_file fsdp.yaml --num_machines 4 --num_processes 32" in command
    assert "export SRUN_CPUS_PER_TASK=64" in command
    alone = launch_command(Settings.at(tmp_path), Resources(), "module", tmp_path / "spec.json")
    assert alone == f"{sys.executable} -m module {tmp_path}/spec.json"


# --- from the command line ----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.nightly
def test_an_interrupted_run_cancels_its_jobs_and_the_next_one_goes_on(
    home: Path, slurm: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, project_dir: Path
):
    monkeypatch.setenv("PYTHONPATH", str(project_dir))
    monkeypatch.setenv("SPELANGY_HOME", str(home))
    monkeypatch.setenv("SPELANGY_SLURM", str(tmp_path / "cluster.toml"))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    (tmp_path / "clips.py").write_text(RECIPE)
    command = [sys.executable, "-m", "spelangy_assets", "run", "clips.py", "--workers", "1"]
    log = tmp_path / "run.log"

    def start(setup: str) -> subprocess.Popen[bytes]:
        (tmp_path / "cluster.toml").write_text(f"poll_s = 0.3\n[cpu]\narray_tasks = 2\nsetup = ['{setup}']\n")
        with log.open("w") as out:  # no pipe: what captures a step's output may hold it after the end
            return subprocess.Popen(command, cwd=tmp_path, stdout=out, stderr=out, start_new_session=True)

    run = start("sleep 300")
    deadline = time.monotonic() + 120
    while len(slurm.queue) < 2:
        assert run.poll() is None and time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)
    run.send_signal(signal.SIGINT)
    assert run.wait(timeout=60) == 130, log.read_text()
    slurm.wait_until_empty()
    assert start("true").wait(timeout=240) == 0, log.read_text()
    assert "raw_audio[clips]" in log.read_text()
    assert Installation(Settings.at(home)).store.latest(DatasetName("clips", "raw_audio", "clips")) is not None
