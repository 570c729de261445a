"""Assets about the pipeline itself: what is out of date and why, its output per processor hour, and whether the store
still holds what was written.

Put here: assets that report on a recipe's store and runs. Do not put here: data, or the questions (execution/status.py,
store/lineage_queries.py). They have no stored version: every run computes them again. They depend on no asset, so that
the lineage page shows only how data flows.
"""

import datetime
from collections.abc import Callable
from typing import Any

import dagster as dg

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.status import Status, count_states
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.jobs import job_name
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.repair import recipe_statuses
from spelangy_assets.orchestration.tables import table
from spelangy_assets.report.markdown import markdown_text
from spelangy_assets.store.fingerprint import digest_of
from spelangy_assets.store.lineage import connect, query
from spelangy_assets.store.lineage_queries import THROUGHPUT_SQL
from spelangy_assets.store.verify import Verified, part_of_day, verify

_HOURLY = "15 * * * *"
_NIGHTLY = "0 1 * * *"  # before the repair, which makes again what is set aside here
VERIFIED_KEY = dg.AssetKey(["store", "verified"])  # recipes share a store: it is read once, not by each of them
_STAGE_COLUMNS = {
    "stage": "string",
    **dict.fromkeys(("versions", "records_kept", "records_dropped", "bytes"), "int"),
    **dict.fromkeys(("cpu_seconds", "audio_hours", "audio_hours_per_cpu_hour"), "float"),
}
_OPEN = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.FAILURE]


def upkeep_assets(recipe: Recipe, graph: Graph) -> list[dg.AssetsDefinition]:
    """Return `freshness` and `pipeline_metrics` of a recipe, hourly where the automation sensor is on."""
    return [_freshness(recipe, graph), _pipeline_metrics(recipe, graph)]


def _freshness(recipe: Recipe, graph: Graph) -> dg.AssetsDefinition:
    key = asset_key(recipe.name, "freshness")

    @_upkeep_asset(
        key,
        "What is out of date across the whole graph, and why: code, config, input, contract or quality.",
        dg.AssetCheckSpec("up_to_date", asset=key, description="Nothing is missing, stale or failed"),
    )
    def freshness(
        context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
    ) -> dg.MaterializeResult:
        statuses = recipe_statuses(context.instance, recipe, graph, installation)
        behind = [status for status in statuses if status.state != "fresh"]
        return dg.MaterializeResult(
            asset_key=key,
            data_version=dg.DataVersion(digest_of([[one.target, one.state, one.why] for one in behind])[:24]),
            metadata={
                **count_states(statuses),
                "out_of_date": table(
                    [
                        {"dataset": one.target, "state": one.state, "causes": ", ".join(one.causes), "why": one.why}
                        for one in behind
                    ],
                    dict.fromkeys(("dataset", "state", "causes", "why"), "string"),
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="up_to_date",
                    asset_key=key,
                    passed=not behind,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=markdown_text(first) if (first := _first(behind)) else None,
                )
            ],
        )

    return freshness


def _first(behind: list[Status]) -> str | None:
    roots = [one for one in behind if one.state != "waiting"] or behind
    return f"{len(behind)} out of date; first {roots[0].target}: {roots[0].why}" if roots else None


def _pipeline_metrics(recipe: Recipe, graph: Graph) -> dg.AssetsDefinition:
    key = asset_key(recipe.name, "pipeline_metrics")

    @_upkeep_asset(
        key,
        "Audio hours per processor hour, records kept and dropped, bytes and waiting runs, stage by stage.",
        dg.AssetCheckSpec("disk_budget", asset=key, description="The store is within SPELANGY_STORE_BUDGET_GB"),
        pool="duckdb",
    )
    def pipeline_metrics(
        context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
    ) -> dg.MaterializeResult:
        with connect(installation.store, recipe.name) as connection:
            stages = query(connection, THROUGHPUT_SQL)
            (stored,) = query(connection, "SELECT coalesce(sum(bytes), 0)::BIGINT AS bytes FROM artifacts")
        kinds = {node.partition for node in graph}
        jobs = [job_name(recipe.name, kind) for kind in kinds]
        runs = {
            status.value.lower(): sum(
                context.instance.get_runs_count(dg.RunsFilter(job_name=job, statuses=[status])) for job in jobs
            )
            for status in _OPEN
        }
        published, budget = sum(row["bytes"] for row in stages), installation.settings.store_budget_gb
        gigabytes = stored["bytes"] / 1e9
        return dg.MaterializeResult(
            asset_key=key,
            metadata={
                "audio_hours": sum(row["audio_hours"] or 0.0 for row in stages if row["stage"] == "ingest_audio"),
                "cpu_seconds": sum(row["cpu_seconds"] for row in stages),
                "records_dropped": int(sum(row["records_dropped"] for row in stages)),
                "bytes_published": int(published),
                "bytes_stored": stored["bytes"],
                **{f"runs/{status}": count for status, count in runs.items()},
                "stages": table(
                    [{name: _plain(value) for name, value in row.items()} for row in stages],
                    _STAGE_COLUMNS,
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="disk_budget",
                    asset_key=key,
                    passed=gigabytes <= budget,
                    severity=dg.AssetCheckSeverity.WARN,
                    description=f"{gigabytes:.2f} GB of {budget:g}; `spelangy gc` lists what can be deleted",
                )
            ],
        )

    return pipeline_metrics


def verified_asset() -> dg.AssetsDefinition:
    """Return `store/verified`: each night a thirtieth of the store is read and compared with its manifests.

    So every byte is read once a month. A damaged version is set aside with the reason, and the next run makes it again.
    """

    @_upkeep_asset(
        VERIFIED_KEY,
        "Whether the store still holds what was written: a thirtieth of it each night, byte by byte.",
        dg.AssetCheckSpec("undamaged", asset=VERIFIED_KEY, description="Every file has the bytes of its manifest"),
        cron=_NIGHTLY,
    )
    def verified(
        context: dg.AssetExecutionContext, installation: dg.ResourceParam[Installation]
    ) -> dg.MaterializeResult:
        store, day = installation.store, datetime.datetime.now(datetime.UTC).date()
        found = verify(store, part_of_day(store, day), deep=True, repair=True)
        for damage in found.damages:
            context.log.error(f"{damage.artifact.path}: {damage.reason}; set aside: {damage.aside}")
        return dg.MaterializeResult(
            asset_key=VERIFIED_KEY,
            metadata={
                "versions": found.versions,
                "bytes": found.bytes,
                "damaged": table(
                    [
                        {"dataset": str(one.artifact.name), "version": one.artifact.path, "why": one.reason}
                        for one in found.damages
                    ],
                    dict.fromkeys(("dataset", "version", "why"), "string"),
                ),
            },
            check_results=[
                dg.AssetCheckResult(
                    check_name="undamaged",
                    asset_key=VERIFIED_KEY,
                    passed=not found.damages,
                    description=_damaged(found),
                )
            ],
        )

    return verified


def _damaged(found: Verified) -> str:
    damaged = f"{len(found.damages)} of {found.versions} versions damaged"
    return f"{damaged} and set aside: the next run makes them again" if found.damages else damaged


def _upkeep_asset(
    key: dg.AssetKey, description: str, check: dg.AssetCheckSpec, pool: str | None = None, cron: str = _HOURLY
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Return the decorator of an asset about a recipe's own state, or about the store."""
    return dg.asset(
        key=key,
        description=description,
        check_specs=[check],
        pool=pool,
        group_name=f"{key.path[0]}_upkeep",
        owners=["team:data"],
        kinds={"table"},
        tags={"recipe": key.path[0], "cost": "cheap"},
        code_version="1",
        automation_condition=dg.AutomationCondition.on_cron(cron),
    )


def _plain(value: object) -> str | float | int | None:
    if value is None or isinstance(value, str):
        return value
    number = float(value)  # type: ignore[arg-type]  # DuckDB's sums of integers are Decimals
    return int(number) if number.is_integer() else round(number, 4)
