"""The pages of a whole world, rendered at run time: a page snapshot of articles and of questions and answers.

Put here: the choice of pages. Do not put here: their HTML (pages.py), or the archives of the sample crawl, which hold
unwanted pages as well (crawl.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample.pages import article_page, faq_page
from spelangy_assets.sample.world import WorldError
from spelangy_assets.sample.worlds import open_world


@dataclass(frozen=True)
class WorldPages:
    """An article and a page of questions for every entity of the world of that reference (sample/worlds.py)."""

    world: str
    seed: int
    version: str = "1"  # bumped when the pages of the same literals change

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML). Raises PreflightError when the installed world is another one."""
        try:
            world = open_world(self.world)
        except WorldError as error:
            raise PreflightError(f"pages: {error}") from error
        for entity in world.entities:
            for page in (article_page(world, entity, self.seed), faq_page(world, entity, self.seed)):
                yield page.url, page.html
