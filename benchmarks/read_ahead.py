"""How long a fast model waits for sound and files: all by one thread, and with readers ahead and a writer behind.

    python benchmarks/read_ahead.py [--speed 3000] [--minutes 60] [--rounds 5]

The model is a substitute that sleeps as long as a GPU of such a speed would work. A call takes two minutes of sound in
24 chunks. Before it, their FLAC is decoded and made log-mel features; after it, the words of two minutes become
Parquet. Rounds of all ways are interleaved. The rate of one and of two readers gives what cannot be done at once
(Amdahl's law), and so the share of the time in which the model of a node of 16 cores would work.
"""

from __future__ import annotations

import argparse
import io
import os
import time
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext

import numpy as np
import pyarrow.parquet as pq
import torch

from spelangy_model.ahead import WriteBehind, read_ahead
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac, encode_flac
from spelangy_model.records import Hypothesis, Word, to_table
from spelangy_model.rng import stable_rng
from spelangy_model.tokenizer.features import log_mel

CHUNKS, CHUNK_S = 24, 5
CALL_S = CHUNKS * CHUNK_S
MEL_BINS = 80
WORDS_PER_CHUNK = 13  # 2.6 a second, as people speak
NODE_CORES = 16
WAYS = (
    ("all by one thread", 0, False),
    ("1 reader", 1, False),
    ("2 readers", 2, False),
    ("2 readers, 1 writer", 2, True),
)


def chunk(number: int) -> bytes:
    """Return noise that falls with the frequency, as speech does: it compresses as speech does."""
    noise = np.cumsum(stable_rng(0, "read_ahead", number).normal(size=CHUNK_S * SAMPLE_RATE_HZ))
    noise -= np.convolve(noise, np.ones(400) / 400, "same")
    return encode_flac((0.2 * noise / np.abs(noise).max()).astype(np.float32))


def read(call: list[bytes]) -> list[torch.Tensor]:
    return [log_mel(decode_flac(flac), MEL_BINS) for flac in call]


def write() -> None:
    words = [Word("word", 0.3 * place, 0.3 * place + 0.2, 0.9) for place in range(WORDS_PER_CHUNK)]
    text = " ".join(word.text for word in words)
    rows = [Hypothesis(f"segment-{n}", "recording", "stand-in", text, words, "en", 1.0) for n in range(CHUNKS)]
    pq.write_table(to_table(rows, Hypothesis), io.BytesIO(), compression="zstd")


def busy_share(calls: list[list[bytes]], readers: int, behind: bool, speed: float) -> float:
    """Return the share of the time in which the model works."""
    started = time.perf_counter()
    with closing(WriteBehind()) if behind else nullcontext() as writer:
        for _ in read_ahead(read, calls, readers):
            time.sleep(CALL_S / speed)
            if writer:
                writer.do(write)
            else:
                write()
    return len(calls) * CALL_S / speed / (time.perf_counter() - started)


def rate(calls: list[list[bytes]], readers: int) -> float:
    """Return how many seconds of sound a second `readers` threads read, alone."""
    started = time.perf_counter()
    for _ in read_ahead(read, calls, readers):
        pass
    return len(calls) * CALL_S / (time.perf_counter() - started)


def rounds_of(measures: dict[str, Callable[[], float]], rounds: int) -> dict[str, list[float]]:
    """Return the sorted results of each measure; their rounds are interleaved."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return {name: sorted(values) for name, values in found.items()}


def table(found: dict[str, list[float]], digits: int) -> Iterator[str]:
    for name, values in found.items():
        middle, low, high = values[len(values) // 2], values[0], values[-1]
        yield f"| {name} | {middle:,.{digits}f} | {low:,.{digits}f} to {high:,.{digits}f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--speed", type=float, default=3000.0, help="of the model, times real time")
    parser.add_argument("--minutes", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    calls = [[chunk(number) for number in range(CHUNKS)]] * (chosen.minutes * 60 // CALL_S)
    read(calls[0])  # what the first call loads
    write()
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {len(calls)} calls of {CALL_S} s a round")
    print(f"a model of {chosen.speed:,.0f} times real time; {chosen.rounds} rounds\n")
    shares = rounds_of(
        {
            name: lambda readers=readers, behind=behind: busy_share(calls, readers, behind, chosen.speed)
            for name, readers, behind in WAYS
        },
        chosen.rounds,
    )
    alone = {"1 reader alone": lambda: rate(calls, 1), "2 readers alone": lambda: rate(calls, 2)}
    rates = rounds_of(alone, chosen.rounds)
    print("| | model works, share of the time | lowest to highest |")
    print("|---|---|---|")
    print("\n".join(table(shares, 3)))
    print("\n| | times real time | lowest to highest |")
    print("|---|---|---|")
    print("\n".join(table(rates, 0)))
    one, two = (values[len(values) // 2] for values in rates.values())
    serial = max(0.0, 2 * one / two - 1)
    readers = NODE_CORES - 2  # one core for the model's thread, one for the writer's
    node = one / (serial + (1 - serial) / readers)
    ratio = shares["2 readers"][chosen.rounds // 2] / shares["1 reader"][chosen.rounds // 2]
    print(f"\nTwo readers keep the model {ratio:.2f} times as busy as one.")
    print(
        f"A node of {NODE_CORES} cores: {readers} readers of {one:,.0f} times real time each, of which {serial:.0%} is "
        f"done by one at a time, read at {node:,.0f} times real time; the model waits "
        f"{max(0.0, 1 - node / chosen.speed):.0%} of the time."
    )


if __name__ == "__main__":
    main()
