"""Recognizers: what each adapter promises, on real models where the package registry has them."""

import itertools
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
    TransformersCanary,
    TransformersCtc,
    TransformersTransducer,
    WhisperTimestamped,
    WindowResult,
    recognize_all,
)
from spelangy_model.audio.asr.pieces import ctc_words
from spelangy_model.audio.asr.protocol import tidy
from spelangy_model.audio.asr.transformers_canary import monotonic_path
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.windows import Window, make_windows
from spelangy_model.audio.words import text_of
from spelangy_model.records import Segment, Word

BASE = FasterWhisper("whisper-base", "package:base", beam_size=1)  # as the sample has it
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


@pytest.mark.parametrize(
    "system", [FasterWhisper("base", "package:base"), FasterWhisper("tiny", "package:tiny.en"), TINY]
)
def test_looking_for_a_model_of_a_package_writes_nothing(system: AsrSystem, tmp_path: Path):
    assert system.locate(tmp_path).is_dir()
    assert not list(tmp_path.iterdir())


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
def test_whisper_returns_words_with_times_and_confidence_and_twice_the_same(
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
    (result,) = replace(BASE, languages=()).load(cache_dir).recognize([window])
    assert result.decoded
    assert "pour" in {word.text for word in result.words}


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
    # A window gives the same words alone as among longer ones.
    (alone,) = replace(system, batch_windows=1).load(tmp_path).recognize(windows[2:])
    assert [word.text for word in alone.words] == [word.text for word in results[2].words]


@pytest.mark.slow
def test_windows_of_a_batch_give_the_words_of_single_windows(shared_dir: Path, cache_dir: Path):
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
def test_pocketsphinx_returns_words_with_times_and_confidence_and_twice_the_same(shared_dir: Path, tmp_path: Path):
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


# --- words as they were written -----------------------------------------------------------------------------


def written(*pieces: str) -> str:
    return text_of(tidy([Word(text, 0.2 * i, 0.2 * i + 0.2, 0.9) for i, text in enumerate(pieces)], 30.0))


def test_pieces_of_a_word_are_joined_as_whisper_wrote_them():
    text = written(" The", " 42", "-line", " Bible", " costs", " $25", ".37,", " 50", "%", " of", " 2", ",300", ",000")
    assert text == "The 42-line Bible costs $25.37, 50% of 2,300,000"
    assert written(" re", "-record", " a", " post", "-mortem", ".") == "re-record a post-mortem."
    assert written(" I", " have $25") == "I have $25"
    assert written("the", "cat") == "the cat"  # words of a system that writes no spaces
    assert written(" ", " yes", " ") == "yes"


def test_a_joined_word_lasts_from_its_first_piece_to_its_last_and_is_as_sure_as_its_characters():
    (word,) = tidy([Word(" re", 0.0, 0.2, 0.6), Word("-record", 0.2, 0.9, 0.9)], 1.0)
    assert (word.text, word.start_s, word.end_s) == ("re-record", 0.0, 0.9)
    assert word.confidence == pytest.approx((2 * 0.6 + 7 * 0.9) / 9)


# --- Canary -------------------------------------------------------------------------------------------------


def test_the_path_through_attention_never_runs_back_and_looks_where_most_is():
    rng = np.random.default_rng(0)
    for _ in range(20):
        attention = rng.random((4, 5))
        path = monotonic_path(attention)
        best = max(
            itertools.combinations_with_replacement(range(5), 4),
            key=lambda one: sum(np.log(attention[i, at]) for i, at in enumerate(one)),
        )
        assert path == list(best)
    assert monotonic_path(np.zeros((0, 5))) == []


def babbling_canary(folder: Path) -> None:
    """Save a tiny Canary of random weights, with a prompt of its own form."""
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    pieces = ["<unk>", "<pad>", "<|endoftext|>", "<|startoftranscript|>", "<|en|>"]
    special, pieces = pieces[3:], [*pieces, "\u2581The", "\u2581cat", "s", "\u2581sat", "."]
    tokenizer = Tokenizer(models.WordLevel({piece: i for i, piece in enumerate(pieces)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<|endoftext|>",
        unk_token="<unk>",
        additional_special_tokens=special,
    )
    template = (
        "{% for message in messages %}{% for part in message['content'] %}{% if part['type'] == 'text' %}"
        "<|startoftranscript|> <|{{ part['source_language'] }}|>{% endif %}{% endfor %}{% endfor %}"
    )
    features = transformers.ParakeetFeatureExtractor(feature_size=128)
    transformers.CanaryProcessor(features, fast, chat_template=template).save_pretrained(folder)
    torch.manual_seed(1)
    shape = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64}
    encoder: dict[str, Any] = {**shape, "num_hidden_layers": 1, "subsampling_conv_channels": 16, "num_mel_bins": 128}
    encoder |= {"model_type": "parakeet_encoder", "scale_input": False, "layerdrop": 0.0}
    ids = {"pad_token_id": 1, "bos_token_id": 3, "eos_token_id": 2}
    decoder = {**shape, **ids, "num_hidden_layers": 2, "num_key_value_heads": 2, "head_dim": 16}
    decoder |= {"vocab_size": len(pieces)}
    config = transformers.CanaryConfig(
        encoder_config=encoder, decoder_config=decoder, vocab_size=len(pieces), decoder_start_token_id=3, **ids
    )
    model = transformers.CanaryForConditionalGeneration(config)
    with torch.no_grad():  # it babbles, and says words alone
        model.proj_out.weight.mul_(30)
        model.proj_out.bias.copy_(torch.tensor([-1e4, -1e4, 0, -1e4, -1e4, 0, 0, 0, 0, 0]))
    model.generation_config = transformers.GenerationConfig(decoder_start_token_id=3, pad_token_id=1, eos_token_id=2)
    model.save_pretrained(folder)


@pytest.mark.slow
def test_canary_gives_words_with_times(tmp_path: Path):
    babbling_canary(tmp_path)
    system = TransformersCanary("canary", str(tmp_path), batch_windows=2)
    noise = np.random.default_rng(0).normal(0, 0.1, 6 * SAMPLE_RATE_HZ).astype(np.float32)
    windows = [window_of(noise), window_of(noise[: 3 * SAMPLE_RATE_HZ]), window_of(noise[: 2 * SAMPLE_RATE_HZ])]
    results = recognize_all("canary", system.load(tmp_path), windows)
    assert any(result.words for result in results)
    for window, result in zip(windows, results, strict=True):
        times = [time for word in result.words for time in (word.start_s, word.end_s)]
        assert times == sorted(times)
        assert all(0 <= time <= len(window.samples) / SAMPLE_RATE_HZ for time in times)
        assert all(0 <= word.confidence <= 1 for word in result.words)
        assert set("".join(word.text for word in result.words)) <= set("Thecatsat.")
    assert system.load(tmp_path).recognize(windows) == results
