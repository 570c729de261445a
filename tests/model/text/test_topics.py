"""Topics by prototypes, and distances between collections."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from spelangy_model.text.topics import (
    PrototypeClassifier,
    SentenceEmbedder,
    Topic,
    TrainedClassifier,
    alike,
    check_classifier,
    jensen_shannon_distance,
    topic_shares,
)
from spelangy_model.tokenizer.text import train_text_tokenizer

TEXTS = [f"{word} sentence number {i} " * (1 + i % 4) for i, word in enumerate(("one", "a longer", "some other") * 4)]


def test_shares_and_distances():
    names = ["sport", "music"]
    shares = topic_shares(["sport", "sport", "music", "sport"], names)
    assert shares.tolist() == [0.75, 0.25]
    assert jensen_shannon_distance(shares, shares) == 0
    assert jensen_shannon_distance(np.array([1.0, 0.0]), np.array([0.0, 1.0])) == pytest.approx(1)
    assert topic_shares([], names).tolist() == [0, 0]


def test_batches_hold_texts_of_like_length_and_every_text_once():
    batches = list(alike(TEXTS, 5))
    assert [len(batch) for batch in batches] == [5, 5, 2]
    assert sorted(sum(batches, [])) == list(range(len(TEXTS)))
    lengths = [[len(TEXTS[place]) for place in batch] for batch in batches]
    assert all(max(shorter) <= min(longer) for shorter, longer in itertools.pairwise(lengths))


def test_a_folder_without_a_model_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        SentenceEmbedder(tmp_path)


@pytest.fixture(scope="module")
def classifier_folder(tmp_path_factory):
    """A sequence classifier of three labels as transformers saves one, with random weights."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("classifier")
    bpe = train_text_tokenizer(TEXTS, 290)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, clean_up_tokenization_spaces=False)
    tokenizer.add_special_tokens({"pad_token": "<pad>"})
    tokenizer.save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=24,
        pad_token_id=tokenizer.pad_token_id,
        initializer_range=2.0,
        id2label={0: "sport", 1: "music", 2: "health"},
        label2id={"sport": 0, "music": 1, "health": 2},
    )
    with torch.random.fork_rng():
        torch.manual_seed(2)
        BertForSequenceClassification(config).save_pretrained(folder)
    return folder


def test_a_trained_classifier_gives_its_labels_whatever_stands_beside(classifier_folder):
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    classifier = TrainedClassifier(classifier_folder, batch_size=4)
    assert classifier.names == ("sport", "music", "health")
    found = classifier.classify(TEXTS)
    tokenizer = AutoTokenizer.from_pretrained(classifier_folder)
    model = AutoModelForSequenceClassification.from_pretrained(classifier_folder).eval()
    alone = []
    for text in TEXTS:
        ids = torch.tensor([tokenizer(text)["input_ids"][:24]])
        with torch.no_grad():
            alone.append(classifier.names[int(model(input_ids=ids).logits.argmax())])
    assert found == alone
    assert len(set(found)) > 1
    assert classifier.classify([]) == []


def test_what_is_no_classifier_is_refused_with_the_cure(classifier_folder, tmp_path):
    check_classifier(classifier_folder)
    config = json.loads((classifier_folder / "config.json").read_text())
    for changes, message in (
        ({"auto_map": {"AutoModel": "code.Model"}}, "code of its own"),
        ({"id2label": {}}, "names no labels"),
    ):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(ValueError, match=message):
            check_classifier(tmp_path)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"no config\.json"):
        check_classifier(tmp_path)


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
