"""Turns spoken questions into speech codes, once for all runs that are asked them.

Put here: from recordings of questions to their codes. Do not put here: the speech tokenizer (spelangy_model/tokenizer),
prompts or scores (stages/evaluate.py).

Inputs: `questions` (SpokenQuestion), `speech_tokenizer` (files).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_model.audio.io import decode_flac
from spelangy_model.records import QuestionCodes, SpokenQuestion

VERSION = "1"
TABLES: dict[str, type] = {"codes": QuestionCodes}
INDEPENDENT_UNITS = True
_AT_ONCE = 1024  # questions held as sound; enough for full batches of every length


@dataclass(frozen=True)
class Config:
    """All follows from the inputs."""


CONTRACT = Contract(
    "question_codes",
    """
    SELECT count(*) AS questions, count(*) - count(DISTINCT question_id) AS duplicate_ids,
           count(*) FILTER (len(codes) = 0) AS without_codes,
           count(*) FILTER (list_min(codes) < 0 OR list_max(codes) >= codebook_size) AS impossible_codes,
           count(DISTINCT codebook_size) AS codebook_sizes
    FROM codes
    """,
    (
        Bound("questions", 1),
        exactly("duplicate_ids"),
        exactly("without_codes"),
        exactly("impossible_codes"),
        Bound("codebook_sizes", 1, 1),
    ),
)

KIND = DatasetKind(
    group="tokens",
    description="The recordings of {questions} as codes of the speech tokenizer.",
    contract=CONTRACT,
    pool="gpu",
    takes={"questions": SpokenQuestion, "speech_tokenizer": "speech_tokenizer"},
    columns={"question_id": ("questions.question_id",), "codes": ("questions.audio",)},
)


@word
def question_codes(questions: Dataset, speech_tokenizer: Dataset, *, name: str) -> Dataset:
    """Return spoken questions as codes of a speech tokenizer."""
    inputs = {"questions": questions, "speech_tokenizer": speech_tokenizer}
    return dataset(__name__, Config(), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the device that the settings name is not there."""
    execution.check_device()


def run(ctx: StageContext, config: Config) -> None:
    """Tokenize each shard of `questions` as one unit."""
    pending = list(ctx.out.pending(ctx.inputs["questions"].shards("questions")))
    if not pending:
        return
    from spelangy_model.tokenizer.open_codec import open_codec

    speech = open_codec(ctx.inputs["speech_tokenizer"].local_folder(ctx.execution.cache_dir), ctx.execution.device)
    for unit, shard in pending:
        with ctx.out.unit(unit) as out:
            rows = shard.iter_records(SpokenQuestion)
            while block := list(itertools.islice(rows, _AT_ONCE)):
                codes = speech.encode([decode_flac(row.audio.bytes) for row in block])
                out.read(len(block))
                out.write(
                    "codes",
                    [
                        QuestionCodes(row.question_id, one.tolist(), speech.codebook_size)
                        for row, one in zip(block, codes, strict=True)
                    ],
                )
                out.kept(len(block))
        ctx.log(f"tokenized shard {unit + 1} of {len(ctx.inputs['questions'].shards('questions'))}")
