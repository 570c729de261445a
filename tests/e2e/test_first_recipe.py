"""docs/first_recipe.md: its recipe is written to a file, and its commands are run in their order."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from homes import run_command, summary

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

PROJECT = Path(__file__).resolve().parents[2]
DOCUMENT = (PROJECT / "docs" / "first_recipe.md").read_text()
RECORDINGS = PROJECT / "spelangy_assets" / "sample" / "tiny_snapshots" / "audio" / "2026-02"
COMMANDS = [
    line
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    for line in block.splitlines()
    if not language and line.startswith("spelangy ")
]


@pytest.mark.timeout(1800)
def test_every_command_of_the_first_recipe(tiny_home: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)  # the first command then finds everything there
    shutil.copytree(RECORDINGS, home / "recordings")
    recipe, _ = re.findall(r"^```python\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE)
    (home / "first.py").write_text(recipe)
    assert [command.split()[1] for command in COMMANDS][:4] == ["run", "speech", "plan", "run"]
    for command in COMMANDS:
        ended = run_command(home, "-m", "spelangy_assets", *shlex.split(command)[1:])
        assert ended.returncode == 0, f"{command}\n{ended.stdout}{ended.stderr}"
    assert (home / "chunks.html").read_text().count("<audio") > 0
    result = summary(home, "first")
    assert result["failures"] == {}
    planned = result["planned"]["cpu_s"]
    assert result["stages_cpu_s"] / 3 < planned < 3 * result["stages_cpu_s"], json.dumps(result["planned"])
