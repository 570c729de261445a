"""How fast the embedded voices speak, what a user would do instead, and whether the accents come out equal.

    python benchmarks/speech_synthesis.py
    python benchmarks/speech_synthesis.py --executable /path/to/espeak-ng

Both sides speak the same sentences in the same voices, rates and pitches, alternating, a round of documents each, on
one core. Ours is the stage `speak` with everything that it does: choosing a voice, speaking, resampling, trimming,
levelling, the checks of each line, FLAC, Parquet, manifest. The other is what a script does: the program espeak-ng
started once a sentence, its WAV read, resampled to 16 kHz, written as a FLAC file; no checks, no table. Times are
processor seconds of the process and its children. The sentences are those of the embedded crawl's Krist documents.

Without the program (apt-get install espeak-ng) its row says so. Printed as Markdown: a table of speed and one of
accents.
"""

from __future__ import annotations

import argparse
import dataclasses
import shutil
import subprocess
import tempfile
from pathlib import Path

import soundfile
import soxr
from scipy.stats import chisquare

from spelangy_assets.execution.build import build
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.stages import speak
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.cpu_time import cpu_seconds
from spelangy_model.records import Script
from spelangy_model.rng import stable_hash

SNAPSHOTS = ("2026-01", "2026-02")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=80, help="documents to speak, about 38 sentences each")
    parser.add_argument("--round", type=int, default=10, help="documents of one side before the other takes its turn")
    parser.add_argument("--ids", type=int, default=20_000, help="ids for the shares of the accents")
    parser.add_argument("--executable", default=shutil.which("espeak-ng"), help="the program espeak-ng")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        scripts = {asset: sample_scripts(asset, Path(folder)) for asset in ("krist_documents", "quest_pairs")}
        print_speed(scripts["krist_documents"][: chosen.documents], chosen.round, chosen.executable, Path(folder))
    print_accents(scripts, chosen.ids)


def sample_scripts(asset: str, folder: Path) -> list[Script]:
    """Return the scripts of the sample recipe, made from its pages by its own stages."""
    installation = Installation(Settings.at(folder / "home"))
    graph = SAMPLE.graph
    execution = Execution(cache_dir=folder, launch=no_launch)
    for snapshot in SNAPSHOTS:
        for node in (graph["raw_pages"], graph[asset]):
            source = installation.source(node, snapshot)
            build(installation.store, graph, node, snapshot, execution, source=source)
    return [
        script
        for snapshot in SNAPSHOTS
        for script in installation.store.resolve(DatasetName("sample", asset, snapshot)).records("scripts", Script)
    ]


def no_launch(*_: object) -> None:
    raise AssertionError("no stage of this benchmark starts a subprocess")


# --- speed ----------------------------------------------------------------------------------------------------


def print_speed(scripts: list[Script], size: int, executable: str | None, folder: Path) -> None:
    config = SAMPLE.graph["krist_speech"].config
    ours, theirs = Spent(), Spent()
    store = ArtifactStore(folder / "store", folder / "cache")
    for number, start in enumerate(range(0, len(scripts), size)):
        part = scripts[start : start + size]
        given = commit(store, f"scripts{number}", {"scripts": Script}, part)
        ours.measure(lambda part=part, given=given, number=number: spoken_by_the_stage(store, number, given, config))
        if executable:
            theirs.measure(lambda part=part, number=number: spoken_by_a_script(executable, part, config, folder))
    print("## Speed: one core, with writing\n")
    print("| | sentences | hours | CPU s | times real time | ms a sentence |\n|---|---|---|---|---|---|")
    print(f"| the stage speak (espeak-ng in process; FLAC, Parquet, checks) | {ours.row()} |")
    if executable:
        print(f"| espeak-ng started once a sentence (FLAC files) | {theirs.row()} |")
        print(f"\nThe stage speaks an hour in {ours.rate() / theirs.rate():.1f} times less processor time.")
    else:
        print("| espeak-ng started once a sentence | not measured: the program is not here | | | | |")


@dataclasses.dataclass
class Spent:
    """What one side spoke, and what it cost."""

    sentences: int = 0
    audio_s: float = 0.0
    cpu_s: float = 0.0

    def measure(self, work) -> None:
        before = cpu_seconds()
        sentences, audio_s = work()
        self.cpu_s += cpu_seconds() - before
        self.sentences += sentences
        self.audio_s += audio_s

    def rate(self) -> float:
        return self.audio_s / self.cpu_s

    def row(self) -> str:
        each_ms = 1000 * self.cpu_s / self.sentences
        return f"{self.sentences} | {self.audio_s / 3600:.2f} | {self.cpu_s:.1f} | {self.rate():.0f} | {each_ms:.1f}"


def commit(store: ArtifactStore, asset: str, tables: dict[str, type], scripts: list[Script]) -> Artifact:
    address = Address(asset)
    writer = store.writer(DatasetName("benchmark", asset), Identity(asset, "1", "", None, [], "v1-key"), tables)
    with writer.unit(0) as out:
        out.write("scripts", scripts)
    writer.commit()
    artifact = store.find(address, "v1-key")
    assert artifact is not None
    return artifact


def spoken_by_the_stage(
    store: ArtifactStore, number: int, scripts: Artifact, config: speak.Config
) -> tuple[int, float]:
    name = DatasetName("benchmark", f"speech{number}", str(number))
    writer = store.writer(name, Identity("speak", speak.VERSION, "", None, [], "v1-key"), speak.TABLES)
    execution = Execution(cache_dir=Path(store.files.uri), launch=no_launch)
    speak.run(StageContext({"scripts": scripts}, {}, writer, execution, None, None, lambda text: None), config)
    counts = writer.commit().counts
    return counts.records_kept, counts.stats["hours_kept"] * 3600


def spoken_by_a_script(executable: str, scripts: list[Script], config: speak.Config, folder: Path) -> tuple[int, float]:
    out, audio_s, sentences = folder / "flac", 0.0, 0
    out.mkdir(exist_ok=True)
    for script in scripts:
        (voice,) = speak.voices_for(script.document_id, config)
        for number, line in enumerate(script.lines):
            wav, flac = folder / "line.wav", out / f"{script.document_id}-{number}.flac"
            literals = ["-v", voice.name, "-s", str(voice.rate_wpm), "-p", str(voice.pitch), "-w", str(wav)]
            subprocess.run([executable, *literals, "--", line.spoken_text], check=True)
            samples, rate_hz = soundfile.read(wav, dtype="float32")
            samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
            soundfile.write(flac, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
            audio_s += len(samples) / SAMPLE_RATE_HZ
            sentences += 1
    return sentences, audio_s


# --- accents --------------------------------------------------------------------------------------------------


def print_accents(scripts: dict[str, list[Script]], ids: int) -> None:
    krist, quest = (SAMPLE.graph[name].config for name in ("krist_speech", "quest_speech"))
    sets = {
        f"{ids:,} ids": ([stable_hash("id", number) for number in range(ids)], krist),
        "the sample's Krist documents": ([script.document_id for script in scripts["krist_documents"]], krist),
        "the sample's Quest documents": ([script.document_id for script in scripts["quest_pairs"]], quest),
    }
    accents = sorted({voice.accent for voice in krist.voices})
    print("\n## Accents: the share of documents that each speaks\n")
    print("| | documents | " + " | ".join(accents) + " | largest distance from equal | chi-square p |")
    print("|---|---|" + "---|" * (len(accents) + 2))
    for name, (documents, config) in sets.items():
        drawn = [voice.accent for document in documents for voice in speak.voices_for(document, config)]
        counts = [drawn.count(accent) for accent in accents]
        shares = [100 * count / len(drawn) for count in counts]
        off = max(abs(share - 100 / len(accents)) for share in shares)
        cells = [f"{share:.2f}%" for share in shares]
        p = chisquare(counts).pvalue
        print(f"| {name} | {len(drawn):,} | {' | '.join(cells)} | {off:.2f} points | {p:.3f} |")


if __name__ == "__main__":
    main()
