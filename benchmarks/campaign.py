"""Kills at random moments, and bad inputs: nothing may be lost, nothing doubled, every input accounted for.

    PYTHONPATH=. python benchmarks/campaign.py HOME [--parts disk,s3,inputs] [--kills 80] [--s3-kills 20]
        [--inputs 10000] [--minutes 60] [--seed 0] [--report docs/reliability.md]

Parts, each of which leaves HOME/PART.json, so that they may run side by side or one after another: `disk` and `s3` run
the recipe `tiny` until so many kills were survived, and compare all data versions with those of an undisturbed run,
which the first of them makes (kills.py); `inputs` reads bad inputs of seven kinds (bad_inputs.py). The report is
written from what all parts left. `--only KIND --first N --inputs 1` makes one bad input again and reports nothing. The
exit status is 1 when something failed.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import bad_inputs
import kills

PARTS = ("disk", "s3", "inputs")
MOST_MIB = 2048


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def run_part(part: str, chosen: argparse.Namespace) -> list[dict[str, Any]]:
    if part == "inputs":
        outcomes = bad_inputs.run_inputs(chosen.inputs, chosen.seed, say, kills.in_a_fork, chosen.only, chosen.first)
        return [{"kind": kind, **vars(one)} for kind, one in outcomes.items()]
    calm = kills.undisturbed_run(chosen.home)
    say(f"undisturbed: {len(calm.targets)} datasets, {calm.seconds:.0f} s")
    run, number = {"disk": (kills.killed_on_disk, chosen.kills), "s3": (kills.killed_on_s3, chosen.s3_kills)}[part]
    until = time.monotonic() + 60 * chosen.minutes
    track = run(chosen.home, calm, number, kills.Run(chosen.seed, say, until))
    return [{**vars(track), "asked": number, "calm_s": calm.seconds}]


def failed(part: str, rows: list[dict[str, Any]]) -> bool:
    if part == "inputs":
        return any(row["failures"] or row["peak_mib"] > MOST_MIB for row in rows)
    return any(
        row["problems"] or sum(row["kills"].values()) < row["asked"] or row["equal"] < row["datasets"] for row in rows
    )


# --- the report ---------------------------------------------------------------------------------------------------

HEAD = """# Reliability: kills and bad inputs

Written by `{command}`; what stands here is what that run measured.
`benchmarks/kills.py` and `benchmarks/bad_inputs.py` say what each kind is, and how a case is made again from its seed.
"""


def words(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in Counter(counts).most_common())


def kills_report(parts: dict[str, dict[str, Any]]) -> list[str]:
    tracks = [(parts[part], row) for part in ("disk", "s3") if part in parts for row in parts[part]["rows"]]
    total = sum(sum(row["kills"].values()) for _, row in tracks)
    asked = sum(row["asked"] for _, row in tracks)
    lines = [
        f"\n## Kills: {total} of {asked} over the recipe `tiny`, resumed after each\n",
        "| store | kills | starts | datasets published | data versions equal to an undisturbed run | versions that "
        "`verify` set aside | s | s undisturbed |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for _, row in tracks:
        lines.append(
            f"| {row['name']} | {words(row['kills'])} | {row['starts']} | {row['published']} of "
            f"{row['datasets']} | {row['equal']} of {row['published']} | "
            f"{row['set_aside']} | {row['seconds']:.0f} | {row['calm_s']:.0f} |"
        )
    lines += [
        f"\nThe run {row['name']} was ended by its time, {row['asked'] - sum(row['kills'].values())} kills to come; "
        "what it had published is compared."
        for _, row in tracks
        if row["published"] < row["datasets"]
    ]
    for _, row in tracks:
        if row["requests"]:
            lines.append(f"\nRequests to S3: {words(row['requests'])}.")
    lines.append("\n| stage that was killed | kills |\n|---|---|")
    stages: Counter[str] = sum((Counter(row["stages"]) for _, row in tracks), Counter())
    lines += [f"| {stage} | {count} |" for stage, count in stages.most_common()]
    lines.append("\n| how the killed process ended | kills |\n|---|---|")
    ends: Counter[str] = sum((Counter(row["ends"]) for _, row in tracks), Counter())
    lines += [f"| {end} | {count} |" for end, count in sorted(ends.items())]
    problems = [f"* {row['name']}: {problem}" for _, row in tracks for problem in row["problems"]]
    return lines + (["\nWhat went wrong:\n", *problems] if problems else ["\nAll that is published is equal."])


def inputs_report(part: dict[str, Any]) -> list[str]:
    rows = part["rows"]
    cases, failures = sum(row["cases"] for row in rows), [line for row in rows for line in row["failures"]]
    lines = [
        f"\n## Bad inputs: {cases:,}, of which {cases - min(cases, len(failures)):,} ended as records or as rejects "
        "with a reason\n",
        "| kind | inputs | failures | CPU s of the slowest | peak memory MiB | inputs with |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['kind']} | {row['cases']:,} | {len(row['failures'])} | {row['longest_s']:.2f} | "
        f"{row['peak_mib']:.0f} | {words(row['fates'])} |"
        for row in rows
    ]
    return lines + (["\nFailures:\n", "```", *failures[:20], "```"] if failures else [])


def report(home: Path) -> str:
    parts = {
        part: json.loads((home / f"{part}.json").read_text()) for part in PARTS if (home / f"{part}.json").exists()
    }
    command = "PYTHONPATH=. python benchmarks/campaign.py HOME"
    lines = [HEAD.format(command=command).strip("\n")]
    lines += kills_report(parts) if parts.keys() & {"disk", "s3"} else []
    lines += inputs_report(parts["inputs"]) if "inputs" in parts else []
    lines.append("\n| part | seed | CPUs | load average at the end | s |\n|---|---|---|---|---|")
    for name, part in parts.items():
        lines.append(f"| {name} | {part['seed']} | {part['cpus']} | {part['load']:.1f} | {part['seconds']:.0f} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("home", type=Path)
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--kills", type=int, default=80, help="on a disk")
    parser.add_argument("--s3-kills", type=int, default=20)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=math.inf, help="after which a part ends, done or not")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=list(bad_inputs.KINDS), default="", help="this kind of bad input alone")
    parser.add_argument("--first", type=int, default=0, help="the number of its first case")
    parser.add_argument("--report", type=Path, help="write what all parts left here")
    chosen = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    chosen.home = chosen.home.absolute()
    chosen.home.mkdir(parents=True, exist_ok=True)
    any_failed = False
    for part in ["inputs"] if chosen.only else [name for name in chosen.parts.split(",") if name]:
        started = time.monotonic()
        rows = run_part(part, chosen)
        any_failed |= failed(part, rows)
        facts = {"seed": chosen.seed, "cpus": os.cpu_count(), "load": os.getloadavg()[2]}
        done = {**facts, "seconds": time.monotonic() - started, "rows": rows}
        if chosen.only:
            print(json.dumps(rows, indent=1))
        else:
            (chosen.home / f"{part}.json").write_text(json.dumps(done, indent=1))
    if chosen.report:
        chosen.report.write_text(report(chosen.home))
    return 1 if any_failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
