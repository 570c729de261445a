"""Results of text skill beside those that others publish, under the names that they have in their tables.

Put here: which metrics make a result, and its mean. Do not put here: measuring (stages/text_skill.py), layout
(leaderboard_page.py) or published figures (the recipe that quotes them).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from spelangy_model.records import Metric

PREFIX = "text_result."


@dataclass(frozen=True)
class TextResult:
    """A result: the mean of metrics of lm-evaluation-harness, each as TASK.METRIC.

    `published` are the figures of others in percent, by what they are of. ValueError without a metric.
    """

    name: str
    metrics: tuple[str, ...]
    published: tuple[tuple[str, float], ...] = ()

    def __post_init__(self) -> None:
        if not self.metrics or "." in self.name:
            raise ValueError(f"the text result {self.name!r} needs a name without dots and at least one metric")

    @property
    def metric(self) -> str:
        """The name of its metric on the board."""
        return f"{PREFIX}{self.name}.accuracy"


def text_metrics(metrics: Sequence[Metric], results: Sequence[TextResult]) -> Iterator[Metric]:
    """Yield each result of each subject that has all its metrics.

    The interval of a mean takes the tasks for independent, which they are: their documents differ. NaN where one of
    them has none.
    """
    values: dict[str, dict[str, Metric]] = {}
    for metric in metrics:
        if metric.metric.startswith("text_skill."):
            values.setdefault(metric.subject, {})[metric.metric.removeprefix("text_skill.")] = metric
    for subject, known in values.items():
        for result in results:
            if not all(name in known for name in result.metrics):
                continue
            parts = [known[name] for name in result.metrics]
            value = sum(part.value for part in parts) / len(parts)
            below = math.sqrt(sum((part.value - part.low) ** 2 for part in parts)) / len(parts)
            above = math.sqrt(sum((part.high - part.value) ** 2 for part in parts)) / len(parts)
            count = sum(part.count for part in parts)
            yield Metric(subject, result.metric, value, value - below, value + above, count)
