"""The normal form for comparing texts: for duplicates, contamination, and the facts kept in a rewriting.

Put here: that normalization. Do not put here: spoken forms (spoken), or the scoring of ASR, which uses Whisper's
English normalizer.
"""

from __future__ import annotations

import re
import unicodedata

_APOSTROPHES = re.compile(r"(?<=\w)['\u2019\u02bc](?=\w)")
_WORD = re.compile(r"[^\W_]+")
_ASCII = {code: (chr(code).lower() if chr(code).isalnum() else " ") for code in range(128)}


def words_of(text: str) -> list[str]:
    """Return the words of a text: NFKC, case folded, apostrophes inside words removed, all other marks are gaps."""
    if text.isascii():  # the same words, several times faster
        return (_APOSTROPHES.sub("", text) if "'" in text else text).translate(_ASCII).split()
    return _WORD.findall(_APOSTROPHES.sub("", unicodedata.normalize("NFKC", text).casefold()))


def normalize(text: str) -> str:
    """Return the words of a text joined by single spaces."""
    return " ".join(words_of(text))
