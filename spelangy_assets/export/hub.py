"""Uploads an export to the Hugging Face Hub: the checks, the dry run, and the upload.

Put here: these. Do not put here: which licences allow it (rights.py), or the files (write.py, models.py). The token
comes from the environment (HF_TOKEN) and is never written; a repository is private unless --public is given.
A killed upload continues when it is started again: huggingface_hub skips files that exist.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spelangy_assets.export.facts import Facts
from spelangy_assets.export.rights import check_licences
from spelangy_assets.export.write import Written
from spelangy_model.extras import missing

TOKEN = "HF_TOKEN"


class HubError(ValueError):
    """The Hub refuses, or cannot be reached. The text is one line and holds no token."""


@dataclass(frozen=True)
class Upload:
    """The files of an upload and their repository. `gated`: readers must accept the terms on the card."""

    repository: str
    kind: Literal["dataset", "model"]
    folder: Path
    files: tuple[str, ...]
    public: bool
    gated: bool = False

    @property
    def address(self) -> str:
        return f"https://huggingface.co/{'datasets/' if self.kind == 'dataset' else ''}{self.repository}"

    @property
    def bytes(self) -> int:
        return sum((self.folder / name).stat().st_size for name in self.files)

    def lines(self) -> list[str]:
        """Return the lines that the user reads before the upload."""
        readers = "people who accept the terms on voices" if self.gated else "everyone"
        seen = f"public: {readers} can read it" if self.public else "private"
        return [
            f"{self.address} ({self.kind}, {seen})",
            *(f"{(self.folder / name).stat().st_size / 1e6:>12.3f} MB  {name}" for name in self.files),
            f"{self.bytes / 1e6:>12.3f} MB in {len(self.files)} files",
        ]


def upload_of(
    written: Written,
    repository: str,
    kind: Literal["dataset", "model"],
    folder: Path,
    consent: str = "",
    permitted: Collection[str] = (),
    public: bool = False,
) -> Upload:
    """Return the upload after all checks; nothing is sent.

    Raises ValueError for a licence that forbids it, voices of people without --consent, a name that the Hub refuses, or
    if huggingface_hub is not installed.
    """
    if lacking := missing("huggingface_hub"):
        raise ValueError(lacking)
    from huggingface_hub.utils import validate_repo_id

    if repository.count("/") != 1:
        raise ValueError(f"{repository!r} is no repository of the Hub: name OWNER/NAME")
    validate_repo_id(repository)
    check_consent(written.facts, consent)
    check_licences(written.facts.sources, permitted)
    return Upload(repository, kind, folder, written.files, public, public and written.facts.holds_recordings)


def check_consent(facts: Facts, consent: str) -> None:
    """Raise ValueError if voices of people are uploaded without a statement of their consent."""
    if facts.holds_recordings and not consent.strip():
        raise ValueError(
            "it contains voices of people, which are personal data: state with --consent how they agreed; the text is "
            "printed on the card"
        )


def upload(one: Upload, environment: Mapping[str, str], endpoint: str | None = None) -> str:
    """Send an upload and return the address of its commit.

    Raises HubError without a token, if the repository is public and --public is not given, or if the Hub refuses or
    cannot be reached. A second start sends only what is missing.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    token = environment.get(TOKEN, "").strip()
    if not token:
        raise HubError(
            f"{TOKEN} is not set: put a token with write access there (https://huggingface.co/settings/tokens)"
        )
    api = HfApi(endpoint=endpoint, token=token, library_name="spelangy")
    try:
        api.create_repo(one.repository, repo_type=one.kind, private=not one.public, exist_ok=True)
        if not one.public and not api.repo_info(one.repository, repo_type=one.kind).private:
            raise HubError(f"{one.address} is public: make it private there, name another repository, or say --public")
        if one.gated:
            api.update_repo_settings(one.repository, repo_type=one.kind, gated="auto")
        commit = api.upload_folder(
            repo_id=one.repository,
            repo_type=one.kind,
            folder_path=one.folder,
            allow_patterns=list(one.files),
            commit_message="Upload by SpeLangy",
        )
    except (HfHubHTTPError, OSError) as error:
        line = " ".join(str(error).split()).replace(token, "***")
        raise HubError(f"{one.address}: the upload failed ({line[:300]}); start it again, it continues") from error
    return str(commit.commit_url)
