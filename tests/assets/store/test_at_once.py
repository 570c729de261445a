"""A store for one question reads each document once, and answers as the store does."""

from typing import Any

import pytest

from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.at_once import StoreAtOnce
from spelangy_assets.store.files import Files


def test_each_document_is_read_once(store: ArtifactStore, toys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    toys.build(store, toys.node("crawl"))
    name = DatasetName("recipe", "crawl")
    read: list[str] = []
    inner = Files.read
    monkeypatch.setattr(Files, "read", lambda self, path: (read.append(path), inner(self, path))[1])
    at_once = StoreAtOnce(store)
    for _ in range(3):
        assert at_once.resolve(name) == store.resolve(name)
        assert at_once.latest(name) == store.latest(name)
    of_question = [path for path in read if read.count(path) == 1 + 6]
    assert len(of_question) >= 2, "the store reads a document at each of its six answers, the question reads it once"
    renamed = at_once.find(store.resolve(name).address, store.resolve(name).manifest.build_key, DatasetName("b", "x"))
    assert renamed is not None
    assert renamed.name == DatasetName("b", "x")


def test_what_cannot_be_read_is_asked_again(store: ArtifactStore, toys: Any) -> None:
    at_once = StoreAtOnce(store)
    with pytest.raises(StoreError, match="never built"):
        at_once.resolve(DatasetName("recipe", "crawl"))
