"""What one GPU does: training, the speech tokenizer and speech recognition, through the code that the assets run.

    python benchmarks/gpu.py
    python benchmarks/gpu.py --preset tiny --device cpu --row-length 1024 --steps 3  (a dry run)

Training is train/run.py as it is, from fresh weights over packed rows of the documents of packing.py, one row at a
time, in bfloat16 (autocast; weights and optimizer in float32); tokens/s and MFU are the median of its timing.jsonl
after the first two steps. The 3.8b preset needs about 52 GB for weights, gradients and optimizer, and
13 GB of disk for the model that a run ends with; `--fused-loss` (Liger) and `--compile` save memory and time.

The tokenizer (fresh weights, which cost what trained ones do) encodes chunks of 5.2 s, features on the processor as in
the asset. Whisper base decodes windows of at most 28 s, many at once. Both get sentences spoken by espeak-ng. A
GPU-hour's hours are hours of speech by hours of the clock, after a batch that does not count. Printed as Markdown.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from packing import LAYOUT
from training_throughput import LAYOUT as TINY_LAYOUT
from training_throughput import write_rows

from spelangy_model.audio.asr import AsrError, FasterWhisper, recognize_all
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts.espeak import VOICES, EspeakSynthesizer
from spelangy_model.audio.windows import MAX_WINDOW_S, Window
from spelangy_model.lm.presets import PRESETS
from spelangy_model.tokenizer.speech import PRESETS as TOKENIZER_PRESETS
from spelangy_model.tokenizer.speech import SpeechTokenizer, preset_config
from spelangy_model.tokenizer.vocab import Layout
from spelangy_model.train.run import train
from spelangy_model.train.spec import TrainSpec

CHUNK_S = 5.2
WARMUP_STEPS = 2
SENTENCES = (
    "The harbour was built in the nineteenth century, when ships of this size were still a rare sight.",
    "Most of the water that falls on these hills in winter reaches the river before the end of spring.",
    "She asked him whether the museum would be open on the following Sunday, and he said that it would.",
    "A small engine of this kind runs for about four hours before it has to be filled again.",
    "Few in the village could remember a summer in which the bees had come back so late.",
    "The second part of the lecture explains why light bends when it passes from air into glass.",
    "They walked along the old railway line until they came to a bridge that had lost its rails.",
    "Farmers there grow barley and potatoes, because wheat does not ripen so far to the north.",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--preset", default="3.8b", choices=sorted(PRESETS))
    parser.add_argument("--tokenizer-preset", choices=sorted(TOKENIZER_PRESETS), help="1b; tiny where the preset is")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--row-length", type=int, default=16_384)
    parser.add_argument("--batch-rows", type=int, default=4)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--activation-checkpointing", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--fused-loss", action="store_true")
    parser.add_argument("--windows", type=int, help="of 28 s, for the tokenizer and the recognizer; 128, on a CPU 2")
    parser.add_argument("--batch-windows", type=int, default=32)
    chosen = parser.parse_args()
    if chosen.steps <= WARMUP_STEPS:
        parser.error(f"--steps has to be more than {WARMUP_STEPS}: the first {WARMUP_STEPS} do not count")
    if chosen.device == "cuda" and not torch.cuda.is_available():
        print("There is no GPU here that PyTorch can use: nothing was measured. --device cpu makes a dry run.")
        return
    on_gpu = chosen.device == "cuda"
    machine = torch.cuda.get_device_name() if on_gpu else "CPU, a dry run: these times say nothing of a GPU"
    print(f"{machine}; PyTorch {torch.__version__}\n")
    tokenizer_preset = chosen.tokenizer_preset or ("tiny" if chosen.preset == "tiny" else "1b")
    windows = spoken_windows(chosen.windows or (128 if on_gpu else 2))
    print("| part | measured | |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        training(chosen, Path(folder))
        if on_gpu:
            torch.cuda.empty_cache()
        tokenizing(tokenizer_preset, windows, chosen.device)
        recognizing(windows, chosen.device, chosen.batch_windows, Path(folder))


def row(part: str, what: str, value: str) -> None:
    print(f"| {part} | {what} | {value} |", flush=True)


def spoken_windows(count: int) -> list[Window]:
    """Return windows of as many whole sentences as 28 s hold, each in another voice of the roster."""
    synthesizer, windows = EspeakSynthesizer(), []
    most = int(MAX_WINDOW_S * SAMPLE_RATE_HZ)
    for index in range(count):
        voice = VOICES[index % len(VOICES)]
        spoken: list[np.ndarray] = []
        for offset in range(len(SENTENCES)):
            samples = synthesizer.speak(SENTENCES[(index + offset) % len(SENTENCES)], voice)
            if sum(map(len, spoken)) + len(samples) > most:
                break
            spoken.append(samples)
        windows.append(Window(np.concatenate(spoken), (), "en"))
    return windows


def hours(utterances: Sequence[np.ndarray]) -> float:
    return sum(map(len, utterances)) / SAMPLE_RATE_HZ / 3600


# --- the three parts ----------------------------------------------------------------------------------------------


def training(chosen: argparse.Namespace, folder: Path) -> None:
    layout = TINY_LAYOUT if chosen.preset == "tiny" else LAYOUT
    rows = chosen.steps * chosen.batch_rows
    write_rows(max(50, rows * chosen.row_length // 400), chosen.row_length, layout, folder)
    save_text_ids(layout, folder / "text")
    spec = TrainSpec(
        rows=(str(folder / "rows.parquet"),),
        layout=layout,
        steps=chosen.steps,
        batch_rows=chosen.batch_rows,
        micro_rows=1,
        learning_rate=1e-4,
        warmup_steps=chosen.steps,
        decay_steps=0,
        weight_decay=0.1,
        clip_norm=1.0,
        precision="bfloat16",
        seed=0,
        inputs=(),
        out=str(folder / "model"),
        work=str(folder / "work"),
        activation_checkpointing=chosen.activation_checkpointing,
        compile=chosen.compile,
        fused_loss=chosen.fused_loss,
        init_preset=chosen.preset,
        tokenizer=str(folder / "text"),
        device=chosen.device,
        checkpoint_every=chosen.steps,
    )
    train(spec, lambda text, figures: None)
    steps = [json.loads(line) for line in (folder / "work" / "timing.jsonl").read_text().splitlines()][WARMUP_STEPS:]
    names = ("activation_checkpointing", "compile", "fused_loss")
    options = ", ".join(name.replace("_", " ") for name in names if getattr(chosen, name)) or "no options"
    part = f"LM {chosen.preset}, {chosen.batch_rows} rows of {chosen.row_length} a step, bf16, {options}"
    row(part, "tokens/s", f"{statistics.median(step['tokens_per_s'] for step in steps):.0f}")
    row(part, "model TFLOP/s", f"{statistics.median(step['model_flops_per_s'] for step in steps) / 1e12:.3g}")
    known = [step["mfu"] for step in steps if step["mfu"] is not None]
    row(part, "MFU", f"{statistics.median(known):.1%}" if known else "the device's peak is not known")
    row(part, "memory", f"{max(step['memory_bytes'] for step in steps) / 1e9:.1f} GB")


def save_text_ids(layout: Layout, folder: Path) -> None:
    """Save a text tokenizer with as many ids as the layout has: training never spells, it wants the layout."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    words = Tokenizer(WordLevel({f"w{index}": index for index in range(layout.text_size)}, unk_token="w0"))
    PreTrainedTokenizerFast(tokenizer_object=words).save_pretrained(folder)


def tokenizing(preset: str, windows: Sequence[Window], device: str) -> None:
    model = SpeechTokenizer(preset_config(preset)).eval()
    torch.nn.Module.to(model, device)
    size = int(CHUNK_S * SAMPLE_RATE_HZ)
    chunks = [
        window.samples[start : start + size] for window in windows for start in range(0, len(window.samples), size)
    ]
    model.encode(chunks[:16])
    started = time.perf_counter()
    model.encode(chunks)
    elapsed_h = (time.perf_counter() - started) / 3600
    part = f"speech tokenizer {preset}, {len(chunks)} chunks of at most {CHUNK_S} s, fp32"
    row(part, f"hours of speech per {unit(device)}", f"{hours(chunks) / elapsed_h:.0f}")


def recognizing(windows: Sequence[Window], device: str, batch_windows: int, folder: Path) -> None:
    precision = "float16" if device == "cuda" else "int8"
    system = FasterWhisper("whisper-base", "package:base", precision=precision, batch_windows=batch_windows)
    part = f"Whisper base, {len(windows)} windows, {batch_windows} at once, beam {system.beam_size}, {precision}"
    try:
        recognizer = system.load(folder, device)
    except AsrError as error:
        row(part, "not measured", str(error))
        return
    recognize_all(system.name, recognizer, windows[:batch_windows])
    started = time.perf_counter()
    results = recognize_all(system.name, recognizer, windows)
    elapsed_h = (time.perf_counter() - started) / 3600
    row(part, f"hours of speech per {unit(device)}", f"{hours([w.samples for w in windows]) / elapsed_h:.0f}")
    row(part, "words recognized", str(sum(len(result.words) for result in results)))


def unit(device: str) -> str:
    return "GPU-hour" if device == "cuda" else "hour of the clock"


if __name__ == "__main__":
    main()
