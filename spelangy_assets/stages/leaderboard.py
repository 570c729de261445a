"""leaderboard: all runs side by side, as numbers, as Markdown and as a page.

Put here: gathering the metrics and the facts of the runs. Do not put here: measuring (the stages above do) or layout
(report/leaderboard_page.py).

Inputs: `eval_NAME` and `run_NAME` for each run, `topic_coverage`, `contamination`.
Output: metrics(Metric), all of them in one table; leaderboard.md; leaderboard.html.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.report.leaderboard_page import RunDescription, leaderboard_markdown, leaderboard_page
from spelangy_assets.stages.stage import Execution, StageContext
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.records import Metric

VERSION = "1"
TABLES: dict[str, type] = {"metrics": Metric}
PAGE, MARKDOWN = "leaderboard.html", "leaderboard.md"


@dataclass(frozen=True)
class Config:
    """`chance` is the accuracy of guessing; `title` heads the page."""

    title: str = "SpeLangy leaderboard"
    chance: float = 0.25


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Write the numbers and the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        with ctx.out.unit(unit) as out:
            metrics = [
                metric
                for role, artifact in ctx.inputs.items()
                if not role.startswith("run_")
                for metric in artifact.records("metrics", Metric)
            ]
            runs = [_describe(artifact) for role, artifact in ctx.inputs.items() if role.startswith("run_")]
            out.read(len(metrics))
            out.write("metrics", metrics)
            out.write_file(MARKDOWN, leaderboard_markdown(metrics, runs, chance=config.chance).encode())
            page = leaderboard_page(metrics, runs, chance=config.chance, title=config.title)
            out.write_file(PAGE, page.encode())
            out.add("pages", 1)


def _describe(run: Artifact) -> RunDescription:
    stats = run.manifest.counts.stats
    name = run.manifest.asset
    facts = {
        "steps": f"{stats['steps']:,.0f}",
        "positions seen": f"{stats['positions_seen']:,.0f}",
        "closing loss": f"{stats['closing_loss_nats']:.3f} nats",
        **{stat.removesuffix(".share"): f"{100 * x:.0f}%" for stat, x in stats.items() if stat.endswith(".share")},
    }
    evaluation = name.replace("run_", "eval_", 1)
    return RunDescription(
        name=name,
        description="trained on " + ", ".join(item.asset for item in run.manifest.inputs if item.role == "mix"),
        lineage_command=f"python -m spelangy_assets lineage {evaluation} --recipe {run.manifest.recipe}",
        facts=facts,
    )
