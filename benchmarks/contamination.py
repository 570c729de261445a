"""Search for benchmark questions in training text: against datatrove's n-gram decontamination, in one run.

    python benchmarks/contamination.py

datatrove (pip install datatrove spacy 'xxhash<4') has its filter run over the same documents, with an index of the same
questions' n-grams; its number masking is off, so that both sides look for the same words. The text is the sample's
written notes, with questions of the sample's benchmark, in wordings that the notes do not have, set into every tenth
of them. Sides alternate; time is CPU time of this process; both must name the same documents.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rivals import rival, span

from spelangy_assets.sample.render import benchmark_questions, text_document
from spelangy_assets.sample.world import load_world
from spelangy_model.rng import stable_rng
from spelangy_model.text.contamination import QuestionIndex


def make_texts(documents: int, questions: list[str], seed: int) -> list[str]:
    """Return texts of which every tenth has a question inside."""
    world, texts = load_world(), []
    for number in range(documents):
        text = " ".join(text_document(world, seed, 8 * number + part) for part in range(8))
        if number % 10 == 0:
            rng = stable_rng(seed, "plant", number)
            middle = text.find(" ", int(rng.integers(len(text))))
            text = f"{text[:middle]} {questions[int(rng.integers(len(questions)))]} {text[middle:]}"
        texts.append(text)
    return texts


def datatrove_filter(questions: list[str], words: int, folder: Path):
    """Return datatrove's filter over an index of the questions, written as its indexer writes it."""
    from datatrove.pipeline.decont.n_grams import NGramsDecontConfig, NGramsDecontFilter
    from datatrove.utils.text import TextNormConfig, ngrams, simplify_text

    norm = TextNormConfig(norm_numbers=False)
    config = NGramsDecontConfig(n_grams=words, norm_config=norm)
    found = NGramsDecontFilter(str(folder), config=config)
    hashes = {
        found.hash_func(" ".join(gram))
        for question in questions
        for gram in ngrams(found.tokenizer.word_tokenize(simplify_text(question, norm)), words)
    }
    np.array(sorted(hashes), config.hash_config.np_descr).tofile(folder / "sample.index.hashes")
    found.load_index_hashes()
    return found


def datatrove_search(questions: list[str], texts: list[str], words: int, folder: Path) -> Callable[[], set[int]]:
    """Return a search by datatrove's filter for the texts that hold a question."""
    from datatrove.data import Document

    decontaminate = datatrove_filter(questions, words, folder)

    def search() -> set[int]:
        kept = (decontaminate.filter(Document(text, str(number))) for number, text in enumerate(texts))
        return {number for number, verdict in enumerate(kept) if verdict is not True}

    return search


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--words", type=int, default=8, help="of an n-gram")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    asked = [question for question in benchmark_questions(load_world(), args.seed) if question.split == "new_wording"]
    questions = [question.question for question in asked]
    # the sides cut "it's" in two ways
    texts = [text.replace("'", "") for text in make_texts(args.documents, questions, args.seed)]
    questions = [question.replace("'", "") for question in questions]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    index = QuestionIndex({str(number): question for number, question in enumerate(questions)}, args.words)

    def ours() -> set[int]:
        return {number for number, overlap in index.hits(texts) if overlap.words >= args.words}

    sides = {"QuestionIndex": ours}
    with tempfile.TemporaryDirectory() as folder:
        if rival("datatrove", "datatrove"):
            sides["datatrove NGramsDecontFilter"] = datatrove_search(questions, texts, args.words, Path(folder))
        hits = {name: side() for name, side in sides.items()}
        rates: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.repeats):
            for name, side in sides.items():
                start = time.process_time()
                side()
                rates[name].append(megabytes / (time.process_time() - start))
    print(f"{megabytes:.1f} MB, {len(texts):,} documents, {len(questions):,} questions, {args.words}-grams\n")
    print("| search | MB per CPU second, all rounds | times the slowest side | documents hit | the same documents |")
    print("|---|---|---|---|---|")
    *_, last = sides
    for name, found in rates.items():
        ratios = [own / other for own, other in zip(found, rates[last], strict=True)]
        same = "yes" if hits[name] == hits["QuestionIndex"] else "NO"
        print(f"| {name} | {span(found, '.2f')} | {span(ratios, '.1f')} | {len(hits[name])} | {same} |")
    if hits[last] != hits["QuestionIndex"]:
        raise SystemExit(f"the sides differ on {sorted(hits[last] ^ hits['QuestionIndex'])[:10]}")


if __name__ == "__main__":
    main()
