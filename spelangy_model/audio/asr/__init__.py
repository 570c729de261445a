"""Speech recognition: several systems behind one protocol that gives words with times and confidence.

Put here: one module an adapter. Do not put here: joining turns into windows (windows.py), the vote over systems
(rover.py), or decisions about a transcript.

Every adapter decodes greedily or by beam without sampling and with one processor thread, so that the same windows
give the same words. No adapter ever downloads: a model is one that a package carries ("package:base",
"package:tiny.en"), a folder, or a Hugging Face id that is in the local cache already.
"""

from spelangy_model.audio.asr.ct2_whisper import FasterWhisper
from spelangy_model.audio.asr.openai_whisper import WhisperTimestamped
from spelangy_model.audio.asr.protocol import AsrError, AsrSystem, Recognizer, WindowResult, recognize_all
from spelangy_model.audio.asr.sphinx import PocketSphinx
from spelangy_model.audio.asr.together import IsDoubtful, recognize_together, unlike_speech
from spelangy_model.audio.asr.transformers_canary import TransformersCanary
from spelangy_model.audio.asr.transformers_ctc import TransformersCtc
from spelangy_model.audio.asr.transformers_transducer import TransformersTransducer

__all__ = [
    "AsrError",
    "AsrSystem",
    "FasterWhisper",
    "IsDoubtful",
    "PocketSphinx",
    "Recognizer",
    "TransformersCanary",
    "TransformersCtc",
    "TransformersTransducer",
    "WhisperTimestamped",
    "WindowResult",
    "recognize_all",
    "recognize_together",
    "unlike_speech",
]
