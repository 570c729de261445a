from pathlib import Path

import pytest

from spelangy_model.audio.rttm import RttmError, read_rttm, write_rttm
from spelangy_model.audio.turns import Turn


def test_round_trip_sorts_and_keeps_milliseconds():
    turns = {"a": [Turn(1.5, 2.25, "s1"), Turn(0.125, 4.0, "s2")], "b": [Turn(0.0, 1.0, "s1")]}
    text = write_rttm(turns)
    assert text.splitlines()[0] == "SPEAKER a 1 0.125 3.875 <NA> <NA> s2 <NA> <NA>"
    assert read_rttm(text) == {name: sorted(found) for name, found in turns.items()}


def test_comments_blank_lines_and_other_types_are_passed_over():
    text = ";; a comment\n\nSPKR-INFO a 1 <NA> <NA> <NA> unknown s1 <NA>\nSPEAKER a 1 0 1 <NA> <NA> s1 <NA>\n"
    assert read_rttm(text) == {"a": [Turn(0.0, 1.0, "s1")]}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("SPEAKER a 1 0.0 1.0 <NA>", "6 fields"),
        ("SPEAKER a 1 zero 1.0 <NA> <NA> s <NA> <NA>", "seconds"),
        ("SPEAKER a 1 0.0 0.0 <NA> <NA> s <NA> <NA>", "no time"),
        ("SPEAKER a 1 -1.0 2.0 <NA> <NA> s <NA> <NA>", "no time"),
        ("SPEAKER a 1 nan 2.0 <NA> <NA> s <NA> <NA>", "no time"),
    ],
)
def test_bad_lines_are_named(line: str, why: str):
    with pytest.raises(RttmError, match=rf"line 2: .*{why}"):
        read_rttm("\n" + line)


@pytest.mark.parametrize("name", ["", "two words"])
def test_names_that_rttm_cannot_hold_are_refused(name: str):
    with pytest.raises(RttmError, match="no spaces"):
        write_rttm({name: [Turn(0, 1, "s")]})
    with pytest.raises(RttmError, match="no spaces"):
        write_rttm({"a": [Turn(0, 1, name)]})


def test_real_files_are_read(shared_dir: Path):
    files = sorted((shared_dir / "data" / "speech" / "ami_meetings").glob("*.rttm"))
    assert len(files) == 12
    for file in files:
        ((_, turns),) = read_rttm(file.read_text()).items()
        assert turns
        assert max(turn.end_s for turn in turns) <= 30.01
