import dataclasses
import itertools

import numpy as np
import pytest

from spelangy_assets.execution.stage import PreflightError
from spelangy_assets.sample.render import conversation
from spelangy_assets.sample.spoken import SpokenConversations
from spelangy_assets.sample.world import load_world
from spelangy_assets.stages.ingest_audio import AudioSource
from spelangy_assets.store.fingerprint import fingerprint


@pytest.fixture(scope="module")
def snapshot() -> SpokenConversations:
    return SpokenConversations(seed=7, world=load_world().digest, recordings=3, first=10)


def test_it_is_a_source_that_its_literals_identify(snapshot: SpokenConversations):
    assert isinstance(snapshot, AudioSource)
    assert fingerprint(snapshot) != fingerprint(dataclasses.replace(snapshot, seed=8))


def test_a_conversation_is_spoken_with_its_transcript(snapshot: SpokenConversations):
    made = snapshot.open()(1)
    talk = conversation(load_world(), 7, 11)
    assert [(u.speaker, u.text) for u in made.utterances] == talk
    assert made.source_uri == "conversation/11"
    ends = [u.end_s for u in made.utterances]
    gaps = [round(u.start_s - end, 2) for u, end in zip(made.utterances[1:], ends, strict=False)]
    same = [left[0] == right[0] for left, right in itertools.pairwise(talk)]
    assert gaps == [0.15 if speaker_stays else 0.3 for speaker_stays in same]
    assert ends[-1] <= len(made.samples) / 16_000 < ends[-1] + 0.001
    for utterance in made.utterances:
        sound = made.samples[int(utterance.start_s * 16_000) : int(utterance.end_s * 16_000)]
        assert np.abs(sound).max() > 0.05


def test_it_depends_on_the_index_alone(snapshot: SpokenConversations):
    render = snapshot.open()
    first = render(0).samples
    render(2)
    assert np.array_equal(render(0).samples, first)


def test_speakers_have_two_voices(snapshot: SpokenConversations):
    for index in range(50):
        voices = snapshot._voices(index)
        assert voices["A"].name != voices["B"].name


def test_another_world_is_refused(snapshot: SpokenConversations):
    with pytest.raises(PreflightError, match="the installed one is"):
        dataclasses.replace(snapshot, world="other").open()
    with pytest.raises(PreflightError, match="two voices"):
        dataclasses.replace(snapshot, voices=snapshot.voices[:1]).open()
