"""Detect the language of a text.

Put here: detection over text, with lingua. Do not put here: the language of speech (audio/language.py) or
what to do with a language. The detector knows a fixed list: with all of lingua's languages loaded it takes
half a minute to start and confuses near relatives that the recipes never ask for.
"""

from __future__ import annotations

from functools import cache
from typing import Any

LANGUAGES = (
    "ar", "cs", "da", "de", "el", "en", "es", "fi", "fr", "he", "hi", "hu", "id", "it", "ja", "ko", "nb", "nl",
    "pl", "pt",
    "ro", "ru", "sv", "th", "tr", "uk", "vi", "zh",
)  # fmt: skip
UNDETERMINED = "und"
SAMPLE_CHARACTERS = 2000


@cache
def _detector() -> Any:
    from lingua import IsoCode639_1, LanguageDetectorBuilder

    codes = [getattr(IsoCode639_1, code.upper()) for code in LANGUAGES]
    return LanguageDetectorBuilder.from_iso_codes_639_1(*codes).with_low_accuracy_mode().build()


def detect_language(text: str) -> str:
    """Return the ISO 639-1 code of the language of a text, of those in LANGUAGES, or `und` when it has no words.

    Reads SAMPLE_CHARACTERS from the text's middle, where a page has less of its menus.
    """
    start = max(0, (len(text) - SAMPLE_CHARACTERS) // 2)
    language = _detector().detect_language_of(text[start : start + SAMPLE_CHARACTERS])
    return language.iso_code_639_1.name.lower() if language is not None else UNDETERMINED
