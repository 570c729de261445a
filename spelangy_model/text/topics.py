"""Topics of texts: a topic for each text, and the distance of two collections.

Put here: the protocol of a topic classifier, the embedded one (sentence embeddings against labelled prototypes), a
trained one by name or path, distributions and their distance. Do not put here: which texts, or what an even coverage
would be. The paper uses a topic classifier to show that web speech leans to entertainment, sports and religion. Source
of the embedding: all-MiniLM-L6-v2 (Sentence-Transformers), mean pooling over its last layer, unit length.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from spelangy_model.guarded_json import read_json_object
from spelangy_model.pretrained import check_settings, load_settings, load_weights, weight_files


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic and sentences that are clearly about it."""

    name: str
    prototypes: tuple[str, ...]


class TopicClassifier(Protocol):
    """Gives every text the name of a topic, one of `names`."""

    @property
    def names(self) -> Sequence[str]: ...

    def classify(self, texts: Sequence[str]) -> list[str]: ...


class SentenceEmbedder:
    """A Hugging Face encoder from a folder, as text -> float32 of shape (texts, 384) and unit length.

    Raises FileNotFoundError when the folder holds no config.json. One torch thread, so that a rerun gives equal bits.
    """

    def __init__(self, folder: Path, max_tokens: int = 256, batch_size: int = 32):
        if not (folder / "config.json").is_file():
            raise FileNotFoundError(f"{folder} holds no Hugging Face model (no config.json)")
        import torch
        from transformers import AutoModel, AutoTokenizer

        torch.set_num_threads(1)
        self._torch = torch
        self._tokenizer = load_settings(AutoTokenizer, folder)
        self._model = load_weights(AutoModel, folder, dtype=torch.float32).eval()
        self._max_tokens = max_tokens
        self._batch_size = batch_size

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        torch = self._torch
        rows = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for places in alike(texts, self._batch_size):
                batch = self._tokenizer(
                    [texts[place] for place in places],
                    padding=True,
                    truncation=True,
                    max_length=self._max_tokens,
                    return_tensors="pt",
                )
                hidden = self._model(**batch).last_hidden_state
                mask = batch["attention_mask"].unsqueeze(-1).to(hidden.dtype)
                mean = (hidden * mask).sum(1) / mask.sum(1)
                rows[places] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return rows


class PrototypeClassifier:
    """The topic whose prototypes' mean embedding is nearest in angle; the earlier topic wins a tie."""

    def __init__(self, embedder: SentenceEmbedder, topics: Sequence[Topic]):
        if not topics or any(not topic.prototypes for topic in topics):
            raise ValueError("every topic needs at least one prototype sentence")
        self._embedder = embedder
        self.names: Sequence[str] = tuple(topic.name for topic in topics)
        centres = np.stack([embedder.embed(topic.prototypes).mean(axis=0) for topic in topics])
        self._centres = centres / np.linalg.norm(centres, axis=1, keepdims=True)

    def classify(self, texts: Sequence[str]) -> list[str]:
        if not texts:
            return []
        return [self.names[int(index)] for index in np.argmax(self._embedder.embed(texts) @ self._centres.T, axis=1)]


class TrainedClassifier:
    """A sequence classifier of transformers from a folder; its labels are the topics. It reads the beginning of a text.

    Raises ValueError as `check_classifier` does.
    """

    def __init__(self, folder: Path, device: str = "cpu", max_tokens: int = 512, batch_size: int = 32):
        check_classifier(folder)
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        if device == "cpu":
            torch.set_num_threads(1)  # equal bits at a rerun
        self._torch = torch
        self._tokenizer = load_settings(AutoTokenizer, folder)
        model = load_weights(AutoModelForSequenceClassification, folder, dtype=torch.float32)
        self._model = model.to(device).eval()
        labels = self._model.config.id2label
        self.names: Sequence[str] = tuple(str(labels[index]) for index in range(len(labels)))
        positions = getattr(self._model.config, "max_position_embeddings", max_tokens)
        self._max_tokens = min(max_tokens, positions)
        self._batch_size = batch_size

    def classify(self, texts: Sequence[str]) -> list[str]:
        torch = self._torch
        found = [""] * len(texts)
        with torch.inference_mode():
            for places in alike(texts, self._batch_size):
                batch = self._tokenizer(
                    [texts[place] for place in places],
                    padding=True,
                    truncation=True,
                    max_length=self._max_tokens,
                    return_tensors="pt",
                ).to(self._model.device)
                for place, index in zip(places, self._model(**batch).logits.argmax(-1).tolist(), strict=True):
                    found[place] = self.names[int(index)]
        return found


def alike(texts: Sequence[str], batch_size: int) -> Iterator[list[int]]:
    """Yield the indices of texts in batches of similar length, because a batch is padded to its longest text."""
    places = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    for start in range(0, len(places), batch_size):
        yield places[start : start + batch_size]


def check_classifier(folder: Path) -> None:
    """Raise ValueError, with the cure, for a folder that `TrainedClassifier` cannot take. Loads no model.

    Such a folder names no labels, or has a form that is refused (see pretrained.py).
    """
    path = folder / "config.json"
    if not path.is_file():
        raise ValueError(f"{folder} holds no Hugging Face model (no config.json)")
    config = read_json_object(path)
    check_settings(folder)
    if len(config.get("id2label", {})) < 2:
        raise ValueError(f"{folder}: config.json names no labels: take a model that classifies sequences")
    weight_files(folder)


def topic_shares(labels: Sequence[str], names: Sequence[str]) -> np.ndarray:
    """Return the share of each named topic among the labels (float64, sums to 1; zeros without labels)."""
    counts = Counter(labels)
    total = sum(counts[name] for name in names)
    return np.array([counts[name] / total if total else 0.0 for name in names])


def jensen_shannon_distance(p: np.ndarray, q: np.ndarray) -> float:
    """Return the Jensen-Shannon distance (base 2) of two distributions: 0 when equal, 1 when disjoint."""
    from scipy.spatial.distance import jensenshannon

    return float(jensenshannon(p, q, base=2))
