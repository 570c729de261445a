import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_assets.store.fingerprint import digest_of, fingerprint, payload_of

literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Inner:
    threshold: float = 0.5


@dataclass(frozen=True)
class Literal:
    name: str = "a"
    parts: tuple[Inner, ...] = (Inner(),)


@dataclass(frozen=True)
class Renamed:
    name: str = "a"
    parts: tuple[Inner, ...] = (Inner(),)


@given(literals)
def test_the_payload_survives_json(value: Any):
    payload = payload_of(value)
    assert json.loads(json.dumps(payload)) == payload
    assert digest_of(json.loads(json.dumps(payload))) == fingerprint(value)


def test_equal_literals_have_one_fingerprint_whatever_their_order():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(Literal()) == fingerprint(Literal(name="a", parts=(Inner(0.5),)))
    assert fingerprint((1, 2)) == fingerprint([1, 2])


@pytest.mark.parametrize(
    "other",
    [Literal("b"), Literal(parts=()), Literal(parts=(Inner(0.25),)), Literal(parts=(Inner(), Inner())), Renamed()],
    ids=repr,
)
def test_any_changed_field_or_type_is_another_fingerprint(other: object):
    assert fingerprint(other) != fingerprint(Literal())


@pytest.mark.parametrize(
    ("one", "other"), [(1, "1"), (1, 1.0), (1, True), (None, "null"), ([], {}), ([[1], 2], [1, 2])]
)
def test_kinds_are_told_apart(one: object, other: object):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1}, b"a", Path("a"), object(), lambda: 0, {1: "a"}, Literal],
    ids=["nan", "inf", "set", "bytes", "path", "object", "callable", "int keys", "class"],
)
def test_what_has_no_stable_form_is_refused_by_name(value: object):
    with pytest.raises(TypeError, match=r"recipe/node\.field"):
        payload_of({"type": "x", "field": value}["field"], "recipe/node.field")


def test_the_refusal_names_the_inner_field():
    broken = dataclasses.replace(Literal(), parts=(Inner(), Inner(math.nan)))
    with pytest.raises(TypeError, match=r"node\.parts\[1\]\.threshold: nan"):
        payload_of(broken, "node")
