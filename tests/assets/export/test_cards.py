"""The cards: metadata that huggingface_hub reads, and numbers that are those of the store."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from spelangy_assets.export.card import licence_metadata, size_category
from spelangy_assets.export.models import write_model
from spelangy_assets.export.write import write_dataset
from spelangy_assets.store.files import Files
from spelangy_assets.store.selection import select

CONSENT = "The speakers agreed | <script>alert(1)</script>"


def card_of(small: Any, name: str, folder: Path, form: str = "hf", consent: str = "") -> str:
    selection = select(small.store, name, "small")
    if name == "run":
        write_model(small.store, selection, Files(folder), consent)
    else:
        write_dataset(small.store, selection, form, Files(folder), consent)
    return (folder / "README.md").read_text(encoding="utf-8")


def test_the_card_of_chunks_has_what_the_hub_reads(small: Any, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    text = card_of(small, "web_fine", tmp_path / "out", consent=CONSENT)
    data = DatasetCard(text).data
    assert data.pretty_name == "web_fine"
    assert data.license == "other", "recordings of two licences"
    assert data.to_dict()["license_name"] == "cc-by-4.0-and-cc0-1.0"
    assert data.size_categories == ["n<1K"]
    assert data.task_categories == ["automatic-speech-recognition", "text-to-speech"]
    assert data.to_dict()["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/train-*.parquet"}]}
    ]
    (asked,) = data.to_dict()["extra_gated_fields"]
    assert asked == "I will not use the voices to identify or to imitate a person"
    lines = text.splitlines()
    assert "| rows | 6 |" in lines
    assert f"| hours of sound | {6 * 0.5 / 3600:.4g} |" in lines
    assert "| dropped by the last step, too_short | 3 |" in lines
    assert "| speakers or voices | 3 |" in lines, "a label of a diarizer is one within its recording"
    assert f"| radio.example | {6 * 0.5 / 3600:.4g} |" in lines
    assert f"| CC0-1.0 | {2 * 0.5 / 3600:.4g} |" in lines
    assert any(line.startswith("| `web_fine@mon` | toy_web_fine | 1 | 9 | 6 | too_short 3 |") for line in lines)
    assert "Voices are personal data: people who speak here can be recognized by their voice." in lines
    body = text.partition("\n---\n")[2]
    assert "`The speakers agreed `&#124;` <script>alert(1)</script>`" in body, "what a person writes does not act"
    version = select(small.store, "web_fine", "small").versions[0]
    assert version.data_version in body
    assert version.manifest.build_key in body
    assert version.manifest.provenance["host"] not in body.split()


def test_the_card_of_a_model_has_its_scores_its_mix_and_its_lineage(small: Any, tmp_path: Path) -> None:
    from huggingface_hub import ModelCard

    text = card_of(small, "run", tmp_path / "out")
    data = ModelCard(text).data
    assert data.library_name == "transformers"
    assert data.license == "cc-by-4.0", "the recording of another licence is not in the mix"
    (result,) = data.eval_results or []
    assert (result.metric_type, result.metric_value, result.dataset_name) == ("accuracy", 0.375, "sqa.bench")
    lines = text.splitlines()
    assert "| eval_run | sqa.bench.accuracy | 0.375 | 0.25 | 0.5 | 40 |" in lines
    assert "| eval_run | gap.reverse_kl | 0.375 | 0.25 | 0.5 | 40 |" in lines
    assert "| steps | 20 |" in lines
    assert "Its mix is small/rows, 0.0% of the tokens text alone:" in lines
    for name in ("`raw_audio@mon` | ingest_audio", "`web_fine@mon` | toy_web_fine", "rows | mix", "run | train_lm"):
        assert any(line.startswith(f"| {name} |") for line in lines), name
    assert "Consent: not stated." in lines


@pytest.mark.parametrize(
    ("name", "form"),
    [("rows", "hf"), ("web_corpus", "webdataset"), ("questions", "nemo"), ("clean_transcripts", "lhotse")],
)
def test_every_card_is_one_of_the_hub(name: str, form: str, small: Any, tmp_path: Path) -> None:
    from huggingface_hub import DatasetCard

    text = card_of(small, name, tmp_path / "out", form)
    data = DatasetCard(text).data.to_dict()
    assert {"size_categories", "tags", "pretty_name"} <= data.keys()
    assert ("configs" in data) == (form == "hf"), "the Hub finds the other forms by their files"
    assert data.get("language") == (["en"] if name == "clean_transcripts" else None)
    if name == "questions":
        assert "It was made from no recording and no page of a crawl." in text
        assert "personal data" not in text
        assert "extra_gated_fields" not in data
    if name == "rows":
        assert "| CC-BY-4.0 | 16 | 2 |" in text.splitlines(), "positions and sources by licence"


@pytest.mark.parametrize(
    ("licences", "fields"),
    [
        (["CC-BY-4.0"], {"license": "cc-by-4.0"}),
        (["CC-BY-4.0", "cc-by-4.0"], {"license": "cc-by-4.0"}),
        (["ODC-By-1.0"], {"license": "odc-by"}),
        (["Apache-2.0"], {"license": "apache-2.0"}),
        ([], {}),
        (["unknown"], {"license": "other", "license_name": "unknown", "license_link": "README.md"}),
        (
            ["CC-BY-4.0", "Ask: the station!\n- x"],
            {"license": "other", "license_name": "ask-the-station-x-and-cc-by-4.0", "license_link": "README.md"},
        ),
    ],
)
def test_licences_are_written_as_the_hub_names_them(licences: list[str], fields: dict[str, str]) -> None:
    assert licence_metadata(licences) == fields


def test_sizes_are_the_hubs_categories() -> None:
    found = [size_category(rows) for rows in (0, 999, 1000, 99_999, 10**6, 10**9, 10**13)]
    assert found == ["n<1K", "n<1K", "1K<n<10K", "10K<n<100K", "1M<n<10M", "1B<n<10B", "n>1T"]


def test_what_data_say_does_not_end_the_metadata(small: Any, tmp_path: Path) -> None:
    """A licence is words of a publisher."""
    small.record({"d": "mine\n---\n# owned", "e": "CC0-1.0"}, "tue")
    small.build("tue")
    selection = select(small.store, "web_fine@tue", "small")
    write_dataset(small.store, selection, "hf", Files(tmp_path / "out"))
    text = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    metadata = yaml.safe_load(text.split("---\n")[1])
    assert metadata["license"] == "other"
    assert metadata["configs"]
    assert "\n# owned" not in text
