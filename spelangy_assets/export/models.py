"""A training run out of the store: a folder that transformers loads and servers serve, with a model card.

    the run's own files          weights, configuration, tokenizer with the markers and speech codes as tokens
    speech_tokenizer/            what turns sound into those codes; this package reads it
    chat_template.jinja, generation_config.json, answer_format.json   (spelangy_model/eval/serving.py)

Put here: which files and scores belong to a run. Do not put here: the card's words (card.py), or an evaluation.
"""

from __future__ import annotations

from spelangy_assets.export.card import model_card
from spelangy_assets.export.facts import Score, facts_of
from spelangy_assets.export.rights import check_takedowns
from spelangy_assets.export.write import CARD, Written, note
from spelangy_assets.store.artifacts import Artifact, ArtifactStore
from spelangy_assets.store.files import Files
from spelangy_assets.store.forgotten import forgotten
from spelangy_assets.store.manifest import Input
from spelangy_assets.store.runs import SPEECH_TOKENIZER, answer_format_of, is_language_model, speech_tokenizer_of
from spelangy_assets.store.selection import Selection
from spelangy_model.records import Metric

STAGES = ("train_lm", "adopt_checkpoint")
_BLOCK_BYTES = 1 << 22


def is_model(selection: Selection) -> bool:
    return all(one.manifest.stage in STAGES or is_language_model(one) for one in selection.versions)


def write_model(store: ArtifactStore, selection: Selection, target: Files, consent: str = "") -> Written:
    """Write a run's files and its card into a target; the store notes it first.

    ValueError for a source that was taken down, or a target that holds something else.
    """
    (run,) = selection.versions
    facts = facts_of(store, (run,), None)
    check_takedowns(facts.sources, forgotten(store))
    copied = {path: f"{run.path}/{path}" for path in _files_of(run)}
    codec = speech_tokenizer_of(store, run) if is_language_model(run) else None
    if codec is not None:
        copied |= {f"{SPEECH_TOKENIZER}/{path}": f"{codec.path}/{path}" for path in _files_of(codec)}
    written = _serving_files(store, run)
    copied = {path: source for path, source in copied.items() if path not in written}
    files = [*copied, *written]
    strange = [
        name for name, _ in target.names("") if not name.startswith(".") and name != CARD and not _is_of(name, files)
    ]
    if strange:
        raise ValueError(f"{target.uri} holds something already ({strange[0]}): name an empty folder")
    note(store, selection, facts, "model", target.uri)
    for path, source_path in copied.items():
        with store.files.open_input(source_path) as source, target.open_output(path) as stream:
            while block := source.read(_BLOCK_BYTES):
                stream.write(block)
    for path, data in written.items():
        target.replace(path, data)
    mix = next((store.open(item, run.name.recipe) for item in run.manifest.inputs if item.role == "mix"), None)
    card = model_card(
        run,
        facts,
        mix,
        scores_of(store, run),
        _base(store, run),
        consent,
        served=bool(written),
        takes_speech=codec is not None,
    )
    target.replace(CARD, card.encode())
    return Written(facts, (*files, CARD), 0)


def _files_of(version: Artifact) -> list[str]:
    return [shard.path for shard in version.manifest.shards if not shard.table]


def _serving_files(store: ArtifactStore, run: Artifact) -> dict[str, bytes]:
    """Return what a server reads beside the run's own files; nothing for what is no language model of this project."""
    if not is_language_model(run):
        return {}
    from spelangy_model.eval.ask import ANSWER_PREFIX, MAX_ANSWER_TOKENS
    from spelangy_model.eval.serving import serving_files

    answers = {"answer_prefix": ANSWER_PREFIX, **answer_format_of(store, run)}
    return serving_files(run.local_folder(store.cache_dir), max_answer_tokens=MAX_ANSWER_TOKENS, **answers)


def scores_of(store: ArtifactStore, run: Artifact) -> list[Score]:
    """Return the metrics of all that the run's recipe publishes and that judge this version of the run."""
    found = []
    for one in store.published(run.name.recipe):
        judges = any(item.role == "run" and _is(item, run) for item in one.manifest.inputs)
        if judges and one.shards("metrics"):
            found += [
                Score(one.name.dataset, row.metric, row.value, row.low, row.high, row.count)
                for row in one.records("metrics", Metric)
            ]
    return sorted(found, key=lambda score: (score.by, score.metric))


def _is(item: Input, run: Artifact) -> bool:
    return (item.stage, item.build_key) == (run.manifest.stage, run.manifest.build_key)


def _is_of(name: str, files: list[str]) -> bool:
    return any(path == name or path.startswith(f"{name}/") for path in files)


def _base(store: ArtifactStore, run: Artifact) -> str:
    for item in run.manifest.inputs:
        if item.role == "base_lm":
            base = store.open(item, run.name.recipe)
            adopted = base.manifest.config.get("checkpoint") if isinstance(base.manifest.config, dict) else None
            return str(adopted["name"]) if isinstance(adopted, dict) and adopted.get("name") else str(base.name)
    return ""
