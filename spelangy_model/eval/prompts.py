"""Prompt formats of questions for a speech language model.

Put here: the exact prompt formats, each with the name that recipes use. Do not put here: scoring. The format
`answer_read` is that of the training sequences (data/interleave.py) of a document with a spoken question and a written
answer:

    spoken  <bos> <|speech_start|> codes <|speech_end|> answer prefix | option
    text    <bos> question answer prefix | option

Question, prefix and option are each encoded with one space before them (tokenizer/text.py), so that the option's ids
are the same after both prompts. Another format has another name, so that scores of two formats are never mixed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from spelangy_model.eval.multiple_choice import Prompt
from spelangy_model.tokenizer.text import encode_texts
from spelangy_model.tokenizer.vocab import Layout

if TYPE_CHECKING:
    from tokenizers import Tokenizer

FORMATS = ("answer_read",)


def spoken_prompt(
    layout: Layout,
    tokenizer: Tokenizer,
    codes: Sequence[int],
    answer_prefix: str,
    options: Sequence[str],
    followed: int = 0,
) -> Prompt:
    """Return the prompt of a spoken question (its codes, without markers). ValueError for a code outside the layout."""
    if len(codes) == 0 or min(codes) < 0 or max(codes) >= layout.codebook_size:
        raise ValueError(f"a spoken question needs codes in 0..{layout.codebook_size - 1}")
    speech = [layout.speech_start, *(layout.first_code + int(code) for code in codes), layout.speech_end]
    return _prompt(layout, tokenizer, speech, answer_prefix, options, followed)


def text_prompt(
    layout: Layout,
    tokenizer: Tokenizer,
    question: str,
    answer_prefix: str,
    options: Sequence[str],
    followed: int = 0,
) -> Prompt:
    """Return the prompt of a written question; an empty question leaves only the options, as a blind baseline."""
    encoded = encode_texts(tokenizer, [question])[0] if question else []
    return _prompt(layout, tokenizer, encoded, answer_prefix, options, followed)


def _prompt(
    layout: Layout,
    tokenizer: Tokenizer,
    question: list[int],
    answer_prefix: str,
    options: Sequence[str],
    followed: int,
) -> Prompt:
    prefix, *encoded = encode_texts(tokenizer, [answer_prefix, *options])
    return Prompt(
        (layout.bos, *question, *prefix),
        tuple(tuple(option) for option in encoded),
        tuple(len(option) for option in options),
        followed,
    )
