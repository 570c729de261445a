"""Recipe `tiny`, killed at random moments of all its stages until the number is full, then left to end.

Put here: the worker that is killed, the kills, and the comparison with an undisturbed run. Do not put here: bad inputs
(bad_inputs.py) or the report (campaign.py).

The worker builds the recipe's datasets in their order, by the same `build` that Dagster's assets call, in a process
that is forked from one in which everything is imported, so that a hundred starts cost little. It leads a process group
of its own, and what it starts (trainings) belongs to it. Each kill is drawn for a dataset and for a moment within the
time that this dataset took undisturbed. Kinds:

    SIGKILL     the whole group, at once
    SIGINT      as Ctrl-C sends it; the command's own handling ends the worker
    SIGTERM     as a service manager sends it
    power       SIGKILL, then up to four of the newest files of the home lose their end or all their bytes, and
                `verify --deep --repair` is run, as docs/operations.md says for a disk that lost something
    disk full   from that moment no file of the group grows beyond a few bytes (RLIMIT_FSIZE); the worker ends by itself
    S3          the store is on a server of which a share of requests fails all the time; it fails all requests until
                the worker has ended or is killed
"""

from __future__ import annotations

import contextlib
import importlib.util
import multiprocessing
import os
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.targets import Target
from spelangy_model.rng import stable_rng

RECIPE = "tiny"
ON_DISK = ("SIGKILL", "SIGINT", "SIGTERM", "power", "disk full")
S3 = "S3"
PATIENCE_S = 120.0  # within which a worker ends that was asked to, or that cannot write
S3_OUTAGE_S = 15.0
S3_SHARE = 0.05
LATEST_KILL_S = 900.0  # after its moment no kill waits longer for a worker that says nothing
# Imported once: what the definitions leave to the stages that need it.
PRELOAD = (
    "kills", "spelangy_assets.recipes.registry", "spelangy_assets.orchestration.installation", "torch", "transformers",
    "duckdb", "pyarrow.parquet", "great_expectations", "soundfile", "scipy.signal", "numba", "sklearn.cluster",
    "trafilatura", "pysbd", "boto3", "spelangy_model.audio.word_network", "jinja2",
)  # fmt: skip


@dataclass(frozen=True)
class Kill:
    """A kill of one kind, at a share of the time that the dataset at `target` took undisturbed."""

    target: int
    share: float
    kind: str
    seed: int


@dataclass
class Track:
    """What became of one run that was killed over and over."""

    name: str
    kills: Counter[str] = field(default_factory=Counter)
    stages: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)  # how killed workers ended
    set_aside: int = 0
    starts: int = 0
    equal: int = 0
    published: int = 0
    datasets: int = 0
    seconds: float = 0.0
    requests: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Run:
    """The seed of a run, where it says what happens, and the monotonic time at which it ends, done or not."""

    seed: int
    say: Callable[[str], None]
    until: float = float("inf")


# --- the worker, in a process of its own ----------------------------------------------------------------------------


def work(home: str, store: str, pipe: Connection) -> None:
    """Build what is not built yet, and say of each dataset when it begins and when it is there."""
    from spelangy_assets.cli.interrupts import run_until_interrupted
    from spelangy_assets.execution.build import build
    from spelangy_assets.execution.targets import target_name
    from spelangy_assets.orchestration.installation import Installation
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.settings import Settings

    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs behind it with this one ignored
    quiet = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(quiet, descriptor)

    def command() -> int:
        installation = Installation(Settings.at(Path(home), SPELANGY_STORE=store))
        graph, execution = recipe_named(RECIPE).graph, installation.execution()
        pipe.send(("ready", os.getpid(), ""))
        for index, (name, partition) in enumerate(in_order(graph)):
            node = graph[name]
            pipe.send(("begin", index, target_name(name, partition)))
            built = build(installation.store, graph, node, partition, execution, installation.source(node, partition))
            pipe.send(("end", index, "" if built.verdict.passed else "contract failed"))
        return 0

    try:
        status = run_until_interrupted(command)
    except BaseException as error:  # noqa: BLE001  whatever ends it is what the campaign wants to know
        pipe.send(("failed", 0, f"{type(error).__name__}: {str(error)[:300]}"))
        status = 1
    os._exit(status)


def in_order(graph: Graph) -> list[Target]:
    """Return the datasets of a recipe, parents first, and what no training is needed for before all else."""
    from spelangy_assets.execution.targets import required_targets

    trained = {
        name for node in graph if node.stage_name == "train_lm" for name in (node.name, *graph.descendants(node.name))
    }
    return sorted(required_targets(graph), key=lambda target: target[0] in trained)


def in_a_fork(target: Callable[..., None], *arguments: Any) -> tuple[multiprocessing.Process, Connection]:
    """Start a function in a process forked from the one in which everything is imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOAD))
    here, there = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(*arguments, there))
    process.start()
    there.close()
    return process, here  # type: ignore[return-value]


def messages(pipe: Connection, until_s: Callable[[], float]) -> Iterator[tuple[str, int, str] | None]:
    """Yield what a worker says until it has ended; None whenever the moment `until_s` has come (a monotonic time)."""
    while True:
        try:
            left_s = max(0.0, min(until_s() - time.monotonic(), LATEST_KILL_S))
            yield pipe.recv() if pipe.poll(left_s) else None
        except (EOFError, OSError):
            return


def undisturbed(home: Path) -> None:
    """Build all that is not built yet, in one go."""
    process, pipe = in_a_fork(work, str(home), str(home / "store"))
    target = ""
    for message in messages(pipe, lambda: float("inf")):
        match message:
            case ("begin", _, name):
                target = name
            case ("end" | "failed", _, why) if why:
                raise SystemExit(f"the undisturbed run failed at {target}: {why}")
    process.join()
    if process.exitcode != 0:
        raise SystemExit(f"the undisturbed run ended with status {process.exitcode}")


# --- kills --------------------------------------------------------------------------------------------------------


def drawn(targets: list[tuple[str, float]], kinds: list[str], seed: int, track: str) -> list[Kill]:
    """Draw one kill for each of `kinds`, on all datasets in turn."""
    rng = stable_rng(seed, "kills", track)
    chosen = [int(target) for _ in range(-(-len(kinds) // len(targets))) for target in rng.permutation(len(targets))]
    order = [kinds[int(index)] for index in rng.permutation(len(kinds))]
    kills = [
        Kill(target, float(rng.uniform(0.02, 1.0)), kind, int(rng.integers(2**31)))
        for target, kind in zip(chosen, order, strict=False)
    ]
    return sorted(kills, key=lambda kill: (kill.target, kill.share))


def group_of(leader: int) -> list[int]:
    """Return the processes of a group (Linux)."""
    members = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (OSError, UnicodeDecodeError):
                continue
            if int(fields[2]) == leader and fields[0] != "Z":
                members.append(int(entry.name))
    return members


def signal_group(leader: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, number)


def cut_newest(home: Path, seed: int) -> list[Path]:
    """Take the end, or all, of up to four of the newest files of a home, as a power cut may; return them."""
    rng = stable_rng(seed, "power")
    files = [path for path in home.rglob("*") if path.is_file() and not path.is_symlink() and path.stat().st_size]
    newest = sorted(files, key=lambda path: path.stat().st_mtime_ns)[-8:]
    chosen = [newest[int(index)] for index in rng.permutation(len(newest))[: 1 + int(rng.integers(4))]]
    for path in chosen:
        size = path.stat().st_size
        os.truncate(path, 0 if rng.random() < 0.5 else int(rng.integers(size)))
    return chosen


def repair(home: Path, pipe: Connection) -> None:
    """`spelangy verify --deep --repair`, and how many versions it set aside."""
    from spelangy_assets.settings import Settings
    from spelangy_assets.store.artifacts import ArtifactStore
    from spelangy_assets.store.verify import verify

    settings = Settings.at(home)
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    pipe.send(len(verify(store, store.versions(), deep=True, repair=True).damages))


def ended_by_itself(process: multiprocessing.Process, patience_s: float) -> bool:
    process.join(patience_s)
    return process.exitcode is not None


def apply(kill: Kill, leader: int, process: multiprocessing.Process, home: Path, track: Track, server: Any) -> None:
    """Do one kill to the group of a worker, and see to it that nothing of the group is left."""
    asked = kill.kind in ("SIGINT", "SIGTERM")
    if asked:
        signal_group(leader, getattr(signal, kill.kind))
    elif kill.kind == "disk full":
        most_bytes = int(stable_rng(kill.seed, "full").choice([0, 0, 4096, 65536]))
        for member in group_of(leader):
            try:
                resource.prlimit(member, resource.RLIMIT_FSIZE, (most_bytes, most_bytes))
            except ProcessLookupError:
                continue
    elif kill.kind == S3:
        server.share = 1.0
    if asked or kill.kind == "disk full":
        # Who cannot write goes on until something is to be written, which may take long.
        if not ended_by_itself(process, PATIENCE_S) and asked:
            track.problems.append(f"{kill}: the worker had not ended after {PATIENCE_S:.0f} s")
    elif kill.kind == S3:
        ended_by_itself(process, float(stable_rng(kill.seed, "outage").uniform(1.0, S3_OUTAGE_S)))
        server.share = S3_SHARE
    signal_group(leader, signal.SIGKILL)
    process.join()
    track.ends[f"{kill.kind}: {'killed' if process.exitcode == -signal.SIGKILL else f'status {process.exitcode}'}"] += 1
    while group_of(leader):
        time.sleep(0.05)
    if kill.kind == "power":
        cut_newest(home, kill.seed)
        repairing, pipe = in_a_fork(repair, home)
        try:
            track.set_aside += pipe.recv()
        except EOFError:
            track.problems.append(f"{kill}: `verify --deep --repair` failed")
        repairing.join()


def run_track(
    track: Track, home: Path, store: str, calm: Calm, kills: list[Kill], run: Run, server: Any = None
) -> None:
    """Start the worker again and again until all kills are done and the recipe has ended, or the time is over."""
    started, targets = time.monotonic(), calm.targets
    waiting = list(kills)
    failures_in_a_row = 0
    while failures_in_a_row < 3 and time.monotonic() < run.until:
        process, pipe = in_a_fork(work, str(home), store)
        track.starts += 1
        leader, at, moment, why = 0, 0, run.until, ""
        for message in messages(pipe, lambda: moment):  # noqa: B023  the moment of this worker
            if message is None:
                break
            match message:
                case ("ready", pid, _):
                    leader = pid
                case ("begin", index, _):
                    at = index
                    if waiting and waiting[0].target <= index and moment == run.until:
                        moment = time.monotonic() + waiting[0].share * targets[index][1]
                case (_, _, error) if error:
                    why = f"{targets[at][0]}: {error}"
        else:
            process.join()
            if process.exitcode == 0 and not why:
                break
            failures_in_a_row += 1
            track.problems.append(f"ended by itself, status {process.exitcode}, {why}")
            continue
        if time.monotonic() >= run.until:
            signal_group(leader, signal.SIGKILL)
            process.join()
            break
        kill = waiting.pop(0)
        apply(kill, leader, process, home, track, server)
        failures_in_a_row = 0
        track.kills[kill.kind] += 1
        track.stages[calm.stages[at]] += 1
        run.say(f"{track.name} {track.kills.total()}/{len(kills)}: {kill.kind} in {targets[at][0]}")
    track.seconds = time.monotonic() - started


def data_versions(store_uri: str | Path) -> dict[str, str]:
    """Return the data version of every published dataset of the recipe."""
    from spelangy_assets.store.artifacts import ArtifactStore

    with TemporaryDirectory() as cache:
        published = list(ArtifactStore(str(store_uri), Path(cache)).published(RECIPE))
    return {f"{one.name.dataset}[{one.name.partition or ''}]": one.data_version for one in published}


def compare(track: Track, calm: dict[str, str], killed: dict[str, str]) -> None:
    """Compare what is published; what the time did not suffice for is no problem, and is not equal."""
    track.datasets = len(calm)
    track.published = len(killed)
    track.equal = sum(killed.get(name) == version for name, version in calm.items())
    track.problems += [
        f"{name}: {version}, undisturbed {calm.get(name)}"
        for name, version in killed.items()
        if calm.get(name) != version
    ]


def faulty_s3() -> ModuleType:
    """Return the tests' S3 server that fails."""
    path = Path(__file__).resolve().parents[1] / "tests/e2e/faulty_s3.py"
    spec = importlib.util.spec_from_file_location("faulty_s3", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["faulty_s3"] = module
    spec.loader.exec_module(module)
    return module


@dataclass(frozen=True)
class Calm:
    """An undisturbed run: the stage of each dataset, its name with its seconds, the data versions."""

    stages: list[str]
    targets: list[tuple[str, float]]
    versions: dict[str, str]

    @property
    def seconds(self) -> float:
        return sum(seconds for _, seconds in self.targets)


def undisturbed_run(home: Path) -> Calm:
    """Run the recipe undisturbed in HOME/undisturbed, where it may have been run before (`SPELANGY_HOME=... spelangy
    run tiny`). The seconds of each dataset are those of its manifest."""
    from spelangy_assets.execution.targets import target_name
    from spelangy_assets.recipes.registry import recipe_named
    from spelangy_assets.store.artifacts import ArtifactStore, DatasetName

    # For all that is forked from now on: the S3 server takes any account.
    os.environ.update(AWS_ACCESS_KEY_ID="test", AWS_SECRET_ACCESS_KEY="test", AWS_DEFAULT_REGION="us-east-1")
    home = home / "undisturbed"
    undisturbed(home)
    store, graph = ArtifactStore(str(home / "store"), home / "cache"), recipe_named(RECIPE).graph
    calm = Calm([], [], data_versions(home / "store"))
    for name, partition in in_order(graph):
        calm.stages.append(graph[name].stage_name)
        manifest = store.resolve(DatasetName(RECIPE, name, partition)).manifest
        calm.targets.append((target_name(name, partition), manifest.seconds))
    return calm


def killed_on_disk(home: Path, calm: Calm, kills: int, run: Run) -> Track:
    """Run the recipe with its store on a disk, killed in all ways in turn."""
    track, home = Track("on a disk"), home / "killed"
    kinds = [ON_DISK[number % len(ON_DISK)] for number in range(kills)]
    run_track(track, home, str(home / "store"), calm, drawn(calm.targets, kinds, run.seed, "disk"), run)
    compare(track, calm.versions, data_versions(home / "store"))
    return track


def killed_on_s3(home: Path, calm: Calm, kills: int, run: Run) -> Track:
    """Run the recipe with its store on an S3 server that fails, and is away for a while at each kill."""
    import boto3

    track = Track("on S3")
    with faulty_s3().FaultyServer(0.0, run.seed, slow_s=0.2) as server:
        boto3.client("s3", endpoint_url=f"http://{server.endpoint}").create_bucket(Bucket="bucket")
        server.share, store = S3_SHARE, server.uri("bucket/store")
        run_track(track, home / "s3", store, calm, drawn(calm.targets, [S3] * kills, run.seed, "s3"), run, server)
        server.share = 0.0
        track.requests = server.counts.copy()
        compare(track, calm.versions, data_versions(store))
    return track
