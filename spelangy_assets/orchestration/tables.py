"""Tables as the UI shows them, in the metadata of an asset or a check.

Put here: that form. Do not put here: what a table says.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg


def table(rows: Iterable[Mapping[str, Any]], columns: Mapping[str, str]) -> dg.TableMetadataValue:
    """Return rows as a table; `columns` are their names and Dagster's types, in order."""
    return dg.TableMetadataValue(
        records=[dg.TableRecord({name: row[name] for name in columns}) for row in rows],
        schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()]),
    )
