"""Files as they are: joined, cut off, badly named, with broken headers. Each is whole, or an error with a reason."""

from __future__ import annotations

import contextlib
import functools
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from spelangy_model.audio.containers import HEAD_BYTES, links_of, looks_like_sound
from spelangy_model.audio.io import AudioError, decode, mono_16k, open_stream

RATE_HZ = 16_000
_STEPS = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
_MANY_STEPS = settings(_STEPS, max_examples=200)


def speech(seconds: float, seed: int = 0, rate_hz: int = RATE_HZ) -> np.ndarray:
    rng = np.random.default_rng(seed)
    t = np.arange(int(seconds * rate_hz)) / rate_hz
    tone = sum(np.sin(2 * np.pi * (120 + 20 * seed) * k * t) / k for k in range(1, 8))
    gate = np.repeat(rng.random(int(seconds * 5) + 1) > 0.3, rate_hz // 5)[: len(t)]
    return (0.1 * tone * gate + 0.003 * rng.standard_normal(len(t))).astype(np.float32)


def written(samples: np.ndarray, kind: str, subtype: str | None = None, rate_hz: int = RATE_HZ) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate_hz, format=kind, subtype=subtype)
    return buffer.getvalue()


def muxed(samples: np.ndarray, container: str, codec: str, rate_hz: int = 48_000, **options: str) -> bytes:
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container, options=options) as out:
        stream: Any = out.add_stream(codec, rate=rate_hz, layout="mono")
        frame = av.AudioFrame.from_ndarray(samples[None].copy(), format="fltp", layout="mono")
        frame.sample_rate = rate_hz
        packer = av.AudioResampler(
            format=stream.codec_context.format or "fltp",
            layout="mono",
            rate=rate_hz,
            frame_size=stream.codec_context.frame_size or 1024,
        )
        for packed in [*packer.resample(frame), *packer.resample(None)]:
            out.mux(stream.encode(packed))
        out.mux(stream.encode(None))
    return buffer.getvalue()


KINDS = (
    *("wav", "wavex", "rf64", "aiff", "flac", "vorbis", "opus", "mp3", "au", "caf", "w64", "sph"),
    *("webm", "mp4", "mkv"),
)


@functools.cache
def files() -> dict[str, tuple[bytes, bytes]]:
    """Two recordings, of 3 and 2 s, in each kind of file that states what it holds."""
    made = {}
    kinds = {
        "wav": ("WAV", "PCM_16"),
        "wavex": ("WAVEX", "PCM_24"),
        "rf64": ("RF64", "PCM_16"),
        "aiff": ("AIFF", "PCM_16"),
        "flac": ("FLAC", None),
        "vorbis": ("OGG", "VORBIS"),
        "opus": ("OGG", "OPUS"),
        "mp3": ("MP3", None),
        "au": ("AU", "PCM_16"),
        "caf": ("CAF", "PCM_16"),
        "w64": ("W64", "PCM_16"),
        "sph": ("NIST", "PCM_16"),
    }
    for name, (kind, subtype) in kinds.items():
        made[name] = (written(speech(3, 1), kind, subtype), written(speech(2, 2), kind, subtype))
    for name, container, codec in (("webm", "webm", "libopus"), ("mp4", "mp4", "aac"), ("mkv", "matroska", "ac3")):
        first, second = (speech(s, seed, 48_000) for s, seed in ((3, 1), (2, 2)))
        made[name] = (muxed(first, container, codec), muxed(second, container, codec))
    return made


CHAINED = (
    "wav",
    "wavex",
    "rf64",
    "aiff",
    "au",
    "caf",
    "w64",
    "sph",
    "flac",
    "vorbis",
    "opus",
    "mp3",
    "webm",
    "mp4",
    "mkv",
)
EXACT = ("wav", "wavex", "rf64", "aiff", "flac", "au", "caf", "w64", "sph", "mp3")
_PAUSE_S = 0.5  # by which ffmpeg's containers may be shorter than they state


def length_s(data: bytes | Path) -> float | str:
    """Return the length of a file, or the reason why it is none."""
    try:
        stream = open_stream(data)
        return sum(len(block) for block in mono_16k(stream)) / RATE_HZ
    except AudioError as error:
        return error.reason if error.detail else "no words"


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_one_stream_of_its_length(kind: str):
    data = files()[kind][0]
    (link,) = links_of(io.BytesIO(data), len(data))
    assert (link.begin, link.size, link.stated, link.ended) == (0, len(data), 0, True)
    assert length_s(data) == pytest.approx(3.0, abs=0.15)
    assert looks_like_sound(data[:HEAD_BYTES])


@pytest.mark.parametrize("kind", KINDS)
def test_streams_one_after_another_are_read_to_the_end_of_the_last(kind: str):
    first, second = files()[kind]
    stream = open_stream(first + second + first)
    joined = np.concatenate(list(mono_16k(stream)))
    assert stream.found.links == 3
    alone = [np.concatenate(list(mono_16k(open_stream(data)))) for data in (first, second, first)]
    assert abs(len(joined) - sum(map(len, alone))) <= 3
    at = len(alone[0])
    middle = joined[at + 4000 : at + 20_000]
    assert np.corrcoef(middle, alone[1][4000:20_000])[0, 1] > 0.99


@pytest.mark.parametrize("first", ["flac", "mp3"])  # of frames, which state no end
@pytest.mark.parametrize("second", ["wav", "aiff", "flac", "vorbis", "opus", "mp3", "tagged mp3", "webm", "mp4"])
def test_a_stream_of_another_container_behind_frames_is_read(first: str, second: str):
    tag = b"ID3\x04\0\0\0\0\x02\0" + bytes(256) if second.startswith("tagged") else b""
    data = files()[first][0] + tag + files()[second.removeprefix("tagged ")][1]
    stream = open_stream(data)
    joined = np.concatenate(list(mono_16k(stream)))
    assert len(joined) / RATE_HZ == pytest.approx(5.0, abs=0.2)
    assert stream.found.links == 2


def test_marks_of_containers_inside_of_a_tag_end_no_stream():
    held = b"OggS\0\x02" + b"fLaC\0\0\0\x22" + b"RIFF\0\0\0\0WAVEfmt "
    tag = b"ID3\x04\0\0\0\0\x02\0" + held.ljust(256, b"x")
    assert length_s(tag + files()["mp3"][0]) == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("kind", ["vorbis", "flac", "wav", "mp3"])
def test_a_later_stream_of_another_rate_and_more_channels_keeps_its_time_and_level(kind: str):
    names = {"vorbis": ("OGG", "VORBIS"), "flac": ("FLAC", None), "wav": ("WAV", "PCM_16"), "mp3": ("MP3", None)}
    mono = speech(2, 3, 22_050)
    other = written(np.stack([mono, mono], axis=1), *names[kind], rate_hz=22_050)
    joined = decode(files()[kind][0] + other)
    assert joined.duration_s == pytest.approx(5.0, abs=0.1)
    alone = decode(other).samples
    assert np.std(joined.samples[-16_000:]) == pytest.approx(np.std(alone[-16_000:]), rel=0.02)


def test_mp3_joined_with_its_tags_and_without_any_statement_is_read_whole():
    plain = muxed(speech(4, 1, RATE_HZ), "mp3", "libmp3lame", RATE_HZ, write_xing="0")
    assert length_s(plain) == pytest.approx(4.0, abs=0.2)
    assert length_s(plain + plain) == pytest.approx(8.0, abs=0.3)  # each begins with an ID3 tag
    loud_then_silent = np.concatenate([speech(5, 1), np.zeros(10 * RATE_HZ, np.float32)])
    buffer = io.BytesIO()
    soundfile.write(buffer, loud_then_silent, RATE_HZ, format="MP3", bitrate_mode="VARIABLE")
    data = buffer.getvalue()
    (link,) = links_of(io.BytesIO(data), len(data))
    assert link.measured
    stripped = data[data.index(b"\xff", data.index(b"LAME")) :]  # without its first frame, which states the count
    assert length_s(stripped) == pytest.approx(15.0, abs=0.3)  # libsndfile would guess the length by the bit rate


@pytest.mark.parametrize("kind", KINDS)
def test_half_of_a_file_is_a_reject(kind: str):
    data = files()[kind][0]
    assert length_s(data[: len(data) // 2]) in ("truncated", "undecodable")


@pytest.mark.parametrize("kind", ["vorbis", "opus"])
def test_a_page_that_is_lost_in_the_middle_is_a_reject(kind: str):
    data = files()[kind][0]
    pages = [place for place in range(len(data)) if data.startswith(b"OggS", place)]
    assert len(pages) >= 4
    assert length_s(data[: pages[-2]] + data[pages[-1] :]) == "truncated"
    damaged = bytearray(data)
    damaged[pages[-2] + 100] ^= 0xFF
    assert length_s(bytes(damaged)) == "truncated"


def test_an_ogg_stream_that_was_recorded_from_its_middle_on_is_whole():
    pages = files()["opus"][0].split(b"OggS")[1:]
    moved = [pages[0], pages[1]]
    for page in pages[2:]:
        granule = int.from_bytes(page[2:10], "little") + 48_000 * 7_200
        moved.append(page[:2] + granule.to_bytes(8, "little") + page[10:])
    data = b"".join(b"OggS" + page for page in moved)
    (link,) = links_of(io.BytesIO(data), len(data))
    assert 0 < link.stated_s <= 3.0
    assert link.ended


def test_an_mp3_that_is_cut_soon_is_a_reject():
    data = files()["mp3"][0]
    for share in (0.05, 0.06, 0.1, 0.3, 0.7):
        assert length_s(data[: int(share * len(data))]) in ("truncated", "undecodable")


def test_an_ogg_file_that_is_cut_in_the_header_of_a_page_is_a_reject():
    for kind in ("vorbis", "opus"):
        data = files()[kind][0]
        for extra in (1, 4, 5, 26, 27, 28):
            assert length_s(data[: data.rindex(b"OggS") + extra]) == "truncated"


@_STEPS
@given(kind=st.sampled_from(KINDS), share=st.floats(0, 1, exclude_max=True))
def test_a_cut_at_any_byte_is_a_reject_or_loses_nothing_to_speak_of(kind: str, share: float):
    _cut_at(kind, share)


@pytest.mark.slow
@_MANY_STEPS
@given(kind=st.sampled_from(KINDS), share=st.floats(0, 1, exclude_max=True))
def test_a_cut_at_any_of_many_bytes_is_a_reject_or_loses_nothing_to_speak_of(kind: str, share: float):
    _cut_at(kind, share)


def _cut_at(kind: str, share: float) -> None:
    data = files()[kind][0]
    cut = length_s(data[: int(len(data) * share)])
    slack_s = 0.11 if kind in EXACT else 0.01 if kind in ("vorbis", "opus") else _PAUSE_S + 0.1
    assert cut in ("truncated", "undecodable", "empty", "no_audio") or float(cut) >= 3.0 - slack_s


@_STEPS
@given(kind=st.sampled_from(KINDS), place=st.integers(0, 200), value=st.binary(min_size=1, max_size=8))
@example(kind="wav", place=24, value=struct.pack("<I", 1))
@example(kind="wav", place=24, value=struct.pack("<I", 2_000))
@example(kind="wav", place=24, value=struct.pack("<I", 0x7FFFFFFF))
@example(kind="wav", place=22, value=struct.pack("<H", 1024))
@example(kind="wav", place=40, value=struct.pack("<I", 0))
@example(kind="flac", place=18, value=b"\x00\x00\x10")
def test_any_bytes_of_a_header_give_sound_or_a_reason_in_bounded_memory(kind: str, place: int, value: bytes):
    _header(kind, place, value)


@pytest.mark.slow
@_MANY_STEPS
@given(kind=st.sampled_from(KINDS), place=st.integers(0, 200), value=st.binary(min_size=1, max_size=8))
def test_any_of_many_bytes_of_a_header_give_sound_or_a_reason(kind: str, place: int, value: bytes):
    _header(kind, place, value)


def _header(kind: str, place: int, value: bytes) -> None:
    data = bytearray(files()[kind][0])
    data[place : place + len(value)] = value
    with contextlib.suppress(AudioError):
        stream = open_stream(bytes(data))
        assert 2_000 <= stream.sample_rate_hz <= 768_000
        for _, block in zip(range(200), mono_16k(stream), strict=False):
            assert block.nbytes <= 64 << 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("suffix", [".wav", ".mp3", ".txt", ".gsm", ""])
def test_a_name_says_nothing(kind: str, suffix: str, tmp_path: Path):
    path = tmp_path / f"x{suffix}"
    path.write_bytes(files()[kind][0])
    assert length_s(path) == length_s(files()[kind][0])


def test_raw_samples_are_no_sound_whatever_their_name_is(tmp_path: Path):
    for suffix in (".vox", ".gsm", ".raw", ".au", ".mp3"):
        path = tmp_path / f"x{suffix}"
        path.write_bytes((speech(1) * 32767).astype("<i2").tobytes())
        assert length_s(path) == "undecodable"


def test_a_header_without_a_length_states_nothing():
    data = files()["wav"][0]
    size = data.index(b"data") + 4
    for stated in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF024, 0x80000000):
        piped = data[:4] + struct.pack("<I", stated) + data[8:size] + struct.pack("<I", stated) + data[size + 4 :]
        assert length_s(piped) == 3.0
    crashed = data[:4] + struct.pack("<I", 36) + data[8:size] + bytes(4) + data[size + 4 :]
    assert length_s(crashed) == 3.0
    assert length_s(written(np.zeros(0, np.float32), "WAV")) == 0.0
    off_by_some = data[:size] + struct.pack("<I", len(data)) + data[size + 4 :]  # the header counted with the sound
    assert length_s(off_by_some) == 3.0


@pytest.mark.parametrize(
    "text",
    [b"ffconcat version 1.0\nfile 'secret.wav'\n", b"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nsecret.wav\n"],
)
def test_a_list_of_other_files_opens_none_of_them(text: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "secret.wav").write_bytes(files()["wav"][0])
    (tmp_path / "list.wav").write_bytes(text)
    assert length_s(tmp_path / "list.wav") == "undecodable"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"%PDF-1.7",
        b"\x89PNG\r\n\x1a\n" + bytes(400),
        b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(400),
        b"RIFF\x00\x10\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x18ftypheic" + bytes(200),
        "Ein Text über Ton.".encode() * 40,
        b"{}",
        b"PAR1" + bytes(999),
        bytes(8192),
        b"\xff" * 8192,
    ],
)
def test_what_is_no_sound_does_not_look_like_it(head: bytes):
    assert not looks_like_sound(head)


@_STEPS
@given(st.binary(max_size=4096))
def test_noise_does_not_look_like_sound(data: bytes):
    assume(not data.startswith((b"ID3", b"MP+", b"OggS", b"RIFF", b"fLaC")))  # such short marks noise does have
    assert not looks_like_sound(data)


@_STEPS
@given(st.binary(max_size=4096))
def test_links_hold_every_byte(data: bytes):
    links = links_of(io.BytesIO(data), len(data))
    assert sum(link.size for link in links) == len(data)
