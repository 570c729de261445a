"""Filters of transcripts for training, each with a reason for its drops.

Put here: the filters of one transcript and their limits. Do not put here: the vote that made it, language
detection, or the handling of a drop.

Each filter takes the transcript, its segment (overlap and levels) and the limits, and returns None or a Drop. The
first filter that returns a Drop, in the order of FILTERS, gives the reason.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spelangy_model.audio.words import normalized
from spelangy_model.records import Segment, Transcript
from spelangy_model.text.language import UNDETERMINED

# Whisper's typical hallucinations on silence, music and noise, from video subtitles; in normalized words.
PHRASES = (
    "thanks for watching",
    "thank you for watching",
    "thank you so much for watching",
    "thanks for listening",
    "please subscribe",
    "please subscribe to my channel",
    "please like and subscribe",
    "dont forget to like and subscribe",
    "ill see you in the next video",
    "see you in the next video",
    "see you next time",
    "subtitles by the amaraorg community",
    "transcription by castingwords",
    "you",
    "bye bye",
)


@dataclass(frozen=True)
class FilterLimits:
    """The filters' limits. Rates of characters are over the segment's whole length, without spaces."""

    languages: tuple[str, ...] = ("en",)
    min_duration_s: float = 0.3
    max_duration_s: float = 30.0
    max_overlap_share: float = 0.5
    min_snr_db: float = 3.0
    max_silent_word_share: float = 0.5
    min_agreement: float = 0.5
    min_confidence: float = 0.5
    max_characters_per_s: float = 25.0
    min_characters_per_s: float = 2.0
    min_characters_from_s: float = 3.0
    min_unique_word_share: float = 0.3
    min_unique_words_from: int = 10
    max_ngram_repeats: int = 4
    max_ngram_words: int = 6
    max_letter_repeats: int = 10
    max_repeated_letters: int = 4
    phrases: tuple[str, ...] = PHRASES


# The paper's two rules: drop segments without words and repeated ones. The paper also keeps only English. The other
# filters are off.
PAPER_LIMITS = FilterLimits(
    min_duration_s=0.0,
    max_duration_s=60.0,
    max_overlap_share=1.0,
    min_snr_db=-1000.0,
    max_silent_word_share=1.0,
    min_agreement=0.0,
    min_confidence=0.0,
    max_characters_per_s=1e6,
    min_characters_per_s=0.0,
    phrases=(),
)


@dataclass(frozen=True)
class Drop:
    """Why a transcript is not kept: a short fixed word, and the measured value against its limit."""

    reason: str
    detail: str


Filter = Callable[[Transcript, Segment, FilterLimits], Drop | None]


def first_drop(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    """Return the Drop of the first filter that gives one, or None if the transcript passes all."""
    return next((drop for check in FILTERS if (drop := check(transcript, segment, limits))), None)


def _language(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    # A text too short for detection, without a detector on the audio, has no known language: keep it.
    if limits.languages and transcript.language not in (*limits.languages, UNDETERMINED):
        return Drop("language", f"{transcript.language}, not one of {', '.join(limits.languages)}")
    return None


def _empty(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    return None if any(normalized(word.text) for word in transcript.words) else Drop("empty", "no word won the vote")


def _duration(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    duration_s = transcript.end_s - transcript.start_s
    if duration_s < limits.min_duration_s:
        return Drop("too_short", f"{duration_s:.2f} s < {limits.min_duration_s} s")
    if duration_s > limits.max_duration_s:
        return Drop("too_long", f"{duration_s:.2f} s > {limits.max_duration_s} s")
    return None


def _overlap(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    share = segment.overlap_s / (transcript.end_s - transcript.start_s)
    if share > limits.max_overlap_share:
        return Drop("overlapped", f"{share:.2f} of the segment > {limits.max_overlap_share}")
    return None


def _noise(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    if segment.snr_db < limits.min_snr_db:  # False for NaN, which means not measured
        return Drop("low_snr", f"{segment.snr_db:.1f} dB < {limits.min_snr_db} dB")
    return None


def _silence(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    # Given words have interpolated times, which do not show where each word is spoken.
    if transcript.systems == ["given"] or math.isnan(segment.snr_db):
        return None
    words = [word for word in transcript.words if normalized(word.text)]
    silent = sum(not any(s.start_s <= word.end_s and word.start_s <= s.end_s for s in segment.sound) for word in words)
    if silent > limits.max_silent_word_share * len(words):
        return Drop("text_on_silence", f"{silent} of {len(words)} words where there is no sound")
    return None


def _phrase(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    # A transcript that came with the audio was not hallucinated.
    text = " ".join(key for word in transcript.words if (key := normalized(word.text)))
    if transcript.systems != ["given"] and text in limits.phrases:
        return Drop("hallucinated_phrase", text)
    return None


def _loop(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    words = [key for word in transcript.words if (key := normalized(word.text))]
    if len(words) >= limits.min_unique_words_from:
        share = len(set(words)) / len(words)
        if share < limits.min_unique_word_share:
            return Drop("loop", f"{share:.2f} of the words are different < {limits.min_unique_word_share}")
    for size in range(1, limits.max_ngram_words + 1):
        repeats = longest_repeat(words, size)
        if repeats > limits.max_ngram_repeats:
            return Drop("loop", f"{size} words {repeats} times in a row > {limits.max_ngram_repeats}")
    # A loop may also stay inside of one word: "hahahahaha...". The zeros of a number do not count.
    for key in words:
        for size in range(1, limits.max_repeated_letters + 1):
            if not key.isdigit() and (repeats := longest_repeat(key, size)) > limits.max_letter_repeats:
                return Drop("loop", f"{size} letters {repeats} times in a row > {limits.max_letter_repeats}")
    return None


def longest_repeat(words: Sequence[str], size: int) -> int:
    """Return the longest run of repeats of `size` words, or letters of a word (1: no repeat, 0: too few)."""
    if len(words) < size:
        return 0
    run = longest = 0
    for i in range(len(words) - size):
        run = run + 1 if words[i] == words[i + size] else 0
        longest = max(longest, run)
    return 1 + longest // size


def _pace(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    duration_s = transcript.end_s - transcript.start_s
    rate = sum(len(word.text) for word in transcript.words) / duration_s
    if rate > limits.max_characters_per_s:
        return Drop("too_fast", f"{rate:.1f} characters/s > {limits.max_characters_per_s}")
    if duration_s >= limits.min_characters_from_s and rate < limits.min_characters_per_s:
        return Drop("too_sparse", f"{rate:.1f} characters/s < {limits.min_characters_per_s}")
    return None


def _agreement(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    if transcript.agreement < limits.min_agreement:
        return Drop("low_agreement", f"{transcript.agreement:.2f} < {limits.min_agreement}")
    return None


def _confidence(transcript: Transcript, segment: Segment, limits: FilterLimits) -> Drop | None:
    if transcript.confidence < limits.min_confidence:
        return Drop("low_confidence", f"{transcript.confidence:.2f} < {limits.min_confidence}")
    return None


FILTERS: tuple[Filter, ...] = (
    *(_language, _empty, _duration, _overlap, _noise, _silence),
    *(_phrase, _loop, _pace, _agreement, _confidence),
)
