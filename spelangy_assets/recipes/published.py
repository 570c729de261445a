"""Models, text tasks and question sets that others published, by the names that their publishers gave them.

Put here: names that recipe `paper` uses and the package cannot ship. Do not put here: datasets that a recipe makes.
"""

from __future__ import annotations

from spelangy_assets import lab
from spelangy_assets.recipes.pins import pin
from spelangy_model.audio.asr import FasterWhisper, TransformersCanary, TransformersTransducer
from spelangy_model.audio.diarization.diarize import DiarizerSpec

WHISPER = FasterWhisper(name="whisper-large-v3", model="Systran/faster-whisper-large-v3", precision="float16")
PARAKEET = TransformersTransducer(name="parakeet-tdt-0.6b-v2", model="nvidia/parakeet-tdt-0.6b-v2")
CANARY = TransformersCanary(name="canary-1b-v2", model="nvidia/canary-1b-v2")
# Of pyannote's pipelines community-1 errs less than 3.1, and its exclusive turns are made for joining words.
COMMUNITY_1 = DiarizerSpec(backend="pyannote", model="pyannote/speaker-diarization-community-1", exclusive=True)
LLAMA_3B = lab.Checkpoint(
    name="meta-llama/Llama-3.2-3B",
    sha256=pin("meta-llama/Llama-3.2-3B"),
    licence="Llama 3.2 Community License",
    url="https://huggingface.co/meta-llama/Llama-3.2-3B",
)
# The paper's twelve text tasks are a core English set (CoreEN), MMLU, GSM8k and HumanEval. It does not state which nine
# are CoreEN, nor how each is scored: these nine are our choice, and so is accuracy by length (acc_norm).
# With the number of examples before a question where one is named.
CORE_ENGLISH = {
    "arc_easy": "acc",
    "arc_challenge": "acc_norm",
    "hellaswag": "acc_norm",
    "lambada_openai": "acc",
    "piqa": "acc",
    "sciq": "acc",
    "winogrande": "acc",
    "triviaqa": "exact_match.remove_whitespace",
    "webqs": "exact_match",
}
TEXT_TASKS = (
    lab.TaskChoice("mmlu", 5),
    lab.TaskChoice("gsm8k", 8),
    lab.TaskChoice("humaneval"),
    *(lab.TaskChoice(name, 1 if name in ("triviaqa", "webqs") else None) for name in CORE_ENGLISH),
)
# The paper's text LM before and after its pretraining on speech, in percent, and another model in its table.
_BEFORE, _AFTER, _QWEN = "paper, before", "paper, after", "paper, Qwen2.5-3B"
TEXT_RESULTS = (
    lab.TextResult(
        "CoreEN",
        tuple(f"{task}.{metric}" for task, metric in CORE_ENGLISH.items()),
        ((_BEFORE, 62.4), (_AFTER, 61.8)),
    ),
    lab.TextResult("MMLU", ("mmlu.acc",), ((_BEFORE, 62.2), (_AFTER, 67.3), (_QWEN, 65.6))),
    lab.TextResult("GSM8k", ("gsm8k.exact_match.strict-match",), ((_BEFORE, 47.1), (_AFTER, 71.9), (_QWEN, 79.1))),
    lab.TextResult("HumanEval", ("humaneval.pass_at_1",), ((_BEFORE, 29.9), (_AFTER, 37.6), (_QWEN, 42.1))),
)
# In OpenAudioBench's layout: 1,000, 1,000 and 300 recorded questions. docs/questions.md shows how to state digests.
SPOKEN_QUESTIONS = tuple(
    lab.QuestionSet(name, "table", f"OpenAudioBench/eval_datas/{folder}/{folder}.csv", pin(name))
    for name, folder in (
        ("spoken-webquestions", "web_questions"),
        ("spoken-triviaqa", "trivia_qa"),
        ("spoken-llama-questions", "llama_questions"),
    )
)
