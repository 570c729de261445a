"""From which columns of its inputs a dataset's columns come: what the UI draws as the lineage of a column.

Put here: for each stage the columns of its first table and where they come from. Do not put here: how that is told to
Dagster (stage_asset.py). A column that is left out is made by the stage itself (a count, an order, a model's belief in
its own output). A column comes from ROLE.COLUMN: the first table of the input in that role; of a roll-up, that of its
members. `*` stands for every roll-up among the inputs.
"""

from __future__ import annotations

from collections.abc import Iterator

from spelangy_assets.execution.graph import Graph, Node
from spelangy_model.records import schema_of

_SPEECH = ("raw_audio.audio", "raw_audio.utterances")
_SCRIPT = {
    "document_id": ("raw_pages.page_id",),
    "page_id": ("raw_pages.page_id",),
    "url": ("raw_pages.url",),
    "licence": ("raw_pages.licence",),
    "title": ("raw_pages.html",),
    "lines": ("raw_pages.html",),
    "evidence": ("raw_pages.html",),
}

COLUMNS_FROM: dict[str, dict[str, tuple[str, ...]]] = {
    "segment_speech": {
        "segment_id": ("raw_audio.recording_id", *_SPEECH),
        "recording_id": ("raw_audio.recording_id",),
        **dict.fromkeys(("start_s", "end_s", "speaker", "overlap_s"), _SPEECH),
        "snr_db": ("raw_audio.audio",),
        "sound": ("raw_audio.audio",),
    },
    "recognize": {
        "segment_id": ("speech_segments.segment_id",),
        "recording_id": ("speech_segments.recording_id",),
        **dict.fromkeys(("text", "words", "language"), (*_SPEECH, "speech_segments.start_s", "speech_segments.end_s")),
    },
    "clean_transcripts": {
        **{
            name: (f"speech_segments.{name}",) for name in ("segment_id", "recording_id", "speaker", "start_s", "end_s")
        },
        **{name: (f"transcript_hypotheses.{name}",) for name in ("language", "text", "words")},
        "systems": ("transcript_hypotheses.system",),
        "votes": ("transcript_hypotheses.words",),
        "agreement": ("transcript_hypotheses.words",),
        "confidence": ("transcript_hypotheses.words",),
    },
    "chunk_speech": {
        "document_id": ("raw_audio.recording_id",),
        "source_id": ("raw_audio.recording_id",),
        "source_url": ("raw_audio.source_url",),
        "licence": ("raw_audio.licence",),
        "speaker": ("clean_transcripts.speaker",),
        **dict.fromkeys(("start_s", "end_s", "text", "spoken_text"), ("clean_transcripts.words",)),
        "audio": ("raw_audio.audio", "clean_transcripts.words"),
    },
    "adopt_chunks": {
        "document_id": ("raw_audio.recording_id",),
        "source_id": ("raw_audio.recording_id",),
        "source_url": ("raw_audio.source_url",),
        "licence": ("raw_audio.licence",),
        **dict.fromkeys(("speaker", "start_s", "end_s", "text", "spoken_text"), ("raw_audio.utterances",)),
        "audio": _SPEECH,
    },
    "extract_text": {name: _SCRIPT[name] for name in ("document_id", "page_id", "url", "licence", "title")}
    | {"text": ("raw_pages.html",)},
    "write_krist": _SCRIPT,
    "mine_quest": _SCRIPT,
    "speak": {
        "document_id": ("scripts.document_id",),
        "source_id": ("scripts.page_id",),
        "source_url": ("scripts.url",),
        "licence": ("scripts.licence",),
        **dict.fromkeys(("role", "text", "spoken_text", "audio"), ("scripts.lines",)),
    },
    "tokenize_chunks": {
        **{name: (f"chunks.{name}",) for name in ("document_id", "source_id", "source_url", "licence")},
        "chunks": ("chunks.audio", "chunks.text", "chunks.role"),
    },
    "tokenize_text": {
        "document_id": ("text_documents.document_id",),
        "source_id": ("text_documents.page_id",),
        "source_url": ("text_documents.url",),
        "licence": ("text_documents.licence",),
        "chunks": ("text_documents.text",),
    },
    "mix": {
        "input_ids": ("*.chunks",),
        "loss_mask": ("*.chunks",),
        "spans": ("*.document_id", "*.source_id", "*.source"),
    },
    "evaluate": {
        **{name: (f"questions.{name}",) for name in ("question_id", "text_id", "benchmark", "split", "accent")},
        **dict.fromkeys(
            ("option_log_likelihoods", "option_per_token", "option_per_character", "predicted_index", "reverse_kl"),
            ("questions.audio", "questions.question", "questions.options"),
        ),
        "answer_index": ("questions.answer_index",),
    },
}


def columns_of(node: Node) -> tuple[str, ...]:
    """Return the columns of a dataset's first table; none when it has no table."""
    first = next(iter(node.stage.TABLES.values()), None)
    return tuple(schema_of(first).names) if first is not None else ()


def column_lineage(graph: Graph, node: Node) -> dict[str, list[tuple[str, str]]]:
    """Return for each column of a dataset that has any the (asset, column) pairs that it comes from."""
    told = COLUMNS_FROM.get(node.stage.__name__.rsplit(".", 1)[-1], {})
    return {column: list(dict.fromkeys(_from(graph, node, places))) for column, places in told.items()}


def _from(graph: Graph, node: Node, places: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for place in places:
        role, _, column = place.partition(".")
        roll_ups = [asset for asset in node.inputs.values() if graph[asset].members]
        inputs = roll_ups if role == "*" else [node.inputs[role]]
        for asset in inputs:
            members = dict.fromkeys(name for name, _ in graph[asset].members)
            for source in members or (asset,):
                if column in columns_of(graph[source]):
                    yield source, column
