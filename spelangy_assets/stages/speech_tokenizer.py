"""The speech tokenizer of a recipe: the checkpoint that the project ships, one that is trained here, or Mimi.

Put here: choosing, checking or training the checkpoint, and measuring it on the recipe's own speech. Do not put
here: the model and its training (spelangy_model/tokenizer), or shipping a checkpoint (ship_tokenizer.py).

Input: `tokenizer_speech` (Chunk): its training data, except for the texts that are held out to measure it; a shipped
checkpoint is measured on the same texts and does not require the input. Output: the files that `open_codec` reads, at
the root of the artifact. Mimi has no head that reads its codes, so no error rate is measured of it. A training leaves
its checkpoints in the artifact's scratch folder: an interrupted training continues from the last of them.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_model.audio.io import decode_flac
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.options import refuse_idle
from spelangy_model.pretrained import CheckpointRefused, check_settings
from spelangy_model.records import Chunk, Metric
from spelangy_model.rng import stable_seed
from spelangy_model.tokenizer.codec import CodecChoice, CodecError
from spelangy_model.tokenizer.speech_schedule import SpeechTraining

if TYPE_CHECKING:
    from spelangy_model.tokenizer.codec import SpeechCodec
    from spelangy_model.tokenizer.speech import SpeechTokenizer

VERSION = "2"
CHECKPOINT_FILES = ("config.json", "model.safetensors")
# Of the shipped checkpoint; `spelangy tokenizer` prints it for a new one.
SHIPPED_SHA256 = "d2d81ee35abb8bc5534e2b126be5cdd28c434ca9fc9e8c2c4858e32ba1eb2295"
_HELD_OUT_ONE_IN = 25
_BLOCK_CHUNKS = 1024  # decoded at once


@dataclass(frozen=True)
class Config:
    """`shipped` takes the project's checkpoint; `trained` makes one of `preset`; `mimi` takes `model`. A `codec` is one
    from outside, in the place of all these.

    `checkpoint_sha256` is the digest of the shipped one. `model` is a folder or a name in the local Hugging Face cache.
    At most `measured_utterances` of the held-out texts' utterances are read back to measure the tokenizer.
    """

    source: Literal["shipped", "trained", "mimi"] = "shipped"
    checkpoint_sha256: str = SHIPPED_SHA256
    preset: str = "tiny"
    training: SpeechTraining = field(default_factory=SpeechTraining)
    model: str = "kyutai/mimi"
    codec: CodecChoice | None = None
    measured_utterances: ClassVar[int] = 400

    def __post_init__(self) -> None:
        if self.codec is not None:
            names = ("source", "checkpoint_sha256", "preset", "training", "model")
            refuse_idle(self, "beside a codec from outside", *names)
        own = {"shipped": ("checkpoint_sha256",), "trained": ("preset", "training"), "mimi": ("model",)}
        for names in (names for source, names in own.items() if source != self.source and self.source in own):
            refuse_idle(self, f"for a speech tokenizer that is {self.source}", *names)


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


KIND = DatasetKind(
    group="tokenizers",
    description="Conformer encoder and finite scalar quantizer at 12.5 Hz, frozen.",
    contract=contracts.SPEECH_TOKENIZER,
    kinds=("pytorch",),
    pool="gpu",
    cost="heavy",
    takes={"tokenizer_speech": Chunk},
    makes="speech_tokenizer",
)


@word
def speech_tokenizer(speech: Dataset, *, name: str = "speech_tokenizer", **options: Any) -> Dataset:
    """Return the speech tokenizer, trained on or measured with `speech`; `options` are fields of Config."""
    return dataset(__name__, config_of(Config, options), name=name, inputs={"tokenizer_speech": speech})


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError for a missing or altered checkpoint, an unknown preset, or a Mimi that is not here."""
    if config.codec is not None:
        try:
            config.codec.locate()
        except CodecError as error:
            raise PreflightError(f"the speech tokenizer: {error}") from error
    elif config.source == "shipped":
        shipped_checkpoint(config.checkpoint_sha256)
    elif config.source == "trained":
        from spelangy_model.tokenizer.speech import preset_config

        try:
            preset_config(config.preset)
        except ValueError as error:
            raise PreflightError(str(error)) from error
    elif config.source == "mimi":
        _mimi_folder(config.model)
    else:
        raise PreflightError(f"source is {config.source!r}; a speech tokenizer is 'shipped', 'trained' or 'mimi'")


def _mimi_folder(model: str) -> Path:
    from spelangy_model.tokenizer.codec import read_config

    try:
        folder = local_model(model)
        kind = read_config(folder)["model_type"]
        check_settings(folder)
    except (ModelMissing, CodecError, CheckpointRefused) as error:
        raise PreflightError(f"the speech tokenizer of source 'mimi': {error}") from error
    if kind != "mimi":
        raise PreflightError(f"{folder} holds a model of type {kind!r}, the recipe asks for Mimi: name one")
    missing = [name for name in CHECKPOINT_FILES if not (folder / name).is_file()]
    if missing:
        raise PreflightError(f"{folder} has no {', '.join(missing)}: get the whole model with: hf download kyutai/mimi")
    return folder


def run(ctx: StageContext, config: Config) -> None:
    """Write the checkpoint's files, and its measures when there is speech to measure it on."""
    for unit, _ in ctx.out.pending(["checkpoint"]):
        from spelangy_model.tokenizer.open_codec import open_codec

        chunks = ctx.inputs.get("tokenizer_speech")
        with ctx.out.unit(unit) as out:
            folder = ctx.out.scratch / "checkpoint"
            folder.mkdir(exist_ok=True)
            if config.codec is not None:
                folder = config.codec.locate()
            elif config.source == "shipped":
                for name, data in shipped_checkpoint(config.checkpoint_sha256).items():
                    (folder / name).write_bytes(data)
            elif config.source == "mimi":
                folder = _mimi_folder(config.model)
            else:
                from spelangy_model.tokenizer.speech import save_checkpoint

                save_checkpoint(_train(ctx, config), folder)
            for name in CHECKPOINT_FILES:
                out.write_file(name, (folder / name).read_bytes())
            if chunks is not None:
                model = open_codec(folder)
                out.add("reading_heads", 0 if config.codec or config.source == "mimi" else 1)
                out.write("metrics", list(measure(model, chunks.records("chunks", Chunk), config.measured_utterances)))
                out.read(chunks.manifest.rows("chunks"))
                out.kept(chunks.manifest.rows("chunks"))


def held_out(text: str) -> bool:
    """Return whether a text is left out of the training, to measure the tokenizer with."""
    return stable_seed(0, "tokenizer held out", text) % _HELD_OUT_ONE_IN == 0


def _train(ctx: StageContext, config: Config) -> SpeechTokenizer:
    from spelangy_model.tokenizer.speech import preset_config
    from spelangy_model.tokenizer.train_speech import make_example, train_speech_tokenizer

    model_config = preset_config(config.preset, decodable=config.training.reconstruction_loss_weight > 0)
    examples = []
    unfit = 0
    for chunk in ctx.inputs["tokenizer_speech"].records("chunks", Chunk):
        if held_out(chunk.spoken_text):
            continue
        example = make_example(decode_flac(chunk.audio.bytes), chunk.spoken_text, model_config)
        if example is None:
            unfit += 1
        else:
            examples.append(example)
    ctx.log(f"training on {len(examples)} utterances; {unfit} have no letters or too many for their length")
    work = ctx.out.scratch / "training"
    return train_speech_tokenizer(examples, model_config, config.training, ctx.log, work, progress=ctx.progress).model


def measure(model: SpeechCodec, chunks: Iterable[Chunk], measured_utterances: int) -> Iterator[Metric]:
    """Yield the use of codes over all chunks, and the error rate on chunks whose texts are held out."""
    from spelangy_model.tokenizer.speech import SpeechTokenizer
    from spelangy_model.tokenizer.speech_health import codebook_health
    from spelangy_model.tokenizer.train_speech import round_trip

    codes, unseen = [], []
    for block in batched(chunks, _BLOCK_CHUNKS):
        codes += model.encode([decode_flac(chunk.audio.bytes) for chunk in block])
        unseen += [chunk for chunk in block if held_out(chunk.spoken_text)]
    health = codebook_health(codes, model.codebook_size)
    for name, value in (
        ("codebook.used_share", health.used_share),
        ("codebook.perplexity_codes", health.perplexity_codes),
        ("codebook.repeat_share", health.repeat_share),
    ):
        yield Metric("tokenizer_speech", name, value, math.nan, math.nan, health.tokens)
    unseen = unseen[:measured_utterances]
    if not unseen or not isinstance(model, SpeechTokenizer):
        return  # a corpus of a few sentences holds none out; Mimi has no head that reads its codes
    sounds = [decode_flac(chunk.audio.bytes) for chunk in unseen]
    read = round_trip(model, sounds, [chunk.spoken_text for chunk in unseen])
    for name, value, count in (
        ("round_trip.character_error_rate", read.character_error_rate, read.characters),
        ("round_trip.word_error_rate", read.word_error_rate, read.utterances),
    ):
        yield Metric("texts held out", name, value, math.nan, math.nan, count)


def batched(items: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Yield lists of up to `size` items (itertools.batched is of Python 3.12)."""
    iterator = iter(items)
    while block := list(islice(iterator, size)):
        yield block
