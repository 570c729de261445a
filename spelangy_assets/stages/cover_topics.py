"""topic_coverage: what the training sets and the questions are about, and how far apart they lie.

Put here: drawing texts, counting topics, distances. Do not put here: the classifier (text.topics).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.stage_parts.document_texts import corpora, document_texts
from spelangy_assets.stages.find_contamination import share_metric
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.records import Metric, SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.topics import (
    PrototypeClassifier,
    SentenceEmbedder,
    Topic,
    TopicClassifier,
    TrainedClassifier,
    check_classifier,
    jensen_shannon_distance,
    topic_shares,
)
from spelangy_model.weights import WeightsError, sentence_encoder

VERSION = "1"
TABLES: dict[str, type] = {"metrics": Metric}
QUESTIONS = "questions"

_TOPICS = (
    Topic("music and entertainment", ("A band plays a song on stage.", "The film and its actors won a prize.")),
    Topic("sport", ("The team won the match.", "The runner broke the record at the games.")),
    Topic("religion", ("The church holds a prayer.", "The temple is holy to its believers.")),
    Topic("animals and nature", ("The animal lives in the forest.", "The bird eats seeds and builds a nest.")),
    Topic("geography", ("The river flows through the valley to the sea.", "The capital city of the country.")),
    Topic("science and technology", ("The machine was invented by an engineer.", "Physicists measure the energy.")),
    Topic("history", ("The king ruled the empire in the middle ages.", "The war ended with a treaty.")),
    Topic("health", ("The doctor treats the disease with medicine.", "Symptoms of the infection include fever.")),
    Topic("everyday life", ("We talked about the weather and dinner.", "I went shopping and came home late.")),
)


@dataclass(frozen=True)
class Config:
    """The topics with their prototype sentences, and how many documents of a set are classified.

    `classifier` is a sequence classifier of transformers by path or name of the hub; its labels are then the topics.
    Empty: sentence embeddings against the prototypes. A larger set is sampled by the hash of `seed` and the document's
    id. Of a document the beginning is read, 256 tokens for the prototypes, 512 by a classifier.
    """

    topics: tuple[Topic, ...] = _TOPICS
    max_documents: int = 400
    seed: int = 0
    classifier: str = ""


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the classifier, or the sentence encoder's package, is missing or cannot be used."""
    try:
        if config.classifier:
            check_classifier(local_model(config.classifier))
        else:
            sentence_encoder()
    except (ModelMissing, ValueError, WeightsError) as problem:
        raise PreflightError(str(problem)) from problem


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit for all: the distances need every set's topics."""
    subjects: list[tuple[str, Iterable[tuple[str, str]]]] = [
        (subject, document_texts(ctx, members)) for subject, members in corpora(ctx)
    ]
    if QUESTIONS in ctx.inputs:
        rows = {row.text_id: row for row in ctx.inputs[QUESTIONS].records("questions", SpokenQuestion)}
        subjects.append((QUESTIONS, [(text_id, row.question) for text_id, row in rows.items()]))
        names = sorted({row.benchmark for row in rows.values()})
        for name in names if len(names) > 1 else ():
            own = [(text_id, row.question) for text_id, row in rows.items() if row.benchmark == name]
            subjects.append((f"{QUESTIONS} of {name}", own))
    for unit, sets in ctx.out.pending([subjects]):
        classifier = _classifier(config, ctx.execution.device)
        with ctx.out.unit(unit) as out:
            names = classifier.names
            shares: dict[str, np.ndarray] = {}
            for subject, documents in sets:
                texts, total = _sample(documents, config)
                out.read(total)
                out.kept(len(texts))
                if total > len(texts):
                    out.drop("not_sampled", total - len(texts))
                if not texts:
                    continue
                labels = classifier.classify(texts)
                shares[subject] = topic_shares(labels, names)
                out.write(
                    "metrics",
                    [share_metric(subject, f"topic.{name}.share", labels.count(name), len(labels)) for name in names],
                )
                ctx.log(f"{subject}: {len(texts)} of {total} documents")
            out.write("metrics", _distances(shares))


def _classifier(config: Config, device: str) -> TopicClassifier:
    if config.classifier:
        return TrainedClassifier(local_model(config.classifier), device)
    return PrototypeClassifier(SentenceEmbedder(sentence_encoder()), config.topics)


def _sample(documents: Iterable[tuple[str, str]], config: Config) -> tuple[list[str], int]:
    """Return the texts with the smallest hashes of their ids, in that order, and how many there were."""
    ranked = [
        (stable_hash("topics", config.seed, document_id), text) for document_id, text in documents if text.strip()
    ]
    ranked.sort()
    return [text for _, text in ranked[: config.max_documents]], len(ranked)


def _distances(shares: dict[str, np.ndarray]) -> list[Metric]:
    nan = float("nan")
    return [
        Metric(one, f"topic.distance_to.{other}", jensen_shannon_distance(shares[one], shares[other]), nan, nan, 1)
        for one, other in combinations(shares, 2)
    ]
