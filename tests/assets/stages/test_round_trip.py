"""Speech is recognized again: a good voice passes, a bad one is dropped with its chunks, wholly bad speech fails."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.quality.evaluate import evaluate
from spelangy_assets.stages import round_trip, speak
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity, StoreError
from spelangy_assets.store.manifest import Verdict
from spelangy_model.audio.asr import FasterWhisper, WindowResult
from spelangy_model.audio.io import SAMPLE_RATE_HZ, encode_flac
from spelangy_model.audio.tts.espeak import EspeakSynthesizer, voices_of
from spelangy_model.audio.tts.protocol import Voice
from spelangy_model.audio.windows import Window
from spelangy_model.audio.words import spread
from spelangy_model.records import Audio, CheckedChunk, Chunk, Metric, RejectedChunk

TEXT = "the harp is an old instrument of wood"
EIGHT_WRONG = "a b c d e f g h"


def chunk(voice: str, number: int, samples: np.ndarray, text: str = TEXT, role: str = "sentence") -> Chunk:
    return Chunk(
        chunk_id=f"{voice}/{number}",
        document_id=f"{voice}/{number // 2}",
        index=number % 2,
        role=role,
        source_id="page",
        source_url="https://example.org/",
        licence="CC0-1.0",
        speaker=voice,
        accent=voice.split("+")[0],
        start_s=0.0,
        end_s=len(samples) / SAMPLE_RATE_HZ,
        text=text,
        spoken_text=text,
        audio=Audio(encode_flac(samples), "chunk.flac"),
    )


def chunks_of(voice: str, count: int, role: str = "sentence") -> list[Chunk]:
    return [chunk(voice, number, np.full(SAMPLE_RATE_HZ // 2, 0.1, np.float32), role=role) for number in range(count)]


@dataclasses.dataclass(frozen=True)
class Listener:
    """Returns `TEXT` for every chunk but those of `wrong`; `asked` holds what it was given, window by window."""

    version: ClassVar[str] = "1"
    wrong: Mapping[str, str]
    asked: list[list[str]]
    name: str = "listener"

    def locate(self, cache_dir: Path) -> Path:
        return cache_dir

    def load(self, cache_dir: Path, device: str = "cpu") -> "Listener":
        return self

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        results = []
        for window in windows:
            self.asked.append([piece.segment_id for piece in window.pieces])
            words = []
            for piece in window.pieces:
                start_s = piece.window_start / SAMPLE_RATE_HZ
                text = self.wrong.get(piece.segment_id, self.wrong.get(piece.segment_id.split("/")[0], TEXT))
                words += spread(text, start_s, start_s + piece.length / SAMPLE_RATE_HZ)
            results.append(WindowResult(words, window.language, 1.0))
        return results


class Gate:
    """Speech that was committed and passed, and the round trip below it."""

    def __init__(self, folder: Path, *units: Sequence[Chunk]):
        self.store = ArtifactStore(folder / "store", folder / "cache")
        self.execution = Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0)
        writer = self.store.writer(DatasetName("recipe", "krist_speech"), identity("speak"), speak.TABLES)
        for unit, chunks in enumerate(units):
            with writer.unit(unit) as out:
                out.write("chunks", chunks)
        writer.commit()
        self.speech = self.found("speak")

    def found(self, stage: str) -> Artifact:
        artifact = self.store.find(Address(stage), "v1-key")
        assert artifact is not None
        return artifact

    def pass_through(self, config: round_trip.Config) -> tuple[Artifact, Verdict]:
        writer = self.store.writer(DatasetName("recipe", "krist_round_trip"), identity("round_trip"), round_trip.TABLES)
        context = StageContext({"chunks": self.speech}, {}, writer, self.execution, None, None, lambda text: None)
        round_trip.run(context, config)
        writer.commit()
        artifact = self.found("round_trip")
        verdict = evaluate(artifact, round_trip.contract(config), round_trip.TABLES)
        self.store.judge(DatasetName("recipe", "krist_round_trip"), artifact, verdict)
        return artifact, verdict


def identity(stage: str) -> Identity:
    return Identity(stage, "1", "", None, [], "v1-key")


def listening(wrong: Mapping[str, str] | None = None, **literals: object) -> round_trip.Config:
    config = round_trip.Config(recognizer=Listener(wrong or {}, []), max_word_error_rate=0.5)  # type: ignore[arg-type]
    return dataclasses.replace(config, **literals)


def asked(config: round_trip.Config) -> list[str]:
    assert isinstance(config.recognizer, Listener)
    return [chunk_id for window in config.recognizer.asked for chunk_id in window]


def voices(artifact: Artifact) -> dict[str, Metric]:
    metrics = artifact.records("metrics", Metric)
    return {metric.subject: metric for metric in metrics if metric.metric == "voice.word_error_rate"}


VOICES = ("a+m1", "a+m2", "b+m1")


def test_a_sample_takes_as_many_chunks_of_each_voice_whatever_the_order_of_the_shards(tmp_path):
    many = [chunks_of("a+m1", 40), chunks_of("a+m2", 6), chunks_of("b+m1", 20)]
    config = listening(sample_chunks=12)
    artifact, verdict = Gate(tmp_path / "one", *many).pass_through(config)
    assert verdict.passed
    assert {voice: sum(i.startswith(f"{voice}/") for i in asked(config)) for voice in VOICES} == dict.fromkeys(
        VOICES, 4
    )
    assert artifact.manifest.counts.stats["chunks_recognized"] == 12
    assert artifact.manifest.counts.records_in == artifact.manifest.counts.records_kept == 66
    again = listening(sample_chunks=12)
    Gate(tmp_path / "two", [chunk for unit in reversed(many) for chunk in unit]).pass_through(again)
    assert asked(again) == asked(config)


def test_each_voice_is_recognized_even_where_the_sample_is_smaller(tmp_path):
    config = listening(sample_chunks=1)
    artifact, _ = Gate(tmp_path, [c for voice in VOICES for c in chunks_of(voice, 2)]).pass_through(config)
    assert set(voices(artifact)) == set(VOICES)


def test_a_bad_voice_is_dropped_with_all_its_chunks_after_a_second_look_at_single_chunks(tmp_path):
    gate = Gate(tmp_path, [c for voice in VOICES for c in chunks_of(voice, 10)], chunks_of("b+m1", 0))
    config = listening({"b+m1": EIGHT_WRONG}, sample_chunks=9, second_look_chunks=20)
    artifact, verdict = gate.pass_through(config)
    assert verdict.passed
    assert [item.name.split(" ")[0] for item in verdict.failures()] == ["share_rejected", "voices_dropped"]  # warnings
    rejected = {item.chunk_id: (item.reason, item.detail) for item in artifact.records("rejected", RejectedChunk)}
    assert rejected == {f"b+m1/{n}": ("voice_not_understood", "word error rate of b+m1 1.00 > 0.5") for n in range(10)}
    counts = artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (30, 20, {"voice_not_understood": 10})
    assert isinstance(config.recognizer, Listener)
    assert [len(window) for window in config.recognizer.asked if window[0].startswith("b+m1")][-7:] == [1] * 7
    metrics = {(metric.subject, metric.metric): metric.value for metric in artifact.records("metrics", Metric)}
    assert metrics["b+m1", "dropped_voice.word_error_rate"] == 1
    assert metrics["all voices", "word_error_rate"] == 0  # of what is left
    assert set(voices(artifact)) == {"a+m1", "a+m2"}


def test_where_more_voices_fail_than_not_the_dataset_does_and_nothing_below_can_read_it(tmp_path):
    gate = Gate(tmp_path, [c for voice in VOICES for c in chunks_of(voice, 10)])
    _, verdict = gate.pass_through(listening(dict.fromkeys(VOICES[:2], EIGHT_WRONG), sample_chunks=9))
    blocks = [item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"]
    assert blocks == ["share_rejected"]
    with pytest.raises(StoreError, match="did not pass its contract"):
        gate.store.resolve(DatasetName("recipe", "krist_round_trip"))


def test_a_voice_is_not_judged_by_words_that_were_all_lost_together(tmp_path):
    """Six chunks of a voice are lost as wholes and three are recognized well; others have bad luck too."""
    lost = {
        f"{voice}/{n}": EIGHT_WRONG for voice, count in (("a+m1", 6), ("a+m2", 1), ("b+m1", 1)) for n in range(count)
    }
    gate = Gate(tmp_path, [c for voice in VOICES for c in chunks_of(voice, 9)])
    artifact, verdict = gate.pass_through(listening(lost, sample_chunks=27))
    assert verdict.passed
    assert artifact.manifest.counts.stats["voices_dropped"] == 0
    assert voices(artifact)["a+m1"].value == pytest.approx(6 / 9)
    assert voices(artifact)["a+m1"].low < 0.4  # of 72 independent words it would be 0.55


def test_the_design_effect_is_that_of_simulated_speech():
    """Whole chunks of n equal words are wrong or right: the effect is n. Words that are independent: it is 1."""
    rng = np.random.default_rng(0)

    def checked_chunk(errors: int, words: int) -> CheckedChunk:
        return CheckedChunk("c", "d", "sentence", "v", "a", "", 1, "", errors, words)

    lost_whole = [checked_chunk(10 * int(wrong), 10) for wrong in rng.random(400) < 0.3]
    assert round_trip.design_effect(lost_whole) == pytest.approx(10, rel=0.01)
    independent = [checked_chunk(int(errors), 10) for errors in rng.binomial(10, 0.3, 4000)]
    assert round_trip.design_effect(independent) == pytest.approx(1, abs=0.1)
    assert round_trip.design_effect(lost_whole[:1]) == round_trip.design_effect([]) == 1


def test_a_voice_that_was_unlucky_once_is_acquitted_by_the_second_look(tmp_path):
    chunks = [c for voice in VOICES for c in chunks_of(voice, 30)]
    plain = listening(sample_chunks=3)
    Gate(tmp_path / "plain", chunks).pass_through(plain)
    unlucky = next(chunk_id for chunk_id in asked(plain) if chunk_id.startswith("b+m1"))
    literals = {"max_word_error_rate": 0.6, "sample_chunks": 3, "second_look_chunks": 8}
    config = listening({unlucky: EIGHT_WRONG}, **literals)
    artifact, verdict = Gate(tmp_path / "unlucky", chunks).pass_through(config)
    assert verdict.passed
    assert voices(artifact)["b+m1"].value == 0
    assert {item.speaker for item in artifact.records("checked", CheckedChunk) if item.look == 2} == {"b+m1"}
    overall = next(m for m in artifact.records("metrics", Metric) if m.metric == "word_error_rate")
    assert overall.value == pytest.approx(1 / 3)  # of the first look alone: the second is no fair sample of all voices


def test_speech_that_is_middling_in_all_voices_fails_as_a_whole(tmp_path):
    half = TEXT.replace("the harp is", "x y z")  # three of eight words, in no voice too many to be chance
    config = listening(dict.fromkeys(VOICES, half), max_word_error_rate=0.4, sample_chunks=12)
    _, verdict = Gate(tmp_path, [c for voice in VOICES for c in chunks_of(voice, 8)]).pass_through(config)
    assert [item.name.split(" ")[0] for item in verdict.failures()] == ["word_error_rate_high"]


def test_with_a_limit_every_chunk_is_recognized_and_the_misheard_are_dropped_with_what_needs_them(tmp_path):
    sentences, dialogue = chunks_of("a+m1", 4), chunks_of("b+m1", 4, role="question")
    gate = Gate(tmp_path, sentences, dialogue)
    config = listening({"a+m1/1": EIGHT_WRONG, "b+m1/2": EIGHT_WRONG}, max_chunk_word_error_rate=0.6)
    artifact, _ = gate.pass_through(config)
    again = ["a+m1/1", "b+m1/2"]
    assert sorted(asked(config)) == sorted([*again, *(chunk.chunk_id for chunk in [*sentences, *dialogue])])
    rejected = {chunk.chunk_id: chunk.reason for chunk in artifact.records("rejected", RejectedChunk)}
    assert rejected == {"a+m1/1": "misheard", "b+m1/2": "misheard", "b+m1/3": "document_incomplete"}
    counts = artifact.manifest.counts
    assert (counts.records_in, counts.records_kept) == (8, 5)
    assert counts.dropped == {"misheard": 2, "document_incomplete": 1}
    assert artifact.manifest.units == 2


def test_a_dataset_without_chunks_is_worth_a_warning_and_no_more(tmp_path):
    _, verdict = Gate(tmp_path, []).pass_through(listening())
    assert verdict.passed
    assert [item.name.split(" ")[0] for item in verdict.failures()] == ["chunks_recognized"]


def test_preflight_names_a_recognizer_that_is_not_there(tmp_path):
    config = listening(recognizer=FasterWhisper(name="whisper-large-v3", model="unknown/no-such-model"))
    with pytest.raises(PreflightError, match="no-such-model"):
        round_trip.preflight(config, Execution(cache_dir=tmp_path, launch=lambda *_: 0.0))


SENTENCES = [
    "The train to the city leaves at nine in the morning.",
    "My brother has worked in this hospital for twenty years.",
    "We walked along the river until the sun went down.",
    "She opened the window because the room was very warm.",
    "The children played in the garden behind the house.",
    "He thought that the whole price of bread had doubled.",
]


@pytest.mark.slow
def test_whisper_separates_a_garbled_and_a_silent_voice_from_one_that_speaks(tmp_path):
    """Speech played backwards passes every check of pace, level and silence; only recognition shows it.

    In windows that it shares with the two, the good voice fails at the first look; alone it is understood.
    """
    synthesizer = EspeakSynthesizer()
    voice: Voice = voices_of(["en-us"])[0]
    spoken: dict[str, list[Chunk]] = {"good": [], "backwards": [], "silent": []}
    for number, text in enumerate(SENTENCES):
        samples = synthesizer.speak(text, voice)
        for name, sound in (("good", samples), ("backwards", samples[::-1].copy()), ("silent", 0 * samples)):
            spoken[name].append(chunk(name, number, sound, text))
    whisper = FasterWhisper(name="whisper-base", model="package:base", beam_size=1)
    literals = {"recognizer": whisper, "sample_chunks": 9, "second_look_chunks": 3}

    def recognized(*names: str) -> tuple[Artifact, Verdict]:
        gate = Gate(tmp_path / "-".join(names), [c for name in names for c in spoken[name]])
        return gate.pass_through(listening(**literals))

    artifact, verdict = recognized("good", "backwards", "silent")
    assert not verdict.passed  # two thirds are gone
    assert artifact.manifest.counts.dropped == {"voice_not_understood": 12}
    assert {chunk.chunk_id.split("/")[0] for chunk in artifact.records("rejected", RejectedChunk)} == {
        "backwards",
        "silent",
    }
    assert voices(artifact)["good"].low < 0.5
    assert {item.speaker for item in artifact.records("checked", CheckedChunk)} == {"good", "backwards", "silent"}
    assert recognized("good")[1].passed
