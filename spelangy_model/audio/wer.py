"""Word error rate in the usual form for English: Whisper's normalizer, then jiwer.

Put here: that count. Do not put here: intervals and tests (spelangy_model/eval), or the comparison of single words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any


@dataclass(frozen=True)
class WordErrors:
    """Counts over a set of texts; `rate` is errors per reference word and may exceed 1."""

    substitutions: int
    deletions: int
    insertions: int
    reference_words: int

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        return self.errors / self.reference_words if self.reference_words else float(self.errors > 0)


@cache
def _normalizer() -> Any:
    from whisper.normalizers import EnglishTextNormalizer

    return EnglishTextNormalizer()


def normalize_english(text: str) -> str:
    """Return the text as Whisper's English normalizer writes it (numbers, contractions, spelling, no punctuation)."""
    return _normalizer()(text)


def word_errors(references: Sequence[str], hypotheses: Sequence[str]) -> WordErrors:
    """Count the word errors of hypotheses against references, both normalized, summed over the whole set.

    Raises ValueError when the two differ in number. A reference without words counts its hypothesis as insertions.
    """
    import jiwer

    if len(references) != len(hypotheses):
        raise ValueError(f"{len(references)} references for {len(hypotheses)} hypotheses")
    pairs = [(normalize_english(r), normalize_english(h)) for r, h in zip(references, hypotheses, strict=True)]
    silent = sum(len(hypothesis.split()) for reference, hypothesis in pairs if not reference)
    spoken = [(reference, hypothesis) for reference, hypothesis in pairs if reference]
    if not spoken:
        return WordErrors(0, 0, silent, 0)
    counts = jiwer.process_words([reference for reference, _ in spoken], [hypothesis for _, hypothesis in spoken])
    return WordErrors(
        substitutions=counts.substitutions,
        deletions=counts.deletions,
        insertions=counts.insertions + silent,
        reference_words=counts.hits + counts.substitutions + counts.deletions,
    )
