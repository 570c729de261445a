"""speech_reconstruction: the sound of a speech tokenizer's codes, and what a recognizer makes of it.

Put here: which utterances are decoded, a recognizer's errors on originals and on decoded sound, and the page that plays
both. Do not put here: decoding (spelangy_model/tokenizer), or the layout of the page (report/reconstruction_page.py).

Inputs: `speech_tokenizer`, which must have a decoder, and `tokenizer_speech` (Chunk), of which the utterances are taken
whose texts its training held out. Output: the page, and as metrics the word error rates of originals and decoded sound,
their ratio, and the decoder's mean absolute error of log-mel power. An utterance is recognized alone, original and
decoded alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from spelangy_assets.execution.dataset import Dataset, DatasetKind, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, exactly
from spelangy_assets.report.reconstruction_page import Pair, Recognized, reconstruction_page
from spelangy_assets.stages.speech_tokenizer import held_out
from spelangy_assets.store.artifacts import Artifact
from spelangy_model.audio.asr import AsrError, AsrSystem, Recognizer
from spelangy_model.audio.io import decode_flac, encode_flac
from spelangy_model.audio.round_trip import Sound, transcribe
from spelangy_model.audio.wer import word_errors
from spelangy_model.records import Chunk, Metric
from spelangy_model.rng import stable_hash
from spelangy_model.tokenizer.codec import CodecError

if TYPE_CHECKING:
    from spelangy_model.tokenizer.speech import SpeechTokenizer

VERSION = "1"
TABLES: dict[str, type] = {"metrics": Metric}
PAGE = "reconstruction_page.html"
SUBJECT = "texts held out"


@dataclass(frozen=True)
class Config:
    """The recognizer; at most so many utterances are decoded and recognized, and the first of them are shown."""

    recognizer: AsrSystem
    utterances: int = 100
    shown_utterances: int = 20
    audio_bytes: int = 24 * 2**20


CONTRACT = Contract(
    "speech_reconstruction",
    """
    SELECT count(*) FILTER (metric = 'decoded.word_error_rate') AS measured,
           count(*) - count(DISTINCT (subject, metric)) AS duplicate_metrics,
           coalesce(max(value) FILTER (metric = 'decoded.errors_per_original_error'), 0) AS errors_per_original_error
    FROM metrics
    """,
    (exactly("measured", 1), exactly("duplicate_metrics"), Bound("errors_per_original_error", 0, 2.5, "warn")),
)

KIND = DatasetKind(
    group="tokenizers",
    description="Originals and what the codes of {speech_tokenizer} sound like, with a recognizer's errors on both.",
    contract=CONTRACT,
    kinds=("html",),
    pool="asr",
    cost="heavy",
    takes={"speech_tokenizer": "speech_tokenizer", "tokenizer_speech": Chunk},
)


@word
def reconstruction(
    tokenizer: Dataset, speech: Dataset, recognizer: AsrSystem, *, name: str = "speech_reconstruction", **options: Any
) -> Dataset:
    """Return the sound of a tokenizer's codes beside the originals, with a recognizer's errors on both.

    `speech` is what the tokenizer was trained on or measured with; `options` are fields of Config.
    """
    inputs = {"speech_tokenizer": tokenizer, "tokenizer_speech": speech}
    return dataset(__name__, Config(recognizer, **options), name=name, inputs=inputs)


def preflight(config: Config, execution: Execution) -> None:
    """Raise PreflightError when the recognizer's package or model is missing."""
    try:
        config.recognizer.locate(execution.cache_dir)
    except AsrError as error:
        raise PreflightError(str(error)) from error


def run(ctx: StageContext, config: Config) -> None:
    """Decode, recognize and write the page in one unit."""
    for unit, _ in ctx.out.pending([PAGE]):
        model = _decodable(ctx)
        chunks = _chosen(ctx.inputs["tokenizer_speech"], config.utterances)
        if not chunks:
            raise InputError("no text of the speech is held out of the training: give more sentences")
        recognizer = config.recognizer.load(ctx.execution.cache_dir, ctx.execution.device)
        pairs, nats = [], []
        for number, chunk in enumerate(chunks):
            pair, distance = _pair(model, config.recognizer.name, recognizer, chunk)
            pairs.append(pair)
            nats.append(distance)
            ctx.progress(number + 1, len(chunks), "utterances")
        metrics = measures(pairs, sum(nats) / len(nats))
        title = f"What the codes of {ctx.inputs['speech_tokenizer'].name.dataset} sound like"
        page = reconstruction_page(
            pairs[: config.shown_utterances],
            metrics,
            title=title,
            recognizer=config.recognizer.name,
            audio_bytes=config.audio_bytes,
        )
        with ctx.out.unit(unit) as out:
            out.write_file(PAGE, page.encode())
            out.write("metrics", metrics)
            out.read(len(pairs))
            out.kept(len(pairs))
        ctx.log("; ".join(f"{one.metric} {one.value:.3f}" for one in metrics))


def _decodable(ctx: StageContext) -> SpeechTokenizer:
    from spelangy_model.tokenizer.open_codec import open_codec
    from spelangy_model.tokenizer.speech import SpeechTokenizer

    artifact = ctx.inputs["speech_tokenizer"]
    model = open_codec(artifact.local_folder(ctx.execution.cache_dir))
    if not isinstance(model, SpeechTokenizer):
        raise InputError(f"{artifact.uri} is a {type(model).__name__}, whose codes cannot be decoded")
    try:
        model.decode_mel([])
    except CodecError as error:
        raise InputError(f"{artifact.uri}: {error}") from error
    return model


def _chosen(speech: Artifact, utterances: int) -> list[Chunk]:
    """Return chunks whose texts are held out, drawn by their ids; only they become records."""
    ids: list[str] = []
    for shard in speech.shards("chunks"):
        columns = shard.table(["chunk_id", "spoken_text"]).to_pydict()
        ids += [i for i, text in zip(columns["chunk_id"], columns["spoken_text"], strict=True) if held_out(text)]
    order = {i: place for place, i in enumerate(sorted(ids, key=lambda i: stable_hash("decode", i))[:utterances])}
    found = [chunk for shard in speech.shards("chunks") for chunk in shard.chosen_records(Chunk, "chunk_id", order)]
    return sorted(found, key=lambda chunk: order[chunk.chunk_id])


def _pair(model: SpeechTokenizer, system: str, recognizer: Recognizer, chunk: Chunk) -> tuple[Pair, float]:
    """Return an utterance with its decoded sound, and the distance of the two in nats of log-mel power."""
    from spelangy_model.tokenizer.mel_sound import sound_mel

    samples = decode_flac(chunk.audio.bytes)
    codes = model.encode([samples])
    (mel,), (decoded,) = model.decode_mel(codes), model.decode(codes)
    wanted = sound_mel(samples, mel.shape[1])
    recognized = []
    for sound in (samples, decoded):
        (text,) = transcribe(system, recognizer, [Sound(chunk.chunk_id, sound)])
        recognized.append(Recognized(text, word_errors([chunk.spoken_text], [text]).errors))
    words = word_errors([chunk.spoken_text], [""]).reference_words
    distance = float((mel[: len(wanted)] - wanted).abs().mean())
    return Pair(chunk, encode_flac(decoded), words, *recognized), distance


def measures(pairs: Sequence[Pair], nats: float) -> list[Metric]:
    """Return the word error rates of originals and decoded sound, their ratio, and the error of log-mel power."""
    words = sum(pair.words for pair in pairs)
    original = sum(pair.original_recognized.word_errors for pair in pairs)
    decoded = sum(pair.decoded_recognized.word_errors for pair in pairs)
    values = (
        ("original.word_error_rate", original / words, words),
        ("decoded.word_error_rate", decoded / words, words),
        ("decoded.errors_per_original_error", decoded / original if original else math.inf, original),
        ("decoded.mel_error_nats", nats, len(pairs)),
    )
    return [Metric(SUBJECT, name, value, math.nan, math.nan, count) for name, value, count in values]
