"""The text tokenizer of a recipe: byte-level BPE, trained on texts that the recipe fixes.

Put here: which texts it is trained on. Do not put here: the training itself (spelangy_model/tokenizer/text.py), or
texts of a snapshot: the tokenizer never depends on a crawl, else every night's crawl would make all tokens stale.

Output: a Hugging Face fast tokenizer's files at the root of the artifact. Any text round-trips, also words that the
training texts do not have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.sample.render import conversation, text_document
from spelangy_assets.sample.world import WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.pretrained import load_settings

VERSION = "1"
TABLES: dict[str, type] = {}


@dataclass(frozen=True)
class Config:
    """Either trained on so many text documents and talks of the sample world whose reference is `world`, or
    `pretrained`: the tokenizer of an existing text LM, by a folder or by the name under which the local Hugging Face
    cache has it.
    """

    seed: int = 0
    world: str = ""
    documents: int = 0
    talks: int = 0
    vocab_size: int = 0
    pretrained: str = ""


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the pretrained tokenizer is not there, or the sample world is another one."""
    if config.pretrained:
        _load_pretrained(config.pretrained)
        return
    try:
        open_world(config.world)
    except WorldError as error:
        raise PreflightError(f"the text tokenizer: {error}") from error


def _load_pretrained(name: str):
    from transformers import AutoTokenizer

    try:
        return load_settings(AutoTokenizer, local_model(name))
    except ModelMissing as error:
        raise PreflightError(f"the text tokenizer: {error}") from error
    except (OSError, ValueError) as error:
        raise PreflightError(
            f"the text tokenizer {name!r} cannot be loaded: {str(error).splitlines()[0]}; name another, or get the "
            f"whole model with: hf download {name}"
        ) from error


def run(ctx: StageContext, config: Config) -> None:
    """Train in one unit; it takes seconds."""
    from spelangy_model.tokenizer.text import save_text_tokenizer, train_text_tokenizer

    for unit, _ in ctx.out.pending(["tokenizer"]):
        with ctx.out.unit(unit) as out:
            folder = ctx.out.scratch / "tokenizer"
            if config.pretrained:
                _load_pretrained(config.pretrained).save_pretrained(folder)
                out.write_folder(folder)
                continue
            texts = list(_texts(config))
            try:
                tokenizer = train_text_tokenizer(texts, config.vocab_size)
            except ValueError as error:
                raise InputError(f"the text tokenizer cannot be trained: {error}") from error
            save_text_tokenizer(tokenizer, folder)
            out.write_folder(folder)
            out.read(len(texts))
            out.kept(len(texts))
            out.add("characters", sum(len(text) for text in texts))
        ctx.log(f"{config.vocab_size} ids from {len(texts)} texts")


def _texts(config: Config) -> Iterator[str]:
    world = open_world(config.world)
    for index in range(config.documents):
        yield text_document(world, config.seed, index)
    for index in range(config.talks):
        yield " ".join(sentence for _, sentence in conversation(world, config.seed, index))
