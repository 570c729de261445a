"""What the recipes that run on any processor have in common."""

import pytest

from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.stages import train_lm


@pytest.mark.parametrize("name", ["sample", "tiny", "miniature", "miniature_low"])
def test_training_asks_for_no_unit_that_a_processor_may_lack(name: str) -> None:
    configs = [node.config for node in recipe_named(name).graph]
    precisions = {config.precision for config in configs if isinstance(config, train_lm.Config)}
    assert precisions == {"float32"}
