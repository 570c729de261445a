"""The language of a text among the languages that are known."""

import pytest

from spelangy_model.text.language import UNDETERMINED, detect_language


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("The river flows quietly through the old town and into the sea.", "en"),
        ("Die alte M\u00fchle steht seit vielen Jahren am Rand des Dorfes.", "de"),
        ("Le vieux pont de pierre se trouve au milieu de la ville.", "fr"),
        ("Река течёт через старый город и впадает в море.", "ru"),
        ("12 345 67", UNDETERMINED),
        ("", UNDETERMINED),
    ],
)
def test_language(text, language):
    assert detect_language(text) == language


def test_a_long_text_is_judged_by_its_middle():
    menu = "Startseite Anmelden Impressum Datenschutz Kontakt "
    assert (
        detect_language(menu * 10 + "The queen opened the bridge in the spring of that year. " * 100 + menu * 10)
        == "en"
    )
