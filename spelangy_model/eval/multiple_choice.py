"""Multiple choice by log-likelihood: which continuation of a prompt does a causal LM find most likely?

Put here: scoring of prompts with options, and forward passes over rows with branches. Do not put here: prompt formats
(prompts.py), metrics, records.

A prompt and all its options are one row: the prompt once, followed by the options as branches that attend to the prompt
and themselves but not to each other (lm/masks.branching_mask), each with the positions that it would have alone. The
scores equal those of one forward pass per option, at about a quarter of the cost. Rows of similar length are batched.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
import torch

from spelangy_model.lm.forward import hidden_states, logits
from spelangy_model.lm.masks import branching_mask

_BATCH_POSITIONS = 2048  # rows x longest row of one forward

Scoring = Literal["raw", "per_token", "per_character"]
SCORINGS: tuple[Scoring, ...] = get_args(Scoring)


@dataclass(frozen=True)
class Prompt:
    """Ids of the prompt (at least one) and of each option (at least one each).

    `option_characters` are the lengths of the options as text; `followed` is the option whose next-token distributions
    are kept.
    """

    ids: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]
    option_characters: tuple[int, ...]
    followed: int = 0


@dataclass(frozen=True, eq=False)
class OptionScores:
    """The log-likelihood of each option: natural log, summed over its ids, also per token and per character."""

    raw: list[float]
    per_token: list[float]
    per_character: list[float]

    def best(self, scoring: Scoring) -> int:
        """The index of the option that scores highest; the first of equals."""
        return int(np.argmax(getattr(self, scoring)))


@dataclass(frozen=True, eq=False)
class PromptScore(OptionScores):
    """The scores of a prompt's options.

    `followed_log_probs`: (tokens of the followed option, vocabulary), the distribution that predicts each of them.
    """

    followed_log_probs: np.ndarray


@dataclass(frozen=True)
class BranchedRow:
    """Ids of a trunk and of its branches, with the position of each and the branch that it is on: 0 is the trunk.

    A branch follows the part of the trunk that it attends to; the trunk continues after the branch.
    """

    ids: list[int]
    positions: list[int]
    branches: list[int]


@torch.inference_mode()
def score_prompts(model: Any, prompts: Sequence[Prompt], pad: int) -> list[PromptScore]:
    """Return the score of each prompt, in order. `pad` is the id that fills rows; it does not affect scores.

    A score does not depend on the other prompts beyond floating-point rounding (about 1e-6).
    """
    scores: list[PromptScore | None] = [None] * len(prompts)
    for index, hidden in hidden_by_row(model, [_lay_out(prompt) for prompt in prompts], pad):
        scores[index] = _score(model, prompts[index], hidden)
    return [score for score in scores if score is not None]


def hidden_by_row(model: Any, rows: Sequence[BranchedRow], pad: int) -> Iterator[tuple[int, torch.Tensor]]:
    """Yield the number of each row with its last hidden states (length, width); rows of similar length together."""
    order = sorted(range(len(rows)), key=lambda index: (len(rows[index].ids), index))
    first = 0
    model.eval()
    while first < len(order):
        last = first + 1
        while last < len(order) and (last - first + 1) * len(rows[order[last]].ids) <= _BATCH_POSITIONS:
            last += 1
        members = order[first:last]
        shape = (len(members), max(len(rows[index].ids) for index in members))
        ids = torch.full(shape, pad)
        positions = torch.zeros(shape, dtype=torch.int64)
        branches = torch.full(shape, -1)
        for place, index in enumerate(members):
            row = rows[index]
            for target, values in ((ids, row.ids), (positions, row.positions), (branches, row.branches)):
                target[place, : len(values)] = torch.tensor(values)
        device = model.device
        mask = branching_mask(branches.to(device))
        hidden = hidden_states(model, ids.to(device), positions.to(device), mask)
        for place, index in enumerate(members):
            yield index, hidden[place, : len(rows[index].ids)]
        first = last


def _lay_out(prompt: Prompt) -> BranchedRow:
    """Return a prompt's row; an option's last id is only predicted, never read."""
    if not prompt.ids or not prompt.options or not all(prompt.options):
        raise ValueError("a prompt needs at least one id, one option, and one id in each option")
    if len(prompt.option_characters) != len(prompt.options) or min(prompt.option_characters) < 1:
        raise ValueError("each option needs its length in characters, at least 1")
    ids, length = list(prompt.ids), len(prompt.ids)
    positions, branches = list(range(length)), [0] * length
    for number, option in enumerate(prompt.options, start=1):
        ids += option[:-1]
        positions += range(length, length + len(option) - 1)
        branches += [number] * (len(option) - 1)
    return BranchedRow(ids, positions, branches)


def _score(model: Any, prompt: Prompt, hidden: torch.Tensor) -> PromptScore:
    log_probs = logits(model, hidden[len(prompt.ids) - 1 :]).float().log_softmax(-1).cpu()
    raw, paths, start = [], [], 1
    for option in prompt.options:
        paths.append([0, *range(start, start + len(option) - 1)])
        raw.append(float(log_probs[paths[-1], list(option)].double().sum()))
        start += len(option) - 1
    per_token = [score / len(option) for score, option in zip(raw, prompt.options, strict=True)]
    per_character = [score / count for score, count in zip(raw, prompt.option_characters, strict=True)]
    return PromptScore(raw, per_token, per_character, log_probs[paths[prompt.followed]].numpy())
