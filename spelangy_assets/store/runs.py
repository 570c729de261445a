"""Language models of a store: which there are, and which speech tokenizer belongs to one.

Put here: from the name of a run, or a folder, to the folders that a model is opened from. Do not put here: opening it
(spelangy_model/eval/ask.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName
from spelangy_assets.store.manifest import Input
from spelangy_model.guarded_json import JsonError, read_json_object

SPEECH_TOKENIZER = "speech_tokenizer"  # the role of an input; in an export, the folder inside of the model's
ANSWER_FORMAT = "answer_format.json"  # of an exported model (spelangy_model/eval/serving.py)
_OF_A_MODEL = frozenset({"config.json", "tokenizer.json", "vocabulary_layout.json"})


@dataclass(frozen=True)
class ModelFolders:
    """Where a language model is on this machine; `speech_tokenizer` is None where none belongs to it.

    `answer_prefix` is the text with which it was trained, or is judged, to begin an answer; empty where nothing says.
    """

    name: str
    model: Path
    speech_tokenizer: Path | None
    answer_prefix: str = ""


def is_language_model(artifact: Artifact) -> bool:
    return {shard.path for shard in artifact.manifest.shards} >= _OF_A_MODEL


def model_folders(store: ArtifactStore, text: str, recipe: str) -> ModelFolders:
    """Return where [RECIPE/]RUN lies, a run that a recipe publishes; or the folder of a model, such as an export.

    A run of the store comes before a folder of its name. ValueError or StoreError says which runs there are.
    """
    folder = Path(text).expanduser()
    if not text.startswith(("/", ".", "~")):
        try:
            run = run_named(store, text, recipe)
        except ValueError:
            if not folder.is_dir():
                raise
        else:
            codec = speech_tokenizer_of(store, run)
            cache_dir = store.cache_dir
            return ModelFolders(
                str(run.name),
                run.local_folder(cache_dir),
                codec.local_folder(cache_dir) if codec else None,
                answer_prefix_of(store, run),
            )
    if not folder.is_dir():
        raise ValueError(f"{text} is no folder: name one that holds a model, or a run of {recipe}")
    codec_folder = folder / SPEECH_TOKENIZER
    return ModelFolders(text, folder, codec_folder if codec_folder.is_dir() else None, _stated_prefix(folder))


def run_named(store: ArtifactStore, text: str, recipe: str) -> Artifact:
    """Return the published version of [RECIPE/]RUN, guarded as for a stage."""
    of, slash, name = text.rpartition("/")
    of = of if slash else recipe
    published = {one.name.dataset: one for one in store.published(of)}
    if name in published and not is_language_model(published[name]):
        raise ValueError(f"{of}/{name} is no language model: {_runs_of(of, published.values())}")
    if name not in published and all(known.dataset != name for known, _ in store.publications(of)):
        raise ValueError(f"{of} has no run {name!r}: {_runs_of(of, published.values())}")
    return store.resolve(DatasetName(of, name))


def _runs_of(recipe: str, published: Iterable[Artifact]) -> str:
    runs = sorted(one.name.dataset for one in published if is_language_model(one))
    return f"its runs are {', '.join(runs)}" if runs else f"it has published none; make them with `run {recipe}`"


def speech_tokenizer_of(store: ArtifactStore, run: Artifact) -> Artifact | None:
    """Return the speech tokenizer whose codes a run was trained on, by the run's lineage.

    Of a run without one, such as an adopted checkpoint, it is the one of the question codes that the recipe asks it.
    None where there is none either. ValueError where several are equally near.
    """
    found = _nearest(store, run.manifest.inputs)
    if not found:
        asked = [item for one in _judges(store, run) for item in one.manifest.inputs if item.role == "question_codes"]
        found = _nearest(store, asked)
    if len(found) > 1:
        raise ValueError(f"{run.name} was trained on the codes of {len(found)} speech tokenizers")
    return store.open(found[0], run.name.recipe) if found else None


def answer_prefix_of(store: ArtifactStore, run: Artifact) -> str:
    """Return the text that begins an answer where the recipe judges a run; empty: the evaluation's default."""
    configs = (one.manifest.config for one in _judges(store, run))
    return next(
        (str(one["answer_prefix"]) for one in configs if isinstance(one, dict) and one.get("answer_prefix")), ""
    )


def _stated_prefix(folder: Path) -> str:
    try:
        return str(read_json_object(folder / ANSWER_FORMAT).get("answer_prefix", ""))
    except FileNotFoundError:
        return ""
    except (OSError, JsonError) as error:
        raise ValueError(f"{folder / ANSWER_FORMAT} cannot be read ({error}): export the run again") from error


def _judges(store: ArtifactStore, run: Artifact) -> Iterator[Artifact]:
    """Yield what the run's recipe publishes and that judges this version of it."""
    mine = ("run", run.manifest.stage, run.manifest.build_key)
    for one in store.published(run.name.recipe):
        if any((item.role, item.stage, item.build_key) == mine for item in one.manifest.inputs):
            yield one


def _nearest(store: ArtifactStore, inputs: Iterable[Input]) -> list[Input]:
    """Return the speech tokenizers that the fewest steps of the lineage lead to, each version once."""
    level = {(item.stage, item.partition, item.build_key): item for item in inputs if item.stage}
    seen = set(level)
    while level:
        if found := [item for item in level.values() if item.role == SPEECH_TOKENIZER]:
            return found
        above = {
            (item.stage, item.partition, item.build_key): item
            for one in level.values()
            if (made := store.find(Address(one.stage, one.partition), one.build_key)) is not None
            for item in made.manifest.inputs
            if item.stage
        }
        level = {key: item for key, item in above.items() if key not in seen}
        seen |= set(level)
    return []
