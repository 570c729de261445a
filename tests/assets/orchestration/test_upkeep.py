"""The assets about the pipeline itself: what is out of date and why, and what it makes of its time."""

import datetime
from typing import Any

import dagster as dg
import pytest

from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.upkeep import VERIFIED_KEY, upkeep_assets, verified_asset
from spelangy_assets.store.verify import part_of_day


def looked_at(bench: Any, name: str, *nodes: Any) -> tuple[dict[str, Any], dg.AssetCheckEvaluation]:
    """Materialize one of the two; return its metadata and its check."""
    result = dg.materialize(
        upkeep_assets(bench.recipe, bench.graph(*nodes)),
        selection=[asset_key("recipe", name)],
        instance=bench.instance,
        resources={"installation": bench.installation},
    )
    (check,) = result.get_asset_check_evaluations()
    metadata = bench.materialization(result, name).metadata
    return {key: getattr(value, "records", value.value) for key, value in metadata.items()}, check


def test_what_is_out_of_date_is_a_table_of_places_states_causes_and_reasons(bench: Any, toys: Any):
    source, reader = toys.node(), toys.reader("reader", "source")
    day = toys.node("day", partition="audio_snapshot")
    bench.instance.add_dynamic_partitions("recipe_audio_snapshot", ["mon"])
    assert bench.materialize(source, reader).success
    changed = toys.node(stage=toys.make_stage(toys.write_toy, toys.tables, "2", config=toys.Config))
    metadata, check = looked_at(bench, "freshness", changed, reader, day)
    assert [record.data for record in metadata["out_of_date"]] == [
        {
            "dataset": "source",
            "state": "stale",
            "causes": "code",
            "why": "code toy_stage v1 -> toy_stage v2",
        },
        {
            "dataset": "reader",
            "state": "waiting",
            "causes": "code",
            "why": "waits for source",
        },
        {"dataset": "day[mon]", "state": "missing", "causes": "missing", "why": "never built"},
    ]
    assert (metadata["stale by code"], metadata["waiting by code"], metadata["missing"]) == (1, 1, 1)
    assert not check.passed and check.severity == dg.AssetCheckSeverity.WARN
    assert (check.description or "").startswith("`3 out of date; first source: code")

    metadata, check = looked_at(bench, "freshness", source, reader)
    assert metadata["out_of_date"] == [] and metadata["fresh"] == 2 and check.passed


@pytest.mark.parametrize(("budget", "within"), [("", True), ("1", True), ("0.0000001", False)])
def test_the_pipeline_reports_its_work_its_drops_and_its_size(bench: Any, toys: Any, budget: str, within: bool):
    assert bench.materialize(toys.node(), toys.reader("reader", "source")).success
    bench.installation = Installation(bench.settings.at(bench.settings.home, SPELANGY_STORE_BUDGET_GB=budget))
    metadata, check = looked_at(bench, "pipeline_metrics", toys.node())
    rows = {record.data["stage"]: record.data for record in metadata["stages"]}
    assert rows["toy_stage"]["records_dropped"] == 2 and rows["toy_stage"]["records_kept"] == 3
    assert rows["toy_reader"]["versions"] == 1
    assert metadata["bytes_stored"] == metadata["bytes_published"] > 0
    assert check.passed == within


def test_a_month_of_nights_reads_every_version_once_and_sets_the_damaged_one_aside(
    bench: Any, toys: Any, monkeypatch: pytest.MonkeyPatch
):
    nodes = [toys.node(), *(toys.reader(f"reader{number}", "source") for number in range(3))]
    assert bench.materialize(*nodes).success
    (damaged,) = [one for one in bench.store.versions() if one.manifest.stage == "toy_stage"]
    shard = bench.store.files.local(f"{damaged.path}/{damaged.manifest.shards[0].path}")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(bytes(data))

    def night(day: datetime.date) -> tuple[int, list[dict[str, str]], bool]:
        class Then(datetime.datetime):
            @classmethod
            def now(cls, tz: Any = None) -> datetime.datetime:
                return datetime.datetime.combine(day, datetime.time(1), tz)

        monkeypatch.setattr("spelangy_assets.orchestration.upkeep.datetime.datetime", Then)
        result = dg.materialize(
            [verified_asset()], instance=bench.instance, resources={"installation": bench.installation}
        )
        (check,) = result.get_asset_check_evaluations()
        (event,) = result.get_asset_materialization_events()
        metadata: dict[str, Any] = dict(event.materialization.metadata)
        return metadata["versions"].value, [row.data for row in metadata["damaged"].records], check.passed

    versions = len(list(bench.store.versions()))
    days = [datetime.date(2026, 11, 1) + datetime.timedelta(days=number) for number in range(30)]
    held = [day for day in days if part_of_day(bench.store, day)]
    month = [night(day) for day in (*held, next(day for day in days if day not in held))]
    monkeypatch.undo()
    assert sum(count for count, _, _ in month) == versions
    assert [row["version"] for _, rows, _ in month for row in rows] == [damaged.path]
    assert [passed for _, rows, passed in month if rows] == [False]
    assert all(passed for _, rows, passed in month if not rows)
    assert damaged.path not in {one.path for one in bench.store.versions()}, "it is set aside"
    assert bench.materialize(*nodes).success
    assert damaged.path in {one.path for one in bench.store.versions()}, "and made again"


def test_the_store_is_verified_each_night_before_the_repair():
    condition = verified_asset().automation_conditions_by_key[VERIFIED_KEY]
    assert "0 1 * * *" in str(condition.get_label() or condition)
