import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.execution.build import build, build_share
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.evaluate import ContractError
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.store.artifacts import ArtifactStore, Share, StoreError
from spelangy_assets.store.files import Files
from spelangy_model.records import Metric, Reject


def values(built: Any) -> list[float]:
    return [row.value for row in built.artifact.records("metrics", Metric)]


# --- identity ---------------------------------------------------------------------------------------------


def test_a_build_is_done_once(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node())
    again = toys.build(store, toys.node())
    assert (first.cached, again.cached) == (False, True)
    assert again.artifact == first.artifact
    assert toys.log == ["unit 0", "unit 1"]
    assert values(first) == [1, 2, 3]
    assert store.resolve(toys.address()) == first.artifact


def test_identity_depends_on_neither_root_nor_device_nor_cache(tmp_path: Path, toys: Any):
    built = []
    for number, device in enumerate(("cpu", "cuda:0")):
        store = ArtifactStore(tmp_path / f"root {number}", tmp_path / f"cache {number}")
        execution = dataclasses.replace(
            toys.execution, device=device, cache_dir=tmp_path / str(number), environment={"KEY": device}
        )
        toys.build(store, toys.node(), execution=execution)
        built.append(toys.build(store, toys.reader("reader", "source"), toys.node(), execution=execution).artifact)
    one, other = (artifact.manifest for artifact in built)
    assert one.build_key == other.build_key
    assert one.data_version == other.data_version
    assert one.inputs == other.inputs


@pytest.mark.parametrize("change", ["version", "config", "stage name", "source"])
def test_what_bears_identity_is_another_build(store: ArtifactStore, toys: Any, change: str):
    stage = toys.make_stage(toys.write_toy, toys.tables, "2" if change == "version" else "1", config=toys.Config)
    if change == "stage name":
        stage.__name__ = "package.other_stage"
    config = toys.Config(((1.0,),)) if change == "config" else toys.Config()
    first = toys.build(store, toys.node(), source={"day": 1})
    second = toys.build(store, toys.node(stage=stage, config=config), source={"day": 2 if change == "source" else 1})
    assert not second.cached
    assert second.artifact.manifest.build_key != first.artifact.manifest.build_key
    assert store.resolve(toys.address()) == second.artifact
    assert store.find(first.artifact.address, first.artifact.manifest.build_key) is not None


def test_the_path_of_a_stage_module_is_no_part_of_its_identity(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node())
    moved = toys.make_stage(toys.write_toy, toys.tables, name="elsewhere.toy_stage", config=toys.Config)
    assert toys.build(store, toys.node(stage=moved)).cached
    assert first.artifact.manifest.stage == "toy_stage"


def test_going_back_to_a_former_config_publishes_its_version_again(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node())
    toys.build(store, toys.node(config=toys.Config(((5.0,),))))
    back = toys.build(store, toys.node())
    assert back.cached
    assert store.resolve(toys.address()) == back.artifact == first.artifact


def test_the_manifest_says_what_was_made_from_what(store: ArtifactStore, toys: Any):
    source = toys.build(store, toys.node(), source={"day": 1}).artifact
    manifest = toys.build(store, toys.reader("reader", "source"), toys.node()).artifact.manifest
    (above,) = manifest.inputs
    assert (above.role, above.stage, above.name, above.data_version) == (
        "above",
        "toy_stage",
        "source",
        source.data_version,
    )
    assert source.manifest.config == {"type": "ToyConfig", "units": [[1.0, 2.0, -1.0], [3.0, -2.0]]}
    assert (source.manifest.recipe, source.manifest.dataset) == ("recipe", "source")
    assert [item.role for item in source.manifest.inputs] == ["source"]
    counts = source.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (5, 3, {"negative": 2})
    assert counts.stats == {"value_sum": 6.0}


# --- what may be read -------------------------------------------------------------------------------------


def test_a_stage_reads_nothing_that_did_not_pass(store: ArtifactStore, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    reader = toys.reader("reader", "source")
    with pytest.raises(StoreError, match="never built"):
        toys.build(store, reader, strict)
    failed = toys.build(store, strict)
    assert not failed.verdict.passed
    with pytest.raises(StoreError, match="did not pass"):
        toys.build(store, reader, strict)


def test_a_failed_version_leaves_the_last_good_one_published(store: ArtifactStore, toys: Any):
    contract = toys.make_contract(low=2)
    good = toys.build(store, toys.node(contract=contract))
    bad = toys.build(store, toys.node(contract=contract, config=toys.Config(((1.0,),))))
    assert not bad.verdict.passed
    assert store.resolve(toys.address()) == good.artifact
    reader = toys.build(store, toys.reader("reader", "source"), toys.node(contract=contract))
    assert values(reader) == [2, 4, 6]


def test_a_changed_contract_judges_again_and_builds_nothing(store: ArtifactStore, toys: Any):
    first = toys.build(store, toys.node())
    stricter = toys.build(store, toys.node(contract=toys.make_contract(low=100)))
    assert stricter.cached
    assert stricter.artifact == first.artifact
    assert not stricter.verdict.passed
    with pytest.raises(StoreError, match="failed its contract"):
        store.resolve(toys.address())
    assert toys.build(store, toys.node()).verdict.passed
    assert store.resolve(toys.address()) == first.artifact
    assert toys.log == ["unit 0", "unit 1"]


def test_inputs_are_resolved_once_before_the_work(store: ArtifactStore, toys: Any):
    def run(ctx: StageContext, config: Any) -> None:
        toys.build(store, toys.node(config=toys.Config(((50.0,),))))  # a newer version is published meanwhile
        toys.double_input(ctx, config)

    toys.build(store, toys.node())
    reader = toys.reader("reader", "source", run)
    assert values(toys.build(store, reader, toys.node())) == [2, 4, 6]


def test_a_contract_that_cannot_be_evaluated_publishes_nothing(store: ArtifactStore, toys: Any):
    broken = dataclasses.replace(toys.make_contract(), sql="SELECT nothing FROM metrics")
    with pytest.raises(ContractError, match="contract toy on recipe/source"):
        toys.build(store, toys.node(contract=broken))
    with pytest.raises(StoreError):
        store.resolve(toys.address())
    assert toys.build(store, toys.node()).cached  # judged again, not built again


# --- before the work --------------------------------------------------------------------------------------


def test_preflight_stops_before_any_work(store: ArtifactStore, toys: Any):
    def missing(config: Any, execution: Execution) -> None:
        raise PreflightError("no model; get it from there")

    stage = toys.make_stage(toys.write_toy, toys.tables, config=toys.Config, preflight=missing)
    with pytest.raises(PreflightError):
        toys.build(store, toys.node(stage=stage))
    assert toys.log == []
    assert store.files.names("") == []
    toys.build(store, toys.node())
    assert toys.build(store, toys.node(stage=stage)).cached  # what is done needs no model


@pytest.mark.parametrize(("kind", "partition"), [(None, "day"), ("audio_snapshot", None)])
def test_a_partition_that_does_not_fit_is_refused(store: ArtifactStore, toys: Any, kind: str, partition: str):
    with pytest.raises(ValueError, match="is partitioned by"):
        toys.build(store, toys.node(partition=kind), partition=partition)


# --- cutting off and forcing ------------------------------------------------------------------------------


def test_an_equal_rebuild_cuts_off_downstream(store: ArtifactStore, toys: Any):
    reader = toys.reader("reader", "source")
    first = toys.build(store, toys.node())
    toys.build(store, reader, toys.node())
    bumped = toys.node(stage=toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config))
    rebuilt = toys.build(store, bumped)
    assert not rebuilt.cached
    assert rebuilt.artifact.data_version == first.artifact.data_version
    assert toys.build(store, reader, bumped).cached
    changed = toys.node(config=toys.Config(((9.0,),)))
    toys.build(store, changed)
    assert not toys.build(store, reader, changed).cached


def test_force_builds_beside_and_the_older_version_does_not_come_back(store: ArtifactStore, toys: Any):
    drawn = iter(range(10))

    def run(ctx: StageContext, config: Any) -> None:  # as a recognizer on a GPU: never the same bytes twice
        with ctx.out.unit(0) as out:
            out.write("metrics", [Metric("a", "b", float(next(drawn)), 0.0, 9.0, 1)])

    node = toys.node(stage=toys.make_stage(run))
    first = toys.build(store, node, force=True)
    second = toys.build(store, node, force=True)
    third = toys.build(store, node, force=True)
    keys = [built.artifact.manifest.build_key for built in (first, second, third)]
    assert keys == [keys[0], f"{keys[0]}-r2", f"{keys[0]}-r3"]
    assert [values(built) for built in (first, second, third)] == [[0.0], [1.0], [2.0]]
    assert store.resolve(toys.address()) == third.artifact
    plain = toys.build(store, node)
    assert plain.cached
    assert plain.artifact == third.artifact
    assert store.resolve(toys.address()) == third.artifact
    assert values(first) == [0.0]


# --- roll-ups ---------------------------------------------------------------------------------------------


def test_a_roll_up_stands_for_exactly_its_children(store: ArtifactStore, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    days = {day: toys.build(store, child, partition=day, source=day).artifact for day in ("mon", "tue", "wed")}
    roll_up = toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue"))
    corpus = toys.build(store, roll_up, child).artifact
    assert [(item.partition, item.data_version) for item in corpus.manifest.inputs] == [
        (day, days[day].data_version) for day in ("mon", "tue")
    ]
    assert corpus.manifest.counts.records_in == 2
    reader = toys.reader("reader", "corpus", toys.sum_members)
    rows = list(toys.build(store, reader, child, roll_up).artifact.records("metrics", Metric))
    assert [row.subject for row in rows] == ["tokens/mon", "tokens/tue"]
    assert [row.value for row in rows] == [6, 6]

    # Another snapshot outside the corpus changes nothing.
    toys.build(store, dataclasses.replace(child, config=toys.Config(((7.0,),))), partition="wed", source="wed")
    assert toys.build(store, roll_up, child).cached

    # An equal rebuild of a child keeps the version, and readers are cut off.
    bumped = dataclasses.replace(child, stage=toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config))
    toys.build(store, bumped, partition="mon", source="mon")
    again = toys.build(store, roll_up, bumped).artifact
    assert again.data_version == corpus.data_version
    assert toys.build(store, reader, bumped, roll_up).cached

    # A changed child, and another set of children, are other versions.
    changed = dataclasses.replace(child, config=toys.Config(((7.0,),)))
    toys.build(store, changed, partition="mon", source="mon")
    versions = {corpus.data_version, toys.build(store, roll_up, changed).artifact.data_version}
    for members in ((("tokens", "mon"),), (("tokens", "mon"), ("tokens", "tue"), ("tokens", "wed"))):
        versions.add(toys.build(store, toys.roll_up("corpus", *members), changed).artifact.data_version)
    assert len(versions) == 4


def test_a_roll_up_names_builds_that_are_there(store: ArtifactStore, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    old = toys.build(store, child, partition="mon").artifact
    roll_up = toys.roll_up("corpus", ("tokens", "mon"))
    toys.build(store, roll_up, child)
    toys.build(store, child, partition="mon", force=True)
    store.files.delete(old.path)
    toys.build(store, roll_up, child)
    reader = toys.reader("reader", "corpus", toys.sum_members)
    assert values(toys.build(store, reader, child, roll_up)) == [6]


def test_a_roll_up_waits_for_all_children(store: ArtifactStore, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    toys.build(store, child, partition="mon")
    with pytest.raises(StoreError, match=r"tokens\[tue\] cannot be read"):
        toys.build(store, toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue")), child)


# --- what was lost ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_a_committed_version_without_its_files_is_set_aside_and_made_again(
    store: ArtifactStore, toys: Any, damage: str
):
    first = toys.build(store, toys.node()).artifact
    shard = store.files.local(f"{first.path}/metrics-00001.parquet")
    shard.unlink() if damage == "gone" else shard.write_bytes(b"")
    built = toys.build(store, toys.node())
    assert not built.cached
    assert values(built) == [1, 2, 3]
    assert built.artifact.data_version == first.data_version
    aside = store.files.local(f"{first.path}.broken-1")
    assert "metrics-00001.parquet" in json.loads((aside / "broken.json").read_text())["reason"]
    assert toys.build(store, toys.node()).cached
    shard.unlink()
    toys.build(store, toys.node())
    assert store.files.local(f"{first.path}.broken-2").is_dir()


def test_a_build_whose_input_is_deleted_before_its_lease_resolves_again(
    store: ArtifactStore, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    reader = toys.reader("reader", "source")
    old, new = toys.node(), toys.node(config=toys.Config(((9.0,),)))
    first = toys.build(store, old).artifact
    lease, left = ArtifactStore.lease, [True]

    def late(store: ArtifactStore, build: str, held: Any) -> Any:
        if "reader" in build and left:
            left.clear()
            toys.build(store, new)
            store.files.delete(first.path)
        return lease(store, build, held)

    monkeypatch.setattr(ArtifactStore, "lease", late)
    assert values(toys.build(store, reader, old)) == [18]


# --- errors and kills -------------------------------------------------------------------------------------


def test_an_error_in_a_unit_keeps_the_units_before_it(store: ArtifactStore, toys: Any):
    broken = [True]

    def run(ctx: StageContext, config: Any) -> None:
        for unit, value in ctx.out.pending([1.0, 2.0, 3.0]):
            ctx.log(f"unit {unit}")
            with ctx.out.unit(unit) as out:
                if unit == 1 and broken:
                    raise InputError("a.wav, record 1: broken; leave it out")
                out.write("metrics", [Metric("a", f"{value}", value, value, value, 1)])

    node = toys.node(stage=toys.make_stage(run))
    with pytest.raises(InputError):
        toys.build(store, node)
    broken.clear()
    assert values(toys.build(store, node)) == [1, 2, 3]
    assert toys.log == ["unit 0", "unit 1", "unit 1", "unit 2"]


class Killed(BaseException):
    """Stands for a SIGKILL: no stage or store may catch it."""


class Mortal:
    """Lets the process die at the k-th file: before it, in its middle (torn, where that can be), or after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, die: Callable[[], Any]):
        self.files, self.at, self.moment, self.die = 0, 0, "", die
        open_output, replace = Files.open_output, Files.replace

        def mortal_open(files: Files, path: str) -> Any:
            hit = self._comes()
            if hit and self.moment == "before":
                self.die()
            return MortalStream(open_output(files, path), self) if hit else open_output(files, path)

        def mortal_replace(files: Files, path: str, data: bytes) -> None:
            hit = self._comes()
            if hit and self.moment != "after":
                self.die()
            replace(files, path, data)
            if hit:
                self.die()

        monkeypatch.setattr(Files, "open_output", mortal_open)
        monkeypatch.setattr(Files, "replace", mortal_replace)

    def arm(self, at: int, moment: str) -> None:
        self.files, self.at, self.moment = 0, at, moment

    def _comes(self) -> bool:
        self.files += 1
        return self.files == self.at


class MortalStream:
    """A file in which the process dies: in its first write, or when it is whole."""

    def __init__(self, stream: Any, mortal: Mortal):
        self.stream, self.mortal = stream, mortal

    def __enter__(self) -> "MortalStream":
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def write(self, data: Any) -> None:
        if self.mortal.moment == "torn":
            self.stream.write(bytes(data)[: len(data) // 2])
            self.stream.flush()
            self.mortal.die()
        self.stream.write(data)

    def close(self) -> None:
        self.stream.close()
        if self.mortal.moment == "after":
            self.mortal.die()


def die_in_process() -> None:
    raise Killed


@pytest.mark.parametrize("moment", ["before", "torn", "after"])
def test_a_kill_at_any_file_changes_no_version_and_repeats_no_finished_unit(
    tmp_path: Path, toys: Any, monkeypatch: pytest.MonkeyPatch, moment: str
):
    undisturbed = toys.build(ArtifactStore(tmp_path / "undisturbed", tmp_path), toys.node()).artifact.manifest
    mortal = Mortal(monkeypatch, die_in_process)
    at = 0
    while True:
        at += 1
        toys.log.clear()
        store = ArtifactStore(tmp_path / f"store {at}", tmp_path)
        mortal.arm(at, moment)
        try:
            toys.build(store, toys.node())
            break  # it ended before the k-th file: every file had its kill
        except Killed:
            receipts = sum(name.startswith("unit-") for name, _ in store.files.names(f"data/toy_stage/_/{key(store)}"))
            begun = len(toys.log)
        mortal.arm(0, "")
        built = toys.build(store, toys.node())
        manifest = built.artifact.manifest
        assert manifest.data_version == undisturbed.data_version
        assert manifest.shards == undisturbed.shards
        assert manifest.counts == undisturbed.counts
        assert built.verdict.passed
        assert store.resolve(toys.address()) == built.artifact
        assert toys.log[begun:] == [f"unit {unit}" for unit in range(receipts, 2)]
    assert at == 16  # layout, lease; 2 units of 2 tables, 2 files and a receipt; manifest, verdict, mark; and one more


def key(store: ArtifactStore) -> str:
    """Return the only build key of the node, or a name that is not there."""
    names = [name for name, is_folder in store.files.names("data/toy_stage/_") if is_folder]
    return names[0] if names else "none"


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_kill_of_a_forced_build_goes_on_in_the_same_place(
    store: ArtifactStore, toys: Any, monkeypatch: pytest.MonkeyPatch, moment: str
):
    first = toys.build(store, toys.node()).artifact
    mortal = Mortal(monkeypatch, die_in_process)
    mortal.arm(8, moment)
    with pytest.raises(Killed):
        toys.build(store, toys.node(), force=True)
    mortal.arm(0, "")
    toys.log.clear()
    second = toys.build(store, toys.node(), force=True).artifact
    assert second.manifest.build_key == f"{first.manifest.build_key}-r2"
    assert toys.log == ["unit 1"]


CHILD = """
import importlib.util, os, sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("shared_toys", sys.argv[1])
shared = importlib.util.module_from_spec(spec)
sys.modules["shared_toys"] = shared
spec.loader.exec_module(shared)
from spelangy_assets.execution.stage import Execution
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.files import Files

files_done, last = 0, int(sys.argv[3])
def done():
    global files_done
    files_done += 1
    if files_done == last:
        os._exit(9)
class Stream:
    def __init__(self, stream):
        self.stream, self.write = stream, stream.write
    def __enter__(self):
        return self
    def __exit__(self, *error):
        self.close()
    def close(self):
        self.stream.close()
        done()
open_output, replace = Files.open_output, Files.replace
def mortal_replace(files, path, data):
    replace(files, path, data)
    done()
Files.open_output = lambda files, path: Stream(open_output(files, path))
Files.replace = mortal_replace
root = Path(sys.argv[2])
toys = shared.Toys(Execution(cache_dir=root / "cache", launch=lambda *spec: None))
toys.build(ArtifactStore(root / "store", root / "cache"), toys.node(), log=lambda text: print(text, flush=True))
"""


@pytest.mark.slow
def test_processes_that_die_one_after_the_other_end_with_the_undisturbed_version(
    tmp_path: Path, toys: Any, project_dir: Path
):
    undisturbed = toys.build(ArtifactStore(tmp_path / "undisturbed", tmp_path), toys.node()).artifact
    conftest = project_dir / "tests" / "conftest.py"

    def child(last_file: int) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", CHILD, str(conftest), str(tmp_path), str(last_file)]
        environment = {**os.environ, "PYTHONPATH": str(project_dir)}
        return subprocess.run(command, capture_output=True, text=True, check=False, env=environment)

    lines = []
    # After the layout's mark and the lease: tables and files of both units, their receipts, manifest, verdict.
    for last_file in (3, 5, 6, 3, 6, 2, 2):
        ended = child(last_file)
        assert ended.returncode == 9, ended.stderr
        lines.append(ended.stdout.split("\n")[:-1])
    assert lines == [["unit 0"], ["unit 0"], ["unit 0"], ["unit 1"], ["unit 1"], [], []]
    assert child(0).returncode == 0
    published = ArtifactStore(tmp_path / "store", tmp_path).resolve(toys.address())
    assert published.data_version == undisturbed.data_version
    assert published.manifest.counts == undisturbed.manifest.counts


# --- sources of snapshots ---------------------------------------------------------------------------------


def test_a_snapshot_with_other_files_is_another_build(store: ArtifactStore, toys: Any, tmp_path: Path):
    folder = tmp_path / "monday"
    folder.mkdir()
    (folder / "a.wav").write_bytes(b"1")
    node = toys.node(partition="audio_snapshot", has_source=True)
    toys.build(store, node, partition="monday", source=FolderSource(folder))
    moved = folder.rename(tmp_path / "elsewhere")
    assert toys.build(store, node, partition="monday", source=FolderSource(moved)).cached
    (moved / "a.wav").write_bytes(b"2")
    assert not toys.build(store, node, partition="monday", source=FolderSource(moved)).cached


# --- several processes ------------------------------------------------------------------------------------


MANY = tuple((float(number), -1.0) for number in range(7))


def shared(toys: Any, store: ArtifactStore, node: Any, count: int, skip: tuple[int, ...] = ()) -> tuple[Any, list[int]]:
    """Build a node whose units `count` processes share, but for those of `skip`, which are lost."""
    graph = Graph("recipe", [node])
    done: list[int] = []

    def distribute(asset: str, partition: str | None, build_key: str, count_units: Callable[[], int]) -> None:
        assert (count_units(), toys.log) == (len(MANY), [])  # none is done for that
        for index in set(range(count)) - set(skip):
            build_share(
                store, graph, node, partition, toys.execution, build_key, Share(index, count), log=toys.log.append
            )
        done.extend(int(lines.split()[1]) for lines in toys.log)

    execution = dataclasses.replace(toys.execution, distribute=distribute)
    return build(store, graph, node, None, execution, log=toys.log.append), done


def spreading(toys: Any, **changes: Any) -> Any:
    node = toys.node(config=toys.Config(MANY), **changes)
    node.stage.INDEPENDENT_UNITS = True
    return node


def test_units_that_processes_share_give_the_same_version(tmp_path: Path, toys: Any):
    alone = build(
        ArtifactStore(tmp_path / "alone", tmp_path / "cache"),
        Graph("recipe", [spreading(toys)]),
        spreading(toys),
        None,
        toys.execution,
    ).artifact.manifest
    built, done = shared(toys, ArtifactStore(tmp_path / "together", tmp_path / "cache"), spreading(toys), 3)
    assert sorted(done) == list(range(7))
    assert toys.log == [f"unit {unit}" for unit in done]  # nothing was left for the process that commits
    assert built.artifact.manifest.data_version == alone.data_version
    assert built.artifact.manifest.build_key == alone.build_key
    assert built.artifact.manifest.counts == alone.counts


def test_what_a_lost_process_left_is_done_by_the_one_that_commits(store: ArtifactStore, toys: Any):
    built, done = shared(toys, store, spreading(toys), 3, skip=(1,))
    assert sorted(done) == [0, 2, 3, 5, 6]
    assert toys.log[len(done) :] == ["unit 1", "unit 4"]
    assert built.artifact.manifest.counts.records_in == 14


def test_a_process_with_other_code_is_refused_its_share(store: ArtifactStore, toys: Any):
    node = spreading(toys)
    with pytest.raises(StoreError, match="give every node the same code"):
        build_share(store, Graph("recipe", [node]), node, None, toys.execution, "v1-other", Share(0, 2))


def test_a_process_that_comes_second_takes_the_version_of_the_first(store: ArtifactStore, toys: Any):
    """The other process begins and ends while this one is at its second unit."""

    def run(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending(config.units):
            if unit == 1 and not toys.log:
                toys.log.append("other")
                built = toys.build(store, toys.node())
                assert not built.cached
            with ctx.out.unit(unit) as out:
                out.write("metrics", [Metric("toy", f"m{v}", v, v, v, 1) for v in config.units[unit] if v >= 0])
                out.write("rejects", [Reject("toy", "", "negative", str(v)) for v in config.units[unit] if v < 0])
                out.write_file(f"notes/unit-{unit}.txt", f"unit {unit} \N{GREEK SMALL LETTER OMEGA}".encode())

    stage = toys.make_stage(run, toys.tables, name="toy_stage", config=toys.Config)
    built = toys.build(store, toys.node(stage=stage))
    assert toys.log[:2] == ["other", "unit 1"]  # unit 0 was there
    assert "is committed by another process: taking that" in toys.log[-1]
    assert values(built) == [1, 2, 3]
    assert store.resolve(toys.address()) == built.artifact


@pytest.mark.parametrize("newer", [True, False])
def test_what_the_inputs_are_decides_and_not_who_publishes_last(store: ArtifactStore, toys: Any, newer: bool):
    """While a version is made, another process publishes one: of newer inputs, or of none that are read now."""
    source, changed = toys.node(), toys.node(config=toys.Config(((5.0,),)))
    toys.build(store, source)
    reader = toys.reader("reader", "source")

    def run(ctx: StageContext, config: Any) -> None:
        if "other" not in toys.log:
            toys.log.append("other")
            toys.build(store, changed)
            toys.build(store, reader, changed)
            if not newer:
                toys.build(store, source)  # and the input goes back, before this one publishes
        toys.double_input(ctx, config)

    late = toys.reader("reader", "source", run=run)
    built = toys.build(store, late, source)
    assert values(built) == ([10] if newer else [2, 4, 6])
    assert store.resolve(toys.address("reader")) == built.artifact
    assert any("resolving the inputs again" in lines for lines in toys.log)
