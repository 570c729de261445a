"""Adopts a checkpoint that was made elsewhere, in place of the stage that would make it.

Put here: finding the folder, verifying by its digest that it is the one that the recipe names, and copying it. Do not
put here: the models themselves (spelangy_model).

The recipe names a digest, so the identity is that of the content; the folder's place is a setting. The folder is looked
for below the folder of checkpoints (SPELANGY_CHECKPOINTS) and then in the local Hugging Face cache. It holds one of

    language_model    a causal LM of Hugging Face, which is widened to the markers of this project; or one that this
                      project trained, which is kept unchanged. Input: `text_tokenizer`, whose ids must be the model's.
    text_tokenizer    the tokenizer of such a folder, without markers and codes
    speech_tokenizer  what `open_codec` reads. Input: `tokenizer_speech`, on which it is measured.

Output: the files that the replaced stage would have written. A unit is a file, so that no more than one is in memory,
and a killed run continues at the next one.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly, stat
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages.speech_tokenizer import CHECKPOINT_FILES, measure
from spelangy_assets.store.names import check_name
from spelangy_model.guarded_json import read_json
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.options import refuse_idle
from spelangy_model.pretrained import CheckpointRefused, check_settings, weight_files
from spelangy_model.records import Chunk, Metric
from spelangy_model.tokenizer.vocab import LAYOUT_FILE, MARKERS, NEW_EMBEDDINGS, NewEmbeddings

VERSION = "1"
TABLES: dict[str, type] = {"metrics": Metric}
Holds = Literal["language_model", "text_tokenizer", "speech_tokenizer"]

_TAKEN = (".json", ".safetensors", ".txt", ".model", ".jinja")
_OF_A_STORE = re.compile(r"\..*|manifest(-broken-\d+)?\.json|verdict-\w+\.json|broken(-\d+)?\.json|unit-\d+\.json")
_PIECE = 1 << 20
_SEED = 0  # of the markers' rows: the same checkpoint is widened to the same bytes
_MEASURES = "measures"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A recipe's reference to a folder that was made elsewhere.

    `name`: the folder's name in SPELANGY_CHECKPOINTS, or its name in the local Hugging Face cache. `sha256`: the digest
    of its content, as `spelangy checkpoint FOLDER` prints it. The lineage shows `url` and `licence`.
    """

    name: str
    sha256: str
    licence: str
    url: str = ""


@dataclass(frozen=True)
class Config:
    """The checkpoint and its kind; at most so many held-out utterances measure a speech tokenizer.

    `new_embeddings` is the rule by which a language model gets the embeddings of the markers that it has no token for.
    """

    holds: Holds
    checkpoint: Checkpoint
    new_embeddings: NewEmbeddings = "mean_and_spread"
    measured_utterances: ClassVar[int] = 400

    def __post_init__(self) -> None:
        if self.new_embeddings not in NEW_EMBEDDINGS:
            raise ValueError(f"new_embeddings is one of {', '.join(NEW_EMBEDDINGS)}, not {self.new_embeddings!r}")
        if self.holds != "language_model":
            refuse_idle(self, f"for a {self.holds.replace('_', ' ')}", "new_embeddings")


def taken_files(folder: Path) -> list[Path]:
    """Return the files of a checkpoint that count: those of its top whose names end as weights and settings do.

    The folder may be an artifact of another store, whose own files are skipped.
    """
    found = (path for path in folder.iterdir() if path.suffix in _TAKEN and path.is_file())
    return sorted(path for path in found if not _OF_A_STORE.fullmatch(path.name))


def folder_digest(folder: Path) -> str:
    """Return the SHA-256 over the names and contents of a checkpoint's files, in the order of their names."""
    digest = hashlib.sha256()
    for path in taken_files(folder):
        digest.update(f"{path.name} {path.stat().st_size}\n".encode())
        with path.open("rb") as stream:
            while piece := stream.read(_PIECE):
                digest.update(piece)
    return digest.hexdigest()


# A model whose weights were not inspected must fail the contract.
_LANGUAGE_MODEL = Contract(
    "adopted_language_model",
    f"""
    SELECT count(*) FILTER (path LIKE '%.safetensors' AND bytes > 0) AS weights,
           count(*) FILTER (path IN ('tokenizer.json', 'vocabulary_layout.json', 'config.json')) AS described_by,
           {stat("parameters")} AS parameters,
           {stat("nonfinite_parameters", missing="1")} AS nonfinite_parameters,
           (SELECT count(*) FROM stats WHERE name = 'plain_english_nats') AS finite_losses,
           {stat("plain_english_nats", missing="1e9")} / {stat("uniform_nats", missing="1")}
               AS plain_english_share_of_uniform_nats
    FROM files
    """,
    (
        Bound("weights", 1),
        exactly("described_by", 3),
        Bound("parameters", 1),
        exactly("nonfinite_parameters"),
        exactly("finite_losses", 1),  # missing where the model gives NaN
        Bound("plain_english_share_of_uniform_nats", 0, 0.9, "warn"),
    ),
)

CONTRACTS = {
    "text_tokenizer": contracts.FILES,
    "speech_tokenizer": contracts.SPEECH_TOKENIZER,
    "language_model": _LANGUAGE_MODEL,
}
KIND = DatasetKind(
    group="runs",
    description="A checkpoint that was made elsewhere.",
    contract=lambda config: CONTRACTS[config.holds],
    kinds=("pytorch",),
    pool="gpu",
    cost="heavy",
    takes={"tokenizer_speech": Chunk, "text_tokenizer": "text_tokenizer"},
    makes=lambda config: config.holds,
)


@word
def checkpoint(
    holds: Holds,
    *,
    name: str,
    checkpoint: Checkpoint,
    speech: Dataset | None = None,
    text_tokenizer: Dataset | None = None,
    **options: Any,
) -> Dataset:
    """Return a model that was made elsewhere, in the place of one that the recipe would make.

    A speech tokenizer is measured with `speech`, a language model is checked against `text_tokenizer`.
    """
    needed = {"speech_tokenizer": ("speech", speech), "language_model": ("text_tokenizer", text_tokenizer)}.get(holds)
    if needed and needed[1] is None:
        raise TypeError(f"an adopted {holds.replace('_', ' ')} needs {needed[0]}=")
    inputs = {"tokenizer_speech": speech, "text_tokenizer": text_tokenizer}
    return dataset(__name__, Config(holds, checkpoint, **options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the folder is not there, is another one, or holds what cannot be taken."""
    folder = _folder(config.checkpoint, execution)
    check_kind(folder, config.holds)
    found = folder_digest(folder)
    if found != config.checkpoint.sha256:
        raise PreflightError(
            f"the checkpoint {config.checkpoint.name!r} has the digest {found}, the recipe asks for "
            f"{config.checkpoint.sha256}: put that one there again, or name the digest that you mean"
        )


def check_kind(folder: Path, holds: Holds) -> None:
    """Raise PreflightError when a folder does not hold what it should, judging by its files."""
    config = _json(folder / "config.json") if holds != "text_tokenizer" else {}
    try:
        check_settings(folder)
        if holds != "text_tokenizer":
            weight_files(folder)
    except CheckpointRefused as error:
        raise PreflightError(str(error)) from error
    if holds == "speech_tokenizer":
        from spelangy_model.tokenizer.codec import CodecError, codebook_size_of

        missing = [name for name in CHECKPOINT_FILES if not (folder / name).is_file()]
        if missing:
            raise PreflightError(f"{folder} has no {', '.join(missing)}: a speech tokenizer is one file of weights")
        try:
            codebook_size_of(config, str(folder / "config.json"))
        except CodecError as error:
            raise PreflightError(str(error)) from error
        return
    vocabulary = _json(folder / "tokenizer.json").get("model", {}).get("vocab")
    if not isinstance(vocabulary, dict):
        raise PreflightError(f"{folder}/tokenizer.json is no BPE, WordPiece or WordLevel: name a model that has one")
    layout = folder / LAYOUT_FILE
    taken = [marker for marker in MARKERS if marker in _vocabulary(folder)]
    if taken and not layout.is_file():
        raise PreflightError(
            f"{folder} has tokens of its own called {', '.join(taken)}, as markers of this project are: take another"
        )


def offer(folder: Path, name: str, checkpoints: Path) -> str:
    """Link a folder into the folder of checkpoints under a name, and return its digest.

    Raises PreflightError when it holds nothing that could be adopted, or the name is another folder's or would leave
    the folder of checkpoints.
    """
    try:
        _plain_name(name)
    except PreflightError as error:
        raise PreflightError(f"{error}: choose another name with --name") from None
    complaints = []
    for holds in get_args(Holds):
        try:
            check_kind(folder, holds)
            break
        except PreflightError as error:
            complaints.append(f"as a {holds}: {error}")
    else:
        raise PreflightError(f"{folder} cannot be adopted; " + "; ".join(complaints))
    link = checkpoints / _plain_name(name)
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.exists():
        link.symlink_to(folder.resolve(), target_is_directory=True)
    elif link.resolve() != folder.resolve():
        raise PreflightError(f"the checkpoint {name!r} is {link.resolve()} already: choose another name with --name")
    return folder_digest(folder)


def _plain_name(name: str) -> str:
    """Return a name that stays inside of the folder of checkpoints; one of the hub has a part for its owner."""
    try:
        for part in name.split("/"):
            check_name(part)
            if not part.isprintable():
                raise ValueError
    except ValueError:
        raise PreflightError(
            f"{name!r} cannot name a checkpoint: no '\\', no part that is empty or '_' or begins with '.'"
        ) from None
    return name


def _folder(checkpoint: Checkpoint, execution: Execution) -> Path:
    _plain_name(checkpoint.name)
    if execution.checkpoints is not None and (execution.checkpoints / checkpoint.name).is_dir():
        return execution.checkpoints / checkpoint.name
    try:
        if Path(checkpoint.name).is_dir():
            raise ModelMissing  # a folder of the working directory is none of the recipe's
        return local_model(checkpoint.name)
    except ModelMissing:
        raise PreflightError(
            f"the checkpoint {checkpoint.name!r} is neither a folder in {execution.checkpoints} (SPELANGY_CHECKPOINTS) "
            f"nor in the local Hugging Face cache: put it there, or get it once with: hf download {checkpoint.name}"
        ) from None


def _json(path: Path) -> dict[str, Any]:
    try:
        found = read_json(path)
    except (OSError, ValueError) as error:
        raise PreflightError(f"{path} cannot be read ({error}): save the whole checkpoint, tokenizer too") from error
    if not isinstance(found, dict):
        raise PreflightError(f"{path} holds no object: save the checkpoint again")
    return found


def _vocabulary(folder: Path) -> set[str]:
    tokenizer = _json(folder / "tokenizer.json")
    return {*tokenizer["model"]["vocab"], *(token["content"] for token in tokenizer.get("added_tokens", ()))}


def run(ctx: StageContext, config: Config) -> None:
    """Copy the checkpoint: a unit for each file, then one for its measures."""
    folder = _only_taken(_folder(config.checkpoint, ctx.execution), ctx.out.scratch / "taken")
    if config.holds == "language_model":
        folder = _language_model(ctx, config, folder)
    elif config.holds == "text_tokenizer":
        folder = _text_tokenizer(ctx, folder)
    names = CHECKPOINT_FILES if config.holds == "speech_tokenizer" else [path.name for path in taken_files(folder)]
    for unit, name in ctx.out.pending([*names, _MEASURES]):
        with ctx.out.unit(unit) as out:
            if name != _MEASURES:
                out.write_file(name, (folder / name).read_bytes())
                continue
            out.read(len(names))
            out.kept(len(names))
            if config.holds == "language_model":
                _probe(ctx, config.checkpoint.name, folder, out)
            elif config.holds == "speech_tokenizer":
                _measure(ctx, config, folder, out)
    ctx.log(f"{config.checkpoint.name}: {len(names)} files, {config.checkpoint.sha256[:16]}")


def _only_taken(folder: Path, view: Path) -> Path:
    """Return a folder of links to the files that the digest covers, so that nothing else of a checkpoint is loaded."""
    shutil.rmtree(view, ignore_errors=True)
    view.mkdir(parents=True)
    for path in taken_files(folder):
        (view / path.name).symlink_to(path.resolve())
    return view


def _language_model(ctx: StageContext, config: Config, folder: Path) -> Path:
    from spelangy_model.lm.adopted import widen
    from spelangy_model.tokenizer.vocab import LayoutError, tokenizer_digest

    name = config.checkpoint.name
    own = ctx.inputs["text_tokenizer"].local_folder(ctx.execution.cache_dir)
    if tokenizer_digest(own) != tokenizer_digest(folder):
        raise InputError(
            f"{name} was trained with another text tokenizer than the recipe's: let the recipe adopt that one, too: "
            'adopted_checkpoints={"text_tokenizer": ...}'
        )
    if (folder / LAYOUT_FILE).is_file():
        return folder
    widened, draft = ctx.out.scratch / "widened", ctx.out.scratch / "widened.part"
    if not widened.is_dir():
        shutil.rmtree(draft, ignore_errors=True)
        try:
            widen(folder, draft, _SEED, config.new_embeddings)
        except (LayoutError, ValueError) as error:
            raise InputError(f"{name} cannot be a language model of this project: {error}") from error
        draft.rename(widened)
    return widened


def _text_tokenizer(ctx: StageContext, folder: Path) -> Path:
    """Write the tokenizer without the markers and codes that this project adds, and return where."""
    from tokenizers import Tokenizer

    from spelangy_model.tokenizer.text import save_text_tokenizer
    from spelangy_model.tokenizer.vocab import Layout

    tokenizer = _json(folder / "tokenizer.json")
    if (folder / LAYOUT_FILE).is_file():
        text_size = Layout.load(folder).text_size
        tokenizer["added_tokens"] = [token for token in tokenizer["added_tokens"] if token["id"] < text_size]
    made = ctx.out.scratch / "tokenizer"
    save_text_tokenizer(Tokenizer.from_str(json.dumps(tokenizer)), made)
    return made


def _probe(ctx: StageContext, name: str, folder: Path, out: Any) -> None:
    import torch

    from spelangy_model.lm.adopted import probe
    from spelangy_model.tokenizer.vocab import LayoutError

    if ctx.execution.device == "cpu":
        torch.set_num_threads(1)
    try:
        seen = probe(folder, ctx.execution.device)
    except (LayoutError, ValueError) as error:
        raise InputError(f"{name} cannot be a language model of this project: {error}") from error
    out.add("parameters", seen.parameters)
    out.add("nonfinite_parameters", seen.nonfinite_parameters)
    if math.isfinite(seen.nats_per_token):
        out.add("plain_english_nats", seen.nats_per_token)
    out.add("uniform_nats", seen.uniform_nats)


def _measure(ctx: StageContext, config: Config, folder: Path, out: Any) -> None:
    from spelangy_model.tokenizer.codec import read_config
    from spelangy_model.tokenizer.open_codec import open_codec

    codec = open_codec(folder)
    spoken = ctx.inputs["tokenizer_speech"].records("chunks", Chunk)
    out.add("reading_heads", 0 if read_config(folder)["model_type"] == "mimi" else 1)
    out.write("metrics", list(measure(codec, spoken, config.measured_utterances)))
