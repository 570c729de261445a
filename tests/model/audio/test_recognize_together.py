"""Windows that share a call: fewer calls, and again alone where the recognizer lost its place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from spelangy_model.audio.asr import AsrError, WindowResult, recognize_together
from spelangy_model.audio.io import SAMPLE_RATE_HZ
from spelangy_model.audio.windows import Piece, Window
from spelangy_model.records import Word


def window(name: str, seconds: float) -> Window:
    n = round(seconds * SAMPLE_RATE_HZ)
    return Window(np.zeros(n, dtype=np.float32), (Piece(name, 0, 0, n),), "en")


class Scripted:
    """Gives each segment of a window the words of `say(segment, how many share the window)`, over its whole length."""

    def __init__(self, say: Callable[[str, int], Sequence[str]]) -> None:
        self.say = say
        self.calls: list[list[str]] = []

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        results = []
        for one in windows:
            self.calls.append([piece.segment_id for piece in one.pieces])
            words = []
            for piece in one.pieces:
                texts = self.say(piece.segment_id, len(one.pieces))
                step = piece.length / SAMPLE_RATE_HZ / max(len(texts), 1)
                start = piece.window_start / SAMPLE_RATE_HZ
                words += [Word(w, start + i * step, start + (i + 1) * step, 1.0) for i, w in enumerate(texts)]
            results.append(WindowResult(words, "en", 1.0))
        return results


def test_words_of_a_shared_window_come_back_to_their_recording():
    recognizer = Scripted(lambda segment, shared: ["this", "is", segment])
    found = recognize_together("one", recognizer, [window("a", 9.0), window("b", 8.0), window("c", 20.0)])
    assert [[w.text for w in result.words] for result in found.results] == [["this", "is", name] for name in "abc"]
    assert recognizer.calls == [["a", "b"], ["c"]]
    assert (found.shared, found.again) == (2, 0)
    first = found.results[1].words[0]
    assert (first.start_s, first.end_s) == pytest.approx((0.0, 8 / 3))  # from the start of its own window
    assert {(r.language, r.decoded) for r in found.results} == {("en", True)}


@pytest.mark.parametrize("lost", [[], [str(digit % 10) for digit in range(70)]], ids=["passed by", "goes on counting"])
def test_a_recording_that_lost_its_words_is_recognized_again_alone(lost: list[str]):
    recognizer = Scripted(lambda segment, shared: lost if segment == "b" and shared > 1 else ["seven"])
    found = recognize_together("one", recognizer, [window("a", 0.5), window("b", 0.5), window("c", 0.5)])
    assert [[w.text for w in result.words] for result in found.results] == [["seven"]] * 3
    assert recognizer.calls == [["a", "b", "c"], ["b"]]
    assert (found.shared, found.again) == (1, 1)


def test_what_was_recognized_alone_is_not_recognized_again():
    recognizer = Scripted(lambda segment, shared: [])
    found = recognize_together("one", recognizer, [window("a", 20.0), window("b", 20.0)])
    assert [result.words for result in found.results] == [[], []]
    assert recognizer.calls == [["a"], ["b"]]


def test_another_predicate_decides_what_is_recognized_again():
    recognizer = Scripted(lambda segment, shared: ["so", "it", "is"])
    found = recognize_together(
        "one",
        recognizer,
        [window("a", 2.0), window("b", 2.0)],
        lambda place, result: place == 1 and len(result.words) == 3,
    )
    assert recognizer.calls == [["a", "b"], ["b"]]
    assert found.again == 1


def test_a_window_without_a_language_cannot_share_a_call():
    with pytest.raises(ValueError, match="whose language is known"):
        recognize_together("one", Scripted(lambda segment, shared: []), [replace(window("a", 2.0), language="")])


def test_a_recognizer_that_forgets_a_window_is_an_error():
    class Forgets(Scripted):
        def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
            return super().recognize(windows)[1:]

    with pytest.raises(AsrError, match="one gave 0 results for 1 windows"):
        recognize_together("one", Forgets(lambda segment, shared: ["so"]), [window("a", 2.0)])
