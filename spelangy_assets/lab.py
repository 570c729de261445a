"""The words of a recipe: what a person writes an experiment with. See docs/architecture.md.

Put here: names. Do not put here: logic.
"""

from spelangy_assets.derived import (
    Generation,
    Judging,
    Tokens,
    adopted_chunks,
    chunks,
    finetune,
    leaderboard,
    measured,
    mix,
    post_training,
    speech,
    train,
)
from spelangy_assets.execution.dataset import Dataset, DatasetKind, RecipeError, dataset, prefixed
from spelangy_assets.execution.recipe import Recipe
from spelangy_assets.report.effects import Effect, factorial
from spelangy_assets.report.leaderboard_page import Ablation
from spelangy_assets.report.text_results import TextResult
from spelangy_assets.sources.corpora import Emilia, LibriHeavy, LibriSpeech, PeoplesSpeech, VoxPopuli, Yodas
from spelangy_assets.sources.downloads import Downloads
from spelangy_assets.sources.files import Arriving, Packaged
from spelangy_assets.stages.adopt_checkpoint import Checkpoint, checkpoint
from spelangy_assets.stages.clean_transcripts import transcripts
from spelangy_assets.stages.extract_text import documents
from spelangy_assets.stages.ingest_audio import recordings
from spelangy_assets.stages.ingest_pages import pages
from spelangy_assets.stages.ingest_texts import texts
from spelangy_assets.stages.measure_speech import Config as Measures
from spelangy_assets.stages.mine_quest import quest
from spelangy_assets.stages.perturb_questions import perturbed
from spelangy_assets.stages.recognize import hypotheses
from spelangy_assets.stages.reconstruct_speech import reconstruction
from spelangy_assets.stages.roll_up import corpus
from spelangy_assets.stages.round_trip import Config as RoundTrip
from spelangy_assets.stages.score_system import system
from spelangy_assets.stages.segment_speech import segments
from spelangy_assets.stages.speech_tokenizer import speech_tokenizer
from spelangy_assets.stages.text_skill import Config as TextSkill
from spelangy_assets.stages.text_skill import TaskChoice
from spelangy_assets.stages.text_tokenizer import Pretrained, Trained, text_tokenizer
from spelangy_assets.stages.tokenizer_corpus import tokenizer_speech
from spelangy_assets.stages.write_benchmark import QuestionSet, questions
from spelangy_assets.stages.write_conversations import ConversationFile, conversations
from spelangy_assets.stages.write_krist import krist
from spelangy_assets.stages.write_talk import held_out_talk
from spelangy_model.audio.chunking import Sentences, Turns
from spelangy_model.audio.perturbations import BandLimit, Noise, Speed
from spelangy_model.audio.speech_quality import Dnsmos
from spelangy_model.data.interleave import Sampling
from spelangy_model.text.quality import C4, FineWeb, GopherQuality, GopherRepetition
from spelangy_model.text.text_shards import TextFields

__all__ = [
    "C4",
    "Ablation",
    "Arriving",
    "BandLimit",
    "Checkpoint",
    "ConversationFile",
    "Dataset",
    "DatasetKind",
    "Dnsmos",
    "Downloads",
    "Effect",
    "Emilia",
    "FineWeb",
    "Generation",
    "GopherQuality",
    "GopherRepetition",
    "Judging",
    "LibriHeavy",
    "LibriSpeech",
    "Measures",
    "Noise",
    "Packaged",
    "PeoplesSpeech",
    "Pretrained",
    "QuestionSet",
    "Recipe",
    "RecipeError",
    "RoundTrip",
    "Sampling",
    "Sentences",
    "Speed",
    "TaskChoice",
    "TextFields",
    "TextResult",
    "TextSkill",
    "Tokens",
    "Trained",
    "Turns",
    "VoxPopuli",
    "Yodas",
    "adopted_chunks",
    "checkpoint",
    "chunks",
    "conversations",
    "corpus",
    "dataset",
    "documents",
    "factorial",
    "finetune",
    "held_out_talk",
    "hypotheses",
    "krist",
    "leaderboard",
    "measured",
    "mix",
    "pages",
    "perturbed",
    "post_training",
    "prefixed",
    "quest",
    "questions",
    "reconstruction",
    "recordings",
    "segments",
    "speech",
    "speech_tokenizer",
    "system",
    "text_tokenizer",
    "texts",
    "tokenizer_speech",
    "train",
    "transcripts",
]
