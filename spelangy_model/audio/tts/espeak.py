"""The espeak-ng adapter: five English accents, in process, hundreds of times faster than real time.

Put here: all that depends on espeak-ng (its C functions, its voice files), and the list of its voices. Nothing
else of the project touches the library, which is GPL-3 and comes in the wheel of `espeakng-loader`; this module
talks to it through ctypes only.

The library keeps state from one utterance to the next (the phase of its pitch flutter is a static variable that
no function resets), so a sentence's samples would depend on what was spoken before it. Each utterance is therefore
spoken by a freshly loaded library: 0.4 ms a call, and the samples depend on (text, voice) alone.
Source: https://github.com/espeak-ng/espeak-ng, speak_lib.h and espeak_ng.h of 1.52.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
import threading
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import numpy as np
import soxr

from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.tts.protocol import Samples, TtsError, TtsUnavailable, Unspeakable, Voice, finish
from spelangy_model.extras import cure
from spelangy_model.interrupts import uninterrupted

ACCENTS = ("en-us", "en-gb-scotland", "en-gb-x-rp", "en-us-nyc", "en-029")
_VARIANTS = ("m1", "m2", "m7", "m8", "Alex", "f5")  # of those tried, the ones that a recognizer understands best
VOICES: tuple[Voice, ...] = tuple(
    Voice(name=f"{accent}+{variant}", accent=accent) for accent in ACCENTS for variant in _VARIANTS
)

# Of speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_INITIALIZE_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POS_CHARACTER = 1
_RATE, _PITCH = 1, 3
_RATE_LIMITS_WPM = (80, 450)
_OK = 0

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
# The library is one set of static variables, so one utterance at a time speaks in a process.
_one_at_a_time = threading.Lock()


def voices_of(accents: Iterable[str], voices: Sequence[Voice] = VOICES) -> tuple[Voice, ...]:
    """Return the voices of some accents, in the roster's order. Raises ValueError for an accent without a voice."""
    wanted = set(accents)
    unknown = wanted - {voice.accent for voice in voices}
    if unknown:
        raise ValueError(f"no voice speaks {sorted(unknown)}; there are {sorted({v.accent for v in voices})}")
    return tuple(voice for voice in voices if voice.accent in wanted)


@cache
def _locate() -> tuple[Path, Path]:
    """Return (shared library, espeak-ng-data) of the wheel."""
    try:
        import espeakng_loader
    except ImportError as error:
        raise TtsUnavailable(f"espeak-ng is missing: {cure('espeakng_loader')}") from error
    library, data = Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())
    if not library.is_file() or not (data / "phontab").is_file():
        raise TtsUnavailable(f"the wheel of espeakng-loader is damaged ({library.name}): install it again")
    return library, data


@cache
def _languages() -> dict[str, Path]:
    """Return the voice files of the wheel's languages by lower-case name, for example `en-us`."""
    data = _locate()[1]
    return {path.name.lower(): path for path in sorted((data / "lang").rglob("*")) if path.is_file()}


@cache
def _english_data() -> tempfile.TemporaryDirectory[str]:
    """Return a folder of links to the English part of the wheel's data, voice files under lower-case names.

    The library lowers the name that it is given and so misses the wheel's `lang/gmw/en-US`; it then reads all of its
    130 voice files (5 ms a call) and never frees the list (2 KB a call). Here the first look finds the file.
    """
    data = _locate()[1]
    folder = tempfile.TemporaryDirectory(prefix="espeak-")
    view = Path(folder.name) / "espeak-ng-data"
    (view / "lang").mkdir(parents=True)
    for name in ("phontab", "phonindex", "phondata", "intonations", "en_dict", "voices"):
        (view / name).symlink_to(data / name)
    for name, path in _languages().items():
        if name.split("-")[0] == "en":
            (view / "lang" / name).symlink_to(path)
    return folder


def check_voices(voices: Sequence[Voice]) -> None:
    """Raise TtsUnavailable unless each voice is an English one and its variant and rate are known.

    The library itself ignores an unknown variant and speaks in the plain voice; here that is an error.
    """
    english = sorted(name for name in _languages() if name.split("-")[0] == "en")
    variants = _locate()[1] / "voices" / "!v"
    slowest, fastest = _RATE_LIMITS_WPM
    for voice in voices:
        language, plus, variant = voice.name.partition("+")
        if language not in english:
            raise TtsUnavailable(f"espeak-ng has no English voice {language!r} (of {voice.name!r}); it has {english}")
        if plus and not (variant and (variants / variant).is_file()):
            raise TtsUnavailable(f"espeak-ng has no voice variant {variant!r} (of {voice.name!r})")
        if not slowest <= voice.rate_wpm - voice.rate_jitter_wpm <= voice.rate_wpm + voice.rate_jitter_wpm <= fastest:
            raise TtsUnavailable(f"voice {voice.name!r}: a rate is outside {slowest} to {fastest} words a minute")


@cache
def _check_voice(voice: Voice) -> None:
    check_voices([voice])


class _FreshLibrary:
    """The library, loaded for one utterance and unloaded after it."""

    def __init__(self) -> None:
        self._path, self._data = _locate()[0], _english_data().name
        self._loader = ctypes.CDLL(None)
        self._loader.dlclose.argtypes = [ctypes.c_void_p]
        self._loader.dlopen.argtypes = [ctypes.c_char_p, ctypes.c_int]
        self._loader.dlopen.restype = ctypes.c_void_p

    def __enter__(self) -> ctypes.CDLL:
        # A library that other code of this process holds would stay loaded, with its state, when it is closed here.
        held = self._loader.dlopen(os.fsencode(self._path), os.RTLD_LAZY | os.RTLD_NOLOAD)
        if held:
            self._loader.dlclose(held)
            raise TtsError(
                "another part of this process has loaded espeak-ng; its speech would not be reproducible: "
                "run it in a process of its own"
            )
        self._library = ctypes.CDLL(str(self._path))
        rate = self._library.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, os.fsencode(self._data), _INITIALIZE_DONT_EXIT
        )
        if rate <= 0:
            self._close()
            raise TtsUnavailable(f"espeak-ng cannot read its data (status {rate}): install espeakng-loader again")
        self.sample_rate_hz = rate
        self._library.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self._library.espeak_ng_SetRandSeed(1)
        return self._library

    def __exit__(self, *_: object) -> None:
        self._library.espeak_Terminate()
        self._close()

    def _close(self) -> None:
        handle = self._library._handle
        del self._library
        self._loader.dlclose(handle)


class EspeakSynthesizer:
    """Speaks through espeak-ng. Holds nothing between calls; safe to use from threads (one speaks at a time)."""

    def speak(self, text: str, voice: Voice) -> Samples:
        """Return `text` in `voice`, float32 mono 16 kHz; see `Synthesizer.speak`.

        Raises Unspeakable for a text with a NUL or without speakable text, TtsUnavailable for an unknown voice.
        """
        if "\0" in text:
            raise Unspeakable("control_character", f"a NUL, where the library would end the text {text[:80]!r}")
        _check_voice(voice)
        wave, rate_hz = uninterrupted(lambda: _wave_of(text, voice))
        samples = finish(soxr.resample(wave, rate_hz, SAMPLE_RATE_HZ).astype(np.float32))
        if samples.size == 0:
            raise Unspeakable("nothing_to_say", f"espeak-ng is silent for {text[:80]!r}")
        return samples


def _wave_of(text: str, voice: Voice) -> tuple[Samples, int]:
    """Return the library's samples for a text, and their rate in Hz."""
    pieces: list[bytes] = []

    def take(wave: int | None, count: int, _events: int | None) -> int:
        if wave and count > 0:
            pieces.append(ctypes.string_at(wave, 2 * count))
        return 0

    callback = _SynthCallback(take)
    encoded = text.encode()
    with _one_at_a_time:
        fresh = _FreshLibrary()
        with fresh as library:
            library.espeak_SetSynthCallback(callback)
            if library.espeak_SetVoiceByName(voice.name.encode()) != _OK:
                raise TtsUnavailable(f"espeak-ng does not know the voice {voice.name!r}")
            library.espeak_SetParameter(_RATE, voice.rate_wpm, 0)
            library.espeak_SetParameter(_PITCH, voice.pitch, 0)
            status = library.espeak_Synth(encoded, len(encoded) + 1, 0, _POS_CHARACTER, 0, _CHARS_UTF8, None, None)
            if status != _OK:
                raise TtsError(f"espeak-ng failed with status {status} on {text[:80]!r}")
        wave = np.frombuffer(b"".join(pieces), dtype="<i2").astype(np.float32) / np.float32(32768)
    return wave, fresh.sample_rate_hz
