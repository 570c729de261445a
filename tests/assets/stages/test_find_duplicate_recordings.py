import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stage_parts.contracts import DUPLICATES
from spelangy_assets.stages import find_duplicate_recordings, ingest_audio, roll_up
from spelangy_assets.stages.ingest_audio import CONTRACT as RAW_AUDIO
from spelangy_assets.stages.roll_up import CONTRACT as ROLL_UP
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import decode
from spelangy_model.audio.parts import PartRule
from spelangy_model.records import Duplicate, Recording

RATE_HZ = 16_000
Find = Callable[..., tuple[dict[str, str], Built]]


@pytest.fixture(scope="module")
def talks(project_dir: Path) -> dict[str, np.ndarray]:
    folder = project_dir / "spelangy_assets/sample/snapshots/audio/2026-02"
    return {name: decode(folder / f"talk-{name}.opus").samples[: 40 * RATE_HZ] for name in ("04", "05", "06")}


def _graph(snapshots: list[str], **literals: Any) -> Graph:
    common: dict[str, Any] = {"group": "crawl", "description": ""}
    raw = ingest_audio.Config(**literals)
    return Graph(
        "recipe",
        [
            Node(name="raw_audio", stage=ingest_audio, config=raw, contract=RAW_AUDIO, partition="audio_snapshot",
                 has_source=True, **common),
            Node(name="audio_corpus", stage=roll_up, config=roll_up.Config(), contract=ROLL_UP,
                 members=tuple(("raw_audio", snapshot) for snapshot in snapshots), **common),
            Node(name="audio_index", stage=find_duplicate_recordings, config=find_duplicate_recordings.Config(),
                 contract=DUPLICATES, inputs={"recordings": "audio_corpus"}, **common),
        ],
    )  # fmt: skip


@pytest.fixture
def find(store: ArtifactStore, execution: Execution, tmp_path: Path) -> Find:
    """Ingest snapshots, given as {snapshot: {name: file}}, and return {name: whose duplicate it is}, and the index."""

    def run(snapshots: dict[str, dict[str, bytes]], **literals: Any) -> tuple[dict[str, str], Built]:
        graph = _graph(list(snapshots), **literals)
        names = {}
        for snapshot, files in snapshots.items():
            folder = tmp_path / snapshot
            folder.mkdir(exist_ok=True)
            for name, data in files.items():
                (folder / name).write_bytes(data)
            raw = build(store, graph, graph["raw_audio"], snapshot, execution, FolderSource(folder)).artifact
            for row in raw.records("recordings", Recording):
                names[snapshot, row.recording_id] = f"{snapshot}/{row.source_uri}"
        build(store, graph, graph["audio_corpus"], None, execution)
        built = build(store, graph, graph["audio_index"], None, execution)
        assert built.verdict.passed
        duplicates = built.artifact.records("duplicates", Duplicate)
        found = {
            names[row.snapshot, row.source_id]: names[row.duplicate_of_snapshot, row.duplicate_of] for row in duplicates
        }
        return found, built

    return run


def _file(samples: np.ndarray, format: str = "WAV", subtype: str | None = None) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, RATE_HZ, format=format, subtype=subtype)
    return buffer.getvalue()


def test_the_first_of_the_corpus_wins_whatever_it_was_made_into(talks: dict[str, np.ndarray], find: Find):
    one, two, three = talks.values()
    found, built = find(
        {
            "b-first": {"a.wav": _file(one), "b.ogg": _file(0.3 * one[7 * RATE_HZ : 19 * RATE_HZ], "OGG", "OPUS")},
            "a-later": {
                "c.ogg": _file(one[: 25 * RATE_HZ], "OGG", "VORBIS"),
                "d.wav": _file(two),
                "e.wav": _file(one),
                "f.wav": _file(three),
            },
        }
    )
    assert found == {
        "b-first/b.ogg": "b-first/a.wav", "a-later/c.ogg": "b-first/a.wav", "a-later/e.wav": "b-first/a.wav",
    }  # fmt: skip
    counts = built.artifact.manifest.counts
    assert (counts.records_in, counts.records_kept) == (6, 3)
    assert counts.dropped == {"near_duplicate": 2, "duplicate": 1}
    shares = [row.similarity for row in built.artifact.records("duplicates", Duplicate)]
    assert all(share > 0.8 for share in shares)


def test_what_holds_more_than_came_before_is_kept(talks: dict[str, np.ndarray], find: Find):
    one, two, _ = talks.values()
    short, long = one[: 20 * RATE_HZ], np.concatenate([one[: 20 * RATE_HZ], two])
    assert find({"x": {"a.wav": _file(short), "b.wav": _file(long)}})[0] == {}


def test_parts_of_a_long_one_are_covered_together(talks: dict[str, np.ndarray], find: Find):
    one, two, _ = talks.values()
    long = np.concatenate([one, two])
    found, _ = find(
        {"x": {"a.wav": _file(long), "b.wav": _file(0.5 * long[15 * RATE_HZ :])}},
        parts=PartRule(max_part_s=20.0, search_s=5.0),
    )
    assert len(found) == 5  # all of its parts, although they are cut elsewhere
    assert {name.partition("#")[0] for name in found} == {"x/b.wav"}
    assert {name.partition("#")[0] for name in found.values()} == {"x/a.wav"}


def test_a_new_snapshot_computes_nothing_old_again(talks: dict[str, np.ndarray], find: Find, store: ArtifactStore):
    one, two, _ = talks.values()
    _, first = find({"x": {"a.wav": _file(one)}})
    before = [one.manifest.build_key for one in store.versions() if one.manifest.dataset == "raw_audio"]
    found, second = find({"x": {"a.wav": _file(one)}, "y": {"b.wav": _file(two), "c.wav": _file(one * 0.9)}})
    after = [one.manifest.build_key for one in store.versions() if one.address.partition == "x"]
    assert found == {"y/c.wav": "x/a.wav"}
    assert before == after
    assert first.artifact.data_version != second.artifact.data_version


@pytest.mark.slow
def test_the_repost_of_the_sample_crawl_is_found(project_dir: Path, find: Find):
    folder = project_dir / "spelangy_assets/sample/snapshots/audio"
    files = {name: (folder / "2026-01" / f"{name}.opus").read_bytes() for name in ("repost-01", "talk-01", "talk-02")}
    repost = {"again.opus": files["repost-01"]}
    found, _ = find({"one": {f"{name}.opus": files[name] for name in ("talk-01", "talk-02")}, "two": repost})
    assert found == {"two/again.opus": "one/talk-01.opus"}
