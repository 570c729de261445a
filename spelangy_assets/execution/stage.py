"""What a stage is, and what it is given.

A stage is a module of this package with
    VERSION: str              bumped when the output for the same config and inputs changes
    Config                    a frozen dataclass of literals: all that bears identity
    TABLES: dict[str, type]   the record type of each table that it writes; the first one holds what it keeps
    LAUNCHES = True           optional: its work is one process that it launches, which a cluster runs over machines
    READS_MANIFESTS = True    optional: it writes what its inputs' manifests say (counts, config, stage), too
    INDEPENDENT_UNITS = True  optional: no unit needs another one, so that several processes may share them
    preflight(config, execution) -> None   raises PreflightError when a model, package or service is missing
    run(ctx, config) -> None  does the work, unit by unit

    def run(ctx: StageContext, config: Config) -> None:
        shards = ctx.inputs["speech_segments"].shards("segments")
        for unit, shard in ctx.out.pending(shards):          # units that are done already are passed over
            with ctx.out.unit(unit) as out:                   # written, with its receipt, when the block ends
                for segment in shard.iter_records(Segment):
                    out.read(1)
                    ...
                    out.drop("too_short")                     # every record that is not kept has a counted reason
                out.write("chunks", chunks)
                out.add("hours_kept", seconds / 3600)

Put here: that contract. Do not put here: any one stage's work, or how stages are wired (execution/graph.py) and
run (execution/build.py). What a stage imports at top level is light; heavy libraries are imported where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol, runtime_checkable

from spelangy_assets.store.artifacts import Artifact, ArtifactWriter
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_assets.store.forgotten import Forgotten
from spelangy_model.progress import Progress, silent

Distribute = Callable[[str, str | None, str, Callable[[], int]], None]  # asset, partition, build key, number of units


class PreflightError(Exception):
    """Something that the recipe asks for by name is not there. The text says what, and how to get it.

    Each argument is one such thing; a stage names all that it misses at once.
    """

    def __str__(self) -> str:
        return "; and ".join(map(str, self.args))


class InputError(Exception):
    """An input cannot be worked on at all. The text names the file, the record and the cure."""


@runtime_checkable
class Source(Protocol):
    """What a crawl stage reads a snapshot from."""

    def content_version(self) -> str:
        """Return what identifies the snapshot's content."""
        ...


@runtime_checkable
class RemoteSource(Source, Protocol):
    """A source that is elsewhere: it is fetched before its version is asked for."""

    def fetch(
        self, log: Callable[[str], None], on_units: Callable[[int, int], None] = ..., again: bool = False
    ) -> Mapping[str, int]:
        """Bring what is not here yet, and where all is here and with `again` what changed; count how that ended.

        Raises InputError when nothing can be reached.
        """
        ...


def stage_name(stage: ModuleType) -> str:
    """Return what a stage is called in identities: its module's own name, wherever the module lies."""
    return stage.__name__.rpartition(".")[2]


def source_version(source: object) -> str:
    """Return the version of a source: what it says itself, or the fingerprint of a literal that is rendered."""
    return source.content_version() if isinstance(source, Source) else fingerprint(source)[:24]


@dataclass(frozen=True)
class Execution:
    """Where and how the work is done: never part of an artifact's identity.

    `cache_dir` holds what can be made again (joined model files), `checkpoints` folders of models that were made
    elsewhere. `launch(module, spec, folder)` runs a module of spelangy_model in a process of its own with a JSON-able
    spec, which it leaves in `folder`. It returns when that has ended: its CPU seconds, 0 where this process counts them
    as its children's. `environment` holds service addresses and secrets, which a stage reads by name and never writes
    anywhere. `distribute(asset, partition, build_key, count_units)` has other processes do the units of a version
    (build.build_share) and returns when they have ended; None where there are no others. `trackers` get each step of a
    training. `readers` are the threads that decode sound ahead of a model. `elsewhere`: other machines do the heavy
    work, and what they have (a GPU) need not be here.
    """

    cache_dir: Path
    launch: Callable[[str, Mapping[str, Any], Path], float]
    device: str = "cpu"
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    distribute: Distribute | None = None
    checkpoints: Path | None = None
    trackers: tuple[str, ...] = ()
    readers: int = 0
    elsewhere: bool = False

    def check_device(self) -> None:
        """Raise PreflightError when the settings name a GPU and torch sees none where the work is done."""
        if self.device.startswith("cuda") and not self.elsewhere:
            import torch

            if not torch.cuda.is_available():
                raise PreflightError(f"device {self.device} is set, but torch sees no GPU: set the device to cpu")


@dataclass(frozen=True)
class StageContext:
    """What `run` is given. Inputs are resolved to explicit, passed versions before the stage starts."""

    inputs: Mapping[str, Artifact]
    members: Mapping[str, list[Artifact]]  # role of a roll-up -> the token sets (or other datasets) that it stands for
    out: ArtifactWriter
    execution: Execution
    partition: str | None
    source: Any  # crawl stages only: a FolderSource, or the recipe's literal of a snapshot that is rendered at run time
    log: Callable[[str], None]
    progress: Progress = silent  # how far the present unit is, where one takes long; units are counted by themselves
    forgotten: Forgotten = field(default_factory=Forgotten)  # crawl stages only: what was taken down


class Stage(Protocol):
    """The shape of a stage module."""

    VERSION: str
    TABLES: dict[str, type]
    Config: type

    @staticmethod
    def preflight(config: Any, execution: Execution) -> None: ...

    @staticmethod
    def run(ctx: StageContext, config: Any) -> None: ...
