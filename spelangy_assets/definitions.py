"""What `dagster dev` loads: the definitions of the recipes that the settings name."""

import dagster as dg

from spelangy_assets.orchestration.definitions import build_definitions


@dg.definitions
def defs() -> dg.Definitions:
    """Return the definitions of this installation."""
    return build_definitions()
