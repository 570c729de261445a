"""When Dagster acts by itself: retries and automation, by the cost of a node.

Put here: policies applied to every node alike. Do not put here: exceptions for one asset.
"""

import dagster as dg

from spelangy_assets.recipes.graph import Node


def retry_policy(node: Node) -> dg.RetryPolicy:
    """One more try after a delay; failures that another try cannot mend are raised with allow_retries=False."""
    return dg.RetryPolicy(max_retries=1, delay=1.0, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)


def automation_of(node: Node) -> dg.AutomationCondition | None:
    """Cheap nodes follow their parents, once every blocking check above passed; heavy ones are never automatic."""
    if node.cost != "cheap" or not node.parents:
        return None
    return dg.AutomationCondition.eager() & dg.AutomationCondition.all_deps_blocking_checks_passed()
