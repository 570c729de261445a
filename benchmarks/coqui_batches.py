"""VITS in batches of lines of like length against coqui-tts asked line by line, as its interface has it.

    PYTHONPATH=. OMP_NUM_THREADS=1 python benchmarks/coqui_batches.py [--lines 96] [--batches 8 32] [--full]

The model is a VITS made from a configuration, untrained: what it says is noise, what it costs is what a trained one of
its size costs. `--full` takes coqui-tts's own sizes (the VCTK model's), else a small one. Both sides speak the sample's
sentences in the same process, taking turns, on one core, up to 16 kHz and level; processor time without loading.
The largest difference is between samples of a line spoken in a batch and alone, of a full scale of 1.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import soxr

from spelangy_assets.sample.render import conversation
from spelangy_assets.sample.world import load_world
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts.coqui import CoquiSynthesizer, _import_api
from spelangy_model.audio.tts.protocol import OWN_RATE_WPM, Unspeakable, Voice, finish
from spelangy_model.rng import stable_seed

SPEAKERS = ("p225", "p248")
SMALL = {
    "num_layers_text_encoder": 2,
    "hidden_channels": 64,
    "hidden_channels_ffn_text_encoder": 128,
    "num_layers_flow": 2,
    "upsample_initial_channel_decoder": 64,
}
# An untrained model gives each letter the length of about one frame; a trained one speaks about 14 letters a second.
RATE_WPM = 80


def make_model(folder: Path, full: bool) -> int:
    """Write the files of a VITS into a folder and return its number of parameters."""
    import torch

    _import_api()
    from TTS.tts.configs.vits_config import VitsConfig
    from TTS.tts.models.vits import Vits, VitsArgs

    torch.manual_seed(stable_seed(0, "coqui_batches") % 2**63)
    args = VitsArgs(use_speaker_embedding=True, **({} if full else SMALL))
    speakers = folder / "speaker_ids.json"
    speakers.write_text(json.dumps({name: number for number, name in enumerate(SPEAKERS)}))
    args.speakers_file = str(speakers)
    config = VitsConfig(model_args=args, use_phonemes=False, text_cleaner="english_cleaners")
    model = Vits.init_from_config(config)
    config.save_json(folder / "config.json")
    torch.save({"model": model.state_dict()}, folder / "model.pth")
    return sum(p.numel() for name, p in model.named_parameters() if not name.startswith("disc."))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lines", type=int, default=96)
    parser.add_argument("--batches", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--full", action="store_true", help="the size of the VCTK model")
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    talks = (conversation(load_world(), 0, index) for index in range(chosen.lines))
    texts = [sentence for talk in talks for _, sentence in talk][: chosen.lines]
    lines = [(text, Voice(SPEAKERS[n % 2], "x", rate_wpm=RATE_WPM)) for n, text in enumerate(texts)]
    with tempfile.TemporaryDirectory() as folder:
        parameters = make_model(Path(folder), chosen.full)
        sizes = [1, *chosen.batches]
        engines = {size: CoquiSynthesizer(folder, chosen.device, size) for size in sizes}
        spent = dict.fromkeys(["coqui-tts, line by line", *sizes], 0.0)
        sounds = {}
        own = (
            _import_api()
            .TTS(model_path=f"{folder}/model.pth", config_path=f"{folder}/config.json", progress_bar=False)
            .to(chosen.device)
        )
        rate_hz = own.synthesizer.output_sample_rate
        own.synthesizer.tts_model.length_scale *= OWN_RATE_WPM / RATE_WPM  # the same pace
        for _ in range(chosen.rounds):
            for side in spent:
                clock = time.process_time if chosen.device == "cpu" else time.perf_counter
                before = clock()
                if isinstance(side, str):
                    for text, voice in lines:
                        wave = own.tts(text, speaker=voice.name, split_sentences=False)
                        finish(soxr.resample(np.asarray(wave, np.float32), rate_hz, SAMPLE_RATE_HZ))
                else:
                    sounds[side] = engines[side].speak_batch(lines)
                spent[side] += clock() - before
        audio_s = sum(len(one) for one in sounds[1] if not isinstance(one, Unspeakable)) / SAMPLE_RATE_HZ
        print(
            f"VITS of {parameters / 1e6:.1f} million parameters, {len(lines)} sentences of {audio_s:.0f} s in all, "
            f"{chosen.device}\n"
        )
        print(
            "| | s a sentence | times real time | ratio | largest difference to a line alone |\n|---|---|---|---|---|"
        )
        base = spent["coqui-tts, line by line"]
        for side, total_s in spent.items():
            each_s = total_s / chosen.rounds
            name = side if isinstance(side, str) else f"the adapter, batches of {side}"
            apart = "-"
            if not isinstance(side, str) and side > 1:
                pairs = zip(sounds[1], sounds[side], strict=True)
                apart = f"{max(float(np.abs(a - b).max()) for a, b in pairs if len(a) == len(b)):.1e}"
            print(f"| {name} | {each_s / len(lines):.4f} | {audio_s / each_s:.0f} | {base / total_s:.2f} | {apart} |")


if __name__ == "__main__":
    main()
