"""A store opened from Python: rows as Arrow, pandas, `datasets` and torch, with sound on demand."""

import dataclasses
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spelangy_assets as sl
from spelangy_assets.access import Sound, Store
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, StoreError
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.records import Audio, Metric, SpokenPassage

SHARDS, ROWS_EACH = 3, 2


def sound_of(number: int) -> np.ndarray:
    return np.round(np.sin(np.arange(1600 + number) / 7) * 8000).astype(np.float32) / 32768


def write_passages(ctx: Any, config: Any) -> None:
    numbers = iter(range(SHARDS * ROWS_EACH))
    for unit, _ in ctx.out.pending(range(SHARDS)):
        with ctx.out.unit(unit) as out:
            for number in [next(numbers) for _ in range(ROWS_EACH)]:
                audio = Audio(encode_flac(sound_of(number)), f"{number}.flac")
                out.write("passages", [SpokenPassage(f"p{number}", "t", "t", ["a", "b"], ["v"], [0.0], audio)])


@pytest.fixture
def opened(store: ArtifactStore, toys: Any) -> Store:
    """A store that holds passages with sound in three shards, and metrics with rejects."""
    crawl = toys.node("crawl")
    stage = toys.make_stage(write_passages, {"passages": SpokenPassage})
    contract = dataclasses.replace(toys.make_contract(), sql="SELECT count(*) AS metrics FROM passages")
    passages = toys.node("talk", stage=stage, config=toys.NoConfig(), contract=contract)
    assert toys.build(store, crawl).verdict.passed
    assert toys.build(store, passages).verdict.passed
    return Store(store, "recipe")


def test_a_home_is_opened_by_its_store(opened: Store, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "store").symlink_to(opened.artifacts.files.uri.removeprefix("file://"))
    assert sl.open_store(tmp_path / "home").datasets() == opened.datasets()


def test_two_lines_open_a_dataset(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPELANGY_STORE", opened.artifacts.files.uri)
    rows = sl.open_store().dataset("recipe/talk")
    assert [row["passage_id"] for row in rows] == [f"p{number}" for number in range(6)]
    assert len(rows) == 6
    assert rows[-1]["passage_id"] == "p5"
    for number, row in enumerate(rows):
        np.testing.assert_array_equal(row["audio"].array, sound_of(number))
        np.testing.assert_array_equal(rows[number]["audio"].array, sound_of(number))
    version = opened.artifacts.resolve(DatasetName("recipe", "talk")).data_version
    assert rows.data_versions == {"recipe/talk": version}
    assert repr(rows) == "<recipe/talk: 6 passages>"
    for place in (6, -7):
        with pytest.raises(IndexError, match=f"has 6 rows; there is no row {place}"):
            rows[place]


def test_a_store_says_what_it_holds(opened: Store) -> None:
    assert opened.datasets() == ["recipe/crawl", "recipe/talk"]
    with pytest.raises(ValueError, match="recipe has published no talks: it has crawl, talk"):
        opened.dataset("talks")
    with pytest.raises(ValueError, match="has no table 'x': it has metrics, rejects"):
        opened.dataset("crawl", table="x")
    assert [row["reason"] for row in opened.dataset("crawl", table="rejects")] == ["negative", "negative"]
    with pytest.raises(ValueError, match="only what is published can be read"):
        opened.dataset("talk#v1")


def test_what_did_not_pass_its_contract_is_not_read(store: ArtifactStore, toys: Any) -> None:
    failed = toys.node("source", contract=toys.make_contract(99))
    assert not toys.build(store, failed).verdict.passed
    with pytest.raises((ValueError, StoreError)):
        Store(store, "recipe").dataset("source")


def test_sound_is_decoded_when_it_is_asked_for(opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[bytes] = []
    monkeypatch.setattr("spelangy_assets.access.decode_flac", lambda data: decoded.append(data) or decode_flac(data))
    rows = list(opened.dataset("talk"))
    assert decoded == []
    assert rows[2]["audio"].array is rows[2]["audio"].array
    assert len(decoded) == 1
    assert Sound(b"fLaC")._repr_html_() == '<audio controls src="data:audio/flac;base64,ZkxhQw=="></audio>'


def test_arrow_and_pandas_give_all_rows_or_some_columns(opened: Store) -> None:
    rows = opened.dataset("crawl")
    table = rows.arrow()
    assert table.schema.equals(rows.schema)
    assert table.to_pylist() == [dataclasses.asdict(row) for row in _metrics(opened)]
    frame = rows.pandas(["metric", "value"])
    assert list(frame.columns) == ["metric", "value"]
    assert frame["value"].tolist() == [row.value for row in _metrics(opened)]


def _metrics(opened: Store) -> list[Metric]:
    return list(opened.artifacts.resolve(DatasetName("recipe", "crawl")).records("metrics", Metric))


def test_datasets_decodes_without_torchcodec(opened: Store) -> None:
    pytest.importorskip("datasets")
    found = opened.dataset("talk").datasets()
    assert found.num_rows == 6
    assert found["passage_id"][:] == [f"p{number}" for number in range(6)]
    row = found[4]
    assert row["audio"]["sampling_rate"] == 16_000
    np.testing.assert_array_equal(row["audio"]["array"], sound_of(4))
    assert [len(one["audio"]["array"]) for one in found.filter(lambda row: row["passage_id"] > "p3")] == [1604, 1605]
    assert opened.dataset("crawl").datasets()[0] == dataclasses.asdict(_metrics(opened)[0])


@pytest.mark.parametrize("workers", [0, 2, 3, 4], ids=["none", "fewer", "as many as shards", "more than shards"])
def test_each_row_goes_to_one_reader(workers: int, opened: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers are those of torch's DataLoader, as each of them sees itself."""
    from types import SimpleNamespace

    import torch.utils.data

    stream = opened.dataset("talk").torch()
    assert isinstance(stream, torch.utils.data.IterableDataset)
    read = []
    for worker in range(max(workers, 1)):
        seen = SimpleNamespace(id=worker, num_workers=workers) if workers else None
        monkeypatch.setattr(torch.utils.data, "get_worker_info", lambda seen=seen: seen)
        for row in stream:
            np.testing.assert_array_equal(row["audio"]["array"], sound_of(int(row["passage_id"][1:])))
            read.append(row["passage_id"])
    assert sorted(read) == [f"p{number}" for number in range(6)]


def test_importing_the_package_loads_no_library(project_dir: Path) -> None:
    code = "import spelangy_assets, sys; print([n for n in ('pyarrow', 'numpy', 'duckdb') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project_dir)
    assert done.stdout == "[]\n"
    with pytest.raises(AttributeError, match="has no attribute 'open_shop'"):
        sl.open_shop  # noqa: B018
