"""A snapshot's turns and words in the field's text formats: RTTM, CTM and SRT.

Put here: which rows go into which file, and what a recording is called there. Do not put here: the formats themselves
(spelangy_model/audio/rttm.py, ctm.py).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from spelangy_assets.store.artifacts import Artifact, ArtifactStore, DatasetName
from spelangy_model.audio.ctm import Caption, captions_of, write_ctm, write_srt
from spelangy_model.audio.rttm import write_rttm
from spelangy_model.audio.turns import Turn
from spelangy_model.records import Hypothesis, Segment, Transcript, Word


def export_transcripts(store: ArtifactStore, recipe: str, snapshot: str | None, folder: Path) -> list[Path]:
    """Write what a snapshot's published datasets say into `folder`, and return the files.

    turns.rttm: the turns of speech_segments. hypotheses/SYSTEM.ctm: what each ASR system heard, as NIST's `rover` and
    `sclite` read it. transcripts.ctm and transcripts/RECORDING.srt: the words that were kept. A recording is called by
    its place in the snapshot, percent-encoded, so that the name holds no space and no separator. Raises what the store
    raises when one of the datasets is not published.
    """

    def artifact(asset: str) -> Artifact:
        return store.resolve(DatasetName(recipe, asset, snapshot))

    names: dict[str, str] = {}
    for shard in artifact("raw_audio").shards("recordings"):
        for row in shard.table(["recording_id", "source_uri"]).to_pylist():
            names[row["recording_id"]] = quote(row["source_uri"], safe="", errors="surrogateescape")
    turns: dict[str, list[Turn]] = {name: [] for name in names.values()}
    for segment in artifact("speech_segments").records("segments", Segment):
        turns[names[segment.recording_id]].append(Turn(segment.start_s, segment.end_s, segment.speaker))
    heard: dict[str, dict[str, list[Word]]] = {}
    for hypothesis in artifact("transcript_hypotheses").records("hypotheses", Hypothesis):
        heard.setdefault(hypothesis.system, {}).setdefault(names[hypothesis.recording_id], []).extend(hypothesis.words)
    kept: dict[str, list[Word]] = {}
    captions: dict[str, list[Caption]] = {}
    for transcript in artifact("clean_transcripts").records("transcripts", Transcript):
        name = names[transcript.recording_id]
        kept.setdefault(name, []).extend(transcript.words)
        captions.setdefault(name, []).extend(captions_of(transcript.words, transcript.speaker))
    texts = {
        "turns.rttm": write_rttm({name: found for name, found in turns.items() if found}),
        "transcripts.ctm": write_ctm(kept),
        **{f"hypotheses/{quote(system, safe='')}.ctm": write_ctm(words) for system, words in heard.items()},
        **{f"transcripts/{name}.srt": write_srt(lines) for name, lines in captions.items()},
    }
    for place, text in texts.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        (folder / place).write_text(text, encoding="utf-8")
    return [folder / place for place in texts]
