"""The output of `plan`, and the comparison with the plan that `run` prints at its end.

Put here: reading store and reports for a price, and printing it. Do not put here: the estimate
(execution/price.py).
"""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from spelangy_assets.execution.plan import Plan
    from spelangy_assets.execution.price import Price
    from spelangy_assets.execution.recipe import Recipe
    from spelangy_assets.execution.targets import Target
    from spelangy_assets.settings import Settings


def plan_and_price(
    recipe: Recipe, settings: Settings, roots: list[Target] | None = None, workers: int = 2
) -> tuple[Plan, Price]:
    """Return what a run would make and what that would cost, by the store's versions and the reports of runs."""
    from spelangy_assets.execution.plan import make_plan
    from spelangy_assets.execution.price import price_of, run_reports
    from spelangy_assets.orchestration.installation import Installation
    from spelangy_assets.orchestration.partitions import statuses_of

    installation = Installation(settings)
    store, graph = installation.store, recipe.graph
    statuses = statuses_of(recipe, installation)
    plan = make_plan(graph, statuses, roots)
    return plan, price_of(plan, graph, statuses, store.versions(), run_reports(settings.home), workers)


def unreadable(plan: Plan, recipe: Recipe, settings: Settings) -> list[str]:
    """Return why snapshots cannot be read, where they cannot. Those that a run fetches first are left out."""
    from spelangy_assets.execution.stage import RemoteSource
    from spelangy_assets.orchestration.installation import Installation

    source, graph = Installation(settings).source, recipe.graph
    waiting = [one for one in plan.datasets if one.state == "waiting" and graph[one.target[0]].has_source]
    return [one.why for one in waiting if not isinstance(source(graph[one.target[0]], one.target[1]), RemoteSource)]


def show_plan(recipe: Recipe, settings: Settings, roots: list[Target] | None, workers: int, as_json: bool) -> int:
    """Print what a run would make, and its price; return the exit status: 2 where a snapshot cannot be read.

    A recipe of full size is planned before its data are there.
    """
    from spelangy_assets.execution.price import projected

    plan, price = plan_and_price(recipe, settings, roots, workers)
    if as_json:
        print(json.dumps({**plan.as_json(), "price": price.as_json()}, indent=1))
    else:
        # A recipe of full size is priced by its projection, not by what a sample's versions took.
        projection = projected(recipe.name)
        costs = {} if projection else {target: cost.cpu_s for target, cost in price.costs.items()}
        print("\n".join([*plan.lines(costs), "", *(projection or price.lines())]))
    missing = [] if projected(recipe.name) else unreadable(plan, recipe, settings)
    for why in missing:
        print(f"spelangy: {why}", file=sys.stderr)
    return 2 if missing else 0


def show_spent(price: Price, settings: Settings) -> None:
    """Print what was planned beside what the run took, as its report states it, and keep both in the report."""
    from spelangy_assets.execution.price import compared

    path = settings.home / f"demo-{price.recipe}.json"
    report = json.loads(path.read_text())
    print("\n".join(["", *compared(price, report)]))
    path.write_text(json.dumps({**report, "planned": price.as_json()}, indent=1, sort_keys=True))
