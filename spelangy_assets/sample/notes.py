"""Pages of text of the sample world, rendered at run time: a page snapshot.

Put here: how text documents become pages. Do not put here: their text (render.py) or pages in archives (crawl.py).
These pages are too large for the repository; they give the base LM enough training text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample.render import text_document
from spelangy_assets.sample.world import WorldError
from spelangy_assets.sample.worlds import open_world


@dataclass(frozen=True)
class WrittenNotes:
    """Pages of text: each states facts and asks and answers questions, in wordings that talk does not have, too."""

    world: str
    seed: int
    documents: int
    documents_per_page: int
    version: str = "2"  # bumped when the pages of the same literals change

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML); a page holds several documents, a paragraph each."""
        try:
            world = open_world(self.world)
        except WorldError as error:
            raise PreflightError(f"notes: {error}") from error
        for page in range(self.documents // self.documents_per_page):
            first = page * self.documents_per_page
            paragraphs = "\n".join(
                f"<p>{escape(text_document(world, self.seed, index))}</p>"
                for index in range(first, first + self.documents_per_page)
            )
            # No heading: a page's number would be the only text on it that a model cannot learn.
            yield (
                f"https://notes.sample-world.example/{self.seed}/{page:05d}.html",
                '<!doctype html><html lang="en"><head><title>Notes</title>'
                '<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/"></head>'
                f"<body><main>\n{paragraphs}\n</main></body></html>",
            )
