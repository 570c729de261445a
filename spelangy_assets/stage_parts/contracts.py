"""Contracts that several stages share.

Put here: contracts of more than one stage, and their common parts. Do not put here: the contract of a single stage,
which is in its module, or the evaluation of contracts (quality/evaluate.py).
"""

from __future__ import annotations

from spelangy_assets.quality.contracts import LOST_TO_A_SERVICE, Bound, Contract, Drift, exactly, stat

FILES = Contract(
    "files",
    "SELECT count(*) AS files, count(*) FILTER (bytes = 0) AS empty_files FROM files",
    (Bound("files", 1), exactly("empty_files")),
)

METRICS = Contract(
    "metrics",
    """
    SELECT count(*) AS metrics, count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           count(*) FILTER (NOT isnan(low) AND low > value OR NOT isnan(high) AND high < value)
               AS values_outside_their_interval -- NaN: no interval is given; DuckDB sorts it above all numbers
    FROM metrics
    """,
    (Bound("metrics", 1), exactly("duplicate_metrics"), exactly("values_outside_their_interval")),
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
        exactly("unaccounted"),
        exactly("duplicates_of_nothing"),
        exactly("duplicates_of_dropped"),
        exactly("duplicate_rows"),
        Bound("share_seen_before", 0, 0.3, "warn"),
    ),
)

CHUNKS_SQL = """
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

CHUNKS_BOUNDS = (
    exactly("duplicate_ids"),
    exactly("empty_texts"),
    exactly("empty_audio"),
    exactly("missing_audio"),
    exactly("documents_with_holes"),
    Bound("median_characters_per_s", 5, 25, "warn"),
)

CHUNKS_DRIFTS = (
    Drift("length_s", "SELECT end_s - start_s FROM chunks", max_ratio=1.5),
    Drift("characters_per_s", "SELECT length(text) / greatest(end_s - start_s, 0.01) FROM chunks", 0.15),
)

CHUNKS = Contract(
    "chunks", CHUNKS_SQL.format(more=""), (Bound("chunks", 1, None, "warn"), *CHUNKS_BOUNDS), CHUNKS_DRIFTS
)

_MODEL_DROPS = "coalesce(sum(records) FILTER (starts_with(reason, 'model_')), 0)"

_ANSWERED = "SELECT coalesce(sum(value), 0) FROM stats WHERE name IN ('model_answered', 'model_from_cache')"

SCRIPTS_SQL = f"""
    SELECT count(*) AS scripts, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (len(lines) = 0) AS empty_scripts,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(lines) AS l) WHERE trim(l.text) = '' OR trim(l.spoken_text) = ''
           )) AS empty_lines,
           (SELECT coalesce(sum(records), 0) FROM drops WHERE reason IN (
               'model_server_error', 'model_timeout', 'model_rate_limited', 'model_refused'
           )) AS {LOST_TO_A_SERVICE},
           (SELECT {_MODEL_DROPS} / greatest({_MODEL_DROPS} + ({_ANSWERED}), 1) FROM drops)
               AS share_dropped_by_model{{more}}
    FROM scripts
    """

SCRIPTS_BOUNDS = (
    Bound("scripts", 1, None, "warn"),
    exactly("duplicate_ids"),
    exactly("empty_scripts"),
    exactly("empty_lines"),
    exactly(LOST_TO_A_SERVICE),
    Bound("share_dropped_by_model", 0, 0.25),  # replies that are no answer: another model, or a longer output limit
    Bound("share_dropped_by_model", 0, 0.05, "warn"),
)

SCRIPTS = Contract("scripts", SCRIPTS_SQL.format(more=""), SCRIPTS_BOUNDS)

TOKEN_COLUMNS = """
           count(*) AS documents, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (len(chunks) = 0) AS empty_documents,
           count(*) FILTER (EXISTS (
               SELECT 1 FROM (SELECT unnest(chunks) AS c) WHERE len(c.text_ids) = 0
           )) AS chunks_without_text
"""

TOKEN_BOUNDS = (
    Bound("documents", 1, None, "warn"),
    exactly("duplicate_ids"),
    exactly("empty_documents"),
    exactly("chunks_without_text"),
)

TOKENS = Contract("tokens", f"SELECT {TOKEN_COLUMNS} FROM documents", TOKEN_BOUNDS)

SPEECH_TOKENIZER = Contract(
    "speech_tokenizer",
    f"""
    SELECT (SELECT count(*) FROM files WHERE path LIKE '%.safetensors' AND bytes > 0) AS weights,
           CASE WHEN {stat("reading_heads", missing="1")} = 0 THEN 0 -- Mimi: nothing reads its codes
                ELSE coalesce(max(value) FILTER (metric = 'round_trip.character_error_rate'), 1)
           END AS character_error_rate,
           coalesce(min(value) FILTER (metric = 'codebook.used_share'), 0) AS used_share,
           1 + {stat("reading_heads", missing="1")} - count(*) FILTER (isfinite(value)
               AND metric IN ('round_trip.character_error_rate', 'codebook.used_share')) AS missing_measures
    FROM metrics
    """,
    (
        Bound("weights", 1),
        exactly("missing_measures"),
        Bound("character_error_rate", 0, 0.25, "warn"),
        Bound("used_share", 0.05, 1),
        Bound("used_share", 0.8, 1, "warn"),
    ),
)
