"""What calls back from C is not touched by an interrupt: whole or not at all, and the interrupt arrives."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from spelangy_model.interrupts import uninterrupted


class Stop(BaseException):
    """What the handler of this module raises, as Dagster's raises one of its own."""


@pytest.fixture
def raising():
    def handler(*_: object) -> None:
        raise Stop

    before = signal.signal(signal.SIGUSR1, handler)
    yield
    signal.signal(signal.SIGUSR1, before)


def test_work_is_done_and_its_errors_are_raised():
    assert uninterrupted(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        uninterrupted(lambda: 1 // 0)


def test_work_of_another_thread_stays_there():
    threads: list[threading.Thread] = []

    def work() -> None:
        uninterrupted(lambda: threads.append(threading.current_thread()))

    other = threading.Thread(target=work)
    other.start()
    other.join()
    assert threads == [other]


def test_an_interrupt_is_raised_when_the_work_is_done(raising: None):
    done = []

    def work() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(20):
            time.sleep(0.001)
        done.append(True)

    with pytest.raises(Stop):
        uninterrupted(work)
    assert done == [True]


def test_an_interrupt_at_any_moment_neither_hangs_nor_gets_lost(raising: None):
    """300 of them, spread over calls that take less time than the distance between two signals."""
    draw, me = random.Random(0), threading.main_thread().ident
    assert me is not None
    raised = 0
    for _ in range(300):
        timer = threading.Timer(draw.uniform(0, 0.002), signal.pthread_kill, (me, signal.SIGUSR1))
        try:
            timer.start()
            end = time.monotonic() + 5
            while time.monotonic() < end:
                assert uninterrupted(lambda: 7) == 7
        except Stop:
            raised += 1
        timer.join()
    assert raised == 300


_SPEAK = """
import hashlib, os, random, signal, sys, threading, time
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.audio.tts.espeak import VOICES, EspeakSynthesizer

text = "The river flows through the quiet valley, and an otter looks for fish below the old stone bridge."
speaker, draw = EspeakSynthesizer(), random.Random(sys.argv[2])

def make(number):
    samples = speaker.speak(text, VOICES[number % len(VOICES)])
    data = encode_flac(samples)
    return hashlib.sha256(samples.tobytes() + data + decode_flac(data).tobytes()).hexdigest()

class Stop(BaseException): pass
def handler(*_): raise Stop
signal.signal(signal.SIGINT, handler)
whole, lost, swallowed, equal = {n: make(n) for n in range(min(len(VOICES), int(sys.argv[1])))}, 0, 0, 0
started = time.perf_counter(); make(0); takes = time.perf_counter() - started
for number in range(int(sys.argv[1])):
    timer = threading.Timer(draw.uniform(0, takes), os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        digest = make(number)
        equal += digest == whole[number % len(VOICES)]
        lost += digest != whole[number % len(VOICES)]
        timer.join()  # a signal that comes after the sound is raised here
        time.sleep(0.01)
        swallowed += 1
    except Stop:
        timer.join()
print(lost, swallowed)
"""


def _interrupted(count: int, seed: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", _SPEAK, str(count), seed], capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.parametrize("count", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_interrupts_of_speech_leave_equal_sound_or_none_and_are_raised(count: int):
    """In a process of its own: espeak-ng through ctypes, FLAC through cffi, both of which swallow exceptions."""
    assert _interrupted(count, "a") == ("0 0", "")
