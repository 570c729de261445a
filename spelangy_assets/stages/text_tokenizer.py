"""The text tokenizer of a recipe: byte-level BPE, trained on texts that the recipe fixes.

Put here: which texts it is trained on. Do not put here: the training itself (spelangy_model/tokenizer/text.py), or
texts of a snapshot: the tokenizer never depends on a crawl, else every night's crawl would make all tokens stale.

Output: a Hugging Face fast tokenizer's files at the root of the artifact. Any text round-trips, also words that the
training texts do not have.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.sources.texts import SourceUnavailable, TextSource
from spelangy_assets.stage_parts import contracts
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.pretrained import load_settings

VERSION = "1"
TABLES: dict[str, type] = {}


@dataclass(frozen=True)
class Trained:
    """Byte-level BPE with `vocab_size` ids, trained on the texts of `sources`, in their order."""

    sources: tuple[TextSource, ...]
    vocab_size: int


@dataclass(frozen=True)
class Pretrained:
    """The tokenizer of an existing text LM: a folder, or the name under which the local Hugging Face cache has it."""

    name: str


@dataclass(frozen=True)
class Config:
    """Which of the two it is."""

    made: Trained | Pretrained


KIND = DatasetKind(
    group="tokenizers",
    description="Byte-level BPE; fixed by the recipe.",
    contract=contracts.FILES,
    kinds=("huggingface",),
    cost="heavy",
    makes="text_tokenizer",
)


@word
def text_tokenizer(made: Trained | Pretrained, *, name: str = "text_tokenizer") -> Dataset:
    """Return the text tokenizer: `Trained` on the recipe's texts, or a `Pretrained` one."""
    if not isinstance(made, Trained | Pretrained):
        raise TypeError(f"a text tokenizer is Trained(...) or Pretrained(...), not {type(made).__name__}")
    return dataset(__name__, Config(made), name=name)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the pretrained tokenizer is not there, or a source of texts is."""
    if isinstance(config.made, Pretrained):
        _load_pretrained(config.made.name)
        return
    for source in config.made.sources:
        try:
            source.check()
        except SourceUnavailable as error:
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
            made = config.made
            if isinstance(made, Pretrained):
                _load_pretrained(made.name).save_pretrained(folder)
                out.write_folder(folder)
                continue
            texts = [text for source in made.sources for text in source.texts()]
            try:
                tokenizer = train_text_tokenizer(texts, made.vocab_size)
            except ValueError as error:
                raise InputError(f"the text tokenizer cannot be trained: {error}") from error
            save_text_tokenizer(tokenizer, folder)
            out.write_folder(folder)
            out.read(len(texts))
            out.kept(len(texts))
            out.add("characters", sum(len(text) for text in texts))
            ctx.log(f"{made.vocab_size} ids from {len(texts)} texts")
