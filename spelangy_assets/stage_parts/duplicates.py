"""Which of several equal or similar recordings or pages is kept: the common part of audio_index and page_index.

Put here: the order, the choice of the kept one, the records and counts of an index. Do not put here: similarity
(find_duplicate_recordings, find_duplicate_pages), or the removal (mix drops what an index lists).

The first in the order of the corpus is kept, whatever arrives later. One that resembles only a dropped one is kept. Of
two with the same id, which is a digest of their bytes, the later one is a `duplicate`; of two that are only similar it
is a `near_duplicate`.

An index is not an input of a snapshot's datasets, because it covers all snapshots and changes whenever one arrives:
every old dataset would be made again. The cost is that a duplicate is processed in vain. It is left out in the mix,
which reads all snapshots and changes with a larger corpus in any case.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.records import Duplicate


@dataclass(frozen=True)
class Known:
    """A recording or page of the corpus; its place in the list of all is its number."""

    source_id: str
    snapshot: str


def find(
    known: Sequence[Known], most_alike: Callable[[int, set[int]], tuple[int, float]], min_similarity: float
) -> Iterator[Duplicate]:
    """Yield the duplicates, in order; each names one that is kept.

    `most_alike(number, left_out)` returns the number of the earlier one that is most like it, of those not in it,
    and how alike they are, 0 to 1.
    """
    first_of: dict[str, int] = {}
    left_out: set[int] = set()
    for number, one in enumerate(known):
        same = first_of.setdefault(one.source_id, number)
        if same in left_out:
            same = first_of[one.source_id] = number
        if same != number:
            original, similarity, reason = same, 1.0, "duplicate"
        else:
            original, similarity = most_alike(number, left_out)
            reason = "near_duplicate"
        if similarity < min_similarity:
            continue
        left_out.add(number)
        yield Duplicate(
            source_id=one.source_id,
            snapshot=one.snapshot,
            duplicate_of=known[original].source_id,
            duplicate_of_snapshot=known[original].snapshot,
            reason=reason,
            similarity=similarity,
        )


def write(out: UnitWriter, known: Sequence[Known], duplicates: Sequence[Duplicate]) -> None:
    """Write an index, whose records are the duplicates, and count what it compared."""
    out.read(len(known))
    out.kept(len(known) - len(duplicates))
    for duplicate in duplicates:
        out.drop(duplicate.reason)
    out.write("duplicates", duplicates)
