"""How long a model waits for sound: decoding before each call, and by threads ahead of it.

    python benchmarks/read_ahead.py [--speed 3000] [--minutes 120] [--rounds 3]

The model is a substitute that sleeps as long as a GPU of such a speed would work. The share of the time in which it
works says how well the readers feed it. From the rate of one reader follows how many cores a node needs per GPU.
"""

from __future__ import annotations

import argparse
import os
import time

import numpy as np

from spelangy_model.ahead import read_ahead
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.rng import stable_rng

SECONDS = 120  # of one recording


def recording() -> bytes:
    """Return a recording of noise that falls with the frequency, as speech does: it compresses as speech does."""
    noise = np.cumsum(stable_rng(0, "read_ahead").normal(size=SECONDS * SAMPLE_RATE_HZ))
    noise -= np.convolve(noise, np.ones(400) / 400, "same")
    return encode_flac((0.2 * noise / np.abs(noise).max()).astype(np.float32))


def busy_share(items: list[bytes], readers: int, speed: float) -> float:
    """Return the share of the time in which the model works."""
    started, busy_s = time.perf_counter(), 0.0
    for _, samples in read_ahead(decode_flac, items, readers):
        work_s = len(samples) / SAMPLE_RATE_HZ / speed
        time.sleep(work_s)
        busy_s += work_s
    return busy_s / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--speed", type=float, default=3000.0, help="of the model, times real time")
    parser.add_argument("--minutes", type=int, default=120)
    parser.add_argument("--rounds", type=int, default=3)
    chosen = parser.parse_args()
    items = [recording()] * (chosen.minutes * 60 // SECONDS)
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {len(items)} recordings of {SECONDS} s")
    print(f"a model of {chosen.speed:,.0f} times real time; {chosen.rounds} rounds\n")
    print("| readers | model works, share of the time | lowest to highest |")
    print("|---|---|---|")
    for readers in (0, 1, 2):
        shares = sorted(busy_share(items, readers, chosen.speed) for _ in range(chosen.rounds))
        print(f"| {readers} | {shares[len(shares) // 2]:.3f} | {shares[0]:.3f} to {shares[-1]:.3f} |")
    started = time.perf_counter()
    for item in items:
        decode_flac(item)
    rate = len(items) * SECONDS / (time.perf_counter() - started)
    print(f"\none reader decodes at {rate:,.0f} times real time: the model needs {chosen.speed / rate:.1f} readers")


if __name__ == "__main__":
    main()
