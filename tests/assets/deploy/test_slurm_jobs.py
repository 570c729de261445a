"""A job on a fake SLURM: its submission, and what happens when it fails, is killed or is left behind."""

from __future__ import annotations

import dataclasses
import os
import time
from pathlib import Path
from typing import Any

import pytest

from spelangy_assets.orchestration.slurm_cluster import Cluster, Resources, cluster_of
from spelangy_assets.orchestration.slurm_jobs import SlurmError, cancel_abandoned, new_job, run_job
from spelangy_assets.settings import Settings, SettingsError


@pytest.fixture
def cluster(tmp_path: Path, slurm: Any) -> Cluster:
    return Cluster(jobs=tmp_path / "home" / "slurm", poll_s=0.1)


def job_of(cluster: Cluster, command: str, **facts: Any) -> Any:
    return new_job(cluster, "web_fine@2026 01", **{"resources": Resources(), "command": command, **facts})


def test_each_task_of_an_array_is_run_once(cluster: Cluster, slurm: Any, tmp_path: Path):
    out, logged = tmp_path / "out", []
    out.mkdir()
    resources = Resources(
        partition="cpu", account="speech", time="1:00:00", gres="gpu:1", cpus=4, memory="16G", sbatch=("--qos=low",)
    )
    job = job_of(
        cluster,
        f'echo "$WHAT" >> {out}/$task',
        tasks=3,
        resources=dataclasses.replace(resources, array_at_once=2, setup=("WHAT=$SECRET_WHAT",)),
        environment={"SECRET_WHAT": "not-to-be-written"},
    )
    script = job.script(1, [0, 1, 2])
    run_job(cluster, job, logged.append)
    assert {path.name: path.read_text() for path in out.iterdir()} == dict.fromkeys("012", "not-to-be-written\n")
    (submitted,) = [call for call in slurm.calls if call[0] == "sbatch"]
    assert "--export=ALL" in submitted
    asked = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert {
        *("--array=0,1,2%2", "--requeue", "--partition=cpu", "--account=speech", "--time=1:00:00", "--gres=gpu:1"),
        *("--cpus-per-task=4", "--mem=16G", "--qos=low"),
    } <= set(asked)
    assert "not-to-be-written" not in script
    assert not job.folder.exists()
    assert "3 of 3 tasks" in logged[0]


def test_a_task_that_fails_ends_the_run_with_its_error_and_its_log(cluster: Cluster, slurm: Any):
    command = 'if [ $task = 1 ]; then echo "pkg.InputError: a.flac: torn" >&2; false; else sleep 300; fi'
    job = job_of(cluster, command, tasks=2)
    with pytest.raises(
        SlurmError, match=r"InputError: a.flac: torn \(job 1, task 1, exit 1; log .*attempt-1-task-1.log\)"
    ):
        run_job(cluster, job, lambda text: None)
    assert [call[0] for call in slurm.calls].count("sbatch") == 1
    slurm.wait_until_empty()  # the other task is cancelled


def test_what_was_killed_is_submitted_again_and_a_preempted_job_waits(cluster: Cluster, slurm: Any, tmp_path: Path):
    """Three tasks append a letter every 50 ms until they have four; two of them are killed, one is requeued."""
    out, logged = tmp_path / "out", []
    out.mkdir()
    command = (
        f"for one in a b c d; do [ -e {out}/$task$one ] || {{ touch {out}/$task$one; echo $one; sleep 0.05; }}; done"
    )
    slurm.kill(out, "1*", 2, task=1)
    slurm.kill(out, "2*", 3, task=2, requeue=True)
    job = job_of(cluster, command, tasks=3)
    run_job(cluster, job, logged.append)
    assert sorted(path.name for path in out.iterdir()) == [f"{task}{one}" for task in "012" for one in "abcd"]
    assert sorted(slurm.kills) == ["1 1", "1 2"]
    assert [call[0] for call in slurm.calls].count("sbatch") == 2
    assert any("1 tasks of job 1 ended without a result (1 NODE_FAIL)" in line for line in logged)


def test_a_job_that_is_always_killed_ends_the_run_after_three_tries(cluster: Cluster, slurm: Any, tmp_path: Path):
    for _ in range(4):
        slurm.kill(tmp_path, "*", 0)
    with pytest.raises(SlurmError, match=r"3 times in a row without progress; log .*attempt-3-task-0.log"):
        run_job(cluster, job_of(cluster, "sleep 30"), lambda text: None)
    assert len(slurm.kills) == 3


def test_progress_starts_the_count_again(cluster: Cluster, slurm: Any, tmp_path: Path):
    out = tmp_path / "out"
    out.mkdir()
    for count in (1, 2, 3):
        slurm.kill(out, "*", count)
    command = f"for one in 1 2 3 4; do [ -e {out}/$one ] || {{ touch {out}/$one; sleep 0.1; }}; done"
    cluster = dataclasses.replace(cluster, tries=2)
    run_job(cluster, job_of(cluster, command, progress=lambda: len(list(out.iterdir()))), lambda text: None)
    assert len(slurm.kills) == 3


@pytest.mark.parametrize("status", [75, 137])
def test_a_passing_failure_and_a_killed_child_are_tried_again(
    cluster: Cluster, slurm: Any, tmp_path: Path, status: int
):
    flag = tmp_path / "flag"
    run_job(cluster, job_of(cluster, f"[ -e {flag} ] || (touch {flag}; exit {status})"), lambda text: None)
    assert [call[0] for call in slurm.calls].count("sbatch") == 2


def test_a_refused_job_is_one_line(cluster: Cluster, slurm: Any):
    (slurm.home / "refuse").write_text("sbatch: error: invalid partition\nsbatch: error: batch job submission failed")
    with pytest.raises(SlurmError, match=r"sbatch refuses .*invalid partition sbatch: error: batch job"):
        run_job(cluster, job_of(cluster, "true"), lambda text: None)


def test_a_job_whose_acceptance_got_lost_is_not_submitted_twice(cluster: Cluster, slurm: Any, tmp_path: Path):
    (slurm.home / "lose the reply").touch()
    run_job(cluster, job_of(cluster, f"echo done >> {tmp_path}/done; sleep 0.3"), lambda text: None)
    assert (tmp_path / "done").read_text() == "done\n"


def test_without_slurm_the_error_names_the_setting(cluster: Cluster, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SlurmError, match="SPELANGY_SLURM is set, but there is no sbatch here"):
        run_job(cluster, job_of(cluster, "true"), lambda text: None)


def test_an_interrupt_cancels_the_job(cluster: Cluster, slurm: Any):
    def interrupt(text: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_job(cluster, job_of(cluster, "sleep 60"), interrupt)
    slurm.wait_until_empty()


def test_a_job_whose_process_was_killed_is_cancelled_before_another_is_submitted(cluster: Cluster, slurm: Any):
    job = job_of(cluster, "sleep 60")
    child = os.fork()
    if not child:
        try:
            run_job(cluster, job, lambda text: None)
        finally:
            os._exit(0)
    while not slurm.queue:
        time.sleep(0.01)
    cancel_abandoned(cluster)
    assert len(slurm.queue) == 1, "its process is alive"
    os.kill(child, 9)
    os.waitpid(child, 0)
    logged: list[str] = []
    run_job(cluster, job_of(cluster, "true"), logged.append)
    assert logged[0] == f"cancelling {job.name}: the process that waited for it is gone"
    assert not slurm.queue
    assert not list((cluster.jobs / "submitted").iterdir())


# --- the file -----------------------------------------------------------------------------------------------


def settings_of(tmp_path: Path, text: str, **more: str) -> Settings:
    (tmp_path / "cluster.toml").write_text(text)
    return Settings.at(tmp_path / "home", SPELANGY_SLURM=str(tmp_path / "cluster.toml"), **more)


def test_without_the_setting_there_is_no_cluster(tmp_path: Path):
    assert cluster_of(Settings.at(tmp_path)) is None


def test_the_shipped_file_is_read(tmp_path: Path, project_dir: Path):
    cluster = cluster_of(settings_of(tmp_path, (project_dir / "deploy" / "slurm" / "cluster.toml").read_text()))
    assert cluster is not None
    assert cluster.train.nodes == 4
    assert cluster.gpu.gres == "gpu:1"
    assert cluster.jobs == tmp_path / "home" / "slurm"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "no TOML"),
        ("[disk]\n", "disk = {} is not understood"),
        ("poll_s = 0\n", "poll_s = 0 is not understood"),
        ("[cpu]\nqueue = 'a'\n", r"\[cpu\] has no key 'queue': it has partition, account"),
        ("[cpu]\ncpus = 'four'\n", "cpus is 'four'; it is a whole number from 0 on"),
        ("[train]\nnodes = 0\n", "nodes is 0; it is a whole number from 1 on"),
        ("[gpu]\ntime = '''1\n2'''\n", "time is '1.*; it is a string of one line"),
        ("[gpu]\nsbatch = '--qos=a'\n", "sbatch is '--qos=a'; it is a list"),
        ("[gpu]\nsbatch = ['qos=a']\n", "each of its strings is one option"),
    ],
)
def test_a_file_that_is_wrong_is_refused_in_words(tmp_path: Path, text: str, words: str):
    with pytest.raises(SettingsError, match=words):
        cluster_of(settings_of(tmp_path, text))


def test_a_missing_file_two_clusters_and_a_home_with_a_space_are_refused(tmp_path: Path):
    with pytest.raises(SettingsError, match="cannot be read: No such file"):
        cluster_of(Settings.at(tmp_path, SPELANGY_SLURM="nowhere.toml"))
    with pytest.raises(SettingsError, match="sbatch reads a space"):
        cluster_of(Settings.at(tmp_path / "a home", SPELANGY_SLURM="cluster.toml"))
    with pytest.raises(SettingsError, match="both set"):
        cluster_of(settings_of(tmp_path, "", SPELANGY_RAY="auto"))
