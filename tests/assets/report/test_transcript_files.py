"""Names that go into text formats and onto disks, whatever a snapshot calls its files and speakers."""

from urllib.parse import quote, unquote

from hypothesis import given
from hypothesis import strategies as st

from spelangy_assets.report.transcript_files import _file_name, _label


@given(st.text(min_size=1, max_size=400), st.sampled_from([".srt", ".ctm"]))
def test_a_name_of_any_length_is_a_files(name: str, suffix: str):
    encoded = quote(name, safe="", errors="replace")
    file = _file_name(encoded, suffix)
    assert file.endswith(suffix)
    assert len(file.encode()) <= 255
    assert "/" not in file
    if len(encoded) < 200:
        assert unquote(file.removesuffix(suffix), errors="strict") == unquote(encoded)


def test_long_names_with_one_beginning_stay_apart():
    names = [quote("\u65e5" * 100 + end, safe="") for end in ("", "a", "b")]
    assert len({_file_name(name, ".srt") for name in names}) == 3
    assert "%E6%97%A5~" in _file_name(names[0], ".srt")  # not cut within an escape


@given(st.text(min_size=1))
def test_a_speakers_name_is_one_field(speaker: str):
    assert _label(speaker).split() == [_label(speaker)]
