"""Writes docs/lab.md: what a recipe is written with, by name, with arguments, defaults and one line each.

    python tools/list_lab.py            say whether the page is whole; exit status 1 where it is not
    python tools/list_lab.py --write    write the page

The order and the headings are those of docs/api.md, which has the same names with their whole docstrings.
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from spelangy_assets import lab
from spelangy_assets.recipes import sample_parts
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.report.comparisons import INSTRUMENTS
from spelangy_assets.stages import adopt_chunks, leaderboard, post_training, speak, train_lm

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "lab.md"
OPTIONS = {  # of functions of derived.py: the stage whose fields `options` are
    "adopted_chunks": adopt_chunks,
    "finetune": train_lm,
    "leaderboard": leaderboard,
    "post_training": post_training,
    "speech": speak,
    "train": train_lm,
}
# Fields that the function itself gives.
GIVEN = {
    "leaderboard": ("runs", "token_sets", "systems", "bases", "base_skills", "questions_topics", "larger", "ablations"),
    "post_training": ("runs", "perturbations", "ablations"),
    "finetune": ("preset", "seed"),
}
WIDTH = 100


def sections() -> Iterator[tuple[str, list[str]]]:
    """Yield the headings of docs/api.md with the names of lab below each."""
    for part in (ROOT / "docs" / "api.md").read_text().split("\n## ")[1:]:
        if names := re.findall(r"^::: spelangy_assets\.lab\.(\w+)$", part, re.MULTILINE):
            yield part.splitlines()[0], names


def entry(name: str, one: Any) -> list[str]:
    """Return the lines of a name: its arguments as they are written in the code, its docstring, its fields' meanings."""
    lines = [f"### {name}", ""]
    if isinstance(one, type) and dataclasses.is_dataclass(one) and name not in ("Dataset", "DatasetKind"):
        found = list(_fields(one))
        lines += [_code(name, [f"{field} = {default}" if default else field for field, default, _ in found])]
        lines += ["", text_of(one), ""]
        explained = [(field.split(":")[0], text) for field, _, text in found if text]
        if explained:
            lines += [*(f"* `{field}`: {text}" for field, text in explained), ""]
    elif inspect.isfunction(one):
        lines += [_code(name, _arguments(one, name)), "", text_of(one), ""]
    elif inspect.isclass(one):
        has = "__init__" in vars(one) and not issubclass(one, Exception) and not dataclasses.is_dataclass(one)
        lines += [_code(name, _arguments(one.__init__, name)[1:]), ""] if has else []
        lines += [text_of(one), ""]
    else:
        values = ", ".join(f"`{value!r}`" for value in getattr(one, "__args__", ()))
        lines += [f"A type: one of {values}.", ""]
    return lines


def text_of(one: Any) -> str:
    """Return a docstring, a line a paragraph."""
    return "\n\n".join(" ".join(part.split()) for part in (inspect.getdoc(one) or "").split("\n\n"))


def _code(name: str, arguments: list[str]) -> str:
    line = f"lab.{name}({', '.join(arguments)})"
    if len(line) > WIDTH:
        rows = [""]
        for one in arguments:  # no line is broken inside an argument
            rows[-1:] = [rows[-1] + f"{one}, "] if len(rows[-1] + one) < WIDTH - 5 else [rows[-1], f"{one}, "]
        inner = "\n".join(f"    {row.rstrip()}" for row in rows if row)
        line = f"lab.{name}(\n{inner}\n)"
    return f"```python\n{line}\n```"


def _arguments(function: Any, name: str) -> list[str]:
    """Return the arguments of a function with their defaults, and in place of `options` the fields that they are."""
    own = inspect.unwrap(function)
    (node,) = ast.parse(textwrap.dedent(inspect.getsource(own))).body
    assert isinstance(node, ast.FunctionDef)
    given = node.args
    found: list[str] = []
    positional = [*given.posonlyargs, *given.args]
    for argument, default in zip(
        positional, [*[None] * (len(positional) - len(given.defaults)), *given.defaults], strict=True
    ):
        found.append(_argument(argument, default))
    if given.vararg:
        found.append(f"*{_argument(given.vararg, None)}")
    elif given.kwonlyargs:
        found.append("*")
    found += [_argument(one, default) for one, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    if given.kwarg and given.kwarg.arg == "options":
        stage = OPTIONS.get(name) or sys.modules[own.__module__]
        left_out = {*GIVEN.get(name, ()), *(one.arg for one in (*positional, *given.kwonlyargs))}
        for field, default, _ in _fields(stage.Config):
            if field.split(":")[0] not in left_out:
                found.append(f"{field} = {default}" if default else field)
    elif given.kwarg:
        found.append(f"**{_argument(given.kwarg, None)}")
    return found


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = argument.arg
    if argument.annotation is not None:
        kind = argument.annotation
        text += f": {kind.value if isinstance(kind, ast.Constant) else ast.unparse(kind)}"
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _fields(kind: Any) -> Iterator[tuple[str, str, str]]:
    """Yield a dataclass's fields with their types, their defaults as written, and what is written below them."""
    written: dict[str, tuple[str, str]] = {}
    for base in reversed([one for one in kind.__mro__ if dataclasses.is_dataclass(one)]):
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(node, ast.ClassDef)
        for line, after in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name):
                text = ""
                if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    text = " ".join(str(after.value.value).split())
                written[line.target.id] = (ast.unparse(line.value) if line.value else "", text)
    for field in dataclasses.fields(kind):
        default, text = written[field.name]
        if default.isidentifier() and isinstance(field.default, str | int | float | bool):
            default = repr(field.default)
        if default.startswith("field(default_factory="):
            default = f"{default.removeprefix('field(default_factory=').removesuffix(')')}()"
        yield f"{field.name}: {field.type}", default, text


def datasets() -> Iterator[str]:
    """Yield the tables of the sample's datasets, a group each."""
    groups: dict[str, list[str]] = {}
    for node in SAMPLE.graph:
        at = f" ({', '.join(SAMPLE[node.partition].snapshots)})" if node.name == node.partition else ""
        row = f"| `{node.name}` | {'a snapshot' if node.partition else 'whole'} | {node.description}{at} |"
        groups.setdefault(node.group, []).append(row)
    for group, rows in groups.items():
        yield f"### Group {group}\n\n| name | made for | what it holds |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def page() -> str:
    """Return the page."""
    graph = list(SAMPLE.graph)
    lines = [
        "# What a recipe is written with",
        "",
        "Written by `tools/list_lab.py`. Every name of `spelangy_assets.lab` with its arguments, their defaults and its docstring. Arguments",
        "after `*` are given by name; one without a default is required. Sections: the names of `lab`, [metrics](#metrics-of-an-ablation),",
        "[how the sample trains and judges](#how-the-sample-trains-and-judges), [its datasets](#the-datasets-of-the-sample).",
        "",
        "[Options](options.md) lists the fields of the stages, which is what the store records. Where a function of `lab` has a default of",
        "its own, the default of this page is what a recipe gets: `lab.mix` has `loss_on_speech = False` and `max_epochs = 16.0`.",
        "",
    ]
    for title, names in sections():
        lines += [f"## {title}", ""]
        for name in names:
            lines += entry(name, getattr(lab, name))
    lines += ["## Metrics of an ablation", "", "| metric | what | unit of a difference |", "|---|---|---|"]
    for metric, about in INSTRUMENTS.items():
        unit = "0 to 1: `effect=0.05` is 5 points" if about.scale == 100 else about.unit
        lines.append(f"| `{metric}` | {about.words} | {unit} |")
    lines += [
        "",
        "## How the sample trains and judges",
        "",
        "`from spelangy_assets.recipes.sample import judging, training` gives an experiment the values of the sample.",
        "",
    ]
    for function in (sample_parts.training, sample_parts.judging):
        name = function.__name__
        text = _code(name, _arguments(function, name)).replace("lab.", "", 1)
        lines += [f"### {name}", "", text, "", text_of(function), ""]
    lines += [
        "`training` gives fields of `lab.train`; name others beside it. `judging()` holds out talk, so that an `lab.Ablation` can name",
        "`talk.hearing_gain` as its metric.",
        "",
        "## The datasets of the sample",
        "",
        f"`SAMPLE[NAME]` gives an experiment one of the {len(graph)} datasets of the recipe `sample`; `TINY[NAME]` one of `tiny`, which has",
        "the same names but for `word_times` and its roll-up. *Made for*: a dataset that is made from a crawl has a version for each snapshot of it.",
        "",
        *datasets(),
    ]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    if parser.parse_args().write:
        PAGE.write_text(page())
        return 0
    whole = PAGE.is_file() and PAGE.read_text() == page()
    print(
        "docs/lab.md is whole" if whole else "docs/lab.md is not what the code says: python tools/list_lab.py --write"
    )
    return 0 if whole else 1


if __name__ == "__main__":
    sys.exit(main())
