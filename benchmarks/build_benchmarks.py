"""WebQuestions and OpenTriviaQA become spoken four-way sets through the stage, and are held against what they must be.

    python benchmarks/build_benchmarks.py FOLDER --model CHECKPOINT

FOLDER holds webquestions/test.json (and relation_paths_test.json) and opentriviaqa/*.txt; CHECKPOINT is a folder of a
text LM with the project's vocabulary layout (a base_lm artifact). The sample's own questions are held to the same.

Blind choosers see options and no question: the LM of CHECKPOINT; the length; how often the option stands in the set; a
unigram LM of the words of the set's options; and naive Bayes on the words of right against wrong options, trained on
four fifths of the set and tried on the fifth, where questions with the same four options stand in the same fifth.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import chisquare

from spelangy_assets.execution.build import build
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.execution.stage import Execution
from spelangy_assets.recipes.sample_parts import HELD_OUT_VOICES, SEED, TRAINED_VOICES, WORLD
from spelangy_assets.sample.sources import SampleWorld
from spelangy_assets.stages import write_benchmark
from spelangy_assets.stages.write_benchmark import FOLDER_VARIABLE, QuestionSet
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.eval.question_files import digest_of_questions, read_questions
from spelangy_model.eval.stats import wilson_interval
from spelangy_model.records import SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.normalize import words_of


def question_set(folder: Path, name: str, file_format: str, path: str, limit: int = 0) -> QuestionSet:
    digest = digest_of_questions(folder / path, read_questions(folder / path, file_format))
    return QuestionSet(name, file_format, path, digest, split=Path(path).stem, max_questions=limit)


def blind_scores(checkpoint: Path, questions: Sequence[SpokenQuestion], prefix: str) -> list[list[int]]:
    """Return the option that the LM finds likeliest without the question, summed and per character."""
    import torch

    from spelangy_model.eval.multiple_choice import score_prompts
    from spelangy_model.eval.prompts import text_prompt
    from spelangy_model.lm.forward import load_model
    from spelangy_model.tokenizer.text import load_text_tokenizer
    from spelangy_model.tokenizer.vocab import check_checkpoint

    torch.set_num_threads(1)
    model = load_model(checkpoint)
    layout, tokenizer = check_checkpoint(model, checkpoint), load_text_tokenizer(checkpoint)
    prompts = [text_prompt(layout, tokenizer, "", prefix, question.options) for question in questions]
    scores = score_prompts(model, prompts, layout.pad)
    return [[score.best(scoring) for score in scores] for scoring in ("raw", "per_character")]


def unigram_scores(texts: Sequence[SpokenQuestion]) -> list[list[float]]:
    """Return the mean log-probability of each option's words, by their counts among all options."""
    counts = Counter(word for row in texts for option in row.options for word in words_of(option))
    total = counts.total()
    return [
        [
            float(np.mean([np.log(counts[word] / total) for word in words_of(option)] or [-99.0]))
            for option in row.options
        ]
        for row in texts
    ]


def naive_bayes_scores(texts: Sequence[SpokenQuestion], folds: int = 5) -> list[list[float]]:
    """Return how much rather each option's words are those of a right one, by the questions of the other folds."""
    fold = [int(stable_hash("fold", *sorted(row.options)), 16) % folds for row in texts]
    scores: list[list[float]] = [[] for _ in texts]
    for held in range(folds):
        counts = (Counter[str](), Counter[str]())
        for row, own in zip(texts, fold, strict=True):
            if own != held:
                for place, option in enumerate(row.options):
                    counts[place == row.answer_index].update([option, *words_of(option)])
        totals = [counts[right].total() for right in (False, True)]

        def odds(option: str, counts=counts, totals=totals) -> float:
            wrong, right = (
                [np.log((counts[side][sign] + 1) / (totals[side] + 1)) for sign in (option, *words_of(option))]
                for side in (False, True)
            )
            return float(np.sum(right) - np.sum(wrong))

        for number, row in enumerate(texts):
            if fold[number] == held:
                scores[number] = [odds(option) for option in row.options]
    return scores


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--trivia", type=int, default=500)
    parser.add_argument("--answer-prefix", default="The answer is")
    args = parser.parse_args()
    files = sorted((args.folder / "opentriviaqa").glob("*.txt"))
    each = [args.trivia // len(files) + (number < args.trivia % len(files)) for number in range(len(files))]
    world = SampleWorld(world=WORLD)
    sources = (
        question_set(args.folder, "webquestions", "webquestions", "webquestions/test.json"),
        *(
            question_set(
                args.folder,
                f"opentriviaqa_{file.stem.replace('-', '_')}",
                "opentriviaqa",
                f"opentriviaqa/{file.name}",
                limit,
            )
            for file, limit in zip(files, each, strict=True)
        ),
        world,
    )
    questions = write_benchmark.questions(
        *sources, seed=SEED, trained_voices=TRAINED_VOICES, held_out_voices=HELD_OUT_VOICES
    )
    graph = Recipe("published", questions).graph
    with tempfile.TemporaryDirectory() as home:
        store = ArtifactStore(Path(home) / "store", Path(home) / "cache")
        environment = {FOLDER_VARIABLE: str(args.folder)}
        execution = Execution(Path(home) / "cache", lambda *_: 0.0, environment=environment)
        start = time.process_time()
        built = build(store, graph, graph[questions.name], None, execution)
        seconds = time.process_time() - start
        rows = list(built.artifact.records("questions", SpokenQuestion))
        dropped = built.artifact.manifest.counts.dropped
    hours = sum(len(decode_flac(row.audio.bytes)) for row in rows) / SAMPLE_RATE_HZ / 3600
    print(
        f"{len(rows):,} recordings, {hours:.2f} hours, {seconds:.0f} CPU s; contract "
        f"{'passed' if built.verdict.passed else 'FAILED'}; dropped: {dict(dropped) or 'none'}; "
        f"{len({row.accent for row in rows})} accents, {len({row.voice for row in rows})} voices\n"
    )
    print("| set | questions | four distinct options | place, chi-square p | blind chooser | right | 95% |")
    print("|---|---|---|---|---|---|---|")
    for name in ("webquestions", "opentriviaqa", world.name):
        texts = list({row.text_id: row for row in rows if row.benchmark.startswith(name)}.values())
        report(name, texts, args.model, args.answer_prefix)


def report(name: str, texts: Sequence[SpokenQuestion], model: Path, prefix: str) -> None:
    distinct = sum(len(set(row.options)) == 4 for row in texts)
    places = np.bincount([row.answer_index for row in texts], minlength=4)
    common = Counter(option for row in texts for option in row.options)
    raw, per_character = blind_scores(model, texts, prefix)

    def by(value: Callable[[str], float]) -> list[int]:
        return [max(range(4), key=lambda place, row=row: value(row.options[place])) for row in texts]

    def likeliest(scores: list[list[float]]) -> list[int]:
        return [int(np.argmax(row)) for row in scores]

    choosers = {
        "LM, likelihood": raw,
        "LM, per character": per_character,
        "longest option": by(len),
        "shortest option": by(lambda option: -len(option)),
        "most common option": by(lambda option: common[option]),
        "unigram LM of the options": likeliest(unigram_scores(texts)),
        "naive Bayes, cross-fitted": likeliest(naive_bayes_scores(texts)),
    }
    for chooser, chosen in choosers.items():
        right = sum(place == row.answer_index for place, row in zip(chosen, texts, strict=True))
        interval = wilson_interval(right, len(texts))
        inside = "holds 25%" if interval.low <= 0.25 <= interval.high else "does NOT hold 25%"
        print(
            f"| {name} | {len(texts):,} | {distinct:,} | {chisquare(places).pvalue:.3f} | {chooser} "
            f"| {100 * interval.value:.1f}% | {100 * interval.low:.1f} to {100 * interval.high:.1f}, {inside} |"
        )


if __name__ == "__main__":
    main()
