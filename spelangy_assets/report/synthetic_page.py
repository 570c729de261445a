"""The page of a snapshot's synthetic speech: spoken documents beside their source pages, and the rejected lines.

Put here: how Krist and Quest are laid out for a person. Do not put here: reading artifacts or drawing the sample (the
stage does), or any figure that the records do not hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from spelangy_assets.report.render import number, render
from spelangy_assets.report.sound import AudioBudget
from spelangy_model.progress import duration
from spelangy_model.records import CheckedChunk, Chunk, Metric, Reject, Script

_CONTEXT_CHARACTERS = 400  # of the page's text on either side of the span
_VOICES_SHOWN = 8


@dataclass(frozen=True)
class SpokenDocument:
    """A script as one voice spoke it. `page_text` is the source page's main text; empty: it has none."""

    script: Script
    chunks: Sequence[Chunk]
    page_text: str = ""


@dataclass(frozen=True)
class SpokenSet:
    """One synthetic dataset: a sample of its documents, and the records that it dropped."""

    name: str
    documents: Sequence[SpokenDocument]
    accounts: Sequence[Metric]
    dropped: Mapping[str, int]  # "asset: reason" -> records
    rejects: Sequence[Reject] = ()
    voices: Sequence[Metric] = ()  # of its round trip
    checked: Mapping[str, CheckedChunk] = field(default_factory=dict)
    max_word_error_rate: float = 1.0


def synthetic_page(sets: Sequence[SpokenSet], *, title: str, audio_bytes: int = 24 * 2**20) -> str:
    """Return the page as HTML. Equal records give equal bytes; sound is embedded up to `audio_bytes`."""
    budget = AudioBudget(audio_bytes)
    views = [_set_view(one, budget) for one in sets]
    return render("synthetic_page.html", title=title, sets=views, accounts=_accounts(sets), audio_note=budget.note())


def _accounts(sets: Sequence[SpokenSet]) -> list[dict[str, Any]]:
    """Return a row a figure and a column a set."""
    values = {(one.name, metric.metric): metric.value for one in sets for metric in one.accounts}
    shown = (metric for one in sets for metric in one.accounts if not metric.metric.startswith("dropped."))
    names = dict.fromkeys(metric.metric for metric in shown)
    return [
        {
            "name": name.replace("_", " ").replace(".", ": "),
            "values": [number(values[one.name, name]) if (one.name, name) in values else "-" for one in sets],
        }
        for name in names
    ]


def _set_view(one: SpokenSet, budget: AudioBudget) -> dict[str, Any]:
    by_name = {
        name: [m for m in one.voices if m.metric == name] for name in dict.fromkeys(m.metric for m in one.voices)
    }
    rates = [*by_name.get("voice.word_error_rate", []), *by_name.get("dropped_voice.word_error_rate", [])]
    worst = sorted(rates, key=lambda metric: (-metric.value, metric.subject))
    return {
        "name": one.name,
        "anchor": one.name.lower(),
        "dropped": [
            {"what": what, "records": f"{count:,}"}
            for what, count in sorted(one.dropped.items(), key=lambda item: (-item[1], item[0]))
        ],
        "rejects": [{"url": r.source_uri, "reason": r.reason, "words": r.error} for r in one.rejects],
        "rates": [
            _rate(metric, one.max_word_error_rate)
            for metric in (*by_name.get("word_error_rate", []), *by_name.get("accent.word_error_rate", []))
        ],
        "worst": [_rate(metric, one.max_word_error_rate) for metric in worst[:_VOICES_SHOWN]],
        "voices": len(worst),
        "limit": f"{one.max_word_error_rate:g}",
        "checked": len(one.checked),
        "documents": [_document_view(document, one, budget) for document in one.documents],
    }


def _rate(metric: Metric, limit: float) -> dict[str, Any]:
    percent = [100 * min(value, 1.0) for value in (metric.low, metric.value, metric.high)]
    return {
        "subject": metric.subject,
        "value": f"{100 * metric.value:.0f}%",
        "interval": f"{100 * metric.low:.0f} to {100 * metric.high:.0f}%",
        "words": metric.count,
        "bad": metric.low > limit,
        "left": f"{percent[0]:.1f}",
        "width": f"{max(percent[2] - percent[0], 0.8):.1f}",
        "mark": f"{percent[1]:.1f}",
        "limit": f"{100 * min(limit, 1.0):.1f}",
    }


def _document_view(document: SpokenDocument, one: SpokenSet, budget: AudioBudget) -> dict[str, Any]:
    script = document.script
    first = document.chunks[0]
    before, span, after = surroundings(document)
    seconds = sum(chunk.duration_s for chunk in document.chunks)
    return {
        "title": script.title,
        "url": script.url,
        "licence": script.licence,
        "id": first.document_id,
        "page": script.page_id,
        "voice": first.speaker,
        "duration": duration(seconds),
        "before": before,
        "span": span,
        "after": after,
        "whole": not before and not after,
        "chunks": [_chunk_view(chunk, one.checked.get(chunk.chunk_id), budget) for chunk in document.chunks],
    }


def _chunk_view(chunk: Chunk, checked: CheckedChunk | None, budget: AudioBudget) -> dict[str, Any]:
    view: dict[str, Any] = {
        "role": chunk.role,
        "number": chunk.index + 1,
        "duration": duration(chunk.duration_s),
        "audio": budget.embed(chunk),
        "text": chunk.text,
        "spoken": chunk.spoken_text if chunk.spoken_text != chunk.text else "",
        "recognized": "",
    }
    if checked is not None:
        view["recognized"] = checked.recognized or "(nothing)"
        view["errors"] = f"{checked.word_errors} of {checked.words} words wrong"
        view["right"] = checked.word_errors == 0
    return view


def surroundings(document: SpokenDocument) -> tuple[str, str, str]:
    """Return (the page's text before the evidence, the evidence, the text after it), each cut to size.

    Evidence that is not in the text (only in the page's markup) has no surroundings.
    """
    found = [line for line in document.script.lines if line.start >= 0]
    if not found or not document.page_text:
        return "", document.script.evidence, ""
    start, end = min(line.start for line in found), max(line.end for line in found)
    before, after = document.page_text[:start], document.page_text[end:]
    return (
        ("\u2026" if len(before) > _CONTEXT_CHARACTERS else "") + before[-_CONTEXT_CHARACTERS:],
        document.page_text[start:end],
        after[:_CONTEXT_CHARACTERS] + ("\u2026" if len(after) > _CONTEXT_CHARACTERS else ""),
    )
