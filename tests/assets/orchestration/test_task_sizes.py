"""The sizes of runs, and that ECS would take the tags that bear them."""

import json

import boto3
import pytest
from botocore.validate import ParamValidator

from spelangy_assets.orchestration.task_sizes import size_tags, task_size
from spelangy_assets.recipes.sample import SAMPLE

GRAPH = SAMPLE.graph


def test_a_run_is_as_large_as_the_largest_of_its_nodes() -> None:
    chunks, speech = GRAPH["web_fine"], GRAPH["transcript_hypotheses"]
    assert task_size([chunks], "cuda").gpus == 0
    assert task_size([chunks, speech], "cuda") == task_size([speech], "cuda")
    assert task_size([speech], "cuda").gpus == 1
    assert task_size([speech], "cpu").gpus == 0
    assert task_size([speech], "cpu").memory_mib > task_size([chunks], "cpu").memory_mib


def test_a_run_without_need_of_a_gpu_has_none_though_its_job_has() -> None:
    job, run = (size_tags([GRAPH[name]], "cuda") for name in ("transcript_hypotheses", "web_fine"))
    assert "GPU" in job["ecs/container_overrides"]
    assert "spelangy-gpu" in job["ecs/run_task_kwargs"]
    together = {**job, **run}
    assert (together["ecs/container_overrides"], together["ecs/run_task_kwargs"]) == ("{}", "{}")


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_the_tags_are_what_ecs_takes(device: str) -> None:
    tags = size_tags([GRAPH["transcript_hypotheses"]], device)
    container = {"name": "run", "cpu": int(tags["ecs/cpu"]), "memory": int(tags["ecs/memory"])}
    request = {
        "taskDefinition": "spelangy",
        "overrides": {"containerOverrides": [container | json.loads(tags.get("ecs/container_overrides", "{}"))]},
        **json.loads(tags.get("ecs/run_task_kwargs", "{}")),
    }
    client = boto3.client("ecs", region_name="eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    shape = client.meta.service_model.operation_model("RunTask").input_shape
    assert not ParamValidator().validate(request, shape).has_errors()
