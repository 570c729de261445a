"""The files with which other programs serve a model: they form its prompts, and end its answers, as this project does.

Put here: the chat template, the generation settings, and the proof that they agree with prompts.py and generate.py. Do
not put here: which files of a run are exported (spelangy_assets/export/models.py).

One message of a user becomes the prompt of a question: its text, or speech as the markers and codes that
`spoken_message` writes. Generation ends where an answer ends (generate.answer_ends), and never chooses a speech code.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spelangy_model.eval.generate import answer_ends
from spelangy_model.eval.prompts import spoken_prompt, text_prompt
from spelangy_model.pretrained import load_settings
from spelangy_model.tokenizer.text import load_text_tokenizer
from spelangy_model.tokenizer.vocab import MARKERS, Layout, code_token

TEMPLATE_FILE = "chat_template.jinja"
GENERATION_FILE = "generation_config.json"
ANSWER_FILE = "answer_format.json"
SERVING_FILES = (TEMPLATE_FILE, GENERATION_FILE, ANSWER_FILE)
_SPEECH_START, _SPEECH_END = MARKERS[2], MARKERS[3]

# Every text of a prompt is encoded with one space before it (tokenizer/text.py); markers have none.
_TEMPLATE = """\
{%- if messages|length != 1 or messages[0]['role'] != 'user' -%}
{{- raise_exception('this model answers one question: send one message of the role user') -}}
{%- endif -%}
{%- set question = messages[0]['content'] | trim -%}
{{- bos_token -}}
{{- question if question.startswith(SPEECH_START) or not question else ' ' + question -}}
{%- if add_generation_prompt -%}{{- ANSWER_PREFIX -}}{%- endif -%}
"""


def spoken_message(codes: Sequence[int]) -> str:
    """Return speech codes as the content of a user's message."""
    return "".join((_SPEECH_START, *map(code_token, codes), _SPEECH_END))


def serving_files(
    folder: Path, answer_prefix: str, max_answer_tokens: int, whole_reply: bool = False
) -> dict[str, bytes]:
    """Return SERVING_FILES for the model of a folder, by name; `whole_reply` as in generate.py.

    ValueError for a tokenizer that does not give the ids of prompts.py by the template: another program would ask the
    model something else.
    """
    layout, tokenizer = Layout.load(folder), load_text_tokenizer(folder)
    template = _TEMPLATE.replace("SPEECH_START", repr(_SPEECH_START))
    template = template.replace("ANSWER_PREFIX", json.dumps(f" {answer_prefix}"))
    ends = answer_ends(layout, tokenizer, whole_reply)
    generation = {
        "bos_token_id": layout.bos,
        "eos_token_id": sorted(ends, key=lambda token: (token != layout.eos, token)),
        "pad_token_id": layout.pad,
        "suppress_tokens": [token for token in range(layout.text_size, layout.size) if token != layout.eos],
        "do_sample": False,
        "max_new_tokens": max_answer_tokens,
    }
    answer = {"answer_prefix": answer_prefix, "max_answer_tokens": max_answer_tokens, "whole_reply": whole_reply}
    texts = (template, *(json.dumps(one, indent=1) + "\n" for one in (generation, answer)))
    files = {name: text.encode() for name, text in zip(SERVING_FILES, texts, strict=True)}
    _check_prompts(folder, template, layout, tokenizer, answer_prefix)
    return files


def _check_prompts(folder: Path, template: str, layout: Layout, tokenizer: Any, answer_prefix: str) -> None:
    from transformers import AutoTokenizer

    with tempfile.TemporaryDirectory() as place:
        for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
            if (folder / name).is_file():
                shutil.copy(folder / name, place)
        loaded = load_settings(AutoTokenizer, Path(place))
    asked = [(text, text_prompt(layout, tokenizer, text, answer_prefix, ())) for text in ("Who is Ann?", "3 + 4")]
    if layout.codebook_size:
        codes = [0, layout.codebook_size - 1]
        asked.append((spoken_message(codes), spoken_prompt(layout, tokenizer, codes, answer_prefix, ())))
    for content, prompt in asked:
        found = loaded.apply_chat_template(
            [{"role": "user", "content": content}],
            chat_template=template,
            add_generation_prompt=True,
            tokenize=True,
            return_dict=False,
        )
        if found != list(prompt.ids):
            raise ValueError(
                f"{folder}: its tokenizer writes {content!r} as {found} in a chat, and as {list(prompt.ids)} in "
                "training: it cannot be served"
            )
