"""A default may change only together with the VERSION of every stage that reaches it."""

import copy
import dataclasses
import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.stages import recognize
from spelangy_assets.store.fingerprint import fingerprint
from spelangy_model.audio.asr.ct2_whisper import FasterWhisper


@pytest.fixture(scope="module")
def tool(project_dir: Path) -> Any:
    spec = importlib.util.spec_from_file_location("golden_defaults", project_dir / "tools" / "golden_defaults.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def now(tool: Any) -> Any:
    return tool.golden()


def test_no_default_changed_without_a_new_version_of_the_stages_that_reach_it(tool: Any, now: Any):
    old, new = json.loads(tool.FILE.read_text()), now
    assert tool.faults(old, new) == []
    assert old == new, "run `python tools/golden_defaults.py --write` and commit the file"


def test_a_changed_default_is_reported_for_every_stage_that_reaches_it(tool: Any, now: Any):
    old, new = now, copy.deepcopy(now)
    new["types"]["FilterLimits"]["min_duration_s"] = 123.0
    assert "min_duration_s" in old["types"]["FilterLimits"]
    faults = tool.faults(old, new)
    stages = [line.rpartition("VERSION of ")[2].partition(",")[0] for line in faults]
    assert stages == ["adopt_chunks", "clean_transcripts"]
    new["stages"]["clean_transcripts"]["version"] += "+1"
    (left,) = tool.faults(old, new)
    assert "adopt_chunks" in left
    new["stages"]["adopt_chunks"]["version"] += "+1"
    assert tool.faults(old, new) == []


def test_what_is_added_or_loses_its_default_needs_no_new_version(tool: Any, now: Any):
    old, new = now, copy.deepcopy(now)
    new["types"]["FilterLimits"]["an_option"] = 1
    del new["types"]["FilterLimits"]["min_duration_s"]
    assert tool.faults(old, new) == []


def test_what_a_protocol_stands_for_is_reached(now: Any):
    stages = now["stages"]
    assert {"FasterWhisper", "PocketSphinx", "recognize.Config"} <= set(stages["recognize"]["types"])
    assert "Price" in stages["mine_quest"]["types"]  # two steps down


def test_an_option_with_a_default_changes_no_key_of_recognize():
    def key(system: Any) -> str:
        return fingerprint(recognize.Config(systems=(system,)))

    module = {"__module__": FasterWhisper.__module__}
    fields = [("an_option", int, 1)]
    grown = dataclasses.make_dataclass("FasterWhisper", fields, bases=(FasterWhisper,), frozen=True, namespace=module)
    assert key(grown("a", "tiny")) == key(FasterWhisper("a", "tiny"))
    assert key(grown("a", "tiny", an_option=2)) != key(FasterWhisper("a", "tiny"))
