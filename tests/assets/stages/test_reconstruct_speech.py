"""The sound of a tokenizer's codes: what is decoded, what a recognizer makes of it, and who cannot be decoded."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from spelangy_assets.execution.stage import Execution, InputError, StageContext
from spelangy_assets.quality.evaluate import evaluate
from spelangy_assets.stages import reconstruct_speech, speech_tokenizer, tokenizer_corpus
from spelangy_assets.stages.speech_tokenizer import held_out
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_model.audio.asr import WindowResult
from spelangy_model.audio.io import encode_flac
from spelangy_model.audio.windows import Window
from spelangy_model.audio.words import spread
from spelangy_model.records import Audio, Chunk, Metric

TEXTS = [f"word number {number} of many" for number in range(200)]
SAMPLES = 4000
# A window adds 3,200 samples of the pause after a sound, and the decoded sound has 1,120 more than the original.
LONGER = SAMPLES + 4000


@dataclasses.dataclass(frozen=True)
class Listener:
    """Writes the right text of an original and one wrong word for a decoded sound, which is longer by its last code."""

    version: ClassVar[str] = "1"
    name: str = "listener"
    joins_recordings: bool = True

    def locate(self, cache_dir: Path) -> Path:
        return cache_dir

    def load(self, cache_dir: Path, device: str = "cpu") -> "Listener":
        return self

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        results = []
        for window in windows:
            (piece,) = window.pieces  # each sound is recognized alone
            text = TEXTS[int(piece.segment_id)]
            words = spread(text if piece.length < LONGER else text.replace("word", "bird"), 0.0, 0.2)
            results.append(WindowResult(words, window.language, 1.0))
        return results


class Desk:
    """A store with speech, and what the stage makes of a tokenizer in it."""

    def __init__(self, folder: Path):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0)
        writer = self.writer("speech", tokenizer_corpus.TABLES)
        rng = np.random.default_rng(0)
        with writer.unit(0) as out:
            for number, text in enumerate(TEXTS):
                sound = encode_flac((0.1 * rng.standard_normal(SAMPLES)).astype(np.float32))
                audio = Audio(sound, "x.flac")
                row = Chunk(
                    str(number), f"d{number}", 0, "speech", "s", "", "", "A", "en-us", 0.0, 0.25, text, text, audio
                )
                out.write("chunks", [row])
        self.speech = self.commit("speech", writer)

    def writer(self, stage, tables):
        return self.store.writer(DatasetName("recipe", stage), Identity(stage, "1", "", None, [], "v1-key"), tables)

    def commit(self, stage, writer) -> Artifact:
        writer.commit()
        artifact = self.store.find(Address(stage), "v1-key")
        assert artifact is not None
        return artifact

    def tokenizer(self, folder: Path) -> Artifact:
        writer = self.writer("speech_tokenizer", {})
        with writer.unit(0) as out:
            out.write_folder(folder)
        return self.commit("speech_tokenizer", writer)

    def reconstruct(self, tokenizer: Artifact, **literals: int) -> Artifact:
        inputs = {"speech_tokenizer": tokenizer, "tokenizer_speech": self.speech}
        writer = self.writer("reconstruct_speech", reconstruct_speech.TABLES)
        context = StageContext(inputs, {}, writer, self.execution, None, None, lambda text: None)
        reconstruct_speech.run(context, reconstruct_speech.Config(Listener(), **literals))
        return self.commit("reconstruct_speech", writer)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "desk")


@pytest.fixture(scope="module")
def decodable(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch

    from spelangy_model.tokenizer.speech import SpeechTokenizer, preset_config, save_checkpoint

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("decodable")
    save_checkpoint(SpeechTokenizer(preset_config("tiny", decodable=True)).eval(), folder)
    return folder


def test_held_out_utterances_are_decoded_recognized_and_played(desk: Desk, decodable: Path):
    unseen = [text for text in TEXTS if held_out(text)]
    assert 2 < len(unseen) < 20
    made = desk.reconstruct(desk.tokenizer(decodable), shown_utterances=2)
    found = {metric.metric: metric for metric in made.records("metrics", Metric)}
    assert found["original.word_error_rate"].value == 0
    assert found["decoded.word_error_rate"].value == pytest.approx(1 / 5)
    assert found["decoded.word_error_rate"].count == 5 * len(unseen)
    assert found["decoded.errors_per_original_error"].value == np.inf
    assert found["decoded.mel_error_nats"].value > 0
    page = made.read_file(reconstruct_speech.PAGE).decode()
    assert page.count("<audio") == 4
    assert page.count("1 of 5 words wrong") == page.count("0 of 5 words wrong") == 2
    assert sum(text in page for text in unseen) == 2
    assert not any(text in page for text in set(TEXTS) - set(unseen))
    verdict = evaluate(made, reconstruct_speech.CONTRACT, reconstruct_speech.TABLES)
    assert verdict.passed
    again = Desk(desk.execution.cache_dir.parent / "again")
    assert again.reconstruct(again.tokenizer(decodable), shown_utterances=2).data_version == made.data_version
    few = Desk(desk.execution.cache_dir.parent / "few")
    (measured,) = {
        metric.count
        for metric in few.reconstruct(few.tokenizer(decodable), utterances=1, audio_bytes=0).records("metrics", Metric)
        if metric.metric == "decoded.word_error_rate"
    }
    assert measured == 5


def test_a_tokenizer_without_a_decoder_is_named_with_the_cure(desk: Desk, tmp_path: Path):
    for name, data in speech_tokenizer.shipped_checkpoint(speech_tokenizer.SHIPPED_SHA256).items():
        (tmp_path / "shipped").mkdir(exist_ok=True)
        (tmp_path / "shipped" / name).write_bytes(data)
    with pytest.raises(InputError, match=r"has no decoder, .*reconstruction_loss_weight"):
        desk.reconstruct(desk.tokenizer(tmp_path / "shipped"))
