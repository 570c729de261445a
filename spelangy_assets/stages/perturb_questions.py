"""Spoken questions and the same ones with their sound perturbed, each perturbation as a split of its own.

Put here: which recordings are perturbed. Do not put here: what is done to samples (the module
spelangy_model/audio/perturbations.py).

Input: `questions` (SpokenQuestion). Output: questions(SpokenQuestion): each of the input as it is, and after it its
perturbed ones: their `split` is the perturbation's name, the rest but the sound is that of the question.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.stages import write_benchmark
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.audio.perturbations import Perturbation
from spelangy_model.records import Audio, Question, SpokenQuestion
from spelangy_model.rng import stable_codes, stable_hash, stable_order

VERSION = "2"
TABLES: dict[str, type] = {"questions": SpokenQuestion}
INDEPENDENT_UNITS = True


@dataclass(frozen=True)
class Config:
    """`max_questions` draws so many recordings by id, the same for each perturbation; 0 takes all."""

    perturbations: tuple[Perturbation, ...]
    seed: int = 0
    max_questions: int = 0

    def __post_init__(self) -> None:
        names = [one.split for one in self.perturbations]
        if len(set(names)) != len(names):
            raise ValueError(f"a perturbation is named twice among {', '.join(names)}")


KIND = DatasetKind(
    group="evals",
    description="{questions}, and drawn ones of them with their sound perturbed.",
    contract=write_benchmark.CONTRACT,
    kinds=("audio", "table"),
    takes={"questions": SpokenQuestion},
    columns={
        field.name: (f"questions.{field.name}",)
        for field in dataclasses.fields(SpokenQuestion)
        if field.name not in ("question_id", "split")
    },
)


@word
def perturbed(
    questions: Dataset, *perturbations: Perturbation, seed: int = 0, max_questions: int = 0, name: str = ""
) -> Dataset:
    """Return spoken questions with perturbed ones beside them."""
    if not perturbations:
        raise TypeError("name at least one perturbation: Noise(snr_db=10), Speed(percent=125), BandLimit(hz=3400)")
    config = Config(perturbations, seed, max_questions)
    name = name or f"{questions.label}_perturbed"
    return dataset(__name__, config, name=name, inputs={"questions": questions})


def preflight(config: Config, execution: Execution) -> None:
    """Nothing is needed."""


def run(ctx: StageContext, config: Config) -> None:
    """Perturb each shard of `questions` as one unit."""
    questions = ctx.inputs["questions"]
    ids = [row.question_id for row in questions.records("questions", Question)]
    order = stable_order(stable_codes(ids), config.seed, "perturbed questions")
    drawn = {ids[place] for place in order[: config.max_questions or len(ids)].tolist()}
    for unit, shard in ctx.out.pending(questions.shards("questions")):
        with ctx.out.unit(unit) as out:
            for row in shard.iter_records(SpokenQuestion):
                out.read(1)
                out.kept(1)
                out.write("questions", [row])
                if row.question_id not in drawn:
                    continue
                samples = decode_flac(row.audio.bytes)
                for one in config.perturbations:
                    question_id = stable_hash("perturbed", row.question_id, one.split, config.seed)
                    sound = encode_flac(one.perturb(samples, config.seed, row.question_id))
                    audio = Audio(sound, f"{question_id}.flac")
                    changed = dataclasses.replace(row, question_id=question_id, split=one.split, audio=audio)
                    out.write("questions", [changed])
                    out.add(f"{one.split}.questions", 1)
