"""The cards of an export: README.md with the metadata block that the Hub reads, written from manifests and rows.

Put here: what a card says, and its metadata. Do not put here: gathering it (facts.py, models.py). What is in data
(titles, speakers, licences) is text on a card and never acts (report/markdown.py). Source of the fields: the Hub's
specifications of dataset and model cards.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from typing import Any

import yaml

from spelangy_assets.export.facts import ASPECTS, Amounts, Facts, Score
from spelangy_assets.export.formats import Format
from spelangy_assets.export.rights import judge
from spelangy_assets.report.markdown import markdown_table, markdown_text
from spelangy_assets.store.artifacts import Artifact
from spelangy_assets.store.selection import Selection

_LISTED = 20
_SIZES = ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K"), (1e6, "100K<n<1M"), (1e7, "1M<n<10M"))
_LARGE = ((1e8, "10M<n<100M"), (1e9, "100M<n<1B"), (1e10, "1B<n<10B"), (1e11, "10B<n<100B"), (1e12, "100B<n<1T"))
_TASKS = {
    "chunks": ["automatic-speech-recognition", "text-to-speech"],
    "transcripts": ["automatic-speech-recognition"],
    "questions": ["question-answering", "multiple-choice"],
    "rows": ["text-generation"],
    "documents": ["text-generation"],
}
_WHAT = {
    "chunks": "Pairs of sound and text: each row is a chunk of a recording or of synthetic speech with its words.",
    "transcripts": "Segments of recordings, each with its sound, its words with times, and the votes behind them.",
    "questions": "Spoken multiple-choice questions, each with its recording, its options and the right one.",
    "passages": "Passages of held-out talk: sentences of which all but the last are spoken.",
    "rows": "Packed training rows of a mix of speech codes and text: token ids, positions, loss masks, sources.",
    "documents": "Documents as token ids: speech codes and text ids of each chunk.",
}
# What the Hub asks people who request access to a gated repository of voices.
_GATE = {
    "extra_gated_prompt": "Voices are personal data of the people who speak.",
    "extra_gated_fields": {"I will not use the voices to identify or to imitate a person": "checkbox"},
}
# What the Hub calls a licence, where that is not its SPDX id in small letters.
_HUB_NAMES = {"mit-0": "mit", "odc-by-1.0": "odc-by", "odbl-1.0": "odbl", "cc-pddc": "pddl", "pddl-1.0": "pddl"}
_HUB_LICENCES = re.compile(
    r"apache-2\.0|mit|cc0-1\.0|cc-by-[234]\.[05]|cc-by-sa-[34]\.0|cc-by-nc(-sa|-nd)?-[234]\.0|cc-by-nd-4\.0|odc-by|odbl"
    r"|pddl|unlicense|bsd-[23]-clause|isc|cdla-permissive-[12]\.0|cdla-sharing-1\.0"
)


def dataset_card(
    selection: Selection, facts: Facts, amounts: Amounts, how: Format, split: str, consent: str = ""
) -> str:
    """Return the card of exported rows. `consent`: how those whose voices it holds agreed; empty: it is not stated."""
    title, last = selection.dataset, len(selection.shards()) - 1
    metadata = {
        "pretty_name": title,
        **licence_metadata(facts.licences),
        **_languages(facts, amounts),
        "size_categories": [size_category(amounts.rows)],
        **({"task_categories": _TASKS[selection.table]} if selection.table in _TASKS else {}),
        "tags": ["spelangy", *(["audio"] if how.needs_sound or selection.table in ("chunks", "questions") else [])],
    }
    if facts.holds_recordings:
        metadata |= _GATE
    if how.name == "hf":
        files = [{"split": split, "path": f"data/{split}-*.parquet"}]
        metadata["configs"] = [{"config_name": "default", "data_files": files}]
    made = [_stage_line(one) for one in facts.versions]
    parts = [
        f"# {markdown_text(title)}",
        _WHAT.get(selection.table, f"The table `{selection.table}` of {markdown_text(selection.name)}."),
        f"Written by [SpeLangy](https://pypi.org/project/spelangy/) {version('spelangy')} from "
        f"{markdown_text(selection.name)}.",
        "## How it was made",
        "\n".join(f"* {line}" for line in made),
        _ancestors(facts),
        "## How much there is",
        _counts(facts, amounts),
        *_aspects(amounts),
        *_positions(facts),
        "## Known limits",
        "\n".join(f"* {line}" for line in _limits(facts, amounts)),
        *rights_section(facts, consent),
        "## Versions",
        versions_section(selection.recipe, facts.versions),
        "## How to load",
        "```python\n" + how.loading.format(folder="FOLDER", split=split, last=last).strip() + "\n```",
    ]
    return front_matter(metadata) + "\n\n".join(part for part in parts if part) + "\n"


def model_card(
    run: Artifact,
    facts: Facts,
    mix: Artifact | None,
    scores: Sequence[Score],
    base: str,
    consent: str = "",
    *,
    served: bool = False,
    takes_speech: bool = False,
) -> str:
    """Return the card of a training run. `base` is what it was trained from: a run, a checkpoint, or nothing.

    `served`: the files for servers are beside it; `takes_speech`: its speech tokenizer, too.
    """
    name = str(run.name)
    metadata = {
        **licence_metadata(facts.licences),
        "library_name": "transformers",
        **({"pipeline_tag": "text-generation"} if served else {}),
        "tags": ["spelangy", "speech-language-model"],
        **(_GATE if facts.holds_recordings else {}),
        **({"model-index": [_model_index(run.name.dataset, scores)]} if _judging(scores) else {}),
    }
    stats = run.manifest.counts.stats
    trained = {
        "steps": f"{stats.get('steps', 0):.0f}",
        "tokens seen": f"{stats.get('positions_seen', 0):.0f}",
        "tokens in the loss": f"{stats.get('loss_positions_seen', 0):.0f}",
        "hours of speech seen": f"{stats.get('speech_s_seen', 0) / 3600:.3g}",
        "closing loss, nats a token": f"{stats.get('closing_loss_nats', math.nan):.4g}",
    }
    measured = [
        (one.by, one.metric, _number(one.value), _number(one.low), _number(one.high), one.count)
        for one in scores
        if ".voice." not in one.metric
    ]
    parts = [
        f"# {markdown_text(run.name.dataset)}",
        "A speech language model: it reads and writes text and codes of a speech tokenizer.",
        f"Written by [SpeLangy](https://pypi.org/project/spelangy/) {version('spelangy')} from {markdown_text(name)}.",
        "## Training",
        f"Trained from {markdown_text(base)}." if base else "Trained from random weights.",
        markdown_table(("", ""), trained.items()),
        *_mix_section(mix),
        "## Scores",
        markdown_table(("judged by", "metric", "value", "95% from", "to", "items"), measured, (2, 3, 4, 5))
        if measured
        else "It was not scored.",
        "## How it was made",
        _ancestors(facts),
        "## Known limits",
        "\n".join(f"* {line}" for line in _limits(facts, Amounts())),
        *rights_section(facts, consent),
        "## Versions",
        versions_section(run.name.recipe, (run,)),
        "## How to load",
        *_loading(served, takes_speech),
    ]
    return front_matter(metadata) + "\n\n".join(part for part in parts if part) + "\n"


_LOAD = """```python
from transformers import AutoModelForCausalLM

model = AutoModelForCausalLM.from_pretrained("FOLDER")
```"""
_ASK = """Written questions need transformers alone:

```python
from transformers import pipeline

ask = pipeline("text-generation", model="FOLDER")
print(ask([{"role": "user", "content": "Where does velvet come from?"}])[0]["generated_text"][-1]["content"])
```

It continues the text that begins an answer (`answer_format.json`), up to the end of a line or 32 tokens; the first
sentence is the answer. Servers with the API of OpenAI take the same message. One that reads no `suppress_tokens` of
`generation_config.json` must forbid speech codes."""
_SPOKEN = """Spoken questions need SpeLangy, which turns sound into codes: `spelangy ask ./FOLDER question.wav`, or

```python
from pathlib import Path

from spelangy_assets.access import open_store

model = open_store().model("./FOLDER")
sound = model.read(Path("question.wav"))
print(model.ask(sound).answer.text)
message = {"role": "user", "content": model.as_message(sound)}  # for any server of the folder
```"""


def _loading(served: bool, takes_speech: bool) -> list[str]:
    return [_ASK, *([_SPOKEN] if takes_speech else [])] if served else [_LOAD]


def front_matter(metadata: Mapping[str, Any]) -> str:
    """Return the metadata block."""
    text = yaml.safe_dump(dict(metadata), sort_keys=False, allow_unicode=True, width=1000)
    return f"---\n{text}---\n\n"


def licence_metadata(licences: Iterable[str]) -> dict[str, Any]:
    """Return the Hub's fields of a licence: its name where all sources have one that it knows, else `other`."""
    spelled = sorted(set(licences))
    names = {_HUB_NAMES.get(one.lower(), one.lower()) for one in spelled}
    if not spelled:
        return {}
    if len(names) == 1 and _HUB_LICENCES.fullmatch(next(iter(names))):
        return {"license": names.pop()}
    named = re.sub(r"[^a-z0-9.]+", "-", "-and-".join(sorted(names))).strip("-")[:80].rstrip("-")
    return {"license": "other", "license_name": named or "see-card", "license_link": "README.md"}


def size_category(rows: int) -> str:
    return next((name for limit, name in (*_SIZES, *_LARGE) if rows < limit), "n>1T")


def _languages(facts: Facts, amounts: Amounts) -> dict[str, Any]:
    found = set(amounts.by.get("language", {}))
    for one in facts.versions:
        limits = one.manifest.config.get("limits") if isinstance(one.manifest.config, dict) else None
        if isinstance(limits, dict):
            found |= set(limits.get("languages") or [])
    return {"language": sorted(found)} if found else {}


def _stage_line(one: Artifact) -> str:
    counts = one.manifest.counts
    return (
        f"{markdown_text(one.name)}: stage `{one.manifest.stage}` version {markdown_text(one.manifest.stage_version)}, "
        f"{counts.records_in} records in, {counts.records_kept} kept"
    )


def _ancestors(facts: Facts) -> str:
    rows = [
        (
            row["asset"] + (f"@{row['partition']}" if row["partition"] else ""),
            row["stage"],
            row["stage_version"],
            row["records_in"],
            row["records_kept"],
            ", ".join(f"{reason} {count}" for reason, count in sorted(row["dropped"].items())) or "none",
        )
        for row in reversed(facts.ancestors)
    ]
    return markdown_table(("dataset", "stage", "version", "records in", "kept", "dropped by reason"), rows, (3, 4))


def _counts(facts: Facts, amounts: Amounts) -> str:
    rows: list[tuple[str, object]] = [("rows", amounts.rows)]
    if amounts.hours is not None:
        rows.append(("hours of sound", f"{amounts.hours:.4g}"))
    if amounts.speakers:
        rows += [("speakers or voices", amounts.speakers), ("largest share", f"{amounts.largest_speaker_share:.1%}")]
    rows += [("recordings and pages that they are from", len(facts.sources))] if facts.sources else []
    rows += [(f"dropped by the last step, {reason}", count) for reason, count in sorted(facts.counts.dropped.items())]
    return markdown_table(("", ""), rows, (1,))


def _aspects(amounts: Amounts) -> list[str]:
    unit = "rows" if amounts.hours is None else "hours"
    found = []
    for aspect in ASPECTS:
        values = sorted(amounts.by.get(aspect, {}).items(), key=lambda one: (-one[1], one[0]))
        if values:
            listed = [(name, _amount(amount, unit)) for name, amount in values[:_LISTED]]
            if len(values) > _LISTED:
                rest = sum(amount for _, amount in values[_LISTED:])
                listed.append((f"{len(values) - _LISTED} others", _amount(rest, unit)))
            found.append(markdown_table((aspect, unit), listed, (1,)))
    return found


def _amount(amount: float, unit: str) -> str:
    return f"{amount:.0f}" if unit == "rows" else f"{amount:.4g}"


def _positions(facts: Facts) -> list[str]:
    if not facts.licence_positions:
        return []
    rows = [(row["licence"], f"{row['positions']:.0f}", row["sources"]) for row in facts.licence_positions]
    return [markdown_table(("licence", "positions in rows", "sources"), rows, (1, 2))]


def _limits(facts: Facts, amounts: Amounts) -> list[str]:
    stages, found = facts.stages(), []
    if "recognize" in stages:
        found.append(
            "Words of recordings are those on which speech recognizers agree, unless a transcript came with them."
        )
    if "speak" in stages or amounts.by.get("accent"):
        found.append("Synthetic speech is of a text-to-speech system; its accents are those that the system calls so.")
    if unknown := sum(one.licence == "unknown" for one in facts.sources):
        found.append(f"{unknown} of {len(facts.sources)} sources state no licence.")
    if amounts.largest_speaker_share > 0.5:
        found.append(f"One speaker or voice has {amounts.largest_speaker_share:.0%} of it.")
    found += [f"Outside of what its contract expects: {markdown_text(line)}" for line in facts.warnings]
    found += [f"Failed its contract and accepted by a person: {markdown_text(line)}" for line in facts.overruled]
    return found or ["None is recorded; what the counts above do not say was not measured."]


def rights_section(facts: Facts, consent: str) -> list[str]:
    """Return what a card says of licences and of those whose voices are in the data."""
    counts = Counter(one.licence for one in facts.sources)
    words = {"open": "may be handed on", "forbidden": "may not be handed on", "unknown": "not known"}
    parts = ["## Licences and persons"]
    if counts:
        rows = [(name, count, words[judge(name)]) for name, count in counts.most_common()]
        parts.append(markdown_table(("licence of the source", "sources", "handing on"), rows, (1,)))
    else:
        parts.append("It was made from no recording and no page of a crawl.")
    if facts.holds_recordings:
        parts.append("Voices are personal data: people who speak here can be recognized by their voice.")
        parts.append(f"Consent of the speakers: {markdown_text(consent)}" if consent else "Consent: not stated.")
    return parts


def versions_section(recipe: str, versions: Sequence[Artifact]) -> str:
    rows = [
        (
            one.name.dataset + (f"@{one.name.partition}" if one.name.partition else ""),
            one.manifest.build_key,
            one.data_version,
            one.manifest.created_at,
            one.manifest.provenance.get("spelangy", ""),
            one.manifest.provenance.get("git_commit", ""),
        )
        for one in versions
    ]
    columns = ("dataset", "build key", "data version", "made at", "spelangy", "commit")
    return f"Recipe {markdown_text(recipe)}.\n\n" + markdown_table(columns, rows)


def _mix_section(mix: Artifact | None) -> list[str]:
    if mix is None:
        return []
    stats = mix.manifest.counts.stats
    names = sorted(name.removesuffix(".tokens") for name in stats if name.endswith(".tokens"))
    inputs = {item.role: item.name for item in mix.manifest.inputs}
    rows = [
        (
            inputs.get(name, name),
            f"{stats.get(f'{name}.share', 0):.2%}",
            f"{stats.get(f'{name}.tokens', 0):.0f}",
            f"{stats.get(f'{name}.epochs', 0):.3g}",
        )
        for name in names
    ]
    return [
        f"Its mix is {markdown_text(mix.name)}, {stats.get('text_share', 0):.1%} of the tokens text alone:",
        markdown_table(("source", "share of its kind", "tokens", "epochs"), rows, (1, 2, 3)),
    ]


def _number(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else ""


def _judging(scores: Sequence[Score]) -> list[Score]:
    """Return the scores that the Hub's index takes: accuracies on whole benchmarks."""
    parts = ("scoring.", ".voice.", ".accent.", "_wording.")
    return [
        one
        for one in scores
        if one.metric.endswith(".accuracy")
        and math.isfinite(one.value)
        and not any(part in one.metric for part in parts)
    ]


def _model_index(name: str, scores: Sequence[Score]) -> dict[str, Any]:
    results: dict[str, dict[str, Any]] = {}
    for one in _judging(scores):
        dataset = one.metric.removesuffix(".accuracy")
        entry = results.setdefault(
            dataset,
            {
                "task": {"type": "question-answering", "name": "multiple-choice question answering"},
                "dataset": {"type": dataset, "name": dataset},
                "metrics": [],
            },
        )
        entry["metrics"].append({"type": "accuracy", "name": f"{one.metric} ({one.by})", "value": round(one.value, 6)})
    return {"name": name, "results": list(results.values())}
