"""Takedowns: which snapshots they bear on, what rebuilds leave out, and that nothing else is made again."""

import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets.__main__ import main
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, StageContext
from spelangy_assets.execution.status import Status, status_of
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName, StoreError
from spelangy_assets.store.files import Files
from spelangy_assets.store.forgotten import forget, forgotten_at, held_in, takedowns
from spelangy_assets.store.garbage import delete, find_garbage
from spelangy_assets.store.lineage import connect, published_id, query
from spelangy_assets.store.lineage_queries import ANCESTORS_SQL
from spelangy_assets.store.writer import ArtifactWriter
from spelangy_model.records import Recording

URL = "https://radio.example/b"
DAYS = ("mon", "tue")


def count(ctx: StageContext, config: Any) -> None:
    with ctx.out.unit(0) as out:
        rows = list(ctx.inputs["audio"].records("recordings", Recording))
        out.write("metrics", [])
        out.add("recordings", len(rows))


class Crawl:
    """raw_audio of the sample over folders of tones, and a dataset below it that names what it read."""

    def __init__(self, home: Path, toys: Any, execution: Execution):
        self.settings, self.execution = Settings.at(home), execution
        self.store = ArtifactStore(self.settings.store_uri, self.settings.cache_dir)
        below = toys.node(
            "below", stage=toys.make_stage(count), config=toys.NoConfig(), inputs={"audio": "raw_audio"},
            partition="raw_audio", contract=toys.make_contract(0),
        )  # fmt: skip
        self.nodes: dict[str, Node] = {"raw_audio": SAMPLE.graph["raw_audio"], "below": below}
        self.graph = Graph("sample", list(self.nodes.values()))

    def folder(self, day: str, **tones: int) -> None:
        """A snapshot of one recording a name, published at radio.example."""
        folder = self.settings.snapshots / "audio" / day
        folder.mkdir(parents=True)
        for name, pitch in tones.items():
            soundfile.write(folder / f"{name}.wav", 0.3 * np.sin(np.arange(16_000) * pitch / 40), 16_000)
        lines = [{"file": f"{name}.wav", "url": f"https://radio.example/{name}"} for name in tones]
        (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def build(self, day: str) -> Built:
        for name in self.nodes:
            built = build(self.store, self.graph, self.nodes[name], day, self.execution, self.source(name, day))
            if name == "raw_audio":
                audio = built
        return audio

    def source(self, name: str, day: str | None) -> FolderSource | None:
        return FolderSource(self.settings.snapshots / "audio" / str(day)) if name == "raw_audio" else None

    def states(self, *days: str) -> dict[str, Status]:
        found = status_of(self.store, self.graph, {"raw_audio": days}, lambda node, day: self.source(node.name, day))
        return {status.target: status for status in found}

    def urls(self, day: str) -> list[str]:
        rows = self.store.resolve(DatasetName("sample", "raw_audio", day)).records("recordings", Recording)
        return sorted(row.source_url for row in rows)


@pytest.fixture(scope="module")
def two_days(tmp_path_factory: pytest.TempPathFactory, toys_by: Any) -> Path:
    """A home in which the two days are built; each test takes a copy."""
    home = tmp_path_factory.mktemp("two_days") / "home"
    execution = Execution(cache_dir=home / "cache", launch=lambda *args: 0.0)
    crawl = Crawl(home, toys_by(execution), execution)
    crawl.folder("mon", a=1, b=2)
    crawl.folder("tue", c=3)
    for day in DAYS:
        crawl.build(day)
    return home


@pytest.fixture
def crawl(tmp_path: Path, two_days: Path, toys: Any, execution: Execution) -> Crawl:
    return Crawl(shutil.copytree(two_days, tmp_path / "home"), toys, execution)


def taken_down(crawl: Crawl, url: str = URL) -> None:
    forget(crawl.store, url, "A. Person", "the publisher asks")


def test_what_held_it_is_withdrawn_and_is_made_again_without_it(crawl: Crawl) -> None:
    taken_down(crawl)
    states = crawl.states(*DAYS)
    assert {name: status.state for name, status in states.items()} == {
        "raw_audio[mon]": "missing", "below[mon]": "waiting", "raw_audio[tue]": "fresh", "below[tue]": "fresh",
    }  # fmt: skip
    assert states["raw_audio[mon]"].why.startswith("withdrawn: it held a source that was taken down at ")
    with pytest.raises(StoreError, match=r"raw_audio\[mon\] cannot be read: it was withdrawn: .* taken down"):
        crawl.urls("mon")
    built = crawl.build("mon")
    assert built.artifact.manifest.counts.dropped == {"forgotten": 1}
    assert crawl.urls("mon") == ["https://radio.example/a"]
    assert {status.state for status in crawl.states(*DAYS).values()} == {"fresh"}
    assert crawl.build("tue").cached


def test_later_snapshots_leave_it_out_by_address_and_by_bytes(crawl: Crawl) -> None:
    taken_down(crawl)
    crawl.folder("wed", b=5, other_name=2, new=7)  # the address with other bytes, and the bytes at another address
    assert crawl.build("wed").artifact.manifest.counts.dropped == {"forgotten": 2}
    assert crawl.urls("wed") == ["https://radio.example/new"]


def test_a_second_takedown_leaves_alone_what_the_first_one_bore_on(crawl: Crawl) -> None:
    taken_down(crawl)
    crawl.build("mon")
    taken_down(crawl, "https://radio.example/c")
    assert [one.url for one in takedowns(crawl.store)] == [URL, "https://radio.example/c"]
    states = {name: status.state for name, status in crawl.states(*DAYS).items()}
    assert (states["raw_audio[mon]"], states["raw_audio[tue]"]) == ("fresh", "missing")


def test_the_datasets_that_hold_it_are_listed_and_without_it_after_the_rebuild(
    crawl: Crawl, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SPELANGY_HOME", str(crawl.settings.home))
    monkeypatch.delenv("SPELANGY_STORE", raising=False)
    command = ["forget", URL, "--by", "A. Person", "--reason", "the publisher asks"]
    assert main([*command, "--dry-run"]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.strip().split("@")[0] for line in printed[:-1]] == ["sample/raw_audio[mon]", "sample/below[mon]"]
    assert takedowns(crawl.store) == []
    assert main(command) == 0
    crawl.build("mon")
    assert [row["published"] for row in held_in(crawl.store, URL)] == [False, False]
    assert main(["gc", "--days", "0", "--delete"]) == 0
    assert held_in(crawl.store, URL) == []
    assert crawl.urls("mon") == ["https://radio.example/a"]


def test_a_takedown_has_a_name_and_a_reason_and_is_written_once(crawl: Crawl) -> None:
    with pytest.raises(ValueError, match="name both"):
        forget(crawl.store, URL, "", "the publisher asks")
    for _ in range(2):
        taken_down(crawl, f"{URL}#t=0,1")
    (one,) = takedowns(crawl.store)
    assert (one.url, one.by, one.reason) == (URL, "A. Person", "the publisher asks")
    (spared,) = one.spared
    assert spared.startswith("ingest_audio[tue] version ")
    assert forgotten_at(crawl.store, spared).version == ""
    for other in ("another config", spared.replace("[tue]", "[wed]")):
        assert forgotten_at(crawl.store, other).urls == {URL}


def test_a_snapshot_that_changed_and_another_way_of_reading_it_are_not_spared(crawl: Crawl) -> None:
    taken_down(crawl)
    soundfile.write(crawl.settings.snapshots / "audio" / "tue" / "b.wav", np.zeros(16_000), 16_000)
    manifest = crawl.settings.snapshots / "audio" / "tue" / "manifest.jsonl"
    manifest.write_text(manifest.read_text() + json.dumps({"file": "b.wav", "url": URL}) + "\n")
    assert crawl.build("tue").artifact.manifest.counts.dropped == {"forgotten": 1}


def test_two_recipes_share_and_one_is_never_run_again(crawl: Crawl) -> None:
    """After a takedown and a clean-up no version in the store holds the source, under any recipe."""
    other = Graph("never_again", list(crawl.nodes.values()))
    for name in crawl.nodes:
        built = build(crawl.store, other, crawl.nodes[name], "mon", crawl.execution, crawl.source(name, "mon"))
        assert built.cached and built.shared_from == DatasetName("sample", name, "mon")
    (held,) = {row["content_hash"] for row in crawl_rows(crawl) if row["url"] == URL}
    taken_down(crawl)
    assert crawl.store.latest(DatasetName("never_again", "raw_audio", "mon")) is None
    crawl.build("mon")
    now = datetime.datetime.now(datetime.UTC)
    delete(crawl.store, find_garbage(crawl.store, datetime.timedelta(0), now))
    assert held_in(crawl.store, URL) == []
    assert held not in {row["content_hash"] for row in crawl_rows(crawl)}
    folders = {f"{address.path}/{key}" for address, key in crawl.store.build_folders()}
    assert folders == {one.path for one in crawl.store.versions()} == {one.path for one in crawl.store.published()}
    assert {status.state for status in crawl.states(*DAYS).values()} == {"fresh"}


def crawl_rows(crawl: Crawl) -> list[dict]:
    with connect(crawl.store) as connection:
        return query(connection, "SELECT url, content_hash FROM crawl")


def test_what_is_equal_without_the_source_does_not_keep_what_held_it(crawl: Crawl, toys: Any) -> None:
    """A dataset whose inputs came out equal is not made again; its manifest names versions that are taken down."""
    last = toys.node(
        "last", stage=toys.make_stage(toys.double_input, name="last"), config=toys.NoConfig(),
        inputs={"above": "below"}, partition="raw_audio", contract=toys.make_contract(0),
    )  # fmt: skip
    crawl.nodes["last"] = last
    crawl.graph = Graph("sample", list(crawl.nodes.values()))
    crawl.build("mon")
    before = crawl.store.resolve(DatasetName("sample", "last", "mon"))
    taken_down(crawl)
    crawl.build("mon")
    after = crawl.store.resolve(DatasetName("sample", "last", "mon"))
    assert after.manifest.build_key == before.manifest.build_key
    now = datetime.datetime.now(datetime.UTC)
    delete(crawl.store, find_garbage(crawl.store, datetime.timedelta(0), now))
    assert held_in(crawl.store, URL) == []
    assert crawl.store.resolve(after.name) == after
    with connect(crawl.store) as connection:
        kin = query(connection, ANCESTORS_SQL, artifact=published_id(crawl.store, after.name))
    assert [row["asset"] for row in kin] == ["last", "below", "raw_audio"]  # the lineage goes on at the equal version


def test_a_takedown_in_the_middle_of_a_build_bears_on_it(crawl: Crawl, monkeypatch: pytest.MonkeyPatch) -> None:
    crawl.folder("wed", b=5, new=7)
    commit, left = ArtifactWriter.commit, [True]

    def late(writer: ArtifactWriter) -> Any:
        if left:
            left.clear()
            taken_down(crawl)
        return commit(writer)

    monkeypatch.setattr(ArtifactWriter, "commit", late)
    assert crawl.build("wed").artifact.manifest.counts.dropped == {"forgotten": 1}
    assert crawl.urls("wed") == ["https://radio.example/new"]


def test_of_two_takedowns_at_once_none_is_lost(crawl: Crawl, monkeypatch: pytest.MonkeyPatch):
    crawl.build("mon")
    other, swap, left = "https://radio.example/a", Files.swap, [True]

    def late(files: Files, path: str, data: bytes, old: bytes | None) -> bool:
        if left:
            left.clear()
            forget(crawl.store, other, "B. Person", "asked for")
        return swap(files, path, data, old)

    monkeypatch.setattr(Files, "swap", late)
    forget(crawl.store, URL, "A. Person", "asked for")
    assert [one.url for one in takedowns(crawl.store)] == [other, URL]
