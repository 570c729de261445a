"""Recognizers: what each adapter promises, on real models where the package registry has them."""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from spelangy_model.audio.asr import (
    AsrError,
    AsrSystem,
    FasterWhisper,
    PocketSphinx,
    TransformersCtc,
    TransformersTransducer,
    WhisperTimestamped,
    WindowResult,
    recognize_all,
)
from spelangy_model.audio.asr.pieces import ctc_words
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.windows import Window, make_windows
from spelangy_model.audio.words import text_of
from spelangy_model.records import Segment

BASE = FasterWhisper("whisper-base", "package:base")
TINY = WhisperTimestamped("whisper-tiny.en", "package:tiny.en")


def window_of(samples: np.ndarray) -> Window:
    (window,) = make_windows(samples, [Segment("s", "r", 0.0, len(samples) / SAMPLE_RATE_HZ, "a", 0.0)])
    return window


def clip(shared_dir: Path, path: str) -> Window:
    samples, rate = soundfile.read(shared_dir / "data/speech" / path, dtype="float32")
    assert rate == SAMPLE_RATE_HZ
    return window_of(samples)


# --- the protocol -----------------------------------------------------------------------------------------------


def test_a_system_that_gives_fewer_results_than_asked_is_an_error():
    class Lazy:
        def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
            return [WindowResult() for _ in windows[1:]]

    window = window_of(np.zeros(1600, dtype=np.float32))
    with pytest.raises(AsrError, match="lazy gave 1 results for 2 windows"):
        recognize_all("lazy", Lazy(), [window, window])


@pytest.mark.parametrize(
    ("system", "words"),
    [
        (FasterWhisper("fw", "package:large-v3"), "fw: no package carries Whisper 'large-v3'"),
        (WhisperTimestamped("wt", "package:huge"), "wt: no package carries Whisper 'huge'"),
        (TransformersCtc("ctc", "package:base"), "ctc: no package carries a CTC model"),
        (TransformersTransducer("td", "package:base"), "td: no package carries a transducer"),
        (TransformersTransducer("td", "example/no-such-model"), "get it once with: hf download example/no-such-model"),
        (PocketSphinx("ps", "package:fr"), "ps: pocketsphinx carries no model 'package:fr'"),
        (PocketSphinx("ps", "/nowhere"), "ps: /nowhere holds no en-us"),
        (TransformersCtc("ctc", "example/no-such-model"), "get it once with: hf download example/no-such-model"),
        (FasterWhisper("fw", "not a model name!"), "fw: the model 'not a model name!' is neither a folder nor in"),
    ],
)
def test_a_missing_model_is_named_with_its_cure(system: AsrSystem, words: str, tmp_path: Path):
    with pytest.raises(AsrError) as caught:
        system.locate(tmp_path)
    assert words in str(caught.value)


def test_a_missing_package_is_named_with_its_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "whisper_timestamped", None)
    with pytest.raises(AsrError, match=r"wt: the package whisper-timestamped is not installed: pip install "):
        replace(TINY, name="wt").locate(tmp_path)


def test_the_module_loads_no_heavy_library(project_dir: Path):
    code = (
        "import sys, spelangy_model.audio.asr, spelangy_assets.stages.recognize, spelangy_assets.stages.chunk_speech, "
        "spelangy_assets.stages.clean_transcripts; "
        "heavy = ('torch', 'transformers', 'whisper', 'faster_whisper', 'lingua', 'pysbd'); "
        "print([module for module in heavy if module in sys.modules])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=project_dir)
    assert result.stdout.strip() == "[]"


# --- CTC paths --------------------------------------------------------------------------------------------------


def path(*pieces: str) -> tuple[list[str], list[int], list[float]]:
    ids = {"_": 0}
    return (
        list(pieces),
        [ids.setdefault(piece, len(ids)) for piece in pieces],
        [0.5 + 0.05 * i for i in range(len(pieces))],
    )


def test_sentencepiece_tokens_become_words():
    words = ctc_words(*path("_", "\u2581he", "\u2581he", "_", "llo", "_", "_", "\u2581you", "_"), blank=0, frame_s=0.1)
    assert [(word.text, round(word.start_s, 3), round(word.end_s, 3)) for word in words] == [
        ("hello", 0.1, 0.5),
        ("you", 0.7, 0.8),
    ]
    assert words[0].confidence == pytest.approx((0.6 + 0.7) / 2)  # the peak of each token


def test_letters_with_a_word_delimiter_become_words_and_a_blank_parts_equal_letters():
    words = ctc_words(*path("b", "e", "_", "e", "|", "|", "<s>", "o", "[UNK]", "n", "|"), blank=0, frame_s=1.0)
    assert [(word.text, word.start_s, word.end_s) for word in words] == [("bee", 0.0, 4.0), ("on", 7.0, 10.0)]


def test_a_path_of_blanks_says_nothing():
    assert ctc_words(*path("_", "_"), blank=0, frame_s=1.0) == []


# --- real models ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cache_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("weights")


@pytest.mark.slow
@pytest.mark.parametrize("system", [BASE, TINY], ids=lambda system: system.name)
def test_whisper_hears_words_with_times_and_confidence_and_twice_the_same(
    system: AsrSystem, shared_dir: Path, cache_dir: Path
):
    recognizer = system.load(cache_dir)
    rows = [json.loads(line) for line in (shared_dir / "data/speech/manifest.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["path"].startswith(("harvard/", "ljspeech/"))][8:14]
    windows = [clip(shared_dir, row["path"]) for row in rows]
    results = recognize_all(system.name, recognizer, windows)
    errors = word_errors([row["text"] for row in rows], [text_of(result.words) for result in results])
    assert errors.rate < 0.15
    for window, result in zip(windows, results, strict=True):
        assert result.language == "en"
        assert result.decoded
        times = [time for word in result.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert times[0] >= 0
        assert times[-1] <= len(window.samples) / SAMPLE_RATE_HZ
        assert all(0 <= word.confidence <= 1 for word in result.words)
    assert recognizer.recognize(windows) == results


@pytest.mark.slow
def test_a_foreign_window_is_not_decoded_unless_it_is_asked_for(shared_dir: Path, cache_dir: Path):
    window = clip(shared_dir, "multilingual/ast_fr_vm-opts-full.flac")
    (passed_over,) = BASE.load(cache_dir).recognize([window])
    assert (passed_over.decoded, passed_over.language, passed_over.words) == (False, "fr", [])
    assert passed_over.language_probability > 0.8
    (heard,) = replace(BASE, languages=()).load(cache_dir).recognize([window])
    assert heard.decoded
    assert "pour" in {word.text for word in heard.words}


@pytest.mark.slow
@pytest.mark.parametrize("system", [BASE, TINY], ids=lambda system: system.name)
def test_silence_noise_and_a_click_give_a_result(system: AsrSystem, cache_dir: Path):
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 0.05, 5 * SAMPLE_RATE_HZ).astype(np.float32)
    sounds = [np.zeros(SAMPLE_RATE_HZ * 3, dtype=np.float32), noise, np.zeros(400, dtype=np.float32)]
    results = recognize_all(system.name, system.load(cache_dir), [window_of(sound) for sound in sounds])
    assert len(results) == 3


def babbling_parakeet(folder: Path, kind: str) -> None:
    """Save a tiny Parakeet of random weights: it says words, and which ones depends on the sound."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    vocabulary = {piece: i for i, piece in enumerate(["\u2581the", "\u2581cat", "s", "\u2581sat", "<pad>"])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="s"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="<pad>").save_pretrained(folder)
    transformers.ParakeetFeatureExtractor().save_pretrained(folder)
    torch.manual_seed(1)
    encoder = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    encoder |= {"subsampling_conv_channels": 16}
    common: dict[str, Any] = {"vocab_size": 5, "pad_token_id": 4, "encoder_config": encoder}
    transducer = {"decoder_hidden_size": 32, "num_decoder_layers": 1, "blank_token_id": 4}
    # Random weights say one token for ever; a larger head makes them babble.
    if kind == "ctc":
        model: Any = transformers.ParakeetForCTC(transformers.ParakeetCTCConfig(**common))
        head = model.ctc_head
    elif kind == "tdt":
        config: Any = transformers.ParakeetTDTConfig(**common, **transducer, durations=[0, 1, 2, 3, 4])
        model = transformers.ParakeetForTDT(config)
        head = model.joint.head
    else:
        model = transformers.ParakeetForRNNT(transformers.ParakeetRNNTConfig(**common, **transducer))
        head = model.joint.head
    model.generation_config = transformers.GenerationConfig(decoder_start_token_id=4, pad_token_id=4)
    with torch.no_grad():
        head.weight.mul_(50)
    model.save_pretrained(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "system",
    [
        TransformersCtc("ctc", "", batch_windows=2),
        TransformersTransducer("tdt", "", kind="tdt"),
        TransformersTransducer("rnnt", "", kind="rnnt"),
    ],
    ids=lambda system: system.name,
)
def test_a_transformers_model_gives_words_with_times(system: TransformersCtc | TransformersTransducer, tmp_path: Path):
    babbling_parakeet(tmp_path, system.name)
    system = replace(system, model=str(tmp_path))
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * SAMPLE_RATE_HZ).astype(np.float32)
    tone = np.sin(np.arange(len(noise)) ** 1.3 / 400).astype(np.float32) * noise
    windows = [window_of(noise), window_of(tone), window_of(tone[: 2 * SAMPLE_RATE_HZ])]
    results = recognize_all(system.name, system.load(tmp_path), windows)
    assert any(result.words for result in results)
    assert {word.text.replace("s", "") for r in results for word in r.words} <= {"the", "cat", "at", ""}
    for window, result in zip(windows, results, strict=True):
        assert result.language == "en"
        times = [time for word in result.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert all(0 <= time <= len(window.samples) / SAMPLE_RATE_HZ for time in times)
        assert all(0 <= word.confidence <= 1 for word in result.words)
    assert system.load(tmp_path).recognize(windows) == results
    # A window hears the same alone as among longer ones.
    (alone,) = replace(system, batch_windows=1).load(tmp_path).recognize(windows[2:])
    assert [word.text for word in alone.words] == [word.text for word in results[2].words]


@pytest.mark.slow
def test_windows_of_a_batch_are_heard_as_one_by_one(shared_dir: Path, cache_dir: Path):
    rows = [json.loads(line) for line in (shared_dir / "data/speech/manifest.jsonl").read_text().splitlines()]
    paths = [row["path"] for row in rows if row["path"].startswith(("harvard/", "ljspeech/"))][:3]
    windows = [clip(shared_dir, path) for path in [*paths, "multilingual/ast_fr_vm-opts-full.flac"]]
    single = replace(BASE, beam_size=1, batch_windows=1).load(cache_dir).recognize(windows)
    batched = replace(BASE, beam_size=1, batch_windows=4).load(cache_dir).recognize(windows)
    assert [text_of(one.words) for one in single] == [text_of(one.words) for one in batched]
    assert [(one.language, one.decoded) for one in single] == [(one.language, one.decoded) for one in batched]
    for one, other in zip(single, batched, strict=True):
        for word, same in zip(one.words, other.words, strict=True):
            assert (word.start_s, word.confidence) == pytest.approx((same.start_s, same.confidence), abs=0.05)


@pytest.mark.slow
def test_pocketsphinx_hears_words_with_times_and_confidence_and_twice_the_same(shared_dir: Path, tmp_path: Path):
    rows = [json.loads(line) for line in (shared_dir / "data/speech/manifest.jsonl").read_text().splitlines()]
    row = next(row for row in rows if row["path"].startswith("ljspeech/"))
    window = clip(shared_dir, row["path"])
    recognizer = PocketSphinx("pocketsphinx").load(tmp_path)
    (result,) = recognize_all("pocketsphinx", recognizer, [window])
    assert word_errors([row["text"]], [text_of(result.words)]).rate < 0.6
    times = [time for word in result.words for time in (word.start_s, word.end_s)]
    assert times == sorted(times)
    assert times[-1] <= len(window.samples) / SAMPLE_RATE_HZ
    assert all(0 <= word.confidence <= 1 for word in result.words)
    assert not any(c in word.text for word in result.words for c in "<>()[]")
    assert recognizer.recognize([window, window]) == [result, result]
    (silence,) = recognizer.recognize([window_of(np.zeros(8000, dtype=np.float32))])
    assert all(word.confidence <= 1 for word in silence.words)
