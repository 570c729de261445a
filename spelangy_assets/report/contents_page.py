"""The page of what is in the data: amounts by speaker, accent, source, licence and language; lengths; quality.

Put here: how the sums are laid out for a person. Do not put here: the sums (stages/describe_data.py makes them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from spelangy_assets.report.render import number, render, share

_LISTED = 15
_ASPECTS = {
    "set": "Sets of chunks and texts",
    "speaker": "Speakers",
    "accent": "Accents",
    "source": "Sources",
    "licence": "Licences",
    "language": "Languages",
}
_MEASURES = {
    "duration_s": ("How long the chunks are", "s"),
    "snr_db": ("Signal-to-noise ratio", "dB"),
    "mos": ("Opinion score, overall (1 to 5)", ""),
    "mos_speech": ("Opinion score of the speech", ""),
    "mos_background": ("Opinion score of the background", ""),
}


def contents_page(
    portions: Mapping[str, Sequence[tuple[str, int, float]]], metrics: Mapping[str, float], *, unit: str, title: str
) -> str:
    """Return the page as HTML. Equal values give equal bytes.

    `portions`: by aspect (name, chunks, amount), the largest first; an empty name is not stated. `metrics`: by name, as
    stages/describe_data.py names them. `unit` is that of the amounts.
    """
    shown = [name for name in _ASPECTS if name != "set" or len(portions.get("set", ())) > 1]
    aspects = [_aspect(name, portions.get(name, ()), unit) for name in shown]
    return render(
        "contents_page.html",
        title=title,
        unit=unit,
        figures=_figures(metrics, unit),
        aspects=[aspect for aspect in aspects if aspect["rows"]],
        histograms=[view for name in _MEASURES if (view := _histogram(name, metrics))],
        scored="mos.mean" in metrics,
        labelled=any("/" in name for name, _, _ in portions.get("speaker", ())),
    )


def _figures(metrics: Mapping[str, float], unit: str) -> list[tuple[str, str]]:
    found = [
        (unit, number(metrics[unit])),
        ("chunks", number(metrics["chunks"])),
        ("documents", number(metrics["documents"])),
        ("speakers", number(metrics["speakers"])),
        ("share of the largest speaker", share(metrics["largest_speaker_share"], 1)),
    ]
    if "share_that_end_a_sentence" in metrics:
        found.append(("chunks that end with a sentence", share(metrics["share_that_end_a_sentence"], 1)))
    return found


def _aspect(aspect: str, portions: Sequence[tuple[str, int, float]], unit: str) -> dict[str, Any]:
    total = sum(amount for *_, amount in portions)
    rows = list(portions[:_LISTED])
    highest = max((amount for *_, amount in rows), default=0.0)
    if rest := portions[_LISTED:]:
        rows.append((f"{len(rest)} others", sum(chunks for _, chunks, _ in rest), sum(amount for *_, amount in rest)))
    return {
        "title": _ASPECTS[aspect],
        "count": len([name for name, *_ in portions if name]),
        "rows": [
            {
                "name": name or "not stated",
                "stated": bool(name),
                "chunks": number(chunks),
                "amount": number(amount) if unit == "hours" else number(round(amount)),
                "share": share(amount, total),
                "width": f"{100 * amount / highest:.1f}" if highest and place < _LISTED else "0",
            }
            for place, (name, chunks, amount) in enumerate(rows)
        ],
    }


def _histogram(name: str, metrics: Mapping[str, float]) -> dict[str, Any] | None:
    if f"{name}.mean" not in metrics:
        return None
    title, unit = _MEASURES[name]
    prefix = f"{name}.share."
    shares = [(key.removeprefix(prefix), value) for key, value in metrics.items() if key.startswith(prefix)]
    highest, width = max(value for _, value in shares), 1000 / len(shares)
    after = f" {unit}" if unit else ""

    def value_of(key: str) -> str:
        return f"{metrics[f'{name}.{key}']:.1f}{after}"

    return {
        "title": title,
        "text": f"mean {value_of('mean')}, median {value_of('p50')}, half from {value_of('p25')} to {value_of('p75')}, "
        f"nine in ten from {value_of('p05')} to {value_of('p95')}",
        "bars": [
            {
                "x": round(i * width + 2, 1),
                "y": round(80 - 80 * value / highest, 1),
                "width": round(width - 4, 1),
                "height": round(80 * value / highest, 1),
                "title": f"{_bin(label, after)}: {share(value, 1)}",
            }
            for i, (label, value) in enumerate(shares)
        ],
        "ticks": [_tick(label) for label, _ in shares],
    }


def _bin(label: str, after: str) -> str:
    low, high = label.split("_")
    if low == "-inf":
        return f"below {high}{after}"
    return f"{low}{after} and more" if high == "inf" else f"{low} to {high}{after}"


def _tick(label: str) -> str:
    low, high = label.split("_")
    return f"<{high}" if low == "-inf" else low
