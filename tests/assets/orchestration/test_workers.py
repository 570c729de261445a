"""How a graph is cut into runs, and what becomes of runs whose process was killed."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path

import dagster as dg
import psutil
import pytest

from spelangy_assets.cli.demo import materialize
from spelangy_assets.execution.runs import ready, runs_of
from spelangy_assets.execution.targets import parents_of, required_targets
from spelangy_assets.orchestration.workers import PROCESS_TAG, close_orphans
from spelangy_assets.recipes.paper import PAPER
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.settings import PACKAGE_FOLDER, Settings


@pytest.mark.parametrize("name", ["sample", "tiny", "paper"])
def test_runs_hold_every_place_once_and_need_only_earlier_runs(name: str) -> None:
    graph = recipe_named(name).graph
    targets = required_targets(graph)
    runs = runs_of(graph, targets)
    assert sorted((target for run in runs for target in run.targets), key=str) == sorted(targets, key=str)
    done: set[tuple[str, str | None]] = set()
    for run in runs:
        assert run in ready(runs, done), "runs stand in an order in which each can be done"
        for asset, partition in run.targets:
            assert set(parents_of(graph, graph[asset], partition)) <= done, asset
            done.add((asset, partition))


@pytest.mark.parametrize("name", ["sample", "tiny", "paper"])
def test_whatever_is_left_to_make_a_run_holds_datasets_of_one_crawl(name: str) -> None:
    """A killed run leaves any part of the graph; a job of Dagster's has the partitions of one crawl."""
    graph = recipe_named(name).graph
    targets = required_targets(graph)
    kinds = {graph[asset].stage_name for asset, _ in targets}
    left = [*([one for one in targets if graph[one[0]].stage_name == kind] for kind in kinds)]
    left += [targets[first:] for first in range(len(targets))]
    for part in left:
        runs = runs_of(graph, part)
        assert all({graph[asset].partition for asset in run.assets} == {run.crawl} for run in runs)
        assert sorted((target for run in runs for target in run.targets), key=str) == sorted(part, key=str)


def test_every_asset_of_the_recipe_is_required() -> None:
    graph = recipe_named("sample").graph
    assert {asset for asset, _ in required_targets(graph)} == {node.name for node in graph}


def test_roots_need_what_is_above_them_and_nothing_else() -> None:
    graph = recipe_named("sample").graph
    assert required_targets(graph, [("web_fine", "2026-01"), ("text_tokenizer", None)]) == [
        ("raw_audio", "2026-01"),
        ("speech_segments", "2026-01"),
        ("transcript_hypotheses", "2026-01"),
        ("clean_transcripts", "2026-01"),
        ("web_fine", "2026-01"),
        ("text_tokenizer", None),
    ]


def test_a_corpus_needs_the_snapshots_that_its_handle_names() -> None:
    graph = recipe_named("sample").graph
    for token_set, named in (("krist", ["2026-02"]), ("text", ["2026-01", "2026-02", "notes"])):
        targets = required_targets(graph, [(f"{token_set}_corpus", None)])
        assert [key for asset, key in targets if asset == f"{token_set}_tokens"] == named


def test_a_chain_of_one_snapshot_is_one_run() -> None:
    graph = recipe_named("sample").graph
    (run,) = runs_of(graph, required_targets(graph, [("web_fine_page", "2026-01")]))
    assert (run.title, run.partition, run.needs) == ("raw_audio[2026-01]", "2026-01", set())
    assert run.assets[-1] == "web_fine_page"


@pytest.mark.slow
def test_what_is_below_a_failure_is_not_run_and_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The paper's Quest speech, where its snapshot lies but no language model is served."""
    settings = Settings.at(tmp_path / "home")
    pages = settings.snapshots / "pages" / "cc-2025-05"
    pages.mkdir(parents=True)
    for archive in (PACKAGE_FOLDER / "sample" / "snapshots" / "pages" / "2026-01").glob("*.warc.gz"):
        shutil.copy(archive, pages)
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    for variable in ("HOME", "HF_HOME", "TTS_HOME", "XDG_DATA_HOME"):  # where models would lie
        monkeypatch.setenv(variable, str(tmp_path / "no models"))
    monkeypatch.delenv("SPELANGY_LLM_BASE_URL", raising=False)
    monkeypatch.setenv("SPELANGY_HOME", str(settings.home))
    graph = PAPER.graph
    targets = required_targets(graph, [("quest_corpus", None)])
    output = io.StringIO()
    result = materialize(PAPER, settings, targets, 1, output)
    assert not result.complete
    assert "SPELANGY_LLM_BASE_URL is not set" in result.outcome.failures["raw_pages[cc-2025-05]"]
    assert "hf download" in result.outcome.failures["text_tokenizer"]
    assert [one.asset for one in result.done] == ["raw_pages"]  # above the failure, and so done
    assert set(result.outcome.not_run) == {"quest_tokens[cc-2025-05]", "quest_corpus", "speech_tokenizer"}
    missing = [problem for problem in result.problems if "not materialized" in problem]
    assert len(missing) == len(targets) - 1
    assert "FAILED raw_pages[cc-2025-05]: paper__quest_pairs: PreflightError" in output.getvalue()


def test_what_many_runs_wait_for_is_more_urgent() -> None:
    graph = recipe_named("sample").graph
    runs = {run.assets[0]: run for run in runs_of(graph, required_targets(graph))}
    assert runs["base_lm"].urgency > runs["run_quest"].urgency > runs["leaderboard"].urgency
    assert runs["eval_cascade"].urgency > runs["eval_quest"].urgency  # else it ends alone, after all others


def test_a_run_whose_process_is_gone_is_closed_and_a_living_one_is_left() -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def job() -> None:
        nothing()

    gone = "999999999:1.0"
    here = f"{os.getpid()}:{psutil.Process().create_time()}"
    reused = f"{os.getpid()}:1.0"  # the id of a living process that began at another time
    with dg.instance_for_test() as instance:
        runs = {
            mark: instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags={PROCESS_TAG: mark})
            for mark in (gone, here, reused)
        }
        closed = close_orphans(instance)
        assert set(closed) == {runs[gone].run_id, runs[reused].run_id}
        statuses = {mark: instance.get_run_by_id(run.run_id).status for mark, run in runs.items()}
    assert statuses[here] == dg.DagsterRunStatus.STARTED
    assert statuses[gone] == statuses[reused] == dg.DagsterRunStatus.FAILURE
