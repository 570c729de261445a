"""The topics of a token set, or of the questions.

Put here: drawing texts, counting topics. Do not put here: the classifier (text.topics), or distances between sets
(leaderboard).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stage_parts.document_texts import document_texts
from spelangy_assets.stages.find_contamination import share_metric
from spelangy_model.hub import ModelMissing, local_model
from spelangy_model.options import refuse_idle
from spelangy_model.records import Metric, Question, SpokenQuestion
from spelangy_model.rng import stable_hash
from spelangy_model.text.topics import (
    PrototypeClassifier,
    SentenceEmbedder,
    Topic,
    TopicClassifier,
    TrainedClassifier,
    check_classifier,
)
from spelangy_model.weights import WeightsError, sentence_encoder

VERSION = "4"
TABLES: dict[str, type] = {"metrics": Metric}
SUBJECT = "texts"  # of the metrics; the leaderboard knows which texts they are

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

    def __post_init__(self) -> None:
        if self.classifier:
            refuse_idle(self, "beside a classifier, whose labels are the topics", "topics")


KIND = DatasetKind(
    group="evals",
    description="Which topics {texts} is about.",
    contract=contracts.METRICS,
    cost="heavy",
    takes={
        "texts": ("speech_tokens", "conversation_tokens", "text_tokens", SpokenQuestion),
        "text_tokenizer": "text_tokenizer",
    },
    makes="topics",
)


@word
def topics(texts: Dataset, text_tokenizer: Dataset | None, **options: Any) -> Dataset:
    """Return the topics of a roll-up of token sets, or of questions; `options` are fields of Config."""
    inputs = {"texts": texts, "text_tokenizer": text_tokenizer}
    return dataset(__name__, config_of(Config, options), name=f"{texts.label}_topics", inputs=inputs)


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
    """Do one unit. Of questions a text counts once, all together and by benchmark."""
    for unit, documents in ctx.out.pending([_documents(ctx)]):
        classifier = _classifier(config, ctx.execution.device)
        with ctx.out.unit(unit) as out:
            for subject, texts in documents.items():
                chosen, clusters, total = _sample(texts, config)
                if subject == SUBJECT:
                    out.read(total)
                    out.kept(len(chosen))
                    if total > len(chosen):
                        out.drop("not_sampled", total - len(chosen))
                if not chosen:
                    continue
                labels = classifier.classify(chosen)
                out.write(
                    "metrics",
                    [
                        share_metric(subject, f"topic.{name}.share", [label == name for label in labels], clusters)
                        for name in classifier.names
                    ],
                )
                ctx.log(f"{subject}: {len(chosen)} of {total} documents")


def _documents(ctx: StageContext) -> dict[str, Iterable[tuple[str, str, str]]]:
    """Return (id, text, cluster) of the input's documents, and of each benchmark where there are several."""
    if "texts" in ctx.members:
        return {SUBJECT: ((one, text, one) for one, text in document_texts(ctx, ctx.members["texts"]))}
    rows = {row.text_id: row for row in ctx.inputs["texts"].records("questions", Question)}
    names = sorted({row.benchmark for row in rows.values()})
    questions = [(row.benchmark, (text_id, row.question, row.cluster_id)) for text_id, row in rows.items()]
    sets = {SUBJECT: [one for _, one in questions]}
    for name in names if len(names) > 1 else ():
        sets[name] = [one for benchmark, one in questions if benchmark == name]
    return dict(sets)


def _classifier(config: Config, device: str) -> TopicClassifier:
    if config.classifier:
        return TrainedClassifier(local_model(config.classifier), device)
    return PrototypeClassifier(SentenceEmbedder(sentence_encoder()), config.topics)


def _sample(documents: Iterable[tuple[str, str, str]], config: Config) -> tuple[list[str], list[str], int]:
    """Return the texts with the smallest hashes of their ids, in that order, their clusters, and how many there are."""
    ranked = [
        (stable_hash("topics", config.seed, document_id), text, cluster)
        for document_id, text, cluster in documents
        if text.strip()
    ]
    ranked.sort()
    chosen = ranked[: config.max_documents]
    return [text for _, text, _ in chosen], [cluster for *_, cluster in chosen], len(ranked)
