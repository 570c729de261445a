"""Greedy answers in words: the most likely continuation of a prompt, token by token.

Put here: generation with a key-value cache. Do not put here: prompts (prompts.py), where an answer ends and whether it
is right (answers.py). An answer is text: speech codes and markers are never chosen. Nothing is drawn, so that one
machine gives one answer; how prompts are batched changes logits by floating-point rounding alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from spelangy_model.eval.answers import first_answer
from spelangy_model.eval.multiple_choice import Prompt
from spelangy_model.lm.forward import logits
from spelangy_model.tokenizer.text import decode_text
from spelangy_model.tokenizer.vocab import Layout

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_BATCH_POSITIONS = 8192  # rows x (longest prompt and answer) of one batch

# Takes the ids of a step (rows, n), the attention mask of all positions so far (rows, m), the position ids (rows, n)
# and the cache of the step before; returns the logits of the next token (rows, vocabulary) and the cache.
Step = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, Any], tuple[torch.Tensor, Any]]


@dataclass(frozen=True, slots=True)
class GeneratedText:
    """An answer in words. `tokens` were generated for it; `ended`: false where the limit of tokens cut it."""

    text: str
    tokens: int
    ended: bool


def answer_prompts(
    model: Any,
    layout: Layout,
    tokenizer: Tokenizer,
    prompts: Sequence[Prompt],
    prefix: str,
    max_answer_tokens: int,
    whole_reply: bool = False,
) -> list[GeneratedText]:
    """Return the answer to each prompt, in order, by a model of this project.

    A prompt ends with `prefix`, the text that begins an answer (prompts.spoken_prompt, prompts.text_prompt; its options
    are not read). Works on one prompt as on many. With `whole_reply` an answer is all that is written up to the end of
    the sequence, as of a model that learned to end its replies; else its first sentence.
    """
    model.eval()
    silent = {layout.eos, *_special(tokenizer, layout.text_size)}
    ends = answer_ends(layout, tokenizer, whole_reply)
    forbidden = torch.ones(layout.size, dtype=torch.bool, device=model.device)
    forbidden[: layout.text_size] = forbidden[layout.eos] = False

    def step(ids: torch.Tensor, mask: torch.Tensor, positions: torch.Tensor, cache: Any) -> tuple[torch.Tensor, Any]:
        out = model.base_model(
            input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True
        )
        found = logits(model, out.last_hidden_state[:, -1]).float()
        return found.masked_fill(forbidden, -torch.inf), out.past_key_values

    answers: list[GeneratedText | None] = [None] * len(prompts)
    order = sorted(range(len(prompts)), key=lambda index: (len(prompts[index].ids), index))
    first = 0
    while first < len(order):
        last = first + 1
        while (
            last < len(order)
            and (last - first + 1) * (len(prompts[order[last]].ids) + max_answer_tokens) <= _BATCH_POSITIONS
        ):
            last += 1
        members = order[first:last]
        rows = greedy(
            step, [prompts[index].ids for index in members], layout.pad, ends, max_answer_tokens, model.device
        )
        for index, ids in zip(members, rows, strict=True):
            written = decode_text(tokenizer, [token for token in ids if token not in silent])
            ended = bool(ids) and ids[-1] in ends
            answers[index] = (
                GeneratedText(written.strip(), len(ids), ended)
                if whole_reply
                else as_answer(prefix, written, len(ids), ended)
            )
        first = last
    return [answer for answer in answers if answer is not None]


def as_answer(prefix: str, written: str, tokens: int, ended: bool) -> GeneratedText:
    """Return the answer in what a model wrote; it ended, too, where something follows it."""
    answer = first_answer(prefix, written)
    return GeneratedText(answer, tokens, ended or len(" ".join(written.split())) > len(answer))


@torch.inference_mode()
def greedy(
    step: Step, prompts: Sequence[Sequence[int]], pad: int, ends: frozenset[int], max_tokens: int, device: Any
) -> list[list[int]]:
    """Return the ids that follow each prompt, up to the first of `ends`, which is part of them, or to `max_tokens`.

    Shorter prompts of a batch are filled on the left with `pad`, which is not attended to.
    """
    longest = max(len(prompt) for prompt in prompts)
    ids = torch.tensor([[pad] * (longest - len(prompt)) + list(prompt) for prompt in prompts], device=device)
    mask = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts], device=device)
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    found: list[list[int]] = [[] for _ in prompts]
    over = [False] * len(prompts)
    cache: Any = None
    for _ in range(max_tokens):
        scores, cache = step(ids, mask, positions, cache)
        chosen = scores.argmax(-1)
        for row, token in enumerate(chosen.tolist()):
            if not over[row]:
                found[row].append(token)
                over[row] = token in ends
        if all(over):
            break
        ids, positions = chosen[:, None], positions[:, -1:] + 1
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return found


def answer_ends(layout: Layout, tokenizer: Tokenizer, whole_reply: bool = False) -> frozenset[int]:
    """Return the ids that end an answer: <eos>, another LM's special tokens; if no whole reply, what breaks a line."""
    breaks = set() if whole_reply else _line_breaks(tokenizer, layout.text_size)
    return frozenset({layout.eos, *_special(tokenizer, layout.text_size), *breaks})


def _special(tokenizer: Tokenizer, text_size: int) -> set[int]:
    """Return the ids of the text vocabulary that are no text, such as another LM's end of text."""
    return {
        token for token, added in tokenizer.get_added_tokens_decoder().items() if added.special and token < text_size
    }


def _line_breaks(tokenizer: Tokenizer, text_size: int) -> set[int]:
    """Return the ids of the text vocabulary whose text holds a line break: an answer is one line."""
    texts = tokenizer.decode_batch([[token] for token in range(text_size)], skip_special_tokens=False)
    return {token for token, text in enumerate(texts) if "\n" in text}
