"""The coqui-tts adapter: what it says when a model is missing, and that a real (untrained) VITS speaks through it."""

import json
import subprocess
import sys
import textwrap

import pytest

from spelangy_model.audio.tts import TtsUnavailable, Voice, coqui
from spelangy_model.audio.tts.coqui import VCTK_VITS, VCTK_VOICES, check_model, find_model


def test_five_accents_have_several_speakers_each():
    accents = {voice.accent for voice in VCTK_VOICES}
    assert len(accents) == 5
    assert all(sum(voice.accent == accent for voice in VCTK_VOICES) >= 3 for accent in accents)
    assert len({voice.name for voice in VCTK_VOICES}) == len(VCTK_VOICES)


def test_a_missing_model_is_named_with_the_way_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    with pytest.raises(TtsUnavailable, match=f"tts --model_name {VCTK_VITS}"):
        check_model(VCTK_VITS, VCTK_VOICES)
    with pytest.raises(TtsUnavailable, match="name a model"):
        find_model("")


@pytest.fixture
def model_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TTS_HOME", str(tmp_path))
    folder = tmp_path / "tts" / "tts_models--en--vctk--vits"
    folder.mkdir(parents=True)
    (folder / "model_file.pth").write_bytes(b"")
    (folder / "speaker_ids.json").write_text(json.dumps({voice.name: n for n, voice in enumerate(VCTK_VOICES)}))
    (folder / "config.json").write_text(json.dumps({"model_args": {"speakers_file": "speaker_ids.json"}}))
    return folder


def test_a_downloaded_model_is_found_under_its_name(model_folder):
    files = find_model(VCTK_VITS)
    assert files.checkpoint == model_folder / "model_file.pth"
    assert files.speakers == {voice.name for voice in VCTK_VOICES}
    check_model(VCTK_VITS, VCTK_VOICES)


def test_a_speaker_that_the_model_lacks_is_named(model_folder):
    with pytest.raises(TtsUnavailable, match="p999"):
        check_model(VCTK_VITS, [*VCTK_VOICES, Voice("p999", "martian")])


def test_a_model_that_reads_phonemes_asks_for_the_program(model_folder, monkeypatch):
    (model_folder / "config.json").write_text(json.dumps({"use_phonemes": True, "phonemizer": "espeak"}))
    monkeypatch.setattr(coqui.shutil, "which", lambda name: None)
    with pytest.raises(TtsUnavailable, match="apt-get install espeak-ng"):
        check_model(VCTK_VITS, VCTK_VOICES)


SPEAKS = """
    import hashlib, json, sys
    from pathlib import Path
    import torch
    from spelangy_model.audio.tts.coqui import CoquiSynthesizer, _import_api
    from spelangy_model.audio.tts import TtsUnavailable, Unspeakable, Voice

    torch.set_num_threads(1)
    _import_api()
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits, VitsArgs

    torch.manual_seed(0)
    folder = Path(sys.argv[1])
    args = VitsArgs(
        num_layers_text_encoder=1, hidden_channels=32, hidden_channels_ffn_text_encoder=32, num_heads_text_encoder=2,
        num_layers_flow=1, num_layers_posterior_encoder=1, upsample_initial_channel_decoder=32,
        use_speaker_embedding=True, speaker_embedding_channels=8,
    )
    config = VitsConfig(model_args=args, use_phonemes=False, text_cleaner="english_cleaners")
    (folder / "speaker_ids.json").write_text(json.dumps({"p225": 0, "p248": 1}))
    config.model_args.speakers_file = str(folder / "speaker_ids.json")
    model = Vits.init_from_config(config)
    config.save_json(folder / "config.json")
    torch.save({"model": model.state_dict()}, folder / "model.pth")

    LINES = [
        ("The river flows.", Voice("p225", "english")),
        ("It flows from the hills to the sea, past the old mill and the two bridges.", Voice("p248", "indian")),
        ("...", Voice("p225", "english")),
        ("In winter it freezes.", Voice("p248", "indian", rate_wpm=230, pitch=65)),
        ("Then everyone may walk on it.", Voice("p225", "english", rate_wpm=160, pitch=35)),
    ]
    alone = CoquiSynthesizer(str(folder)).speak_batch(LINES)
    batched = CoquiSynthesizer(str(folder), batch_utterances=4).speak_batch(LINES)
    apart = [
        float(abs(a - b).max()) if len(a) == len(b) else 9.0
        for a, b in zip(alone, batched) if not isinstance(a, Unspeakable)
    ]

    # coqui-tts itself, given the noise of the adapter: the same but for the last frames, behind which it ends.
    from spelangy_model.audio.tts import coqui
    api = _import_api()
    model = api.TTS(model_path=str(folder / "model.pth"), config_path=str(folder / "config.json"), progress_bar=False)
    model = model.synthesizer.tts_model
    text, voice = LINES[1]
    ids = torch.tensor([model.tokenizer.text_to_ids(text)])
    with torch.inference_mode(), coqui._own_noise([(voice.name, text)]):
        own = model.inference(ids, {"x_lengths": torch.tensor([ids.shape[1]]), "speaker_ids": torch.tensor([1])})
    own = own["model_outputs"][0, 0].numpy()
    (wave, rate_hz), = CoquiSynthesizer(str(folder))._vits.speak([(text, voice)])
    of_coqui = float(abs(own - wave)[:-16 * 256].max()), abs(len(own) - len(wave)), rate_hz

    vits = CoquiSynthesizer(str(folder))._vits
    def seconds(rate_wpm, **dials):
        ((wave, rate_hz),) = vits.speak([(text, Voice("p248", "indian", rate_wpm, **dials))])
        return len(wave) / rate_hz

    synthesizer = CoquiSynthesizer(str(folder))
    one = synthesizer.speak("The river flows.", Voice("p225", "english"))
    two = synthesizer.speak("The river flows.", Voice("p248", "indian"))
    before = torch.get_rng_state()
    again = synthesizer.speak("The river flows.", Voice("p225", "english"))
    untouched = bool(torch.equal(before, torch.get_rng_state()))
    reasons = []
    for text, name in (("...", "p225"), ("Hello.", "p999")):
        try:
            synthesizer.speak(text, Voice(name, "x"))
        except (Unspeakable, TtsUnavailable) as error:
            reasons.append(str(error))
    from spelangy_model.audio.tts import SynthesizerSpec, open_synthesizer

    spec = SynthesizerSpec("coqui", str(folder))
    open_synthesizer(spec, cache_dir=folder).speak("The river flows.", Voice("p225", "english"))
    CoquiSynthesizer.speak = None  # asking the model again fails
    remembered = open_synthesizer(spec, cache_dir=folder).speak("The river flows.", Voice("p225", "english"))
    print(json.dumps({
        "apart": apart, "silent_line": isinstance(batched[2], Unspeakable), "of_coqui": of_coqui,
        # Slowly, so that rounding up to frames matters little to an untrained model's short sounds.
        "seconds": [*(seconds(20, **dial) for dial in ({}, {"pitch": 100}, {"pitch": 0})), seconds(40)],
        "remembers": remembered.tobytes() == one.tobytes(),
        "dtype": str(one.dtype), "length_s": len(one) / 16000, "peak": float(abs(one).max()),
        "repeats": one.tobytes() == again.tobytes(), "differs": one.tobytes() != two.tobytes(),
        "generator_untouched": untouched, "reasons": reasons,
        "digest": hashlib.sha256(one.tobytes()).hexdigest(),
    }))
"""


@pytest.mark.slow
def test_a_small_vits_speaks_the_same_each_time_in_each_process(tmp_path):
    """A VITS of 0.4 million untrained parameters, built, saved and loaded: what it says is noise, but it speaks."""
    # In processes of their own: the stand-ins must not be seen by other tests.
    running = []
    for run in ("a", "b"):
        (tmp_path / run).mkdir()
        command = [sys.executable, "-c", textwrap.dedent(SPEAKS), str(tmp_path / run)]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
    results = []
    for process in running:
        output, errors = process.communicate()
        assert process.returncode == 0, errors
        results.append(json.loads(output.strip().splitlines()[-1]))
    first, second = results
    assert first["dtype"] == "float32"
    assert first["length_s"] > 0.2
    assert 0 < first["peak"] < 1
    assert first["repeats"]
    assert first["remembers"]
    assert first["differs"]
    assert first["generator_untouched"]
    assert "nothing_to_say" in first["reasons"][0]
    assert "p999" in first["reasons"][1]
    assert first["digest"] == second["digest"]
    assert len(first["apart"]) == 4
    assert max(first["apart"]) < 1e-4  # a line in a batch is the line alone
    assert first["silent_line"]
    difference, length, rate_hz = first["of_coqui"]
    assert (difference < 1e-4, length, rate_hz) == (True, 0, 22050)
    own, high, low, fast = first["seconds"]
    assert fast == pytest.approx(own / 2, rel=0.1)
    assert high == pytest.approx(own, rel=0.1)
    assert low == pytest.approx(own, rel=0.1)
