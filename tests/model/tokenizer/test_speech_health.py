"""Codebook health on codes whose figures are known."""

import numpy as np
import pytest

from spelangy_model.tokenizer.speech_health import codebook_health


def test_even_use_has_the_perplexity_of_the_codebook() -> None:
    health = codebook_health([np.arange(10), np.arange(10)], 10)
    assert (health.tokens, health.used_codes, health.dead_codes, health.used_share) == (20, 10, 0, 1.0)
    assert health.perplexity_codes == pytest.approx(10)
    assert health.perplexity_share == pytest.approx(1)
    assert health.repeat_share == 0


def test_a_collapsed_codebook_is_seen() -> None:
    health = codebook_health([np.full(50, 3)], 1000)
    assert (health.used_codes, health.dead_codes) == (1, 999)
    assert health.perplexity_codes == pytest.approx(1)
    assert health.repeat_share == 1
    assert health.perplexity_share == pytest.approx(1 / 50)  # 50 tokens could have used 50 of the codes


def test_repeats_are_not_counted_across_utterances() -> None:
    assert codebook_health([np.array([1, 2]), np.array([2, 1])], 4).repeat_share == 0


def test_no_speech_has_no_perplexity() -> None:
    health = codebook_health([np.zeros(0, np.int32)], 4)
    assert (health.tokens, health.perplexity_codes, health.repeat_share) == (0, 0, 0)


@pytest.mark.parametrize("codes", [[-1, 0], [0, 4]])
def test_a_code_outside_the_codebook_is_refused(codes: list[int]) -> None:
    with pytest.raises(ValueError, match="codebook of 4"):
        codebook_health([np.array(codes)], 4)
