"""A generated answer is the greedy one, alone as in a batch, and is matched as the field matches."""

from __future__ import annotations

import pytest
import torch

from spelangy_model.eval.answers import first_answer, match, normal_answer
from spelangy_model.eval.generate import answer_prompts, greedy
from spelangy_model.eval.prompts import spoken_prompt, text_prompt
from spelangy_model.lm.presets import new_model
from spelangy_model.tokenizer.text import decode_text, train_text_tokenizer
from spelangy_model.tokenizer.vocab import Layout

LAYOUT = Layout(text_size=300, codebook_size=20)
PREFIX = "The answer is"
TOKENIZER = train_text_tokenizer([f"The answer is word number {i}." for i in range(50)], 300)
QUESTIONS = ("What is number 3?", "Who?", "A question that is a good deal longer than all the others are")


@pytest.fixture(scope="module")
def model() -> torch.nn.Module:
    return new_model("tiny", LAYOUT, seed=4).eval()


PROMPTS = [
    *(text_prompt(LAYOUT, TOKENIZER, question, PREFIX, ()) for question in QUESTIONS),
    spoken_prompt(LAYOUT, TOKENIZER, [3, 4, 5, 19], PREFIX, ()),
]


@torch.inference_mode()
def by_whole_forward_passes(model, prompt: tuple[int, ...], tokens: int, ends: set[int]) -> list[int]:
    """Return the greedy continuation without a cache or a batch, text and <eos> alone."""
    ids = list(prompt)
    for _ in range(tokens):
        scores = model(input_ids=torch.tensor([ids])).logits[0, -1]
        scores[[i for i in range(LAYOUT.text_size, LAYOUT.size) if i != LAYOUT.eos]] = -torch.inf
        ids.append(int(scores.argmax()))
        if ids[-1] in ends:
            break
    return ids[len(prompt) :]


def test_an_answer_of_a_batch_is_the_one_that_whole_forward_passes_give(model):
    answers = answer_prompts(model, LAYOUT, TOKENIZER, PROMPTS, PREFIX, 9)
    line_break = TOKENIZER.encode("\n").ids[0]
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        ids = by_whole_forward_passes(model, prompt.ids, 9, {LAYOUT.eos, line_break})
        text = decode_text(TOKENIZER, [token for token in ids if token < LAYOUT.text_size])
        assert answer.text == first_answer(PREFIX, text)
        assert answer.tokens == len(ids)
    assert answer_prompts(model, LAYOUT, TOKENIZER, PROMPTS[1:2], PREFIX, 9) == answers[1:2]
    assert answer_prompts(model, LAYOUT, TOKENIZER, PROMPTS, PREFIX, 9) == answers


def test_a_row_stops_at_its_end_while_others_go_on():
    def counting(ids, mask, positions, cache):
        assert mask.shape[1] == positions[0, -1] + 1
        scores = torch.zeros(len(ids), 30)
        scores[range(len(ids)), (ids[:, -1] + 1) % 30] = 1.0
        return scores, cache

    assert greedy(counting, [[1, 2, 3], [4, 5, 6]], 0, frozenset({5}), 4, "cpu") == [[4, 5], [7, 8, 9, 10]]


@pytest.mark.parametrize(
    ("written", "answer"),
    [
        (" Paris. It lies on the Seine.", "Paris."),
        (" J. K. Rowling, in 1997. She wrote on.", "J. K. Rowling, in 1997."),
        ("  Mt. Everest\nQuestion: Who", "Mt. Everest"),
        (" 3.14 or so", "3.14 or so"),
        ("", ""),
        ("\n", ""),
    ],
)
def test_an_answer_is_the_rest_of_its_sentence(written, answer):
    assert first_answer("The answer is", written) == answer


def test_a_prefix_that_is_a_sentence_leaves_the_next_one_to_the_answer():
    assert first_answer("Answer this.", " Paris. It lies on the Seine.") == "Paris."
    assert first_answer("", " Paris. It lies on the Seine.") == "Paris."


@pytest.mark.parametrize(
    ("answer", "accepted", "found"),
    [
        ("The Danube.", ("Danube",), ("exact", "Danube")),
        ("danube river", ("Rhine", "the Danube River", "Danube"), ("exact", "the Danube River")),
        ("It is the Danube, I think", ("Donau", "Danube"), ("contained", "Danube")),
        ("Danubes", ("Danube",), None),
        ("rock-n-roll", ("Rock n Roll",), ("exact", "Rock n Roll")),
        ("the U.S.", ("US",), ("exact", "US")),
        ("\u201cHamlet\u201d", ("Hamlet",), ("exact", "Hamlet")),
        ("1969", ("19",), None),
        ("", ("",), None),
        ("The", ("a",), None),
        ("+", ("+",), ("exact", "+")),
    ],
)
def test_answers_match_in_the_fields_normal_form(answer, accepted, found):
    matched = match(answer, accepted)
    assert (matched and (matched.kind, matched.alias)) == found


def test_the_normal_form():
    assert normal_answer("  The  Lord of\tthe Rings! ") == "lord of rings"
    assert normal_answer("Café\u2014Bar") == "café bar"
