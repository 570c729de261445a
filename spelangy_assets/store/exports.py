"""The record of exports: where each one is, and the sources that it contains.

    {root}/exports/{id}.parquet    the sources of an export: kind, content_hash, url, licence
    {root}/exports/{id}.json       the export, written after it

Put here: writing and reading that record. Do not put here: the export itself (export/). The record stays when the
exported version is deleted by garbage collection, since the exported copy still exists.
"""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.fingerprint import digest_of
from spelangy_assets.store.forgotten import Forgotten

_FOLDER = "exports"
_SOURCES = pa.schema([(name, pa.string()) for name in ("kind", "content_hash", "url", "licence")])


@dataclass(frozen=True)
class Export:
    """One export. `place` is a folder, an s3:// prefix or a repository of the Hub; `versions` are data versions."""

    dataset: str
    format: str
    place: str
    versions: tuple[str, ...]
    at: str

    @property
    def id(self) -> str:
        return digest_of([self.dataset, self.format, self.place, list(self.versions)])[:24]


def record_export(store: ArtifactStore, export: Export, sources: Iterable[Mapping[str, str]]) -> None:
    """Record an export with its sources; the same export to the same place is recorded once."""
    table = pa.Table.from_pylist([dict(one) for one in sources], schema=_SOURCES)
    packed = io.BytesIO()
    pq.write_table(table, packed)
    store.files.write(f"{_FOLDER}/{export.id}.parquet", packed.getvalue())
    store.files.replace(f"{_FOLDER}/{export.id}.json", json.dumps(asdict(export), indent=1).encode())


def exports(store: ArtifactStore) -> Iterator[Export]:
    """Yield the exports of a store."""
    for name, is_folder in store.files.names(_FOLDER):
        if not is_folder and name.endswith(".json") and not name.startswith("."):
            found = json.loads(store.files.read(f"{_FOLDER}/{name}"))
            yield Export(**{**found, "versions": tuple(found["versions"])})


def exports_with(store: ArtifactStore, url: str, content_hashes: Iterable[str] = ()) -> list[Export]:
    """Return the exports that contain a source by its address, or by equal bytes from another one, oldest first."""
    url = url.partition("#t=")[0]
    held = [(one, _sources(store, one)) for one in exports(store)]
    hashes = {digest.partition("-")[0] for digest in content_hashes}
    hashes |= {
        digest.partition("-")[0] for _, rows in held for digest, where in rows if where.partition("#t=")[0] == url
    }
    probe = Forgotten(frozenset([url]), frozenset(hashes))
    found = [one for one, rows in held if any(probe.holds(where, digest) for digest, where in rows)]
    return sorted(found, key=lambda one: (one.at, one.place))


def _sources(store: ArtifactStore, export: Export) -> list[tuple[str, str]]:
    with contextlib.suppress(FileNotFoundError):
        table = pq.read_table(io.BytesIO(store.files.read(f"{_FOLDER}/{export.id}.parquet")))
        return list(zip(table.column("content_hash").to_pylist(), table.column("url").to_pylist(), strict=True))
    return []
