"""Held-out talk: passages that training never holds, spoken sentence by sentence, and what stands in for which."""

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from spelangy_assets import lab
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.recipes.sample import SAMPLE, SEED, TINY, WORLD
from spelangy_assets.sample.render import conversation
from spelangy_assets.sample.sources import HELD_OUT, WorldTalk
from spelangy_assets.sample.world import load_world
from spelangy_assets.stages import write_talk
from spelangy_assets.stages.evaluate import swaps_of
from spelangy_assets.store.artifacts import Address, ArtifactStore, DatasetName, Identity
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.tts import Unspeakable
from spelangy_model.audio.tts.espeak import voices_of
from spelangy_model.records import Audio, SpokenPassage

TALK = WorldTalk(world=WORLD, seed=SEED, talks=3, first=HELD_OUT)
CONFIG = write_talk.Config(TALK, voices_of(("en-us", "en-us-nyc")), passages_per_unit=5)


def spoken(folder: Path, config: write_talk.Config) -> tuple[list[SpokenPassage], dict[str, int]]:
    store = ArtifactStore(folder / "store", folder / "cache")
    writer = store.writer(DatasetName("recipe", "talk"), Identity("talk", "1", "", None, [], "v1-t"), write_talk.TABLES)
    execution = Execution(cache_dir=folder / "cache", launch=lambda *_: 0.0)
    write_talk.run(StageContext({}, {}, writer, execution, None, None, lambda text: None), config)
    writer.commit()
    artifact = store.find(Address("talk"), "v1-t")
    assert artifact is not None
    return list(artifact.records("talk", SpokenPassage)), dict(artifact.manifest.counts.dropped)


def test_passages_are_cut_from_conversations_that_training_does_not_hold() -> None:
    passages = list(TALK.passages())
    assert len(passages) == 12
    assert len({passage.passage_id for passage in passages}) == 12
    talk = conversation(load_world(), SEED, HELD_OUT + 1)
    of_second = [passage for passage in passages if passage.talk_id == f"conversation/{HELD_OUT + 1}"]
    assert [line for passage in of_second for line in passage.sentences] == talk
    assert [passage.cluster for passage in of_second[:2]] == [of_second[0].cluster] * 2
    for passage in passages[::2]:  # the first of an entity opens with its name
        assert passage.cluster in passage.sentences[0][1]
    for recipe in (SAMPLE, TINY):
        held_out = recipe["held_out_talk"].config.source
        assert held_out.first > 10 * max(dict(recipe.graph["raw_audio"].snapshots)["talk"].recordings, 1000)


def test_all_but_the_last_sentence_are_spoken_one_by_one(tmp_path: Path) -> None:
    rows, dropped = spoken(tmp_path, CONFIG)
    assert (len(rows), dropped) == (12, {})
    for row, passage in zip(rows, TALK.passages(), strict=True):
        assert (row.passage_id, row.cluster_id) == (passage.passage_id, passage.cluster)
        assert row.sentences == [text for _, text in passage.sentences]
        speakers = [speaker for speaker, _ in passage.sentences[:3]]
        assert len(set(zip(speakers, row.voices, strict=True))) == len(set(speakers)) == len(set(row.voices))
        sound = decode_flac(row.audio.bytes)
        starts = [*row.start_s, len(sound) / SAMPLE_RATE_HZ]
        assert starts[0] == 0
        for start, end in pairwise(starts):
            part = sound[round(start * SAMPLE_RATE_HZ) : round(end * SAMPLE_RATE_HZ)]
            assert 0.3 < end - start < 6
            assert np.abs(part).max() > 0.05
            assert np.abs(part[-round(0.1 * SAMPLE_RATE_HZ) :]).max() < 0.01  # the pause that is the sentence's own


def test_what_cannot_be_spoken_is_counted_and_what_is_missing_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(synthesizer: object, text: str, voice: object, limits: object) -> np.ndarray:
        raise Unspeakable("silent", text)

    execution = Execution(cache_dir=tmp_path, launch=lambda *_: 0.0)
    write_talk.preflight(CONFIG, execution)
    with pytest.raises(PreflightError, match="held-out talk"):
        write_talk.preflight(replace(CONFIG, source=replace(TALK, world="another")), execution)
    monkeypatch.setattr(write_talk, "speak_line", refuse)
    assert spoken(tmp_path, CONFIG) == ([], {"silent": 12})


def passages_of(talks: Sequence[tuple[str, str]]) -> list[SpokenPassage]:
    return [
        SpokenPassage(f"{at}", talk, cluster, ["A."] * 4, ["v"] * 3, [0.0, 1.0, 2.0], Audio(b"", ""))
        for at, (talk, cluster) in enumerate(talks)
    ]


def test_another_talk_about_something_else_stands_in_and_the_seed_draws_it() -> None:
    passages = passages_of([(f"t{at // 4}", f"c{at // 2 % 5}") for at in range(40)])
    swaps = swaps_of(passages, 0)
    for mine, other in zip(passages, swaps, strict=True):
        assert passages[other].talk_id != mine.talk_id
        assert passages[other].cluster_id != mine.cluster_id
    assert swaps == swaps_of(passages, 0) != swaps_of(passages, 1)
    with pytest.raises(InputError, match="add talk"):
        swaps_of(passages_of([("t", "c"), ("t", "d"), ("u", "c")])[:2], 0)


def test_an_ablation_by_hearing_gain_needs_talk_and_a_change_of_metric_retrains_nothing() -> None:
    arms = {arm: TINY[f"run_{arm}"] for arm in ("fine", "fine_stochastic")}
    row = lab.Ablation("Modality sampling", "fine_stochastic", "fine", metric="talk.hearing_gain")
    with pytest.raises(ValueError, match="no talk is held out"):
        lab.leaderboard(arms, TINY["sqa_benchmarks"], ablations=[row])
    judging = lab.Judging(talk=TINY["held_out_talk"])
    boards = [
        lab.leaderboard(arms, TINY["sqa_benchmarks"], ablations=[one], judging=judging)
        for one in (row, replace(row, metric="sqa.all.probability", effect=0.02))
    ]
    assert boards[0].identity != boards[1].identity
    assert {role: one.identity for role, one in boards[0].inputs.items()} == {
        role: one.identity for role, one in boards[1].inputs.items()
    }
