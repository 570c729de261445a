"""The page of a board's questions: to listen to, with what each system and each run answers.

Put here: how they are laid out for a person. Do not put here: which questions are shown (the stage draws them), or any
figure that the records do not hold.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from spelangy_assets.report.render import render, share
from spelangy_assets.report.sound import AudioBudget
from spelangy_model.records import SpokenQuestion


@dataclass(frozen=True)
class Answer:
    """What one of those that were asked answers to a question.

    `chosen` is the place of the option that it chose, `log_likelihoods` (nats) are of all options. `transcript` is what
    it wrote down of the question, `words` its answer in words; None: it makes none.
    """

    chosen: int
    log_likelihoods: Sequence[float]
    transcript: str | None = None
    words: str | None = None


@dataclass(frozen=True)
class AnsweredQuestion:
    """A question, with the answer of each that was asked it, by name; None: it was not asked."""

    question: SpokenQuestion
    answers: dict[str, Answer | None]


def question_page(questions: Sequence[AnsweredQuestion], *, title: str, of: int, board: str, audio_bytes: int) -> str:
    """Return the page as HTML. Equal records give equal bytes; sound is embedded up to `audio_bytes`.

    `of`: how many questions the shown ones are drawn from. `board` is the dataset that compares on all of them.
    """
    budget = AudioBudget(audio_bytes)
    names = list(questions[0].answers) if questions else []
    asked = {name: [one.answers[name] for one in questions] for name in names}
    right = {
        name: sum(
            found is not None and found.chosen == one.question.answer_index
            for found, one in zip(found_all, questions, strict=True)
        )
        for name, found_all in asked.items()
    }
    return render(
        "question_page.html",
        title=title,
        of=of,
        board=board,
        in_words=any(one is not None and one.words is not None for found in asked.values() for one in found),
        transcribed=any(one is not None and one.transcript is not None for found in asked.values() for one in found),
        totals=[(name, right[name], sum(one is not None for one in asked[name])) for name in names],
        questions=[
            {
                "id": one.question.question_id,
                "text": one.question.question,
                "voice": one.question.voice,
                "sound": budget.embed(one.question),
                "right": one.question.options[one.question.answer_index],
                "options": one.question.options,
                "answers": [(name, _view(one.question, found)) for name, found in one.answers.items()],
            }
            for one in questions
        ],
    )


def _view(question: SpokenQuestion, answer: Answer | None) -> dict[str, object] | None:
    if answer is None:
        return None
    values = np.asarray(answer.log_likelihoods)
    likelihoods = np.exp(values - values.max())
    return {
        "chosen": question.options[answer.chosen],
        "is_right": answer.chosen == question.answer_index,
        "shares": [share(float(one), float(likelihoods.sum())) for one in likelihoods],
        "transcript": answer.transcript,
        "words": answer.words,
    }
