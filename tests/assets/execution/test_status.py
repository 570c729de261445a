"""What is out of date, and why: the words that `status` prints and the repair schedule acts on."""

import dataclasses
from typing import Any

import pytest

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.runs import repairs_of
from spelangy_assets.execution.stage import StageContext
from spelangy_assets.execution.status import Status, status_of
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.records import Metric

DAYS = {"audio_snapshot": ["mon", "tue"], "page_snapshot": []}


def states(store: ArtifactStore, *nodes: Node, source: Any = None) -> dict[str, Status]:
    statuses = status_of(store, Graph("recipe", list(nodes)), DAYS, lambda node, partition: source)
    return {status.target: status for status in statuses}


def state_by_name(statuses: dict[str, Status]) -> dict[str, str]:
    return {name: status.state for name, status in statuses.items()}


@pytest.fixture
def chain(toys: Any) -> list[Node]:
    return [toys.node(), toys.reader("reader", "source"), toys.reader("last", "reader")]


def build_all(store: ArtifactStore, toys: Any, nodes: list[Node]) -> None:
    for position, node in enumerate(nodes):
        toys.build(store, node, *nodes[:position])


def test_what_is_built_as_asked_is_fresh(store: ArtifactStore, toys: Any, chain: list[Node]):
    build_all(store, toys, chain)
    statuses = states(store, *chain)
    assert state_by_name(statuses) == dict.fromkeys(("source", "reader", "last"), "fresh")
    assert all(status.build_key and not status.why and not status.repairable for status in statuses.values())


def test_only_the_first_missing_one_of_a_chain_is_known(store: ArtifactStore, chain: list[Node]):
    statuses = states(store, *chain)
    assert state_by_name(statuses) == {"source": "missing", "reader": "waiting", "last": "waiting"}
    assert statuses["source"].repairable
    assert not statuses["reader"].repairable
    assert statuses["last"].why == "waits for source"
    assert (statuses["last"].causes, statuses["last"].roots) == (("missing",), (("source", None),))


def test_every_partition_has_a_state_of_its_own(store: ArtifactStore, toys: Any):
    node = toys.node(partition="audio_snapshot")
    toys.build(store, node, partition="mon")
    assert state_by_name(states(store, node)) == {"source[mon]": "fresh", "source[tue]": "missing"}


def test_the_build_key_is_that_of_the_build_to_come(store: ArtifactStore, toys: Any):
    node = toys.node()
    wanted = states(store, node)["source"].build_key
    assert toys.build(store, node).artifact.manifest.build_key == wanted


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("version", "code toy_stage v1 -> toy_stage v2"),
        ("stage", "code toy_stage v1 -> other_stage v1"),
        ("config", "config: units"),
        ("source", "inputs: source"),
    ],
)
def test_what_is_stale_says_what_changed(store: ArtifactStore, toys: Any, change: str, why: str):
    toys.build(store, toys.node(), source={"day": 1})
    stage = toys.make_stage(
        toys.write_toy,
        toys.tables,
        "2" if change == "version" else "1",
        name="other_stage" if change == "stage" else "toy_stage",
        config=toys.Config,
    )
    config = toys.Config(((1.0,),)) if change == "config" else toys.Config()
    node = toys.node(stage=stage, config=config)
    status = states(store, node, source={"day": 2 if change == "source" else 1})["source"]
    assert (status.state, status.why) == ("stale", why)
    assert status.repairable


def test_all_reasons_are_reported(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node(), source={"day": 1})
    stage = toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config)
    node = toys.node(stage=stage, config=toys.Config(((1.0,),)))
    why = states(store, node, source={"day": 2})["source"].why
    assert why == "code toy_stage v1 -> toy_stage v2; config: units; inputs: source"
    assert states(store, node, source={"day": 2})["source"].causes == ("code", "config", "inputs")


def test_what_waits_names_the_causes_at_the_top_whatever_the_distance(store: ArtifactStore, toys: Any):
    """A failed contract here and changed code there: what is below both waits for both."""
    child, other = toys.node("tokens", partition="audio_snapshot"), toys.node("other")
    corpus = toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue"))
    last = toys.node("last", inputs={"corpus": "corpus", "other": "other"})
    for day in DAYS["audio_snapshot"]:
        toys.build(store, child, partition=day)
    toys.build(store, other)
    bumped = dataclasses.replace(other, stage=toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config))
    strict = dataclasses.replace(child, contract=toys.make_contract(low=100))
    for day in DAYS["audio_snapshot"]:
        toys.build(store, strict, partition=day)
    status = states(store, strict, bumped, corpus, last)["last"]
    assert status.causes == ("quality", "code")
    assert status.roots == (("tokens", "mon"), ("tokens", "tue"), ("other", None))
    assert status.why == "waits for tokens[mon], tokens[tue], other"


def test_a_changed_input_is_named_and_the_rest_waits(store: ArtifactStore, toys: Any, chain: list[Node]):
    build_all(store, toys, chain)
    changed = toys.node(config=toys.Config(((9.0,),)))
    assert state_by_name(states(store, changed, *chain[1:])) == {
        "source": "stale",
        "reader": "waiting",
        "last": "waiting",
    }
    toys.build(store, changed)
    statuses = states(store, changed, *chain[1:])
    assert state_by_name(statuses) == {"source": "fresh", "reader": "stale", "last": "waiting"}
    assert statuses["reader"].why == "inputs: source"


def test_a_rebuild_with_equal_bytes_makes_nothing_below_stale(store: ArtifactStore, toys: Any, chain: list[Node]):
    build_all(store, toys, chain)
    bumped = toys.node(stage=toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config))
    toys.build(store, bumped)
    assert state_by_name(states(store, bumped, *chain[1:])) == dict.fromkeys(("source", "reader", "last"), "fresh")


def test_going_back_to_a_former_config_is_stale_until_it_is_published_again(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    toys.build(store, toys.node(config=toys.Config(((9.0,),))))
    status = states(store, toys.node())["source"]
    assert (status.state, status.why) == ("stale", "config: units")
    toys.build(store, toys.node())
    assert states(store, toys.node())["source"].state == "fresh"


# --- contracts --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [False, True], ids=["nothing published", "a good one published"])
def test_a_failed_contract_is_failed_and_not_repairable(store: ArtifactStore, toys: Any, before: bool):
    contract = toys.make_contract(low=2)
    if before:
        toys.build(store, toys.node(contract=contract))
    bad = toys.node(contract=contract, config=toys.Config(((1.0,),)))
    toys.build(store, bad)
    status = states(store, bad)["source"]
    assert (status.state, status.why) == ("failed", "contract failed: metrics in [2, inf]: 1")
    assert not status.repairable


def test_a_forced_build_that_passed_stands_before_a_first_one_that_failed(store: ArtifactStore, toys: Any):
    rows = iter([1, 2, 2])

    def run(ctx: StageContext, config: Any) -> None:
        with ctx.out.unit(0) as out:
            out.write("metrics", [Metric("a", f"m{index}", 1.0, 1.0, 1.0, 1) for index in range(next(rows))])

    node = toys.node(stage=toys.make_stage(run), contract=toys.make_contract(low=2))
    toys.build(store, node)
    assert states(store, node)["source"].state == "failed"
    again = toys.build(store, node, force=True).artifact.manifest
    assert again.build_key.endswith("-r2")
    assert states(store, node)["source"].state == "fresh"


def test_what_another_recipe_made_is_shared_and_its_readers_have_the_state_as_if_it_were_published(
    store: ArtifactStore, toys: Any, chain: list[Node]
):
    build_all(store, toys, chain)
    copy = Graph("copy", [dataclasses.replace(chain[0], name="renamed"),
                          dataclasses.replace(chain[1], inputs={"above": "renamed"}), *chain[2:]])  # fmt: skip
    statuses = {one.asset: one for one in status_of(store, copy, DAYS, lambda node, partition: None)}
    assert state_by_name(statuses) == dict.fromkeys(("renamed", "reader", "last"), "shared")
    assert statuses["renamed"].shared_from == DatasetName("recipe", "source")
    assert statuses["renamed"].why == "made for recipe/source; to publish it costs nothing"
    (repair,) = repairs_of(copy, list(statuses.values()), None, 10)
    assert (repair.assets, repair.state) == (("renamed", "reader", "last"), "shared")
    toys.log.clear()
    for node in copy:
        assert build(store, copy, node, None, toys.execution, log=toys.log.append).cached
    assert toys.log == []
    after = status_of(store, copy, DAYS, lambda node, partition: None)
    assert {one.state for one in after} == {"fresh"}
    changed = Graph("copy", [dataclasses.replace(copy["renamed"], config=toys.Config(((9.0,),))), *list(copy)[1:]])
    states_of = {one.asset: one.state for one in status_of(store, changed, DAYS, lambda node, partition: None)}
    assert states_of == {"renamed": "stale", "reader": "waiting", "last": "waiting"}


def test_what_was_set_aside_is_missing_and_says_why(store: ArtifactStore, toys: Any):
    artifact = toys.build(store, toys.node()).artifact
    store.set_aside(artifact, "metrics-00001.parquet has other bytes")
    status = states(store, toys.node())["source"]
    assert (status.state, status.repairable) == ("missing", True)
    assert status.why == "set aside: metrics-00001.parquet has other bytes"
    toys.build(store, toys.node())
    assert states(store, toys.node())["source"].state == "fresh"


def test_another_text_of_a_module_from_outside_is_reported_under_an_equal_version(
    store: ArtifactStore, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    toys.build(store, toys.node())
    assert states(store, toys.node())["source"].why == ""
    monkeypatch.setattr("spelangy_assets.store.fingerprint.module_digest", lambda name: "another text")
    status = states(store, toys.node())["source"]
    assert (status.state, status.why) == (
        "fresh",
        f"made by another text of {toys.Config.__module__}, of equal version",
    )


def test_a_changed_contract_is_stale_until_it_was_judged(store: ArtifactStore, toys: Any):
    toys.build(store, toys.node())
    strict = toys.node(contract=toys.make_contract(low=100))
    status = states(store, strict)["source"]
    assert (status.state, status.why) == ("stale", "built, but not judged by its contract of now")
    assert toys.build(store, strict).cached
    assert states(store, strict)["source"].state == "failed"


def test_what_was_committed_and_not_judged_is_asked_for_again(store: ArtifactStore, toys: Any):
    artifact = toys.build(store, toys.node()).artifact
    (verdict,) = store.files.local(artifact.path).glob("verdict-*.json")
    for path in (verdict, store.files.local(toys.address().path)):
        path.unlink()
    assert states(store, toys.node())["source"].state == "stale"
    assert toys.build(store, toys.node()).cached
    assert states(store, toys.node())["source"].state == "fresh"


def test_what_passed_and_was_not_published_is_missing(store: ArtifactStore, toys: Any):
    artifact = toys.build(store, toys.node()).artifact
    assert artifact.made_for == toys.address()
    store.files.local(toys.address().path).unlink()
    status = states(store, toys.node())["source"]
    assert (status.state, status.repairable) == ("missing", True)


def test_what_lost_files_is_missing_until_it_is_made_again(store: ArtifactStore, toys: Any):
    artifact = toys.build(store, toys.node()).artifact
    store.files.local(f"{artifact.path}/metrics-00001.parquet").write_bytes(b"")
    status = states(store, toys.node())["source"]
    assert (status.state, status.repairable) == ("missing", True)
    assert status.why == "built, but 1 of its files are not there or not whole, metrics-00001.parquet first"
    toys.build(store, toys.node())
    assert states(store, toys.node())["source"].state == "fresh"


def test_below_a_failed_one_nothing_is_repairable(store: ArtifactStore, toys: Any, chain: list[Node]):
    source = dataclasses.replace(chain[0], contract=toys.make_contract(low=100))
    toys.build(store, source)
    assert state_by_name(states(store, source, *chain[1:])) == {
        "source": "failed",
        "reader": "waiting",
        "last": "waiting",
    }


# --- roll-ups ---------------------------------------------------------------------------------------------


def test_a_roll_up_says_which_child_changed_or_was_built_again(store: ArtifactStore, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    corpus = toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue"))
    reader = toys.reader("reader", "corpus", toys.sum_members)
    for day in DAYS["audio_snapshot"]:
        toys.build(store, child, partition=day)
    toys.build(store, corpus, child)
    toys.build(store, reader, child, corpus)
    assert set(state_by_name(states(store, child, corpus, reader)).values()) == {"fresh"}

    toys.build(store, child, partition="tue", force=True)  # equal bytes
    status = states(store, child, corpus, reader)["corpus"]
    assert (status.state, status.why) == ("stale", "a child was built again: tokens[tue]")
    toys.build(store, corpus, child)
    assert set(state_by_name(states(store, child, corpus, reader)).values()) == {"fresh"}

    changed = dataclasses.replace(child, config=toys.Config(((7.0,),)))
    for day in DAYS["audio_snapshot"]:
        toys.build(store, changed, partition=day)
    statuses = states(store, changed, corpus, reader)
    assert statuses["corpus"].why == "inputs: tokens[mon], tokens[tue]"
    assert statuses["reader"].why == "waits for corpus"


@pytest.mark.parametrize(
    ("days", "why"), [(("mon",), "inputs: tokens[tue]"), (("tue", "mon"), "inputs in another order")]
)
def test_a_roll_up_over_other_snapshots_is_stale(store: ArtifactStore, toys: Any, days: tuple[str, ...], why: str):
    child = toys.node("tokens", partition="audio_snapshot")
    for day in DAYS["audio_snapshot"]:
        toys.build(store, child, partition=day, source=day)
    toys.build(store, toys.roll_up("corpus", ("tokens", "mon"), ("tokens", "tue")), child)
    corpus = toys.roll_up("corpus", *(("tokens", day) for day in days))
    statuses = status_of(store, Graph("recipe", [child, corpus]), DAYS, lambda node, partition: partition)
    assert [(status.state, status.why) for status in statuses if status.asset == "corpus"] == [("stale", why)]


def test_a_roll_up_of_a_snapshot_that_is_no_partition_yet_waits(store: ArtifactStore, toys: Any):
    child = toys.node("tokens", partition="audio_snapshot")
    status = states(store, child, toys.roll_up("corpus", ("tokens", "wed")))["corpus"]
    assert status.state == "waiting"
    assert "tokens[wed] cannot be read" in status.why
