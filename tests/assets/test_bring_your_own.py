"""docs/bring_your_own.md: each example is written to a file, read as a recipe, and does its work in a stage.

Beside them a speech tokenizer of one's own. The example of a stage is run by tests/architecture/test_a_new_stage.py.
"""

import dataclasses
import importlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile
from fault_server import body, serving, wav

from spelangy_assets import lab
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import Dataset
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.installation import Installation
from spelangy_assets.recipes.registry import recipe_named
from spelangy_assets.recipes.sample import SEED, WORLD
from spelangy_assets.sample.sources import WorldSentences
from spelangy_assets.settings import Settings
from spelangy_assets.sources.questions import QuestionSource
from spelangy_assets.sources.texts import SourceUnavailable, TextSource
from spelangy_assets.store.fingerprint import module_digest
from spelangy_model.audio.tts import Voice
from spelangy_model.records import Chunk, Hypothesis, Metric, Recording, Script, Segment

DOCUMENT = (Path(__file__).resolve().parents[2] / "docs" / "bring_your_own.md").read_text()
EXAMPLES = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", DOCUMENT, re.DOTALL | re.MULTILINE))
RECIPES = [
    (file, name) for file, text in EXAMPLES.items() for name in re.findall(r"^([A-Z]+) = lab.Recipe", text, re.M)
]
LEVELS = '''"""A speech tokenizer of one's own."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spelangy_model.tokenizer.codec import CodecError, codec


@codec
@dataclass(frozen=True)
class Levels:
    """A speech tokenizer whose codes are loudness."""

    folder: str
    version: str = "1"
    model_type = "levels_of_a_test"

    def locate(self):
        if not Path(self.folder, "config.json").is_file():
            raise CodecError(f"{self.folder} holds no levels: make them")
        return Path(self.folder)

    @staticmethod
    def codebook_size_of(config):
        return config["levels"]

    @staticmethod
    def load(folder, device="cpu"):
        return Loudness(json.loads(Path(folder, "config.json").read_text())["levels"])


@dataclass(frozen=True)
class Loudness:
    codebook_size: int

    def encode(self, utterances):
        found = []
        for samples in utterances:
            frames = np.array_split(samples, -(-len(samples) // 1280))
            level = np.array([np.abs(frame).max() for frame in frames])
            found.append(np.minimum(level * self.codebook_size, self.codebook_size - 1).astype(np.int32))
        return found
'''
SENTENCE = "The ferry to the northern islands leaves the old harbour at seven in the morning on every working day. "


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import an example as the module that its file is."""
    for file, text in {**EXAMPLES, "my_codec.py": LEVELS}.items():
        (tmp_path / file).write_text(text)
        monkeypatch.delitem(sys.modules, file.removesuffix(".py"), raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    return importlib.import_module


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(Settings.at(tmp_path / "home", PARROT="here"))


def made(installation: Installation, wanted: Dataset, partition: str | None = None) -> Built:
    """Build a dataset with all that is above it."""
    graph = Recipe("own", wanted).graph
    for node in graph:
        at = partition if node.partition else None
        source = installation.source(node, at)
        built = build(
            installation.store,
            graph,
            node,
            at,
            execution=installation.execution(),
            log=lambda text: None,
            source=source,
        )
        assert built.verdict.accepted, (node.name, built.verdict.failures())
        if node.name == wanted.name:
            return built
    raise AssertionError(wanted.name)


@pytest.mark.parametrize(("file", "name"), RECIPES)
def test_an_example_is_a_recipe(own: Callable[[str], ModuleType], file: str, name: str, tmp_path: Path) -> None:
    assert len(recipe_named(f"{tmp_path / file}:{name}").graph) > 0


def test_the_recognizer_and_the_diarizer_process_recordings(
    own: Callable[[str], ModuleType], installation: Installation
) -> None:
    folder = installation.settings.snapshots / "audio" / "mine"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, 64_000)
    soundfile.write(folder / "a.wav", np.concatenate([noise, 0.01 * noise]), 16_000)
    ears, halves = own("my_asr"), own("my_diarizer")
    audio = lab.recordings({"mine": lab.Arriving()})
    turns = lab.segments(audio, diarizer=halves.Halves())
    words = made(installation, lab.hypotheses(audio, turns, (ears.LoudSeconds(),)), "mine").artifact
    printed = [row.text for row in words.records("hypotheses", Hypothesis)]
    assert printed == ["word word word word", ""]
    assert words.manifest.config["systems"][0]["type"] == "LoudSeconds"
    assert words.manifest.outside == {"my_asr": module_digest("my_asr")}
    segments = made(installation, turns, "mine").artifact.records("segments", Segment)
    assert [(row.start_s, row.end_s) for row in segments] == [(0.0, 4.0), (4.0, 8.0)]


def test_the_talks_are_fetched(
    own: Callable[[str], ModuleType], installation: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    talks = own("my_talks").talks
    assert talks.feeds
    head = DOCUMENT.partition("```\nurl,licence")[2].partition("\n")[0]
    with serving() as server:
        server.pages = {"/a.wav": body(wav(300))}
        (tmp_path / "talks.csv").write_text(f"url,licence{head}\n{server.url('/a.wav')},CC0-1.0,en,A tone\n")
        monkeypatch.chdir(tmp_path)
        here = dataclasses.replace(talks, feeds=(), private_networks=("127.0.0.2",))
        audio = made(installation, lab.recordings({"2026-11": here}), "2026-11").artifact
        (row,) = audio.records("recordings", Recording)
        assert (row.source_url, row.licence, row.language) == (server.url("/a.wav"), "CC0-1.0", "en")


def test_the_voice_speaks_and_your_own_speech_tokenizer_encodes_it(
    own: Callable[[str], ModuleType], installation: Installation, tmp_path: Path
) -> None:
    sentences = WorldSentences(world=WORLD, seed=SEED, kind="talk", count=3)
    voices = (Voice(name="hum", accent="none"),)
    speech = lab.tokenizer_speech(sentences, seed=SEED, voices=voices, synthesizer=own("my_voice").Hum())
    chunks = list(made(installation, speech).artifact.records("chunks", Chunk))
    assert len(chunks) == 3
    assert all(chunk.end_s == pytest.approx(0.1 * len(chunk.spoken_text), abs=0.01) for chunk in chunks)

    (tmp_path / "levels").mkdir()
    (tmp_path / "levels" / "config.json").write_text(json.dumps({"model_type": "levels_of_a_test", "levels": 50}))
    (tmp_path / "levels" / "model.safetensors").write_bytes(b"levels")
    levels = own("my_codec").Levels(str(tmp_path / "levels"))
    tokenizer = made(installation, lab.speech_tokenizer(speech, codec=levels)).artifact
    used = {row.metric: row.value for row in tokenizer.records("metrics", Metric)}
    assert 0.05 <= used["codebook.used_share"] < 1
    assert "round_trip.character_error_rate" not in used, "it has no head that reads its codes"


def test_the_language_model_is_asked(own: Callable[[str], ModuleType], installation: Installation) -> None:
    folder = installation.settings.snapshots / "pages" / "mine"
    folder.mkdir(parents=True)
    text = "".join(f"<p>{SENTENCE}{number} boats carry it.</p>" for number in range(8))
    (folder / "page.html").write_text(
        f"<html><head><title>Ferries</title></head><body><article>{text}</article></body></html>"
    )
    krist = lab.krist(lab.pages({"mine": lab.Arriving()}), model=own("my_client").Parrot())
    artifact = made(installation, krist, "mine").artifact
    (script,) = artifact.records("scripts", Script)
    assert "ferry to the northern islands" in script.lines[0].text
    assert artifact.manifest.counts.stats["model_answered"] == 1
    assert artifact.manifest.config["model"]["name"] == "parrot"


def test_the_benchmark_gives_questions(own: Callable[[str], ModuleType]) -> None:
    source = own("my_benchmark").Capitals()
    assert isinstance(source, QuestionSource)
    asked, dropped = source.read(0, {})
    assert [one.options[one.answer_index] for one in asked] == ["Paris", "Rome", "Madrid", "Lima"]
    assert dropped == {}


def test_the_texts_are_read_or_their_absence_is_reported(own: Callable[[str], ModuleType], tmp_path: Path) -> None:
    lines = own("my_texts").Lines
    (tmp_path / "corpus.txt").write_text("one\ntwo\n")
    source = lines(str(tmp_path / "corpus.txt"), "0" * 64)
    assert isinstance(source, TextSource)
    assert list(source.texts()) == ["one", "two"]
    with pytest.raises(SourceUnavailable, match="put the corpus there"):
        lines("nowhere.txt", "0" * 64).check()


def test_two_speech_tokenizers_of_one_model_type_are_refused(own: Callable[[str], ModuleType]) -> None:
    from spelangy_model.tokenizer.codec import codec

    class Another:
        model_type = own("my_codec").Levels.model_type

    with pytest.raises(ValueError, match="two speech tokenizers are of the model type 'levels_of_a_test'"):
        codec(Another)  # type: ignore[type-var]


def test_protocols_are_read_without_heavy_libraries() -> None:
    code = (
        "import sys, spelangy_model.audio.asr, spelangy_model.audio.diarization.protocol, spelangy_model.audio.tts, "
        "spelangy_model.tokenizer.codec, spelangy_model.text.llm; "
        "print([name for name in ('torch', 'transformers', 'TTS', 'openai') if name in sys.modules])"
    )
    printed: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "[]"
