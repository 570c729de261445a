import random

import pytest

from spelangy_model.text.minhash import SignatureRules, minhash

RULES = SignatureRules()


def _words(count: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [f"w{rng.randrange(10_000)}" for _ in range(count)]


def _jaccard(one: list[str], two: list[str]) -> float:
    a, b = ({tuple(words[i : i + 5]) for i in range(len(words) - 4)} for words in (one, two))
    return len(a & b) / len(a | b)


@pytest.mark.parametrize("changed", [0, 10, 60, 250, 500])
def test_equal_places_estimate_the_jaccard_index(changed: int):
    one = _words(1000)
    two = one[: 1000 - changed] + _words(changed, seed=1)
    found = [sum(a == b for a, b in zip(minhash(" ".join(one), r), minhash(" ".join(two), r), strict=True)) / 128
             for r in (SignatureRules(seed=seed) for seed in range(8))]  # fmt: skip
    truth = _jaccard(one, two)
    assert abs(sum(found) / 8 - truth) <= 4 * (truth * (1 - truth) / (128 * 8)) ** 0.5


def test_case_and_marks_say_nothing():
    text = " ".join(_words(50))
    assert minhash(f"{text.upper()}!", RULES) == minhash(text.replace(" ", ", "), RULES)


def test_signatures_are_the_same_everywhere():
    assert minhash(" ".join(f"word{i}" for i in range(40)), RULES)[:3] == [200397110, 45342788, 3249690776]


def test_few_words_have_no_signature():
    assert minhash(" ".join(_words(29)), RULES) == []
    assert len(minhash(" ".join(_words(30)), RULES)) == RULES.permutations
