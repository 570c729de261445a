"""The language of speech, by a vote of the recognizer's detector and of the transcript's language.

Put here: the weights of the language detected in a window's audio and of the transcript's language. Do not
put here: either detector (asr.py listens, spelangy_model/text/language.py reads), or the use of a language.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_model.text.language import UNDETERMINED, detect_language


@dataclass(frozen=True)
class LanguageVote:
    """The parameters of the vote.

    The audio detector votes with its probability, from a whole window. The text votes with `text_weight`, and only from
    `min_text_characters` on, since short texts look like many languages.
    """

    text_weight: float = 0.75
    min_text_characters: int = 40


def language_code(tag: str) -> str:
    """Return the language of a tag that came with a recording ("en", "en-GB", "EN_us"): its primary subtag (BCP 47)."""
    return tag.strip().lower().replace("_", "-").partition("-")[0]


def vote_language(detected: str, probability: float, text: str, vote: LanguageVote) -> tuple[str, float]:
    """Return the language (ISO 639-1) of a segment and its share of the votes cast, 0 to 1.

    `detected` is empty if no detector ran. Without any vote the result is ("und", 0.0); the detector wins a tie.
    """
    votes: dict[str, float] = {}
    if detected:
        votes[detected] = probability
    if len(text) >= vote.min_text_characters and (written := detect_language(text)) != UNDETERMINED:
        votes[written] = votes.get(written, 0.0) + vote.text_weight
    if not votes:
        return UNDETERMINED, 0.0
    language = max(votes, key=lambda code: votes[code])
    total = sum(votes.values())
    return language, votes[language] / total if total else 0.0
