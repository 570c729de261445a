"""Data of a store for Python and notebooks, in two lines:

    import spelangy_assets as sl
    rows = sl.open_store().dataset("sample/web_fine")

Put here: published rows as Arrow, pandas, `datasets` or an IterableDataset of torch, with sound that is decoded when it
is asked for, and published models, to be asked. Do not put here: writing anything; that is what recipes and `spelangy
export` are for.
"""

from __future__ import annotations

import base64
import bisect
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from spelangy_assets.settings import Settings
from spelangy_assets.store.artifacts import LAYOUT_FILE, ArtifactStore
from spelangy_assets.store.files import Files, below
from spelangy_assets.store.runs import model_folders
from spelangy_assets.store.selection import Selection, select
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.extras import missing

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from datasets import Dataset as HubDataset
    from torch.utils.data import IterableDataset as TorchDataset

    from spelangy_model.eval.ask import AskedModel

_AUDIO = "audio"


def open_store(place: str | Path | None = None, recipe: str = "sample") -> Store:
    """Return the store at a folder or an s3:// prefix; by default that of the settings (SPELANGY_STORE, SPELANGY_HOME).

    A folder may also be a home, which holds `store`. `recipe` is meant where a dataset is named without one.
    """
    settings = Settings.from_environment()
    place = settings.store_uri if place is None else str(place)
    if Files(place).read_if_there(f"store/{LAYOUT_FILE}") is not None:
        place = below(place, "store")
    return Store(ArtifactStore(place, settings.cache_dir), recipe)


@dataclass(frozen=True)
class Store:
    """A store, to be read."""

    artifacts: ArtifactStore
    recipe: str

    def datasets(self) -> list[str]:
        """Return the names of all that is published: RECIPE/DATASET or RECIPE/DATASET@SNAPSHOT."""
        names = (name for name, one in self.artifacts.publications() if one.published is not None)
        return sorted(
            f"{name.recipe}/{name.dataset}" + (f"@{name.partition}" if name.partition else "") for name in names
        )

    def dataset(self, name: str, table: str = "") -> Rows:
        """Return the rows of [RECIPE/]DATASET[@SNAPSHOT]: of all its snapshots where none is named.

        `table` is one of its tables; by default the one that it is known for. ValueError or StoreError, which says what
        there is, when nothing is published under the name.
        """
        selection = select(self.artifacts, name, self.recipe, table)
        if not selection.shards():
            raise ValueError(f"{selection.name} holds no rows")
        return Rows(self.artifacts, selection)

    def model(self, name: str, device: str = "cpu", **options: Any) -> AskedModel:
        """Return the model of [RECIPE/]RUN, or of a folder, with its speech tokenizer, to be asked questions.

        `options` are `answer_prefix`, by default the one by which the model is judged, and `max_answer_tokens`.
        ValueError or StoreError says which runs there are.
        """
        _need("torch")
        _need("transformers")
        from spelangy_model.eval.ask import open_model

        found = model_folders(self.artifacts, name, self.recipe)
        if found.answer_prefix:
            options.setdefault("answer_prefix", found.answer_prefix)
        return open_model(found.name, found.model, found.speech_tokenizer, device, **options)


@dataclass(frozen=True)
class Sound:
    """A row's sound: a FLAC file, mono, 16 kHz. In a notebook it shows as a player."""

    flac: bytes
    sampling_rate: int = SAMPLE_RATE_HZ

    @cached_property
    def array(self) -> np.ndarray:
        """The samples (n,), float32 in [-1, 1]; decoded when they are first asked for."""
        return decode_flac(self.flac)

    def _repr_html_(self) -> str:
        return f'<audio controls src="data:audio/flac;base64,{base64.b64encode(self.flac).decode()}"></audio>'


class Rows(Sequence[dict[str, Any]]):
    """Rows of published versions, in order: `rows[3]`, `len(rows)` and `for row in rows` read what they need.

    A row is a dict of its columns; `audio` is a `Sound`.
    """

    def __init__(self, artifacts: ArtifactStore, selection: Selection):
        self._artifacts, self._selection = artifacts, selection
        self._shards = [shard for _, shard in selection.shards()]
        self._ends = list(itertools.accumulate(shard.rows for shard in self._shards))

    def __repr__(self) -> str:
        return f"<{self.name}: {len(self)} {self._selection.table}>"

    @property
    def name(self) -> str:
        return self._selection.name

    @property
    def data_versions(self) -> dict[str, str]:
        """The data version of each published dataset that the rows are of: what an experiment notes."""
        return {str(one.name): one.data_version for one in self._selection.versions}

    @property
    def schema(self) -> pa.Schema:
        """The columns, each with its description in the field's metadata."""
        return self._selection.schema()

    def __len__(self) -> int:
        return self._ends[-1]

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        """Return one row; reads its row group."""
        at = index + len(self) if index < 0 else index
        if not 0 <= at < len(self):
            raise IndexError(f"{self.name} has {len(self)} rows; there is no row {index}")
        place = bisect.bisect_right(self._ends, at)
        shard = self._shards[place]
        start = at - (self._ends[place] - shard.rows)
        return next(_rows(shard.slice(start, start + 1).to_batches()))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for shard in self._shards:
            yield from _rows(shard.batches())

    def arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as one Arrow table, or some of their columns; all of it is held in memory."""
        return pa.concat_tables([shard.table(columns) for shard in self._shards])

    def pandas(self, columns: Sequence[str] | None = None) -> pd.DataFrame:
        """Return the rows as a data frame, or some of their columns; all of it is held in memory."""
        _need("pandas")
        return self.arrow(columns).to_pandas()

    def datasets(self) -> HubDataset:
        """Return the rows as a Dataset of Hugging Face's `datasets`, which is on the disk.

        `audio` is decoded when a row is read, to {"array", "sampling_rate"}; neither torchcodec nor ffmpeg is needed.
        """
        _need("datasets")
        import datasets

        features = datasets.Features.from_arrow_schema(self.schema)
        if _has_sound(self.schema):
            features[_AUDIO] = datasets.Audio(sampling_rate=SAMPLE_RATE_HZ, decode=False)
        cache = self._artifacts.cache_dir
        folders = {shard.path.rpartition("/")[0]: one for one, shard in self._selection.shards()}
        homes = {path: one.local_folder(cache) for path, one in folders.items()}
        files: Any = [
            str(homes[shard.path.rpartition("/")[0]] / shard.path.rpartition("/")[2]) for shard in self._shards
        ]
        found: Any = datasets.Dataset.from_parquet(files, features=features, cache_dir=str(cache / "datasets"))
        return found.with_transform(_decoded) if _has_sound(self.schema) else found

    def torch(self) -> TorchDataset:
        """Return the rows as an IterableDataset of torch, for trainers outside.

        Rows come in order, read shard by shard; `audio` is {"array", "sampling_rate"}. Each worker of each process
        takes its own part: whole shards where there are enough of them, else every n-th row.
        """
        _need("torch")
        from torch.utils.data import IterableDataset

        shards = self._shards

        class Stream(IterableDataset):
            def __iter__(self) -> Iterator[dict[str, Any]]:
                one, of = _place_among_readers()
                by_shard = len(shards) >= of
                mine = shards[one::of] if by_shard else shards
                rows = (row for shard in mine for row in _rows(shard.batches()))
                for row in rows if by_shard else itertools.islice(rows, one, None, of):
                    yield {name: _plain(value) for name, value in row.items()}

        return Stream()


def _place_among_readers() -> tuple[int, int]:
    """Return which of all workers of all processes this one is, and how many there are."""
    import torch.distributed as dist
    from torch.utils.data import get_worker_info

    rank, processes = (
        (dist.get_rank(), dist.get_world_size()) if dist.is_available() and dist.is_initialized() else (0, 1)
    )
    worker = get_worker_info()
    index, workers = (worker.id, worker.num_workers) if worker is not None else (0, 1)
    return rank * workers + index, processes * workers


def _rows(batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
    for batch in batches:
        for row in batch.to_pylist():
            yield {**row, _AUDIO: Sound(row[_AUDIO]["bytes"])} if _has_sound(batch.schema) else row


def _has_sound(schema: pa.Schema) -> bool:
    return _AUDIO in schema.names and pa.types.is_struct(schema.field(_AUDIO).type)


def _plain(value: Any) -> Any:
    return {"array": value.array, "sampling_rate": value.sampling_rate} if isinstance(value, Sound) else value


def _decoded(batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
    if _AUDIO not in batch:
        return batch
    return {**batch, _AUDIO: [_plain(Sound(one["bytes"])) for one in batch[_AUDIO]]}


def _need(module: str) -> None:
    if lacking := missing(module):
        raise ModuleNotFoundError(lacking, name=module)
