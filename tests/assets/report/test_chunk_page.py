"""The listening page says what the records say, escapes it, needs no network, and states its limits."""

import base64
import math
import re

import numpy as np
import pytest

from spelangy_assets.report.chunk_page import PageLimits, write_chunk_page
from spelangy_assets.report.render import clock, number, share
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.progress import duration
from spelangy_model.records import (
    Audio,
    Chunk,
    DroppedTranscript,
    Hypothesis,
    LedgerRow,
    Metric,
    Recording,
    Segment,
    Transcript,
    Vote,
)


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


def segment(rec: str, number: int, start: float, end: float, speaker: str, overlap_s: float = 0.0) -> Segment:
    return Segment(f"{rec}-s{number}", rec, start, end, speaker, overlap_s)


RECORDINGS = [recording("aaaa", 70.0), recording("bbbb", 20.0)]
SEGMENTS = [
    segment("aaaa", 0, 0.0, 10.0, "A", 1.0),
    segment("aaaa", 1, 9.0, 14.0, "B", 1.0),
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
LEDGER = [
    LedgerRow("raw_audio", "(all)", "in", "", 3, 0),
    LedgerRow("raw_audio", "example.org", "kept", "", 2, 90_000),
    LedgerRow("raw_audio", "(top folder)", "dropped", "undecodable", 1, 0),
    LedgerRow("speech_segments", "example.org", "in", "", 2, 90_000),
    LedgerRow("speech_segments", "example.org", "kept", "", 4, 23_000),
    LedgerRow("speech_segments", "example.org", "dropped", "not_speech", 0, 67_000),
    LedgerRow("clean_transcripts", "example.org", "in", "", 4, 24_000),
    LedgerRow("clean_transcripts", "example.org", "kept", "", 3, 19_000),
    LedgerRow("clean_transcripts", "example.org", "dropped", "low_agreement", 1, 5_000),
    LedgerRow("chunks", "example.org", "in", "", 5, 19_000),
    LedgerRow("chunks", "example.org", "kept", "", 5, 0),
    LedgerRow("chunks", "example.org", "made", "", 3, 15_000),
]
METRICS = [
    *(
        Metric("chunks", f"length_s.{name}", value, math.nan, math.nan, 3)
        for name, value in [
            ("mean", 5.0),
            ("p05", 1.0),
            ("p50", 5.0),
            ("p95", 9.0),
            ("target", 5.2),
            ("share.00_1", 0.25),
            ("share.01_inf", 0.75),
        ]
    ),
    Metric("chunks", "switches_per_document.deterministic.mean", 1.5, math.nan, math.nan, 2),
    Metric("chunks", "switches_per_document.stochastic.mean", 0.5, math.nan, math.nan, 2),
]
CHUNKS = {
    "chunks": [
        chunk("aaaa", 0, 0.0, 5.0, "The cat"),
        chunk("aaaa", 1, 5.0, 10.0, "sat"),
        chunk("bbbb", 0, 1, 6, "x"),
    ],
    "web_coarse": [chunk("aaaa", 9, 0.0, 10.0, "The cat sat")],
}


def page(**changes) -> str:
    return write_chunk_page(RECORDINGS, SEGMENTS, HYPOTHESES, TRANSCRIPTS, DROPPED, CHUNKS, LEDGER, METRICS, **changes)


def ledger(text: str) -> dict[str, list[list[str]]]:
    """Return the lines of each step of the ledger."""
    steps = re.findall(r'<tr class="step"><th[^>]*>(.*?)</th></tr>(.*?)</tbody>', text, flags=re.DOTALL)
    return {
        name: [
            [line, *re.findall(r">([^<]*)</td>", cells)]
            for line, cells in re.findall(r'<tr><th scope="row"[^>]*>(.*?)</th>(.*?)</tr>', lines)
        ]
        for name, lines in steps
    }


def test_the_ledger_says_what_each_step_was_given_kept_and_dropped():
    assert ledger(page()) == {
        "recordings": [
            ["in", "3", "-", "-"],
            ["kept", "2", "90.0 s", "100.0%"],
            ["dropped: undecodable", "1", "-", "-"],
        ],
        "somebody speaks": [
            ["in", "2", "90.0 s", "100.0%"],
            ["kept", "4", "23.0 s", "25.6%"],
            ["dropped: not_speech", "-", "67.0 s", "74.4%"],
        ],
        "transcripts": [
            ["in", "4", "24.0 s", "100.0%"],
            ["kept", "3", "19.0 s", "79.2%"],
            ["dropped: low_agreement", "1", "5.0 s", "20.8%"],
        ],
        "chunks": [["in", "5 words", "19.0 s", "100.0%"], ["made", "3 chunks", "15.0 s", "78.9%"]],
    }
    assert "low_agreement 1" in page()  # and by source
    (by_source,) = re.findall(r'<thead><tr><th scope="col">source</th>.*?</table>', page(), flags=re.DOTALL)
    head, body = by_source.split("<tbody>")
    cells = re.findall(r'<tr><th scope="row">example.org</th>(.*?)</tr>', body)[0].count("<td")
    assert cells == head.count("<th ") - 1 == 5


def test_the_lengths_of_the_chunks_are_drawn_beside_the_target():
    text = page()
    assert "mean 5.0 s (the paper&#39;s: 5.2 s), median 5.0 s" in text or "mean 5.0 s (the paper's: 5.2 s)" in text
    assert "<title>0 to 1 s: 25.0%</title>" in text
    assert "<title>1 s and longer: 75.0%</title>" in text
    assert "1.5 deterministic, 0.5 stochastic" in text


def test_the_waveform_is_drawn_from_the_sound():
    loud = re.findall(r'<path class="wave" d="M([^"]*)Z"', page())
    assert len(loud) == 2  # of aaaa's two minutes the second is not there, as its sound in this test is a second long
    heights = [int(point.split()[1]) for point in loud[0].split("L")]
    assert min(heights) < 6
    assert max(heights) > 30


def test_where_two_speak_at_once_is_marked_in_the_timeline_and_written_in_words():
    text = page()
    (box,) = re.findall(r'<rect class="together"[^>]*><title>([^<]*)</title>', text)
    assert box == "two or more speak, 0:09.0 to 0:10.0"
    assert 'x="150.0" y="0" width="16.7" height="36"' in text
    assert "<title>A 0:00.0 to 0:10.0, 1.0 s with others</title>" in text
    assert '<p class="quiet">A, 0:00.0, 1.0 s with others; agreement' in text
    assert text.count("two or more speak") == 2  # and in the legend of the one recording in which it happens


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
    shared = CHUNKS["chunks"][:1]
    text = write_chunk_page(RECORDINGS, SEGMENTS, [], [], [], {"chunks": shared, "web_coarse": shared}, [], [])
    checker = parsed(text)
    assert sum(place.startswith("c-") for place in checker.ids) == 2
    assert {link[1:] for link in checker.values("a", "href")} <= set(checker.ids)


def test_the_words_of_each_system_are_below_the_winner_and_marked_by_agreement():
    slots = re.findall(r'<span class="(\w+)"><b>([^<]*)</b>((?:<i[^>]*>[^<]*</i>)+)</span>', page())
    assert [(css, winner) for css, winner, _ in slots] == [
        ("who", "vote"),
        ("all", "The"),
        ("split", "cat"),
        ("outvoted", "um"),
        ("all", "sat"),
    ]
    assert slots[0][2] == "<i>base</i><i>tiny</i>"
    assert slots[2][2] == '<i>cat</i><i class="other">hat</i>'
    assert slots[3][2] == '<i class="other">um</i><i></i>'
    assert "given words" in page()


def test_a_dropped_segment_shows_the_words_of_each_system():
    hypotheses = [Hypothesis("aaaa-s1", "aaaa", "tiny", "some other words", [], "en", 0.9)]
    text = write_chunk_page(RECORDINGS, SEGMENTS, hypotheses, TRANSCRIPTS, DROPPED, CHUNKS, LEDGER, METRICS)
    assert "<code>tiny</code> some other words" in text


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
    assert len(checker.values("svg", "aria-label")) == text.count("<svg") == 4
    assert "2 turns by 2 speakers" in text


def test_a_minute_is_a_strip_of_the_timeline_and_long_recordings_say_what_is_left_out():
    limited = page(limits=PageLimits(strips_per_recording=1))
    assert limited.count("<svg") == 3
    assert "The timeline shows the first 60.0 s" in limited


def test_the_limit_on_sound_is_kept_and_stated():
    one = len(base64.b64encode(CHUNKS["chunks"][0].audio.bytes))
    limited = page(limits=PageLimits(audio_bytes=one + 10))
    assert limited.count("<audio") == 1
    assert limited.count("audio not embedded") == 3
    assert "1 chunks have their sound in this page" in limited
    assert "3 do not, because the page holds at most" in limited
    assert "3 do not" not in page()


def test_recordings_beyond_the_limit_are_counted_and_stated_to_be_left_out():
    limited = page(limits=PageLimits(recordings=1))
    assert "1 further recordings are counted in the ledger but not shown" in limited
    assert ledger(limited) == ledger(page())
    assert "bbbb.ogg" not in limited


def test_equal_records_give_equal_bytes_and_no_records_give_a_page(parsed):
    assert page() == page()
    parsed(write_chunk_page([], [], [], [], [], {}, [], []))


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
