"""supplied_texts: texts that others extracted, from shards of Parquet and JSON Lines, and why others are left out.

Put here: going through the files of a snapshot, exact duplicates, lengths, languages, the quality rules, the signatures
by which near duplicates are found. Do not put here: reading a shard (spelangy_model/text/text_shards.py), the rules
(spelangy_model/text/quality.py), or near duplicates (find_duplicate_pages.py).

A snapshot is a folder or an s3:// prefix of shards. A shard is a unit, of which one row group at a time is in memory. A
text is left out for these reasons, in this order: taken down, equal to an earlier one, too short or too long, another
language, a quality rule. Characters are counted like documents: `characters_read` is the sum of `characters_kept`,
`characters_cut` (by rules that remove lines) and `characters_dropped.REASON`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from spelangy_assets.execution.dataset import Dataset, DatasetKind, config_of, dataset, word
from spelangy_assets.execution.stage import Execution, InputError, PreflightError, StageContext
from spelangy_assets.quality.contracts import Bound, Contract, Drift, exactly, stat
from spelangy_assets.sources.files import FolderSource, SnapshotFiles, checked_sources, printable
from spelangy_assets.stage_parts.seen import Seen, open_seen
from spelangy_assets.store.artifacts import UnitWriter
from spelangy_model.records import PageSignature, Reject, SuppliedText
from spelangy_model.rng import stable_hash
from spelangy_model.text.language import LANGUAGES, detect_language
from spelangy_model.text.minhash import SignatureRules, minhash
from spelangy_model.text.normalize import words_of
from spelangy_model.text.quality import QualityRule, apply_rules
from spelangy_model.text.rights import UNKNOWN
from spelangy_model.text.text_shards import TextFields, is_shard, read_text_shard

VERSION = "1"
TABLES: dict[str, type] = {"texts": SuppliedText, "rejects": Reject, "signatures": PageSignature}
_READ_BYTES = 1 << 20
_LANGUAGE_CHARACTERS = 600  # of the middle of a text: prose, where a page's are menus as well
_OF_THE_NAME = ("readme", "license", "licence", "_", "dataset_infos")  # files beside shards that hold no text


@dataclass(frozen=True)
class Config:
    """The columns of the texts, and which texts are kept.

    `licence` applies to a text whose row states none: the licence that the publisher states for all shards. Lengths are
    in words of text.normalize, `languages` ISO 639-1 codes. The `quality` rules are applied in order; none by default,
    since the corpora of the field come filtered.
    """

    fields: TextFields = field(default_factory=TextFields)
    licence: str = UNKNOWN
    min_words: int = 30
    max_words: int = 100_000
    languages: tuple[str, ...] = ("en",)
    quality: tuple[QualityRule, ...] = ()
    signature: SignatureRules = field(default_factory=SignatureRules)


# The ledger in sums: every row is kept, rejected or dropped for a reason, and so is every character that was read.
CONTRACT = Contract(
    "supplied_texts",
    f"""
    SELECT count(*) AS texts, count(*) - count(DISTINCT document_id) AS duplicate_ids,
           count(*) FILTER (trim(text) = '' OR url = '') AS empty_texts,
           (SELECT records_in - records_kept - records_dropped FROM counts) AS unaccounted_rows,
           {stat("characters_read")} - {stat("characters_kept")} - {stat("characters_cut")}
               - (SELECT coalesce(sum(value), 0) FROM stats WHERE starts_with(name, 'characters_dropped.'))
               AS unaccounted_characters,
           (SELECT count(*) FROM signatures) - count(*) AS signatures_too_many,
           (SELECT count(*) FROM rejects) / (SELECT greatest(records_in, 1) FROM counts) AS share_rejected,
           count(*) FILTER (licence = 'unknown') / greatest(count(*), 1) AS share_of_unknown_licence
    FROM texts
    """,
    (
        Bound("texts", 1),
        exactly("duplicate_ids"),
        exactly("empty_texts"),
        exactly("unaccounted_rows"),
        exactly("unaccounted_characters"),
        exactly("signatures_too_many"),
        Bound("share_rejected", 0, 0.5),
        Bound("share_rejected", 0, 0.01, "warn"),
        Bound("share_of_unknown_licence", 0, 0.5, "warn"),
    ),
    drifts=(Drift("length_characters", "SELECT length(text) FROM texts", max_ratio=1.5),),
)

KIND = DatasetKind(
    group="crawl",
    description="Texts that others extracted, from shards of Parquet and JSON Lines.",
    contract=CONTRACT,
    folder="texts",
)


@word
def texts(snapshots: Mapping[str, Any], *, name: str = "supplied_texts", **options: Any) -> Dataset:
    """Return the texts of the snapshots that are named here; tokens are made of them as of `documents`.

    A source is `Packaged` or `Arriving` (a folder of SPELANGY_SNAPSHOTS/texts). `options` are fields of Config.
    """
    sources = checked_sources(snapshots, FolderSource)
    return dataset(__name__, config_of(Config, options), name=name, label=name.removesuffix("_texts"), sources=sources)


def preflight(config: Config, execution: Execution) -> None:
    if unknown := set(config.languages) - set(LANGUAGES):
        raise PreflightError(f"languages {sorted(unknown)} cannot be distinguished; choose of {', '.join(LANGUAGES)}")
    if not 0 <= config.min_words <= config.max_words:
        raise PreflightError(f"min_words {config.min_words} is above max_words {config.max_words}")
    for rule in config.quality:
        if not isinstance(rule, QualityRule):
            raise PreflightError(f"{type(rule).__name__} is no quality rule: it has no apply(text)")


def run(ctx: StageContext, config: Config) -> None:
    """Do one unit a shard, and a last one for files that are not shards."""
    files = SnapshotFiles(cast(FolderSource, ctx.source).path)
    names, odd = files.listing()
    shards = [name for name in names if is_shard(name)]
    if not shards:
        raise InputError(f"{files.where} holds no shard of texts: put .parquet, .jsonl, .jsonl.gz or .jsonl.zst there")
    with open_seen(ctx.out.scratch, ctx.out.done) as seen:
        for unit in seen.missing([unit for unit in range(len(shards)) if ctx.out.done(unit)]):
            _look_again(ctx, config, files, shards[unit], seen, unit)
        for unit, name in ctx.out.pending(shards):
            with ctx.out.unit(unit) as out:
                _ingest(ctx, config, files, name, seen, unit, out)
                seen.keep(unit)
            ctx.log(f"read {printable(name)}, {unit + 1} of {len(shards)}")
    for unit in [len(shards)]:
        if not ctx.out.done(unit):
            with ctx.out.unit(unit) as out:
                rejects = [Reject(printable(one.name), "", one.reason, one.detail) for one in odd]
                rejects += [
                    Reject(printable(name), "", "unknown_format", "no Parquet and no JSON Lines by its name")
                    for name in names
                    if not is_shard(name) and not name.rpartition("/")[2].lower().startswith(_OF_THE_NAME)
                ]
                for reject in rejects:
                    out.read(1)
                    out.drop(reject.reason)
                out.write("rejects", rejects)


def _ingest(
    ctx: StageContext, config: Config, files: SnapshotFiles, name: str, seen: Seen, unit: int, out: UnitWriter
) -> None:
    for item in _rows(files, name, config):
        out.read(1)
        if isinstance(item, Reject):
            out.drop(item.reason)
            out.write("rejects", [item])
            continue
        out.add("characters_read", len(item.text))
        kept, reason = _judge(ctx, config, item, seen, unit)
        if reason:
            out.drop(reason)
            out.add(f"characters_dropped.{reason}", len(item.text))
            continue
        out.add("characters_kept", len(kept.text))
        out.add("characters_cut", len(item.text) - len(kept.text))
        out.write("texts", [kept])
        minima = minhash(kept.text, config.signature)
        out.write("signatures", [PageSignature(kept.page_id, kept.published_at, kept.url, minima)])


def _judge(ctx: StageContext, config: Config, item: SuppliedText, seen: Seen, unit: int) -> tuple[SuppliedText, str]:
    """Return the kept form of a text, and the drop reason where it is dropped."""
    if ctx.forgotten.holds(item.url, item.page_id):
        return item, "forgotten"
    words = words_of(item.text)
    if not seen.is_new(stable_hash(" ".join(words)), unit):
        return item, "duplicate"
    if len(words) < config.min_words:
        return item, "too_short"
    if len(words) > config.max_words:
        return item, "too_long"
    start = max(0, (len(item.text) - _LANGUAGE_CHARACTERS) // 2)
    language = detect_language(item.text[start : start + _LANGUAGE_CHARACTERS])
    if language not in config.languages:
        return item, f"language_{language}"
    text, reason = apply_rules(item.text, config.quality)
    licence = config.licence if item.licence == UNKNOWN else item.licence
    return replace(item, text=text, licence=licence, language=language), reason


def _look_again(ctx: StageContext, config: Config, files: SnapshotFiles, name: str, seen: Seen, unit: int) -> None:
    """Remember the texts of a unit that is done, where its digests were lost with the scratch folder."""
    for item in _rows(files, name, config):
        if isinstance(item, SuppliedText) and not ctx.forgotten.holds(item.url, item.page_id):
            seen.is_new(stable_hash(" ".join(words_of(item.text))), unit)
    seen.keep(unit)


def _rows(files: SnapshotFiles, name: str, config: Config) -> Any:
    try:
        with files.open(name) as raw:
            stream = raw if files.path(name) is not None else io.BufferedReader(cast(Any, raw), _READ_BYTES)
            yield from read_text_shard(cast(Any, stream), printable(name), config.fields)
    except PermissionError as error:
        yield Reject(printable(name), "", "unreadable_file", f"PermissionError: {error.strerror}")
