"""ROVER: the vote's rules, one by one, and what must hold for any input."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model.audio import word_network
from spelangy_model.audio.rover import Calibration, RoverWeights, SystemWeight, calibrated, rover
from spelangy_model.audio.words import normalized
from spelangy_model.records import Vote, Word

WEIGHTS = RoverWeights(alpha=0.5, null_confidence=0.5)


def hyp(text: str, confidence: float = 0.8, start_s: float = 0.0) -> list[Word]:
    return [Word(word, start_s + 0.4 * i, start_s + 0.4 * i + 0.3, confidence) for i, word in enumerate(text.split())]


def line(words: list[Word]) -> str:
    return " ".join(word.text for word in words)


@pytest.fixture(scope="module", autouse=True)
def _compiled():
    rover([hyp("cat"), hyp("hat")], WEIGHTS)  # a first call may compile, which no example has the time for
    word_network.join(np.empty((0, 0), np.int64), np.zeros(1, np.int64), np.zeros(1), np.ones(1), 0, 1, True)


hypothesis_words = st.lists(st.tuples(st.sampled_from("abcd"), st.sampled_from([0.1, 0.5, 0.9])), max_size=9).map(
    lambda items: [Word(text, 0.4 * i, 0.4 * i + 0.3, c) for i, (text, c) in enumerate(items)]
)


# --- the rules ----------------------------------------------------------------------------------------------


def test_a_majority_wins_over_one_confident_system():
    result = rover(
        [hyp("the cat sat", 0.6), hyp("the cat sat", 0.6), hyp("the hat sat", 0.7)],
        WEIGHTS,
    )
    assert line(result.words) == "the cat sat"
    assert result.votes[1] == Vote(["cat", "cat", "hat"], "cat")
    assert result.agreement == pytest.approx(2 / 3)
    assert result.confidence == pytest.approx((0.6 * 2 + 0.7) / 3 * 2 / 3 + 0.6 / 3)


def test_with_alpha_zero_only_confidence_counts():
    hypotheses = [hyp("cat", 0.6), hyp("cat", 0.6), hyp("hat", 0.7)]
    assert line(rover(hypotheses, RoverWeights(alpha=0.0)).words) == "hat"
    assert line(rover(hypotheses, RoverWeights(alpha=1.0)).words) == "cat"


def test_two_systems_are_a_pick_by_confidence_whatever_alpha_is():
    for alpha in (0.0, 0.3, 0.9):
        weights = RoverWeights(alpha=alpha)
        assert line(rover([hyp("wreck a nice beach", 0.4), hyp("wreck a nice peach", 0.5)], weights).words) == (
            "wreck a nice peach"
        )


def test_a_word_of_one_of_two_systems_stays_when_its_confidence_beats_silence():
    hypotheses = [hyp("yes", 0.6), []]
    assert line(rover(hypotheses, RoverWeights(null_confidence=0.5)).words) == "yes"
    assert line(rover(hypotheses, RoverWeights(null_confidence=0.7)).words) == ""
    assert line(rover(hypotheses, RoverWeights(null_confidence=0.6)).words) == "yes"  # a tie goes to the word


@pytest.mark.parametrize("times", [True, False])
def test_the_order_of_systems_matters_only_in_full_ties(times: bool):
    systems = [
        hyp("the cat sat on it", 0.7),
        hyp("the hat sat it", 0.8),
        hyp("a cat sat on that", 0.9),
    ]
    lines = {line(rover(list(order), RoverWeights(times=times)).words) for order in itertools.permutations(systems)}
    assert len(lines) == 1 or not times


def test_a_full_tie_goes_to_the_earliest_system():
    assert line(rover([hyp("cat"), hyp("hat")], WEIGHTS).words) == "cat"
    assert line(rover([hyp("hat"), hyp("cat")], WEIGHTS).words) == "hat"


def test_equal_scores_go_to_more_systems():
    # 2/4 systems at confidence 0.5 and 1/4 at 1.0 score the same at alpha 2/3: (2/3)(2/4) + (1/3)(0.5) = 0.5.
    hypotheses = [
        hyp("solo", 1.0),
        hyp("pair", 0.5),
        hyp("pair", 0.5),
        hyp("other", 0.0),
    ]
    assert line(rover(hypotheses, RoverWeights(alpha=2 / 3)).words) == "pair"


def test_words_are_compared_without_case_and_punctuation_and_the_written_form_is_kept():
    result = rover([hyp("Yes, Dr. Lee.", 0.5), hyp("yes dr lee", 0.9)], WEIGHTS)
    assert line(result.words) == "Yes, Dr. Lee."
    assert result.agreement == 1.0
    assert line(rover([hyp("yes"), hyp("Yes."), hyp("Yes.")], WEIGHTS).words) == "Yes."


def test_a_lone_punctuation_mark_takes_no_part():
    assert line(rover([hyp("so - well"), hyp("so well")], WEIGHTS).words) == "so well"


def test_time_says_which_of_equal_words_is_missing():
    three = [Word("very", 0.0, 0.4, 0.8), Word("very", 0.5, 0.9, 0.8), Word("very", 1.0, 1.4, 0.8)]
    result = rover([three, [three[0], three[2]]], WEIGHTS)
    assert [vote.candidates for vote in result.votes] == [["very", "very"], ["very", ""], ["very", "very"]]


def test_a_third_system_competes_in_the_slot_where_the_second_was_silent():
    result = rover(
        [hyp("the cat", 0.6), hyp("the", 0.6), hyp("the bat", 0.9)],
        RoverWeights(null_confidence=0.1),
    )
    assert result.votes[1].candidates == ["cat", "", "bat"]
    assert line(result.words) == "the bat"


def test_a_common_silence_parts_the_speech():
    first = [Word("a", 0.0, 0.2, 0.8), Word("late", 5.0, 5.4, 0.8), Word("z", 8.0, 8.2, 0.8)]
    second = [Word("a", 0.0, 0.2, 0.8), Word("very", 1.0, 1.2, 0.8), Word("early", 2.0, 2.4, 0.8), first[2]]
    weights = RoverWeights(null_confidence=0.0)
    assert line(rover([first, second], weights).words) == "a very early late z"
    near = [Word("there", 0.0, 0.4, 0.8), Word("then", 1.3, 1.6, 0.8)]
    assert len(rover([near[:1], near[1:]], weights).votes) == 1  # 0.9 s of silence: two words for one sound
    far = [near[0], Word("then", 1.5, 1.7, 0.8)]
    assert len(rover([far[:1], far[1:]], weights).votes) == 2


def test_slots_that_are_out_of_reach_stand_in_order_of_time():
    first, far = [Word("late", 5.0, 5.4, 0.8)], [Word("b", 40.0, 40.2, 0.8)]
    hum = [Word("hum", 0.0, 60.0, 0.1)]  # no common silence
    weights = RoverWeights(null_confidence=0.2)
    assert line(rover([first, far, hum], weights).words) == "late b"
    assert line(rover([far, first, hum], weights).words) == "late b"


def test_words_far_apart_in_time_are_never_one_slot():
    early, late = hyp("word"), hyp("word", start_s=30.0)
    assert len(rover([early, late], WEIGHTS).votes) == 2


def test_the_surest_system_speaks_for_a_word_by_maxconf():
    # meth1: a mean of 0.55 against 0.6; maxconf: 0.8 against 0.6.
    hypotheses = [hyp("cat", 0.8), hyp("cat", 0.3), hyp("hat", 0.6)]
    assert line(rover(hypotheses, RoverWeights(alpha=0.0)).words) == "hat"
    assert line(rover(hypotheses, RoverWeights(alpha=0.0, method="maxconf")).words) == "cat"


def test_confidences_add_up_by_avgconf():
    # meth1: means of 0.3 against 0.5; avgconf: 0.6 / 1.1 against 0.5 / 1.1.
    hypotheses = [hyp("cat", 0.3), hyp("cat", 0.3), hyp("hat", 0.5)]
    assert line(rover(hypotheses, RoverWeights(alpha=0.0)).words) == "hat"
    assert line(rover(hypotheses, RoverWeights(alpha=0.0, method="avgconf")).words) == "cat"
    assert line(rover([hyp("cat", 0.0), []], RoverWeights(null_confidence=0.0, method="avgconf")).words) == "cat"


def test_a_system_that_weighs_little_loses_to_one_and_two_of_them_do():
    names = ["strong", "weak", "faint"]
    systems = (SystemWeight("weak", 0.3), SystemWeight("faint", 0.3))
    hypotheses = [hyp("cat", 0.6), hyp("hat", 0.9), hyp("hat", 0.9)]
    assert line(rover(hypotheses, RoverWeights()).words) == "hat"
    weighed = rover(hypotheses, RoverWeights(systems=systems), names)
    assert line(weighed.words) == "cat"
    assert weighed.words[0].confidence == 0.6  # weights decide, they do not change what a system believes


def test_no_system_and_bad_weights_are_refused():
    with pytest.raises(ValueError, match="at least one system"):
        rover([], WEIGHTS)
    with pytest.raises(ValueError, match=r"RoverWeights\.alpha"):
        RoverWeights(alpha=1.5)
    with pytest.raises(ValueError, match=r"meth1, maxconf or avgconf, not 'meth2'"):
        RoverWeights(method="meth2")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match="a weight over 0"):
        RoverWeights(systems=(SystemWeight("a", 0.0),))
    with pytest.raises(ValueError, match=r"2 systems and the names of \['a'\]"):
        rover([hyp("cat"), hyp("hat")], RoverWeights(systems=(SystemWeight("a", 0.5),)), ["a"])


def test_silence_of_all_is_agreement():
    result = rover([[], [], []], WEIGHTS)
    assert (result.words, result.votes, result.agreement, result.confidence) == ([], [], 1.0, 0.0)


# --- who writes ---------------------------------------------------------------------------------------------


CASED = "The otter lives in Italy. It eats plums, and Mr. Smith did too. Everyone knows why."
PLAIN = "the otter lives in italy it eats plums and mr smith did too everyone knows why"


@pytest.mark.parametrize("order", itertools.permutations(range(3)))
def test_one_system_that_writes_marks_is_not_outvoted_by_two_that_do_not(order: tuple[int, ...]):
    systems = [hyp(CASED), hyp(PLAIN), hyp(PLAIN)]
    names = ["cased", "plain", "plainer"]
    weights = RoverWeights(written=("cased",))
    result = rover([systems[i] for i in order], weights, [names[i] for i in order])
    assert line(result.words) == CASED
    assert result.agreement == 1.0
    assert line(rover([systems[i] for i in order], RoverWeights()).words) == CASED  # who writes marks is seen, too


def test_a_word_of_systems_without_marks_takes_the_mark_and_the_capital_of_the_word_that_it_beats():
    cased = "The bats live in Italy. Thou eats plumes! Everyone knows why, um."
    plain = "the otters live in italy it eats plums everyone knows why"
    result = rover(
        [hyp(cased), hyp(plain), hyp(plain)],
        RoverWeights(written=("a",)),
        ["a", "b", "c"],
    )
    assert line(result.words) == "The otters live in Italy. It eats plums! Everyone knows why."


def test_systems_are_named_in_the_list_once_and_known_by_name():
    with pytest.raises(ValueError, match=r"RoverWeights\.written names each system once"):
        RoverWeights(written=("a", "a"))
    with pytest.raises(ValueError, match=r"1 systems and the names of \[\]"):
        rover([hyp("yes")], RoverWeights(written=("a",)))


# --- calibration --------------------------------------------------------------------------------------------


def test_a_calibrated_confidence_decides_and_is_what_the_words_bear():
    hypotheses = [hyp("cat", 0.6), hyp("hat", 0.9)]
    boastful = RoverWeights(calibrations=(Calibration("b", 0.5, -1.0),))
    assert line(rover(hypotheses, RoverWeights(), ["a", "b"]).words) == "hat"
    result = rover(hypotheses, boastful, ["a", "b"])
    assert line(result.words) == "cat"
    assert result.words[0].confidence == 0.6
    assert calibrated(np.array([0.9]), boastful.calibrations[0])[0] == pytest.approx(0.5247, abs=1e-3)


def test_a_curve_of_no_change_leaves_confidences_and_the_order_stays():
    values = np.linspace(0.01, 0.99, 50)
    assert calibrated(values, Calibration("a", 1.0, 0.0)) == pytest.approx(values)
    assert (np.diff(calibrated(np.linspace(0, 1, 50), Calibration("a", 0.4, -2.0))) >= 0).all()


@pytest.mark.parametrize("confidence", [0.9, 1.0])
def test_one_of_three_cannot_put_in_a_word_however_sure_it_is(confidence: float):
    words = hyp("we went home")
    more = [*words, Word("again", 1.2, 1.5, confidence)]
    for order in itertools.permutations([words, words, more]):
        assert line(rover(list(order), RoverWeights()).words) == "we went home"


# --- what holds for any input -------------------------------------------------------------------------------


@given(hypothesis_words, st.integers(1, 4))
def test_identical_hypotheses_come_out_as_they_are(words: list[Word], systems: int):
    result = rover([words] * systems, RoverWeights(null_confidence=0.0))
    assert line(result.words) == line(words)
    assert result.agreement == 1.0


@given(st.lists(hypothesis_words, min_size=1, max_size=4), st.sampled_from([1, 12, 40]))
def test_every_system_says_all_its_words_in_its_order(hypotheses: list[list[Word]], pace: int):
    hypotheses = [
        [Word(word.text, pace * word.start_s, pace * word.end_s, word.confidence) for word in words]
        for words in hypotheses
    ]
    result = rover(hypotheses, WEIGHTS)
    for system, words in enumerate(hypotheses):
        candidates = [vote.candidates[system] for vote in result.votes if vote.candidates[system]]
        assert candidates == [word.text for word in words]
    assert all(any(vote.candidates) for vote in result.votes)
    assert [vote.winner for vote in result.votes if vote.winner] == [word.text for word in result.words]
    assert all(left.end_s <= right.start_s for left, right in itertools.pairwise(result.words))
    assert 0.0 <= result.agreement <= 1.0


@given(hypothesis_words, hypothesis_words, st.integers(0, 2))
def test_the_order_of_equal_systems_does_not_matter(words: list[Word], other: list[Word], place: int):
    # Two copies of one system and another one: where the copies stand among themselves cannot show.
    systems = [words, list(words), other]
    swapped = [systems[1], systems[0], systems[2]]
    assert rover(systems, WEIGHTS) == rover(swapped, WEIGHTS)
    # ... and a majority of equals decides wherever the third one joins.
    order = [words, words]
    order.insert(place, other)
    assert line(rover(order, RoverWeights(alpha=1.0)).words) == line(words)


@given(hypothesis_words, hypothesis_words)
def test_two_systems_swapped_give_the_same_words_up_to_full_ties(one: list[Word], two: list[Word]):
    sure = [Word(word.text, word.start_s, word.end_s, 0.9) for word in one]
    unsure = [Word(word.text, word.start_s, word.end_s, 0.2) for word in two]
    forward, backward = rover([sure, unsure], WEIGHTS), rover([unsure, sure], WEIGHTS)
    assert line(forward.words) == line(backward.words) == line(sure)


def cheapest(slots: list[list[Word | None]], words: list[Word], times: bool) -> int:
    """The least cost of an alignment, straight from the rules: a full table, cell by cell."""
    table = {(0, 0): 0}
    for i, j in itertools.product(range(len(slots) + 1), range(len(words) + 1)):
        choices = [table[0, 0]] if i == j == 0 else []
        if i:
            choices.append(table[i - 1, j] + (1 if None in slots[i - 1] else 3000))
        if j:
            choices.append(table[i, j - 1] + 3000)
        if i and j:
            choices.append(table[i - 1, j - 1] + pairing(slots[i - 1], words[j - 1], times))
        table[i, j] = min(choices)
    return table[len(slots), len(words)]


def middle_ms(slot: list[Word | None]) -> int:
    hyp = [word.start_s + word.end_s for word in slot if word]
    return round(500 * sum(hyp) / len(hyp))


def pairing(slot: list[Word | None], word: Word, times: bool) -> int:
    apart = abs(middle_ms(slot) - middle_ms([word]))
    keys = {normalized(entry.text) for entry in slot if entry}
    cost = 0 if normalized(word.text) in keys else 1000 if None in slot else 4000
    return cost + times * (min(apart, 500) if apart <= 10_000 else 1 << 40)


@settings(max_examples=100)
@given(hypothesis_words, hypothesis_words, hypothesis_words, st.sampled_from([1, 2, 9]), st.booleans())
def test_the_alignment_is_a_cheapest_one(one: list[Word], two: list[Word], three: list[Word], pace: int, times: bool):
    three = [Word(word.text, pace * word.start_s, pace * word.end_s, word.confidence) for word in three]
    words = [*one, *two, *three]
    keys = np.array([ord(word.text) for word in words], np.int64)
    starts_s, ends_s = np.array([word.start_s for word in words]), np.array([word.end_s for word in words])
    joined = np.empty((0, 0), np.int64)
    begin = 0
    for system in (one, two, three):
        before = joined
        joined = word_network.join(joined, keys, starts_s, ends_s, begin, begin + len(system), times)
        begin += len(system)
    slots = [[words[word] if word != word_network.NOTHING else None for word in slot] for slot in joined.tolist()]
    old = [slot for slot in slots if any(slot[:2])]
    new = [slot[2] for slot in slots if slot[2]]
    assert [row[:2].tolist() for row in joined if (row[:2] >= 0).any()] == before.tolist()
    assert new == three
    cost = sum(
        (1 if None in slot[:2] else 3000) if slot[2] is None else pairing(slot[:2], slot[2], times) for slot in old
    )
    cost += 3000 * sum(not any(slot[:2]) for slot in slots)
    assert cost == cheapest([slot[:2] for slot in old], three, times)


def test_a_long_recording_is_aligned_as_a_short_one():
    words = [Word(f"w{i % 997}", 0.4 * i, 0.4 * i + 0.3, 0.8) for i in range(5_000)]
    other = [word for i, word in enumerate(words) if i % 50]
    result = rover([words, other], RoverWeights(null_confidence=0.0))
    assert line(result.words) == line(words)
    assert len(result.votes) == len(words)
