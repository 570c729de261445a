"""What the paper's hours would cost by the rates that a store's manifests hold.

    python benchmarks/project_scale.py --store .spelangy/store
    python benchmarks/project_scale.py --store .spelangy/store --parts krist quest --page-snapshots web

    python benchmarks/project_scale.py --store .spelangy/store --gpu gpu.md --gpus 64

The second says what pages of the web give, when the snapshot `web` of the store was made of such; a step that has not
been made there is named and counted in no sum. The third adds what GPUs would take by the output of benchmarks/gpu.py.

Nothing is measured here: each rate is the processor time and the hours, pages and bytes of the manifests of one
recipe's published datasets at the snapshots named, and each projection is that rate times the paper's hours. So it says
what the embedded models would need at that size, on cores like those that made the store, and which step would need it.
How the hours fall into snapshots, units and files is by the literals of recipe `paper`. Printed as Markdown.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName
from spelangy_assets.store.manifest import Manifest

YEAR_S = 365 * 24 * 3600
DAYS = 30
SNAPSHOT_HOURS = (100, 1_000, 10_000)
# Dagster's documentation: "limit the number of partitions for each asset to 100,000 or fewer".
MOST_PARTITIONS = 100_000
TRAINING_TOKENS = 1.67e12  # the paper


@dataclass(frozen=True)
class Step:
    """A dataset, and the hours by which its processor time is divided: its own sum of that name, or the set's hours."""

    asset: str
    own_hours: str = ""


@dataclass(frozen=True)
class Part:
    """One of the paper's sets. `hours` is the (asset, sum) that the paper's figure counts."""

    name: str
    target_hours: float
    hours: tuple[str, str]
    sound: str  # the dataset that holds the sound
    steps: tuple[Step, ...]
    pages: str = ""


PARTS = (
    Part(
        "web speech",
        10e6,
        ("raw_audio", "hours_kept"),
        "web_fine",
        (
            Step("raw_audio"),
            Step("speech_segments"),
            Step("transcript_hypotheses"),
            Step("clean_transcripts"),
            Step("web_fine"),
            Step("web_fine_tokens"),
        ),
    ),
    *(
        Part(
            name,
            target_hours,
            (f"{name}_speech", "hours_kept"),
            f"{name}_speech",
            (
                Step("raw_pages"),
                Step(documents),
                Step(f"{name}_speech"),
                Step(f"{name}_round_trip", "hours_recognized"),
                Step(f"{name}_tokens"),
            ),
            documents,
        )
        for name, target_hours, documents in (("krist", 4.6e6, "krist_documents"), ("quest", 0.9e6, "quest_pairs"))
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", default=".spelangy/store", help="a folder or an s3:// prefix")
    parser.add_argument("--recipe", default="sample")
    parser.add_argument("--parts", nargs="+", default=["web", "krist", "quest"], choices=["web", "krist", "quest"])
    for kind, default in (("audio", ["2026-01", "2026-02"]), ("page", ["2026-02"])):
        parser.add_argument(f"--{kind}-snapshots", nargs="+", default=default, help="whose rates are taken")
    parser.add_argument("--cores", type=int, default=64, help="of one machine, which has a snapshot to itself")
    parser.add_argument("--gpu", type=Path, help="the output of benchmarks/gpu.py")
    parser.add_argument("--gpus", type=int, default=64)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as cache:
        store = ArtifactStore(chosen.store, Path(cache))
        for part in PARTS:
            if part.name.split()[0] not in chosen.parts:
                continue
            assets = dict.fromkeys([step.asset for step in part.steps] + [part.sound])
            snapshots = chosen.page_snapshots if part.pages else chosen.audio_snapshots
            found = {asset: manifests(store, chosen.recipe, asset, snapshots) for asset in assets}
            cpu_s_an_hour = print_part(part, snapshots, found)
            if all(found.values()):
                print_snapshots(part, found, cpu_s_an_hour, chosen.cores)
                print_traffic(part, found, store)
    if chosen.gpu:
        print_gpus(chosen.gpu.read_text(), chosen.gpus)


def manifests(store: ArtifactStore, recipe: str, asset: str, snapshots: Sequence[str]) -> list[Manifest]:
    """Return the published manifests of a dataset at the snapshots; none when it is missing at one of them."""
    found = [store.latest(DatasetName(recipe, asset, snapshot)) for snapshot in snapshots]
    return [artifact.manifest for artifact in found if artifact] if all(found) else []


def total(several: Sequence[Manifest], stat: str) -> float:
    return sum(manifest.counts.stats.get(stat, 0.0) for manifest in several)


def bytes_of(several: Sequence[Manifest]) -> int:
    return sum(shard.bytes for manifest in several for shard in manifest.shards)


def print_part(part: Part, snapshots: Sequence[str], found: dict[str, list[Manifest]]) -> float:
    """Print a part's costs and yields; return its processor seconds an hour, a sample of its chunks recognized."""
    hours = total(found[part.hours[0]], part.hours[1])
    if not hours:
        raise SystemExit(f"{part.hours[0]} is not published at {', '.join(snapshots)}: materialize it there first")
    rates = f" by the pages of {', '.join(snapshots)}" if part.pages else ""
    print(f"\n## {part.name}: {part.target_hours / 1e6:g} million hours{rates}\n")
    print("| step | measured on, hours | CPU s | CPU s an hour | times real time | core-years | cores for 30 days |")
    print("|---|---|---|---|---|---|---|")
    all_s = each_chunk_s = 0.0
    for step in part.steps:
        if not found[step.asset]:
            print(f"| {step.asset} | not made there |  |  |  |  |  |")
            continue
        cpu_s = sum(manifest.cpu_seconds for manifest in found[step.asset])
        own = total(found[step.asset], step.own_hours) if step.own_hours else hours
        name = f"{step.asset}, if every chunk were recognized" if step.own_hours else step.asset
        print(row(name, f"{own:.3f}", f"{cpu_s:.1f}", cpu_s / own, part.target_hours))
        all_s += cpu_s / own
        each_chunk_s += cpu_s / own if step.own_hours else 0.0
    made = all(found[step.asset] for step in part.steps)
    print(row("all steps" if made else "all steps that were made", "", "", all_s, part.target_hours))
    if each_chunk_s:
        print(row("all steps, a sample recognized", "", "", all_s - each_chunk_s, part.target_hours))
    kept = total(found[part.sound], "hours_kept")
    sound_bytes = bytes_of(found[part.sound])
    print(f"\n* Kept: {kept / hours:.0%} of the hours, {kept / hours * part.target_hours / 1e6:.1f} million.")
    print(
        f"* Sound as FLAC in Parquet: {sound_bytes / kept / 1e6:.0f} MB an hour, "
        f"{sound_bytes / hours * part.target_hours / 1e12:,.0f} TB."
    )
    if part.pages:
        pages = sum(manifest.counts.records_kept for manifest in found["raw_pages"])
        all_pages = pages / hours * part.target_hours
        print(f"* Pages that the filters let through: {pages / hours:.0f} for an hour, {all_pages / 1e6:,.0f} million.")
        print_yield(part, found, pages, hours)
        model = {m: total(found[part.pages], f"model_{m}_tokens") for m in ("prompt", "completion")}
        if any(model.values()):
            said = ", ".join(f"{n / hours * part.target_hours / 1e9:,.0f} billion {m} tokens" for m, n in model.items())
            cost_usd = total(found[part.pages], "model_cost_usd") / hours * part.target_hours
            print(f"* Language model: {said}" + (f", {cost_usd:,.0f} US dollars." if cost_usd else "."))
        else:
            print("* Language model: none ran in this store, so no tokens were counted.")
    return all_s - each_chunk_s


def print_snapshots(part: Part, found: dict[str, list[Manifest]], cpu_s_an_hour: float, cores: int) -> None:
    """Print how many snapshots, units and files the hours are, and how long a machine works on a snapshot."""
    hours = total(found[part.hours[0]], part.hours[1])
    unit_bytes = PAPER.graph["raw_audio"].config.bytes_per_unit
    unit_hours = unit_bytes / (bytes_of(found[part.sound]) / hours)
    files = [(len(m.shards) + m.units) / m.units for step in part.steps for m in found[step.asset]]
    print(
        f"\nIn snapshots, with units of {unit_bytes / 1e6:,.0f} MB of sound "
        f"({unit_hours:.0f} hours), {len(part.steps)} datasets a snapshot, {cores} cores a machine:\n"
    )
    print("| hours a snapshot | snapshots | units a dataset | files in all | a machine's hours a snapshot | machines |")
    print("|---|---|---|---|---|---|")
    for each in SNAPSHOT_HOURS:
        snapshots = part.target_hours / each
        units = max(1.0, each / unit_hours)
        in_all = snapshots * len(part.steps) * (1 + units * sum(files) / len(files))
        busy_h = each * cpu_s_an_hour / 3600 / cores
        machines = snapshots * busy_h / (DAYS * 24)
        too_many = " (more than Dagster advises)" if snapshots > MOST_PARTITIONS else ""
        print(
            f"| {each:,} | {snapshots:,.0f}{too_many} | {units:,.0f} | {in_all / 1e6:,.1f} million | {busy_h:,.1f} | "
            f"{machines:,.1f} for {DAYS} days |"
        )


def print_traffic(part: Part, found: dict[str, list[Manifest]], store: ArtifactStore) -> None:
    """Print what the steps read and write, each input read once by each step."""
    hours = total(found[part.hours[0]], part.hours[1])
    written = sum(bytes_of(found[step.asset]) for step in part.steps)
    read = 0
    for step in part.steps:
        for manifest in found[step.asset]:
            for one in manifest.inputs:
                if one.partition is not None and one.stage:
                    artifact = store.find(Address(one.stage, one.partition), one.build_key)
                    read += bytes_of([artifact.manifest]) if artifact else 0
    gigabits = 8e-9 * (read + written) / hours * part.target_hours / (DAYS * 24 * 3600)
    print(
        f"\n* Network: {read / hours / 1e6:,.0f} MB read and {written / hours / 1e6:,.0f} MB written an hour of sound; "
        f"over {DAYS} days {gigabits:,.1f} Gbit/s between the machines and the store."
    )


def print_gpus(report: str, gpus: int) -> None:
    """Print the GPU-hours of the parts of benchmarks/gpu.py's report, whose machine its first line names."""
    print(f"\n## GPUs: {report.splitlines()[0]}\n")
    print(f"| part | rate | for | device-hours | days on {gpus} |\n|---|---|---|---|---|")
    wanted = {part.name: part.target_hours for part in PARTS}
    for what, rate in re.findall(r"^\| (.+?) \| hours of speech per .+? \| ([\d,.]+) \|$", report, re.MULTILINE):
        hours = float(rate.replace(",", ""))
        for_hours = wanted["web speech"] if "whisper" in what.lower() else sum(wanted.values())
        needed_h = for_hours / hours
        print(
            f"| {what} | {hours:,.0f} hours an hour | {for_hours / 1e6:g} million hours | {needed_h:,.0f} | "
            f"{needed_h / gpus / 24:,.1f} |"
        )
    for what, rate in re.findall(r"^\| (.+?) \| tokens/s \| ([\d,.]+) \|$", report, re.MULTILINE):
        needed_h = TRAINING_TOKENS / float(rate.replace(",", "")) / 3600
        print(
            f"| {what} | {rate} tokens/s | {TRAINING_TOKENS / 1e12:g}T tokens | {needed_h:,.0f} | "
            f"{needed_h / gpus / 24:,.1f} |"
        )


def print_yield(part: Part, found: dict[str, list[Manifest]], pages: int, hours: float) -> None:
    """Print what a page gives: documents, words, seconds; and what the filters before it let through."""
    speech = found[part.hours[0]]
    seen = sum(manifest.counts.records_in for manifest in found["raw_pages"])
    words = total(speech, "words_kept")
    voices = max(manifest.config["voices_per_document"] for manifest in speech)
    each = f"each spoken by {voices} voice{'s' if voices > 1 else ''}"
    what = "documents" if part.name == "krist" else "questions"
    kept = total(speech, "documents_kept") / voices
    print(
        f"* Measured on {pages:,} pages of {seen:,} captures: a page gives {kept / pages:.2f} {what} ({each}), "
        f"{words / pages:,.0f} words and {3600 * hours / pages:,.1f} s, at {words / (60 * hours):.0f} words a minute."
    )
    for step in part.steps:
        dropped: Counter[str] = Counter()
        for manifest in found[step.asset]:
            dropped.update(manifest.counts.dropped)
        if dropped and step.asset in (part.pages, part.hours[0]):
            records = sum(manifest.counts.records_in for manifest in found[step.asset])
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common())
            print(f"* Dropped by {step.asset}, of {records:,}: {reasons}.")


def row(name: str, measured: str, cpu_s: str, each_s: float, target_hours: float) -> str:
    core_s = each_s * target_hours
    cores = core_s / (DAYS * 24 * 3600)
    projected = f"{core_s / YEAR_S:,.1f} | {cores:,.0f}"
    return f"| {name} | {measured} | {cpu_s} | {each_s:.1f} | {3600 / each_s:,.0f} | {projected} |"


if __name__ == "__main__":
    main()
