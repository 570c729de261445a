"""What a person reads when a package is missing; every extra of pyproject.toml can be found by what it brings."""

import re
import sys
import tomllib
from pathlib import Path

import pytest

from spelangy_model.extras import cure, distribution_of, extras_of, missing

PROJECT = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())["project"]
# As a built distribution's metadata has them.
REQUIREMENTS = [
    f'{requirement}; extra == "{extra}"'
    for extra, several in PROJECT["optional-dependencies"].items()
    for requirement in several
]


@pytest.mark.parametrize(
    ("module", "extras"),
    [
        ("whisper_timestamped", ["asr"]),
        ("whisper.normalizers", ["asr"]),
        ("TTS.api", ["coqui"]),
        ("lm_eval", ["eval"]),
        ("pyannote.audio", ["pyannote"]),
        ("pyannote.core", ["asr"]),
        ("torch", ["asr", "coqui", "train"]),
        ("botocore.config", ["aws"]),
        ("ray", ["ray"]),
        ("numpy", []),
    ],
)
def test_a_module_leads_to_the_extras_that_bring_it(module: str, extras: list[str]):
    assert extras_of(distribution_of(module), REQUIREMENTS) == extras


def test_a_missing_package_is_one_line_with_a_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pocketsphinx", None)
    assert missing("numpy") == ""
    line = missing("pocketsphinx")
    assert re.fullmatch(r"the package pocketsphinx is not installed: pip install \S+", line)
    assert cure("pocketsphinx") == line


def test_every_requirement_has_a_lower_bound():
    named = [
        *PROJECT["dependencies"],
        *(one for several in PROJECT["optional-dependencies"].values() for one in several),
    ]
    assert [one for one in named if not one.startswith("spelangy[") and ">=" not in one] == []


def test_the_packages_that_the_project_stands_on_are_declared():
    named = {re.split(r"[\[>=<]", one)[0] for one in [*PROJECT["dependencies"], *REQUIREMENTS]}
    assert named >= {
        *("dagster", "dagster-aws", "torch", "transformers", "accelerate", "whisper-timestamped", "coqui-tts"),
        *("duckdb", "great-expectations"),
    }
