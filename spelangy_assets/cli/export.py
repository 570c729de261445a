"""The command `export`: which of the exports a person asks for, and what is printed.

Put here: that. Do not put here: an export itself (export/, report/transcript_files.py).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from spelangy_assets.export.formats import FORMATS
from spelangy_assets.store.artifacts import ArtifactStore
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select

TIMED_TEXT = "ctm"
NAMES = (*FORMATS, TIMED_TEXT)


@dataclass(frozen=True)
class Push:
    """What is asked of an upload to the Hub; `yes`: it is sent, else it is only said what would be."""

    repository: str
    permitted: Sequence[str]
    public: bool
    yes: bool


def export(
    store: ArtifactStore,
    dataset: str,
    target: str,
    form: str,
    recipe: str,
    table: str = "",
    consent: str = "",
    push: Push | None = None,
) -> int:
    """Write a dataset or a run into a target, print what is there, and upload it when that is asked for."""
    if form == TIMED_TEXT:
        return _timed_text(store, dataset, target, recipe, push)
    if form not in FORMATS:
        raise ValueError(f"no form {form!r}: take one of {', '.join(NAMES)}")
    from spelangy_assets.export.models import is_model, write_model
    from spelangy_assets.export.write import note, write_dataset

    files = Files(target)
    if push is not None and not files.is_local:
        raise ValueError(f"{files.uri}: an upload to the Hub starts from a folder of this machine")
    selection = select(store, dataset, recipe, table)
    if is_model(selection):
        if form != "hf":
            raise ValueError(f"{selection.name} is a model: take --to hf")
        written = write_model(store, selection, files, consent)
        kind = "model"
    else:
        written = write_dataset(store, selection, form, files, consent, print)
        kind = "dataset"
    print(f"{files.uri}: {f'{written.rows} rows' if kind == 'dataset' else 'a model'} in {len(written.files)} files")
    if push is None:
        return 0
    from spelangy_assets.export.hub import upload, upload_of

    one = upload_of(written, push.repository, kind, Path(target), consent, push.permitted, push.public)
    print("\n".join(one.lines()))
    if not push.yes:
        print("nothing was sent: add --yes to upload it")
        return 0
    # Before it is sent: of an upload that is killed, a part may be there.
    note(store, selection, written.facts, "hub", one.address)
    print(f"uploaded: {upload(one, os.environ)}")
    return 0


def _timed_text(store: ArtifactStore, dataset: str, target: str, recipe: str, push: Push | None) -> int:
    from spelangy_assets.report import transcript_files

    of, _, name = dataset.rpartition("/")
    name, _, snapshot = name.partition("@")
    if name != "clean_transcripts" or push is not None:
        raise ValueError(
            f"--to {TIMED_TEXT} writes a snapshot's turns and words into a folder: name clean_transcripts@SNAPSHOT"
        )
    for path in transcript_files.export_transcripts(store, of or recipe, snapshot or None, Path(target)):
        print(path)
    return 0
