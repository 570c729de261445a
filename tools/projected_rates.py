"""Writes spelangy_assets/execution/projected_rates.json, which `spelangy plan paper` reads, from docs/scaling.md.

    python tools/projected_rates.py --write

The document is the output of benchmarks/project_scale.py; here its sets' hours, rates and bytes are read from it.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TARGET = ROOT / "spelangy_assets" / "execution" / "projected_rates.json"
_PART = re.compile(r"^## ([\w ]+): ([\d.]+) million hours", re.MULTILINE)
# A round trip that recognizes a sample costs nothing an hour, so the row without it is the one of the recipe's rule.
_RATE = re.compile(r"^\| (all steps|all steps, a sample recognized) \|  \|  \| ([\d.]+) \|", re.MULTILINE)
_BYTES = re.compile(r"MB an hour, ([\d,]+) TB")


def read_rates(text: str) -> dict:
    """Return the sets of the document's first tables: those by the rates of the sample."""
    first = text.split("# Pages of the web")[0]
    parts = []
    found = list(_PART.finditer(first))
    for match, following in zip(found, [*found[1:], None], strict=True):
        section = first[match.end() : following.start() if following else None]
        rates = _RATE.findall(section)
        terabytes = _BYTES.search(section)
        assert rates, f"{match[1]}: no row of all steps"
        assert terabytes, f"{match[1]}: no line of the sound's bytes"
        parts.append(
            {
                "name": match[1],
                "hours": float(match[2]) * 1e6,
                "cpu_s_an_hour": float(rates[-1][1]),
                "terabytes": float(terabytes[1].replace(",", "")),
            }
        )
    return {"recipe": "paper", "rests_on": "docs/scaling.md, embedded models on CPU cores", "parts": parts}


def as_text() -> str:
    return json.dumps(read_rates((ROOT / "docs" / "scaling.md").read_text()), indent=1) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        TARGET.write_text(as_text())
    else:
        print(as_text(), end="")
