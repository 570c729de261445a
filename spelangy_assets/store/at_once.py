"""A store for one question over many datasets, which reads each document once.

Put here: what such a store remembers. Do not put here: what a question asks (execution/status.py). Over ten thousand
datasets most of the time of `status` would be manifests and publications that are read once for every dataset below.
"""

from __future__ import annotations

from spelangy_assets.store.artifacts import Artifact, ArtifactStore
from spelangy_assets.store.manifest import Publication, Verdict
from spelangy_assets.store.names import Address, DatasetName


class StoreAtOnce(ArtifactStore):
    """A store that remembers each version, publication and verdict that it is asked for.

    It does not see what is written meanwhile: keep it for one question, and write through another one.
    """

    def __init__(self, store: ArtifactStore):
        super().__init__(store.root, store.cache_dir)
        self._files = store.files
        self._versions: dict[tuple[Address, str], Artifact | None] = {}
        self._publications: dict[DatasetName, Publication | None] = {}
        self._verdicts: dict[tuple[str, str], Verdict | None] = {}
        self._resolved: dict[DatasetName, Artifact] = {}

    def find(self, address: Address, build_key: str, name: DatasetName | None = None) -> Artifact | None:
        key = address, build_key
        if key not in self._versions:
            self._versions[key] = super().find(address, build_key)
        found = self._versions[key]
        return found if found is None or name is None else Artifact(found.files, address, found.manifest, name)

    def publication(self, name: DatasetName) -> Publication | None:
        if name not in self._publications:
            self._publications[name] = super().publication(name)
        return self._publications[name]

    def measured(self, artifact: Artifact, contract: str) -> Verdict | None:
        key = artifact.path, contract
        if key not in self._verdicts:
            self._verdicts[key] = super().measured(artifact, contract)
        return self._verdicts[key]

    def resolve(self, name: DatasetName) -> Artifact:
        if name not in self._resolved:
            self._resolved[name] = super().resolve(name)
        return self._resolved[name]
