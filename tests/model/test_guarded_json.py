"""The guarded reader: whatever bytes come, rows with values or with words, within bounds."""

import gzip
import io
import json
import math
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from spelangy_model.guarded_json import (
    LIMITS,
    JsonError,
    Limits,
    Row,
    is_text,
    parse_json,
    read_json,
    read_rows,
    read_text,
    replaced,
)

SMALL = Limits(bytes=10_000, free_bytes=2_000, ratio=10, line_characters=1_000, document_characters=5_000)

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**30), 10**30) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def rows(data: bytes, limits: Limits = LIMITS) -> list[Row]:
    return list(read_rows(io.BytesIO(data), limits))


def values(data: bytes) -> list[object]:
    found = rows(data)
    assert not any(row.error for row in found)
    return [row.value for row in found]


@given(st.lists(st.dictionaries(st.text(max_size=8), VALUES, min_size=1, max_size=4), max_size=5), st.data())
def test_whatever_json_writes_is_read_back(records: list[dict[str, object]], data: st.DataObject):
    encoding = data.draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    indent = data.draw(st.sampled_from([None, 1]))
    text = data.draw(
        st.sampled_from(
            [
                "\n".join(json.dumps(record, indent=indent) for record in records),
                json.dumps(records, indent=indent),
            ]
        )
    )
    written = text.encode(encoding)
    assert values(gzip.compress(written, mtime=0) if data.draw(st.booleans()) else written) == records


@given(st.binary(max_size=200))
@example(b"\xff\xfe")
@example(b"\x1f\x8b\x08\x00")
@example(b"[" * 150)
@example(b"[1 2")
def test_no_bytes_raise(data: bytes):
    for row in rows(data, SMALL):
        assert row.error or row.value is not None or b"null" in data
    assert not any(row.is_last for row in rows(data, SMALL)[:-1])


@given(VALUES, st.data())
def test_one_broken_line_costs_one_line(value: object, data: st.DataObject):
    good = [json.dumps({"n": number, "value": value}) for number in range(4)]
    bad = data.draw(st.sampled_from(['{"a":', "nul", '{"a": 1, "a": 2}', '{"a": "\t"}', "{} {}", '{"a": ' + "[" * 200]))
    place = data.draw(st.integers(1, 3))
    found = rows("\n".join([*good[:place], bad, *good[place:]]).encode())
    assert [row.place for row in found if row.error] == [f"line {place + 1}"]
    assert len(found) == 5


@given(st.integers(1, 90))
def test_depth_is_bounded_and_does_not_depend_on_the_stack(depth: int):
    text = '{"a": ' * (depth - 1) + "{}" + "}" * (depth - 1)
    if depth <= 64:
        assert json.dumps(parse_json(text)) == text
    else:
        with pytest.raises(JsonError, match="nested deeper than 64"):
            parse_json(text)


def test_a_bad_item_of_a_list_is_distinguished_from_a_broken_list():
    found = rows(b'[{"n": 1}, {"a": 1, "a": 2}, {"n": 2}]')
    assert [(row.value, bool(row.error)) for row in found] == [({"n": 1}, False), (None, True), ({"n": 2}, False)]
    assert not any(row.is_last for row in found)
    for text in ('[{"n": 1}', '[{"n": 1},', '[{"n": 1} {"n": 2}]', '[{"n": 1}, {"n":'):
        found = rows(text.encode())
        assert found[0].value == {"n": 1}
        assert found[-1].is_last
        assert found[-1].error


def test_numbers_that_no_one_can_use_are_no_finite_numbers():
    row = parse_json(f'{{"nan": NaN, "large": 1e999, "digits": -{"9" * 5000}, "id": {"9" * 40}}}')
    assert math.isnan(row["nan"])
    assert (row["large"], row["digits"], row["id"]) == (math.inf, -math.inf, int("9" * 40))


def test_a_key_given_twice_with_one_value_is_taken():
    assert parse_json('{"a": [1], "a": [1]}') == {"a": [1]}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(b'{"a": 1}\n' * 2_000, mtime=0), "too_large"),  # 18 kB of 80 bytes
        (b'{"a": 1}\n' * 2_000, "too_large"),
        (b"[" + b'{"a": 1},' * 1_000, "too_large"),
        (gzip.compress(b'{"a": 1}\n', mtime=0)[:-1], "truncated"),
        (gzip.compress(b'{"a": 1}\n', mtime=0) + b"more", "truncated"),
        (b"RIFF\0\0\0\0WAVE", "not_text"),
        ('{"a": 1}'.encode("utf-16")[:-1], "not_text"),
    ],
)
def test_a_file_that_is_not_read_to_its_end_says_so(data: bytes, reason: str):
    assert rows(data, SMALL)[-1].reason == reason


def test_a_line_that_is_too_long_costs_itself():
    found = rows(b'{"n": 1}\n{"n": "' + b"x" * 3_000 + b'"}\n{"n": 2}', SMALL)
    assert [row.value for row in found] == [{"n": 1}, None, {"n": 2}]
    assert (found[1].place, found[1].error) == ("line 2", "longer than 1000 characters")


def test_what_is_no_utf_8_is_kept_as_python_keeps_file_names():
    (row,) = rows(b'{"file": "\xe9.wav"}')
    assert row.value == {"file": "\udce9.wav"}
    assert not is_text(row.value["file"])
    assert replaced(row.value["file"]) == "\ufffd.wav"


def test_errors_of_whole_files_name_the_file(tmp_path: Path):
    path = tmp_path / "config.json"
    for data in (b"{", b"\xff\xfe\x00", b"\x1f\x8b\x00", b"[" * 5_000, b"{} {}"):
        path.write_bytes(data)
        with pytest.raises(JsonError, match=r"config\.json: "):
            read_json(path)
    path.write_bytes(b'\xef\xbb\xbf{"a": "\xc3\xa9"}')
    assert read_json(path) == {"a": "é"}
    path.write_bytes(b"a\nb\xe9\n")
    with pytest.raises(JsonError, match="line 2: not UTF-8"):
        read_text(path)
