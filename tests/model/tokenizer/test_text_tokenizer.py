"""The text tokenizer: any text comes back, words have one id wherever they stand, long texts split without loss."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from spelangy_model.tokenizer.text import (
    decode_text,
    encode_texts,
    load_text_tokenizer,
    save_text_tokenizer,
    split_text,
    train_text_tokenizer,
)

TEXTS = [f"The {color} river number {i} runs to {place}." for i in range(40) for color, place in (("red", "Norway"),)]


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_text_tokenizer(TEXTS, 300)


@given(st.text())
@settings(max_examples=100, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    tokenizer = train_text_tokenizer(TEXTS, 300)
    assert decode_text(tokenizer, encode_texts(tokenizer, [text])[0]) == text


def test_training_is_reproducible_to_the_byte(tokenizer: Tokenizer) -> None:
    assert train_text_tokenizer(TEXTS, 300).to_str() == tokenizer.to_str()


def test_texts_join_into_the_ids_of_the_whole(tokenizer: Tokenizer) -> None:
    first, second, whole = encode_texts(tokenizer, ["The river", "runs to Norway", "The river runs to Norway"])
    assert first + second == whole


def test_a_saved_tokenizer_gives_the_same_ids_and_loads_with_hugging_face(tokenizer: Tokenizer, tmp_path: Path) -> None:
    from transformers import AutoTokenizer

    save_text_tokenizer(tokenizer, tmp_path)
    expected = encode_texts(tokenizer, TEXTS[:1])
    assert encode_texts(load_text_tokenizer(tmp_path), TEXTS[:1]) == expected
    assert AutoTokenizer.from_pretrained(tmp_path)(" " + TEXTS[0])["input_ids"] == expected[0]


def test_what_cannot_be_reached_says_what_can(tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least 256"):
        train_text_tokenizer(TEXTS, 100)
    with pytest.raises(ValueError, match="set vocab_size to at most"):
        train_text_tokenizer(["one word"], 5000)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_text_tokenizer(tmp_path / "nowhere")


@given(st.lists(st.sampled_from(["red river", "a\n\nb", "Norway", "\n", "x" * 40, "\N{SNOWMAN}"]), max_size=30))
@settings(max_examples=100, deadline=None)
def test_pieces_are_short_and_lose_nothing(words: list[str]) -> None:
    tokenizer = train_text_tokenizer(TEXTS, 300)
    text = " ".join(words)
    pieces = split_text(tokenizer, text, 12)
    assert all(1 <= len(piece) <= 12 for piece in pieces)
    assert sum(pieces, []) == (encode_texts(tokenizer, [text])[0])


def test_pieces_end_with_the_paragraph_where_one_fits(tokenizer: Tokenizer) -> None:
    text = "The red river.\nThe red river runs to Norway and to Norway."
    first, *_ = split_text(tokenizer, text, 10)
    assert decode_text(tokenizer, first) == "The red river.\n"
