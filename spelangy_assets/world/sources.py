"""Snapshots of the sample that are rendered at run time: spoken talk with its transcript, and pages of text.

Put here: sources that a recipe names as a snapshot. Do not put here: what is said (render.py), how it is voiced
(spelangy_model/audio/tts.py), or a snapshot that lies in files (crawl.py). Too large for the repository, they give the
web arms and the base LM enough to train on; their literals identify them, so the same recipe gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html import escape

import numpy as np

from spelangy_assets.stages.ingest_audio import RenderedRecording
from spelangy_assets.stages.stage import PreflightError
from spelangy_assets.world.render import conversation, text_document
from spelangy_assets.world.world import World, load_world
from spelangy_model.audio.espeak import VOICES
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError
from spelangy_model.audio.tts import (
    SynthesizerSpec,
    TtsUnavailable,
    Unspeakable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
)
from spelangy_model.records import Utterance
from spelangy_model.rng import stable_rng

LICENCE = "CC0-1.0"
_WITHIN_TURN_S = (0.15, 0.5)
_BETWEEN_TURNS_S = (0.3, 1.0)
_EDGE_S = 0.3


def _world_of(digest: str) -> World:
    world = load_world()
    if world.digest != digest:
        raise PreflightError(
            f"the recipe's rendered snapshot is of the sample world {digest!r}, the installed one is {world.digest!r}: "
            "state the installed one in the recipe"
        )
    return world


@dataclass(frozen=True)
class SpokenTalk:
    """Talks of two people, each spoken in two voices; `world` is the digest of the sample world."""

    world: str
    seed: int
    recordings: int
    voices: tuple[Voice, ...] = VOICES
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)

    def open(self) -> Callable[[int], RenderedRecording]:
        """Load the synthesizer and return the renderer. Raises PreflightError when it or the world is not there."""
        world = _world_of(self.world)
        try:
            check_synthesizer(self.synthesizer, self.voices)
            synthesizer = open_synthesizer(self.synthesizer)
        except TtsUnavailable as error:
            raise PreflightError(str(error)) from error

        def render(index: int) -> RenderedRecording:
            rng = stable_rng(self.seed, "pauses", index)
            first = choose_voice(self.voices, self.seed, index, "A")
            others = tuple(voice for voice in self.voices if voice.name != first.name)
            voices = {"A": first, "B": choose_voice(others, self.seed, index, "B")}
            parts = [np.zeros(int(_EDGE_S * SAMPLE_RATE_HZ), np.float32)]
            utterances, position, before = [], len(parts[0]), ""
            for speaker, sentence in conversation(world, self.seed, index):
                low, high = _WITHIN_TURN_S if speaker == before else _BETWEEN_TURNS_S
                pause = np.zeros(int(rng.uniform(low, high) * SAMPLE_RATE_HZ) if before else 0, np.float32)
                try:
                    samples = synthesizer.speak(sentence, voices[speaker])
                except Unspeakable as error:
                    raise AudioError(error.reason, f"talk {index}: {sentence!r}: {error.detail}") from error
                start, end = position + len(pause), position + len(pause) + len(samples)
                utterances.append(Utterance(speaker, sentence, start / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ))
                parts += [pause, samples]
                position, before = end, speaker
            parts.append(np.zeros(int(_EDGE_S * SAMPLE_RATE_HZ), np.float32))
            return RenderedRecording(
                source_uri=f"talk-{index:05d}",
                source_url=f"https://talk.sample-world.example/{self.seed}/{index:05d}",
                licence=LICENCE,
                format=f"rendered by {self.synthesizer.backend}",
                samples=np.concatenate(parts),
                utterances=utterances,
            )

        return render


@dataclass(frozen=True)
class WrittenNotes:
    """Pages of text: each states facts and asks and answers questions, in wordings that talk does not have, too."""

    world: str
    seed: int
    documents: int
    documents_per_page: int

    def pages(self) -> Iterator[tuple[str, str]]:
        """Yield (URL, HTML); a page holds several documents, a paragraph each."""
        world = _world_of(self.world)
        for page in range(self.documents // self.documents_per_page):
            first = page * self.documents_per_page
            paragraphs = "\n".join(
                f"<p>{escape(text_document(world, self.seed, index))}</p>"
                for index in range(first, first + self.documents_per_page)
            )
            title = f"Notes {page + 1}"
            yield (
                f"https://notes.sample-world.example/{self.seed}/{page:05d}.html",
                f'<!doctype html><html lang="en"><head><title>{title}</title>'
                f'<link rel="license" href="https://creativecommons.org/publicdomain/zero/1.0/"></head>'
                f"<body><main><h1>{title}</h1>\n{paragraphs}\n</main></body></html>",
            )
