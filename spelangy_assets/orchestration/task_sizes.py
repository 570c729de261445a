"""The machine size that a run requests, as run tags that Dagster's ECS run launcher reads; others ignore them.

Put here: the sizes, one a pool. Do not put here: where runs are launched (deploy/aws/dagster.yaml), or anything
that is part of an identity: the size of a machine changes no byte.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass

from spelangy_assets.execution.graph import Node

# The capacity provider of GPU instances: Fargate has none.
GPU_CAPACITY = "spelangy-gpu"


@dataclass(frozen=True, order=True)
class TaskSize:
    """An ECS task's size, of those that Fargate has (developer guide, "Task CPU and memory").

    cpu_units  1,024 are one virtual CPU
    memory_mib
    gpus       above 0 the task runs on the GPU instances
    """

    cpu_units: int
    memory_mib: int
    gpus: int = 0


_TABLES = TaskSize(2048, 16384)  # extraction, ROVER, chunks, mixes, reports
_MODELS = TaskSize(4096, 30720)  # an ASR or TTS model, or training, on CPUs; a step's own peak here is below 6 GB
_GPU = TaskSize(8192, 61440, gpus=1)
_ON_GPU = {"gpu", "asr", "tts"}


def task_size(nodes: Iterable[Node], device: str) -> TaskSize:
    """Return the size of a run of these nodes: the largest of what each needs, since a run is one task.

    `device` is the installation's (cpu or cuda); ValueError when there is no node.
    """
    return max(_size_of(node, device) for node in nodes)


def _size_of(node: Node, device: str) -> TaskSize:
    if node.pool not in _ON_GPU:
        return _TABLES
    return _MODELS if device == "cpu" else _GPU


def size_tags(nodes: Iterable[Node], device: str) -> dict[str, str]:
    """Return the tags of a run of these nodes, by the names that `dagster_aws.ecs.EcsRunLauncher` gives them."""
    size = task_size(nodes, device)
    tags = {"ecs/cpu": str(size.cpu_units), "ecs/memory": str(size.memory_mib)}
    if device == "cpu":
        return tags
    overrides, task = {}, {}
    if size.gpus:
        overrides = {
            "resourceRequirements": [{"type": "GPU", "value": str(size.gpus)}],
            # Only these runs see a GPU; one that a person starts without a size works on the CPU.
            "environment": [{"name": "SPELANGY_DEVICE", "value": device}],
        }
        task = {"capacityProviderStrategy": [{"capacityProvider": GPU_CAPACITY}]}
    # Empty ones too: a run's tags come on top of its job's, which ask for a GPU where any asset of the job needs one.
    return {**tags, "ecs/container_overrides": json.dumps(overrides), "ecs/run_task_kwargs": json.dumps(task)}
