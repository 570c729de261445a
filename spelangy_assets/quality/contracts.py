"""What each dataset promises: one row of aggregates in SQL, and bounds on them.

Put here: contracts, as literals. Do not put here: how they are evaluated (evaluate.py). The SQL sees each table of
the artifact as a view of its name, and the views `counts(records_in, records_kept, records_dropped)`,
`drops(reason, records)` and `stats(name, value)` of its manifest. A view `TABLE_audio(audio_bytes)` says how large
the sound of each row of a TABLE is; never ask for `audio.bytes` itself, which would read hours of sound into memory.
`block`: the dataset is broken (structure) and nothing may read it. `warn`: it is unusual (drift) and a person should
look.
"""

from __future__ import annotations

from dataclasses import dataclass

from spelangy_assets.store.manifest import Severity, Verdict


@dataclass(frozen=True)
class Bound:
    """The range in which a column of the aggregate row must lie; None leaves a side open."""

    column: str
    low: float | None = None
    high: float | None = None
    severity: Severity = "block"


@dataclass(frozen=True)
class Drift:
    """Values that are to be spread as they were in the snapshot before; a warning where they are not.

    `sql` yields one column, a value a record (0 or 1 for a share). `max_distance`: of the two distributions, beyond
    what chance explains (see drift.py). `max_ratio`: of the means, either way; None where a mean says nothing.
    """

    name: str
    sql: str
    max_distance: float = 0.1
    max_ratio: float | None = None


@dataclass(frozen=True)
class Contract:
    """A dataset's promise. `sql` yields exactly one row; every bound names one of its columns.

    `drifts` are held against the published version of the snapshot before, by name; the first one has none.
    """

    name: str
    sql: str
    bounds: tuple[Bound, ...]
    drifts: tuple[Drift, ...] = ()


def lost_to_a_service(verdict: Verdict | None) -> bool:
    """Whether a version failed because a service's bad hour took records from it: the same work again mends it."""
    if verdict is None or verdict.accepted:
        return False
    return any(item.name.startswith(f"{_LOST_TO_A_SERVICE} ") for item in verdict.failures())


def _exactly(column: str, value: float = 0) -> Bound:
    return Bound(column, value, value)


def _stat(name: str, missing: str = "0") -> str:
    """Return the SQL of a sum; `missing` stands for one that the stage never wrote, and must not read as a good one."""
    return f"(SELECT coalesce(sum(value), {missing}) FROM stats WHERE name = '{name}')"


RAW_AUDIO = Contract(
    "raw_audio",
    """
    SELECT count(*) AS recordings, count(*) - count(DISTINCT recording_id) AS duplicate_ids,
           count(*) FILTER (duration_s <= 0)
               + (SELECT count(*) FILTER (audio_bytes = 0) FROM recordings_audio) AS empty_recordings,
           (SELECT count(*) FROM rejects) AS rejects,
           count(*) FILTER (licence = 'unknown') / greatest(count(*), 1) AS share_of_unknown_licence
    FROM recordings
    """,
    (
        Bound("recordings", 1),
        _exactly("duplicate_ids"),
        _exactly("empty_recordings"),
        Bound("share_of_unknown_licence", 0, 0.5, "warn"),
    ),
    drifts=(
        Drift("snr_db", "SELECT snr_db FROM recordings", 0.2),
        Drift("loudness_lufs", "SELECT loudness_lufs FROM recordings", 0.2),
    ),
)

DUPLICATES = Contract(
    "duplicates",
    """
    SELECT (SELECT records_in FROM counts) AS compared,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted,
           count(*) FILTER (duplicate_of = '' OR reason = '') AS duplicates_of_nothing,
           count(*) FILTER ((duplicate_of, duplicate_of_snapshot) IN (SELECT (source_id, snapshot) FROM duplicates))
               AS duplicates_of_dropped,
           count(*) - count(DISTINCT (source_id, snapshot)) AS duplicate_rows,
           count(*) / (SELECT greatest(records_in, 1) FROM counts) AS share_seen_before
    FROM duplicates
    """,
    (
        Bound("compared", 1),
        _exactly("unaccounted"),
        _exactly("duplicates_of_nothing"),
        _exactly("duplicates_of_dropped"),
        _exactly("duplicate_rows"),
        Bound("share_seen_before", 0, 0.3, "warn"),
    ),
)

CONTAMINATED = Contract(
    "contaminated",
    """
    SELECT (SELECT records_in FROM counts) AS documents,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted,
           count(*) - count(DISTINCT document_id) AS documents_named_twice,
           count(*) / (SELECT greatest(records_in, 1) FROM counts) AS share_contaminated
    FROM contaminated
    """,
    (
        Bound("documents", 1),
        _exactly("unaccounted"),
        _exactly("documents_named_twice"),
        Bound("share_contaminated", 0, 0.1, "warn"),
    ),
)

SPEECH_SEGMENTS = Contract(
    "speech_segments",
    """
    SELECT count(*) AS segments, count(*) - count(DISTINCT segment_id) AS duplicate_ids,
           count(*) FILTER (end_s <= start_s OR start_s < 0) AS empty_or_reversed,
           count(*) FILTER (overlap_s < 0 OR overlap_s > end_s - start_s + 0.001) AS impossible_overlap,
           coalesce(max(end_s - start_s), 0) AS longest_s
    FROM segments
    """,
    (
        Bound("segments", 1, None, "warn"),
        _exactly("duplicate_ids"),
        _exactly("empty_or_reversed"),
        _exactly("impossible_overlap"),
        Bound("longest_s", 0, 60),
    ),
    drifts=(
        Drift("length_s", "SELECT end_s - start_s FROM segments", max_ratio=1.5),
        Drift("overlap", "SELECT least(overlap_s / (end_s - start_s), 1) FROM segments"),
    ),
)

TRANSCRIPT_HYPOTHESES = Contract(
    "transcript_hypotheses",
    """
    SELECT count(*) AS hypotheses,
           count(*) - count(DISTINCT (segment_id, system)) AS duplicate_hypotheses,
           (SELECT coalesce(max(n) - min(n), 0)
            FROM (SELECT count(*) AS n FROM hypotheses GROUP BY system)) AS missing_hypotheses,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(words) AS w) WHERE w.end_s < w.start_s OR w.confidence NOT BETWEEN 0 AND 1
           )) AS impossible_words
    FROM hypotheses
    """,
    (
        Bound("hypotheses", 1, None, "warn"),
        _exactly("duplicate_hypotheses"),
        Bound("missing_hypotheses", 0, 0, "warn"),
        _exactly("impossible_words"),
    ),
)

CLEAN_TRANSCRIPTS = Contract(
    "clean_transcripts",
    """
    SELECT count(*) AS transcripts, count(*) - count(DISTINCT segment_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '') AS empty_texts,
           coalesce(avg(agreement), 1) AS mean_agreement, coalesce(avg(confidence), 1) AS mean_confidence,
           coalesce(avg(regexp_matches(text, '[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]')::INT)
                    FILTER (end_s - start_s > 10), 1) AS share_with_a_sentence_mark_over_10_s,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted_segments,
           (SELECT count(*) FROM dropped WHERE reason = '') AS drops_without_reason
    FROM transcripts
    """,
    (
        _exactly("duplicate_ids"),
        _exactly("empty_texts"),
        _exactly("unaccounted_segments"),
        _exactly("drops_without_reason"),
        Bound("transcripts", 1, None, "warn"),
        Bound("mean_agreement", 0.6, 1, "warn"),
        Bound("mean_confidence", 0.5, 1, "warn"),
        # Nobody talks for ten seconds without an end: the systems that write no punctuation decided how it is written.
        Bound("share_with_a_sentence_mark_over_10_s", 0.2, 1),
        Bound("share_with_a_sentence_mark_over_10_s", 0.7, 1, "warn"),
    ),
    drifts=(
        Drift("kept", "SELECT 1 FROM transcripts UNION ALL SELECT 0 FROM dropped"),
        Drift("agreement", "SELECT agreement FROM transcripts"),
        Drift("confidence", "SELECT confidence FROM transcripts"),
    ),
)

_CHUNKS_SQL = """
    SELECT count(*) AS chunks, count(*) - count(DISTINCT chunk_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '') AS empty_texts,
           count(*) FILTER (end_s <= start_s) AS empty_audio,
           (SELECT count(*) FILTER (audio_bytes < 64) FROM chunks_audio) AS missing_audio,
           (SELECT count(*) FROM (
               SELECT document_id FROM chunks GROUP BY document_id
               HAVING max("index") - min("index") + 1 <> count(*) OR min("index") <> 0)) AS documents_with_holes,
           coalesce(median(length(text) / greatest(end_s - start_s, 0.01)), 0) AS median_characters_per_s{more}
    FROM chunks
    """
_CHUNKS_BOUNDS = (
    _exactly("duplicate_ids"),
    _exactly("empty_texts"),
    _exactly("empty_audio"),
    _exactly("missing_audio"),
    _exactly("documents_with_holes"),
    Bound("median_characters_per_s", 5, 25, "warn"),
)
_CHUNKS_DRIFTS = (
    Drift("length_s", "SELECT end_s - start_s FROM chunks", max_ratio=1.5),
    Drift("characters_per_s", "SELECT length(text) / greatest(end_s - start_s, 0.01) FROM chunks", 0.15),
)

CHUNKS = Contract(
    "chunks", _CHUNKS_SQL.format(more=""), (Bound("chunks", 1, None, "warn"), *_CHUNKS_BOUNDS), _CHUNKS_DRIFTS
)

# Chunks that are cut at sentences end in a sentence's mark, but for turns that break off.
FINE_CHUNKS = Contract(
    "fine_chunks",
    _CHUNKS_SQL.format(
        more=""",
           coalesce(avg(regexp_matches(text, '[.!?\u2026\u3002\uff01\uff1f\u061f\u0964]["'')\u201d\u2019]*$')::INT), 1)
               AS share_that_end_a_sentence"""
    ),
    (
        Bound("chunks", 1, None, "warn"),
        *_CHUNKS_BOUNDS,
        Bound("share_that_end_a_sentence", 0.1, 1),
        Bound("share_that_end_a_sentence", 0.5, 1, "warn"),
    ),
    _CHUNKS_DRIFTS,
)

# Of chunks that were made elsewhere most are good, or what was said of them is wrong: keys, times, the language.
ADOPTED_CHUNKS = Contract(
    "adopted_chunks",
    _CHUNKS_SQL.format(
        more=""",
           count(*) FILTER (end_s - start_s > 60) AS chunks_over_60_s,
           (SELECT records_dropped / greatest(records_in, 1) FROM counts) AS share_dropped,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted,
           count(*) FILTER (licence = 'unknown') / greatest(count(*), 1) AS share_of_unknown_licence,
           (SELECT count(*) FILTER (size = 1) / greatest(count(*), 1)
            FROM (SELECT count(*) AS size FROM chunks GROUP BY document_id)) AS share_of_documents_of_one_chunk"""
    ),
    (
        Bound("chunks", 1),
        *_CHUNKS_BOUNDS,
        _exactly("chunks_over_60_s"),  # what tokenizing refuses
        _exactly("unaccounted"),
        Bound("share_dropped", 0, 0.5),
        Bound("share_dropped", 0, 0.1, "warn"),
        Bound("share_of_unknown_licence", 0, 0.5, "warn"),
        Bound("share_of_documents_of_one_chunk", 0, 0.5, "warn"),  # they are heard and never read
    ),
    _CHUNKS_DRIFTS,
)


def round_trip(max_word_error_rate: float) -> Contract:
    """Return the promise that a recognizer understands the voices of a dataset.

    A voice breaks it when even the lower end of its interval lies above the limit, all voices together when the upper
    end does: a voice is heard in few words and is not to fail by chance, the whole is heard in many. The stage drops
    such voices; one that goes is a warning, and half of the chunks is more than a dataset may lose.
    """
    return Contract(
        "round_trip",
        f"""
        WITH listened AS (SELECT count(*) AS chunks FROM heard), gone AS (SELECT count(*) AS chunks FROM rejected),
        judged AS (SELECT records_in AS chunks FROM counts)
        SELECT any_value(listened.chunks) AS chunks_heard,
               CASE WHEN any_value(listened.chunks) = 0 THEN 0
                    ELSE max(low) FILTER (metric = 'voice.word_error_rate') END AS worst_voice_word_error_rate_low,
               CASE WHEN any_value(listened.chunks) = 0 THEN 0
                    ELSE max(high) FILTER (metric = 'word_error_rate') END AS word_error_rate_high,
               count(subject) - count(DISTINCT (subject, metric)) FILTER (subject IS NOT NULL) AS duplicate_metrics,
               any_value(gone.chunks) / greatest(any_value(judged.chunks), 1) AS share_rejected,
               {_stat("voices_dropped")} AS voices_dropped
        FROM listened CROSS JOIN gone CROSS JOIN judged LEFT JOIN metrics ON true
        """,
        (
            Bound("chunks_heard", 1, None, "warn"),
            Bound("worst_voice_word_error_rate_low", 0, max_word_error_rate),
            Bound("word_error_rate_high", 0, max_word_error_rate),
            _exactly("duplicate_metrics"),
            Bound("share_rejected", 0, 0.5),
            Bound("share_rejected", 0, 0.2, "warn"),
            Bound("voices_dropped", 0, 0, "warn"),
        ),
    )


SPEECH_LEDGER = Contract(
    "speech_ledger",
    """
    WITH sums AS (
        SELECT step, sum(CASE outcome WHEN 'in' THEN pieces WHEN 'made' THEN 0 ELSE -pieces END) AS pieces,
               sum(CASE outcome WHEN 'in' THEN duration_ms WHEN 'made' THEN 0 ELSE -duration_ms END) AS duration_ms
        FROM ledger GROUP BY step, CASE step WHEN 'raw_audio' THEN '' ELSE source END)
    SELECT (SELECT count(*) FROM ledger) AS ledger_rows,
           count(*) FILTER (duration_ms <> 0 AND step IN ('speech_segments', 'clean_transcripts')) AS unbalanced_hours,
           count(*) FILTER (pieces <> 0 AND step <> 'speech_segments') AS unbalanced_pieces,
           (SELECT count(*) FROM ledger WHERE outcome = 'dropped' AND reason = '') AS drops_without_reason,
           (SELECT count(*) FROM ledger WHERE pieces < 0 OR duration_ms < 0) AS negative_rows,
           (SELECT coalesce(sum(duration_ms) FILTER (outcome = 'kept')
                            / nullif(sum(duration_ms) FILTER (outcome = 'in'), 0), 1)
            FROM ledger WHERE step = 'clean_transcripts') AS kept_share_of_speech
    FROM sums
    """,
    (
        Bound("ledger_rows", 1),
        _exactly("unbalanced_hours"),
        _exactly("unbalanced_pieces"),
        _exactly("drops_without_reason"),
        _exactly("negative_rows"),
        Bound("kept_share_of_speech", 0.3, 1, "warn"),
    ),
)

RAW_PAGES = Contract(
    "raw_pages",
    """
    SELECT count(*) AS pages, count(*) - count(DISTINCT page_id) AS duplicate_ids,
           count(*) FILTER (html = '' OR url = '') AS empty_pages,
           count(*) FILTER (page_id NOT IN (SELECT page_id FROM signatures)) AS pages_without_signature
    FROM pages
    """,
    (Bound("pages", 1), _exactly("duplicate_ids"), _exactly("empty_pages"), _exactly("pages_without_signature")),
)

TEXT_DOCUMENTS = Contract(
    "text_documents",
    """
    SELECT count(*) AS documents, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '') AS empty_texts, count(*) FILTER (text LIKE '%<div%') AS markup_left
    FROM documents
    """,
    (
        Bound("documents", 1),
        _exactly("duplicate_ids"),
        _exactly("empty_texts"),
        Bound("markup_left", 0, 0, "warn"),
    ),
)

# What earlier versions dropped when a language model's service was away or refused them all. A stage that meets this
# now ends instead; what a server refuses of one page has reasons of its own.
_LOST_TO_A_SERVICE = "lost_to_a_service"
_MODEL_DROPS = "coalesce(sum(records) FILTER (starts_with(reason, 'model_')), 0)"
_ANSWERED = "SELECT coalesce(sum(value), 0) FROM stats WHERE name IN ('model_answered', 'model_from_cache')"

_SCRIPTS_SQL = f"""
    SELECT count(*) AS scripts, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (len(lines) = 0) AS empty_scripts,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(lines) AS l) WHERE trim(l.text) = '' OR trim(l.spoken_text) = ''
           )) AS empty_lines,
           (SELECT coalesce(sum(records), 0) FROM drops WHERE reason IN (
               'model_server_error', 'model_timeout', 'model_rate_limited', 'model_refused'
           )) AS {_LOST_TO_A_SERVICE},
           (SELECT {_MODEL_DROPS} / greatest({_MODEL_DROPS} + ({_ANSWERED}), 1) FROM drops)
               AS share_dropped_by_model{{more}}
    FROM scripts
    """
_SCRIPTS_BOUNDS = (
    Bound("scripts", 1, None, "warn"),
    _exactly("duplicate_ids"),
    _exactly("empty_scripts"),
    _exactly("empty_lines"),
    _exactly(_LOST_TO_A_SERVICE),
    Bound("share_dropped_by_model", 0, 0.25),  # replies that are no answer: another model, or a longer output limit
    Bound("share_dropped_by_model", 0, 0.05, "warn"),
)

SCRIPTS = Contract("scripts", _SCRIPTS_SQL.format(more=""), _SCRIPTS_BOUNDS)

# Numbers and names of the pages that their Krist still says; one that was never counted must not read as a good one.
KRIST = Contract(
    "krist",
    _SCRIPTS_SQL.format(
        more=f""",
           CASE WHEN count(*) = 0 OR {_stat("facts", missing="1")} = 0 THEN 1
                ELSE {_stat("facts_kept")} / {_stat("facts", missing="1")} END AS share_of_facts_kept"""
    ),
    (*_SCRIPTS_BOUNDS, Bound("share_of_facts_kept", 0.99, 1, "warn")),
)

_TOKEN_COLUMNS = """
           count(*) AS documents, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (len(chunks) = 0) AS empty_documents,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(chunks) AS c) WHERE len(c.text_ids) = 0
           )) AS chunks_without_text
"""
_TOKEN_BOUNDS = (
    Bound("documents", 1, None, "warn"),
    _exactly("duplicate_ids"),
    _exactly("empty_documents"),
    _exactly("chunks_without_text"),
)

TOKENS = Contract("tokens", f"SELECT {_TOKEN_COLUMNS} FROM documents", _TOKEN_BOUNDS)

# A codebook has collapsed when a shard of 40 s and more keeps to a few codes, or stays on one for long: natural speech,
# pauses and all, has a perplexity of a fifth and more of what its tokens allow. Seconds of sound may be silence alone.
_HEALTHY = "value) FILTER (count >= 500 AND metric ="

SPEECH_TOKENS = Contract(
    "speech_tokens",
    f"""
    SELECT {_TOKEN_COLUMNS},
           {_stat("speech_tokens")} - (
               SELECT coalesce(sum(count) FILTER (metric = 'codebook.perplexity_share' AND isfinite(value)), 0)
               FROM codebook) AS speech_tokens_not_measured,
           (SELECT coalesce(min({_HEALTHY} 'codebook.perplexity_share'), 1) FROM codebook) AS least_perplexity_share,
           (SELECT coalesce(max({_HEALTHY} 'codebook.repeat_share'), 0) FROM codebook) AS largest_repeat_share
    FROM documents
    """,
    (
        *_TOKEN_BOUNDS,
        _exactly("speech_tokens_not_measured"),
        Bound("least_perplexity_share", 0.05, 1),
        Bound("least_perplexity_share", 0.1, 1, "warn"),
        Bound("largest_repeat_share", 0, 0.8),
        Bound("largest_repeat_share", 0, 0.3, "warn"),
    ),
)

MIX = Contract(
    "mix",
    f"""
    SELECT count(*) AS packed_rows,
           coalesce(max(len(input_ids)) - min(len(input_ids)), 0) AS difference_of_row_lengths,
           count(*) FILTER (len(input_ids) <> len(position_ids) OR len(input_ids) <> len(loss_mask)) AS uneven_rows,
           count(*) FILTER (list_sum(loss_mask) = 0) AS rows_without_loss,
           {_stat("largest_share_error", missing="1")} AS largest_share_error,
           {_stat("filled_positions")} / greatest({_stat("positions")}, 1) AS filled_share
    FROM rows
    """,
    (
        Bound("packed_rows", 1),
        _exactly("difference_of_row_lengths"),
        _exactly("uneven_rows"),
        _exactly("rows_without_loss"),
        Bound("largest_share_error", 0, 0.005),
        Bound("filled_share", 0.8, 1, "warn"),
    ),
)

QUESTIONS = Contract(
    "questions",
    """
    SELECT count(*) AS questions, count(*) - count(DISTINCT question_id) AS duplicate_ids,
           count(*) FILTER (len(options) <> 4 OR len(list_distinct(options)) <> 4) AS not_four_distinct_options,
           count(*) FILTER (answer_index NOT BETWEEN 0 AND 3) AS answer_outside_options,
           count(*) FILTER (answer_index = 0) / greatest(count(*), 1) AS share_of_first_answer
    FROM questions
    """,
    (
        Bound("questions", 1),
        _exactly("duplicate_ids"),
        _exactly("not_four_distinct_options"),
        _exactly("answer_outside_options"),
        Bound("share_of_first_answer", 0.15, 0.35, "warn"),
    ),
)

SCORES = Contract(
    "scores",
    """
    SELECT count(*) AS scores, count(*) - count(DISTINCT (question_id, modality)) AS duplicate_scores,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(option_log_likelihoods) AS x) WHERE NOT isfinite(x) OR x > 0
           )) AS impossible_log_likelihoods,
           (SELECT count(*) FROM gaps WHERE NOT (isfinite(reverse_kl) AND isfinite(forward_kl)
               AND reverse_kl >= 0 AND forward_kl >= 0)) AS impossible_gaps,
           (SELECT count(*) FROM metrics) AS metrics
    FROM scores
    """,
    (
        Bound("scores", 1),
        _exactly("duplicate_scores"),
        _exactly("impossible_log_likelihoods"),
        _exactly("impossible_gaps"),
        Bound("metrics", 1),
    ),
)

SYSTEM_SCORES = Contract(
    "system_scores",
    """
    SELECT count(*) AS scores, count(*) - count(DISTINCT question_id) AS duplicate_scores,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(option_log_likelihoods) AS x) WHERE NOT isfinite(x) OR x > 0
           )) AS impossible_log_likelihoods,
           (SELECT count(*) FROM metrics) AS metrics
    FROM scores
    """,
    (Bound("scores", 1), _exactly("duplicate_scores"), _exactly("impossible_log_likelihoods"), Bound("metrics", 1)),
)

METRICS = Contract(
    "metrics",
    """
    SELECT count(*) AS metrics, count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           count(*) FILTER (NOT isnan(low) AND low > value OR NOT isnan(high) AND high < value)
               AS values_outside_their_interval -- NaN: no interval is given; DuckDB sorts it above all numbers
    FROM metrics
    """,
    (Bound("metrics", 1), _exactly("duplicate_metrics"), _exactly("values_outside_their_interval")),
)

FILES = Contract(
    "files",
    "SELECT count(*) AS files, count(*) FILTER (bytes = 0) AS empty_files FROM files",
    (Bound("files", 1), _exactly("empty_files")),
)

ROLL_UP = Contract(
    "roll_up",
    "SELECT records_in AS members FROM counts",
    (Bound("members", 1),),
)

PAGE = Contract(
    "page",
    "SELECT count(*) AS pages FROM stats WHERE name = 'pages' AND value >= 1",
    (Bound("pages", 1),),
)

SYNTHETIC_PAGE = Contract(
    "synthetic_page",
    """
    SELECT count(*) AS metrics, count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages
    FROM metrics
    """,
    (Bound("metrics", 1), _exactly("duplicate_metrics"), Bound("pages", 1)),
)

SPEECH_TOKENIZER = Contract(
    "speech_tokenizer",
    f"""
    SELECT (SELECT count(*) FROM files WHERE path LIKE '%.safetensors' AND bytes > 0) AS weights,
           CASE WHEN {_stat("reading_heads", missing="1")} = 0 THEN 0 -- Mimi: nothing reads its codes
                ELSE coalesce(max(value) FILTER (metric = 'round_trip.character_error_rate'), 1)
           END AS character_error_rate,
           coalesce(min(value) FILTER (metric = 'codebook.used_share'), 0) AS used_share,
           1 + {_stat("reading_heads", missing="1")} - count(*) FILTER (isfinite(value)
               AND metric IN ('round_trip.character_error_rate', 'codebook.used_share')) AS missing_measures
    FROM metrics
    """,
    (
        Bound("weights", 1),
        _exactly("missing_measures"),
        Bound("character_error_rate", 0, 0.25, "warn"),
        Bound("used_share", 0.05, 1),
        Bound("used_share", 0.8, 1, "warn"),
    ),
)

RUN = Contract(
    "run",
    f"""
    SELECT (SELECT count(*) FROM files WHERE path LIKE '%.safetensors' AND bytes > 0) AS weights,
           {_stat("steps")} AS steps,
           CASE WHEN isfinite({_stat("closing_loss_nats", missing="'nan'::DOUBLE")}) THEN 0 ELSE 1 END AS diverged,
           {_stat("closing_loss_nats")} AS closing_loss_nats
    """,
    (
        Bound("weights", 1),
        Bound("steps", 1),
        _exactly("diverged"),
        Bound("closing_loss_nats", 0, 8, "warn"),
    ),
)

# A model whose weights were never looked at must not read as a good one.
ADOPTED_LANGUAGE_MODEL = Contract(
    "adopted_language_model",
    f"""
    SELECT count(*) FILTER (path LIKE '%.safetensors' AND bytes > 0) AS weights,
           count(*) FILTER (path IN ('tokenizer.json', 'vocabulary_layout.json', 'config.json')) AS described_by,
           {_stat("parameters")} AS parameters,
           {_stat("nonfinite_parameters", missing="1")} AS nonfinite_parameters,
           (SELECT count(*) FROM stats WHERE name = 'plain_english_nats') AS finite_losses,
           {_stat("plain_english_nats", missing="1e9")} / {_stat("uniform_nats", missing="1")}
               AS plain_english_share_of_uniform_nats
    FROM files
    """,
    (
        Bound("weights", 1),
        _exactly("described_by", 3),
        Bound("parameters", 1),
        _exactly("nonfinite_parameters"),
        _exactly("finite_losses", 1),  # none where the model says NaN
        Bound("plain_english_share_of_uniform_nats", 0, 0.9, "warn"),
    ),
)

LEADERBOARD = Contract(
    "leaderboard",
    """
    SELECT count(*) AS metrics, count(DISTINCT subject) AS subjects,
           count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           (SELECT count(*) FROM stats WHERE name = 'pages' AND value >= 1) AS pages
    FROM metrics
    """,
    (Bound("metrics", 1), Bound("subjects", 1), _exactly("duplicate_metrics"), Bound("pages", 1)),
)
