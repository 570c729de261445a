"""From turns to chunks: recognize, clean_transcripts and chunk_speech, built in a store as a recipe builds them."""

import dataclasses
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote

import numpy as np
import pytest
import soundfile

from spelangy_assets.execution.build import Built, build
from spelangy_assets.execution.dataset import RecipeError
from spelangy_assets.execution.graph import Graph, Node
from spelangy_assets.execution.stage import Execution, PreflightError
from spelangy_assets.quality.contracts import Contract
from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.report.transcript_files import export_transcripts
from spelangy_assets.sources.files import FolderSource
from spelangy_assets.stages import (
    account_speech,
    chunk_speech,
    clean_transcripts,
    ingest_audio,
    recognize,
    segment_speech,
)
from spelangy_assets.stages.ingest_audio import RenderedRecording
from spelangy_assets.store.artifacts import Artifact, ArtifactStore
from spelangy_model.audio.asr import AsrError, FasterWhisper, Recognizer, WindowResult
from spelangy_model.audio.chunking import ChunkRule, Sentences, Turns, chunk_recording
from spelangy_model.audio.ctm import read_ctm
from spelangy_model.audio.diarization.diarize import Diarizer
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.parts import PartRule
from spelangy_model.audio.rover import RoverWeights
from spelangy_model.audio.rttm import read_rttm
from spelangy_model.audio.turns import Turn
from spelangy_model.audio.windows import Window
from spelangy_model.audio.words import spread
from spelangy_model.records import (
    Audio,
    Chunk,
    DroppedTranscript,
    Hypothesis,
    LedgerRow,
    Metric,
    Recording,
    Reject,
    Segment,
    Transcript,
    Utterance,
    Word,
)


@dataclasses.dataclass(frozen=True)
class Talk:
    """A rendered snapshot: recordings of noise, loud in the turns of `KnownTurns`, with utterances or without."""

    version: ClassVar[str] = "1"
    utterances: tuple[tuple[Utterance, ...], ...]
    duration_s: float = 30.0
    name: str = "talk"

    @property
    def recordings(self) -> int:
        return len(self.utterances)

    def open(self) -> Callable[[int], RenderedRecording]:
        noise = np.random.default_rng(0).uniform(-0.1, 0.1, int(self.duration_s * SAMPLE_RATE_HZ)).astype(np.float32)
        seconds = np.arange(len(noise)) / SAMPLE_RATE_HZ
        noise[((seconds > 9.2) & (seconds < 19.8)) | (seconds > 24.2)] *= 0.01
        return lambda i: RenderedRecording(
            f"{self.name}-{i}",
            f"https://talk.example/{i}",
            "CC0-1.0",
            "noise",
            noise * (1 + i / 10),
            self.utterances[i],
        )


class KnownTurns:
    """A diarizer that knows: a speaks from 1 to 4 s, b from 5 to 9 s, a again from 20 to 24 s."""

    def diarize(self, samples: np.ndarray) -> list[Turn]:
        return [Turn(1.0, 4.0, "a"), Turn(5.0, 9.0, "b"), Turn(20.0, 24.0, "a")]


@dataclasses.dataclass(frozen=True)
class Scripted:
    """An ASR system that returns the same words in every turn, and a language for each window."""

    version: ClassVar[str] = "1"
    name: str
    text: str
    confidence: float = 0.9
    language: str = "en"
    probability: float = 0.99
    decoded: bool = True
    missing: str = ""
    joins_recordings: bool = True

    def locate(self, cache_dir: Path) -> Path:
        if self.missing:
            raise AsrError(self.missing)
        return cache_dir

    def load(self, cache_dir: Path, device: str = "cpu") -> Recognizer:
        return self

    def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
        return [self._result(window) for window in windows]

    def _result(self, window: Window) -> WindowResult:
        words = []
        for piece in window.pieces:
            start = piece.window_start / SAMPLE_RATE_HZ
            step = piece.length / SAMPLE_RATE_HZ / (len(self.text.split()) + 1)
            for i, text in enumerate(self.text.split()):
                words.append(Word(text, start + i * step + 0.3, start + (i + 0.8) * step + 0.3, self.confidence))
        return WindowResult(words if self.decoded else [], self.language, self.probability, self.decoded)


def chain(
    store: ArtifactStore,
    execution: Execution,
    source: object,
    systems: tuple[Any, ...] = (Scripted("one", "So it is like that."), Scripted("two", "so it was like that", 0.5)),
    clean: clean_transcripts.Config | None = None,
    ingest: ingest_audio.Config | None = None,
    segment: segment_speech.Config | None = None,
    coarse: chunk_speech.Config | None = None,
    asr: recognize.Config | None = None,
    fine: ChunkRule | None = None,
    upto: str = "",
) -> dict[str, Built]:
    """Build raw_audio to the ledgers, or as far as `upto`, and return what was built by name."""

    def node(name: str, stage: Any, config: Any, *above: str, **roles: str) -> Node:
        return Node(
            name=name,
            group="transcripts",
            description="",
            stage=stage,
            config=config,
            contract=contract if isinstance(contract := stage.KIND.contract, Contract) else contract(config),
            inputs={**{role: role for role in above}, **roles},
            has_source=not above,
        )

    raw, turns, hypotheses, agreed = "raw_audio", "speech_segments", "transcript_hypotheses", "clean_transcripts"
    coarse, cut = coarse or chunk_speech.Config(Turns()), chunk_speech.Config(fine or Sentences())
    nodes = [
        node(raw, ingest_audio, ingest or ingest_audio.Config()),
        node(turns, segment_speech, segment or segment_speech.Config(), raw),
        node(hypotheses, recognize, asr or recognize.Config(systems), raw, turns),
        node(agreed, clean_transcripts, clean or clean_transcripts.Config(), turns, hypotheses),
        node("web_coarse", chunk_speech, coarse, raw, agreed),
        node("web_fine", chunk_speech, cut, raw, agreed),
        *(
            node(
                f"{name}_ledger",
                account_speech,
                account_speech.Config(seed=7, target_s=target_s),
                *(raw, turns, agreed),
                chunks=name,
            )
            for name, target_s in (("web_coarse", Turns.PAPER_MEAN_S), ("web_fine", 0.0))
        ),
    ]
    graph = Graph("recipe", nodes)
    built: dict[str, Built] = {}
    for item in nodes:
        built[item.name] = build(store, graph, item, None, execution, source if item.has_source else None)
        assert built[item.name].verdict.passed, built[item.name].verdict
        if item.name == upto:
            break
    return built


def know_turns(patch: pytest.MonkeyPatch) -> None:
    def opened(*args: object) -> Diarizer:
        return KnownTurns()

    patch.setattr(segment_speech, "open_diarizer", opened)
    patch.setattr(segment_speech, "check_diarizer", lambda *args: None)


@pytest.fixture
def known_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    know_turns(monkeypatch)


def whole_chain(folder: Path, recordings: int) -> tuple[ArtifactStore, dict[str, Built]]:
    """Build everything of so many recordings by the two scripted systems, for tests that only read it."""
    store = ArtifactStore(folder / "store", folder / "cache")
    with pytest.MonkeyPatch.context() as patch:
        know_turns(patch)
        execution = Execution(cache_dir=folder / "cache", launch=lambda *args: 0.0)
        return store, chain(store, execution, Talk(((),) * recordings))


@pytest.fixture(scope="module")
def one_talk(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    return whole_chain(tmp_path_factory.mktemp("one_talk"), 1)[1]


@pytest.fixture(scope="module")
def two_talks(tmp_path_factory: pytest.TempPathFactory) -> tuple[ArtifactStore, dict[str, Built]]:
    return whole_chain(tmp_path_factory.mktemp("two_talks"), 2)


def rows(artifact: Artifact, table: str, record: type) -> list[Any]:
    return list(artifact.records(table, record))


# --- recognize --------------------------------------------------------------------------------------------------


def test_every_segment_has_a_hypothesis_of_every_system(two_talks: tuple[ArtifactStore, dict[str, Built]]):
    _, built = two_talks
    segments = rows(built["speech_segments"].artifact, "segments", Segment)
    hypotheses = rows(built["transcript_hypotheses"].artifact, "hypotheses", Hypothesis)
    assert len(segments) == 6
    assert [(h.segment_id, h.system) for h in hypotheses] == [
        (s.segment_id, name) for s in segments for name in ("one", "two")
    ]
    by_id = {segment.segment_id: segment for segment in segments}
    for hypothesis in hypotheses:
        own = by_id[hypothesis.segment_id]
        assert hypothesis.text == ("So it is like that." if hypothesis.system == "one" else "so it was like that")
        assert (hypothesis.language, hypothesis.language_probability) == ("en", 0.99)
        assert all(own.start_s - 0.2 <= word.start_s < word.end_s <= own.end_s + 0.2 for word in hypothesis.words)
    counts = built["transcript_hypotheses"].artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (6, 6, {})
    assert counts.stats["windows"] == 2


@pytest.mark.usefixtures("known_turns")
def test_a_recording_that_a_shared_window_lost_is_recognized_again_alone(store: ArtifactStore, execution: Execution):
    class LosesItsPlace(Scripted):
        """Returns nothing of what follows the first recording (three turns) of a window."""

        def _result(self, window: Window) -> WindowResult:
            return super()._result(dataclasses.replace(window, pieces=window.pieces[:3]))

    systems = (Scripted("one", "So it is like that."), LosesItsPlace("two", "so it was like that"))
    built = chain(store, execution, Talk(((), ())), systems, upto="transcript_hypotheses")["transcript_hypotheses"]
    hypotheses = rows(built.artifact, "hypotheses", Hypothesis)
    assert [h.text for h in hypotheses if h.system == "two"] == ["so it was like that"] * 6
    stats = built.artifact.manifest.counts.stats
    assert (stats["windows_of_two"], stats["windows_again_of_two"]) == (2, 1)  # the shared one, and the lost one


@pytest.mark.usefixtures("known_turns")
def test_a_look_at_systems_ends_after_so_many_windows_and_counts_the_turns_outside(
    store: ArtifactStore, execution: Execution
):
    systems = (Scripted("one", "So it is like that."),)
    config = recognize.Config(systems, max_windows=1)
    built = chain(store, execution, Talk(((), ())), asr=config, upto="transcript_hypotheses")["transcript_hypotheses"]
    assert len(rows(built.artifact, "hypotheses", Hypothesis)) == 3  # of the first recording
    counts = built.artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.dropped) == (6, 3, {"not_sampled": 3})
    assert counts.stats["windows"] == 1


@pytest.mark.usefixtures("known_turns")
@pytest.mark.parametrize(("share_first", "windows"), [(False, 3), (True, 2)])
def test_a_language_that_is_trusted_is_not_listened_for_and_lets_the_first_system_share_windows_on_request(
    store: ArtifactStore, execution: Execution, tmp_path: Path, share_first: bool, windows: int
):
    class Trusts(Scripted):
        def _result(self, window: Window) -> WindowResult:
            return dataclasses.replace(super()._result(window), language=window.language, language_probability=1.0)

    talk = Talk(((), (), ())).open()
    for i, language in enumerate(({"lang": "en"}, {}, {"lang": "en-GB"})):
        soundfile.write(tmp_path / f"{i}.wav", talk(i).samples, SAMPLE_RATE_HZ)
        with (tmp_path / "manifest.jsonl").open("a") as manifest:
            manifest.write(json.dumps({"file": f"{i}.wav", **language}) + "\n")
    systems = (Trusts("one", "So it is like that."), Scripted("two", "so it was like that", 0.5))
    trusting = recognize.Config(systems, trust_language=True, share_first=share_first)
    source = FolderSource(tmp_path)
    built = chain(store, execution, source, asr=trusting, upto="transcript_hypotheses")["transcript_hypotheses"]
    hypotheses = rows(built.artifact, "hypotheses", Hypothesis)
    assert {h.text for h in hypotheses if h.system == "one"} == {"So it is like that."}
    spoken = {h.recording_id: h.language for h in hypotheses if h.system == "one"}
    assert sorted(spoken.values()) == ["", "en", "en"]
    assert built.artifact.manifest.counts.stats["windows_of_one"] == windows  # shared: one of both that say theirs


@pytest.mark.usefixtures("known_turns")
def test_a_surely_foreign_window_is_not_decoded_and_dropped_for_its_language(
    store: ArtifactStore, execution: Execution
):
    french = Scripted("one", "", language="fr", decoded=False)

    class NeverAsked(Scripted):
        def recognize(self, windows: Sequence[Window]) -> list[WindowResult]:
            assert not windows
            return []

    built = chain(
        store, execution, Talk(((),)), (french, NeverAsked("two", "it finds English everywhere")), upto="web_fine"
    )
    hypotheses = rows(built["transcript_hypotheses"].artifact, "hypotheses", Hypothesis)
    assert [(h.system, h.words, h.language) for h in hypotheses] == [("one", [], "fr"), ("two", [], "fr")] * 3
    counts = built["clean_transcripts"].artifact.manifest.counts
    assert counts.dropped == {"language": 3}
    assert counts.stats["hours_dropped_language"] == pytest.approx((3 + 4 + 4) / 3600)
    assert rows(built["web_fine"].artifact, "chunks", Chunk) == []


def test_a_given_transcript_is_not_listened_to(store: ArtifactStore, execution: Execution):
    talk = (
        Utterance("a", "It rains in the town. We stay at home now.", 1.0, 5.0),
        Utterance("b", "The weather was better in the other town.", 6.0, 9.0),
    )
    unused = Scripted("one", "", missing="")
    object.__setattr__(unused, "load", None)  # loading it would raise
    built = chain(store, execution, Talk((talk,)), (unused,), upto="web_fine")
    first, second = rows(built["transcript_hypotheses"].artifact, "hypotheses", Hypothesis)
    assert (first.system, first.text, first.language) == ("given", talk[0].text, "en")
    assert (first.words[0].start_s, first.words[-1].end_s, second.words[0].start_s) == (1.0, 5.0, 6.0)
    transcripts = rows(built["clean_transcripts"].artifact, "transcripts", Transcript)
    assert [(t.systems, t.agreement, t.confidence) for t in transcripts] == [(["given"], 1.0, 1.0)] * 2
    fine = rows(built["web_fine"].artifact, "chunks", Chunk)
    assert [chunk.text for chunk in fine] == ["It rains in the town.", "We stay at home now.", talk[1].text]


def test_given_turns_are_recognized(store: ArtifactStore, execution: Execution):
    talk = Talk(((Utterance("ann", "", 1.0, 4.0), Utterance("bob", "", 5.0, 9.0)),))
    built = chain(store, execution, talk, upto="clean_transcripts")
    found = rows(built["transcript_hypotheses"].artifact, "hypotheses", Hypothesis)
    assert [hypothesis.system for hypothesis in found] == ["one", "two"] * 2
    transcripts = rows(built["clean_transcripts"].artifact, "transcripts", Transcript)
    assert [(t.speaker, t.text) for t in transcripts] == [(name, "So it is like that.") for name in ("ann", "bob")]


def test_what_is_missing_is_reported_before_any_work(execution: Execution):
    config = recognize.Config((Scripted("one", "", missing="one: get the model so and so"),))  # type: ignore[arg-type]
    with pytest.raises(PreflightError, match="one: get the model so and so"):
        recognize.preflight(config, execution)


@pytest.mark.parametrize("names", [(), ("one", "one"), ("given",)])
def test_systems_have_names_of_their_own(names: tuple[str, ...]):
    with pytest.raises(ValueError, match="one ASR system or more"):
        recognize.Config(tuple(FasterWhisper(name, "package:base") for name in names))


# --- clean_transcripts ------------------------------------------------------------------------------------------


def test_the_vote_keeps_the_speaker_of_each_word(one_talk: dict[str, Built]):
    transcripts = rows(one_talk["clean_transcripts"].artifact, "transcripts", Transcript)
    assert [t.text for t in transcripts] == ["So it is like that."] * 3
    assert transcripts[0].systems == ["one", "two"]
    assert [(v.candidates, v.winner) for v in transcripts[0].votes] == [
        (["So", "so"], "So"),
        (["it", "it"], "it"),
        (["is", "was"], "is"),
        (["like", "like"], "like"),
        (["that.", "that"], "that."),
    ]
    assert transcripts[0].agreement == pytest.approx(4 / 5)
    assert transcripts[0].confidence == pytest.approx((0.7 * 4 + 0.9) / 5)


@pytest.mark.usefixtures("known_turns")
def test_what_a_filter_drops_is_kept_with_its_reason(store: ArtifactStore, execution: Execution):
    systems = (Scripted("one", "thanks for watching"), Scripted("two", "thanks for watching"))
    clean = clean_transcripts.Config(RoverWeights(0.3, 0.7))
    built = chain(store, execution, Talk(((),)), systems, clean, upto="clean_transcripts")
    artifact = built["clean_transcripts"].artifact
    dropped = rows(artifact, "dropped", DroppedTranscript)
    assert [(d.reason, d.text) for d in dropped] == [("hallucinated_phrase", "thanks for watching")] * 3
    assert [(d.speaker, d.start_s, d.end_s) for d in dropped] == [("a", 1.0, 4.0), ("b", 5.0, 9.0), ("a", 20.0, 24.0)]
    assert artifact.manifest.counts.dropped == {"hallucinated_phrase": 3}


# --- chunk_speech -----------------------------------------------------------------------------------------------


def test_chunks_carry_their_sound_and_the_way_back(two_talks: tuple[ArtifactStore, dict[str, Built]]):
    _, built = two_talks
    recordings = {r.recording_id: r for r in rows(built["raw_audio"].artifact, "recordings", Recording)}
    chunks = rows(built["web_coarse"].artifact, "chunks", Chunk)
    assert len(chunks) == 6
    assert len({chunk.chunk_id for chunk in chunks}) == 6
    for chunk in chunks:
        recording = recordings[chunk.source_id]
        assert (chunk.source_url, chunk.licence, chunk.role) == (recording.source_url, "CC0-1.0", "speech")
        whole, clip = decode_flac(recording.audio.bytes), decode_flac(chunk.audio.bytes)
        begin = round(chunk.start_s * SAMPLE_RATE_HZ)
        assert np.array_equal(clip, whole[begin : begin + len(clip)])
        assert len(clip) == round(chunk.duration_s * SAMPLE_RATE_HZ)
    # The 11 s between the second and the third turn end a document.
    assert [(chunk.index, chunk.speaker) for chunk in chunks] == [(0, "a"), (1, "b"), (0, "a")] * 2
    counts = built["web_coarse"].artifact.manifest.counts
    assert (counts.records_in, counts.records_kept, counts.stats["documents"]) == (6, 6, 4)


def cut(rule: ChunkRule, *turns: tuple[str, float, float, str]) -> list[Chunk]:
    """Return the chunks that a rule makes of turns (speaker, start, end, text) in a minute of noise."""
    samples = np.random.default_rng(0).uniform(-0.1, 0.1, 60 * SAMPLE_RATE_HZ).astype(np.float32)
    recording = Recording("r", "talk.wav", "", "CC0-1.0", 60.0, 16_000, 1, "wav", Audio(b"", ""))
    transcripts = [
        Transcript("s", "r", who, start_s, end_s, "en", text, spread(text, start_s, end_s), ["one"], [], 1.0, 1.0)
        for who, start_s, end_s, text in turns
    ]
    return chunk_speech.chunks_of(recording, samples, chunk_recording(samples, transcripts, [], rule))


def test_rules_that_cut_alike_give_equal_ids_and_others_never_do():
    talk = [
        ("a", 1.0, 4.0, "So it is like that."),
        ("a", 4.5, 12.0, "It was so in all of the towns. And it is so here."),
        ("b", 14.0, 20.0, "Is it? I was never sure of it."),
        ("a", 40.0, 44.0, "So it is like that."),  # the same words again
    ]
    rules = (
        Sentences(),
        Sentences(max_s=20.0),
        Turns(max_gap_s=0.0),
        Turns(),
        Turns(max_s=60.0, max_document_gap_s=30.0),
        Sentences(max_s=1.5),
        Sentences(margin_s=0.1),
        Sentences(min_sentence_s=3.5),
        Sentences(max_document_chunks=2),
    )
    made = [cut(rule, *talk) for rule in rules]
    assert made[1] == made[0]
    whole, merged = ({chunk.chunk_id for chunk in made[index]} for index in (0, 3))
    assert merged & whole == {made[0][-1].chunk_id}  # the one turn that neither merges nor cuts
    names: dict[str, tuple[str, float, float, str]] = {}
    documents: dict[str, list[str]] = {}
    for chunks in made:
        assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)
        own: dict[str, list[str]] = {}
        for chunk in chunks:
            name = (chunk.speaker, chunk.start_s, chunk.end_s, chunk.text)
            assert names.setdefault(chunk.chunk_id, name) == name
            own.setdefault(chunk.document_id, []).append(chunk.chunk_id)
        for document_id, members in own.items():
            assert documents.setdefault(document_id, members) == members
    assert len(set(names.values())) == len(names)  # what is equal has one id
    assert len({tuple(members) for members in documents.values()}) == len(documents)


def test_two_speakers_who_say_the_same_at_once_are_two_chunks():
    one, other = cut(Sentences(), ("a", 1.0, 2.0, "Yes."), ("b", 1.0, 2.0, "Yes."))
    assert (one.start_s, one.end_s, one.text) == (other.start_s, other.end_s, other.text)
    assert one.chunk_id != other.chunk_id


@pytest.mark.parametrize("rule", [chunk_speech.Config(Turns()), "fine", None])
def test_what_is_no_rule_is_refused_when_the_recipe_is_read(rule: Any):
    audio = SAMPLE["raw_audio"]
    with pytest.raises(RecipeError, match=rf"{Path(__file__).name}:\d+: cut_chunks: a rule is Turns"):
        chunk_speech.cut_chunks(audio, SAMPLE["clean_transcripts"], rule, name="mine")


@pytest.mark.usefixtures("known_turns")
def test_a_second_build_in_another_place_gives_the_same_bytes(tmp_path: Path, execution: Execution):
    ingest = ingest_audio.Config(recordings_per_unit=1)
    versions = []
    for place in ("here", "there"):
        store = ArtifactStore(tmp_path / place / "store", tmp_path / place / "cache")
        built = chain(store, execution, Talk(((), (), ())), ingest=ingest)
        assert len(built["web_fine"].artifact.shards("chunks")) == 3
        versions.append({name: item.artifact.data_version for name, item in built.items()})
    assert versions[0] == versions[1]


def test_licence_and_address_go_from_a_manifests_line_to_the_chunk(
    store: ArtifactStore, execution: Execution, tmp_path: Path
):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    noise = np.random.default_rng(0).uniform(-0.1, 0.1, 20 * SAMPLE_RATE_HZ)
    noise[3 * SAMPLE_RATE_HZ : 14 * SAMPLE_RATE_HZ] *= 0.01
    soundfile.write(folder / "talk.wav", noise, SAMPLE_RATE_HZ)
    spoken = {1.0: "So that is how it was done.", 14.0: "And this is what they said of it."}
    lines = [
        {"audio_filepath": "talk.wav", "offset": start_s, "duration": 2.0, "text": text, "speaker": "a", "lang": "en",
         "url": "https://example.org/talk", "licence": "CC-BY-4.0"}
        for start_s, text in spoken.items()
    ]  # fmt: skip
    (folder / "manifest.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    ingest = ingest_audio.Config(parts=PartRule(max_part_s=8.0, search_s=1.0))
    built = chain(store, execution, FolderSource(folder), ingest=ingest, upto="web_fine")
    recordings = {row.recording_id: row for row in rows(built["raw_audio"].artifact, "recordings", Recording)}
    assert len(recordings) == 3  # a long one, in parts
    for name in ("web_coarse", "web_fine"):
        chunks = rows(built[name].artifact, "chunks", Chunk)
        assert {chunk.licence for chunk in chunks} == {"CC-BY-4.0"}
        found = {recordings[chunk.source_id].offset_s + chunk.start_s: chunk for chunk in chunks}
        assert list(found) == pytest.approx(list(spoken), abs=0.5)
        for (start_s, chunk), text in zip(found.items(), spoken.values(), strict=True):
            address, _, fragment = chunk.source_url.partition("#t=")
            first_s, last_s = map(float, fragment.split(","))
            assert (address, chunk.text) == ("https://example.org/talk", text)
            assert first_s <= start_s < last_s
            assert first_s == recordings[chunk.source_id].offset_s


# --- account_speech ---------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("known_turns")
def test_every_second_is_accounted_for(store: ArtifactStore, execution: Execution):
    text = ("thanks for watching", "So it is like that.")
    systems = tuple(Scripted(name, text[0]) for name in ("one", "two"))
    built = chain(store, execution, Talk(((), ())), systems)
    ledger = rows(built["web_fine_ledger"].artifact, "ledger", LedgerRow)
    assert {(r.step, r.outcome, r.reason): (r.pieces, r.duration_ms) for r in ledger} == {
        ("raw_audio", "in", ""): (2, 0),
        ("raw_audio", "kept", ""): (2, 60_000),
        ("speech_segments", "in", ""): (2, 60_000),
        ("speech_segments", "kept", ""): (6, 22_000),
        ("speech_segments", "dropped", "not_speech"): (0, 38_000),
        ("clean_transcripts", "in", ""): (6, 22_000),
        ("clean_transcripts", "dropped", "hallucinated_phrase"): (6, 22_000),
    }
    assert {r.source for r in ledger if r.step != "raw_audio" or r.outcome != "in"} == {"talk.example"}
    stats = built["web_fine_ledger"].artifact.manifest.counts.stats
    assert stats["hours_clean_transcripts_dropped_hallucinated_phrase"] == pytest.approx(22 / 3600)


def test_the_words_and_chunks_of_one_chunking_are_accounted_for(one_talk: dict[str, Built]):
    for name in ("web_coarse", "web_fine"):
        chunks = rows(one_talk[name].artifact, "chunks", Chunk)
        ledger = rows(one_talk[f"{name}_ledger"].artifact, "ledger", LedgerRow)
        assert {r.outcome: (r.pieces, r.duration_ms) for r in ledger if r.step == "chunks"} == {
            "in": (15, 11_000),
            "kept": (15, 0),
            "made": (3, sum(round(c.end_s * 1000) - round(c.start_s * 1000) for c in chunks)),
        }


def test_the_lengths_and_switches_of_a_chunking_are_measured(one_talk: dict[str, Built]):
    built = one_talk

    def measured(name: str) -> dict[str, float]:
        found = rows(built[f"{name}_ledger"].artifact, "metrics", Metric)
        assert {metric.subject for metric in found} == {"chunks"}
        return {metric.metric: metric.value for metric in found}

    coarse, fine = measured("web_coarse"), measured("web_fine")
    lengths = [chunk.duration_s for chunk in rows(built["web_fine"].artifact, "chunks", Chunk)]
    assert fine["length_s.mean"] == pytest.approx(np.mean(lengths))
    assert fine["length_s.p50"] == pytest.approx(np.median(lengths))
    assert coarse["length_s.target"] == 19.2
    assert coarse["length_s.mean_of_target"] == pytest.approx(coarse["length_s.mean"] / 19.2)
    assert not any("target" in name for name in fine)  # no length is aimed at
    assert sum(value for name, value in fine.items() if ".share." in name) == pytest.approx(1.0)
    # Three turns: two in one document, one in the next; deterministic sampling changes modality at every chunk.
    assert coarse["chunks_per_document.mean"] == 1.5
    assert coarse["switches_per_document.deterministic.mean"] == 0.5
    assert coarse["switches_per_document.stochastic.expected"] == 0.25
    assert coarse["switches_per_document.stochastic.mean"] in (0.0, 0.5)
    page = built["web_coarse_ledger"].artifact.read_file("chunks.md").decode()
    assert "| length_s.mean |" in page


# --- with real models ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample_truth(project_dir: Path) -> Any:
    """The benchmark that scores what was made of the sample crawl against its truth."""
    spec = importlib.util.spec_from_file_location("sample_truth", project_dir / "benchmarks/sample_truth.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def scored(sample_truth: Any, built: dict[str, Built]) -> Any:
    """Return what was built as the benchmark takes it."""
    raw, clean = built["raw_audio"].artifact, built["clean_transcripts"].artifact
    return sample_truth.Snapshot(
        recordings=rows(raw, "recordings", Recording),
        rejects=rows(raw, "rejects", Reject),
        transcripts=rows(clean, "transcripts", Transcript),
        dropped=rows(clean, "dropped", DroppedTranscript),
        chunks={name: rows(built[name].artifact, "chunks", Chunk) for name in ("web_coarse", "web_fine")},
    )


@pytest.mark.slow
@pytest.mark.parametrize("snapshot", ["2026-01", "2026-02"])
def test_the_planted_files_of_the_sample_crawl_are_found(
    store: ArtifactStore, execution: Execution, project_dir: Path, sample_truth: Any, snapshot: str
):
    folder = FolderSource(project_dir / "spelangy_assets/sample/snapshots/audio" / snapshot)
    built = chain(store, execution, folder, upto="raw_audio")
    (planted,) = sample_truth.planted_files(rows(built["raw_audio"].artifact, "rejects", Reject), snapshot)
    assert planted.found, planted


@pytest.mark.slow
def test_the_sample_crawl_comes_out_as_its_truth_says(
    store: ArtifactStore, execution: Execution, project_dir: Path, tmp_path: Path, sample_truth: Any
):
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for name in ("2026-01/talk-03.opus", "2026-02/talk-05.opus"):  # with a foreign stretch, and with noise
        found = project_dir / "spelangy_assets/sample/snapshots/audio" / name
        (folder / found.name).write_bytes(found.read_bytes())
    systems, clean = SAMPLE["transcript_hypotheses"].config.systems, SAMPLE["clean_transcripts"].config
    built = chain(store, execution, FolderSource(folder), systems, clean, coarse=SAMPLE["web_coarse"].config)
    snapshot = scored(sample_truth, built)
    sentences = sample_truth.true_sentences(snapshot.recordings)

    assert sample_truth.total(sample_truth.transcript_errors(snapshot, sentences).values()).rate < 0.05
    planted = sample_truth.planted_stretches(snapshot)
    assert len(planted) == 2
    assert all(stretch.found for stretch in planted), planted
    for chunking in ("web_coarse", "web_fine"):
        edges = sample_truth.edges_of(snapshot, chunking, sentences)
        assert np.median(edges.into_speech_s) <= 0.08
        assert edges.cut == []
    coarse, fine = snapshot.chunks["web_coarse"], snapshot.chunks["web_fine"]
    assert len(fine) > len(coarse)
    assert " ".join(chunk.text for chunk in fine) == " ".join(chunk.text for chunk in coarse)


# --- text formats -----------------------------------------------------------------------------------------------


def test_turns_and_words_leave_as_rttm_ctm_and_srt(two_talks: tuple[ArtifactStore, dict[str, Built]], tmp_path: Path):
    store, built = two_talks
    paths = export_transcripts(store, "recipe", None, tmp_path / "out")
    assert {path.relative_to(tmp_path / "out").as_posix() for path in paths} == {
        "turns.rttm",
        "transcripts.ctm",
        "hypotheses/one.ctm",
        "hypotheses/two.ctm",
        "transcripts/talk-0.srt",
        "transcripts/talk-1.srt",
    }
    assert all(path.is_file() for path in paths)
    segments = rows(built["speech_segments"].artifact, "segments", Segment)
    turns = read_rttm((tmp_path / "out/turns.rttm").read_text())
    assert [(t.start_s, t.end_s, t.speaker) for t in [*turns["talk-0"], *turns["talk-1"]]] == [
        (s.start_s, s.end_s, s.speaker) for s in segments
    ]
    kept = rows(built["clean_transcripts"].artifact, "transcripts", Transcript)
    words = read_ctm((tmp_path / "out/transcripts.ctm").read_text())
    spoken = sorted((w for t in kept for w in t.words), key=lambda word: (word.start_s, word.text))
    assert sorted((w.text, round(w.start_s, 2)) for found in words.values() for w in found) == sorted(
        (w.text, round(w.start_s, 2)) for w in spoken
    )
    subtitles = (tmp_path / "out/transcripts/talk-0.srt").read_text()
    assert subtitles.startswith("1\n00:00:")
    assert "So it is like that." in subtitles


@pytest.mark.usefixtures("known_turns")
def test_any_name_of_a_recording_leaves(store: ArtifactStore, execution: Execution, tmp_path: Path):
    name = "d/" + "\u65e5\u672c\u8a9e " * 30  # 302 bytes in the snapshot, 932 characters percent-encoded
    chain(store, execution, Talk(((), ()), name=name), upto="clean_transcripts")
    paths = export_transcripts(store, "recipe", None, tmp_path / "out")
    captions = sorted(path for path in paths if path.suffix == ".srt")
    assert len(captions) == 2
    assert all(path.is_file() and len(path.name) <= 255 for path in paths)
    listed = dict(line.split("\t") for line in (tmp_path / "out/shortened_names.tsv").read_text().splitlines())
    assert {unquote(listed[path.name]) for path in captions} == {f"{name}-0", f"{name}-1"}
    assert {unquote(called) for called in read_rttm((tmp_path / "out/turns.rttm").read_text())} == {
        f"{name}-0", f"{name}-1",
    }  # fmt: skip
