"""Escaping of foreign text in Markdown: it is shown as text and has no effect as markup.

Put here: foreign text as Markdown, and tables of it. Do not put here: pages of HTML, whose templates escape by
themselves (render.py), or the contents of a table.

Dagster's UI renders Markdown in metadata, check results and descriptions, images included: an image in the title of a
crawled page would make the reader's browser send a request.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

# Letters, digits and marks that Markdown gives no meaning inside of a line that begins with a letter or a digit. An
# underscore is between two of these; text that begins like a list or an address is not plain.
_PLAIN = re.compile(
    r"(?!\d+[.)])(?!.*\bwww\.)(?:[^\W_]|(?<=[^\W_])_(?=[^\W_])|[ ,.;?'\"()%/=+-])*",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?%?")
_SPACES = re.compile(r"[\s\x1c-\x1f\x85\u2028\u2029]+")
# Characters that are invisible on a page or change the order of their neighbours; halves of a character.
_UNSEEN = re.compile(r"[\x00-\x08\x0e-\x1b\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
# Words alone as its name: a link or code in there could end it elsewhere.
_PICTURE = re.compile(r"!(?=\[)(?!\[[\w ,.-]*\]\(data:image/png;base64,[A-Za-z0-9+/=]+\))")


def markdown_text(text: object) -> str:
    """Return Markdown of one line that shows a text, in a paragraph as in a cell of a table.

    Names, numbers and prose stay as they are. Text that Markdown could interpret becomes code, which it does not
    interpret; a "|" is placed outside of the code, since even inside of code it would end a cell. White space becomes a
    space. Characters that are invisible or change the order of letters become the replacement character.
    """
    line = _UNSEEN.sub("\ufffd", _SPACES.sub(" ", str(text))).strip()
    if _NUMBER.fullmatch(line) or (line[:1].isalnum() and _PLAIN.fullmatch(line)):
        return line
    return "&#124;".join(_code(piece) for piece in line.split("|"))


def _code(piece: str) -> str:
    if not piece.strip():
        return piece
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", piece)), default=0))
    # A space at both ends is taken away again. It keeps backticks of the text from those of the fence.
    edge = " " if "`" in piece[0] + piece[-1] or piece[0] == piece[-1] == " " else ""
    return f"{fence}{edge}{piece}{edge}{fence}"


def markdown_table(columns: Sequence[object], rows: Iterable[Sequence[object]], numbers: Sequence[int] = ()) -> str:
    """Return a table; all cells are text (see `markdown_text`). Columns at `numbers` are aligned to the right."""
    rules = ("---:" if place in numbers else "---" for place in range(len(columns)))
    lines = ["| " + " | ".join(markdown_text(name) for name in columns) + " |", "|" + "|".join(rules) + "|"]
    lines += ["| " + " | ".join(markdown_text(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def without_pictures(markdown: str) -> str:
    """Return Markdown in which no picture is fetched: those that it holds itself, as PNG, stay."""
    return _PICTURE.sub("&#33;", markdown)
