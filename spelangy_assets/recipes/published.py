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
# With the number of examples before a question where one is named.
TEXT_TASKS = (
    lab.TaskChoice("mmlu", 5),
    lab.TaskChoice("gsm8k", 8),
    lab.TaskChoice("triviaqa", 1),
    lab.TaskChoice("webqs", 1),
    *(lab.TaskChoice(name) for name in ("arc_easy", "arc_challenge", "boolq", "hellaswag")),
    *(lab.TaskChoice(name) for name in ("lambada_openai", "piqa", "sciq", "winogrande")),
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
