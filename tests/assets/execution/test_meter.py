"""How far a build is, in one line: units, what is done of the present one, and the time that the rest takes."""

import threading
from typing import Any

import pytest

from spelangy_assets.execution.build import build
from spelangy_assets.execution.graph import Graph
from spelangy_assets.execution.meter import Meter, now_and_then, watched
from spelangy_assets.execution.stage import StageContext
from spelangy_model.progress import Standing
from spelangy_model.records import Metric


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def standings() -> list[Standing]:
    return []


def test_units_and_what_is_done_of_the_present_one_make_one_share(clock: Clock, standings: list[Standing]):
    meter = Meter(standings.append, clock)
    meter.units(0, 4)
    clock.now = 60
    meter.units(1, 4)
    assert standings[-1].line == "1 of 4 units, 25%: 60.0 s passed, about 3.0 min left"
    clock.now = 90
    meter.part(200, 400, "steps")
    assert standings[-1].line == "1 of 4 units, 200 of 400 steps, 38%: 90.0 s passed, about 2.5 min left"
    meter.units(2, 4)
    assert (standings[-1].share, standings[-1].text) == (0.5, "2 of 4 units")


def test_a_build_of_one_unit_speaks_of_its_parts_alone(clock: Clock, standings: list[Standing]):
    meter = Meter(standings.append, clock)
    meter.units(0, 1)
    assert standings[-1].line == "0%: 0.0 s passed, no rate yet"
    clock.now = 10
    meter.part(25, 100, "steps")
    assert standings[-1].line == "25 of 100 steps, 25%: 10.0 s passed, about 30.0 s left"


def test_what_was_done_before_a_kill_is_not_taken_for_speed(clock: Clock, standings: list[Standing]):
    meter = Meter(standings.append, clock)
    meter.units(8, 10)
    assert standings[-1].left_s is None
    clock.now = 5
    meter.units(9, 10)
    assert standings[-1].left_s == pytest.approx(5)


def test_work_that_goes_back_to_its_checkpoint_starts_its_rate_there(clock: Clock, standings: list[Standing]):
    meter = Meter(standings.append, clock)
    meter.part(130, 200, "steps")
    clock.now = 4
    meter.part(100, 200, "steps")
    clock.now = 14
    meter.part(150, 200, "steps")
    assert standings[-1].left_s == pytest.approx(10)


def test_a_log_gets_a_line_now_and_then_and_a_terminal_one_at_once(clock: Clock):
    logged: list[float] = []
    shown: list[float] = []
    log = now_and_then(30, lambda one: logged.append(clock.now), clock=clock)
    show = now_and_then(0.5, lambda one: shown.append(clock.now), at_once=True, clock=clock)
    one = Standing(0.1, "", 1.0, 9.0)
    for clock.now in (0.0, 0.2, 0.6, 29.0, 31.0, 59.0, 62.0):
        log(one)
        show(one)
    assert (logged, shown) == ([31.0, 62.0], [0.0, 0.6, 29.0, 31.0, 59.0, 62.0])


def test_a_process_of_its_own_is_watched_by_what_it_has_done():
    reached, reports = threading.Event(), []

    def progress(done: float, total: float, what: str) -> None:
        reports.append((done, total, what))
        if done == 3:
            reached.set()

    steps = iter([1, 1, 2, 3])
    with watched(lambda: next(steps, 3), 3, "steps", progress, every_s=0.001):
        assert reached.wait(10)
    assert reports == [(1, 3, "steps"), (2, 3, "steps"), (3, 3, "steps")]


def test_a_build_says_how_far_it_is_and_counts_what_a_killed_one_left(toys: Any, store: Any, execution: Any):
    def run(ctx: StageContext, config: Any) -> None:
        for unit, value in ctx.out.pending([1.0, 2.0]):
            with ctx.out.unit(unit) as out:
                ctx.progress(1, 2, "windows")
                if value in fails:
                    raise KeyboardInterrupt
                out.write("metrics", [Metric("a", f"m{unit}", value, value, value, 1)])

    node = toys.node(stage=toys.make_stage(run))
    graph = Graph("recipe", [node])
    fails = [2.0]
    first: list[Standing] = []
    with pytest.raises(KeyboardInterrupt):
        build(store, graph, node, None, execution, on_standing=first.append)
    assert [(one.share, one.text) for one in first] == [
        (0.0, "0 of 2 units"),
        (0.25, "0 of 2 units, 1 of 2 windows"),
        (0.5, "1 of 2 units"),
        (0.75, "1 of 2 units, 1 of 2 windows"),
    ]
    fails.clear()
    second: list[Standing] = []
    build(store, graph, node, None, execution, on_standing=second.append)
    assert [one.share for one in second] == [0.5, 0.75, 1.0]
