"""One recognizer, diarizer, synthesizer, speech tokenizer and language model from a file outside of the packages.

Each is a frozen dataclass with a `version` and the methods of its protocol, and is run by the stage that names it.
"""

import importlib
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_assets import lab
from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import Dataset
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.orchestration.laboratory import Laboratory
from spelangy_assets.recipes.sample import SEED, WORLD
from spelangy_assets.sample.sources import WorldSentences
from spelangy_assets.settings import Settings
from spelangy_assets.store.fingerprint import module_digest
from spelangy_model.audio.tts import Voice
from spelangy_model.records import Chunk, Hypothesis, Metric, Script, Segment

MODULE = '''"""Models of one's own."""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from spelangy_model.audio.asr import WindowResult
from spelangy_model.audio.turns import Turn
from spelangy_model.records import Word
from spelangy_model.text.llm import Ledger, Reply
from spelangy_model.tokenizer.codec import CodecError, codec


@dataclass(frozen=True)
class Ears:
    """A recognizer that writes how loud each second is."""

    name: str = "ears"
    version: str = "1"
    joins_recordings: bool = False

    def locate(self, cache_dir):
        return cache_dir

    def load(self, cache_dir, device="cpu"):
        return self

    def recognize(self, windows):
        return [WindowResult([self.word(window.samples, s) for s in range(len(window.samples) // 16_000)], "en", 1.0)
                for window in windows]

    def word(self, samples, second):
        loud = np.abs(samples[second * 16_000 : (second + 1) * 16_000]).max() > 0.05
        return Word("loud" if loud else "quiet", second + 0.1, second + 0.9, 0.9)


@dataclass(frozen=True)
class Halves:
    """A diarizer that gives each half of a recording to another speaker."""

    version: str = "1"

    def locate(self, environment):
        pass

    def load(self, environment, device="cpu"):
        return self

    def diarize(self, samples):
        middle, end = len(samples) / 32_000, len(samples) / 16_000
        return [Turn(0.0, middle, "a"), Turn(middle, end, "b")]


@dataclass(frozen=True)
class Hum:
    """A synthesizer that hums a tenth of a second a character."""

    hertz: float = 220.0
    version: str = "1"

    def locate(self, voices):
        pass

    def load(self, cache_dir, device="cpu"):
        return self

    def speak(self, text, voice):
        seconds = np.arange(int(0.1 * len(text) * 16_000)) / 16_000
        swell = 0.05 + 0.45 * np.abs(np.sin(seconds))  # a tokenizer of one code would break its contract
        return (swell * np.sin(2 * np.pi * self.hertz * seconds)).astype(np.float32)


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


@dataclass(frozen=True)
class Parrot:
    """A language model that gives the page back."""

    name: str = "parrot"
    version: str = "1"

    def locate(self, environment):
        if environment.get("PARROT") != "here":
            raise ValueError("PARROT is not set: set it to here")

    def load(self, environment, cache_dir):
        return Client(self)


class Client:
    left_out = ()

    def __init__(self, model):
        self.model, self.ledger = model, Ledger()

    def ask_all(self, prompt, fillings):
        self.ledger.answered += len(fillings)
        return [Reply({"text": filling["text"]}) for filling in fillings]
'''
SENTENCE = "The ferry to the northern islands leaves the old harbour at seven in the morning on every working day. "


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "models_of_ones_own.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "models_of_ones_own", raising=False)
    importlib.invalidate_caches()
    return importlib.import_module("models_of_ones_own")


@pytest.fixture
def laboratory(tmp_path: Path) -> Laboratory:
    return Laboratory(Settings.at(tmp_path / "home", PARROT="here"))


def made(laboratory: Laboratory, wanted: Dataset, partition: str | None = None) -> Built:
    """Build a dataset with all that is above it."""
    graph = Recipe("own", wanted).graph
    for node in graph:
        at = partition if node.partition else None
        source = laboratory.source(node, at)
        built = build(
            laboratory.store, graph, node, at, execution=laboratory.execution(), log=lambda text: None, source=source
        )
        assert built.verdict.accepted, (node.name, built.verdict.failures())
        if node.name == wanted.name:
            return built
    raise AssertionError(wanted.name)


def test_a_recognizer_and_a_diarizer_of_ones_own_hear_recordings(own: ModuleType, laboratory: Laboratory) -> None:
    folder = laboratory.settings.snapshots / "audio" / "mine"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).uniform(-0.2, 0.2, 64_000)
    soundfile.write(folder / "a.wav", np.concatenate([noise, 0.1 * noise]), 16_000)
    audio = lab.recordings({"mine": lab.Arriving()})
    turns = lab.segments(audio, diarizer=own.Halves())
    words = made(laboratory, lab.hypotheses(audio, turns, (own.Ears(),)), "mine").artifact
    said = [set(row.text.split()) for row in words.records("hypotheses", Hypothesis)]
    assert said == [{"loud"}, {"quiet"}]
    assert words.manifest.config["systems"][0]["type"] == "Ears"
    assert words.manifest.outside == {own.__name__: module_digest(own.__name__)}
    segments = made(laboratory, turns, "mine").artifact.records("segments", Segment)
    assert [(row.start_s, row.end_s) for row in segments] == [(0.0, 4.0), (4.0, 8.0)]


def test_a_synthesizer_and_a_speech_tokenizer_of_ones_own_speak_and_hear(
    own: ModuleType, laboratory: Laboratory, tmp_path: Path
) -> None:
    sentences = WorldSentences(world=WORLD, seed=SEED, kind="talk", count=3)
    voices = (Voice(name="hum", accent="none"),)
    speech = lab.tokenizer_speech(sentences, seed=SEED, voices=voices, synthesizer=own.Hum())
    chunks = list(made(laboratory, speech).artifact.records("chunks", Chunk))
    assert len(chunks) == 3
    assert all(chunk.end_s == pytest.approx(0.1 * len(chunk.spoken_text), abs=0.01) for chunk in chunks)

    (tmp_path / "levels").mkdir()
    (tmp_path / "levels" / "config.json").write_text(json.dumps({"model_type": "levels_of_a_test", "levels": 50}))
    (tmp_path / "levels" / "model.safetensors").write_bytes(b"levels")
    tokenizer = made(laboratory, lab.speech_tokenizer(speech, codec=own.Levels(str(tmp_path / "levels")))).artifact
    used = {row.metric: row.value for row in tokenizer.records("metrics", Metric)}
    assert 0.05 <= used["codebook.used_share"] < 1
    assert "round_trip.character_error_rate" not in used, "it has no head that reads its codes"


def test_a_language_model_of_ones_own_is_asked(own: ModuleType, laboratory: Laboratory) -> None:
    folder = laboratory.settings.snapshots / "pages" / "mine"
    folder.mkdir(parents=True)
    text = "".join(f"<p>{SENTENCE}{number} boats carry it.</p>" for number in range(8))
    (folder / "page.html").write_text(
        f"<html><head><title>Ferries</title></head><body><article>{text}</article></body></html>"
    )
    krist = lab.krist(lab.pages({"mine": lab.Arriving()}), model=own.Parrot())
    artifact = made(laboratory, krist, "mine").artifact
    (script,) = artifact.records("scripts", Script)
    assert "ferry to the northern islands" in script.lines[0].text
    assert artifact.manifest.counts.stats["model_answered"] == 1
    assert artifact.manifest.config["model"]["name"] == "parrot"


def test_two_speech_tokenizers_of_one_model_type_are_refused(own: ModuleType) -> None:
    from spelangy_model.tokenizer.codec import codec

    class Another:
        model_type = own.Levels.model_type

    with pytest.raises(ValueError, match="two speech tokenizers are of the model type 'levels_of_a_test'"):
        codec(Another)  # type: ignore[type-var]


def test_protocols_are_read_without_heavy_libraries() -> None:
    code = (
        "import sys, spelangy_model.audio.asr, spelangy_model.audio.diarization.protocol, spelangy_model.audio.tts, "
        "spelangy_model.tokenizer.codec, spelangy_model.text.llm; "
        "print([name for name in ('torch', 'transformers', 'TTS', 'openai') if name in sys.modules])"
    )
    said: Any = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
