import dataclasses
import importlib
import math
import pkgutil
from collections.abc import Callable
from typing import Any

import pytest

from spelangy_assets import stages
from spelangy_assets.quality.contracts import Bound, Contract
from spelangy_assets.quality.evaluate import ContractError, _views, aggregate, drift_values, evaluate
from spelangy_assets.report.post_training_page import TunedArm
from spelangy_assets.stage_parts import contracts
from spelangy_assets.stages import write_krist
from spelangy_assets.stages.clean_transcripts import CONTRACT as CLEAN_TRANSCRIPTS
from spelangy_assets.stages.describe_data import Portion
from spelangy_assets.stages.find_contaminated import ContaminatedDocument
from spelangy_assets.stages.judge_answers import JudgedAnswer
from spelangy_assets.stages.measure_speech import MeasuredChunk
from spelangy_assets.stages.prefer_answers import PreferredAnswer
from spelangy_assets.stages.score_system import TranscribedQuestion
from spelangy_assets.stages.tokenize_chunks import CONTRACT as SPEECH_TOKENS
from spelangy_assets.stages.train_lm import CONTRACT as RUN
from spelangy_assets.store.artifacts import Address, Artifact, ArtifactStore, DatasetName, Identity
from spelangy_model.records import (
    AcceptedAnswers,
    Audio,
    Chunk,
    ConversationTurn,
    DroppedTranscript,
    Duplicate,
    GeneratedAnswer,
    Hypothesis,
    LedgerRow,
    Line,
    Metric,
    PackedRow,
    Page,
    PageSignature,
    PassageScore,
    QuestionCodes,
    QuestionScore,
    Recording,
    Reject,
    RejectedChunk,
    RowSpan,
    Script,
    Segment,
    SpokenPassage,
    SpokenQuestion,
    SuppliedText,
    TextDocument,
    TokenChunk,
    TokenDocument,
    TokenGap,
    Transcript,
    Vote,
    Word,
    schema_of,
)

AUDIO = Audio(bytes(100), "a.flac")
WORD = Word("word", 0.0, 1.0, 0.9)
SCORE = QuestionScore(
    *("q", "t", "c", "web", "seen_wording", "us", "text"),
    *([-1.0, -2.0], [-1.0, -2.0], [-0.1, -0.2], 0, 0, math.nan),
)
ASKED = ("q", "t", "c", "web", "seen_wording", "us", "speech", "Where?", "Rome")
ANSWER = GeneratedAnswer(*ASKED, "It is Rome.", 4, True)
STAGES = [importlib.import_module(f"{stages.__name__}.{info.name}") for info in pkgutil.iter_modules(stages.__path__)]
ALL_CONTRACTS: dict[str, Contract] = {
    contract.name: contract
    for stage in STAGES
    for contract in (stage.KIND.contract, *getattr(stage, "CONTRACTS", {}).values())
    if isinstance(contract, Contract)
} | {"krist": write_krist.contract(write_krist.Config())}

PASSAGE = SpokenPassage("p", "t", "c", ["A.", "B.", "C.", "D."], ["v"] * 3, [0.0, 1.0, 2.0], AUDIO)
# One sound row of each table of each contract's stage.
ROWS: dict[str, dict[str, Any]] = {
    "raw_audio": {
        "recordings": Recording("r", "a.wav", "https://a", "CC-BY-4.0", 10.0, 44100, 2, "WAV", AUDIO),
        "rejects": Reject("b.wav", "", "undecodable", "no header"),
    },
    "duplicates": {"duplicates": Duplicate("r", "tue", "q", "mon", "near_duplicate", 0.9)},
    "speech_segments": {"segments": Segment("s", "r", 0.0, 9.0, "A", 0.5)},
    "transcript_hypotheses": {"hypotheses": Hypothesis("s", "r", "base", "word", [WORD], "en", 0.9)},
    "clean_transcripts": {
        "transcripts": Transcript(
            *("s", "r", "A", 0.0, 9.0, "en", "word", [WORD], ["base"], [Vote(["word"], "word")], 0.9, 0.9)
        ),
        "dropped": DroppedTranscript("t", "r", "A", 0.0, 9.0, "too_short", "0.1 s of 0.3 s", "word"),
    },
    "chunks": {
        "chunks": Chunk(
            *("c", "d", 0, "speech", "r", "https://a", "CC0-1.0", "A", "", 0.0, 1.0, "twelve chars", "twelve", AUDIO)
        )
    },
    "fine_chunks": {
        "chunks": Chunk(
            *("c", "d", 0, "speech", "r", "https://a", "CC0-1.0", "A", "", 0.0, 1.0, "Twelve chars.", "twelve", AUDIO)
        )
    },
    "adopted_chunks": {
        "chunks": Chunk(
            *("c", "d", 0, "speech", "r", "https://a", "CC0-1.0", "A", "", 0.0, 1.0, "twelve chars", "twelve", AUDIO)
        ),
        "dropped": DroppedTranscript("t", "r", "A", 0.0, 9.0, "too_short", "0.1 s of 0.3 s", "word"),
    },
    "speech_ledger": {
        "ledger": LedgerRow("chunks", "a.example", "made", "", 1, 1000),
        "metrics": Metric("chunks", "length_s.mean", 1.0, math.nan, math.nan, 1),
    },
    "accepted_answers": {"accepted": AcceptedAnswers("t", ["Rome", "Roma"])},
    "generated_answers": {"answers": ANSWER},
    "judged_answers": {
        "judged": JudgedAnswer(*ASKED[:7], "It is Rome.", "contained", "Rome", "right", "it says so"),
        "metrics": Metric("all", "sqa.all.generated.accuracy", 0.5, 0.4, 0.6, 2),
    },
    "speech_reconstruction": {"metrics": Metric("tokenizer", "decoded.word_error_rate", 0.2, math.nan, math.nan, 9)},
    "measured_speech": {
        "measured": MeasuredChunk("c", "d", "A", "", "a", "CC0-1.0", "en", 1.0, True, 20.0, 3.0, 3.5, 4.0),
        "rejected": RejectedChunk("b", "d", "low_mos", "1 < 2"),
    },
    "data_contents": {
        "portions": Portion("set", "web", 1, 0.5),
        "metrics": Metric("data", "largest_speaker_share", 0.2, math.nan, math.nan, 1),
    },
    "raw_pages": {
        "pages": Page("p", "https://a", "a.warc@0", "", "CC0-1.0", "utf-8", "<html>"),
        "signatures": PageSignature("p", "", "https://a", [1, 2]),
    },
    "supplied_texts": {
        "texts": SuppliedText("d", "p", "https://a", "CC0-1.0", "A", "Text."),
        "rejects": Reject("a.jsonl#line=2", "", "not_json", "Expecting value"),
        "signatures": PageSignature("p", "", "https://a", []),
    },
    "text_documents": {"documents": TextDocument("d", "p", "https://a", "CC0-1.0", "A", "Text.")},
    "scripts": {"scripts": Script("d", "p", "https://a", "CC0-1.0", "A", [Line("sentence", "A.", "A.")], "A.")},
    "krist": {"scripts": Script("d", "p", "https://a", "CC0-1.0", "A", [Line("sentence", "A.", "A.")], "A.")},
    "tokens": {"documents": TokenDocument("d", "r", "https://a", "CC0-1.0", [TokenChunk("speech", [7], [1])])},
    "speech_tokens": {
        "documents": TokenDocument("d", "r", "https://a", "CC0-1.0", [TokenChunk("speech", [7], [1])]),
        "codebook": Metric("shard 0", "codebook.perplexity_share", 0.4, math.nan, math.nan, 600),
    },
    "mix": {"rows": PackedRow(0, "text", [1, 2], [0, 1], [0, 1], [RowSpan("d", "web", "r", 0, 0, 2, 0)])},
    "question_codes": {"codes": QuestionCodes("q", [7, 0], 8)},
    "conversations": {
        "turns": ConversationTurn("c", 0, "user", "own", "a#1", "CC0-1.0", "v", "us", "Where?", "Where?", AUDIO),
        "rejects": Reject("a.jsonl#line 2", "", "empty_answer", "no text"),
    },
    "conversation_tokens": {
        "documents": TokenDocument(
            "c", "a#1", "", "CC0-1.0", [TokenChunk("user", [7], []), TokenChunk("assistant", [], [1])]
        )
    },
    "conversation_rows": {
        "rows": PackedRow(0, "speech", [1, 2], [0, 1], [0, 1], [RowSpan("c", "own", "a", 0, 0, 2, 0)])
    },
    "preferred_answers": {
        "preferred": PreferredAnswer(
            *("q", "t", "c", "web", "Rome.", "Paris.", "first", "first", "first", "Rome is right.")
        ),
        "metrics": Metric("fine to quest", "preferred.first", 1.0, 0.2, 1.0, 1),
    },
    "post_training": {
        "arms": TunedArm("fine", 1, *([0.3, 0.2, 0.4] * 3)),
        "metrics": Metric("fine", "sqa.exact_match", 0.3, 0.2, 0.4, 4),
    },
    "questions": {
        "questions": SpokenQuestion(
            *(
                "q",
                "t",
                "c",
                "web",
                "seen_wording",
                "Who?",
                "Who?",
                "v",
                "us",
                ["a", "b", "c", "d"],
                1,
                "person",
                AUDIO,
            )
        )
    },
    "scores": {
        "scores": SCORE,
        "gaps": TokenGap("q", "t", 0, "a", 0.5, 0.4, ["b"], [0.5], [0.1]),
        "passages": PassageScore("p", "c", [4], [9.0], [8.0], [8.0], [9.0]),
        "metrics": Metric("run", "sqa.accuracy", 0.5, 0.25, 0.75, 4),
    },
    "talk": {"talk": PASSAGE},
    "system_scores": {
        "scores": SCORE,
        "metrics": Metric("cascade", "sqa.accuracy", 0.5, 0.25, 0.75, 4),
        "transcripts": TranscribedQuestion("q", "Who?", "who", 0, 1),
    },
    "contaminated": {"contaminated": ContaminatedDocument("d", "t", 6, "one two three four five six")},
    "metrics": {"metrics": Metric("run", "sqa.accuracy", 0.5, math.nan, math.nan, 4)},
    "adopted_language_model": {"metrics": Metric("base_lm", "parameters", 9.0, math.nan, math.nan, 1)},
    "files": {},
    "page": {},
    "question_page": {},
    "synthetic_page": {"metrics": Metric("speech", "hours", 0.5, math.nan, math.nan, 4)},
    "roll_up": {},
    "speech_tokenizer": {"metrics": Metric("speech_tokenizer", "codebook.used_share", 0.9, math.nan, math.nan, 4)},
    "run": {},
    "leaderboard": {"metrics": Metric("run", "sqa.accuracy", 0.5, 0.25, 0.75, 4)},
}
# What a contract asks for beside one row.
MORE_ROWS: dict[str, dict[str, list[Any]]] = {
    "conversations": {
        "turns": [
            ConversationTurn(*("c", 1, "assistant", "own", "a#1", "CC0-1.0", "", "", "Rome.", ""), Audio(b"", "a.flac"))
        ]
    },
    "talk": {"talk": [dataclasses.replace(PASSAGE, passage_id="q", cluster_id="d")]},
    "speech_tokenizer": {
        "metrics": [Metric("speech_tokenizer", "round_trip.character_error_rate", 0.1, math.nan, math.nan, 4)]
    },
}
STATS = {
    "krist": {"facts": 2, "facts_kept": 2},
    "mix": {"positions": 2, "filled_positions": 2, "largest_share_error": 0.001},
    "speech_tokens": {"speech_tokens": 600},
    "speech_tokenizer": {"reading_heads": 1},
    "data_contents": {"pages": 1},
    "page": {"pages": 1},
    "question_page": {"pages": 1, "answers": 1},
    "synthetic_page": {"pages": 1},
    "leaderboard": {"pages": 1},
    "post_training": {"pages": 1},
    "conversation_rows": {"positions": 4, "filled_positions": 4, "loss_positions": 2},
    "run": {"steps": 10, "closing_loss_nats": 2.5},
    "adopted_language_model": {
        "parameters": 9,
        "nonfinite_parameters": 0,
        "plain_english_nats": 3.0,
        "uniform_nats": 9.0,
    },
}
FILES = {
    "adopted_language_model": dict.fromkeys(
        ("model.safetensors", "config.json", "tokenizer.json", "vocabulary_layout.json"), b"1"
    ),
    "files": {"weights.bin": b"1"},
    "speech_tokenizer": {"model.safetensors": b"1"},
    "run": {"model.safetensors": b"1"},
}

DROPPED = {
    "clean_transcripts": {"too_short": 1},
    "adopted_chunks": {"too_short": 1},
    "contaminated": {"contaminated": 1},
    "supplied_texts": {"not_json": 1},
}

Commit = Callable[..., Artifact]


@pytest.fixture
def commit(store: ArtifactStore, identity: Identity) -> Commit:
    """Commit tables of rows and return the artifact."""

    def made(tables: dict[str, list], files: dict[str, bytes] | None = None, **more: Any) -> Artifact:
        types = {table: type(rows[0]) for table, rows in tables.items()}
        return written(types, tables, files, **more)

    def written(
        types: dict[str, type],
        tables: dict[str, list],
        files: dict[str, bytes] | None = None,
        read: int = 0,
        dropped: dict[str, int] | None = None,
        stats: dict[str, float] | None = None,
    ) -> Artifact:
        writer = store.writer(DatasetName("recipe", "toy"), identity, types)
        with writer.unit(0) as out:
            out.read(read)
            for table, rows in tables.items():
                out.write(table, rows)
            for path, data in (files or {}).items():
                out.write_file(path, data)
            for reason, count in (dropped or {}).items():
                out.drop(reason, count)
            for stat, amount in (stats or {}).items():
                out.add(stat, amount)
        writer.commit()
        artifact = store.find(Address("toy"), identity.build_key)
        assert artifact is not None
        return artifact

    made.written = written  # type: ignore[attr-defined]
    return made


@pytest.fixture
def sound(commit: Commit) -> Callable[[str], Artifact]:
    """Commit what a contract asks for."""

    def made(name: str) -> Artifact:
        rows = {table: [row, *MORE_ROWS.get(name, {}).get(table, [])] for table, row in ROWS[name].items()}
        dropped = DROPPED.get(name, {})
        read = {
            "clean_transcripts": 2,
            "adopted_chunks": 2,
            "contaminated": 2,
            "roll_up": 2,
            "duplicates": 1,
            "supplied_texts": 2,
        }.get(name, 0)
        return commit(rows, FILES.get(name), read=read, dropped=dropped, stats=STATS.get(name, {}))

    return made


@pytest.mark.parametrize("name", sorted(name for name, contract in ALL_CONTRACTS.items() if contract.drifts))
def test_the_drifts_of_a_contract_are_measured_on_its_tables(name: str, sound: Callable[[str], Artifact]):
    values = drift_values(sound(name), ALL_CONTRACTS[name], types_of(name))
    assert len(values) == len(ALL_CONTRACTS[name].drifts)
    if name != "raw_audio":  # whose row was not measured: NaN is no value
        assert all(len(found) for found in values)


def types_of(name: str) -> dict[str, type]:
    return {table: type(row) for table, row in ROWS[name].items()}


def metrics_of(count: int) -> dict[str, list]:
    return {"metrics": [Metric("a", f"m{index}", 1.0, 0.0, 2.0, 1) for index in range(count)]}


def counting(*bounds: Bound, sql: str = "SELECT count(*) AS n FROM metrics") -> Contract:
    return Contract("test", sql, bounds)


# --- the contracts ----------------------------------------------------------------------------------------


def test_every_contract_is_tried_here():
    assert ALL_CONTRACTS.keys() == ROWS.keys()


@pytest.mark.parametrize("name", ROWS)
def test_a_sound_dataset_passes_every_blocking_bound(name: str, sound: Callable[[str], Artifact]):
    verdict = evaluate(sound(name), ALL_CONTRACTS[name], types_of(name))
    assert verdict.passed, verdict.failures()
    assert {item.severity for item in verdict.failures()} <= {"warn"}
    assert not [item.error for item in verdict.expectations if item.error]


@pytest.mark.parametrize("name", ROWS)
def test_empty_tables_are_judged_without_an_error(name: str, commit: Commit):
    artifact = commit.written(types_of(name), {})  # type: ignore[attr-defined]
    verdict = evaluate(artifact, ALL_CONTRACTS[name], types_of(name))
    assert not [item for item in verdict.expectations if item.error]
    assert len(verdict.expectations) == len(ALL_CONTRACTS[name].bounds)


@pytest.mark.parametrize("name", ROWS)
def test_every_contract_has_bounds_on_its_own_columns(name: str, sound: Callable[[str], Artifact]):
    contract = ALL_CONTRACTS[name]
    row = aggregate(sound(name), contract, types_of(name))
    assert {bound.column for bound in contract.bounds} <= row.keys()
    assert contract.bounds
    assert all(bound.low is not None or bound.high is not None for bound in contract.bounds)


@pytest.mark.parametrize(
    ("name", "table", "changes", "column"),
    [
        ("raw_audio", "recordings", {"duration_s": 0.0}, "empty_recordings"),
        ("raw_audio", "recordings", {"audio": Audio(b"", "a.flac")}, "empty_recordings"),
        ("speech_segments", "segments", {"end_s": 0.0}, "empty_or_reversed"),
        ("speech_segments", "segments", {"overlap_s": 9.5}, "impossible_overlap"),
        ("speech_segments", "segments", {"end_s": 61.0}, "longest_s"),
        ("transcript_hypotheses", "hypotheses", {"words": [Word("a", 1.0, 0.5, 0.5)]}, "impossible_words"),
        ("transcript_hypotheses", "hypotheses", {"words": [WORD, Word("a", 0.0, 1.0, 1.5)]}, "impossible_words"),
        ("clean_transcripts", "transcripts", {"text": " "}, "empty_texts"),
        ("clean_transcripts", "dropped", {"reason": ""}, "drops_without_reason"),
        ("clean_transcripts", "transcripts", {"end_s": 10.5}, "share_with_a_sentence_mark_over_10_s"),
        ("fine_chunks", "chunks", {"text": "twelve chars"}, "share_that_end_a_sentence"),
        ("chunks", "chunks", {"index": 1}, "documents_with_holes"),
        ("chunks", "chunks", {"end_s": 0.0}, "empty_audio"),
        ("chunks", "chunks", {"audio": Audio(b"fLaC", "a.flac")}, "missing_audio"),
        ("adopted_chunks", "chunks", {"end_s": 61.0}, "chunks_over_60_s"),
        ("adopted_chunks", "chunks", {"audio": Audio(b"fLaC", "a.flac")}, "missing_audio"),
        ("accepted_answers", "accepted", {"answers": []}, "without_answer"),
        ("judged_answers", "judged", {"alias": ""}, "matches_without_alias"),
        ("judged_answers", "judged", {"judgement": "timeout"}, "share_judge_failed"),
        ("measured_speech", "measured", {"mos": 6.0}, "impossible_scores"),
        ("measured_speech", "measured", {"snr_db": math.nan}, "chunks_without_snr"),
        ("data_contents", "portions", {"amount": -1.0}, "impossible_amounts"),
        ("speech_ledger", "ledger", {"outcome": "in"}, "unbalanced_pieces"),
        ("speech_ledger", "ledger", {"step": "clean_transcripts", "outcome": "kept"}, "unbalanced_hours"),
        ("speech_ledger", "ledger", {"outcome": "dropped"}, "drops_without_reason"),
        ("speech_ledger", "ledger", {"duration_ms": -1}, "negative_rows"),
        ("duplicates", "duplicates", {"duplicate_of": ""}, "duplicates_of_nothing"),
        ("duplicates", "duplicates", {"duplicate_of": "r", "duplicate_of_snapshot": "tue"}, "duplicates_of_dropped"),
        ("raw_pages", "pages", {"html": ""}, "empty_pages"),
        ("raw_pages", "pages", {"page_id": "q"}, "pages_without_signature"),
        ("supplied_texts", "texts", {"text": " "}, "empty_texts"),
        ("text_documents", "documents", {"text": ""}, "empty_texts"),
        ("scripts", "scripts", {"lines": []}, "empty_scripts"),
        ("scripts", "scripts", {"lines": [Line("sentence", "A.", "A."), Line("sentence", "A.", " ")]}, "empty_lines"),
        ("tokens", "documents", {"chunks": []}, "empty_documents"),
        ("tokens", "documents", {"chunks": [TokenChunk("speech", [1], [])]}, "chunks_without_text"),
        ("mix", "rows", {"loss_mask": [0, 0]}, "rows_without_loss"),
        ("mix", "rows", {"loss_mask": [1]}, "uneven_rows"),
        ("questions", "questions", {"options": ["a", "b", "c", "c"]}, "not_four_distinct_options"),
        ("questions", "questions", {"answer_index": 4}, "answer_outside_options"),
        ("scores", "scores", {"option_log_likelihoods": [-1.0, math.nan]}, "impossible_log_likelihoods"),
        ("scores", "scores", {"option_log_likelihoods": [-1.0, 0.5]}, "impossible_log_likelihoods"),
        ("scores", "gaps", {"reverse_kl": -0.1}, "impossible_gaps"),
        ("scores", "gaps", {"forward_kl": math.inf}, "impossible_gaps"),
        ("scores", "passages", {"spoken": [math.nan]}, "impossible_losses"),
        ("scores", "passages", {"alone": [-0.5]}, "impossible_losses"),
        ("system_scores", "scores", {"option_log_likelihoods": [-1.0, 0.5]}, "impossible_log_likelihoods"),
        ("metrics", "metrics", {"low": 0.6}, "values_outside_their_interval"),
        ("metrics", "metrics", {"high": 0.4}, "values_outside_their_interval"),
    ],
)
def test_a_broken_record_blocks(name: str, table: str, changes: dict[str, Any], column: str, commit: Commit):
    rows = {one: [dataclasses.replace(row, **changes) if one == table else row] for one, row in ROWS[name].items()}
    read, dropped = (2, {"too_short": 1}) if name == "clean_transcripts" else (0, {})
    artifact = commit(rows, read=read, dropped=dropped, stats=STATS.get(name, {}))
    verdict = evaluate(artifact, ALL_CONTRACTS[name], types_of(name))
    assert not verdict.passed
    assert column in [item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"]


def test_an_adopted_model_without_a_finite_loss_blocks(commit: Commit):
    name = "adopted_language_model"
    stats = {stat: amount for stat, amount in STATS[name].items() if stat != "plain_english_nats"}
    rows = {table: [row] for table, row in ROWS[name].items()}
    verdict = evaluate(commit(rows, FILES[name], stats=stats), ALL_CONTRACTS[name], types_of(name))
    assert [item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"] == ["finite_losses"]


@pytest.mark.parametrize(
    "name", sorted(name for name in ROWS if "duplicate_" in ALL_CONTRACTS[name].sql and name != "clean_transcripts")
)
def test_a_record_that_comes_twice_blocks(name: str, commit: Commit):
    rows = {table: [row, row] for table, row in ROWS[name].items()}
    verdict = evaluate(commit(rows, stats=STATS.get(name, {})), ALL_CONTRACTS[name], types_of(name))
    assert any("duplicate" in item.name and item.severity == "block" for item in verdict.failures())


def test_a_document_that_is_kept_and_dropped_blocks(commit: Commit):
    rows = {table: [row] for table, row in ROWS["contaminated"].items()}
    artifact = commit(rows, read=1, dropped={"contaminated": 1})
    assert not evaluate(artifact, ALL_CONTRACTS["contaminated"], types_of("contaminated")).passed


def test_a_contaminated_document_that_is_named_twice_blocks(commit: Commit):
    row = ROWS["contaminated"]["contaminated"]
    rows = {"contaminated": [row, dataclasses.replace(row, text_id="another question")]}
    artifact = commit(rows, read=3, dropped={"contaminated": 1})
    verdict = evaluate(artifact, ALL_CONTRACTS["contaminated"], types_of("contaminated"))
    blocking = [item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"]
    assert "documents_named_twice" in blocking


def test_a_segment_that_is_not_counted_blocks(commit: Commit):
    rows = {table: [row] for table, row in ROWS["clean_transcripts"].items()}
    verdict = evaluate(commit(rows, read=3, dropped={"too_short": 1}), CLEAN_TRANSCRIPTS, types_of("clean_transcripts"))
    assert [item.name.split(" ")[0] for item in verdict.failures()] == ["unaccounted_segments"]


@pytest.mark.parametrize(
    ("metric", "value", "tokens", "column"),
    [
        ("codebook.perplexity_share", 0.02, 600, "least_perplexity_share"),
        ("codebook.perplexity_share", math.nan, 600, "speech_tokens_not_measured"),
        ("codebook.repeat_share", 0.95, 600, "largest_repeat_share"),
        ("codebook.perplexity_share", 0.02, 60, None),  # seconds of silence
        ("codebook.repeat_share", 0.95, 60, None),
    ],
)
def test_one_shard_with_a_collapsed_codebook_blocks(
    metric: str, value: float, tokens: int, column: str | None, commit: Commit
):
    row = ROWS["speech_tokens"]["codebook"]
    bad = Metric("web shard 1", metric, value, math.nan, math.nan, tokens)
    measured = 600 + (tokens if metric == "codebook.perplexity_share" else 0)
    tables = {"documents": [ROWS["speech_tokens"]["documents"]], "codebook": [row, bad]}
    verdict = evaluate(commit(tables, stats={"speech_tokens": measured}), SPEECH_TOKENS, types_of("speech_tokens"))
    blocking = {item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"}
    assert blocking == ({column} if column else set())


@pytest.mark.parametrize(("used", "severities"), [(0.01, {"block", "warn"}), (0.5, {"warn"}), (0.85, set())])
def test_a_tokenizer_of_few_codes_blocks_and_one_of_some_warns(used: float, severities: set[str], commit: Commit):
    share = dataclasses.replace(ROWS["speech_tokenizer"]["metrics"], value=used)
    rows = [share, *MORE_ROWS["speech_tokenizer"]["metrics"]]
    artifact = commit({"metrics": rows}, FILES["speech_tokenizer"], stats={"reading_heads": 1})
    verdict = evaluate(artifact, contracts.SPEECH_TOKENIZER, types_of("speech_tokenizer"))
    assert {item.severity for item in verdict.failures()} == severities


def test_mimi_has_no_error_rate_to_measure(commit: Commit):
    rows = {"metrics": [ROWS["speech_tokenizer"]["metrics"]]}
    artifact = commit(rows, FILES["speech_tokenizer"], stats={"reading_heads": 0})
    assert evaluate(artifact, contracts.SPEECH_TOKENIZER, types_of("speech_tokenizer")).passed


def test_a_model_without_files_or_with_an_empty_one_blocks(commit: Commit):
    assert not evaluate(commit({}, {"weights.bin": b""}), contracts.FILES, {}).passed


@pytest.mark.parametrize("loss", [math.nan, math.inf])
def test_a_run_that_diverged_blocks(commit: Commit, loss: float):
    artifact = commit({}, FILES["run"], stats={"steps": 10, "closing_loss_nats": loss})
    failures = evaluate(artifact, RUN, {}).failures()
    assert "diverged in [0, 0]" in [item.name for item in failures]


@pytest.mark.parametrize(
    ("name", "left_out", "column"),
    [
        ("run", "steps", "steps"),
        ("run", "closing_loss_nats", "diverged"),
        ("mix", "largest_share_error", "largest_share_error"),
        ("page", "pages", "pages"),
        ("leaderboard", "pages", "pages"),
    ],
)
def test_a_figure_that_was_never_written_blocks(name: str, left_out: str, column: str, commit: Commit):
    rows = {table: [row] for table, row in ROWS[name].items()}
    stats = {stat: amount for stat, amount in STATS[name].items() if stat != left_out}
    verdict = evaluate(commit(rows, FILES.get(name), stats=stats), ALL_CONTRACTS[name], types_of(name))
    assert not verdict.passed
    assert [item.name.split(" ")[0] for item in verdict.failures() if item.severity == "block"] == [column]


@pytest.mark.parametrize("gone", [None, math.nan], ids=["left out", "not a number"])
@pytest.mark.parametrize("metric", ["codebook.used_share", "round_trip.character_error_rate"])
def test_a_speech_tokenizer_that_was_not_measured_blocks(metric: str, gone: float | None, commit: Commit):
    rows = [ROWS["speech_tokenizer"]["metrics"], *MORE_ROWS["speech_tokenizer"]["metrics"]]
    if gone is None:
        rows = [row for row in rows if row.metric != metric]
    else:
        rows = [dataclasses.replace(row, value=gone) if row.metric == metric else row for row in rows]
    artifact = commit({"metrics": rows}, FILES["speech_tokenizer"])
    verdict = evaluate(artifact, contracts.SPEECH_TOKENIZER, types_of("speech_tokenizer"))
    assert not verdict.passed
    assert "missing_measures in [0, 0]" in [item.name for item in verdict.failures()]


# --- the evaluation ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "passes"), [(3, 3, True), (None, 3, True), (3, None, True), (4, None, False), (None, 2, False)]
)
def test_bounds_are_inclusive_and_open_where_none(commit: Commit, low: float, high: float, passes: bool):
    verdict = evaluate(commit(metrics_of(3)), counting(Bound("n", low, high)), {"metrics": Metric})
    (expectation,) = verdict.expectations
    assert (verdict.passed, expectation.success, expectation.observed) == (passes, passes, "3")


@pytest.mark.parametrize(("rows", "passed"), [(3, True), (11, False)])
def test_a_warning_does_not_block(commit: Commit, rows: int, passed: bool):
    contract = counting(Bound("n", 0, 10), Bound("n", 0, 2, "warn"))
    verdict = evaluate(commit(metrics_of(rows)), contract, {"metrics": Metric})
    assert verdict.passed == passed
    assert [(item.severity, item.success) for item in verdict.expectations] == [("block", passed), ("warn", False)]


@pytest.mark.parametrize("value", ["NULL::DOUBLE", "'nan'::DOUBLE", "max(value)"])
@pytest.mark.parametrize("severity", ["block", "warn"])
def test_an_expectation_without_a_number_is_an_error_and_blocks(commit: Commit, value: str, severity: Any):
    artifact = commit.written({"metrics": Metric}, {})  # type: ignore[attr-defined]
    contract = counting(
        Bound("n", 0, None, severity), sql=f"SELECT {value} AS n FROM (SELECT 1) LEFT JOIN metrics ON true"
    )
    verdict = evaluate(artifact, contract, {"metrics": Metric})
    (expectation,) = verdict.expectations
    assert not verdict.passed
    assert not expectation.success
    assert "no number" in expectation.error


@pytest.mark.parametrize("severity", ["block", "warn"])
def test_an_expectation_that_errors_blocks_whatever_its_severity(
    commit: Commit, monkeypatch: pytest.MonkeyPatch, severity: Any
):
    import pandas as pd

    artifact, contract = commit(metrics_of(3)), counting(Bound("n", 0, None, severity))
    assert evaluate(artifact, contract, {"metrics": Metric}).passed

    def broken(*arguments: Any, **more: Any) -> Any:
        raise RuntimeError("the measuring broke")

    monkeypatch.setattr(pd.Series, "max", broken)
    verdict = evaluate(artifact, contract, {"metrics": Metric})
    monkeypatch.undo()
    (expectation,) = verdict.expectations
    assert not verdict.passed
    assert "the measuring broke" in expectation.error


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT nothing AS n FROM metrics", "nothing"),
        ("SELECT 1 AS n FROM none", "none"),
        ("SELECT value AS n FROM metrics", "gave 3 rows"),
        ("SELECT 1 AS m", "bounds on"),
        ("SELECT 'word' AS n", "word"),
    ],
)
def test_a_contract_that_cannot_be_evaluated_is_reported_as_such(commit: Commit, sql: str, words: str):
    with pytest.raises(ContractError, match=words):
        evaluate(commit(metrics_of(3)), counting(Bound("n", 0), sql=sql), {"metrics": Metric})


def test_the_sql_sees_counts_sums_and_files(commit: Commit):
    artifact = commit(metrics_of(2), {"a.bin": b"12345"}, read=7, dropped={"a": 2, "b": 3}, stats={"hours": 1.5})
    sql = """SELECT (SELECT records_in FROM counts) AS read, (SELECT records_kept FROM counts) AS kept,
             (SELECT records_dropped FROM counts) AS dropped, (SELECT value FROM stats WHERE name = 'hours') AS hours,
             (SELECT bytes FROM files WHERE path = 'a.bin') AS bytes"""
    row = aggregate(artifact, counting(sql=sql), {"metrics": Metric})
    assert row == {"read": 7, "kept": 2, "dropped": 5, "hours": 1.5, "bytes": 5}


def test_all_units_are_aggregated(store: ArtifactStore, identity: Identity):
    writer = store.writer(DatasetName("recipe", "toy"), identity, {"metrics": Metric})
    for unit in range(3):
        with writer.unit(unit) as out:
            out.write("metrics", metrics_of(unit)["metrics"])
    writer.commit()
    artifact = store.find(Address("toy"), identity.build_key)
    assert artifact is not None
    assert aggregate(artifact, counting(), {"metrics": Metric}) == {"n": 3}


def test_the_verdict_names_the_contract_it_is_of(commit: Commit):
    artifact = commit(metrics_of(1))
    verdicts = [
        evaluate(artifact, contract, {"metrics": Metric}).contract_fingerprint
        for contract in (counting(Bound("n", 0)), counting(Bound("n", 0)), counting(Bound("n", 1)))
    ]
    assert verdicts[0] == verdicts[1] != verdicts[2]


def test_a_contract_may_read_a_table_twice_over_many_row_groups_and_all_of_its_columns(commit: Commit):
    rows = [Metric("all", f"m{number}", float(number), math.nan, math.nan, 1) for number in range(3000)]
    sql = """
    SELECT (SELECT count(*) FROM metrics) AS metrics, sum(value) AS total,
           (SELECT max(value) FROM (SELECT * FROM metrics WHERE metric = 'm2998')) AS chosen
    FROM metrics
    """
    artifact = commit({"metrics": rows})
    found = aggregate(artifact, Contract("twice", sql, (Bound("metrics", 1),)), {"metrics": Metric})
    assert found == {"metrics": 3000, "total": 3000 * 2999 / 2, "chosen": 2998}


def test_a_contract_reads_only_the_columns_that_its_sql_names(commit: Commit):
    artifact = commit({"metrics": [Metric("all", "m", 1.0, math.nan, math.nan, 1)]})
    for sql, columns in (
        ("SELECT sum(value) AS total FROM metrics", ["value"]),
        ("SELECT 1 AS fine FROM metrics", schema_of(Metric).names[:1]),
        ("SELECT * FROM metrics", schema_of(Metric).names),
    ):
        with _views(artifact, {"metrics": Metric}, sql) as connection:
            assert connection.table("metrics").columns == columns


def test_only_the_views_that_the_sql_names_are_opened_in_whatever_case(commit: Commit):
    artifact = commit(metrics_of(2))
    sql = "SELECT (SELECT count(*) FROM METRICS) AS n, (SELECT records_in FROM Counts) AS records_in"
    with _views(artifact, {"metrics": Metric, "rejects": Reject}, sql) as connection:
        opened = {
            name for (name,) in connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        }
    assert opened == {"metrics", "counts"}
    assert aggregate(artifact, Contract("case", sql, (Bound("n", 2, 2),)), {"metrics": Metric})["n"] == 2
