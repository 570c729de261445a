"""The one place where the program itself makes a backfill. Dagster 1.13 has no public call for that.

The backfill is a job's, as the page of a job and `dagster job backfill` make it: one run a partition, in the order
given, with the job's executor and tags. Those of assets, which automation sensors emit, are without order or tags for
the sizes of machines, and where partitions lack different assets, one partition's work falls apart into several runs.

Put here: calls of Dagster's internals. The tests run Dagster's own daemons on them, so that a release that changes the
internals fails a test. Do not put here: the choice of what to run (repair.py).
"""

import time
from collections.abc import Iterable, Mapping

import dagster as dg
from dagster._core.execution.backfill import BulkActionsFilter, BulkActionStatus, PartitionBackfill
from dagster._core.remote_representation.external_data import partition_set_snap_name_for_job_name
from dagster._core.storage.tags import (
    BACKFILL_ID_TAG,
    PARTITION_NAME_TAG,
    SCHEDULE_NAME_TAG,
    SCHEDULED_EXECUTION_TIME_TAG,
)
from dagster._core.utils import make_new_backfill_id

TICK_TAG = "spelangy/tick"  # the time of the schedule's tick
# What a backfill takes over from the run that asks; by the schedule's name the UI shows who launched it.
_OF_THE_TICK = {SCHEDULE_NAME_TAG: SCHEDULE_NAME_TAG, SCHEDULED_EXECUTION_TIME_TAG: TICK_TAG}
_UNDERWAY = [BulkActionStatus.REQUESTED, BulkActionStatus.CANCELING, BulkActionStatus.FAILING]
_ENDED = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED]


def add_backfill(
    instance: dg.DagsterInstance,
    run: dg.DagsterRun,
    job: str,
    assets: Iterable[dg.AssetKey],
    partitions: Iterable[str],
    title: str,
    tags: Mapping[str, str],
) -> str:
    """Ask the daemon for a backfill of a job, narrowed to some of its assets; return the backfill's id.

    `run` is the run that asks: the job is looked for in its code location. `partitions` are run in their order. Raises
    ValueError for a run that Dagster's daemon or UI did not launch, which has no code location.
    """
    if run.remote_job_origin is None:
        raise ValueError(
            f"{run.job_name} asks Dagster's daemon for backfills, which looks for {job} where this run came from, and"
            " this run came from a process of its own; launch it from the UI or turn its schedule on"
        )
    name = partition_set_snap_name_for_job_name(job)
    backfill = PartitionBackfill(
        backfill_id=make_new_backfill_id(),
        status=BulkActionStatus.REQUESTED,
        from_failure=False,
        tags=dict(tags),
        backfill_timestamp=time.time(),
        title=title,
        asset_selection=list(assets),
        partition_set_origin=run.remote_job_origin.repository_origin.get_partition_set_origin(name),
        partition_names=list(partitions),
    )
    instance.add_backfill(backfill)
    return backfill.backfill_id


def tick_tags(run: dg.DagsterRun) -> dict[str, str]:
    """Return the tags that name the tick which launched a run; none where a person did."""
    return {tag: run.tags[name] for name, tag in _OF_THE_TICK.items() if name in run.tags}


def partitions_underway(instance: dg.DagsterInstance, job: str) -> set[str]:
    """Return the partitions of a job that its unfinished backfills, started by any requester, have still to finish."""
    found: set[str] = set()
    for backfill in instance.get_backfills(filters=BulkActionsFilter(statuses=_UNDERWAY)):
        if backfill.job_name == job:
            tags = {BACKFILL_ID_TAG: backfill.backfill_id}
            ended = instance.get_runs(dg.RunsFilter(tags=tags, statuses=_ENDED))
            found |= set(backfill.partition_names or ()) - {run.tags.get(PARTITION_NAME_TAG) for run in ended}
    return found
