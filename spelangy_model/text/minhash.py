"""MinHash signatures: a few hundred bytes for each text, nearly equal for nearly equal texts.

Put here: from a text to its signature. Do not put here: which texts are compared (stages/find_duplicate_pages.py). The
share of equal places of two signatures estimates the Jaccard index of the texts' sets of word n-grams, with a standard
deviation of sqrt(J (1 - J) / permutations). Source: Broder, On the resemblance and containment of documents (1997);
rensa computes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from spelangy_model.text.normalize import words_of


@dataclass(frozen=True, slots=True)
class SignatureRules:
    """Words are those of `text.normalize`; a text of fewer than `min_words` has none: it would match any other."""

    ngram_words: ClassVar[int] = 5
    permutations: int = 128
    min_words: int = 30
    seed: int = 0


def minhash(text: str, rules: SignatureRules) -> list[int]:
    """Return the signature of a text, `permutations` numbers from 0 to 2**32 - 1; empty when it has too few words."""
    from rensa import RMinHash  # type: ignore[attr-defined]  # compiled, without stubs

    words = words_of(text)
    if len(words) < max(rules.min_words, rules.ngram_words):
        return []
    signature = RMinHash(rules.permutations, rules.seed)
    signature.update([" ".join(words[i : i + rules.ngram_words]) for i in range(len(words) - rules.ngram_words + 1)])
    return signature.digest()
