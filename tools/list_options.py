"""Writes docs/options.md: every option of every stage, with its default, its unit and who asks for it.

    python tools/list_options.py            say which options nothing asks for; exit status 1 when there is one
    python tools/list_options.py --write    write the page

An option is a field of a stage's Config, or of a type that a Config holds. One that no recipe sets, no test varies and
that has no reason below is not an option but a constant: declare it as a ClassVar of its type.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import importlib.util
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from spelangy_assets import stages
from spelangy_assets.recipes.registry import known_recipes
from spelangy_assets.store.fingerprint import _parts, default_texts, identity_of, type_name

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "options.md"

UNITS = {
    **{"s": "seconds", "hz": "hertz", "db": "dB", "lufs": "LUFS", "wpm": "words a minute", "usd": "US dollars"},
    **{unit: unit for unit in ("bytes", "words", "tokens", "characters", "sentences", "steps", "rows", "chunks")},
    **{unit: unit for unit in ("documents", "pages", "recordings", "questions", "utterances", "windows", "frames")},
    **{
        unit: unit for unit in ("elements", "permutations", "strips", "rejects", "talks", "texts", "matches", "sources")
    },
    **{"share": "0 to 1", "rate": "0 to 1", "similarity": "0 to 1", "agreement": "0 to 1", "confidence": "0 to 1"},
    **{"difference": "0 to 1", "probability": "0 to 1", "unit": "a unit of work", "epochs": "times"},
}

COUNTED = ("words", "characters", "lines")
TEXTS = {
    **dict.fromkeys(("prefix", "prompt", "hotwords", "title"), "text"),
    **{"sha256": "a digest", "digest": "a digest", "url": "an address", "path": "a path", "licence": "a licence"},
}

# Why an option stands that neither a recipe of the package sets nor a test varies: (type, option or *) -> reason.
REASONS = {
    ("FilterLimits", "*"): "the paper drops by two rules alone: the others are switched off by their limits",
    ("Calibration", "*"): "systems whose confidences are not comparable: `spelangy calibrate` fits them",
    ("RoverWeights", "*"): "votes other than NIST's",
    ("SystemWeight", "*"): "systems of unlike strength in a vote",
    ("clean_transcripts.Config", "rover"): "votes other than NIST's",
    ("evaluate.Config", "prompt_format"): "models that know another form of question",
    ("evaluate.Config", "primary"): "scorings other than the raw likelihood",
    ("score_system.Config", "primary"): "scorings other than the raw likelihood",
    ("ExtractionRules", "min_precise_characters"): "benchmarks/extraction.py",
    ("find_contamination.Config", "max_words"): "the paper's Algorithm 1 counts 6 to 13 words",
    ("find_duplicate_pages.Config", "min_similarity"): "what counts as the same page",
    ("find_duplicate_recordings.Config", "min_share"): "what counts as the same recording",
    ("ingest_audio.Config", "min_duration_s"): "the shortest recording of a corpus",
    ("UrlRules", "refused_hosts"): "hosts that a corpus must not hold",
    ("SignatureRules", "permutations"): "benchmarks of the signature's error",
    ("LanguageModel", "max_output_tokens"): "servers with another limit",
    ("QuestRules", "patterns"): "benchmarks/synthetic_text.py",
    ("WhisperTimestamped", "*"): "names and words that a corpus is full of",
    ("FasterWhisper", "*"): "names and words that a corpus is full of; other windows of doubt about a language",
    ("PocketSphinx", "flat_pass"): "its second pass costs most of its time",
    ("recognize.Config", "*"): "recognizers with other windows",
    ("Voice", "*"): "voices that keep their pace and pitch",
    ("train_lm.Config", "compile"): "benchmarks/gpu.py",
    ("prefer_answers.Config", "*"): "boards of post-training with a judge",
    ("write_talk.Config", "*"): "talk in voices of another engine",
    ("adopt_checkpoint.Config", "holds"): "given by lab.checkpoint",
    **{
        (kind, "*"): "corpora that other thresholds fit than the papers'"
        for kind in ("GopherQuality", "GopherRepetition", "C4", "FineWeb")
    },
    ("TextFields", "*"): "shards that name their fields otherwise",
    ("ingest_texts.Config", "signature"): "what counts as the same text",
    ("Price", "*"): "budgets in dollars",
}


@dataclasses.dataclass(frozen=True)
class Option:
    """A row of the page; `asked_by` is empty where nothing asks for the option."""

    kind: str
    name: str
    default: str
    unit: str
    asked_by: str


def _golden() -> Any:
    place = Path(__file__).with_name("golden_defaults.py")
    spec = importlib.util.spec_from_file_location("golden_defaults", place)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.golden()  # imports the adapters
    return module


@cache
def kinds() -> dict[type, list[str]]:
    """Return the types that hold options, each with the stages that reach it."""
    tool = _golden()
    found: dict[type, list[str]] = {}
    for file in sorted(Path(stages.__path__[0]).glob("[a-z]*.py")):
        stage = importlib.import_module(f"{stages.__name__}.{file.stem}")
        for kind in tool._reached(stage.Config):
            found.setdefault(kind, []).append(file.stem)
    return dict(sorted(found.items(), key=lambda item: type_name(item[0])))


def options(found: dict[type, list[str]]) -> Iterator[Option]:
    """Yield the options of the types, in their order."""
    recipes = _set_by_recipes()
    for kind in found:
        for field in dataclasses.fields(kind):
            name = type_name(kind)
            asked = (
                ", ".join(sorted(recipes.get((kind, field.name), ())))
                or ("tests" if field.name in _set_by_tests() else "")
                or REASONS.get((name, field.name), REASONS.get((name, "*"), ""))
                or ("its own options" if _holds_options(field, found) else "")
            )
            yield Option(name, field.name, _default(field), _unit(field), asked)


def _holds_options(field: dataclasses.Field[Any], found: dict[type, list[str]]) -> bool:
    return any(kind.__name__ in re.findall(r"\w+", str(field.type)) for kind in found)


@cache
def _set_by_recipes() -> dict[tuple[type, str], set[str]]:
    """Return which recipes give an option another value than its default."""
    found: dict[tuple[type, str], set[str]] = {}
    for recipe in known_recipes().values():
        for one in recipe.datasets.values():
            for part in _parts(one.config):
                for field in dataclasses.fields(part):
                    default = default_texts(type(part)).get(field.name)
                    if default is None or not _equals(getattr(part, field.name), default):
                        found.setdefault((type(part), field.name), set()).add(recipe.name)
    return found


def _equals(value: Any, text: str) -> bool:
    import json

    return json.dumps(identity_of(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False) == text


@cache
def _set_by_tests() -> set[str]:
    """Return the names that tests set: by a keyword, an assignment or a key."""
    named = re.compile(r"""\b(\w+)\s*=(?!=)|["'](\w+)["']\s*:""")
    texts = [path.read_text() for path in (ROOT / "tests").rglob("*.py")]
    return {keyword or key for text in texts for keyword, key in named.findall(text)}


def _default(field: dataclasses.Field[Any]) -> str:
    if field.default_factory is not dataclasses.MISSING:
        return f"`{type(field.default_factory()).__name__}()`"
    if field.default is dataclasses.MISSING:
        return "-"
    text = repr(field.default)
    return f"`{text if len(text) <= 40 else text[:37] + '...'}`".replace("|", "\\|")


def _unit(field: dataclasses.Field[Any]) -> str:
    kind = str(field.type)
    if kind == "bool":
        return "yes or no"
    if field.name.endswith("_per_s"):
        return "a second"
    last = field.name.rpartition("_")[2]
    number = kind.split(" | ")[0]
    if number == "float" and last in COUNTED and "_mean_" not in field.name:
        return f"a share of {last}, 0 to 1"
    if number in ("int", "float"):
        return UNITS.get(last, "a number")
    if kind == "str":
        return TEXTS.get(last, "a name")
    return f"`{kind}`".replace("|", "\\|")


def page() -> str:
    """Return the page."""
    found = kinds()
    rows = list(options(found))
    lines = [
        "# Options",
        "",
        "Every field of the stages' configs; written by `tools/list_options.py`. [What a recipe is written with](lab.md) has the functions",
        "of `lab` that take them: where a function has a default of its own, that one counts (`lab.mix` has `loss_on_speech=False`). The",
        "default `-` means that the field is required. A `max_` number of 0 means no limit. *Used by* names the package's recipes that set",
        "it, says that tests vary it, or gives the reason why it exists.",
    ]
    for kind, reached_by in found.items():
        own = [row for row in rows if row.kind == type_name(kind)]
        if not own:
            continue
        lines += ["", f"## {type_name(kind)}", "", f"Stages: {', '.join(sorted(reached_by))}.", ""]
        lines += ["| option | default | unit | used by |", "|---|---|---|---|"]
        lines += [f"| `{row.name}` | {row.default} | {row.unit} | {row.asked_by} |" for row in own]
    return "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(page())
    unasked = [row for row in options(kinds()) if not row.asked_by]
    for row in unasked:
        print(f"nothing asks for {row.kind}.{row.name}: make it a ClassVar, or say in REASONS who asks")
    return 1 if unasked else 0


if __name__ == "__main__":
    sys.exit(main())
