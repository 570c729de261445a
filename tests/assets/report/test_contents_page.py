"""What a reader of the page finds: amounts by aspect, what is not stated, the rest in one line, and histograms."""

import pytest

from spelangy_assets.report.contents_page import contents_page

PORTIONS = {
    "set": [("web_fine", 900, 1.5), ("krist", 100, 0.5)],
    "speaker": [("", 500, 1.0), *((f"0123456789ab/speaker_{i:02d}", 30, 0.05) for i in range(20))],
    "licence": [("CC-BY-4.0 <b>", 1000, 2.0)],
    "accent": [],
}
METRICS = {
    "hours": 2.0, "tokens": 2.0, "chunks": 1000, "documents": 40, "speakers": 20, "largest_speaker_share": 0.025,
    "share_that_end_a_sentence": 0.75,
    "snr_db.mean": 21.25, "snr_db.p05": 3.0, "snr_db.p25": 15.0, "snr_db.p50": 20.0, "snr_db.p75": 25.0,
    "snr_db.p95": 41.0, "snr_db.share.-inf_20": 0.5, "snr_db.share.20_inf": 0.5,
}  # fmt: skip


def test_the_page_shows_amounts_what_is_not_stated_and_the_rest(parsed) -> None:
    page = contents_page(PORTIONS, METRICS, unit="hours", title="What is in web")
    parsed(page)
    assert "CC-BY-4.0 &lt;b&gt;" in page
    assert '<th scope="row" class="quiet">not stated</th>' in page
    assert '<th scope="row">6 others</th><td class="number">180</td><td class="number">0.3</td>' in page
    assert "Speakers: 20" in page
    assert "Accents" not in page
    assert "<title>20 dB and more: 50.0%</title>" in page
    assert "mean 21.2 dB, median 20.0 dB" in page
    assert "RECORDING/LABEL" in page
    assert "75.0%" in page


def test_equal_values_give_equal_bytes_and_nothing_is_shown_as_nothing(parsed) -> None:
    assert contents_page(PORTIONS, METRICS, unit="hours", title="a") == contents_page(
        PORTIONS, METRICS, unit="hours", title="a"
    )
    nothing = dict.fromkeys(("tokens", "chunks", "documents", "speakers", "largest_speaker_share"), 0.0)
    parsed(contents_page({}, nothing, unit="tokens", title="a"))


@pytest.mark.parametrize(("shares", "shown"), [(2, True), (1, False)])
def test_sets_are_listed_where_there_are_several(shares: int, shown: bool) -> None:
    page = contents_page({"set": PORTIONS["set"][:shares]}, METRICS, unit="hours", title="a")
    assert ("Sets of chunks and texts" in page) is shown
