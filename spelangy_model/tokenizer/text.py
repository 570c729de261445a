"""The text tokenizer: byte-level BPE that round-trips any text.

Put here: training, saving and loading of the text vocabulary, and the one rule for turning a text into ids. Do not
put here: markers and speech codes (vocab.py) or where texts come from (stages).

The rule: a text is encoded with one space before it. A word then has the same id at every place, texts of
adjacent chunks join with their boundary kept, and an answer's first token is the same after a question that was
spoken and after one that was written. `decode_text` removes the space, so the round trip is exact.
Source: byte-level BPE as in GPT-2, by the `tokenizers` library.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TOKENIZER_FILE = "tokenizer.json"


def train_text_tokenizer(texts: Iterable[str], vocab_size: int) -> Tokenizer:
    """Train a byte-level BPE of exactly `vocab_size` ids (256 bytes and vocab_size - 256 merges, no special tokens).

    Deterministic: the same texts give the same file. Raises ValueError when vocab_size is below 256 or when the texts
    do not hold enough different words for it.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if vocab_size < len(alphabet):
        raise ValueError(f"vocab_size is {vocab_size}; byte-level BPE needs at least {len(alphabet)}")
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, min_frequency=1, initial_alphabet=alphabet, special_tokens=[], show_progress=False
    )
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    reached = tokenizer.get_vocab_size()
    if reached != vocab_size:
        raise ValueError(
            f"the texts give a vocabulary of {reached} ids, not {vocab_size}: set vocab_size to at most {reached}, "
            "or train on more text"
        )
    return tokenizer


def save_text_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """Write the files of a Hugging Face fast tokenizer (tokenizer.json, tokenizer_config.json) into `folder`."""
    from transformers import PreTrainedTokenizerFast

    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=False).save_pretrained(folder)


def load_text_tokenizer(folder: Path) -> Tokenizer:
    """Load a text tokenizer from its folder. Raises FileNotFoundError, naming the file that is missing."""
    from tokenizers import Tokenizer

    path = Path(folder) / TOKENIZER_FILE
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: a text tokenizer's folder holds {TOKENIZER_FILE}")
    return Tokenizer.from_file(str(path))


def encode_texts(tokenizer: Tokenizer, texts: Sequence[str]) -> list[list[int]]:
    """Return the ids of each text, without markers, by the module's rule (one space before the text)."""
    encodings = tokenizer.encode_batch([f" {text}" for text in texts], add_special_tokens=False)
    return [encoding.ids for encoding in encodings]


def decode_text(tokenizer: Tokenizer, ids: Sequence[int]) -> str:
    """Return the text of ids made by `encode_texts`: exactly the original text."""
    return tokenizer.decode(list(ids), skip_special_tokens=False).removeprefix(" ")


def split_text(tokenizer: Tokenizer, text: str, max_tokens: int) -> list[list[int]]:
    """Return the ids of a text in pieces of at most `max_tokens`, whose concatenation is the whole text's ids.

    Pieces end at a paragraph's end where one fits, else before a word, else (a single word longer than max_tokens)
    between two tokens. Used for text-only documents, which have no chunks of their own.
    """
    encoding = tokenizer.encode(f" {text}", add_special_tokens=False)
    ids, offsets, words = encoding.ids, encoding.offsets, encoding.word_ids
    if len(ids) <= max_tokens:
        return [ids] if ids else []
    padded = f" {text}"
    pieces: list[list[int]] = []
    begin = 0
    while len(ids) - begin > max_tokens:
        limit = begin + max_tokens
        ends = [k for k in range(begin + 1, limit + 1) if words[k] != words[k - 1]]
        after_line = [k for k in ends if "\n" in padded[slice(*offsets[k - 1])]]
        end = after_line[-1] if after_line else ends[-1] if ends else limit
        pieces.append(ids[begin:end])
        begin = end
    return [*pieces, ids[begin:]]
