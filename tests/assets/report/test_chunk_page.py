"""The listening page says what the records say, escapes it, needs no network, and states its limits."""

import base64
import re

import numpy as np
import pytest

from spelangy_assets.report.chunk_page import PageLimits, write_chunk_page
from spelangy_assets.report.render import clock, duration, number, share
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.records import Audio, Chunk, DroppedTranscript, Hypothesis, Recording, Segment, Transcript, Vote


def flac(seconds: float) -> Audio:
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, int(seconds * 16000)).astype(np.float32)
    return Audio(encode_flac(noise), "x.flac")


def recording(name: str, seconds: float) -> Recording:
    return Recording(
        name, f"{name}.ogg", f"https://example.org/{name}", "CC0-1.0", seconds, 48000, 2, "OGG/OPUS", flac(1)
    )


def chunk(rec: str, number: int, start: float, end: float, text: str) -> Chunk:
    return Chunk(
        f"{rec}-{number}", rec, number, "speech", rec, "", "CC0-1.0", "A", "", start, end, text, text, flac(end - start)
    )  # fmt: skip


def segment(rec: str, number: int, start: float, end: float, speaker: str) -> Segment:
    return Segment(f"{rec}-s{number}", rec, start, end, speaker, 0.0)


RECORDINGS = [recording("aaaa", 70.0), recording("bbbb", 20.0)]
SEGMENTS = [
    segment("aaaa", 0, 0.0, 10.0, "A"),
    segment("aaaa", 1, 9.0, 14.0, "B"),
    segment("aaaa", 2, 61.0, 65.0, "A"),
    segment("bbbb", 0, 1.0, 6.0, "A"),
]
VOTES = [Vote(["The", "the"], "The"), Vote(["cat", "hat"], "cat"), Vote(["um", ""], ""), Vote(["sat", "sat"], "sat")]
TRANSCRIPTS = [
    Transcript("aaaa-s0", "aaaa", "A", 0.0, 10.0, "en", "The cat sat", [], ["base", "tiny"], VOTES, 0.5, 0.8),
    Transcript("bbbb-s0", "bbbb", "A", 1.0, 6.0, "en", "given words", [], ["given"], [], 1.0, 1.0),
]
HYPOTHESES = [Hypothesis("aaaa-s0", "aaaa", "tiny", "the hat sat", [], "en", 0.9)]
DROPPED = [
    DroppedTranscript("aaaa-s1", "aaaa", "B", 9.0, 14.0, "low_agreement", "0.21 < 0.60", "<script>alert(1)</script>")
]
CHUNKS = {
    "web_fine": [
        chunk("aaaa", 0, 0.0, 5.0, "The cat"),
        chunk("aaaa", 1, 5.0, 10.0, "sat"),
        chunk("bbbb", 0, 1, 6, "x"),
    ],
    "web_coarse": [chunk("aaaa", 9, 0.0, 10.0, "The cat sat")],
}


def page(**changes) -> str:
    return write_chunk_page(RECORDINGS, SEGMENTS, HYPOTHESES, TRANSCRIPTS, DROPPED, CHUNKS, **changes)


def ledger(text: str) -> dict[str, list[str]]:
    rows = re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', text)
    return {name: re.findall(r">([^<]*)</td>", cells) for name, cells in rows}


def test_the_ledger_sums_what_came_in_what_was_kept_and_what_was_dropped():
    assert ledger(page()) == {
        "audio in": ["2", "90.0 s", "100.0%"],
        "nobody speaks": ["-", "67.0 s", "74.4%"],
        "speaker turns": ["4", "24.0 s", "26.7%"],
        "transcripts kept": ["2", "15.0 s", "16.7%"],
        "dropped: low_agreement": ["1", "5.0 s", "5.6%"],
        "turns without a transcript or a drop": ["1", "4.0 s", "4.4%"],
        "chunks of web_fine": ["3", "15.0 s", "16.7%"],
        "chunks of web_coarse": ["1", "10.0 s", "11.1%"],
    }


def test_each_chunk_has_its_sound_its_text_and_a_place_that_the_timeline_points_to(parsed):
    text = page()
    checker = parsed(text)
    sounds = checker.values("audio", "src")
    assert len(sounds) == 4
    prefix = "data:audio/flac;base64,"
    assert all(sound.startswith(prefix) for sound in sounds)
    lengths = sorted(len(decode_flac(base64.b64decode(sound.removeprefix(prefix)))) for sound in sounds)
    assert lengths == [80000, 80000, 80000, 160000]
    links = [link for link in checker.values("a", "href") if link.startswith("#c-")]
    assert len(links) == 4
    assert {link[1:] for link in checker.values("a", "href")} <= set(checker.ids)
    assert "The cat sat" in text


def test_a_chunk_that_two_chunkings_share_has_a_place_in_each(parsed):
    shared = CHUNKS["web_fine"][:1]
    text = write_chunk_page(RECORDINGS, SEGMENTS, [], [], [], {"web_fine": shared, "web_coarse": shared})
    checker = parsed(text)
    assert sum(place.startswith("c-") for place in checker.ids) == 2
    assert {link[1:] for link in checker.values("a", "href")} <= set(checker.ids)


def test_votes_are_marked_by_agreement():
    text = page()
    assert ">The</span>" in text.replace('<span title="base: The; tiny: the">', "<span>")
    assert '<span class="split" title="base: cat; tiny: hat">cat</span>' in text
    assert '<span class="gone" title="base: um; tiny: (nothing)">um</span>' in text
    assert "<span>sat</span>" in text
    assert "the hat sat" in text
    assert "given words" in text


def test_drops_name_reason_and_measure_and_nothing_of_a_text_becomes_markup():
    text = page()
    assert "low_agreement" in text
    assert "0.21 &lt; 0.60" in text
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in text


def test_the_page_asks_for_nothing_over_a_network_and_names_its_pictures(parsed):
    text = page()
    checker = parsed(text)
    for tag, name, value in checker.attributes:
        if name in ("src", "srcset", "poster", "data", "action") or (tag == "link" and name == "href"):
            assert value.startswith("data:")
    assert "default-src 'none'" in text
    assert "@import" not in text
    assert "url(" not in text
    assert len(checker.values("svg", "aria-label")) == text.count("<svg") == 3
    assert "2 turns by 2 speakers" in text


def test_a_minute_is_a_strip_of_the_timeline_and_long_recordings_say_what_is_left_out():
    limited = page(limits=PageLimits(strips_per_recording=1))
    assert limited.count("<svg") == 2
    assert "The timeline shows the first 60.0 s" in limited


def test_the_limit_on_sound_is_kept_and_stated():
    one = len(base64.b64encode(CHUNKS["web_fine"][0].audio.bytes))
    limited = page(limits=PageLimits(audio_bytes=one + 10))
    assert limited.count("<audio") == 1
    assert limited.count("audio not embedded") == 3
    assert "1 chunks have their sound in this page" in limited
    assert "3 do not, because the page holds at most" in limited
    assert "3 do not" not in page()


def test_recordings_beyond_the_limit_are_counted_and_said_to_be_left_out():
    limited = page(limits=PageLimits(recordings=1))
    assert "1 further recordings are counted in the ledger but not shown" in limited
    assert ledger(limited) == ledger(page())
    assert "bbbb.ogg" not in limited


def test_equal_records_give_equal_bytes_and_no_records_give_a_page(parsed):
    assert page() == page()
    parsed(write_chunk_page([], [], [], [], [], {}))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00.0"), (61.26, "1:01.3"), (59.96, "1:00.0"), (3600, "1:00:00.0"), (3725.5, "1:02:05.5")],
)
def test_clock(seconds, text):
    assert clock(seconds) == text


def test_numbers_are_written_in_a_fitting_unit():
    assert [duration(seconds) for seconds in (5, 300, 36000)] == ["5.0 s", "5.0 min", "10.00 h"]
    assert share(1, 0) == "-"
    assert [number(value) for value in (0.12345, 12345.678, 1200.0, float("nan"))] == ["0.123", "12346", "1,200", "-"]
