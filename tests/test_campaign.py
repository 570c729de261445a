"""The campaign of kills and bad inputs: it is made again from its seed, sees what is lost, and reports what it saw."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from spelangy_model.rng import stable_rng


@pytest.fixture
def modules(project_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(project_dir / "benchmarks")
    import bad_inputs  # type: ignore[import-not-found]
    import campaign  # type: ignore[import-not-found]
    import kills  # type: ignore[import-not-found]

    return SimpleNamespace(bad_inputs=bad_inputs, campaign=campaign, kills=kills)


def bytes_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bad_input_is_a_function_of_its_seed_and_number(modules: Any, tmp_path: Path) -> None:
    made = []
    for target in ("one", "two"):
        folder = tmp_path / target
        folder.mkdir()
        for number in range(5):
            for kind, write in (("n", modules.bad_inputs.write_name), ("m", modules.bad_inputs.write_manifest)):
                write(folder, number + (50 if kind == "n" else 0), stable_rng(3, kind, number))
        made.append(bytes_below(folder))
    assert made[0] == made[1]
    archives = [[modules.bad_inputs.one_archive(stable_rng(3, "a", number)) for number in range(9)] for _ in range(2)]
    assert archives[0] == archives[1]
    assert len(set(archives[0])) == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind",
    ["audio files", "manifests", "file names", "web archives", "JSON-LD", "LLM replies", "question files"],
)
def test_bad_inputs_are_records_or_rejects(modules: Any, kind: str) -> None:
    outcome = modules.bad_inputs.KINDS[kind][1](kind, 1, range(20))
    assert outcome.failures == []
    assert outcome.cases == 20
    assert outcome.fates["record"] > 0
    assert len(outcome.fates) > 1 or kind == "file names"


def test_what_is_lost_or_has_no_reason_is_seen(modules: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    counts = SimpleNamespace(records_in=4, records_kept=2, dropped={"empty": 1})
    found = (["case-000000.wav", "case-000001.tar/a.wav"], {"case-000001.tar/b.wav\0" + "0": ""}, counts)
    monkeypatch.setattr(modules.bad_inputs, "ingest", lambda folder, home: found)
    files = {"case-000000": 1, "case-000001": 1, "case-000002": 1}
    fates, wrong = modules.bad_inputs.accounted(tmp_path, tmp_path, files)
    assert fates[:2] == [Counter(record=1), Counter({"record": 1, "no reason": 1})]
    assert [line.partition(":")[0] for line in wrong] == [
        "4 in, 2 kept, dropped {'empty'", "case-000001", "case-000002",
    ]  # fmt: skip


def test_kills_come_to_all_datasets_in_turn(modules: Any) -> None:
    targets = [(f"d{number}", 1.0) for number in range(7)]
    kinds = ["SIGKILL", "power"] * 7
    kills = modules.kills.drawn(targets, kinds, 0, "disk")
    assert Counter(kill.target for kill in kills) == dict.fromkeys(range(7), 2)
    assert Counter(kill.kind for kill in kills) == {"SIGKILL": 7, "power": 7}
    assert kills == sorted(kills, key=lambda kill: kill.target)
    assert kills == modules.kills.drawn(targets, kinds, 0, "disk")
    assert kills != modules.kills.drawn(targets, kinds, 1, "disk")


def test_a_power_cut_takes_the_end_of_the_newest_files_alone(modules: Any, tmp_path: Path) -> None:
    for number in range(20):
        path = tmp_path / f"{number:02}"
        path.write_bytes(bytes(100))
        os.utime(path, (number, number))
    for seed in range(20):
        cut = modules.kills.cut_newest(tmp_path, seed)
        assert 1 <= len(cut) <= 4
        for path in cut:
            assert path.name >= "12"
            assert path.stat().st_size < 100
            time_s = int(path.name)
            path.write_bytes(bytes(100))
            os.utime(path, (time_s, time_s))
    assert all(path.stat().st_size == 100 for path in tmp_path.iterdir())


def test_the_order_of_the_datasets_keeps_parents_first(modules: Any) -> None:
    from spelangy_assets.execution.targets import parents_of, required_targets
    from spelangy_assets.recipes.registry import recipe_named

    graph = recipe_named("tiny").graph
    order = modules.kills.in_order(graph)
    assert set(order) == set(required_targets(graph))
    for at, (name, partition) in enumerate(order):
        assert set(parents_of(graph, graph[name], partition)) <= set(order[:at])


def test_the_report_says_what_the_parts_left(modules: Any, tmp_path: Path) -> None:
    track = modules.kills.Track("on a disk", kills=Counter(power=2), stages=Counter(speak=2), published=3, datasets=4)
    modules.kills.compare(track, {"a[]": "1", "b[]": "2"}, {"a[]": "1", "b[]": "3"})
    rows = [{**vars(track), "asked": 2, "calm_s": 5.0}]
    part = {"seed": 7, "cpus": 2, "load": 3.0, "seconds": 9.0, "rows": rows}
    (tmp_path / "disk.json").write_text(json.dumps(part))
    outcome = modules.bad_inputs.Outcome(cases=10, fates=Counter(record=4, empty=6), failures=["names 3: lost"])
    (tmp_path / "inputs.json").write_text(json.dumps({**part, "rows": [{"kind": "file names", **vars(outcome)}]}))
    text = modules.campaign.report(tmp_path)
    assert "2 of 2 over the recipe `tiny`" in text
    assert "| on a disk | power 2 | 0 | 2 of 2 | 1 of 2 |" in text
    assert "b[]: 3, undisturbed 2" in text
    assert "Bad inputs: 10, of which 9 ended" in text
    assert "names 3: lost" in text
    assert modules.campaign.failed("disk", rows)
    assert modules.campaign.failed("inputs", [{"failures": [], "peak_mib": 3000.0}])
    assert not modules.campaign.failed("inputs", [{"failures": [], "peak_mib": 1000.0}])
