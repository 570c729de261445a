"""A snapshot's turns and words in the field's text formats: RTTM, CTM and SRT.

Put here: which rows go into which file, and what a recording is called there. Do not put here: the formats themselves
(spelangy_model/audio/rttm.py, ctm.py).
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import quote

from spelangy_assets.sources.files import named
from spelangy_assets.store.artifacts import Artifact, ArtifactStore, DatasetName
from spelangy_model.audio.ctm import Caption, captions_of, write_ctm, write_srt
from spelangy_model.audio.rttm import write_rttm
from spelangy_model.audio.turns import Turn
from spelangy_model.records import Hypothesis, Segment, Transcript, Word

_MAX_NAME_BYTES = 255  # of every file system in use; encrypted home folders (eCryptfs) allow 143
_SHORTENED = re.compile(r"~[0-9a-f]{16}\.(?:srt|ctm)$")


def _file_name(name: str, suffix: str) -> str:
    """Return a file's name for a percent-encoded name of any length."""
    if len(name) + len(suffix) <= _MAX_NAME_BYTES:
        return name + suffix
    digest = hashlib.sha256(name.encode()).hexdigest()[:16]
    kept = re.sub(r"%[0-9A-F]?$", "", name[: _MAX_NAME_BYTES - len(suffix) - len(digest) - 1])
    return f"{kept}~{digest}{suffix}"


def _label(speaker: str) -> str:
    """Return a speaker's name as one field of a line."""
    return re.sub(r"\s", lambda space: quote(space[0]), speaker)


def export_transcripts(store: ArtifactStore, recipe: str, snapshot: str | None, folder: Path) -> list[Path]:
    """Write a snapshot's published turns and words into `folder`, and return the files.

    turns.rttm: the turns of speech_segments. hypotheses/SYSTEM.ctm: the words of each ASR system, as NIST's `rover` and
    `sclite` read them. transcripts.ctm and transcripts/RECORDING.srt: the words that were kept. A recording's name is
    its path in the snapshot, percent-encoded, so that it holds no space and no separator; a speaker's spaces are
    percent-encoded, too. A name that is too long for a file is cut, followed by a digest of the whole;
    shortened_names.tsv maps the files to the full names. Raises what the store raises when one of the datasets is not
    published, and OSError, which names the file, when one cannot be written.
    """

    def artifact(asset: str) -> Artifact:
        return store.resolve(DatasetName(recipe, asset, snapshot))

    names: dict[str, str] = {}
    for shard in artifact("raw_audio").shards("recordings"):
        for row in shard.table(["recording_id", "source_uri"]).to_pylist():
            names[row["recording_id"]] = quote(row["source_uri"], safe="", errors="surrogateescape")
    turns: dict[str, list[Turn]] = {name: [] for name in names.values()}
    for segment in artifact("speech_segments").records("segments", Segment):
        turns[names[segment.recording_id]].append(Turn(segment.start_s, segment.end_s, _label(segment.speaker)))
    recognized: dict[str, dict[str, list[Word]]] = {}
    for hypothesis in artifact("transcript_hypotheses").records("hypotheses", Hypothesis):
        of_system = recognized.setdefault(hypothesis.system, {})
        of_system.setdefault(names[hypothesis.recording_id], []).extend(hypothesis.words)
    kept: dict[str, list[Word]] = {}
    captions: dict[str, list[Caption]] = {}
    for transcript in artifact("clean_transcripts").records("transcripts", Transcript):
        name = names[transcript.recording_id]
        kept.setdefault(name, []).extend(transcript.words)
        captions.setdefault(name, []).extend(captions_of(transcript.words, transcript.speaker))
    system_files = {system: _file_name(quote(system, safe=""), ".ctm") for system in recognized}
    caption_files = {name: _file_name(name, ".srt") for name in captions}
    shortened = {file: name for name, file in {**system_files, **caption_files}.items() if _SHORTENED.search(file)}
    texts = {
        "turns.rttm": write_rttm({name: found for name, found in turns.items() if found}),
        "transcripts.ctm": write_ctm(kept),
        **{f"hypotheses/{system_files[system]}": write_ctm(words) for system, words in recognized.items()},
        **{f"transcripts/{caption_files[name]}": write_srt(lines) for name, lines in captions.items()},
    }
    if shortened:
        texts["shortened_names.tsv"] = "".join(f"{file}\t{name}\n" for file, name in sorted(shortened.items()))
    for place, text in texts.items():
        with named(str(folder / place)):
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text, encoding="utf-8")
    return [folder / place for place in texts]
