import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spelangy_assets.store import fingerprint as fingerprints
from spelangy_assets.store.fingerprint import (
    digest_of,
    fingerprint,
    identity_of,
    module_digest,
    outside_modules,
    payload_of,
    type_name,
)

literals = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@dataclass(frozen=True)
class Inner:
    version: ClassVar[str] = "1"
    threshold: float = 0.5


@dataclass(frozen=True)
class Literal:
    version: ClassVar[str] = "1"
    name: str = "a"
    parts: tuple[Inner, ...] = (Inner(),)


@dataclass(frozen=True)
class Renamed:
    version: ClassVar[str] = "1"
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
def test_kinds_have_different_fingerprints(one: object, other: object):
    assert fingerprint(one) != fingerprint(other)


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, {1}, b"a", Path("a"), object(), lambda: 0, {1: "a"}, Literal],
    ids=["nan", "inf", "set", "bytes", "path", "object", "callable", "int keys", "class"],
)
def test_what_has_no_stable_form_is_refused_by_name(value: object):
    for encode in (payload_of, identity_of):
        with pytest.raises(TypeError, match=r"recipe/node\.field"):
            encode({"type": "x", "field": value}["field"], "recipe/node.field")


def test_the_refusal_names_the_inner_field():
    broken = dataclasses.replace(Literal(), parts=(Inner(), Inner(math.nan)))
    with pytest.raises(TypeError, match=r"node\.parts\[1\]\.threshold: nan"):
        payload_of(broken, "node")


# --- types of the project, and types from outside -----------------------------------------------------------


def ours(name: str, module: str = "spelangy_assets.stages.toy", **fields: Any) -> type:
    """Return a frozen dataclass as one of the project's modules would define it; a field's value is its default."""
    made = dataclasses.make_dataclass(
        name,
        [
            (field, type(value), dataclasses.field(default_factory=value) if callable(value) else value)
            for field, value in fields.items()
        ],
        frozen=True,
    )
    made.__module__ = module
    return made


@pytest.fixture(autouse=True)
def no_types_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprints, "_types", {})


def test_an_option_that_is_added_with_a_default_changes_no_identity_at_any_depth():
    old_part, new_part = ours("Part", size=1.0), ours("Part", size=1.0, option="plain")
    old, new = (ours("Config", part=part, parts=lambda part=part: (part(), part(2.0))) for part in (old_part, new_part))
    assert fingerprint(old()) == fingerprint(new())
    assert fingerprint([old(old_part(3.0))]) == fingerprint([new(new_part(3.0))])
    assert fingerprint(new(new_part(option="other"))) != fingerprint(new())
    assert identity_of(new(new_part(option="other"))) == {
        "type": "toy.Config",
        "part": {"type": "Part", "option": "other"},
    }
    assert payload_of(new())["part"] == {"type": "Part", "size": 1.0, "option": "plain"}  # a manifest says everything


@pytest.mark.parametrize(("default", "other"), [(1, 1.0), (1, True), (0.0, False), ((), ((),)), ("", None)])
def test_only_what_equals_the_default_in_kind_too_is_left_out(default: Any, other: Any):
    kind = ours("Part", option=default)
    assert fingerprint(kind(other)) != fingerprint(kind())


def test_a_field_without_a_default_is_always_written():
    kind = dataclasses.make_dataclass("Part", [("size", float)], frozen=True)
    kind.__module__ = "spelangy_model.toy"
    assert identity_of(kind(1.0)) == {"type": "Part", "size": 1.0}


def test_a_name_that_two_types_have_is_refused_and_a_stages_config_bears_its_name():
    one, other = ours("Part", "spelangy_assets.stages.one", a=1), ours("Part", "spelangy_model.other", a=1)
    fingerprint(one())
    with pytest.raises(TypeError, match=r"two types are called 'Part', spelangy_assets\.stages\.one\.Part and"):
        fingerprint(other())
    configs = [ours("Config", f"spelangy_assets.stages.{stage}", a=1) for stage in ("one", "other")]
    assert [type_name(config) for config in configs] == ["one.Config", "other.Config"]
    assert fingerprint(configs[0]()) != fingerprint(configs[1]())


def test_a_type_from_outside_writes_all_fields_and_has_a_version():
    assert identity_of(Inner()) == {"type": "Inner", "version": "1", "threshold": 0.5}
    bare = ours("Adapter", "their_package.adapters", size=1)
    with pytest.raises(TypeError, match=r"node\.adapter: their_package\.adapters\.Adapter is no type.*no `version`"):
        identity_of(bare(), "node.adapter")
    fielded = ours("Versioned", "their_package.adapters", version="3", size=1)
    assert identity_of(fielded()) == {"type": "Versioned", "version": "3", "size": 1}
    assert fingerprint(fielded()) != fingerprint(fielded("4"))


def test_modules_from_outside_are_identified_by_the_digest_of_their_file():
    nested = {"parts": [Literal(), ours("Part", size=1)()]}
    assert outside_modules(nested, 3) == {__name__: module_digest(__name__)}
    assert len(module_digest(__name__)) == 64
    assert module_digest("no.such.module") == ""
