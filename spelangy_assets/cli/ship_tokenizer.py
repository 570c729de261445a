"""Trains the shipped speech tokenizer again, compares it, and puts a new one into the package.

Put here: that command. Do not put here: training (spelangy_model/tokenizer) or literals of the recipe (recipes/).
"""

import sys
from typing import TextIO

from spelangy_assets.cli.demo import materialize
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.tokenizer import TOKENIZER
from spelangy_assets.settings import PACKAGE_FOLDER, Settings
from spelangy_assets.stages.speech_tokenizer import CHECKPOINT_FILES, SHIPPED_SHA256, checkpoint_digest
from spelangy_assets.store.artifacts import DatasetName
from spelangy_model.records import Metric


def build_tokenizer(settings: Settings, ship: bool, stream: TextIO = sys.stdout) -> int:
    """Train the shipped speech tokenizer again, from the recipe `tokenizer`; say whether it is the shipped one.

    `ship` puts the new checkpoint and its model card into the package, and prints the digest that
    stages/speech_tokenizer.py has to state.
    """
    graph = TOKENIZER.graph
    targets = required_targets(graph, [("speech_tokenizer", None)])
    result = materialize(TOKENIZER, settings, targets, 1, stream)
    if not result.complete:
        return 1
    made = Installation(settings).store.resolve(DatasetName(TOKENIZER.name, "speech_tokenizer"))
    files = {name: made.read_file(name) for name in CHECKPOINT_FILES}
    digest = checkpoint_digest(files)
    metrics = list(made.records("metrics", Metric))
    for metric in metrics:
        print(f"{metric.metric:<36}{metric.value:>10.4f}  of {metric.count}", file=stream)
    if digest == SHIPPED_SHA256:
        print(f"equal to the shipped checkpoint: {digest}", file=stream)
    else:
        print(f"not the shipped checkpoint: SHIPPED_SHA256 = {digest!r}", file=stream)
    if ship:
        folder = PACKAGE_FOLDER / "tokenizer_checkpoint"
        folder.mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        (folder / "README.md").write_text(_model_card(TOKENIZER, made.manifest.cpu_seconds, metrics, digest))
        print(f"shipped: {folder}", file=stream)
    return 0


def _model_card(recipe: Recipe, cpu_seconds: float, metrics: list[Metric], digest: str) -> str:
    config, speech = recipe["speech_tokenizer"].config, recipe["tokenizer_speech"].config
    training = config.training
    sentences = ", ".join(f"{part.count:,} {part.kind}" for part in speech.sentences)
    accents = ", ".join(sorted({voice.accent for voice in speech.voices}))
    rows = "\n".join(f"| {item.metric} | {item.value:.4f} | {item.count:,} |" for item in metrics)
    return f"""# The shipped speech tokenizer

Written by `spelangy tokenizer --ship`. `make tokenizer` trains it again and reports whether it is equal.

* Model: preset `{config.preset}`, FastConformer and FSQ, 1000 codes at 12.5 Hz
* Speech: espeak-ng, sentences of the sample world ({sentences}), accents {accents}
* Training: {training.steps:,} steps of {training.batch_s:g} s of audio, seed {training.seed}
* Cost: {cpu_seconds:,.0f} CPU seconds
* Weights: float16, digest {digest}
* Licence: Apache-2.0, as the project

Measured: what the CTC head reads on sentences that the training did not hold, in the accents that it did; the codes on
all of the speech.

| metric | value | of |
|---|---|---|
{rows}
"""
