"""What a folder of a model made elsewhere may hold, and what of it is loaded."""

from __future__ import annotations

import builtins
import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoTokenizer, BertConfig, BertModel, PreTrainedTokenizerFast

from spelangy_model import pretrained
from spelangy_model.pretrained import (
    CheckpointRefused,
    check_pyannote,
    check_settings,
    load_settings,
    load_tensors,
    load_weights,
    tensors_only,
    weight_files,
)
from spelangy_model.tokenizer.text import train_text_tokenizer

CODE = """
from pathlib import Path
from transformers import BertModel, PreTrainedTokenizerFast

Path({mark!r}).write_text("ran")

class Theirs(PreTrainedTokenizerFast):
    pass

class TheirModel(BertModel):
    pass
"""


class Payload:
    """Writes a file when it is unpickled."""

    def __init__(self, mark: Path):
        self._mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self._mark,)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "model"
    bpe = train_text_tokenizer(["the river and the hill"] * 2, 262)
    PreTrainedTokenizerFast(tokenizer_object=bpe).save_pretrained(folder)
    config = BertConfig(
        vocab_size=262, hidden_size=16, num_hidden_layers=1, num_attention_heads=1, intermediate_size=16
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "model"))


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What the code of a folder would write; whatever is asked on stdin is answered with yes, and noted."""

    def yes(prompt: object = "") -> str:
        (tmp_path / "mark").write_text(f"asked {prompt}")
        return "y"

    monkeypatch.setattr(builtins, "input", yes)
    return tmp_path / "mark"


def edit(path: Path, **more: Any) -> None:
    settings = json.loads(path.read_text()) if path.is_file() else {}
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({**settings, **more}))


def test_a_plain_folder_is_loaded(folder: Path):
    assert load_settings(AutoTokenizer, folder)("the river")["input_ids"]
    assert load_weights(AutoModel, folder).config.hidden_size == 16
    assert weight_files(folder) == [folder / "model.safetensors"]


CODE_OF_ITS_OWN: dict[str, dict[str, Any]] = {
    "config.json": {"auto_map": {"AutoConfig": "theirs.C", "AutoModel": "theirs.TheirModel"}},
    "tokenizer_config.json": {"tokenizer_class": "Theirs", "auto_map": {"AutoTokenizer": ["theirs.Theirs", None]}},
    "processor_config.json": {"auto_map": {"AutoProcessor": "theirs.Theirs"}},
    "preprocessor_config.json": {"feature_extractor": {"auto_map": {"AutoFeatureExtractor": "theirs.Theirs"}}},
    "more/config.json": {"text_config": [{"auto_map": "theirs.Theirs"}]},
}


@pytest.mark.parametrize("name", CODE_OF_ITS_OWN)
def test_code_of_a_folder_is_refused_wherever_it_is_named(folder: Path, mark: Path, name: str):
    (folder / "theirs.py").write_text(CODE.format(mark=str(mark)))
    edit(folder / name, **CODE_OF_ITS_OWN[name])
    for load in (lambda: load_settings(AutoTokenizer, folder), lambda: load_weights(AutoModel, folder)):
        with pytest.raises(CheckpointRefused, match=rf"code of its own, which is never run.*{name} has 'auto_map'"):
            load()
    assert not mark.exists()


def test_transformers_neither_runs_code_nor_asks_even_where_a_file_was_overlooked(
    folder: Path, mark: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(pretrained, "check_settings", lambda folder: None)
    (folder / "theirs.py").write_text(CODE.format(mark=str(mark)))
    edit(folder / "config.json", **CODE_OF_ITS_OWN["config.json"], model_type="theirs")
    with pytest.raises(ValueError, match="custom code"):
        load_weights(AutoModel, folder)
    load_settings(AutoTokenizer, folder)
    assert not mark.exists()
    with pytest.raises(AttributeError):
        vars(AutoModel)["from_pretrained"].__get__(None, AutoModel)(str(folder), local_files_only=True)
    assert mark.exists(), "by default it asks, and runs the code"


def test_a_word_of_a_vocabulary_is_no_setting(folder: Path):
    edit(folder / "vocab.json", auto_map=17, transformers_weights=18)
    check_settings(folder)


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("config.json", {"transformers_weights": "adapter_model.bin"}, "names its file of weights"),
        ("adapter_config.json", {"base_model_name_or_path": "/elsewhere"}, "is an adapter"),
        ("processor_config.json", {"audio_tokenizer": {"audio_tokenizer_name_or_path": "x/y"}}, "names another model"),
    ],
)
def test_settings_that_lead_elsewhere_are_refused(folder: Path, name: str, settings: dict[str, Any], words: str):
    edit(folder / name, **settings)
    with pytest.raises(CheckpointRefused, match=words):
        load_weights(AutoModel, folder)


def pickled(path: Path, state: dict[str, torch.Tensor]) -> None:
    torch.save({name: tensor + 1 for name, tensor in state.items()}, path)


def test_a_pickle_beside_a_decoy_is_refused_by_name(folder: Path):
    state = load_weights(AutoModel, folder).state_dict()
    (folder / "model.safetensors").rename(folder / "decoy.safetensors")
    pickled(folder / "pytorch_model.bin", state)
    words = r"only pytorch_model\.bin beside decoy\.safetensors.*no pickle is opened: save it again as safetensors"
    with pytest.raises(CheckpointRefused, match=words):
        load_weights(AutoModel, folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "tf_model.h5", "flax_model.msgpack", "MODEL.CKPT"])
def test_a_folder_of_another_form_alone_is_refused(folder: Path, name: str):
    (folder / "model.safetensors").rename(folder / name)
    with pytest.raises(CheckpointRefused, match=f"only {name}, and no pickle is opened"):
        load_weights(AutoModel, folder)


def test_a_pickle_beside_whole_safetensors_is_never_opened(folder: Path, mark: Path):
    expected = load_weights(AutoModel, folder).state_dict()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Payload(mark)))
    found = load_weights(AutoModel, folder).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert not mark.exists()


def sharded(folder: Path, name: str) -> None:
    weights = (folder / "model.safetensors").rename(folder / "shard.safetensors")
    tensors = list(load_tensor_names(weights))
    (folder / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": dict.fromkeys(tensors, name)})
    )


def load_tensor_names(path: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return list(file.keys())


def test_an_index_names_files_beside_it(folder: Path):
    expected = load_weights(AutoModel, folder).state_dict()
    sharded(folder, "shard.safetensors")
    assert [path.name for path in weight_files(folder)] == ["model.safetensors.index.json", "shard.safetensors"]
    found = load_weights(AutoModel, folder).state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize(
    "name",
    ["../model.safetensors", "/model.safetensors", "in/model.safetensors", "..", "gone.safetensors", "shard.bin"],
)
def test_an_index_that_names_anything_else_is_refused(folder: Path, name: str):
    shutil.copy(folder / "model.safetensors", folder.parent / "model.safetensors")
    (folder / "in").mkdir()
    shutil.copy(folder / "model.safetensors", folder / "in" / "model.safetensors")
    shutil.copy(folder / "model.safetensors", folder / "shard.bin")
    sharded(folder, name)
    with pytest.raises(CheckpointRefused, match="which is no file of safetensors beside it"):
        load_weights(AutoModel, folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": 3}', '{"weight_map": {"a": 3}}', "[" * 100_000])
def test_an_index_that_says_nothing_is_refused(folder: Path, text: str):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    with pytest.raises(CheckpointRefused, match=r"model\.safetensors\.index\.json"):
        load_weights(AutoModel, folder)


def unsafe_load(path: Path) -> Any:
    return vars(torch)["load"](path, weights_only=False)  # as a library might


def test_files_of_torch_are_tensors_alone_whatever_a_library_asks_for(tmp_path: Path, mark: Path):
    torch.save({"a": torch.ones(3)}, tmp_path / "good.pt")
    torch.save({"a": Payload(mark)}, tmp_path / "bad.pt")

    def guarded(path: Path) -> Any:
        with tensors_only():
            return unsafe_load(path)

    loads: list[Callable[[Path], Any]] = [load_tensors, guarded]
    for load in loads:
        assert torch.equal(load(tmp_path / "good.pt")["a"], torch.ones(3))
        with pytest.raises(pickle.UnpicklingError):
            load(tmp_path / "bad.pt")
        assert not mark.exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
    unsafe_load(tmp_path / "bad.pt")
    assert mark.exists(), "without the guard the code runs"


def test_the_guard_takes_the_classes_that_it_is_given(tmp_path: Path):
    torch.save({"a": np.dtype("int16")}, tmp_path / "a.pt")
    with tensors_only(np.dtype, np.dtypes.Int16DType):
        assert unsafe_load(tmp_path / "a.pt")["a"] == np.dtype("int16")


PIPELINE = """
version: 4.0.0
pipeline:
  name: {name}
  params: {{clustering: VBxClustering, segmentation: $model/segmentation, embedding: {embedding}}}
{more}
"""


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "subprocess.Popen"}, "names the class 'subprocess.Popen'"),
        ({"more": "preprocessors: {a: {name: subprocess.Popen, params: {args: [id]}}}"}, "names preprocessors"),
        ({"embedding": "speechbrain/spkrec-ecapa-voxceleb"}, "a model of speechbrain"),
        ({"embedding": "nvidia/titanet"}, "a model of nvidia"),
        ({"more": "a: !!python/object/apply:os.system [id]"}, "cannot be read"),
        ({"more": ": : :"}, "cannot be read"),
    ],
)
def test_a_pipeline_of_pyannote_names_classes_and_models_of_its_own(
    tmp_path: Path, settings: dict[str, str], words: str
):
    plain = {"name": "pyannote.audio.pipelines.SpeakerDiarization", "embedding": "$model/embedding", "more": ""}
    (tmp_path / "config.yaml").write_text(PIPELINE.format(**plain))
    check_pyannote(tmp_path)
    (tmp_path / "config.yaml").write_text(PIPELINE.format(**{**plain, **settings}))
    with pytest.raises(CheckpointRefused, match=words):
        check_pyannote(tmp_path)


def test_loading_draws_no_bar_of_the_library(made: Path, capfd: pytest.CaptureFixture[str]):
    from transformers.utils.logging import enable_progress_bar

    enable_progress_bar()
    load_weights(AutoModel, made)
    assert "Loading weights" not in capfd.readouterr().err
