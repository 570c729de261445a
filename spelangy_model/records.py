"""The record types and their Arrow schemas: the contract between the two packages.

Put here: what one row of a shard is, field by field, with units. Do not put here: behaviour, I/O, or types
that never reach a shard. A field's type is read by `schema_of`; the text in `Annotated` becomes the column's
description in the schema's metadata and so in the catalogue. Times are seconds from the start of the
recording unless a field says otherwise. Ids are lower-case hexadecimal digests of content, never of a path.
"""

import dataclasses
import functools
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

import numpy as np
import pyarrow as pa

Int32 = Annotated[int, pa.int32()]
Int8 = Annotated[int, pa.int8()]
Uint32 = Annotated[int, pa.uint32()]
Float32 = Annotated[float, pa.float32()]


# --- parts of records -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Audio:
    """Sound in the column layout that Hugging Face `datasets` plays (struct of bytes and path)."""

    bytes: Annotated[bytes, "a complete FLAC file, mono, 16 kHz, 16 bit"]
    path: Annotated[str, "a file name for players, never a location"]


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its times, as in a CTM line."""

    text: Annotated[str, "the word as written, with its punctuation"]
    start_s: float
    end_s: float
    confidence: Annotated[float, "0 to 1; what its system believes"]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a recording."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """A sentence whose speaker, words and times are known beforehand (a transcript that came with the audio).

    Without text it is a turn (of an RTTM file): the speaker and the times are known, and the words are not.
    """

    speaker: str
    text: str
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Vote:
    """One slot of a word transition network: the word of each system, and the winner."""

    candidates: Annotated[list[str], "one entry a system, in the order of Transcript.systems; empty: it said nothing"]
    winner: Annotated[str, "the word that won; empty: the slot was voted away"]


@dataclass(frozen=True, slots=True)
class Line:
    """One thing to be spoken, and so one chunk of a synthetic document."""

    role: Annotated[str, "sentence, question, rationale or answer"]
    text: Annotated[str, "the written form, which the language model learns"]
    spoken_text: Annotated[str, "the form that the TTS reads (numbers, abbreviations spelled out)"]
    start: Annotated[
        int, pa.int32(), "of what it was made from, in the page's extracted text, in characters; -1: it is not in there"
    ] = -1
    end: Annotated[int, pa.int32(), "the character after it; -1: it is not in there"] = -1


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A recording or page of which the same came before, in the order of the corpus' snapshots."""

    source_id: Annotated[str, "recording_id or page_id"]
    snapshot: str
    duplicate_of: Annotated[str, "the one that is kept and is most like it"]
    duplicate_of_snapshot: str
    reason: Annotated[str, "duplicate: the same bytes; near_duplicate: the same sound, or nearly the same words"]
    similarity: Annotated[
        float,
        "0 to 1; of a recording the share of its stretches that kept ones hold, of a page the Jaccard index of word "
        "n-grams, estimated",
    ]


# --- web speech -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Recording:
    """A decoded recording of a crawl, or one part of a long one."""

    recording_id: Annotated[str, "digest of the original file's bytes; a part of it has -NNNN after it"]
    source_uri: Annotated[str, "where it lay inside its snapshot; a part has #t=START,END in seconds after it"]
    source_url: Annotated[str, "where it was published; a part has #t=START,END in seconds after it"]
    licence: Annotated[str, "SPDX id or words of the publisher; unknown when none is stated"]
    duration_s: float
    original_sample_rate_hz: Int32
    original_channels: Int32
    original_format: Annotated[str, "container and codec as the decoder named them"]
    audio: Audio
    utterances: Annotated[list[Utterance], "the given transcript; empty: ASR decides"] = field(default_factory=list)
    language: Annotated[str, "ISO 639-1 code that came with the audio; empty: none did"] = ""
    offset_s: Annotated[float, "where in the original file it begins; above 0 only for parts"] = 0.0
    loudness_lufs: Annotated[float, "integrated loudness, ITU-R BS.1770-4; -70 at least"] = math.nan
    snr_db: Annotated[float, "signal-to-noise ratio by the percentiles of frame levels"] = math.nan
    original_clipping_share: Annotated[float, "share of the original's samples at full scale or beyond"] = math.nan
    original_bandwidth_hz: Annotated[float, "up to where the original's mean spectrum reaches, within 60 dB"] = math.nan

    @property
    def has_transcript(self) -> bool:
        """Whether words came with the audio; `utterances` without text are turns alone."""
        return any(utterance.text for utterance in self.utterances)


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """The landmarks of a recording (spelangy_model/audio/fingerprint.py): two lists of one length, in order of time."""

    recording_id: str
    hashes: Annotated[list[Int32], "two frequencies and the time between them"]
    frames: Annotated[list[Int32], "when, in frames of 16 ms"]


@dataclass(frozen=True, slots=True)
class Segment:
    """One speaker turn of a recording."""

    segment_id: str
    recording_id: str
    start_s: float
    end_s: float
    speaker: Annotated[str, "a label that is unique within the recording only"]
    overlap_s: Annotated[float, "seconds of the turn in which somebody else speaks too"]
    snr_db: Annotated[float, "mean power over the noise floor of its recording; NaN: not measured"] = math.nan
    sound: Annotated[list[Stretch], "where it is louder than that floor by 6 dB"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """The words that one ASR system recognized in a segment."""

    segment_id: str
    recording_id: str
    system: Annotated[str, "the recipe's name of the ASR system; 'given' for a transcript that came with the audio"]
    text: str
    words: Annotated[list[Word], "times from the start of the recording"]
    language: Annotated[str, "ISO 639-1 code of the decode window that held the segment"]
    language_probability: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The agreed words of a segment, after ROVER and the filters."""

    segment_id: str
    recording_id: str
    speaker: str
    start_s: float
    end_s: float
    language: str
    text: str
    words: list[Word]
    systems: Annotated[list[str], "the ASR systems that voted, in the order of Vote.candidates"]
    votes: list[Vote]
    agreement: Annotated[float, "share of slots in which all systems said the winner, 0 to 1"]
    confidence: Annotated[float, "mean confidence of the winning words, 0 to 1"]


@dataclass(frozen=True, slots=True)
class DroppedTranscript:
    """A segment that a filter dropped, kept so that a person can see why."""

    segment_id: str
    recording_id: str
    speaker: str
    start_s: float
    end_s: float
    reason: str
    detail: Annotated[str, "the measured value against its threshold"]
    text: Annotated[str, "what the systems' vote would have been"]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """The audio of one source in one step: its input, what the step kept, and what it dropped and why."""

    step: Annotated[str, "the dataset that the step makes"]
    source: Annotated[str, "the host that published it, else the folder that it lay in"]
    outcome: Annotated[str, "in, kept or dropped; made: what a step that keeps all of its input turned it into"]
    reason: Annotated[str, "of a drop; else empty"]
    pieces: Annotated[int, "recordings, segments or, of chunkings, words"]
    duration_ms: Annotated[int, "of audio; 0 where a file could not be read"]


# --- chunks: web speech and synthetic speech alike ----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Chunk:
    """An (audio, text) pair, the i-th of its document: (A_i, T_i) of the paper."""

    chunk_id: str
    document_id: Annotated[str, "chunks of one document are consecutive rows of one shard"]
    index: Annotated[int, pa.int32(), "position in the document, from 0"]
    role: Annotated[str, "speech for web audio; else the role of the line that was spoken"]
    source_id: Annotated[str, "recording_id or page_id"]
    source_url: str
    licence: str
    speaker: Annotated[str, "the diarized speaker, or the voice of the TTS"]
    accent: Annotated[str, "the accent that the TTS spoke; empty for web audio"]
    start_s: Annotated[float, "in the recording; 0 for synthetic speech"]
    end_s: float
    text: str
    spoken_text: Annotated[str, "what the TTS read; equal to text for web audio"]
    audio: Audio

    @property
    def duration_s(self) -> float:
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class CheckedChunk:
    """A recognizer's transcript of a chunk of synthetic speech."""

    chunk_id: str
    document_id: str
    role: str
    speaker: str
    accent: str
    spoken_text: Annotated[str, "what the voice was given to read"]
    look: Annotated[int, pa.int32(), "1: among other voices; 2: again, without them"]
    recognized: Annotated[str, "the recognizer's words; empty: it found none"]
    word_errors: Annotated[int, "substitutions, deletions and insertions, both texts normalized"]
    words: Annotated[int, "of spoken_text, normalized"]


@dataclass(frozen=True, slots=True)
class RejectedChunk:
    """A chunk of a dataset that later stages must skip."""

    chunk_id: str
    document_id: str
    reason: str
    detail: Annotated[str, "the measured value against its threshold"]


# --- pages ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Page:
    """An HTML page of a web crawl, as text, before extraction."""

    page_id: Annotated[str, "digest of the URL and the payload"]
    url: str
    source_uri: Annotated[str, "archive and offset inside the snapshot, as NAME@OFFSET"]
    captured_at: Annotated[str, "ISO 8601 of the crawler; empty when the archive has none"]
    licence: Annotated[str, "SPDX id (Creative Commons), else the link or words that state one; unknown: none does"]
    charset: str
    html: str
    licence_stated_by: Annotated[
        str,
        "warc_metadata, http_link, rel_license, json_ld, meta or creative_commons_link (not marked as the page's own)",
    ] = ""
    robots: Annotated[
        str, "what the page asks of robots, as in noai, noindex; empty: nothing (spelangy_model/text/rights.py)"
    ] = ""


@dataclass(frozen=True, slots=True)
class PageSignature:
    """The MinHash signature of a page's text (spelangy_model/text/minhash.py)."""

    page_id: str
    captured_at: Annotated[str, "as in Page"]
    url: str
    minima: Annotated[list[Uint32], "one a permutation; empty: too few words to tell pages apart"]


@dataclass(frozen=True, slots=True)
class TextDocument:
    """The main text of a page, for text-only training."""

    document_id: str
    page_id: str
    url: str
    licence: str
    title: str
    text: str
    robots: Annotated[str, "as in Page"] = ""


@dataclass(frozen=True, slots=True)
class SuppliedText(TextDocument):
    """A text that was extracted elsewhere, from a shard of texts; `page_id` is the digest of the text."""

    source_uri: Annotated[str, "file and place inside the snapshot, as NAME#row=3 or NAME#line=3"] = ""
    supplied_id: Annotated[str, "the id that the shard gives it; empty: none"] = ""
    published_at: Annotated[str, "the date that the shard gives it, of capture or publication; empty: none"] = ""
    language: Annotated[str, "ISO 639-1 code, found from the text"] = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A document to be spoken: Krist (sentences of a knowledge-rich page) or Quest (question, rationale, answer)."""

    document_id: str
    page_id: str
    url: str
    licence: str
    title: Annotated[str, "the page's title; for Quest the question"]
    lines: list[Line]
    evidence: Annotated[str, "the span of the page's text that it was made from"]
    robots: Annotated[str, "as in Page"] = ""


# --- conversations ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ConversationTurn:
    """A turn of a conversation, the i-th: instructions with their answers, for post-training."""

    conversation_id: Annotated[str, "turns of one conversation are consecutive rows of one shard"]
    index: Annotated[int, pa.int32(), "position in the conversation, from 0"]
    role: Annotated[str, "system, user or assistant; the last turn is the assistant's"]
    source: Annotated[str, "the name of its set in the recipe"]
    source_uri: Annotated[str, "file and record, as NAME#line 3; or what rendered it"]
    licence: str
    voice: Annotated[str, "who says it; recorded: it came with its sound; empty: it is written alone"]
    accent: Annotated[str, "as voice"]
    text: Annotated[str, "the written form; empty: its sound alone is known"]
    spoken_text: Annotated[str, "what the TTS read; equal to text for a recording, empty where nothing is spoken"]
    audio: Annotated[Audio, "of no bytes where the turn is written alone"]


# --- tokens -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TokenChunk:
    """A chunk as ids: either list may be empty (text-only documents have no codes)."""

    role: str
    codes: Annotated[list[Int32], "speech codes at the tokenizer's rate, 0 to codebook size - 1"]
    text_ids: Annotated[list[Int32], "ids of the text tokenizer, without markers"]


@dataclass(frozen=True, slots=True)
class TokenDocument:
    """A tokenized document: everything that interleaving needs, and the way back to its source."""

    document_id: str
    source_id: str
    source_url: str
    licence: str
    chunks: list[TokenChunk]


@dataclass(frozen=True, slots=True)
class RowSpan:
    """One document's place in a packed row."""

    document_id: str
    source: Annotated[str, "the role of the token set among the mix's inputs, for example speech.0"]
    source_id: str
    epoch: Int32
    start: Annotated[int, pa.int32(), "first position in the row"]
    length: Annotated[int, pa.int32(), "positions"]
    switches: Annotated[int, pa.int32(), "changes of modality inside the span"]


@dataclass(frozen=True, slots=True)
class PackedRow:
    """A training row of a mix. Attention is block-diagonal over `spans`; position_ids restart at each."""

    row: Int32
    kind: Annotated[str, "text or speech_text"]
    input_ids: list[Int32]
    position_ids: list[Int32]
    loss_mask: Annotated[list[Int8], "1: the loss counts the prediction OF this position"]
    spans: list[RowSpan]


# --- evaluation -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Question:
    """A four-way multiple-choice question and the facts on its recording, for readers that need no sound."""

    question_id: Annotated[str, "one recording of one question"]
    text_id: Annotated[str, "shared by all recordings of the same question text"]
    cluster_id: Annotated[str, "shared by questions whose answers are not independent; the text_id of a lone one"]
    benchmark: str
    split: Annotated[str, "which wordings are in training data: seen_wording, new_wording, ..."]
    question: str
    spoken_text: str
    voice: str
    accent: str
    options: list[str]
    answer_index: Int32
    relation: Annotated[str, "the type that the distractors share with the answer"]


@dataclass(frozen=True, slots=True)
class SpokenQuestion(Question):
    """A four-way multiple-choice question with its recording."""

    audio: Audio


@dataclass(frozen=True, slots=True)
class QuestionCodes:
    """A spoken question as codes of a speech tokenizer."""

    question_id: str
    codes: Annotated[list[Int32], "speech codes at the tokenizer's rate, 0 to codebook_size - 1"]
    codebook_size: Annotated[Int32, "of the speech tokenizer, the same in all rows"]


@dataclass(frozen=True, slots=True)
class QuestionScore:
    """How a run scored one question in one modality."""

    question_id: str
    text_id: str
    cluster_id: str
    benchmark: str
    split: str
    accent: str
    modality: Annotated[str, "speech or text: how the question was put"]
    option_log_likelihoods: Annotated[list[float], "natural log, summed over the option's tokens"]
    option_per_token: Annotated[list[float], "the log-likelihood over the option's count of tokens"]
    option_per_character: Annotated[list[float], "the log-likelihood over the option's count of characters"]
    predicted_index: Annotated[int, pa.int32(), "the best option by the primary scoring of the recipe"]
    answer_index: Int32
    reverse_kl: Annotated[
        float, "KL(p after speech || p after text) at the first answer token, nats; NaN for text rows"
    ]


@dataclass(frozen=True, slots=True)
class AcceptedAnswers:
    """The answers to a question that its source accepts."""

    text_id: str
    answers: Annotated[list[str], "as the source writes them; the first is the right option"]


@dataclass(frozen=True, slots=True)
class GeneratedAnswer:
    """What a run or a system answered in words to a question in one modality."""

    question_id: Annotated[str, "the text_id for a written question"]
    text_id: str
    cluster_id: str
    benchmark: str
    split: str
    accent: str
    modality: Annotated[str, "speech or text: how the question was put"]
    question: str
    right_option: str
    answer: Annotated[str, "the rest of the sentence that the answer prefix begins; empty: nothing was written"]
    tokens: Annotated[Int32, "that were generated"]
    ended: Annotated[bool, "false: the limit of tokens cut the answer"]


CONTEXT_SENTENCES = 3  # of a passage: the sentences before the last one, spoken or written


@dataclass(frozen=True, slots=True)
class SpokenPassage:
    """Sentences in a row of held-out talk: the last is only read, those before it have their recording."""

    passage_id: str
    talk_id: Annotated[str, "the talk that it is cut from"]
    cluster_id: Annotated[str, "shared by passages that are not independent: what they are about, else the talk"]
    sentences: Annotated[list[str], "one more than are spoken"]
    voices: Annotated[list[str], "who says each spoken one"]
    start_s: Annotated[list[float], "where each spoken one begins in the recording"]
    audio: Audio


@dataclass(frozen=True, slots=True)
class PassageScore:
    """How a run predicts the next sentence of a passage after its first k, in nats; entry k - 1 of each list."""

    passage_id: str
    cluster_id: str
    tokens: Annotated[list[Int32], "of the next sentence; the nats are summed over them"]
    alone: Annotated[list[float], "nothing before it"]
    spoken: Annotated[list[float], "after the k sentences, spoken"]
    written: Annotated[list[float], "after the k sentences, read"]
    swapped: Annotated[list[float], "after k sentences of another talk, spoken"]


@dataclass(frozen=True, slots=True)
class TokenGap:
    """The distance of a run's predictions after the spoken and after the written question, at one answer token."""

    question_id: str
    text_id: str
    position: Annotated[int, pa.int32(), "0 is the first token of the answer; the tokens before it are given"]
    token: Annotated[str, "the answer's token at the position"]
    reverse_kl: Annotated[float, "KL(p after speech || p after text) over text tokens, nats"]
    forward_kl: Annotated[float, "KL(p after text || p after speech) over text tokens, nats"]
    moved_tokens: Annotated[list[str], "the tokens that contribute most to both, largest first"]
    moved_speech: Annotated[list[float], "their probabilities after speech"]
    moved_text: Annotated[list[float], "their probabilities after text"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of an evaluation or an analysis, with its interval and its count."""

    subject: Annotated[str, "what was measured: a run, a token set, a system"]
    metric: Annotated[str, "dotted name, for example sqa.spoken-triviaqa.test.accuracy"]
    value: float
    low: Annotated[float, "lower end of the 95% interval; NaN where none is given"]
    high: float
    count: Annotated[int, "how many items the value is over"]


# --- what was not kept --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reject:
    """An input that could not be read or used at all."""

    source_uri: Annotated[str, "the file or archive record, inside its snapshot"]
    record_id: Annotated[str, "the record's id when it has one; else empty"]
    reason: Annotated[str, "a short fixed word, as counted in the manifest"]
    error: Annotated[str, "the decoder's or parser's own words"]


# --- records <-> Arrow --------------------------------------------------------------------------------------

R = TypeVar("R")
_SCALARS: Mapping[Any, pa.DataType] = {
    str: pa.string(),
    int: pa.int64(),
    float: pa.float64(),
    bool: pa.bool_(),
    bytes: pa.binary(),
}


def _arrow_type(hint: Any) -> pa.DataType:
    if get_origin(hint) is Annotated:
        base, *notes = get_args(hint)
        explicit = next((note for note in notes if isinstance(note, pa.DataType)), None)
        return explicit if explicit is not None else _arrow_type(base)
    if get_origin(hint) is list:
        return pa.list_(pa.field("item", _arrow_type(get_args(hint)[0]), nullable=False))
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return pa.struct(list(schema_of(hint)))
    if hint in _SCALARS:
        return _SCALARS[hint]
    raise TypeError(f"no Arrow type for {hint!r}")


def _describe(hint: Any) -> dict[str, str]:
    notes = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    text = next((note for note in notes if isinstance(note, str)), "")
    return {"description": text} if text else {}


@functools.cache
def _hints(record: type) -> types.MappingProxyType[str, Any]:
    return types.MappingProxyType(get_type_hints(record, include_extras=True))


@functools.cache
def schema_of(record: type) -> pa.Schema:
    """Return the Arrow schema of a record type: fields in order, none nullable, descriptions as metadata."""
    return pa.schema(
        [
            pa.field(name, _arrow_type(hint), nullable=False, metadata=_describe(hint) or None)
            for name, hint in _hints(record).items()
        ]
    )


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value] if value and dataclasses.is_dataclass(value[0]) else list(value)
    return value


def _column(values: list[Any], field: pa.Field, owner: str) -> pa.Array:
    # Arrow would cut the fraction off without a word, and checks nullability only when it writes.
    if pa.types.is_integer(field.type) and any(isinstance(value, float | np.floating) for value in values):
        raise pa.ArrowTypeError(f"{owner}.{field.name}: a float where an integer belongs")
    if any(value is None for value in values):
        raise pa.ArrowInvalid(f"{owner}.{field.name}: a value is missing")
    return pa.array(values, type=field.type)


def to_table(records: Iterable[Any], record: type) -> pa.Table:
    """Turn records of one type into an Arrow table of its schema.

    Raises pyarrow.ArrowInvalid, pyarrow.ArrowTypeError or OverflowError when a value is missing or does not fit its
    column, UnicodeEncodeError when a text holds half a surrogate pair. A missing part of a nested value is found
    when the table is written.
    """
    rows: Sequence[Any] = records if isinstance(records, Sequence) else list(records)
    schema = schema_of(record)
    columns = [_column([_plain(getattr(row, field.name)) for row in rows], field, record.__name__) for field in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _revived(values: list[Any], hint: Any) -> list[Any]:
    """Return the values of a column with records in place of the dictionaries of a nested type."""
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) is list:
        inner = get_args(hint)[0]
        base = get_args(inner)[0] if get_origin(inner) is Annotated else inner
        return [_records(value, base) for value in values] if dataclasses.is_dataclass(base) else values
    return _records(values, hint) if dataclasses.is_dataclass(hint) else values


def _records(rows: Sequence[Mapping[str, Any]], record: Any) -> list[Any]:
    return _of_columns({name: [row[name] for row in rows] for name in _hints(record)}, record)


def _of_columns(columns: Mapping[str, list[Any]], record: Any) -> list[Any]:
    revived = [_revived(columns[name], hint) for name, hint in _hints(record).items()]
    return [record(**dict(zip(columns, values, strict=True))) for values in zip(*revived, strict=True)]


def from_table(table: pa.Table | pa.RecordBatch, record: type[R]) -> list[R]:
    """Turn an Arrow table of the record's schema back into records; extra columns are ignored.

    Raises KeyError when a column of the record is missing.
    """
    return _of_columns({name: table.column(name).to_pylist() for name in _hints(record)}, record)
