"""The work that goes to SLURM: the units of a stage as a job array, a training as one job over several nodes.

Put here: what the jobs run. Do not put here: how a job is submitted and watched (slurm_jobs.py). The store, the folder
SPELANGY_HOME, the installation and the working directory are on a file system that every node sees.

`python -m spelangy_assets.orchestration.slurm_work FOLDER TASK` is one task of an array.
"""

from __future__ import annotations

import json
import shlex
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.stage import Distribute, stage_name
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.policies import is_transient
from spelangy_assets.orchestration.shares import do_share, works_on_gpu
from spelangy_assets.orchestration.slurm_cluster import Cluster
from spelangy_assets.orchestration.slurm_jobs import TEMPORARY, new_job, run_job
from spelangy_assets.recipes.registry import text_of
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Address, Share

_SHARE, _RECIPE = "share.json", "recipe.py"


def slurm_distribute(
    cluster: Cluster, installation: Installation, recipe: Recipe, node: Node, log: Callable[[str], None]
) -> Distribute:
    """Return the `distribute` of an Execution: a job array whose task `i` of `n` does every n-th unit from `i` on.

    A task that was killed is submitted again and continues at the first missing unit of its share. SlurmError carries
    the error of a task that failed by itself.
    """
    settings = installation.settings
    resources = cluster.gpu if works_on_gpu(node, settings) else cluster.cpu

    def distribute(asset: str, partition: str | None, build_key: str) -> None:
        version = f"{Address(stage_name(node.stage), partition).path}/{build_key}"
        job = new_job(
            cluster,
            f"{asset}@{partition}" if partition else asset,
            resources=resources,
            command=f'{_python(__name__)} "$folder" $task',
            tasks=resources.array_tasks,
            environment=_environment(installation),
            progress=lambda: sorted(name for name, _ in installation.store.files.names(version) if _is_receipt(name)),
        )
        if (text := text_of(recipe.reference)) is not None:
            (job.folder / _RECIPE).write_bytes(text)
        share = {
            "reference": recipe.reference,
            "asset": asset,
            "partition": partition,
            "build_key": build_key,
            "count": job.tasks,
        }
        (job.folder / _SHARE).write_text(json.dumps(share, indent=1))
        run_job(cluster, job, log)

    return distribute


def _is_receipt(name: str) -> bool:
    return name.startswith("unit-") and name.endswith(".json")


def _python(module: str) -> str:
    return f"{shlex.quote(sys.executable)} -m {module}"


def _environment(installation: Installation) -> dict[str, str]:
    """Return the environment of a job: that of this process, with the settings that it works with."""
    settings = installation.settings
    return {**installation.child_environment(), **settings.environment, "SPELANGY_HOME": str(settings.home)}


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """Do the share of one task of an array; the exit status TEMPORARY says that another try may help."""
    folder, index = Path(arguments[0]), int(arguments[1])
    share = json.loads((folder / _SHARE).read_text())
    text = (folder / _RECIPE).read_bytes() if (folder / _RECIPE).exists() else None
    version = (share["asset"], share["partition"], share["build_key"])
    try:
        do_share(Settings.from_environment(), share["reference"], text, *version, Share(index, share["count"]), _say)
    except Exception as error:
        if is_transient(error):
            traceback.print_exc()
            raise SystemExit(TEMPORARY) from error
        raise


if __name__ == "__main__":
    main(sys.argv[1:])
