"""Renders a report as a page: the templates, and the format of numbers and times.

Put here: what all pages share. Do not put here: a page's contents. A page is one file of HTML that opens from disk: its
policy (a meta tag of the base template) forbids scripts and every request, its colours follow light and dark.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jinja2


@cache
def _environment() -> jinja2.Environment:
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("spelangy_assets.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def render(template: str, **values: Any) -> str:
    """Return the page of a template; whatever the values hold is escaped."""
    return _environment().get_template(template).render(**values)


def clock(seconds: float) -> str:
    """Write a moment of a recording: 1:02:03.4 or 2:03.4."""
    tenths = round(seconds * 10)
    hours, rest = divmod(tenths, 36_000)
    minutes, rest = divmod(rest, 600)
    text = f"{minutes:02d}:{rest / 10:04.1f}" if hours else f"{minutes}:{rest / 10:04.1f}"
    return f"{hours}:{text}" if hours else text


def share(part: float, whole: float) -> str:
    """Write a part as a percentage; nothing of nothing is a dash."""
    return f"{100 * part / whole:.1f}%" if whole else "-"


def number(value: float) -> str:
    """Write a number to three significant digits or so; what is not finite is a dash."""
    if not math.isfinite(value):
        return "-"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
