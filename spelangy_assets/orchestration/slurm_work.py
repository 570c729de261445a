"""The work that SLURM does: the units of a stage as a job array, a training as one job over several nodes.

Put here: what the jobs run. Do not put here: how a job is submitted and watched (slurm_jobs.py). The store, the folder
SPELANGY_HOME, the installation and the working directory are on a file system that every node sees.

`python -m spelangy_assets.orchestration.slurm_work FOLDER TASK` is one task of an array.
"""

import json
import shlex
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import dagster as dg

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.stage import Distribute, stage_name
from spelangy_assets.orchestration.installation import Installation, child_command, write_spec
from spelangy_assets.orchestration.policies import is_transient
from spelangy_assets.orchestration.shares import MODEL_POOLS, can_be_shared, do_share, works_on_gpu
from spelangy_assets.orchestration.slurm_cluster import Cluster, Resources
from spelangy_assets.orchestration.slurm_jobs import TEMPORARY, new_job, run_job
from spelangy_assets.recipes.registry import text_of
from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import Address, Share

_SHARE, _RECIPE = "share.json", "recipe.py"


@dataclass(frozen=True)
class SlurmWork:
    """What the cluster does of one dataset; `log` is given what its jobs do."""

    cluster: Cluster
    installation: Installation
    recipe: Recipe
    node: Node
    log: Callable[[str], None]

    @property
    def distribute(self) -> Distribute | None:
        """The `distribute` of an Execution: a job array whose task `i` of `n` does every n-th unit from `i` on.

        There are no more tasks than units. A heavy stage whose units need each other is one task. None for a light
        one, which runs where the run is, and for one that launches a process. A task that was killed is submitted
        again and continues at the first missing unit of its share. SlurmError carries the error of a task that failed
        by itself.
        """
        if getattr(self.node.stage, "LAUNCHES", False):
            return None
        if can_be_shared(self.node):
            return partial(self._share, self._resources.array_tasks)
        return partial(self._share, 1) if self.node.pool in MODEL_POOLS else None

    @property
    def _resources(self) -> Resources:
        on_gpu = works_on_gpu(self.node, self.installation.settings)
        return self.cluster.gpu if on_gpu else self.cluster.cpu

    def _share(
        self, most: int, asset: str, partition: str | None, build_key: str, count_units: Callable[[], int]
    ) -> None:
        count = 1 if most == 1 else max(1, min(most, count_units()))
        version = f"{Address(stage_name(self.node.stage), partition).path}/{build_key}"
        files = self.installation.store.files
        job = new_job(
            self.cluster,
            f"{asset}@{partition}" if partition else asset,
            resources=self._resources,
            command=f'{_python("spelangy_assets.orchestration.slurm_work")} "$folder" $task',
            tasks=count,
            environment=_environment(self.installation),
            progress=lambda: sorted(name for name, _ in files.names(version) if name.startswith("unit-")),
        )
        reference = self.recipe.reference
        if (text := text_of(reference)) is not None:
            (job.folder / _RECIPE).write_bytes(text)
        share = {"reference": reference, "asset": asset, "partition": partition, "build_key": build_key, "count": count}
        (job.folder / _SHARE).write_text(json.dumps(share, indent=1))
        run_job(self.cluster, job, self.log)

    def launch(
        self, context: dg.AssetExecutionContext, module: str, spec: Mapping[str, Any], folder: Path
    ) -> Sequence[Any]:
        """Run a module of the project as one job over `train.nodes` machines; return what it reports through Pipes.

        A job that was killed is submitted again; the module continues at its newest checkpoint.
        """
        resources = self.cluster.train
        job = new_job(
            self.cluster,
            self.node.name,
            resources=resources,
            command=launch_command(self.installation.settings, resources, module, write_spec(spec, folder)),
            nodes=resources.nodes,
            progress=lambda: sorted(path.name for path in Path(spec["work"]).glob("checkpoint-*")),
        )
        with dg.open_pipes_session(
            context=context,
            context_injector=dg.PipesFileContextInjector(str(job.folder / "context.json")),
            message_reader=dg.PipesFileMessageReader(str(job.folder / "messages.jsonl")),
        ) as pipes:
            environment = {**_environment(self.installation), **pipes.get_bootstrap_env_vars()}
            run_job(self.cluster, replace(job, environment=environment), self.log)
        return pipes.get_custom_messages()


def launch_command(settings: Settings, resources: Resources, module: str, spec_file: Path) -> str:
    """Return the shell command that runs a module: by itself, or by `accelerate launch` once on each node.

    All its processes are one group; the first node of the job is where they meet.
    """
    total = resources.nodes * resources.processes
    if total == 1:
        return shlex.join(child_command(settings, module, spec_file))
    how = f"--config_file {shlex.quote(settings.accelerate_config)}" if settings.accelerate_config else "--multi_gpu"
    launcher = [
        f"exec {_python('accelerate.commands.launch')} {how}",
        f"--num_machines {resources.nodes} --num_processes {total}",
        '--machine_rank "$SLURM_NODEID" --main_process_ip "$first_node" --main_process_port "$port"',
        f"-m {module} {shlex.quote(str(spec_file))}",
    ]
    return "\n".join(
        [
            'export first_node=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
            "export port=$((20000 + SLURM_JOB_ID % 20000))",
            *([f"export SRUN_CPUS_PER_TASK={resources.cpus}"] if resources.cpus else []),  # srun inherits no other
            f"srun --nodes={resources.nodes} --ntasks={resources.nodes} --ntasks-per-node=1 --kill-on-bad-exit=1 "
            f"bash -c {shlex.quote(' '.join(launcher))}",
        ]
    )


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
