"""The speech tokenizer of a recipe: the checkpoint that the project ships, or one that is trained here.

Put here: choosing, checking or training the checkpoint, and measuring it on the recipe's own speech. Do not put
here: the model and its training (spelangy_model/tokenizer), or shipping a checkpoint (ship_tokenizer.py).

Input: `tokenizer_speech` (Chunk): what it is trained on, but for the texts that are held out to measure it; a shipped
checkpoint is measured on the same texts and may do without the input. Output: the files that
`SpeechTokenizer.from_pretrained` reads, at the root of the artifact.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import islice
from typing import TYPE_CHECKING, Literal

from spelangy_assets.stages.stage import Execution, PreflightError, StageContext
from spelangy_model.audio.io import decode_flac
from spelangy_model.records import Chunk, Metric
from spelangy_model.rng import stable_seed
from spelangy_model.tokenizer.speech_schedule import SpeechTraining

if TYPE_CHECKING:
    from spelangy_model.tokenizer.speech import SpeechTokenizer

VERSION = "1"
CHECKPOINT_FILES = ("config.json", "model.safetensors")
# Of the shipped checkpoint; `python -m spelangy_assets tokenizer` prints it for a new one.
SHIPPED_SHA256 = "20c499ab54bd8727af2417ac89a7088d9157086df5e66d050f1b49bd04e0de60"
_HELD_OUT_ONE_IN = 25
_BLOCK_CHUNKS = 1024  # decoded at once


@dataclass(frozen=True)
class Config:
    """`shipped` takes the project's checkpoint, whose digest is `checkpoint_sha256`; `trained` makes one.

    At most `measured_utterances` of the held-out texts' utterances are read back to measure the tokenizer.
    """

    source: Literal["shipped", "trained"] = "shipped"
    checkpoint_sha256: str = SHIPPED_SHA256
    preset: str = "tiny"
    training: SpeechTraining = field(default_factory=SpeechTraining)
    measured_utterances: int = 400


TABLES: dict[str, type] = {"metrics": Metric}


def checkpoint_digest(files: dict[str, bytes]) -> str:
    """Return the SHA-256 over the names and contents of a checkpoint's files."""
    digest = hashlib.sha256()
    for name in CHECKPOINT_FILES:
        digest.update(f"{name} {len(files[name])}\n".encode())
        digest.update(files[name])
    return digest.hexdigest()


def shipped_checkpoint(sha256: str) -> dict[str, bytes]:
    """Return the files of the shipped checkpoint. Raises PreflightError when one is missing or altered."""
    folder = resources.files("spelangy_assets") / "tokenizer_checkpoint"
    files = {}
    for name in CHECKPOINT_FILES:
        try:
            files[name] = (folder / name).read_bytes()
        except FileNotFoundError as error:
            raise PreflightError(
                f"the shipped speech tokenizer lacks {name}: install the package again, or set source='trained'"
            ) from error
    found = checkpoint_digest(files)
    if found != sha256:
        raise PreflightError(
            f"the shipped speech tokenizer has the digest {found}, the recipe asks for {sha256}: install the package "
            "again, or name the digest that you mean, or set source='trained'"
        )
    return files


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for a missing or altered checkpoint, and for a preset that does not exist."""
    if config.source == "shipped":
        shipped_checkpoint(config.checkpoint_sha256)
    elif config.source == "trained":
        from spelangy_model.tokenizer.speech import preset_config

        try:
            preset_config(config.preset)
        except ValueError as error:
            raise PreflightError(str(error)) from error
    else:
        raise PreflightError(f"source is {config.source!r}; a speech tokenizer is 'shipped' or 'trained'")


def run(ctx: StageContext, config: Config) -> None:
    """Write the checkpoint's files, and what was measured of it when there is speech to measure it on."""
    for unit, _ in ctx.out.pending(["checkpoint"]):
        from spelangy_model.tokenizer.speech import SpeechTokenizer, save_checkpoint

        chunks = ctx.inputs.get("tokenizer_speech")
        with ctx.out.unit(unit) as out:
            folder = ctx.out.scratch / "checkpoint"
            folder.mkdir(exist_ok=True)
            if config.source == "shipped":
                for name, data in shipped_checkpoint(config.checkpoint_sha256).items():
                    (folder / name).write_bytes(data)
            else:
                save_checkpoint(_train(ctx, config), folder)
            for name in CHECKPOINT_FILES:
                out.write_file(name, (folder / name).read_bytes())
            if chunks is not None:
                model = SpeechTokenizer.from_pretrained(folder)
                out.write("metrics", list(measure(model, chunks.records("chunks", Chunk), config.measured_utterances)))
                out.read(chunks.manifest.rows("chunks"))
                out.kept(chunks.manifest.rows("chunks"))


def _held_out(text: str) -> bool:
    return stable_seed(0, "tokenizer held out", text) % _HELD_OUT_ONE_IN == 0


def _train(ctx: StageContext, config: Config) -> SpeechTokenizer:
    from spelangy_model.tokenizer.speech import preset_config
    from spelangy_model.tokenizer.train_speech import make_example, train_speech_tokenizer

    model_config = preset_config(config.preset)
    examples = []
    unfit = 0
    for chunk in ctx.inputs["tokenizer_speech"].records("chunks", Chunk):
        if _held_out(chunk.spoken_text):
            continue
        example = make_example(decode_flac(chunk.audio.bytes), chunk.spoken_text, model_config)
        if example is None:
            unfit += 1
        else:
            examples.append(example)
    ctx.log(f"training on {len(examples)} utterances; {unfit} have no letters or too many for their length")
    return train_speech_tokenizer(examples, model_config, config.training, ctx.log).model


def measure(model, chunks: Iterable[Chunk], measured_utterances: int) -> Iterator[Metric]:
    """Yield how the codes are used over all chunks, and what is read back of those whose texts are held out."""
    from spelangy_model.tokenizer.speech_health import codebook_health
    from spelangy_model.tokenizer.train_speech import round_trip

    codes, held_out = [], []
    for block in batched(chunks, _BLOCK_CHUNKS):
        codes += model.encode([decode_flac(chunk.audio.bytes) for chunk in block])
        held_out += [chunk for chunk in block if _held_out(chunk.spoken_text)]
    held_out = held_out[:measured_utterances]
    if not held_out:
        return  # a corpus of a few sentences holds none out: there is nothing to measure on
    sounds = [decode_flac(chunk.audio.bytes) for chunk in held_out]
    read = round_trip(model, sounds, [chunk.spoken_text for chunk in held_out])
    health = codebook_health(codes, model.codebook_size)
    for subject, name, value, count in (
        ("texts held out", "round_trip.character_error_rate", read.character_error_rate, read.characters),
        ("texts held out", "round_trip.word_error_rate", read.word_error_rate, read.utterances),
        ("tokenizer_speech", "codebook.used_share", health.used_share, health.tokens),
        ("tokenizer_speech", "codebook.perplexity_codes", health.perplexity_codes, health.tokens),
        ("tokenizer_speech", "codebook.repeat_share", health.repeat_share, health.tokens),
    ):
        yield Metric(subject, name, value, math.nan, math.nan, count)


def batched(items: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield lists of up to `size` items (itertools.batched is of Python 3.12)."""
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
