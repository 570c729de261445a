"""What all tests share: the test data beside the project, a store in a temporary folder, and toy stages."""

import atexit
import dataclasses
import gc
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest
from hypothesis import settings

if "PYTEST_XDIST_WORKER" in os.environ:  # each worker has a core; torch and BLAS would start a thread for every core
    os.environ.setdefault("OMP_NUM_THREADS", "1")

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stages import roll_up
from spelangy_assets.store import fingerprint
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, Identity
from spelangy_model.records import Metric, Reject

gc.set_threshold(
    100_000, 50, 50
)  # by default it takes a tenth of the time: a worker holds millions of objects that stay

settings.register_profile("untimed", deadline=None)  # a loaded machine is slow, and no test is timed
settings.load_profile("untimed")

PROJECT = Path(__file__).resolve().parents[1]


def pytest_collection_finish() -> None:
    """Leave all that was imported out of garbage collection: it stays, and each look through it takes a second."""
    gc.freeze()
    atexit.register(gc.unfreeze)  # some libraries report what the interpreter did not collect at its end


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure() -> None:
    """Leave out what the tests imported too: pytest looks through everything ten times before it ends."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def no_fsync() -> Iterator[None]:
    """Do without waiting for the disk: no test takes the power away, and the same machine reads what is written."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="module", autouse=True)
def names_of_types() -> Iterator[None]:
    """Forget the types of a test module after it: two modules that run in one process may call theirs alike."""
    yield
    for name, (module, _) in list(fingerprint._types.items()):
        if module.startswith("tests."):
            del fingerprint._types[name]


@pytest.fixture(scope="session")
def project_dir() -> Path:
    """The root of the checkout."""
    return PROJECT


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """The folder of test data beside the project; the test is skipped where there is none."""
    folder = PROJECT.parent / "shared"
    if not (folder / "data").is_dir():
        pytest.skip(f"no test data in {folder}")
    return folder


@pytest.fixture
def tiny_mimi(tmp_path: Path) -> Path:
    """A checkpoint folder of a real MimiModel, as small as it gets, with random weights and 64 codes a codebook."""
    import torch
    from transformers import MimiConfig, MimiModel

    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = MimiModel(
            MimiConfig(
                hidden_size=32,
                num_filters=4,
                num_hidden_layers=1,
                num_attention_heads=2,
                num_key_value_heads=2,
                head_dim=16,
                intermediate_size=32,
                codebook_size=64,
                codebook_dim=8,
                vector_quantization_hidden_dimension=8,
                num_quantizers=4,
                upsample_groups=32,
            )
        )
        for name, table in model.named_buffers():
            if name.endswith("embed_sum"):  # codebooks start as zeros, at which every sound is code 0
                table.normal_(std=8.0)  # the size of its latents
    model.save_pretrained(tmp_path / "mimi")
    return tmp_path / "mimi"


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run's folder as training writes it, of random weights; it knows the codes of the shipped speech tokenizer."""
    from transformers import PreTrainedTokenizerFast

    from spelangy_model.lm.presets import new_model
    from spelangy_model.tokenizer.text import train_text_tokenizer
    from spelangy_model.tokenizer.vocab import Layout, extend_tokenizer
    from spelangy_model.train.checkpoint import save_model

    layout = Layout(text_size=300, codebook_size=1000)
    words = train_text_tokenizer([f"The answer is word number {i}." for i in range(50)], layout.text_size)
    tokenizer = extend_tokenizer(PreTrainedTokenizerFast(tokenizer_object=words), layout)
    folder = tmp_path_factory.mktemp("models") / "model"
    save_model(folder, new_model("tiny", layout, seed=4), tokenizer, layout)
    return folder


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(tmp_path / "store", tmp_path / "cache")


@pytest.fixture
def execution(tmp_path: Path) -> Execution:
    def launch(module: str, spec: object, folder: Path) -> None:
        raise AssertionError("a toy stage starts no subprocess")

    return Execution(cache_dir=tmp_path / "cache", launch=launch, readers=2)  # as on a node with a GPU


@pytest.fixture
def identity() -> Identity:
    """An identity for tests that write to the store without a graph."""
    return Identity(stage="toy", stage_version="1", config_fingerprint="f", config={}, inputs=[], build_key="v1-toy")


# --- toy stages ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class ToyConfig:
    """The rows of each unit; a negative one is dropped."""

    version: ClassVar[str] = "1"
    units: tuple[tuple[float, ...], ...] = ((1.0, 2.0, -1.0), (3.0, -2.0))


def metric(value: float) -> Metric:
    return Metric("toy", f"m{value}", value, value, value, 1)


def write_toy(ctx: StageContext, config: ToyConfig) -> None:
    """Write two tables, a file and an attachment a unit."""
    for unit, values in ctx.out.pending(config.units):
        ctx.log(f"unit {unit}")
        with ctx.out.unit(unit) as out:
            out.read(len(values))
            out.write("metrics", [metric(value) for value in values if value >= 0])
            for value in values:
                if value < 0:
                    out.drop("negative")
                    out.write("rejects", [Reject("toy", "", "negative", str(value))])
                else:
                    out.add("value_sum", value)
            out.write_file(f"notes/unit-{unit}.txt", f"unit {unit} \N{GREEK SMALL LETTER OMEGA}".encode())
            out.write_file(f"log-{unit}.txt", b"outside the version", identity=False)


def double_input(ctx: StageContext, config: Any) -> None:
    """Double the values of the input `above`, a unit a shard."""
    for unit, shard in ctx.out.pending(ctx.inputs["above"].shards("metrics")):
        ctx.log(f"unit {unit}")
        with ctx.out.unit(unit) as out:
            rows = shard.records(Metric)
            out.read(len(rows))
            out.write("metrics", [dataclasses.replace(row, value=2 * row.value) for row in rows])


def sum_members(ctx: StageContext, config: Any) -> None:
    """One row a member of the roll-up `above`: the sum of its values."""
    for unit, member in ctx.out.pending(ctx.members["above"]):
        ctx.log(f"unit {unit}")
        with ctx.out.unit(unit) as out:
            out.read(1)
            values = [row.value for row in member.records("metrics", Metric)]
            subject = f"{member.name.dataset}/{member.address.partition}"
            out.write("metrics", [Metric(subject, "sum", sum(values), sum(values), sum(values), len(values))])


@dataclass(frozen=True)
class NoConfig:
    """Nothing to choose."""

    version: ClassVar[str] = "1"


_OTHER_STAGES: dict[Callable[[StageContext, Any], None], int] = {}


def make_stage(
    run: Callable[[StageContext, Any], None],
    tables: dict[str, type] | None = None,
    version: str = "1",
    name: str | None = None,
    config: type = NoConfig,
    preflight: Callable[[Any, Execution], None] = lambda config, execution: None,
) -> ModuleType:
    """Return a stage module; another function is another stage, since versions are found by the stage's name."""
    if name is None:
        name = "toy_stage" if run is write_toy else f"toy_stage_{_OTHER_STAGES.setdefault(run, len(_OTHER_STAGES))}"
    stage = ModuleType(name)
    vars(stage).update(
        VERSION=version, Config=config, TABLES=tables or {"metrics": Metric}, preflight=preflight, run=run
    )
    return stage


def make_contract(low: float = 0, name: str = "toy", severity: Any = "block") -> Contract:
    """A contract that asks for at least `low` rows."""
    return Contract(name, "SELECT count(*) AS metrics FROM metrics", (Bound("metrics", low, None, severity),))


TOY_TABLES: dict[str, type] = {"metrics": Metric, "rejects": Reject}


class Toys:
    """A small graph per test, built with a plain loop as the bridge would; `log` is what the stages logged."""

    make_stage = staticmethod(make_stage)
    make_contract = staticmethod(make_contract)
    write_toy = staticmethod(write_toy)
    double_input = staticmethod(double_input)
    sum_members = staticmethod(sum_members)
    Config = ToyConfig
    NoConfig = NoConfig
    tables = TOY_TABLES

    def __init__(self, execution: Execution):
        self.execution = execution
        self.log: list[str] = []

    def node(self, name: str = "source", **changes: Any) -> Node:
        """Return a node that writes toys."""
        literals: dict[str, Any] = {
            "group": "toys",
            "description": "toys",
            "stage": make_stage(write_toy, TOY_TABLES, config=ToyConfig),
            "config": ToyConfig(),
            "contract": make_contract(),
        }
        return Node(name=name, **{**literals, **changes})

    def reader(self, name: str, above: str, run: Any = double_input, **changes: Any) -> Node:
        """Return a node that reads another."""
        literals = {"stage": make_stage(run, name="toy_reader"), "config": NoConfig(), "inputs": {"above": above}}
        return self.node(name, **{**literals, **changes})

    def roll_up(self, name: str, *members: tuple[str, str | None]) -> Node:
        return self.node(name, stage=roll_up, config=roll_up.Config(), contract=roll_up.CONTRACT, members=members)

    def build(
        self,
        store: ArtifactStore,
        node: Node,
        *above: Node,
        partition: str | None = None,
        recipe: str = "recipe",
        **more: Any,
    ) -> Built:
        """Build one node of the graph that it makes with the nodes above it."""
        graph = Graph(recipe, [*above, node])
        arguments: dict[str, Any] = {"execution": self.execution, "log": self.log.append, **more}
        return build(store, graph, node, partition, **arguments)

    @staticmethod
    def address(name: str = "source", partition: str | None = None, recipe: str = "recipe") -> DatasetName:
        """The name of a dataset."""
        return DatasetName(recipe, name, partition)


@pytest.fixture(scope="session")
def toys_by() -> type[Toys]:
    """The maker of toys, for fixtures that outlive a test."""
    return Toys


@pytest.fixture
def toys(execution: Execution) -> Toys:
    return Toys(execution)
