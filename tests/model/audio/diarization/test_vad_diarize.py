"""The cheap diarizer: silero-vad, with CAM++ or without."""

import itertools
from pathlib import Path

import numpy as np
import pytest
import soundfile

from spelangy_model.audio.diarization.der import diarization_error
from spelangy_model.audio.diarization.diarize import DiarizerUnavailable, check_diarizer, open_diarizer
from spelangy_model.audio.diarization.vad_diarize import Piece, VadDiarizer, VadSpec, cut_evenly, turns_of
from spelangy_model.audio.rttm import read_rttm
from spelangy_model.audio.turns import Turn

ANNE, BOB = np.eye(192)[0], np.eye(192)[1]


@pytest.fixture(scope="module")
def conversation(shared_dir: Path) -> np.ndarray:
    samples, _ = soundfile.read(shared_dir / "data/speech/conversation/katiesteve_mono.flac", dtype="float32")
    return samples


def test_a_span_is_cut_into_the_fewest_equal_pieces():
    assert cut_evenly(1.0, 2.5, 2.0) == [(1.0, 2.5)]
    assert cut_evenly(0.0, 4.0, 2.0) == [(0.0, 2.0), (2.0, 4.0)]
    pieces = cut_evenly(0.5, 5.0, 2.0)
    assert [end - start for start, end in pieces] == pytest.approx([1.5] * 3)
    assert (pieces[0][0], pieces[-1][1]) == (0.5, 5.0)


def test_pieces_of_one_voice_that_touch_are_one_turn():
    pieces = [Piece(0, 2, ANNE), Piece(2, 4, ANNE), Piece(4, 6, BOB), Piece(7, 9, BOB), Piece(9, 11, ANNE)]
    assert turns_of(pieces, VadSpec()) == [
        Turn(0, 4, "speaker_00"), Turn(4, 6, "speaker_01"), Turn(7, 9, "speaker_01"), Turn(9, 11, "speaker_00"),
    ]  # fmt: skip
    assert turns_of([], VadSpec()) == []


def test_what_is_too_brief_for_a_voice_is_a_neighbours():
    pieces = [Piece(0, 0.1, None), Piece(1, 3, BOB), Piece(4, 4.1, None), Piece(5, 7, ANNE), Piece(8, 8.1, None)]
    assert [turn.speaker[-1] for turn in turns_of(pieces, VadSpec())] == ["0", "0", "0", "1", "1"]
    assert [turn.speaker for turn in turns_of(pieces[::2], VadSpec())] == ["speaker_00"] * 3


def test_brief_pieces_make_no_speaker_of_their_own():
    pieces = [Piece(0, 2, ANNE), Piece(3, 3.5, BOB), Piece(4, 6, ANNE)]
    assert {turn.speaker for turn in turns_of(pieces, VadSpec())} == {"speaker_00"}
    assert len({turn.speaker for turn in turns_of(pieces, VadSpec(min_cluster_s=0.5))}) == 2


def test_an_unknown_way_to_distinguish_speakers_is_refused():
    check_diarizer(VadSpec(), {})
    with pytest.raises(DiarizerUnavailable, match="one or campplus"):
        check_diarizer(VadSpec(speakers="xvector"), {})  # type: ignore[arg-type]


def test_speech_alone(conversation: np.ndarray):
    turns = open_diarizer(VadSpec(speakers="one"), {}).diarize(conversation)
    assert {turn.speaker for turn in turns} == {"speaker_00"}
    assert all(before.end_s < after.start_s for before, after in itertools.pairwise(turns))
    assert open_diarizer(VadSpec(speakers="one"), {}).diarize(np.zeros(16_000, np.float32)) == []


@pytest.mark.slow
def test_two_people_in_a_conversation(conversation: np.ndarray):
    turns = VadDiarizer(VadSpec()).diarize(conversation)
    assert list(dict.fromkeys(turn.speaker for turn in turns)) == ["speaker_00", "speaker_01"]
    assert turns == VadDiarizer(VadSpec()).diarize(conversation)


@pytest.mark.slow
@pytest.mark.nightly
def test_error_rate_on_real_meetings(shared_dir: Path):
    diarizer = VadDiarizer(VadSpec())
    reference, hypothesis, duration_s = {}, {}, {}
    for file in sorted((shared_dir / "data" / "speech" / "ami_meetings").glob("*.flac")):
        samples, _ = soundfile.read(file, dtype="float32")
        ((_, reference[file.stem]),) = read_rttm(file.with_suffix(".rttm").read_text()).items()
        hypothesis[file.stem] = diarizer.diarize(samples)
        duration_s[file.stem] = len(samples) / 16_000
    error = diarization_error(reference, hypothesis, duration_s=duration_s)
    assert error.rate < 0.35  # measured 0.329; no collar, overlap counted, one speaker at a time
