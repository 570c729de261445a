import dataclasses
import inspect
import math
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spelangy_model import records
from spelangy_model.records import Annotated, Hypothesis, Metric, TokenChunk, Word, from_table, schema_of, to_table

RECORD_TYPES = [
    member
    for _, member in inspect.getmembers(records, inspect.isclass)
    if dataclasses.is_dataclass(member) and member.__module__ == records.__name__
]
_TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


def values_of(kind: pa.DataType) -> st.SearchStrategy:
    """Return what a column of a type may hold."""
    if pa.types.is_list(kind):
        return st.lists(values_of(kind.value_type), max_size=3)
    if pa.types.is_string(kind):
        return _TEXT
    if pa.types.is_binary(kind):
        return st.binary(max_size=8)
    if pa.types.is_integer(kind):
        bits = kind.bit_width - pa.types.is_signed_integer(kind)
        return st.integers(-(2**bits) if pa.types.is_signed_integer(kind) else 0, 2**bits - 1)
    if pa.types.is_floating(kind):
        return st.floats(width=kind.bit_width, allow_nan=False)
    if pa.types.is_boolean(kind):
        return st.booleans()
    raise AssertionError(f"no values for {kind}")


def records_of(record: type) -> st.SearchStrategy:
    """Return a strategy of records of a type, with all their parts."""
    hints = records._hints(record)
    return st.builds(
        record, **{name: _fields(hint, schema_of(record).field(name).type) for name, hint in hints.items()}
    )


def _fields(hint: object, kind: pa.DataType) -> st.SearchStrategy:
    if records.get_origin(hint) is Annotated:
        hint = records.get_args(hint)[0]
    if records.get_origin(hint) is list:
        return st.lists(_fields(records.get_args(hint)[0], kind.value_type), max_size=3)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return records_of(hint)
    return values_of(kind)


def parquet_bytes(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return sink.getvalue().to_pybytes()


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.__name__)
def test_records_come_back_from_parquet_as_they_were(record: type):
    @settings(max_examples=8, deadline=None, database=None)
    @given(st.lists(records_of(record), max_size=3))
    def check(rows: list):
        written = parquet_bytes(to_table(rows, record))
        assert from_table(pq.read_table(pa.BufferReader(written)), record) == rows
        assert parquet_bytes(to_table(iter(rows), record)) == written

    check()


@pytest.mark.parametrize("record", RECORD_TYPES, ids=lambda record: record.__name__)
def test_record_types_are_immutable_and_described(record: type):
    assert record.__doc__
    assert vars(record)["__dataclass_params__"].frozen
    assert hasattr(record, "__slots__")
    assert not any(field.nullable for field in schema_of(record))


def test_no_rows_still_have_the_columns():
    for record in RECORD_TYPES:
        table = to_table([], record)
        assert table.num_rows == 0
        assert table.schema.equals(schema_of(record), check_metadata=True)
        assert from_table(table, record) == []


def test_equal_records_give_equal_bytes_in_another_process(capsys: pytest.CaptureFixture[str]):
    code = (
        "import hashlib, pyarrow as pa, pyarrow.parquet as pq; from spelangy_model.records import *\n"
        "rows = [Metric('run', f'm{i % 3}', i / 7, float('nan'), 1.0, i) for i in range(50)]\n"
        "sink = pa.BufferOutputStream(); pq.write_table(to_table(rows, Metric), sink)\n"
        "print(hashlib.sha256(sink.getvalue()).hexdigest())"
    )
    other = subprocess.run(
        [sys.executable, "-c", code], env={"PYTHONHASHSEED": "1"}, capture_output=True, text=True, check=True
    )
    exec(code, {})
    assert len(other.stdout) == 65
    assert capsys.readouterr().out == other.stdout


def test_descriptions_reach_the_schema_and_the_file():
    written = parquet_bytes(to_table([], Word))
    metadata = pq.read_schema(pa.BufferReader(written)).field("confidence").metadata
    assert metadata[b"description"] == b"0 to 1; what its system believes"


def test_extra_columns_are_ignored_and_missing_ones_named():
    table = to_table([Metric("a", "b", 1.0, 1.0, 1.0, 1)], Metric)
    extra = table.append_column("more", pa.array([1]))
    assert from_table(extra, Metric) == from_table(table, Metric)
    assert from_table(extra.to_batches()[0], Metric) == from_table(table, Metric)
    with pytest.raises(KeyError, match="subject"):
        from_table(table.drop_columns(["subject"]), Metric)


def test_nan_stays_nan():
    table = to_table([Metric("a", "b", 1.0, math.nan, math.inf, 1)], Metric)
    assert table.column("low").null_count == 0
    (back,) = from_table(table, Metric)
    assert math.isnan(back.low)
    assert back.high == math.inf


@pytest.mark.parametrize(
    "count", ["1", 1.5, 2.0, True, 2**70], ids=["text", "fraction", "float", "bool", "out of range"]
)
def test_a_value_that_does_not_fit_its_column_is_refused(count: object):
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError, OverflowError)):
        to_table([Metric("a", "b", 1.0, 1.0, 1.0, count)], Metric)  # type: ignore[arg-type]


def test_a_number_out_of_range_in_a_list_is_refused():
    with pytest.raises((pa.ArrowInvalid, OverflowError)):
        to_table([TokenChunk("a", [2**31], [])], TokenChunk)


def test_a_missing_value_is_refused():
    with pytest.raises(pa.ArrowInvalid, match=r"Metric\.subject"):
        to_table([Metric(None, "b", 1.0, 1.0, 1.0, 1)], Metric)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [[], [Word("a", 0.0, 1.0, 0.5)]])
def test_a_missing_part_of_a_value_never_reaches_a_file(words: list[Word]):
    broken = [*words, Word(None, 0.0, 1.0, 0.5)]  # type: ignore[arg-type]
    table = to_table([Hypothesis("s", "r", "x", "t", broken, "en", 1.0)], Hypothesis)
    with pytest.raises(pa.ArrowInvalid, match="non-nullable"):
        parquet_bytes(table)


def test_a_type_without_an_arrow_form_is_refused():
    @dataclasses.dataclass
    class Open:
        anything: object

    with pytest.raises(TypeError, match="no Arrow type"):
        schema_of(Open)


def test_half_a_surrogate_pair_is_refused():
    with pytest.raises(UnicodeEncodeError):
        to_table([Metric("\udcff", "b", 1.0, 1.0, 1.0, 1)], Metric)
