"""The files in deploy/ are read by the tools that they are for."""

from pathlib import Path

import pytest

from spelangy_assets.recipes.paper import BATCH_ROWS

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize(
    ("name", "processes", "sharded"),
    [("one_gpu", 1, False), ("eight_gpus", 8, True), ("eight_gpu_nodes", 64, True)],
)
def test_accelerate_reads_its_configurations(name: str, processes: int, sharded: bool) -> None:
    from accelerate.commands.config.config_args import load_config_from_file
    from accelerate.utils import DistributedType

    config = load_config_from_file(str(DEPLOY / "accelerate" / f"{name}.yaml"))
    assert config.num_processes == processes
    assert BATCH_ROWS % processes == 0
    assert config.distributed_type == (DistributedType.FSDP if sharded else DistributedType.NO)
    assert not config.mixed_precision  # a literal of the recipe
    if sharded:
        assert config.fsdp_config["fsdp_version"] == 2


def test_the_sharded_layer_is_the_one_of_the_presets() -> None:
    import yaml
    from transformers.models.llama import modeling_llama

    for name in ("eight_gpus", "eight_gpu_nodes"):
        config = yaml.safe_load((DEPLOY / "accelerate" / f"{name}.yaml").read_text())
        assert hasattr(modeling_llama, config["fsdp_config"]["fsdp_transformer_layer_cls_to_wrap"])
