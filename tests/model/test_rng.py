import enum
import hashlib
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_model.rng import stable_codes, stable_hash, stable_order, stable_rng, stable_seed

keys = st.lists(st.one_of(st.integers(), st.text(st.characters(codec="utf-8"))), max_size=4)


@given(st.integers(), keys)
def test_equal_keys_give_equal_draws(seed: int, parts: list):
    first, second = stable_rng(seed, *parts), stable_rng(seed, *parts)
    assert (first.integers(2**63, size=8) == second.integers(2**63, size=8)).all()


@given(st.integers(), keys, st.integers(), keys)
def test_other_keys_give_other_seeds(seed: int, parts: list, other_seed: int, other_parts: list):
    same = (seed, parts) == (other_seed, other_parts)
    assert (stable_seed(seed, *parts) == stable_seed(other_seed, *other_parts)) == same


@pytest.mark.parametrize(
    ("one", "other"), [((0, 1), (0, "1")), ((0, "a", "b"), (0, "ab")), ((0, "a", ""), (0, "a")), ((1, 2), (12,))]
)
def test_types_and_borders_of_keys_count(one: tuple, other: tuple):
    assert stable_seed(*one) != stable_seed(*other)


def test_the_draw_depends_on_no_earlier_draw():
    expected = stable_rng(0, "b").random()
    stable_rng(0, "a").random(1000)
    np.random.default_rng().random()
    assert stable_rng(0, "b").random() == expected


def test_the_seed_is_the_documented_digest():
    digest = hashlib.sha256()
    for text in (b"int:7", b"str:quest", "str:\N{LATIN SMALL LETTER E WITH ACUTE}".encode()):
        digest.update(len(text).to_bytes(8, "big") + text)
    expected = digest.digest()[:16]
    assert stable_seed(7, "quest", "\N{LATIN SMALL LETTER E WITH ACUTE}") == int.from_bytes(expected, "big")


def test_the_hash_is_the_seed_of_zero_as_32_digits():
    assert stable_hash("a", 1) == f"{stable_seed(0, 'a', 1):032x}"
    assert all(len(stable_hash(number)) == 32 for number in range(1000))  # leading zeros are kept


def test_another_process_draws_the_same():
    code = "from spelangy_model.rng import stable_rng; print(stable_rng(3, 'x').integers(2**62))"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout.strip()
        for seed in ("1", "2")
    }
    assert printed == {str(stable_rng(3, "x").integers(2**62))}


def test_keys_that_compare_equal_draw_equally():
    class Role(enum.StrEnum):
        A = "a"

    class OldRole(str, enum.Enum):  # noqa: UP042  the older form, whose format() is not its value
        A = "a"

    class Level(enum.IntEnum):
        ONE = 1

    assert stable_seed(0, Role.A) == stable_seed(0, OldRole.A) == stable_seed(0, np.str_("a")) == stable_seed(0, "a")
    assert stable_seed(0, Level.ONE) == stable_seed(0, 1)


@pytest.mark.parametrize("key", [1.5, True, None, b"a", ("a",), np.int64(1), object()])
def test_keys_without_a_stable_text_are_refused(key: object):
    with pytest.raises(TypeError, match=r"str or an int, not"):
        stable_rng(0, key)  # type: ignore[arg-type]


# --- orders by id -----------------------------------------------------------------------------------------------

ids = st.lists(st.text(st.characters(codec="utf-8"), max_size=6), max_size=30, unique=True)


def ordered(ids: list[str], *keys: int | str, seed: int = 0) -> list[str]:
    return [ids[index] for index in stable_order(stable_codes(ids), seed, *keys)]


@given(ids, st.integers(), keys, st.randoms(use_true_random=False))
def test_an_order_is_a_permutation_that_depends_on_ids_seed_and_keys_alone(
    ids: list[str], seed: int, parts: list, shuffle
):
    expected = ordered(ids, *parts, seed=seed)
    assert sorted(expected) == sorted(ids)
    shuffled = list(ids)
    shuffle.shuffle(shuffled)
    assert ordered(shuffled, *parts, seed=seed) == expected


@given(ids, st.data())
def test_two_things_keep_their_order_whatever_else_is_there(ids: list[str], data: st.DataObject):
    some = data.draw(st.lists(st.sampled_from(ids), unique=True)) if ids else []
    assert ordered(some, "draw", 3) == [one for one in ordered(ids, "draw", 3) if one in some]


def test_seeds_and_keys_give_other_orders():
    many = [f"document-{number}" for number in range(50)]
    orders = [
        ordered(many, *parts, seed=seed) for seed in (0, 1, -1) for parts in ((), (0,), (1,), ("0",), ("draw", 0))
    ]
    assert len({tuple(order) for order in orders}) == len(orders)


def test_equal_codes_keep_the_order_in_which_they_were_given():
    codes = stable_codes(["b", "a", "b", "a", "b"])
    order = stable_order(codes, 7).tolist()
    assert sorted(order[:3]) in ([0, 2, 4], [0, 1, 3])
    for equal in ([0, 2, 4], [1, 3]):
        assert [index for index in order if index in equal] == equal


def test_the_code_is_the_documented_digest_and_nothing_has_none():
    digest = hashlib.blake2b("\N{LATIN SMALL LETTER E WITH ACUTE}".encode(), digest_size=8).digest()
    codes = stable_codes(["\N{LATIN SMALL LETTER E WITH ACUTE}"])
    assert (codes.dtype, codes.tolist()) == (np.uint64, [int.from_bytes(digest, "little")])
    assert stable_order(stable_codes([]), 0).tolist() == []


def test_every_place_is_equally_likely_and_neighbours_are_not_kept_together():
    things, orders = 8, 4000
    codes = stable_codes(f"d{number}" for number in range(things))
    drawn = np.array([stable_order(codes, seed, "draw", seed % 3) for seed in range(orders)])
    expected = orders / things
    for place in range(things):
        counts = np.bincount(drawn[:, place], minlength=things)
        assert ((counts - expected) ** 2 / expected).sum() < 29.9  # chi-square, 7 degrees of freedom: p = 1e-4
    pairs = np.zeros((things, things))
    for one, other in zip(drawn[:, 0], drawn[:, 1], strict=True):
        pairs[one, other] += 1
    expected = orders / (things * (things - 1))
    apart = pairs[~np.eye(things, dtype=bool)]
    assert ((apart - expected) ** 2 / expected).sum() < 99.0  # 55 degrees of freedom: p = 2.5e-4


def test_another_process_orders_the_same():
    code = "from spelangy_model.rng import *; print(stable_order(stable_codes(map(str, range(20))), 3, 'x').tolist())"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()
    assert printed == str(stable_order(stable_codes(map(str, range(20))), 3, "x").tolist())
