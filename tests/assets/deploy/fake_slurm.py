#!/usr/bin/env python3
"""sbatch, squeue, sacct, scancel, srun and scontrol of a cluster of one machine, each by the name it is called by.

A job's tasks run as processes of this machine. FAKE_SLURM is its folder: `queue` has a file a task, `calls` a line a
call. `faults` may hold files with JSON; a task that starts takes the first one that is for it (`task`, or any)
and is killed with SIGKILL, all its processes at once, `after_s` seconds after its folder `watch` holds `files` files of
the `pattern`. Then it is queued again (`requeue`), as after a preemption, or gone.
"""

import contextlib
import fcntl
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(os.environ["FAKE_SLURM"])
QUEUE, FAULTS, ENDED = HOME / "queue", HOME / "faults", HOME / "ended"


def options_of(words):
    pairs = (word.lstrip("-").partition("=") for word in words if word.startswith("--"))
    return {name: value for name, _, value in pairs}


def write(path, facts):
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(facts))
    draft.replace(path)


def read_all(folder):
    found = []
    for path in sorted(folder.glob("*.json")):
        with contextlib.suppress(FileNotFoundError):
            found.append((path, json.loads(path.read_text())))
    return found


def sbatch(words):
    if (HOME / "refuse").exists():
        sys.exit((HOME / "refuse").read_text())
    script = Path(words[-1])
    lines = [line[8:] for line in script.read_text().splitlines() if line.startswith("#SBATCH ")]
    options = {**options_of(lines), **options_of(words)}
    with (HOME / "number").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write("x")
        file.flush()
        number = file.tell()
    tasks = [int(one) for one in options["array"].partition("%")[0].split(",")] if "array" in options else [None]
    for task in tasks:
        place = QUEUE / f"{number:06}-{task}.json"
        write(place, {"job": number, "task": task, "state": "PENDING", **options, "script": str(script)})
        subprocess.Popen(
            [sys.executable, "-I", "-S", str(Path(__file__).resolve()), str(place)],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
    if (HOME / "lose the reply").exists():
        (HOME / "lose the reply").unlink()
        sys.exit("sbatch: error: Batch job submission failed: Socket timed out on send/recv operation")
    print(number)


def locked():
    lock = (HOME / "lock").open("w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def take_fault(task):
    with locked():
        for path, fault in read_all(FAULTS):
            if fault.get("task") in (None, task):
                path.unlink()
                return fault
    return None


def set_state(place, **facts):
    """Note the state of a task, unless it was cancelled."""
    with locked():
        if place.exists():
            write(place, {**json.loads(place.read_text()), **facts})


def is_due(fault):
    return len(list(Path(fault["watch"]).glob(fault["pattern"]))) >= fault["files"]


def run(place):
    """Run a task until it ends by itself, is killed for good, or is cancelled."""
    try:
        facts = json.loads(place.read_text())
    except FileNotFoundError:
        return
    task, nodes = facts["task"], int(facts.get("nodes", 1))
    environment = {
        **os.environ,
        "SLURM_JOB_ID": str(facts["job"]),
        "SLURM_JOB_NODELIST": ",".join(["127.0.0.1"] * nodes),
        "SLURM_NNODES": str(nodes),
        **({} if task is None else {"SLURM_ARRAY_JOB_ID": str(facts["job"]), "SLURM_ARRAY_TASK_ID": str(task)}),
    }
    again = True
    while again:
        fault, again, killed = take_fault(task), False, False
        with Path(facts["output"].replace("%a", str(task))).open("a") as output:
            process = subprocess.Popen(
                ["bash", facts["script"]],
                cwd=facts["chdir"],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        set_state(place, state="RUNNING")
        while process.poll() is None:
            time.sleep(0.005)
            killed = killed or (fault is not None and is_due(fault))
            if killed or not place.exists():
                time.sleep(fault["after_s"] if fault and killed else 0)
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        with (HOME / "kills").open("a") as file:
            file.write(f"{facts['job']} {task}\n" * killed)
        if fault and killed and fault["requeue"]:
            set_state(place, state="PENDING")
            time.sleep(0.1)
            again = place.exists()
    state = "NODE_FAIL" if killed else "COMPLETED" if process.returncode == 0 else "FAILED"
    write(ENDED / place.name, {**facts, "state": state, "exit": process.returncode})
    place.unlink(missing_ok=True)


def chosen(options):
    for path, facts in read_all(QUEUE):
        if facts["job-name"] == options["name"]:
            yield path, facts


def squeue(words):
    for _, facts in chosen(options_of(words)):
        number = facts["job"] if facts["task"] is None else f"{facts['job']}_{facts['task']}"
        print(f"{number}|{facts['state']}|{'Priority' if facts['state'] == 'PENDING' else 'None'}")


def sacct(words):
    for _, facts in read_all(ENDED):
        if str(facts["job"]) == options_of(words)["jobs"]:
            print(f"{facts['state']}|{facts['exit']}:0")


def scancel(words):
    with locked():
        for path, _ in chosen(options_of(words)):
            path.unlink(missing_ok=True)


def srun(words):
    """Start the command once a node; kill the rest when one fails."""
    options = [word for word in words if word.startswith("--")]
    command = words[len(options) :]
    nodes = int(options_of(options)["nodes"])
    started = [
        subprocess.Popen(command, env={**os.environ, "SLURM_NODEID": str(one), "SLURM_PROCID": str(one)})
        for one in range(nodes)
    ]
    while any(process.poll() is None for process in started):
        time.sleep(0.01)
        if any(process.poll() for process in started):
            for process in started:
                process.kill()
    statuses = [process.wait() for process in started]
    sys.exit(max(status if status >= 0 else 128 - status for status in statuses))


def scontrol(words):
    assert words[:2] == ["show", "hostnames"], words
    print("\n".join(words[2].split(",")))


if __name__ == "__main__":
    name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
    if name.endswith(".py"):
        run(Path(arguments[0]))
    else:
        with (HOME / "calls").open("a") as calls:
            calls.write(shlex.join([name, *arguments]) + "\n")
        {"sbatch": sbatch, "squeue": squeue, "sacct": sacct, "scancel": scancel, "srun": srun, "scontrol": scontrol}[
            name
        ](arguments)
