"""The spoken form of English text: what a TTS engine is given in place of numbers, abbreviations and symbols.

Put here: rules that spell out what is written in other signs than words. Do not put here: sentence splitting, the
clean-up of markup, or normalization for scoring (`text/normalize.py`). Engines read `$3.5M`, `1914-1918` or `Dr.`
each in its own way; spelled out once, every voice says the same words, and the transcript of the audio is known.
Number words are num2words' English ones, with its commas left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache

Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]

# A number as written: digits, grouped by commas or not, with decimals or not.
_N = r"(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?"
_MAX_CARDINAL_DIGITS = 15  # longer strings are identifiers, not amounts, and are read digit by digit

_ABBREVIATIONS = {
    "Mr.": "Mister",
    "Mrs.": "Missus",
    "Ms.": "Miss",
    "Dr.": "Doctor",
    "Prof.": "Professor",
    "Gen.": "General",
    "Sen.": "Senator",
    "Rep.": "Representative",
    "Gov.": "Governor",
    "Capt.": "Captain",
    "Lt.": "Lieutenant",
    "Sgt.": "Sergeant",
    "Mt.": "Mount",
    "Ft.": "Fort",
    "Jr.": "Junior",
    "Sr.": "Senior",
    "Inc.": "Incorporated",
    "Ltd.": "Limited",
    "Co.": "Company",
    "Corp.": "Corporation",
    "Dept.": "Department",
    "Univ.": "University",
    "Ave.": "Avenue",
    "Blvd.": "Boulevard",
    "Rd.": "Road",
    "approx.": "approximately",
    "vs.": "versus",
    "etc.": "et cetera",
    "e.g.": "for example",
    "i.e.": "that is",
    "cf.": "compare",
    "ca.": "about",
    "a.k.a.": "also known as",
    "et al.": "and others",
    "a.m.": "A M",
    "p.m.": "P M",
    "w/o": "without",
    "w/": "with",
    "St.": "Street",  # before a name it is Saint, which a rule of its own says first
    "24/7": "twenty-four seven",
}
_BEFORE_NUMBER = {
    "No.": "number",
    "no.": "number",
    "Nos.": "numbers",
    "Fig.": "figure",
    "fig.": "figure",
    "Vol.": "volume",
    "vol.": "volume",
    "Ch.": "chapter",
    "ch.": "chapter",
    "pp.": "pages",
    "p.": "page",
    "c.": "about",
}
_UNITS = {  # unit: (of one, of many)
    "km/h": ("kilometer per hour", "kilometers per hour"),
    "m/s": ("meter per second", "meters per second"),
    "mph": ("mile per hour", "miles per hour"),
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "m": ("meter", "meters"),
    "ft": ("foot", "feet"),
    "mi": ("mile", "miles"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "L": ("liter", "liters"),
    "ms": ("millisecond", "milliseconds"),
    "s": ("second", "seconds"),
    "min": ("minute", "minutes"),
    "h": ("hour", "hours"),
    "hr": ("hour", "hours"),
    "hrs": ("hour", "hours"),
    "Hz": ("hertz", "hertz"),
    "kHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"),
    "GHz": ("gigahertz", "gigahertz"),
    "W": ("watt", "watts"),
    "kW": ("kilowatt", "kilowatts"),
    "MW": ("megawatt", "megawatts"),
    "V": ("volt", "volts"),
    "KB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "\u00b0C": ("degree Celsius", "degrees Celsius"),
    "\u00b0F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "\u00b0": ("degree", "degrees"),
}
_CURRENCIES = {  # sign: (one, many, a hundredth, hundredths)
    "$": ("dollar", "dollars", "cent", "cents"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
    "\u00a5": ("yen", "yen", "sen", "sen"),
}
_MAGNITUDES = {"k": "thousand", "K": "thousand", "M": "million", "m": "million", "bn": "billion", "B": "billion"}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_FRACTION_SIGNS = {
    "\u00bd": "one half",
    "\u00bc": "one quarter",
    "\u00be": "three quarters",
    "\u2153": "one third",
    "\u2154": "two thirds",
}
_SYMBOLS = {
    "&": "and",
    "+": "plus",
    "=": "equals",
    "@": "at",
    "%": "percent",
    "\u2030": "per mille",
    "\u00b1": "plus or minus",
    "\u00d7": "times",
    "\u00f7": "divided by",
    "\u2212": "minus",
    "\u2248": "about",
    "\u2260": "is not",
    "\u2264": "at most",
    "\u2265": "at least",
    "<": "less than",
    ">": "greater than",
    "~": "about",
    "\u00b0": "degrees",
    "\u00a7": "section",
    "\u2192": "to",
    "\u03bc": "micro",
    "\u00b5": "micro",
    "\u03c0": "pi",
    "$": "dollars",
    "\u20ac": "euros",
    "\u00a3": "pounds",
    "\u00a5": "yen",
    "\u00b2": "squared",
    "\u00b3": "cubed",
    "/": "slash",
    "\\": "backslash",
}
# Signs that nobody reads aloud.
_UNSPOKEN = "*_|^`{}[]#\u00a9\u00ae\u2122\u2022\u00b7\u2020\u2021\u200b\u00ad\ufeff"


@cache
def _words(number: str, to: str = "cardinal") -> str:
    from num2words import num2words

    value = float(number) if "." in number else int(number)
    return num2words(value, to=to).replace(",", "")


def _digits(text: str) -> str:
    return " ".join(_words(character) for character in text if character.isdigit())


def _number(text: str) -> str:
    """Spell a number as `_N` matches it: an amount, or digit by digit when it is an identifier."""
    plain = text.replace(",", "")
    whole, _, decimals = plain.partition(".")
    if len(whole) > _MAX_CARDINAL_DIGITS or (len(whole) > 1 and whole[0] == "0"):
        spoken = _digits(whole)
    else:
        spoken = _words(whole)
    return f"{spoken} point {_digits(decimals)}" if decimals else spoken


def _year(text: str) -> str:
    return _words(text, to="year")


def _plural(word: str) -> str:
    return word[:-1] + "ies" if word.endswith("y") else word + ("es" if word.endswith("x") else "s")


def _is_year(text: str) -> bool:
    return len(text) == 4 and text.isdecimal() and 1100 <= int(text) <= 2099


def _amount_or_year(text: str) -> str:
    return _year(text) if _is_year(text) else _number(text)


def _url(match: re.Match[str]) -> str:
    address = re.sub(r"^(?:https?|ftp)://", "", match[0])
    address = re.sub(r"^www\.", "", address).split("?")[0].split("#")[0].rstrip("/")
    for sign, word in (("@", "at"), (".", "dot"), ("/", "slash"), ("-", "dash"), ("_", "underscore"), (":", "colon")):
        address = address.replace(sign, f" {word} ")
    return address + " "


def _money(match: re.Match[str]) -> str:
    one, many, hundredth, hundredths = _CURRENCIES[match["sign"]]
    amount, magnitude = match["amount"], match["magnitude"]
    if magnitude:
        return f"{_number(amount)} {_MAGNITUDES.get(magnitude, magnitude)} {many}"
    whole, _, decimals = amount.replace(",", "").partition(".")
    if decimals and len(decimals) != 2:
        return f"{_number(amount)} {many}"
    parts = [f"{_number(whole)} {one if whole == '1' else many}"] if int(whole) or not decimals else []
    if decimals and int(decimals):
        parts.append(f"{_words(str(int(decimals)))} {hundredth if int(decimals) == 1 else hundredths}")
    return " and ".join(parts) or f"zero {many}"


def _iso_date(match: re.Match[str]) -> str:
    year, month, day = match[1], int(match[2]), str(int(match[3]))
    return f"{_MONTHS[month - 1]} {_words(day, to='ordinal')} {_amount_or_year(year)}"


def _clock(match: re.Match[str]) -> str:
    hour, minute = _words(str(int(match[1]))), match[2]
    if minute == "00":
        return hour if match[3].strip() else f"{hour} o'clock"
    return f"{hour} oh {_words(minute[1])}" if minute[0] == "0" else f"{hour} {_words(minute)}"


def _measure(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    return f"{_number(match['amount'])} {one if match['amount'] == '1' else many}"


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match[1]), int(match[2])
    if below in (2, 4):
        name = {2: ("half", "halves"), 4: ("quarter", "quarters")}[below][above != 1]
    elif below < 2 or below > 20:
        return f"{_words(match[1])} over {_words(match[2])}"
    else:
        name = _words(match[2], to="ordinal") + ("" if above == 1 else "s")
    return f"{_words(match[1])} {name}"


def _abbreviation(table: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def expand(match: re.Match[str]) -> str:
        written = match[0]
        # The period of an abbreviation at the very end is the sentence's as well.
        ends = written.endswith(".") and match.end() == len(match.string.rstrip())
        return table[written] + ("." if ends else "")

    return expand


def _any_of(table: Mapping[str, str] | Mapping[str, object]) -> str:
    return "|".join(re.escape(key) for key in sorted(table, key=len, reverse=True))


def _rules() -> tuple[Rule, ...]:
    """The rules in their order: what is longer and more specific comes before what is a part of it."""
    sign = f"(?P<sign>[{''.join(map(re.escape, _CURRENCIES))}])"
    table: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
        (r"\s+", lambda m: " "),
        (r"\b(?:https?://|www\.)[^\s<>\"')\]]*[\w/]", _url),
        (r"\b[\w.+-]+@[\w-]+(?:\.[\w-]+)+\b", _url),
        (r"\b[\w-]+(?:\.[\w-]+)*\.(?:com|org|net|edu|gov|io)\b(?:/[\w./-]*\w)?", _url),
        (rf"(?<![\w.])(?:{_any_of(_BEFORE_NUMBER)})(?=\s?\d)", lambda m: _BEFORE_NUMBER[m[0]] + " "),
        (r"#(?=\d)", lambda m: "number "),
        (r"\bSt\.(?=\s[A-Z])", lambda m: "Saint"),
        (rf"(?<![\w.])(?:{_any_of(_ABBREVIATIONS)})(?!\w)", _abbreviation(_ABBREVIATIONS)),
        (r"\bWorld War (I{1,2})\b", lambda m: f"World War {'One' if m[1] == 'I' else 'Two'}"),
        (r"(?<![\w.])(?:\+?\d{1,2}[ .-])?(?:\(\d{3}\)\s?|\d{3}[.-])?\d{3}[.-]\d{4}\b(?!-)", lambda m: _digits(m[0])),
        (r"\b\d+(?:\.\d+){2,}\b", lambda m: " point ".join(_number(part) for part in m[0].split("."))),
        (r"\b(\d{4})-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])\b", _iso_date),
        (rf"{sign}\s?(?P<amount>{_N})(?:\s?(?P<magnitude>thousand|million|billion|trillion|bn|[kKMmB])\b)?", _money),
        (r"\b([01]?\d|2[0-3]):([0-5]\d)\b(?!:)(?=(\s?(?:[AaPp]\.?\s?[Mm]\b)?))", _clock),
        (r"\b(\d+)(?:st|nd|rd|th)\b", lambda m: _words(m[1], to="ordinal")),
        (r"\b(\d{3,4})s\b", lambda m: _plural(_year(m[1])) if int(m[1]) % 10 == 0 else f"{_number(m[1])} s"),
        (r"['\u2019](\d0)s\b", lambda m: _plural(_words(m[1]))),
        (r"\b(\d0)s\b", lambda m: _plural(_words(m[1]))),
        (
            rf"(?<![\w.-])({_N})\s?[-\u2013\u2014]\s?(?={_N}(?![\w-]))",
            lambda m: f"{_amount_or_year(m[1])} to ",
        ),
        (rf"(?<![\w.)])[-\u2212](?={_N})", lambda m: "minus "),
        (rf"({_N})\s?%", lambda m: f"{_number(m[1])} percent"),
        (rf"(?P<amount>{_N})\s?(?P<unit>{_any_of(_UNITS)})(?![\w'\u2019])", _measure),
        (r"(?<![\w/.,])(\d{1,3})/(\d{1,3})(?![\w/])", _fraction),
        (r"(?<=\d)(?:\s?x\s?(?=\d)|x\b)", lambda m: " times "),
        (r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)(?=[^\W\d_])", lambda m: " "),
        (r"(?<![\d.,])(\d{4})(?![\d%]|,\d|\.\d)", lambda m: _amount_or_year(m[1])),
        (_N, lambda m: f" {_number(m[0])} " if m.string[max(0, m.start() - 1)].isalnum() else _number(m[0])),
        (rf"[{''.join(_FRACTION_SIGNS)}]", lambda m: f" {_FRACTION_SIGNS[m[0]]} "),
        (r"\band/or\b", lambda m: "and or"),
        (rf"[{re.escape(''.join(_SYMBOLS))}]", lambda m: f" {_SYMBOLS[m[0]]} "),
        (rf"[{re.escape(_UNSPOKEN)}]", lambda m: " "),
        (r"\s+", lambda m: " "),
        (r" (?=[,.;:!?)])", lambda m: ""),
    )
    return tuple((re.compile(pattern), replace) for pattern, replace in table)


_RULES = _rules()
_NOTHING_TO_DO = re.compile(r"(?:[^\W\d_]+(?:['\u2019-][^\W\d_]+)*[,;:!?]? )*[^\W\d_]+[.!?]?")


def spoken_form(text: str) -> str:
    """Return `text` with numbers, ordinals, years, money, times, units, abbreviations, URLs and symbols as words.

    Pure; whitespace runs become one space; a sentence of plain words comes back as it is; the result holds no digit
    and is its own spoken form. English only. A four-digit number from 1100 to 2099 without a comma or a unit is read
    as a year.
    """
    if _NOTHING_TO_DO.fullmatch(text) and "World War" not in text and text.rpartition(" ")[2] not in _ABBREVIATIONS:
        return text
    for pattern, replace in _RULES:
        text = pattern.sub(replace, text)
    return text.strip()
