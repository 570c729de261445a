"""Storage that proves itself: flipped bits are found, what is damaged is set aside and made again."""

import dataclasses
import datetime
import random
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.__main__ import main
from spelangy_assets.execution.stage import StageContext
from spelangy_assets.store.artifacts import Artifact, ArtifactStore, Damaged, DatasetName, Identity, StoreError
from spelangy_assets.store.verify import part_of_day, verify, versions_of


def flip(file: Path, draw: random.Random) -> bytes:
    """Change one bit of a file and return the bytes that it had."""
    data = file.read_bytes()
    place = draw.randrange(8 * len(data))
    changed = bytearray(data)
    changed[place // 8] ^= 1 << place % 8
    file.write_bytes(bytes(changed))
    return data


def weights(ctx: StageContext, config: Any) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            out.write("metrics", [])
            out.write_file("model/model.safetensors", random.Random(1).randbytes(5000))
            out.write_file("log.txt", b"a line", identity=False)


@pytest.fixture
def model(store: ArtifactStore, toys: Any) -> Artifact:
    node = toys.node("model", stage=toys.make_stage(weights), config=toys.NoConfig(), contract=toys.make_contract(0))
    return toys.build(store, node).artifact


def files_of(store: ArtifactStore, artifact: Artifact) -> list[Path]:
    manifest = artifact.manifest
    return [store.files.local(f"{artifact.path}/{one.path}") for one in [*manifest.shards, *manifest.attachments]]


@pytest.mark.parametrize("flips", [50, pytest.param(300, marks=pytest.mark.slow)])
def test_every_flipped_bit_is_found_and_nothing_else(store: ArtifactStore, toys: Any, model: Artifact, flips: int):
    source = toys.build(store, toys.node()).artifact
    draw, found = random.Random(7), 0
    files = [(artifact, file) for artifact in (source, model) for file in files_of(store, artifact)]
    assert verify(store, store.versions(), deep=True).damages == ()
    for _ in range(flips):
        artifact, file = draw.choice(files)
        before = flip(file, draw)
        (damage,) = verify(store, store.versions(), deep=True).damages
        found += (damage.artifact, damage.paths) == (
            artifact,
            (file.relative_to(store.files.local(artifact.path)).as_posix(),),
        )
        file.write_bytes(before)
    assert found == flips
    checked = verify(store, store.versions(), deep=True)
    assert (checked.versions, checked.damages) == (2, ())
    assert checked.bytes == sum(file.stat().st_size for _, file in files)


def test_every_flipped_bit_in_weights_is_found_where_they_are_used(
    store: ArtifactStore, model: Artifact, tmp_path: Path
):
    file = store.files.local(f"{model.path}/model/model.safetensors")
    draw = random.Random(3)
    for number in range(40):
        before = flip(file, draw)
        with pytest.raises(Damaged, match=r"model\.safetensors has other bytes than its manifest says; `verify"):
            model.local_folder(tmp_path)
        file.write_bytes(before)
        assert model.local_folder(tmp_path).is_dir(), number


def test_a_build_that_meets_damaged_weights_sets_them_aside_and_the_next_run_makes_them(
    store: ArtifactStore, toys: Any, model: Artifact
):
    def use(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending([0]):
            with ctx.out.unit(unit) as out:
                ctx.inputs["above"].local_folder(ctx.execution.cache_dir)
                out.write("metrics", [])

    above = toys.node("model", stage=toys.make_stage(weights), config=toys.NoConfig(), contract=toys.make_contract(0))
    user = toys.reader("user", "model", use, contract=toys.make_contract(0))
    flip(store.files.local(f"{model.path}/model/model.safetensors"), random.Random(2))
    with pytest.raises(Damaged):
        toys.build(store, user, above)
    assert "other bytes" in store.why_set_aside(model.address, model.manifest.build_key)
    with pytest.raises(StoreError, match="Materialize it first"):
        toys.build(store, user, above)
    assert toys.build(store, above).artifact.data_version == model.data_version
    toys.build(store, user, above)


@pytest.mark.parametrize("damage", ["flipped", "gone", "cut", "manifest"])
def test_a_damaged_version_is_set_aside_and_heals(store: ArtifactStore, toys: Any, damage: str):
    artifact = toys.build(store, toys.node()).artifact
    file = store.files.local(f"{artifact.path}/metrics-00001.parquet")
    if damage == "flipped":
        flip(file, random.Random(1))
    elif damage == "gone":
        file.unlink()
    elif damage == "cut":
        file.write_bytes(file.read_bytes()[:-1])
    else:
        mark = store.files.local(f"{artifact.path}/manifest.json")
        digest = artifact.manifest.shards[0].sha256
        mark.write_text(mark.read_text().replace(digest, "0" * len(digest)))
    deep = damage == "flipped"
    assert len(verify(store, store.versions(), deep=deep).damages) == 1
    (healed,) = verify(store, store.versions(), deep=deep, repair=True).damages
    assert healed.aside == f"{artifact.path}.broken-1"
    assert store.latest(toys.address()) is None
    built = toys.build(store, toys.node())
    assert (built.cached, built.artifact.data_version) == (False, artifact.data_version)
    assert verify(store, store.versions(), deep=True).damages == ()


def test_a_unit_that_a_killed_build_left_is_compared_byte_by_byte(store: ArtifactStore, toys: Any, identity: Identity):
    name = DatasetName("recipe", "killed")
    writer = store.writer(name, identity, toys.tables)
    for unit in range(2):
        with writer.unit(unit) as out:
            out.write_file(f"{unit}.bin", b"0123456789")
    flip(store.files.local(f"{writer.path}/1.bin"), random.Random(1))
    again = store.writer(name, identity, toys.tables)
    assert (again.done(0), again.done(1)) == (True, False)


def test_a_shard_that_cannot_be_read_is_named_with_the_cure(store: ArtifactStore, toys: Any):
    artifact = toys.build(store, toys.node()).artifact
    store.files.local(f"{artifact.path}/metrics-00000.parquet").write_bytes(b"")
    with pytest.raises(Damaged, match=r"metrics-00000\.parquet cannot be read .*`verify --repair`"):
        artifact.table("metrics")


def test_the_nightly_parts_of_a_month_are_the_whole_store(store: ArtifactStore, toys: Any, identity: Identity):
    for number in range(60):
        one = dataclasses.replace(identity, build_key=f"v1-{number}")
        store.writer(DatasetName("recipe", "toy"), one, toys.tables).commit()
    parts = [part_of_day(store, datetime.date(2026, 1, 31) + datetime.timedelta(days=day)) for day in range(30)]
    keys = [one.manifest.build_key for part in parts for one in part]
    assert sorted(keys) == sorted(one.manifest.build_key for one in store.versions())
    assert max(len(part) for part in parts) < 20


def test_the_command_says_what_is_damaged_and_repairs(
    store: ArtifactStore, toys: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("SPELANGY_HOME", str(tmp_path))
    artifact = toys.build(store, toys.node()).artifact
    toys.build(store, toys.reader("reader", "source"), toys.node())
    assert main(["verify", "--deep"]) == 0
    assert "0 of 2 versions damaged" in capsys.readouterr().out
    flip(store.files.local(f"{artifact.path}/metrics-00000.parquet"), random.Random(1))
    assert main(["verify", "reader", "--recipe", "recipe", "--deep"]) == 0
    assert main(["verify", "source", "--recipe", "recipe", "--deep"]) == 1
    assert "metrics-00000.parquet: gone, or other bytes" in capsys.readouterr().out
    assert main(["verify", "--deep", "--repair"]) == 1
    assert f"set aside: {artifact.path}.broken-1" in capsys.readouterr().out
    assert main(["verify", "--deep"]) == 0
    for wrong in (["source@x"], ["nothing"], ["../x"]):
        assert main(["verify", *wrong, "--recipe", "recipe"]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1
    assert versions_of(store, "recipe", "reader")[0].name.dataset == "reader"
