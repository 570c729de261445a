"""The judge of pairs is asked in both orders: what follows the place of an answer is no preference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar, Literal

import pytest

from spelangy_assets import lab
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset
from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.stages import prefer_answers
from spelangy_assets.stages.prefer_answers import PreferredAnswer, preferred_answers
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.records import GeneratedAnswer, Metric
from spelangy_model.text.llm import Ledger, Prompt, Reply


@dataclass(frozen=True)
class Biased:
    """A judge that prefers the first place, or the longer answer; of an answer "unreadable" it gives no reply."""

    version: ClassVar[str] = "1"
    prefers: Literal["place", "length"] = "length"
    name: str = "biased"

    def locate(self, environment: Mapping[str, str]) -> None:
        pass

    def load(self, environment: Mapping[str, str], cache_dir: Path) -> BiasedClient:
        return BiasedClient(self)


class BiasedClient:
    """What Biased loads."""

    left_out: Sequence[str] = ()

    def __init__(self, model: Biased):
        self.model = model
        self.ledger = Ledger()

    def ask_all(self, prompt: Prompt, fillings: Sequence[Mapping[str, str]]) -> list[Reply]:
        return [self._reply(prompt, **filling) for filling in fillings]

    def _reply(self, prompt: Prompt, **filling: str) -> Reply:
        text = prompt.fill(**filling)
        assert text.index(f"First reply: {filling['first']}") < text.index(f"Second reply: {filling['second']}")
        if "unreadable" in filling.values():
            return Reply(None, "not_json", "no JSON")
        first, second = len(filling["first"]), len(filling["second"])
        longer = "first" if first > second else "second" if second > first else "neither"
        return Reply({"reason": "its length", "better": "first" if self.model.prefers == "place" else longer})


@dataclass(frozen=True)
class GivenAnswers:
    """The answers that a toy stage writes, by question."""

    version: ClassVar[str] = "1"
    answers: tuple[str, ...] = ()


def write(ctx: StageContext, config: GivenAnswers) -> None:
    for unit, _ in ctx.out.pending([0]):
        with ctx.out.unit(unit) as out:
            for index, answer in enumerate(config.answers):
                out.read(1)
                names = (f"q{index}", f"t{index}", f"e{index % 4}", "own", "test", "en-us")
                out.write("answers", [GeneratedAnswer(*names, "speech", "Who?", "Nina", answer, 1, True)])
                written = (f"t{index}", *names[1:5], "")
                out.write("answers", [GeneratedAnswer(*written, "text", "Who?", "Nina", answer, 1, True)])


def answers_named(name: str, *answers: str) -> Dataset:
    stage = ModuleType("toy_answers")
    contract = Contract("answers", "SELECT count(*) AS answers FROM answers", (Bound("answers", 1),))
    vars(stage).update(
        VERSION="1",
        Config=GivenAnswers,
        TABLES={"answers": GeneratedAnswer},
        KIND=DatasetKind(group="g", description="d", contract=contract),
        preflight=lambda config, execution: None,
        run=write,
    )
    return dataset(stage, GivenAnswers(answers), name=name)


def asked(folder: Path, first: Dataset, second: Dataset, judge: Any) -> Built:
    leaf = preferred_answers(first, second, None, prefer_answers.Config(judge))
    graph = lab.Recipe("recipe", leaf).graph
    store = ArtifactStore(folder / "store", folder / "cache")
    execution = Execution(folder / "cache", lambda *_: None)
    return [build(store, graph, node, None, execution) for node in graph][-1]


FIRST = answers_named("one", "a longer answer", "short", "alike", "unreadable", "the longest of all", "x")
SECOND = answers_named("other", "short", "a longer answer", "alike", "fine", "short", "y")


def test_a_preference_holds_in_both_orders(tmp_path: Path) -> None:
    found = asked(tmp_path, FIRST, SECOND, Biased())
    rows = {row.question_id: row for row in found.artifact.records("preferred", PreferredAnswer)}
    assert {one: row.preferred for one, row in rows.items()} == {
        "q0": "first",
        "q1": "second",
        "q2": "neither",
        "q4": "first",
        "q5": "neither",
    }
    assert (rows["q2"].in_order, rows["q2"].turned) == ("", "")  # equal answers are not asked about
    assert found.artifact.manifest.counts.dropped == {"judge_failed_not_json": 1}
    metrics = {row.metric: row.value for row in found.artifact.records("metrics", Metric)}
    assert metrics["preference.win_rate"] == pytest.approx((1 + 0 + 0.5 + 1 + 0.5) / 5)
    assert metrics["preference.place_share"] == 0.0


def test_what_follows_the_place_of_an_answer_is_no_preference(tmp_path: Path) -> None:
    found = asked(tmp_path, FIRST, SECOND, Biased(prefers="place"))
    rows = list(found.artifact.records("preferred", PreferredAnswer))
    assert {row.preferred for row in rows} == {"neither"}
    metrics = {row.metric: row.value for row in found.artifact.records("metrics", Metric)}
    assert metrics["preference.win_rate"] == 0.5
    assert metrics["preference.place_share"] == pytest.approx(4 / 5)


def test_answers_to_other_questions_are_not_compared(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the two runs answered other questions"):
        asked(tmp_path, FIRST, answers_named("fewer", "short"), Biased())
