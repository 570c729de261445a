"""Which sources may be redistributed: none that was taken down, that has no licence, or whose licence forbids it.

Put here: that decision, by the licence that the publisher states. Do not put here: what a page or a
manifest states (spelangy_model/text/rights.py, sources/audio_manifests.py), or the upload (hub.py). It is a rule of
thumb over the names of licences, and no legal advice: the uploader is responsible.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass

from spelangy_assets.store.forgotten import Forgotten

# Licences that let a copy and what is made of it be handed on, as patterns of SPDX ids in small letters.
_OPEN = (
    *("cc0-*", "cc-by-[0-9]*", "cc-by-sa-*", "cc-by-nc-[0-9]*", "cc-by-nc-sa-*", "cc-pddc", "cc-pdm-*", "pdm-*"),
    *("pddl-*", "odc-by-*", "odbl-*", "cdla-*", "apache-*", "mit", "mit-0", "bsd-*", "isc", "unlicense", "0bsd"),
    *("public domain", "publicdomain"),
)
# Words with which a publisher keeps the right to hand on what is made of the work; chunks of a talk are made of it.
_FORBIDS = ("-nd-", "-nd", "noderiv", "no deriv", "all rights reserved", "no redistribution", "not redistribut")
_LISTED = 5


@dataclass(frozen=True)
class SourceRow:
    """A recording or page that a dataset holds rows of."""

    kind: str
    content_hash: str
    url: str
    licence: str


def judge(licence: str) -> str:
    """Return `open`, `forbidden` or `unknown`: whether a licence lets what is made of a work be handed on."""
    words = " ".join(licence.lower().split())
    if any(fnmatch.fnmatchcase(words, pattern) for pattern in _OPEN):
        return "open"
    spelled = words.replace("_", "-")
    if any(words.endswith(one) if one == "-nd" else one in spelled for one in _FORBIDS):
        return "forbidden"
    return "unknown"


def check_takedowns(sources: Iterable[SourceRow], taken_down: Forgotten) -> None:
    """ValueError, which names some of them, when sources are among those that were taken down."""
    gone = [one.url or one.content_hash for one in sources if taken_down.holds(one.url, one.content_hash)]
    if gone:
        raise ValueError(
            f"{len(gone)} of its sources were taken down ({_some(gone)}): run the recipe again, which leaves them out"
        )


def check_licences(sources: Iterable[SourceRow], permitted: Collection[str] = ()) -> None:
    """ValueError, which counts the sources by licence, when a licence forbids handing on or is not known to allow it.

    `permitted` are licences, as stated, that a person knows to allow it; what forbids it is not permitted by that.
    """
    counts = Counter(one.licence for one in sources)
    forbidden = {name: count for name, count in counts.items() if judge(name) == "forbidden"}
    if forbidden:
        raise ValueError(
            f"the licence of {sum(forbidden.values())} of its sources forbids handing on what is made of them "
            f"({_counted(forbidden)}): leave them out with `licences=` of the mix, or of the crawl"
        )
    unknown = {name: n for name, n in counts.items() if judge(name) == "unknown" and name not in permitted}
    if unknown:
        raise ValueError(
            f"the licence of {sum(unknown.values())} of its sources is not known to allow handing them on "
            f"({_counted(unknown)}): where you know that it does, say so with "
            + " ".join(f"--permit {name!r}" for name in list(unknown)[:_LISTED])
        )


def _counted(counts: dict[str, int]) -> str:
    return _some([f"{name}: {count}" for name, count in sorted(counts.items(), key=lambda one: -one[1])])


def _some(names: list[str]) -> str:
    return ", ".join(names[:_LISTED]) + (" and more" if len(names) > _LISTED else "")
