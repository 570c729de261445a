"""How good the web-speech part is on recordings whose words, turns or language are known.

    make web-speech AUDIO=FOLDER
    python benchmarks/web_speech.py FOLDER

FOLDER holds recordings, manifest.jsonl (path, lang, text where known) and RTTM files beside the recordings whose turns
are known. Printed as Markdown: word error rate of each ASR system, of ROVER and of what the filters keep; diarization
error without and with a collar, both with 95% intervals over recordings; languages spoken and detected; hours
in and out by reason.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from sample_truth import rate_interval, total, word_interval

from spelangy_assets.recipes.sample import SAMPLE
from spelangy_assets.settings import Settings
from spelangy_assets.stages.clean_transcripts import agree
from spelangy_assets.store.artifacts import ArtifactStore, DatasetName
from spelangy_model.audio.diarization.der import diarization_error
from spelangy_model.audio.rover import rover
from spelangy_model.audio.rttm import read_rttm
from spelangy_model.audio.turns import Turn
from spelangy_model.audio.wer import word_errors
from spelangy_model.audio.words import text_of
from spelangy_model.records import Hypothesis, Recording, Segment, Transcript
from spelangy_model.text.language import UNDETERMINED, detect_language

ASSETS = ("raw_audio", "speech_segments", "transcript_hypotheses", "clean_transcripts", "web_coarse", "web_fine")
CLEAN = SAMPLE.graph["clean_transcripts"].config


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--name", default=None, help="the snapshot's name; default: the folder's")
    chosen = parser.parse_args()
    settings = Settings.from_environment()
    store = ArtifactStore(settings.store_uri, settings.cache_dir)
    snapshot = chosen.name or chosen.folder.resolve().name
    artifacts = {asset: store.resolve(DatasetName("sample", asset, snapshot)) for asset in ASSETS}
    truth = {row["path"]: row for row in map(json.loads, (chosen.folder / "manifest.jsonl").read_text().splitlines())}
    recordings = {
        recording.recording_id: (recording.source_uri, recording.duration_s)
        for recording in artifacts["raw_audio"].records("recordings", Recording)
    }
    segments = list(artifacts["speech_segments"].records("segments", Segment))
    hypotheses = list(artifacts["transcript_hypotheses"].records("hypotheses", Hypothesis))
    transcripts = list(artifacts["clean_transcripts"].records("transcripts", Transcript))
    print_word_errors(truth, recordings, segments, hypotheses, transcripts)
    print_diarization(chosen.folder, recordings, segments)
    print_languages(truth, recordings, segments, hypotheses)
    print_ledger(artifacts)


def print_word_errors(truth, recordings, segments, hypotheses, transcripts) -> None:
    start = {segment.segment_id: segment.start_s for segment in segments}
    systems = list(dict.fromkeys(hypothesis.system for hypothesis in hypotheses))
    recognized: dict[str, dict[str, list[tuple[float, str]]]] = {
        name: defaultdict(list) for name in [*systems, "ROVER"]
    }
    by_segment: dict[str, list[Hypothesis]] = defaultdict(list)
    for hypothesis in hypotheses:
        by_segment[hypothesis.segment_id].append(hypothesis)
        recognized[hypothesis.system][hypothesis.recording_id].append((start[hypothesis.segment_id], hypothesis.text))
    for segment_id, several in by_segment.items():
        names = [hypothesis.system for hypothesis in several]
        words = rover([hypothesis.words for hypothesis in several], CLEAN.rover, names).words
        recognized["ROVER"][several[0].recording_id].append((start[segment_id], text_of(words)))
    kept = defaultdict(list)
    for transcript in transcripts:
        kept[transcript.recording_id].append((transcript.start_s, transcript.text))
    known = [
        key for key, (uri, _) in recordings.items() if truth.get(uri, {}).get("text") and truth[uri]["lang"] == "en"
    ]
    if not known:
        return
    whole = [key for key in known if key in kept]
    print(f"\n## Words: {len(known)} English recordings with a text\n")
    print("| system | WER | 95% over recordings | reference words | substitutions | deletions | insertions |")
    print("|---|---|---|---|---|---|---|")
    for name, keys, texts in (
        *((name, known, found) for name, found in recognized.items()),
        (f"what the filters keep ({len(whole)} recordings)", whole, kept),
    ):
        if not keys:
            continue  # the filters kept none of them
        several = [
            word_errors([truth[recordings[key][0]]["text"]], [" ".join(text for _, text in sorted(texts.get(key, [])))])
            for key in keys
        ]
        errors = total(several)
        print(
            f"| {name} | {100 * errors.rate:.1f}% | {word_interval(several)} | {errors.reference_words} | "
            f"{errors.substitutions} | {errors.deletions} | {errors.insertions} |"
        )


def print_diarization(folder: Path, recordings, segments) -> None:
    by_uri = {uri: key for key, (uri, _) in recordings.items()}
    reference, found, durations = {}, {}, {}
    for rttm in sorted(folder.rglob("*.rttm")):
        sound = next((p for p in sorted(rttm.parent.glob(f"{rttm.stem}.*")) if p.suffix != ".rttm"), None)
        uri = sound.relative_to(folder).as_posix() if sound else ""
        if uri not in by_uri:
            print(f"{rttm.name}: no recording beside it")
            continue
        reference[uri] = [turn for turns in read_rttm(rttm.read_text()).values() for turn in turns]
        found[uri] = [Turn(s.start_s, s.end_s, s.speaker) for s in segments if s.recording_id == by_uri[uri]]
        durations[uri] = recordings[by_uri[uri]][1]
    if not reference:
        return
    print(f"\n## Turns: {len(reference)} recordings with RTTM\n")
    print("| scored | DER | 95% over recordings | missed | false alarm | confusion |\n|---|---|---|---|---|---|")
    for words, collar_s, skip in (
        ("no collar, overlap counted", 0.0, False),
        ("0.25 s on each side, overlap counted", 0.25, False),
        ("0.25 s on each side, overlap left out", 0.25, True),
    ):
        errors = [
            diarization_error(
                {uri: reference[uri]},
                {uri: found[uri]},
                duration_s={uri: durations[uri]},
                collar_s=collar_s,
                skip_overlap=skip,
            )
            for uri in reference
        ]
        total_s = sum(error.total_s for error in errors)
        parts = [(error.missed_s, error.false_alarm_s, error.confusion_s) for error in errors]
        shares = [100 * sum(part) / total_s for part in zip(*parts, strict=True)]
        interval = rate_interval([sum(part) for part in parts], [error.total_s for error in errors])
        print(
            f"| {words} | {sum(shares):.1f}% | {interval} | " + " | ".join(f"{share:.1f}%" for share in shares) + " |"
        )


def print_languages(truth, recordings, segments, hypotheses) -> None:
    """Print what audio, text and their vote (clean_transcripts' own) make of the language of most of a recording."""
    by_segment: dict[str, list[Hypothesis]] = defaultdict(list)
    for hypothesis in hypotheses:
        by_segment[hypothesis.segment_id].append(hypothesis)
    seconds: dict[tuple[str, str], dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for segment in segments:
        if segment.segment_id not in by_segment:
            continue
        transcript = agree(segment, by_segment[segment.segment_id], CLEAN)
        long_enough = len(transcript.text) >= CLEAN.language.min_text_characters
        detected = {
            "audio": by_segment[segment.segment_id][0].language,
            "text": detect_language(transcript.text) if long_enough else UNDETERMINED,
            "vote": transcript.language,
        }
        for judge, language in detected.items():
            if language and language != UNDETERMINED:
                seconds[judge, segment.recording_id][language] += segment.end_s - segment.start_s
    spoken = {
        key: truth[uri]["lang"]
        for key, (uri, duration_s) in recordings.items()
        if duration_s >= 3 and uri in truth and ("vote", key) in seconds
    }
    detected = {
        (judge, key): max(amounts, key=lambda name: amounts[name])
        for (judge, key), amounts in seconds.items()
        if key in spoken
    }
    columns = sorted({detected["vote", key] for key in spoken} | set(spoken.values()))
    print("\n## Languages: that of most of a recording's speech, by the vote; recordings of 3 s and longer\n")
    names = " | ".join(f"detected {name}" for name in columns)
    print(f"| spoken | recordings | {names} |\n|{'---|' * (len(columns) + 2)}")
    for language in sorted(set(spoken.values())):
        of_language = [detected["vote", key] for key in spoken if spoken[key] == language]
        counts = " | ".join(str(of_language.count(name) or "") for name in columns)
        print(f"| {language} | {len(of_language)} | {counts} |")
    print("\n| judge | undecided | right language | English against other, macro-averaged |")
    print("|---|---|---|---|")
    for judge in ("audio", "text", "vote"):
        asked = [key for key in spoken if (judge, key) in detected]
        right = sum(detected[judge, key] == spoken[key] for key in asked)
        english = [detected[judge, key] == "en" for key in asked if spoken[key] == "en"]
        other = [detected[judge, key] != "en" for key in asked if spoken[key] != "en"]
        apart = (
            f"{50 * (sum(english) / len(english) + sum(other) / len(other)):.1f}% of {len(english)} and {len(other)}"
            if english and other
            else "-"
        )
        print(f"| {judge} | {len(spoken) - len(asked)} | {right} of {len(asked)} | {apart} |")


def print_ledger(artifacts) -> None:
    print("\n## Ledger\n\n| asset | in | kept | dropped | sums | CPU s |\n|---|---|---|---|---|---|")
    for asset, artifact in artifacts.items():
        counts = artifact.manifest.counts
        dropped = ", ".join(f"{reason} {count}" for reason, count in sorted(counts.dropped.items())) or "-"
        sums = ", ".join(f"{name} {amount:.3g}" for name, amount in sorted(counts.stats.items())) or "-"
        seconds = artifact.manifest.cpu_seconds
        print(f"| {asset} | {counts.records_in} | {counts.records_kept} | {dropped} | {sums} | {seconds:.0f} |")


if __name__ == "__main__":
    main()
