"""The command `lineage`: the ancestors of a dataset, or the training rows that hold a source.

Put here: its printing. Do not put here: the queries (store/lineage_queries.py).
"""

from __future__ import annotations

from spelangy_assets.store import lineage_queries as ask
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_assets.store.lineage import connect, published_id, query


def show_lineage(
    store: ArtifactStore,
    recipe: str,
    dataset: str,
    partition: str | None,
    *,
    url: str = "",
    below: bool = False,
    cost: bool = False,
    row: str = "",
) -> int:
    """Print the lineage of a published dataset, or the training rows that hold what was published at `url`."""
    with connect(store, recipe) as connection:
        if url:
            for found in query(connection, ask.ROWS_OF_URL_SQL, url=url):
                runs = ", ".join(found["runs"]) or "no run"
                print(
                    f"{found['mix']} row {found['row']}  {found['source']}  {found['positions']} positions  in: {runs}"
                )
            return 0
        identity = published_id(store, DatasetName(recipe, dataset, partition))
        if cost:
            for found in query(connection, ask.COST_SQL, artifact=identity):
                print(
                    f"{found['stage'] or 'whole':<24}{found['versions']:>5} versions{found['cpu_seconds']:>10.1f} CPU s"
                    f"{found['bytes'] / 1e6:>10.1f} MB{found['audio_hours'] or 0:>9.3f} h kept"
                )
            return 0
        if not row:
            for found in query(connection, ask.DESCENDANTS_SQL if below else ask.ANCESTORS_SQL, artifact=identity):
                indent = "  " * found["distance"]
                print(f"{indent}{found['id']}  data {found['data_version']}  {found['records_kept']} kept")
            print()
        if not below:
            more = {"run": row} if row else {}
            for found in query(connection, ask.CELL_SQL if row else ask.SOURCES_SQL, artifact=identity, **more):
                print(f"{found['kind']:<10}{found['content_hash']}  {found['licence']:<14}{found['url']}")
            for found in [] if row else query(connection, ask.CHECKPOINTS_SQL, artifact=identity):
                print(f"{'model':<10}{found['sha256'][:32]}  {found['licence']:<14}{found['url'] or found['name']}")
    return 0
