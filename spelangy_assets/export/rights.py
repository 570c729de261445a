"""Which sources may be redistributed: none that was taken down, that has no licence, or whose licence forbids it.

Put here: that decision, by the licence that the publisher states. Do not put here: what a page or a
manifest states (spelangy_model/text/rights.py, sources/audio_manifests.py), or the upload (hub.py). It is a rule of
thumb over the names of licences, and no legal advice: the uploader is responsible.
"""

from __future__ import annotations

import fnmatch
import re
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from spelangy_assets.store.forgotten import Forgotten

# Licences that allow redistribution of a work and of its derivatives, as patterns of lower-case SPDX ids.
_OPEN = (
    *("cc0-*", "cc-by-[0-9]*", "cc-by-sa-*", "cc-by-nc-[0-9]*", "cc-by-nc-sa-*", "cc-pddc", "cc-pdm-*", "pdm-*"),
    *("pddl-*", "odc-by-*", "odbl-*", "cdla-*", "apache-*", "mit", "mit-0", "bsd-*", "isc", "unlicense", "0bsd"),
    *("public domain", "publicdomain"),
)
# Terms that forbid redistribution of derivatives; chunks of a talk are derivatives of it.
_FORBIDS = re.compile(r"(?<![a-z])nd(?![a-z])|no ?deriv|all rights reserved|no redistribution|not redistribut")
_LISTED = 5


@dataclass(frozen=True)
class SourceRow:
    """A recording or page from which a dataset has rows."""

    kind: str
    content_hash: str
    url: str
    licence: str


def judge(licence: str) -> str:
    """Return `open`, `forbidden` or `unknown`: whether a licence allows redistribution of derivatives."""
    words = " ".join(licence.lower().split())
    if any(fnmatch.fnmatchcase(words, pattern) for pattern in _OPEN):
        return "open"
    return "forbidden" if _FORBIDS.search(words.replace("-", " ")) else "unknown"


def check_takedowns(sources: Iterable[SourceRow], taken_down: Forgotten) -> None:
    """Raise ValueError if sources were taken down; it names some of them."""
    taken = [one.url or one.content_hash for one in sources if taken_down.holds(one.url, one.content_hash)]
    if taken:
        raise ValueError(
            f"{len(taken)} of its sources were taken down ({_some(taken)}): run the recipe again, which leaves them out"
        )


def check_licences(sources: Iterable[SourceRow], permitted: Collection[str] = ()) -> None:
    """Raise ValueError if a licence forbids redistribution or is not known to allow it; it counts sources by licence.

    `permitted` are licences, as stated, that the user knows to allow it; a licence that forbids it stays refused.
    """
    counts = Counter(one.licence for one in sources)
    forbidden = {name: count for name, count in counts.items() if judge(name) == "forbidden"}
    if forbidden:
        raise ValueError(
            f"the licence of {sum(forbidden.values())} of its sources forbids redistribution of derivatives "
            f"({_counted(forbidden)}): leave them out with `licences=` of the mix, or of the crawl"
        )
    unknown = {name: n for name, n in counts.items() if judge(name) == "unknown" and name not in permitted}
    if unknown:
        raise ValueError(
            f"the licence of {sum(unknown.values())} of its sources is not known to allow redistribution "
            f"({_counted(unknown)}): if you know that it does, add "
            + " ".join(f"--permit {name!r}" for name in list(unknown)[:_LISTED])
        )


def _counted(counts: dict[str, int]) -> str:
    return _some([f"{name}: {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1])])


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" and more" if len(names) > _LISTED else "")
