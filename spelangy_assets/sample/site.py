"""The pages of a whole world, rendered at run time: page snapshots of entries and of questions and answers.

Put here: the choice of pages. Do not put here: their HTML (pages.py), or the archives of the sample crawl, which hold
unwanted pages as well (crawl.py). Entries and questions are snapshots of their own, so that Krist reads the ones and
Quest mines the others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample.pages import entry_page, faq_page
from spelangy_assets.sample.world import World, WorldError
from spelangy_assets.sample.worlds import open_world


@dataclass(frozen=True)
class WorldEntries:
    """So many editions of an entry for every entity of the world of that reference (sample/worlds.py)."""

    world: str
    seed: int
    editions: int
    version: str = "1"  # bumped when the pages of the same literals change

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML). Raises PreflightError when the installed world is another one."""
        world = _opened(self.world)
        for edition in range(self.editions):
            for entity in world.entities:
                page = entry_page(world, entity, self.seed, edition)
                yield page.url, page.html


@dataclass(frozen=True)
class WorldQuestions:
    """A page of questions and answers for every entity of the world of that reference (sample/worlds.py)."""

    world: str
    seed: int
    version: str = "1"  # bumped when the pages of the same literals change

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML). Raises PreflightError when the installed world is another one."""
        world = _opened(self.world)
        for entity in world.entities:
            page = faq_page(world, entity, self.seed)
            yield page.url, page.html


def _opened(reference: str) -> World:
    try:
        return open_world(reference)
    except WorldError as error:
        raise PreflightError(f"pages: {error}") from error
