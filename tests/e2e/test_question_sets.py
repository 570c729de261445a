"""The paper's three question sets in OpenAudioBench's layout: runs of tiny, by likelihood and by generated answers."""

from __future__ import annotations

import csv
import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from fault_server import wav

from spelangy_assets import lab
from spelangy_assets.execution.build import build
from spelangy_assets.execution.targets import required_targets
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.sample import TINY
from spelangy_assets.recipes.sample_parts import ASKING, SEED, WHISPER_TINY
from spelangy_assets.settings import Settings
from spelangy_assets.stages.judge_answers import JudgedAnswer
from spelangy_model.eval.question_files import digest_of_questions, read_questions
from spelangy_model.eval.systems import Cascade
from spelangy_model.records import Metric
from spelangy_model.text.llm import LanguageModel

pytestmark = [pytest.mark.slow, pytest.mark.nightly]

PEOPLE = ("Ann Lee", "Bo Berg", "Cy Holm", "Di Ray", "Ed Stone", "Flo Hill", "Gus Wood", "Hal Fox")
PLACES = ("Norway", "Chile", "Ghana", "Nepal", "Fiji", "Malta", "Cuba", "Qatar")
# By set: the header of its table, its questions, its answers. One lists its aliases in JSON, one as pandas writes them.
SETS = {
    "web_questions": (
        ("question", "answers", "audio_filename"),
        [(f"who wrote book number {i}?", json.dumps([one, one.split()[1]])) for i, one in enumerate(PEOPLE)],
    ),
    "trivia_qa": (
        ("question", "answer", "audio_filename"),
        [(f"Which country has peak number {i}?", f"['{one}' 'Republic of {one}']") for i, one in enumerate(PLACES)],
    ),
    "llama_questions": (
        ("Questions", "Answer", "audio_filename"),
        [(f"In which year was treaty number {i}?", str(1900 + 7 * i)) for i in range(8)],
    ),
}
NAMES = ("spoken-webquestions", "spoken-triviaqa", "spoken-llama-questions")


def published(folder: Path) -> tuple[lab.QuestionSet, ...]:
    """Write the three sets as they are published, small, and return them as a recipe names them."""
    sets = []
    for number, (name, (set_name, (header, rows))) in enumerate(zip(NAMES, SETS.items(), strict=True)):
        place = folder / "OpenAudioBench" / "eval_datas" / set_name
        (place / "audios").mkdir(parents=True)
        path = place / f"{set_name}.csv"
        with path.open("w", newline="") as stream:
            table = csv.writer(stream)
            table.writerow(header)
            for index, row in enumerate(rows):
                (place / "audios" / f"{index}.wav").write_bytes(wav(200 + 50 * index + 7 * number, 1.0))
                table.writerow([*row, f"{index}.wav"])
        digest = digest_of_questions(path, read_questions(path, "table"))
        sets.append(lab.QuestionSet(name, "table", str(path.relative_to(folder)), digest))
    return tuple(sets)


@contextmanager
def judging_server() -> Iterator[dict[str, str]]:
    """Serve a judge that calls every answer right that has a vowel in its first word; yield its environment."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format, *args):
            pass

        def do_POST(self):
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = request["messages"][0]["content"].rpartition("Answer: ")[2]
            verdict = {"reason": "It has a vowel.", "right": vowel_first(answer)}
            message = {"role": "assistant", "content": json.dumps(verdict)}
            body = {"id": "1", "object": "chat.completion", "created": 0, "model": "judge"}
            body["choices"] = [{"index": 0, "finish_reason": "stop", "message": message}]
            data = json.dumps(body).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield {
            "SPELANGY_LLM_BASE_URL": f"http://127.0.0.1:{server.server_address[1]}/v1",
            "SPELANGY_LLM_API_KEY": "sk-test",
        }
    finally:
        server.shutdown()
        server.server_close()


def vowel_first(answer: str) -> bool:
    return bool(set("aeiou") & set(answer.split()[0].lower()))


def test_three_published_sets_give_three_tables_and_one_mean_by_likelihood_and_in_words(
    tiny_home: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    shutil.copytree(tiny_home, home)
    questions = lab.questions(*published(tmp_path / "benchmarks"), name="published", **ASKING)
    board = lab.leaderboard(
        {"fine": TINY["run_fine"], "quest": TINY["run_quest"]},
        questions,
        systems=(lab.system(questions, Cascade(WHISPER_TINY), name="cascade", text_lm=TINY["base_lm"]),),
        judging=lab.Judging(
            evaluation={"seed": SEED},
            topics=None,
            generation=lab.Generation(max_answer_tokens=8, judge=LanguageModel(name="judge")),
        ),
        name="published_board",
    )
    recipe = lab.Recipe("published", board)
    with judging_server() as environment:
        settings = Settings.at(home, SPELANGY_BENCHMARKS=str(tmp_path / "benchmarks"), **environment)
        installation = Installation(settings)
        built = {}
        for name, partition in required_targets(recipe.graph):
            node = recipe.graph[name]
            source = installation.source(node, partition)
            built[name] = build(
                installation.store, recipe.graph, node, partition, installation.execution(), source=source
            )
    assert {name for name, one in built.items() if one.cached} >= {"run_fine", "run_quest", "base_lm"}
    assert [f for one in built.values() for f in one.verdict.failures() if f.severity == "block"] == []

    metrics = {
        (metric.subject, metric.metric): metric
        for metric in built["published_board"].artifact.records("metrics", Metric)
    }
    for run in ("fine", "quest"):
        for kind in ("sqa", "text_qa"):
            for value in ("accuracy", "generated.accuracy", "generated.exact_match", "generated.judged"):
                several = [metrics[run, f"{kind}.{name}.{value}"] for name in NAMES]
                assert [one.count for one in several] == [8, 8, 8]
                mean = metrics[run, f"{kind}.mean.{value}"]
                assert mean.value == pytest.approx(sum(one.value for one in several) / 3)
                assert mean.low <= mean.value <= mean.high
        rows = list(built[f"judged_{run}"].artifact.records("judged", JudgedAnswer))
        assert len(rows) == 48
        assert all(row.judgement == ("right" if row.answer and vowel_first(row.answer) else "wrong") for row in rows)
    assert ("cascade", "sqa.mean.generated.judged") in metrics
    accepted = built["published_accepted"].artifact.table("accepted").to_pylist()
    assert {"Norway", "Republic of Norway"} in [set(row["answers"]) for row in accepted]

    page = built["published_board"].artifact.read_file("leaderboard.html").decode()
    for name in NAMES:
        assert f"<h2>Benchmark {name}</h2>" in page
        assert f"<h2>Benchmark {name}, generated answers</h2>" in page
    assert "spoken QA, mean (%)" in page
    assert "spoken QA, mean generated (%)" in page
