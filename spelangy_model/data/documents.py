"""Token documents as flat arrays: a whole shard is interleaved at once, without a Python object for each chunk.

Put here: the arrays, and reading them from a table of TokenDocument. Do not put here: the choice of modality or
the sequence format (interleave.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from spelangy_model.records import TokenDocument, to_table

COLUMNS = ("document_id", "source_id", "chunks")  # what is read of a TokenDocument


@dataclass(frozen=True, eq=False)
class DocumentArrays:
    """Documents d with chunks first_chunk[d] .. first_chunk[d + 1] - 1, in order.

    Chunk c has the codes first_code[c] .. first_code[c + 1] - 1 of `codes` (int32), and likewise its text ids. The
    strings are Arrow columns with one entry a document.
    """

    document_ids: pa.Array
    source_ids: pa.Array
    first_chunk: np.ndarray
    codes: np.ndarray
    first_code: np.ndarray
    text_ids: np.ndarray
    first_text: np.ndarray

    def __len__(self) -> int:
        return len(self.first_chunk) - 1


def document_arrays(table: pa.Table) -> DocumentArrays:
    """Return the documents of a table with (at least) the columns COLUMNS of TokenDocument."""
    columns: Any = [_column(table, name) for name in COLUMNS]
    document_ids, source_ids, chunks = columns
    parts: Any = chunks.flatten()
    _, codes, text_ids = parts.flatten()  # the fields of a TokenChunk; unlike field(), it minds a slice
    return DocumentArrays(
        document_ids,
        source_ids,
        _ends(chunks),
        codes.flatten().to_numpy(),
        _ends(codes),
        text_ids.flatten().to_numpy(),
        _ends(text_ids),
    )


def arrays_of_records(documents: Sequence[TokenDocument]) -> DocumentArrays:
    """Return the arrays of documents that are records."""
    return document_arrays(to_table(documents, TokenDocument))


def _column(table: pa.Table, name: str) -> Any:
    column = table.column(name)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _ends(lists: Any) -> np.ndarray:
    lengths = lists.value_lengths().to_numpy(zero_copy_only=False)
    ends = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=ends[1:])
    return ends


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return starts[0], starts[0] + 1, ... (lengths[0] of them), starts[1], ...: int64, sum(lengths) entries."""
    total = int(lengths.sum())
    before = np.cumsum(lengths) - lengths
    return np.repeat(starts - before, lengths) + np.arange(total)
