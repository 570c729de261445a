"""The diarization error rate is that of NIST's md-eval on real meetings, to the hundredth of a second it prints."""

import random
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from spelangy_model.audio.diarization.der import DiarizationError, diarization_error
from spelangy_model.audio.rttm import read_rttm, write_rttm
from spelangy_model.audio.turns import Turn

Turns = Mapping[str, Sequence[Turn]]
DURATION_S = 30.0


@pytest.fixture(scope="module")
def meetings(shared_dir: Path) -> Turns:
    files = sorted((shared_dir / "data" / "speech" / "ami_meetings").glob("*.rttm"))
    return {name: turns for file in files for name, turns in read_rttm(file.read_text()).items()}


def perturbed(meetings: Turns, seed: int, wrong: float) -> Turns:
    """What a diarizer that errs says: edges move, turns are missed, split, invented or another speaker's."""
    rng = random.Random(seed)

    def moved(start_s: float, end_s: float, speaker: str) -> Turn:
        start = min(max(0.0, start_s + rng.gauss(0, 0.3)), DURATION_S - 0.2)
        end = min(max(start + 0.1, end_s + rng.gauss(0, 0.3)), DURATION_S)
        return Turn(round(start, 3), round(end, 3), speaker)

    hypothesis = {}
    for name, turns in meetings.items():
        names = sorted({turn.speaker for turn in turns})
        found: list[Turn] = []
        for turn in turns:
            draw = rng.random() / wrong
            speaker = f"x{names.index(turn.speaker)}"
            if draw < 0.4:
                continue
            if draw < 0.8:
                speaker = f"x{rng.randrange(len(names) + 1)}"
            found.append(moved(turn.start_s, turn.end_s, speaker))
            if draw < 1:
                at = rng.uniform(0, DURATION_S - 3)
                found.append(moved(at, at + 2, f"x{rng.randrange(len(names) + 1)}"))
        hypothesis[name] = _apart(found)
    return hypothesis


def _apart(turns: Sequence[Turn]) -> list[Turn]:
    """Leave out turns that run into an earlier one of the same speaker, on whose sum programs do not agree."""
    kept: list[Turn] = []
    for turn in sorted(turns):
        if all(turn.start_s >= other.end_s for other in kept if other.speaker == turn.speaker):
            kept.append(turn)
    return kept


def nist(reference: Turns, hypothesis: Turns, folder: Path, *options: str) -> DiarizationError:
    program = shutil.which("md-eval.pl") or shutil.which("md-eval.pl", path="/usr/lib/sctk/bin")
    if not program:
        pytest.skip("NIST's md-eval.pl is not installed: apt-get install sctk")
    (folder / "reference.rttm").write_text(write_rttm(reference))
    (folder / "hypothesis.rttm").write_text(write_rttm(hypothesis))
    (folder / "scored.uem").write_text("".join(f"{name} 1 0.000 {DURATION_S:.3f}\n" for name in reference))
    files = ["-r", "reference.rttm", "-s", "hypothesis.rttm", "-u", "scored.uem"]
    report = subprocess.run([program, *files, *options], cwd=folder, check=True, capture_output=True, text=True).stdout
    names = ("SCORED SPEAKER TIME", "MISSED SPEAKER TIME", "FALARM SPEAKER TIME", "SPEAKER ERROR TIME")
    found = [re.search(rf"^ *{name} = +([\d.]+) secs", report, re.MULTILINE) for name in names]
    total, missed, false_alarm, confusion = (float(match[1]) for match in found if match)
    return DiarizationError(total, missed, false_alarm, confusion)


@pytest.mark.parametrize("collar_s", [0.0, 0.25])
@pytest.mark.parametrize("skip_overlap", [False, True])
@pytest.mark.parametrize("wrong", [0.05, 0.8])
def test_the_same_seconds(meetings: Turns, tmp_path: Path, collar_s: float, skip_overlap: bool, wrong: float):
    hypothesis = perturbed(meetings, round(100 * wrong), wrong)
    options = ["-c", str(collar_s), *(["-1"] if skip_overlap else [])]
    theirs = nist(meetings, hypothesis, tmp_path, *options)
    ours = diarization_error(
        meetings, hypothesis, duration_s=dict.fromkeys(meetings, DURATION_S), collar_s=collar_s,
        skip_overlap=skip_overlap,
    )  # fmt: skip
    assert theirs.total_s > 100
    for part in ("total_s", "missed_s", "false_alarm_s", "confusion_s"):
        assert getattr(ours, part) == pytest.approx(getattr(theirs, part), abs=0.011), part
