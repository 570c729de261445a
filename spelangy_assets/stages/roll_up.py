"""A corpus: exactly the versions of one dataset over the snapshots that the recipe names.

Put here: only the counting of members. The roll-up holds no data of its own; its manifest's inputs name the children,
and its data version is the digest of theirs. It connects partitioned datasets with datasets that read many partitions,
because Dagster stops tracking input versions at 100 partitions.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract

VERSION = "1"
TABLES: dict[str, type] = {}


@dataclass(frozen=True)
class Config:
    """Empty: the members make the identity of the recipe's corpus."""


CONTRACT = Contract(
    "roll_up",
    "SELECT records_in AS members FROM counts",
    (Bound("members", 1),),
)

KIND = DatasetKind(
    group="corpora",
    description="Exactly the versions of one dataset over the snapshots that the recipe names.",
    contract=CONTRACT,
)


@word
def corpus(one: Dataset) -> Dataset:
    """Return the roll-up of a dataset over the snapshots that its handle names; of one without snapshots, itself."""
    narrowed = "" if one.snapshots == one.home else "_" + "_".join(one.snapshots)
    label = f"{one.label}{narrowed}"
    members = tuple((one, snapshot) for snapshot in one.snapshots or (None,))
    return dataset(__name__, Config(), name=f"{label}_corpus", label=label, members=members)


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    members = [item for item in ctx.out.inputs if item.role == "member"]
    for unit, _ in ctx.out.pending([members]):
        with ctx.out.unit(unit) as out:
            out.read(len(members))
            out.kept(len(members))
