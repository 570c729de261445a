"""The documents beside the data: the manifest of an artifact and the verdict on it.

Put here: the two JSON documents and their parts. Do not put here: where and when they are written (artifacts.py), or
how a verdict is reached (quality/).
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal, Self

from spelangy_assets.store.fingerprint import Payload, digest_of


class _Json:
    """JSON in and out for a dataclass of literals; unknown fields are refused by the constructor."""

    def to_json(self) -> bytes:
        return json.dumps(dataclasses.asdict(self), indent=1, sort_keys=True, ensure_ascii=False).encode()  # type: ignore[call-overload]

    @classmethod
    def from_json(cls, text: bytes | str) -> Self:
        return cls._from(json.loads(text if isinstance(text, str) else text.decode()))

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        return cls(**value)


@dataclass(frozen=True)
class Shard(_Json):
    """A file of an artifact. `table` is empty for a file that is not a Parquet shard (a model's weights, a page)."""

    path: str
    table: str
    rows: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Counts(_Json):
    """Records read, kept, and dropped by reason; `stats` are sums of measured quantities (hours, tokens)."""

    records_in: int = 0
    records_kept: int = 0
    dropped: dict[str, int] = field(default_factory=dict)
    stats: dict[str, float] = field(default_factory=dict)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.records_in + other.records_in,
            self.records_kept + other.records_kept,
            _sum(self.dropped, other.dropped),
            _sum(self.stats, other.stats),
        )


def _sum(a: dict[str, Any], b: dict[str, Any]) -> dict[str, Any]:
    return {key: a.get(key, 0) + b.get(key, 0) for key in sorted(a.keys() | b.keys())}


@dataclass(frozen=True)
class Input(_Json):
    """An input at the explicit version that was read. `stage` is empty for a source outside the graph.

    `name` is the input's name in the recipe for which the version was first made; it is not part of the identity.
    """

    role: str
    stage: str
    partition: str | None
    build_key: str
    data_version: str
    name: str = ""


@dataclass(frozen=True)
class Receipt(_Json):
    """The completion mark of one unit of work: a unit without a readable receipt of this build is done again."""

    build_key: str
    unit: int
    shards: list[Shard]
    attachments: list[Shard]
    counts: Counts
    seconds: float
    cpu_seconds: float

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        return cls(
            **{
                **value,
                "shards": [Shard(**shard) for shard in value["shards"]],
                "attachments": [Shard(**shard) for shard in value["attachments"]],
                "counts": Counts(**value["counts"]),
            }
        )


@dataclass(frozen=True)
class Manifest(_Json):
    """The commit mark of an artifact, written last: everything that is known about this version of a dataset.

    `recipe` and `dataset` name the dataset for which it was first made; `outside` holds the digests of the modules from
    outside of the package that made it, by name. These are not part of the identity.
    """

    stage: str
    partition: str | None
    build_key: str
    stage_version: str
    config_fingerprint: str
    config: Payload
    inputs: list[Input]
    shards: list[Shard]
    attachments: list[Shard]
    data_version: str
    counts: Counts
    units: int
    seconds: float
    cpu_seconds: float
    created_at: str
    provenance: dict[str, str]
    recipe: str
    dataset: str
    outside: dict[str, str] = field(default_factory=dict)

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        return cls(
            **{
                **value,
                "inputs": [Input(**item) for item in value["inputs"]],
                "shards": [Shard(**shard) for shard in value["shards"]],
                "attachments": [Shard(**shard) for shard in value["attachments"]],
                "counts": Counts(**value["counts"]),
            }
        )

    def rows(self, table: str) -> int:
        """Return the number of rows of one table over all shards."""
        return sum(shard.rows for shard in self.shards if shard.table == table)


def data_version_of(shards: list[Shard], inputs: list[Input]) -> str:
    """Return the version of the bytes: equal bytes give equal versions, whatever made them.

    A roll-up has no shards of its own; its version is the digest of its children's versions.
    """
    if shards:
        return digest_of([[shard.path, shard.sha256] for shard in sorted(shards, key=lambda shard: shard.path)])[:24]
    return digest_of(sorted([item.stage, item.partition or "", item.data_version] for item in inputs))[:24]


Severity = Literal["block", "warn"]


@dataclass(frozen=True)
class Expectation(_Json):
    """The outcome of one expectation. `error` is the exception's text when it could not be evaluated."""

    name: str
    severity: Severity
    success: bool
    observed: str
    error: str = ""


@dataclass(frozen=True)
class Overrule(_Json):
    """A person's decision that a version which failed its contract may be read all the same, by one recipe."""

    by: str
    reason: str
    at: str


@dataclass(frozen=True)
class Verdict(_Json):
    """The result of a quality contract on an artifact. It passes when no blocking expectation failed or errored.

    A person may overrule a failed verdict; its expectations stay unchanged.
    """

    contract_fingerprint: str
    passed: bool
    expectations: list[Expectation]
    evaluated_at: str
    overruled: Overrule | None = None

    @property
    def accepted(self) -> bool:
        """Whether the version may be published and read."""
        return self.passed or self.overruled is not None

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        expectations = [Expectation(**item) for item in value["expectations"]]
        overruled = Overrule(**value["overruled"]) if value.get("overruled") else None
        return cls(**{**value, "expectations": expectations, "overruled": overruled})

    def failures(self) -> list[Expectation]:
        return [item for item in self.expectations if not item.success]


@dataclass(frozen=True)
class Standing(_Json):
    """The state of a version in one recipe: the contract that judged it last there, the drift from the previous
    partition there, and whether a person overruled the contract there. The verdict itself is stored beside the data."""

    stage: str
    build_key: str
    data_version: str
    contract: str
    since: str
    drift: list[Expectation] = field(default_factory=list)
    overruled: Overrule | None = None

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        drift = [Expectation(**item) for item in value["drift"]]
        overruled = Overrule(**value["overruled"]) if value.get("overruled") else None
        return cls(**{**value, "drift": drift, "overruled": overruled})

    @property
    def version(self) -> tuple[str, str]:
        return self.stage, self.build_key


@dataclass(frozen=True)
class Publication(_Json):
    """The current version of a recipe's dataset, which others read, and the newest one that failed, if one did.

    `withdrawn` is the reason why no version is published any more.
    """

    published: Standing | None = None
    failed: Standing | None = None
    withdrawn: str = ""

    @classmethod
    def _from(cls, value: dict[str, Any]) -> Self:
        standings = {name: Standing._from(value[name]) if value[name] else None for name in ("published", "failed")}
        return cls(**{**value, **standings})
