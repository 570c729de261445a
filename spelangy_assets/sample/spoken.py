"""Conversations of the sample world, spoken at run time: a rendered audio snapshot with its transcript.

Put here: who speaks which sentence in which voice, and the pauses between. Do not put here: the sentences (render.py),
an engine or the checks of a line (spelangy_model/audio/tts/protocol.py), or the use of the recordings.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample.render import TURN_SENTENCES, conversation
from spelangy_assets.sample.world import World, WorldError
from spelangy_assets.sample.worlds import open_world
from spelangy_assets.stages.ingest_audio import RenderedRecording
from spelangy_model.audio.io import SAMPLE_RATE_HZ, AudioError
from spelangy_model.audio.tts import (
    Samples,
    SpeechLimits,
    Synthesizer,
    SynthesizerSpec,
    TtsUnavailable,
    Unspeakable,
    Voice,
    check_synthesizer,
    choose_voice,
    open_synthesizer,
    speak_line,
)
from spelangy_model.audio.tts.espeak import VOICES
from spelangy_model.records import Utterance
from spelangy_model.text.spoken import spoken_form


@dataclass(frozen=True)
class SpokenConversations:
    """`recordings` conversations of the sample world; an AudioSource whose literals identify it.

    `world` is the world's reference (sample/worlds.py). Index i is the world's conversation `first` + i, so that two
    snapshots need not share any. Its two speakers never have the same voice. A pause follows each sentence: a breath,
    or a change of speaker (a synthesizer leaves another 0.15 s around each). `turn_sentences`: the fewest and the most
    sentences of a turn; longer turns make coarser chunks.
    """

    seed: int
    world: str
    recordings: int
    first: int = 0
    voices: tuple[Voice, ...] = VOICES
    synthesizer: SynthesizerSpec = field(default_factory=SynthesizerSpec)
    limits: SpeechLimits = field(default_factory=SpeechLimits)
    pause_s: float = 0.15
    change_s: float = 0.3
    turn_sentences: tuple[int, int] = TURN_SENTENCES
    licence: str = "Apache-2.0"

    def open(self) -> Callable[[int], RenderedRecording]:
        """Load the synthesizer. PreflightError: it is missing, or the world is not the one that is stated."""
        try:
            check_synthesizer(self.synthesizer, self.voices)
        except TtsUnavailable as error:
            raise PreflightError(str(error)) from error
        try:
            world = open_world(self.world)
        except WorldError as error:
            raise PreflightError(f"conversations: {error}") from error
        if len({voice.name for voice in self.voices}) < 2:
            raise PreflightError("a conversation needs two voices: name at least two")
        synthesizer = open_synthesizer(self.synthesizer)
        return lambda index: self._render(world, synthesizer, self.first + index)

    def _render(self, world: World, synthesizer: Synthesizer, index: int) -> RenderedRecording:
        voices = self._voices(index)
        parts: list[Samples] = []
        utterances: list[Utterance] = []
        filled = 0
        talk = conversation(world, self.seed, index, self.turn_sentences)
        for place, (speaker, sentence) in enumerate(talk):
            try:
                sound = speak_line(synthesizer, spoken_form(sentence), voices[speaker], self.limits)
            except Unspeakable as fault:
                raise AudioError(fault.reason, f"{voices[speaker].name}: {sentence}") from fault
            start = filled
            parts.append(sound)
            filled += len(sound)
            # Rounded inwards, so that an utterance never reaches past the end of its recording.
            times = -(-start * 1000 // SAMPLE_RATE_HZ) / 1000, filled * 1000 // SAMPLE_RATE_HZ / 1000
            utterances.append(Utterance(speaker, sentence, *times))
            follower = talk[place + 1][0] if place + 1 < len(talk) else None
            if follower is not None:
                silence = round((self.pause_s if follower == speaker else self.change_s) * SAMPLE_RATE_HZ)
                parts.append(np.zeros(silence, np.float32))
                filled += silence
        return RenderedRecording(
            source_uri=f"conversation/{index}",
            source_url=f"sample-world:conversation/{self.seed}/{index}",
            licence=self.licence,
            format=f"{self.synthesizer.backend}/rendered",
            samples=np.concatenate(parts),
            utterances=utterances,
        )

    def _voices(self, index: int) -> dict[str, Voice]:
        first = choose_voice(self.voices, self.seed, "conversation", index, "A")
        others = [voice for voice in self.voices if voice.name != first.name]
        return {"A": first, "B": choose_voice(others, self.seed, "conversation", index, "B")}
