"""page_index: near-duplicate pages of the corpus, within a snapshot and across snapshots.

Put here: comparing pages. Do not put here: which page is kept (duplicates.py), signatures
(spelangy_model/text/minhash.py, computed once by raw_pages), or leaving pages out (mix.py).

A page is a near duplicate when its text shares most word n-grams with that of an earlier page: a print view, a mirror
with another frame, last month's capture with another date. Earlier means: in a snapshot that the corpus names first,
or captured earlier in the same one, then by address; so the order does not depend on the shards. Pages with few words
are never near duplicates, nor are rendered pages, whose addresses show that they differ.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.stage_parts import contracts, duplicates
from spelangy_assets.stage_parts.duplicates import Known
from spelangy_model.records import Duplicate, Page, SuppliedText

if TYPE_CHECKING:
    import duckdb

VERSION = "1"
TABLES: dict[str, type] = {"duplicates": Duplicate}


@dataclass(frozen=True)
class Config:
    """When a page counts as read before.

    `min_similarity`: the Jaccard index of word n-grams, as the signatures estimate it. Only pages that have one of
    `bands` parts of their signatures in common are compared: with 16 parts of 8 numbers that finds 95% of the pairs
    with an index of 0.8 and all but one of 10,000 with 0.9. Of pages with one part in common each is compared with the
    first `max_pages_per_band` of them, which keeps the work linear.
    """

    min_similarity: float = 0.8
    bands: ClassVar[int] = 16
    max_pages_per_band: ClassVar[int] = 64


KIND = DatasetKind(
    group="crawl",
    description="Pages or texts that nearly repeat an earlier one, in any snapshot; mixes leave them out.",
    contract=contracts.DUPLICATES,
    takes={"pages": (Page, SuppliedText)},
)


@word
def repeated_pages(pages: Dataset, **options: Any) -> Dataset:
    """Return the index of repeated pages of a roll-up; `options` are fields of Config."""
    return dataset(__name__, config_of(Config, options), name=f"{pages.label}_duplicates", inputs={"pages": pages})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the literals do not fit."""
    if not 0 < config.min_similarity <= 1 or config.bands < 1 or config.max_pages_per_band < 1:
        raise PreflightError(f"{config}: a similarity is above 0 and at most 1; bands and pages are at least 1")


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit: the whole corpus is compared at once, by DuckDB, which spills to disk where memory ends."""
    import duckdb

    for unit, members in ctx.out.pending([ctx.members["pages"]]):
        with ctx.out.unit(unit) as out, duckdb.connect() as connection:
            connection.execute(f"SET temp_directory = '{ctx.out.scratch}'")
            connection.execute(
                "CREATE TABLE read (snapshot INTEGER, page_id VARCHAR, captured_at VARCHAR, url VARCHAR, "
                "minima UINTEGER[])"
            )
            for place, member in enumerate(members):
                for shard in member.shards("signatures"):
                    connection.register("shard", shard.table())
                    connection.execute(
                        "INSERT INTO read SELECT ?, page_id, captured_at, url, minima FROM shard", [place]
                    )
                    connection.unregister("shard")
            connection.execute(
                "CREATE TABLE pages AS SELECT row_number() OVER (ORDER BY snapshot, captured_at, url, page_id) - 1 AS "
                "number, snapshot, page_id, minima FROM read"
            )
            snapshots = [member.address.partition or "" for member in members]
            rows = connection.execute("SELECT page_id, snapshot FROM pages ORDER BY number").fetchall()
            known = [Known(page_id, snapshots[place]) for page_id, place in rows]
            most_alike = functools.partial(_most_alike, _candidates(connection, config))
            duplicates.write(out, known, list(duplicates.find(known, most_alike, config.min_similarity)))
    ctx.log("compared the pages of the corpus")


def _candidates(connection: duckdb.DuckDBPyConnection, config: Config) -> dict[int, list[tuple[int, float]]]:
    """Return for each page the earlier ones that are alike enough, with how alike they are, in order."""
    rows = connection.execute(
        """
        WITH parts AS (
            SELECT number, part,
                   hash(minima[part * len(minima) // $bands + 1 : (part + 1) * len(minima) // $bands]) AS h
            FROM pages, range($bands) AS parts(part) WHERE len(minima) > 0
        ), firsts AS (
            SELECT * FROM parts QUALIFY row_number() OVER (PARTITION BY part, h ORDER BY number) <= $most
        ), pairs AS (
            SELECT DISTINCT later.number AS later, earlier.number AS earlier
            FROM parts AS later JOIN firsts AS earlier USING (part, h) WHERE earlier.number < later.number
        )
        SELECT later, earlier, list_sum(list_transform(
            range(1, len(a.minima) + 1), lambda i: (a.minima[i] = b.minima[i])::INTEGER)) / len(a.minima) AS similarity
        FROM pairs JOIN pages AS a ON a.number = later JOIN pages AS b ON b.number = earlier
        WHERE similarity >= $least ORDER BY later, earlier
        """,
        {"bands": config.bands, "most": config.max_pages_per_band, "least": config.min_similarity},
    ).fetchall()
    found: dict[int, list[tuple[int, float]]] = {}
    for later, earlier, similarity in rows:
        found.setdefault(later, []).append((earlier, similarity))
    return found


def _most_alike(alike: dict[int, list[tuple[int, float]]], number: int, left_out: set[int]) -> tuple[int, float]:
    kept = [(earlier, similarity) for earlier, similarity in alike.get(number, []) if earlier not in left_out]
    return max(kept, key=lambda pair: (pair[1], -pair[0]), default=(number, 0.0))
