"""The command `ask`: questions to a model, and what is printed of its answers.

Put here: that. Do not put here: the model (spelangy_model/eval/ask.py) or where it lies (store/runs.py).
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spelangy_assets.access import Store

if TYPE_CHECKING:
    from spelangy_model.eval.ask import AskedModel
    from spelangy_model.eval.multiple_choice import OptionScores

Question = Path | str  # a recording, or a text


def ask(
    store: Store,
    run: str,
    questions: Sequence[Question],
    options: Sequence[str],
    device: str,
    as_json: bool,
    **more: Any,
) -> int:
    """Ask a model, and print each answer when it is there; `more` are options of Store.model.

    Returns 2 where a question could not be asked.
    """
    if not questions:
        raise ValueError("nothing is asked: name recordings of questions, or --text")
    if len(options) == 1:
        raise ValueError("one option is nothing to compare: give --option two times or more")
    started = time.monotonic()
    model = store.model(run, device, **more)
    loaded_s = time.monotonic() - started
    if not as_json:
        print(f"{model.name}, loaded in {loaded_s:.1f} s")
    answers, failed = [], 0
    for question in questions:
        try:
            one = _answer(model, question, options)
        except ValueError as error:
            failed += 1
            print(f"spelangy: {question}: {' '.join(str(error).split())}", file=sys.stderr)
            continue
        answers.append(one)
        if not as_json:
            print("\n".join(_lines(one)), flush=True)
    if as_json:
        print(json.dumps({"run": model.name, "loaded_s": round(loaded_s, 3), "answers": answers}, indent=1))
    return 2 if failed else 0


def _answer(model: AskedModel, question: Question, options: Sequence[str]) -> dict[str, Any]:
    from spelangy_model.audio.io import SAMPLE_RATE_HZ

    asked = model.read(question) if isinstance(question, Path) else question
    reply = model.ask(asked, options)
    return {
        "question": str(question),
        **({} if isinstance(asked, str) else {"sound_s": round(len(asked) / SAMPLE_RATE_HZ, 3)}),
        "answer": reply.answer.text,
        "tokens": reply.answer.tokens,
        "ended": reply.answer.ended,
        **({"options": options_of(options, reply.options)} if reply.options is not None else {}),
        "seconds": round(reply.seconds, 3),
    }


def options_of(options: Sequence[str], scores: OptionScores) -> list[dict[str, Any]]:
    """Return each option with its log-likelihood in nats, and its share of the likelihood of all options."""
    import numpy as np

    values = np.asarray(scores.raw)
    likelihoods = np.exp(values - values.max())
    return [
        {"option": option, "log_likelihood": float(value), "share": float(share)}
        for option, value, share in zip(options, values, likelihoods / likelihoods.sum(), strict=True)
    ]


def _lines(one: dict[str, Any]) -> Iterator[str]:
    sound = f" ({one['sound_s']:.1f} s)" if "sound_s" in one else ""
    cut = "" if one["ended"] else f" ... (cut after {one['tokens']} tokens)"
    yield ""
    yield f"{one['question']}{sound}"
    yield f"  answer: {one['answer'] or '(nothing)'}{cut}"
    for option in one.get("options", ()):
        yield f"  {option['share']:6.1%}  {option['log_likelihood']:8.2f} nats  {option['option']}"
    yield f"  {one['seconds']:.2f} s"
