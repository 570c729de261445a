"""The spoken form of English text: words for a TTS engine in place of numbers, abbreviations and symbols.

Put here: rules that spell out numbers, abbreviations and symbols as words. Do not put here: sentence splitting, the
clean-up of markup, or normalization for scoring (`text/normalize.py`). Engines read `$3.5M`, `1914-1918` or `Dr.`
each in its own way; after this step every voice speaks the same words, and the transcript of the audio is known.
Number words are num2words' English ones, with its commas left out.
"""

from __future__ import annotations

import re
import unicodedata
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
    "St.": "Street",  # before a name it is Saint: another rule applies first
    "24/7": "twenty-four seven",
}
_BEFORE_NUMBER = {
    "No.": "number",
    "Nos.": "numbers",
    "nos.": "numbers",
    "Fig.": "figure",
    "fig.": "figure",
    "Figs.": "figures",
    "Vol.": "volume",
    "vol.": "volume",
    "Ch.": "chapter",
    "ch.": "chapter",
    "Sec.": "section",
    "pp.": "pages",
    "p.": "page",
    "c.": "about",
}
_PLAIN_UNITS = {  # unit: (of one, of many)
    "km": ("kilometer", "kilometers"),
    "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"),
    "\u00b5m": ("micrometer", "micrometers"),
    "nm": ("nanometer", "nanometers"),
    "m": ("meter", "meters"),
    "ft": ("foot", "feet"),
    "\u2032": ("foot", "feet"),
    "\u2033": ("inch", "inches"),
    "mi": ("mile", "miles"),
    "yd": ("yard", "yards"),
    "ha": ("hectare", "hectares"),
    "kg": ("kilogram", "kilograms"),
    "mg": ("milligram", "milligrams"),
    "\u00b5g": ("microgram", "micrograms"),
    "mcg": ("microgram", "micrograms"),
    "g": ("gram", "grams"),
    "lb": ("pound", "pounds"),
    "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"),
    "ml": ("milliliter", "milliliters"),
    "mL": ("milliliter", "milliliters"),
    "cl": ("centiliter", "centiliters"),
    "L": ("liter", "liters"),
    "gal": ("gallon", "gallons"),
    "tsp": ("teaspoon", "teaspoons"),
    "tbsp": ("tablespoon", "tablespoons"),
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
    "GW": ("gigawatt", "gigawatts"),
    "Wh": ("watt hour", "watt hours"),
    "kWh": ("kilowatt hour", "kilowatt hours"),
    "MWh": ("megawatt hour", "megawatt hours"),
    "mAh": ("milliampere hour", "milliampere hours"),
    "V": ("volt", "volts"),
    "kV": ("kilovolt", "kilovolts"),
    "J": ("joule", "joules"),
    "kJ": ("kilojoule", "kilojoules"),
    "kcal": ("kilocalorie", "kilocalories"),
    "Pa": ("pascal", "pascals"),
    "hPa": ("hectopascal", "hectopascals"),
    "kPa": ("kilopascal", "kilopascals"),
    "dB": ("decibel", "decibels"),
    "rpm": ("revolution per minute", "revolutions per minute"),
    "psi": ("pound per square inch", "pounds per square inch"),
    "mph": ("mile per hour", "miles per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"),
    "kph": ("kilometer per hour", "kilometers per hour"),
    "bps": ("bit per second", "bits per second"),
    "kbps": ("kilobit per second", "kilobits per second"),
    "Mbps": ("megabit per second", "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"),
    "KB": ("kilobyte", "kilobytes"),
    "kB": ("kilobyte", "kilobytes"),
    "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"),
    "TB": ("terabyte", "terabytes"),
    "\u00b0C": ("degree Celsius", "degrees Celsius"),
    "\u00b0F": ("degree Fahrenheit", "degrees Fahrenheit"),
    "\u00b0": ("degree", "degrees"),
}
_LENGTHS = ("km", "cm", "mm", "m", "ft", "mi", "yd")
_DIVISORS = ("h", "hr", "s", "min", "kg", "g", "L", "ml", "mL", "km", "m")
_PER_TIME = {"mo": "month", "yr": "year", "hr": "hour", "h": "hour", "day": "day", "week": "week", "night": "night"} | {
    word: word for word in ("hour", "month", "year", "minute", "second", "person")
}


def _all_units() -> dict[str, tuple[str, str]]:
    """Return the units with their squares and cubes, and one over another: m\u00b2, g/cm\u00b3, m/s\u00b2."""
    units = dict(_PLAIN_UNITS)
    for unit in _LENGTHS:
        for sign, word in (("\u00b2", "square"), ("\u00b3", "cubic")):
            units[unit + sign] = (f"{word} {_PLAIN_UNITS[unit][0]}", f"{word} {_PLAIN_UNITS[unit][1]}")
    units["sq ft"] = ("square foot", "square feet")
    units["sq km"] = ("square kilometer", "square kilometers")
    units["sq mi"] = ("square mile", "square miles")
    units["fl oz"] = ("fluid ounce", "fluid ounces")
    below = {unit: _PLAIN_UNITS[unit][0] for unit in _DIVISORS} | {
        unit: units[unit][0] for unit in units if unit[-1] in "\u00b2\u00b3"
    }
    below |= {"s\u00b2": "second squared", "dl": "deciliter", "dL": "deciliter"}
    for unit in (
        "km",
        "m",
        "cm",
        "mm",
        "mg",
        "\u00b5g",
        "g",
        "kg",
        "kJ",
        "kcal",
        "kWh",
        "W",
        "MB",
        "GB",
        "L",
        "ml",
        "ft",
    ):
        one, many = units[unit]
        for divisor, word in below.items():
            units[f"{unit}/{divisor}"] = (f"{one} per {word}", f"{many} per {word}")
    return units


_UNITS = _all_units()
_CURRENCIES = {  # sign or code: (one, many, a hundredth, hundredths)
    "$": ("dollar", "dollars", "cent", "cents"),
    "US$": ("U S dollar", "U S dollars", "cent", "cents"),
    "A$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "AU$": ("Australian dollar", "Australian dollars", "cent", "cents"),
    "C$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "CA$": ("Canadian dollar", "Canadian dollars", "cent", "cents"),
    "NZ$": ("New Zealand dollar", "New Zealand dollars", "cent", "cents"),
    "HK$": ("Hong Kong dollar", "Hong Kong dollars", "cent", "cents"),
    "S$": ("Singapore dollar", "Singapore dollars", "cent", "cents"),
    "R$": ("real", "reais", "centavo", "centavos"),
    "\u20ac": ("euro", "euros", "cent", "cents"),
    "\u00a3": ("pound", "pounds", "penny", "pence"),
    "\u00a5": ("yen", "yen", "sen", "sen"),
    "\u20b9": ("rupee", "rupees", "paisa", "paise"),
    "\u20a9": ("won", "won", "jeon", "jeon"),
    "\u20bd": ("ruble", "rubles", "kopeck", "kopecks"),
    "\u20ba": ("lira", "lira", "kurus", "kurus"),
}
_CURRENCY_CODES = {
    "USD": "US$",
    "EUR": "\u20ac",
    "GBP": "\u00a3",
    "JPY": "\u00a5",
    "INR": "\u20b9",
    "AUD": "A$",
    "CAD": "C$",
    "NZD": "NZ$",
    "HKD": "HK$",
    "BRL": "R$",
}
_MAGNITUDES = {
    "k": "thousand",
    "K": "thousand",
    "M": "million",
    "m": "million",
    "bn": "billion",
    "B": "billion",
    "tn": "trillion",
}
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
_MONTH_NAMES = {
    **{month: month for month in _MONTHS},
    **{month[:3]: month for month in _MONTHS if month != "May"},
    "Sept": "September",
}
_KINGS = (  # and queens, and popes: a numeral behind them is an ordinal
    "Louis|Henry|George|Edward|Charles|Elizabeth|Richard|William|James|Paul|Pius|Benedict|Gregory|Leo"
    "|Philip|Napoleon|Catherine|Frederick|Ivan|Peter|Alexander|Nicholas|Ramses|Rameses|Francis|John"
    "|Clement|Innocent|Urban|Sixtus|Julius|Mary|Margaret|Christian|Gustav|Olaf|Haakon|Otto|Ptolemy|Wilhelm"
    "|Friedrich|Ferdinand|Alfonso|Felipe|Juan|Pedro|Darius|Xerxes|Constantine|Boniface|Harald|Victor"
    "|Umberto|Leopold|Albert|Rainier|Robert|David|Malcolm"
)
_NUMBERED = (
    "Chapter|Part|Volume|Book|Act|Scene|Section|Article|Title|Phase|Type|Class|Stage|Level|Schedule|Mark|Appendix"
)
_ROMAN = r"(?=[IVXL]+\b)(?:XL|L?X{0,3})(?:IX|IV|V?I{0,3})"  # 1 to 89; longer ones are words or initials, too
_RAISED = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079\u207a\u207b\u207f"
# Signs that are others in another shape: lowered digits, minus signs, Roman numerals of one character.
_LOWERED: dict[int, str] = {
    **{0x2080 + digit: str(digit) for digit in range(10)},
    **dict.fromkeys((0x2212, 0x2010, 0x2011), "-"),
    0x3BC: "\u00b5",
    **{code: unicodedata.normalize("NFKC", chr(code)) for code in range(0x2160, 0x2180)},
}
_FRACTION_SIGNS = "\u00bc-\u00be\u2150-\u215e\u2189"
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
    "\u00b5": "micro",
    "\u03c0": "pi",
    "$": "dollars",
    "\u20ac": "euros",
    "\u00a3": "pounds",
    "\u00a5": "yen",
    "\u20b9": "rupees",
    "\u20a9": "won",
    "\u20bd": "rubles",
    "\u20ba": "lira",
    "\u00a2": "cents",
    "/": "slash",
    "\\": "backslash",
}
# Signs that are not read aloud.
_UNSPOKEN = "*_|^`{}[]#\u00a9\u00ae\u2122\u2022\u00b7\u2020\u2021\u2032\u2033\u200b\u00ad\ufeff"


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


# Footnote marks, which follow the text that they belong to; Wikipedia's requests to its authors are in them.
NOTE_MARK = re.compile(
    r"\s?\[(?:\d{1,3}|[a-z]|nb \d+|note \d+|citation needed|edit|clarification needed|who\?|when\?"
    r"|according to whom\?)\]",
    re.IGNORECASE,
)


def _url(match: re.Match[str]) -> str:
    address = re.sub(r"^(?:https?|ftp)://", "", match[0])
    address = re.sub(r"^www\.", "", address).split("?")[0].split("#")[0].rstrip("/")
    for sign, word in (("@", "at"), (".", "dot"), ("/", "slash"), ("-", "dash"), ("_", "underscore"), (":", "colon")):
        address = address.replace(sign, f" {word} ")
    return address + " "


def _money(match: re.Match[str]) -> str:
    groups = match.groupdict()
    sign = groups["sign"]
    one, many, hundredth, hundredths = _CURRENCIES[_CURRENCY_CODES.get(sign, sign)]
    amount, magnitude = match["amount"], groups.get("magnitude")
    minus = "minus " if groups.get("minus") else ""
    upper = groups.get("upper")
    if upper:
        first = _number(amount) if magnitude else f"{_number(amount)}{'' if groups.get('bare') else ' ' + many}"
        scale = f" {_MAGNITUDES.get(magnitude, magnitude)}" if magnitude else ""
        return f"{first} to {_number(upper)}{scale} {many}"
    if magnitude:
        return f"{minus}{_number(amount)} {_MAGNITUDES.get(magnitude, magnitude)} {many}"
    whole, _, decimals = amount.replace(",", "").partition(".")
    if decimals and len(decimals) != 2:
        return f"{minus}{_number(amount)} {many}"
    parts = [f"{_number(whole)} {one if whole == '1' else many}"] if int(whole) or not decimals else []
    if decimals and int(decimals):
        parts.append(f"{_words(str(int(decimals)))} {hundredth if int(decimals) == 1 else hundredths}")
    return minus + (" and ".join(parts) or f"zero {many}")


def _date(year: str, month: int, day: int) -> str:
    if len(year) == 2:
        year = f"{'20' if int(year) < 50 else '19'}{year}"
    return f"{_MONTHS[month - 1]} {_words(str(day), to='ordinal')} {_amount_or_year(year)}"


def _slashed_date(match: re.Match[str]) -> str:
    """Read 12/25/2023 and 25/12/2023; where both could be, as Americans write it. What is no date is left."""
    first, second = int(match[1]), int(match[2])
    if 1 <= first <= 12 and 1 <= second <= 31:
        return _date(match[3], first, second)
    if 1 <= second <= 12 and 1 <= first <= 31:
        return _date(match[3], second, first)
    return match[0]


def _dotted_date(match: re.Match[str]) -> str:
    day, month = int(match[1]), int(match[2])
    return _date(match[3], month, day) if 1 <= month <= 12 and 1 <= day <= 31 else match[0]


def _month_day(match: re.Match[str]) -> str:
    upper = f" to {_words(match['upper'], to='ordinal')}" if match["upper"] else ""
    return f"{_MONTH_NAMES[match['month']]} {_words(match['day'], to='ordinal')}{upper}"


def _day_month(match: re.Match[str]) -> str:
    return f"{match['the'] or 'the '}{_words(match['day'], to='ordinal')} of {_MONTH_NAMES[match['month']]}"


def _half_of_day(text: str) -> str:
    return f"{text.strip()[0].upper()} M" if text and text.strip() else ""


def _hour(hour: str, minute: str | None, half: str | None, rest: str = "") -> str:
    """Read a time of day: ten oh five A M, nine o'clock, fourteen oh five thirty."""
    parts = [_words(str(int(hour)))]
    spoken = [part for part in (minute, rest) if part and (part != "00" or rest)]
    parts += [f"oh {_words(part[1])}" if part[0] == "0" else _words(part) for part in spoken]
    if half and half.strip():
        parts.append(_half_of_day(half))
    elif minute == "00" and len(parts) == 1:
        parts.append("o'clock")
    return " ".join(parts)


def _clock(match: re.Match[str]) -> str:
    return (
        _hour(match["hour"], match["minute"], match["half"], match["second"] or "")
        + _end_of_half(match)
        + (" " if match.string[match.end() : match.end() + 1].isalnum() else "")
    )


def _end_of_half(match: re.Match[str]) -> str:
    """Return the period of "a.m." where it ends the sentence, too."""
    return "." if match[0].endswith(".") and match.end() == len(match.string.rstrip()) else ""


def _hours(match: re.Match[str]) -> str:
    first = _words(match["first"]) + (f" {_half_of_day(match['early'])}" if match["early"] else "")
    return f"{first} to {_words(match['last'])} {_half_of_day(match['half'])}{_end_of_half(match)}"


def _measure(match: re.Match[str]) -> str:
    one, many = _UNITS[match["unit"]]
    amount = match["amount"]
    single = amount == "1" or match["hyphen"] == "-"
    minus = "minus " if match["minus"] else ""
    if match["upper"]:
        return f"{_number(amount)} to {_number(match['upper'])} {many}"
    return f"{minus}{_number(amount)} {one if single else many}"


def _fraction_words(above: int, below: int) -> str:
    if below in (2, 4):
        name = {2: ("half", "halves"), 4: ("quarter", "quarters")}[below][above != 1]
    elif below > 20 and below not in (100, 1000):
        return f"{_words(str(above))} over {_words(str(below))}"
    else:
        ordinal = (
            _words(str(below), to="ordinal").removeprefix("one ") if below > 20 else _words(str(below), to="ordinal")
        )
        name = ordinal + ("" if above == 1 else "s")
    return f"{_words(str(above))} {name}"


def _height(match: re.Match[str]) -> str:
    feet, inches = match[1], match[2]
    return f"{_words(feet)} {_feet(feet)} {_words(inches)} {'inch' if inches == '1' else 'inches'}"


def _feet(number: str) -> str:
    return "foot" if number == "1" else "feet"


def _part_of_measure(match: re.Match[str]) -> str:
    whole, part = match["whole"], match["part"]
    written = f"{whole or ''}{'' if part.isnumeric() or not whole else ' '}{part}"
    return f"{spoken_form(written)} {_UNITS[match['unit']][1 if whole else 0]}"


def _fraction(match: re.Match[str]) -> str:
    above, below = int(match["above"]), int(match["below"])
    if match["whole"]:
        return f"{_number(match['whole'])} and {_fraction_words(above, below)}" if below > 1 else match[0]
    if (above, below) == (9, 11):
        return "nine eleven"
    if below < 2 or (above == below and below > 2):
        return (
            f"{_words(str(above))} {_words(str(below))}"
            if below > 1
            else f"{_words(str(above))} over {_words(str(below))}"
        )
    return _fraction_words(above, below)


def _fraction_sign(match: re.Match[str]) -> str:
    from fractions import Fraction

    value = Fraction(unicodedata.numeric(match[2])).limit_denominator(20)
    spoken = _fraction_words(value.numerator, value.denominator) if value.denominator > 1 else "zero thirds"
    return f"{_number(match[1])} and {spoken} " if match[1] else f" {spoken} "


def _sign_of_number(match: re.Match[str]) -> str:
    """Read one sign that is a number or a letter, as (1) in a circle, as the plain signs that it represents."""
    plain = unicodedata.normalize("NFKC", match[0])
    value = unicodedata.numeric(match[0], None)
    return f" {plain} " if value is None or plain.isalpha() else f" {_number(str(int(value)))} "


def _power(base: str, exponent: str) -> str:
    """Read an exponent in plain signs: squared, cubed, to the sixth, to the minus ninth, to the n."""
    if exponent in ("2", "3"):
        return f"{base} {'squared' if exponent == '2' else 'cubed'} "
    minus = "minus " if exponent.startswith("-") else ""
    digits = exponent.lstrip("+-")
    return f"{base} to the {minus}{_words(digits, to='ordinal') if digits.isdecimal() else digits} "


def _raised(match: re.Match[str]) -> str:
    exponent = unicodedata.normalize("NFKC", match[0]).replace("\u2212", "-")
    return _power("", exponent) if re.fullmatch(r"[+-]?\d{1,4}|n", exponent) else f" {_digits(exponent)} "


def _ordinal(match: re.Match[str]) -> str:
    return _words(match[1].replace(",", ""), to="ordinal")


_ROMAN_VALUES = {"I": 1, "V": 5, "X": 10, "L": 50}


def _roman(text: str, to: str = "cardinal") -> str:
    values = [_ROMAN_VALUES[sign] for sign in text]
    total = sum(-value if value < max(values[at + 1 :], default=0) else value for at, value in enumerate(values))
    return _words(str(total), to=to)


def _king(match: re.Match[str]) -> str:
    number = _roman(match[2], to="ordinal")
    return f"{match[1]} the {number[0].upper()}{number[1:]}"


def _range(match: re.Match[str]) -> str:
    first, last = match[1], match[2]
    if _is_year(first) and len(last) == 2:
        return f"{_year(first)} to "
    return f"{_amount_or_year(first)} to "


def _groups_of_digits(match: re.Match[str]) -> str:
    parts = re.split(r"[-\u2013]", match[0])
    if max(map(len, parts)) < 3:
        return " ".join(_number(part) for part in parts)
    return " ".join(_digits(part) for part in parts)


def _initials(match: re.Match[str]) -> str:
    letters = " ".join(letter.upper() for letter in match[0] if letter.isalpha())
    return letters + ("." if match.end() == len(match.string.rstrip()) else "")


def _abbreviation(table: Mapping[str, str]) -> Callable[[re.Match[str]], str]:
    def expand(match: re.Match[str]) -> str:
        written = match[0]
        # The period of an abbreviation at the very end is the sentence's as well.
        ends = written.endswith(".") and match.end() == len(match.string.rstrip())
        return table[written] + ("." if ends else "")

    return expand


def _any_of(table: Mapping[str, str] | Mapping[str, object]) -> str:
    return "|".join(re.escape(key) for key in sorted(table, key=len, reverse=True))


@cache  # to compile them takes a seventh of a second
def _rules() -> tuple[Rule, ...]:
    """The rules in their order: longer and more specific patterns come before their parts."""
    sign = f"(?P<sign>{_any_of(_CURRENCIES)})"
    code = f"(?P<sign>{_any_of(_CURRENCY_CODES)})"
    magnitude = r"(?:[\s-]?(?P<magnitude>thousand|million|billion|trillion|bn|tn|[kKMmB])\b)?"
    months = f"(?P<month>{_any_of(_MONTH_NAMES)})"
    to = r"\s?[-\u2013\u2014]\s?"
    half = r"\s?[AaPp](?:\.\s?[Mm]\.|[Mm]\b)"
    table: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
        (NOTE_MARK.pattern, lambda m: ""),
        (r"\d{20,}", lambda m: f" {_digits(m[0])} "),  # no amount has so many, and every rule would read them all
        (r"(?<![\d.,])\d{1,3}(?:[ \u00a0\u202f\u2009]\d{3}){2,}(?![\d.,])", lambda m: re.sub(r"\s", ",", m[0])),
        (r"(?<![\d.,])\d{1,3}(?:[\u00a0\u202f\u2009]\d{3}| 000)(?![\d.,])", lambda m: re.sub(r"\s", ",", m[0])),
        (r"(?<![\d.,])\d{1,3}(?:\.\d{3}){2,}(?![\d.,])", lambda m: m[0].replace(".", ",")),
        (r"\s+", lambda m: " "),
        (r"\b(?:https?://|www\.)[^\s<>\"')\]]*[\w/]", _url),
        (r"(?<![\w.+-])[\w.+-]++@[\w-]+(?:\.[\w-]+)+\b", _url),
        (rf"(?<![\w.-])[\w-]+(?:\.[\w-]+)*\.(?:{_DOMAINS})\b(?:/[\w./-]*\w)?", _url),
        (r"<([a-zA-Z][^<>\d]{0,40})>", lambda m: m[1]),
        (rf"(?<![\w.])(?:{_any_of(_BEFORE_NUMBER)})(?=\s?\d)", lambda m: _BEFORE_NUMBER[m[0]] + " "),
        (rf"\b({_BEFORE_NO}) no\.(?=\s?\d)", lambda m: f"{m[1]} number "),
        (r"#(?=\d)|\u2116\s?(?=\d)", lambda m: "number "),
        (r"\b([CF])#", lambda m: f"{m[1]} sharp"),
        (r"\bSt\.(?=\s[A-Z])", lambda m: "Saint"),
        (r"(?<=\d)(?P<hyphen>\s?)(?P<unit>tsp|tbsp|oz|lbs?|ft|min|hrs?|gal)\.(?=\s[a-z])", lambda m: f" {m['unit']}"),
        (rf"(?<![\w.])(?:{_any_of(_ABBREVIATIONS)})(?!\w)", _abbreviation(_ABBREVIATIONS)),
        (r"\bPh\.\s?D\.?(?!\w)", lambda m: "P H D" + ("." if m.end() == len(m.string.rstrip()) else "")),
        (r"\bB\.\s?Sc\.?(?!\w)", lambda m: "B S C" + ("." if m.end() == len(m.string.rstrip()) else "")),
        (r"\b(?:[A-Z]\.){2,}(?!\w)", _initials),
        (r"\bWorld War (I{1,2})\b", lambda m: f"World War {'One' if m[1] == 'I' else 'Two'}"),
        (rf"\b({_KINGS}) (?=..)({_ROMAN})\b(?![.'\u2019]\w)", _king),
        (rf"\b({_NUMBERED}) ({_ROMAN})\b(?! [a-z]+ (?:is|was|am|think)\b)", lambda m: f"{m[1]} {_roman(m[2])}"),
        (rf"\bBowl ({_ROMAN})\b", lambda m: f"Bowl {_roman(m[1])}"),
        (r"\bIV(?= (?:fluid|drip|line|bag|therap|antibiotic|infusion|pole))", lambda m: "I V"),
        (rf"(?<![\w.])(?=[IVX]{{2}})({_ROMAN})\b(?![.'\u2019]\w)", lambda m: _roman(m[1])),
        (r"(?<!\w)\+\d[\d ().-]{6,18}\d\b", lambda m: f"plus {_digits(m[0])}"),
        (r"(?<![\w.])0\d{2,4} \d{3,4} \d{3,4}\b", lambda m: _digits(m[0])),
        (r"(?<![\w.])(?:\+?\d{1,2}[ .-])?(?:\(\d{3}\)\s?|\d{3}[.-])?\d{3}[.-]\d{4}\b(?!-)", lambda m: _digits(m[0])),
        (r"(?i:(?<=\bcall )|(?<=\bdial )|(?<=\bring )|(?<=\btext ))\d{3}(?![\d.,-]| \d)", lambda m: _digits(m[0])),
        (r"\b(7\d7|A3\d\d)-(?=\d{1,3}\b)", lambda m: f"{m[1]} "),  # aircraft are no ranges
        (r"[\u2032\u2033]\s?(?=feet|foot|inch)", lambda m: " "),
        (r"(?<=[^\W\d_])\u2032(?=[a-z])", lambda m: "'"),
        (r"\b(\d{1,2})\.(\d{1,2})\.((?:19|20)\d{2})\b(?!\.\d)", _dotted_date),
        (r"\b(\d{4})[-/](0[1-9]|1[0-2])[-/](0[1-9]|[12]\d|3[01])\b", lambda m: _date(m[1], int(m[2]), int(m[3]))),
        (r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4}|\d{2})\b(?!/)", _slashed_date),
        (r"(?<![\d.])v?\d+(?:\.\d+){2,}+\b", _version),
        (r"\bv(?=\d)", lambda m: "v "),
        (r"(?<![\w.-])\d+(?:[-\u2013]\d+){2,}+(?![\w-])", _groups_of_digits),
        (
            rf"\b{months}\.?\s(?P<day>\d{{1,2}})(?:st|nd|rd|th)?(?:{to}(?P<upper>\d{{1,2}}))?"
            r"(?![\d:%\w]|[.,]\d| [ap]\.?m)",
            _month_day,
        ),
        (rf"\b(?P<the>[Tt]he )?(?P<day>[12]?\d|3[01])(?:st|nd|rd|th)? {months}\b\.?(?! \d{{1,2}}\b)", _day_month),
        (rf"\b(?P<month>{_any_of(_SHORT_MONTHS)})\.?(?= \d{{4}}\b)", lambda m: _MONTH_NAMES[m["month"]]),
        (rf"(\b\d{{1,2}}:[0-5]\d(?:{half})?){to}(?=\d{{1,2}}:[0-5]\d)", lambda m: f"{m[1]} to "),
        (rf"(?P<first>\b\d{{1,2}})(?P<early>{half})?{to}(?P<last>\d{{1,2}})(?P<half>{half})", _hours),
        (
            rf"\b(?P<hour>[01]?\d|2[0-3]):(?P<minute>[0-5]\d)(?::(?P<second>[0-5]\d))?(?![\d:])(?P<half>{half})?",
            _clock,
        ),
        (r"\b(\d{1,2}):(\d{1,2})\b(?!:)", lambda m: f"{_number(m[1])} to {_number(m[2])}"),
        (r"(?<=\d)([;:])(?=\d)", lambda m: f"{m[1]} "),
        (r"(?P<hour>\b1?\d)(?:\.(?P<minute>[0-5]\d))?(?P<second>)(?P<half>" + half + ")", _clock),
        (
            rf"(?P<minus>(?<![\w.)])-)?(?<![\w]){sign}\s?(?P<amount>{_N}){to}(?P<bare>)(?P<upper>{_N}){magnitude}(?![\d%])",
            _money,
        ),
        (rf"{sign}(?P<amount>{_N}){to}(?:{_any_of(_CURRENCIES)})(?P<upper>{_N}){magnitude}", _money),
        (rf"(?P<minus>(?<![\w.)])-)?(?<![\w]){sign}\s?(?P<amount>{_N}){magnitude}", _money),
        (rf"\b{code}\s?(?P<amount>{_N}){magnitude}", _money),
        (rf"(?P<minus>(?<![\w.)])-)?\b(?P<amount>{_N})\s?{code}\b", _money),
        (rf"\b(?P<amount>{_N})\s?(?P<sign>[\u20ac\u00a3\u20bd])", _money),
        (rf"\b({_N})\s?\u00a2", lambda m: f"{_number(m[1])} {'cent' if m[1] == '1' else 'cents'}"),
        (r"\b(dollars|euros|pounds|yen|cents)-(?:(an?)-)?(?=\w)", lambda m: f"{m[1]} {m[2] + ' ' if m[2] else ''}"),
        (rf"\b(\d+)(?:st|nd|rd|th){to}(?=\d+(?:st|nd|rd|th)\b)", lambda m: f"{_ordinal(m)} to "),
        (rf"(?<=[{_FRACTION_SIGNS}]){to}(?=\d)", lambda m: " to "),
        (r"\b(\d{1,3}(?:,\d{3})+|\d+)(?:st|nd|rd|th)\b", _ordinal),
        (r"\b(\d{3,4})s\b", lambda m: _plural(_year(m[1])) if int(m[1]) % 10 == 0 else f"{_number(m[1])} s"),
        (r"['\u2019](\d0)s\b", lambda m: _plural(_words(m[1]))),
        (r"\b(\d0)s\b", lambda m: _plural(_words(m[1]))),
        (r"(?<=\d)\s?(BCE|AD|BC|CE)\b", lambda m: f" {' '.join(m[1])}"),
        (r"\bAD(?= \d)", lambda m: "A D"),
        (r"\b(\d+)\s?\^\s?\(?([+-]?\d{1,4})\)?", lambda m: _power(_number(m[1]), m[2])),
        (r"\b([a-zA-Z])\s?\^\s?\(?([+-]?\d{1,4}|n)\)?(?!\w)", lambda m: _power(m[1], m[2])),
        (
            r"\b(\d)['\u2019\u2032]\s?(\d{1,2})(?:\"|\u201d|\u2033|''|\u2019\u2019)",
            _height,
        ),
        (
            rf"(?<![\w.])({_N})\s?({_any_of(_UNITS)}){to}(?={_N}\s?\2(?!\w))",
            lambda m: f"{_number(m[1])} {_UNITS[m[2]][1]} to ",
        ),
        (
            rf"(?<![\w/.,])(?:(?P<whole>\d{{1,3}})\s?)?(?P<part>[{_FRACTION_SIGNS}]|(?<!\d)\d{{1,2}}/\d{{1,2}})\s?"
            rf"(?P<unit>{_any_of(_UNITS)})\b",
            _part_of_measure,
        ),
        (
            rf"(?P<minus>(?<![\w.)])-)?(?P<amount>(?<![\w.])(?<!\d[/\u2044]){_N})(?:{to}(?P<upper>{_N}))?(?P<hyphen>-|\s?)"
            rf"(?P<unit>{_any_of(_UNITS)})(?![\w'\u2019\u00b2\u00b3^]|\.\w)",
            _measure,
        ),
        (
            rf"(?<=[a-z\d])/({_any_of(_PER_TIME)})\b(?=[\s.,;)]|$)",
            lambda m: f" per {_PER_TIME[m[1]]}" if _is_amount_before(m) else m[0],
        ),
        (
            rf"(?<![\w.])({_N})\s?%{to}({_N})\s?%",
            lambda m: f"{_number(m[1])} percent to {_number(m[2])} percent",
        ),
        (rf"(?<![\w.-])({_N}){to}(?=({_N})(?![\w-]))", _range),
        (rf"(?<![\w.)])-(?=\.?{_N})", lambda m: "minus "),
        (rf"({_N})\s?%-?", lambda m: f"{_number(m[1])} percent "),
        (r"(?<![\w.,])\.(\d+)\b", lambda m: f"point {_digits(m[1])}"),
        (
            r"(?<![\w/.,])(?:(?P<whole>\d{1,3}) )?(?P<above>\d{1,3})[/\u2044](?P<below>\d{1,4})(?![\w/]|\.\d)",
            _fraction,
        ),
        (rf"({_N})?\s?([{_FRACTION_SIGNS}])", _fraction_sign),
        (r"[\u2460-\u24ff\u2776-\u2793\u2160-\u2188]", _sign_of_number),
        (r"(?<=[\d)])\s?[*\u00b7]\s?(?=[\d(])", lambda m: " times "),
        (r"(?<=\d)(?:\s?x\s?(?=\d)|x\b)", lambda m: " times "),
        (rf"[{_RAISED}]+", _raised),
        (r"(?<=\d)[.,](?=[^\W\d_])|(?<=\d),(?=\d{1,2}(?!\d))", lambda m: ", " if m[0] == "," else " point "),
        (r"(?<=[^\W\d_])-?(?=\d)|(?<=\d)(?=[^\W\d_])", lambda m: " "),
        (r"(?<![\d.,])(\d{4})(?![\d%]|,\d|\.\d)", lambda m: _amount_or_year(m[1])),
        (_N, lambda m: f" {_number(m[0])} " if m.string[: m.start()][-1:].isalnum() else _number(m[0])),
        (r"\band/or\b", lambda m: "and or"),
        (r"\$(?=[^\W\d_])", lambda m: " "),
        (rf"[{re.escape(''.join(_SYMBOLS))}]", lambda m: f" {_SYMBOLS[m[0]]} "),
        (rf"[{re.escape(_UNSPOKEN)}]", lambda m: " "),
        (r"\s+", lambda m: " "),
        (r" (?=[,.;:!?)])", lambda m: ""),
    )
    return tuple((re.compile(pattern), replace) for pattern, replace in table)


_DOMAINS = r"com|org|net|edu|gov|io|info|dev|(?:co|ac|org|gov)\.uk|de|fr|nl|ai"
# Before a lower-case "no.", which is a number's there; elsewhere it is the answer no, and a sentence ends.
_BEFORE_NO = "at|by|to|in|of|see|See|the|and|house|room|issue|opus|item|bus"
_SHORT_MONTHS = {name: name for name in _MONTH_NAMES if name not in _MONTHS}


_COUNTED = tuple({many for _, many, *_ in _CURRENCIES.values()} | {many for _, many in _UNITS.values()})


def _is_amount_before(match: re.Match[str]) -> bool:
    before = match.string[: match.start()]
    return before.endswith(_COUNTED) or before[-1:].isdigit()


def _version(match: re.Match[str]) -> str:
    name, _, numbers = match[0].rpartition("v")
    return (f"{name}v " if "v" in match[0] else "") + " point ".join(_number(part) for part in numbers.split("."))


# Words of letters alone that are read in another way; some signs of numbers count as letters.
_ROMAN_HINT = re.compile(
    rf"\b(?:[IVXL]{{2,}}|World War|(?:{_NUMBERED}) [IVXL])\b"
    r"|[\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u209f\u2150-\u24ff\u2776-\u2793]"
)
_NOTHING_TO_DO = re.compile(r"(?:[^\W\d_]+(?:['\u2019-][^\W\d_]+)*[,;:!?]? )*[^\W\d_]+[.!?]?")


def spoken_form(text: str) -> str:
    """Return `text` with numbers, ordinals, years, money, times, units, abbreviations, URLs and symbols as words.

    Pure; whitespace runs become one space; a sentence of plain words comes back as it is; the result holds no digit
    and is its own spoken form. English only. A four-digit number from 1100 to 2099 without a comma or a unit is read
    as a year.
    """
    if (
        _NOTHING_TO_DO.fullmatch(text)
        and not _ROMAN_HINT.search(text)
        and text.rpartition(" ")[2] not in _ABBREVIATIONS
    ):
        return text
    text = text.translate(_LOWERED)
    for pattern, replace in _rules():
        text = pattern.sub(replace, text)
    return text.strip()
