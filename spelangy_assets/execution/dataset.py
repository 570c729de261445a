"""Handles: a dataset of a recipe as a value, before there is a graph.

Put here: handles, how a stage makes one, and the errors of a recipe as it is read. Do not put here: a stage,
a rule by which one dataset follows from another (derived.py), or the graph that Dagster and the store see (graph.py).

A handle names a stage, its config and its inputs, which are handles. Equal calls give equal handles; the same config
and inputs under another name are another handle, whose artifact is the same. A crawl handle (`recordings`, `pages`)
names its snapshots; every handle made from it is partitioned by them, and `.on(...)` narrows the snapshots that a
roll-up of it covers.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar

from spelangy_assets.execution.graph import Cost, Node
from spelangy_assets.quality.contracts import Contract
from spelangy_assets.store.fingerprint import digest_of, payload_of

P = ParamSpec("P")
R = TypeVar("R")

_PACKAGE = Path(__file__).resolve().parents[1]
# Code in these folders is called from recipes: an error names the calling line outside of them.
_OWN = tuple(str(_PACKAGE / name) for name in ("execution", "stages", "derived.py", "lab.py"))


class RecipeError(ValueError):
    """A recipe that does not fit together. The text is one line that names the file and the line."""


class UnknownOption(TypeError):
    """An option that a config does not have; `known` are those that it has."""

    def __init__(self, name: str, known: list[str]):
        super().__init__(f"got an unexpected keyword argument {name!r}")
        self.known = known


def caller() -> str:
    """Return FILE:LINE of the innermost call in a recipe."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OWN):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "?"


def word(function: Callable[P, R]) -> Callable[P, R]:
    """Decorate a function of the recipe language: a mistake in a call becomes one RecipeError with file and line."""

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            inspect.signature(function).bind(*args, **kwargs)
        except TypeError as error:
            known = ", ".join(inspect.signature(function).parameters)
            raise RecipeError(f"{caller()}: {function.__name__}: {error}; its arguments are {known}") from error
        try:
            return function(*args, **kwargs)
        except RecipeError:
            raise
        except UnknownOption as error:
            own = [name for name in inspect.signature(function).parameters if name != "options"]
            known = ", ".join(dict.fromkeys([*own, *error.known]))
            raise RecipeError(f"{caller()}: {function.__name__}: {error}; its arguments are {known}") from error
        except (TypeError, ValueError, KeyError) as error:
            text = " ".join(str(error).split())
            raise RecipeError(f"{caller()}: {function.__name__}: {text}") from error

    return checked


def config_of(kind: type[R], options: Mapping[str, Any]) -> R:
    """Return a stage's config of the options of a call. UnknownOption for one that it does not have."""
    known = [one.name for one in fields(kind)]  # type: ignore[arg-type]
    if unknown := [name for name in options if name not in known]:
        raise UnknownOption(unknown[0], known)
    return kind(**options)


@dataclass(frozen=True, kw_only=True)
class DatasetKind:
    """The facts that all datasets of a stage share; each stage module has one, `KIND`.

    `makes`: the dataset's kind for its readers: the record type of its first table by default, else a word such as
    "language_model", or a function of the config. `takes`: for each role the kinds of input that it accepts.
    """

    group: str
    description: str
    """The dataset's description in the UI; `{name}` and names of inputs in braces are filled in."""
    contract: Contract | Callable[[Any], Contract]
    kinds: tuple[str, ...] = ("table",)
    pool: str | None = None
    cost: Cost = "cheap"
    takes: Mapping[str, Any] = field(default_factory=dict)
    makes: Any = None
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """From which columns of the inputs the columns of the first table come (see columns.py)."""
    folder: str = ""
    """Of a crawl: the folder of SPELANGY_SNAPSHOTS in which its snapshots arrive."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """A handle.

    `inputs`: handles by role. `members`: the members of a roll-up. `sources`: for a crawl, the source of each snapshot.
    `snapshots`: the snapshots that a roll-up of this handle covers; `home`: its snapshots when it was made.
    `label`: the prefix of the names of derived datasets. `companions`: derived datasets that no other dataset reads
    (pages, accounts) and datasets that a rule looks up by role; they are not part of the identity.
    """

    name: str
    stage: ModuleType
    config: Any
    inputs: Mapping[str, Dataset] = field(default_factory=dict)
    members: tuple[tuple[Dataset, str | None], ...] = ()
    sources: Mapping[str, Any] | None = None
    snapshots: tuple[str, ...] = ()
    home: tuple[str, ...] = ()
    label: str = ""
    where: str = ""
    companions: Mapping[str, Dataset] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"<{self.name}>"

    @property
    def kind(self) -> DatasetKind:
        return self.stage.KIND

    @property
    def makes(self) -> Any:
        """The dataset's kind for its readers."""
        made = self.kind.makes
        if made is None:
            return next(iter(self.stage.TABLES.values()), self.stage_name)
        return made(self.config) if callable(made) and not isinstance(made, type) else made

    @property
    def stage_name(self) -> str:
        return self.stage.__name__.rsplit(".", 1)[-1]

    @functools.cached_property
    def crawl(self) -> Dataset | None:
        """Return the crawl whose snapshots partition this dataset; None where it is one."""
        if self.sources is not None:
            return self
        return next((one.crawl for one in self.inputs.values() if one.crawl is not None), None)

    @functools.cached_property
    def identity(self) -> str:
        """Return the digest of everything that defines the dataset, including its name."""
        return digest_of(
            [
                self.name,
                self.stage.__name__,
                payload_of(self.config, self.name),
                {role: one.identity for role, one in self.inputs.items()},
                [[one.identity, partition] for one, partition in self.members],
                None if self.sources is None else {n: payload_of(s, self.name) for n, s in self.sources.items()},
            ]
        )

    @functools.cached_property
    def unnamed(self) -> str:
        """Return the digest of what the dataset is made of, without any name: equal for two names of one dataset."""
        return digest_of(
            [
                self.stage.__name__,
                payload_of(self.config, self.name),
                {role: one.unnamed for role, one in self.inputs.items()},
                [[one.unnamed, partition] for one, partition in self.members],
                None if self.sources is None else {n: payload_of(s, self.name) for n, s in self.sources.items()},
            ]
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return (self.identity, self.snapshots) == (other.identity, other.snapshots)

    def __hash__(self) -> int:
        return hash((self.identity, self.snapshots))

    @word
    def on(self, *snapshots: str) -> Dataset:
        """Return this handle over some of its snapshots: a roll-up of it then covers those alone."""
        if unknown := [name for name in snapshots if name not in self.snapshots]:
            raise ValueError(f"{self.name} has no snapshot {unknown[0]!r}: take one of {', '.join(self.snapshots)}")
        return replace(self, snapshots=tuple(name for name in self.snapshots if name in snapshots))

    def node(self) -> Node:
        """Return the graph's node of this handle."""
        kind, crawl = self.kind, self.crawl
        names = {role: one.name for role, one in self.inputs.items()}
        return Node(
            name=self.name,
            group=kind.group,
            description=kind.description.format(**{"name": self.name, "label": self.label, **names}),
            stage=self.stage,
            config=self.config,
            contract=kind.contract if isinstance(kind.contract, Contract) else kind.contract(self.config),
            inputs=names,
            members=tuple((one.name, partition) for one, partition in self.members),
            partition=crawl.name if crawl else None,
            has_source=self.sources is not None,
            snapshots=dict(self.sources or {}),
            folder=kind.folder,
            kinds=kind.kinds,
            pool=kind.pool,
            cost=kind.cost,
        )


def dataset(
    stage: str | ModuleType,
    config: Any,
    *,
    name: str,
    inputs: Mapping[str, Dataset | None] | None = None,
    members: tuple[tuple[Dataset, str | None], ...] = (),
    sources: Mapping[str, Any] | None = None,
    label: str = "",
) -> Dataset:
    """Return the handle of a stage, which is the package's or the user's (a module, or its name).

    A role whose input is None is left out. RecipeError for an input of another kind than the stage takes, inputs of two
    crawls, or a partitioned input of a dataset that is read by snapshots and by none at once.
    """
    module = sys.modules[stage] if isinstance(stage, str) else stage
    given = {role: one for role, one in (inputs or {}).items() if one is not None}
    where = caller()
    kind: DatasetKind = module.KIND
    for role, one in given.items():
        if not isinstance(one, Dataset):
            raise RecipeError(f"{where}: {name}: {role} is {type(one).__name__}, not a dataset")
        wanted = kind.takes.get(role, kind.takes.get(role.split(".")[0]))
        makes = _member_of(one).makes
        if wanted is not None and makes not in (wanted if isinstance(wanted, tuple) else (wanted,)):
            raise RecipeError(f"{where}: {name}: {role} takes {_shown(wanted)}, but {one.name} is {_shown(makes)}")
    partitioned = [one for one in given.values() if one.crawl is not None]
    crawls = {one.crawl.identity: one.crawl for one in partitioned if one.crawl is not None}
    if len(crawls) > 1:
        raise RecipeError(f"{where}: {name}: its inputs are of several crawls: {_names(crawls.values())}")
    snapshots: tuple[str, ...] = tuple(sources or ())
    if partitioned:
        snapshots = tuple(n for n in partitioned[0].snapshots if all(n in one.snapshots for one in partitioned))
        if not snapshots:
            raise RecipeError(f"{where}: {name}: its inputs {_names(partitioned)} have no snapshot in common")
    return Dataset(
        name=name,
        stage=module,
        config=config,
        inputs=given,
        members=members,
        sources=sources,
        snapshots=snapshots,
        home=snapshots,
        label=label or name,
        where=where,
    )


def _member_of(one: Dataset) -> Dataset:
    """Return the dataset that a roll-up collects, or the dataset itself."""
    return one.members[0][0] if one.members else one


def _names(some: Any) -> str:
    return " and ".join(one.name for one in some)


def _shown(kind: Any) -> str:
    if isinstance(kind, tuple):
        return " or ".join(_shown(one) for one in kind)
    return kind.__name__ if isinstance(kind, type) else str(kind).replace("_", " ")


def with_companions(one: Dataset, **companions: Dataset) -> Dataset:
    """Return a handle that brings derived datasets along."""
    return replace(one, companions={**one.companions, **companions})


@word
def prefixed(prefix: str, one: Dataset) -> Dataset:
    """Return a handle under the name PREFIX_NAME, and so all that it is made from; companions are left out.

    Two recipes with equal names fit into one recipe in this way. Names are in no build key, so both share what is in
    the store.
    """
    made: dict[tuple[str, tuple[str, ...]], Dataset] = {}

    def visit(one: Dataset) -> Dataset:
        key = one.identity, one.snapshots
        if key not in made:
            made[key] = replace(
                one,
                name=f"{prefix}_{one.name}",
                inputs={role: visit(parent) for role, parent in one.inputs.items()},
                members=tuple((visit(member), partition) for member, partition in one.members),
                companions={},
            )
        return made[key]

    return visit(one)


def reached(leaves: Mapping[str, Dataset] | tuple[Dataset, ...]) -> Iterator[Dataset]:
    """Yield every dataset that the leaves reach, each once, parents first, companions after what they belong to.

    RecipeError when two different datasets have one name.
    """
    found: dict[str, Dataset] = {}
    ordered: list[Dataset] = []

    def visit(one: Dataset) -> None:
        one = replace(one, snapshots=one.home)  # a recipe gives its handles over all their snapshots
        before = found.get(one.name)
        if before is not None and before.identity != one.identity:
            raise RecipeError(f"{one.where}: {one.name} is another dataset than that of {before.where}: name it anew")
        if before is None:
            found[one.name] = one
            for parent in (*one.inputs.values(), *(member for member, _ in one.members)):
                visit(parent)
            ordered.append(one)
        elif one.companions:
            found[one.name] = with_companions(one, **before.companions)
        for companion in one.companions.values():
            if companion.name not in found or found[companion.name].identity != companion.identity:
                visit(companion)

    for leaf in leaves.values() if isinstance(leaves, Mapping) else leaves:
        visit(leaf)
    yield from (found[one.name] for one in ordered)
