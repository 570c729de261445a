"""The errors of a store."""

from __future__ import annotations


class StoreError(Exception):
    """An artifact that is asked for is not there, not committed, or did not pass its contract."""


class Damaged(StoreError):
    """The bytes of a file of a committed version differ from its manifest."""

    def __init__(self, words: str, path: str, build_key: str):
        super().__init__(words)
        self.path, self.build_key = path, build_key


class CommittedMeanwhile(StoreError):
    """Another process committed the version that this one works on; what both wrote is equal."""


class PublishedMeanwhile(StoreError):
    """Another version was published since the decision to publish this one."""
