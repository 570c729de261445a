"""What a recipe needs and this machine lacks: models, services, question sets, credentials, packages.

Put here: running the preflight of every dataset, and the list. Do not put here: what a stage needs (its preflight
states it), or facts about models (spelangy_model/catalogue.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spelangy_assets.execution.graph import Node
from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_model.catalogue import KNOWN, known_in


@dataclass(frozen=True)
class Need:
    """One missing thing, as the preflight states it, and the datasets that wait for it."""

    what: str
    datasets: tuple[str, ...]

    def lines(self) -> list[str]:
        """Return it as text: the missing thing, the datasets that need it, and the known facts about it."""
        lines = [f"* {self.what}", f"  for {', '.join(self.datasets)}"]
        for name in known_in(self.what):
            one = KNOWN[name]
            size = "size not known" if one.size_gb is None else f"about {one.size_gb:g} GB"
            lines.append(f"  {name}: {size}, licence {one.licence}")
            lines += [f"  gate: {one.gate}"] if one.gate else []
            lines.append(f"  get it: {one.get}")
        return lines

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        known = {name: KNOWN[name] for name in known_in(self.what)}
        return {
            "what": self.what,
            "datasets": list(self.datasets),
            "known": {
                name: {"size_gb": one.size_gb, "licence": one.licence, "gate": one.gate, "get": one.get}
                for name, one in known.items()
            },
        }


def needs_of(nodes: Iterable[Node], execution: Execution) -> list[Need]:
    """Return everything that the datasets' preflights find missing, each thing once, in the order of the datasets."""
    asked: dict[tuple[str, str], tuple[str, ...]] = {}  # equal configs lack the same; some preflights take seconds
    found: dict[str, list[str]] = {}
    for node in nodes:
        key = (node.stage.__name__, fingerprint(node.config))
        if key not in asked:
            asked[key] = _missing(node, execution)
        for what in asked[key]:
            found.setdefault(what, []).append(node.name)
    return [Need(what, tuple(dict.fromkeys(names))) for what, names in found.items()]


def _missing(node: Node, execution: Execution) -> tuple[str, ...]:
    try:
        node.stage.preflight(node.config, execution)
    except PreflightError as error:
        return tuple(" ".join(str(what).split()) for what in error.args)
    return ()


def needs_lines(needs: list[Need]) -> list[str]:
    """Return the list as text; nothing where all is there."""
    if not needs:
        return []
    size_gb = sum(KNOWN[name].size_gb or 0.0 for name in {name for need in needs for name in known_in(need.what)})
    things = "1 thing is" if len(needs) == 1 else f"{len(needs)} things are"
    lines = ["", f"{things} missing, about {size_gb:.1f} GB where a size is known:"]
    lines.append("Sizes and licences are not checked: the card of the publisher decides.")
    return [*lines, *(line for need in needs for line in need.lines())]
