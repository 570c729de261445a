"""Writes the tables of docs/data_formats.md from the record types and the stages that write them.

    python tools/describe_records.py > docs/record_tables.md

One section a record: which stage writes it into which table, and its columns with Arrow types and descriptions.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections import defaultdict

import pyarrow as pa

import spelangy_assets.stages as stages
from spelangy_model.records import schema_of


def main() -> None:
    print(describe_records(), end="")


def describe_records() -> str:
    """Return the page."""
    writers: dict[type, list[str]] = defaultdict(list)
    for module in pkgutil.iter_modules(stages.__path__):
        stage = importlib.import_module(f"{stages.__name__}.{module.name}")
        for table, record in getattr(stage, "TABLES", {}).items():
            writers[record].append(f"`{module.name}`: `{table}`")
    lines = [
        "# Record tables",
        "",
        "Written by `tools/describe_records.py` from the types; see [data_formats.md](data_formats.md) for how to read it.",
    ]
    for record in sorted(writers, key=lambda record: record.__name__):
        summary = (record.__doc__ or "").split("\n\n")[0].replace("\n    ", " ").strip()
        lines += [
            "",
            f"## {record.__name__}",
            "",
            summary,
            "",
            f"Stage and table: {', '.join(sorted(writers[record]))}",
            "",
        ]
        lines += ["| column | type | |", "|---|---|---|"]
        for field in schema_of(record):
            words = (field.metadata or {}).get(b"description", b"").decode().replace("|", "\\|")
            lines.append(f"| `{field.name}` | {_short(field.type)} | {words} |")
    return "\n".join(lines) + "\n"


def _short(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_short(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "struct (" + ", ".join(f"{field.name} {_short(field.type)}" for field in kind) + ")"
    return str(kind)


if __name__ == "__main__":
    main()
