"""docs/data_formats.md says what the code does: its worked example is computed here, its record tables are compared."""

import importlib.util
import re
from pathlib import Path

import numpy as np
import pyarrow as pa

from spelangy_model.data.interleave import Interleaving, interleave
from spelangy_model.data.packing import Spans, build_rows
from spelangy_model.records import PackedRow, TokenChunk, TokenDocument, from_table
from spelangy_model.tokenizer.text import encode_texts, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "data_formats.md").read_text()


def numbers(label: str) -> list[int]:
    """Return the numbers of the line of the page that begins with a label."""
    (line,) = re.findall(rf"^    {re.escape(label)} {{2,}}([\d ]+)$", PAGE, re.MULTILINE)
    return [int(number) for number in line.split()]


def test_the_worked_example_of_a_sequence_and_of_a_row() -> None:
    texts, codes = ["Hi", "yes", "no"], [[7, 8], [9], [3]]
    ids = encode_texts(train_text_tokenizer(["a"], 256), texts)
    for index, (text, code, text_ids) in enumerate(zip(texts, codes, ids, strict=True), 1):
        written = " ".join(f"{byte:02x}" for byte in f" {text}".encode())
        cells = [str(index), " ".join(map(str, code)), text, written, " ".join(map(str, text_ids))]
        assert "| " + " | ".join(cells) + " |" in PAGE
    layout = Layout(text_size=256, codebook_size=10)
    chunks = [TokenChunk("speech", code, text) for code, text in zip(codes, ids, strict=True)]
    document = TokenDocument("d", "s", "", "", chunks)
    (whole,) = interleave(document, layout, Interleaving("deterministic", True), 0, 0)
    (text_only,) = interleave(document, layout, Interleaving("deterministic", False), 0, 0)
    assert whole.ids.tolist() == numbers("ids")
    assert whole.loss_mask.tolist() == numbers("loss, all")
    assert text_only.loss_mask.tolist() == numbers("loss, text only")
    assert [*range(len(whole.ids))] == numbers("position ids")
    assert [whole.switches] == numbers("switches")
    (second,) = interleave(
        TokenDocument("e", "s", "", "", [TokenChunk("text", [], ids[2])]), layout, Interleaving(), 0, 0
    )
    spans = Spans(
        row=np.array([0, 0]),
        length=np.array([len(whole.ids), len(second.ids)]),
        switches=np.array([whole.switches, second.switches]),
        epoch=np.array([0, 0]),
        document_id=pa.array(["d", "e"]),
        source=pa.array(["web", "web"]),
        source_id=pa.array(["s", "s"]),
    )
    tokens, masks = (np.concatenate([getattr(part, name) for part in (whole, second)]) for name in ("ids", "loss_mask"))
    (row,) = from_table(build_rows(0, ["speech_text"], spans, tokens, masks, 20, layout), PackedRow)
    assert row.input_ids == numbers("input_ids")
    assert row.position_ids == numbers("position_ids")
    assert row.loss_mask == numbers("loss_mask")
    assert f"spans         {' '.join(f'{span.start}+{span.length}' for span in row.spans)}\n" in PAGE
    assert f"`{np.array(row.input_ids[:4], '<i4').tobytes().hex(' ', 4)}`" in PAGE


def test_the_record_tables_are_those_of_the_types() -> None:
    spec = importlib.util.spec_from_file_location("describe_records", ROOT / "tools" / "describe_records.py")
    tool = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(tool)  # type: ignore[union-attr]
    written = (ROOT / "docs" / "record_tables.md").read_text()
    assert written == tool.describe_records(), "python tools/describe_records.py > docs/record_tables.md"
