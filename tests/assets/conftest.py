"""A small installation for tests of the Dagster layer, below a temporary folder."""

import dataclasses
import datetime
import logging
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from alembic.config import Config
from alembic.script import ScriptDirectory
from dagster._core.definitions.reconstruct import ReconstructableJob
from dagster._core.execution.backfill import PartitionBackfill
from dagster._core.instance import InstanceRef, InstanceType
from dagster._core.launcher import LaunchRunContext
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.scheduler import DagsterDaemonScheduler
from dagster._core.storage.event_log import InMemoryEventLogStorage
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import LocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs

from spelangy_assets.execution.build import Built
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.orchestration.keys import asset_key
from spelangy_assets.orchestration.stage_asset import stage_asset
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.settings import Settings
from spelangy_assets.stages.generate_answers import Config as Answering
from spelangy_assets.store.artifacts import ArtifactStore


@dataclasses.dataclass
class ToyRecipe:
    """What the Dagster layer asks of a recipe, over a graph of toys."""

    name: str = "recipe"
    follows_snapshots: bool = True
    graph: Graph = dataclasses.field(default_factory=lambda: Graph("recipe", []))


class Bench:
    """Materializes toy nodes through Dagster; `reports` are what the installation reported."""

    recipe = ToyRecipe()

    def __init__(self, home: Path, instance: dg.DagsterInstance):
        self.settings = Settings.at(home)
        self.instance = instance
        self.reports: list[tuple[str, str | None, Built]] = []
        self.installation = Installation(self.settings, report=lambda *report: self.reports.append(report))
        self.store = self.installation.store

    def graph(self, *nodes: Node) -> Graph:
        return Graph("recipe", list(nodes))

    def assets(self, *nodes: Node) -> list[dg.AssetsDefinition]:
        graph = self.graph(*nodes)
        return [stage_asset(self.recipe, graph, node) for node in graph]

    def materialize(
        self, *nodes: Node, only: str | None = None, partition: str | None = None, tags: dict[str, str] | None = None
    ) -> dg.ExecuteInProcessResult:
        """Run the assets of the nodes, or one of them, in one run; a failure is in the result."""
        return dg.materialize(
            self.assets(*nodes),
            selection=[asset_key("recipe", only)] if only else None,
            instance=self.instance,
            resources={"installation": self.installation},
            partition_key=partition,
            tags=tags,
            raise_on_error=False,
        )

    def materialization(self, result: dg.ExecuteInProcessResult, name: str = "source") -> dg.AssetMaterialization:
        (found,) = [
            event.materialization
            for event in result.get_asset_materialization_events()
            if event.asset_key == asset_key("recipe", name)
        ]
        return found

    def metadata(self, result: dg.ExecuteInProcessResult, name: str = "source") -> dict[str, Any]:
        return {key: value.value for key, value in self.materialization(result, name).metadata.items()}

    @staticmethod
    def materialized(result: dg.ExecuteInProcessResult) -> list[str]:
        return [event.asset_key.path[-1] for event in result.get_asset_materialization_events() if event.asset_key]

    @staticmethod
    def failures(result: dg.ExecuteInProcessResult) -> dict[str, str]:
        """Return the words of each step that failed, by the asset's name."""
        found = {}
        for event in result.all_events:
            if event.is_step_failure:
                data = event.step_failure_data
                words = data.user_failure_data.description if data.user_failure_data else None
                found[(event.step_key or "").removeprefix("recipe__")] = words or str(data.error)
        return found


class RunsHere(SyncInMemoryRunLauncher):
    """Runs what is launched in this process, at once; `around` is given the run and how to run it, and may do else."""

    around: Callable[[dg.DagsterRun, Callable[[], None]], None] = staticmethod(lambda run, go: go())

    def launch_run(self, context: LaunchRunContext) -> None:
        self.around(context.dagster_run, lambda: super(RunsHere, self).launch_run(context))


class Deployment:
    """An installation as Dagster's daemons see it: schedules that are on, a settable clock, runs in this process.

    The daemons' iterations are called as Dagster's tests call them; there is no public way to drive them.
    """

    _MODULE = "definitions_of_a_test"
    _LOG = logging.getLogger(__name__)

    def __init__(self, instance: dg.DagsterInstance, launcher: RunsHere):
        self.instance, self.launcher = instance, launcher
        self.day = datetime.datetime.now(datetime.UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        self._context: WorkspaceProcessContext | None = None

    def load(self, definitions: dg.Definitions) -> None:
        """Make these the definitions of the one code location, and turn all schedules on."""
        sys.modules[self._MODULE] = types.ModuleType(self._MODULE)
        sys.modules[self._MODULE].__dict__["definitions"] = definitions
        for cached in (ReconstructableJob.get_definition, ReconstructableJob.get_repository_definition):
            cached.cache_clear()
        self.close()
        target = LoadableTargetOrigin(module_name=self._MODULE, attribute="definitions")
        self._context = WorkspaceProcessContext(
            self.instance, InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(target, location_name="test"))
        )
        for schedule in self._repository().get_schedules():
            self.instance.start_schedule(schedule)

    def _repository(self) -> Any:
        (location,) = self.context.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        return repository

    @property
    def context(self) -> WorkspaceProcessContext:
        assert self._context is not None, "load definitions first"
        return self._context

    def night(self) -> None:
        """Go on to the next day, three o'clock: the schedules of the snapshots tick."""
        self.day += datetime.timedelta(days=1)
        self._tick(3)

    def morning(self) -> None:
        """Go on to six o'clock of the same day: the schedule of what has no snapshot ticks."""
        self._tick(6)

    def _tick(self, hour: int) -> None:
        errors = launch_scheduled_runs(self.context, self._LOG, self.day.replace(hour=hour), iteration_times={})
        assert [error for error in errors if error] == []

    def backfill(self) -> None:
        """Let the backfill daemon look once: it submits what was requested, and sees what has ended."""
        assert [error for error in execute_backfill_iteration(self.context, self._LOG) if error] == []

    def backfills(self) -> list[PartitionBackfill]:
        """Return the backfills in the order in which they were requested."""
        return sorted(self.instance.get_backfills(), key=lambda backfill: backfill.backfill_timestamp)

    def runs(self, job: str, **tags: str) -> list[dg.DagsterRun]:
        """Return the runs of a job in the order in which they were launched."""
        return list(self.instance.get_runs(dg.RunsFilter(job_name=job, tags=tags), ascending=True))

    def messages(self, job: str) -> list[str]:
        """Return what the code of a job's last run logged."""
        run = self.runs(job)[-1]
        return [entry.user_message for entry in self.instance.all_logs(run.run_id) if not entry.is_dagster_event]

    def close(self) -> None:
        if self._context is not None:
            self._context.__exit__(None, None, None)


@pytest.fixture(scope="session", autouse=True)
def migrations_read_once() -> Iterator[None]:
    """Read the files of Dagster's migrations once: each instance in memory, which never migrates, reads all of them."""
    read, found = ScriptDirectory.from_config, {}

    def from_config(config: Config) -> ScriptDirectory:
        place = config.get_main_option("script_location"), config.config_file_name
        return found[place] if place in found else found.setdefault(place, read(config))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Bench(tmp_path / "home", instance)


@pytest.fixture(scope="session")
def instance_on_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.local_temp(str(tmp_path_factory.mktemp("dagster"))) as instance:
        yield instance


@pytest.fixture
def ticks(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """The instance that sensors and schedules are evaluated on, without partitions.

    They open it again from its reference, which one in memory does not have. Runs are quicker in memory, on the bench.
    """
    for name in ("recipe_audio_snapshot", "recipe_page_snapshot"):
        for key in instance_on_disk.get_dynamic_partitions(name):
            instance_on_disk.delete_dynamic_partition(name, key)
    return instance_on_disk


@pytest.fixture
def deployment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """An installation without history, in memory but for its ticks. Its runs run at once, in this process."""
    folder = str(tmp_path / "deployment")
    launcher = RunsHere()
    instance = dg.DagsterInstance(
        instance_type=InstanceType.EPHEMERAL,
        local_artifact_storage=LocalArtifactStorage(folder),
        run_storage=InMemoryRunStorage(),
        event_storage=InMemoryEventLogStorage(),
        schedule_storage=SqliteScheduleStorage.from_local(folder),
        scheduler=DagsterDaemonScheduler(),
        compute_log_manager=NoOpComputeLogManager(),
        run_coordinator=DefaultRunCoordinator(),
        run_launcher=launcher,
        ref=InstanceRef.from_dir(folder),
    )
    # Ticks open the instance again from its reference; this one has no other place to be opened from.
    monkeypatch.setattr(dg.DagsterInstance, "from_ref", staticmethod(lambda ref: nullcontext(instance)))
    with instance:
        deployment = Deployment(instance, launcher)
        yield deployment
        deployment.close()


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, toys_by: Any, model_folder: Path, project_dir: Path
) -> ArtifactStore:
    """A store with a speech tokenizer, a mix of its codes, a run on it, an adopted run, and what asks both.

    It is made once: a test may read it.
    """
    folder = tmp_path_factory.mktemp("trained")
    store = ArtifactStore(folder / "store", folder / "cache")
    toys = toys_by(Execution(cache_dir=folder / "cache", launch=lambda *_: pytest.fail("a toy starts no subprocess")))
    tokenizer_folder = project_dir / "spelangy_assets" / "tokenizer_checkpoint"

    def files_of(folder: Path) -> Any:
        def write(ctx: Any, config: Any) -> None:
            with ctx.out.unit(0) as out:
                for path in sorted(folder.iterdir()):
                    out.write_file(path.name, path.read_bytes())

        return write

    def empty(ctx: Any, config: Any) -> None:
        with ctx.out.unit(0) as out:
            out.write_file("note.txt", ctx.inputs["mark"].build_key.encode() if "mark" in ctx.inputs else b"")

    def node(name: str, work: Any, stage: str = "", config: Any = None, **inputs: str) -> Any:
        return toys.node(
            name,
            stage=toys.make_stage(work, {}, name=stage or f"toy_{name}"),
            config=config or toys.NoConfig(),
            inputs=inputs,
            contract=Contract(name, "SELECT 1 AS there", (Bound("there", 1),)),
        )

    nodes = [
        node("codec", files_of(tokenizer_folder)),
        node("mix", empty, speech_tokenizer="codec"),
        node("run", files_of(model_folder), mix="mix"),
        node("tuned", files_of(model_folder), conversations="mix", base_lm="run"),
        node("adopted", files_of(model_folder)),
        node("lonely", files_of(model_folder), stage="toy_lonely"),
        node("codes", empty, speech_tokenizer="codec"),
        node("eval_adopted", empty, run="adopted", question_codes="codes"),
        node("answers_tuned", empty, config=Answering(answer_prefix="Assistant:", whole_reply=True), run="tuned"),
    ]
    for index, one in enumerate(nodes):
        assert toys.build(store, one, *nodes[:index]).verdict.passed
    return store
