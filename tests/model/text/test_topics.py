"""Topics by prototypes, and distances between collections."""

from __future__ import annotations

import numpy as np
import pytest

from spelangy_model.text.topics import (
    PrototypeClassifier,
    SentenceEmbedder,
    Topic,
    jensen_shannon_distance,
    topic_shares,
)


def test_shares_and_distances():
    names = ["sport", "music"]
    shares = topic_shares(["sport", "sport", "music", "sport"], names)
    assert shares.tolist() == [0.75, 0.25]
    assert jensen_shannon_distance(shares, shares) == 0
    assert jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)
    assert topic_shares([], names).tolist() == [0, 0]


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        SentenceEmbedder(tmp_path)


@pytest.mark.slow
def test_plain_sentences_land_on_their_topic():
    from spelangy_model.weights import sentence_encoder

    embedder = SentenceEmbedder(sentence_encoder())
    vectors = embedder.embed(["one sentence", "another, longer sentence with more words in it"])
    assert vectors.shape == (2, 384)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = np.concatenate(
        [embedder.embed([text]) for text in ("one sentence", "another, longer sentence with more words in it")]
    )
    np.testing.assert_allclose(vectors, alone, atol=1e-5)  # padding does not count

    topics = [
        Topic("sport", ("The team won the match.", "The runner broke the record.")),
        Topic("music", ("A band plays a song.", "The pianist gave a concert.")),
        Topic("health", ("The doctor treats the disease.", "Take the medicine twice a day.")),
    ]
    classifier = PrototypeClassifier(embedder, topics)
    texts = [
        "The striker scored twice in the final.",
        "Her new album has ten tracks.",
        "The nurse measured his blood pressure.",
    ]
    assert classifier.classify(texts) == ["sport", "music", "health"]
    assert classifier.classify([]) == []
    with pytest.raises(ValueError, match="prototype"):
        PrototypeClassifier(embedder, [Topic("empty", ())])
