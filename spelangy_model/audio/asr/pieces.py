"""Join the pieces of a tokenizer, placed on frames, into words.

Put here: code that CTC and transducer models share. Do not put here: models.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from spelangy_model.records import Word


@dataclass(frozen=True, slots=True)
class Piece:
    """A token as text, its frames (`end` exclusive) and its probability."""

    text: str
    begin: int
    end: int
    probability: float


def words_of(pieces: Iterable[Piece], frame_s: float) -> list[Word]:
    """Join pieces into words; a word's confidence is the mean of its pieces' probabilities.

    A word begins at a piece that starts with "\\u2581" (SentencePiece) and ends at a "|" (Wav2Vec2); special tokens
    ("<s>", "[UNK]" and similar ones) are dropped.
    """
    words: list[Word] = []
    text: list[str] = []
    spoken: list[Piece] = []

    def close() -> None:
        if text:
            confidence = sum(piece.probability for piece in spoken) / len(spoken)
            words.append(Word("".join(text), spoken[0].begin * frame_s, spoken[-1].end * frame_s, confidence))
        text.clear()
        spoken.clear()

    for piece in pieces:
        if piece.text == "|" or piece.text.startswith("\u2581"):
            close()
        token = piece.text.lstrip("\u2581|")
        if not token or (token[0], token[-1]) in {("<", ">"), ("[", "]")}:
            continue
        text.append(token)
        spoken.append(piece)
    close()
    return words


def ctc_words(
    pieces: Sequence[str], ids: Sequence[int], probabilities: Sequence[float], blank: int, frame_s: float
) -> list[Word]:
    """Return the words of a greedy CTC path.

    `pieces`, `ids` and `probabilities` hold each frame's best token as text, its id and its probability. Equal
    neighbours are one token with the highest of their probabilities; blanks are dropped.
    """
    found: list[Piece] = []
    last = blank
    for frame, (piece, token, probability) in enumerate(zip(pieces, ids, probabilities, strict=True)):
        if token != blank:
            if token == last:
                one = found.pop()
                found.append(Piece(piece, one.begin, frame + 1, max(one.probability, probability)))
            else:
                found.append(Piece(piece, frame, frame + 1, probability))
        last = token
    return words_of(found, frame_s)
