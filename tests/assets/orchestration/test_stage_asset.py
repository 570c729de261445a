"""The bridge from a node to an asset: what a materialization reports, and what stops."""

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.orchestration import stage_asset
from spelangy_assets.orchestration.installation import Launch, Launched, LaunchError
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stages import tokenize_text
from spelangy_assets.store.artifacts import Address
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_model.records import Metric, TextDocument, TokenDocument

FORCE = {"force": "true"}


def retries(result: dg.ExecuteInProcessResult) -> int:
    return sum(event.event_type_value == "STEP_UP_FOR_RETRY" for event in result.all_events)


# --- what a materialization reports ---------------------------------------------------------------------------


def test_a_materialization_has_counts_drops_versions_and_first_rows(bench: Any, toys: Any):
    result = bench.materialize(toys.node())
    metadata = bench.metadata(result)
    artifact = bench.store.resolve(toys.address())
    assert metadata["cached"] is False
    assert (metadata["records_in"], metadata["records_kept"], metadata["records_dropped"]) == (5, 3, 2)
    assert (metadata["dagster/row_count"], metadata["rows/metrics"], metadata["rows/rejects"]) == (3, 3, 2)
    assert metadata["sum/value_sum"] == 6.0
    assert metadata["build_key"] == artifact.manifest.build_key
    assert metadata["dagster/uri"] == artifact.uri
    assert metadata["bytes"] == sum(shard.bytes for shard in artifact.manifest.shards)
    assert {"seconds", "cpu_seconds"} <= metadata.keys()
    drops = bench.materialization(result).metadata["dropped"]
    assert [record.data for record in drops.records] == [{"reason": "negative", "records": 2}]
    lines = metadata["preview"].split("\n")
    assert lines[0] == "| subject | metric | value | low | high | count |"
    assert lines[2:] == [
        "| toy | m1.0 | 1.000 | 1.000 | 1.000 | 1 |",
        "| toy | m2.0 | 2.000 | 2.000 | 2.000 | 1 |",
    ]


def test_what_was_there_is_reported_as_cached_with_equal_metadata(bench: Any, toys: Any):
    first, again = (bench.metadata(bench.materialize(toys.node())) for _ in range(2))
    assert again == {**first, "cached": True}
    assert [(asset, partition, built.cached) for asset, partition, built in bench.reports] == [
        ("source", None, False),
        ("source", None, True),
    ]


def test_versions_stand_on_the_event(bench: Any, toys: Any):
    node = toys.node()
    event = bench.materialization(bench.materialize(node))
    assert event.tags["dagster/data_version"] == bench.store.resolve(toys.address()).data_version
    assert event.tags["dagster/code_version"] == f"1+{fingerprint(node.config)[:8]}"


def test_inputs_are_reported_at_their_versions(bench: Any, toys: Any):
    result = bench.materialize(toys.node(), toys.reader("reader", "source"))
    above = bench.store.resolve(toys.address())
    assert bench.metadata(result, "reader")["inputs"] == [f"source[]@{above.data_version}"]


def test_a_partition_has_its_own_row_count_and_source(bench: Any, toys: Any):
    seen = []

    def run(ctx: StageContext, config: Any) -> None:
        seen.append((ctx.partition, ctx.source))
        toys.write_toy(ctx, config)

    bench.instance.add_dynamic_partitions("recipe_audio_snapshot", ["mon"])
    stage = toys.make_stage(run, toys.tables, config=toys.Config)
    snapshots = {"mon": {"day": 1}}
    node = toys.node(stage=stage, partition="audio_snapshot", has_source=True, snapshots=snapshots)
    metadata = bench.metadata(bench.materialize(node, partition="mon"))
    assert metadata["dagster/partition_row_count"] == 3
    assert "dagster/row_count" not in metadata
    assert seen == [("mon", {"day": 1})]
    assert bench.store.resolve(toys.address(partition="mon")).manifest.counts.records_kept == 3


def test_pages_and_markdown_of_a_dataset_are_shown(bench: Any, toys: Any):
    def run(ctx: StageContext, config: Any) -> None:
        with ctx.out.unit(0) as out:
            out.write("metrics", [Metric("a", "m", 1.0, 1.0, 1.0, 1)])
            out.write_file("board.md", b"# Board")
            out.write_file("board.html", b"<p>")

    metadata = bench.metadata(bench.materialize(toys.node(stage=toys.make_stage(run))))
    assert metadata["board"] == "# Board"
    assert metadata["board_page"] == f"{bench.store.resolve(toys.address()).uri}/board.html"


def test_a_preview_keeps_to_one_line_a_row_and_has_no_sound(bench: Any, toys: Any):
    from spelangy_model.records import Audio, SpokenQuestion

    question = SpokenQuestion(
        *(
            "q",
            "t",
            "c",
            "web",
            "seen",
            "one\ntwo | three ![x](/y)",
            "x" * 500,
            "v",
            "us",
            ["a", "b", "c", "d"],
            1,
            "r",
        ),
        Audio(b"\0" * 99, "a.flac"),
    )

    def run(ctx: StageContext, config: Any) -> None:
        with ctx.out.unit(0) as out:
            out.write("questions", [question])

    contract = Contract("q", "SELECT count(*) AS n FROM questions", (Bound("n", 1),))
    node = toys.node(stage=toys.make_stage(run, {"questions": SpokenQuestion}), contract=contract)
    lines = bench.metadata(bench.materialize(node))["preview"].split("\n")
    assert len(lines) == 3
    assert "audio" not in lines[0]
    assert "| `one two `&#124;` three ![x](/y)` |" in lines[2], "as code, where Markdown sees nothing"
    assert "x" * 120 + "..." in lines[2]
    assert "x" * 121 not in lines[2]


def test_an_empty_table_has_a_preview_too(bench: Any, toys: Any):
    metadata = bench.metadata(bench.materialize(toys.node(config=toys.Config(((-1.0,),)))))
    assert (metadata["preview"], metadata["dagster/row_count"]) == ("no rows", 0)


def test_the_definition_shows_columns_and_config(bench: Any, toys: Any):
    (asset,) = bench.assets(toys.node())
    metadata = asset.metadata_by_key[asset.key]
    columns = {column.name: column for column in metadata["dagster/column_schema"].columns}
    assert list(columns) == ["subject", "metric", "value", "low", "high", "count"]
    assert (columns["value"].type, columns["count"].type) == ("double", "int64")
    assert columns["count"].description == "how many items the value is over"
    assert metadata["config"].value == {"type": "ToyConfig", "units": [[1.0, 2.0, -1.0], [3.0, -2.0]]}


# --- forcing and partitions -------------------------------------------------------------------------------


@pytest.mark.parametrize(("tags", "forced"), [(FORCE, True), ({"force": "false"}, False), ({}, False)])
def test_the_force_tag_builds_beside_what_is_there(bench: Any, toys: Any, tags: dict[str, str], forced: bool):
    first = bench.metadata(bench.materialize(toys.node()))
    again = bench.metadata(bench.materialize(toys.node(), tags=tags))
    assert again["cached"] is not forced
    assert again["build_key"] == first["build_key"] + ("-r2" if forced else "")
    assert bench.store.find(Address("toy_stage"), first["build_key"]) is not None


def test_a_partitioned_asset_is_one_partition_a_run(bench: Any, toys: Any):
    (asset,) = bench.assets(toys.node(partition="audio_snapshot"))
    assert asset.partitions_def.name == "recipe_audio_snapshot"
    assert asset.backfill_policy == dg.BackfillPolicy.multi_run(max_partitions_per_run=1)


# --- checks -----------------------------------------------------------------------------------------------


def test_a_check_reports_every_expectation_of_the_verdict(bench: Any, toys: Any):
    (check,) = bench.materialize(toys.node()).get_asset_check_evaluations()
    assert (check.check_name, check.passed, check.blocking) == ("contract", True, True)
    (row,) = check.metadata["expectations"].records
    assert row.data == {"expectation": "metrics in [0, inf]", "observed": "3", "outcome": "passed"}
    verdict = next(iter(bench.store.verdicts(bench.store.resolve(toys.address()))), None)
    assert check.metadata["contract_fingerprint"].value == verdict.contract_fingerprint[:16]


def test_a_blocking_failure_stops_the_children_in_the_same_run(bench: Any, toys: Any):
    strict = toys.node(contract=toys.make_contract(low=100))
    result = bench.materialize(strict, toys.reader("reader", "source"), toys.reader("last", "reader"))
    assert not result.success
    assert bench.materialized(result) == ["source"]
    (check,) = result.get_asset_check_evaluations()
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert check.description == "`metrics in [100, inf]: 3`"  # code, since Dagster renders it as Markdown
    assert retries(result) == 0


def test_a_later_run_of_the_child_alone_is_refused_by_the_read_guard(bench: Any, toys: Any):
    strict, reader = toys.node(contract=toys.make_contract(low=100)), toys.reader("reader", "source")
    bench.materialize(strict, reader)
    result = bench.materialize(strict, reader, only="reader")
    assert not result.success
    assert bench.materialized(result) == []
    assert "did not pass its contract" in bench.failures(result)["reader"]


def test_a_child_alone_reads_the_last_good_version(bench: Any, toys: Any):
    contract, reader = toys.make_contract(low=2), toys.reader("reader", "source")
    good = toys.node(contract=contract)
    bench.materialize(good)
    bad = toys.node(contract=contract, config=toys.Config(((1.0,),)))
    assert not bench.materialize(bad).success
    assert bench.materialize(bad, reader, only="reader").success
    assert [row.value for row in bench.store.resolve(toys.address("reader")).records("metrics", Metric)] == [2, 4, 6]


def test_drift_warns_and_blocks_nothing(bench: Any, toys: Any):
    contract = Contract(
        "toy", "SELECT count(*) AS metrics FROM metrics", (Bound("metrics", 1), Bound("metrics", 100, None, "warn"))
    )
    result = bench.materialize(toys.node(contract=contract), toys.reader("reader", "source"))
    assert result.success
    assert bench.materialized(result) == ["source", "reader"]
    checks = {
        check.check_name: check
        for check in result.get_asset_check_evaluations()
        if check.asset_key == asset_key("recipe", "source")
    }
    assert checks.keys() == {"contract", "drift"}
    assert (checks["contract"].passed, checks["drift"].passed) == (True, False)
    assert checks["drift"].severity == dg.AssetCheckSeverity.WARN
    assert not checks["drift"].blocking
    assert [row.data["outcome"] for row in checks["drift"].metadata["expectations"].records] == ["failed"]


def test_an_expectation_that_errors_fails_the_blocking_check(bench: Any, toys: Any):
    contract = Contract(
        "toy",
        "SELECT count(*) AS metrics, NULL::DOUBLE AS drift FROM metrics",
        (Bound("metrics", 1), Bound("drift", 0, None, "warn")),
    )
    result = bench.materialize(toys.node(contract=contract))
    checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
    assert (checks["contract"].passed, checks["drift"].passed) == (False, False)
    assert "no number" in checks["contract"].metadata["expectations"].records[1].data["outcome"]
    assert not result.success


def test_a_contract_of_warnings_alone_has_a_blocking_check_too(bench: Any, toys: Any):
    """Its expectations may error, which blocks; and automation waits for blocking checks."""
    result = bench.materialize(toys.node(contract=toys.make_contract(low=100, severity="warn")))
    checks = {check.check_name: (check.passed, check.blocking) for check in result.get_asset_check_evaluations()}
    assert checks == {"contract": (True, True), "drift": (False, False)}
    assert result.success


# --- failures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [InputError, PreflightError])
def test_what_another_try_cannot_mend_fails_at_once_with_its_words(bench: Any, toys: Any, error: type[Exception]):
    tries = []

    def run(ctx: StageContext, config: Any) -> None:
        tries.append("run")
        raise InputError("a.wav, record 3: broken; leave it out")

    def preflight(config: Any, execution: Execution) -> None:
        tries.append("preflight")
        if error is PreflightError:
            raise PreflightError("no model; get it from there")

    result = bench.materialize(toys.node(stage=toys.make_stage(run, preflight=preflight)))
    assert not result.success
    assert tries == (["preflight"] if error is PreflightError else ["preflight", "run"])
    words = "no model; get it from there" if error is PreflightError else "a.wav, record 3: broken; leave it out"
    assert bench.failures(result) == {"source": f"{error.__name__}: {words}"}
    assert retries(result) == 0


def test_a_lost_connection_is_tried_again_and_goes_on_where_it_stopped(
    bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    tries = []
    monkeypatch.setattr(stage_asset, "RETRIES", dg.RetryPolicy(stage_asset.RETRIES.max_retries, delay=0.01))

    def run(ctx: StageContext, config: Any) -> None:
        for unit, value in ctx.out.pending([1.0, 2.0]):
            tries.append(unit)
            if tries == [0, 1]:
                raise ConnectionError("the server went away")
            with ctx.out.unit(unit) as out:
                out.write("metrics", [Metric("a", f"{value}", value, value, value, 1)])

    result = bench.materialize(toys.node(stage=toys.make_stage(run)))
    assert result.success
    assert tries == [0, 1, 1]
    assert retries(result) == 1


@pytest.mark.parametrize("error", [ValueError("a mistake in code"), FileNotFoundError(2, "no such file", "a.wav")])
def test_a_mistake_is_not_tried_again_and_keeps_its_words(bench: Any, toys: Any, error: Exception):
    def run(ctx: StageContext, config: Any) -> None:
        raise error

    result = bench.materialize(toys.node(stage=toys.make_stage(run)))
    assert bench.failures(result) == {"source": f"{type(error).__name__}: {error}"}
    assert retries(result) == 0


# --- subprocesses -----------------------------------------------------------------------------------------

CHILD = """
import json, sys
spec = json.load(open(sys.argv[1]))
from dagster_pipes import DAGSTER_PIPES_CONTEXT_ENV_VAR, open_dagster_pipes
import os
if DAGSTER_PIPES_CONTEXT_ENV_VAR in os.environ:
    with open_dagster_pipes() as pipes:
        pipes.report_custom_message({"loss": spec["value"], "threads": os.environ.get("OMP_NUM_THREADS")})
open(spec["file"], "w").write(str(spec["value"]))
sys.exit(spec.get("status", 0))
"""


@pytest.fixture
def child_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "toy_child.py").write_text(CHILD)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return "toy_child"


def test_a_subprocess_reports_back_to_the_materialization(bench: Any, toys: Any, child_module: str):
    def run(ctx: StageContext, config: Any) -> None:
        for unit, _ in ctx.out.pending(["run"]):
            with ctx.out.unit(unit) as out:
                file = ctx.out.scratch / "written.txt"
                ctx.execution.launch(child_module, {"value": 2.5, "file": str(file)}, ctx.out.scratch)
                value = float(file.read_text())
                out.write("metrics", [Metric("a", "loss", value, value, value, 1)])

    result = bench.materialize(toys.node(stage=toys.make_stage(run)))
    assert result.success, bench.failures(result)
    metadata = bench.metadata(result)
    assert (metadata["child/loss"], metadata["child/threads"]) == (2.5, "1")
    assert [row.value for row in bench.store.resolve(toys.address()).records("metrics", Metric)] == [2.5]


def test_a_forked_process_reports_back_too_and_its_seconds_count(bench: Any, toys: Any, child_module: str):
    def fork(asked: Launch) -> Launched:
        command = [sys.executable, "-m", asked.module, str(asked.spec_file)]
        return Launched(subprocess.run(command, env=asked.environment, check=False).returncode, 12.5)

    def stage(status: int) -> Any:
        def run(ctx: StageContext, config: Any) -> None:
            for unit, _ in ctx.out.pending(["run"]):
                with ctx.out.unit(unit) as out:
                    spec = {"value": 2.5, "file": str(ctx.out.scratch / "written.txt"), "status": status}
                    out.took(ctx.execution.launch(child_module, spec, ctx.out.scratch))
                    out.write("metrics", [Metric("a", "loss", 2.5, 2.5, 2.5, 1)])

        return toys.make_stage(run)

    bench.installation = dataclasses.replace(bench.installation, fork=fork)
    failed = bench.materialize(toys.node(stage=stage(3)))
    assert bench.failures(failed) == {"source": "LaunchError: toy_child ended with exit status 3: its message is above"}
    result = bench.materialize(toys.node(stage=stage(0)))
    assert result.success, bench.failures(result)
    metadata = bench.metadata(result)
    assert (metadata["child/loss"], metadata["child/threads"]) == (2.5, "1")
    assert 12.5 <= bench.store.resolve(toys.address()).manifest.cpu_seconds < 20


def test_the_log_of_a_run_and_the_installation_get_the_progress_of_a_dataset(
    bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    def run(ctx: StageContext, config: Any) -> None:
        for unit, value in ctx.out.pending([1.0, 2.0]):
            with ctx.out.unit(unit) as out:
                out.write("metrics", [Metric("a", f"m{unit}", value, value, value, 1)])

    shown = []
    monkeypatch.setattr(stage_asset, "_LOG_EVERY_S", 0.0)
    monkeypatch.setattr(stage_asset, "_SHOW_EVERY_S", 0.0)
    bench.installation = dataclasses.replace(bench.installation, show=lambda *shown_now: shown.append(shown_now))
    result = bench.materialize(toys.node(stage=toys.make_stage(run)))
    assert result.success, bench.failures(result)
    assert [(asset, partition, standing.text) for asset, partition, standing in shown] == [
        ("source", None, f"{done} of 2 units") for done in (0, 1, 2)
    ]
    logged = [entry.user_message for entry in bench.instance.all_logs(result.run_id)]
    assert any(re.fullmatch(r"1 of 2 units, 50%: .* s passed, about .* s left", line) for line in logged)


def test_a_plain_launch_needs_no_dagster_and_names_what_failed(bench: Any, tmp_path: Path, child_module: str):
    spec = {"value": 1, "file": str(tmp_path / "written.txt")}
    bench.installation.launch(child_module, spec, tmp_path / "scratch")
    assert (tmp_path / "written.txt").read_text() == "1"
    with pytest.raises(LaunchError, match="toy_child ended with exit status 3"):
        bench.installation.launch(child_module, {**spec, "status": 3}, tmp_path / "scratch")


def test_a_configured_accelerate_is_the_launcher(bench: Any, tmp_path: Path):
    from spelangy_assets.orchestration.installation import child_command

    spec = tmp_path / "spec.json"
    assert child_command(bench.settings, "module", spec) == [sys.executable, "-m", "module", str(spec)]
    configured = dataclasses.replace(bench.settings, accelerate_config="fsdp.yaml")
    assert child_command(configured, "module", spec)[1:] == [
        *("-m", "accelerate.commands.launch", "--config_file", "fsdp.yaml", "-m", "module", str(spec))
    ]


def test_a_materialization_has_the_lineage_of_columns(bench: Any, toys: Any):
    def nothing(ctx: Any, config: Any) -> None:
        ctx.log("nothing came in")

    def node(name: str, stage: str, record: type, **more: Any) -> Any:
        made = toys.make_stage(nothing, {"documents": record}, name=stage)
        if stage == "tokenize_text":
            made.KIND = tokenize_text.KIND
        contract = Contract("toy", "SELECT count(*) AS documents FROM documents", (Bound("documents", 0),))
        return toys.node(name, stage=made, config=toys.NoConfig(), contract=contract, **more)

    texts = node("texts", "extract_texts", TextDocument)
    tokens = node("tokens", "tokenize_text", TokenDocument, inputs={"text_documents": "texts"})
    lineage = bench.metadata(bench.materialize(texts, tokens), "tokens")["dagster/column_lineage"]
    assert lineage.deps_by_column["licence"] == [dg.TableColumnDep(asset_key("recipe", "texts"), "licence")]
    assert lineage.deps_by_column["chunks"] == [dg.TableColumnDep(asset_key("recipe", "texts"), "text")]
    (spec,) = bench.assets(texts, tokens)[1].specs
    rows = {record.data["column"]: record.data["from"] for record in spec.metadata["columns_from"].records}
    assert rows["source_url"] == "texts.url"
