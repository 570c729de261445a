"""Question files of one's own become spoken four-way sets; what is not as the recipe states is refused by name."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, InputError, PreflightError
from spelangy_assets.recipes.pins import pin
from spelangy_assets.sample.sources import SampleWorld
from spelangy_assets.sources.questions import Asked, QuestionSource
from spelangy_assets.sources.texts import SourceUnavailable
from spelangy_assets.stages import write_benchmark
from spelangy_assets.stages.write_benchmark import CONTRACT as QUESTIONS
from spelangy_assets.stages.write_benchmark import FOLDER_VARIABLE, QuestionSet
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.audio.tts.espeak import voices_of
from spelangy_model.eval.distractors import four_options
from spelangy_model.eval.question_files import QuestionFileError, digest_of_questions, read_questions
from spelangy_model.records import SpokenQuestion

RECORDED = (np.sin(np.arange(8000) / 20) / 4).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twenty questions: one is recorded, one has a broken recording, one has no options of its type beside it."""
    place = tmp_path / "benchmarks"
    place.mkdir()
    (place / "r.flac").write_bytes(encode_flac(RECORDED))
    (place / "broken.flac").write_bytes(b"no sound")
    records = [{"id": i, "question": f"Who was number {i}?", "answers": [f"Ann {chr(97 + i)}ee"]} for i in range(18)]
    records[0]["audio"], records[1]["audio"] = "r.flac", "broken.flac"
    records.append({"id": "year", "question": "When was it?", "answer": "1969"})
    (place / "own.jsonl").write_text("\n".join(map(json.dumps, records)))
    return place


def config_of(folder: Path, **changes) -> write_benchmark.Config:
    path = folder / "own.jsonl"
    chosen = QuestionSet("own", "jsonl", "own.jsonl", digest_of_questions(path, read_questions(path, "jsonl")))
    return write_benchmark.Config(
        sources=(dataclasses.replace(chosen, **changes),),
        trained_voices=voices_of(("en-us",)),
        held_out_voices=voices_of(("en-029",)),
        questions_per_unit=5,
    )


def built(folder: Path, config: write_benchmark.Config, environment: dict[str, str] | None = None) -> Built:
    node = Node(
        name="sqa_benchmarks",
        group="evals",
        description="d",
        stage=write_benchmark,
        config=config,
        contract=QUESTIONS,
    )
    store = ArtifactStore(folder.parent / "store", folder.parent / "cache")
    found = {FOLDER_VARIABLE: str(folder)} if environment is None else environment
    execution = Execution(folder.parent / "cache", lambda *_: None, environment=found)
    return build(store, Graph("recipe", [node]), node, None, execution)


def test_a_set_is_spoken_in_both_groups_of_voices_or_used_as_recorded(folder: Path) -> None:
    artifact = built(folder, config_of(folder)).artifact
    rows = list(artifact.records("questions", SpokenQuestion))
    assert artifact.manifest.counts.dropped == {"no_distractors": 1, "undecodable": 1}
    by_text: dict[str, list[SpokenQuestion]] = {}
    for row in rows:
        by_text.setdefault(row.question, []).append(row)
        assert (row.benchmark, row.split, row.relation) == ("own", "test", "person")
        assert len(set(row.options)) == 4
        assert row.options[row.answer_index] == f"Ann {chr(97 + int(row.question[15:-1]))}ee"
    (recorded,) = by_text.pop("Who was number 0?")
    assert (recorded.accent, recorded.voice) == ("recorded", "recorded")
    assert decode_flac(recorded.audio.bytes) == pytest.approx(RECORDED, abs=1e-4)
    assert len(by_text) == 16
    for twins in by_text.values():
        assert {row.accent for row in twins} == {"en-us", "en-029"}
        assert len({row.text_id for row in twins}) == 1
        assert len({tuple(row.options) for row in twins}) == 1


def test_a_part_of_a_set_has_the_options_of_the_whole(folder: Path) -> None:
    whole = {
        row.question_id: row.options
        for row in built(folder, config_of(folder)).artifact.records("questions", SpokenQuestion)
    }
    part = list(built(folder, config_of(folder, max_questions=6)).artifact.records("questions", SpokenQuestion))
    assert 6 <= len(part) <= 12
    assert all(sorted(whole[row.question_id]) == sorted(row.options) for row in part)


def test_what_the_recipe_does_not_mean_is_refused_with_the_cure(folder: Path) -> None:
    with pytest.raises(PreflightError, match=f"set {FOLDER_VARIABLE} to its folder"):
        built(folder, config_of(folder), {})
    with pytest.raises(PreflightError, match=r"own\.jsonl: its questions and recordings have the digest"):
        built(folder, config_of(folder, digest="0"))
    with pytest.raises(PreflightError, match=r"none\.jsonl: no such file"):
        built(folder, config_of(folder, path="none.jsonl"))


def test_a_recipe_that_names_no_source_of_questions_is_refused_when_it_is_read() -> None:
    with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: questions: name at least one source"):
        write_benchmark.questions()


@dataclasses.dataclass(frozen=True)
class GivenQuestions:
    """A source of questions from outside of the package: its literals are all that it has."""

    version: ClassVar[str] = "1"
    number: int
    missing: str = ""

    def check(self, environment: Mapping[str, str]) -> None:
        if self.missing:
            raise SourceUnavailable(self.missing)

    def read(self, seed: int, environment: Mapping[str, str]) -> tuple[list[Asked], dict[str, int]]:
        self.check(environment)
        options = ("one", "two", "three", "four")
        return [
            Asked("given", f"g{index}", "test", f"How many are {index}?", options, (index + seed) % 4, "count")
            for index in range(self.number)
        ], {"unanswerable": 1}


def test_questions_of_several_sources_are_spoken_in_the_order_of_the_sources(folder: Path) -> None:
    config = config_of(folder, max_questions=2)
    config = dataclasses.replace(config, sources=(GivenQuestions(2), *config.sources), seed=1)
    artifact = built(folder, config).artifact
    rows = list(artifact.records("questions", SpokenQuestion))
    assert [row.benchmark for row in rows[:4]] == ["given"] * 4
    assert {row.benchmark for row in rows[4:]} == {"own"}
    assert [(row.text_id, row.split, row.answer_index, row.relation) for row in rows[:4:2]] == [
        ("g0", "test", 1, "count"),
        ("g1", "test", 2, "count"),
    ]
    assert artifact.manifest.counts.dropped["unanswerable"] == 1


def test_a_source_that_is_not_there_is_refused_before_work_and_one_that_leaves_stops_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = dataclasses.replace(config_of(folder), sources=(GivenQuestions(1, missing="put the list into its place"),))
    with pytest.raises(PreflightError, match="the benchmark: put the list into its place"):
        built(folder, config)
    monkeypatch.setattr(write_benchmark, "preflight", lambda config, execution: None)
    with pytest.raises(InputError, match="put the list into its place"):
        built(folder, config)


def test_sources_of_the_package_fit_their_protocols() -> None:
    assert isinstance(GivenQuestions(1), QuestionSource)
    assert isinstance(QuestionSet("own", "jsonl", "own.jsonl", "0"), QuestionSource)
    assert isinstance(SampleWorld(world="x"), QuestionSource)


def test_a_set_without_a_digest_is_refused_with_the_one_to_state(folder: Path) -> None:
    with pytest.raises(PreflightError, match=r"have the digest [0-9a-f]{64}, the recipe states none"):
        built(folder, config_of(folder, digest=""))


def test_the_papers_sets_are_named_with_how_to_get_them_all_at_once(tmp_path: Path, execution: Execution) -> None:
    from spelangy_assets.recipes.published import SPOKEN_QUESTIONS

    config = write_benchmark.Config(SPOKEN_QUESTIONS, voices_of(("en-us",)), voices_of(("en-029",)))
    for environment in ({}, {FOLDER_VARIABLE: str(tmp_path)}):
        with pytest.raises(PreflightError) as raised:
            write_benchmark.preflight(config, dataclasses.replace(execution, environment=environment))
        printed = list(map(str, raised.value.args))
        assert len(printed) == 3
        for name, place, words in zip(
            ("spoken-webquestions", "spoken-triviaqa", "spoken-llama-questions"),
            ("web_questions", "trivia_qa", "llama_questions"),
            printed,
            strict=True,
        ):
            assert f"the question set {name!r}" in words
            assert f"OpenAudioBench/eval_datas/{place}/{place}.csv" in words
            assert "hf download baichuan-inc/OpenAudioBench --repo-type dataset" in words


def test_the_layouts_of_the_papers_sets_and_of_spoken_twins_are_read(tmp_path: Path) -> None:
    sound = encode_flac(RECORDED)
    for folder, head, answer in (
        ("web_questions", "Questions,Answer,audio_filename", "\"['Ann', 'Anna']\""),
        ("trivia_qa", "question,answers,audio_filename", '"[""Ann"", ""Anna""]"'),
        ("llama_questions", "Questions,Answer,Wav Filename", "Ann"),
    ):
        place = tmp_path / folder
        (place / "audios").mkdir(parents=True)
        (place / "audios" / "q_0.flac").write_bytes(sound)
        (place / f"{folder}.csv").write_text(f"{head}\nWho was it?,{answer},q_0.flac\n")
        (question,) = read_questions(place / f"{folder}.csv", "table")
        assert (question.question, question.answers[0]) == ("Who was it?", "Ann")
        assert question.audio == place / "audios" / "q_0.flac"
    (tmp_path / "twin.flac").write_bytes(sound)
    twin = {"question": "Which is it?", "choices": ["C", "C++", "C#", "B"], "subject": "cs", "audio": "twin.flac"}
    (tmp_path / "mmlu.jsonl").write_text("\n".join(json.dumps({**twin, "answer": one}) for one in (1, "C", 3)))
    twins = read_questions(tmp_path / "mmlu.jsonl", "mmlu")
    assert [one.answers for one in twins] == [("C++",), ("C#",), ("B",)]
    assert {(one.question, one.relation, one.audio) for one in twins} == {
        ("Which is it?", "cs", tmp_path / "twin.flac")
    }
    for wrong, message in ((4, "'answer' is 0 to 3 or A to D, not 4"), (None, "not None"), (True, "not True")):
        (tmp_path / "mmlu.jsonl").write_text(json.dumps({**twin, "answer": wrong}))
        with pytest.raises(QuestionFileError, match=rf"mmlu\.jsonl: line 1: .*{message}"):
            read_questions(tmp_path / "mmlu.jsonl", "mmlu")


def test_options_that_differ_in_signs_alone_stay_and_those_that_differ_in_case_go(tmp_path: Path) -> None:
    rows = [
        {"question": "Which has classes?", "answer": "C++", "options": ["C", "C++", "C#", "B"]},
        {"question": "What is 2 + 3?", "answer": "+5", "options": ["+5", "-5", "5.0", "6"]},
        {"question": "Where?", "answer": "Rome", "options": ["Rome", "rome ", "Paris", "Oslo"]},
    ]
    (tmp_path / "own.jsonl").write_text("\n".join(map(json.dumps, rows)))
    kept, dropped = four_options(read_questions(tmp_path / "own.jsonl", "jsonl"), 0)
    assert [set(one.options) for one in kept] == [set(rows[0]["options"]), set(rows[1]["options"])]
    assert dropped == {"no_distractors": 1}


def test_names_that_would_not_stand_in_a_metric_and_names_given_twice_are_refused() -> None:
    for name in ("all", "mean", "Own", "a.b", ""):
        with pytest.raises(ValueError, match="of a question set is part of metric names"):
            QuestionSet(name, "jsonl", "own.jsonl", "0")
    one = QuestionSet("own", "jsonl", "own.jsonl", "0")
    with pytest.raises(RecipeError, match="two question sets are called 'own'"):
        write_benchmark.questions(one, one, trained_voices=(), held_out_voices=())


def test_the_command_prints_the_line_for_a_recipe(folder: Path, monkeypatch, capsys) -> None:
    from spelangy_assets.cli.main import main

    monkeypatch.setenv(FOLDER_VARIABLE, str(folder.parent))
    assert main(["questions", str(folder / "own.jsonl"), "--format", "jsonl"]) == 0
    digest = digest_of_questions(folder / "own.jsonl", read_questions(folder / "own.jsonl", "jsonl"))
    printed = capsys.readouterr().out
    assert "19 questions, 2 with a recording" in printed
    assert f'lab.QuestionSet("own", "jsonl", "benchmarks/own.jsonl", "{digest}")' in printed


def test_a_digest_is_pinned_by_a_file_of_the_installation(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("SPELANGY_PINS", raising=False)
    assert pin("own") == ""
    monkeypatch.setenv("SPELANGY_PINS", str(tmp_path / "pins.json"))
    (tmp_path / "pins.json").write_text('{"own": "abc", "odd": 3}')
    assert (pin("own"), pin("other")) == ("abc", "")
    with pytest.raises(ValueError, match=r"pins\.json: 'odd' is 3, not a digest"):
        pin("odd")
