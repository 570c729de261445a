"""Documents become spoken chunks: voices, checks, counts, resume, equal bytes."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest
from scipy.stats import chisquare

from spelangy_assets.execution.stage import Execution, PreflightError, StageContext
from spelangy_assets.sample.sources import SentenceKind, WorldSentences
from spelangy_assets.sample.world import load_world
from spelangy_assets.sources.texts import Sentence, SentenceSource, SourceUnavailable
from spelangy_assets.stages import speak, tokenizer_corpus
from spelangy_assets.stages.speak import Config
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_assets.store.fingerprint import fingerprint, payload_of
from spelangy_model.audio.io import SAMPLE_RATE_HZ, decode_flac
from spelangy_model.audio.tts import SpeechLimits, SynthesizerSpec, Voice
from spelangy_model.audio.tts.espeak import VOICES, EspeakSynthesizer, voices_of
from spelangy_model.records import Chunk, Line, Reject, Script
from spelangy_model.rng import stable_hash


def no_launch(*_):
    raise AssertionError("this stage starts no subprocess")


@pytest.fixture
def execution(tmp_path):
    return Execution(cache_dir=tmp_path / "cache", launch=no_launch)


def commit(store: ArtifactStore, asset: str, tables: dict[str, type], fill, config: object = None) -> Artifact:
    """Return the artifact that `fill` writes, or the one that is there already."""
    address = Address(asset)
    if (artifact := store.find(address, "v1-key")) is not None:
        return artifact
    payload = payload_of(config)
    identity = Identity(asset, "1", fingerprint(config), payload, [], "v1-key")
    writer = store.writer(DatasetName("test", asset), identity, tables)
    fill(writer)
    writer.commit()
    artifact = store.find(address, "v1-key")
    assert artifact is not None
    return artifact


def script(number: int, *lines: tuple[str, str]) -> Script:
    return Script(
        document_id=f"{number:032x}",
        page_id=f"page{number}",
        url=f"https://example.org/{number}",
        licence="CC0-1.0",
        title="",
        lines=[Line(role, text, text) for role, text in lines],
        evidence="",
    )


SCRIPTS = [
    script(1, ("question", "Where does the otter live?"), ("rationale", "It needs water."), ("answer", "In a river.")),
    script(2, ("sentence", "The harp is old."), ("sentence", "..."), ("sentence", "It has many strings.")),
    script(3, ("question", "Who made the harp?"), ("answer", "???")),
    script(4, ("question", "What is a harp?"), ("answer", "It is a musical instrument.")),
]


def spoken(tmp_path, execution, config: Config, name: str = "spoken") -> Artifact:
    store = ArtifactStore(tmp_path / name, tmp_path / "cache")

    def fill_scripts(writer):
        for unit, part in enumerate((SCRIPTS[:2], SCRIPTS[2:])):
            with writer.unit(unit) as out:
                out.write("scripts", part)

    scripts = commit(store, "scripts", {"scripts": Script}, fill_scripts)

    def run(writer):
        speak.run(StageContext({"scripts": scripts}, {}, writer, execution, None, None, lambda text: None), config)

    return commit(store, "spoken", speak.TABLES, run, config)


def test_each_document_speaks_in_one_voice_and_says_its_lines(tmp_path, execution):
    artifact = spoken(tmp_path, execution, Config(seed=1))
    chunks = list(artifact.records("chunks", Chunk))
    assert [(chunk.source_id, chunk.index, chunk.role) for chunk in chunks] == [
        ("page1", 0, "question"),
        ("page1", 1, "rationale"),
        ("page1", 2, "answer"),
        ("page2", 0, "sentence"),
        ("page2", 1, "sentence"),
        ("page4", 0, "question"),
        ("page4", 1, "answer"),
    ]
    by_name = {voice.name: voice.accent for voice in VOICES}
    for chunk in chunks:
        assert chunk.accent == by_name[chunk.speaker]
        assert len(decode_flac(chunk.audio.bytes)) / SAMPLE_RATE_HZ == chunk.duration_s > 0.3
    for document in {chunk.document_id for chunk in chunks}:
        assert len({chunk.speaker for chunk in chunks if chunk.document_id == document}) == 1
    assert {chunk.document_id for chunk in chunks} <= {script.document_id for script in SCRIPTS}
    assert len({chunk.chunk_id for chunk in chunks}) == len(chunks)


def test_lines_that_cannot_be_spoken_are_counted_and_a_broken_dialogue_is_dropped_as_a_whole(tmp_path, execution):
    artifact = spoken(tmp_path, execution, Config(seed=1))
    counts = artifact.manifest.counts
    assert counts.records_in == 10
    assert counts.records_kept == 7
    assert counts.dropped == {"nothing_to_say": 2, "document_incomplete": 1}
    assert counts.stats["documents_kept"] == 3
    assert [(row.source_uri, row.reason) for row in artifact.records("rejects", Reject)] == [
        ("https://example.org/2", "nothing_to_say"),
        ("https://example.org/3", "nothing_to_say"),
        ("https://example.org/3", "document_incomplete"),
    ]


def test_the_version_is_the_same_when_threads_encode_and_write(tmp_path, execution, monkeypatch):
    monkeypatch.setattr(speak, "_BLOCK_LINES", 2)  # several blocks a unit
    at_once = spoken(tmp_path, execution, Config(seed=1), "at_once")
    beside = spoken(tmp_path, replace(execution, readers=2), Config(seed=1), "beside")
    assert beside.data_version == at_once.data_version
    assert beside.manifest.counts == at_once.manifest.counts


def test_the_checks_of_the_config_are_applied(tmp_path, execution):
    config = Config(seed=1, limits=SpeechLimits(max_duration_s=0.2))
    counts = spoken(tmp_path, execution, config).manifest.counts
    assert counts.records_kept == 0
    assert counts.dropped["too_long"] == 8


def test_several_voices_make_documents_of_their_own(tmp_path, execution):
    chunks = list(spoken(tmp_path, execution, Config(seed=1, voices_per_document=5)).records("chunks", Chunk))
    documents = Counter(chunk.document_id for chunk in chunks if chunk.source_id == "page4")
    assert len(documents) == 5
    assert set(documents.values()) == {2}
    assert len({chunk.speaker for chunk in chunks if chunk.source_id == "page4"}) == 5
    assert SCRIPTS[3].document_id not in documents


def test_no_voice_speaks_a_script_twice_before_all_have_spoken_it_once():
    config = Config(seed=3, voices=VOICES[:4], voices_per_document=8)
    names = [voice.name for voice in speak.voices_for("a document", config)]
    assert set(names[:4]) == set(names[4:]) == {voice.name for voice in VOICES[:4]}


def test_each_accent_speaks_a_fifth_of_many_documents_and_each_document_keeps_its_voice():
    config = Config(seed=1)
    documents = [stable_hash("document", number) for number in range(20_000)]
    drawn = [speak.voices_for(document, config)[0] for document in documents]
    counts = Counter(voice.accent for voice in drawn)
    assert len(counts) == 5
    assert all(abs(count / len(documents) - 0.2) < 0.01 for count in counts.values())
    assert chisquare(list(counts.values())).pvalue > 0.01
    assert len({voice.name for voice in drawn}) == len(VOICES)
    again = [speak.voices_for(document, config)[0] for document in reversed(documents[:500])]
    assert again == drawn[499::-1]


def test_equal_input_gives_equal_bytes_however_the_work_is_cut_and_in_whatever_order(tmp_path, execution):
    first = spoken(tmp_path, execution, Config(seed=1), "a")
    assert first.data_version == spoken(tmp_path, execution, Config(seed=1), "b").data_version
    small = spoken(tmp_path, execution, Config(seed=1, scripts_per_unit=1), "c")
    assert list(small.records("chunks", Chunk)) == list(first.records("chunks", Chunk))
    other = spoken(tmp_path, execution, Config(seed=2), "d")
    assert other.data_version != first.data_version


def test_a_killed_run_goes_on_at_the_first_document_that_is_missing(tmp_path, execution, monkeypatch):
    config = Config(seed=1, scripts_per_unit=1)
    calls: list[str] = []
    plain = EspeakSynthesizer.speak

    def stumbling(self, text, voice):
        calls.append(text)
        if text == "What is a harp?" and calls.count(text) == 1:
            raise KeyboardInterrupt
        return plain(self, text, voice)

    monkeypatch.setattr(EspeakSynthesizer, "speak", stumbling)
    with pytest.raises(KeyboardInterrupt):
        spoken(tmp_path, execution, config, "a")
    calls_before = len(calls)
    resumed = spoken(tmp_path, execution, config, "a")
    assert calls[calls_before:] == ["What is a harp?", "It is a musical instrument."]
    monkeypatch.undo()
    assert resumed.data_version == spoken(tmp_path, execution, config, "b").data_version


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(seed=1, voices=(Voice("en-gb", "uk"),)), "no English voice 'en-gb'"),
        (Config(seed=1, voices=()), "no voice"),
        (Config(seed=1, synthesizer=SynthesizerSpec("coqui", "tts_models/en/vctk/vits")), "tts_models/en/vctk/vits"),
    ],
)
def test_preflight_says_what_is_missing(config, message, execution):
    with pytest.raises(PreflightError, match=message):
        speak.preflight(config, execution)


def test_preflight_of_what_is_there_passes(execution):
    speak.preflight(Config(seed=1), execution)


# --- tokenizer speech ---------------------------------------------------------------------------------------


def tokenizer_config(world: str = "", **changes) -> tokenizer_corpus.Config:
    counts: dict[SentenceKind, int] = {"word_salad": 6, "talk": 5, "questions": 4}
    literals = {
        "sentences": tuple(
            WorldSentences(world=world or load_world().digest, seed=5, kind=kind, count=count)
            for kind, count in counts.items()
        ),
        "seed": 5,
        "voices": voices_of(["en-us", "en-gb-scotland"]),
        "sentences_per_unit": 4,
    }
    return tokenizer_corpus.Config(**{**literals, **changes})


def tokenizer_speech(tmp_path, execution, config, name="tokenizer") -> Artifact:
    store = ArtifactStore(tmp_path / name, tmp_path / "cache")

    def run(writer):
        tokenizer_corpus.run(StageContext({}, {}, writer, execution, None, None, lambda text: None), config)

    return commit(store, "tokenizer_speech", tokenizer_corpus.TABLES, run, config)


def test_the_tokenizer_is_trained_on_the_sentences_and_voices_of_the_recipe(tmp_path, execution):
    config = tokenizer_config()
    tokenizer_corpus.preflight(config, execution)
    artifact = tokenizer_speech(tmp_path, execution, config)
    chunks = list(artifact.records("chunks", Chunk))
    kinds = Counter(chunk.source_url.split(":")[1].split("/")[0] for chunk in chunks)
    assert kinds == {"word_salad": 6, "talk": 5, "questions": 4}
    assert {chunk.accent for chunk in chunks} == {"en-us", "en-gb-scotland"}
    assert sum(chunk.text.endswith("?") for chunk in chunks if "questions" in chunk.source_url) == 2
    assert len({chunk.document_id for chunk in chunks}) == 15
    assert all(np.any(decode_flac(chunk.audio.bytes)) for chunk in chunks)
    assert artifact.manifest.units == 4
    assert artifact.data_version == tokenizer_speech(tmp_path, execution, config, "again").data_version


def test_a_world_that_changed_is_named_before_any_work(execution):
    with pytest.raises(PreflightError, match="state the installed one"):
        tokenizer_corpus.preflight(tokenizer_config(world="0" * 64), execution)


@dataclass(frozen=True)
class Proverbs:
    """A source of sentences from outside of the package."""

    version: ClassVar[str] = "1"
    texts: tuple[str, ...]
    missing: str = ""

    def check(self) -> None:
        if self.missing:
            raise SourceUnavailable(self.missing)

    def sentences(self) -> Iterator[Sentence]:
        for index, text in enumerate(self.texts):
            yield Sentence(f"proverb-{index}", "proverbs", f"https://example.org/{index}", text)


def test_sentences_of_another_source_are_spoken_under_their_own_ids(tmp_path, execution):
    proverbs = Proverbs(("Still waters run deep.", "Haste makes waste."))
    assert isinstance(proverbs, SentenceSource)
    sample = tokenizer_config().sentences[0]
    artifact = tokenizer_speech(tmp_path, execution, tokenizer_config(sentences=(sample, proverbs)))
    chunks = list(artifact.records("chunks", Chunk))
    assert [(c.document_id, c.source_id, c.source_url, c.text) for c in chunks[-2:]] == [
        ("proverb-0", "proverbs", "https://example.org/0", "Still waters run deep."),
        ("proverb-1", "proverbs", "https://example.org/1", "Haste makes waste."),
    ]
    # What a source gives, and in which voice, does not depend on the others.
    alone = tokenizer_speech(tmp_path, execution, tokenizer_config(sentences=(proverbs,)), "alone")
    alone = list(alone.records("chunks", Chunk))
    assert [chunk.audio.bytes for chunk in alone] == [chunk.audio.bytes for chunk in chunks[-2:]]


def test_a_source_that_is_not_there_says_its_cure_before_any_work(execution):
    missing = Proverbs((), missing="put proverbs.txt beside the recipe")
    with pytest.raises(PreflightError, match=r"the speech tokenizer's speech: put proverbs\.txt beside the recipe"):
        tokenizer_corpus.preflight(tokenizer_config(sentences=(missing,)), execution)
